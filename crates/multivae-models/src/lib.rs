//! Multimodal variational autoencoders on Burn: one model, one file.
//!
//! A model file holds its documentation (paper, generative process, objective, what differs from
//! the reference and why, cost), its configuration, its struct and its objective, assembled from
//! the laws of [`multivae_core`]. [`ModelConfig`] lists them all, each
//! with what it is in a line.
//!
//! ```
//! use burn::tensor::{Device, Distribution, Tensor};
//! use multivae_core::{batch::Batch, modality::ModalitySpec, model::MultimodalModel, nn::Networks, noise::Noise};
//! use multivae_models::ModelConfig;
//!
//! let device = Device::flex();
//! let specs = [ModalitySpec::new("scan", &[1, 8, 8])?, ModalitySpec::new("blood", &[5])?];
//! let config = ModelConfig::named("mopoe").expect("a model of the list").with_modalities(&specs)?;
//! let model = config.init(&Networks::default(), &device)?;
//!
//! let scan = Tensor::random([4, 64], Distribution::Default, &device);
//! let batch = Batch::complete(vec![scan, Tensor::zeros([4, 5], &device)])?;
//! let loss = model.learner().loss(&batch, &mut Noise::seeded(0));
//! assert!(loss.total.into_scalar::<f32>().is_finite());
//! # Ok::<(), multivae_core::Error>(())
//! ```

pub mod ae;
pub mod blocks;
pub mod cmvae;
pub mod code_vae;
pub mod crmvae;
pub mod custom;
pub mod cvae;
pub mod dcca_ey;
pub mod dccae;
pub mod dmvae;
pub mod dvcca;
pub mod exchange;
pub mod gpoe;
pub mod helvae;
pub mod jmvae;
pub mod jnf;
pub mod joint_aae;
pub mod maae;
pub mod masked_vae;
pub mod mcvae;
pub mod me_mvae;
pub mod mhvae;
pub mod mld;
pub mod mmhvae;
pub mod mmjsd;
pub mod mmvae;
pub mod mmvae_plus;
pub mod mmvae_plus_plus;
pub mod mmvm;
pub mod mohelvae;
pub mod mopoe;
pub mod mvae;
pub mod mvp;
pub mod mvtcae;
pub mod mwae;
pub mod mwb_vae;
pub mod nexus;
pub mod registry;
pub mod sparse_mvae;
pub mod telbo;
pub mod wb_vae;
pub mod weighted_dmvae;

pub use blocks::ModalityConfig;
pub use registry::{Model, ModelConfig};

/// The README, so that its example is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
