//! A model with its weights, and what is needed to use it in the units of the data.

use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};
use multivae_core::{
    batch::{Batch, Presence, Values},
    dataset::Dataset,
    modality::ModalitySpec,
    model::{Draws, Generate, Latent, MultimodalModel},
    module::init_parameters,
    nn::Networks,
    noise::Noise,
    pass,
    subset::Subset,
};
use multivae_data::{DataError, Standardisation, Warning, standardise::LEEWAY};
use multivae_models::{Model, ModelConfig};
#[cfg(feature = "train")]
use multivae_train::alone;

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
    /// Values of tables that lie far outside of what the training held, be it in a column that was
    /// constant there, are drawn in to [`LEEWAY`] deviations beyond it, as
    /// [`Standardisation::apply_to_new`] does, and a warning of the crate `tracing` says which.
    ///
    /// # Errors
    ///
    /// [`multivae_core::Error`] for unknown or repeated names, other shapes than the model's, and
    /// if there is no modality at all; [`DataError::Value`] with row and column of a value that the
    /// modality's likelihood cannot have, such as a count under a Bernoulli likelihood or one that
    /// is no number.
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
            let (values, outside) = self.drawn_in(spec, given.clone())?;
            outside.iter().for_each(|warning| tracing::warn!("{warning}"));
            Ok(Values::Dense(values.to_device(&self.device)))
        };
        let values = specs.iter().map(place).collect::<Result<Vec<_>>>()?;
        let presence = Presence::new(vec![observed; rows], specs.len(), &self.device);
        Ok(Batch::new(values, presence)?)
    }

    /// New values of a modality, standardised and within the limits of the training, and what was
    /// outside of them.
    fn drawn_in(
        &self,
        spec: &ModalitySpec,
        values: Tensor<2>,
    ) -> Result<(Tensor<2>, Vec<Warning>)> {
        let (name, features) = (spec.name.as_str(), spec.features());
        let host = pass::read(values.clone(), name)?;
        let family = spec.likelihood.family();
        for (row, values) in host.chunks(features).enumerate() {
            let outside = family.first_outside(values, &spec.shape, &|_| true);
            if let Some((column, support)) = outside {
                return Err(RunError::Data(DataError::Value {
                    modality: name.to_owned(),
                    row: row.to_string(),
                    expected: format!("{support} for a {} likelihood", family.name()),
                    found: format!("{}` in column `{column}", values[column]),
                }));
            }
        }
        let standardised = self.standardisation.apply(name, values);
        let moments = self.standardisation.moments(name).filter(|_| !spec.is_grid());
        let Some((moments, limits)) = moments.and_then(|m| Some((m, m.limits(spec)?))) else {
            return Ok((standardised, Vec::new()));
        };
        let mut kept = pass::read(standardised.clone(), name)?;
        let mut warnings = Vec::new();
        for (place, value) in kept.iter_mut().enumerate() {
            let (row, column) = (place / features, place % features);
            let (low, high) = limits[column];
            if (low..=high).contains(value) {
                continue;
            }
            *value = value.clamp(low, high);
            let [least, most] = moments.range[column];
            warnings.push(Warning::new(
                format!("modality `{name}`, column `{column}`"),
                format!(
                    "it went from {least} to {most} in training and is {} in row {row}",
                    host[place]
                ),
                format!("it is drawn in to {LEEWAY} deviations beyond the training"),
            ));
        }
        if warnings.is_empty() {
            return Ok((standardised, warnings));
        }
        let data = TensorData::new(kept, standardised.dims());
        Ok((Tensor::from_data(data, &standardised.device()), warnings))
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
        self.generate_of(latent, targets, &Offsets::default())
    }

    /// The same of rows whose counts have sizes of their own, such as library sizes.
    ///
    /// # Errors
    ///
    /// [`RunError::Lacks`] if the model does not generate.
    pub fn generate_of(
        &self,
        latent: &Latent,
        targets: Subset,
        offsets: &Offsets,
    ) -> Result<Vec<Tensor<3>>> {
        Ok(generate(self.model.generator()?, &self.standardisation, latent, targets, offsets))
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

/// What is added to the logarithms of decoded means of counts, by modality: the logarithm of a row's
/// library size, where the data has one. Without it means are those of an offset of 0.
#[derive(Clone, Debug, Default)]
pub struct Offsets(Vec<Option<Tensor<1>>>);

impl Offsets {
    /// Of the rows of a batch: their own where they observe a modality, else its `typical` one, such
    /// as [`pass::typical_offsets`] of the training rows. Where the batch has no offsets of a
    /// modality, all of its rows have the typical one.
    pub fn of(batch: &Batch, typical: &[Option<f32>]) -> Self {
        let modalities = batch.presence().modalities();
        let all = Self::typical(batch.rows(), typical, &batch.device());
        let of = |m: usize| {
            let typical = typical.get(m).copied().flatten();
            batch.offset_or(m, typical.unwrap_or(0.0)).or_else(|| all.get(m).cloned())
        };
        Self((0..modalities).map(of).collect())
    }

    /// The `typical` ones for so many rows that have none, such as samples of the prior.
    pub fn typical(rows: usize, typical: &[Option<f32>], device: &Device) -> Self {
        let of = |offset: &Option<f32>| Some(Tensor::full([rows], (*offset)?, device));
        Self(typical.iter().map(of).collect())
    }

    /// Of a modality, `[batch]`.
    fn get(&self, modality: usize) -> Option<&Tensor<1>> {
        self.0.get(modality).and_then(Option::as_ref)
    }
}

/// Means of the targets' distributions at latent values, in the units of the data,
/// `[samples, batch, features]` each, in the order of the targets.
pub fn generate(
    model: &dyn Generate,
    standardisation: &Standardisation,
    latent: &Latent,
    targets: Subset,
    offsets: &Offsets,
) -> Vec<Tensor<3>> {
    let specs = model.modalities();
    let means = targets.iter().zip(standardised(model, latent, targets, offsets));
    means.map(|(m, mean)| standardisation.invert(specs[m].name.as_str(), mean)).collect()
}

/// The same before standardisation is undone, which [`Standardisation::file_units`] does without
/// loss.
pub fn standardised(
    model: &dyn Generate,
    latent: &Latent,
    targets: Subset,
    offsets: &Offsets,
) -> Vec<Tensor<3>> {
    let outputs = targets.iter().zip(model.decode(latent, targets));
    outputs.map(|(m, output)| model.mean(output, m, offsets.get(m))).collect()
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
    alone(|| {
        device.seed(seed);
        let model = config.init(networks, device)?;
        // Burn draws a parameter when it is first used: now, before anything else is drawn.
        Ok(init_parameters(model))
    })
}

/// Draws first weights while no others are drawn.
#[cfg(not(feature = "train"))]
fn alone<T>(draw: impl FnOnce() -> T) -> T {
    static USED: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _guard = USED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    draw()
}

#[cfg(test)]
mod tests {
    use multivae_core::{dataset::DatasetError, distribution::Likelihood};
    use multivae_data::standardise::Moments;

    use super::*;

    fn trained() -> Trained {
        let spec = |name: &str, features| ModalitySpec::new(name, &[features]).expect("valid");
        let flags = spec("flags", 2).with_likelihood(Likelihood::Bernoulli {});
        let specs = [spec("blood", 2), flags, spec("gait", 1)];
        let config = ModelConfig::named("mvae").expect("listed");
        let config = config.with_modalities(&specs).expect("the data suits");
        let device = Device::flex();
        let model = init(&config, &Networks::default(), 0, &device).expect("complete");
        let mut standardisation = Standardisation::none(&specs);
        // The second column was 0 in all training rows.
        standardisation.modalities[0].moments = Some(Moments {
            mean: vec![140.0, 0.0],
            std: vec![2.0, 1.0],
            range: vec![[136.0, 144.0], [0.0; 2]],
        });
        Trained { config, model, standardisation, device }
    }

    fn rows<const N: usize>(values: [[f32; N]; 2]) -> Tensor<2> {
        Tensor::from_floats(values, &Device::flex())
    }

    #[test]
    fn values_far_outside_of_the_training_are_drawn_in_and_said_by_row_and_column() {
        let trained = trained();
        let spec = &trained.modalities()[0];
        let given = rows([[140.0, 4000.0], [-1e30, 3.0]]);
        let (kept, outside) = trained.drawn_in(spec, given).expect("finite");
        let kept: Vec<f32> = kept.into_data().try_into_vec().expect("floats");
        // 140 - 4 is two deviations below the mean.
        assert_eq!(kept, [0.0, 10.0, -12.0, 3.0]);
        let texts: Vec<String> = outside.iter().map(ToString::to_string).collect();
        assert_eq!(texts.len(), 2, "{texts:?}");
        for (text, parts) in texts.iter().zip([
            ["column `1`", "from 0 to 0 in training and is 4000 in row 0"],
            ["column `0`", "in row 1"],
        ]) {
            assert!(parts.iter().all(|part| text.contains(part)), "{text}");
        }
        // However far outside, the latent values are those of the limit.
        let encode = |silent: f32| {
            let batch = trained.batch(&[("blood", rows([[140.0, silent]; 2]))]).expect("finite");
            let given = trained.given(&["blood"]).expect("its name");
            let latent = trained.encode(&batch, given, Draws::Mean, &mut Noise::zero());
            latent.expect("it encodes").z().into_data().try_into_vec::<f32>().expect("floats")
        };
        assert_eq!(encode(1e20), encode(10.0));
        assert_ne!(encode(10.0), encode(0.0));
    }

    /// Counts of two genes with the logarithms of library sizes; the last row lacks them.
    struct Cells(Vec<ModalitySpec>);

    impl Dataset for Cells {
        fn modalities(&self) -> &[ModalitySpec] {
            &self.0
        }

        fn len(&self) -> usize {
            4
        }

        fn presence(&self, row: usize) -> Subset {
            if row == 3 { Subset::single(1) } else { Subset::full(2) }
        }

        fn batch(&self, rows: &[usize], device: &Device) -> Result<Batch, DatasetError> {
            let n = rows.len();
            let observed = rows.iter().map(|&row| self.presence(row)).collect();
            let ones = || Values::Dense(Tensor::ones([n, 2], device));
            // The size of the row that lacks the modality is a filler.
            let sizes: Vec<f32> =
                rows.iter().map(|&row| [1.0_f32, 4.0, 2.0, 1e6][row].ln()).collect();
            let offset = Tensor::from_floats(sizes.as_slice(), device);
            let batch = Batch::new(vec![ones(), ones()], Presence::new(observed, 2, device))?;
            Ok(batch.with_offsets(vec![Some(offset), None])?)
        }
    }

    #[test]
    fn decoded_counts_have_the_size_of_their_row_and_a_typical_one_where_it_has_none() {
        let counts = Likelihood::Poisson {};
        let spec = |name: &str| ModalitySpec::new(name, &[2]).expect("valid");
        let specs = vec![spec("rna").with_likelihood(counts), spec("gait")];
        let config = ModelConfig::named("mvae").expect("listed");
        let config = config.with_modalities(&specs).expect("the data suits");
        let device = Device::flex();
        let model = init(&config, &Networks::default(), 0, &device).expect("complete");
        let standardisation = Standardisation::none(&specs);
        let trained = Trained { config, model, standardisation, device: device.clone() };
        let data = trained.align(Arc::new(Cells(specs))).expect("the same modalities");
        let typical = pass::typical_offsets(&data, 3, &device).expect("in memory");
        assert!((typical[0].expect("counts") - 2_f32.ln()).abs() < 1e-6 && typical[1].is_none());

        let batch = data.batch(&[0, 1, 2, 3], &device).expect("four rows");
        let latent = Latent::shared(Tensor::zeros([1, 4, 20], &device));
        let rna = trained.targets(&["rna"]).expect("its name");
        let first = |offsets: &Offsets| -> Vec<f32> {
            let means = trained.generate_of(&latent, rna, offsets).expect("it generates");
            let column = means[0].clone().narrow(2, 0, 1).flatten::<1>(0, 2);
            column.into_data().try_into_vec().expect("floats")
        };
        let plain = first(&Offsets::default())[0];
        let sizes = |found: Vec<f32>| found.into_iter().map(|x| x / plain).collect::<Vec<_>>();
        let close = |found: Vec<f32>, expected: [f32; 4]| {
            let off = found.iter().zip(expected).any(|(a, b)| (a - b).abs() > 1e-4 * b);
            assert!(!off, "{found:?}, expected {expected:?}");
        };
        close(sizes(first(&Offsets::of(&batch, &typical))), [1.0, 4.0, 2.0, 2.0]);
        close(sizes(first(&Offsets::typical(4, &typical, &device))), [2.0; 4]);
        close(sizes(first(&Offsets::default())), [1.0; 4]);
    }

    #[test]
    fn a_count_under_a_bernoulli_and_what_is_no_number_are_refused_by_row_and_column() {
        let trained = trained();
        let message = |name: &str, values: Tensor<2>| {
            trained.batch(&[(name, values)]).expect_err("refused").to_string()
        };
        let text = message("flags", rows([[0.0, 1.0], [1.0, 7.0]]));
        assert_eq!(
            text,
            "modality `flags`, row `1`: expected values from 0 to 1 for a bernoulli likelihood, \
             found `7` in column `1`"
        );
        let text = message("gait", rows([[0.0], [f32::NAN]]));
        assert!(text.contains("row `1`") && text.contains("`NaN` in column `0`"), "{text}");
    }
}
