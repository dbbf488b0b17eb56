//! Latent values with dropout rates that are learned, by which features that are not needed are told:
//! sparse variational dropout.
//!
//! The variance of feature `d` is `α_d μ_d²`, and its dropout rate `p_d = α_d / (1 + α_d)`; the prior is
//! log-uniform in each feature.
//!
//! Source: Molchanov, Ashukha and Vetrov 2017, arXiv 1701.05369.

use burn::{
    module::{Initializer, Param},
    tensor::{Device, Tensor, activation},
};
use multivae_core::{distribution::Normal, fusion::Experts};

use crate::blocks::codes::Codes;

/// `ln α`, `[1, latent]`, close to rates of a half.
pub fn log_alpha(latent: usize, device: &Device) -> Param<Tensor<2>> {
    Initializer::Normal { mean: 0.0, std: 0.01 }.init([1, latent], device)
}

/// The posteriors of which codes are the means.
pub fn experts(codes: &Codes, log_alpha: &Param<Tensor<2>>) -> Experts {
    let log_alpha = log_alpha.val().unsqueeze_dim::<3>(0);
    let log_var = log_alpha + (codes.values.clone().abs() + LEAST_MEAN).log() * 2.0;
    let experts = Normal::new(codes.values.clone(), log_var).bounded();
    Experts::new(experts.mean, experts.log_var, codes.presence.clone())
}

/// The dropout rate of each feature, `[latent]`.
pub fn dropout_rates(log_alpha: &Param<Tensor<2>>) -> Tensor<1> {
    activation::sigmoid(log_alpha.val().squeeze_dim(0))
}

/// 1 for features whose dropout rate is below the threshold, `[latent]`; a threshold of 1 keeps them
/// all.
pub fn kept(rates: Tensor<1>, threshold: f64) -> Tensor<1> {
    match threshold {
        1.0 => rates.ones_like(),
        threshold => rates.lower_scalar(threshold).float(),
    }
}

/// What keeps the logarithm of a mean finite.
const LEAST_MEAN: f64 = 1e-8;

/// The divergence from the log-uniform prior, summed over the last axis, nats, up to a constant: 0
/// for a rate of 1; `R` is `D - 1`. Source: Molchanov et al. 2017, equation 14.
pub fn divergence<const D: usize, const R: usize>(posterior: &Normal<D>) -> Tensor<R> {
    const K: [f64; 3] = [0.63576, 1.8732, 1.48695];
    let mean = (posterior.mean.clone().abs() + LEAST_MEAN).log();
    let log_alpha = (posterior.log_var.clone() - mean * 2.0).clamp(-8.0, 8.0);
    let gain = activation::sigmoid(log_alpha.clone() * K[2] + K[1]) * K[0];
    let noise = activation::softplus(log_alpha.neg(), 1.0) * 0.5;
    (noise - gain + K[0]).sum_dim(D - 1).squeeze_dim(D - 1)
}
