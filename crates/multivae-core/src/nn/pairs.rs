//! Networks on pairs of vectors that are joined end to end.

use burn::tensor::{Int, Tensor, TensorData};
use multivae_kernels::{self as kernels, Activation};

/// Blocks of rows of two matrices, of which some pairs are joined end to end, features after features.
///
/// A network that begins with an affine map or a convolution maps each block once, however many pairs
/// it is in: `W [a; b] = W_a a + W_b b`.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use multivae_core::nn::JoinedPairs;
///
/// let device = Device::flex();
/// // Two blocks of two rows, and one.
/// let left = Tensor::<2>::from_floats([[1.0], [2.0], [3.0], [4.0]], &device);
/// let right = Tensor::<2>::from_floats([[5.0, 6.0], [7.0, 8.0]], &device);
/// let pairs = JoinedPairs { left, right, pairs: &[[1, 0]], rows: 2 };
/// let joined: Vec<f32> = pairs.joined().into_data().try_into_vec().expect("floats");
/// assert_eq!(joined, [3.0, 5.0, 6.0, 4.0, 7.0, 8.0]);
/// ```
#[derive(Clone, Debug)]
pub struct JoinedPairs<'a> {
    /// What stands first, `[blocks * rows, features]`.
    pub left: Tensor<2>,
    /// What stands behind it, `[blocks * rows, features]`.
    pub right: Tensor<2>,
    /// Numbers of the blocks on the left and on the right.
    pub pairs: &'a [[usize; 2]],
    /// Rows of a block.
    pub rows: usize,
}

impl JoinedPairs<'_> {
    /// The pairs themselves, `[pairs * rows, features of both]`.
    pub fn joined(&self) -> Tensor<2> {
        let Self { left, right, pairs, rows } = self;
        let blocks = |x: &Tensor<2>, side: usize| {
            let [all, features] = x.dims();
            let places: Vec<i64> = pairs.iter().map(|pair| pair[side] as i64).collect();
            let places = TensorData::new(places, [pairs.len()]);
            let places = Tensor::<1, Int>::from_data(places, &x.device());
            let blocks = x.clone().reshape([all / rows, *rows, features]).select(0, places);
            blocks.reshape([pairs.len() * rows, features])
        };
        Tensor::cat(vec![blocks(left, 0), blocks(right, 1)], 1)
    }

    /// What an affine map of each side makes of the pairs, with what follows it: the sums of
    /// `[blocks * rows, outputs]`, `[pairs * rows, outputs]`.
    pub(crate) fn sums(&self, [left, right]: [Tensor<2>; 2], activation: Activation) -> Tensor<2> {
        kernels::sum_pairs(left, right, self.pairs, self.rows, activation)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::{
        batch::Values,
        module::init_parameters,
        nn::{BranchConfig, Encoder, EncoderConfig, EncoderNet, LayerConfig, Networks},
    };

    fn encoder(
        trunk: Vec<LayerConfig>,
        heads: [Vec<LayerConfig>; 2],
        input: &[usize],
    ) -> EncoderNet {
        let [mean, log_var] = heads;
        let config = EncoderConfig::Branches(BranchConfig { trunk, mean, log_var }.into());
        let device = Device::flex().autodiff();
        let net = config.init("posterior", input, None, None, &Networks::default(), &device);
        init_parameters(net.expect("the layers fit"))
    }

    fn numbers(shape: [usize; 2], seed: usize) -> Tensor<2> {
        let number = |i| ((i * 37 + seed * 11) % 101) as f32 * 0.02 - 1.0;
        let values = (0..shape[0] * shape[1]).map(number).collect::<Vec<f32>>();
        Tensor::from_data(TensorData::new(values, shape), &Device::flex().autodiff())
    }

    fn list<const D: usize>(x: Tensor<D>) -> Vec<f32> {
        x.into_data().try_into_vec().expect("floats")
    }

    #[track_caller]
    fn same(found: Vec<f32>, expected: Vec<f32>, what: &str) {
        assert_eq!(found.len(), expected.len(), "{what}");
        let scale = expected.iter().fold(1.0_f32, |scale, e| scale.max(e.abs()));
        for (f, e) in found.iter().zip(&expected) {
            assert!((f - e).abs() <= 1e-5 * scale, "{what}: {f}, expected {e}");
        }
    }

    #[test]
    fn networks_on_pairs_are_those_on_what_is_joined_and_so_are_gradients() {
        let clamp = || LayerConfig::SoftClamp { limit: 2.0 };
        let linear = LayerConfig::linear;
        let conv =
            |channels: usize, kernel: usize| LayerConfig::conv2d(channels, kernel, 1, kernel / 2);
        let silu = || LayerConfig::Silu {};
        let same_heads = |head: Vec<LayerConfig>| [head.clone(), head];
        let flat: &[usize] = &[5];
        let image: &[usize] = &[5, 4, 3];
        let cases = [
            ("perceptron", vec![linear(6), silu()], same_heads(vec![linear(4), clamp()]), flat),
            ("deep", vec![linear(6), silu(), linear(3)], same_heads(vec![linear(4)]), flat),
            ("no function", vec![linear(6)], same_heads(vec![linear(4)]), flat),
            ("no trunk", vec![], same_heads(vec![linear(4)]), flat),
            (
                "other heads",
                vec![linear(6), silu()],
                [vec![linear(4), clamp()], vec![linear(4)]],
                flat,
            ),
            ("function first", vec![silu(), linear(6)], same_heads(vec![linear(4)]), flat),
            ("images", vec![conv(6, 3), silu()], same_heads(vec![conv(2, 1), clamp()]), image),
            (
                "deep images",
                vec![conv(6, 3), silu(), conv(3, 3)],
                same_heads(vec![conv(2, 1)]),
                image,
            ),
            ("to a vector", vec![conv(6, 3), silu()], same_heads(vec![linear(7), clamp()]), image),
            ("of an image", vec![linear(6), silu()], same_heads(vec![linear(7)]), image),
        ];
        for (what, trunk, heads, input) in cases {
            let net = encoder(trunk, heads, input);
            let places: usize = input[1..].iter().product();
            let (rows, pairs) = (2, [[0, 0], [2, 0], [0, 1], [1, 1]]);
            // Two and three channels.
            let left = numbers([3 * rows, 2 * places], 1).require_grad();
            let right = numbers([2 * rows, 3 * places], 2).require_grad();
            let of = |f: &dyn Fn(JoinedPairs<'_>) -> Tensor<2>| {
                let joined =
                    JoinedPairs { left: left.clone(), right: right.clone(), pairs: &pairs, rows };
                let found = f(joined);
                let factor = numbers(found.dims(), 3);
                let gradients = (found.clone() * factor).sum().backward();
                let of_inputs = [&left, &right].map(|x| list(x.grad(&gradients).expect("tracked")));
                let count = crate::module::tests::without_gradient(&net, &gradients);
                (list(found), of_inputs, count)
            };
            let found = of(&|pairs| net.encode_pairs(&pairs));
            let expected = of(&|pairs| {
                let posterior = net.encode(&Values::Dense(pairs.joined())).shared;
                Tensor::cat(vec![posterior.mean, posterior.log_var], 1)
            });
            same(found.0, expected.0, what);
            for (found, expected) in found.1.into_iter().zip(expected.1) {
                same(found, expected, what);
            }
            assert_eq!(found.2, expected.2, "{what}");
        }
    }
}
