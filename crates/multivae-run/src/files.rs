//! Files and folders that are whole or not there.

use std::{
    error::Error,
    fs,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use multivae_files::{NEW, REPLACED, beside, parent, permit};
use tempfile::{NamedTempFile, TempDir};

pub use multivae_files::sweep;

use crate::{
    bundle::{SUMS, sums},
    error::{Result, RunError},
};

/// Writes a file beside its place and moves it there when it is whole. After an error nothing of
/// it is left, and what was there before is untouched.
///
/// ```
/// use std::io::{self, Write};
/// use multivae_run::files::write_whole;
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("notes.txt");
/// write_whole(&path, |file| file.write_all(b"whole"))?;
/// assert_eq!(std::fs::read(&path)?, b"whole");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// [`RunError::Write`], with the error of `write` if it is that which failed.
pub fn write_whole<E: Into<Box<dyn Error + Send + Sync>>>(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<&mut NamedTempFile>) -> Result<(), E>,
) -> Result<()> {
    multivae_files::write_whole(path, |file| write(file).map_err(Into::into))
        .map_err(|cause| RunError::Write { path: path.into(), cause })
}

/// Refuses a folder that holds something; `instead` says what to do.
///
/// # Errors
///
/// [`RunError::Occupied`], [`RunError::Read`].
pub fn check_free(folder: &Path, instead: &str) -> Result<()> {
    let occupied = |is: &str| RunError::Occupied {
        what: format!("folder `{}` exists and {is}", folder.display()),
        instead: instead.to_owned(),
    };
    match fs::read_dir(folder) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(occupied("is not empty")),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Err(occupied("is no folder")),
        Err(cause) => Err(RunError::Read { path: folder.into(), cause }),
    }
}

/// A folder that is filled beside its place; it appears under its name at once and whole.
#[derive(Debug)]
pub struct NewFolder {
    place: PathBuf,
    beside: TempDir,
}

impl NewFolder {
    /// For a folder that is not there or empty, see [`check_free`], or that is to be replaced.
    ///
    /// # Errors
    ///
    /// [`RunError::Write`].
    pub fn new(place: &Path) -> Result<Self> {
        let refused =
            |cause: io::Error| RunError::Write { path: place.into(), cause: cause.into() };
        let parent = parent(place);
        fs::create_dir_all(parent).map_err(refused)?;
        sweep(parent);
        let beside = beside(NEW).tempdir_in(parent).map_err(refused)?;
        Ok(Self { place: place.to_owned(), beside })
    }

    /// Where to put its files.
    pub fn path(&self) -> &Path {
        self.beside.path()
    }

    /// Gives it its name.
    ///
    /// # Errors
    ///
    /// [`RunError::Write`], also if the place holds something.
    pub fn finish(self) -> Result<()> {
        let refused =
            |cause: io::Error| RunError::Write { path: self.place.clone(), cause: cause.into() };
        permit(self.beside.path(), 0o755).map_err(refused)?;
        match fs::remove_dir(&self.place) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(refused(error)),
            _ => {}
        }
        fs::rename(self.beside.path(), &self.place).map_err(refused)?;
        // It has moved: there is nothing to clean up.
        let _ = self.beside.keep();
        Ok(())
    }

    /// Gives it its name in place of the folder that has it, which is removed.
    ///
    /// # Errors
    ///
    /// [`RunError::Write`]; the folder that was there is there again.
    pub fn replace(self) -> Result<()> {
        if !self.place.exists() {
            return self.finish();
        }
        let place = self.place.clone();
        let refused =
            |cause: io::Error| RunError::Write { path: place.clone(), cause: cause.into() };
        let aside = beside(REPLACED).tempdir_in(parent(&place)).map_err(refused)?;
        // Under its own name, so that it is known what it is if nobody comes back for it.
        let old = aside.path().join(place.file_name().unwrap_or_default());
        fs::rename(&place, &old).map_err(refused)?;
        self.finish().inspect_err(|_| {
            // The first error is the one to tell.
            let _ = fs::rename(&old, &place);
        })
    }
}

/// Writes `SHA256SUMS` of the files in a folder, as `sha256sum` does; `sha256sum --check` compares.
///
/// # Errors
///
/// [`RunError::Read`], [`RunError::Write`].
pub fn write_sums(folder: &Path) -> Result<()> {
    let read = |path: &Path| {
        let path = path.to_owned();
        move |cause| RunError::Read { path, cause }
    };
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(read(folder))? {
        paths.push(entry.map_err(read(folder))?.path());
    }
    paths.sort();
    let mut list = String::new();
    for path in paths.iter().filter(|path| path.is_file()) {
        let sum = sums::of_file(path).map_err(read(path))?;
        list += &sums::line(&sum, &path.file_name().unwrap_or_default().to_string_lossy());
    }
    write_whole(&folder.join(SUMS), |file| file.write_all(list.as_bytes()))
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
    fn a_write_that_fails_names_the_file() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("a.npz");
        fs::write(&path, "before").expect("a file");
        // A disk that is full after some bytes.
        let error = write_whole(&path, |file| {
            file.write_all(b"half")?;
            Err(io::Error::from(io::ErrorKind::StorageFull))
        })
        .expect_err("the writer fails");
        assert!(error.to_string().contains("a.npz"), "{error}");
        assert_eq!(fs::read_to_string(&path).expect("the file"), "before");
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

    #[cfg(unix)]
    #[test]
    fn a_new_folder_removes_what_a_killed_process_has_left_beside_it() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut other = std::process::Command::new("true").spawn().expect("a process");
        let (own, ended) = (std::process::id().to_string(), other.id().to_string());
        other.wait().expect("it ends");
        let mine = NewFolder::new(&folder.path().join("mine")).expect("a free place");
        let name = mine.path().file_name().expect("it has one").to_string_lossy().into_owned();
        let left = folder.path().join(name.replacen(&format!("-{own}-"), &format!("-{ended}-"), 1));
        fs::create_dir(&left).expect("a name of the ended process");
        fs::write(left.join("half"), "").expect("a file");
        let new = NewFolder::new(&folder.path().join("new")).expect("a free place");
        assert!(!left.exists());
        assert!(mine.path().exists() && new.path().exists());
    }

    #[test]
    fn a_folder_is_replaced_by_a_whole_one() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let place = folder.path().join("first");
        for file in ["a", "b"] {
            let new = NewFolder::new(&place).expect("a place");
            fs::write(new.path().join(file), "").expect("a file");
            new.replace().expect("a place");
            assert_eq!(names(&place), [file]);
        }
        let new = NewFolder::new(&place).expect("a place");
        assert!(new.finish().is_err(), "it is not empty");
        assert_eq!(names(&place), ["b"]);
        assert_eq!(names(folder.path()), ["first"]);
    }
}
