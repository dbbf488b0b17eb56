//! A folder with small data, in which the program is started, killed and looked at.

use std::{
    collections::BTreeMap,
    fmt, fs,
    io::Read,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use super::{checkpoint, disk::Way};

/// Rows of the small data.
const ROWS: usize = 40;

/// After how long a process hangs.
const PATIENCE: Duration = Duration::from_secs(300);

/// Beginnings and ends of names of what is not meant to stay.
const UNFINISHED: (&[&str], &[&str]) = (&[".multivae-", ".tmp"], &[".new", ".part", ".partial"]);

/// Builds the program of this tree, with the features that tests have, and says where it is.
pub(super) fn built() -> Result<PathBuf> {
    let mut cargo = crate::cargo();
    let status = cargo.args(["build", "--quiet", "--release"]).status().context("cargo")?;
    if !status.success() {
        bail!("the program cannot be built");
    }
    let metadata = cargo_metadata::MetadataCommand::new().no_deps().exec()?;
    let name = format!("multivae{}", std::env::consts::EXE_SUFFIX);
    Ok(metadata.target_directory.as_std_path().join("release").join(name))
}

/// How a process has ended.
pub(super) enum Ended {
    Killed,
    /// After an interrupt, as it should.
    Interrupted,
    Done,
    /// With its last lines.
    Failed(String),
}

/// A folder with small data.
pub(super) struct Place {
    folder: PathBuf,
    program: PathBuf,
}

impl Place {
    /// A new one, or one that is there.
    pub(super) fn new(folder: &Path, program: &Path) -> Result<Self> {
        let place = Self { folder: folder.to_owned(), program: program.to_owned() };
        fs::create_dir_all(place.path("data"))?;
        fs::write(place.path("data/blood.csv"), table(&["iron", "sugar", "salt"], |_, _| false))?;
        fs::write(place.path("data/gait.csv"), table(&["speed", "step"], |_, _| false))?;
        Ok(place)
    }

    /// The configuration of a model that begins so.
    pub(super) fn configure(&self, model: &str) -> Result<()> {
        let data = "[data]\nsource = \"data\"\n\n[train]\nepochs = 30\nbatch_size = 8\n";
        self.configured(model, ["blood", "gait"], data)
    }

    /// The same for images of the embedded data, with pictures after each epoch.
    pub(super) fn configure_images(&self, model: &str) -> Result<()> {
        let data = "[data]\nsource = \"mnist-labels\"\nrows = 60\n\n\
                    [train]\nepochs = 12\nbatch_size = 8\n\n[output]\npictures_every = 1\n";
        self.configured(model, ["image", "label"], data)
    }

    fn configured(&self, model: &str, modalities: [&str; 2], rest: &str) -> Result<()> {
        let networks = "encoder = { kind = \"mlp\", hidden = [6] }\n\
                        decoder = { kind = \"mlp\", hidden = [6] }\n";
        let modality = |name| format!("[[model.modalities]]\nname = \"{name}\"\n{networks}\n");
        let modalities = modalities.map(modality).concat();
        let text = format!("[model]\n{model}\n\n{modalities}{rest}");
        Ok(fs::write(self.path("small.toml"), text)?)
    }

    /// The same data with missing cells, in `holes`.
    pub(super) fn holes(&self) -> Result<()> {
        fs::create_dir_all(self.path("holes"))?;
        let hidden = |row: usize, column: usize| (row + 2 * column).is_multiple_of(5);
        fs::write(self.path("holes/blood.csv"), table(&["iron", "sugar", "salt"], hidden))?;
        Ok(fs::write(self.path("holes/gait.csv"), table(&["speed", "step"], |_, _| false))?)
    }

    /// The path of a file or folder in it.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    pub(super) fn remove(&self, name: &str) -> Result<()> {
        let path = self.path(name);
        match path.is_dir() {
            true => fs::remove_dir_all(path)?,
            false if path.exists() => fs::remove_file(path)?,
            false => {}
        }
        Ok(())
    }

    /// Copies a folder.
    pub(super) fn copy(&self, from: &str, to: &str) -> Result<()> {
        fn copy(from: &Path, to: &Path) -> Result<()> {
            fs::create_dir_all(to)?;
            for entry in fs::read_dir(from)? {
                let from = entry?.path();
                let to = to.join(from.file_name().context("an entry has a name")?);
                match from.is_dir() {
                    true => copy(&from, &to)?,
                    false => drop(fs::copy(&from, &to)?),
                }
            }
            Ok(())
        }
        copy(&self.path(from), &self.path(to))
    }

    /// All files of a folder, or a file, by their paths in it.
    pub(super) fn tree(&self, name: &str) -> Result<Tree> {
        let path = self.path(name);
        let mut files = BTreeMap::new();
        if path.is_file() {
            files.insert(PathBuf::new(), fs::read(&path)?);
        } else {
            collect(&path, &path, &mut files).with_context(|| path.display().to_string())?;
        }
        Ok(Tree(files))
    }

    /// How many unfinished files and folders lie directly in it.
    pub(super) fn left_over(&self) -> Result<usize> {
        let mut left = 0;
        for entry in fs::read_dir(&self.folder)? {
            left += usize::from(is_unfinished(&entry?.path()));
        }
        Ok(left)
    }

    /// Starts the program with arguments, which spaces separate, after `before`.
    fn start(&self, before: &[String], arguments: &str) -> Result<Process> {
        // No file, since the length of files may be limited.
        let (mut reader, writer) = std::io::pipe()?;
        let program = self.program.display().to_string();
        let mut words = before.iter().cloned().chain([program]);
        let mut command = Command::new(words.next().context("a program")?);
        command
            .args(words)
            .args(arguments.split_whitespace())
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(writer.try_clone()?)
            .stderr(writer);
        let child = command.spawn()?;
        // The command holds the writing end, too.
        drop(command);
        let output = thread::spawn(move || {
            let mut bytes = Vec::new();
            // What cannot be read is not said.
            let _ = reader.read_to_end(&mut bytes);
            String::from_utf8_lossy(&bytes).into_owned()
        });
        Ok(Process { child, output })
    }

    /// Runs the program to its end.
    pub(super) fn ends(&self, before: &[String], arguments: &str) -> Result<(ExitStatus, String)> {
        let mut process = self.start(before, arguments)?;
        match process.wait(PATIENCE)? {
            Some(status) => Ok((status, process.said())),
            None => {
                process.child.kill()?;
                process.child.wait()?;
                bail!("`{arguments}` hangs: {}", process.said());
            }
        }
    }

    pub(super) fn succeeds(&self, arguments: &str) -> Result<()> {
        let (status, said) = self.ends(&[], arguments)?;
        if !status.success() {
            bail!("`{arguments}` ends with {status}: {said}");
        }
        Ok(())
    }

    /// The exit status and the last lines; `None` if it succeeds.
    pub(super) fn fails(&self, arguments: &str) -> Result<Option<(i32, String)>> {
        let (status, said) = self.ends(&[], arguments)?;
        Ok((!status.success()).then(|| (status.code().unwrap_or(-1), said)))
    }

    /// Kills the program after some time.
    pub(super) fn killed(&self, arguments: &str, after: Duration) -> Result<Ended> {
        let mut process = self.start(&[], arguments)?;
        let status = match process.wait(after)? {
            Some(status) => status,
            None => {
                process.child.kill()?;
                process.child.wait()?
            }
        };
        Ok(Ended::of(status, process.said()))
    }

    /// Interrupts the program after some time, as Ctrl-C does.
    pub(super) fn interrupted(&self, arguments: &str, after: Duration) -> Result<Ended> {
        let mut process = self.start(&[], arguments)?;
        if let Some(status) = process.wait(after)? {
            return Ok(Ended::of(status, process.said()));
        }
        let id = process.child.id().to_string();
        // It is still there until it is waited for, even if it has ended by itself.
        Command::new("kill").args(["-INT", &id]).status()?;
        match process.wait(PATIENCE)? {
            Some(status) => Ok(Ended::of(status, process.said())),
            None => {
                process.child.kill()?;
                process.child.wait()?;
                Ok(Ended::Failed(format!("it ignores an interrupt: {}", process.said())))
            }
        }
    }
}

impl Ended {
    pub(super) fn of(status: ExitStatus, said: String) -> Self {
        match status.code() {
            Some(0) => Self::Done,
            Some(130) => Self::Interrupted,
            // By a signal.
            None => Self::Killed,
            Some(code) => Self::Failed(format!("status {code}: {said}")),
        }
    }
}

/// A process and what it says.
struct Process {
    child: Child,
    output: thread::JoinHandle<String>,
}

impl Process {
    /// Waits for its end, but not for longer than that.
    fn wait(&mut self, most: Duration) -> Result<Option<ExitStatus>> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Some(status));
            }
            let left = most.saturating_sub(start.elapsed());
            if left.is_zero() {
                return Ok(None);
            }
            thread::sleep(left.min(Duration::from_millis(2)));
        }
    }

    /// The last lines, once it has ended.
    fn said(self) -> String {
        let text = self.output.join().unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(12)..].join("\n")
    }
}

fn collect(root: &Path, folder: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        match path.is_dir() {
            true => collect(root, &path, files)?,
            false => {
                files.insert(path.strip_prefix(root)?.to_owned(), fs::read(&path)?);
            }
        }
    }
    Ok(())
}

fn is_unfinished(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    UNFINISHED.0.iter().any(|start| name.starts_with(start))
        || UNFINISHED.1.iter().any(|end| name.ends_with(end))
}

/// A CSV with a column `id` and values that depend on the row and the column; some are hidden.
fn table(columns: &[&str], hidden: impl Fn(usize, usize) -> bool) -> String {
    let mut text = format!("id,{}\n", columns.join(","));
    for row in 0..ROWS {
        let values = (0..columns.len()).map(|column| {
            let angle = row as f64 * 0.7 + column as f64;
            match hidden(row, column) {
                true => String::new(),
                false => format!("{:.3}", angle.sin() + 0.1 * (row % 3) as f64),
            }
        });
        text += &format!("p{row},{}\n", values.collect::<Vec<_>>().join(","));
    }
    text
}

/// Files with their content, by path.
pub(super) struct Tree(BTreeMap<PathBuf, Vec<u8>>);

impl Tree {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes beyond which a disk holds it all, or a limit of the length of files its largest.
    pub(super) fn room(&self, way: Way) -> usize {
        let lengths = self.0.values().map(Vec::len);
        match way {
            Way::Disk => lengths.map(|length| length.next_multiple_of(4096)).sum(),
            Way::Limit => lengths.max().unwrap_or_default(),
        }
    }

    /// The first difference, in words.
    pub(super) fn unlike(&self, other: &Self) -> Option<String> {
        let paths = self.0.keys().chain(other.0.keys());
        for path in paths {
            let shown = path.display();
            let (Some(ours), Some(theirs)) = (self.0.get(path), other.0.get(path)) else {
                let has = if other.0.contains_key(path) { "is too much" } else { "is missing" };
                return Some(format!("`{shown}` {has}"));
            };
            let checkpoint = path.extension().is_some_and(|end| end == "ckpt");
            let plain = |bytes: &[u8]| checkpoint::plain(bytes);
            let same = ours == theirs
                || checkpoint && plain(ours).is_some() && plain(ours) == plain(theirs);
            if !same {
                let at = ours.iter().zip(theirs).take_while(|(a, b)| a == b).count();
                let (a, b) = (ours.len(), theirs.len());
                return Some(format!("`{shown}` differs at byte {at}; {a} and {b} bytes"));
            }
        }
        None
    }
}

impl fmt::Display for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.0.keys().map(|path| format!("`{}`", path.display())).collect();
        f.write_str(&names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trees_differ_in_a_file_too_many_too_few_or_with_other_bytes() {
        let tree = |files: &[(&str, &str)]| {
            let files = files.iter().map(|(p, b)| (PathBuf::from(p), b.as_bytes().to_vec()));
            Tree(files.collect())
        };
        let one = tree(&[("a", "12"), ("b", "")]);
        assert_eq!(one.unlike(&tree(&[("a", "12"), ("b", "")])), None);
        for (other, part) in [
            (tree(&[("a", "12")]), "`b` is missing"),
            (tree(&[("a", "12"), ("b", ""), ("c", "")]), "`c` is too much"),
            (tree(&[("a", "13"), ("b", "")]), "`a` differs at byte 1; 2 and 2 bytes"),
        ] {
            assert_eq!(one.unlike(&other).as_deref(), Some(part));
        }
        assert_eq!((one.room(Way::Disk), one.room(Way::Limit)), (4096, 2));
    }

    #[test]
    fn what_is_not_meant_to_stay_is_known_by_its_name() {
        for name in [".multivae-x.new", "a/.tmpAb", "epoch-3.ckpt.part"] {
            assert!(is_unfinished(Path::new(name)), "{name}");
        }
        assert!(!is_unfinished(Path::new("run/epoch-3.ckpt")));
    }
}
