//! What a training step spends its time on, fast on Burn's Flex backend, forward and backward.
//!
//! | function | in one pass | instead of |
//! |---|---|---|
//! | [`conv2d`], [`conv_transpose2d`] | what windows see of images times the weights, with bias and activation | convolutions whose channels are the images of the batch, in which Flex spends most of a step |
//! | [`linear`] | a matrix product, its bias and its activation | an operation each |
//! | [`activate`] | a function of single values | an operation for each step of its formula |
//! | [`log_density`] | terms and their sum over features | three to five arrays of all terms |
//! | [`negative_binomial`] | counts, of which a 0 costs a logarithm and others Stirling's formula | some sixty arrays of all terms |
//! | [`rsample`], [`normal_kl`] | reparameterised samples and divergences of normal distributions | five to ten arrays of all values |
//! | [`sum_pairs`] | sums of blocks of rows of two matrices and what follows them | copies of both for all pairs, and an operation each |
//! | [`product_of_experts`] | precisions of experts, their sums, and those of weighted means, by set | some ten arrays of all experts |
//! | [`FlowProduct`] | densities seen through flows, with their gradient: all blocks forth and back | several operations for each layer of each block, and a graph of them |
//! | [`structural_similarity`] | images under a window, and how alike they are, one by one | some forty arrays of all pixels |
//! | [`sum_of_squares`] | squares and their sum, for norms of gradients | an array of all squares |
//! | [`Adam`] | weights and both moments, in place | some ten passes over each |
//!
//! Matrix products of affine maps are those of the `gemm` crate; they, and the loops here by the
//! `pulp` crate, use AVX-512, AVX2 or what else the processor has, as found at run time: one binary
//! serves all. In the scope of [`Precision::Bf16`] affine maps and convolutions multiply rounded operands,
//! two pairs an instruction, where the processor can. [`on_workers`] starts work where its threads are, which count subnormal numbers as
//! zero.
//!
//! With the feature `flex`, the kernels run for `f32` on the Flex backend, with or without
//! automatic differentiation. All else goes to Burn's functions: other backends, other types,
//! dilation, groups. Without the feature everything does. Both give the same up to rounding, values
//! and gradients, which tests check.
//!
//! Results depend on neither the number nor the timing of threads. Only gradients that somebody
//! asks for are computed.
//!
//! # Example
//!
//! ```
//! use burn::tensor::{Device, Tensor, ops::ConvOptions};
//! use multivae_kernels::{Activation, Order, conv2d};
//!
//! let device = Device::flex();
//! let images = Tensor::<4>::ones([2, 3, 28, 28], &device);
//! let weight = Tensor::<4>::ones([32, 3, 3, 3], &device);
//! let options = ConvOptions::new([2, 2], [1, 1], [1, 1], 1);
//! let halved = conv2d(images, weight, None, options, Activation::Relu, Order::Planes);
//! assert_eq!(halved.dims(), [2, 32, 14, 14]);
//! ```
//!
//! # Gain
//!
//! Milliseconds on two cores with AVX-512, medians of criterion, both sides in one process; kernel 3
//! unless said. Backward is all three gradients. Arrays are new memory at each call, which takes up
//! to half of the time of the large ones.
//!
//! | id | images | layer | forward | Burn | ratio | backward | Burn | ratio |
//! |---|--:|---|--:|--:|--:|--:|--:|--:|
//! | `polymnist/down1` | 128 | 3 → 32, 28×28, stride 2 | 0.33 | 3.01 | 9.0 | 1.82 | 10 | 5.7 |
//! | `polymnist/down2` | 128 | 32 → 64, 14×14, stride 2 | 0.87 | 4.51 | 5.2 | 2.31 | 18 | 7.8 |
//! | `polymnist/down3` | 128 | 64 → 128, 7×7, stride 2 | 1.05 | 3.65 | 3.5 | 2.23 | 8.11 | 3.6 |
//! | `polymnist/up1` | 128 | 128 → 64, 4×4, stride 2, transposed | 0.74 | 2.62 | 3.5 | 2.26 | 9.06 | 4.0 |
//! | `polymnist/up2` | 128 | 64 → 32, 7×7, stride 2, transposed | 0.79 | 2.22 | 2.8 | 2.44 | 18 | 7.6 |
//! | `polymnist/up3` | 128 | 32 → 3, 14×14, stride 2, transposed | 0.58 | 0.52 | 0.9 | 0.77 | 10 | 13.4 |
//! | `mhvae/halve` | 896 | 32 → 32, 28×28, stride 2 | 23 | 139 | 6.1 | 97 | 568 | 5.8 |
//! | `mhvae/join` | 896 | 64 → 32, 14×14 | 23 | 109 | 4.8 | 89 | 478 | 5.4 |
//! | `mhvae/pointwise` | 896 | 32 → 64, 14×14, kernel 1 | 22 | 25 | 1.1 | 53 | 219 | 4.1 |
//! | `mhvae/double` | 896 | 32 → 32, 14×14, stride 2, transposed | 52 | 268 | 5.2 | 114 | 579 | 5.1 |
//! | `mhvae/output` | 896 | 32 → 3, 28×28, transposed | 15 | 14 | 1.0 | 64 | 278 | 4.3 |
//!
//! Forward and backward of the others:
//!
//! | kernel | one pass | Burn | ratio |
//! |---|--:|--:|--:|
//! | `linear`, sigmoid, 64 × 512 → 512 | 0.64 | 1.59 | 2.5 |
//! | `linear`, sigmoid, 2560 × 512 → 3072 | 115 | 225 | 2.0 |
//! | `activate`, SiLU, 5.6 million values | 7.95 | 116 | 14.5 |
//! | `activate`, clamp | 7.47 | 14 | 1.9 |
//! | `activate`, precision | 7.68 | 82 | 10.7 |
//! | `activate`, negative logarithm | 8.15 | 27 | 3.3 |
//! | `rsample`, 896 × 64 | 0.13 | 0.34 | 2.6 |
//! | `rsample`, 896 × 6272 | 40 | 80 | 2.0 |
//! | `normal_kl`, 896 × 64 | 0.09 | 0.63 | 7.2 |
//! | `normal_kl`, 896 × 6272 | 45 | 206 | 4.6 |
//! | `log_density`, normal, 896 × 2352 | 0.52 | 3.01 | 5.8 |
//! | `log_density`, Laplace | 0.60 | 7.28 | 12.2 |
//! | `log_density`, Bernoulli | 1.57 | 62 | 39.5 |
//! | `FlowProduct`, two flows, 64 × 10 | 0.12 | 0.57 | 4.7 |
//! | `sum_of_squares`, a million values | 0.043 | 0.143 | 3.3 |
//! | `Adam`, a million weights | 0.15 | 1.85 | 12.0 |
//!
//! The benchmarks `conv` and `passes` of `benches` compare the same.
//!
//! # Map
//!
//! `conv`, `linear`, `activation`, `density`, `count`, `normal`, `pairs`, `experts`, `flow`, `squares`,
//! `similarity` and `adam` are the functions with Burn's composition, but for `flow`, `count` and
//! `similarity`, which are composed by who calls them; `flex` has a file for each with the kernel on slices and its place in the backend, and products
//! in `gemm`, `direct` (windows of images) and `bf16` (both, of rounded operands).

mod activation;
mod adam;
mod conv;
mod count;
mod density;
mod experts;
#[cfg(feature = "flex")]
mod flex;
mod flow;
mod linear;
#[cfg(test)]
mod near;
mod normal;
mod pairs;
mod precision;
mod similarity;
mod squares;
#[cfg(feature = "flex")]
mod subnormal;
mod workers;

pub use activation::{Activation, activate};
pub use adam::{Adam, AdamSettings, Decay};
pub use conv::{Order, conv_transpose2d, conv2d};
pub use count::negative_binomial;
pub use density::{Density, log_density};
pub use experts::{ExpertSettings, product_of_experts};
#[cfg(feature = "flex")]
pub use flex::operations;
pub use flow::{FlowFactor, FlowProduct};
pub use linear::linear;
pub use normal::{normal_kl, rsample};
pub use pairs::sum_pairs;
pub use precision::Precision;
pub use similarity::{Similarity, structural_similarity};
pub use squares::sum_of_squares;
pub use workers::{is_eager, on_workers};

/// The README, so that its example is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
