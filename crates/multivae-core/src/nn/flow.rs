//! Normalizing flows: invertible maps between data and a simple base distribution, with the
//! log-determinants of their Jacobians.

use std::ops::Range;

use burn::{
    module::{Flag, Module, Param, RunningState},
    nn::{Initializer, Linear, LinearConfig},
    tensor::{Device, Int, Tensor, TensorData, activation::relu},
};
use multivae_kernels::{Activation, FlowFactor, activate, linear};
use serde::{Deserialize, Serialize};

use crate::{
    Error, Result,
    distribution::LOG_VAR_LIMIT,
    options,
    options::{Field, Options},
};

/// A flow as data.
///
/// Each of its blocks is affine in every feature, `y_i = (x_i - mu_i) exp(-s_i)`, with shifts and
/// log-scales from a masked perceptron that sees the features before `i` only. The order of
/// features is reversed after every block, and after every batch normalisation. Of one feature it
/// is an affine map with constants.
///
/// Both kinds have the options of [`FlowBlocks`].
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use multivae_core::nn::FlowConfig;
///
/// let flow = FlowConfig::maf().init("flow of `photo`", 3, &Device::flex())?;
/// let data = Tensor::from_floats([[0.5, -1.0, 2.0]], &Device::flex());
/// let base = flow.forward(data.clone());
/// let back = flow.inverse(base.value);
/// assert!(back.value.all_close(data, None, Some(1e-4)));
/// # Ok::<(), multivae_core::Error>(())
/// ```
///
/// Source: Germain et al. 2015 for the masks; Papamakarios et al. 2017, arXiv 1705.07057; Kingma
/// et al. 2016, arXiv 1606.04934.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum FlowConfig {
    /// The masked autoregressive flow: `mu` and `s` see the data, so that densities take one pass
    /// and samples one step per feature.
    Maf(FlowBlocks),
    /// The inverse autoregressive flow: `mu` and `s` see the base, so that samples take one pass
    /// and densities one step per feature.
    Iaf(FlowBlocks),
}

options! {
    /// Number and size of the blocks of a flow.
    #[derive(Copy)]
    pub struct FlowBlocks {
        /// Blocks, one after the other, at least 1.
        pub blocks: usize = 2,
        /// Width of the hidden layers of a block, at least 1.
        pub hidden: usize = 128,
        /// Hidden layers of a block.
        pub layers: usize = 3,
        /// Whether a batch normalisation follows each block.
        pub batch_norm: bool = false,
    }
}

impl Options for FlowConfig {
    fn options() -> Vec<Field> {
        let kind = &[" \"maf\" (fast densities) or \"iaf\" (fast samples)."];
        let kind = Field { name: "kind", lines: kind, table: Vec::new() };
        [kind].into_iter().chain(FlowBlocks::options()).collect()
    }
}

impl Default for FlowConfig {
    fn default() -> Self {
        Self::maf()
    }
}

impl FlowConfig {
    /// The masked autoregressive flow of default size.
    pub fn maf() -> Self {
        Self::Maf(FlowBlocks::default())
    }

    /// The inverse autoregressive flow of default size.
    pub fn iaf() -> Self {
        Self::Iaf(FlowBlocks::default())
    }

    /// `field` is where it stands in a configuration.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if a value is out of its range.
    pub fn check(&self, field: &str) -> Result<()> {
        let (Self::Maf(FlowBlocks { blocks, hidden, .. })
        | Self::Iaf(FlowBlocks { blocks, hidden, .. })) = self;
        at_least_one(&format!("{field}.blocks"), *blocks)?;
        at_least_one(&format!("{field}.hidden"), *hidden)
    }

    /// Builds a flow of so many features. `name` says in errors which flow of the model it is.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if a value is out of its range or there are no features.
    pub fn init(&self, name: &str, features: usize, device: &Device) -> Result<FlowNet> {
        self.check(name)?;
        at_least_one(&format!("features of {name}"), features)?;
        let (fast, FlowBlocks { blocks, hidden, layers, batch_norm }) = match *self {
            Self::Maf(blocks) => (Way::Base, blocks),
            Self::Iaf(blocks) => (Way::Data, blocks),
        };
        let norms = if batch_norm { blocks } else { 0 };
        Ok(FlowNet {
            blocks: (0..blocks).map(|_| Made::new(features, hidden, layers, device)).collect(),
            norms: (0..norms).map(|_| FlowNorm::new(features, device)).collect(),
            features,
            fast,
        })
    }
}

fn at_least_one(field: &str, value: usize) -> Result<()> {
    if value > 0 {
        return Ok(());
    }
    Err(Error::Config {
        field: field.to_owned(),
        expected: "at least 1".into(),
        found: value.to_string(),
    })
}

/// What a flow makes of values.
#[derive(Clone, Debug)]
pub struct Transformed {
    /// The values at the other end, `[rows, features]`.
    pub value: Tensor<2>,
    /// Log of the absolute determinant of their Jacobian with respect to what went in, `[rows]`,
    /// nats.
    pub log_det: Tensor<1>,
}

/// A direction of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// From data to base.
    Base,
    /// From base to data.
    Data,
}

impl Way {
    /// The affine map of this direction.
    fn map(self, x: Tensor<2>, shift: Tensor<2>, log_scale: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Base => (x - shift) * log_scale.neg().exp(),
            Self::Data => x * log_scale.exp() + shift,
        }
    }

    /// Its log-determinant `[rows]` from log-scales `[rows, features]`.
    fn log_det(self, log_scale: Tensor<2>) -> Tensor<1> {
        let sum = log_scale.sum_dim(1).squeeze_dim(1);
        match self {
            Self::Base => sum.neg(),
            Self::Data => sum,
        }
    }
}

/// A normalizing flow; see [`FlowConfig`].
///
/// Parameters are `blocks.K.layers.L.weight` `[inputs, outputs]` and `.bias`, and
/// `norms.K.log_gamma`, `.beta`, `.running_mean` and `.running_var`. Weights that a mask hides
/// stay what they are: they touch no result and their gradient is 0.
///
/// The density of data `x` is `log p(x) = log p_base(forward(x).value) + forward(x).log_det`.
#[derive(Module, Debug)]
pub struct FlowNet {
    blocks: Vec<Made>,
    /// One per block, or none.
    norms: Vec<FlowNorm>,
    #[module(skip)]
    features: usize,
    /// The direction that is one pass.
    #[module(skip)]
    fast: Way,
}

impl FlowNet {
    /// Number of features.
    pub fn features(&self) -> usize {
        self.features
    }

    /// From data to base, `[rows, features]`: one pass of a masked autoregressive flow, one step
    /// per feature of an inverse one.
    ///
    /// On an autodiff device batch normalisations use the statistics of the batch and update the
    /// running ones, unless the flow is frozen or [validated](Module::valid), or the batch is one
    /// row, which has no variance; gradients pass by the statistics.
    pub fn forward(&self, data: Tensor<2>) -> Transformed {
        let mut at = Transformed::start(data);
        for (k, block) in self.blocks.iter().enumerate() {
            at = at.then(|x| block.through(x, Way::Base, self.fast)).reversed();
            if let Some(norm) = self.norms.get(k) {
                at = at.then(|x| norm.forward(x)).reversed();
            }
        }
        at
    }

    /// From base to data, `[rows, features]`: one step per feature of a masked autoregressive flow,
    /// one pass of an inverse one.
    ///
    /// Batch normalisations use the running statistics, always.
    pub fn inverse(&self, base: Tensor<2>) -> Transformed {
        let mut at = Transformed::start(base);
        for (k, block) in self.blocks.iter().enumerate().rev() {
            if let Some(norm) = self.norms.get(k) {
                at = at.reversed().then(|y| norm.inverse(y));
            }
            at = at.reversed().then(|y| block.through(y, Way::Data, self.fast));
        }
        at
    }
}

impl FlowNet {
    /// The density of rows that it maps to a normal distribution with a mean and a deviation, both
    /// `[batch, features]`, to a power per row: for evaluations that want no gradients in weights.
    /// `None` if it is not one pass of affine layers from data to base.
    pub(crate) fn factor(
        &self,
        mean: Tensor<2>,
        scale: Tensor<2>,
        power: Vec<f32>,
    ) -> Option<FlowFactor> {
        if self.fast != Way::Base || !self.norms.is_empty() {
            return None;
        }
        let layers = |block: &Made| {
            let layers = block.by_degree().into_iter();
            layers.map(|Sorted { weight, bias }| (weight, bias.squeeze_dim(0))).collect()
        };
        let blocks = self.blocks.iter().map(layers).collect();
        Some(FlowFactor { blocks, limit: LIMIT, mean, scale, power })
    }
}

impl Transformed {
    fn start(value: Tensor<2>) -> Self {
        let log_det = Tensor::zeros([value.dims()[0]], &value.device());
        Self { value, log_det }
    }

    fn then(self, step: impl FnOnce(Tensor<2>) -> Self) -> Self {
        let Self { value, log_det } = step(self.value);
        Self { value, log_det: self.log_det + log_det }
    }

    fn reversed(self) -> Self {
        Self { value: self.value.flip([1]), ..self }
    }
}

/// A perceptron whose shift and log-scale of feature `i` see the features before `i` only.
///
/// Feature `i` has degree `i` and hidden unit `j` degree `j mod (features - 1)`. Units see units
/// of degree up to their own, and the outputs of feature `i` see degrees below `i`. Of one feature
/// there are no hidden layers, since no output could see them.
#[derive(Module, Debug)]
struct Made {
    layers: Vec<Masked>,
    /// Hidden units by degree, a constant.
    order: Tensor<1, Int>,
}

/// A linear layer some of whose weights count as 0.
#[derive(Module, Debug)]
struct Masked {
    /// `[inputs, outputs]`.
    weight: Param<Tensor<2>>,
    /// `[outputs]`.
    bias: Param<Tensor<1>>,
    /// 1 where a weight counts, a constant, `[inputs, outputs]`.
    mask: Tensor<2>,
}

impl Masked {
    /// A layer whose units have degrees, where `sees` tells by degree which outputs see which
    /// inputs.
    fn new(
        inputs: &[usize],
        outputs: &[usize],
        sees: fn(usize, usize) -> bool,
        device: &Device,
    ) -> Self {
        let shape = [inputs.len(), outputs.len()];
        let mask: Vec<f32> = inputs
            .iter()
            .flat_map(|&i| outputs.iter().map(move |&o| f32::from(u8::from(sees(i, o)))))
            .collect();
        let Linear { weight, bias } = LinearConfig::new(shape[0], shape[1]).init(device);
        let bias = bias.expect("a bias is the default");
        Self { weight, bias, mask: Tensor::from_data(TensorData::new(mask, shape), device) }
    }

    fn forward(&self, x: Tensor<2>, activation: Activation) -> Tensor<2> {
        linear(x, self.weight.val() * self.mask.clone(), Some(self.bias.val()), activation)
    }
}

/// A layer whose units are sorted by degree, for a computation degree by degree.
struct Sorted {
    /// `[inputs, outputs]`.
    weight: Tensor<2>,
    /// `[1, outputs]`.
    bias: Tensor<2>,
}

impl Sorted {
    /// The outputs of a range, from the inputs that they see, which are the first ones: `[rows,
    /// range]`, or `[1, range]` if they see none.
    fn part(&self, known: Option<&Tensor<2>>, units: Range<usize>) -> Tensor<2> {
        let bias = self.bias.clone().slice([0..1, units.clone()]);
        let Some(known) = known else { return bias };
        let weight = self.weight.clone().slice([0..known.dims()[1], units]);
        known.clone().matmul(weight) + bias
    }
}

impl Made {
    fn new(features: usize, hidden: usize, layers: usize, device: &Device) -> Self {
        let degrees = (features - 1).max(1);
        let mut before: Vec<usize> = (0..features).collect();
        let mut built = Vec::new();
        for _ in 0..if features == 1 { 0 } else { layers } {
            let after: Vec<usize> = (0..hidden).map(|unit| unit % degrees).collect();
            built.push(Masked::new(&before, &after, |input, output| input <= output, device));
            before = after;
        }
        let outputs: Vec<usize> = (0..2 * features).map(|output| output % features).collect();
        built.push(Masked::new(&before, &outputs, |input, output| input < output, device));
        let order: Vec<i64> = (0..degrees)
            .flat_map(|degree| (degree..hidden).step_by(degrees))
            .map(|unit| unit as i64)
            .collect();
        let order = Tensor::from_data(TensorData::new(order, [hidden]), device);
        Self { layers: built, order }
    }

    /// The affine map of one direction. Shifts and log-scales come from what goes in if the
    /// direction is the fast one, else from what comes out.
    fn through(&self, x: Tensor<2>, way: Way, fast: Way) -> Transformed {
        if way != fast {
            return self.stepwise(x, way);
        }
        let (shift, log_scale) = self.shift_and_log_scale(x.clone());
        Transformed { value: way.map(x, shift, log_scale.clone()), log_det: way.log_det(log_scale) }
    }

    /// Of all features at once, each `[rows, features]`.
    fn shift_and_log_scale(&self, x: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let features = x.dims()[1];
        let (last, hidden) = self.layers.split_last().expect("there is a layer of outputs");
        let x = hidden.iter().fold(x, |x, layer| layer.forward(x, Activation::Relu));
        let outputs = last.forward(x, Activation::Identity);
        (outputs.clone().narrow(1, 0, features), bounded(outputs.narrow(1, features, features)))
    }

    /// Feature by feature, each from those that came out before it.
    ///
    /// Every hidden unit is computed once, as soon as the features that it sees are there, so that
    /// all steps together are the work of one pass.
    fn stepwise(&self, x: Tensor<2>, way: Way) -> Transformed {
        let [rows, features] = x.dims();
        let (hidden, outputs) = self.sorted(features);
        let degrees = (features - 1).max(1);
        let units = self.order.dims()[0];
        // Number of hidden units of degree below.
        let below = |degree: usize| degree * (units / degrees) + degree.min(units % degrees);
        // What is known of the input of each layer, units by degree.
        let mut known: Vec<Option<Tensor<2>>> = vec![None; self.layers.len()];
        let (mut values, mut log_scales) = (Vec::new(), Vec::new());
        for i in 0..features {
            let seen = known.last().expect("there is a layer of outputs").as_ref();
            let output = outputs.part(seen, 2 * i..2 * i + 2).expand([rows, 2]);
            let (shift, log_scale) =
                (output.clone().narrow(1, 0, 1), bounded(output.narrow(1, 1, 1)));
            let value = way.map(x.clone().narrow(1, i, 1), shift, log_scale.clone());
            log_scales.push(log_scale);
            values.push(value.clone());
            append(&mut known[0], value);
            let new = below(i)..below(i + 1);
            // Nothing sees the last feature.
            if i + 1 == features || new.is_empty() {
                continue;
            }
            for (l, layer) in hidden.iter().enumerate() {
                let part = relu(layer.part(known[l].as_ref(), new.clone()));
                append(&mut known[l + 1], part);
            }
        }
        Transformed {
            value: Tensor::cat(values, 1),
            log_det: way.log_det(Tensor::cat(log_scales, 1)),
        }
    }

    /// The layers with hidden units by degree and without the weights that a mask hides.
    fn by_degree(&self) -> Vec<Sorted> {
        let sort = |weight: Tensor<2>, axis: usize| weight.select(axis, self.order.clone());
        let last = self.layers.len() - 1;
        let sorted = self.layers.iter().enumerate().map(|(l, layer)| {
            let mut weight = layer.weight.val() * layer.mask.clone();
            let mut bias = layer.bias.val().unsqueeze_dim::<2>(0);
            if l > 0 {
                weight = sort(weight, 0);
            }
            if l < last {
                (weight, bias) = (sort(weight, 1), sort(bias, 1));
            }
            Sorted { weight, bias }
        });
        sorted.collect()
    }

    /// The hidden layers, and the layer of outputs with the two of a feature side by side.
    fn sorted(&self, features: usize) -> (Vec<Sorted>, Sorted) {
        let mut hidden = self.by_degree();
        let Sorted { weight, bias } = hidden.pop().expect("there is a layer of outputs");
        let pairs = |x: Tensor<2>| -> Tensor<2> {
            let rows = x.dims()[0];
            x.reshape([rows, 2, features]).swap_dims(1, 2).reshape([rows, 2 * features])
        };
        (hidden, Sorted { weight: pairs(weight), bias: pairs(bias) })
    }
}

/// Appends columns.
fn append(to: &mut Option<Tensor<2>>, columns: Tensor<2>) {
    *to = Some(match to.take() {
        Some(before) => Tensor::cat(vec![before, columns], 1),
        None => columns,
    });
}

/// A batch normalisation as a step of a flow: affine in each feature, with statistics that are
/// constants to gradients.
#[derive(Module, Debug)]
struct FlowNorm {
    log_gamma: Param<Tensor<1>>,
    beta: Param<Tensor<1>>,
    running_mean: RunningState<Tensor<1>>,
    running_var: RunningState<Tensor<1>>,
    /// Whether it takes part in training.
    training: Param<Flag>,
}

/// Weight of a batch in the running statistics.
const MOMENTUM: f64 = 0.1;

/// What is added to variances.
const EPSILON: f64 = 1e-5;

impl FlowNorm {
    fn new(features: usize, device: &Device) -> Self {
        Self {
            log_gamma: Initializer::Zeros.init([features], device),
            beta: Initializer::Zeros.init([features], device),
            running_mean: RunningState::new(Tensor::zeros([features], device)),
            running_var: RunningState::new(Tensor::ones([features], device)),
            training: Param::from_bool(true),
        }
    }

    fn forward(&self, x: Tensor<2>) -> Transformed {
        // As Burn's own batch normalisation decides it; one row has no variance.
        let training = x.device().is_autodiff() && self.training.is_enabled() && x.dims()[0] > 1;
        let (mean, variance) = if training {
            let (variance, mean) = x.clone().detach().var_mean(0);
            let (mean, variance) = (mean.squeeze_dim::<1>(0), variance.squeeze_dim::<1>(0));
            let mix = |running: &RunningState<Tensor<1>>, of_batch: Tensor<1>| {
                let before = running.value_sync().to_device(&of_batch.device());
                running.update((before * (1.0 - MOMENTUM) + of_batch * MOMENTUM).detach());
            };
            mix(&self.running_mean, mean.clone());
            mix(&self.running_var, variance.clone());
            (mean, variance)
        } else {
            self.statistics()
        };
        let log_scale = self.log_scale(variance);
        let value = (x - mean.unsqueeze_dim(0)) * log_scale.clone().exp().unsqueeze_dim(0)
            + self.beta.val().unsqueeze_dim(0);
        let log_det = log_scale.sum().expand([value.dims()[0]]);
        Transformed { value, log_det }
    }

    fn inverse(&self, y: Tensor<2>) -> Transformed {
        let (mean, variance) = self.statistics();
        let log_scale = self.log_scale(variance).neg();
        let value = (y - self.beta.val().unsqueeze_dim(0))
            * log_scale.clone().exp().unsqueeze_dim(0)
            + mean.unsqueeze_dim(0);
        let log_det = log_scale.sum().expand([value.dims()[0]]);
        Transformed { value, log_det }
    }

    /// The running mean and variance.
    fn statistics(&self) -> (Tensor<1>, Tensor<1>) {
        (self.running_mean.value_sync(), self.running_var.value_sync())
    }

    /// Log of the factor of each feature.
    fn log_scale(&self, variance: Tensor<1>) -> Tensor<1> {
        self.log_gamma.val() - (variance + EPSILON).log() * 0.5
    }
}

/// Log-scales reach as far as those of posteriors, so that extreme values stay finite.
const LIMIT: f32 = LOG_VAR_LIMIT as f32 / 2.0;

/// Log-scales within ±[`LIMIT`].
fn bounded(log_scale: Tensor<2>) -> Tensor<2> {
    activate(log_scale, Activation::Clamp(LIMIT))
}

#[cfg(test)]
mod tests {
    use std::f32::consts::TAU;

    use burn::module::ModuleMapper;
    use proptest::prelude::*;

    use super::*;
    use crate::module::{init_parameters, parameters, tests::without_gradient};

    /// From blocks, width, hidden layers, and whether there is batch normalisation.
    type Kind = fn(usize, usize, usize, bool) -> FlowConfig;

    const KINDS: [Kind; 2] = [
        |blocks, hidden, layers, batch_norm| {
            FlowConfig::Maf(FlowBlocks { blocks, hidden, layers, batch_norm })
        },
        |blocks, hidden, layers, batch_norm| {
            FlowConfig::Iaf(FlowBlocks { blocks, hidden, layers, batch_norm })
        },
    ];

    /// A flow whose `p`-th parameter holds `0.6 sin(phase + 3 p + 1.7 k)`, over twice the number
    /// of inputs in weights, and 1 more in running variances.
    fn filled(config: &FlowConfig, features: usize, phase: f32, device: &Device) -> FlowNet {
        struct Fill {
            phase: f32,
            number: usize,
            name: String,
        }
        impl ModuleMapper for Fill {
            fn enter_module(&mut self, name: &str, _container: &str) {
                name.clone_into(&mut self.name);
            }
            fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
                let offset = f32::from(u8::from(self.name == "running_var"));
                let phase = self.phase + 3.0 * self.number as f32;
                self.number += 1;
                param.map(|old| {
                    let divisor = if D == 2 { 2 * old.dims()[0] } else { 1 } as f32;
                    let value = |k| offset + 0.6 * (phase + 1.7 * k as f32).sin() / divisor;
                    let data: Vec<f32> = (0..old.shape().num_elements()).map(value).collect();
                    Tensor::from_data(TensorData::new(data, old.shape()), &old.device())
                        .set_require_grad(old.is_require_grad())
                })
            }
        }
        let net = init_parameters(config.init("flow of `a`", features, device).expect("valid"));
        net.map(&mut Fill { phase, number: 0, name: String::new() })
    }

    fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
        tensor.into_data().try_into_vec().expect("floats")
    }

    fn matrix(values: Vec<f32>, columns: usize, device: &Device) -> Tensor<2> {
        let rows = values.len() / columns;
        Tensor::from_data(TensorData::new(values, [rows, columns]), device)
    }

    /// `[rows, features]` of values in ±1.5.
    fn some(rows: usize, features: usize, device: &Device) -> Tensor<2> {
        let values = (0..rows * features).map(|k| 1.5 * (0.3 + 2.3 * k as f32).sin()).collect();
        matrix(values, features, device)
    }

    fn close(found: &[f32], expected: &[f32], tolerance: f32) -> bool {
        found.len() == expected.len()
            && found
                .iter()
                .zip(expected)
                .all(|(f, e)| (f - e).abs() <= tolerance * e.abs().max(1.0))
    }

    /// `d f_i / d x_j` of one row, by backward passes.
    fn jacobian(x: &[f32], f: impl Fn(Tensor<2>) -> Tensor<2>) -> Vec<Vec<f64>> {
        let device = Device::flex().autodiff();
        let row = |i| {
            let x = matrix(x.to_vec(), x.len(), &device).require_grad();
            let gradients = f(x.clone()).narrow(1, i, 1).sum().backward();
            // Constants are not tracked.
            let gradient = x.grad(&gradients).map_or(vec![0.0; x.dims()[1]], values);
            gradient.into_iter().map(f64::from).collect()
        };
        let outputs = f(matrix(x.to_vec(), x.len(), &device)).dims()[1];
        (0..outputs).map(row).collect()
    }

    /// By elimination with the largest pivot.
    fn log_abs_det(mut a: Vec<Vec<f64>>) -> f64 {
        let n = a.len();
        let mut sum = 0.0;
        for k in 0..n {
            let pivot = (k..n).max_by(|&i, &j| a[i][k].abs().total_cmp(&a[j][k].abs()));
            a.swap(k, pivot.expect("a row is left"));
            sum += a[k][k].abs().ln();
            for i in k + 1..n {
                let factor = a[i][k] / a[k][k];
                let above = a[k].clone();
                a[i].iter_mut().zip(above).for_each(|(x, y)| *x -= factor * y);
            }
        }
        sum
    }

    #[test]
    fn flows_equal_values_computed_from_their_formulas() {
        // Two blocks with two hidden layers of 4, in double precision, element by element.
        let device = Device::flex();
        let x = matrix(vec![0.5, -1.0, 2.0, -0.3, 0.8, 0.1], 3, &device);
        let expected = [
            (
                KINDS[0](2, 4, 2, false),
                [0.96801, -0.12443, 1.17142, 0.09978, 2.53374, -0.32836],
                [0.23478, 0.23346],
            ),
            (
                KINDS[0](2, 4, 2, true),
                [-2.9226, -2.8751, 2.55076, -4.19138, 4.05827, 1.40573],
                [1.30341, 1.30283],
            ),
            (
                KINDS[1](2, 4, 2, false),
                [0.96743, -0.12469, 1.17123, 0.09981, 2.53368, -0.3283],
                [0.23433, 0.23338],
            ),
            (
                KINDS[1](2, 4, 2, true),
                [-2.9226, -2.87522, 2.55067, -4.19138, 4.05825, 1.40586],
                [1.30334, 1.30284],
            ),
        ];
        for (config, value, log_det) in expected {
            let found = filled(&config, 3, 1.0, &device).forward(x.clone());
            let found = (values(found.value), values(found.log_det));
            assert!(close(&found.0, &value, 2e-5), "{config:?}: {found:?}");
            assert!(close(&found.1, &log_det, 2e-5), "{config:?}: {found:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn the_inverse_undoes_the_flow_and_log_determinants_are_opposite(
            kind in 0..2_usize,
            features in 1..6_usize,
            blocks in 1..3_usize,
            hidden in 1..8_usize,
            layers in 0..4_usize,
            batch_norm: bool,
            phase in 0.0..TAU,
        ) {
            let device = Device::flex();
            let flow = filled(&KINDS[kind](blocks, hidden, layers, batch_norm), features, phase, &device);
            let x = some(4, features, &device);
            let there = flow.forward(x.clone());
            let back = flow.inverse(there.value.clone());
            prop_assert!(close(&values(back.value), &values(x.clone()), 1e-3));
            prop_assert!(close(&values(back.log_det), &values(there.log_det.neg()), 1e-3));
            let there = flow.inverse(x.clone());
            let back = flow.forward(there.value);
            prop_assert!(close(&values(back.value), &values(x), 1e-3));
            prop_assert!(close(&values(back.log_det), &values(there.log_det.neg()), 1e-3));
        }

        #[test]
        fn log_determinants_are_those_of_the_jacobian(
            kind in 0..2_usize,
            features in 1..6_usize,
            layers in 0..3_usize,
            batch_norm: bool,
            phase in 0.0..TAU,
        ) {
            let plain = Device::flex();
            let flow = filled(&KINDS[kind](2, 6, layers, batch_norm), features, phase, &plain).valid();
            let x = values(some(1, features, &plain));
            let at = matrix(x.clone(), features, &plain);
            let ways: [fn(&FlowNet, Tensor<2>) -> Transformed; 2] =
                [FlowNet::forward, FlowNet::inverse];
            for way in ways {
                let found = values(way(&flow, at.clone()).log_det)[0];
                let expected = log_abs_det(jacobian(&x, |x| way(&flow, x).value)) as f32;
                prop_assert!(close(&[found], &[expected], 1e-3), "{found} is not {expected}");
            }
        }
    }

    #[test]
    fn densities_integrate_to_one() {
        let device = Device::flex();
        for config in [KINDS[0](2, 8, 2, false), KINDS[0](1, 8, 1, true), KINDS[1](2, 8, 1, false)]
        {
            let flow = filled(&config, 2, 2.0, &device);
            let (n, step) = (400_i32, 0.05_f32);
            let axis = |k: i32| (k - n / 2) as f32 * step;
            let grid = (0..n).flat_map(|i| (0..n).flat_map(move |j| [axis(i), axis(j)])).collect();
            let base = flow.forward(matrix(grid, 2, &device));
            let log_density =
                base.value.square().sum_dim(1).squeeze_dim::<1>(1) * -0.5 - TAU.ln() + base.log_det;
            let total = values((log_density.exp() * step * step).sum())[0];
            assert!((total - 1.0).abs() < 2e-3, "{config:?}: {total}");
        }
    }

    #[test]
    fn shifts_and_scales_see_the_features_before_only() {
        let device = Device::flex();
        let mut seen = 0;
        for (features, hidden, layers) in [(4, 9, 2), (5, 2, 3), (3, 1, 0), (1, 3, 2)] {
            let flow = filled(&KINDS[0](1, hidden, layers, false), features, 0.5, &device);
            let made = &flow.blocks[0];
            let x = values(some(1, features, &device));
            let rows = jacobian(&x, |x| {
                let (shift, log_scale) = made.shift_and_log_scale(x);
                Tensor::cat(vec![shift, log_scale], 1)
            });
            for (output, row) in rows.iter().enumerate() {
                for (j, derivative) in row.iter().enumerate() {
                    assert!(j < output % features || *derivative == 0.0, "{output} sees {j}");
                    seen += usize::from(*derivative != 0.0);
                }
            }
        }
        assert!(seen > 10, "{seen}");
    }

    #[test]
    fn gradients_reach_all_parameters_and_no_masked_weight() {
        let device = Device::flex().autodiff();
        let ways: [fn(&FlowNet, Tensor<2>) -> Transformed; 2] =
            [FlowNet::forward, FlowNet::inverse];
        for kind in KINDS {
            for way in ways {
                let flow = filled(&kind(2, 7, 2, true), 4, 1.0, &device);
                let out = way(&flow, some(6, 4, &device));
                let loss = out.value.square().sum() + out.log_det.sum();
                let gradients = loss.backward();
                let without = without_gradient(&flow, &gradients);
                assert!(without.iter().all(|path| path.contains("running")), "{without:?}");
                for layer in flow.blocks.iter().flat_map(|block| &block.layers) {
                    let gradient = layer.weight.val().grad(&gradients).expect("just seen");
                    let mask = layer.mask.clone().inner();
                    let masked = gradient.clone() * (1.0 - mask);
                    assert!(values(masked).iter().all(|g| *g == 0.0));
                    assert!(values(gradient).iter().any(|g| *g != 0.0));
                }
            }
        }
    }

    #[test]
    fn training_uses_statistics_of_the_batch_as_constants_and_keeps_running_ones() {
        let device = Device::flex().autodiff();
        let norm = FlowNorm::new(1, &device);
        let x = matrix(vec![1.0, 2.0, 6.0], 1, &device).require_grad();
        // Mean 3, unbiased variance 7.
        let out = norm.forward(x.clone());
        let scale = 7.00001_f32.sqrt().recip();
        assert!(close(&values(out.value.clone()), &[-2.0 * scale, -scale, 3.0 * scale], 1e-5));
        assert!(close(&values(out.log_det), &[scale.ln(); 3], 1e-5));
        let gradients = out.value.sum().backward();
        assert!(close(&values(x.grad(&gradients).expect("tracked")), &[scale; 3], 1e-5));
        let held = norm.valid();
        assert!(close(&values(held.running_mean.value()), &[0.3], 1e-6));
        assert!(close(&values(held.running_var.value()), &[1.6], 1e-6));
        let at = matrix(vec![1.3], 1, &Device::flex());
        let expected = [1.60001_f32.sqrt().recip()];
        assert!(close(&values(held.forward(at).value), &expected, 1e-5));
        // Neither a validated copy nor a frozen one learns from what passes.
        let frozen = norm.freeze();
        frozen.forward(x.clone());
        held.forward(x);
        assert!(close(&values(frozen.running_mean.value_sync()), &[0.3], 1e-6));
        assert!(close(&values(held.running_mean.value_sync()), &[0.3], 1e-6));
    }

    #[test]
    fn a_batch_of_one_row_is_normalised_by_running_statistics() {
        let device = Device::flex().autodiff();
        let norm = FlowNorm::new(1, &device);
        let out = norm.forward(matrix(vec![2.0], 1, &device));
        assert!(close(&values(out.value), &[2.0 / 1.00001_f32.sqrt()], 1e-5));
        assert!(close(&values(norm.running_var.value_sync()), &[1.0], 1e-6));
    }

    #[test]
    fn weights_start_as_those_of_linear_layers() {
        let flow = init_parameters(
            KINDS[0](1, 50, 2, false).init("a", 4, &Device::flex()).expect("valid"),
        );
        for (layer, inputs) in flow.blocks[0].layers.iter().zip([4.0_f32, 50.0, 50.0]) {
            let bound = inputs.sqrt().recip();
            for drawn in [values(layer.weight.val()), values(layer.bias.val())] {
                assert!(drawn.iter().all(|w| w.abs() <= bound));
                assert!(drawn.iter().any(|w| w.abs() > 0.5 * bound));
            }
        }
    }

    #[test]
    fn paths_say_block_layer_and_field_and_masks_are_no_parameters() {
        let flow = KINDS[1](1, 5, 1, true).init("a", 3, &Device::flex()).expect("valid");
        let found: Vec<(String, Vec<usize>)> =
            parameters(&flow).into_iter().map(|p| (p.path, p.shape)).collect();
        let expected = [
            ("blocks.0.layers.0.weight", vec![3, 5]),
            ("blocks.0.layers.0.bias", vec![5]),
            ("blocks.0.layers.1.weight", vec![5, 6]),
            ("blocks.0.layers.1.bias", vec![6]),
            ("norms.0.log_gamma", vec![3]),
            ("norms.0.beta", vec![3]),
            ("norms.0.running_mean", vec![3]),
            ("norms.0.running_var", vec![3]),
        ];
        assert_eq!(found, expected.map(|(path, shape)| (path.to_owned(), shape)));
    }

    #[test]
    fn a_flow_comes_back_from_its_record() {
        let device = Device::flex();
        let config = KINDS[0](2, 5, 2, true);
        let saved = filled(&config, 3, 4.0, &device);
        let fresh = config.init("a", 3, &device).expect("valid");
        let loaded = fresh.load_record(saved.clone().into_record());
        let x = some(3, 3, &device);
        assert_eq!(loaded.forward(x.clone()).value.to_data(), saved.forward(x).value.to_data());
    }

    #[test]
    fn a_flow_that_is_read_has_the_defaults_and_no_unknown_keys() {
        let parse = serde_json::from_str::<FlowConfig>;
        assert_eq!(parse(r#"{"kind":"maf"}"#).expect("defaults"), FlowConfig::maf());
        assert_eq!(parse(r#"{"kind":"iaf"}"#).expect("defaults"), FlowConfig::iaf());
        let written = serde_json::to_string(&KINDS[1](3, 4, 5, true)).expect("plain data");
        assert_eq!(parse(&written).expect("written"), KINDS[1](3, 4, 5, true));
        assert!(parse(r#"{"kind":"maf","width":3}"#).is_err());
    }

    #[test]
    fn values_out_of_range_are_named() {
        let error = |config: FlowConfig, features| {
            let flow = config.init("flow of `a`", features, &Device::flex());
            flow.expect_err("out of range").to_string()
        };
        assert_eq!(
            error(KINDS[0](0, 4, 1, false), 2),
            "`flow of `a`.blocks`: expected at least 1, found 0"
        );
        assert!(error(KINDS[1](1, 0, 1, false), 2).contains(".hidden`"));
        assert!(error(FlowConfig::maf(), 0).contains("features of flow of `a`"));
    }
}
