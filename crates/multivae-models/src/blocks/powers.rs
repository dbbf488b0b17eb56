//! Learned powers of the experts of a product, for each modality and latent feature.

use burn::{
    module::{Initializer, Module, Param},
    tensor::{Device, Tensor, activation},
};
use multivae_core::{
    distribution::Normal, fusion::Experts, modality::ModalitySpec, module::Named, subset::Subset,
};
use serde::{Deserialize, Serialize};

/// What holds learned powers within bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Powers {
    /// Those of the modalities that a row observes add up to 1 in each feature: a soft maximum.
    #[default]
    Normalised,
    /// Each is between 0 and 1 by itself: a sigmoid.
    Free,
}

/// The powers `w_m` of a generalised product of experts, `Π_m q(z | x_m)^{w_m}`.
///
/// Source: Cao and Fleet 2014, arXiv 1410.7827.
#[derive(Module, Debug)]
pub struct ExpertPowers {
    /// What the powers are the map of, `[latent]` by modality.
    logits: Named<Param<Tensor<1>>>,
    #[module(skip)]
    rule: Powers,
}

impl ExpertPowers {
    /// Equal powers that add up to 1 over all modalities.
    pub fn init(specs: &[ModalitySpec], latent: usize, rule: Powers, device: &Device) -> Self {
        let value = match rule {
            Powers::Normalised => 0.0,
            // The log-odds of 1/M; of a single modality a power that is nearly 1.
            Powers::Free => -((specs.len() as f64 - 1.0).max(1e-3)).ln(),
        };
        let logits = |spec: &ModalitySpec| {
            (spec.name.to_string(), Initializer::Constant { value }.init([latent], device))
        };
        Self { logits: specs.iter().map(logits).collect(), rule }
    }

    /// The powers of the modalities in `given`, `[given, batch, latent]`, 0 where a row lacks one;
    /// `presence` is `[given, batch]`.
    pub fn of(&self, given: Subset, presence: &Tensor<2>) -> Tensor<3> {
        let logits = given.iter().map(|m| self.logits.at(m).val()).collect();
        let logits: Tensor<3> = Tensor::stack::<2>(logits, 0).unsqueeze_dim(1);
        let presence = presence.clone().unsqueeze_dim::<3>(2);
        match self.rule {
            Powers::Free => activation::sigmoid(logits) * presence,
            Powers::Normalised => {
                let lacking = (presence.clone() - 1.0) * FAR;
                activation::softmax(logits + lacking, 0) * presence
            }
        }
    }

    /// Where they lie.
    pub fn device(&self) -> Device {
        self.logits.at(0).val().device()
    }

    /// The product of the experts of `given`, which are those in order, `[1, batch, latent]`: the
    /// prior where a row observes none.
    pub fn product(&self, experts: &Experts, given: Subset) -> Normal<3> {
        let powers = self.of(given, &experts.presence);
        let precision = experts.log_var.clone().neg().exp() * powers;
        let weighted = (precision.clone() * experts.mean.clone()).sum_dim(0);
        let none = experts.presence.clone().sum_dim(0).equal_scalar(0.0).float();
        let total = precision.sum_dim(0) + none.unsqueeze_dim::<3>(2) + LEAST_PRECISION;
        Normal::new(weighted / total.clone(), total.log().neg())
    }
}

/// What is taken from the logits of missing experts: their share is 0 in single precision.
const FAR: f64 = 1e9;

/// What keeps a product finite whose powers are all 0.
const LEAST_PRECISION: f64 = 1e-8;

#[cfg(test)]
mod tests {
    use super::*;

    fn experts(device: &Device) -> Experts {
        // Means and variances that are easy by hand; the second row lacks the second expert.
        Experts::new(
            Tensor::from_floats([[[1.0], [1.0]], [[4.0], [9.0]]], device),
            Tensor::from_floats([[[0.0], [0.0]], [[-std::f32::consts::LN_2], [3.0]]], device),
            Tensor::from_floats([[1.0, 1.0], [1.0, 0.0]], device),
        )
    }

    fn numbers<const D: usize>(x: Tensor<D>) -> Vec<f32> {
        x.into_data().try_into_vec().expect("floats")
    }

    #[test]
    fn normalised_powers_add_up_to_one_over_what_a_row_observes() {
        let device = Device::flex();
        let specs = ["a", "b"].map(|name| ModalitySpec::new(name, &[1]).expect("valid"));
        let powers = ExpertPowers::init(&specs, 1, Powers::Normalised, &device);
        let experts = experts(&device);
        assert_eq!(numbers(powers.of(Subset::full(2), &experts.presence)), [0.5, 1.0, 0.5, 0.0]);
        let product = powers.product(&experts, Subset::full(2));
        // Precisions 1/2 and 1: mean (1/2 + 4) / (3/2) = 3. The second row is its one expert.
        for (found, expected) in numbers(product.mean).iter().zip([3.0, 1.0]) {
            assert!((found - expected).abs() < 1e-5, "{found}");
        }
        for (found, expected) in numbers(product.log_var.exp()).iter().zip([2.0 / 3.0, 1.0]) {
            assert!((found - expected).abs() < 1e-5, "{found}");
        }
    }

    #[test]
    fn free_powers_are_not_shared_out_anew_where_an_expert_is_missing() {
        let device = Device::flex();
        let specs = ["a", "b"].map(|name| ModalitySpec::new(name, &[1]).expect("valid"));
        let powers = ExpertPowers::init(&specs, 1, Powers::Free, &device);
        let found = numbers(powers.of(Subset::full(2), &experts(&device).presence));
        assert_eq!(found, [0.5, 0.5, 0.5, 0.0]);
    }
}
