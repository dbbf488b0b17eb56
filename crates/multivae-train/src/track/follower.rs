//! The observer of a tracker, its queue and its thread.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, channel, sync_channel},
    },
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use super::{Ending, Failure, Point, Sink};
use crate::{
    History,
    observer::{EpochSummary, Exhibit, Observed, Observer, RunEnd, RunInfo},
    panic_message,
    split::Split,
    trainer::METRICS,
};

/// What the queue holds: pictures are what counts.
const QUEUE: usize = 32;
/// How long the end of a run waits for a tracker.
const GRACE: Duration = Duration::from_secs(15);
/// For how long a tracker that has failed is left alone, at first and at most.
const PAUSE: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(60)];

enum Message {
    Epoch(Box<EpochSummary>),
    Exhibit(Arc<Exhibit>),
    /// How the run has ended, and its last epoch, of which the queue may not have told.
    End(Ending, usize),
}

/// Tells a tracker of a run.
pub(crate) struct Follower {
    name: &'static str,
    /// Until the thread has it.
    sink: Option<Box<dyn Sink>>,
    /// To the thread, and what says that it has ended.
    queue: Option<(SyncSender<Message>, Receiver<()>)>,
    /// The last epoch that has ended.
    done: usize,
    /// How many pictures the queue had no place for.
    dropped: usize,
}

impl Follower {
    pub(super) fn new(name: &'static str, sink: Box<dyn Sink>) -> Self {
        Self { name, sink: Some(sink), queue: None, done: 0, dropped: 0 }
    }
}

impl Observer for Follower {
    fn run_started(&mut self, run: &RunInfo) -> Observed {
        let Some(sink) = self.sink.take() else { return Ok(()) };
        let (sender, receiver) = sync_channel(QUEUE);
        let (ended, end) = channel();
        let (name, run) = (self.name, run.clone());
        thread::Builder::new().name(format!("tracker {name}")).spawn(move || {
            let work = || Worker::new(name, sink, run).work(&receiver);
            if let Err(panic) = catch_unwind(AssertUnwindSafe(work)) {
                let reason = panic_message(&*panic);
                tracing::warn!("{name} is no longer told of the run: it panicked: {reason}");
            }
            // Nobody may be waiting any more.
            let _ = ended.send(());
        })?;
        self.queue = Some((sender, end));
        Ok(())
    }

    fn epoch_finished(&mut self, summary: &EpochSummary) -> Observed {
        self.done = self.done.max(summary.epoch);
        if let Some((sender, _)) = &self.queue {
            // What finds no place is read from the history later.
            let _ = sender.try_send(Message::Epoch(Box::new(summary.clone())));
        }
        Ok(())
    }

    fn exhibit(&mut self, exhibit: &Arc<Exhibit>) -> Observed {
        if let Some((sender, _)) = &self.queue
            && let Err(TrySendError::Full(_)) = sender.try_send(Message::Exhibit(exhibit.clone()))
        {
            if self.dropped == 0 {
                let name = self.name;
                tracing::warn!("{name} is slower than the run: some pictures are left out there");
            }
            self.dropped += 1;
        }
        Ok(())
    }

    fn run_ended(&mut self, end: &RunEnd<'_>) -> Observed {
        let Some((sender, ended)) = self.queue.take() else { return Ok(()) };
        let ending = match end {
            RunEnd::Stopped { why, .. } => Ending::Stopped(*why),
            RunEnd::Failed(_) => Ending::Failed,
        };
        let until = Instant::now() + GRACE;
        let mut message = Message::End(ending, self.done);
        while let Err(TrySendError::Full(back)) = sender.try_send(message) {
            if Instant::now() > until {
                break;
            }
            message = back;
            thread::sleep(Duration::from_millis(20));
        }
        drop(sender);
        let left = until.saturating_duration_since(Instant::now());
        if ended.recv_timeout(left) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!(
                "{} was not told of the end of the run, since it did not answer in {} s: what it \
                 lacks is in {METRICS}, and follows when the run is resumed",
                self.name,
                GRACE.as_secs()
            );
        }
        Ok(())
    }
}

/// What the thread of a tracker does.
struct Worker {
    name: &'static str,
    sink: Box<dyn Sink>,
    run: RunInfo,
    history: PathBuf,
    /// Whether the tracker knows of the run.
    started: bool,
    /// The last epoch that it has, and the last that there is.
    sent: usize,
    done: usize,
    /// What the history does not hold of epochs that were not sent yet.
    recent: BTreeMap<usize, EpochSummary>,
    /// Times of epochs that were tried before: the same when they are tried again.
    times: BTreeMap<usize, u64>,
    failing: Option<Pause>,
    warned: bool,
    missed: usize,
}

/// Until when a tracker that has failed is left alone.
struct Pause {
    until: Instant,
    length: Duration,
}

impl Worker {
    fn new(name: &'static str, sink: Box<dyn Sink>, run: RunInfo) -> Self {
        Self {
            name,
            sink,
            history: run.dir.join(METRICS),
            done: run.epochs_done,
            run,
            started: false,
            sent: 0,
            recent: BTreeMap::new(),
            times: BTreeMap::new(),
            failing: None,
            warned: false,
            missed: 0,
        }
    }

    fn work(&mut self, queue: &Receiver<Message>) {
        self.catch_up(false);
        let mut ending = None;
        // A run that is gone without a word ends the queue.
        for message in queue {
            match message {
                Message::Epoch(summary) => {
                    self.done = self.done.max(summary.epoch);
                    // Of many that cannot be sent the history has what matters.
                    if self.recent.len() < 1000 {
                        self.recent.insert(summary.epoch, *summary);
                    }
                    self.catch_up(false);
                }
                Message::Exhibit(exhibit) => self.show(&exhibit),
                Message::End(end, done) => {
                    self.done = self.done.max(done);
                    ending = Some(end);
                    break;
                }
            }
        }
        let Some(ending) = ending else { return };
        self.catch_up(true);
        if self.is_up_to_date()
            && let Err(error) = self.sink.end(ending)
        {
            self.failed(&error);
        }
        if !self.is_up_to_date() || self.missed > 0 {
            tracing::warn!("{}: {}", self.name, self.lacking());
        }
    }

    fn is_up_to_date(&self) -> bool {
        self.started && self.sent >= self.done
    }

    /// What the tracker has not got.
    fn lacking(&self) -> String {
        let epochs = match self.is_up_to_date() {
            true => String::new(),
            false => format!(
                "epochs {} to {} were not sent; they are in {METRICS}, and follow when the run is \
                 resumed",
                self.sent + 1,
                self.done
            ),
        };
        let pictures = match self.missed {
            0 => String::new(),
            missed => format!("{missed} pictures and histograms were not sent"),
        };
        [epochs, pictures]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join("; ")
    }

    /// Sends what the tracker lacks, unless it is left alone for now.
    fn catch_up(&mut self, last: bool) {
        if !last && self.failing.as_ref().is_some_and(|pause| Instant::now() < pause.until) {
            return;
        }
        match self.try_to_catch_up() {
            Ok(()) => self.failing = None,
            Err(error) => self.failed(&error),
        }
    }

    fn try_to_catch_up(&mut self) -> Result<(), Failure> {
        if !self.started {
            self.sent = self.sink.start(&self.run)?;
            self.started = true;
        }
        let mut history = None;
        while self.sent < self.done {
            let epoch = self.sent + 1;
            let values = match self.recent.get(&epoch) {
                Some(summary) => of_summary(summary),
                None => {
                    if history.is_none() {
                        history = Some(History::read(&self.history)?);
                    }
                    of_history(history.as_ref().expect("it was just read"), epoch)
                }
            };
            let time = *self.times.entry(epoch).or_insert_with(now);
            // An epoch without values was given up.
            if !values.is_empty() {
                self.sink.epoch(&Point { epoch, values, time })?;
            }
            self.sent = epoch;
            self.recent.retain(|other, _| *other > epoch);
            self.times.retain(|other, _| *other > epoch);
        }
        Ok(())
    }

    fn show(&mut self, exhibit: &Arc<Exhibit>) {
        if !self.is_up_to_date() {
            self.missed += 1;
            return;
        }
        if let Err(error) = self.sink.exhibit(exhibit) {
            self.missed += 1;
            self.failed(&error);
        }
    }

    /// Says once that the tracker fails, and leaves it alone for longer each time.
    fn failed(&mut self, error: &Failure) {
        if !self.warned {
            tracing::warn!(
                "{} cannot be told of the run: {error}; the run goes on, and it is tried again",
                self.name
            );
            self.warned = true;
        }
        tracing::debug!("{}: {error}", self.name);
        let length = match &self.failing {
            None => PAUSE[0],
            Some(pause) => (pause.length * 2).min(PAUSE[1]),
        };
        self.failing = Some(Pause { until: Instant::now() + length, length });
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn named(split: Split, terms: &[(String, f64)]) -> impl Iterator<Item = (String, f64)> {
    terms.iter().map(move |(name, value)| (format!("{split}/{name}"), *value))
}

fn of_summary(summary: &EpochSummary) -> Vec<(String, f64)> {
    let EpochSummary { train, valid, rate, train_seconds, seconds, .. } = summary;
    let rate = rate.map(|rate| ("learning_rate".to_owned(), rate));
    let seconds = [("seconds/train", *train_seconds), ("seconds/epoch", *seconds)];
    named(Split::Train, train)
        .chain(named(Split::Valid, valid))
        .chain(rate)
        .chain(seconds.map(|(name, value)| (name.to_owned(), value)))
        .collect()
}

fn of_history(history: &History, epoch: usize) -> Vec<(String, f64)> {
    let rate = history.rate(epoch).map(|rate| ("learning_rate".to_owned(), rate));
    named(Split::Train, &history.terms(epoch, Split::Train))
        .chain(named(Split::Valid, &history.terms(epoch, Split::Valid)))
        .chain(rate)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::{path::Path, sync::Mutex};

    use super::*;
    use crate::{
        history::Line,
        observer::{Content, Stopped},
    };

    /// What a tracker was told, and how often it fails first.
    #[derive(Default)]
    struct Told {
        epochs: Vec<usize>,
        values: Vec<(String, f64)>,
        exhibits: Vec<usize>,
        ending: Option<Ending>,
        failures: usize,
    }

    struct Fake {
        told: Arc<Mutex<Told>>,
        /// What it has from before.
        last: usize,
        delay: Duration,
    }

    impl Fake {
        fn fails(&self) -> Result<(), Failure> {
            thread::sleep(self.delay);
            let mut told = self.told.lock().expect("no panic");
            if told.failures > 0 {
                told.failures -= 1;
                return Err("out of reach".into());
            }
            Ok(())
        }
    }

    impl Sink for Fake {
        fn start(&mut self, _: &RunInfo) -> Result<usize, Failure> {
            self.fails()?;
            Ok(self.last)
        }

        fn epoch(&mut self, point: &Point) -> Result<(), Failure> {
            self.fails()?;
            let mut told = self.told.lock().expect("no panic");
            told.epochs.push(point.epoch);
            told.values = point.values.clone();
            Ok(())
        }

        fn exhibit(&mut self, exhibit: &Arc<Exhibit>) -> Result<(), Failure> {
            self.fails()?;
            self.told.lock().expect("no panic").exhibits.push(exhibit.epoch);
            Ok(())
        }

        fn end(&mut self, ending: Ending) -> Result<(), Failure> {
            self.told.lock().expect("no panic").ending = Some(ending);
            Ok(())
        }
    }

    /// A follower of a run in a folder, and what its tracker is told.
    fn follower(told: Told, last: usize, delay: Duration) -> (Follower, Arc<Mutex<Told>>) {
        let told = Arc::new(Mutex::new(told));
        let fake = Fake { told: told.clone(), last, delay };
        (Follower::new("fake", Box::new(fake)), told)
    }

    fn run(dir: &Path, epochs_done: usize) -> RunInfo {
        RunInfo {
            dir: dir.into(),
            configuration: serde_json::json!({}),
            modalities: Vec::new(),
            epochs: 9,
            epochs_done,
            rows: 4,
            validation_rows: 0,
            seed: 0,
            parameters: 1,
        }
    }

    /// Ends an epoch as the trainer does: the history first.
    fn epoch(dir: &Path, follower: &mut Follower, epoch: usize) {
        write(dir, epoch);
        let summary = EpochSummary {
            epoch,
            epochs: 9,
            train: vec![("loss".into(), epoch as f64)],
            valid: Vec::new(),
            rate: Some(0.5),
            best: false,
            train_seconds: 1.0,
            seconds: 2.0,
        };
        follower.epoch_finished(&summary).expect("it never fails");
    }

    fn write(dir: &Path, epoch: usize) {
        let terms = serde_json::Map::from_iter([("loss".to_owned(), (epoch as f64).into())]);
        let history = History::read(&dir.join(METRICS)).expect("readable");
        let line = Line { epoch, split: Split::Train, terms, rate: Some(0.5) };
        history.add(line).expect("written");
    }

    fn end(follower: &mut Follower) {
        let end = RunEnd::Stopped { why: Stopped::Finished, epochs: 9, best_epoch: None };
        follower.run_ended(&end).expect("it never fails");
    }

    #[test]
    fn a_tracker_is_told_of_every_epoch_and_of_the_end() {
        let dir = tempfile::tempdir().expect("a folder");
        let (mut follower, told) = follower(Told::default(), 0, Duration::ZERO);
        follower.run_started(&run(dir.path(), 0)).expect("it never fails");
        (1..=3).for_each(|n| epoch(dir.path(), &mut follower, n));
        end(&mut follower);
        let told = told.lock().expect("no panic");
        assert_eq!(told.epochs, [1, 2, 3]);
        assert_eq!(told.ending, Some(Ending::Stopped(Stopped::Finished)));
        let names: Vec<&str> = told.values.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["train/loss", "learning_rate", "seconds/train", "seconds/epoch"]);
        assert_eq!(told.values[0].1, 3.0);
    }

    #[test]
    fn what_a_tracker_missed_comes_from_the_history_once() {
        let dir = tempfile::tempdir().expect("a folder");
        (1..=5).for_each(|n| write(dir.path(), n));
        // It has two of the five epochs of an earlier run.
        let (mut follower, told) = follower(Told::default(), 2, Duration::ZERO);
        follower.run_started(&run(dir.path(), 5)).expect("it never fails");
        epoch(dir.path(), &mut follower, 6);
        end(&mut follower);
        assert_eq!(told.lock().expect("no panic").epochs, [3, 4, 5, 6]);
    }

    #[test]
    fn a_tracker_that_fails_is_tried_again_and_nothing_is_lost_or_doubled() {
        let dir = tempfile::tempdir().expect("a folder");
        let failing = Told { failures: 1, ..Told::default() };
        let (mut follower, told) = follower(failing, 0, Duration::ZERO);
        follower.run_started(&run(dir.path(), 0)).expect("it never fails");
        (1..=4).for_each(|n| epoch(dir.path(), &mut follower, n));
        end(&mut follower);
        assert_eq!(told.lock().expect("no panic").epochs, [1, 2, 3, 4]);
    }

    #[test]
    fn a_tracker_that_never_answers_well_leaves_the_run_alone() {
        let dir = tempfile::tempdir().expect("a folder");
        let failing = Told { failures: usize::MAX, ..Told::default() };
        let (mut follower, told) = follower(failing, 0, Duration::ZERO);
        follower.run_started(&run(dir.path(), 0)).expect("it never fails");
        (1..=4).for_each(|n| epoch(dir.path(), &mut follower, n));
        end(&mut follower);
        let told = told.lock().expect("no panic");
        assert!(told.epochs.is_empty() && told.ending.is_none());
    }

    #[test]
    fn a_slow_tracker_does_not_slow_the_run_and_gets_all_epochs() {
        let dir = tempfile::tempdir().expect("a folder");
        let (mut follower, told) = follower(Told::default(), 0, Duration::from_millis(20));
        follower.run_started(&run(dir.path(), 0)).expect("it never fails");
        let exhibit = |epoch| {
            Arc::new(Exhibit { epoch, name: "z".into(), content: Content::Values(vec![1.0]) })
        };
        let count = 3 * QUEUE;
        let started = Instant::now();
        for n in 1..=count {
            epoch(dir.path(), &mut follower, n);
            follower.exhibit(&exhibit(n)).expect("it never fails");
        }
        // The queue is full long before the tracker is done.
        assert!(follower.dropped > 0, "{:?}", started.elapsed());
        end(&mut follower);
        let told = told.lock().expect("no panic");
        assert_eq!(told.epochs, (1..=told.epochs.len()).collect::<Vec<_>>());
        assert_eq!(told.epochs.len(), count);
        assert!(told.exhibits.len() < count);
    }
}
