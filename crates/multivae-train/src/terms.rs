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
    context::{Context, NonFiniteValue, Place, wrong},
    names::RATE,
    observer::StepInfo,
    split::Split,
};

/// Values of the terms of a phase in one step.
#[derive(Clone)]
pub(crate) enum Terms {
    Read {
        /// In the order of the names; empty if nothing was measured.
        values: Arc<Vec<f64>>,
        /// Place of the first of them among the terms of all phases.
        first: usize,
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
        Self::Read { values: Arc::default(), first: 0, rows: 0 }
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
        Terms::of(values, place, rows, &context)
    }
}

impl Terms {
    /// Values that were read. None if the step is not to be made, of which the context is told.
    pub(crate) fn of(
        values: Vec<f64>,
        place: Place,
        rows: usize,
        context: &Context,
    ) -> Option<Self> {
        let phase = context.phase(place);
        if let Some(found) = wrong(&values) {
            let term = phase.terms[found].clone();
            context.not_finite(NonFiniteValue { term, place, value: values[found] });
            // Under other policies than to end the run, validation reports what it found.
            if place.split == Split::Train || context.policy != NonFinite::Skip {
                return None;
            }
        }
        if place.split == Split::Train && rows > 0 {
            let step = StepInfo {
                epoch: place.epoch,
                step: place.step,
                turn: place.turn + 1,
                phase: &phase.name,
                rows,
                terms: &phase.terms,
                values: &values,
            };
            context.observers.each(|observer| observer.step(&step));
        }
        Some(Self::Read { values: Arc::new(values), first: phase.first, rows })
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

    /// What burn-train keeps, with the numbers as they are shown.
    fn entry(&self, kept: SerializedEntry) -> SerializedEntry {
        let (epoch, batch) = (self.state.running_value(), self.state.current_value());
        let [epoch, batch] = [epoch, batch].map(|value| significant(value.current()));
        SerializedEntry::new(format!("epoch {epoch} - batch {batch}"), kept.serialized)
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
            Terms::Read { values, first, rows } if *rows > 0 => {
                (self.place.checked_sub(*first).and_then(|place| values.get(place)), *rows)
            }
            _ => (None, 0),
        };
        self.seen = value.is_some();
        let Some(value) = value else { return Ok(SerializedEntry::not_available(None)) };
        self.state.update(*value, rows);
        Ok(self.entry(self.state.compute_update(FormatOptions::new(self.name()))))
    }

    fn compute(&mut self) -> Result<SerializedEntry, TensorReadError> {
        Ok(self.entry(self.state.compute_final(FormatOptions::new(self.name()))))
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

/// A number with four significant digits, as people compare them; large ones are whole.
fn significant(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return value.to_string();
    }
    let exponent = value.abs().log10().floor();
    match exponent {
        -4.0..3.0 => format!("{value:.*}", (3.0 - exponent) as usize),
        3.0..7.0 => format!("{value:.0}"),
        _ => format!("{value:.3e}"),
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use burn::{
        data::dataloader::Progress,
        train::metric::{Metric, MetricMetadata, Numeric, NumericEntry},
    };

    use super::{Term, Terms, significant};

    #[test]
    fn a_term_is_shown_with_four_digits_within_an_epoch_and_at_its_end() {
        let mut term = Term::new("loss", 0);
        let step = |value, rows| Terms::Read { values: Arc::new(vec![value]), first: 0, rows };
        let progress = Progress::new(1, 1, None);
        let metadata = MetricMetadata { progress, iteration: None, lr: None };
        let within = term.update(&step(1.0 / 3.0, 1), &metadata).expect("a value");
        assert_eq!(within.formatted, "epoch 0.3333 - batch 0.3333");
        term.update(&step(2.0 / 3.0, 3), &metadata).expect("a value");
        let end = term.compute().expect("a value");
        assert_eq!(end.formatted, "epoch 0.5833 - batch 0.6667");
        // What is kept has all its digits.
        let kept = NumericEntry::deserialize(&end.serialized).expect("a number").current();
        assert!((kept - 7.0 / 12.0).abs() < 1e-9, "{kept}");
        assert!((term.final_value().current() - kept).abs() < 1e-9);
    }

    #[test]
    fn numbers_are_shown_with_four_significant_digits() {
        let cases = [
            (0.0, "0"),
            (1.0, "1.000"),
            (-583.714_285_714_285_7, "-583.7"),
            (12_345.678, "12346"),
            (0.000_123_456, "0.0001235"),
            (1.234_56e-7, "1.235e-7"),
            (-9.876_54e8, "-9.877e8"),
            (f64::NAN, "NaN"),
        ];
        for (value, expected) in cases {
            assert_eq!(significant(value), expected);
        }
    }
}
