//! A likelihood per column.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{Learned, Likelihood, LikelihoodFamily, Normalisation, Output, Support};
use crate::{
    Error, Result,
    batch::{Target, Values},
    noise::Noise,
};

/// Columns of several kinds, as of a clinical table: runs of features with a likelihood each, in the
/// order of a row's values.
///
/// `log p(x) = Σ_r log p_r(x_r)`, summed over runs. The output of a decoder is that of the first run,
/// then that of the second; a run is laid out as its own likelihood has it. After the heterogeneous
/// decoders of Nazábal et al. 2020 (HI-VAE), section 2.3.
///
/// ```
/// use multivae_core::distribution::{ColumnRun, Likelihood, Mixed, Scale};
///
/// let table = Mixed::new(vec![
///     ColumnRun::new(2, Likelihood::normal(Scale::Decoded)),
///     ColumnRun::new(3, Likelihood::Categorical {}),
/// ]);
/// let likelihood = Likelihood::from(table);
/// // Two means, two log-deviations and three logits.
/// assert_eq!(likelihood.family().output_shape(&[5]), [7]);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mixed {
    /// The runs, at least one.
    pub runs: Vec<ColumnRun>,
}

/// Neighbouring features of one likelihood.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnRun {
    /// How many there are; of a categorical likelihood the classes of one column.
    pub features: usize,
    /// Their likelihood.
    pub likelihood: Likelihood,
}

impl ColumnRun {
    /// So many features of a likelihood.
    pub fn new(features: usize, likelihood: impl Into<Likelihood>) -> Self {
        Self { features, likelihood: likelihood.into() }
    }

    fn family(&self) -> &dyn LikelihoodFamily {
        self.likelihood.family()
    }

    /// Width of its output.
    fn width(&self) -> usize {
        self.family().output_shape(&[self.features]).iter().product()
    }
}

impl Mixed {
    /// The likelihood of these runs.
    pub fn new(runs: Vec<ColumnRun>) -> Self {
        Self { runs }
    }

    /// The run of a feature, and the feature's place in it.
    fn run_of(&self, feature: usize) -> Option<(&ColumnRun, usize)> {
        let mut from = 0;
        self.runs.iter().find_map(|run| {
            let place = feature.checked_sub(from)?;
            from += run.features;
            (place < run.features).then_some((run, place))
        })
    }

    /// Calls `f` with each run, its output, and where its features begin.
    fn each<T>(
        &self,
        output: &Output<'_>,
        mut f: impl FnMut(&ColumnRun, &Output<'_>, usize) -> T,
    ) -> Vec<T> {
        let [mut width, mut feature, mut learned] = [0; 3];
        self.runs
            .iter()
            .map(|run| {
                let shape = [run.features];
                let held = run.family().learned(&shape).len();
                let parameters = output.all().narrow(2, width, run.width());
                let part = Output::new(parameters, &shape, &output.held()[learned..learned + held]);
                let result = f(run, &part, feature);
                width += run.width();
                feature += run.features;
                learned += held;
                result
            })
            .collect()
    }
}

impl LikelihoodFamily for Mixed {
    fn name(&self) -> &str {
        "mixed"
    }

    fn output_shape(&self, _: &[usize]) -> Vec<usize> {
        vec![self.runs.iter().map(ColumnRun::width).sum()]
    }

    /// Finite numbers; [`first_outside`](LikelihoodFamily::first_outside) asks each run.
    fn support(&self) -> Support {
        Support::Real
    }

    fn first_outside(
        &self,
        row: &[f32],
        _: &[usize],
        observed: &dyn Fn(usize) -> bool,
    ) -> Option<(usize, Support)> {
        let mut from = 0;
        self.runs.iter().find_map(|run| {
            let start = from;
            from += run.features;
            let values = &row[start..from];
            let there = |place: usize| observed(start + place);
            let outside = run.family().first_outside(values, &[run.features], &there);
            outside.map(|(place, support)| (start + place, support))
        })
    }

    fn learned(&self, _: &[usize]) -> Vec<Learned> {
        let of_run = |(number, run): (usize, &ColumnRun)| {
            let learned = run.family().learned(&[run.features]).into_iter();
            let named = move |learned: Learned| Learned {
                name: format!("run_{number}_{}", learned.name),
                ..learned
            };
            learned.map(named).collect::<Vec<_>>()
        };
        self.runs.iter().enumerate().flat_map(of_run).collect()
    }

    fn output_of_means(&self, means: &[f32]) -> Option<Vec<f32>> {
        let mut from = 0;
        let parts = self.runs.iter().map(|run| {
            let own = &means[from..from + run.features];
            from += run.features;
            (run.family().output_of_means(own), run.width())
        });
        let parts: Vec<(Option<Vec<f32>>, usize)> = parts.collect();
        parts.iter().any(|(part, _)| part.is_some()).then(|| {
            parts.into_iter().flat_map(|(part, width)| part.unwrap_or(vec![0.0; width])).collect()
        })
    }

    fn check(&self, field: &str) -> Result<()> {
        let bad = |field: String, expected: &str, found: String| {
            Err(Error::Config { field, expected: expected.into(), found })
        };
        if self.runs.is_empty() {
            return bad(format!("{field}.runs"), "at least one run of features", "none".into());
        }
        for (number, run) in self.runs.iter().enumerate() {
            let field = format!("{field}.runs.{number}");
            if run.features == 0 {
                return bad(format!("{field}.features"), "at least 1", "0".into());
            }
            if matches!(run.likelihood, Likelihood::Mixed(_) | Likelihood::Custom(_)) {
                let found = run.likelihood.kind().into();
                return bad(format!("{field}.likelihood"), "a likelihood of the library", found);
            }
            run.family().check(&format!("{field}.likelihood"))?;
        }
        Ok(())
    }

    fn check_shape(&self, shape: &[usize], field: &str) -> Result<()> {
        let features: usize = self.runs.iter().map(|run| run.features).sum();
        if shape == [features] {
            return Ok(());
        }
        Err(Error::Config {
            field: format!("{field}.runs"),
            expected: format!("runs of the features of {shape:?}"),
            found: format!("runs of {features} features"),
        })
    }

    fn terms(
        &self,
        output: &Output<'_>,
        values: Tensor<3>,
        offset: Option<&Tensor<1>>,
    ) -> Tensor<3> {
        let terms = self.each(output, |run, part, from| {
            run.family().terms(part, values.clone().narrow(2, from, run.features), offset)
        });
        Tensor::cat(terms, 2)
    }

    fn log_prob(&self, output: &Output<'_>, target: &Target) -> Tensor<2> {
        let values = super::dense(self, target);
        let terms = self.each(output, |run, part, from| {
            let target = Target {
                values: Values::Dense(values.clone().narrow(1, from, run.features)),
                cells: target.cells.clone().map(|cells| cells.narrow(1, from, run.features)),
                offset: target.offset.clone(),
            };
            run.family().log_prob(part, &target)
        });
        terms.into_iter().reduce(|sum, term| sum + term).expect("at least one run")
    }

    fn mean(&self, output: &Output<'_>, offset: Option<&Tensor<1>>) -> Tensor<3> {
        Tensor::cat(self.each(output, |run, part, _| run.family().mean(part, offset)), 2)
    }

    fn sample(
        &self,
        output: &Output<'_>,
        offset: Option<&Tensor<1>>,
        noise: &mut Noise,
    ) -> Tensor<3> {
        Tensor::cat(self.each(output, |run, part, _| run.family().sample(part, offset, noise)), 2)
    }

    fn normalisation(&self, feature: usize) -> Normalisation {
        let of_run = |(run, place): (&ColumnRun, usize)| run.family().normalisation(place);
        self.run_of(feature).map_or(Normalisation::None, of_run)
    }

    fn encode_view(&self, values: Tensor<2>) -> Tensor<2> {
        let mut from = 0;
        let views = self.runs.iter().map(|run| {
            let part = values.clone().narrow(1, from, run.features);
            from += run.features;
            run.family().encode_view(part)
        });
        Tensor::cat(views.collect(), 1)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;
    use crate::{
        distribution::Scale,
        modality::ModalitySpec,
        nn::{Decoder, NetworkConfig, Networks},
    };

    /// A real column, two counts, a grade of three, a class of three, a flag and a positive one.
    fn table() -> Mixed {
        let run = |features, text: &str| {
            ColumnRun::new(features, serde_json::from_str::<Likelihood>(text).expect("valid"))
        };
        Mixed::new(vec![
            run(1, r#"{"kind":"normal","scale":"decoded"}"#),
            run(2, r#"{"kind":"negative_binomial"}"#),
            run(1, r#"{"kind":"ordinal","classes":3}"#),
            run(3, r#"{"kind":"categorical"}"#),
            run(1, r#"{"kind":"bernoulli"}"#),
            run(1, r#"{"kind":"log_normal","scale":"learned"}"#),
        ])
    }

    const FEATURES: usize = 9;
    const ROW: [f32; FEATURES] = [-0.5, 3.0, 0.0, 2.0, 0.0, 1.0, 0.0, 1.0, 2.5];

    fn decoder(likelihood: impl Into<Likelihood>, features: usize, device: &Device) -> Decoder {
        let spec = ModalitySpec::new("clinic", &[features]).expect("valid");
        let spec = spec.with_likelihood(likelihood.into());
        let networks = Networks::default();
        Decoder::init(&NetworkConfig::mlp(), &spec, &[2], &networks, device).expect("fits")
    }

    fn output(width: usize, device: &Device) -> Tensor<3> {
        let values: Vec<f32> = (0..width).map(|i| ((i * 7 + 3) % 11) as f32 * 0.2 - 0.9).collect();
        Tensor::from_data(TensorData::new(values, [1, 1, width]), device)
    }

    fn list<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
        tensor.into_data().try_into_vec().expect("floats")
    }

    #[test]
    fn the_density_of_a_row_is_that_of_its_runs() {
        let device = Device::flex();
        let table = table();
        let [width] = table.output_shape(&[FEATURES])[..] else { panic!("one axis") };
        assert_eq!(width, 10);
        let all = output(width, &device);
        let row = Tensor::<1>::from_floats(ROW, &device).unsqueeze::<2>();
        let target: Target = Values::Dense(row.clone()).into();
        let together = decoder(table.clone(), FEATURES, &device).log_prob(all.clone(), &target);
        let (mut sum, mut at, mut from) = (0.0, 0, 0);
        for run in &table.runs {
            let part = decoder(run.likelihood.clone(), run.features, &device);
            let values = row.clone().narrow(1, from, run.features);
            let of_run = all.clone().narrow(2, at, run.width());
            sum += list(part.log_prob(of_run, &Values::Dense(values).into()))[0];
            at += run.width();
            from += run.features;
        }
        let together = list(together)[0];
        assert!((together - sum).abs() < 1e-5 * sum.abs(), "{together} {sum}");
    }

    #[test]
    fn a_missing_class_has_no_influence_whatever_stands_there() {
        let device = Device::flex();
        let decoder = decoder(table(), FEATURES, &device);
        let value = |change: f32, missing: bool| {
            let mut row = ROW;
            row[4..7].fill(change);
            let mut cells = [1.0; FEATURES];
            if missing {
                cells[4..7].fill(0.0);
            }
            let target = Target {
                values: Values::Dense(Tensor::<1>::from_floats(row, &device).unsqueeze()),
                cells: Some(Tensor::<1>::from_floats(cells, &device).unsqueeze()),
                offset: None,
            };
            list(decoder.log_prob(output(10, &device), &target))[0].to_bits()
        };
        assert_eq!(value(0.25, true), value(f32::NAN, true));
        assert_ne!(value(0.25, true), value(0.25, false));
    }

    #[test]
    fn samples_and_means_are_such_as_each_column_takes() {
        let device = Device::flex();
        let (table, mut noise) = (table(), Noise::seeded(3));
        let decoder = decoder(table.clone(), FEATURES, &device);
        let all = output(10, &device).expand([1, 50, 10]);
        let drawn = list(decoder.sample(all.clone(), None, &mut noise));
        for row in drawn.chunks(FEATURES) {
            assert!(table.first_outside(row, &[FEATURES], &|_| true).is_none(), "{row:?}");
        }
        assert_eq!(decoder.mean(all, None).dims(), [1, 50, FEATURES]);
        let mut wrong = ROW;
        wrong[2] = -1.0;
        let (column, support) = table.first_outside(&wrong, &[FEATURES], &|_| true).expect("one");
        assert_eq!((column, support.to_string()), (2, "whole numbers from 0".into()));
        assert!(table.first_outside(&wrong, &[FEATURES], &|column| column != 2).is_none());
    }

    #[test]
    fn a_column_of_a_single_class_is_that_class_and_says_nothing() {
        let device = Device::flex();
        let table = Mixed::new(vec![
            ColumnRun::new(1, Likelihood::Categorical {}),
            ColumnRun::new(1, Likelihood::Bernoulli {}),
        ]);
        let decoder = decoder(table, 2, &device);
        let drawn = list(decoder.sample(output(2, &device), None, &mut Noise::seeded(1)));
        assert_eq!(drawn[0], 1.0);
        let log_prob = |column: usize| {
            let cells = [column == 0, column == 1].map(|there| f32::from(u8::from(there)));
            let target = Target {
                values: Values::Dense(Tensor::from_floats([[1.0, 1.0]], &device)),
                cells: Some(Tensor::<1>::from_floats(cells, &device).unsqueeze()),
                offset: None,
            };
            list(decoder.log_prob(output(2, &device), &target))[0]
        };
        assert!(log_prob(0).abs() < 1e-6 && log_prob(1) < -0.1);
    }

    #[test]
    fn columns_are_normalised_by_their_kind_and_seen_by_it() {
        let table = table();
        let kinds: Vec<_> = (0..FEATURES).map(|feature| table.normalisation(feature)).collect();
        assert_eq!((kinds[0], kinds[8]), (Normalisation::Standard, Normalisation::GeometricMean));
        assert!(kinds[1..8].iter().all(|kind| *kind == Normalisation::None));
        let row = Tensor::<1>::from_floats(ROW, &Device::flex()).unsqueeze::<2>();
        let seen = list(table.encode_view(row));
        assert_eq!((seen[0], seen[1], seen[8]), (-0.5, 4f32.ln(), 2.5f32.ln()));
    }

    #[test]
    fn runs_are_checked_and_read_back() {
        let likelihood = Likelihood::from(table());
        let text = serde_json::to_string(&likelihood).expect("plain data");
        assert_eq!(serde_json::from_str::<Likelihood>(&text).expect("its own"), likelihood);
        let spec = |features: usize, likelihood: Mixed| {
            let spec = ModalitySpec::new("clinic", &[features]).expect("valid");
            spec.with_likelihood(likelihood.into()).check().map_err(|error| error.to_string())
        };
        assert_eq!(spec(FEATURES, table()), Ok(()));
        let message = spec(4, table()).expect_err("too many runs");
        assert!(message.contains("clinic.likelihood.runs") && message.contains("9 features"));
        let inner = Mixed::new(vec![ColumnRun::new(2, Likelihood::normal(Scale::Fixed(-1.0)))]);
        let message = spec(2, inner).expect_err("a negative scale");
        assert!(message.contains("clinic.likelihood.runs.0.likelihood.scale"), "{message}");
        assert!(spec(1, Mixed::new(vec![])).is_err());
    }
}
