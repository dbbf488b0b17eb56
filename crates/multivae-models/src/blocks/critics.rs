//! Critics of decoded values: one per modality, which learns to tell them from observed ones.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor};
use multivae_core::{
    Result,
    batch::{Batch, Values},
    modality::{ModalityName, ModalitySpec},
    module::Named,
    nn::{LayerConfig, Network, NetworkConfig, NetworkNet, Networks},
    subset::Subset,
};

use crate::blocks::adversary::Critic;

/// Channels of the first convolution of the default critics: a quarter of the published ones, which take
/// most of a step on a CPU.
const CHANNELS: usize = 16;

/// Most halvings of an image before its patches are judged, as in the published networks.
const MOST_HALVINGS: usize = 6;

/// A map of fewer rows or columns is not halved.
const SMALLEST_HALVED: usize = 8;

/// A critic that suits the shape of a modality: convolutions that judge the patches of an image, else
/// a perceptron.
///
/// Source: Isola et al. 2017, "Image-to-Image Translation with Conditional Adversarial Networks", with
/// normalisation of each image, as Dorent et al. 2023 have it.
pub fn default_critic(spec: &ModalitySpec) -> NetworkConfig {
    match spec.shape.as_slice() {
        &[_, height, width] if height.min(width) >= SMALLEST_HALVED => {
            let mut layers = Vec::new();
            let (mut size, mut halvings) = (height.min(width), 0);
            while size >= SMALLEST_HALVED && halvings < MOST_HALVINGS {
                judge(&mut layers, CHANNELS << halvings.min(2), 2);
                (size, halvings) = (size / 2, halvings + 1);
            }
            judge(&mut layers, CHANNELS << halvings.min(2), 1);
            layers.push(LayerConfig::conv2d(1, 4, 1, 1));
            NetworkConfig::layers(layers)
        }
        _ => NetworkConfig::mlp(),
    }
}

/// A convolution of kernel 4, normalised but for the first.
fn judge(layers: &mut Vec<LayerConfig>, channels: usize, stride: usize) {
    let first = layers.is_empty();
    layers.push(LayerConfig::Conv2d {
        channels: Some(channels),
        kernel: 4.into(),
        stride: stride.into(),
        padding: 1.into(),
        bias: first,
    });
    if !first {
        layers.push(LayerConfig::GroupNorm { groups: channels });
    }
    layers.push(LayerConfig::LeakyRelu { slope: 0.2 });
}

/// Fills in the critics that are not given.
///
/// # Errors
///
/// [`multivae_core::Error::UnknownModality`] for one of no modality.
pub fn complete(
    given: &mut BTreeMap<ModalityName, NetworkConfig>,
    specs: &[ModalitySpec],
) -> Result<()> {
    for name in given.keys() {
        Subset::named(specs, [name.as_str()])?;
    }
    for spec in specs {
        given.entry(spec.name.clone()).or_insert_with(|| default_critic(spec));
    }
    Ok(())
}

/// A critic for each modality, from its values to one value or one a patch.
///
/// # Errors
///
/// When a network cannot be built.
pub fn init(
    given: &BTreeMap<ModalityName, NetworkConfig>,
    specs: &[ModalitySpec],
    networks: &Networks,
    device: &Device,
) -> Result<Named<NetworkNet>> {
    let critic = |spec: &ModalitySpec| {
        let config = given.get(&spec.name).cloned().unwrap_or_else(|| default_critic(spec));
        // Layers and networks of the user may judge patches.
        let open = matches!(config, NetworkConfig::Layers { .. } | NetworkConfig::Custom { .. });
        let output: Option<&[usize]> = if open { None } else { Some(&[1]) };
        let name = format!("critic of `{}`", spec.name);
        let network = config.init(&name, &spec.shape, output, networks, device)?;
        Ok((spec.name.to_string(), network))
    };
    specs.iter().map(critic).collect()
}

/// The critics of a model's decoded values.
pub struct Critics<'a> {
    /// One per modality.
    pub networks: &'a Named<NetworkNet>,
    /// The modalities, in the model's order.
    pub modalities: &'a [ModalitySpec],
    /// What a critic's value means.
    pub kind: Critic,
}

impl Critics<'_> {
    /// `Σ_m d_m/M c_m`, `[sets, batch]`: what it costs decoded values that they are not taken for
    /// observed ones, from the values of each modality, `[sets, batch, features]`, `d_m` being the
    /// number of features. All modalities are judged, also those that a row lacks.
    pub fn generator(&self, batch: &Batch, decoded: &[Tensor<3>]) -> Tensor<2> {
        let count = self.modalities.len() as f64;
        let cost = |(m, values): (usize, &Tensor<3>)| {
            let features = self.modalities[m].features() as f64;
            self.of_decoded(batch, m, values.clone(), true) * (features / count)
        };
        let sum = decoded.iter().enumerate().map(cost).reduce(|sum, cost| sum + cost);
        sum.expect("there are modalities")
    }

    /// What critics learn from, `[1]` each, summed over modalities: the cost of observed values,
    /// averaged over the rows that observe the modality, and of decoded ones `[sets, batch, features]`,
    /// with weights of the sets `[sets, batch]` by modality that add up to at most 1 in each row. No
    /// gradient reaches what decodes.
    pub fn losses(
        &self,
        batch: &Batch,
        decoded: &[Tensor<3>],
        weights: &[Tensor<2>],
    ) -> (Tensor<1>, Tensor<1>) {
        let rows = batch.rows() as f64;
        let of = |(m, values): (usize, &Tensor<3>)| {
            let real = self.of_observed(batch, m).sum() / batch.share_of(|row| row.contains(m));
            let cost = self.of_decoded(batch, m, values.clone().detach(), false);
            (real, (cost * weights[m].clone()).sum() / rows)
        };
        let sum = decoded.iter().enumerate().map(of).reduce(|a, b| (a.0 + b.0, a.1 + b.1));
        sum.expect("there are modalities")
    }

    /// The cost of decoded values of a modality, `[sets, batch]`.
    fn of_decoded(&self, batch: &Batch, m: usize, values: Tensor<3>, real: bool) -> Tensor<2> {
        let [sets, rows, features] = values.dims();
        // What is missing is 0 in observed values: it must be 0 here too.
        let values = match observed_cells(batch, &self.modalities[m], m) {
            None => values,
            Some(cells) => {
                let observes = batch.presence().of(m).unsqueeze_dim::<2>(1);
                let visible = cells * observes.clone() + (observes.neg() + 1.0);
                values * visible.unsqueeze_dim::<3>(0)
            }
        };
        let judged = self.networks.at(m).forward(values.reshape([sets * rows, features]));
        let cost = self.kind.cost(judged, real).mean_dim(1);
        cost.reshape([sets, rows])
    }

    /// The cost of observed values of a modality, `[batch]`; 0 in rows that lack it.
    fn of_observed(&self, batch: &Batch, m: usize) -> Tensor<1> {
        let values = batch.target(m).values.flat(classes(&self.modalities[m]));
        let judged = self.networks.at(m).forward_observed(&Values::Dense(values), batch, m);
        let cost = self.kind.cost(judged, true).mean_dim(1).squeeze_dim::<1>(1);
        cost * batch.presence().of(m)
    }
}

/// How many classes a token of a modality has.
fn classes(spec: &ModalitySpec) -> usize {
    spec.shape.last().copied().unwrap_or(1)
}

/// 1 where a cell of a modality is observed, `[batch, features]`; `None` if all are. In rows that lack
/// the modality it means nothing.
fn observed_cells(batch: &Batch, spec: &ModalitySpec, m: usize) -> Option<Tensor<2>> {
    match &batch.values()[m] {
        Values::Dense(_) => batch.cells(m).cloned(),
        Values::Tokens { mask, .. } => {
            let ([rows, length], classes) = (mask.dims(), classes(spec));
            let cells = mask.clone().unsqueeze_dim::<3>(2).expand([rows, length, classes]);
            Some(cells.reshape([rows, length * classes]))
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::module::Module;
    use multivae_core::{batch::Presence, module::init_parameters};

    use super::*;

    fn critics(specs: &[ModalitySpec]) -> Named<NetworkNet> {
        let mut given = BTreeMap::new();
        complete(&mut given, specs).expect("no names");
        let networks = init(&given, specs, &Networks::default(), &Device::flex());
        init_parameters(networks.expect("defaults"))
    }

    fn spec(name: &str, shape: &[usize]) -> ModalitySpec {
        ModalitySpec::new(name, shape).expect("valid")
    }

    #[test]
    fn images_are_judged_by_their_patches() {
        for (shape, patches) in [([1, 8, 8], 4), ([3, 28, 28], 25), ([1, 64, 48], 6 * 4)] {
            let networks = critics(&[spec("scan", &shape)]);
            let found: usize = networks.at(0).output_shape().iter().product();
            assert_eq!(found, patches, "{shape:?}");
        }
        let networks = critics(&[spec("blood", &[5])]);
        assert_eq!(networks.at(0).output_shape(), [1]);
        assert!(networks.at(0).num_params() > 0);
    }

    #[test]
    fn what_is_decoded_where_nothing_was_observed_is_judged_by_its_observed_cells() {
        let device = Device::flex();
        let specs = [spec("a", &[2]), spec("b", &[2])];
        let networks = critics(&specs);
        let critics =
            Critics { networks: &networks, modalities: &specs, kind: Critic::LeastSquares };
        let values = || Values::Dense(Tensor::ones([3, 2], &device));
        let rows = vec![Subset::full(2), Subset::full(2), Subset::single(1)];
        let cells = Tensor::from_floats([[1.0, 0.0], [1.0, 1.0], [1.0, 0.0]], &device);
        let batch = Batch::new(vec![values(), values()], Presence::new(rows, 2, &device))
            .and_then(|batch| batch.with_cells(vec![Some(cells), None]))
            .expect("one size");
        let cost = |hidden: f32| -> Vec<f32> {
            let decoded = [[0.5, hidden]; 3];
            let decoded = Tensor::<2>::from_floats(decoded, &device).unsqueeze_dim::<3>(0);
            let cost = critics.of_decoded(&batch, 0, decoded, true);
            cost.into_data().try_into_vec().expect("floats")
        };
        let (one, other) = (cost(3.0), cost(-7.0));
        assert_eq!(one[0], other[0], "the cell was not observed");
        assert_ne!(one[1], other[1]);
        assert_ne!(one[2], other[2], "a row that lacks the modality hides no cell");
        // Rows that lack a modality show the critic nothing real.
        let real: Vec<f32> =
            critics.of_observed(&batch, 0).into_data().try_into_vec().expect("f32");
        assert!(real[0] > 0.0 && real[2] == 0.0, "{real:?}");
    }
}
