//! Checkpoints: one file an epoch, whole or absent.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use burn::{
    module::Module,
    store::ModuleRecord,
    tensor::Bytes,
    train::checkpoint::{Checkpoint as Record, Checkpointer, CheckpointerError},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    Result, TrainError,
    collective::{Collective, agree},
    context::Context,
    observer::Artifact,
};

/// Folder of the checkpoints in a run's directory.
pub(crate) const CHECKPOINTS: &str = "checkpoints";

/// How a file begins.
const MAGIC: &str = "multivae-checkpoint";

/// The version of the format that is written, and the newest that is read.
const VERSION: u32 = 1;

/// Names of the records of burn-train.
pub(crate) const MODEL: &str = "model";
pub(crate) const OPTIMIZER: &str = "optimizer";
pub(crate) const SCHEDULER: &str = "scheduler";

/// How many records of an epoch come from burn-train.
const RECORDS: usize = 3;

/// Name of the record of the optimiser of a phase after the first.
pub(crate) fn optimizer_of(phase: &str) -> String {
    format!("{OPTIMIZER}/{phase}")
}

/// Records by name.
pub(crate) type Parts = BTreeMap<String, Bytes>;

/// What a run must have in common with the one it continues.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Fingerprint {
    pub(crate) seed: u64,
    pub(crate) batch_size: usize,
    pub(crate) accumulate: usize,
    pub(crate) rows: usize,
    pub(crate) validation_rows: usize,
    pub(crate) modalities: Vec<String>,
    pub(crate) optimizer: String,
    /// Kinds of the optimisers that the settings name for phases.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) phases: BTreeMap<String, String>,
}

impl Fingerprint {
    fn phase_optimizers(&self) -> String {
        let each: Vec<String> = self.phases.iter().map(|(p, kind)| format!("{p} {kind}")).collect();
        if each.is_empty() { "those of the run".into() } else { each.join(", ") }
    }

    /// # Errors
    ///
    /// [`TrainError::Config`] with the first field that differs.
    pub(crate) fn check(&self, now: &Self) -> Result<()> {
        let fields = |f: &Self| {
            [
                ("seed", f.seed.to_string()),
                ("batch_size", f.batch_size.to_string()),
                ("accumulate", f.accumulate.to_string()),
                ("optimizer.name", f.optimizer.clone()),
                ("optimisers of phases", f.phase_optimizers()),
                ("modalities", f.modalities.join(", ")),
                ("training rows", f.rows.to_string()),
                ("validation rows", f.validation_rows.to_string()),
            ]
        };
        for ((field, before), (_, now)) in fields(self).into_iter().zip(fields(now)) {
            if before != now {
                return Err(TrainError::config(
                    field,
                    format!("{before} as in the run so far"),
                    now,
                ));
            }
        }
        Ok(())
    }
}

/// What a file says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Header {
    /// Epochs done.
    pub(crate) epoch: usize,
    /// The epoch after which its stage began.
    pub(crate) stage_start: usize,
    /// The best epoch of the stage so far.
    pub(crate) best: Option<usize>,
    /// What the run is; `None` of weights that were trained elsewhere.
    #[serde(default)]
    pub(crate) run: Option<Fingerprint>,
    /// Names and lengths of the records that follow.
    #[serde(default)]
    parts: Vec<(String, usize)>,
}

impl Header {
    pub(crate) fn new(
        epoch: usize,
        stage_start: usize,
        best: Option<usize>,
        run: Fingerprint,
    ) -> Self {
        Self { epoch, stage_start, best, run: Some(run), parts: Vec::new() }
    }

    /// Of weights that no run of ours has trained.
    fn foreign() -> Self {
        Self { epoch: 0, stage_start: 0, best: None, run: None, parts: Vec::new() }
    }
}

/// A checkpoint that was read and found intact.
///
/// The file is a line `multivae-checkpoint VERSION SHA256` over everything after it, a line of
/// JSON, and the records of the model, the optimisers and the learning rate one after the other.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    path: PathBuf,
    pub(crate) header: Header,
    pub(crate) parts: Parts,
}

impl Checkpoint {
    /// Reads a file and checks it whole.
    ///
    /// # Errors
    ///
    /// [`TrainError::Checkpoint`] if it cannot be read, is damaged, cut, something else or of a
    /// newer version; the error names the newest intact file beside it.
    pub fn read(path: &Path) -> Result<Self> {
        Self::try_read(path).map_err(|reason| Self::error(path, reason))
    }

    /// The newest checkpoint of a run's directory; `None` if there is none.
    ///
    /// # Errors
    ///
    /// As [`Checkpoint::read`]: a damaged newest file is not passed over in silence.
    pub fn newest(dir: &Path) -> Result<Option<Self>> {
        match list(&dir.join(CHECKPOINTS))?.pop() {
            Some((_, path)) => Self::read(&path).map(Some),
            None => Ok(None),
        }
    }

    /// The same checkpoint on all ranks, by the bytes that the first one finds in the file which it has
    /// read: the others need not see the file, nor may they see an older state of its folder.
    pub(crate) fn shared(ranks: &dyn Collective, read: Option<Self>) -> Result<Option<Self>> {
        if !ranks.is_several() {
            return Ok(read);
        }
        let bytes = match &read {
            Some(found) => fs::read(&found.path).map_err(|e| TrainError::file(&found.path, e)),
            None => Ok(Vec::new()),
        };
        let mut bytes = agree(ranks, bytes)?;
        let path = read.as_ref().map_or_else(PathBuf::new, |found| found.path.clone());
        let mut path = path.to_string_lossy().into_owned().into_bytes();
        ranks.share(&mut path, 0)?;
        ranks.share(&mut bytes, 0)?;
        if read.is_some() || bytes.is_empty() {
            return Ok(read);
        }
        let path = PathBuf::from(String::from_utf8_lossy(&path).into_owned());
        match Self::of(&path, &bytes) {
            Ok(found) => Ok(Some(found)),
            Err(reason) => Err(TrainError::Checkpoint { path, reason, previous: None }),
        }
    }

    /// The epoch after which it was written.
    pub fn epoch(&self) -> usize {
        self.header.epoch
    }

    /// Where it was read.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The best epoch of its stage at that time.
    pub fn best(&self) -> Option<usize> {
        self.header.best
    }

    /// Puts its weights into a model of the same architecture.
    ///
    /// # Errors
    ///
    /// [`TrainError::Checkpoint`] if the weights are of another model.
    pub fn model<M: Module>(&self, model: M) -> Result<M> {
        Self::weights(&self.parts, model, &self.path)
    }

    /// Puts the weights among the records of the file at `path` into a model.
    pub(crate) fn weights<M: Module>(parts: &Parts, model: M, path: &Path) -> Result<M> {
        let refuse = |reason: String| Self::error(path, reason);
        let bytes = parts.get(MODEL).ok_or_else(|| refuse("holds no model".into()))?;
        let record =
            ModuleRecord::from_bytes(bytes.clone()).map_err(|error| refuse(error.to_string()))?;
        model
            .try_load_record(record)
            .map_err(|error| refuse(format!("does not fit the model: {error}")))
    }

    fn error(path: &Path, reason: String) -> TrainError {
        let folder = path.parent().unwrap_or(Path::new("."));
        // Without a readable folder there is nothing to offer.
        let previous = newest_intact_but(folder, Some(path)).ok().flatten();
        TrainError::Checkpoint { path: path.into(), reason, previous }
    }

    fn try_read(path: &Path) -> Result<Self, String> {
        let bytes = fs::read(path).map_err(|error| error.to_string())?;
        Self::of(path, &bytes)
    }

    /// Out of the bytes of a file.
    fn of(path: &Path, bytes: &[u8]) -> Result<Self, String> {
        let foreign = || "is not a checkpoint of multivae".to_owned();
        let (first, body) = line(bytes).ok_or_else(foreign)?;
        let mut words = std::str::from_utf8(first).map_err(|_| foreign())?.split(' ');
        if words.next() != Some(MAGIC) {
            return Err(foreign());
        }
        let version: u32 = words.next().and_then(|word| word.parse().ok()).ok_or_else(foreign)?;
        if version > VERSION {
            return Err(format!(
                "has format version {version}, and this program reads up to {VERSION}"
            ));
        }
        let sum = words.next().ok_or_else(foreign)?;
        if hex(&Sha256::digest(body)) != sum {
            return Err("is damaged or cut: its checksum does not match".into());
        }
        let broken = |what: &str| format!("has a header that cannot be read: {what}");
        let (header, mut rest) = line(body).ok_or_else(|| broken("no end"))?;
        let header: Header =
            serde_json::from_slice(header).map_err(|error| broken(&error.to_string()))?;
        let mut parts = Parts::new();
        for (name, length) in &header.parts {
            let (part, after) =
                rest.split_at_checked(*length).ok_or_else(|| broken("too few bytes"))?;
            parts.insert(name.clone(), Bytes::from_bytes_vec(part.to_vec()));
            rest = after;
        }
        Ok(Self { path: path.into(), header, parts })
    }
}

/// The newest intact checkpoint of a run's directory.
///
/// # Errors
///
/// [`TrainError::File`] if the directory cannot be read.
pub fn latest_intact(dir: &Path) -> Result<Option<PathBuf>> {
    newest_intact_but(&dir.join(CHECKPOINTS), None)
}

/// Makes a run's directory of weights that were trained elsewhere: its only checkpoint is of epoch
/// 0 and holds the model. [`load_best`](crate::load_best) reads it; no training goes on from it.
///
/// # Errors
///
/// [`TrainError::File`], [`TrainError::Checkpoint`]; [`TrainError::Occupied`] if the directory
/// holds checkpoints.
pub fn save_weights<M: Module>(dir: &Path, model: &M) -> Result<()> {
    if !list(&dir.join(CHECKPOINTS))?.is_empty() {
        return Err(TrainError::Occupied(dir.into()));
    }
    let checkpoints = Checkpoints::open(dir, 1)?;
    let header = Header::foreign();
    let refuse = |reason: String| Checkpoint::error(&checkpoints.path(header.epoch), reason);
    let bytes =
        model.clone().into_record().into_bytes().map_err(|error| refuse(error.to_string()))?;
    let parts = Parts::from([(MODEL.to_owned(), bytes)]);
    checkpoints.write(header, &parts)
}

/// A file that is being written.
pub(crate) trait Sink: Write {
    /// Waits until the disk has it all.
    fn sync(&mut self) -> io::Result<()>;
}

impl Sink for fs::File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_all()
    }
}

/// How a file is made; tests make files that fail.
pub(crate) type Create = fn(&Path) -> io::Result<Box<dyn Sink>>;

/// A folder of checkpoints.
#[derive(Clone, Debug)]
pub(crate) struct Checkpoints {
    folder: PathBuf,
    /// How many of the newest stay.
    keep_last: usize,
    create: Create,
}

impl Checkpoints {
    /// Makes the folder of a run's directory, and removes what a killed run left half-written.
    ///
    /// # Errors
    ///
    /// [`TrainError::File`].
    pub(crate) fn open(dir: &Path, keep_last: usize) -> Result<Self> {
        let folder = &dir.join(CHECKPOINTS);
        let error = |error| TrainError::file(folder, error);
        fs::create_dir_all(folder).map_err(error)?;
        for entry in fs::read_dir(folder).map_err(error)? {
            let path = entry.map_err(error)?.path();
            if path.to_string_lossy().ends_with(".ckpt.part") {
                fs::remove_file(&path).map_err(error)?;
            }
        }
        let create: Create = |path| Ok(Box::new(fs::File::create(path)?));
        Ok(Self { folder: folder.into(), keep_last, create })
    }

    /// The folder of a run's directory for a rank that does not write.
    pub(crate) fn elsewhere(dir: &Path, keep_last: usize) -> Self {
        let create: Create = |_| Err(io::Error::other("the first rank writes"));
        Self { folder: dir.join(CHECKPOINTS), keep_last, create }
    }

    pub(crate) fn path(&self, epoch: usize) -> PathBuf {
        self.folder.join(format!("epoch-{epoch}.ckpt"))
    }

    /// Writes a file beside and renames it; then removes those that are no longer kept.
    ///
    /// # Errors
    ///
    /// [`TrainError::Checkpoint`]; nothing half-written is left.
    pub(crate) fn write(&self, header: Header, parts: &Parts) -> Result<()> {
        let path = self.path(header.epoch);
        let (epoch, best) = (header.epoch, header.best);
        if let Err(error) = self.try_write(&path, header, parts) {
            // What was written of it is of no use, and takes room.
            let _ = fs::remove_file(beside(&path));
            return Err(Checkpoint::error(&path, format!("cannot be written: {error}")));
        }
        self.prune(epoch, best);
        Ok(())
    }

    fn try_write(&self, path: &Path, mut header: Header, parts: &Parts) -> io::Result<()> {
        header.parts = parts.iter().map(|(name, part)| (name.clone(), part.len())).collect();
        let mut head = serde_json::to_vec(&header)?;
        head.push(b'\n');
        let mut sum = Sha256::new();
        sum.update(&head);
        parts.values().for_each(|part| sum.update(&part[..]));
        let beside = beside(path);
        let mut file = (self.create)(&beside)?;
        file.write_all(format!("{MAGIC} {VERSION} {}\n", hex(&sum.finalize())).as_bytes())?;
        file.write_all(&head)?;
        for part in parts.values() {
            file.write_all(part)?;
        }
        file.flush()?;
        file.sync()?;
        drop(file);
        fs::rename(&beside, path)?;
        // The new name is on the disk only after its folder is. Not all systems open folders.
        match fs::File::open(&self.folder) {
            Ok(folder) if cfg!(unix) => folder.sync_all(),
            _ => Ok(()),
        }
    }

    /// Removes all but the newest up to an epoch and the best. A file that stays costs room and
    /// nothing else.
    pub(crate) fn prune(&self, epoch: usize, best: Option<usize>) {
        let mut all = list(&self.folder).unwrap_or_default();
        all.retain(|(e, _)| *e <= epoch);
        let old = all.len().saturating_sub(self.keep_last);
        for (e, path) in all.drain(..old) {
            if Some(e) != best
                && let Err(error) = fs::remove_file(&path)
            {
                tracing::warn!("`{}` cannot be removed: {error}", path.display());
            }
        }
    }
}

/// Collects the records of an epoch, three of which come on threads of burn-train, into one file.
pub(crate) struct Collector {
    checkpoints: Checkpoints,
    context: Arc<Context>,
    /// What the launch starts from.
    start: Mutex<Parts>,
    arrived: Mutex<BTreeMap<usize, Expected>>,
}

/// The records of an epoch, as far as they have come.
struct Expected {
    header: Header,
    parts: Parts,
    /// How many are still to come from burn-train.
    left: usize,
}

impl Collector {
    pub(crate) fn new(checkpoints: Checkpoints, context: Arc<Context>, start: Parts) -> Arc<Self> {
        let (start, arrived) = (Mutex::new(start), Mutex::default());
        Arc::new(Self { checkpoints, context, start, arrived })
    }

    /// Says what the header of an epoch is, and what the optimisers of later phases hold, before
    /// burn-train's records come.
    pub(crate) fn announce(&self, header: Header, optimizers: Vec<(String, Bytes)>) {
        let named = |(phase, bytes): (String, Bytes)| (optimizer_of(&phase), bytes);
        let parts = optimizers.into_iter().map(named).collect();
        let mut arrived = self.arrived.lock().expect("no thread panics while it holds the parts");
        arrived.insert(header.epoch, Expected { header, parts, left: RECORDS });
    }

    fn take(&self, epoch: usize, name: &str, bytes: Bytes) -> Result<()> {
        let mut arrived = self.arrived.lock().expect("no thread panics while it holds the parts");
        let expected = arrived.get_mut(&epoch).expect("announced before its records");
        expected.parts.insert(name.to_owned(), bytes);
        expected.left -= 1;
        if expected.left > 0 {
            return Ok(());
        }
        let Expected { header, parts, .. } = arrived.remove(&epoch).expect("just filled");
        // The other threads may go on while this one writes.
        drop(arrived);
        let path = self.checkpoints.path(header.epoch);
        self.checkpoints.write(header, &parts)?;
        let observers = &self.context.observers;
        observers.each(|observer| observer.artifact(&path, Artifact::Checkpoint));
        Ok(())
    }
}

/// One of the three checkpointers of burn-train.
pub(crate) struct Part {
    pub(crate) collector: Arc<Collector>,
    pub(crate) name: &'static str,
}

impl<R: Record> Checkpointer<R> for Part {
    fn save(&self, epoch: usize, record: R) -> Result<(), CheckpointerError> {
        let bytes = record.checkpoint_into_bytes().map_err(CheckpointerError::Record)?;
        self.collector.take(epoch, self.name, bytes).map_err(|error| {
            let message = CheckpointerError::Unknown(error.to_string());
            self.collector.context.fail(error);
            message
        })
    }

    /// Files are removed when a newer one is on the disk, not when burn-train asks.
    fn delete(&self, _: usize) -> Result<(), CheckpointerError> {
        Ok(())
    }

    fn restore(&self, epoch: usize) -> Result<R, CheckpointerError> {
        let mut start =
            self.collector.start.lock().expect("no thread panics while it holds the parts");
        let bytes = start.remove(self.name).ok_or_else(|| {
            CheckpointerError::Unknown(format!("epoch {epoch} has no {} record", self.name))
        })?;
        R::checkpoint_from_bytes(bytes).map_err(CheckpointerError::Record)
    }
}

/// Checkpoints of a folder, by epoch.
fn list(folder: &Path) -> Result<Vec<(usize, PathBuf)>> {
    let error = |error| TrainError::file(folder, error);
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(error)?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(error)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let number = name.strip_prefix("epoch-").and_then(|rest| rest.strip_suffix(".ckpt"));
        if let Some(epoch) = number.and_then(|number| number.parse().ok()) {
            found.push((epoch, path));
        }
    }
    found.sort();
    Ok(found)
}

fn newest_intact_but(folder: &Path, path: Option<&Path>) -> Result<Option<PathBuf>> {
    let mut paths = list(folder)?.into_iter().rev().map(|(_, path)| path);
    Ok(paths.find(|other| Some(other.as_path()) != path && Checkpoint::try_read(other).is_ok()))
}

/// Where a file is written before it is renamed.
fn beside(path: &Path) -> PathBuf {
    path.with_extension("ckpt.part")
}

/// The bytes before and after the first line break.
fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|&b| b == b'\n')?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(epoch: usize, best: Option<usize>) -> Header {
        let run = Fingerprint {
            seed: 1,
            batch_size: 2,
            accumulate: 1,
            rows: 3,
            validation_rows: 4,
            modalities: vec!["a".into()],
            optimizer: "adam".into(),
            phases: BTreeMap::new(),
        };
        Header::new(epoch, 0, best, run)
    }

    fn parts() -> Parts {
        [(MODEL, 300), (OPTIMIZER, 0), (SCHEDULER, 5)]
            .map(|(name, n)| {
                let bytes = (0..n).map(|i| i as u8).collect();
                (name.to_owned(), Bytes::from_bytes_vec(bytes))
            })
            .into()
    }

    fn checkpoints() -> (tempfile::TempDir, Checkpoints) {
        let dir = tempfile::tempdir().expect("a folder");
        let checkpoints = Checkpoints::open(dir.path(), 2).expect("made");
        (dir, checkpoints)
    }

    fn names(checkpoints: &Checkpoints) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(&checkpoints.folder)
            .expect("exists")
            .map(|entry| entry.expect("entry").file_name().into_string().expect("text"))
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_checkpoint_reads_back_what_was_written() {
        let (dir, checkpoints) = checkpoints();
        checkpoints.write(header(7, Some(7)), &parts()).expect("written");
        let found = Checkpoint::newest(dir.path()).expect("intact").expect("there is one");
        assert_eq!((found.epoch(), found.best()), (7, Some(7)));
        assert_eq!(found.parts, parts());
    }

    #[test]
    fn only_the_newest_and_the_best_stay() {
        let (_dir, checkpoints) = checkpoints();
        for epoch in 1..=5 {
            checkpoints.write(header(epoch, Some(epoch.min(2))), &parts()).expect("written");
        }
        assert_eq!(names(&checkpoints), ["epoch-2.ckpt", "epoch-4.ckpt", "epoch-5.ckpt"]);
    }

    #[test]
    fn files_that_are_not_whole_are_refused_and_the_previous_one_is_offered() {
        let change = |at: usize| {
            move |bytes: &mut Vec<u8>| {
                let at = at.min(bytes.len() - 1);
                bytes[at] ^= 1;
            }
        };
        type Damage = Box<dyn Fn(&mut Vec<u8>)>;
        let cases: Vec<(&str, Damage, &str)> = vec![
            ("damaged record", Box::new(change(400)), "checksum"),
            ("damaged header", Box::new(change(100)), "checksum"),
            ("damaged sum", Box::new(change(40)), "checksum"),
            ("cut", Box::new(|bytes| bytes.truncate(200)), "checksum"),
            ("empty", Box::new(Vec::clear), "not a checkpoint"),
            (
                "foreign",
                Box::new(|bytes| *bytes = b"PK\x03\x04 zip\n".to_vec()),
                "not a checkpoint",
            ),
            (
                "newer",
                Box::new(|bytes| bytes[MAGIC.len() + 1] = b'9'),
                "format version 9, and this program reads up to 1",
            ),
        ];
        for (name, damage, reason) in cases {
            let (dir, checkpoints) = checkpoints();
            checkpoints.write(header(1, Some(1)), &parts()).expect("written");
            checkpoints.write(header(2, Some(1)), &parts()).expect("written");
            let path = checkpoints.path(2);
            let mut bytes = fs::read(&path).expect("exists");
            damage(&mut bytes);
            fs::write(&path, bytes).expect("written");
            let error = Checkpoint::newest(dir.path()).expect_err(name).to_string();
            assert!(error.contains(reason), "{name}: {error}");
            assert!(error.contains("epoch-1.ckpt"), "{name}: {error}");
            assert_eq!(latest_intact(dir.path()).expect("readable"), Some(checkpoints.path(1)));
        }
    }

    #[test]
    fn a_full_disk_is_an_error_and_leaves_the_previous_checkpoint_alone() {
        /// Takes 100 bytes.
        struct Full(fs::File, usize);
        impl Write for Full {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                let n = bytes.len().min(100 - self.1);
                if n == 0 {
                    return Err(io::ErrorKind::StorageFull.into());
                }
                self.1 += n;
                self.0.write(&bytes[..n])
            }
            fn flush(&mut self) -> io::Result<()> {
                self.0.flush()
            }
        }
        impl Sink for Full {
            fn sync(&mut self) -> io::Result<()> {
                self.0.sync_all()
            }
        }
        let (_dir, checkpoints) = checkpoints();
        checkpoints.write(header(1, None), &parts()).expect("written");
        let create: Create = |path| Ok(Box::new(Full(fs::File::create(path)?, 0)));
        let full = Checkpoints { create, ..checkpoints.clone() };
        let error = full.write(header(2, None), &parts()).expect_err("no room");
        match error {
            TrainError::Checkpoint { path, previous, reason } => {
                assert_eq!((path, previous), (checkpoints.path(2), Some(checkpoints.path(1))));
                assert!(reason.contains("cannot be written"), "{reason}");
            }
            other => panic!("{other}"),
        }
        assert_eq!(names(&checkpoints), ["epoch-1.ckpt"]);
    }

    #[test]
    fn a_checkpoint_cut_at_any_byte_is_refused() {
        let (dir, checkpoints) = checkpoints();
        checkpoints.write(header(1, Some(1)), &parts()).expect("written");
        let whole = fs::read(checkpoints.path(1)).expect("exists");
        let path = dir.path().join("cut.ckpt");
        for end in 0..whole.len() {
            fs::write(&path, &whole[..end]).expect("written");
            assert!(Checkpoint::try_read(&path).is_err(), "cut at {end} of {}", whole.len());
        }
    }

    #[test]
    fn what_a_killed_run_left_half_written_is_removed() {
        let (dir, checkpoints) = checkpoints();
        fs::write(beside(&checkpoints.path(3)), "half").expect("written");
        Checkpoints::open(dir.path(), 2).expect("opened");
        assert_eq!(names(&checkpoints), [""; 0]);
    }
}
