//! A fitted sampler of any kind.

use burn::tensor::Device;
use multivae_core::{
    batch::NoiseKey,
    dataset::Dataset,
    model::{Generate, Latent},
    noise::Noise,
    pass::{self, Pass},
};

use crate::{
    Result, SamplerConfig, SamplerError, Space, aggregate::Aggregate, flow::Flow, layout::Layout,
    mixture::Mixture,
};

/// What was fitted to the latent values of a model.
///
/// One density covers all spaces that the model has for a row, the shared and the modality-specific ones, so
/// that they belong together in samples as they do in rows. Of a hierarchy it covers the highest
/// level; the lower ones are drawn from their priors.
#[derive(Clone, Debug)]
pub struct Sampler {
    pub(crate) config: SamplerConfig,
    pub(crate) layout: Layout,
    pub(crate) fitted: Fitted,
}

#[derive(Clone, Debug)]
pub(crate) enum Fitted {
    Mixture(Mixture),
    Flow(Flow),
    Aggregate(Aggregate),
}

impl Sampler {
    /// Fits samples of `q(z | x)` of all rows, each given what it observes; `pass` says how many
    /// rows are encoded at once, and has the seed of all that is random. `progress` is told the
    /// share that is done.
    ///
    /// # Errors
    ///
    /// [`SamplerError::Conditional`], [`SamplerError::Config`], [`SamplerError::Rows`],
    /// [`SamplerError::Pass`], [`SamplerError::NotFinite`].
    ///
    /// # Panics
    ///
    /// If the batch size of `pass` is 0.
    pub fn fit(
        model: &dyn Generate,
        data: &dyn Dataset,
        config: &SamplerConfig,
        pass: Pass,
        device: &Device,
        progress: &dyn Fn(f64),
    ) -> Result<Self> {
        SamplerError::of_conditions(model)?;
        config.check()?;
        if data.is_empty() {
            return Err(SamplerError::Rows { needed: 1, found: 0 });
        }
        let layout = Layout::of(model, device);
        let values = layout.posterior(model, data, config.draws(), pass, device)?;
        let (features, seed) = (layout.features(), pass.seed);
        let fitted = match config {
            SamplerConfig::Gmm(c) => {
                Fitted::Mixture(Mixture::fit(&values, features, c, seed, progress)?)
            }
            SamplerConfig::Maf(c) => {
                Fitted::Flow(Flow::fit(&values, features, &c.maf(), c, seed, device, progress)?)
            }
            SamplerConfig::Iaf(c) => {
                Fitted::Flow(Flow::fit(&values, features, &c.iaf(), c, seed, device, progress)?)
            }
            SamplerConfig::Aggregate(_) => Fitted::Aggregate(Aggregate { features, values }),
        };
        Ok(Self { config: config.clone(), layout, fitted })
    }

    /// How it was fitted.
    pub fn config(&self) -> &SamplerConfig {
        &self.config
    }

    /// The spaces that it has values for: the shared one, in a hierarchy its highest level, and
    /// those of modalities.
    pub fn spaces(&self) -> &[Space] {
        &self.layout.spaces
    }

    /// Rows of latent values `[1, chunk, features]` per space, in order; the last chunk may be
    /// shorter. Row `i` depends on the seed and on `i` alone, up to rounding.
    ///
    /// # Errors
    ///
    /// [`SamplerError::Model`] if the model has other spaces.
    ///
    /// # Panics
    ///
    /// If `chunk` is 0.
    pub fn chunks<'a>(
        &'a self,
        model: &'a dyn Generate,
        rows: usize,
        chunk: usize,
        seed: u64,
        device: &'a Device,
    ) -> Result<impl Iterator<Item = Latent> + 'a> {
        assert!(chunk > 0, "a chunk has at least one row");
        self.layout.check(&Layout::of(model, device))?;
        Ok((0..rows).step_by(chunk).map(move |start| {
            let size = chunk.min(rows - start);
            // Epoch 1: other values than the noise of encoding and of the prior.
            let key = NoiseKey { seed, epoch: 1, step: 0, first_row: start };
            let mut noise = Noise::keyed(key);
            let values = match &self.fitted {
                Fitted::Mixture(mixture) => mixture.draw(size, &mut noise, device),
                Fitted::Flow(flow) => flow.draw(size, &mut noise, device),
                Fitted::Aggregate(aggregate) => aggregate.draw(size, &mut noise, device),
            };
            self.layout.split(model, values, &mut noise)
        }))
    }

    /// Log-density of latent values over all spaces of [`spaces`](Self::spaces), nats, one for
    /// each sample and row, `[samples, batch]` row-major; `None` if the sampler has no density.
    ///
    /// # Errors
    ///
    /// [`SamplerError::Pass`] if values cannot be read.
    ///
    /// # Panics
    ///
    /// If the latent has other spaces.
    pub fn log_density(&self, latent: &Latent) -> Result<Option<Vec<f64>>> {
        let values = self.layout.join(latent);
        assert_eq!(values.dims()[1], self.layout.features(), "features of all spaces");
        Ok(match &self.fitted {
            Fitted::Mixture(mixture) => {
                Some(mixture.log_density(&pass::read(values, "latent values")?))
            }
            Fitted::Flow(flow) => {
                let density = pass::read(flow.log_density(values), "log-densities")?;
                Some(density.into_iter().map(f64::from).collect())
            }
            Fitted::Aggregate(_) => None,
        })
    }
}
