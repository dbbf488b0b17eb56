//! The source tree: its root and its files.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

/// A file that is, or could be, committed.
pub(crate) struct SourceFile {
    /// Path from the root, with `/` between its parts.
    pub(crate) path: String,
    /// Length in bytes.
    pub(crate) bytes: u64,
    /// What it says, if it is text.
    pub(crate) text: Option<String>,
}

/// The folder of the workspace.
pub(crate) fn root() -> Result<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    Ok(folder.parent().context("xtask lies in the workspace")?.to_owned())
}

/// All files that git follows or would follow.
pub(crate) fn files(root: &Path) -> Result<Vec<SourceFile>> {
    let output = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .context("git does not start")?;
    if !output.status.success() {
        bail!("git ls-files: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let list = String::from_utf8(output.stdout).context("a path is not UTF-8")?;
    let mut files = Vec::new();
    for path in list.split('\0').filter(|path| !path.is_empty()) {
        let full = root.join(path);
        // A file that was deleted and not yet committed is still listed.
        let Ok(content) = std::fs::read(&full) else { continue };
        files.push(SourceFile {
            path: path.to_owned(),
            bytes: content.len() as u64,
            text: String::from_utf8(content).ok().filter(|text| !text.contains('\0')),
        });
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files.dedup_by(|a, b| a.path == b.path);
    Ok(files)
}
