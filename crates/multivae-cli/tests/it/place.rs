//! A folder with small data, in which the program is started.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::OnceLock,
};

use tempfile::TempDir;

/// Rows of the small data.
pub(crate) const ROWS: usize = 40;

/// A small model: two tables, two latent features, eight hidden ones.
pub(crate) const CONFIG: &str = r#"
[model]
name = "mopoe"
latent = 2

[[model.modalities]]
name = "blood"
encoder = { kind = "mlp", hidden = [8] }
decoder = { kind = "mlp", hidden = [8] }

[[model.modalities]]
name = "gait"
encoder = { kind = "mlp", hidden = [8] }
decoder = { kind = "mlp", hidden = [8] }

[data]
source = "data"

[train]
epochs = 2
batch_size = 8
"#;

/// A folder of its own for a test.
pub(crate) struct Place(TempDir);

impl Place {
    /// With the small data in `data` and the configuration in `small.toml`.
    pub(crate) fn new() -> Self {
        let place = Self(tempfile::tempdir().expect("a temporary folder"));
        place.file("data/blood.csv", table(&["iron", "sugar", "salt"], 0..ROWS));
        place.file("data/gait.csv", table(&["speed", "step"], 0..ROWS));
        place.file("small.toml", CONFIG);
        place
    }

    /// The path of a file or folder in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> &Self {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("it lies in the place")).expect("a folder");
        fs::write(path, content).expect("a file");
        self
    }

    /// Starts the program there; arguments are separated by spaces.
    pub(crate) fn start(&self, arguments: &str) -> Child {
        self.command(arguments).spawn().expect("the program starts")
    }

    /// Runs the program there to its end.
    pub(crate) fn run(&self, arguments: &str) -> Output {
        self.command(arguments).output().expect("the program starts")
    }

    /// The program with arguments, to be run there.
    pub(crate) fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_multivae"));
        command
            .args(arguments.split_whitespace())
            .current_dir(self.0.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs the program, which must succeed; gives its standard output.
    pub(crate) fn succeeds(&self, arguments: &str) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "multivae {arguments}\n{}", error(&output));
        String::from_utf8(output.stdout).expect("text")
    }

    /// Runs the program, which must fail with the code, name all parts in its error and leave
    /// every file and folder as it was.
    pub(crate) fn fails(&self, arguments: &str, code: i32, parts: &[&str]) {
        let before = self.content();
        let output = self.run(arguments);
        let message = error(&output);
        assert_eq!(output.status.code(), Some(code), "multivae {arguments}\n{message}");
        let line = message.lines().find(|line| line.starts_with("error: "));
        assert!(line.is_some(), "multivae {arguments}\n{message}");
        for part in parts {
            assert!(message.contains(part), "multivae {arguments}\n`{part}` is not in\n{message}");
        }
        assert_eq!(self.content(), before, "multivae {arguments}");
    }

    /// All files and folders with their lengths.
    pub(crate) fn content(&self) -> Vec<(PathBuf, u64)> {
        fn add(folder: &Path, list: &mut Vec<(PathBuf, u64)>) {
            for entry in fs::read_dir(folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    list.push((path.clone(), 0));
                    add(&path, list);
                } else {
                    let length = path.metadata().expect("a file").len();
                    list.push((path, length));
                }
            }
        }
        let mut list = Vec::new();
        add(self.0.path(), &mut list);
        list.sort();
        list
    }

    /// Files that are not meant to stay.
    pub(crate) fn left_over(&self) -> Vec<PathBuf> {
        let unfinished = |path: &Path| {
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            name.starts_with(".multivae-")
                || [".new", ".partial", ".tmp"].iter().any(|end| name.ends_with(end))
        };
        self.content().into_iter().map(|(path, _)| path).filter(|path| unfinished(path)).collect()
    }
}

/// A CSV with a column `id` and values that depend on the row and the column.
pub(crate) fn table(columns: &[&str], rows: std::ops::Range<usize>) -> String {
    let mut text = format!("id,{}\n", columns.join(","));
    for row in rows {
        let values = (0..columns.len()).map(|column| {
            let angle = row as f64 * 0.7 + column as f64;
            format!("{:.3}", angle.sin() + 0.1 * (row % 3) as f64)
        });
        text += &format!("p{row},{}\n", values.collect::<Vec<_>>().join(","));
    }
    text
}

/// Standard error as text.
pub(crate) fn error(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A place with a finished run in `run`, shared by tests that only read it.
pub(crate) fn trained() -> &'static Place {
    static TRAINED: OnceLock<Place> = OnceLock::new();
    TRAINED.get_or_init(|| {
        let place = Place::new();
        place.succeeds("train --config small.toml --out run");
        place
    })
}

/// A new place with a copy of the finished run.
pub(crate) fn with_run() -> Place {
    let place = Place::new();
    for (from, _) in trained().content() {
        let inside = from.strip_prefix(trained().path("")).expect("it lies in the place");
        let to = place.path(&inside.to_string_lossy());
        if from.is_dir() {
            fs::create_dir_all(to).expect("a folder");
        } else {
            fs::copy(from, to).expect("a copy");
        }
    }
    // Its data lies where the run says, in the place of the first.
    place
}
