//! What is particular to a model: its configuration, the order of its noise, its reductions and
//! metrics. One file a model.
//!
//! Only these files know how the reference orders its draws and reduces its losses.

mod experts;

use std::collections::BTreeMap;

use multivae_core::{
    batch::{Batch, Progress, Purpose},
    modality::ModalitySpec,
    model::{Given, LikelihoodQuery, Loss, MultimodalModel},
    noise::{Draw, Noise},
    objective::Budget,
    subset::Subset,
};
use multivae_models::{Model, ModelConfig};

use super::{
    Case, Problem, broken,
    calls::{Found, scalar},
    case::{Call, RecordedDraw},
    model::Recorded,
    network::Layout,
};

/// Declares the files of this folder, each an adapter under the name of its model.
macro_rules! adapters {
    ($($model:ident)*) => {
        $(mod $model;)*

        /// The adapter of a model by its name in a case.
        pub(super) fn adapter(model: &str) -> Result<&'static dyn Adapter, Problem> {
            match model {
                $(stringify!($model) => Ok(&$model::Adapter),)*
                other => Err(Problem::Todo(format!("model `{other}`"))),
            }
        }
    };
}

adapters! {
    cmvae crmvae cvae dmvae jmvae jnf mhvae mmvae mmvae_plus mopoe mvae mvtcae nexus telbo
}

/// What the reader has to know of a model.
pub(super) trait Adapter {
    /// The configuration of the case as one of ours, and where its weights go.
    fn config(&self, case: &Case, specs: &[ModalitySpec])
    -> Result<(ModelConfig, Layout), Problem>;

    /// Where our run stands when the weights of the objective are those of the reference's epoch.
    fn progress(&self, reference: Progress) -> Progress {
        reference
    }

    /// For what our objective is evaluated when it is that of the reference in a mode.
    fn purpose(&self, mode: Purpose) -> Purpose {
        mode
    }

    /// How the reference's loss is reduced, relative to ours, which is the mean over rows.
    fn reduction(&self, _batch: &Batch) -> f64 {
        1.0
    }

    /// The loss as the reference reports it.
    fn value(
        &self,
        _recorded: &Recorded<'_>,
        _model: &Model,
        batch: &Batch,
        loss: &Loss,
        _draws: Vec<Draw>,
    ) -> Result<f64, Problem> {
        Ok(scalar(loss.total.clone()) * self.reduction(batch))
    }

    /// Loss, its sum and the metrics, as the reference names and reduces them; `draws` are those
    /// that gave the loss.
    fn scalars(
        &self,
        recorded: &Recorded<'_>,
        batch: &Batch,
        loss: &Loss,
        draws: Vec<Draw>,
    ) -> Result<BTreeMap<String, f64>, Problem>;

    /// The draws of a loss in our order.
    fn forward_draws(
        &self,
        recorded: &Recorded<'_>,
        call: &Call,
        batch: &Batch,
        noise: &[RecordedDraw],
    ) -> Result<Vec<Draw>, Problem>;

    /// The draws of `encode`: each space `[samples, batch, features]`.
    fn encode_draws(
        &self,
        recorded: &Recorded<'_>,
        _call: &Call,
        batch: &Batch,
        noise: &[RecordedDraw],
        samples: usize,
    ) -> Result<Vec<Draw>, Problem> {
        let rows = batch.rows();
        noise.iter().map(|draw| recorded.values(draw, samples, rows)).collect()
    }

    /// The draws of samples of the prior, `[1, rows, features]` each.
    fn prior_draws(
        &self,
        recorded: &Recorded<'_>,
        call: &Call,
        rows: usize,
    ) -> Result<Vec<Draw>, Problem> {
        call.noise.iter().map(|draw| recorded.values(draw, 1, rows)).collect()
    }

    /// The draws of a joint likelihood: all samples of a space at once.
    fn joint_draws(
        &self,
        recorded: &Recorded<'_>,
        call: &Call,
        batch: &Batch,
        samples: usize,
    ) -> Result<Vec<Draw>, Problem> {
        let rows = batch.rows();
        call.noise.iter().map(|draw| recorded.values(draw, samples, rows)).collect()
    }

    /// The negative joint log-likelihood, summed over the batch.
    fn joint_nll(
        &self,
        recorded: &Recorded<'_>,
        call: &Call,
        batch: &Batch,
        budget: Budget,
    ) -> Result<f64, Problem> {
        let targets = Subset::full(recorded.specs.len());
        let query = LikelihoodQuery { given: Given::Nothing, targets, budget };
        let draws = self.joint_draws(recorded, call, batch, budget.samples)?;
        let mut noise = Noise::recorded(draws);
        let estimate =
            recorded.model.density().expect("a VAE").log_likelihood(batch, &query, &mut noise);
        recorded.used_up(&noise)?;
        Ok(-scalar(estimate.log_likelihood.sum()))
    }

    /// The rows of an expected tensor `[samples, rows, features]` that the reference computes from
    /// what stands in missing entries, and that therefore are not compared.
    fn rows_of_fillers(
        &self,
        _recorded: &Recorded<'_>,
        _call: &Call,
        _tensor: &str,
    ) -> Result<Vec<usize>, Problem> {
        Ok(Vec::new())
    }

    /// A call that this model alone has.
    fn other(&self, _recorded: &Recorded<'_>, call: &Call) -> Result<Found, Problem> {
        Err(Problem::Todo(format!("call `{}`", call.call)))
    }
}

/// The loss and its sum over rows, as most models of the reference report them.
fn mean_and_sum(loss: &Loss, batch: &Batch) -> BTreeMap<String, f64> {
    let total = scalar(loss.total.clone());
    let sum = total * batch.rows() as f64;
    BTreeMap::from([("loss".into(), total), ("loss_sum".into(), sum)])
}

/// The loss as the sum over rows, as some models of the reference report it.
fn sums(loss: &Loss, batch: &Batch) -> BTreeMap<String, f64> {
    let sum = scalar(loss.total.clone()) * batch.rows() as f64;
    BTreeMap::from([("loss".into(), sum), ("loss_sum".into(), sum)])
}

/// The value of a term.
fn term(loss: &Loss, name: &str) -> Result<f64, Problem> {
    let term = loss.terms.iter().find(|(n, _)| n == name);
    term.map(|(_, value)| scalar(value.clone()))
        .ok_or_else(|| broken(format!("the loss has no term `{name}`")))
}
