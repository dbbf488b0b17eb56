//! `multivae sampler`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::ValueEnum;
use multivae::{
    core::{
        dataset::Dataset,
        modality::ModalityName,
        model::{Draws, Latent, MultimodalModel},
        noise::Noise,
        pass::Pass,
        subset::Subset,
    },
    metrics::{
        Classifier, Classifiers, Features, FidConfig, SetDistance, joint_coherence, joint_fid,
    },
    run::{AlignedDataset, Run, RunFolder, files},
    samplers::{self, PriorSampler, Sampler, SamplerConfig},
};
use serde::Deserialize;
use toml::{Table, Value};

use crate::{
    arguments::{
        SamplerCompareArguments, SamplerFitArguments, SamplerKind, SamplerSampleArguments,
        SamplerTask,
    },
    classifier, config,
    failure::{Outcome, bad_input},
    generate::{self, Kind},
    given,
    npz::Array,
    progress::Bar,
    terminal::{print_out, table},
    written::{Form, Part, Written},
};

/// Folder of the samplers in a run's folder, each in one of its kind.
const SAMPLERS: &str = "samplers";

/// Fits or samples.
pub(crate) fn run(task: &SamplerTask) -> Result<Outcome> {
    match task {
        SamplerTask::Fit(arguments) => fit(arguments),
        SamplerTask::Sample(arguments) => sample(arguments),
        SamplerTask::Compare(arguments) => compare(arguments),
    }
}

impl SamplerKind {
    fn name(self) -> String {
        self.to_possible_value().expect("no kind is hidden").get_name().to_owned()
    }
}

fn fit(arguments: &SamplerFitArguments) -> Result<Outcome> {
    let config = settings(arguments.kind, &arguments.set)?;
    let own = || folder_of(&arguments.run.run, arguments.kind);
    let out = arguments.out.clone().unwrap_or_else(own);
    files::check_free(&out, "choose another folder with `--out`")?;
    let run = given::run(&arguments.run)?;
    let rows = match &arguments.data {
        None => run.train_split()?,
        Some(source) => run.all_rows(Some(source))?,
    };
    let pass = Pass { batch_size: arguments.run.batch_size, seed: arguments.run.seed };
    let sampler = {
        let bar = Bar::new(config.name());
        let show = |share| bar.set(share);
        Sampler::fit(
            run.trained.model.generator()?,
            &rows,
            &config,
            pass,
            &run.trained.device,
            &show,
        )?
    };
    sampler.save(&out)?;
    let spaces = sampler.spaces().iter().map(|space| format!("{} {}", space.name, space.features));
    print_out(format!(
        "{}: {} of {}, fitted to {} rows",
        out.display(),
        config.name(),
        spaces.collect::<Vec<_>>().join(", "),
        rows.len()
    ))?;
    if let Some(mean) = mean_density(&run, &sampler, &rows, pass)? {
        print_out(format!("mean log-density of these rows: {mean:.4} nats"))?;
    }
    if arguments.data.is_none()
        && let Ok(test) = run.test_split()
        && let Some(mean) = mean_density(&run, &sampler, &test, pass)?
    {
        print_out(format!("of the {} rows of the test split: {mean:.4} nats", test.len()))?;
    }
    Ok(Outcome::Done)
}

/// The settings of a kind: its defaults, and what `--set` says.
fn settings(kind: SamplerKind, set: &[String]) -> Result<SamplerConfig> {
    let defaults = SamplerConfig::named(&kind.name()).context("every kind has a configuration")?;
    let mut table = Table::try_from(&defaults).context("the defaults are no TOML")?;
    for setting in set {
        config::set(&mut table, setting)?;
    }
    if table.get("kind") != Some(&Value::String(kind.name())) {
        return Err(bad_input("`--set kind`: the kind is what `--kind` says"));
    }
    let config = SamplerConfig::deserialize(Value::Table(table))
        .map_err(|error| bad_input(format!("`--set`: {error}")))?;
    config.check()?;
    Ok(config)
}

/// The mean log-density of a posterior sample of each row, if the sampler has a density.
fn mean_density(
    run: &Run,
    sampler: &Sampler,
    data: &dyn Dataset,
    pass: Pass,
) -> Result<Option<f64>> {
    let given = Subset::full(run.trained.model.modalities().len());
    let mut sum = 0.0;
    for batch in pass.batches(data, &run.trained.device) {
        let (_, batch) = batch?;
        let noise = &mut Noise::of(&batch);
        let latent = run.trained.model.encoder()?.encode(&batch, given, Draws::Samples(1), noise);
        let Some(density) = sampler.log_density(&latent)? else { return Ok(None) };
        sum += density.iter().sum::<f64>();
    }
    Ok(Some(sum / data.len() as f64))
}

fn sample(arguments: &SamplerSampleArguments) -> Result<Outcome> {
    let kind = Kind::of(&arguments.out)?;
    let (folder, place) = places(arguments)?;
    let run = given::run_on(&folder, arguments.device.as_deref())?;
    let sampler = Sampler::load(&place, run.trained.model.generator()?, &run.trained.device)?;
    let (rows, chunk, seed) = (arguments.n, arguments.batch_size, arguments.seed);
    let chunks =
        sampler.chunks(run.trained.model.generator()?, rows, chunk, seed, &run.trained.device)?;
    let bar = Bar::new("sampling");
    let chunks = chunks.enumerate().map(|(i, latent)| {
        bar.set(((i + 1) * chunk) as f64 / rows as f64);
        latent
    });
    let shown = if let (Kind::Rows(form), None) = (kind, &arguments.target) {
        latents(&arguments.out, form, chunks.collect())?
    } else {
        let names = arguments.target.as_deref();
        let targets = generate::targets(&run, names, &arguments.out, kind)?;
        generate::from_latents(&run, chunks, "sample", &arguments.out, kind, targets)?;
        targets.label(run.trained.model.modalities())
    };
    drop(bar);
    print_out(format!("{}: {shown}", arguments.out.display()))?;
    Ok(Outcome::Done)
}

fn compare(arguments: &SamplerCompareArguments) -> Result<Outcome> {
    let run = given::run(&arguments.run)?;
    let test = run.test_split()?;
    let given = arguments.classifiers.as_deref();
    let trained = classifier::any_of_run(&run, given, &Bar::new("classifiers"))?;
    let (rows, chunk, seed) = (arguments.n, arguments.run.batch_size, arguments.run.seed);
    let prior = PriorSampler { rows, chunk, seed };
    let judge = Judge { run: &run, test: &test, trained: &trained, chunk, seed, rows };
    let draw = || Ok(prior.chunks(run.trained.model.generator()?, &run.trained.device)?);
    let mut lines = vec![judge.line("prior", draw)?];
    for kind in kinds_of(&arguments.run.run) {
        let folder = folder_of(&arguments.run.run, kind);
        let sampler = Sampler::load(&folder, run.trained.model.generator()?, &run.trained.device)?;
        let draw = || {
            Ok(sampler.chunks(
                run.trained.model.generator()?,
                rows,
                chunk,
                seed,
                &run.trained.device,
            )?)
        };
        lines.push(judge.line(&kind.name(), draw)?);
    }
    let distances = trained.iter().map(|one| format!("FID {}", one.report().modality));
    let mut head = vec!["sampler".to_owned(), "joint coherence".into(), "std. error".into()];
    head.extend(["agreement".into(), "std. error".into()]);
    head.extend(distances);
    let head: Vec<_> = head.iter().map(String::as_str).collect();
    print_out(table(&head, &lines))?;
    Ok(Outcome::Done)
}

/// What samplers are judged by.
struct Judge<'a> {
    run: &'a Run,
    test: &'a AlignedDataset,
    trained: &'a [Classifier],
    chunk: usize,
    seed: u64,
    rows: usize,
}

impl Judge<'_> {
    /// A line of the table: coherence and agreement with their errors, and the distance of each
    /// modality with a classifier.
    fn line<I: Iterator<Item = Latent>>(
        &self,
        name: &str,
        draw: impl Fn() -> Result<I>,
    ) -> Result<Vec<String>> {
        let bar = Bar::new(name);
        let model = &self.run.trained.model;
        let coherence =
            joint_coherence(model.generator()?, draw()?, &Classifiers::of(self.trained)?)?;
        bar.set(0.4);
        let config = FidConfig {
            batch_size: self.chunk,
            seed: self.seed,
            max_rows: self.rows.max(2),
            ..FidConfig::default()
        };
        let features = self
            .trained
            .iter()
            .map(|one| {
                let name = ModalityName::new(&one.report().modality)?;
                Ok((name, one as &dyn Features))
            })
            .collect::<Result<Vec<_>>>()?;
        let device = &self.run.trained.device;
        let distances =
            joint_fid(model.generator()?, self.test, draw()?, &features, &config, device)?;
        let mut line = vec![name.to_owned()];
        for mean in [coherence.coherence, coherence.agreement] {
            line.extend([format!("{:.4}", mean.mean), format!("{:.4}", mean.standard_error)]);
        }
        line.extend(self.trained.iter().map(|one| {
            let of = |distance: &&SetDistance| distance.target == one.report().modality;
            let distance = distances.iter().find(of);
            distance.map_or("-".into(), |distance| format!("{:.2}", distance.fid))
        }));
        Ok(line)
    }
}

/// Writes latent values by space, `[rows, features]`; says what was written.
fn latents(out: &Path, form: Form, parts: Vec<Latent>) -> Result<String> {
    let all = samplers::join(parts).context("there are rows")?;
    let mut written = Written::new("sample");
    let mut shown = Vec::new();
    for (name, z) in all.named() {
        let [_, rows, features] = z.dims();
        shown.push(format!("{name} [{rows}, {features}]"));
        written.parts.push(Part::latent(name, Array::of(z, vec![rows, features])?));
    }
    written.write(out, form)?;
    Ok(shown.join(", "))
}

/// Where the sampler of a kind is in the folder of a run.
fn folder_of(run: &Path, kind: SamplerKind) -> PathBuf {
    run.join(SAMPLERS).join(kind.name())
}

fn is_sampler(folder: &Path) -> bool {
    folder.join(samplers::FILE).is_file()
}

/// The kinds of sampler in the folder of a run.
fn kinds_of(run: &Path) -> Vec<SamplerKind> {
    let kinds = SamplerKind::value_variants().iter().copied();
    kinds.filter(|&kind| is_sampler(&folder_of(run, kind))).collect()
}

/// The folders of the run and of the sampler.
fn places(arguments: &SamplerSampleArguments) -> Result<(PathBuf, PathBuf)> {
    let place = &arguments.place;
    let is_run = |folder: &Path| folder.join(RunFolder::CONFIG).is_file();
    if is_run(place) {
        let there = kinds_of(place);
        let wanted = match (arguments.kind, &there[..]) {
            (Some(kind), _) if there.contains(&kind) => kind,
            (None, [kind]) => *kind,
            _ => {
                let names: Vec<_> = there.iter().map(|kind| format!("`{}`", kind.name())).collect();
                let names = if names.is_empty() { "none".into() } else { names.join(", ") };
                return Err(bad_input(format!(
                    "which sampler of the run `{}`? It has {names}: choose one with `--kind`, or \
                     fit one with `multivae sampler fit`",
                    place.display()
                )));
            }
        };
        return Ok((place.clone(), folder_of(place, wanted)));
    }
    if !is_sampler(place) {
        return Err(bad_input(format!(
            "`{}` is neither the folder of a run nor of a sampler: it has no {} and no {}",
            place.display(),
            RunFolder::CONFIG,
            samplers::FILE
        )));
    }
    let around = || {
        let whole = std::fs::canonicalize(place).ok()?;
        whole.ancestors().find(|folder| is_run(folder)).map(Path::to_owned)
    };
    let run = arguments.run.clone().or_else(around).ok_or_else(|| {
        bad_input(format!(
            "the sampler `{}` does not lie in the folder of a run: name the run with `--run`",
            place.display()
        ))
    })?;
    Ok((run, place.clone()))
}
