//! What networks see of a batch while they learn: the rows that observe a modality.
//!
//! A layer that takes statistics of a batch, as batch normalisation does, mixes its rows, so that
//! whatever stands for a modality in a row that lacks it would reach all others. Networks with such
//! layers, and networks of the user, of which this cannot be known, are therefore run on the rows
//! that observe their modality alone. Where no statistics are taken, in evaluation, and where no
//! layer mixes rows, all rows go through at once.

use burn::tensor::{Device, IndexingUpdateOp, Int, Tensor, TensorData};

use super::{Encoder, EncoderNet, Encoding, NetworkNet};
use crate::{
    batch::{Batch, Values},
    distribution::Normal,
};

/// The rows of a batch that observe a modality, where a network may see no others.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use multivae_core::{batch::{Batch, Presence, Values}, nn::ObservedRows, subset::Subset};
///
/// let device = Device::flex().autodiff();
/// let values = Tensor::<2>::from_floats([[1.0], [2.0], [3.0]], &device);
/// let rows = vec![Subset::single(1), Subset::full(2), Subset::full(2)];
/// let values = vec![Values::Dense(values.clone()), Values::Dense(values)];
/// let batch = Batch::new(values, Presence::new(rows, 2, &device))?;
/// // Every row observes the second modality.
/// assert!(ObservedRows::in_training(&batch, 1).is_none());
/// let rows = ObservedRows::in_training(&batch, 0).expect("the first row lacks it");
/// let Values::Dense(seen) = rows.take(&batch.values()[0]) else { unreachable!() };
/// assert_eq!(seen.clone().into_data().try_into_vec::<f32>().expect("floats"), [2.0, 3.0]);
/// let placed = rows.place(seen);
/// assert_eq!(placed.into_data().try_into_vec::<f32>().expect("floats"), [0.0, 2.0, 3.0]);
/// # Ok::<(), multivae_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ObservedRows {
    /// Their places in the batch, ascending.
    places: Vec<usize>,
    /// Rows of the batch.
    rows: usize,
}

impl ObservedRows {
    /// The rows of a batch that observe a modality; `None` where a network may see all rows, since
    /// all observe it, or since nothing learns from the batch, so that no statistics are taken.
    pub fn in_training(batch: &Batch, modality: usize) -> Option<Self> {
        let rows = batch.presence().rows();
        let learns = batch.device().is_autodiff();
        (learns && rows.iter().any(|row| !row.contains(modality))).then(|| Self {
            places: (0..rows.len()).filter(|&row| rows[row].contains(modality)).collect(),
            rows: rows.len(),
        })
    }

    /// Whether no row observes the modality.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// These rows of values of the batch, or of each batch of a stack `[stack * batch, ..]`.
    ///
    /// # Panics
    ///
    /// If there are none.
    pub fn take(&self, values: &Values) -> Values {
        let places = self.indices(values.rows() / self.rows, &values.device());
        match values {
            Values::Dense(values) => Values::Dense(values.clone().select(0, places)),
            Values::Tokens { ids, mask } => Values::Tokens {
                ids: ids.clone().select(0, places.clone()),
                mask: mask.clone().select(0, places),
            },
        }
    }

    /// Results of these rows, `[stack * observed, features]`, at the places of the rows that they
    /// are of, `[stack * batch, features]`; zeros elsewhere.
    ///
    /// # Panics
    ///
    /// If there are no rows.
    pub fn place(&self, results: Tensor<2>) -> Tensor<2> {
        let [rows, features] = results.dims();
        let stack = rows / self.places.len();
        let places = self.indices(stack, &results.device());
        Tensor::zeros([stack * self.rows, features], &results.device()).select_assign(
            0,
            places,
            results,
            IndexingUpdateOp::Add,
        )
    }

    fn indices(&self, stack: usize, device: &Device) -> Tensor<1, Int> {
        let of = |part: usize| self.places.iter().map(move |row| (part * self.rows + row) as i64);
        let places: Vec<i64> = (0..stack).flat_map(of).collect();
        let length = places.len();
        Tensor::from_data(TensorData::new(places, [length]), device)
    }
}

/// What a network makes of the rows that it may see.
enum Seen<T> {
    All(T),
    Some(T, ObservedRows),
    /// Its result would have so many rows.
    None(usize),
}

impl<T> Seen<T> {
    fn run(
        mixes_rows: bool,
        values: &Values,
        batch: &Batch,
        modality: usize,
        net: impl Fn(&Values) -> T,
    ) -> Self {
        let rows = mixes_rows.then(|| ObservedRows::in_training(batch, modality)).flatten();
        match rows {
            None => Self::All(net(values)),
            Some(rows) if rows.is_empty() => Self::None(values.rows()),
            Some(rows) => Self::Some(net(&rows.take(values)), rows),
        }
    }
}

impl EncoderNet {
    /// As [`Encoder::encode`] on what it reads of a modality of a batch, `[batch, ..]` or a stack
    /// of such, where rows that lack the modality have no influence on the others, not even by the
    /// statistics that layers take of a batch while they learn. What comes out for these rows means
    /// nothing.
    pub fn encode_observed(&self, values: &Values, batch: &Batch, modality: usize) -> Encoding {
        let net = |values: &Values| self.encode(values);
        match Seen::run(self.mixes_rows(), values, batch, modality, net) {
            Seen::All(encoding) => encoding,
            Seen::Some(Encoding { shared, private }, rows) => {
                let place = |posterior: Normal<2>| posterior.map(|x| rows.place(x));
                Encoding { shared: place(shared), private: private.map(place) }
            }
            Seen::None(rows) => {
                let zeros = |features| {
                    let zeros = Tensor::zeros([rows, features], &batch.device());
                    Normal::new(zeros.clone(), zeros)
                };
                Encoding {
                    shared: zeros(self.latent_shape().iter().product()),
                    private: self.private_features().map(zeros),
                }
            }
        }
    }
}

impl NetworkNet {
    /// As [`NetworkNet::forward_values`] on what it reads of a modality of a batch; see
    /// [`EncoderNet::encode_observed`].
    pub fn forward_observed(&self, values: &Values, batch: &Batch, modality: usize) -> Tensor<2> {
        let net = |values: &Values| self.forward_values(values);
        match Seen::run(self.mixes_rows(), values, batch, modality, net) {
            Seen::All(output) => output,
            Seen::Some(output, rows) => rows.place(output),
            Seen::None(rows) => {
                let features = self.output_shape().iter().product();
                Tensor::zeros([rows, features], &batch.device())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::module::Module;

    use super::*;
    use crate::{
        batch::Presence,
        module::init_parameters,
        nn::{BranchConfig, EncoderConfig, Layer, LayerConfig, Networks},
        subset::Subset,
    };

    fn encoder(device: &Device) -> EncoderNet {
        let layers = vec![LayerConfig::linear(3), LayerConfig::BatchNorm {}, LayerConfig::Tanh {}];
        let config = EncoderConfig::Branches(BranchConfig::new(layers).into());
        let net = config.init("a", &[2], Some(&[2]), Some(1), &Networks::default(), device);
        init_parameters(net.expect("any shape"))
    }

    /// Rows of which some lack the first modality, and hold a filler.
    fn batch(observed: &[bool], filler: f32) -> Batch {
        let device = Device::flex().autodiff();
        let values: Vec<f32> = observed
            .iter()
            .enumerate()
            .flat_map(|(row, observed)| {
                let row = row as f32;
                if *observed { [row.sin(), row.cos() * 2.0] } else { [filler; 2] }
            })
            .collect();
        let rows = observed.iter().map(|&observed| match observed {
            true => Subset::full(2),
            false => Subset::single(1),
        });
        let presence = Presence::new(rows.collect(), 2, &device);
        let values = Tensor::from_data(TensorData::new(values, [observed.len(), 2]), &device);
        let values = Values::Dense(values);
        Batch::new(vec![values.clone(), values], presence).expect("as many rows")
    }

    fn floats<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
        tensor.into_data().try_into_vec().expect("floats")
    }

    /// Running mean and variance.
    fn statistics(net: &EncoderNet) -> Vec<f32> {
        let EncoderNet::Branches(branches) = net else { panic!("of layers") };
        let Layer::BatchNorm(norm) = &branches.shared.trunk.layers()[1] else { panic!("second") };
        let (mean, variance) = (norm.running_mean.value_sync(), norm.running_var.value_sync());
        floats(Tensor::cat(vec![mean, variance], 0))
    }

    #[test]
    fn rows_that_lack_a_modality_move_no_statistics() {
        let device = Device::flex().autodiff();
        let flags = [true, false, true, true, false, false];
        let net = encoder(&device);
        let record = || net.clone().into_record();
        let seen = |batch: &Batch| {
            // A clone would share its statistics.
            let net = encoder(&device).load_record(record());
            let mean = net.encode_observed(&batch.values()[0], batch, 0).shared.mean;
            (statistics(&net), floats(mean))
        };
        let (running, found) = seen(&batch(&flags, 0.0));
        // Of the observed rows alone.
        let values = batch(&flags, 0.0).values()[0].dense().expect("numbers").clone();
        let places = Tensor::<1, Int>::from_ints([0, 2, 3], &device);
        let alone = Batch::complete(vec![values.select(0, places)]).expect("one modality");
        let (expected, alone) = seen(&alone);
        assert_eq!(running, expected);
        assert_ne!(running, statistics(&net), "the step took statistics");
        for (place, row) in [0, 2, 3].into_iter().enumerate() {
            for feature in 0..2 {
                let (a, b) = (found[2 * row + feature], alone[2 * place + feature]);
                assert!((a - b).abs() < 1e-6, "row {row}: {a} and {b}");
            }
        }
        for filler in [5.0, 1e20, f32::NAN] {
            let of = seen(&batch(&flags, filler));
            assert_eq!(of, (running.clone(), found.clone()), "filler {filler}");
        }
    }

    #[test]
    fn one_observed_row_and_none_leave_the_statistics_and_stay_finite() {
        let device = Device::flex().autodiff();
        for flags in [vec![false, true, false], vec![false; 3], vec![true]] {
            let net = encoder(&device);
            let before = statistics(&net);
            let batch = batch(&flags, f32::INFINITY);
            let encoding = net.encode_observed(&batch.values()[0], &batch, 0);
            assert_eq!(statistics(&net), before, "{flags:?}");
            let private = encoding.private.expect("asked for").mean;
            assert_eq!(private.dims(), [flags.len(), 1]);
            assert!(floats(encoding.shared.mean).iter().all(|x| x.is_finite()), "{flags:?}");
        }
    }
}
