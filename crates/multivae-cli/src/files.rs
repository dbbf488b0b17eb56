//! Files that are whole or not there.

use std::{
    fs,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Error, Result};
use tempfile::{NamedTempFile, TempDir};

use crate::failure::bad_input;

/// Writes a file beside its place and moves it there when it is whole. After an error nothing of
/// it is left, and what was there before is untouched.
pub(crate) fn write_whole(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<&mut NamedTempFile>) -> Result<()>,
) -> Result<()> {
    let shown = format!("`{}` cannot be written", path.display());
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let mut file = tempfile::Builder::new()
        .prefix(".multivae-")
        .suffix(".new")
        .tempfile_in(folder)
        .with_context(|| shown.clone())?;
    let mut buffered = BufWriter::new(&mut file);
    write(&mut buffered).with_context(|| shown.clone())?;
    buffered.flush().with_context(|| shown.clone())?;
    drop(buffered);
    readable(file.path()).with_context(|| shown.clone())?;
    file.as_file().sync_all().with_context(|| shown.clone())?;
    file.persist(path).map_err(|error| Error::new(error.error).context(shown))?;
    Ok(())
}

/// Gives a temporary file the rights of any other new file.
#[cfg(unix)]
fn readable(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn readable(_path: &Path) -> io::Result<()> {
    Ok(())
}

/// Refuses a folder that holds something; `instead` says what to do.
pub(crate) fn check_free(folder: &Path, instead: &str) -> Result<()> {
    match fs::read_dir(folder) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(bad_input(format!(
                "folder `{}` exists and is not empty: {instead}",
                folder.display()
            ))),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            Err(bad_input(format!("`{}` exists and is no folder: {instead}", folder.display())))
        }
        Err(error) => Err(error).with_context(|| format!("folder `{}`", folder.display())),
    }
}

/// A folder that is filled beside its place; it appears under its name at once and whole.
pub(crate) struct NewFolder {
    place: PathBuf,
    beside: TempDir,
}

impl NewFolder {
    /// For a folder that is not there or empty; see [`check_free`].
    pub(crate) fn new(place: &Path) -> Result<Self> {
        let shown = || format!("folder `{}` cannot be made", place.display());
        let parent = match place.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        fs::create_dir_all(parent).with_context(shown)?;
        let beside = tempfile::Builder::new()
            .prefix(".multivae-")
            .suffix(".new")
            .tempdir_in(parent)
            .with_context(shown)?;
        Ok(Self { place: place.to_owned(), beside })
    }

    /// Where to put its files.
    pub(crate) fn path(&self) -> &Path {
        self.beside.path()
    }

    /// Gives it its name.
    pub(crate) fn finish(self) -> Result<()> {
        let shown = || format!("folder `{}` cannot be made", self.place.display());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            fs::set_permissions(self.beside.path(), fs::Permissions::from_mode(0o755))
                .with_context(shown)?;
        }
        match fs::remove_dir(&self.place) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(shown);
            }
            _ => {}
        }
        fs::rename(self.beside.path(), &self.place).with_context(shown)?;
        // It has moved: there is nothing to clean up.
        let _ = self.beside.keep();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("a folder").map(|e| e.expect("an entry"));
        let mut names: Vec<_> =
            entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_write_that_fails_leaves_nothing_and_keeps_what_was_there() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("a.npz");
        fs::write(&path, "before").expect("a file");
        // A disk that is full after some bytes.
        let error = write_whole(&path, |file| {
            file.write_all(b"half")?;
            Err(io::Error::from(io::ErrorKind::StorageFull).into())
        })
        .expect_err("the writer fails");
        assert!(format!("{error:#}").contains("a.npz"), "{error:#}");
        assert_eq!(names(folder.path()), ["a.npz"]);
        assert_eq!(fs::read_to_string(&path).expect("the file"), "before");
    }

    #[test]
    fn a_whole_file_takes_its_place() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("a");
        write_whole(&path, |file| Ok(file.write_all(b"whole")?)).expect("a free disk");
        assert_eq!(fs::read_to_string(&path).expect("the file"), "whole");
        assert_eq!(names(folder.path()), ["a"]);
    }

    #[test]
    fn a_folder_that_holds_something_is_refused() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        assert!(check_free(folder.path(), "choose another").is_ok());
        assert!(check_free(&folder.path().join("new"), "choose another").is_ok());
        let file = folder.path().join("file");
        fs::write(&file, "").expect("a file");
        let error = check_free(folder.path(), "choose another").expect_err("it holds a file");
        assert!(error.to_string().ends_with("is not empty: choose another"), "{error}");
        assert!(check_free(&file, "choose another").is_err());
    }

    #[test]
    fn a_new_folder_appears_with_all_its_files_or_not_at_all() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let place = folder.path().join("runs/first");
        let new = NewFolder::new(&place).expect("a free place");
        fs::write(new.path().join("a"), "").expect("a file");
        assert!(!place.exists());
        drop(new);
        assert_eq!(names(&folder.path().join("runs")), Vec::<String>::new());
        let new = NewFolder::new(&place).expect("a free place");
        fs::write(new.path().join("a"), "").expect("a file");
        new.finish().expect("a free place");
        assert_eq!(names(&place), ["a"]);
        assert_eq!(names(&folder.path().join("runs")), ["first"]);
    }
}
