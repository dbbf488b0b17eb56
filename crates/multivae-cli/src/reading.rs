//! Readers of what other programs have saved, for those who try them with files of any kind.

use std::path::Path;

use anyhow::Result;

use crate::{import, yaml};

/// Reads what another library has saved, as `import` does, up to the model.
///
/// # Errors
///
/// Those of `import`.
pub fn import(folder: &Path) -> Result<()> {
    import::read(folder)
}

/// Reads settings in YAML.
///
/// # Errors
///
/// If it is no mapping of plain values, or too large or too deep.
pub fn yaml(path: &Path) -> Result<()> {
    yaml::read(path).map(|_| ())
}
