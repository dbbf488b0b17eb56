//! Event files in a run's folder, which TensorBoard reads.
//!
//! A run has one file in its folder `tensorboard`. When it goes on, what the file has of epochs that
//! are done anew is cut off first, since readers would show both. What was cut off by a kill is, too.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::Value as Json;

use super::{
    Ending, Failure, Point, Sink, leaves,
    records::{Message, Seen, record, records},
    text,
};
use crate::observer::{Content, Exhibit, RunInfo, Stopped};

/// The folder in that of the run.
const FOLDER: &str = "tensorboard";
/// By what readers know event files.
const MARK: &str = "tfevents";
/// Buckets of a histogram.
const BUCKETS: usize = 30;

/// Says how a session has ended, which is no longer so when it goes on.
const END: &str = "_hparams_/session_end_info";
/// Type of strings and of floats in tensors.
const STRING: u64 = 7;
const FLOAT: u64 = 1;

/// The event file of a run.
#[derive(Default)]
pub(super) struct EventFile {
    file: Option<(File, u64)>,
}

impl Sink for EventFile {
    fn start(&mut self, run: &RunInfo) -> Result<usize, Failure> {
        let folder = run.dir.join(FOLDER);
        fs::create_dir_all(&folder).map_err(|error| said(&folder, &error))?;
        let known = existing(&folder)?;
        let path = match known.first() {
            Some(path) => path.clone(),
            None => folder.join(format!("events.out.{MARK}.{}.multivae", seconds() as u64)),
        };
        let kept = Kept::of(&known, run.epochs_done)?;
        if known.len() > 1 || kept.was_cut || kept.bytes.is_empty() {
            let bytes = if kept.bytes.is_empty() { beginning(run) } else { kept.bytes };
            multivae_files::write_whole(&path, |file| file.write_all(&bytes))
                .map_err(|error: io::Error| said(&path, &error))?;
            for other in known.iter().skip(1) {
                fs::remove_file(other).map_err(|error| said(other, &error))?;
            }
        }
        let open = OpenOptions::new().write(true).open(&path);
        let file = open.map_err(|error| said(&path, &error))?;
        let length = file.metadata().map_err(|error| said(&path, &error))?.len();
        self.file = Some((file, length));
        Ok(kept.last)
    }

    fn epoch(&mut self, point: &Point) -> Result<(), Failure> {
        let scalars = point.values.iter().fold(Message::new(), |summary, (name, value)| {
            summary.message(1, Message::new().bytes(1, name).float(2, *value as f32))
        });
        self.write(event(point.time as f64 / 1000.0, point.epoch, scalars))
    }

    fn exhibit(&mut self, exhibit: &Arc<Exhibit>) -> Result<(), Failure> {
        let value = Message::new().bytes(1, &exhibit.name);
        let value = match &exhibit.content {
            Content::Png(bytes) => value.message(4, picture(bytes)?),
            Content::Values(values) => match histogram(values) {
                Some(histogram) => value.message(5, histogram),
                None => return Ok(()),
            },
        };
        self.write(event(seconds(), exhibit.epoch, Message::new().message(1, value)))
    }

    fn end(&mut self, ending: Ending) -> Result<(), Failure> {
        // Success and failure; a run that may go on is still running.
        let status = match ending {
            Ending::Stopped(Stopped::Interrupted) => return Ok(()),
            Ending::Stopped(_) => 1,
            Ending::Failed => 2,
        };
        let end = Message::new().integer(1, status).double(2, seconds());
        self.write(event(seconds(), 0, hyper_parameters(END, 4, end)))
    }
}

impl EventFile {
    /// Adds a record, all of it or nothing.
    fn write(&mut self, event: Message) -> Result<(), Failure> {
        let Some((file, length)) = &mut self.file else {
            return Err("the event file is not open".into());
        };
        let bytes = record(&event.into_bytes());
        // What an earlier failure has left would hide all that follows.
        file.set_len(*length)?;
        file.seek(SeekFrom::Start(*length))?;
        file.write_all(&bytes)?;
        file.flush()?;
        *length += bytes.len() as u64;
        Ok(())
    }
}

fn said(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    format!("`{}`: {error}", path.display()).into()
}

/// The event files of a folder, the oldest first.
fn existing(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| said(folder, &error))? {
        let path = entry.map_err(|error| said(folder, &error))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_file() && name.contains(MARK) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// What stays of files when a run goes on.
#[derive(Debug, Default)]
struct Kept {
    bytes: Vec<u8>,
    was_cut: bool,
    /// The last epoch whose values are there.
    last: usize,
}

impl Kept {
    /// Of files, up to an epoch.
    fn of(paths: &[PathBuf], epochs: usize) -> Result<Self, Failure> {
        let mut kept = Self::default();
        for path in paths {
            let bytes = fs::read(path).map_err(|error| said(path, &error))?;
            let (found, length) = records(&bytes);
            kept.was_cut |= length < bytes.len();
            for content in found {
                let Seen { step, tags } = Seen::of(content);
                if step > epochs || tags.iter().any(|tag| tag == END) {
                    kept.was_cut = true;
                    continue;
                }
                if tags.iter().any(|tag| tag.starts_with("train/")) {
                    kept.last = kept.last.max(step);
                }
                kept.bytes.extend(record(content));
            }
        }
        Ok(kept)
    }
}

fn seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

fn event(time: f64, step: usize, summary: Message) -> Message {
    Message::new().double(1, time).integer(2, step as u64).message(5, summary)
}

/// The first records: the version, and what the run is.
fn beginning(run: &RunInfo) -> Vec<u8> {
    let version = Message::new().double(1, seconds()).bytes(3, "brain.Event:2");
    let configuration = event(seconds(), 0, written(&run.configuration));
    let session = event(seconds(), 0, session(run));
    let events = [version, configuration, session];
    events.into_iter().flat_map(|event| record(&event.into_bytes())).collect()
}

/// The configuration as text.
fn written(configuration: &Json) -> Message {
    let json = serde_json::to_string_pretty(configuration).expect("plain data");
    let plugin = Message::new().bytes(1, "text");
    // A tensor, as all that is neither scalar nor sound nor image.
    let metadata = Message::new().message(1, plugin).integer(4, 2);
    let shape = Message::new().message(2, Message::new().integer(1, 1));
    let content = format!("```json\n{json}\n```");
    let tensor = Message::new().integer(1, STRING).message(2, shape).bytes(8, content);
    let value = Message::new()
        .bytes(1, "configuration/text_summary")
        .message(8, tensor)
        .message(9, metadata);
    Message::new().message(1, value)
}

/// A value for the plugin of hyper-parameters, whose data are of the kind `field`.
fn hyper_parameters(tag: &str, field: u64, data: Message) -> Message {
    let content = Message::new().message(field, data);
    let plugin = Message::new().bytes(1, "hparams").bytes(2, content.into_bytes());
    let metadata = Message::new().message(1, plugin);
    // It demands a tensor, and reads none.
    let none = Message::new().integer(1, FLOAT).message(2, Message::new()).bytes(5, [0; 4]);
    let value = Message::new().bytes(1, tag).message(8, none).message(9, metadata);
    Message::new().message(1, value)
}

/// The hyper-parameters: leaves of the configuration.
fn session(run: &RunInfo) -> Message {
    let mut start = Message::new();
    for (name, leaf) in leaves(&run.configuration) {
        let value = match &leaf {
            Json::Null => continue,
            Json::Bool(value) => Message::new().integer(4, u64::from(*value)),
            Json::Number(value) => Message::new().double(2, value.as_f64().unwrap_or(f64::NAN)),
            leaf => Message::new().bytes(3, text(leaf)),
        };
        start = start.message(1, Message::new().bytes(1, name).message(2, value));
    }
    hyper_parameters("_hparams_/session_start_info", 3, start.double(5, seconds()))
}

/// An image of a summary.
fn picture(png: &[u8]) -> Result<Message, Failure> {
    // Width and height stand first in the first chunk.
    let size = png.get(16..24).filter(|_| png.starts_with(b"\x89PNG")).map(|bytes| {
        let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four"));
        (number(0), number(4))
    });
    let Some((width, height)) = size else { return Err("a picture is no PNG".into()) };
    // Of the colours the reader asks the file.
    let sizes = Message::new().integer(1, height.into()).integer(2, width.into()).integer(3, 3);
    Ok(sizes.bytes(4, png))
}

/// A histogram of the finite values; `None` if there are none.
fn histogram(values: &[f32]) -> Option<Message> {
    let finite: Vec<f64> = values.iter().map(|&x| f64::from(x)).filter(|x| x.is_finite()).collect();
    let low = finite.iter().copied().reduce(f64::min)?;
    let high = finite.iter().copied().reduce(f64::max)?;
    let buckets = if low < high { BUCKETS } else { 1 };
    let width = (high - low) / buckets as f64;
    let mut counts = vec![0.0; buckets];
    for value in &finite {
        let bucket = if width > 0.0 { ((value - low) / width) as usize } else { 0 };
        counts[bucket.min(buckets - 1)] += 1.0;
    }
    let limits = (1..=buckets).map(|i| if i == buckets { high } else { low + width * i as f64 });
    let message = Message::new()
        .double(1, low)
        .double(2, high)
        .double(3, finite.len() as f64)
        .double(4, finite.iter().sum())
        .double(5, finite.iter().map(|x| x * x).sum())
        .doubles(6, limits)
        .doubles(7, counts.into_iter());
    Some(message)
}

#[cfg(test)]
mod tests {
    use super::{
        super::records::{Value, fields},
        *,
    };

    fn run(dir: &Path, epochs_done: usize) -> RunInfo {
        RunInfo {
            dir: dir.into(),
            configuration: serde_json::json!({ "model": { "name": "mvae", "latent": 2 } }),
            modalities: vec!["a".into()],
            epochs: 9,
            epochs_done,
            rows: 4,
            validation_rows: 0,
            seed: 0,
            parameters: 1,
        }
    }

    fn point(epoch: usize) -> Point {
        let values = vec![("train/loss".to_owned(), epoch as f64), ("valid/kl".into(), f64::NAN)];
        Point { epoch, values, time: 1_700_000_000_000 }
    }

    /// Steps and tags in the file.
    fn seen(dir: &Path) -> Vec<Seen> {
        let files = existing(&dir.join(FOLDER)).expect("a folder");
        assert_eq!(files.len(), 1);
        let bytes = fs::read(&files[0]).expect("a file");
        let (found, length) = records(&bytes);
        assert_eq!(length, bytes.len(), "no record is damaged");
        found.into_iter().map(Seen::of).collect()
    }

    fn steps(dir: &Path) -> Vec<usize> {
        let scalars = |seen: &Seen| seen.tags.iter().any(|tag| tag == "train/loss");
        seen(dir).into_iter().filter(scalars).map(|seen| seen.step).collect()
    }

    #[test]
    fn a_run_that_goes_on_has_each_step_once() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut file = EventFile::default();
        assert_eq!(file.start(&run(dir.path(), 0)).expect("it can be written"), 0);
        for epoch in 1..=5 {
            file.epoch(&point(epoch)).expect("it can be written");
        }
        file.end(Ending::Stopped(Stopped::Finished)).expect("it can be written");
        assert_eq!(seen(dir.path()).last().expect("records").tags, [END]);
        // The run goes on from epoch 3.
        let mut file = EventFile::default();
        assert_eq!(file.start(&run(dir.path(), 3)).expect("it can be written"), 3);
        assert_eq!(steps(dir.path()), [1, 2, 3]);
        file.epoch(&point(4)).expect("it can be written");
        assert_eq!(steps(dir.path()), [1, 2, 3, 4]);
        let tags: Vec<_> = seen(dir.path()).into_iter().flat_map(|seen| seen.tags).collect();
        let expected = ["configuration/text_summary", "_hparams_/session_start_info"];
        assert_eq!(tags[..2], expected);
        assert!(!tags.iter().any(|tag| tag == END));
        assert_eq!(tags.iter().filter(|tag| *tag == expected[0]).count(), 1);
    }

    #[test]
    fn a_tracker_that_came_late_says_what_it_lacks() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut file = EventFile::default();
        file.start(&run(dir.path(), 0)).expect("it can be written");
        file.epoch(&point(1)).expect("it can be written");
        let mut file = EventFile::default();
        assert_eq!(file.start(&run(dir.path(), 4)).expect("it can be written"), 1);
    }

    #[test]
    fn a_file_that_was_cut_off_anywhere_goes_on() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut file = EventFile::default();
        file.start(&run(dir.path(), 0)).expect("it can be written");
        file.epoch(&point(1)).expect("it can be written");
        file.epoch(&point(2)).expect("it can be written");
        let path = existing(&dir.path().join(FOLDER)).expect("a folder").remove(0);
        let whole = fs::read(&path).expect("a file");
        for end in 0..whole.len() {
            fs::write(&path, &whole[..end]).expect("a file");
            let mut file = EventFile::default();
            let last = file.start(&run(dir.path(), 2)).expect("it can be written");
            for epoch in last + 1..=3 {
                file.epoch(&point(epoch)).expect("it can be written");
            }
            assert_eq!(steps(dir.path()), [1, 2, 3], "{end}");
        }
    }

    #[test]
    fn histograms_count_finite_values() {
        let field = |message: Message, number: u64| {
            let bytes = message.into_bytes();
            let found = fields(&bytes).into_iter().find(|(field, _)| *field == number);
            match found.expect("it is there").1 {
                Value::Eight(bytes) => vec![f64::from_le_bytes(bytes)],
                Value::Bytes(bytes) => {
                    bytes.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)).collect()
                }
                other => panic!("{other:?}"),
            }
        };
        let values = [0.0, 3.0, f32::NAN, 1.5, 3.0];
        let message = histogram(&values).expect("finite values");
        let counts = field(message.clone(), 7);
        assert_eq!((counts.len(), counts.iter().sum::<f64>()), (30, 4.0));
        assert_eq!((counts[0], counts[15], counts[29]), (1.0, 1.0, 2.0));
        assert_eq!(field(message.clone(), 3), [4.0]);
        assert_eq!(field(message.clone(), 4), [7.5]);
        assert_eq!(field(message, 6).last(), Some(&3.0));
        assert!(histogram(&[f32::NAN]).is_none());
        assert_eq!(field(histogram(&[2.0, 2.0]).expect("finite values"), 7), [2.0]);
    }

    #[test]
    fn a_picture_says_its_size() {
        let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
        png.extend([0, 0, 0, 7, 0, 0, 0, 5, 8, 2, 0, 0, 0]);
        let bytes = picture(&png).expect("a PNG").into_bytes();
        let found = fields(&bytes);
        assert_eq!(found[..2], [(1, Value::Integer(5)), (2, Value::Integer(7))]);
        assert!(picture(b"GIF89a").is_err());
    }
}
