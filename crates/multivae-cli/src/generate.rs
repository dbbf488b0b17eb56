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
        subset::Subset,
    },
    data::Standardisation,
    run::{self as runs, Run},
    samplers::PriorSampler,
};

use crate::{
    arguments::GenerateArguments,
    failure::{Outcome, bad_input},
    given,
    npz::{self, Array},
    picture,
    terminal::say,
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
                Some(source) => run.all_rows(Some(source))?,
            };
            let rows = rows.some(arguments.n, given)?;
            from_rows(&run, arguments, kind, given, targets, &rows)?;
        }
        None => from_prior(&run, arguments, kind, targets)?,
    }
    say(format!("{}: {}", arguments.out.display(), targets.label(run.trained.model.modalities())))?;
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
    data: &dyn Dataset,
) -> Result<()> {
    let specs = run.trained.model.modalities();
    let rows: Vec<_> = (0..data.len()).collect();
    let size = arguments.run.batch_size;
    let mut originals: Vec<Vec<Tensor<2>>> = vec![Vec::new(); specs.len()];
    let mut generated: Vec<Vec<Tensor<2>>> = vec![Vec::new(); specs.len()];
    for part in rows.chunks(size) {
        let batch = data
            .batch(part, &run.trained.device)
            .map_err(|error| anyhow::anyhow!(error).context("rows cannot be read"))?;
        let latent =
            run.trained.model.encoder()?.encode(&batch, given, Draws::Mean, &mut Noise::of(&batch));
        let means =
            means(run.trained.model.generator()?, &run.folder.standardisation, &latent, targets);
        for (m, mean) in targets.iter().zip(means) {
            generated[m].push(mean);
        }
        for (m, place) in originals.iter_mut().enumerate() {
            if let Some(values) = original(&run.folder.standardisation, &batch, &specs[m], m) {
                place.push(values);
            }
        }
    }
    let joined = |parts: &[Tensor<2>]| Tensor::cat(parts.to_vec(), 0);
    match kind {
        Kind::Arrays => {
            let ids = rows.iter().map(|&row| data.id(row)).collect();
            let mut arrays = vec![("ids".to_owned(), Array::Text(ids))];
            for m in targets.iter() {
                arrays.push(array(&specs[m], &specs[m].name.to_string(), joined(&generated[m]))?);
            }
            for (m, spec) in specs.iter().enumerate() {
                if !originals[m].is_empty() && (given.contains(m) || targets.contains(m)) {
                    let name = format!("original_{}", spec.name);
                    let values = joined(&originals[m]);
                    // What is missing is no number, as numpy users expect.
                    let missing = Tensor::full_like(&values, f32::NAN);
                    let observed: Vec<f32> = rows
                        .iter()
                        .map(|&row| f32::from(u8::from(data.presence(row).contains(m))))
                        .collect();
                    let observed: Tensor<1> =
                        Tensor::from_floats(observed.as_slice(), &values.device());
                    let absent =
                        observed.equal_elem(0.0).unsqueeze_dim::<2>(1).expand(values.dims());
                    arrays.push(array(spec, &name, values.mask_where(absent, missing))?);
                }
            }
            npz::write(&arguments.out, &arrays)
        }
        Kind::Picture => {
            let mut drawn = Vec::new();
            let originals_of = |m: usize| {
                picture::row(&specs[m], joined(&originals[m]), |row| data.presence(row).contains(m))
            };
            for m in given.iter().filter(|&m| picture::is_drawable(&specs[m])) {
                drawn.push(originals_of(m)?);
            }
            for m in targets.iter() {
                if !given.contains(m) {
                    drawn.push(originals_of(m)?);
                }
                drawn.push(picture::row(&specs[m], joined(&generated[m]), |_| true)?);
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
        let means =
            means(run.trained.model.generator()?, &run.folder.standardisation, &latent, targets);
        for (place, mean) in parts.iter_mut().zip(means) {
            place.push(mean);
        }
    }
    let joined = targets.iter().zip(parts.into_iter().map(|parts| Tensor::cat(parts, 0)));
    match kind {
        Kind::Arrays => {
            let arrays =
                joined.map(|(m, values)| array(&specs[m], &specs[m].name.to_string(), values));
            npz::write(out, &arrays.collect::<Result<Vec<_>>>()?)
        }
        Kind::Picture => {
            let rows = joined.map(|(m, values)| picture::row(&specs[m], values, |_| true));
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
    let means = runs::generate(model, standardisation, latent, targets).into_iter();
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

fn array(spec: &ModalitySpec, name: &str, values: Tensor<2>) -> Result<(String, Array)> {
    let mut shape = vec![values.dims()[0]];
    shape.extend(&spec.shape);
    Ok((name.to_owned(), Array::of(values, shape)?))
}
