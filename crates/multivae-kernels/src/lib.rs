//! Convolutions of images that are fast on Burn's Flex backend, forward and backward.
//!
//! Flex computes the gradient in the weight of a convolution as another convolution whose channels
//! are the images of the batch, and spends most of a training step there. Here each of the
//! operations is a matrix product of the `gemm` crate, which picks AVX-512, AVX2 or other
//! instructions at run time: patches of a few images at a time are gathered next to each other
//! (*im2col*), so that products are large and patches stay in the cache.
//!
//! [`conv2d`] and [`conv_transpose2d`] take what Burn's functions of these names take, and give
//! the same up to rounding. With the feature `flex`, they run the kernels for `f32` on the Flex
//! backend, with or without automatic differentiation; all else goes to Burn's functions: other
//! backends, other types, dilation, groups. Without the feature everything does.
//!
//! Results depend on neither the number nor the timing of threads. Only gradients that somebody
//! asks for are computed.
//!
//! # Example
//!
//! ```
//! use burn::tensor::{Device, Tensor, ops::ConvOptions};
//! use multivae_kernels::conv2d;
//!
//! let device = Device::flex();
//! let images = Tensor::<4>::ones([2, 3, 28, 28], &device);
//! let weight = Tensor::<4>::ones([32, 3, 3, 3], &device);
//! let halved = conv2d(images, weight, None, ConvOptions::new([2, 2], [1, 1], [1, 1], 1));
//! assert_eq!(halved.dims(), [2, 32, 14, 14]);
//! ```
//!
//! # Gain
//!
//! TABLE
//!
//! The benchmark `conv` of `benches` compares the same.
//!
//! # Map
//!
//! - `conv`: the two functions.
//! - `flex`: the kernels on slices; `flex::extension` makes them an operation of the backend.

mod conv;
#[cfg(feature = "flex")]
mod flex;

pub use conv::{conv_transpose2d, conv2d};
