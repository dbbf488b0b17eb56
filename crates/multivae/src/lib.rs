#![doc = include_str!("README.md")]

#[cfg(feature = "mimalloc")]
pub mod allocator;
pub mod device;

pub use multivae_core as core;
pub use multivae_data as data;
pub use multivae_metrics as metrics;
pub use multivae_models as models;
pub use multivae_report as report;
pub use multivae_run as run;
pub use multivae_samplers as samplers;
pub use multivae_train as train;

/// What most programs need: `use multivae::prelude::*`.
pub mod prelude {
    pub use burn::{
        module::Module,
        tensor::{Device, Tensor},
    };
    pub use multivae_core::{
        batch::{Batch, Presence, Values},
        dataset::Dataset,
        distribution::{Likelihood, Normal},
        modality::ModalitySpec,
        model::{
            Density, Draws, Encode, Generate, Latent, Learn, LikelihoodQuery, Multimodal,
            MultimodalModel, Space, TrainableModel,
        },
        nn::{Encoder, Encoding, Network, Networks},
        noise::Noise,
        subset::Subset,
    };
    pub use multivae_data::{DataConfig, MemoryDataset, Splits, Standardisation};
    pub use multivae_metrics::{EvaluateConfig, Evaluation, evaluate};
    pub use multivae_models::{Model, ModelConfig};
    pub use multivae_run::{Bundle, Run, RunConfig, RunFolder, Trained};
    pub use multivae_samplers::{PriorSampler, Sampler, SamplerConfig};
    pub use multivae_train::{Fitted, TrainConfig, Trainer, load_best};
}
