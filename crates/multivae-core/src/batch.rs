//! A batch: values of several modalities, and which of them are observed.

use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::{Error, Result, modality::ModalitySpec, subset::Subset};

/// Values of one modality, one row a sample. Rows whose modality is missing hold any filler.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "a batch has one a modality, not one a row")]
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

    /// From 0 and 1, row by row, `modalities` a row.
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
}

impl Progress {
    /// After all schedules have ended: evaluation of the objective itself.
    pub const DONE: Self = Self { epoch: usize::MAX, fraction: 0.0 };
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

/// Values of all modalities for some rows, which of them are observed, and the batch's place in a
/// run.
#[derive(Clone, Debug)]
pub struct Batch {
    /// One entry a modality, in the model's order.
    pub values: Vec<Values>,
    /// Which are observed.
    pub presence: Presence,
    /// Class labels, one a row, where the data has any. No model reads them.
    pub labels: Option<Vec<i64>>,
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
        let shape = |modality: String, expected: usize, found: usize, what: &str| Error::Shape {
            modality,
            expected: format!("{expected} {what}"),
            found: found.to_string(),
        };
        if values.len() != presence.modalities() {
            return Err(shape("all".into(), presence.modalities(), values.len(), "modalities"));
        }
        for (m, v) in values.iter().enumerate() {
            if v.rows() != presence.rows().len() {
                return Err(shape(m.to_string(), presence.rows().len(), v.rows(), "rows"));
            }
        }
        Ok(Self {
            values,
            presence,
            labels: None,
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

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.presence.rows().len()
    }

    /// Where the batch lies.
    pub fn device(&self) -> Device {
        self.presence.mask.device()
    }

    /// The values of a modality with zeros where it is missing, so that no filler, be it infinite
    /// or no number, reaches a network or a gradient.
    pub fn observed(&self, modality: usize) -> Values {
        let values = &self.values[modality];
        if self.presence.rows().iter().all(|row| row.contains(modality)) {
            return values.clone();
        }
        let missing = self.presence.of(modality).equal_scalar(0.0).unsqueeze_dim::<2>(1);
        match values {
            Values::Dense(values) => {
                let missing = missing.expand(values.dims());
                Values::Dense(values.clone().mask_fill(missing, 0.0))
            }
            Values::Tokens { ids, mask } => {
                let missing = missing.expand(ids.dims());
                Values::Tokens {
                    ids: ids.clone().mask_fill(missing.clone(), 0),
                    mask: mask.clone().mask_fill(missing, 0.0),
                }
            }
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
}
