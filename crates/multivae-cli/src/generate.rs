//! `multivae generate`.

use std::path::Path;

use anyhow::Result;
use burn::tensor::Tensor;
use multivae::{
    core::{
        batch::Batch,
        dataset::Dataset,
        modality::ModalitySpec,
        model::{Draws, Generate, Latent, MultimodalModel},
        noise::Noise,
        pass::{self, Pass},
        schema::Schema,
        subset::Subset,
    },
    data::Standardisation,
    run::{self as runs, AlignedDataset, Offsets, Run},
    samplers::PriorSampler,
};

use crate::{
    arguments::GenerateArguments,
    failure::{Outcome, bad_input},
    given,
    npz::{self, Array},
    picture,
    terminal::print_out,
};

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Picture,
    Arrays,
}

impl Kind {
    /// By the end of the file's name.
    pub(crate) fn of(out: &Path) -> Result<Self> {
        match out.extension().and_then(|extension| extension.to_str()) {
            Some("png") => Ok(Self::Picture),
            Some("npz") => Ok(Self::Arrays),
            _ => Err(bad_input(format!(
                "`--out {}`: expected a file name that ends with `.png` or `.npz`",
                out.display()
            ))),
        }
    }
}

/// Draws or imputes modalities and writes them.
pub(crate) fn run(arguments: &GenerateArguments) -> Result<Outcome> {
    let kind = Kind::of(&arguments.out)?;
    let run = given::run(&arguments.run)?;
    let targets = targets(&run, arguments.target.as_deref(), &arguments.out, kind)?;
    match &arguments.given {
        Some(names) => {
            let given = given::modalities(&run, Some(names))?;
            let rows = match &arguments.data {
                None => run.test_split()?,
                Some(source) => run.open_rows(Some(source), arguments.missing_columns.into())?.data,
            };
            let rows = rows.some(arguments.n, given)?;
            from_rows(&run, arguments, kind, given, targets, &rows)?;
        }
        None => from_prior(&run, arguments, kind, targets)?,
    }
    print_out(format!(
        "{}: {}",
        arguments.out.display(),
        targets.label(run.trained.model.modalities())
    ))?;
    Ok(Outcome::Done)
}

/// The modalities to generate.
pub(crate) fn targets(
    run: &Run,
    names: Option<&[String]>,
    out: &Path,
    kind: Kind,
) -> Result<Subset> {
    let specs = run.trained.model.modalities();
    let generated = run.trained.model.generator()?.generated();
    let images = || generated.iter().filter(|&m| picture::is_drawable(&specs[m]));
    match (names, kind) {
        (Some(names), Kind::Arrays) => given::targets(run, Some(names)),
        (Some(names), Kind::Picture) => {
            let targets = given::targets(run, Some(names))?;
            match targets.iter().find(|&m| !picture::is_drawable(&specs[m])) {
                None => Ok(targets),
                Some(m) => Err(bad_input(format!(
                    "modality `{}` of shape {:?} is no image: expected a file name that ends with \
                     `.npz`, found `{}`",
                    specs[m].name,
                    specs[m].shape,
                    out.display()
                ))),
            }
        }
        (None, Kind::Arrays) => given::targets(run, None),
        (None, Kind::Picture) => Subset::new(images()).map_err(|_| {
            bad_input("the model generates no images: expected a file name that ends with `.npz`")
        }),
    }
}

/// Generates from the given modalities of rows, and shows the originals beside.
fn from_rows(
    run: &Run,
    arguments: &GenerateArguments,
    kind: Kind,
    given: Subset,
    targets: Subset,
    data: &AlignedDataset,
) -> Result<()> {
    let specs = run.trained.model.modalities();
    let pass = Pass { batch_size: arguments.run.batch_size, seed: 0 };
    let mut originals: Vec<Vec<Tensor<2>>> = vec![Vec::new(); specs.len()];
    let mut missing: Vec<Vec<bool>> = vec![Vec::new(); specs.len()];
    let mut generated: Vec<Vec<Tensor<2>>> = vec![Vec::new(); specs.len()];
    for batch in pass.batches(data, &run.trained.device) {
        let (rows, batch) = batch?;
        let latent =
            run.trained.model.encoder()?.encode(&batch, given, Draws::Mean, &mut Noise::of(&batch));
        let offsets = Offsets::of(&batch, &[]);
        let means = runs::standardised(run.trained.model.generator()?, &latent, targets, &offsets);
        for (m, mean) in targets.iter().zip(means) {
            generated[m].push(mean.squeeze_dim(0));
        }
        for m in 0..specs.len() {
            let Some(values) = batch.values()[m].dense() else { continue };
            originals[m].push(values.clone());
            for row in rows.clone() {
                missing[m].extend(data.missing(row, m));
            }
        }
    }
    let joined = |parts: &[Tensor<2>]| Tensor::cat(parts.to_vec(), 0);
    match kind {
        Kind::Arrays => {
            let units = Units::of(run)?;
            let ids = (0..data.len()).map(|row| data.id(row)).collect();
            let mut arrays = vec![("ids".to_owned(), Array::Text(ids))];
            for m in targets.iter() {
                let values = units.array(&specs[m], joined(&generated[m]), &[])?;
                arrays.push((specs[m].name.to_string(), values));
            }
            for (m, spec) in specs.iter().enumerate() {
                if !originals[m].is_empty() && (given.contains(m) || targets.contains(m)) {
                    let values = units.array(spec, joined(&originals[m]), &missing[m])?;
                    arrays.push((format!("original_{}", spec.name), values));
                }
            }
            npz::write(&arguments.out, &arrays)
        }
        Kind::Picture => {
            let mut drawn = Vec::new();
            let shown = |m: usize, values: &[Tensor<2>]| {
                let name = specs[m].name.as_str();
                run.folder.standardisation.invert(name, joined(values))
            };
            let originals_of = |m: usize| {
                let observed = |row| data.presence(row).contains(m);
                picture::row(&specs[m], shown(m, &originals[m]), observed)
            };
            for m in given.iter().filter(|&m| picture::is_drawable(&specs[m])) {
                drawn.push(originals_of(m)?);
            }
            for m in targets.iter() {
                if !given.contains(m) {
                    drawn.push(originals_of(m)?);
                }
                drawn.push(picture::row(&specs[m], shown(m, &generated[m]), |_| true)?);
            }
            picture::write(&arguments.out, &drawn)
        }
    }
}

/// Generates from samples of the prior.
fn from_prior(run: &Run, arguments: &GenerateArguments, kind: Kind, targets: Subset) -> Result<()> {
    let (rows, chunk) = (arguments.n, arguments.run.batch_size);
    let sampler = PriorSampler { rows, chunk, seed: arguments.run.seed };
    let chunks = sampler.chunks(run.trained.model.generator()?, &run.trained.device);
    let chunks = chunks.map_err(|error| bad_input(format!("`--prior`: {error}; use `--given`")))?;
    from_latents(run, chunks, &arguments.out, kind, targets)
}

/// Generates from latent values.
pub(crate) fn from_latents(
    run: &Run,
    chunks: impl Iterator<Item = Latent>,
    out: &Path,
    kind: Kind,
    targets: Subset,
) -> Result<()> {
    let specs = run.trained.model.modalities();
    let mut parts: Vec<Vec<Tensor<2>>> = vec![Vec::new(); targets.len()];
    for latent in chunks {
        let offsets = Offsets::default();
        let means = runs::standardised(run.trained.model.generator()?, &latent, targets, &offsets);
        for (place, mean) in parts.iter_mut().zip(means) {
            place.push(mean.squeeze_dim(0));
        }
    }
    let joined = targets.iter().zip(parts.into_iter().map(|parts| Tensor::cat(parts, 0)));
    match kind {
        Kind::Arrays => {
            let units = Units::of(run)?;
            let arrays = joined.map(|(m, values)| {
                Ok((specs[m].name.to_string(), units.array(&specs[m], values, &[])?))
            });
            npz::write(out, &arrays.collect::<Result<Vec<_>>>()?)
        }
        Kind::Picture => {
            let rows = joined.map(|(m, values)| {
                let values = run.folder.standardisation.invert(specs[m].name.as_str(), values);
                picture::row(&specs[m], values, |_| true)
            });
            let rows = rows.collect::<Result<Vec<_>>>()?;
            picture::write(out, &rows)
        }
    }
}

/// Means of the targets' distributions at latent values of one sample, in the units of the data,
/// `[batch, features]` each.
pub(crate) fn means(
    model: &dyn Generate,
    standardisation: &Standardisation,
    latent: &Latent,
    targets: Subset,
) -> Vec<Tensor<2>> {
    let offsets = Offsets::default();
    let means = runs::generate(model, standardisation, latent, targets, &offsets).into_iter();
    means.map(|mean| mean.squeeze_dim::<2>(0)).collect()
}

/// The values of a modality in the units of the data, `[batch, features]`; `None` for text.
pub(crate) fn original(
    standardisation: &Standardisation,
    batch: &Batch,
    spec: &ModalitySpec,
    modality: usize,
) -> Option<Tensor<2>> {
    let values = batch.values()[modality].dense()?.clone();
    Some(standardisation.invert(spec.name.as_str(), values))
}

/// The way back from the values that a model sees to those of the files.
struct Units<'a> {
    standardisation: &'a Standardisation,
    schema: Schema,
}

impl<'a> Units<'a> {
    fn of(run: &'a Run) -> Result<Self> {
        let schema = run.folder.schema()?;
        let plain = || Schema::of_specs(run.trained.model.modalities());
        Ok(Self {
            standardisation: &run.folder.standardisation,
            schema: schema.unwrap_or_else(plain),
        })
    }

    /// Standardised values `[rows, features]` in the units of the file, in double precision if
    /// single precision would lose differences. What is missing, `[rows, features]` or nothing, is
    /// no number, as numpy users expect.
    fn array(&self, spec: &ModalitySpec, values: Tensor<2>, missing: &[bool]) -> Result<Array> {
        let name = spec.name.as_str();
        let mut shape = vec![values.dims()[0]];
        shape.extend(&spec.shape);
        let values = pass::read(values, name)?;
        let mut values = self.standardisation.file_units(&self.schema, name, &values);
        for (value, _) in values.iter_mut().zip(missing).filter(|(_, missing)| **missing) {
            *value = f64::NAN;
        }
        Ok(if self.standardisation.needs_doubles(name) {
            Array::Doubles(shape, values)
        } else {
            Array::Floats(shape, values.into_iter().map(|value| value as f32).collect())
        })
    }
}
