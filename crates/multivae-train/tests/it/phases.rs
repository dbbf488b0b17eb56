//! Objectives that make several steps with a batch, or need all of its rows at once.

use std::{collections::HashSet, sync::Arc};

use burn::{
    module::{Module, ModuleMapper, Param, ParamId},
    nn::Linear,
    optim::GradientsParams,
    tensor::{Device, Tensor},
};
use multivae_core::{
    batch::{Batch, NoiseKey, Progress, Purpose},
    dataset::Dataset,
    modality::ModalitySpec,
    model::{Learn, Loss, Multimodal, MultimodalModel, Phase, Rows, Stage},
    module::parameters,
    noise::Noise,
};
use multivae_train::{
    Adam, Fitted, OptimizerConfig, PhaseConfig, RmsProp, Split, TrainConfig, TrainError, Trainer,
};

use crate::{
    kit::{
        Toy, checkpoints, config, data, distance, in_own_process, linear, metrics, own_dir, specs,
        toy, weights,
    },
    resume::shuffled,
};

/// Sizes of the latent space and of the two modalities.
const LATENT: usize = 3;
const SIZES: [usize; 2] = [6, 4];

/// What happens in a step, given by its epoch and the step of its key.
type Fault = Option<(u64, u64, fn())>;

/// An adversarial autoencoder: a critic tells codes from draws of the prior, and the encoders learn
/// to be taken for the prior.
#[derive(Module, Debug)]
struct Adversarial {
    encoders: Vec<Linear>,
    decoders: Vec<Linear>,
    critic: Linear,
    #[module(skip)]
    specs: Vec<ModalitySpec>,
    #[module(skip)]
    fault: Fault,
    #[module(skip)]
    phases: Vec<Phase>,
}

fn phases() -> Vec<Phase> {
    vec![
        Phase::new("autoencoder", &["encoders", "decoders"]),
        Phase::new("critic", &["critic"]).repeats(3).clip(0.1),
        Phase::new("generator", &["encoders"]).rate(0.1),
    ]
}

fn adversarial(seed: u64) -> Adversarial {
    let mut noise = Noise::seeded(seed);
    Adversarial {
        encoders: SIZES.iter().map(|&n| linear(&mut noise, n, LATENT)).collect(),
        decoders: SIZES.iter().map(|&n| linear(&mut noise, LATENT, n)).collect(),
        critic: linear(&mut noise, LATENT, 1),
        specs: specs(),
        fault: None,
        phases: phases(),
    }
}

fn dense(batch: &Batch) -> Vec<Tensor<2>> {
    batch.values().iter().map(|v| v.dense().expect("dense").clone()).collect()
}

fn fail(fault: Fault, batch: &Batch) {
    if let Some((epoch, step, fail)) = fault
        && (epoch, step) == (batch.key.epoch, batch.key.step)
    {
        fail();
    }
}

impl Multimodal for Adversarial {
    fn modalities(&self) -> &[ModalitySpec] {
        &self.specs
    }
}

impl Learn for Adversarial {
    fn terms(&self, progress: Progress) -> Vec<String> {
        let names: &[&str] = match progress.phase {
            0 => &["reconstruction/a", "reconstruction/b"],
            1 => &["prior", "codes"],
            _ => &["deceit"],
        };
        names.iter().map(ToString::to_string).collect()
    }

    fn loss(&self, batch: &Batch, noise: &mut Noise) -> Loss {
        fail(self.fault, batch);
        let x = dense(batch);
        let codes = self.encoders.iter().zip(&x).map(|(encoder, x)| encoder.forward(x.clone()));
        let mean = codes.reduce(|a, b| a + b).expect("two") / 2.0;
        let z = mean.clone() + noise.normal(mean.dims(), 0, &batch.device()) * 0.1;
        let score = |z: Tensor<2>| self.critic.forward(z).mean();
        let terms: Vec<Tensor<1>> = match batch.progress.phase {
            0 => {
                let errors = self.decoders.iter().zip(x).map(|(decoder, x)| {
                    (decoder.forward(z.clone()) - x).square().sum_dim(1).mean() * 0.5
                });
                errors.collect()
            }
            1 => {
                let prior = noise.normal(mean.dims(), 0, &batch.device());
                vec![-score(prior), score(z)]
            }
            _ => vec![-score(z)],
        };
        let total = terms.iter().cloned().reduce(|a, b| a + b).expect("terms");
        Loss { total, terms: self.terms(batch.progress).into_iter().zip(terms).collect() }
    }

    fn stages(&self) -> Vec<Stage> {
        vec![Stage::whole().phases(self.phases.clone())]
    }
}

impl MultimodalModel for Adversarial {
    fn learner(&self) -> &dyn Learn {
        self
    }
}

/// The critic has an optimiser of another kind.
fn adversarial_config() -> TrainConfig {
    let critic = OptimizerConfig::RmsProp(RmsProp { learning_rate: 0.01, ..RmsProp::default() });
    TrainConfig {
        phases: [("critic".to_owned(), PhaseConfig { optimizer: Some(critic) })].into(),
        ..config()
    }
}

fn fit<M: multivae_core::model::TrainableModel>(
    config: &TrainConfig,
    devices: usize,
    model: M,
) -> (tempfile::TempDir, Result<Fitted<M>, TrainError>) {
    let dir = tempfile::tempdir().expect("a folder");
    let (train, valid) = data();
    let fitted = Trainer::new(config.clone(), dir.path())
        .devices(vec![Device::flex(); devices])
        .fit(model, train, valid);
    (dir, fitted)
}

/// Parameters below some prefixes.
fn ids(model: &impl Module, prefixes: &[String]) -> HashSet<ParamId> {
    let below = |p: &multivae_core::module::Parameter| prefixes.iter().any(|l| p.is_below(l));
    parameters(model).into_iter().filter(below).map(|p| p.id).collect()
}

/// The model with some parameters within a distance of zero.
fn clipped<M: Module>(model: M, ids: &HashSet<ParamId>, bound: f64) -> M {
    struct Clip<'a>(&'a HashSet<ParamId>, f64);
    impl ModuleMapper for Clip<'_> {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            match self.0.contains(&param.id) {
                true => param
                    .map(|w| Tensor::from_inner(w.inner().clamp(-self.1, self.1)).require_grad()),
                false => param,
            }
        }
    }
    model.map(&mut Clip(ids, bound))
}

/// The same training by hand, with an optimiser for each phase.
fn by_hand(mut model: Adversarial, data: &dyn Dataset) -> Adversarial {
    let config = adversarial_config();
    let critic = config.phases["critic"].optimizer.clone().expect("given");
    let optimizers = [&config.optimizer, &critic, &config.optimizer];
    let mut optimizers: Vec<_> = optimizers.iter().map(|o| o.init()).collect();
    let device = Device::flex().autodiff();
    model = model.train().fork(&device);
    let steps = data.len().div_ceil(8);
    let mut done = 0;
    for epoch in 1..=6 {
        for (step, rows) in shuffled(data.len(), 3, epoch).chunks(8).enumerate() {
            let share = done as f64 / (steps * 6) as f64;
            let rate = 0.02 * (0.5 * (1.0 + (share * std::f64::consts::PI).cos()));
            for (turn, phase) in [0, 1, 1, 1, 2].into_iter().enumerate() {
                let mut batch = data.batch(rows, &device).expect("readable");
                let key = step as u64 + ((turn as u64) << 32);
                batch.key = NoiseKey { seed: 3, epoch, step: key, first_row: 0 };
                batch.purpose = Purpose::Train;
                let fraction = step as f64 / steps as f64;
                batch.progress = Progress::new(epoch as usize, fraction).in_phase(phase);
                let loss = model.loss(&batch, &mut Noise::of(&batch));
                let learns = ids(&model, &phases()[phase].learns);
                let list: Vec<ParamId> = learns.iter().copied().collect();
                let mut gradients = loss.total.backward();
                let gradients = GradientsParams::from_params(&mut gradients, &model, &list);
                let rate = rate * [1.0, 0.5, 0.1][phase];
                model = optimizers[phase].step(rate, model, gradients);
                if phase == 1 {
                    model = clipped(model, &learns, 0.1);
                }
            }
            done += 1;
        }
    }
    model
}

#[test]
fn each_phase_makes_the_steps_of_an_optimiser_of_its_own() {
    let (_dir, fitted) = fit(&adversarial_config(), 1, adversarial(7));
    let fitted = fitted.expect("trains");
    let expected = by_hand(adversarial(7), &*data().0);
    assert_eq!(weights(&fitted.last, ""), weights(&expected, ""));
    for part in ["encoders", "decoders", "critic"] {
        assert_ne!(weights(&fitted.last, part), weights(&adversarial(7), part), "{part}");
    }
    assert!(weights(&fitted.last, "critic").iter().all(|w| w.abs() <= 0.1));
    let terms: Vec<String> =
        fitted.history.terms(2, Split::Train).into_iter().map(|(name, _)| name).collect();
    let first = ["loss", "reconstruction/a", "reconstruction/b"];
    let later = ["loss/critic", "prior", "codes", "loss/generator", "deceit"];
    assert_eq!(terms, [&first[..], &later[..]].concat());
    let valid: Vec<String> =
        fitted.history.terms(2, Split::Valid).into_iter().map(|(name, _)| name).collect();
    assert_eq!(valid, first);
    // The rate of the last batch, not that of some turn long before the end.
    let share: f64 = 35.0 / 36.0;
    let rate = 0.02 * (0.5 * (1.0 + (share * std::f64::consts::PI).cos()));
    assert_eq!(fitted.history.rate(6), Some(rate));
}

#[test]
fn a_run_with_phases_that_was_broken_off_in_any_turn_is_the_unbroken_run() {
    let config = adversarial_config();
    let (whole, unbroken) = fit(&config, 1, adversarial(7));
    let unbroken = unbroken.expect("trains");
    let (train, valid) = data();
    for at in [(2, 0), (4, 2 + (2 << 32)), (6, 5 + (4 << 32))] {
        let mut broken = adversarial(7);
        broken.fault = Some((at.0, at.1, || panic!("broken off")));
        let (dir, error) = fit(&config, 1, broken);
        assert!(matches!(error, Err(TrainError::Panic(_))), "{at:?}");
        let resumed = Trainer::new(config.clone(), dir.path())
            .resume(adversarial(8), train.clone(), valid.clone())
            .expect("goes on");
        assert_eq!(weights(&resumed.last, ""), weights(&unbroken.last, ""), "{at:?}");
        assert_eq!(weights(&resumed.model, ""), weights(&unbroken.model, ""), "{at:?}");
        assert_eq!(metrics(dir.path()), metrics(whole.path()), "{at:?}");
        assert_eq!(checkpoints(dir.path()), checkpoints(whole.path()), "{at:?}");
    }
}

#[test]
fn a_killed_process_between_two_turns_leaves_a_run_that_can_be_resumed() {
    let (config, (train, valid)) = (adversarial_config(), data());
    if let Some(dir) = own_dir() {
        let mut model = adversarial(7);
        model.fault = Some((4, 2 + (3 << 32), || std::process::abort()));
        let end = Trainer::new(config, &dir).fit(model, train, valid);
        panic!("still there: {:?}", end.map(|fitted| fitted.epochs));
    }
    let (whole, unbroken) = fit(&config, 1, adversarial(7));
    let dir = tempfile::tempdir().expect("a folder");
    let test = "phases::a_killed_process_between_two_turns_leaves_a_run_that_can_be_resumed";
    assert_ne!(in_own_process(test, dir.path()).code(), Some(101), "it outlived its end");
    let resumed =
        Trainer::new(config, dir.path()).resume(adversarial(8), train, valid).expect("goes on");
    assert_eq!(weights(&resumed.last, ""), weights(&unbroken.expect("trains").last, ""));
    assert_eq!(metrics(dir.path()), metrics(whole.path()));
}

#[test]
fn phases_make_the_same_steps_on_two_devices_and_from_half_batches() {
    let adam = |learning_rate| OptimizerConfig::Adam(Adam { learning_rate, ..Adam::default() });
    let config = TrainConfig {
        phases: [("critic".to_owned(), PhaseConfig { optimizer: Some(adam(0.01)) })].into(),
        ..config()
    };
    let last = |config: &TrainConfig, devices| {
        let (_dir, fitted) = fit(config, devices, adversarial(7));
        weights(&fitted.expect("trains").last, "")
    };
    let one = last(&config, 1);
    let two = last(&config, 2);
    assert!(distance(&one, &two) < 1e-4, "{}", distance(&one, &two));
    // The last step of an epoch has one half only.
    let halves = TrainConfig { batch_size: 4, accumulate: 2, ..config };
    let halves = last(&halves, 1);
    assert!(distance(&one, &halves) < 1e-4, "{}", distance(&one, &halves));
}

#[test]
fn phases_that_cannot_be_are_refused_before_anything_is_written() {
    let refused = |config: &TrainConfig, phases: Vec<Phase>| {
        let dir = tempfile::tempdir().expect("a folder");
        let (train, valid) = data();
        let run = dir.path().join("run");
        let model = Adversarial { phases, ..adversarial(7) };
        let error = Trainer::new(config.clone(), &run).fit(model, train, valid);
        assert!(!run.exists());
        error.map(|fitted| fitted.epochs).expect_err("refused").to_string()
    };
    let with = |change: &dyn Fn(&mut Vec<Phase>)| {
        let mut phases = phases();
        change(&mut phases);
        refused(&config(), phases)
    };
    assert_eq!(
        with(&|p| p[1].learns = vec!["critics".into()]),
        "`learns of phase critic`: expected the beginning of a parameter's path, found critics"
    );
    assert_eq!(
        with(&|p| p[1].repeats = 0),
        "`repeats of phase critic`: expected at least 1, found 0"
    );
    assert_eq!(
        with(&|p| p[1].clip = Some(0.0)),
        "`clip of phase critic`: expected a finite number above 0, found 0"
    );
    assert_eq!(
        with(&|p| p[2].name = "critic".into()),
        "`phases of stage training`: expected each name once, found critic"
    );
    assert_eq!(with(&Vec::clear), "`phases of stage training`: expected at least one, found none");
    let unknown = TrainConfig {
        phases: [("critique".to_owned(), PhaseConfig::default())].into(),
        ..config()
    };
    assert_eq!(
        refused(&unknown, phases()),
        "`phases`: expected phases of the model, `autoencoder`, `critic`, `generator`, found \
         critique"
    );
}

#[test]
fn another_optimiser_of_a_phase_makes_another_run() {
    let (dir, fitted) = fit(&TrainConfig { epochs: 1, ..adversarial_config() }, 1, adversarial(7));
    fitted.expect("trains");
    let (train, valid) = data();
    let error = Trainer::new(config(), dir.path()).resume(adversarial(7), train, valid);
    assert_eq!(
        error.map(|fitted| fitted.epochs).expect_err("differs").to_string(),
        "`optimisers of phases`: expected critic rmsprop as in the run so far, found those of the \
         run"
    );
}

/// Projections of two modalities with a large covariance and unit variances: an objective of all
/// rows of a batch, and no mean over them.
#[derive(Module, Debug)]
struct Correlated {
    encoders: Vec<Linear>,
    #[module(skip)]
    specs: Vec<ModalitySpec>,
    #[module(skip)]
    fault: Fault,
    #[module(skip)]
    rows: Rows,
}

/// What the objective needs: with fewer rows the covariance has not its full rank.
const NEEDED: usize = 4;

fn correlated(seed: u64) -> Correlated {
    let mut noise = Noise::seeded(seed);
    let encoders = SIZES.iter().map(|&n| linear(&mut noise, n, LATENT)).collect();
    Correlated { encoders, specs: specs(), fault: None, rows: Rows::Whole(NEEDED) }
}

impl Multimodal for Correlated {
    fn modalities(&self) -> &[ModalitySpec] {
        &self.specs
    }
}

impl Learn for Correlated {
    fn terms(&self, _: Progress) -> Vec<String> {
        ["covariance", "variance"].map(String::from).to_vec()
    }

    fn loss(&self, batch: &Batch, _: &mut Noise) -> Loss {
        fail(self.fault, batch);
        assert!(batch.rows() >= NEEDED, "a batch of {} rows", batch.rows());
        let x = dense(batch);
        let centred: Vec<Tensor<2>> = self
            .encoders
            .iter()
            .zip(x)
            .map(|(encoder, x)| {
                let z = encoder.forward(x);
                z.clone() - z.mean_dim(0)
            })
            .collect();
        let covariance = |a: &Tensor<2>, b: &Tensor<2>| {
            a.clone().transpose().matmul(b.clone()) / (batch.rows() - 1) as f64
        };
        let unit = Tensor::<2>::eye(LATENT, &batch.device());
        let variance = centred
            .iter()
            .map(|z| (covariance(z, z) - unit.clone()).square().sum())
            .reduce(|a, b| a + b)
            .expect("two");
        let terms = vec![
            ("covariance".to_owned(), -covariance(&centred[0], &centred[1]).square().sum()),
            ("variance".to_owned(), variance),
        ];
        Loss { total: terms[0].1.clone() + terms[1].1.clone(), terms }
    }

    fn stages(&self) -> Vec<Stage> {
        vec![Stage::whole().phases(vec![Phase::whole().rows(self.rows)])]
    }
}

impl MultimodalModel for Correlated {
    fn learner(&self) -> &dyn Learn {
        self
    }
}

/// The same training by hand; the last two rows of an epoch join the batch before them.
fn correlated_by_hand(mut model: Correlated, data: &dyn Dataset) -> Correlated {
    let device = Device::flex().autodiff();
    model = model.train().fork(&device);
    let mut adam = config().optimizer.init();
    let mut done = 0;
    for epoch in 1..=6 {
        let order = shuffled(data.len(), 3, epoch);
        for (step, range) in [0..8, 8..16, 16..24, 24..32, 32..42].into_iter().enumerate() {
            let mut batch = data.batch(&order[range], &device).expect("readable");
            batch.key = NoiseKey { seed: 3, epoch, step: step as u64, first_row: 0 };
            let loss = model.loss(&batch, &mut Noise::of(&batch));
            let gradients = loss.backward(&model);
            let share = f64::from(done) / 30.0;
            let rate = 0.02 * (0.5 * (1.0 + (share * std::f64::consts::PI).cos()));
            model = adam.step(rate, model, gradients);
            done += 1;
        }
    }
    model
}

#[test]
fn an_objective_of_whole_batches_trains_stops_and_resumes_exactly() {
    let (whole, unbroken) = fit(&config(), 1, correlated(7));
    let unbroken = unbroken.expect("trains");
    let expected = correlated_by_hand(correlated(7), &*data().0);
    assert_eq!(weights(&unbroken.last, ""), weights(&expected, ""));
    let mut broken = correlated(7);
    broken.fault = Some((4, 3, || panic!("broken off")));
    let (dir, error) = fit(&config(), 1, broken);
    error.expect_err("panics");
    let (train, valid) = data();
    let resumed =
        Trainer::new(config(), dir.path()).resume(correlated(8), train, valid).expect("goes on");
    assert_eq!(weights(&resumed.last, ""), weights(&unbroken.last, ""));
    assert_eq!(metrics(dir.path()), metrics(whole.path()));
}

#[test]
fn an_objective_of_whole_batches_is_never_given_a_part_of_one() {
    let refused = |config: TrainConfig, devices, train: Arc<Toy>, valid: Arc<Toy>| {
        let dir = tempfile::tempdir().expect("a folder");
        let run = dir.path().join("run");
        let error = Trainer::new(config, &run).devices(vec![Device::flex(); devices]).fit(
            correlated(7),
            train,
            valid,
        );
        assert!(!run.exists(), "something was written");
        error.map(|fitted| fitted.epochs).expect_err("refused").to_string()
    };
    let (train, valid) = data();
    let run = |config, devices| refused(config, devices, train.clone(), valid.clone());
    let reason =
        "expected 1, since phase `training` needs the rows of a batch all at once, found 2";
    assert_eq!(run(config(), 2), format!("`devices`: {reason}"));
    let parts = TrainConfig { accumulate: 2, ..config() };
    assert_eq!(run(parts, 1), format!("`accumulate`: {reason}"));
    assert_eq!(
        run(TrainConfig { batch_size: 3, ..config() }, 1),
        "`batch_size`: expected at least 4, which phase `training` needs, found 3"
    );
    assert_eq!(
        refused(config(), 1, toy(3, 1), valid.clone()),
        "`training rows`: expected at least 4, which phase `training` needs in a batch, found 3"
    );
    assert_eq!(
        refused(config(), 1, train.clone(), toy(2, 2)),
        "`validation rows`: expected none, or at least 4 for phase `training`, found 2"
    );
}

#[test]
fn every_share_of_a_batch_has_the_rows_that_a_phase_needs() {
    let run = |devices: usize, batch_size: usize| {
        let dir = tempfile::tempdir().expect("a folder");
        // The last batch of an epoch would have one row.
        let model = Correlated { rows: Rows::AtLeast(NEEDED), ..correlated(7) };
        Trainer::new(TrainConfig { epochs: 1, batch_size, ..config() }, dir.path())
            .devices(vec![Device::flex(); devices])
            .fit(model, toy(41, 1), data().1)
            .map(|fitted| fitted.epochs)
            .map_err(|error| error.to_string())
    };
    // The objective panics where it is given fewer rows.
    for (devices, batch_size) in [(1, 8), (1, 4), (2, 8)] {
        assert_eq!(run(devices, batch_size), Ok(1), "{devices} devices");
    }
    let refused = "`batch_size`: expected at least 4 on each device, which phase `training` needs, \
                   found 7";
    assert_eq!(run(2, 7), Err(refused.to_owned()));
}
