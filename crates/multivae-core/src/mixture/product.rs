//! Products of the components of a mixture.

use burn::tensor::Tensor;
use multivae_kernels::{FlowFactor, FlowProduct};

use super::Mixture;
use crate::{
    distribution::{Family, Normal},
    hmc::LogDensity,
};

/// The product of the components that a row can use, over the standard normal prior to the power
/// of their number less one: `Π_c q_c(z) / p(z)^(n - 1)`, up to a factor per row.
///
/// It is the posterior of all modalities where the components are those of single ones, which are
/// independent given `z`. Mixture and flows count as constants: gradients are in `z` alone.
#[derive(Clone, Debug)]
pub struct ComponentProduct {
    mixture: Mixture,
    /// 1 for the components that a row can use, else 0, `[component, 1, batch]`.
    held: Tensor<3>,
    /// How often the prior is divided out, `[1, batch]`.
    beyond: Tensor<2>,
    fused: Option<FlowProduct>,
}

impl ComponentProduct {
    pub(super) fn new(mixture: Mixture) -> Self {
        let [count, ..] = mixture.components.location.dims();
        let held = |row: &Vec<usize>, c: usize| f32::from(u8::from(row.contains(&c)));
        let powers: Vec<Vec<f32>> =
            (0..count).map(|c| mixture.by_row(|row| held(row, c))).collect();
        let beyond = mixture.by_row(|row| row.len() as f32 - 1.0);
        let fused = fused(&mixture, &powers, &beyond);
        let held = mixture.table(powers.into_iter()).unsqueeze_dim(1);
        let beyond = Tensor::<1>::from_floats(beyond.as_slice(), &mixture.device());
        Self { mixture, held, beyond: beyond.unsqueeze_dim(0), fused }
    }

    /// Its logarithm, `[samples * batch]`, nats, of values `[samples * batch, latent]`.
    pub fn log_density(&self, z: Tensor<2>) -> Tensor<1> {
        let ([states, latent], rows) = (z.dims(), self.mixture.usable.len());
        let z = z.reshape([states / rows, rows, latent]);
        let prior: Tensor<2> = Normal::standard_like(&z).log_prob(z.clone());
        let product = (self.mixture.log_probs(&z) * self.held.clone()).sum_dim(0).squeeze_dim(0);
        (product - prior * self.beyond.clone()).reshape([states])
    }
}

/// The product for the kernel, where there is one for all components.
fn fused(mixture: &Mixture, powers: &[Vec<f32>], beyond: &[f32]) -> Option<FlowProduct> {
    let (Family::Normal | Family::NormalSoftplus) = mixture.components.family else { return None };
    let components = mixture.components.clone().map(|x| match x.is_autodiff() {
        true => x.inner(),
        false => x,
    });
    let [_, rows, latent] = components.location.dims();
    let factor = |(c, power): (usize, &Vec<f32>)| {
        let [mean, scale] = [&components.location, &components.scale]
            .map(|x| x.clone().narrow(0, c, 1).reshape([rows, latent]));
        match mixture.flow(c) {
            Some(flow) => flow.factor(mean, scale, power.clone()),
            None => Some(plain(mean, scale, power.clone())),
        }
    };
    let mut factors = powers.iter().enumerate().map(factor).collect::<Option<Vec<_>>>()?;
    let zeros = Tensor::zeros([rows, latent], &components.location.device());
    let prior = plain(zeros.clone(), zeros + 1.0, beyond.iter().map(|power| -power).collect());
    factors.push(prior);
    FlowProduct::new(&factors)
}

/// A normal density itself.
fn plain(mean: Tensor<2>, scale: Tensor<2>, power: Vec<f32>) -> FlowFactor {
    FlowFactor { blocks: Vec::new(), limit: 0.0, mean, scale, power }
}

impl LogDensity for ComponentProduct {
    fn with_gradient(&self, at: Tensor<2>) -> (Tensor<1>, Tensor<2>) {
        match &self.fused {
            Some(fused) => fused.log_density(at.inner()),
            None => (|z| self.log_density(z)).with_gradient(at),
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::{
        module::{Module, ModuleMapper, Param},
        tensor::{Device, TensorData},
    };
    use proptest::prelude::*;

    use super::*;
    use crate::{
        mixture::LocationScale,
        module::init_parameters,
        nn::{FlowBlocks, FlowConfig},
    };

    fn numbers<const D: usize>(shape: [usize; D], seed: usize, device: &Device) -> Tensor<D> {
        let number = |i| ((i * 37 + seed * 11) % 101) as f32 * 0.03 - 1.5;
        let values = (0..shape.iter().product()).map(number).collect::<Vec<f32>>();
        Tensor::from_data(TensorData::new(values, shape), device)
    }

    fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
        tensor.into_data().try_into_vec().expect("floats")
    }

    /// Gives weights the size of their first values, without chance.
    struct Fill(f32);

    impl ModuleMapper for Fill {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            self.0 += 3.0;
            param.map(|old| {
                let size = (old.dims()[0] as f32).sqrt().recip();
                let value = |k| size * (self.0 + 1.7 * k as f32).sin();
                let filled = (0..old.shape().num_elements()).map(value).collect::<Vec<f32>>();
                Tensor::from_data(TensorData::new(filled, old.shape()), &old.device())
            })
        }
    }

    /// Three components over rows that can use all, two and one of them, the last without a flow.
    fn mixture(latent: usize, hidden: usize, layers: usize) -> Mixture {
        let device = Device::flex();
        let flow = FlowConfig::Maf(FlowBlocks { blocks: 2, hidden, layers, batch_norm: false });
        let flow = |phase| {
            let flow = init_parameters(flow.init("flow", latent, &device).expect("valid"));
            flow.map(&mut Fill(phase))
        };
        let components = LocationScale {
            family: Family::Normal,
            location: numbers([3, 3, latent], 1, &device),
            scale: numbers([3, 3, latent], 2, &device).exp(),
        };
        let prior = Family::Normal.standard([1, 1, latent], &device);
        let usable = vec![vec![0, 1, 2], vec![1, 2], vec![0]];
        Mixture::new(components, usable, &prior).through(vec![
            Some(flow(0.0)),
            Some(flow(1.0)),
            None,
        ])
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn the_kernel_gives_what_the_composition_does(
            latent in 1..12_usize,
            hidden in 1..70_usize,
            layers in 0..4_usize,
            samples in 1..15_usize,
            wide: bool,
        ) {
            let product = mixture(latent, hidden, layers).product();
            prop_assert!(product.fused.is_some());
            let z = numbers([samples * 3, latent], 3, &Device::flex().autodiff());
            // Far out log-scales reach their limits, and scales of e^10 enlarge rounding.
            let (z, tolerance) = if wide { (z * 40.0, 2e-4) } else { (z, 2e-5) };
            let z = z.require_grad();
            let (found, slope) = product.with_gradient(z.clone());
            let (expected, gradient) = (|z| product.log_density(z)).with_gradient(z);
            // Row by row: one that is far out would hide what is wrong in the others.
            let pairs =
                [(values(found), values(expected), 1), (values(slope), values(gradient), latent)];
            for (found, expected, width) in pairs {
                for (found, expected) in found.chunks(width).zip(expected.chunks(width)) {
                    let scale = expected.iter().fold(1.0_f32, |scale, x| scale.max(x.abs()));
                    for (found, expected) in found.iter().zip(expected) {
                        let off = (found - expected).abs();
                        prop_assert!(off <= tolerance * scale, "{found} {expected}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_the_kernel_cannot_is_composed() {
        let device = Device::flex();
        let inverse = FlowConfig::iaf().init("flow", 4, &device).expect("valid");
        let normed =
            FlowConfig::Maf(FlowBlocks { blocks: 1, hidden: 5, layers: 1, batch_norm: true });
        let normed = normed.init("flow", 4, &device).expect("valid");
        for flow in [inverse, normed] {
            let product = Mixture { flows: vec![Some(flow)], ..mixture(4, 3, 1) }.product();
            assert!(product.fused.is_none());
            let z = numbers([6, 4], 5, &device.clone().autodiff()).require_grad();
            let (value, gradient) = product.with_gradient(z.clone());
            assert_eq!(values(value), values(product.log_density(z)));
            assert!(values(gradient).iter().all(|g| *g != 0.0));
        }
    }
}
