//! What a training step spends its time on, fast on Burn's Flex backend, forward and backward.
//!
//! | function | in one pass | instead of |
//! |---|---|---|
//! | [`conv2d`], [`conv_transpose2d`] | what windows see of images times the weights, with bias and activation | convolutions whose channels are the images of the batch, in which Flex spends most of a step |
//! | [`linear`] | a matrix product, its bias and its activation | an operation each |
//! | [`activate`] | a function of single values | an operation for each step of its formula |
//! | [`log_density`] | terms and their sum over features | three to five arrays of all terms |
//! | [`rsample`], [`normal_kl`] | reparameterised samples and divergences of normal distributions | five to ten arrays of all values |
//! | [`Adam`] | weights and both moments, in place | some ten passes over each |
//!
//! Matrix products of affine maps are those of the `gemm` crate; they, and the loops here by the
//! `pulp` crate, use AVX-512, AVX2 or what else the processor has, as found at run time: one binary
//! serves all. [`on_workers`] starts work where its threads are.
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
//! CPU time in milliseconds on one core with AVX-512, the least of some runs, both sides in one
//! process; kernel 3 unless said. Backward is all three gradients. The large outputs of the last
//! five are new memory at each call, which takes up to half of the time of these kernels.
//!
//! | id | images | layer | forward | Burn | ratio | backward | Burn | ratio |
//! |---|--:|---|--:|--:|--:|--:|--:|--:|
//! | `polymnist/down1` | 128 | 3 → 32, 28×28, stride 2 | 1.5 | 3.4 | 2.3 | 2.7 | 11.4 | 4.2 |
//! | `polymnist/down2` | 128 | 32 → 64, 14×14, stride 2 | 2.2 | 4.2 | 1.8 | 4.1 | 15.3 | 3.7 |
//! | `polymnist/down3` | 128 | 64 → 128, 7×7, stride 2 | 2.0 | 4.1 | 2.0 | 3.9 | 13.0 | 3.3 |
//! | `polymnist/up1` | 128 | 128 → 64, 4×4, stride 2, transposed | 2.1 | 3.9 | 1.9 | 3.6 | 12.8 | 3.6 |
//! | `polymnist/up2` | 128 | 64 → 32, 7×7, stride 2, transposed | 2.0 | 3.2 | 1.6 | 3.6 | 16.5 | 4.6 |
//! | `polymnist/up3` | 128 | 32 → 3, 14×14, stride 2, transposed | 1.0 | 1.0 | 1.0 | 1.8 | 9.4 | 5.4 |
//! | `mhvae/halve` | 896 | 32 → 32, 28×28, stride 2 | 38.6 | 120.1 | 3.1 | 99.7 | 369.6 | 3.7 |
//! | `mhvae/join` | 896 | 64 → 32, 14×14 | 51.2 | 123.6 | 2.4 | 117.9 | 468.4 | 4.0 |
//! | `mhvae/pointwise` | 896 | 32 → 64, 14×14, kernel 1 | 24.8 | 24.0 | 1.0 | 47.5 | 214.5 | 4.5 |
//! | `mhvae/double` | 896 | 32 → 32, 14×14, stride 2, transposed | 67.9 | 107.5 | 1.6 | 121.5 | 522.3 | 4.3 |
//! | `mhvae/output` | 896 | 32 → 3, 28×28, transposed | 24.6 | 21.1 | 0.9 | 78.1 | 297.3 | 3.8 |
//!
//! The benchmark `conv` of `benches` compares the same.
//!
//! # Map
//!
//! `conv`, `linear`, `activation`, `density`, `normal` and `adam` are the functions with Burn's
//! composition; `flex` has a file for each with the kernel on slices and its place in the backend.

mod activation;
mod adam;
mod conv;
mod density;
#[cfg(feature = "flex")]
mod flex;
mod linear;
mod normal;
mod workers;

pub use activation::{Activation, activate};
pub use adam::{Adam, AdamSettings, Decay};
pub use conv::{Order, conv_transpose2d, conv2d};
pub use density::{Density, log_density};
#[cfg(feature = "flex")]
pub use flex::operations;
pub use linear::linear;
pub use normal::{normal_kl, rsample};
pub use workers::on_workers;
