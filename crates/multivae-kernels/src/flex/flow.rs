//! Products of densities seen through flows, with their gradients.
//!
//! Some rows go through all blocks and back at a time, so that what is between layers stays in the
//! first-level cache. Columns of a weight are multiplied by what they see and not by the zeros
//! above and below it.

use burn::{backend::Flex, tensor::Tensor};
use burn_flex::FlexTensor;
use pulp::{Arch, NullaryFnOnce};
use rayon::prelude::*;

use super::{
    activation::{apply, to_gradient},
    dense,
    direct::{self, Panels, Windows},
    gemm, math, room, suits, tensor,
    transpose::transposed,
    values,
};
use crate::{Activation, FlowFactor};

/// Rows that a thread takes at a time, at most.
const ROWS: usize = 32;

/// Natural logarithm of 2π.
const LN_2PI: f32 = 1.837_877_1;

/// A product of densities, laid out.
#[derive(Debug)]
pub(crate) struct Product {
    factors: Vec<Factor>,
    batch: usize,
    features: usize,
}

#[derive(Debug)]
struct Factor {
    blocks: Vec<Block>,
    mean: Vec<f32>,
    /// Inverse deviations.
    precision: Vec<f32>,
    /// What the normal density adds to its square, by row.
    constant: Vec<f32>,
    power: Vec<f32>,
}

#[derive(Debug)]
struct Block {
    layers: Vec<Layer>,
    limit: f32,
}

#[derive(Debug)]
struct Layer {
    forward: Affine,
    /// From gradients in what comes out to those in what goes in.
    backward: Affine,
}

/// An affine map whose columns are cut where what they see changes.
#[derive(Debug)]
struct Affine {
    parts: Vec<Part>,
    outputs: usize,
}

/// Some columns of a map, and the range of inputs that they see.
#[derive(Debug)]
struct Part {
    columns: usize,
    windows: Windows,
    panels: Panels,
    bias: Option<Vec<f32>>,
}

impl Affine {
    fn new(matrix: &[f32], [inputs, outputs]: [usize; 2], bias: Option<&[f32]>) -> Self {
        let width = 2 * direct::lanes();
        let part = |first: usize| {
            let columns = width.min(outputs - first);
            let row = |input: usize| &matrix[input * outputs + first..][..columns];
            let seen = |input: &usize| row(*input).iter().any(|weight| *weight != 0.0);
            let begin = (0..inputs).find(seen).unwrap_or(0);
            let depth = (begin..inputs).rfind(seen).map_or(0, |last| last + 1 - begin);
            let mut panels = Panels::new([depth, columns]);
            for input in 0..depth {
                for panel in panels.each_from(input) {
                    let from = &row(begin + input)[panel.first..][..panel.columns];
                    panel.values[..panel.columns].copy_from_slice(from);
                }
            }
            let places = (0..ROWS).map(|r| [r * inputs + begin, r * outputs + first]).collect();
            let windows = Windows { taps: 1, line: 0, run: depth, places };
            let bias = bias.map(|bias| bias[first..][..columns].to_vec());
            Part { columns, windows, panels, bias }
        };
        Self { parts: (0..outputs).step_by(width).map(part).collect(), outputs }
    }

    /// Of at most [`ROWS`] rows.
    fn apply(&self, rows: usize, x: &[f32]) -> Vec<f32> {
        let mut y = vec![0.0; rows * self.outputs];
        for Part { columns, windows, panels, bias } in &self.parts {
            gemm::count([rows, windows.run, *columns]);
            let places = &windows.places[..rows];
            direct::multiply(windows, places, x, panels, bias.as_deref(), room(&mut y));
        }
        y
    }
}

/// What a block has seen and made.
struct Pass {
    /// What went into each layer but the first.
    hidden: Vec<Vec<f32>>,
    /// Shifts and log-scales, `[rows, 2 * features]`.
    outputs: Vec<f32>,
    /// What came out, before the reversal.
    y: Vec<f32>,
}

impl Block {
    fn new(layers: &[(Tensor<2>, Tensor<1>)], limit: f32) -> Self {
        let layer = |(weight, bias): &(Tensor<2>, Tensor<1>)| {
            let shape = weight.dims();
            let (weight, bias) = (dense(&primitive(weight)), dense(&primitive(bias)));
            let (weight, bias) = (values(&weight), values(&bias));
            assert_eq!(bias.len(), shape[1], "a bias for each output");
            Layer {
                forward: Affine::new(weight, shape, Some(bias)),
                backward: Affine::new(&transposed(weight, shape), [shape[1], shape[0]], None),
            }
        };
        Self { layers: layers.iter().map(layer).collect(), limit }
    }

    /// Adds the log-determinants of rows.
    fn forward(&self, rows: usize, x: &[f32], log_det: &mut [f32]) -> Pass {
        let mut hidden: Vec<Vec<f32>> = Vec::new();
        for (number, layer) in (1..).zip(&self.layers) {
            let mut y = layer.forward.apply(rows, hidden.last().map_or(x, Vec::as_slice));
            if number < self.layers.len() {
                apply(&mut y, Activation::Relu);
            }
            hidden.push(y);
        }
        let outputs = hidden.pop().expect("a block has layers");
        let mut y = vec![0.0; x.len()];
        Arch::new().dispatch(Shift { x, outputs: &outputs, limit: self.limit, y: &mut y, log_det });
        Pass { hidden, outputs, y }
    }

    /// Replaces the gradient in what came out by that in what went in. `weight` is that in the
    /// log-determinant of each row.
    fn backward(&self, pass: &Pass, weight: &[f32], gradient: &mut [f32]) {
        let rows = weight.len();
        let mut of_outputs = vec![0.0; pass.outputs.len()];
        Arch::new().dispatch(ShiftGradient {
            pass,
            limit: self.limit,
            weight,
            gradient: &mut *gradient,
            of_outputs: &mut of_outputs,
        });
        let mut through = of_outputs;
        for (number, layer) in self.layers.iter().enumerate().rev() {
            through = layer.backward.apply(rows, &through);
            if number > 0 {
                to_gradient(Activation::Relu, &mut through, &pass.hidden[number - 1]);
            }
        }
        gradient.iter_mut().zip(through).for_each(|(sum, more)| *sum += more);
    }
}

/// `y = (x - shift) exp(-log_scale)`, and the sums of `-log_scale`.
struct Shift<'a> {
    x: &'a [f32],
    outputs: &'a [f32],
    limit: f32,
    y: &'a mut [f32],
    log_det: &'a mut [f32],
}

impl NullaryFnOnce for Shift<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { x, outputs, limit, y, log_det } = self;
        let features = x.len() / log_det.len();
        for (row, log_det) in log_det.iter_mut().enumerate() {
            let x = &x[row * features..][..features];
            let (shift, log_scale) =
                outputs[row * 2 * features..][..2 * features].split_at(features);
            let y = &mut y[row * features..][..features];
            for (((y, x), shift), log_scale) in y.iter_mut().zip(x).zip(shift).zip(log_scale) {
                *y = (x - shift) * math::exp(-math::clamp(*log_scale, limit));
            }
            for log_scale in log_scale {
                *log_det -= math::clamp(*log_scale, limit);
            }
        }
    }
}

struct ShiftGradient<'a> {
    pass: &'a Pass,
    limit: f32,
    /// Gradient in the log-determinant of each row.
    weight: &'a [f32],
    /// In what came out; becomes that in what went in, but for what went through the layers.
    gradient: &'a mut [f32],
    of_outputs: &'a mut [f32],
}

impl NullaryFnOnce for ShiftGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { pass: Pass { outputs, y, .. }, limit, weight, gradient, of_outputs } = self;
        let features = gradient.len() / weight.len();
        for (row, weight) in weight.iter().enumerate() {
            let log_scale = &outputs[(row * 2 + 1) * features..][..features];
            let y = &y[row * features..][..features];
            let gradient = &mut gradient[row * features..][..features];
            let (of_shift, of_scale) =
                of_outputs[row * 2 * features..][..2 * features].split_at_mut(features);
            let to = gradient.iter_mut().zip(of_shift).zip(of_scale);
            for (((gradient, of_shift), of_scale), (y, log_scale)) in
                to.zip(y.iter().zip(log_scale))
            {
                let inside = *log_scale >= -limit && *log_scale <= limit;
                *of_scale = if inside { -*gradient * y - weight } else { 0.0 };
                *gradient *= math::exp(-math::clamp(*log_scale, limit));
                *of_shift = -*gradient;
            }
        }
    }
}

fn reverse_rows(values: &mut [f32], features: usize) {
    values.chunks_exact_mut(features).for_each(<[f32]>::reverse);
}

impl Factor {
    fn new(factor: &FlowFactor, [batch, features]: [usize; 2]) -> Self {
        let FlowFactor { blocks, limit, mean, scale, power } = factor;
        let shape = [batch, features];
        assert_eq!([mean.dims(), scale.dims()], [shape; 2], "all factors are of one shape");
        assert_eq!(power.len(), batch, "a power for each row");
        let list = |tensor| values(&dense(&primitive(tensor))).to_vec();
        let (mean, scale): (Vec<f32>, Vec<f32>) = (list(mean), list(scale));
        let constant = |scale: &[f32]| {
            scale.iter().map(|scale| -scale.ln()).sum::<f32>() - 0.5 * LN_2PI * features as f32
        };
        let constant = scale.chunks_exact(features).map(constant).collect();
        let blocks: Vec<Block> = blocks.iter().map(|layers| Block::new(layers, *limit)).collect();
        for block in &blocks {
            let ends = [block.layers.last(), block.layers.first()];
            let [last, first] = ends.map(|layer| layer.expect("a block has layers"));
            let shape = [first.backward.outputs, last.forward.outputs];
            assert_eq!(shape, [features, 2 * features], "from features to shifts and log-scales");
        }
        let precision = scale.iter().map(|scale| 1.0 / scale).collect();
        Self { blocks, mean, precision, constant, power: power.clone() }
    }

    /// Adds the log-density of rows, the first of which is row `first` of all samples, and its
    /// gradient.
    fn add(&self, first: usize, z: &[f32], sums: &mut [f32], gradients: &mut [f32]) {
        let (rows, batch) = (sums.len(), self.power.len());
        let features = z.len() / rows;
        let row = |r: usize| (first + r) % batch;
        let power: Vec<f32> = (0..rows).map(|r| self.power[row(r)]).collect();
        if power.iter().all(|power| *power == 0.0) {
            return;
        }
        let mut log_det = vec![0.0; rows];
        let mut passes: Vec<Pass> = Vec::new();
        let mut at = z.to_vec();
        for block in &self.blocks {
            let pass = block.forward(rows, &at, &mut log_det);
            at.copy_from_slice(&pass.y);
            reverse_rows(&mut at, features);
            passes.push(pass);
        }
        // The density, and the gradient in place of the values.
        for r in 0..rows {
            let range = row(r) * features..(row(r) + 1) * features;
            let (mean, precision) = (&self.mean[range.clone()], &self.precision[range]);
            let at = &mut at[r * features..][..features];
            let mut square = 0.0;
            for ((at, mean), precision) in at.iter_mut().zip(mean).zip(precision) {
                let distance = (*at - mean) * precision;
                square += distance * distance;
                *at = -power[r] * distance * precision;
            }
            if power[r] != 0.0 {
                sums[r] += power[r] * (self.constant[row(r)] - 0.5 * square + log_det[r]);
            }
        }
        for (block, pass) in self.blocks.iter().zip(&passes).rev() {
            reverse_rows(&mut at, features);
            block.backward(pass, &power, &mut at);
        }
        let rows = gradients.chunks_exact_mut(features).zip(at.chunks_exact(features));
        for ((sum, more), power) in rows.zip(power) {
            if power != 0.0 {
                sum.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
            }
        }
    }
}

/// The tensor of the backend.
fn primitive<const D: usize>(tensor: &Tensor<D>) -> FlexTensor {
    tensor.clone().try_into_primitive::<Flex>().expect("its backend was checked")
}

/// Whether a tensor is for the kernel.
fn fits<const D: usize>(tensor: &Tensor<D>) -> bool {
    let empty = tensor.shape().num_elements() == 0;
    !empty && suits(tensor) && !tensor.device().is_autodiff()
}

impl Product {
    pub(crate) fn new(factors: &[FlowFactor]) -> Option<Self> {
        let shape @ [batch, features] = factors.first()?.mean.dims();
        let suit = |factor: &FlowFactor| {
            let layers =
                factor.blocks.iter().flatten().all(|(weight, bias)| fits(weight) && fits(bias));
            layers && fits(&factor.mean) && fits(&factor.scale)
        };
        factors.iter().all(suit).then(|| {
            let factors = factors.iter().map(|factor| Factor::new(factor, shape)).collect();
            Self { factors, batch, features }
        })
    }

    pub(crate) fn log_density(&self, z: Tensor<2>) -> (Tensor<1>, Tensor<2>) {
        let Self { batch, features, .. } = *self;
        let [rows, columns] = z.dims();
        assert!(fits(&z) && columns == features && rows.is_multiple_of(batch), "as the product is");
        let z = dense(&primitive(&z));
        let (mut sums, mut gradients) = (vec![0.0; rows], vec![0.0; rows * features]);
        let part = rows.div_ceil(rows.div_ceil(ROWS));
        let parts = sums.par_chunks_mut(part).zip(gradients.par_chunks_mut(part * features));
        parts.zip(values(&z).par_chunks(part * features)).enumerate().for_each(
            |(number, ((sums, gradients), z))| {
                for factor in &self.factors {
                    factor.add(number * part, z, sums, gradients);
                }
            },
        );
        (
            Tensor::from_primitive::<Flex>(tensor(sums, &[rows])),
            Tensor::from_primitive::<Flex>(tensor(gradients, &[rows, features])),
        )
    }
}
