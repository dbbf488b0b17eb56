//! The categorical distribution on logits.

use burn::tensor::{
    Int, Tensor,
    activation::{log_softmax, softmax},
};

/// Independent categorical values: `positions` of them, each of `classes` classes, side by side
/// on the last axis.
#[derive(Clone, Debug)]
pub struct Categorical<const D: usize> {
    /// Logits, `[.., positions * classes]`, the classes of a position next to each other.
    pub logits: Tensor<D>,
    /// Number of classes.
    pub classes: usize,
}

impl<const D: usize> Categorical<D> {
    /// Takes logits.
    ///
    /// # Panics
    ///
    /// If the last axis is no multiple of `classes`.
    pub fn new(logits: Tensor<D>, classes: usize) -> Self {
        let last = logits.dims()[D - 1];
        assert!(classes > 0 && last.is_multiple_of(classes), "{last} logits for {classes} classes");
        Self { logits, classes }
    }

    /// `[rows, positions, classes]`, all leading axes folded.
    fn folded(&self) -> Tensor<3> {
        let dims = self.logits.dims();
        let rows: usize = dims[..D - 1].iter().product();
        self.logits.clone().reshape([rows, dims[D - 1] / self.classes, self.classes])
    }

    /// Sums per-position values `[rows, positions, 1]` to the leading axes.
    fn total<const R: usize>(&self, values: Tensor<3>) -> Tensor<R> {
        let dims = self.logits.dims();
        let lead: [usize; R] = std::array::from_fn(|axis| dims[axis]);
        values.sum_dim(1).reshape(lead)
    }

    /// `Σ x log_softmax(logits)` over the last axis, for one-hot values or probabilities of the
    /// logits' shape or one that broadcasts to it. `R` is `D - 1`.
    pub fn log_prob<const R: usize>(&self, value: Tensor<D>) -> Tensor<R> {
        let log_probabilities = log_softmax(self.folded(), 2).reshape(self.logits.dims());
        let dims = self.logits.dims();
        let lead: [usize; R] = std::array::from_fn(|axis| dims[axis]);
        (log_probabilities * value).sum_dim(D - 1).reshape(lead)
    }

    /// Log-probability of tokens `[rows, positions]` where `mask` is 1; padding does not count.
    /// `rows` are all leading axes folded. `R` is `D - 1`.
    pub fn log_prob_tokens<const R: usize>(
        &self,
        ids: Tensor<2, Int>,
        mask: Tensor<2>,
    ) -> Tensor<R> {
        let chosen = log_softmax(self.folded(), 2).gather(2, ids.unsqueeze_dim(2));
        self.total(chosen * mask.unsqueeze_dim(2))
    }

    /// Probabilities, shaped like the logits.
    pub fn mean(&self) -> Tensor<D> {
        softmax(self.folded(), 2).reshape(self.logits.dims())
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::distribution::tests::{close, scalar};

    #[test]
    fn log_prob_equals_multivae_for_one_hot_and_tokens() {
        let device = Device::flex();
        let p = Categorical::<2>::new(Tensor::from_floats([[0.1, 0.2, 0.7]], &device), 3);
        let one_hot = Tensor::from_floats([[0.0, 0.0, 1.0]], &device);
        close(scalar::<1>(p.log_prob(one_hot)), -0.7679496, 1e-6, "one-hot");
        let (ids, mask) = (Tensor::from_data([[2]], &device), Tensor::ones([1, 1], &device));
        close(scalar::<1>(p.log_prob_tokens(ids, mask)), -0.7679496, 1e-6, "token");
    }

    #[test]
    fn padding_does_not_count() {
        let device = Device::flex();
        let logits = Tensor::from_floats([[0.1, 0.2, 0.7, 5.0, -3.0, 1.0]], &device);
        let p = Categorical::<2>::new(logits, 3);
        let ids = Tensor::from_data([[2, 0]], &device);
        let mask = Tensor::from_floats([[1.0, 0.0]], &device);
        close(scalar::<1>(p.log_prob_tokens(ids, mask)), -0.7679496, 1e-6, "padded");
    }

    #[test]
    fn each_position_is_a_distribution_of_its_own() {
        let device = Device::flex();
        let p = Categorical::<2>::new(Tensor::from_floats([[1.0, 2.0, 9.0, -4.0]], &device), 2);
        let mean: Vec<f32> = p.mean().into_data().try_into_vec().expect("floats");
        close(f64::from(mean[0] + mean[1]), 1.0, 1e-6, "first");
        close(f64::from(mean[2] + mean[3]), 1.0, 1e-6, "second");
    }
}
