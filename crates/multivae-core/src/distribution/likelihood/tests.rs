//! Laws of every likelihood of the list, with every way to find its scale: a family that is added
//! is tested without another line.

use burn::tensor::{Device, TensorData};
use serde_json::{Value, json};

use super::*;
use crate::{
    batch::{Batch, Presence},
    distribution::tests::{close, scalar},
    modality::ModalitySpec,
    module::init_parameters,
    nn::{Decoder, NetworkConfig, Networks},
};

/// Every likelihood of the list; for each setting that is a scale, with each kind of scale; with
/// two and with four classes.
fn all() -> Vec<Likelihood> {
    let mut all = Vec::new();
    for likelihood in Likelihood::all() {
        let text = serde_json::to_value(&likelihood).expect("plain data");
        let settings = text.as_object().expect("an object").clone();
        let before = all.len();
        for (key, value) in settings.iter().filter(|(key, _)| *key != "kind") {
            let options = [
                json!(0.7),
                json!("learned"),
                json!("learned_per_feature"),
                json!("decoded"),
                json!(4),
            ];
            let integer = value.is_u64();
            for option in options.into_iter().filter(|option| option.is_u64() == integer) {
                let mut settings = settings.clone();
                settings.insert(key.clone(), option);
                all.push(serde_json::from_value(Value::Object(settings)).expect("an option"));
            }
        }
        if all.len() == before {
            all.push(likelihood);
        }
    }
    all
}

/// Shape of values of so many positions: numbers, or three classes each.
fn shape(likelihood: &Likelihood, positions: usize) -> Vec<usize> {
    match likelihood.family().support() {
        Support::Simplex => vec![positions, 3],
        _ => vec![positions],
    }
}

/// A likelihood with an output, `[1, 1, parameters]`, that differs from feature to feature.
struct Case {
    likelihood: Likelihood,
    shape: Vec<usize>,
    output: Tensor<3>,
    learned: Vec<Tensor<1>>,
}

impl Case {
    fn new(likelihood: Likelihood, positions: usize, device: &Device) -> Self {
        let shape = shape(&likelihood, positions);
        let width: usize = likelihood.family().output_shape(&shape).iter().product();
        let output = (0..width).map(|i| ((i * 7 + 3) % 11) as f32 * 0.15 - 0.6).collect();
        let output = Tensor::from_data(TensorData::new(output, [1, 1, width]), device);
        let learned = likelihood.family().learned(&shape).into_iter();
        let learned = learned.map(|learned| {
            let moved: Vec<f32> = learned.initial.iter().map(|value| value - 0.3).collect();
            Tensor::from_floats(moved.as_slice(), device)
        });
        Self { learned: learned.collect(), likelihood, shape, output }
    }

    fn family(&self) -> &dyn LikelihoodFamily {
        self.likelihood.family()
    }

    fn features(&self) -> usize {
        self.shape.iter().product()
    }

    fn stretched(&self, samples: usize, rows: usize) -> Output<'_> {
        let width = self.output.dims()[2];
        let output = self.output.clone().expand([samples, rows, width]);
        Output::new(output, &self.shape, &self.learned)
    }

    /// Values of so many rows, `[rows, features]`.
    fn sample(&self, rows: usize) -> Tensor<2> {
        let sample = self.family().sample(&self.stretched(1, rows), None, &mut Noise::seeded(5));
        sample.squeeze_dim(0)
    }

    /// The log-densities of rows of values.
    fn log_prob(&self, values: Vec<f32>) -> Vec<f64> {
        let rows = values.len() / self.features();
        let values = TensorData::new(values, [rows, self.features()]);
        let values = Values::Dense(Tensor::from_data(values, &self.output.device()));
        let found = self.family().log_prob(&self.stretched(1, rows), &values.into());
        list(found).into_iter().map(f64::from).collect()
    }
}

fn list<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().expect("floats")
}

#[test]
fn densities_and_probabilities_add_up_to_one() {
    for likelihood in all() {
        let case = Case::new(likelihood, 1, &Device::flex());
        let integral = |values: Vec<f32>, weight: &dyn Fn(f32) -> f64| -> f64 {
            let densities = case.log_prob(values.clone()).into_iter();
            densities.zip(values).map(|(density, x)| density.exp() * weight(x)).sum()
        };
        let step = 0.01;
        let line = || (-4000..=4000).map(|i| i as f32 * step);
        let one = |_: f32| 1.0;
        let total = match case.family().support() {
            Support::Real => integral(line().collect(), &|_| f64::from(step)),
            // In logarithms, from e^-40 to e^40.
            Support::Positive => integral(line().map(f32::exp).collect(), &|x| f64::from(x * step)),
            Support::Unit => integral(vec![0.0, 1.0], &one),
            Support::Counts => integral((0..20_000).map(|x| x as f32).collect(), &one),
            Support::Levels(classes) => integral((0..classes).map(|x| x as f32).collect(), &one),
            Support::Simplex => {
                let corners = vec![1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0];
                case.log_prob(corners).into_iter().map(f64::exp).sum()
            }
            Support::Where { .. } => unreachable!("the library has none"),
        };
        close(total, 1.0, 2e-4, &format!("{:?}", case.likelihood));
    }
}

#[test]
fn samples_are_in_the_support_and_have_the_mean() {
    for likelihood in all() {
        let case = Case::new(likelihood, 2, &Device::flex());
        let rows = 20_000;
        let samples = case.sample(rows);
        let name = ModalityName::new("a").expect("valid");
        let values = list(samples.clone());
        case.likelihood.check_values(&name, &case.shape, &values, |_| true).expect("a sample");
        let expected = list(case.family().mean(&case.stretched(1, 1), None));
        for (column, expected) in expected.into_iter().enumerate() {
            let of = values.iter().skip(column).step_by(case.features());
            let of: Vec<f64> = of.map(|&value| f64::from(value)).collect();
            let mean = of.iter().sum::<f64>() / rows as f64;
            let variance = of.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / rows as f64;
            let error = (mean - f64::from(expected)).abs();
            let allowed = 5.0 * (variance / rows as f64).sqrt() + 1e-5;
            assert!(error < allowed, "{:?}: {mean} is not {expected}", case.likelihood);
        }
    }
}

#[test]
fn a_density_is_the_sum_of_its_terms() {
    for likelihood in all() {
        let case = Case::new(likelihood, 4, &Device::flex());
        let values = case.sample(3);
        let output = case.stretched(2, 3);
        let terms = case.family().terms(&output, values.clone().unsqueeze_dim(0), None);
        let sum: Tensor<2> = terms.sum_dim(2).squeeze_dim(2);
        let found = case.family().log_prob(&output, &Values::Dense(values).into());
        assert!(found.all_close(sum, Some(1e-5), Some(1e-5)), "{:?}", case.likelihood);
    }
}

#[test]
fn what_is_missing_reaches_neither_value_nor_gradient() {
    for likelihood in all() {
        let device = Device::flex().autodiff();
        let mut case = Case::new(likelihood, 2, &device);
        case.output = case.output.require_grad();
        case.learned = case.learned.into_iter().map(|tensor| tensor.require_grad()).collect();
        let features = case.features();
        let seen = features / 2;
        let values = list(case.sample(2));
        let spec = ModalitySpec::new("a", &case.shape).expect("valid");
        let spec = spec.with_likelihood(case.likelihood.clone());
        // Of the first row the second position is missing.
        let mut found = Vec::new();
        for filler in [0.0, -7.5, 0.3, f32::NAN, f32::INFINITY] {
            let mut values = values.clone();
            values[seen..features].fill(filler);
            let mut cells = vec![1.0; 2 * features];
            cells[seen..features].fill(0.0);
            let tensor = |list| Tensor::from_data(TensorData::new(list, [2, features]), &device);
            let batch =
                Batch::new(vec![Values::Dense(tensor(values))], Presence::complete(2, 1, &device))
                    .and_then(|batch| batch.with_cells(vec![Some(tensor(cells))]))
                    .expect("the shapes fit");
            let input = batch.input(0, &spec).dense().expect("numbers").clone();
            let log_prob = case.family().log_prob(&case.stretched(1, 2), &batch.target(0));
            // Only the first row, so that the second does not hide what it passes on.
            let gradients = log_prob.clone().narrow(1, 0, 1).sum().backward();
            let output = list(case.output.grad(&gradients).expect("tracked"));
            for (i, gradient) in output.iter().enumerate() {
                let missing = i % features >= seen;
                assert!(gradient.is_finite(), "{:?}: {output:?}", case.likelihood);
                assert!(!missing || *gradient == 0.0, "{:?}: {output:?}", case.likelihood);
            }
            let learned = case.learned.iter().filter_map(|tensor| tensor.grad(&gradients));
            let learned: Vec<f32> = learned.flat_map(list).collect();
            assert!(learned.iter().all(|gradient| gradient.is_finite()));
            found.push((list(log_prob), output, learned, list(input)));
        }
        for other in &found[1..] {
            assert_eq!(*other, found[0], "{:?}", case.likelihood);
        }
        // What is left is the density of what is seen.
        let complete = Tensor::from_data(TensorData::new(values, [1, 2, features]), &device);
        let terms = case.family().terms(&case.stretched(1, 2), complete, None);
        let row = |row, columns| scalar(terms.clone().slice([0..1, row..row + 1, columns]).sum());
        let what = format!("{:?}", case.likelihood);
        close(f64::from(found[0].0[0]), row(0, 0..seen), 1e-5, &what);
        close(f64::from(found[0].0[1]), row(1, 0..features), 1e-5, &what);
    }
}

#[test]
fn gradients_are_slopes() {
    for likelihood in all() {
        let device = Device::flex().autodiff();
        let mut case = Case::new(likelihood, 2, &device);
        let values = Values::Dense(case.sample(3));
        let total = |case: &Case| {
            case.family().log_prob(&case.stretched(1, 3), &values.clone().into()).sum()
        };
        case.output = case.output.require_grad();
        case.learned = case.learned.into_iter().map(|tensor| tensor.require_grad()).collect();
        let gradients = total(&case).backward();
        let of_output = case.output.grad(&gradients).expect("tracked");
        let of_learned: Vec<Tensor<1>> =
            case.learned.iter().map(|tensor| tensor.grad(&gradients).expect("tracked")).collect();
        let step = 4e-3_f32;
        // Along one direction that moves everything.
        let at = |sign: f32| {
            let direction = |i: usize| sign * if i.is_multiple_of(3) { -step } else { step };
            let mut moved = Case::new(case.likelihood.clone(), 2, &device);
            moved.output = moved.output.clone() + along(&moved.output, direction);
            moved.learned = moved.learned.iter().map(|t| t.clone() + along(t, direction)).collect();
            scalar(total(&moved))
        };
        let unit = |i: usize| if i.is_multiple_of(3) { -1.0 } else { 1.0 };
        let mut expected = scalar((of_output.clone() * along(&of_output, unit)).sum());
        for gradient in of_learned {
            expected += scalar((gradient.clone() * along(&gradient, unit)).sum());
        }
        let found = (at(1.0) - at(-1.0)) / (2.0 * f64::from(step));
        close(found, expected, 2e-2, &format!("{:?}", case.likelihood));
    }
}

/// Numbers by place, shaped like a tensor.
fn along<const D: usize>(like: &Tensor<D>, f: impl Fn(usize) -> f32) -> Tensor<D> {
    let values: Vec<f32> = (0..like.dims().iter().product()).map(f).collect();
    Tensor::from_data(TensorData::new(values, like.dims()), &like.device())
}

#[test]
fn an_offset_multiplies_means_of_counts_and_nothing_else() {
    for likelihood in all() {
        let case = Case::new(likelihood, 2, &Device::flex());
        let offset = Tensor::from_floats([0.0, 3_f32.ln()], &Device::flex());
        let means = list(case.family().mean(&case.stretched(1, 2), Some(&offset)));
        let (first, second) = means.split_at(case.features());
        let factor = match case.family().support() {
            Support::Counts => 3.0,
            _ => 1.0,
        };
        for (first, second) in first.iter().zip(second) {
            assert!((first * factor - second).abs() < 1e-5, "{:?}", case.likelihood);
        }
    }
}

#[test]
fn encoders_see_finite_values_and_zero_where_nothing_is() {
    for likelihood in all() {
        let case = Case::new(likelihood, 2, &Device::flex());
        let seen = list(case.family().encode_view(case.sample(50)));
        assert!(seen.iter().all(|value| value.is_finite()), "{:?}", case.likelihood);
        let nothing = list(case.family().encode_view(Tensor::zeros([1, 4], &Device::flex())));
        assert_eq!(nothing, [0.0; 4], "{:?}", case.likelihood);
    }
}

#[test]
fn outputs_of_means_have_these_means() {
    let means = [0.01_f32, 3.0, 70_000.0];
    let mut asked = 0;
    let mixed = Mixed::new(vec![
        ColumnRun::new(1, Likelihood::normal(Scale::Decoded)),
        ColumnRun::new(3, Likelihood::Poisson {}),
    ]);
    let with_real: Vec<f32> = [0.0].into_iter().chain(means).collect();
    let cases = all().into_iter().map(|likelihood| (likelihood, means.to_vec()));
    for (likelihood, means) in cases.chain([(mixed.into(), with_real)]) {
        let Some(output) = likelihood.family().output_of_means(&means) else { continue };
        let shape = [means.len()];
        assert_eq!(output.len(), likelihood.family().output_shape(&shape)[0], "{likelihood:?}");
        let output = Tensor::<1>::from_floats(output.as_slice(), &Device::flex());
        let learned = likelihood.family().learned(&shape);
        let of =
            |learned: &Learned| Tensor::from_floats(learned.initial.as_slice(), &Device::flex());
        let learned: Vec<Tensor<1>> = learned.iter().map(of).collect();
        let output = Output::new(output.reshape([1, 1, -1]), &shape, &learned);
        let found = list(likelihood.family().mean(&output, None));
        for (found, mean) in found.iter().zip(&means) {
            assert!((found - mean).abs() <= 1e-4 * mean, "{likelihood:?}: {found} {mean}");
        }
        asked += 1;
    }
    // Two Poisson families, two with a dispersion of four kinds, and the table.
    assert_eq!(asked, 11);
}

#[test]
fn decoders_yield_and_hold_what_likelihoods_ask_for() {
    for likelihood in all() {
        for shape in [vec![4, 3], vec![2, 8, 8]] {
            let device = Device::flex();
            let spec = ModalitySpec::new("a", &shape).expect("valid");
            let spec = spec.with_likelihood(likelihood.clone());
            let config = NetworkConfig::default_for(&spec);
            let decoder = Decoder::init(&config, &spec, &[5], &Networks::default(), &device);
            let decoder =
                init_parameters(decoder.unwrap_or_else(|error| panic!("{likelihood:?}: {error}")));
            let output = decoder.decode(Tensor::ones([2, 3, 5], &device));
            let width: usize = likelihood.family().output_shape(&shape).iter().product();
            assert_eq!(output.dims(), [2, 3, width]);
            let mean = decoder.mean(output.clone(), None);
            assert_eq!(mean.dims(), [2, 3, spec.features()], "{likelihood:?}");
            let sample = decoder.sample(output.clone(), None, &mut Noise::seeded(1));
            assert_eq!(sample.dims(), mean.dims(), "{likelihood:?}");
            let values = Values::Dense(sample.narrow(0, 0, 1).squeeze_dim(0));
            assert_eq!(decoder.log_prob(output, &values.into()).dims(), [2, 3]);
            for learned in likelihood.family().learned(&shape) {
                let held = decoder.learned(&learned.name).expect("it is held");
                assert_eq!(list(held), learned.initial, "{likelihood:?}");
            }
        }
    }
}

#[test]
fn likelihoods_read_what_they_write_and_refuse_other_keys() {
    assert_eq!(Likelihood::all().len(), Likelihood::KINDS.len());
    for (likelihood, (kind, _)) in Likelihood::all().into_iter().zip(Likelihood::KINDS) {
        assert_eq!(likelihood.kind(), *kind);
        assert_eq!(likelihood.family().name(), *kind);
    }
    for likelihood in all() {
        let text = serde_json::to_string(&likelihood).expect("plain data");
        assert_eq!(serde_json::from_str::<Likelihood>(&text).expect("its own"), likelihood);
        let with = text.replacen('{', r#"{"scael":1,"#, 1);
        assert!(serde_json::from_str::<Likelihood>(&with).is_err(), "{with}");
    }
}

#[test]
fn texts_of_earlier_versions_are_read_and_written_the_same() {
    for text in [
        r#"{"kind":"normal","scale":1.0}"#,
        r#"{"kind":"normal","scale":"learned"}"#,
        r#"{"kind":"laplace","scale":0.75}"#,
        r#"{"kind":"bernoulli"}"#,
        r#"{"kind":"categorical"}"#,
    ] {
        let likelihood: Likelihood = serde_json::from_str(text).expect("valid");
        assert_eq!(serde_json::to_string(&likelihood).expect("plain data"), text);
    }
    let default: Likelihood = serde_json::from_str(r#"{"kind":"normal"}"#).expect("valid");
    assert_eq!(default, Likelihood::default());
}

#[test]
fn settings_out_of_range_are_refused_by_field() {
    let name = ModalityName::new("a").expect("valid");
    let message =
        |likelihood: Likelihood| likelihood.check(&name, &[3]).expect_err("wrong").to_string();
    assert_eq!(
        message(Likelihood::normal(0.0)),
        "`a.likelihood.scale`: expected a positive number, found 0"
    );
    assert_eq!(
        message(NegativeBinomial { dispersion: Scale::Fixed(-2.0) }.into()),
        "`a.likelihood.dispersion`: expected a positive number, found -2"
    );
    assert_eq!(
        message(Ordinal { classes: 1 }.into()),
        "`a.likelihood.classes`: expected at least 2 classes, found 1"
    );
}

#[test]
fn values_outside_the_support_are_refused_by_row_and_column() {
    let name = ModalityName::new("reads").expect("valid");
    let check = |values: &[f32], observed: &dyn Fn(usize) -> bool| {
        Likelihood::from(Poisson).check_values(&name, &[2], values, observed)
    };
    assert_eq!(check(&[0.0, 4.0, f32::NAN, 1e6], &|place| place != 2), Ok(()));
    let error = check(&[0.0, 4.0, 1.0, 2.5], &|_| true).expect_err("a half");
    assert_eq!(
        error.to_string(),
        "modality `reads`, row 1, column 1: expected whole numbers from 0 for a poisson \
         likelihood, found 2.5"
    );
    assert!(check(&[-1.0, 0.0], &|_| true).is_err());
}

#[test]
fn normal_and_laplace_likelihoods_are_those_densities_fixed_or_learned() {
    let device = Device::flex();
    let output: Tensor<2> = Tensor::from_floats([[0.3, -0.8]], &device);
    let values: Tensor<2> = Tensor::from_floats([[0.5, 0.9]], &device);
    let found = |likelihood: Likelihood| {
        let learned: Vec<Tensor<1>> = match likelihood.scale() {
            Some(Scale::Learned) => vec![Tensor::from_floats([0.4_f32.ln()], &device)],
            _ => Vec::new(),
        };
        let output = Output::new(output.clone().unsqueeze_dim(0), &[2], &learned);
        let target = Values::Dense(values.clone()).into();
        scalar::<2>(likelihood.family().log_prob(&output, &target))
    };
    let log_var = output.full_like(2.0 * 0.4_f32.ln());
    let normal = crate::distribution::Normal::new(output.clone(), log_var);
    let laplace = crate::distribution::Laplace::new(output.clone(), output.full_like(0.4));
    let normal = scalar::<1>(normal.log_prob(values.clone()));
    let laplace = scalar::<1>(laplace.log_prob(values.clone()));
    for scale in [Scale::Fixed(0.4), Scale::Learned] {
        close(found(Likelihood::normal(scale)), normal, 1e-6, "normal");
        close(found(Likelihood::laplace(scale)), laplace, 1e-6, "laplace");
    }
}

#[test]
fn ordinal_classes_are_equally_likely_at_first() {
    let likelihood = Ordinal { classes: 5 };
    let device = Device::flex();
    let learned: Vec<Tensor<1>> = likelihood
        .learned(&[1])
        .into_iter()
        .map(|learned| Tensor::from_floats(learned.initial.as_slice(), &device))
        .collect();
    let output = Output::new(Tensor::zeros([1, 1, 1], &device), &[1], &learned);
    for class in 0..5 {
        let value = Tensor::full([1, 1, 1], class as f32, &device);
        close(scalar(likelihood.terms(&output, value, None)), 0.2_f64.ln(), 1e-5, "class");
    }
    close(scalar(likelihood.mean(&output, None)), 2.0, 1e-5, "mean");
}
