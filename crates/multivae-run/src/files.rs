//! Files and folders that are whole or not there.

use std::{
    error::Error,
    fs,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    sync::LazyLock,
};

use tempfile::{NamedTempFile, TempDir};

use crate::{
    bundle::{SUMS, sums},
    error::{Result, RunError},
};

/// How the names of unfinished files and folders begin.
const UNFINISHED: &str = ".multivae-";
/// How those of this process begin, which say whose they are.
static OWN: LazyLock<String> =
    LazyLock::new(|| format!("{UNFINISHED}{}-{}-", machine(), std::process::id()));
/// How the names of folders end that others take the place of.
const REPLACED: &str = ".old";

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
    let refused = |cause: io::Error| RunError::Write { path: path.into(), cause: cause.into() };
    sweep(parent(path));
    let mut file = beside(".new").tempfile_in(parent(path)).map_err(refused)?;
    let mut buffered = BufWriter::new(&mut file);
    write(&mut buffered)
        .map_err(|cause| RunError::Write { path: path.into(), cause: cause.into() })?;
    buffered.flush().map_err(refused)?;
    drop(buffered);
    permit(file.path(), 0o644).map_err(refused)?;
    file.as_file().sync_all().map_err(refused)?;
    file.persist(path).map_err(|error| refused(error.error))?;
    Ok(())
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
        let beside = beside(".new").tempdir_in(parent).map_err(refused)?;
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

/// The folder of a path.
fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// Names of unfinished files and folders.
fn beside(end: &str) -> tempfile::Builder<'_, '_> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(OWN.as_str()).suffix(end);
    builder
}

/// Removes what processes of this machine have left unfinished in a folder that run no more, as after
/// a kill, and puts back what they had taken away to put another in its place. Every write does so
/// where it writes.
///
/// What cannot be removed takes room and does no other harm.
pub fn sweep(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !is_abandoned(&name) {
            continue;
        }
        if name.ends_with(REPLACED) {
            put_back(&path, folder);
        }
        let removed = match path.is_dir() {
            true => fs::remove_dir_all(&path),
            false => fs::remove_file(&path),
        };
        if let Err(error) = removed {
            tracing::debug!("`{}` cannot be removed: {error}", path.display());
        }
    }
}

/// Gives a folder its name again that another did not come to have.
fn put_back(aside: &Path, folder: &Path) {
    let Ok(entries) = fs::read_dir(aside) else { return };
    for old in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let place = folder.join(old.file_name().unwrap_or_default());
        if !place.exists()
            && let Err(error) = fs::rename(&old, &place)
        {
            tracing::debug!("`{}` cannot be put back: {error}", place.display());
        }
    }
}

/// Whether a name is that of something unfinished whose process was on this machine and has ended.
/// Where the system does not say which processes there are, nothing is.
fn is_abandoned(name: &str) -> bool {
    let whose = name.strip_prefix(UNFINISHED).and_then(|rest| {
        let (machine, rest) = rest.split_once('-')?;
        Some((machine, rest.split_once('-')?.0.parse::<u32>().ok()?))
    });
    let Some((of, process)) = whose else { return false };
    let processes = Path::new("/proc");
    of == machine()
        && processes.join(std::process::id().to_string()).exists()
        && !processes.join(process.to_string()).exists()
}

/// A short name of this machine, so that a process of another one that writes to the same disk is not
/// taken for one that has ended.
fn machine() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let mix = |sum: u64, byte: u8| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let sum = name.trim().bytes().fold(0xcbf2_9ce4_8422_2325, mix);
    format!("{:08x}", sum as u32)
}

/// Gives what was temporary the rights of any other new file or folder.
#[cfg(unix)]
fn permit(path: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn permit(_path: &Path, _mode: u32) -> io::Result<()> {
    Ok(())
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
            Err(io::Error::from(io::ErrorKind::StorageFull))
        })
        .expect_err("the writer fails");
        assert!(error.to_string().contains("a.npz"), "{error}");
        assert_eq!(names(folder.path()), ["a.npz"]);
        assert_eq!(fs::read_to_string(&path).expect("the file"), "before");
    }

    #[test]
    fn a_whole_file_takes_its_place() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("a");
        write_whole(&path, |file| file.write_all(b"whole")).expect("a free disk");
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

    /// The name of something that a process has left which ran here and runs no more.
    #[cfg(target_os = "linux")]
    fn left(end: &str) -> String {
        // Greater than any number of a process.
        format!("{UNFINISHED}{}-4194999-abc{end}", machine())
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_a_killed_process_has_left_is_removed_by_the_next_write_there() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path(&left(".new"))).expect("a folder");
        fs::write(path(&left(".new")).join("half"), "").expect("a file");
        // Of this process, of another machine, and of a program that names nobody.
        let kept = [
            format!("{}abc.new", *OWN),
            format!("{UNFINISHED}00-1-a.new"),
            ".multivae-a.new".into(),
        ];
        for name in &kept {
            fs::write(path(name), "").expect("a file");
        }
        write_whole(&path("a"), |file| file.write_all(b"whole")).expect("a free disk");
        fs::write(path(&left(".new")), "").expect("a file");
        NewFolder::new(&path("b")).expect("a place").finish().expect("a free place");
        let mut expected = [kept.to_vec(), vec!["a".into(), "b".into()]].concat();
        expected.sort();
        assert_eq!(names(folder.path()), expected);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_folder_whose_successor_never_came_is_put_back() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let aside = folder.path().join(left(REPLACED));
        for name in ["first", "second"] {
            fs::create_dir_all(aside.join(name)).expect("a folder");
            fs::write(aside.join(name).join("old"), "").expect("a file");
        }
        // The successor of this one did come.
        fs::create_dir(folder.path().join("second")).expect("a folder");
        sweep(folder.path());
        assert_eq!(names(folder.path()), ["first", "second"]);
        assert_eq!(names(&folder.path().join("first")), ["old"]);
        assert_eq!(names(&folder.path().join("second")), Vec::<String>::new());
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
