//! The plan of a run: how many epochs each stage has, and what its phases do with every batch.

use std::collections::{BTreeMap, HashSet};

use burn::module::{Module, ParamId};
use multivae_core::{
    batch::Progress,
    model::{Learn, Phase, Rows, Stage, TrainableModel},
    module::{Parameter, parameters},
};

use crate::{
    Result, TrainError,
    config::{OptimizerConfig, PhaseConfig, TrainConfig},
    names::{LOSS, RATE},
};

/// A stage of a run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StageEpochs {
    pub(crate) name: String,
    pub(crate) frozen: Vec<String>,
    pub(crate) phases: Vec<Phase>,
    /// The epochs are those after `from`, up to `to`.
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) clock: Clock,
}

/// The time of a stage as the model counts it.
///
/// Objectives tell stages by the epoch, and know the lengths that the model asked for. Where a run
/// is too short for those, a stage goes through its time faster.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Clock {
    /// Epochs of the run before the stage.
    pub(crate) from: usize,
    /// Epochs of the stage.
    pub(crate) epochs: usize,
    /// Epochs before the stage as the model counts them.
    pub(crate) asked_from: usize,
    /// Epochs of the stage as the model counts them.
    pub(crate) asked: usize,
}

impl Clock {
    /// Where the objective stands after a share of an epoch of the run.
    pub(crate) fn at(self, epoch: usize, fraction: f64) -> Progress {
        let done = epoch - self.from - 1;
        if self.asked == self.epochs {
            return Progress::new(self.asked_from + done + 1, fraction);
        }
        let at = (done as f64 + fraction) * self.asked as f64 / self.epochs as f64;
        Progress::new(self.asked_from + at as usize + 1, at.fract())
    }

    /// Where the objective stands when the stage ends.
    pub(crate) fn end(self) -> Progress {
        Progress::new(self.asked_from + self.asked, 0.0)
    }
}

impl StageEpochs {
    /// Epochs of the stage.
    pub(crate) fn epochs(&self) -> usize {
        self.to - self.from
    }

    /// The phase of each step that is made with a batch, in order.
    pub(crate) fn turns(&self) -> Vec<usize> {
        let of = |(phase, p): (usize, &Phase)| std::iter::repeat_n(phase, p.repeats);
        self.phases.iter().enumerate().flat_map(of).collect()
    }

    /// The fewest rows of a batch.
    pub(crate) fn least_rows(&self) -> usize {
        self.phases.iter().map(|phase| phase.rows.least()).max().unwrap_or(1)
    }

    /// The phase that needs a batch as a whole, if any does.
    pub(crate) fn indivisible(&self) -> Option<&Phase> {
        self.phases.iter().find(|phase| !phase.rows.divisible())
    }

    /// What phases ask of the rows of a batch, and which asks for most.
    pub(crate) fn most_demanding(&self) -> Option<&Phase> {
        self.phases.iter().filter(|p| p.rows != Rows::Any).max_by_key(|p| p.rows.least())
    }
}

/// The stages of a run of `epochs` epochs, and a note if they are shorter than the model asked for.
///
/// Stages of a fixed number of epochs have that number, and the first of those without one has the
/// rest. Where they do not fit into the run, every stage gets its part of it, at least one epoch; a
/// stage without a number then counts as one of mean length.
pub(crate) fn stages(
    model: &dyn Learn,
    epochs: usize,
) -> Result<(Vec<StageEpochs>, Option<String>)> {
    let mut stages = model.stages();
    let mut open = false;
    // Only the first stage without a number has epochs: nothing is left for another.
    stages.retain(|stage| match stage.epochs {
        Some(epochs) => epochs > 0,
        None => !std::mem::replace(&mut open, true),
    });
    let fixed: usize = stages.iter().filter_map(|stage| stage.epochs).sum();
    let names = || -> Vec<String> { stages.iter().map(|s| format!("`{}`", s.name)).collect() };
    if stages.is_empty() {
        return Err(TrainError::config("stages of the model", "at least one epoch", "none"));
    }
    if epochs < stages.len() {
        let (least, names) = (stages.len(), names().join(", "));
        let expected = format!("at least {least}, one for each stage of the model: {names}");
        return Err(TrainError::config("epochs", expected, epochs));
    }
    let fits = fixed + usize::from(open) <= epochs;
    let lengths: Vec<usize> = if fits {
        stages.iter().map(|stage| stage.epochs.unwrap_or(epochs - fixed)).collect()
    } else {
        proportional(&stages, epochs)
    };
    let note = (!fits).then(|| {
        let each: Vec<String> = stages
            .iter()
            .zip(&lengths)
            .map(|(stage, length)| match stage.epochs {
                Some(asked) => format!("{length} of {asked} for `{}`", stage.name),
                None => format!("{length} for `{}`", stage.name),
            })
            .collect();
        format!(
            "{epochs} epochs are fewer than the stages of the model ask for: {}",
            each.join(", ")
        )
    });
    let (mut from, mut asked_from) = (0, 0);
    let planned = stages
        .into_iter()
        .zip(lengths)
        .map(|(Stage { name, frozen, phases, epochs }, length)| {
            let asked = epochs.unwrap_or(length);
            let clock = Clock { from, epochs: length, asked_from, asked };
            let stage = StageEpochs { name, frozen, phases, from, to: from + length, clock };
            from += length;
            asked_from += asked;
            stage
        })
        .collect();
    Ok((planned, note))
}

/// One epoch for each stage, and what is left in proportion to the numbers they ask for.
fn proportional(stages: &[Stage], epochs: usize) -> Vec<usize> {
    let fixed: Vec<usize> = stages.iter().filter_map(|stage| stage.epochs).collect();
    // In units of one epoch by the number of fixed stages, so that their mean is whole.
    let (n, sum) = (fixed.len(), fixed.iter().sum::<usize>());
    let weights: Vec<usize> = stages.iter().map(|s| s.epochs.map_or(sum, |e| e * n)).collect();
    let (left, all) = (epochs - stages.len(), weights.iter().sum::<usize>());
    let mut before = 0;
    let mut given = 0;
    weights
        .into_iter()
        .map(|weight| {
            before += weight;
            // Rounded where stages meet, so that all of them add up.
            let to = (2 * left * before + all) / (2 * all);
            1 + to - std::mem::replace(&mut given, to)
        })
        .collect()
}

/// What the steps of a phase are made of.
#[derive(Clone, Debug)]
pub(crate) struct PhasePlan {
    pub(crate) name: String,
    /// Names of the total and of the terms, as they are recorded.
    pub(crate) terms: Vec<String>,
    /// Place of the total among the terms of all phases.
    pub(crate) first: usize,
    /// The parameters that learn.
    pub(crate) learns: HashSet<ParamId>,
    /// Whether there are others, beside those that the stage freezes.
    pub(crate) partial: bool,
    pub(crate) optimizer: OptimizerConfig,
    /// What the learning rate of the run is multiplied by.
    pub(crate) rate: f64,
    /// Parameters are kept within this distance of zero.
    pub(crate) clip: Option<f64>,
}

/// The phases of a stage, checked against the model's parameters and terms.
///
/// # Errors
///
/// [`TrainError::Config`].
pub(crate) fn phases<M: TrainableModel>(
    model: &M,
    stage: &StageEpochs,
    config: &TrainConfig,
) -> Result<Vec<PhasePlan>> {
    let parameters = parameters(model);
    below(&parameters, &stage.frozen, &format!("frozen of stage {}", stage.name))?;
    let frozen = |p: &Parameter| stage.frozen.iter().any(|prefix| p.is_below(prefix));
    if stage.phases.is_empty() {
        let field = format!("phases of stage {}", stage.name);
        return Err(TrainError::config(field, "at least one", "none"));
    }
    let mut plans: Vec<PhasePlan> = Vec::new();
    for (i, phase) in stage.phases.iter().enumerate() {
        check(phase)?;
        if plans.iter().any(|other| other.name == phase.name) {
            let field = format!("phases of stage {}", stage.name);
            return Err(TrainError::config(field, "each name once", &phase.name));
        }
        below(&parameters, &phase.learns, &format!("learns of phase {}", phase.name))?;
        let learns: HashSet<ParamId> = parameters
            .iter()
            .filter(|p| !frozen(p))
            .filter(|p| phase.learns.is_empty() || phase.learns.iter().any(|l| p.is_below(l)))
            .map(|p| p.id)
            .collect();
        if learns.is_empty() {
            let expected = format!("parameters that stage {} does not freeze", stage.name);
            let found = phase.learns.join(", ");
            return Err(TrainError::config(
                format!("learns of phase {}", phase.name),
                expected,
                if found.is_empty() { "none".to_owned() } else { found },
            ));
        }
        let total = if i == 0 { LOSS.to_owned() } else { format!("{LOSS}/{}", phase.name) };
        let own = model.learner().terms(stage.clock.end().in_phase(i));
        let taken = |name: &str| {
            [LOSS, RATE].contains(&name) || plans.iter().any(|p| p.terms.iter().any(|t| t == name))
        };
        for (i, name) in own.iter().enumerate() {
            if taken(name) || *name == total || own[..i].contains(name) {
                let expected = format!(
                    "names other than `{LOSS}` and `{RATE}`, each once in all phases of a stage"
                );
                return Err(TrainError::config("terms of the model", expected, name));
            }
        }
        let first = plans.last().map_or(0, |before| before.first + before.terms.len());
        let (optimizer, rate) = optimizer(phase, config);
        plans.push(PhasePlan {
            name: phase.name.clone(),
            terms: std::iter::once(total).chain(own).collect(),
            first,
            learns,
            partial: !phase.learns.is_empty(),
            optimizer,
            rate,
            clip: phase.clip,
        });
    }
    Ok(plans)
}

/// The optimiser of a phase, and its learning rate as a multiple of the run's.
pub(crate) fn optimizer(phase: &Phase, config: &TrainConfig) -> (OptimizerConfig, f64) {
    match config.phases.get(&phase.name).and_then(|own| own.optimizer.clone()) {
        Some(own) => {
            let rate = own.learning_rate() / config.optimizer.learning_rate();
            (own, rate)
        }
        None => (config.optimizer.clone(), phase.rate),
    }
}

/// Kinds of the optimisers that the settings name for phases.
pub(crate) fn optimizer_names(config: &TrainConfig) -> BTreeMap<String, String> {
    let own = |(phase, settings): (&String, &PhaseConfig)| {
        Some((phase.clone(), settings.optimizer.as_ref()?.name().to_owned()))
    };
    config.phases.iter().filter_map(own).collect()
}

/// Checks the numbers of a phase.
fn check(phase: &Phase) -> Result<()> {
    let Phase { name, repeats, rate, clip, .. } = phase;
    if *repeats == 0 {
        return Err(TrainError::config(format!("repeats of phase {name}"), "at least 1", 0));
    }
    for (field, value) in [("rate", Some(*rate)), ("clip", *clip)] {
        if let Some(value) = value.filter(|v| !(v.is_finite() && *v > 0.0)) {
            let field = format!("{field} of phase {name}");
            return Err(TrainError::config(field, "a finite number above 0", value));
        }
    }
    Ok(())
}

/// Checks that there are parameters below each prefix.
fn below(parameters: &[Parameter], prefixes: &[String], field: &str) -> Result<()> {
    let unused = |prefix: &&String| !parameters.iter().any(|p| p.is_below(prefix));
    match prefixes.iter().find(unused) {
        Some(unused) => {
            Err(TrainError::config(field, "the beginning of a parameter's path", unused))
        }
        None => Ok(()),
    }
}

/// Lets the parameters of a stage learn, and no others.
pub(crate) fn freeze<M: Module>(model: M, stage: &StageEpochs) -> M {
    multivae_core::module::freeze(model, &stage.frozen)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(epochs: Option<usize>) -> Stage {
        Stage { epochs, ..Stage::new("stage") }
    }

    #[test]
    fn stages_that_do_not_fit_get_their_part_and_never_nothing() {
        let parts = |asked: &[Option<usize>], epochs| {
            let stages: Vec<Stage> = asked.iter().map(|e| stage(*e)).collect();
            proportional(&stages, epochs)
        };
        assert_eq!(parts(&[Some(30), Some(60)], 3), [1, 2]);
        assert_eq!(parts(&[Some(30), Some(60)], 30), [10, 20]);
        assert_eq!(parts(&[Some(1000), Some(1)], 2), [1, 1]);
        // One without a number counts as the mean of the others.
        assert_eq!(parts(&[Some(3), None], 4), [2, 2]);
        for epochs in 3..40 {
            let parts = parts(&[Some(7), Some(50), None], epochs);
            assert_eq!(parts.iter().sum::<usize>(), epochs);
            assert!(parts.iter().all(|part| *part > 0), "{parts:?}");
        }
    }

    #[test]
    fn a_shortened_stage_goes_through_the_models_own_epochs() {
        let clock = Clock { from: 2, epochs: 2, asked_from: 10, asked: 6 };
        assert_eq!(clock.at(3, 0.0), Progress::new(11, 0.0));
        assert_eq!(clock.at(3, 0.5), Progress::new(12, 0.5));
        assert_eq!(clock.at(4, 0.0), Progress::new(14, 0.0));
        assert_eq!(clock.end(), Progress::new(16, 0.0));
        // As long as asked for, it is the run's own time, bit for bit.
        let clock = Clock { from: 2, epochs: 6, asked_from: 2, asked: 6 };
        assert_eq!(clock.at(5, 1.0 / 3.0), Progress::new(5, 1.0 / 3.0));
    }
}
