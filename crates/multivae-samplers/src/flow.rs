//! Normalizing flows, fitted to the largest density.
//!
//! Values are shifted and scaled to mean 0 and variance 1 before the flow, which is part of the
//! density. The weights of the best epoch stay.

use burn::{
    module::{Module, ModuleMapper, ModuleVisitor, Param},
    optim::{AdamConfig, GradientsParams},
    tensor::{Device, Int, Tensor, TensorData},
};
use multivae_core::{
    batch::NoiseKey,
    distribution::Normal,
    nn::{FlowConfig, FlowNet},
    noise::Noise,
    pass,
};

use crate::{FlowFitConfig, Result, SamplerError};

/// Least factor that values are divided by: constant ones stay finite.
const LEAST_SCALE: f64 = 1e-6;

/// A flow with the scale of its data.
#[derive(Clone, Debug)]
pub(crate) struct Flow {
    pub(crate) net: FlowNet,
    /// Mean of each feature.
    pub(crate) shift: Vec<f32>,
    /// Standard deviation of each feature.
    pub(crate) scale: Vec<f32>,
}

impl Flow {
    /// Fits rows of values, `[rows, features]`.
    pub(crate) fn fit(
        values: &[f32],
        features: usize,
        kind: &FlowConfig,
        config: &FlowFitConfig,
        seed: u64,
        device: &Device,
        progress: &dyn Fn(f64),
    ) -> Result<Self> {
        let rows = values.len() / features;
        // At least two rows learn, since batch normalisation needs as many.
        let held = ((rows as f64 * config.valid).round() as usize).min(rows.saturating_sub(2));
        if rows < 2 {
            return Err(SamplerError::Rows { needed: 2, found: rows });
        }
        let (shift, scale) = standardisation(values, features);
        let learning = device.clone().autodiff();
        let mut noise = noise(seed, 0);
        let order = noise.choose(rows, rows);
        let (held, kept) = order.split_at(held);
        let all = |device: &Device| {
            let data = TensorData::new(values.to_vec(), [rows, features]);
            Standard::new(&shift, &scale, device).apply(Tensor::from_data(data, device))
        };
        let (all, held) = (all(&learning), select(all(device), held));
        let mut net = init(kind, features, &mut noise, &learning)?;
        let mut optimizer = AdamConfig::new().init();
        let mut best: Option<(f64, Vec<Parameter>)> = None;
        let steps = (kept.len() / config.batch_size).max(1);
        for epoch in 0..config.epochs {
            let order = self::noise(seed, epoch as u64 + 1).choose(kept.len(), kept.len());
            let mut sum = 0.0;
            for step in 0..steps {
                let batch = step * kept.len() / steps..(step + 1) * kept.len() / steps;
                let batch: Vec<usize> = order[batch].iter().map(|&place| kept[place]).collect();
                let loss = log_density(&net, select(all.clone(), &batch)).mean().neg();
                sum += mean(loss.clone())?;
                let gradients = GradientsParams::from_grads(loss.backward(), &net);
                net = optimizer.step(config.learning_rate, net, gradients);
                progress((epoch * steps + step + 1) as f64 / (config.epochs * steps) as f64);
            }
            let loss = match held.dims()[0] {
                0 => sum / steps as f64,
                _ => mean(log_density(&net.valid(), held.clone()).neg())?,
            };
            if best.as_ref().is_none_or(|(least, _)| loss < *least) {
                best = Some((loss, parameters(&net)?));
            }
        }
        let (_, best) = best.expect("there is an epoch");
        let net = fill(kind.init("flow", features, device)?, &best)
            .expect("the parameters are those of this flow");
        Ok(Self { net, shift, scale })
    }

    /// Log-density of rows `[rows, features]`, nats, `[rows]`.
    pub(crate) fn log_density(&self, values: Tensor<2>) -> Tensor<1> {
        let standard = Standard::new(&self.shift, &self.scale, &values.device());
        let log_scale: f64 = self.scale.iter().map(|&scale| f64::from(scale).ln()).sum();
        log_density(&self.net, standard.apply(values)) - log_scale
    }

    /// Samples, `[rows, features]`.
    pub(crate) fn draw(&self, rows: usize, noise: &mut Noise, device: &Device) -> Tensor<2> {
        let base = noise.normal([rows, self.shift.len()], 0, device);
        let standard = Standard::new(&self.shift, &self.scale, device);
        standard.undo(self.net.inverse(base).value)
    }
}

/// The noise of fitting: of the split and the first weights in epoch 0, then of the order of rows.
fn noise(seed: u64, epoch: u64) -> Noise {
    Noise::keyed(NoiseKey { seed, epoch, step: 1, first_row: 0 })
}

/// Log-density of standardised rows, `[rows]`.
fn log_density(net: &FlowNet, values: Tensor<2>) -> Tensor<1> {
    let base = net.forward(values);
    Normal::standard_like(&base.value).log_prob::<1>(base.value) + base.log_det
}

/// The mean of numbers on the host, if it is finite.
fn mean(values: Tensor<1>) -> Result<f64> {
    let value = f64::from(pass::read(values.mean(), "the loss of the flow")?[0]);
    if value.is_finite() {
        return Ok(value);
    }
    Err(SamplerError::NotFinite { what: "the loss of the flow".into() })
}

fn select(rows: Tensor<2>, numbers: &[usize]) -> Tensor<2> {
    let numbers_: Vec<i64> = numbers.iter().map(|&number| number as i64).collect();
    let data = TensorData::new(numbers_, [numbers.len()]);
    let device = rows.device();
    rows.select(0, Tensor::<1, Int>::from_data(data, &device))
}

/// Mean and standard deviation of each feature.
fn standardisation(values: &[f32], features: usize) -> (Vec<f32>, Vec<f32>) {
    let rows = (values.len() / features) as f64;
    let column = |j: usize| values.iter().skip(j).step_by(features).map(|&v| f64::from(v));
    (0..features)
        .map(|j| {
            let mean = column(j).sum::<f64>() / rows;
            let variance = column(j).map(|v| (v - mean).powi(2)).sum::<f64>() / rows;
            (mean as f32, variance.sqrt().max(LEAST_SCALE) as f32)
        })
        .unzip()
}

/// A shift and a scale of each feature on a device, `[1, features]`.
struct Standard {
    shift: Tensor<2>,
    scale: Tensor<2>,
}

impl Standard {
    fn new(shift: &[f32], scale: &[f32], device: &Device) -> Self {
        let row = |values: &[f32]| {
            Tensor::from_data(TensorData::new(values.to_vec(), [1, values.len()]), device)
        };
        Self { shift: row(shift), scale: row(scale) }
    }

    fn apply(&self, values: Tensor<2>) -> Tensor<2> {
        (values - self.shift.clone()) / self.scale.clone()
    }

    fn undo(&self, values: Tensor<2>) -> Tensor<2> {
        values * self.scale.clone() + self.shift.clone()
    }
}

/// A flow whose first weights come from `noise`: uniform as those of Burn's linear layers, within
/// one over the root of the number of inputs.
fn init(kind: &FlowConfig, features: usize, noise: &mut Noise, device: &Device) -> Result<FlowNet> {
    let mut bound = 0.0;
    Ok(replace(kind.init("flow", features, device)?, &mut |path, shape| {
        match (path.rsplit('.').next(), shape) {
            (Some("weight"), &[inputs, _]) => bound = (inputs as f32).sqrt().recip(),
            (Some("bias"), _) => {}
            _ => return None,
        }
        let count = shape.iter().product();
        let host = noise.uniform([count, 1], 0, &device.clone().inner());
        let host: Vec<f32> = host.into_data().iter::<f32>().collect();
        Some(host.into_iter().map(|u| bound * (2.0 * u - 1.0)).collect())
    }))
}

/// A parameter by its path, on the host.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Parameter {
    pub(crate) path: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Vec<f32>,
}

/// The parameters of a flow and its running statistics.
pub(crate) fn parameters(net: &FlowNet) -> Result<Vec<Parameter>> {
    struct Read {
        path: Vec<String>,
        found: Result<Vec<Parameter>>,
    }
    impl ModuleVisitor for Read {
        fn enter_module(&mut self, name: &str, _container: &str) {
            self.path.push(name.to_owned());
        }
        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.path.pop();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let path = self.path.join(".");
            let Ok(found) = &mut self.found else { return };
            let value = param.val();
            let shape = value.dims().to_vec();
            match pass::read(value, &path) {
                Ok(values) => found.push(Parameter { path, shape, values }),
                Err(error) => self.found = Err(error.into()),
            }
        }
    }
    let mut read = Read { path: Vec::new(), found: Ok(Vec::new()) };
    net.visit(&mut read);
    read.found
}

/// Puts parameters into a flow of the same size; `None` if one is missing or of another shape.
pub(crate) fn fill(net: FlowNet, parameters: &[Parameter]) -> Option<FlowNet> {
    let mut whole = true;
    let net = replace(net, &mut |path, shape| {
        let found = parameters.iter().find(|p| p.path == path && p.shape == shape);
        whole &= found.is_some();
        found.map(|parameter| parameter.values.clone())
    });
    whole.then_some(net)
}

/// New values for a path and a shape, or none.
type New<'a> = dyn FnMut(&str, &[usize]) -> Option<Vec<f32>> + 'a;

/// The flow with new values where there are some.
fn replace(net: FlowNet, values: &mut New<'_>) -> FlowNet {
    struct Replace<'a, 'b> {
        path: Vec<String>,
        values: &'a mut New<'b>,
    }
    impl ModuleMapper for Replace<'_, '_> {
        fn enter_module(&mut self, name: &str, _container: &str) {
            self.path.push(name.to_owned());
        }
        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.path.pop();
        }
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let shape = param.lazy_shape().as_slice().to_vec();
            let Some(values) = (self.values)(&self.path.join("."), &shape) else { return param };
            param.map(|old| {
                let tensor = Tensor::from_data(TensorData::new(values, shape), &old.device());
                tensor.set_require_grad(old.is_require_grad())
            })
        }
    }
    net.map(&mut Replace { path: Vec::new(), values })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{PARABOLA, grid, integral, moments, parabola, ring};

    fn small(kind: fn(&FlowFitConfig) -> FlowConfig, batch_norm: bool, seed: u64) -> Flow {
        let config = FlowFitConfig {
            hidden: 24,
            layers: 2,
            epochs: 15,
            learning_rate: 5e-3,
            batch_norm,
            ..FlowFitConfig::default()
        };
        fit(kind, &config, &parabola(2000, 0), 2, seed)
    }

    fn fit(
        kind: fn(&FlowFitConfig) -> FlowConfig,
        config: &FlowFitConfig,
        values: &[f32],
        features: usize,
        seed: u64,
    ) -> Flow {
        let device = Device::flex();
        Flow::fit(values, features, &kind(config), config, seed, &device, &|_| ()).expect("finite")
    }

    const KINDS: [fn(&FlowFitConfig) -> FlowConfig; 2] = [FlowFitConfig::maf, FlowFitConfig::iaf];

    fn matrix(values: &[f32], features: usize) -> Tensor<2> {
        let shape = [values.len() / features, features];
        Tensor::from_data(TensorData::new(values.to_vec(), shape), &Device::flex())
    }

    fn host<const D: usize>(values: Tensor<D>) -> Vec<f32> {
        values.into_data().try_into_vec().expect("floats")
    }

    #[test]
    fn a_fitted_density_integrates_to_one_and_is_that_of_the_data() {
        for kind in KINDS {
            for batch_norm in [false, true] {
                let flow = small(kind, batch_norm, 0);
                let density = host(flow.log_density(matrix(&grid(), 2)));
                let density: Vec<f64> = density.into_iter().map(f64::from).collect();
                let total = integral(&density);
                // The lattice leaves out what is far.
                assert!((total - 1.0).abs() < 1e-2, "{total}");
                let fresh = host(flow.log_density(matrix(&parabola(2000, 1), 2)));
                let found = fresh.iter().map(|&v| f64::from(v)).sum::<f64>() / 2000.0;
                // Minus the entropy of two standard normal values, since the map has determinant
                // 1; a normal distribution with the same moments has ln 3 less.
                let expected = -1.0 - std::f64::consts::TAU.ln();
                assert!((expected - 0.3..expected + 0.1).contains(&found), "{found} {expected}");
            }
        }
    }

    #[test]
    fn samples_have_the_moments_of_the_distribution() {
        for kind in KINDS {
            let flow = small(kind, false, 0);
            let sampled = host(flow.draw(20_000, &mut Noise::seeded(3), &Device::flex()));
            let found = moments(&sampled);
            for (found, expected) in found.iter().zip(PARABOLA) {
                assert!((found - expected).abs() < 0.1 + 0.12 * expected, "{found} {expected}");
            }
        }
    }

    #[test]
    fn the_inverse_of_a_fitted_flow_undoes_it_and_the_log_determinant_is_the_jacobians() {
        for kind in KINDS {
            let flow = small(kind, true, 0);
            let x = [0.7, -1.1];
            let there = flow.net.forward(matrix(&x, 2));
            let back = host(flow.net.inverse(there.value).value);
            assert!(back.iter().zip(x).all(|(a, b)| (a - b).abs() < 1e-4), "{back:?}");
            // Central differences.
            let step = 1e-2;
            let column = |j: usize| {
                let mut ends = [x, x];
                ends[0][j] += step;
                ends[1][j] -= step;
                let out = host(flow.net.forward(matrix(&ends.concat(), 2)).value);
                [(out[0] - out[2]) / (2.0 * step), (out[1] - out[3]) / (2.0 * step)]
            };
            let (a, b) = (column(0), column(1));
            let expected = (a[0] * b[1] - a[1] * b[0]).abs().ln();
            let found = host(there.log_det)[0];
            assert!((found - expected).abs() < 2e-2, "{found} {expected}");
        }
    }

    #[test]
    fn the_seed_decides_all_and_the_best_epoch_stays() {
        let values = |flow: &Flow| parameters(&flow.net).expect("readable");
        let one = small(FlowFitConfig::maf, false, 5);
        assert_eq!(values(&one), values(&small(FlowFitConfig::maf, false, 5)));
        assert_ne!(values(&one), values(&small(FlowFitConfig::maf, false, 6)));
        // With a rate that spoils what was learned, more epochs end where fewer did or better.
        let config = |epochs| FlowFitConfig {
            epochs,
            hidden: 8,
            learning_rate: 0.3,
            ..FlowFitConfig::default()
        };
        let held = |epochs| {
            let flow = fit(FlowFitConfig::maf, &config(epochs), &ring(200), 2, 1);
            // The rows that chose the epoch.
            let order = noise(1, 0).choose(200, 200);
            let rows = ring(200);
            let chosen: Vec<f32> =
                order[..20].iter().flat_map(|&i| rows[2 * i..2 * i + 2].to_vec()).collect();
            host(flow.log_density(matrix(&chosen, 2))).iter().sum::<f32>() / 20.0
        };
        assert!(held(12) >= held(3) - 1e-4, "{} {}", held(12), held(3));
    }

    #[test]
    fn one_feature_and_constant_features_can_be_fitted() {
        for kind in KINDS {
            let config = FlowFitConfig { epochs: 2, hidden: 4, ..FlowFitConfig::default() };
            let flow = fit(kind, &config, &[1.0, 2.0, 4.0, 9.0], 1, 0);
            let sampled = host(flow.draw(5, &mut Noise::seeded(0), &Device::flex()));
            assert!(sampled.iter().all(|v| v.is_finite()));
            let flow = fit(kind, &config, &[1.0, 3.0, 2.0, 3.0, 4.0, 3.0], 2, 0);
            let sampled = host(flow.draw(5, &mut Noise::seeded(0), &Device::flex()));
            assert!(sampled.chunks(2).all(|row| (row[1] - 3.0).abs() < 1e-2), "{sampled:?}");
        }
    }
}
