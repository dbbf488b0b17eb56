//! Batches of a data set, in an order that derives from (seed, epoch).

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, sync_channel},
    },
    thread::JoinHandle,
};

use burn::{
    data::{
        dataloader::{DataLoader, DataLoaderIterator, Progress as Done},
        dataset::DatasetError,
    },
    tensor::Device,
};
use multivae_core::{
    batch::{Batch, NoiseKey, Progress, Purpose},
    dataset::Dataset,
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{
    TrainError,
    context::{Context, Told},
    panic_message,
};

/// Batches that are read ahead of the step at work.
const AHEAD: usize = 2;

/// What a random stream of a run is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Use {
    /// The order of rows in an epoch.
    Order,
    /// The generator of the device, in a step.
    Device,
}

/// A random stream of a run; no stream of [`multivae_core::noise`] is equal to it.
pub(crate) fn stream(seed: u64, epoch: usize, step: usize, for_what: Use) -> ChaCha8Rng {
    let mut key = [0; 32];
    let parts = [seed, epoch as u64, step as u64, u64::MAX - for_what as u64];
    for (place, part) in key.chunks_exact_mut(8).zip(parts) {
        place.copy_from_slice(&part.to_le_bytes());
    }
    ChaCha8Rng::from_seed(key)
}

/// The rows of an epoch of training, shuffled.
pub(crate) fn shuffled(rows: usize, seed: u64, epoch: usize) -> Vec<usize> {
    let mut rng = stream(seed, epoch, 0, Use::Order);
    let mut order: Vec<usize> = (0..rows).collect();
    for i in (1..rows).rev() {
        // The product's upper half is uniform below `i + 1` but for a part in 2^64 / rows.
        let j = (u128::from(rng.next_u64()) * (i as u128 + 1)) >> 64;
        order.swap(i, j as usize);
    }
    order
}

/// A batch with its place in the run.
pub(crate) struct Step {
    pub(crate) batch: Batch,
    /// Number of the optimiser's step within the epoch, from 1.
    pub(crate) step: usize,
    /// Its part in the rows of that step.
    pub(crate) weight: f64,
    /// How many of its rows count in means.
    pub(crate) rows: usize,
    /// The first part of its step.
    pub(crate) first: bool,
    /// From what the generator of the device is seeded.
    pub(crate) device_seed: u64,
}

/// What the model is given in validation.
pub(crate) enum Check {
    /// Comes first in every epoch, and carries no rows: the model is to be kept for whoever wants
    /// it after the epoch.
    Keep,
    /// Rows to evaluate.
    Rows(Box<Step>),
}

/// A batch that is to be read.
#[derive(Clone, Debug, PartialEq)]
struct Cut {
    rows: Vec<usize>,
    /// Place of the first row among the rows of the step.
    first_row: usize,
    /// Number of the step, from 0.
    step: usize,
    steps: usize,
    weight: f64,
    counted: usize,
    first: bool,
}

/// Where the rows of a step come from: a data set, cut into steps.
#[derive(Clone)]
pub(crate) struct Source {
    pub(crate) data: Arc<dyn Dataset>,
    pub(crate) batch_size: usize,
    /// Batches in a step.
    pub(crate) accumulate: usize,
    pub(crate) seed: u64,
    pub(crate) device: Device,
    /// The part of each batch that is given, as a range of `0..data.len()`; the parts of several
    /// devices lie side by side.
    pub(crate) share: (usize, usize),
    pub(crate) context: Arc<Context>,
}

impl Source {
    /// Steps in an epoch.
    pub(crate) fn steps(rows: usize, batch_size: usize, accumulate: usize) -> usize {
        rows.div_ceil(batch_size * accumulate)
    }

    fn cuts(&self, order: &[usize]) -> Vec<Cut> {
        let n = self.data.len();
        let steps = Self::steps(n, self.batch_size, self.accumulate);
        let of_step = self.batch_size * self.accumulate;
        let mut cuts = Vec::new();
        for (step, rows) in order.chunks(of_step).enumerate() {
            for (i, whole) in rows.chunks(self.batch_size).enumerate() {
                let (from, to) = (whole.len() * self.share.0 / n, whole.len() * self.share.1 / n);
                // A device without rows still has to answer: with a row of weight 0.
                let taken = if from < to { from..to } else { 0..1 };
                cuts.push(Cut {
                    rows: whole[taken.clone()].to_vec(),
                    first_row: i * self.batch_size + taken.start,
                    step,
                    steps,
                    weight: (to - from) as f64 / rows.len() as f64,
                    counted: to - from,
                    first: i == 0,
                });
            }
        }
        cuts
    }

    /// Reads the cuts on a thread of its own, a few ahead.
    fn read(
        &self,
        cuts: Vec<Cut>,
        epoch: usize,
        purpose: Purpose,
        progress: Option<Progress>,
    ) -> Steps {
        let total = cuts.iter().map(|cut| cut.counted).sum();
        let left = cuts.len();
        let (sender, receiver) = sync_channel(AHEAD - 1);
        let source = self.clone();
        let reader = std::thread::spawn(move || {
            for cut in cuts {
                let step =
                    catch_unwind(AssertUnwindSafe(|| source.step(cut, epoch, purpose, progress)))
                        .unwrap_or_else(|panic| Err(TrainError::Panic(panic_message(&*panic))));
                let failed = step.is_err();
                // Nobody listens any more when the epoch was broken off.
                if sender.send(step).is_err() || failed {
                    return;
                }
            }
        });
        Steps {
            receiver: Some(receiver),
            reader: Some(reader),
            context: self.context.clone(),
            left,
            done: 0,
            total,
        }
    }

    fn step(
        &self,
        cut: Cut,
        epoch: usize,
        purpose: Purpose,
        progress: Option<Progress>,
    ) -> Result<Step, TrainError> {
        let mut batch = self.data.batch(&cut.rows, &self.device).map_err(TrainError::Data)?;
        if batch.rows() != cut.rows.len() {
            let message = format!("{} rows were asked for, {} came", cut.rows.len(), batch.rows());
            return Err(TrainError::Data(Box::new(Told(message))));
        }
        batch.check(self.data.modalities()).map_err(|error| TrainError::Data(Box::new(error)))?;
        batch.purpose = purpose;
        batch.progress =
            progress.unwrap_or(Progress::new(epoch, cut.step as f64 / cut.steps as f64));
        batch.key = NoiseKey {
            seed: self.seed,
            epoch: epoch as u64,
            step: cut.step as u64,
            first_row: cut.first_row,
        };
        Ok(Step {
            batch,
            step: cut.step + 1,
            weight: cut.weight,
            rows: cut.counted,
            first: cut.first,
            device_seed: stream(self.seed, epoch, cut.step, Use::Device).next_u64(),
        })
    }
}

/// Steps of one epoch.
struct Steps {
    receiver: Option<Receiver<Result<Step, TrainError>>>,
    reader: Option<JoinHandle<()>>,
    context: Arc<Context>,
    left: usize,
    done: usize,
    total: usize,
}

impl Iterator for Steps {
    type Item = Result<Step, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        // burn-train asks its own handle after every step, and before it goes on to validation.
        if self.left == 0 || self.context.is_over() {
            return None;
        }
        self.left -= 1;
        let receiver = self.receiver.as_ref().expect("present until the end");
        let step = receiver.recv().expect("the reader answers for every batch, or with an error");
        Some(match step {
            Ok(step) => {
                self.done += step.rows;
                Ok(step)
            }
            Err(error) => {
                self.left = 0;
                let told = Told(error.to_string());
                self.context.fail(error);
                Err(DatasetError::new(told))
            }
        })
    }
}

impl Steps {
    fn progress(&self) -> Done {
        Done::new(self.done, self.total, Some("rows".into()))
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        // The reader ends at its next batch, and must not outlive the epoch.
        drop(self.receiver.take());
        if let Some(reader) = self.reader.take() {
            // It catches its panics.
            let _ = reader.join();
        }
    }
}

impl DataLoaderIterator<Step> for Steps {
    fn progress(&self) -> Done {
        Steps::progress(self)
    }
}

/// Training rows.
///
/// burn-train tells its loaders no epoch: each counts its own, from the epochs already done.
pub(crate) struct TrainRows {
    source: Source,
    epoch: AtomicUsize,
}

impl TrainRows {
    pub(crate) fn new(source: Source, done: usize) -> Self {
        Self { source, epoch: AtomicUsize::new(done) }
    }

    /// The same loader elsewhere, with a counter of its own.
    fn with(&self, source: Source) -> Arc<dyn DataLoader<Step>> {
        Arc::new(Self::new(source, self.epoch.load(Ordering::SeqCst)))
    }
}

impl DataLoader<Step> for TrainRows {
    fn iter<'a>(&'a self) -> Box<dyn DataLoaderIterator<Step> + 'a> {
        let epoch = self.epoch.fetch_add(1, Ordering::SeqCst) + 1;
        self.source.context.begin_epoch(epoch);
        let order = shuffled(self.source.data.len(), self.source.seed, epoch);
        Box::new(self.source.read(self.source.cuts(&order), epoch, Purpose::Train, None))
    }

    fn num_items(&self) -> usize {
        self.source.data.len()
    }

    fn to_device(&self, device: &Device) -> Arc<dyn DataLoader<Step>> {
        self.with(Source { device: device.clone(), ..self.source.clone() })
    }

    /// A part of every batch, not a range of rows: several devices then make the same steps as
    /// one.
    fn slice(&self, start: usize, end: usize) -> Arc<dyn DataLoader<Step>> {
        self.with(Source { share: (start, end), ..self.source.clone() })
    }
}

/// Validation rows: the same order and noise every time.
pub(crate) struct ValidRows {
    pub(crate) source: Source,
    /// Where schedules of the objective stand.
    pub(crate) progress: Progress,
    /// Validate every so many epochs.
    pub(crate) every: usize,
    /// The last epoch of the stage, always validated.
    pub(crate) last: usize,
}

impl DataLoader<Check> for ValidRows {
    fn iter<'a>(&'a self) -> Box<dyn DataLoaderIterator<Check> + 'a> {
        self.source.context.end_training();
        let epoch = self.source.context.epoch();
        let wanted = epoch.is_multiple_of(self.every) || epoch == self.last;
        let order: Vec<usize> = if wanted { (0..self.source.data.len()).collect() } else { vec![] };
        let cuts = self.source.cuts(&order);
        let steps = self.source.read(cuts, 0, Purpose::Evaluate, Some(self.progress));
        Box::new(Checks { kept: false, steps })
    }

    fn num_items(&self) -> usize {
        self.source.data.len()
    }

    fn to_device(&self, device: &Device) -> Arc<dyn DataLoader<Check>> {
        Arc::new(Self { source: Source { device: device.clone(), ..self.source.clone() }, ..*self })
    }

    /// Validation is never shared between devices by burn-train.
    fn slice(&self, start: usize, end: usize) -> Arc<dyn DataLoader<Check>> {
        Arc::new(Self { source: Source { share: (start, end), ..self.source.clone() }, ..*self })
    }
}

struct Checks {
    kept: bool,
    steps: Steps,
}

impl Iterator for Checks {
    type Item = Result<Check, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        if !std::mem::replace(&mut self.kept, true) {
            return Some(Ok(Check::Keep));
        }
        Some(self.steps.next()?.map(|step| Check::Rows(Box::new(step))))
    }
}

impl DataLoaderIterator<Check> for Checks {
    fn progress(&self) -> Done {
        self.steps.progress()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{ClipConfig, NonFinite},
        context::{Interrupt, Live},
        report::SharedReport,
    };
    use burn::train::Interrupter;
    use multivae_core::{modality::ModalitySpec, subset::Subset};

    /// So many rows that cannot be read.
    struct Numbers(usize);

    impl Dataset for Numbers {
        fn modalities(&self) -> &[ModalitySpec] {
            &[]
        }
        fn len(&self) -> usize {
            self.0
        }
        fn batch(
            &self,
            _: &[usize],
            _: &Device,
        ) -> Result<Batch, multivae_core::dataset::DatasetError> {
            panic!("a broken file")
        }
        fn presence(&self, _: usize) -> Subset {
            Subset::full(1)
        }
    }

    fn source(rows: usize, batch_size: usize, accumulate: usize) -> Source {
        let context = Context {
            interrupt: Interrupt::new(),
            stop: Interrupter::new(),
            policy: NonFinite::Stop,
            clip: ClipConfig::default(),
            report: SharedReport::default(),
            modalities: vec![],
            terms: vec![],
            epochs: 1,
            live: Live::new(0),
        };
        Source {
            data: Arc::new(Numbers(rows)),
            batch_size,
            accumulate,
            seed: 3,
            device: Device::flex(),
            share: (0, rows),
            context: Arc::new(context),
        }
    }

    #[test]
    fn an_epochs_order_is_a_permutation_that_depends_on_seed_and_epoch_only() {
        let order = shuffled(100, 1, 2);
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..100).collect::<Vec<_>>());
        assert_eq!(order, shuffled(100, 1, 2));
        assert_ne!(order, shuffled(100, 1, 3));
        assert_ne!(order, shuffled(100, 2, 2));
    }

    #[test]
    fn shares_are_disjoint_and_cover_every_batch_with_their_weights() {
        for (rows, devices) in [(23, 2), (23, 3), (9, 8)] {
            let whole = source(rows, 4, 2);
            let order = shuffled(rows, 1, 1);
            let of_all = whole.cuts(&order);
            let step = rows / devices;
            let bounds = |d| (d * step, if d + 1 == devices { rows } else { (d + 1) * step });
            let shares: Vec<Vec<Cut>> = (0..devices)
                .map(|d| Source { share: bounds(d), ..whole.clone() }.cuts(&order))
                .collect();
            for (i, cut) in of_all.iter().enumerate() {
                let mut found = Vec::new();
                let mut weight = 0.0;
                for share in shares.iter().map(|share| &share[i]) {
                    assert_eq!(share.step, cut.step);
                    weight += share.weight;
                    if share.counted > 0 {
                        assert_eq!(share.first_row, cut.first_row + found.len());
                        found.extend_from_slice(&share.rows);
                    }
                }
                assert_eq!(found, cut.rows);
                assert!((weight - cut.weight).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn the_weights_of_a_step_add_up_to_one() {
        let cuts = source(23, 4, 2).cuts(&(0..23).collect::<Vec<_>>());
        assert_eq!(cuts.len(), 6);
        for step in 0..3 {
            let sum: f64 = cuts.iter().filter(|c| c.step == step).map(|c| c.weight).sum();
            assert!((sum - 1.0).abs() < 1e-12, "{sum}");
        }
    }

    #[test]
    fn a_panic_of_the_data_set_is_an_error_of_the_epoch() {
        let rows = TrainRows::new(source(8, 4, 1), 0);
        let mut steps = rows.iter();
        assert!(steps.next().is_some_and(|step| step.is_err()));
        assert!(steps.next().is_none());
        let error = rows.source.context.take_error().expect("noted");
        assert!(error.to_string().contains("a broken file"), "{error}");
    }
}
