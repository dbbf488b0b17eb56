//! Core types and objectives of multimodal variational autoencoders.
//!
//! A multimodal VAE learns one latent space for samples that come in several modalities, some of
//! which may be missing. Models differ in how they join the posteriors of the modalities and in
//! the bound they maximise; everything else is common, and lives here:
//!
//! | module | holds |
//! |---|---|
//! | [`modality`] | what a modality is: name, shape, likelihood |
//! | [`batch`] | values of several modalities, with a presence mask |
//! | [`subset`] | sets of modalities, and all of them as one membership matrix |
//! | [`distribution`] | normal, Laplace, Bernoulli, categorical; families of latents, likelihoods of decoders |
//! | [`fusion`] | rules that join unimodal posteriors, over all subsets at once, under masks |
//! | [`mixture`] | mixtures over what a row observes, stratified sampling |
//! | [`objective`] | reductions, schedules, rescaling, IWAE and DReG, importance-sampled likelihoods |
//! | [`hmc`] | Hamiltonian Monte Carlo: samples from a density known up to a factor |
//! | [`noise`] | randomness as an argument, the same on every backend |
//! | [`nn`] | networks as data, presets, networks of the user, normalizing flows |
//! | [`module`] | the containers Burn lacks: modules by name, modules behind a trait |
//! | [`model`] | what a model can do, as traits: learn, encode, generate, have a density |
//! | [`dataset`] | the trait every data set implements |
//! | [`schema`] | what is known of data as it was read: columns, types, scales, classes |
//! | [`pass`] | all rows of a data set in batches, and encoded |
//! | [`start`] | first weights that suit the data |
//!
//! All log-densities, divergences and losses are in nats.
//!
//! ```
//! use multivae_core::{distribution::Normal, fusion::{Experts, Product}, subset::Subsets};
//! use burn::tensor::{Device, Tensor};
//!
//! # let device = Device::flex();
//! // Two unimodal posteriors of one row and one latent dimension; the second is missing.
//! let experts = Experts::new(
//!     Tensor::from_floats([[[1.0]], [[9.0]]], &device),
//!     Tensor::from_floats([[[0.0]], [[0.0]]], &device),
//!     Tensor::from_floats([[1.0], [0.0]], &device),
//! );
//! let subsets = Subsets::all(2);
//! let posteriors: Normal<3> = Product::with_prior().of(&experts, &subsets);
//! // Subsets are {0}, {1}, {0, 1}: the mean is 1/2, 0 (the prior's) and 1/2.
//! let means: Vec<f32> = posteriors.mean.into_data().try_into_vec().expect("floats");
//! assert_eq!(means, [0.5, 0.0, 0.5]);
//! ```

pub mod batch;
pub mod dataset;
pub mod distribution;
pub mod error;
pub mod fusion;
pub mod hmc;
pub mod mixture;
pub mod modality;
pub mod model;
pub mod module;
pub mod nn;
pub mod noise;
pub mod objective;
pub mod options;
pub mod pass;
pub mod schema;
pub mod start;
pub mod subset;

pub use error::{Error, Result};

/// The README, so that its example is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
