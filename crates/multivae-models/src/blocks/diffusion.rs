//! Diffusions of codes: a network that tells codes from noise, and the flow that it drives.

use std::f64::consts::FRAC_PI_2;

use burn::{
    module::Module,
    tensor::{Device, Tensor},
};
use multivae_core::{
    Result,
    module::Named,
    nn::{LayerConfig, Network, NetworkConfig, NetworkNet, Networks},
};

use crate::blocks::ModalityConfig;

/// From noisy codes of all modalities and an angle of each to velocities.
#[derive(Module, Debug)]
pub struct Denoiser {
    /// From the code and the angle of a modality, which are added up.
    inputs: Named<NetworkNet>,
    middle: NetworkNet,
    /// To the velocity of a modality.
    outputs: Named<NetworkNet>,
    #[module(skip)]
    latent: usize,
}

/// Powers of two by which angles are multiplied for the network to read.
const FREQUENCIES: usize = 6;

impl Denoiser {
    /// Of codes of `latent` features a modality, with `width` features between its parts. `middle` is the
    /// network from `width` features to as many.
    ///
    /// # Errors
    ///
    /// When a network cannot be built.
    pub fn init(
        modalities: &[ModalityConfig],
        latent: usize,
        width: usize,
        middle: &NetworkConfig,
        networks: &Networks,
        device: &Device,
    ) -> Result<Self> {
        let of = |part: &str, input: usize, output: usize| -> Result<Named<NetworkNet>> {
            let net = |config: &ModalityConfig| {
                let name = format!("denoiser, {part} of `{}`", config.name);
                let linear = NetworkConfig::layers(vec![LayerConfig::linear_open()]);
                let net = linear.init(&name, &[input], Some(&[output]), networks, device)?;
                Ok((config.name.to_string(), net))
            };
            Ok(modalities.iter().map(net).collect::<Result<Vec<_>>>()?.into_iter().collect())
        };
        Ok(Self {
            inputs: of("input", latent + 2 * FREQUENCIES, width)?,
            middle: middle.init("denoiser", &[width], Some(&[width]), networks, device)?,
            outputs: of("output", width, latent)?,
            latent,
        })
    }

    /// Velocities, `[rows, modalities * latent]`, of codes side by side, from the angles of the
    /// modalities, `[rows, modalities]`.
    pub fn velocity(&self, codes: &Tensor<2>, angles: &Tensor<2>) -> Tensor<2> {
        let own = |(m, net): (usize, &NetworkNet)| {
            let code = codes.clone().narrow(1, m * self.latent, self.latent);
            let mut parts = vec![code];
            for k in 0..FREQUENCIES {
                let angle = angles.clone().narrow(1, m, 1) * f64::from(1u32 << k);
                parts.extend([angle.clone().cos(), angle.sin()]);
            }
            net.forward(Tensor::cat(parts, 1))
        };
        let sum = self.inputs.values().enumerate().map(own).reduce(|sum, next| sum + next);
        let middle = self.middle.forward(sum.expect("a model has modalities"));
        Tensor::cat(self.outputs.values().map(|net| net.forward(middle.clone())).collect(), 1)
    }
}

/// The middle of a [`Denoiser`] if none is given: two residual blocks of two layers.
pub fn default_middle(width: usize) -> NetworkConfig {
    let block = || LayerConfig::Residual {
        layers: vec![
            LayerConfig::Silu {},
            LayerConfig::linear(width),
            LayerConfig::Silu {},
            LayerConfig::linear(width),
        ],
        scale: 1.0,
    };
    NetworkConfig::layers(vec![block(), block(), LayerConfig::Silu {}])
}

/// The end of a flow `dz / dθ = v(z, θ)` that starts at `θ = π/2`, by Heun's method in steps that grow
/// with the angle, `[rows, features]`. No gradient passes.
///
/// Source: Karras et al. 2022, arXiv 2206.00364, for method and steps.
pub fn flow(
    start: Tensor<2>,
    steps: usize,
    velocity: impl Fn(&Tensor<2>, f64) -> Tensor<2>,
) -> Tensor<2> {
    let angle = |step: usize| FRAC_PI_2 * (1.0 - step as f64 / steps as f64).powi(2);
    (0..steps).fold(start.detach(), |here, step| {
        let (from, to) = (angle(step), angle(step + 1));
        let first = velocity(&here, from);
        let second = velocity(&(here.clone() - first.clone() * (from - to)), to);
        (here - (first + second) * ((from - to) / 2.0)).detach()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers<const D: usize>(x: Tensor<D>) -> Vec<f32> {
        x.into_data().try_into_vec().expect("floats")
    }

    #[test]
    fn the_flow_of_a_normal_distribution_ends_in_it() {
        let device = Device::flex();
        // N(mean, variance): E[z | z_θ] = mean + cos variance (z_θ - cos mean) / (cos² variance + sin²).
        for (mean, variance) in [(0.0, 1.0), (1.5, 0.3), (-2.0, 4.0), (0.7, 1e-4)] {
            let velocity = |x: &Tensor<2>, angle: f64| {
                let (sine, cosine) = angle.sin_cos();
                let gain = cosine * variance / (cosine * cosine * variance + sine * sine);
                let z = (x.clone() - cosine * mean) * gain + mean;
                if sine < 1e-9 {
                    // E[ε | z] is 0.
                    return z.zeros_like();
                }
                let noise = (x.clone() - z.clone() * cosine) / sine;
                noise * cosine - z * sine
            };
            let start = Tensor::<2>::from_floats([[0.0], [1.0], [-2.0]], &device);
            let end = numbers(flow(start, 50, velocity));
            for (start, end) in [0.0, 1.0, -2.0_f64].into_iter().zip(end) {
                let expected = mean + start * variance.sqrt();
                let off = (f64::from(end) - expected).abs();
                assert!(off < 4e-3 * (1.0 + start.abs()), "{mean} {variance}: {end} {expected}");
            }
        }
    }
}
