//! Any model as a learner's model.

use std::{
    collections::HashSet,
    fmt::{self, Display},
    sync::{Arc, Mutex},
};

use burn::{
    lr_scheduler::module_lr_scheduler::ModuleLearningRate,
    module::{
        Content, Devices, Module, ModuleDisplay, ModuleDisplayDefault, ModuleMapper, ModuleVisitor,
        Param, ParamId,
    },
    optim::{GradientsParams, ModuleOptimizer},
    tensor::{Device, Tensor, TensorData},
    train::{InferenceStep, TrainOutput, TrainStep},
};
use multivae_core::{
    model::{Loss, TrainableModel},
    noise::Noise,
};
use multivae_kernels::{on_workers, sum_of_squares};

use crate::{
    TrainError,
    config::ClipConfig,
    context::{Context, Place},
    generator,
    rows::{TrainItem, ValidationItem},
    split::Split,
    terms::{Terms, Unread},
};

/// Where the model of the last validation is kept.
pub(crate) type Kept<M> = Arc<Mutex<Option<M>>>;

/// A model with the steps that burn-train asks for. It adds nothing to the paths of parameters:
/// a bare model reads its records, and the other way round.
#[derive(Clone)]
pub(crate) struct Fit<M> {
    pub(crate) model: M,
    context: Arc<Context>,
    kept: Kept<M>,
}

impl<M: TrainableModel> Fit<M> {
    pub(crate) fn new(model: M, context: Arc<Context>, kept: Kept<M>) -> Self {
        Self { model, context, kept }
    }

    /// Whether an objective has the terms that it declares.
    fn has_its_terms(&self, loss: &Loss, place: Place) -> bool {
        let context = &self.context;
        let declared = &context.phase(place).terms[1..];
        if !loss.terms.iter().map(|(name, _)| name).eq(declared) {
            context.fail(TrainError::Terms {
                expected: declared.to_vec(),
                found: loss.terms.iter().map(|(name, _)| name.clone()).collect(),
            });
            return false;
        }
        true
    }

    /// The terms of an objective; none if the step is not to be made.
    fn terms(&self, loss: &Loss, place: Place, rows: usize) -> Option<Terms> {
        let context = &self.context;
        if !self.has_its_terms(loss, place) {
            return None;
        }
        let values = Unread::values(loss);
        let later = context.reads_later(&values.device());
        let unread =
            Unread { values, place, rows, norm: context.take_norm(), context: context.clone() };
        if later { Some(Terms::Unread(Box::new(unread))) } else { unread.read() }
    }

    /// The values of an objective, where there are several ranks; none if they cannot be had.
    fn values(&self, loss: &Loss, place: Place) -> Option<Vec<f64>> {
        self.has_its_terms(loss, place).then(|| self.context.read(Unread::values(loss)))?
    }

    /// The terms over the rows of all ranks, of which this one may have none. All come to the same
    /// conclusion.
    fn terms_of_all(&self, loss: Option<&Loss>, place: Place, rows: usize) -> Option<Terms> {
        let context = &self.context;
        let values = match loss {
            Some(loss) => self.values(loss, place)?,
            None => vec![0.0; context.phase(place).terms.len()],
        };
        let (values, rows) = context.of_all_ranks(&values, rows)?;
        Terms::of(values, place, rows, context)
    }

    /// The gradients of a step summed over all ranks, by one message. None if there are none, or they
    /// cannot be had, or the step is left out.
    fn summed(&self, mut gradients: GradientsParams) -> Option<GradientsParams> {
        let context = &self.context;
        // All ranks know of both.
        if context.failed() || context.leaves_out() {
            return None;
        }
        let learns = &context.phase(context.step()).learns;
        let mut flat =
            Flat { learns, gradients: &mut gradients, values: vec![], there: vec![], error: None };
        self.model.visit(&mut flat);
        let Flat { mut values, there, error, .. } = flat;
        if let Some(error) = error {
            context.fail(error);
            return None;
        }
        let n = values.len();
        values.extend(there);
        if let Err(gone) = context.ranks.sum(&mut values) {
            context.fail(gone);
            return None;
        }
        let there = values.split_off(n);
        let mut summed = Summed {
            learns,
            values: &values,
            there: there.iter(),
            gradients: GradientsParams::new(),
        };
        self.model.visit(&mut summed);
        Some(summed.gradients).filter(|gradients| !gradients.is_empty())
    }

    /// Makes the running statistics of layers the means of those of all ranks. Their steps are linear, so
    /// that means after an epoch are as good as means after every step.
    fn level_statistics(&self) {
        let context = &self.context;
        if context.failed() {
            return;
        }
        let mut still = Still::default();
        self.model.visit(&mut still);
        if still.0.is_empty() {
            return;
        }
        // By their distance to those of the first rank, so that what is equal stays so, bit for bit.
        let mut first: Vec<u8> = still.0.iter().flat_map(|value| value.to_le_bytes()).collect();
        let mut apart = still.0;
        let met = context.ranks.share(&mut first, 0).and_then(|()| {
            let first = first.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
            let first: Vec<f32> = first.collect();
            apart.iter_mut().zip(&first).for_each(|(value, first)| *value -= first);
            context.ranks.sum(&mut apart)?;
            let ranks = context.ranks.ranks() as f32;
            apart.iter_mut().zip(&first).for_each(|(sum, first)| *sum = first + *sum / ranks);
            Ok(())
        });
        match met {
            // Clones of a statistic are the same one.
            Ok(()) => drop(self.model.clone().map(&mut Level(&apart))),
            Err(gone) => context.fail(gone),
        }
    }
}

impl<M: TrainableModel> TrainStep for Fit<M> {
    type Input = TrainItem;
    type Output = Terms;

    fn step(&self, item: TrainItem) -> TrainOutput<Terms> {
        let nothing = || TrainOutput { grads: GradientsParams::new(), item: Terms::none() };
        let TrainItem::Rows(step) = item else { return nothing() };
        let context = &self.context;
        let place = Place {
            split: Split::Train,
            epoch: context.epoch(),
            step: step.step,
            turn: step.turn,
            phase: step.phase,
        };
        context.begin_step(place);
        let phase = context.phase(place);
        // Gradients of what does not learn in this phase are not even computed.
        let partial = phase.partial.then(|| hold_others(self.model.clone(), &phase.learns));
        let model = partial.as_ref().unwrap_or(&self.model);
        if context.ranks.is_several() && step.rows == 0 {
            // Fewer rows than ranks: what this one has to say is that it has none.
            let item = self.terms_of_all(None, place, 0);
            return TrainOutput { item: item.unwrap_or_else(Terms::none), ..nothing() };
        }
        let (loss, grads) = generator::with_others(|| {
            if step.first {
                // Dropout draws from the device; its state is in no checkpoint.
                step.batch.device().seed(step.device_seed);
            }
            let device = step.batch.device();
            let step = || {
                let made = model.learner().step(&step.batch, &mut Noise::of(&step.batch));
                let (loss, mut grads) = made.into_gradients(model);
                if phase.partial {
                    // An estimator of the model's own may give more of them.
                    grads = keep(model, grads, &phase.learns);
                }
                if has_buffers(model) {
                    // Burn keeps what a thread adds to running statistics apart from what others add, and
                    // takes the mean when they are asked for: the next step may be on another thread.
                    drop(model.valid());
                }
                if step.weight != 1.0 {
                    model.visit(&mut Scale { gradients: &mut grads, factor: step.weight });
                }
                (loss, grads)
            };
            context.precision.scope(|| on_workers(&device, step))
        });
        let item = match context.ranks.is_several() {
            true => self.terms_of_all(Some(&loss), place, step.rows),
            false => self.terms(&loss, place, step.rows),
        };
        let Some(item) = item else {
            // Without gradients the weights stay as they are.
            return nothing();
        };
        TrainOutput { grads, item }
    }

    fn optimize(
        self,
        optimizer: &mut ModuleOptimizer,
        rate: ModuleLearningRate,
        gradients: GradientsParams,
    ) -> Self {
        let device = self.model.devices().first().cloned().unwrap_or_default();
        let gradients = match self.context.ranks.is_several() {
            true => self.summed(gradients).unwrap_or_default(),
            false => gradients,
        };
        on_workers(&device, || self.optimized(optimizer, rate, gradients, &device))
    }
}

impl<M: TrainableModel> Fit<M> {
    /// After a step of an optimiser, on the threads of the device.
    fn optimized(
        self,
        optimizer: &mut ModuleOptimizer,
        rate: ModuleLearningRate,
        mut gradients: GradientsParams,
        device: &Device,
    ) -> Self {
        if gradients.is_empty() || self.context.failed() || self.context.leaves_out() {
            return self;
        }
        let norm = norm(&self.model, &gradients);
        let read = if self.context.reads_later(device) {
            self.context.keep_norm(norm.clone());
            None
        } else {
            let read = self.context.read_norm(norm.clone(), self.context.step());
            let Some(norm) = read else { return self };
            Some(norm)
        };
        match (&self.context.clip, read) {
            (ClipConfig::None(_), _) => {}
            (ClipConfig::Value(clip), _) => {
                self.model.visit(&mut Bound { gradients: &mut gradients, max: clip.max });
            }
            (ClipConfig::Norm(clip), None) => {
                let factor = norm.div_scalar(clip.max).clamp_min(1.0).recip();
                self.model.visit(&mut Shrink { gradients: &mut gradients, factor });
            }
            (ClipConfig::Norm(clip), Some(norm)) if norm > clip.max => {
                let factor = clip.max / norm;
                self.model.visit(&mut Scale { gradients: &mut gradients, factor });
            }
            (ClipConfig::Norm(_), Some(_)) => {}
        }
        self.context.step_made();
        let Self { mut model, context, kept } = self;
        let place = context.step();
        let phase = context.phase(place);
        let rate = match phase.rate {
            1.0 => rate,
            factor => (rate.base() * factor).into(),
        };
        let mut own = context.optimizers.lock().expect("no thread panics while it holds them");
        let optimizer = match place.phase {
            0 => optimizer,
            later => &mut own[later - 1],
        };
        model = optimizer.step(rate, model, gradients);
        drop(own);
        if let Some(bound) = phase.clip {
            model = model.map(&mut Within { learns: &phase.learns, bound });
        }
        Self { model, context, kept }
    }
}

impl<M: TrainableModel> InferenceStep for Fit<M> {
    type Input = ValidationItem;
    type Output = Terms;

    fn step(&self, item: ValidationItem) -> Terms {
        let step = match item {
            ValidationItem::Keep => {
                if self.context.ranks.is_several() && !self.context.failed() {
                    self.context.compare_weights(checksum(&self.model));
                }
                let kept = self.model.clone();
                *self.kept.lock().expect("no thread panics while it holds the model") = Some(kept);
                return Terms::none();
            }
            ValidationItem::Total => return self.total().unwrap_or_else(Terms::none),
            ValidationItem::Rows(step) => step,
        };
        let loss = on_workers(&step.batch.device(), || {
            self.model.learner().loss(&step.batch, &mut Noise::of(&step.batch))
        });
        let place = self.validation(step.step);
        if self.context.ranks.is_several() {
            if let Some(values) = self.values(&loss, place) {
                self.context.found(&values, step.step, step.rows);
            }
            return Terms::none();
        }
        self.terms(&loss, place, step.rows).unwrap_or_else(Terms::none)
    }
}

impl<M: TrainableModel> Fit<M> {
    /// A step of validation.
    fn validation(&self, step: usize) -> Place {
        let epoch = self.context.epoch();
        Place { split: Split::Valid, epoch, step, turn: 0, phase: 0 }
    }

    /// What all ranks have found in validation; none of values that end the run.
    fn total(&self) -> Option<Terms> {
        let context = &self.context;
        if context.failed() {
            return None;
        }
        let place = self.validation(0);
        let (values, rows, wrong) = context.found_by_all(place)?;
        if let Some(wrong) = wrong {
            context.not_finite(wrong);
            if context.failed() {
                return None;
            }
        }
        let values = Arc::new(values);
        Some(Terms::Read { values, first: context.phase(place).first, rows })
    }
}

impl<M: TrainableModel> Module for Fit<M> {
    fn collect_devices(&self, devices: Devices) -> Devices {
        self.model.collect_devices(devices)
    }

    fn fork(self, device: &Device) -> Self {
        Self { model: self.model.fork(device), ..self }
    }

    fn to_device(self, device: &Device) -> Self {
        Self { model: self.model.to_device(device), ..self }
    }

    fn train(self) -> Self {
        Self { model: self.model.train(), ..self }
    }

    fn valid(&self) -> Self {
        if self.context.ranks.is_several() {
            // What layers have noted in the last step is in their statistics from here on.
            drop(self.model.valid());
            self.level_statistics();
        }
        Self { model: self.model.valid(), context: self.context.clone(), kept: self.kept.clone() }
    }

    fn materialize(self) -> Self {
        Self { model: self.model.materialize(), ..self }
    }

    fn visit<V: ModuleVisitor>(&self, visitor: &mut V) {
        self.model.visit(visitor);
    }

    fn map<P: ModuleMapper>(self, mapper: &mut P) -> Self {
        Self { model: self.model.map(mapper), ..self }
    }
}

impl<M: fmt::Debug> fmt::Debug for Fit<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.model.fmt(f)
    }
}

impl<M: Display> Display for Fit<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.model.fmt(f)
    }
}

impl<M: ModuleDisplay> ModuleDisplayDefault for Fit<M> {
    fn content(&self, content: Content) -> Option<Content> {
        self.model.content(content)
    }
}

impl<M: ModuleDisplay> ModuleDisplay for Fit<M> {}

/// The model with gradients of some parameters only; those of the others are not computed.
fn hold_others<M: Module>(model: M, learns: &HashSet<ParamId>) -> M {
    struct Hold<'a>(&'a HashSet<ParamId>);
    impl ModuleMapper for Hold<'_> {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            if self.0.contains(&param.id) { param } else { param.set_require_grad(false) }
        }
    }
    model.map(&mut Hold(learns))
}

/// The gradients of some parameters.
fn keep<M: Module>(
    model: &M,
    gradients: GradientsParams,
    learns: &HashSet<ParamId>,
) -> GradientsParams {
    struct Keep<'a> {
        from: GradientsParams,
        to: GradientsParams,
        learns: &'a HashSet<ParamId>,
    }
    impl ModuleVisitor for Keep<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if self.learns.contains(&param.id)
                && let Some(gradient) = self.from.remove::<D>(param.id)
            {
                self.to.register(param.id, gradient);
            }
        }
    }
    let mut keep = Keep { from: gradients, to: GradientsParams::new(), learns };
    model.visit(&mut keep);
    keep.to
}

/// Keeps the parameters of a phase within a distance of zero.
struct Within<'a> {
    learns: &'a HashSet<ParamId>,
    bound: f64,
}

impl ModuleMapper for Within<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        // Running statistics are no weights, and never require gradients.
        if !self.learns.contains(&param.id) || !param.is_require_grad() {
            return param;
        }
        // A weight that learns is a leaf of the graph: the bound is no step to go back through.
        param.map(|weight| {
            let strategy = weight.gradient_checkpointing_strategy();
            let within = weight.inner().clamp(-self.bound, self.bound);
            let within = Tensor::from_inner(within);
            let within = match strategy {
                Some(strategy) => within.with_gradient_checkpointing_strategy(strategy),
                None => within,
            };
            within.require_grad()
        })
    }
}

/// The norm of the gradient over all parameters, `[1]`.
fn norm<M: TrainableModel>(model: &M, gradients: &GradientsParams) -> Tensor<1> {
    struct Squares<'a> {
        gradients: &'a GradientsParams,
        sums: Vec<Tensor<1>>,
    }
    impl ModuleVisitor for Squares<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(gradient) = self.gradients.get::<D>(param.id) {
                self.sums.push(sum_of_squares(gradient));
            }
        }
    }
    let mut squares = Squares { gradients, sums: Vec::new() };
    model.visit(&mut squares);
    Tensor::cat(squares.sums, 0).sum().sqrt()
}

/// Multiplies all gradients.
struct Scale<'a> {
    gradients: &'a mut GradientsParams,
    factor: f64,
}

impl ModuleVisitor for Scale<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.remove::<D>(param.id) {
            self.gradients.register(param.id, gradient * self.factor);
        }
    }
}

/// Multiplies all gradients by a factor that lies on the device, `[1]`.
struct Shrink<'a> {
    gradients: &'a mut GradientsParams,
    factor: Tensor<1>,
}

impl ModuleVisitor for Shrink<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.remove::<D>(param.id) {
            let factor = self.factor.clone().reshape([1; D]);
            self.gradients.register(param.id, gradient * factor);
        }
    }
}

/// Keeps all entries of gradients within bounds.
struct Bound<'a> {
    gradients: &'a mut GradientsParams,
    max: f64,
}

impl ModuleVisitor for Bound<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.remove::<D>(param.id) {
            self.gradients.register(param.id, gradient.clamp(-self.max, self.max));
        }
    }
}

/// The gradients of what learns, one after the other, zeros where there are none, and which there are.
struct Flat<'a> {
    learns: &'a HashSet<ParamId>,
    gradients: &'a mut GradientsParams,
    values: Vec<f32>,
    /// 1 for each parameter that has a gradient, 0 for others.
    there: Vec<f32>,
    error: Option<TrainError>,
}

/// Whether a parameter has a place among the gradients that ranks sum: the same on all of them.
fn has_place<const D: usize>(param: &Param<Tensor<D>>, learns: &HashSet<ParamId>) -> bool {
    learns.contains(&param.id) && param.is_require_grad()
}

impl ModuleVisitor for Flat<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if !has_place(param, self.learns) || self.error.is_some() {
            return;
        }
        let gradient = self.gradients.remove::<D>(param.id);
        self.there.push(f32::from(u8::from(gradient.is_some())));
        match gradient.map(Tensor::try_into_data) {
            None => {
                let n = param.lazy_shape().num_elements();
                self.values.resize(self.values.len() + n, 0.0);
            }
            Some(Ok(data)) => match data.as_slice::<f32>() {
                Ok(values) => self.values.extend_from_slice(values),
                Err(_) => self.values.extend(data.iter::<f32>()),
            },
            Some(Err(error)) => self.error = Some(TrainError::Device(error.to_string())),
        }
    }
}

/// Gradients out of what all ranks have summed.
struct Summed<'a> {
    learns: &'a HashSet<ParamId>,
    values: &'a [f32],
    /// On how many ranks each parameter has a gradient.
    there: std::slice::Iter<'a, f32>,
    gradients: GradientsParams,
}

impl ModuleVisitor for Summed<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if !has_place(param, self.learns) {
            return;
        }
        let weight = param.val().inner();
        let shape = weight.dims();
        let (mine, rest) = self.values.split_at(shape.iter().product());
        self.values = rest;
        if self.there.next().is_some_and(|ranks| *ranks > 0.0) {
            let data = TensorData::new(mine.to_vec(), shape).convert_dtype(weight.dtype());
            self.gradients.register(param.id, Tensor::<D>::from_data(data, &weight.device()));
        }
    }
}

/// Whether a model has values that do not learn.
fn has_buffers<M: Module>(model: &M) -> bool {
    struct Any(bool);
    impl ModuleVisitor for Any {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0 |= !param.is_require_grad();
        }
    }
    let mut any = Any(false);
    model.visit(&mut any);
    any.0
}

/// All floating-point values that do not learn: running statistics, and what is frozen.
#[derive(Default)]
struct Still(Vec<f32>);

impl ModuleVisitor for Still {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if !param.is_require_grad() {
            self.0.extend(param.val().into_data().iter::<f32>());
        }
    }
}

/// Writes them back.
struct Level<'a>(&'a [f32]);

impl ModuleMapper for Level<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if param.is_require_grad() {
            return param;
        }
        param.map(|old| {
            let shape = old.dims();
            let (mine, rest) = self.0.split_at(shape.iter().product());
            self.0 = rest;
            let data = TensorData::new(mine.to_vec(), shape).convert_dtype(old.dtype());
            Tensor::from_data(data, &old.device())
        })
    }
}

/// A checksum of the bits of all weights and statistics.
fn checksum<M: Module>(model: &M) -> u32 {
    struct Bits(u32);
    impl ModuleVisitor for Bits {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0 = crc32c::crc32c_append(self.0, param.val().into_data().bytes());
        }
    }
    let mut bits = Bits(0);
    model.visit(&mut bits);
    bits.0
}
