//! What is checked before anything is written: that settings, model and data go together.

use burn::tensor::Device;
use multivae_core::{
    dataset::Dataset,
    modality::ModalitySpec,
    model::{Learn, Phase, TrainableModel},
};
use multivae_kernels::Precision;

use crate::{
    Result, TrainError,
    config::TrainConfig,
    plan::{StageEpochs, phases},
    rows::Cutting,
};

/// The rows of a split, for messages.
struct Rows<'a> {
    split: &'static str,
    data: &'a dyn Dataset,
}

/// Checks that settings, model, data and devices go together.
///
/// # Errors
///
/// [`TrainError::Config`], and [`TrainError::Data`] if a row cannot be read.
pub(crate) fn check<M: TrainableModel>(
    config: &TrainConfig,
    stages: &[StageEpochs],
    model: &M,
    train: &dyn Dataset,
    valid: &dyn Dataset,
    devices: &[Device],
    ranks: usize,
) -> Result<()> {
    if ranks > 1 && devices.len() > 1 {
        let expected =
            format!("one, since the run has {ranks} ranks, each with a device of its own");
        return Err(TrainError::config("devices", expected, devices.len()));
    }
    if train.is_empty() {
        return Err(TrainError::config("training rows", "at least 1", 0));
    }
    if valid.is_empty() && config.early_stopping.is_some() {
        return Err(TrainError::config("early_stopping", "validation rows to watch", "none"));
    }
    let train = Rows { split: "training", data: train };
    let valid = Rows { split: "validation", data: valid };
    for rows in [&train, &valid].into_iter().filter(|rows| !rows.data.is_empty()) {
        rows.check_modalities(model.modalities())?;
        rows.check_needs(model.learner(), &devices[0])?;
    }
    for stage in stages {
        phases(model, stage, config)?;
        check_batches(config, stage, train.data.len(), valid.data.len(), devices.len(), ranks)?;
    }
    let known = |name: &String| stages.iter().any(|s| s.phases.iter().any(|p| p.name == *name));
    if let Some(unknown) = config.phases.keys().find(|name| !known(name)) {
        let names = stages.iter().flat_map(|s| &s.phases).map(|p| format!("`{}`", p.name));
        let mut names: Vec<String> = names.collect();
        names.dedup();
        let expected = format!("phases of the model, {}", names.join(", "));
        return Err(TrainError::config("phases", expected, unknown));
    }
    Ok(())
}

/// What is to be said of products that some devices do not take as they are asked for.
pub(crate) fn precision(precision: Precision, devices: &[Device]) -> Option<String> {
    let lacking: Vec<usize> =
        (0..devices.len()).filter(|&i| !precision.is_on(&devices[i])).collect();
    let which = match (lacking.is_empty(), devices) {
        (true, _) => return None,
        (false, [_]) => "the device".to_owned(),
        (false, _) => format!("device {} of {}", lacking[0], devices.len()),
    };
    Some(format!(
        "precision = \"bf16\": {which} has no products of such numbers (processors need AVX512_BF16); \
         they are of f32"
    ))
}

impl Rows<'_> {
    fn check_modalities(&self, of_model: &[ModalitySpec]) -> Result<()> {
        let shapes = |specs: &[ModalitySpec]| -> Vec<String> {
            specs.iter().map(|spec| format!("{} {:?}", spec.name, spec.shape)).collect()
        };
        let (expected, found) = (shapes(of_model), shapes(self.data.modalities()));
        if expected == found {
            return Ok(());
        }
        Err(TrainError::config(
            format!("modalities of the {} data", self.split),
            format!("{} as in the model", expected.join(", ")),
            found.join(", "),
        ))
    }

    /// Checks that the rows have what the objective reads.
    fn check_needs(&self, learner: &dyn Learn, device: &Device) -> Result<()> {
        let incomplete =
            if learner.needs_complete_rows() { self.data.incomplete_rows() } else { 0 };
        if incomplete > 0 {
            return Err(TrainError::config(
                format!("{} rows", self.split),
                "all modalities in every row, since the model's objective needs them; leave the \
                 other rows out, or take a model that accepts missing modalities",
                format!("{incomplete} rows that lack one"),
            ));
        }
        if learner.needs_labels() {
            let rows = 0..self.data.len();
            let unlabelled = rows.filter(|&row| self.data.label(row).is_none()).count();
            if unlabelled > 0 {
                return Err(TrainError::config(
                    format!("labels of the {} rows", self.split),
                    "a class label in every row, since the model's objective learns from them",
                    format!("{unlabelled} rows without one"),
                ));
            }
        }
        let covariates = learner.covariates();
        if covariates.is_empty() {
            return Ok(());
        }
        // Where they are is known of a batch only; all rows have the same ones.
        let batch = self.data.batch(&[0], device).map_err(TrainError::Data)?;
        let lacking: Vec<String> = covariates
            .iter()
            .filter(|name| batch.covariate(name).is_none())
            .map(|name| format!("`{name}`"))
            .collect();
        if lacking.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = covariates.iter().map(|name| format!("`{name}`")).collect();
        Err(TrainError::config(
            format!("covariates of the {} rows", self.split),
            format!("{}, which the model's objective reads", names.join(", ")),
            format!("no {}", lacking.join(", ")),
        ))
    }
}

/// Checks that batches have the rows that the phases of a stage ask for.
fn check_batches(
    config: &TrainConfig,
    stage: &StageEpochs,
    rows: usize,
    validation_rows: usize,
    devices: usize,
    ranks: usize,
) -> Result<()> {
    let parts = devices * ranks;
    if let Some(phase) = stage.indivisible() {
        let name = &phase.name;
        let reason = format!("1, since phase `{name}` needs the rows of a batch all at once");
        if devices > 1 {
            return Err(TrainError::config("devices", reason, devices));
        }
        if ranks > 1 {
            return Err(TrainError::config("ranks", reason, ranks));
        }
        if config.accumulate > 1 {
            return Err(TrainError::config("accumulate", reason, config.accumulate));
        }
    }
    if let Some(phase) = stage.most_demanding() {
        let items = rows * stage.turns().len();
        let cutting = cutting(config, stage, parts);
        let at_least = |what: &str| {
            let on_each = match (devices, ranks) {
                (1, 1) => "",
                (_, 1) => " on each device",
                _ => " on each rank",
            };
            format!("at least {}{on_each}, which phase `{}` needs{what}", least(phase), phase.name)
        };
        if !cutting.is_enough(config.batch_size, items) {
            return Err(TrainError::config("batch_size", at_least(""), config.batch_size));
        }
        if !cutting.is_enough(rows.min(config.batch_size), items) {
            return Err(TrainError::config("training rows", at_least(" in a batch"), rows));
        }
    }
    let judged = &stage.phases[0];
    if (1..least(judged)).contains(&validation_rows) {
        let expected = format!("none, or at least {} for phase `{}`", least(judged), judged.name);
        return Err(TrainError::config("validation rows", expected, validation_rows));
    }
    Ok(())
}

fn least(phase: &Phase) -> usize {
    phase.rows.least()
}

/// How the training rows of a stage are cut.
pub(crate) fn cutting(config: &TrainConfig, stage: &StageEpochs, devices: usize) -> Cutting {
    Cutting {
        batch_size: config.batch_size,
        accumulate: config.accumulate,
        devices,
        least: stage.least_rows(),
    }
}
