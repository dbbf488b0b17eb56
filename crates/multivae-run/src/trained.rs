//! A model with its weights, and what is needed to use it in the units of the data.

use std::sync::Arc;

use burn::tensor::{Device, Tensor};
use multivae_core::{
    batch::{Batch, Presence, Values},
    dataset::Dataset,
    modality::ModalitySpec,
    model::{Draws, Generate, Latent, MultimodalModel},
    module::init_parameters,
    nn::Networks,
    noise::Noise,
    subset::Subset,
};
use multivae_data::Standardisation;
use multivae_models::{Model, ModelConfig};

use crate::{
    align::{AlignedDataset, filler},
    error::{Result, RunError},
};

/// A model with its weights on a device, with what its values were shifted and scaled by: takes
/// and gives values in the units of the data.
///
/// It comes from a bundle, [`Bundle::load`](crate::Bundle::load), or from the folder of a run,
/// [`Run::open`](crate::Run::open).
#[derive(Clone, Debug)]
pub struct Trained {
    /// The configuration of the model, complete.
    pub config: ModelConfig,
    /// The model.
    pub model: Model,
    /// What the values of its data were shifted and scaled by.
    pub standardisation: Standardisation,
    /// Where the weights lie.
    pub device: Device,
}

impl Trained {
    /// The modalities, in the order of a batch's values.
    pub fn modalities(&self) -> &[ModalitySpec] {
        self.model.modalities()
    }

    /// The named modalities; all if none is named.
    ///
    /// # Errors
    ///
    /// [`multivae_core::Error::UnknownModality`].
    pub fn subset(&self, names: &[&str]) -> Result<Subset> {
        let specs = self.modalities();
        Ok(match names {
            [] => Subset::full(specs.len()),
            names => Subset::named(specs, names.iter().copied())?,
        })
    }

    /// The named modalities to encode from, with all that a conditional model needs; all if none is
    /// named.
    ///
    /// # Errors
    ///
    /// [`RunError::Given`] if a conditional model would lack something, [`RunError::Lacks`], and as
    /// [`Trained::subset`].
    pub fn given(&self, names: &[&str]) -> Result<Subset> {
        let (given, specs) = (self.subset(names)?, self.modalities());
        match self.model.encoder()?.conditions() {
            Some(needed) if needed.union(given) != given => Err(RunError::Given {
                model: self.config.name().to_owned(),
                given: given.label(specs),
                needed: needed.label(specs),
            }),
            _ => Ok(given),
        }
    }

    /// The named modalities to generate; all that the model generates if none is named.
    ///
    /// # Errors
    ///
    /// [`RunError::Targets`] for one that the model does not generate, [`RunError::Lacks`], and as
    /// [`Trained::subset`].
    pub fn targets(&self, names: &[&str]) -> Result<Subset> {
        let (generated, specs) = (self.model.generator()?.generated(), self.modalities());
        if names.is_empty() {
            return Ok(generated);
        }
        let targets = self.subset(names)?;
        if targets.union(generated) != generated {
            return Err(RunError::Targets {
                model: self.config.name().to_owned(),
                targets: targets.label(specs),
                generated: generated.label(specs),
            });
        }
        Ok(targets)
    }

    /// Rows of named modalities, `[rows, features]` each, in the units of the data; modalities that
    /// are not named are missing.
    ///
    /// # Errors
    ///
    /// [`multivae_core::Error`] for unknown or repeated names, other shapes than the model's, and
    /// if there is no modality at all.
    pub fn batch(&self, values: &[(&str, Tensor<2>)]) -> Result<Batch> {
        let specs = self.modalities();
        let observed = Subset::named(specs, values.iter().map(|(name, _)| *name))?;
        if let Some((name, _)) = values
            .iter()
            .enumerate()
            .find_map(|(i, v)| values[..i].iter().any(|w| w.0 == v.0).then_some(v))
        {
            return Err(multivae_core::Error::DuplicateModality((*name).into()).into());
        }
        let rows = values[0].1.dims()[0];
        let place = |spec: &ModalitySpec| {
            let name = spec.name.as_str();
            let Some((_, given)) = values.iter().find(|(other, _)| *other == name) else {
                return Ok(filler(spec, rows, &self.device));
            };
            let expected = [rows, spec.features()];
            if given.dims() != expected {
                return Err(RunError::Core(multivae_core::Error::Shape {
                    modality: name.into(),
                    expected: format!("{expected:?}"),
                    found: format!("{:?}", given.dims()),
                }));
            }
            let values = given.clone().to_device(&self.device);
            Ok(Values::Dense(self.standardisation.apply(name, values)))
        };
        let values = specs.iter().map(place).collect::<Result<Vec<_>>>()?;
        let presence = Presence::new(vec![observed; rows], specs.len(), &self.device);
        Ok(Batch::new(values, presence)?)
    }

    /// Latent values of the rows of a batch from `q(z | x_S)`, `[samples, batch, features]` in each
    /// space.
    ///
    /// # Errors
    ///
    /// [`RunError::Lacks`] if the model does not encode.
    pub fn encode(
        &self,
        batch: &Batch,
        given: Subset,
        draws: Draws,
        noise: &mut Noise,
    ) -> Result<Latent> {
        Ok(self.model.encoder()?.encode(batch, given, draws, noise))
    }

    /// Means of the targets' distributions at latent values, in the units of the data,
    /// `[samples, batch, features]` each, in the order of the targets.
    ///
    /// # Errors
    ///
    /// [`RunError::Lacks`] if the model does not generate.
    pub fn generate(&self, latent: &Latent, targets: Subset) -> Result<Vec<Tensor<3>>> {
        Ok(generate(self.model.generator()?, &self.standardisation, latent, targets))
    }

    /// Data in the order of the model's modalities. Its values are taken as they are: standardise
    /// them with [`Trained::standardisation`] before.
    ///
    /// # Errors
    ///
    /// As [`AlignedDataset::new`].
    pub fn align(&self, data: Arc<dyn Dataset>) -> Result<AlignedDataset> {
        AlignedDataset::new(data, self.modalities())
    }
}

/// Means of the targets' distributions at latent values, in the units of the data,
/// `[samples, batch, features]` each, in the order of the targets.
pub fn generate(
    model: &dyn Generate,
    standardisation: &Standardisation,
    latent: &Latent,
    targets: Subset,
) -> Vec<Tensor<3>> {
    let specs = model.modalities();
    let means = targets.iter().zip(standardised(model, latent, targets));
    means.map(|(m, mean)| standardisation.invert(specs[m].name.as_str(), mean)).collect()
}

/// The same before standardisation is undone, which [`Standardisation::file_units`] does without
/// loss.
pub fn standardised(model: &dyn Generate, latent: &Latent, targets: Subset) -> Vec<Tensor<3>> {
    let outputs = targets.iter().zip(model.decode(latent, targets));
    outputs.map(|(m, output)| model.mean(output, m, None)).collect()
}

/// A model with its first weights, which derive from the seed alone.
///
/// # Errors
///
/// As [`ModelConfig::init`].
pub fn init(
    config: &ModelConfig,
    networks: &Networks,
    seed: u64,
    device: &Device,
) -> Result<Model> {
    device.seed(seed);
    let model = config.init(networks, device)?;
    // Burn draws a parameter when it is first used: now, before anything else is drawn.
    Ok(init_parameters(model))
}
