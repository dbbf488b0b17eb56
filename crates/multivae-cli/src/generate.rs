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
    data::{Opened, Standardisation},
    run::{self as runs, AlignedDataset, Offsets, OpenedRows, Run, Trained},
    samplers::PriorSampler,
};

use crate::{
    arguments::GenerateArguments,
    failure::{Outcome, bad_input},
    given,
    npz::Array,
    picture,
    terminal::{print_err, print_out},
    written::{Form, Part, Role, Texts, Written},
};

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Picture,
    Rows(Form),
}

impl Kind {
    /// By the end of the file's name.
    pub(crate) fn of(out: &Path) -> Result<Self> {
        match out.extension().and_then(|extension| extension.to_str()) {
            Some("png") => Ok(Self::Picture),
            _ => match Form::of(out) {
                Some(form) => form.check_free(out).map(|()| Self::Rows(form)),
                None => Err(bad_input(format!(
                    "`--out {}`: expected a file name that ends with `.png`, `.npz`, `.csv`, `.parquet`, \
                     `.h5ad` or `.h5mu`, or the name of a folder",
                    out.display()
                ))),
            },
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
            let (rows, files) = match &arguments.data {
                None => (run.test_split()?, None),
                Some(source) => {
                    let opened = run.open_rows(Some(source), arguments.missing_columns.into())?;
                    (opened.data, Some(opened.files))
                }
            };
            let all = rows.len();
            let fitting =
                (0..all).filter(|&row| given.union(rows.presence(row)) == rows.presence(row));
            let fitting = fitting.count();
            let rows = rows.some(arguments.n, given)?;
            if rows.len() < all {
                let label = given.label(run.trained.model.modalities());
                let more = if rows.len() < fitting { "; `-n` takes more" } else { "" };
                let lacking = match all - fitting {
                    0 => String::new(),
                    lacking => format!("; {lacking} others lack something of it"),
                };
                print_err(&format!(
                    "{} of {fitting} rows that observe `{label}`{more}{lacking}",
                    rows.len()
                ));
            }
            from_rows(&run, arguments, kind, given, targets, &Given { rows, files })?;
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
        (Some(names), Kind::Rows(_)) => given::targets(run, Some(names)),
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
        (None, Kind::Rows(_)) => given::targets(run, None),
        (None, Kind::Picture) => Subset::new(images()).map_err(|_| {
            bad_input("the model generates no images: expected a file name that ends with `.npz`")
        }),
    }
}

/// Rows to generate from, and what they are in their files, if these are other data.
struct Given {
    rows: AlignedDataset,
    files: Option<Opened>,
}

/// Generates from the given modalities of rows, and shows the originals beside.
fn from_rows(
    run: &Run,
    arguments: &GenerateArguments,
    kind: Kind,
    given: Subset,
    targets: Subset,
    data: &Given,
) -> Result<()> {
    let Given { rows: data, files } = data;
    let specs = run.trained.model.modalities();
    let decoded = Decoded::of(run, data, given, targets, arguments.run.batch_size)?;
    match kind {
        Kind::Rows(form) => {
            decoded.written(run, data, files.as_ref(), given, targets)?.write(&arguments.out, form)
        }
        Kind::Picture => {
            let mut drawn = Vec::new();
            let shown = |m: usize, values: &[Tensor<2>]| {
                let name = specs[m].name.as_str();
                run.folder.standardisation.invert(name, joined(values))
            };
            let originals_of = |m: usize| {
                let observed = |row| data.presence(row).contains(m);
                picture::row(&specs[m], shown(m, &decoded.originals[m]), observed)
            };
            for m in given.iter().filter(|&m| picture::is_drawable(&specs[m])) {
                drawn.push(originals_of(m)?);
            }
            for m in targets.iter() {
                if !given.contains(m) {
                    drawn.push(originals_of(m)?);
                }
                drawn.push(picture::row(&specs[m], shown(m, &decoded.generated[m]), |_| true)?);
            }
            picture::write(&arguments.out, &drawn)
        }
    }
}

/// Rows of data, and what was generated from each, by modality and in parts of some rows.
pub(crate) struct Decoded {
    originals: Vec<Vec<Tensor<2>>>,
    /// Which values of the originals are missing.
    missing: Vec<Vec<bool>>,
    generated: Vec<Vec<Tensor<2>>>,
}

impl Decoded {
    /// The means of the targets at the means of `q(z | given)`.
    pub(crate) fn of(
        run: &Run,
        data: &AlignedDataset,
        given: Subset,
        targets: Subset,
        batch_size: usize,
    ) -> Result<Self> {
        let Trained { model, device, .. } = &run.trained;
        let specs = model.modalities();
        let pass = Pass { batch_size, seed: 0 };
        let mut originals: Vec<Vec<Tensor<2>>> = vec![Vec::new(); specs.len()];
        let mut missing: Vec<Vec<bool>> = vec![Vec::new(); specs.len()];
        let mut generated: Vec<Vec<Tensor<2>>> = vec![Vec::new(); specs.len()];
        for batch in pass.batches(data, device) {
            let (rows, batch) = batch?;
            let latent =
                model.encoder()?.encode(&batch, given, Draws::Mean, &mut Noise::of(&batch));
            let offsets = Offsets::of(&batch, &[]);
            let means = runs::standardised(model.generator()?, &latent, targets, &offsets);
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
        Ok(Self { originals, missing, generated })
    }

    /// What was generated, and beside it the originals of what was given or generated.
    pub(crate) fn written(
        &self,
        run: &Run,
        data: &AlignedDataset,
        files: Option<&Opened>,
        given: Subset,
        targets: Subset,
    ) -> Result<Written> {
        let specs = run.trained.model.modalities();
        let units = Units::of(run)?;
        let found = files.and_then(|files| files.data.schema());
        let mut written = Written::of("generate", data, Some(found.unwrap_or(&units.schema)));
        if let Some(files) = files {
            written = written.with_files(files);
        }
        for m in targets.iter() {
            let values = units.array(&specs[m], joined(&self.generated[m]), &[])?;
            written.parts.push(units.part(&specs[m], values)?);
        }
        for (m, spec) in specs.iter().enumerate() {
            if !self.originals[m].is_empty() && (given.contains(m) || targets.contains(m)) {
                let values = match files {
                    Some(files) => units.of_files(spec, data, files),
                    None => units.array(spec, joined(&self.originals[m]), &self.missing[m])?,
                };
                let part = units.part(spec, values)?;
                written.parts.push(Part { role: Role::Original, ..part });
            }
        }
        Ok(written)
    }
}

fn joined(parts: &[Tensor<2>]) -> Tensor<2> {
    Tensor::cat(parts.to_vec(), 0)
}

/// The first row that lacks something of what is given, and how many do.
pub(crate) fn lacking(rows: &AlignedDataset, given: Subset) -> Option<(String, usize)> {
    let lacks = |&row: &usize| given.union(rows.presence(row)) != rows.presence(row);
    let mut lacking = (0..rows.len()).filter(lacks);
    let first = lacking.next()?;
    Some((rows.id(first), 1 + lacking.count()))
}

/// The targets at several draws of rows, `[draws, rows, features]` each, in the units of the data.
pub(crate) fn written_draws(
    run: &Run,
    rows: &OpenedRows,
    draws: impl IntoIterator<Item = Result<(Latent, Batch)>>,
    targets: Subset,
) -> Result<Written> {
    let specs = run.trained.model.modalities();
    let mut parts: Vec<Vec<Tensor<3>>> = vec![Vec::new(); targets.len()];
    for drawn in draws {
        let (latent, batch) = drawn?;
        let offsets = Offsets::of(&batch, &[]);
        let means = runs::standardised(run.trained.model.generator()?, &latent, targets, &offsets);
        parts.iter_mut().zip(means).for_each(|(place, mean)| place.push(mean));
    }
    let units = Units::of(run)?;
    let parts = targets.iter().zip(parts).map(|(m, parts)| {
        let values = Tensor::cat(parts, 1);
        let [samples, rows, features] = values.dims();
        let flat = units.array(&specs[m], values.reshape([samples * rows, features]), &[])?;
        let part = units.part(&specs[m], flat)?;
        let shape = [&[samples, rows][..], &specs[m].shape].concat();
        // Cells and words are of rows.
        Ok(Part { table: None, texts: None, values: part.values.reshaped(shape), ..part })
    });
    let parts = parts.collect::<Result<_>>()?;
    Ok(Written::of("generate", &rows.data, rows.files.data.schema()).with_parts(parts))
}

/// Generates from samples of the prior.
fn from_prior(run: &Run, arguments: &GenerateArguments, kind: Kind, targets: Subset) -> Result<()> {
    let (rows, chunk) = (arguments.n, arguments.run.batch_size);
    let sampler = PriorSampler { rows, chunk, seed: arguments.run.seed };
    let chunks = sampler.chunks(run.trained.model.generator()?, &run.trained.device);
    let chunks = chunks.map_err(|error| bad_input(format!("`--prior`: {error}; use `--given`")))?;
    from_latents(run, chunks, "generate", &arguments.out, kind, targets)
}

/// Generates from latent values.
pub(crate) fn from_latents(
    run: &Run,
    chunks: impl Iterator<Item = Latent>,
    task: &'static str,
    out: &Path,
    kind: Kind,
    targets: Subset,
) -> Result<()> {
    let specs = run.trained.model.modalities();
    let parts = of_latents(run, chunks.map(Ok), targets)?;
    match kind {
        Kind::Rows(form) => written_latents(run, task, parts, targets)?.write(out, form),
        Kind::Picture => {
            let rows = targets.iter().zip(parts).map(|(m, values)| {
                let values = run.folder.standardisation.invert(specs[m].name.as_str(), values);
                picture::row(&specs[m], values, |_| true)
            });
            let rows = rows.collect::<Result<Vec<_>>>()?;
            picture::write(out, &rows)
        }
    }
}

/// The standardised means of the targets at latent values, `[rows, features]` each.
pub(crate) fn of_latents(
    run: &Run,
    chunks: impl Iterator<Item = Result<Latent>>,
    targets: Subset,
) -> Result<Vec<Tensor<2>>> {
    let mut parts: Vec<Vec<Tensor<2>>> = vec![Vec::new(); targets.len()];
    for latent in chunks {
        let offsets = Offsets::default();
        let means = runs::standardised(run.trained.model.generator()?, &latent?, targets, &offsets);
        for (place, mean) in parts.iter_mut().zip(means) {
            place.push(mean.squeeze_dim(0));
        }
    }
    Ok(parts.iter().map(|parts| joined(parts)).collect())
}

/// These in the units of the data.
pub(crate) fn written_latents(
    run: &Run,
    task: &'static str,
    means: Vec<Tensor<2>>,
    targets: Subset,
) -> Result<Written> {
    let specs = run.trained.model.modalities();
    let units = Units::of(run)?;
    let parts = targets
        .iter()
        .zip(means)
        .map(|(m, values)| units.part(&specs[m], units.array(&specs[m], values, &[])?));
    Ok(Written::new(task).with_parts(parts.collect::<Result<_>>()?))
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
        Ok(Self { standardisation: &run.folder.standardisation, schema: run.known()? })
    }

    /// Values of a modality with the names of its columns, and as text if they are that.
    fn part(&self, spec: &ModalitySpec, values: Array) -> Result<Part> {
        let name = spec.name.to_string();
        let known = self.schema.modality(&name);
        Ok(Part {
            columns: known.and_then(|known| known.columns.clone()),
            table: known.and_then(|known| known.table.clone()),
            texts: Texts::of(known.and_then(|known| known.text.as_ref()), &values)?,
            name,
            role: Role::Modality,
            values,
        })
    }

    /// Values of rows of files as they are there.
    fn of_files(&self, spec: &ModalitySpec, rows: &AlignedDataset, files: &Opened) -> Array {
        let name = spec.name.as_str();
        let features = spec.features();
        let place = files.data.modalities().iter().position(|other| other.name == spec.name);
        let mut values = vec![f64::NAN; rows.len() * features];
        for (out, &row) in values.chunks_exact_mut(features).zip(rows.rows()) {
            if let Some(place) = place {
                files.file_units(row, place, out);
            }
        }
        self.typed(name, [&[rows.len()][..], &spec.shape].concat(), values)
    }

    /// In double precision if single precision would lose differences.
    fn typed(&self, name: &str, shape: Vec<usize>, values: Vec<f64>) -> Array {
        if self.standardisation.needs_doubles(name) {
            Array::Doubles(shape, values)
        } else {
            Array::Floats(shape, values.into_iter().map(|value| value as f32).collect())
        }
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
        Ok(self.typed(name, shape, values))
    }
}
