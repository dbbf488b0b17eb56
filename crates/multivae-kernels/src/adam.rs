//! The optimiser Adam, in one pass over memory.

use burn::{
    optim::{Adam as Plain, AdamConfig, AdamState, AdaptiveMomentumState, LearningRate, Optimizer},
    tensor::{Device, Tensor},
};

#[cfg(feature = "flex")]
use crate::flex;

/// Adam, with weight decay in the gradient (Kingma and Ba 2015) or on the weights (AdamW,
/// Loshchilov and Hutter 2019).
///
/// Burn's Adam reads and writes every value some ten times per step, and on the CPU a step is bound
/// by memory. This one reads and writes each once, in place; on other backends it is Burn's. Its
/// state is that of Burn's Adam, so that a run may go on on another backend.
#[derive(Clone)]
pub struct Adam {
    settings: AdamSettings,
    plain: Plain,
}

/// What Adam needs to know.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamSettings {
    /// Share of the old mean of gradients.
    pub beta_1: f32,
    /// Share of the old mean of squares.
    pub beta_2: f32,
    /// Added to the root of the mean of squares.
    pub epsilon: f32,
    /// What happens to the weights themselves.
    pub decay: Decay,
    /// Whether the largest mean of squares so far is taken (AMSGrad, Reddi et al. 2018); always
    /// by Burn's operations.
    pub amsgrad: bool,
}

/// Weight decay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Decay {
    /// So many times the weights are added to the gradient.
    Gradient(f32),
    /// The weights shrink by so many times the learning rate.
    Weights(f32),
}

/// One step, with its corrections for the start.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(feature = "flex"), expect(dead_code, reason = "only kernels read it"))]
pub(crate) struct Step {
    pub(crate) beta_1: f32,
    pub(crate) beta_2: f32,
    /// Times the weights in the gradient.
    pub(crate) decay: f32,
    /// Times the weights.
    pub(crate) shrink: f32,
    pub(crate) rate: f32,
    pub(crate) epsilon: f32,
}

impl AdamSettings {
    /// The optimiser.
    pub fn build(self) -> Adam {
        // A decay of the weights is the same before Adam's step, which does not read them.
        let penalty = match self.decay {
            Decay::Gradient(penalty) if penalty > 0.0 => {
                Some(burn::optim::decay::WeightDecayConfig { penalty })
            }
            _ => None,
        };
        let plain = AdamConfig::new()
            .with_beta_1(self.beta_1)
            .with_beta_2(self.beta_2)
            .with_epsilon(self.epsilon)
            .with_amsgrad(self.amsgrad)
            .with_weight_decay(penalty)
            .build();
        Adam { settings: self, plain }
    }

    /// The step number `time`, from 1.
    fn step(&self, time: usize, rate: LearningRate) -> Step {
        let Self { beta_1, beta_2, epsilon, decay, .. } = *self;
        let time = time as i32;
        let root = (1.0 - beta_2.powi(time)).sqrt();
        let (decay, shrink) = match decay {
            Decay::Gradient(penalty) => (penalty, 1.0),
            Decay::Weights(penalty) => (0.0, 1.0 - rate * f64::from(penalty)),
        };
        Step {
            beta_1,
            beta_2,
            decay,
            shrink: shrink as f32,
            rate: (rate * f64::from(root / (1.0 - beta_1.powi(time)))) as f32,
            epsilon: epsilon * root,
        }
    }
}

impl Adam {
    fn plain_step<const D: usize>(
        &self,
        rate: LearningRate,
        weights: Tensor<D>,
        gradient: Tensor<D>,
        state: Option<AdamState<D>>,
    ) -> (Tensor<D>, Option<AdamState<D>>) {
        let weights = match self.settings.decay {
            Decay::Weights(penalty) if penalty > 0.0 => {
                weights.mul_scalar(1.0 - rate * f64::from(penalty))
            }
            _ => weights,
        };
        self.plain.step(rate, weights, gradient, state)
    }
}

impl Optimizer for Adam {
    type State<const D: usize> = AdamState<D>;

    fn step<const D: usize>(
        &self,
        rate: LearningRate,
        weights: Tensor<D>,
        gradient: Tensor<D>,
        state: Option<AdamState<D>>,
    ) -> (Tensor<D>, Option<AdamState<D>>) {
        #[cfg(feature = "flex")]
        if !self.settings.amsgrad {
            let (time, first, second) = match state {
                Some(AdamState { momentum }) => {
                    (momentum.time, momentum.moment_1, momentum.moment_2)
                }
                None => (0, gradient.zeros_like(), gradient.zeros_like()),
            };
            let kept = |time, first, second| {
                Some(AdamState::new(AdaptiveMomentumState::new(time, first, second)))
            };
            let tensors = [weights, first, second];
            let suits = flex::adam::is_for(&tensors, &gradient);
            let [weights, first, second] = if suits {
                flex::adam::step(self.settings.step(time + 1, rate), tensors, &gradient)
            } else {
                tensors
            };
            return if suits {
                (weights, kept(time + 1, first, second))
            } else {
                let state = kept(time, first, second).filter(|_| time > 0);
                self.plain_step(rate, weights, gradient, state)
            };
        }
        self.plain_step(rate, weights, gradient, state)
    }

    fn to_device<const D: usize>(state: AdamState<D>, device: &Device) -> AdamState<D> {
        Plain::to_device(state, device)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::TensorData;

    use super::*;

    fn numbers(shape: [usize; 2], seed: usize) -> Tensor<2> {
        let number = |i| ((i * 37 + seed * 11) % 101) as f32 * 0.02 - 1.01;
        let values = (0..shape[0] * shape[1]).map(number).collect::<Vec<f32>>();
        Tensor::from_data(TensorData::new(values, shape), &Device::flex())
    }

    #[test]
    fn steps_are_those_of_burn() {
        for decay in [Decay::Gradient(0.0), Decay::Gradient(0.1), Decay::Weights(0.1)] {
            for amsgrad in [false, true] {
                let settings =
                    AdamSettings { beta_1: 0.9, beta_2: 0.99, epsilon: 1e-6, decay, amsgrad };
                let adam = settings.build();
                let (mut ours, mut plain) = (numbers([300, 400], 0), numbers([300, 400], 0));
                let (mut state, mut plain_state) = (None, None);
                for time in 0..5 {
                    let gradient = numbers([400, 300], time).swap_dims(0, 1);
                    let before = ours.clone();
                    (ours, state) = adam.step(0.01, ours, gradient.clone(), state);
                    (plain, plain_state) = adam.plain_step(0.01, plain, gradient, plain_state);
                    let distance = (ours.clone() - plain.clone()).abs().max();
                    assert!(distance.into_scalar::<f32>() < 1e-6, "{decay:?} {amsgrad} {time}");
                    let moved = (ours.clone() - before).abs().max();
                    assert!(moved.into_scalar::<f32>() > 1e-3, "what others hold stays");
                }
                let states =
                    [state, plain_state].map(|state| state.expect("after a step").momentum);
                assert_eq!(states[0].time, 5);
                assert_eq!(states[1].time, 5);
                let distance = states[0].moment_2.clone() - states[1].moment_2.clone();
                assert!(distance.abs().max().into_scalar::<f32>() < 1e-6);
            }
        }
    }
}
