//! What was measured, epoch by epoch.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    ops::RangeBounds,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Result, TrainError, collective::Collective, split::Split};

/// Loss terms of all epochs, in memory and as a file of JSON lines.
///
/// Values are means over the rows of the epoch, in nats. Clones show the same history.
///
/// A line of the file is
/// `{"epoch":1,"split":"train","terms":{"loss":..,"kl":..},"rate":0.001}`, where `rate` is the
/// learning rate of the epoch's last step, on training lines only. Numbers that are not finite are
/// `null`.
#[derive(Clone, Debug)]
pub struct History {
    path: PathBuf,
    /// Whether there is a file: of several ranks, only the first has one.
    written: bool,
    epochs: Arc<Mutex<BTreeMap<(usize, Split), Line>>>,
}

/// One line of the file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) epoch: usize,
    pub(crate) split: Split,
    pub(crate) terms: Map<String, Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rate: Option<f64>,
}

impl History {
    /// Reads a file of a run; no file is an empty history.
    ///
    /// # Errors
    ///
    /// [`TrainError::File`].
    pub fn read(path: &Path) -> Result<Self> {
        let text = match fs::read_to_string(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            text => text.map_err(|error| TrainError::file(path, error))?,
        };
        Ok(Self::of(path, &text, true))
    }

    /// The lines of a text; those that come later are written to a file or not.
    fn of(path: &Path, text: &str, written: bool) -> Self {
        // A line that was cut by a kill belongs to an epoch that is repeated.
        let lines = text.lines().filter_map(|line| match serde_json::from_str::<Line>(line) {
            Ok(line) => Some(line),
            Err(error) => {
                tracing::warn!("`{}`: a line is left out: {error}", path.display());
                None
            }
        });
        let epochs = lines.map(|line| ((line.epoch, line.split), line)).collect();
        Self { path: path.into(), written, epochs: Arc::new(Mutex::new(epochs)) }
    }

    /// The same lines on all ranks, those of the first, which writes on; it has read them.
    pub(crate) fn shared(ranks: &dyn Collective, path: &Path, read: Option<Self>) -> Result<Self> {
        let mut text = read.as_ref().map_or_else(String::new, Self::text).into_bytes();
        ranks.share(&mut text, 0)?;
        Ok(read.unwrap_or_else(|| Self::of(path, &String::from_utf8_lossy(&text), false)))
    }

    fn text(&self) -> String {
        self.lines().values().map(Line::text).collect()
    }

    /// A value.
    pub fn get(&self, epoch: usize, split: Split, term: &str) -> Option<f64> {
        number(self.lines().get(&(epoch, split))?.terms.get(term)?)
    }

    /// All terms of an epoch in the model's order, the total first; none if there are none.
    pub fn terms(&self, epoch: usize, split: Split) -> Vec<(String, f64)> {
        let lines = self.lines();
        let Some(line) = lines.get(&(epoch, split)) else { return Vec::new() };
        line.terms.iter().filter_map(|(name, v)| Some((name.clone(), number(v)?))).collect()
    }

    /// The learning rate of the last step of an epoch.
    pub fn rate(&self, epoch: usize) -> Option<f64> {
        self.lines().get(&(epoch, Split::Train))?.rate
    }

    /// Number of the last epoch, 0 if there is none.
    pub fn last_epoch(&self) -> usize {
        self.lines().keys().next_back().map_or(0, |(epoch, _)| *epoch)
    }

    /// The epoch among `epochs` with the lowest value of a term, the first of several.
    ///
    /// Values that are not finite do not count.
    pub fn best(&self, term: &str, split: Split, epochs: impl RangeBounds<usize>) -> Option<usize> {
        let values = self.values(term, split, epochs);
        values.into_iter().min_by(|a, b| a.1.total_cmp(&b.1)).map(|(epoch, _)| epoch)
    }

    /// Finite values of a term, by epoch.
    pub(crate) fn values(
        &self,
        term: &str,
        split: Split,
        epochs: impl RangeBounds<usize>,
    ) -> Vec<(usize, f64)> {
        let lines = self.lines();
        let wanted = lines.values().filter(|l| l.split == split && epochs.contains(&l.epoch));
        wanted
            .filter_map(|line| Some((line.epoch, number(line.terms.get(term)?)?)))
            .filter(|(_, value)| value.is_finite())
            .collect()
    }

    /// Forgets all after an epoch, in the file too.
    pub(crate) fn cut(&self, epoch: usize) -> Result<()> {
        let mut lines = self.lines();
        lines.retain(|(e, _), _| *e <= epoch);
        drop(lines);
        if !self.written {
            return Ok(());
        }
        let text = self.text();
        if fs::read_to_string(&self.path).is_ok_and(|found| found == text) {
            return Ok(());
        }
        let error = |e| TrainError::file(&self.path, e);
        multivae_files::write_whole(&self.path, |file| file.write_all(text.as_bytes()))
            .map_err(error)
    }

    /// Where the file is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a line to the file.
    pub(crate) fn add(&self, line: Line) -> std::io::Result<()> {
        let text = line.text();
        // Read back, so that a run sees the numbers that its continuation will see.
        let line = serde_json::from_str::<Line>(&text)?;
        self.lines().insert((line.epoch, line.split), line);
        if !self.written {
            return Ok(());
        }
        let mut file = fs::OpenOptions::new().append(true).create(true).open(&self.path)?;
        file.write_all(text.as_bytes())?;
        file.sync_data()
    }

    fn lines(&self) -> MutexGuard<'_, BTreeMap<(usize, Split), Line>> {
        self.epochs.lock().expect("no thread panics while it holds the history")
    }
}

impl Line {
    fn text(&self) -> String {
        serde_json::to_string(self).expect("numbers and names") + "\n"
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Null => Some(f64::NAN),
        value => value.as_f64(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(epoch: usize, split: Split, loss: f64) -> Line {
        let terms = [("loss".to_owned(), Value::from(loss)), ("kl".to_owned(), Value::from(0.1))];
        Line { epoch, split, terms: terms.into_iter().collect(), rate: None }
    }

    fn history() -> (tempfile::TempDir, History) {
        let dir = tempfile::tempdir().expect("a folder");
        let history = History::read(&dir.path().join("metrics.jsonl")).expect("empty");
        for (epoch, loss) in [(1, 3.0), (2, 1.0 / 3.0), (3, f64::NAN), (4, 1.0 / 3.0), (5, 9.0)] {
            history.add(line(epoch, Split::Train, -1.0)).expect("written");
            history.add(line(epoch, Split::Valid, loss)).expect("written");
        }
        (dir, history)
    }

    #[test]
    fn the_best_epoch_is_the_first_lowest_finite_one_in_the_range() {
        let (_dir, history) = history();
        assert_eq!(history.best("loss", Split::Valid, ..), Some(2));
        assert_eq!(history.best("loss", Split::Valid, 3..), Some(4));
        assert_eq!(history.best("loss", Split::Valid, 3..=3), None);
        assert_eq!(history.best("nothing", Split::Valid, ..), None);
    }

    #[test]
    fn a_file_reads_back_the_same_numbers() {
        let (_dir, history) = history();
        let again = History::read(&history.path).expect("readable");
        assert_eq!(again.get(2, Split::Valid, "loss"), history.get(2, Split::Valid, "loss"));
        assert!(again.get(3, Split::Valid, "loss").is_some_and(f64::is_nan));
        assert_eq!(again.terms(1, Split::Train), [("loss".into(), -1.0), ("kl".into(), 0.1)]);
        assert_eq!(again.last_epoch(), 5);
    }

    #[test]
    fn cutting_leaves_whole_lines_only() {
        let (_dir, history) = history();
        let mut file = fs::OpenOptions::new().append(true).open(&history.path).expect("exists");
        file.write_all(b"{\"epoch\":6,\"spl").expect("written");
        let again = History::read(&history.path).expect("readable");
        again.cut(2).expect("written");
        let text = fs::read_to_string(&history.path).expect("readable");
        assert_eq!(text.lines().count(), 4, "{text}");
        assert!(text.ends_with("}\n"));
    }
}
