//! Measures of multimodal variational autoencoders.
//!
//! They see a model only through [`MultimodalVae`](multivae_core::model::MultimodalVae) and data
//! only through [`Dataset`](multivae_core::dataset::Dataset), and go through the rows in batches
//! with memory that does not grow. Every mean comes with its standard error.
//!
//! ```
//! # use burn::tensor::Device;
//! # use multivae_core::dataset::Dataset;
//! # use multivae_testkit::{LinearGaussian, Rows};
//! # let device = Device::flex();
//! # let data = Rows::new(2, vec![vec![Some(0.5), Some(1.0)], vec![Some(0.0), None]]);
//! # let model = LinearGaussian::new(0.5, data.modalities(), &device);
//! use multivae_metrics::{EvaluateConfig, evaluate};
//!
//! let evaluation = evaluate(&model, &data, &EvaluateConfig::default(), &device)?;
//! assert_eq!(evaluation.rows, 2);
//! // How well is `m1` told from `m0`? One row observes both.
//! let cross = evaluation.cross(&["m0"], "m1").expect("both are modalities");
//! assert_eq!(cross.rows, 1);
//! # Ok::<(), multivae_metrics::MetricsError>(())
//! ```

mod classifier;
mod clustering;
mod coherence;
mod distance;
mod entry;
mod error;
mod evaluate;
mod features;
mod findings;
mod inception;
mod likelihood;
mod mean;
mod projection;
mod reconstruction;
mod representation;
mod rows;
mod ssim;

pub use classifier::{
    Classifier, ClassifierConfig, ClassifierReport, Classifiers, Classify, load_classifiers,
    train_classifiers,
};
pub use clustering::{ClusterScores, Clustering, ClusteringConfig, clustering, score_clusters};
pub use coherence::{
    ClassRecall, ClassShare, Coherence, CoherenceConfig, JointCoherence, PairCoherence, Scores,
    SizeCoherence, SubsetCoherence, coherence, joint_coherence,
};
pub use distance::{
    FeatureSet, Frechet, Moments, PrecisionRecall, kernel_distance, precision_recall,
};
pub use entry::{Entries, Entry};
pub use error::MetricsError;
pub use evaluate::{
    Cross, EvaluateConfig, Evaluation, ModalityMean, SpaceMean, evaluate, given_subsets,
};
pub use features::{Features, RawValues};
pub use findings::{Finding, FindingKind, findings};
pub use inception::Inception;
pub use likelihood::{
    ConditionalLikelihood, LikelihoodConfig, Likelihoods, LogLikelihood, likelihood,
};
pub use mean::Mean;
pub use projection::{PrincipalComponents, TsneConfig, principal_components, tsne};
pub use reconstruction::{
    PosteriorValue, Reconstructed, ReconstructionConfig, ReconstructionReport, reconstruction,
};
pub use representation::{
    Contribution, DimensionUse, Probe, Representation, RepresentationConfig, Robustness, SpaceUse,
    representation,
};
pub use ssim::{ms_ssim, psnr, scales, ssim, ssim_map};
