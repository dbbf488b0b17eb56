//! What a trainer needs of a model: the plan of its training, its objective, its steps.

use std::collections::BTreeSet;

use burn::{module::Module, optim::GradientsParams, tensor::Tensor};

use super::Multimodal;
use crate::{
    batch::{Batch, Progress},
    noise::Noise,
};

/// An objective on a batch.
#[derive(Clone, Debug)]
pub struct Loss {
    /// What is minimised, `[1]`: nats, averaged over the rows of the batch.
    pub total: Tensor<1>,
    /// Parts of it by name, `[1]` each, in the same unit. Their names and number depend on the
    /// stage and phase of the run only: [`Learn::terms`].
    pub terms: Vec<(String, Tensor<1>)>,
}

impl Loss {
    /// Gradients of the total in the parameters of a model.
    pub fn backward(&self, model: &impl Module) -> GradientsParams {
        GradientsParams::from_grads(self.total.clone().backward(), model)
    }

    /// The same values, from which no gradient comes.
    pub fn detach(self) -> Self {
        let detach = |(name, term): (String, Tensor<1>)| (name, term.detach());
        Self { total: self.total.detach(), terms: self.terms.into_iter().map(detach).collect() }
    }

    /// The sum of two parts of an objective: terms of one name are added, others stand beside each
    /// other, so that none is lost or added to a different one.
    pub fn plus(mut self, other: Self) -> Self {
        for (name, value) in other.terms {
            match self.terms.iter_mut().find(|(own, _)| *own == name) {
                Some((_, own)) => *own = own.clone() + value,
                None => self.terms.push((name, value)),
            }
        }
        Self { total: self.total + other.total, ..self }
    }
}

/// What a step of training follows.
#[derive(Debug)]
pub struct Step {
    /// The objective.
    pub loss: Loss,
    /// The gradients that learning follows, where the model has an estimator of its own; otherwise
    /// those of the total.
    pub gradients: Option<GradientsParams>,
}

impl From<Loss> for Step {
    fn from(loss: Loss) -> Self {
        Self { loss, gradients: None }
    }
}

impl Step {
    /// The gradients that learning follows, in the parameters of the model.
    pub fn into_gradients(self, model: &impl Module) -> (Loss, GradientsParams) {
        let Self { loss, gradients } = self;
        let gradients = gradients.unwrap_or_else(|| loss.backward(model));
        (loss, gradients)
    }
}

/// A part of a run in which the same parameters learn by the same phases.
#[derive(Clone, Debug, PartialEq)]
pub struct Stage {
    /// Its name, for logs.
    pub name: String,
    /// Prefixes of the paths of parameters that do not learn in this stage.
    pub frozen: Vec<String>,
    /// Number of epochs; `None` for all that are left.
    pub epochs: Option<usize>,
    /// What is done with every batch, one after the other; one phase for all but adversarial and
    /// alternating objectives. The first is the one whose objective is evaluated and judged.
    pub phases: Vec<Phase>,
}

impl Stage {
    /// All epochs, all parameters, one phase.
    pub fn whole() -> Self {
        Self::new("training")
    }

    /// A stage of that name that is otherwise [`whole`](Self::whole).
    pub fn new(name: &str) -> Self {
        let phases = vec![Phase::whole()];
        Self { name: name.into(), frozen: Vec::new(), epochs: None, phases }
    }

    /// The same for so many epochs.
    pub fn epochs(self, epochs: usize) -> Self {
        Self { epochs: Some(epochs), ..self }
    }

    /// The same without learning below these prefixes of parameter paths.
    pub fn frozen(self, prefixes: &[&str]) -> Self {
        Self { frozen: prefixes.iter().map(ToString::to_string).collect(), ..self }
    }

    /// The same with other phases.
    pub fn phases(self, phases: Vec<Phase>) -> Self {
        Self { phases, ..self }
    }
}

/// What is done with a batch, once or several times over: which parameters learn, how, and from
/// which rows.
///
/// ```
/// use multivae_core::model::{Phase, Rows, Stage};
///
/// // A critic that makes five steps for each step of the rest, with weights within 0.01.
/// let plan = Stage::whole().phases(vec![
///     Phase::new("autoencoder", &["encoders", "decoders"]),
///     Phase::new("critic", &["critic"]).repeats(5).rate(0.1).clip(0.01),
/// ]);
/// assert_eq!(plan.phases[1].repeats, 5);
/// assert_eq!(plan.phases[0].rows, Rows::Any);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Phase {
    /// Its name, for logs, terms and the configuration of its optimiser.
    pub name: String,
    /// Prefixes of the paths of parameters that learn; none for all that the stage does not freeze.
    pub learns: Vec<String>,
    /// How often each batch is used, at least 1.
    pub repeats: usize,
    /// What its learning rate is multiplied by.
    pub rate: f64,
    /// After each step, parameters that learn here are kept within this distance of zero.
    pub clip: Option<f64>,
    /// What rows a batch must have.
    pub rows: Rows,
}

impl Phase {
    /// One step per batch on any rows, of all parameters.
    pub fn whole() -> Self {
        Self::new("training", &[])
    }

    /// One step per batch on any rows, of the parameters below these prefixes; none for all.
    pub fn new(name: &str, learns: &[&str]) -> Self {
        Self {
            name: name.into(),
            learns: learns.iter().map(ToString::to_string).collect(),
            repeats: 1,
            rate: 1.0,
            clip: None,
            rows: Rows::Any,
        }
    }

    /// The same with several steps per batch.
    pub fn repeats(self, repeats: usize) -> Self {
        Self { repeats, ..self }
    }

    /// The same with a learning rate of so many times the run's.
    pub fn rate(self, rate: f64) -> Self {
        Self { rate, ..self }
    }

    /// The same with parameters kept within `bound` of zero.
    pub fn clip(self, bound: f64) -> Self {
        Self { clip: Some(bound), ..self }
    }

    /// The same with a demand on the rows of a batch.
    pub fn rows(self, rows: Rows) -> Self {
        Self { rows, ..self }
    }
}

/// What an objective asks of the rows of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rows {
    /// Any number: the objective is a mean over rows, so that a batch can be taken in parts.
    #[default]
    Any,
    /// At least so many, as batch statistics need; a smaller rest joins the batch before it.
    AtLeast(usize),
    /// At least so many and all at once, as an objective of their covariance needs: a batch is
    /// neither shared among devices nor taken in parts.
    Whole(usize),
}

impl Rows {
    /// The fewest rows of a batch.
    pub fn least(self) -> usize {
        match self {
            Self::Any => 1,
            Self::AtLeast(n) | Self::Whole(n) => n.max(1),
        }
    }

    /// Whether a batch may be taken in parts.
    pub fn divisible(self) -> bool {
        !matches!(self, Self::Whole(_))
    }
}

/// A model that learns: all that a trainer asks for.
///
/// What a missing entry holds has no influence on any result or gradient, be it a modality of a row
/// or a single cell, unless the objective [needs complete rows](Self::needs_complete_rows).
pub trait Learn: Multimodal {
    /// Names of all terms of [`loss`](Self::loss), in its order, where the run stands so.
    fn terms(&self, progress: Progress) -> Vec<String>;

    /// The objective of the phase that the batch's progress names, on its rows.
    fn loss(&self, batch: &Batch, noise: &mut Noise) -> Loss;

    /// The objective, and what learning follows.
    fn step(&self, batch: &Batch, noise: &mut Noise) -> Step {
        self.loss(batch, noise).into()
    }

    /// Whether the objective is defined for complete rows only.
    fn needs_complete_rows(&self) -> bool {
        false
    }

    /// The stages of training, in order.
    fn stages(&self) -> Vec<Stage> {
        vec![Stage::whole()]
    }

    /// Whether the objective learns from the class labels of a batch, so that there have to be some.
    fn needs_labels(&self) -> bool {
        false
    }

    /// Names of the covariates that the objective reads of a batch.
    fn covariates(&self) -> BTreeSet<String> {
        BTreeSet::new()
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    fn loss(total: f32, terms: &[(&str, f32)]) -> Loss {
        let tensor = |x: f32| Tensor::<1>::from_floats([x], &Device::flex());
        let terms = terms.iter().map(|(name, x)| ((*name).to_owned(), tensor(*x))).collect();
        Loss { total: tensor(total), terms }
    }

    #[test]
    fn terms_are_added_by_name_and_none_is_lost() {
        let sum = loss(3.0, &[("kl", 1.0), ("a", 2.0)]).plus(loss(5.0, &[("b", 4.0), ("kl", 0.5)]));
        let found: Vec<(String, f32)> =
            sum.terms.into_iter().map(|(name, x)| (name, x.into_scalar::<f32>())).collect();
        let expected = [("kl", 1.5), ("a", 2.0), ("b", 4.0)];
        assert!(found.iter().map(|(name, x)| (name.as_str(), *x)).eq(expected), "{found:?}");
        assert_eq!(sum.total.into_scalar::<f32>(), 8.0);
    }

    #[test]
    fn only_whole_batches_cannot_be_divided() {
        assert_eq!(Rows::Any.least(), 1);
        assert!(Rows::AtLeast(2).divisible() && !Rows::Whole(0).divisible());
        assert_eq!(Rows::Whole(0).least(), 1);
    }
}
