//! The metrics of `multivae evaluate --metrics`.

use std::{cell::OnceCell, time::Instant};

use anyhow::{Context, Result};
use multivae::{
    core::{
        dataset::Dataset,
        modality::ModalityName,
        model::{Latent, MultimodalModel},
    },
    metrics::{
        Classifier, Classifiers, ClusteringConfig, Coherence, CoherenceConfig, Entries, Entry,
        EvaluateConfig, Features, FidConfig, Inception, LikelihoodConfig, ReconstructionConfig,
        RepresentationConfig, SizeCoherence, SkillConfig, clustering, coherence,
        coherence_findings, evaluate, fid, findings, joint_coherence, likelihood,
        likelihood_findings, probes, reconstruction, representation, skill, skill_findings,
    },
    report::{Absent, Figure, Finding, Measures, Tone, drawn},
    run::{AlignedDataset, Run, Trained},
    samplers::{PriorSampler, Sampler},
};
use serde::Serialize;
use serde_json::Value;

use crate::{
    arguments::{EvaluateArguments, LikelihoodKind, Metric},
    classifier, drawing,
    failure::{self, bad_input},
    progress::Bar,
    terminal::print_err,
};

/// Joint samples whose classes are compared.
const SAMPLES: usize = 1000;
/// Features of Inception by which Fréchet distances are published.
const INCEPTION_FEATURES: usize = 2048;

/// What is measured, and with what.
pub(crate) struct Evaluator<'a> {
    pub(crate) run: &'a Run,
    pub(crate) data: &'a AlignedDataset,
    pub(crate) arguments: &'a EvaluateArguments,
    /// Rows to learn from, once something does.
    train: OnceCell<AlignedDataset>,
}

/// What a metric has found.
#[derive(Default)]
struct Found {
    /// Reports by name.
    reports: Vec<(&'static str, Value)>,
    entries: Vec<Entry>,
    /// What has failed altogether, which nothing else is said before.
    failures: Vec<Finding>,
    findings: Vec<Finding>,
    figures: Vec<Figure>,
    /// Parts that cannot be measured.
    absent: Vec<Absent>,
}

impl Found {
    fn without(&mut self, name: &str, reason: &str) {
        self.absent.push(Absent { name: name.to_owned(), reason: reason.to_owned() });
    }

    fn report(mut self, name: &'static str, report: &(impl Entries + Serialize)) -> Result<Self> {
        self.entries.extend(report.entries());
        self.reports.push((name, serde_json::to_value(report)?));
        Ok(self)
    }
}

/// All that was found, and the seconds of each metric.
pub(crate) struct Measured {
    pub(crate) measures: Measures,
    pub(crate) figures: Vec<Figure>,
    pub(crate) timings: Vec<(String, f64)>,
}

impl<'a> Evaluator<'a> {
    pub(crate) fn new(
        run: &'a Run,
        data: &'a AlignedDataset,
        arguments: &'a EvaluateArguments,
    ) -> Self {
        Self { run, data, arguments, train: OnceCell::new() }
    }

    /// The training rows of the run.
    fn train(&self) -> Result<&AlignedDataset> {
        if let Some(train) = self.train.get() {
            return Ok(train);
        }
        let train = self.run.train_split()?;
        Ok(self.train.get_or_init(|| train))
    }

    /// Takes every wanted measure. One that cannot be taken is an error if it was asked for by
    /// name, and else noted with the reason.
    pub(crate) fn measure(&self, wanted: &[Metric], title: &str) -> Result<Measured> {
        let mut measures = Measures::new(title);
        let (mut figures, mut timings) = (Vec::new(), Vec::new());
        let mut failures = Vec::new();
        let all = wanted.contains(&Metric::All);
        for &metric in Metric::EACH {
            let asked = wanted.contains(&metric);
            if !asked && !all {
                continue;
            }
            let asked = asked && !self.arguments.where_possible;
            let (name, start) = (metric.name(), Instant::now());
            match self.take(metric, &Bar::new(&format!("{name:<14}"))) {
                Ok(found) => {
                    measures.reports.extend(
                        found.reports.into_iter().map(|(name, value)| (name.to_owned(), value)),
                    );
                    measures.entries.extend(found.entries);
                    failures.extend(found.failures);
                    measures.findings.extend(found.findings);
                    measures.absent.extend(found.absent);
                    figures.extend(found.figures);
                }
                Err(error) if !asked && failure::is_about_input(&error) => {
                    let reason = failure::message(&error);
                    print_err(&format!("{name} is not measured: {reason}"));
                    measures.absent.push(Absent { name: name.clone(), reason });
                }
                Err(error) => return Err(error.context(format!("`--metrics {name}`"))),
            }
            timings.push((name, start.elapsed().as_secs_f64()));
        }
        measures.findings = ordered(failures, measures.findings);
        figures.extend(drawn(&measures.entries));
        Ok(Measured { measures, figures, timings })
    }

    fn take(&self, metric: Metric, bar: &Bar) -> Result<Found> {
        let (run, data, arguments) = (self.run, self.data, self.arguments);
        let (batch_size, seed) = (arguments.run.batch_size, arguments.run.seed);
        let (model, device) = (&run.trained.model, &run.trained.device);
        let show = |share: f64| bar.set(share);
        match metric {
            Metric::All => Err(bad_input("`all` stands for every metric")),
            Metric::Evaluation => {
                let config = EvaluateConfig { batch_size, seed };
                let watched = bar.watching(data);
                let report = evaluate(model.density()?, &watched, &config, device)?;
                Found::default().report("evaluation", &report)
            }
            Metric::Likelihood => {
                let rows = Some(arguments.likelihood_rows);
                let config = LikelihoodConfig {
                    seed,
                    samples: arguments.samples,
                    rows,
                    marginal: arguments.likelihoods.contains(&LikelihoodKind::Marginal),
                    conditional: arguments.likelihoods.contains(&LikelihoodKind::Conditional),
                    ..Default::default()
                };
                let report = likelihood(model.density()?, data, &config, device, &show)?;
                let mut found = Found::default().report("likelihood", &report)?;
                found.findings.extend(likelihood_findings(&report).map(Finding::from));
                Ok(found)
            }
            Metric::Coherence => self.coherence(bar),
            Metric::Fid => self.fid(bar),
            Metric::Reconstruction => {
                let config = ReconstructionConfig { batch_size, seed, ..Default::default() };
                let mut found = Found::default();
                match model.density() {
                    Ok(density) => {
                        let watched = bar.watching(data);
                        let report = reconstruction(density, &watched, &config, device)?;
                        found = found.report("reconstruction", &report)?;
                    }
                    // Errors against those of the mean take no likelihood.
                    Err(lacks) => found.without("reconstruction", &lacks.to_string()),
                }
                self.skill(found)
            }
            Metric::Representation => {
                let config = RepresentationConfig { batch_size, seed, ..Default::default() };
                let train = self.train()?;
                let density = match model.density() {
                    Ok(density) => density,
                    // What latent values hold can be seen without one.
                    Err(lacks) => {
                        let report = probes(model.encoder()?, train, data, &config, device, &show)?;
                        let mut found = Found::default().report("representation", &report)?;
                        found.without("latent_spaces", &lacks.to_string());
                        return Ok(found);
                    }
                };
                let report = representation(density, train, data, &config, device, &show)?;
                let mut found = Found::default().report("representation", &report)?;
                found.findings = findings(&report).into_iter().map(Finding::from).collect();
                if found.findings.is_empty() {
                    found.findings.push(Finding {
                        tone: Tone::Good,
                        text: "No latent space has collapsed to the prior, all dimensions are \
                               used, and no modality is ignored."
                            .to_owned(),
                    });
                }
                Ok(found)
            }
            Metric::Clustering => {
                let config = ClusteringConfig { batch_size, seed, ..Default::default() };
                let report = clustering(model.encoder()?, self.train()?, data, &config, device)?;
                Found::default().report("clustering", &report)
            }
            Metric::Figures => {
                let mut figures = drawing::generation(run, data)?;
                if let Some(samples) = self.samples(drawing::COLUMNS)? {
                    figures.extend(drawing::joint(run, &samples)?);
                }
                bar.set(0.2);
                figures.extend(drawing::training(run)?);
                figures.extend(drawing::latent(run, data, batch_size, seed)?);
                let findings = drawing::about_training(run)?;
                let mut found = Found { figures, findings, ..Found::default() };
                if drawing::drawable(run).is_none() {
                    found.without("generation", "the model generates no images");
                }
                Ok(found)
            }
        }
    }

    /// Adds how the model compares with the mean of the training rows.
    fn skill(&self, mut found: Found) -> Result<Found> {
        let train = match self.train() {
            Ok(train) => train,
            Err(error) if failure::is_about_input(&error) => {
                found.without("skill", &failure::message(&error));
                return Ok(found);
            }
            Err(error) => return Err(error),
        };
        let Trained { model, device, .. } = &self.run.trained;
        let config =
            SkillConfig { batch_size: self.arguments.run.batch_size, ..Default::default() };
        let report = skill(model.generator()?, train, self.data, &config, device)?;
        found.failures = skill_findings(&report).into_iter().map(Finding::from).collect();
        found.report("skill", &report)
    }

    /// Coherence from given modalities and of joint samples, with what is known of the classifiers.
    fn coherence(&self, bar: &Bar) -> Result<Found> {
        let (run, data, arguments) = (self.run, self.data, self.arguments);
        let (batch_size, seed) = (arguments.run.batch_size, arguments.run.seed);
        let trained = self.classifiers(bar)?;
        let classifiers = Classifiers::of(&trained)?;
        let config =
            CoherenceConfig { batch_size, seed, reconstructions: true, ..Default::default() };
        let show = |share| bar.set(0.9 * share);
        let report = coherence(
            run.trained.model.generator()?,
            data,
            &classifiers,
            &config,
            &run.trained.device,
            &show,
        )?;
        let mut found = Found::default().report("coherence", &report)?;
        found.failures = coherence_findings(&report).into_iter().map(Finding::from).collect();
        found.findings.extend(about_coherence(&report));
        // A joint class takes two modalities that are generated and told.
        let generated = run.trained.model.generator()?.generated();
        let told = |m: usize| {
            let name = run.trained.model.modalities()[m].name.as_str();
            trained.iter().any(|classifier| classifier.report().modality == name)
        };
        if generated.iter().filter(|&m| told(m)).count() > 1
            && let Some(samples) = self.samples(SAMPLES)?
        {
            let report =
                joint_coherence(run.trained.model.generator()?, samples.into_iter(), &classifiers)?;
            found = found.report("joint_coherence", &report)?;
        } else {
            let reason = "it takes a model with joint samples, and classifiers of two modalities \
                          that it generates";
            found.without("joint_coherence", reason);
        }
        for classifier in &trained {
            found.entries.extend(classifier.report().entries());
        }
        Ok(found)
    }

    /// Distances of generated from observed values: of images in features of Inception, or without
    /// its weights of all modalities with a classifier in features of these.
    fn fid(&self, bar: &Bar) -> Result<Found> {
        let (run, data, arguments) = (self.run, self.data, self.arguments);
        let (batch_size, seed) = (arguments.run.batch_size, arguments.run.seed);
        let specs = run.trained.model.modalities();
        let (inception, classifiers);
        let mut extractors: Vec<(ModalityName, &dyn Features)> = Vec::new();
        if let Some(path) = &arguments.inception {
            inception = Inception::load(path, INCEPTION_FEATURES, &run.trained.device)?;
            let images =
                run.trained.model.generator()?.generated().iter().filter(|&m| specs[m].is_image());
            extractors.extend(images.map(|m| (specs[m].name.clone(), &inception as &dyn Features)));
            if extractors.is_empty() {
                return Err(bad_input("the model generates no images"));
            }
        } else {
            classifiers = self.classifiers(bar).context("no features to compare by")?;
            for spec in run.trained.model.generator()?.generated().iter().map(|m| &specs[m]) {
                let own =
                    classifiers.iter().find(|one| one.report().modality == spec.name.as_str());
                extractors.extend(own.map(|own| (spec.name.clone(), own as &dyn Features)));
            }
        }
        let config = FidConfig { batch_size, seed, ..FidConfig::default() };
        let samples = self.samples(data.len())?.unwrap_or_default().into_iter();
        let show = |share| bar.set(share);
        let report = fid(
            run.trained.model.generator()?,
            data,
            samples,
            &extractors,
            &config,
            &run.trained.device,
            &show,
        )?;
        let mut found = Found::default().report("fid", &report)?;
        if arguments.inception.is_none() {
            let reason = "there are no weights of Inception-v3: give them with --inception; \
                          distances are by features of the classifiers";
            found.without("inception_distance", reason);
        }
        Ok(found)
    }

    /// Joint samples of the given sampler, or else of the prior; none of a conditional model.
    fn samples(&self, rows: usize) -> Result<Option<Vec<Latent>>> {
        let Trained { model, device, .. } = &self.run.trained;
        let (chunk, seed) = (self.arguments.run.batch_size, self.arguments.run.seed);
        if model.encoder()?.conditions().is_some() {
            return Ok(None);
        }
        if let Some(folder) = &self.arguments.sampler {
            let sampler = Sampler::load(folder, model.generator()?, device)?;
            return Ok(Some(
                sampler.chunks(model.generator()?, rows, chunk, seed, device)?.collect(),
            ));
        }
        let sampler = PriorSampler { rows, chunk, seed };
        Ok(Some(sampler.chunks(model.generator()?, device)?.collect()))
    }

    /// The given classifiers, or those of the run.
    fn classifiers(&self, bar: &Bar) -> Result<Vec<Classifier>> {
        classifier::any_of_run(self.run, self.arguments.classifiers.as_deref(), bar)
    }
}

/// What has failed, then what calls for action, then the rest; praise only where nothing does.
fn ordered(failures: Vec<Finding>, mut others: Vec<Finding>) -> Vec<Finding> {
    let calls = |finding: &Finding| finding.tone == Tone::Attention;
    if !failures.is_empty() || others.iter().any(calls) {
        others.retain(|finding| finding.tone != Tone::Good);
    }
    others.sort_by_key(|finding| !calls(finding));
    failures.into_iter().chain(others).collect()
}

/// Coherence in words.
fn about_coherence(report: &Coherence) -> Option<Finding> {
    let first = report.sizes.first()?;
    let last = report.sizes.last()?;
    let chance = 100.0 / report.classes.len() as f64;
    let share = |size: &SizeCoherence| format!("{:.0} %", 100.0 * size.scores.accuracy.mean);
    let more = match last.given > first.given {
        true => format!(", from {} in {}", last.given, share(last)),
        false => String::new(),
    };
    let text = format!(
        "From one modality, what is generated of the others shows the right class in {} of the \
         rows{more}; by chance it would be about {chance:.0} %.",
        share(first)
    );
    (first.given == 1).then_some(Finding { tone: Tone::Note, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_comes_first_and_is_not_praised() {
        let finding = |tone, text: &str| Finding { tone, text: text.into() };
        let texts = |found: &[Finding]| found.iter().map(|f| f.text.clone()).collect::<Vec<_>>();
        let others = || {
            vec![
                finding(Tone::Note, "note"),
                finding(Tone::Good, "well done"),
                finding(Tone::Attention, "unused"),
            ]
        };
        let failed = vec![finding(Tone::Attention, "worse than the mean")];
        assert_eq!(texts(&ordered(failed, others())), ["worse than the mean", "unused", "note"]);
        let fine = vec![finding(Tone::Note, "note"), finding(Tone::Good, "well done")];
        assert_eq!(texts(&ordered(Vec::new(), fine)), ["note", "well done"]);
    }
}
