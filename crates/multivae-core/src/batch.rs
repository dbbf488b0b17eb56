//! A batch: values of several modalities, and which of them are observed.

use std::{
    any::Any,
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use burn::{
    module::{Module, ParamId, list_param_ids},
    tensor::{Device, Int, Tensor, TensorData},
};

use crate::{Error, Result, modality::ModalitySpec, subset::Subset};

/// Values of one modality, one row per sample. Rows whose modality is missing hold any filler.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "a batch has one per modality, not one per row")]
pub enum Values {
    /// Flattened values, `[batch, features]`; a network that needs an image reshapes.
    Dense(Tensor<2>),
    /// Tokens of a text.
    Tokens {
        /// Numbers of the tokens, `[batch, length]`.
        ids: Tensor<2, Int>,
        /// 1 where there is a token, 0 for padding, `[batch, length]`.
        mask: Tensor<2>,
    },
}

impl Values {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        match self {
            Self::Dense(values) => values.dims()[0],
            Self::Tokens { ids, .. } => ids.dims()[0],
        }
    }

    /// The dense values `[batch, features]`, or `None` for tokens.
    pub fn dense(&self) -> Option<&Tensor<2>> {
        match self {
            Self::Dense(values) => Some(values),
            Self::Tokens { .. } => None,
        }
    }

    /// The values as numbers, `[batch, features]`: tokens as one-hot vectors among `classes`, and
    /// padding, whatever stands there, as zeros.
    pub fn flat(&self, classes: usize) -> Tensor<2> {
        match self {
            Self::Dense(values) => values.clone(),
            Self::Tokens { ids, mask } => {
                let [rows, length] = ids.dims();
                let shape = [rows, length, classes];
                let numbers = Tensor::<1, Int>::arange(0..classes as i64, &ids.device());
                let is = ids
                    .clone()
                    .reshape([rows, length, 1])
                    .expand(shape)
                    .equal(numbers.reshape([1, 1, classes]).expand(shape));
                (is.float() * mask.clone().unsqueeze_dim(2)).flatten(1, 2)
            }
        }
    }

    /// Zeros, or padding, of the same shape.
    pub fn zeros_like(&self) -> Self {
        match self {
            Self::Dense(values) => Self::Dense(values.zeros_like()),
            Self::Tokens { ids, mask } => {
                Self::Tokens { ids: ids.zeros_like(), mask: mask.zeros_like() }
            }
        }
    }

    /// Where the values lie.
    pub fn device(&self) -> Device {
        match self {
            Self::Dense(values) => values.device(),
            Self::Tokens { ids, .. } => ids.device(),
        }
    }
}

/// Which modality of which row is observed.
///
/// It is kept on the host, since rules such as "components that this row can use" are integer
/// arithmetic, and on the device as a `[batch, modality]` tensor of 0 and 1.
#[derive(Clone, Debug)]
pub struct Presence {
    rows: Vec<Subset>,
    modalities: usize,
    mask: Tensor<2>,
}

impl Presence {
    /// From one set of observed modalities per row.
    pub fn new(rows: Vec<Subset>, modalities: usize, device: &Device) -> Self {
        let values: Vec<f32> = rows
            .iter()
            .flat_map(|row| (0..modalities).map(|m| f32::from(u8::from(row.contains(m)))))
            .collect();
        let mask = Tensor::from_data(TensorData::new(values, [rows.len(), modalities]), device);
        Self { rows, modalities, mask }
    }

    /// All modalities of `rows` rows observed.
    pub fn complete(rows: usize, modalities: usize, device: &Device) -> Self {
        Self::new(vec![Subset::full(modalities); rows], modalities, device)
    }

    /// From 0 and 1, row by row, `modalities` per row.
    ///
    /// # Errors
    ///
    /// [`Error::EmptyRow`] if a row observes nothing.
    pub fn from_flags(flags: &[bool], modalities: usize, device: &Device) -> Result<Self> {
        let rows = flags
            .chunks(modalities)
            .enumerate()
            .map(|(row, flags)| {
                Subset::new((0..flags.len()).filter(|&m| flags[m]))
                    .map_err(|_| Error::EmptyRow { row })
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Self::new(rows, modalities, device))
    }

    /// The observed modalities of each row.
    pub fn rows(&self) -> &[Subset] {
        &self.rows
    }

    /// How many modalities there are.
    pub fn modalities(&self) -> usize {
        self.modalities
    }

    /// Whether every modality of every row is observed.
    pub fn is_complete(&self) -> bool {
        self.rows.iter().all(|row| row.len() == self.modalities)
    }

    /// 1 where observed, `[batch, modality]`.
    pub fn mask(&self) -> Tensor<2> {
        self.mask.clone()
    }

    /// 1 where observed, `[batch]`, of one modality.
    pub fn of(&self, modality: usize) -> Tensor<1> {
        self.mask.clone().narrow(1, modality, 1).squeeze_dim(1)
    }
}

/// Where a run stands, for schedules that depend on it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// The epoch, from 1.
    pub epoch: usize,
    /// The share of the epoch's batches that were seen before this one, 0 to 1.
    pub fraction: f64,
    /// The phase of the stage, from 0: which of its objectives is meant.
    pub phase: usize,
}

impl Progress {
    /// After all schedules have ended: evaluation of the objective itself.
    pub const DONE: Self = Self { epoch: usize::MAX, fraction: 0.0, phase: 0 };

    /// The first phase, after a share of an epoch.
    pub const fn new(epoch: usize, fraction: f64) -> Self {
        Self { epoch, fraction, phase: 0 }
    }

    /// The same in another phase.
    pub const fn in_phase(self, phase: usize) -> Self {
        Self { phase, ..self }
    }
}

/// Whether an objective is evaluated to learn from it or to report it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Gradients will be taken.
    Train,
    /// The value will be reported; extra random terms that only help training are left out.
    Evaluate,
}

/// From what the noise of a batch derives; see [`crate::noise::Noise`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoiseKey {
    /// The run's seed.
    pub seed: u64,
    /// The epoch, from 1; 0 for evaluation.
    pub epoch: u64,
    /// The step within the epoch, from 0.
    pub step: u64,
    /// Place of this batch's first row in the whole batch, when several devices share one.
    pub first_row: usize,
}

/// What a likelihood is evaluated on: observed values of a modality, with what belongs to them.
#[derive(Clone, Debug)]
pub struct Target {
    /// The values, 0 where they are missing.
    pub values: Values,
    /// 1 where a cell is observed, `[batch, features]`; `None` if every cell of the rows that
    /// observe the modality is.
    pub cells: Option<Tensor<2>>,
    /// What is added to the logarithm of a mean of counts, `[batch]`, such as the logarithm of the
    /// library size.
    pub offset: Option<Tensor<1>>,
}

impl From<Values> for Target {
    fn from(values: Values) -> Self {
        Self { values, cells: None, offset: None }
    }
}

/// What a network made of a modality, by the first parameter of the network.
type Made = HashMap<(ParamId, usize), Box<dyn Any + Send>>;

/// What networks made of the modalities of a batch.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Made>>);

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kept")
    }
}

/// Values of all modalities for some rows, which of them are observed, and the batch's place in a
/// run.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use multivae_core::{batch::{Batch, Presence, Values}, subset::Subset};
///
/// let device = Device::flex();
/// let scan = Values::Dense(Tensor::ones([2, 3], &device));
/// let blood = Values::Dense(Tensor::from_floats([[7.0, f32::NAN], [1.0, 2.0]], &device));
/// // The second row lacks the scan; one cell of the first row's blood values was not measured.
/// let rows = vec![Subset::full(2), Subset::single(1)];
/// let cells = Tensor::from_floats([[1.0, 0.0], [1.0, 1.0]], &device);
/// let batch = Batch::new(vec![scan, blood], Presence::new(rows, 2, &device))?
///     .with_cells(vec![None, Some(cells)])?;
/// // Whatever stands where nothing was observed is never seen.
/// let observed = batch.observed(1).dense().expect("numbers").clone();
/// assert_eq!(observed.into_data().try_into_vec::<f32>().expect("floats"), [7.0, 0.0, 1.0, 2.0]);
/// # Ok::<(), multivae_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Batch {
    values: Vec<Values>,
    presence: Presence,
    /// Masks of cells per modality; `None` where all are observed.
    cells: Vec<Option<Tensor<2>>>,
    /// Offsets per modality, `[batch]`.
    offsets: Vec<Option<Tensor<1>>>,
    /// Observed values beside the modalities, by name, `[batch, features]`.
    covariates: Vec<(String, Tensor<2>)>,
    labels: Option<Vec<i64>>,
    /// The observed modalities of all rows of the step, where this batch is a share of it.
    step: Option<Arc<[Subset]>>,
    /// What networks made of it; `None` unless it is to be kept.
    kept: Option<Kept>,
    /// Where the run stands.
    pub progress: Progress,
    /// What the objective is evaluated for.
    pub purpose: Purpose,
    /// From what its noise derives.
    pub key: NoiseKey,
}

impl Batch {
    /// A batch to evaluate, outside of any run.
    ///
    /// # Errors
    ///
    /// [`Error::Shape`] if the number of modalities or of rows differs between values and
    /// presence.
    pub fn new(values: Vec<Values>, presence: Presence) -> Result<Self> {
        if values.len() != presence.modalities() {
            return Err(shape("all", presence.modalities(), values.len(), "modalities"));
        }
        for (m, v) in values.iter().enumerate() {
            if v.rows() != presence.rows().len() {
                return Err(shape(m, presence.rows().len(), v.rows(), "rows"));
            }
        }
        let modalities = values.len();
        Ok(Self {
            values,
            presence,
            cells: vec![None; modalities],
            offsets: vec![None; modalities],
            covariates: Vec::new(),
            labels: None,
            step: None,
            kept: None,
            progress: Progress::DONE,
            purpose: Purpose::Evaluate,
            key: NoiseKey { seed: 0, epoch: 0, step: 0, first_row: 0 },
        })
    }

    /// A complete batch of dense values `[batch, features]`.
    ///
    /// # Errors
    ///
    /// As [`Batch::new`].
    ///
    /// # Panics
    ///
    /// If `values` is empty.
    pub fn complete(values: Vec<Tensor<2>>) -> Result<Self> {
        let (rows, device) = (values[0].dims()[0], values[0].device());
        let presence = Presence::complete(rows, values.len(), &device);
        Self::new(values.into_iter().map(Values::Dense).collect(), presence)
    }

    /// The same with masks of single cells per modality, `[batch, features]`: 1 where a cell is
    /// observed, 0 where it is missing; `None` for a modality whose cells all are. In rows that
    /// lack the modality the mask says nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Shape`] if there is not one entry per modality, a mask has not the shape of its
    /// values, or is given for tokens, which have a mask of their own.
    pub fn with_cells(mut self, cells: Vec<Option<Tensor<2>>>) -> Result<Self> {
        if cells.len() != self.values.len() {
            return Err(shape("all", self.values.len(), cells.len(), "masks of cells"));
        }
        for (m, (mask, values)) in cells.iter().zip(&self.values).enumerate() {
            let Some(mask) = mask else { continue };
            let expected = values.dense().map(|values| values.dims());
            if expected != Some(mask.dims()) {
                return Err(Error::Shape {
                    modality: m.to_string(),
                    expected: match expected {
                        Some(expected) => format!("a mask of cells {expected:?}"),
                        None => "no mask of cells, since tokens have their own".into(),
                    },
                    found: format!("{:?}", mask.dims()),
                });
            }
        }
        self.cells = cells;
        Ok(self.changed())
    }

    /// The same with offsets per modality, `[batch]`: what is added to the logarithm of a mean of
    /// counts.
    ///
    /// # Errors
    ///
    /// [`Error::Shape`] if there is not one entry per modality, or one per row in each.
    pub fn with_offsets(mut self, offsets: Vec<Option<Tensor<1>>>) -> Result<Self> {
        if offsets.len() != self.values.len() {
            return Err(shape("all", self.values.len(), offsets.len(), "offsets"));
        }
        for (m, offset) in offsets.iter().enumerate() {
            if let Some(found) = offset.as_ref().map(|x| x.dims()[0]).filter(|n| *n != self.rows())
            {
                return Err(shape(m, self.rows(), found, "offsets"));
            }
        }
        self.offsets = offsets;
        Ok(self)
    }

    /// The same with covariates by name, `[batch, features]` each: what is known of every row and
    /// is no modality, such as a site or an age.
    ///
    /// # Errors
    ///
    /// [`Error::Shape`] if one has another number of rows; [`Error::Config`] for a name given
    /// twice.
    pub fn with_covariates(mut self, covariates: Vec<(String, Tensor<2>)>) -> Result<Self> {
        for (i, (name, values)) in covariates.iter().enumerate() {
            if values.dims()[0] != self.rows() {
                return Err(shape(name, self.rows(), values.dims()[0], "rows"));
            }
            if covariates[..i].iter().any(|(other, _)| other == name) {
                return Err(Error::Config {
                    field: "covariates".into(),
                    expected: "each name once".into(),
                    found: format!("`{name}` twice"),
                });
            }
        }
        self.covariates = covariates;
        Ok(self)
    }

    /// The same with class labels, one per row.
    ///
    /// # Errors
    ///
    /// [`Error::Shape`] for another number of labels than of rows.
    pub fn with_labels(mut self, labels: Option<Vec<i64>>) -> Result<Self> {
        if let Some(found) = labels.as_ref().map(Vec::len).filter(|n| *n != self.rows()) {
            return Err(shape("labels", self.rows(), found, "labels"));
        }
        self.labels = labels;
        Ok(self)
    }

    /// The same as a share of a step whose rows observe `rows`: see [`Batch::share_of`].
    pub fn with_step(self, rows: Arc<[Subset]>) -> Self {
        Self { step: Some(rows), ..self }
    }

    /// The same at another place in a run.
    pub fn at(self, progress: Progress) -> Self {
        Self { progress, ..self }
    }

    /// The same with another value of one modality.
    ///
    /// # Errors
    ///
    /// [`Error::Shape`] for another number of rows.
    pub fn with_values(mut self, modality: usize, values: Values) -> Result<Self> {
        if values.rows() != self.rows() {
            return Err(shape(modality, self.rows(), values.rows(), "rows"));
        }
        self.values[modality] = values;
        Ok(self.changed())
    }

    /// The same rows with fewer observed modalities.
    ///
    /// # Errors
    ///
    /// [`Error::Shape`] for another number of modalities or rows.
    pub fn with_presence(mut self, presence: Presence) -> Result<Self> {
        if presence.modalities() != self.values.len() {
            return Err(shape("all", self.values.len(), presence.modalities(), "modalities"));
        }
        if presence.rows().len() != self.rows() {
            return Err(shape("all", self.rows(), presence.rows().len(), "rows"));
        }
        self.presence = presence;
        Ok(self.changed())
    }

    /// The same, which keeps what networks make of single modalities, as long as it or a clone of it is
    /// there: who asks a model for several subsets of them has each encoder run once. It is for models
    /// whose weights stay as they are meanwhile; a batch with other values, cells or presence begins
    /// anew.
    ///
    /// ```
    /// use burn::{module::Module, nn::LinearConfig, tensor::{Device, Tensor}};
    /// use multivae_core::batch::Batch;
    ///
    /// let device = Device::flex();
    /// let net = LinearConfig::new(3, 2).init(&device);
    /// let batch = Batch::complete(vec![Tensor::<2>::ones([4, 3], &device)])?.keeping();
    /// let mut calls = 0;
    /// for _ in 0..2 {
    ///     let values = batch.values()[0].dense().expect("numbers").clone();
    ///     let code: Tensor<2> = batch.once(&net, 0, || {
    ///         calls += 1;
    ///         net.forward(values)
    ///     });
    ///     assert_eq!(code.dims(), [4, 2]);
    /// }
    /// assert_eq!(calls, 1);
    /// # Ok::<(), multivae_core::Error>(())
    /// ```
    pub fn keeping(self) -> Self {
        Self { kept: Some(Kept::default()), ..self }
    }

    /// What a network makes of a modality: made here, or kept since it was made before; see
    /// [`keeping`](Self::keeping). It may depend on the network and on what is observed of the
    /// modality, and on nothing else. Nothing is kept of a network without parameters.
    pub fn once<T: Clone + Send + 'static>(
        &self,
        network: &impl Module,
        modality: usize,
        make: impl FnOnce() -> T,
    ) -> T {
        let Some(Kept(kept)) = &self.kept else { return make() };
        let Some(&id) = list_param_ids(network).first() else { return make() };
        let lock = || kept.lock().unwrap_or_else(PoisonError::into_inner);
        let found = lock().get(&(id, modality)).and_then(|any| any.downcast_ref::<T>()).cloned();
        found.unwrap_or_else(|| {
            let made = make();
            lock().insert((id, modality), Box::new(made.clone()));
            made
        })
    }

    /// What was kept belongs to other values.
    fn changed(self) -> Self {
        Self { kept: self.kept.map(|_| Kept::default()), ..self }
    }

    /// The values of all modalities in the model's order, with any filler where they are missing.
    pub fn values(&self) -> &[Values] {
        &self.values
    }

    /// Which modalities are observed.
    pub fn presence(&self) -> &Presence {
        &self.presence
    }

    /// Class labels, one per row, where the data has any.
    pub fn labels(&self) -> Option<&[i64]> {
        self.labels.as_deref()
    }

    /// 1 where a cell of a modality is observed, `[batch, features]`; `None` if all of them are.
    pub fn cells(&self, modality: usize) -> Option<&Tensor<2>> {
        self.cells[modality].as_ref()
    }

    /// What is added to the logarithm of a modality's means of counts, `[batch]`, if it is given.
    pub fn offset(&self, modality: usize) -> Option<&Tensor<1>> {
        self.offsets[modality].as_ref()
    }

    /// The offset of each row that observes a modality, and a `typical` one of rows that lack it,
    /// whose own is any filler, `[batch]`; `None` if the batch has no offsets of it.
    pub fn offset_or(&self, modality: usize, typical: f32) -> Option<Tensor<1>> {
        let own = self.offsets[modality].clone()?;
        Some(own.mask_fill(self.presence.of(modality).equal_scalar(0.0), typical))
    }

    /// All covariates with their names, `[batch, features]` each.
    pub fn covariates(&self) -> &[(String, Tensor<2>)] {
        &self.covariates
    }

    /// A covariate, `[batch, features]`, if the batch has it.
    pub fn covariate(&self, name: &str) -> Option<&Tensor<2>> {
        self.covariates.iter().find(|(n, _)| n == name).map(|(_, values)| values)
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.presence.rows().len()
    }

    /// Where the batch lies.
    pub fn device(&self) -> Device {
        self.presence.mask.device()
    }

    /// How many rows of the step count, by `counts`, for each row of this batch.
    ///
    /// A mean over some rows only, such as those that observe a modality, is a sum divided by their
    /// number. Where a batch is a share of a step, that number is the step's: the shares of all
    /// devices, each weighted by its part of the step's rows, then add up to the mean of the step.
    /// The result is the number to divide by here: of a whole step it is the number of counting
    /// rows itself; at least 1 then, so that a mean of no rows is 0.
    pub fn share_of(&self, counts: impl Fn(Subset) -> bool) -> f64 {
        let all = self.step.as_deref().unwrap_or(self.presence.rows());
        let counted = all.iter().filter(|row| counts(**row)).count().max(1) as f64;
        match &self.step {
            Some(step) => counted * self.rows() as f64 / step.len().max(1) as f64,
            None => counted,
        }
    }

    /// The values of a modality with zeros where it or a cell of it is missing, so that no filler,
    /// be it infinite or no number, reaches a network or a gradient.
    pub fn observed(&self, modality: usize) -> Values {
        let values = &self.values[modality];
        let everywhere = self.presence.rows().iter().all(|row| row.contains(modality));
        if everywhere && self.cells[modality].is_none() {
            return values.clone();
        }
        let missing = || self.presence.of(modality).equal_scalar(0.0).unsqueeze_dim::<2>(1);
        match values {
            Values::Dense(values) => {
                let mut values = values.clone();
                if let Some(cells) = &self.cells[modality] {
                    values = values.mask_fill(cells.clone().equal_scalar(0.0), 0.0);
                }
                if !everywhere {
                    let missing = missing().expand(values.dims());
                    values = values.mask_fill(missing, 0.0);
                }
                Values::Dense(values)
            }
            Values::Tokens { ids, mask } => {
                let missing = missing().expand(ids.dims());
                Values::Tokens {
                    ids: ids.clone().mask_fill(missing.clone(), 0),
                    mask: mask.clone().mask_fill(missing, 0.0),
                }
            }
        }
    }

    /// What encoders of a modality see of its [`observed`](Self::observed) values, `[batch, ..]` of
    /// [`ModalitySpec::input_shape`]; see [`ModalitySpec::input`].
    pub fn input(&self, modality: usize, spec: &ModalitySpec) -> Values {
        spec.input(self.observed(modality), || self.observed_cells(modality, spec.features()))
    }

    /// 1 where a cell of a modality is observed, 0 where it or the modality is missing,
    /// `[batch, features]`.
    pub fn observed_cells(&self, modality: usize, features: usize) -> Tensor<2> {
        let row = self.presence.of(modality).unsqueeze_dim::<2>(1).expand([self.rows(), features]);
        match &self.cells[modality] {
            // A mask says nothing in rows that lack the modality.
            Some(cells) => cells.clone().mask_fill(row.equal_scalar(0.0), 0.0),
            None => row,
        }
    }

    /// What the likelihood of a modality is evaluated on: [`observed`](Self::observed) values with
    /// the mask of their cells and their offset.
    pub fn target(&self, modality: usize) -> Target {
        Target {
            values: self.observed(modality),
            cells: self.cells[modality].clone(),
            offset: self.offsets[modality].clone(),
        }
    }

    /// Checks the values against what the modalities say.
    ///
    /// # Errors
    ///
    /// [`Error::Shape`].
    pub fn check(&self, specs: &[ModalitySpec]) -> Result<()> {
        if specs.len() != self.values.len() {
            return Err(Error::Shape {
                modality: "all".into(),
                expected: format!("{} modalities", specs.len()),
                found: self.values.len().to_string(),
            });
        }
        for (spec, values) in specs.iter().zip(&self.values) {
            let (expected, found) = match values {
                Values::Dense(values) => (spec.features(), values.dims()[1]),
                Values::Tokens { ids, .. } => (spec.shape[0], ids.dims()[1]),
            };
            if expected != found {
                return Err(Error::Shape {
                    modality: spec.name.to_string(),
                    expected: format!("{:?} = {expected} values a row", spec.shape),
                    found: found.to_string(),
                });
            }
        }
        Ok(())
    }
}

/// The error about a number of things that is not the expected one.
fn shape(modality: impl ToString, expected: usize, found: usize, what: &str) -> Error {
    Error::Shape {
        modality: modality.to_string(),
        expected: format!("{expected} {what}"),
        found: found.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_observes_nothing_is_refused_by_its_number() {
        let error = Presence::from_flags(&[true, false, false, false], 2, &Device::flex())
            .expect_err("row 1 is empty");
        assert_eq!(error, Error::EmptyRow { row: 1 });
    }

    #[test]
    fn flat_tokens_are_one_hot_and_padding_is_zero() {
        let device = Device::flex();
        let ids = Tensor::from_ints([[2, 0, 1]], &device);
        let mask = Tensor::from_floats([[1.0, 1.0, 0.0]], &device);
        let flat = |values: Values| values.flat(3).into_data().try_into_vec::<f32>();
        let tokens = Values::Tokens { ids, mask };
        let expected = vec![0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        assert_eq!(flat(tokens.clone()).expect("floats"), expected);
        assert_eq!(flat(tokens.zeros_like()).expect("floats"), [0.0; 9]);
    }

    #[test]
    fn rows_that_differ_between_modalities_are_refused() {
        let device = Device::flex();
        let values = vec![Tensor::zeros([3, 2], &device), Tensor::zeros([2, 2], &device)];
        assert!(matches!(Batch::complete(values), Err(Error::Shape { .. })));
    }

    #[test]
    fn a_modality_of_another_width_is_refused_by_name() {
        let batch = Batch::complete(vec![Tensor::zeros([3, 2], &Device::flex())]).expect("valid");
        let spec = ModalitySpec::new("scan", &[4]).expect("valid");
        let error = batch.check(&[spec]).expect_err("4 is not 2");
        assert!(error.to_string().contains("`scan`"), "{error}");
    }

    fn two_rows() -> Batch {
        let device = Device::flex();
        let values = Tensor::from_floats([[1.0, f32::NAN], [f32::INFINITY, 4.0]], &device);
        Batch::complete(vec![values]).expect("valid")
    }

    #[test]
    fn missing_cells_are_zero_whatever_stands_there() {
        let cells = Tensor::from_floats([[1.0, 0.0], [0.0, 1.0]], &Device::flex());
        let batch = two_rows().with_cells(vec![Some(cells)]).expect("the same shape");
        let observed = batch.observed(0).dense().expect("numbers").clone();
        let found: Vec<f32> = observed.into_data().try_into_vec().expect("floats");
        assert_eq!(found, [1.0, 0.0, 0.0, 4.0]);
        assert!(batch.target(0).cells.is_some());
    }

    #[test]
    fn encoders_may_read_which_cells_are_observed() {
        let device = Device::flex();
        let spec = ModalitySpec::new("blood", &[2]).expect("valid");
        let masked = spec.clone().with_observed_mask();
        assert_eq!((spec.input_shape(), masked.input_shape()), (vec![2], vec![4]));
        let read = |batch: &Batch, spec: &ModalitySpec| -> Vec<f32> {
            let input = batch.input(0, spec).dense().expect("numbers").clone();
            input.into_data().try_into_vec().expect("floats")
        };
        let values = Tensor::from_floats([[1.0, 0.0], [2.0, 3.0]], &device);
        let batch = Batch::complete(vec![values.clone(), values]).expect("valid");
        // Where everything is observed the mask is constant.
        assert_eq!(read(&batch, &spec), [1.0, 0.0, 2.0, 3.0]);
        assert_eq!(read(&batch, &masked), [1.0, 0.0, 1.0, 1.0, 2.0, 3.0, 1.0, 1.0]);
        let ones = Tensor::ones([2, 2], &device);
        let all = batch.clone().with_cells(vec![Some(ones), None]).expect("the same shape");
        assert_eq!(read(&all, &masked), read(&batch, &masked));
        // A zero is not a missing cell, and no cell of a row without the modality is observed.
        let cells = Tensor::from_floats([[1.0, 0.0], [1.0, 1.0]], &device);
        let rows = vec![Subset::full(2), Subset::single(1)];
        let batch = batch.with_cells(vec![Some(cells), None]).expect("the same shape");
        let batch = batch.with_presence(Presence::new(rows, 2, &device)).expect("two rows");
        assert_eq!(read(&batch, &masked), [1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
        let text = ModalitySpec::new("text", &[3, 5]).expect("valid").with_observed_mask();
        assert!(text.check().expect_err("padding is masked").to_string().contains("observed_mask"));
    }

    #[test]
    fn what_does_not_fit_the_rows_is_refused() {
        let device = Device::flex();
        let error = two_rows().with_cells(vec![Some(Tensor::ones([2, 3], &device))]);
        assert!(matches!(error, Err(Error::Shape { .. })));
        assert!(two_rows().with_labels(Some(vec![1])).is_err());
        assert!(two_rows().with_offsets(vec![Some(Tensor::ones([3], &device))]).is_err());
        let age = || ("age".to_owned(), Tensor::ones([2, 1], &device));
        assert!(two_rows().with_covariates(vec![age(), age()]).is_err());
        let batch = two_rows().with_covariates(vec![age()]).expect("two rows");
        assert!(batch.covariate("age").is_some() && batch.covariate("site").is_none());
    }

    #[test]
    fn shares_divide_by_the_rows_of_the_whole_step() {
        let step: Arc<[Subset]> = vec![Subset::single(0); 6].into();
        let share = two_rows().with_step(step);
        // Each of three shares of two rows divides its sum by 2, and weighs a third.
        assert_eq!(share.share_of(|row| row.contains(0)), 2.0);
        assert_eq!(two_rows().share_of(|row| row.contains(0)), 2.0);
        assert_eq!(two_rows().share_of(|row| row.contains(1)), 1.0);
    }
}
