//! Folders that do not stay.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

/// A folder that is gone when its owner is.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// A new one for some use, by this process.
    pub(crate) fn new(usage: &str) -> Result<Self> {
        let name = format!("multivae-{usage}-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).with_context(|| format!("{}", folder.display()))?;
        Ok(Self(folder))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is left to the system's own cleaning.
        let _ = fs::remove_dir_all(&self.0);
    }
}
