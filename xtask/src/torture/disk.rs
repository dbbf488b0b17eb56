//! Disks that fill up.

use std::{fmt, path::Path, process::Command};

use anyhow::{Result, bail};

use super::{
    Random,
    place::{Ended, Place},
};

/// A disk with room for everything, in bytes.
const LARGE: usize = 64 << 20;

/// How the room is bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// A disk in memory of that size, where the system lets us have one.
    Disk,
    /// No file grows beyond that, by a limit of the process.
    Limit,
}

impl Way {
    /// The ways that this system has.
    pub(super) fn all(folder: &Path) -> Vec<Self> {
        let mut ways = Vec::new();
        let trial = folder.join("trial");
        if std::fs::create_dir_all(&trial).is_ok() && mount(&trial, LARGE, false).is_ok() {
            ways.push(Self::Disk);
            let _ = unmount(&trial);
        } else {
            println!("no disk can be mounted: disks that fill up are limits of files only");
        }
        if cfg!(unix) {
            ways.push(Self::Limit);
        }
        ways
    }

    /// A folder with some share of the room that is needed.
    pub(super) fn disk(
        self,
        place: &Place,
        name: &str,
        needed: usize,
        random: &mut Random,
    ) -> Result<Disk> {
        std::fs::create_dir_all(place.path(name))?;
        let bytes = random.below(needed + needed / 10).max(1);
        let disk = Disk { way: self, bytes, name: name.to_owned(), path: place.path(name) };
        if self == Self::Disk {
            mount(&disk.path, disk.bytes, false)?;
        }
        Ok(disk)
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Disk => "small disk",
            Self::Limit => "limited files",
        })
    }
}

/// A folder with little room.
pub(super) struct Disk {
    way: Way,
    bytes: usize,
    name: String,
    path: std::path::PathBuf,
}

impl Disk {
    /// Runs the program, which may find no room.
    pub(super) fn run(&self, place: &Place, arguments: &str) -> Result<Ended> {
        // `ulimit` counts blocks of 512 bytes. What the signal says is said by an error, too.
        let blocks = self.bytes / 512;
        let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$@\"");
        let before = match self.way {
            Way::Disk => vec![],
            Way::Limit => ["sh", "-c", &script, "sh"].map(str::to_owned).to_vec(),
        };
        let (status, said) = place.ends(&before, arguments)?;
        Ok(Ended::of(status, said))
    }

    /// Makes room.
    pub(super) fn grow(&self) -> Result<()> {
        if self.way == Way::Disk {
            mount(&self.path, LARGE, true)?;
        }
        Ok(())
    }

    /// Removes it with all it holds.
    pub(super) fn clear(self, place: &Place) -> Result<()> {
        // Its drop unmounts.
        let name = self.name.clone();
        drop(self);
        place.remove(&name)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.way == Way::Disk {
            let _ = unmount(&self.path);
        }
    }
}

fn mount(folder: &Path, bytes: usize, again: bool) -> Result<()> {
    let pages = bytes.next_multiple_of(4096);
    let options = match again {
        true => format!("remount,size={pages}"),
        false => format!("size={pages}"),
    };
    run(Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(folder))
}

fn unmount(folder: &Path) -> Result<()> {
    run(Command::new("umount").arg(folder))
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output()?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
