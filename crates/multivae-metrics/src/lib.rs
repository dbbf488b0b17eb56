//! Measures of multimodal variational autoencoders.
//!
//! They see a model only through its capabilities ([`multivae_core::model`]) and data
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
//!
//! Generated values are compared with observed ones in features that somebody chooses,
//! [`Inception`] or any implementation of [`Features`]:
//!
//! ```
//! # use burn::tensor::Device;
//! # use multivae_core::{dataset::Dataset, model::Generate, noise::Noise};
//! # use multivae_testkit::{LinearGaussian, Rows};
//! # let device = Device::flex();
//! # let rows = (0..8).map(|row| vec![Some(row as f32), Some(1.0)]).collect();
//! # let data = Rows::new(2, rows);
//! # let model = LinearGaussian::new(0.5, data.modalities(), &device);
//! use multivae_metrics::{Features, FidConfig, RawValues, fid};
//!
//! let features = [(data.modalities()[0].name.clone(), &RawValues as &dyn Features)];
//! let joint = [model.prior(100, &device, &mut Noise::seeded(0))];
//! let config = FidConfig::default();
//! let report = fid(&model, &data, joint.into_iter(), &features, &config, &device, &|_| ())?;
//! // `m0` from `m1`, and from nothing.
//! assert_eq!((report.conditional.len(), report.joint.len()), (1, 1));
//! # Ok::<(), multivae_metrics::MetricsError>(())
//! ```
//!
//! Classes of generated values are told by a [`Classifier`] of every modality, trained by
//! [`train_classifiers`], or by any implementation of [`Classify`]:
//!
//! ```
//! # use burn::tensor::{Device, Tensor};
//! # use multivae_core::dataset::Dataset;
//! # use multivae_testkit::{LinearGaussian, Rows};
//! # let device = Device::flex();
//! # let rows = (0..8).map(|row| vec![Some(if row < 4 { -9.0 } else { 9.0 }); 2]).collect();
//! # let data = Rows::new(2, rows).with_labels((0..8).map(|row| row / 4).collect());
//! # let model = LinearGaussian::new(2.0, data.modalities(), &device);
//! use multivae_metrics::{Classifiers, Classify, CoherenceConfig, coherence};
//!
//! /// Class 1 for positive values, else class 0.
//! struct Sign;
//!
//! impl Classify for Sign {
//!     fn classes(&self) -> &[i64] {
//!         &[0, 1]
//!     }
//!
//!     fn scores(&self, values: &Tensor<2>) -> Tensor<2> {
//!         Tensor::cat(vec![values.clone().neg(), values.clone()], 1)
//!     }
//! }
//!
//! let classifiers = Classifiers::new([("m0", &Sign as &dyn Classify), ("m1", &Sign)])?;
//! let config = CoherenceConfig::default();
//! let report = coherence(&model, &data, &classifiers, &config, &device, &|_| ())?;
//! assert_eq!(report.size(1).map(|size| size.scores.accuracy.mean), Some(1.0));
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
mod fid;
mod findings;
mod inception;
mod likelihood;
mod mean;
mod projection;
mod reconstruction;
mod representation;
mod rows;
mod skill;
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
pub use fid::{Fid, FidConfig, SetDistance, fid, joint_fid};
pub use findings::{
    FEWEST_ROWS, Finding, FindingKind, coherence_findings, findings, likelihood_findings,
    skill_findings,
};
pub use inception::Inception;
pub use likelihood::{
    ConditionalLikelihood, LikelihoodConfig, Likelihoods, LogLikelihood, MarginalLikelihood,
    likelihood,
};
pub use mean::Mean;
pub use projection::{PrincipalComponents, TsneConfig, principal_components, tsne};
pub use reconstruction::{
    PosteriorValue, Reconstructed, ReconstructionConfig, ReconstructionReport, reconstruction,
};
pub use representation::{
    Contribution, DimensionUse, Probe, Representation, RepresentationConfig, Robustness, SpaceUse,
    probes, representation,
};
pub use skill::{PairSkill, Skill, SkillConfig, Source, skill};
pub use ssim::{ms_ssim, psnr, scales, ssim, ssim_map};

/// The README, so that its example is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
