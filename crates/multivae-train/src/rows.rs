//! Batches of a data set, in an order that derives from (seed, epoch).
//!
//! A step of the optimiser is made of one batch or of several whose gradients are added, and each of
//! those may be shared by several devices. With the rows of a step every phase makes its steps, one
//! after the other: a *turn* is one of them.

use std::{
    ops::Range,
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
    subset::Subset,
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{
    TrainError,
    context::{Context, MessageError},
    panic_message,
    plan::Clock,
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
pub(crate) fn stream(seed: u64, epoch: usize, step: u64, for_what: Use) -> ChaCha8Rng {
    let mut key = [0; 32];
    let parts = [seed, epoch as u64, step, u64::MAX - for_what as u64];
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
    /// Number of the optimiser's step within the epoch, from 1; the same for all turns.
    pub(crate) step: usize,
    pub(crate) turn: usize,
    pub(crate) phase: usize,
    /// Its part in the rows of that step.
    pub(crate) weight: f64,
    /// How many of its rows count in means.
    pub(crate) rows: usize,
    /// How many rows are done with it, those of other ranks included.
    done: usize,
    /// The first part of its turn.
    pub(crate) first: bool,
    /// From what the generator of the device is seeded.
    pub(crate) device_seed: u64,
}

/// What the model is given in training.
pub(crate) enum TrainItem {
    /// Rows to learn from.
    Rows(Box<Step>),
    /// Fills up a turn: burn-train adds the gradients of a fixed number of items, and the last step
    /// of an epoch may have fewer parts.
    Filler,
}

/// What the model is given in validation.
pub(crate) enum ValidationItem {
    /// Comes first in every epoch, and carries no rows: the model is to be kept for whoever wants
    /// it after the epoch.
    Keep,
    /// Rows to evaluate.
    Rows(Box<Step>),
    /// Comes last where several ranks evaluate, each some of the batches: what they come to.
    Total,
}

/// A batch that is to be read.
#[derive(Clone, Debug, PartialEq)]
struct BatchPlan {
    /// None of a filler.
    rows: Vec<usize>,
    /// Place of the first row among the rows of the step.
    first_row: usize,
    /// All rows of the step, if these are a part of them.
    of_step: Option<Arc<[usize]>>,
    /// Number of the step, from 0.
    step: usize,
    steps: usize,
    turn: usize,
    phase: usize,
    weight: f64,
    counted: usize,
    /// Rows that are done with it, on all ranks.
    done: usize,
    first: bool,
}

/// How the rows of an epoch are cut into batches and steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cutting {
    pub(crate) batch_size: usize,
    /// Batches in a step.
    pub(crate) accumulate: usize,
    /// Devices that share each batch, on all ranks.
    pub(crate) devices: usize,
    /// The fewest rows of a batch that a device gets. With 1, a device may get none.
    pub(crate) least: usize,
}

impl Cutting {
    /// Where the share of a batch of `rows` rows begins whose device begins at `start` of `items`.
    fn share_start(&self, rows: usize, start: usize, items: usize) -> usize {
        if self.least <= 1 {
            return rows * start / items;
        }
        // burn-train cuts the items into equal parts but for a rest, which would tip the shares of
        // small batches: equal parts of the batch are meant.
        let device = (start * self.devices + items / 2) / items;
        rows * device / self.devices
    }

    /// Whether the shares of a batch have enough rows; the shares are those of a data set of
    /// `items` items.
    pub(crate) fn is_enough(&self, rows: usize, items: usize) -> bool {
        let step = items / self.devices;
        let start = |d| if d == self.devices { items } else { d * step };
        let at = |d| self.share_start(rows, start(d), items);
        self.least <= 1 || (0..self.devices).all(|d| at(d + 1) >= at(d) + self.least)
    }

    /// The batches of `rows` rows; what is too small at the end joins the one before it.
    fn batches(&self, rows: usize, items: usize) -> Vec<Range<usize>> {
        let starts = (0..rows).step_by(self.batch_size);
        let mut batches: Vec<_> =
            starts.map(|start| start..(start + self.batch_size).min(rows)).collect();
        if let [.., before, last] = &mut batches[..]
            && !self.is_enough(last.len(), items)
        {
            before.end = last.end;
            batches.pop();
        }
        batches
    }

    /// Steps in an epoch, in each of which `turns` turns are made.
    pub(crate) fn steps(&self, rows: usize, turns: usize) -> usize {
        self.batches(rows, rows * turns).len().div_ceil(self.accumulate)
    }
}

/// Where the rows of a step come from: a data set, cut into steps.
#[derive(Clone)]
pub(crate) struct Source {
    pub(crate) data: Arc<dyn Dataset>,
    pub(crate) cutting: Cutting,
    /// The phase of each turn.
    pub(crate) turns: Arc<[usize]>,
    /// Time of the stage as the model counts it.
    pub(crate) clock: Clock,
    pub(crate) seed: u64,
    pub(crate) device: Device,
    /// The part of each batch that is given, as a range of `0..items()`; the parts of several
    /// devices lie side by side.
    pub(crate) share: (usize, usize),
    pub(crate) context: Arc<Context>,
}

/// The part of each batch that a rank takes, as a range of `0..items`: cut as burn-train cuts for
/// devices.
pub(crate) fn share_of_rank(items: usize, rank: usize, ranks: usize) -> (usize, usize) {
    let step = items / ranks;
    (rank * step, if rank + 1 == ranks { items } else { (rank + 1) * step })
}

impl Source {
    /// Rows of an epoch, each counted once a turn.
    fn items(&self) -> usize {
        self.data.len() * self.turns.len()
    }

    fn plans(&self, order: &[usize]) -> Vec<BatchPlan> {
        let items = self.items();
        let accumulate = self.cutting.accumulate;
        let batches = self.cutting.batches(order.len(), items);
        let steps = batches.len().div_ceil(accumulate);
        let mut plans = Vec::new();
        for (step, parts) in batches.chunks(accumulate).enumerate() {
            let whole = parts[0].start..parts[parts.len() - 1].end;
            let divided = self.cutting.devices > 1 || parts.len() > 1;
            let of_step: Option<Arc<[usize]>> = divided.then(|| order[whole.clone()].into());
            for (turn, &phase) in self.turns.iter().enumerate() {
                for (i, part) in parts.iter().enumerate() {
                    let at = |start| self.cutting.share_start(part.len(), start, items);
                    let (from, to) = (at(self.share.0), at(self.share.1));
                    // A device without rows still has to answer: with a row of weight 0.
                    let taken = if from < to { from..to } else { 0..1 };
                    plans.push(BatchPlan {
                        rows: order[part.start + taken.start..part.start + taken.end].to_vec(),
                        first_row: part.start - whole.start + taken.start,
                        of_step: of_step.clone(),
                        step,
                        steps,
                        turn,
                        phase,
                        weight: (to - from) as f64 / whole.len() as f64,
                        counted: to - from,
                        // All ranks take their parts at once, and end the epoch together.
                        done: if self.context.ranks.is_several() { part.len() } else { to - from },
                        first: i == 0,
                    });
                }
                let last = step + 1 == steps && turn + 1 == self.turns.len();
                if !last {
                    let filler = BatchPlan {
                        rows: Vec::new(),
                        first_row: 0,
                        of_step: None,
                        weight: 0.0,
                        counted: 0,
                        done: 0,
                        first: false,
                        step,
                        steps,
                        turn,
                        phase,
                    };
                    plans.extend(std::iter::repeat_n(filler, accumulate - parts.len()));
                }
            }
        }
        plans
    }

    /// Reads the batches on a thread of its own, a few ahead.
    fn read(
        &self,
        plans: Vec<BatchPlan>,
        epoch: usize,
        purpose: Purpose,
        progress: Option<Progress>,
    ) -> Steps {
        let total = plans.iter().map(|plan| plan.done).sum();
        let left = plans.len();
        let (sender, receiver) = sync_channel(AHEAD - 1);
        let mut source = self.clone();
        if purpose == Purpose::Train
            && let Some(data) = self.data.in_epoch(self.seed, epoch)
        {
            source.data = data;
        }
        let reader = std::thread::spawn(move || {
            let mut last = None;
            for plan in plans {
                let item = catch_unwind(AssertUnwindSafe(|| {
                    source.item(plan, epoch, purpose, progress, &mut last)
                }))
                .unwrap_or_else(|panic| Err(TrainError::Panic(panic_message(&*panic))));
                let failed = item.is_err();
                // Nobody listens any more when the epoch was broken off.
                if sender.send(item).is_err() || failed {
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

    /// Reads a batch, or takes it from `last` if it has the same rows.
    fn item(
        &self,
        plan: BatchPlan,
        epoch: usize,
        purpose: Purpose,
        progress: Option<Progress>,
        last: &mut Option<(Vec<usize>, Batch)>,
    ) -> Result<TrainItem, TrainError> {
        if plan.rows.is_empty() {
            return Ok(TrainItem::Filler);
        }
        let mut batch = match last {
            Some((rows, batch)) if *rows == plan.rows => batch.clone(),
            _ => self.batch(&plan.rows)?,
        };
        if self.turns.len() > 1 {
            *last = Some((plan.rows, batch.clone()));
        }
        if let Some(rows) = plan.of_step {
            let presence: Arc<[Subset]> = rows.iter().map(|&row| self.data.presence(row)).collect();
            batch = batch.with_step(presence);
        }
        batch.purpose = purpose;
        let fraction = plan.step as f64 / plan.steps as f64;
        let reached = || self.clock.at(epoch, fraction).in_phase(plan.phase);
        batch.progress = progress.unwrap_or_else(reached);
        // Turns with the same rows have different noise.
        let step = plan.step as u64 | (plan.turn as u64) << 32;
        batch.key =
            NoiseKey { seed: self.seed, epoch: epoch as u64, step, first_row: plan.first_row };
        // The masks of dropout differ between ranks, as they do between the rows of one.
        let mut device_seed = stream(self.seed, epoch, step, Use::Device);
        for _ in 0..self.context.ranks.rank() {
            device_seed.next_u64();
        }
        Ok(TrainItem::Rows(Box::new(Step {
            batch,
            step: plan.step + 1,
            turn: plan.turn,
            phase: plan.phase,
            weight: plan.weight,
            rows: plan.counted,
            done: plan.done,
            first: plan.first,
            device_seed: device_seed.next_u64(),
        })))
    }

    fn batch(&self, rows: &[usize]) -> Result<Batch, TrainError> {
        let batch = self.data.batch(rows, &self.device).map_err(TrainError::Data)?;
        if batch.rows() != rows.len() {
            let message = format!("{} rows were asked for, {} came", rows.len(), batch.rows());
            return Err(TrainError::Data(Box::new(MessageError(message))));
        }
        batch.check(self.data.modalities()).map_err(|error| TrainError::Data(Box::new(error)))?;
        Ok(batch)
    }
}

/// Steps of one epoch.
struct Steps {
    receiver: Option<Receiver<Result<TrainItem, TrainError>>>,
    reader: Option<JoinHandle<()>>,
    context: Arc<Context>,
    left: usize,
    done: usize,
    total: usize,
}

impl Iterator for Steps {
    type Item = Result<TrainItem, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        // burn-train asks its own handle after every step, and before it goes on to validation.
        if self.left == 0 || self.context.is_over() {
            return None;
        }
        self.left -= 1;
        let receiver = self.receiver.as_ref().expect("present until the end");
        let item = receiver.recv().expect("the reader answers for every batch, or with an error");
        Some(match item {
            Ok(item) => {
                if let TrainItem::Rows(step) = &item {
                    self.done += step.done;
                }
                Ok(item)
            }
            Err(error) => {
                self.left = 0;
                let message = MessageError(error.to_string());
                self.context.fail(error);
                Err(DatasetError::new(message))
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

impl DataLoaderIterator<TrainItem> for Steps {
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
    fn with(&self, source: Source) -> Arc<dyn DataLoader<TrainItem>> {
        Arc::new(Self::new(source, self.epoch.load(Ordering::SeqCst)))
    }
}

impl DataLoader<TrainItem> for TrainRows {
    fn iter<'a>(&'a self) -> Box<dyn DataLoaderIterator<TrainItem> + 'a> {
        let epoch = self.epoch.fetch_add(1, Ordering::SeqCst) + 1;
        self.source.context.begin_epoch(epoch);
        let order = shuffled(self.source.data.len(), self.source.seed, epoch);
        Box::new(self.source.read(self.source.plans(&order), epoch, Purpose::Train, None))
    }

    fn num_items(&self) -> usize {
        self.source.items()
    }

    fn to_device(&self, device: &Device) -> Arc<dyn DataLoader<TrainItem>> {
        self.with(Source { device: device.clone(), ..self.source.clone() })
    }

    /// A part of every batch, not a range of rows: several devices then make the same steps as
    /// one.
    fn slice(&self, start: usize, end: usize) -> Arc<dyn DataLoader<TrainItem>> {
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

impl DataLoader<ValidationItem> for ValidRows {
    fn iter<'a>(&'a self) -> Box<dyn DataLoaderIterator<ValidationItem> + 'a> {
        self.source.context.end_training();
        let epoch = self.source.context.epoch();
        let wanted = epoch.is_multiple_of(self.every) || epoch == self.last;
        let order: Vec<usize> = if wanted { (0..self.source.data.len()).collect() } else { vec![] };
        let mut plans = self.source.plans(&order);
        let ranks = &self.source.context.ranks;
        if ranks.is_several() {
            plans = dealt(&plans, ranks.rank(), ranks.ranks());
        }
        let total = ranks.is_several() && !order.is_empty();
        let steps = self.source.read(plans, 0, Purpose::Evaluate, Some(self.progress));
        Box::new(ValidationItems { kept: false, steps, total })
    }

    fn num_items(&self) -> usize {
        self.source.data.len()
    }

    fn to_device(&self, device: &Device) -> Arc<dyn DataLoader<ValidationItem>> {
        Arc::new(Self { source: Source { device: device.clone(), ..self.source.clone() }, ..*self })
    }

    /// Validation is never shared between devices by burn-train.
    fn slice(&self, start: usize, end: usize) -> Arc<dyn DataLoader<ValidationItem>> {
        Arc::new(Self { source: Source { share: (start, end), ..self.source.clone() }, ..*self })
    }
}

/// The batches of one rank. They are dealt out whole, so that each has the value that it has in a run
/// of one process, whatever an objective makes of the rows of a batch.
fn dealt(plans: &[BatchPlan], rank: usize, ranks: usize) -> Vec<BatchPlan> {
    let round = |plans: &[BatchPlan]| {
        let done = plans.iter().map(|plan| plan.counted).sum();
        plans.get(rank).map(|plan| BatchPlan { done, ..plan.clone() })
    };
    plans.chunks(ranks).filter_map(round).collect()
}

struct ValidationItems {
    kept: bool,
    steps: Steps,
    /// Whether what all ranks have found is still to be added.
    total: bool,
}

impl Iterator for ValidationItems {
    type Item = Result<ValidationItem, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        if !std::mem::replace(&mut self.kept, true) {
            return Some(Ok(ValidationItem::Keep));
        }
        let Some(item) = self.steps.next() else {
            let due = std::mem::take(&mut self.total) && !self.steps.context.is_over();
            return due.then_some(Ok(ValidationItem::Total));
        };
        Some(item.map(|item| match item {
            TrainItem::Rows(step) => ValidationItem::Rows(step),
            TrainItem::Filler => unreachable!("validation has one turn and nothing to fill up"),
        }))
    }
}

impl DataLoaderIterator<ValidationItem> for ValidationItems {
    fn progress(&self) -> Done {
        self.steps.progress()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        collective::Alone,
        config::{ClipConfig, NonFinite},
        context::{Interrupt, Live},
        observer::Observers,
    };
    use burn::{tensor::Tensor, train::Interrupter};
    use multivae_core::{
        batch::{Presence, Values},
        modality::ModalitySpec,
    };
    use multivae_kernels::Precision;

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
            ranks: Arc::new(Alone),
            asked: Interrupt::new(),
            interrupt: Interrupt::new(),
            stop: Interrupter::new(),
            policy: NonFinite::Stop,
            clip: ClipConfig::default(),
            precision: Precision::F32,
            observers: Observers::default(),
            modalities: vec![],
            phases: vec![],
            optimizers: std::sync::Mutex::default(),
            epochs: 1,
            live: Live::new(0),
        };
        Source {
            data: Arc::new(Numbers(rows)),
            cutting: Cutting { batch_size, accumulate, devices: 1, least: 1 },
            turns: [0].into(),
            clock: Clock { from: 0, epochs: 1, asked_from: 0, asked: 1 },
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
            let of_all = whole.plans(&order);
            let shares: Vec<Vec<BatchPlan>> = (0..devices)
                .map(|d| {
                    let cutting = Cutting { devices, ..whole.cutting };
                    let share = share_of_rank(rows, d, devices);
                    Source { share, cutting, ..whole.clone() }.plans(&order)
                })
                .collect();
            for (i, plan) in of_all.iter().enumerate() {
                let mut found = Vec::new();
                let mut weight = 0.0;
                for share in shares.iter().map(|share| &share[i]) {
                    assert_eq!(share.step, plan.step);
                    weight += share.weight;
                    if share.counted > 0 {
                        assert_eq!(share.first_row, plan.first_row + found.len());
                        found.extend_from_slice(&share.rows);
                    }
                }
                assert_eq!(found, plan.rows);
                assert!((weight - plan.weight).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn the_weights_of_a_step_add_up_to_one() {
        let plans = source(23, 4, 2).plans(&(0..23).collect::<Vec<_>>());
        assert_eq!(plans.len(), 6);
        for step in 0..3 {
            let sum: f64 = plans.iter().filter(|p| p.step == step).map(|p| p.weight).sum();
            assert!((sum - 1.0).abs() < 1e-12, "{sum}");
        }
    }

    #[test]
    fn a_rest_that_is_too_small_joins_the_batch_before_it() {
        let sizes = |rows: usize, devices, least| -> Vec<usize> {
            let cutting = Cutting { batch_size: 4, accumulate: 1, devices, least };
            cutting.batches(rows, rows).into_iter().map(|batch| batch.len()).collect()
        };
        assert_eq!(sizes(9, 1, 1), [4, 4, 1]);
        assert_eq!(sizes(9, 1, 2), [4, 5]);
        assert_eq!(sizes(10, 1, 2), [4, 4, 2]);
        // Each of two devices needs two rows.
        assert_eq!(sizes(10, 2, 2), [4, 6]);
        assert_eq!(sizes(3, 1, 4), [3], "there is none before it");
    }

    #[test]
    fn turns_take_the_same_rows_and_fill_up_all_but_the_last() {
        let source = Source { turns: [0, 1, 1].into(), share: (0, 30), ..source(10, 4, 2) };
        let plans = source.plans(&(0..10).collect::<Vec<_>>());
        let found: Vec<(usize, usize, usize, usize)> =
            plans.iter().map(|p| (p.step, p.turn, p.phase, p.rows.len())).collect();
        let expected = [
            (0, 0, 0, 4),
            (0, 0, 0, 4),
            (0, 1, 1, 4),
            (0, 1, 1, 4),
            (0, 2, 1, 4),
            (0, 2, 1, 4),
            (1, 0, 0, 2),
            (1, 0, 0, 0),
            (1, 1, 1, 2),
            (1, 1, 1, 0),
            (1, 2, 1, 2),
        ];
        assert_eq!(found, expected);
        assert_eq!(plans[0].rows, plans[2].rows);
        assert_eq!(source.cutting.steps(10, 3), 2);
    }

    /// One row whose value is the epoch, and 0 outside of one.
    struct Epochs([ModalitySpec; 1], usize);

    impl Dataset for Epochs {
        fn modalities(&self) -> &[ModalitySpec] {
            &self.0
        }
        fn len(&self) -> usize {
            1
        }
        fn batch(
            &self,
            _: &[usize],
            device: &Device,
        ) -> Result<Batch, multivae_core::dataset::DatasetError> {
            let values = Values::Dense(Tensor::full([1, 1], self.1 as f32, device));
            Ok(Batch::new(vec![values], Presence::complete(1, 1, device))?)
        }
        fn presence(&self, _: usize) -> Subset {
            Subset::full(1)
        }
        fn in_epoch(&self, seed: u64, epoch: usize) -> Option<Arc<dyn Dataset>> {
            assert_eq!(seed, 3);
            Some(Arc::new(Self(self.0.clone(), epoch)))
        }
    }

    #[test]
    fn training_rows_are_those_of_their_epoch_and_validation_rows_of_none() {
        let specs = [ModalitySpec::new("a", &[1]).expect("valid")];
        let source = Source { data: Arc::new(Epochs(specs, 0)), ..source(1, 1, 1) };
        let value = |step: &Step| -> f32 {
            step.batch.values()[0].dense().expect("dense").clone().into_scalar()
        };
        // As after a resume, two epochs are done.
        let rows = TrainRows::new(source.clone(), 2);
        for epoch in [3.0, 4.0] {
            let found: Vec<_> = rows.iter().map(|item| item.expect("readable")).collect();
            let [TrainItem::Rows(step)] = &found[..] else { panic!("one step") };
            assert_eq!(value(step), epoch);
        }
        let steps = source.read(source.plans(&[0]), 0, Purpose::Evaluate, None);
        for item in steps {
            let TrainItem::Rows(step) = item.expect("readable") else { panic!("one step") };
            assert_eq!(value(&step), 0.0);
        }
    }

    #[test]
    fn batches_of_validation_are_dealt_to_ranks_in_turn_and_each_is_done_by_one() {
        let plans = source(23, 4, 1).plans(&(0..23).collect::<Vec<_>>());
        let of = |rank| dealt(&plans, rank, 4);
        let rows = |rank| of(rank).iter().map(|plan| plan.rows[0]).collect::<Vec<_>>();
        assert_eq!(
            [rows(0), rows(1), rows(2), rows(3)],
            [vec![0, 16], vec![4, 20], vec![8], vec![12]]
        );
        // The first rank, which shows how far all are, has a batch in every round.
        assert_eq!(of(0).iter().map(|plan| plan.done).collect::<Vec<_>>(), [16, 7]);
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
