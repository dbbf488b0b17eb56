#![doc = include_str!("../README.md")]

use std::{
    fs,
    io::{self, BufWriter, Write},
    path::Path,
    sync::LazyLock,
};

use tempfile::{NamedTempFile, TempPath};

/// How the names of unfinished files and folders begin.
const UNFINISHED: &str = ".multivae-";
/// How those of this process begin, which say whose they are.
static OWN: LazyLock<String> =
    LazyLock::new(|| format!("{UNFINISHED}{}-{}-", machine(), std::process::id()));
/// How the names of files and folders end that are not whole yet.
pub const NEW: &str = ".new";
/// How the names of folders end in which others wait that are being replaced; [`sweep`] puts them back.
pub const REPLACED: &str = ".old";

/// Writes a file beside its place and moves it there when it is whole and on the disk. After an error
/// nothing of it is left, and what was there before is untouched.
///
/// # Errors
///
/// That of `write`, or that of the system.
pub fn write_whole<E: From<io::Error>>(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<&mut NamedTempFile>) -> Result<(), E>,
) -> Result<(), E> {
    written(path, write)?.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// The same for a file that must not take the place of another.
///
/// # Errors
///
/// That of `write`, or that of the system, also if there is a file of this name.
pub fn write_new<E: From<io::Error>>(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<&mut NamedTempFile>) -> Result<(), E>,
) -> Result<(), E> {
    written(path, write)?.persist_noclobber(path).map_err(|error| error.error)?;
    Ok(())
}

/// Copies a file beside the place `out`, lets `edit` change the copy, and moves it there. After an
/// error nothing of it is left, and what was there before is untouched.
///
/// # Errors
///
/// That of `edit`, or that of the system.
pub fn edit_copy<E: From<io::Error>>(
    source: &Path,
    out: &Path,
    edit: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<(), E> {
    sweep(parent(out));
    let copy: TempPath = beside(NEW).tempfile_in(parent(out))?.into_temp_path();
    fs::copy(source, &copy)?;
    // The source can be one that must not be written; the copy has its rights.
    permit(&copy, 0o644)?;
    edit(&copy)?;
    fs::File::open(&copy)?.sync_all()?;
    copy.persist(out).map_err(|error| error.error)?;
    Ok(())
}

/// A file that is whole and has no name yet.
fn written<E: From<io::Error>>(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<&mut NamedTempFile>) -> Result<(), E>,
) -> Result<NamedTempFile, E> {
    sweep(parent(path));
    let mut file = beside(NEW).tempfile_in(parent(path))?;
    let mut buffered = BufWriter::new(&mut file);
    write(&mut buffered)?;
    buffered.flush()?;
    drop(buffered);
    permit(file.path(), 0o644)?;
    file.as_file().sync_all()?;
    Ok(file)
}

/// The folder of a path.
pub fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// Names of unfinished files and folders of this process, which [`sweep`] knows: `end` is [`NEW`] or
/// [`REPLACED`].
pub fn beside(end: &str) -> tempfile::Builder<'_, '_> {
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
///
/// # Errors
///
/// That of the system.
#[cfg(unix)]
pub fn permit(path: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

/// Gives what was temporary the right to be written.
///
/// # Errors
///
/// That of the system.
#[cfg(not(unix))]
pub fn permit(path: &Path, _mode: u32) -> io::Result<()> {
    let mut permissions = fs::metadata(path)?.permissions();
    permissions.set_readonly(false);
    fs::set_permissions(path, permissions)
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
        let error = write_whole::<io::Error>(&path, |file| {
            file.write_all(b"half")?;
            Err(io::ErrorKind::StorageFull.into())
        })
        .expect_err("the writer fails");
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(names(folder.path()), ["a.npz"]);
        assert_eq!(fs::read_to_string(&path).expect("the file"), "before");
    }

    #[test]
    fn a_whole_file_takes_its_place() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("a");
        for text in ["first", "second"] {
            write_whole::<io::Error>(&path, |file| file.write_all(text.as_bytes()))
                .expect("a free disk");
            assert_eq!(fs::read_to_string(&path).expect("the file"), text);
            assert_eq!(names(folder.path()), ["a"]);
        }
    }

    #[test]
    fn a_new_file_takes_no_others_place() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("a");
        let write = |text: &'static str| {
            write_new::<io::Error>(&path, |file| file.write_all(text.as_bytes()))
        };
        write("first").expect("a free place");
        let error = write("second").expect_err("it is taken");
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).expect("the file"), "first");
        assert_eq!(names(folder.path()), ["a"]);
    }

    #[test]
    fn a_copy_that_cannot_be_changed_leaves_nothing_and_keeps_what_was_there() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (source, out) = (folder.path().join("source"), folder.path().join("out"));
        fs::write(&source, "as it was").expect("a file");
        permit(&source, 0o444).expect("it is ours");
        fs::write(&out, "before").expect("a file");
        let failed = edit_copy::<io::Error>(&source, &out, |copy| {
            fs::write(copy, "half")?;
            Err(io::ErrorKind::StorageFull.into())
        });
        assert!(failed.is_err());
        assert_eq!(fs::read_to_string(&out).expect("the file"), "before");
        edit_copy::<io::Error>(&source, &out, |copy| {
            assert_eq!(fs::read_to_string(copy)?, "as it was");
            fs::write(copy, "changed")
        })
        .expect("the copy can be written");
        assert_eq!(fs::read_to_string(&out).expect("the file"), "changed");
        assert_eq!(fs::read_to_string(&source).expect("the file"), "as it was");
        assert_eq!(names(folder.path()), ["out", "source"]);
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
        fs::create_dir(path(&left(NEW))).expect("a folder");
        fs::write(path(&left(NEW)).join("half"), "").expect("a file");
        // Of this process, of another machine, and of a program that names nobody.
        let kept = [
            format!("{}abc.new", *OWN),
            format!("{UNFINISHED}00-1-a.new"),
            ".multivae-a.new".into(),
        ];
        for name in &kept {
            fs::write(path(name), "").expect("a file");
        }
        write_whole::<io::Error>(&path("a"), |file| file.write_all(b"whole")).expect("a free disk");
        let mut expected = [kept.to_vec(), vec!["a".into()]].concat();
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
}
