//! Loss terms as metrics of burn-train.

use std::sync::Arc;

use burn::{
    tensor::{Tensor, TensorReadError},
    train::{
        ItemLazy,
        metric::{
            Adaptor, Metric, MetricAttributes, MetricMetadata, MetricName, Numeric,
            NumericAttributes, NumericEntry, SerializedEntry,
            state::{FormatOptions, NumericMetricState},
        },
    },
};
use burn_std::ExecutionError;
use multivae_core::model::Loss;

use crate::{
    config::NonFinite,
    context::{Bad, Context, Place},
    history::Split,
};

/// Name of the total among the terms.
pub const LOSS: &str = "loss";

/// Name of the learning rate among the metrics.
pub(crate) const RATE: &str = "rate";

/// Values of all terms in one step.
#[derive(Clone)]
pub(crate) enum Terms {
    Read {
        /// In the order of the names; empty if nothing was measured.
        values: Arc<Vec<f64>>,
        /// How many rows they are means of.
        rows: usize,
    },
    /// They are read where metrics are, while the next steps are on their way to the device.
    Unread(Box<Unread>),
}

/// Values that are still on their device.
#[derive(Clone)]
pub(crate) struct Unread {
    /// The total and all terms, `[1 + terms]`.
    pub(crate) values: Tensor<1>,
    pub(crate) place: Place,
    pub(crate) rows: usize,
    /// The norm of the gradient of the step before, `[1]`.
    pub(crate) norm: Option<(Tensor<1>, Place)>,
    pub(crate) context: Arc<Context>,
}

impl Terms {
    /// Nothing was measured.
    pub(crate) fn none() -> Self {
        Self::Read { values: Arc::default(), rows: 0 }
    }
}

impl Unread {
    /// The total and the terms of an objective, the total first.
    pub(crate) fn values(loss: &Loss) -> Tensor<1> {
        let total = std::iter::once(&loss.total);
        let all = total.chain(loss.terms.iter().map(|(_, term)| term));
        Tensor::cat(all.map(|term| term.clone().without_autodiff()).collect(), 0)
    }

    /// Waits for the values. None if the step is not to be made, of which the context is told.
    pub(crate) fn read(self) -> Option<Terms> {
        let Self { values, place, rows, norm, context } = self;
        if let Some((norm, place)) = norm {
            context.read_norm(norm, place)?;
        }
        let values = context.read(values)?;
        // The total is not finite whenever a term is not: the term says more.
        let bad = values.iter().skip(1).chain(values.first()).position(|v| !v.is_finite());
        if let Some(bad) = bad {
            let bad = (bad + 1) % values.len();
            let term = context.terms[bad].clone();
            context.not_finite(Bad { term, place, value: values[bad] });
            // Under other policies than to end the run, validation reports what it found.
            if place.split == Split::Train || context.policy != NonFinite::Skip {
                return None;
            }
        }
        Some(Terms::Read { values: Arc::new(values), rows })
    }
}

impl ItemLazy for Terms {
    fn sync(self) -> Result<Self, ExecutionError> {
        Ok(match self {
            Self::Unread(unread) => unread.read().unwrap_or_else(Self::none),
            read => read,
        })
    }
}

impl Adaptor<Terms> for Terms {
    fn adapt(&self) -> Terms {
        self.clone()
    }
}

/// The mean of one term over the rows of an epoch.
#[derive(Clone)]
pub(crate) struct Term {
    name: MetricName,
    place: usize,
    state: NumericMetricState,
    seen: bool,
}

impl Term {
    /// The term at a place among the values.
    pub(crate) fn new(name: &str, place: usize) -> Self {
        Self {
            name: Arc::new(name.into()),
            place,
            state: NumericMetricState::default(),
            seen: false,
        }
    }
}

impl Metric for Term {
    type Input = Terms;

    fn name(&self) -> MetricName {
        self.name.clone()
    }

    fn attributes(&self) -> MetricAttributes {
        NumericAttributes { unit: Some("nats".into()), higher_is_better: false }.into()
    }

    fn update(
        &mut self,
        terms: &Terms,
        _: &MetricMetadata,
    ) -> Result<SerializedEntry, TensorReadError> {
        let (value, rows) = match terms {
            Terms::Read { values, rows } if *rows > 0 => (values.get(self.place), *rows),
            _ => (None, 0),
        };
        self.seen = value.is_some();
        let Some(value) = value else { return Ok(SerializedEntry::not_available(None)) };
        self.state.update(*value, rows);
        Ok(self.state.compute_update(FormatOptions::new(self.name())))
    }

    fn compute(&mut self) -> Result<SerializedEntry, TensorReadError> {
        Ok(self.state.compute_final(FormatOptions::new(self.name())))
    }

    fn clear(&mut self) {
        self.state.reset();
    }
}

impl Numeric for Term {
    fn value(&self) -> Option<NumericEntry> {
        self.seen.then(|| self.state.current_value())
    }

    fn running_value(&self) -> Option<NumericEntry> {
        self.seen.then(|| self.state.running_value())
    }

    fn final_value(&self) -> NumericEntry {
        self.state.final_value()
    }
}

/// The learning rate of the last step.
#[derive(Clone, Default)]
pub(crate) struct Rate {
    last: f64,
}

impl Metric for Rate {
    type Input = Terms;

    fn name(&self) -> MetricName {
        Arc::new(RATE.into())
    }

    fn attributes(&self) -> MetricAttributes {
        NumericAttributes { unit: None, higher_is_better: false }.into()
    }

    fn update(
        &mut self,
        _: &Terms,
        metadata: &MetricMetadata,
    ) -> Result<SerializedEntry, TensorReadError> {
        if let Some(rate) = &metadata.lr {
            self.last = rate.base();
        }
        self.compute()
    }

    fn compute(&mut self) -> Result<SerializedEntry, TensorReadError> {
        let text = format!("{:.2e}", self.last);
        Ok(SerializedEntry::new(text, NumericEntry::Value(self.last).serialize()))
    }

    fn clear(&mut self) {}
}

impl Numeric for Rate {
    fn value(&self) -> Option<NumericEntry> {
        Some(NumericEntry::Value(self.last))
    }

    fn running_value(&self) -> Option<NumericEntry> {
        self.value()
    }

    fn final_value(&self) -> NumericEntry {
        NumericEntry::Final(self.last)
    }
}
