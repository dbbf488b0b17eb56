//! The latent spaces of a model side by side, as columns of one table.

use burn::tensor::{Device, Tensor};
use multivae_core::{
    dataset::Dataset,
    model::{Draws, Generate, Latent},
    noise::Noise,
    pass::Pass,
    subset::Subset,
};
use serde::{Deserialize, Serialize};

use crate::{Result, SamplerError};

/// A latent space.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Space {
    /// Its name, as [`Latent::spaces`] gives it.
    pub name: String,
    /// Values of a row.
    pub features: usize,
}

/// What of a model a sampler has values for: the highest shared level, then the modality-specific spaces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Layout {
    pub(crate) modalities: Vec<String>,
    pub(crate) spaces: Vec<Space>,
}

impl Layout {
    pub(crate) fn of(model: &dyn Generate, device: &Device) -> Self {
        let latent = model.prior(1, device, &mut Noise::zero());
        let below = latent.levels().count() - 1;
        let spaces = latent.named().into_iter().skip(below);
        Self {
            modalities: model.modalities().iter().map(|spec| spec.name.to_string()).collect(),
            spaces: spaces.map(|(name, z)| Space { name, features: z.dims()[2] }).collect(),
        }
    }

    /// Columns of the table.
    pub(crate) fn features(&self) -> usize {
        self.spaces.iter().map(|space| space.features).sum()
    }

    /// Refuses what was fitted to another model.
    pub(crate) fn check(&self, model: &Self) -> Result<()> {
        if self == model {
            return Ok(());
        }
        Err(SamplerError::Model { expected: model.to_string(), found: self.to_string() })
    }

    /// Posterior samples of all rows, `[draws * rows, features]`, row-major.
    pub(crate) fn posterior(
        &self,
        model: &dyn Generate,
        data: &dyn Dataset,
        draws: usize,
        pass: Pass,
        device: &Device,
    ) -> Result<Vec<f32>> {
        let given = Subset::full(model.modalities().len());
        let tables = pass.encode(model, data, given, Draws::Samples(draws), device)?;
        let tables = &tables[tables.len().saturating_sub(self.spaces.len())..];
        let rows = draws * data.len();
        let mut joined = Vec::with_capacity(rows * self.features());
        for row in 0..rows {
            for table in tables {
                let from = row * table.features;
                joined.extend_from_slice(&table.values[from..from + table.features]);
            }
        }
        match joined.iter().all(|value| value.is_finite()) {
            true => Ok(joined),
            false => Err(SamplerError::NotFinite { what: "a posterior sample of a row".into() }),
        }
    }

    /// The values of a latent side by side, `[samples * batch, features]`.
    pub(crate) fn join(&self, latent: &Latent) -> Tensor<2> {
        let spaces = latent.named().into_iter().skip(latent.levels().count() - 1);
        Tensor::cat(spaces.map(|(_, z)| z.flatten(0, 1)).collect(), 1)
    }

    /// A latent of one sample from values side by side, `[rows, features]`; levels below the
    /// highest are drawn from their priors.
    pub(crate) fn split(
        &self,
        model: &dyn Generate,
        values: Tensor<2>,
        noise: &mut Noise,
    ) -> Latent {
        let mut from = 0;
        let mut parts = self.spaces.iter().map(|space| {
            let part = values.clone().narrow(1, from, space.features);
            from += space.features;
            part.unsqueeze_dim::<3>(0)
        });
        let top = parts.next().expect("a model has a shared space");
        let private: Vec<_> = parts.collect();
        let names = self.spaces[1..].iter().map(|space| &space.name);
        let names = names.map(|name| {
            let of =
                |spec: &&multivae_core::modality::ModalitySpec| format!("z_{}", spec.name) == *name;
            let spec = model.modalities().iter().find(of);
            spec.expect("the spaces are the model's").name.clone()
        });
        let private = names.zip(private).collect();
        model.descend(top, noise).with_private(private)
    }
}

impl std::fmt::Display for Layout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let spaces =
            self.spaces.iter().map(|space| format!("`{}` of {}", space.name, space.features));
        write!(
            f,
            "{} for {}",
            spaces.collect::<Vec<_>>().join(", "),
            self.modalities.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
        )
    }
}
