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

/// Name of the total among the terms.
pub const LOSS: &str = "loss";

/// Name of the learning rate among the metrics.
pub(crate) const RATE: &str = "rate";

/// Values of all terms in one step, already read.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    /// In the order of the names; empty if nothing was measured.
    pub(crate) values: Arc<Vec<f64>>,
    /// How many rows they are means of.
    pub(crate) rows: usize,
}

impl Terms {
    /// Nothing was measured.
    pub(crate) fn none() -> Self {
        Self { values: Arc::default(), rows: 0 }
    }
}

impl ItemLazy for Terms {
    fn sync(self) -> Result<Self, ExecutionError> {
        Ok(self)
    }
}

impl Adaptor<Terms> for Terms {
    fn adapt(&self) -> Terms {
        self.clone()
    }
}

/// Reads the total and all terms from the device at once, the total first.
pub(crate) fn read(loss: &Loss) -> Result<Vec<f64>, String> {
    let total = std::iter::once(&loss.total);
    let all: Vec<Tensor<1>> = total
        .chain(loss.terms.iter().map(|(_, term)| term))
        .map(|term| term.clone().without_autodiff())
        .collect();
    let data = Tensor::cat(all, 0).try_into_data().map_err(|error| error.to_string())?;
    Ok(data.iter::<f64>().collect())
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
        let value = terms.values.get(self.place).filter(|_| terms.rows > 0);
        self.seen = value.is_some();
        let Some(value) = value else { return Ok(SerializedEntry::not_available(None)) };
        self.state.update(*value, terms.rows);
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
