//! What is fitted, and how.

use multivae_core::nn::{FlowBlocks, FlowConfig};
use serde::{Deserialize, Serialize};

use crate::Result;

/// A sampler as data; its field `kind` tells which.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum SamplerConfig {
    /// A mixture of normal distributions.
    Gmm(MixtureConfig),
    /// A masked autoregressive flow: fitted quickly, sampled slowly.
    Maf(FlowFitConfig),
    /// An inverse autoregressive flow: fitted slowly, sampled quickly.
    Iaf(FlowFitConfig),
    /// Posteriors of random training rows.
    Aggregate(AggregateConfig),
}

/// How a Gaussian mixture is fitted.
///
/// | name | default | meaning | range |
/// |---|---|---|---|
/// | `components` | 10 | normal distributions; never more than there are values | at least 1 |
/// | `tolerance` | 1e-3 | growth of the mean log-density, in nats, below which fitting ends | above 0 |
/// | `max_iterations` | 2000 | iterations at most | at least 1 |
/// | `covariance_floor` | 1e-6 | what is added to the variances | at least 0 |
/// | `draws` | 1 | posterior samples per row that are fitted | at least 1 |
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MixtureConfig {
    /// Normal distributions, at least 1; never more than there are values.
    pub components: usize,
    /// Growth of the mean log-density, in nats, below which fitting ends.
    pub tolerance: f64,
    /// Iterations at most, at least 1.
    pub max_iterations: usize,
    /// What is added to the variances of every component.
    pub covariance_floor: f64,
    /// Posterior samples per row that are fitted, at least 1.
    pub draws: usize,
}

impl Default for MixtureConfig {
    fn default() -> Self {
        Self {
            components: 10,
            tolerance: 1e-3,
            max_iterations: 2000,
            covariance_floor: 1e-6,
            draws: 1,
        }
    }
}

/// How a flow is fitted: by Adam, to the largest mean log-density.
///
/// | name | default | meaning | range |
/// |---|---|---|---|
/// | `blocks` | 2 | blocks of the flow, see [`FlowConfig`] | at least 1 |
/// | `hidden` | 128 | width of the hidden layers of a block | at least 1 |
/// | `layers` | 3 | hidden layers of a block | |
/// | `batch_norm` | false | whether a batch normalisation follows each block | |
/// | `epochs` | 100 | passes through the rows | at least 1 |
/// | `batch_size` | 64 | rows of a step | at least 2 |
/// | `learning_rate` | 1e-3 | of Adam | above 0 |
/// | `valid` | 0.1 | share of the rows, drawn by the seed, that chooses the best epoch; with 0 the mean over an epoch's steps does | 0 to below 1 |
/// | `draws` | 1 | posterior samples per row that are fitted | at least 1 |
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FlowFitConfig {
    /// Blocks of the flow, at least 1.
    pub blocks: usize,
    /// Width of the hidden layers of a block, at least 1.
    pub hidden: usize,
    /// Hidden layers of a block.
    pub layers: usize,
    /// Whether a batch normalisation follows each block.
    pub batch_norm: bool,
    /// Passes through the rows, at least 1.
    pub epochs: usize,
    /// Rows of a step, at least 2.
    pub batch_size: usize,
    /// The learning rate of Adam, above 0.
    pub learning_rate: f64,
    /// Share of the rows that chooses the best epoch, from 0 to below 1.
    pub valid: f64,
    /// Posterior samples per row that are fitted, at least 1.
    pub draws: usize,
}

impl Default for FlowFitConfig {
    fn default() -> Self {
        Self {
            blocks: 2,
            hidden: 128,
            layers: 3,
            batch_norm: false,
            epochs: 100,
            batch_size: 64,
            learning_rate: 1e-3,
            valid: 0.1,
            draws: 1,
        }
    }
}

impl FlowFitConfig {
    /// The masked autoregressive flow of this size.
    pub(crate) fn maf(&self) -> FlowConfig {
        let Self { blocks, hidden, layers, batch_norm, .. } = *self;
        FlowConfig::Maf(FlowBlocks { blocks, hidden, layers, batch_norm })
    }

    /// The inverse autoregressive flow of this size.
    pub(crate) fn iaf(&self) -> FlowConfig {
        let Self { blocks, hidden, layers, batch_norm, .. } = *self;
        FlowConfig::Iaf(FlowBlocks { blocks, hidden, layers, batch_norm })
    }
}

/// How posteriors are drawn from.
///
/// | name | default | meaning | range |
/// |---|---|---|---|
/// | `draws` | 10 | posterior samples per row that are kept; what is sampled is one of them | at least 1 |
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AggregateConfig {
    /// Posterior samples per row that are kept, at least 1; what is sampled is one of them.
    pub draws: usize,
}

impl Default for AggregateConfig {
    fn default() -> Self {
        Self { draws: 10 }
    }
}

impl SamplerConfig {
    /// The names of all kinds.
    pub const NAMES: &[&str] = &["gmm", "maf", "iaf", "aggregate"];

    /// A kind with all defaults.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "gmm" => Self::Gmm(MixtureConfig::default()),
            "maf" => Self::Maf(FlowFitConfig::default()),
            "iaf" => Self::Iaf(FlowFitConfig::default()),
            "aggregate" => Self::Aggregate(AggregateConfig::default()),
            _ => return None,
        })
    }

    /// The name of the kind.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Gmm(_) => "gmm",
            Self::Maf(_) => "maf",
            Self::Iaf(_) => "iaf",
            Self::Aggregate(_) => "aggregate",
        }
    }

    /// Posterior samples of a row that are fitted or kept.
    pub(crate) fn draws(&self) -> usize {
        match self {
            Self::Gmm(config) => config.draws,
            Self::Maf(config) | Self::Iaf(config) => config.draws,
            Self::Aggregate(config) => config.draws,
        }
    }

    /// # Errors
    ///
    /// [`SamplerError::Config`](crate::SamplerError::Config) if a value is out of its range.
    pub fn check(&self) -> Result<()> {
        at_least("draws", self.draws(), 1)?;
        match self {
            Self::Gmm(config) => {
                at_least("components", config.components, 1)?;
                at_least("max_iterations", config.max_iterations, 1)?;
                let positive = config.tolerance > 0.0 && config.tolerance.is_finite();
                require("tolerance", positive, "above 0", config.tolerance)?;
                let floor = config.covariance_floor;
                require("covariance_floor", floor >= 0.0 && floor.is_finite(), "at least 0", floor)
            }
            Self::Maf(config) | Self::Iaf(config) => {
                at_least("blocks", config.blocks, 1)?;
                at_least("hidden", config.hidden, 1)?;
                at_least("epochs", config.epochs, 1)?;
                at_least("batch_size", config.batch_size, 2)?;
                let rate = config.learning_rate;
                require("learning_rate", rate > 0.0 && rate.is_finite(), "above 0", rate)?;
                let share = (0.0..1.0).contains(&config.valid);
                require("valid", share, "0 to below 1", config.valid)
            }
            Self::Aggregate(_) => Ok(()),
        }
    }
}

fn at_least(field: &str, value: usize, least: usize) -> Result<()> {
    require(field, value >= least, &format!("at least {least}"), value)
}

fn require(field: &str, holds: bool, expected: &str, found: impl ToString) -> Result<()> {
    if holds {
        return Ok(());
    }
    Err(multivae_core::Error::Config {
        field: field.to_owned(),
        expected: expected.to_owned(),
        found: found.to_string(),
    }
    .into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_reads_what_it_writes_and_refuses_unknown_keys() {
        for name in SamplerConfig::NAMES {
            let config = SamplerConfig::named(name).expect("listed");
            assert_eq!(config.name(), *name);
            config.check().expect("defaults are valid");
            let text = serde_json::to_string(&config).expect("plain data");
            assert_eq!(serde_json::from_str::<SamplerConfig>(&text).expect("its own"), config);
            let short = format!(r#"{{"kind":"{name}"}}"#);
            assert_eq!(serde_json::from_str::<SamplerConfig>(&short).expect("defaults"), config);
            let wrong = format!(r#"{{"kind":"{name}","width":1}}"#);
            assert!(serde_json::from_str::<SamplerConfig>(&wrong).is_err(), "{name}");
        }
        assert!(SamplerConfig::named("vamp").is_none());
    }

    #[test]
    fn values_out_of_range_are_named() {
        let message = |config: SamplerConfig| config.check().expect_err("out of range").to_string();
        let gmm = MixtureConfig { components: 0, ..MixtureConfig::default() };
        assert_eq!(message(SamplerConfig::Gmm(gmm)), "`components`: expected at least 1, found 0");
        let maf = FlowFitConfig { valid: 1.0, ..FlowFitConfig::default() };
        assert!(message(SamplerConfig::Maf(maf)).starts_with("`valid`"));
        let iaf = FlowFitConfig { learning_rate: f64::NAN, ..FlowFitConfig::default() };
        assert!(message(SamplerConfig::Iaf(iaf)).starts_with("`learning_rate`"));
        let aggregate = SamplerConfig::Aggregate(AggregateConfig { draws: 0 });
        assert!(message(aggregate).starts_with("`draws`"));
    }
}
