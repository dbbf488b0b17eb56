//! Files that trackers put in place of others.

use std::{fs, io, io::Write, path::Path};

/// How the names of unfinished files begin, here and where folders of runs are written.
const UNFINISHED: &str = ".multivae-";

/// Puts a file in place of another, and removes what trackers have left unfinished beside it whose
/// process was on this machine and has ended, as after a kill.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().expect("a file in a folder");
    sweep(folder);
    let own = format!("{UNFINISHED}{}-{}-", machine(), std::process::id());
    let mut file = tempfile::Builder::new().prefix(&own).suffix(".new").tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(file.path(), fs::Permissions::from_mode(0o644))?;
    }
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

fn sweep(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // What cannot be removed takes room and does no other harm.
        if path.is_file()
            && is_abandoned(&name)
            && let Err(error) = fs::remove_file(&path)
        {
            tracing::debug!("`{}` cannot be removed: {error}", path.display());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn what_a_killed_tracker_has_left_is_removed_by_the_next_write_there() {
        let folder = tempfile::tempdir().expect("a folder");
        // Greater than any number of a process.
        let left = format!("{UNFINISHED}{}-4194999-abc.new", machine());
        let running = format!("{UNFINISHED}{}-{}-abc.new", machine(), std::process::id());
        let elsewhere = format!("{UNFINISHED}00-1-a.new");
        for name in [&left, &running, &elsewhere] {
            fs::write(folder.path().join(name), "half").expect("a file");
        }
        let path = folder.path().join("a");
        replace(&path, b"whole").expect("a free disk");
        assert_eq!(fs::read(&path).expect("a file"), b"whole");
        let entries = fs::read_dir(folder.path()).expect("a folder");
        let mut names: Vec<_> = entries
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        let mut expected = vec![running, elsewhere, "a".to_owned()];
        expected.sort();
        assert_eq!(names, expected);
    }
}
