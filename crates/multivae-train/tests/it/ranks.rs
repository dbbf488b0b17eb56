//! Ranks that are threads make the steps of one process.

use std::{
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use burn::{
    module::Module,
    nn::{BatchNorm, BatchNormConfig, Linear},
    tensor::{Device, Tensor},
};
use multivae_core::{
    batch::{Batch, Progress},
    modality::ModalitySpec,
    model::{Learn, Loss, Multimodal, MultimodalModel, Phase, Rows, Stage},
    noise::Noise,
};
use multivae_train::{
    Checkpoint, ClipConfig, ClipNorm, Collective, EarlyStopping, EpochSummary, Fitted, Interrupt,
    NonFinite, Observed, Observer, Split, Stopped, Threads, TrainConfig, Trainer,
};

use crate::kit::{
    Kind, Tiny, VALID, checkpoints, config, data, distance, linear, metrics, specs, tiny, toy,
    weights,
};

/// What comes of a run on each of so many ranks.
fn on<T: Send>(ranks: usize, run: impl Fn(Arc<dyn Collective>) -> T + Sync) -> Vec<T> {
    let run = &run;
    thread::scope(|scope| {
        let threads: Vec<_> = Threads::new(ranks)
            .into_iter()
            .map(|rank| scope.spawn(move || run(Arc::new(rank))))
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    })
}

/// A trainer of one rank, with its device.
fn trainer(config: &TrainConfig, dir: &Path, ranks: Arc<dyn Collective>) -> Trainer<Tiny> {
    Trainer::new(config.clone(), dir).device(Device::flex()).ranks(ranks)
}

/// The run of the first of so many ranks, after checking that all have come to the same.
fn fit(ranks: usize, config: &TrainConfig, dir: &Path, model: &Tiny) -> Fitted<Tiny> {
    let ended = on(ranks, |rank| {
        let (train, valid) = data();
        trainer(config, dir, rank).fit(model.clone(), train, valid)
    });
    let mut all: Vec<_> = ended.into_iter().map(|ended| ended.expect("trains")).collect();
    let last = weights(&all[0].last, "");
    for other in &all[1..] {
        assert_eq!(weights(&other.last, ""), last, "ranks have the same weights, bit for bit");
        assert_eq!(weights(&other.model, ""), weights(&all[0].model, ""));
        assert_eq!((other.best_epoch, other.stopped), (all[0].best_epoch, all[0].stopped));
        for split in [Split::Train, Split::Valid] {
            let of = |fitted: &Fitted<Tiny>| fitted.history.terms(fitted.epochs, split);
            assert_eq!(of(other), of(&all[0]));
        }
    }
    all.swap_remove(0)
}

/// Largest difference of the measurements of two runs, relative.
fn off(a: &Fitted<Tiny>, b: &Fitted<Tiny>) -> f64 {
    assert_eq!(a.epochs, b.epochs);
    let all = |fitted: &Fitted<Tiny>| -> Vec<f64> {
        let of = |epoch| [Split::Train, Split::Valid].map(|s| fitted.history.terms(epoch, s));
        (1..=fitted.epochs).flat_map(of).flatten().map(|(_, value)| value).collect()
    };
    let (a, b) = (all(a), all(b));
    assert_eq!(a.len(), b.len());
    a.iter().zip(&b).map(|(a, b)| (a - b).abs() / a.abs().max(1e-6)).fold(0.0, f64::max)
}

#[test]
fn several_ranks_make_the_steps_of_one() {
    let clip = ClipConfig::Norm(ClipNorm { max: 0.5 });
    let whole = TrainConfig { clip, ..config() };
    let parts = TrainConfig { batch_size: 4, accumulate: 2, ..whole.clone() };
    let dir = tempfile::tempdir().expect("a folder");
    // The last batch of an epoch has two rows: of four ranks two get none.
    for (name, config) in [("whole", &whole), ("parts", &parts)] {
        let alone = dir.path().join(name);
        let one = fit(1, config, &alone, &tiny(7));
        for ranks in [2, 3, 4] {
            let own = dir.path().join(format!("{name}-{ranks}"));
            let several = fit(ranks, config, &own, &tiny(7));
            let apart = distance(&weights(&one.last, ""), &weights(&several.last, ""));
            assert!(apart < 1e-5, "{ranks} ranks, {name}: weights differ by {apart}");
            let measured = off(&one, &several);
            assert!(measured < 1e-5, "{ranks} ranks, {name}: measurements differ by {measured}");
            assert_eq!(several.best_epoch, one.best_epoch);
            assert_eq!(checkpoints(&own), checkpoints(&alone), "one rank writes");
        }
    }
}

#[test]
fn a_part_of_the_parameters_in_several_turns_makes_the_steps_of_one() {
    let mut model = tiny(7);
    let phase = Phase::new("decoders", &["decoders"]).repeats(2);
    model.stages = vec![Stage::whole().phases(vec![phase])];
    let dir = tempfile::tempdir().expect("a folder");
    let run = |ranks: usize| {
        let fitted = fit(ranks, &config(), &dir.path().join(ranks.to_string()), &model);
        assert_eq!(weights(&fitted.last, "encoders"), weights(&model, "encoders"));
        weights(&fitted.last, "")
    };
    let one = run(1);
    for ranks in [2, 4] {
        let apart = distance(&one, &run(ranks));
        assert!(apart < 1e-5, "{ranks} ranks: {apart}");
    }
}

#[test]
fn a_run_goes_on_with_another_number_of_ranks() {
    let dir = tempfile::tempdir().expect("a folder");
    let (whole, split) = (dir.path().join("whole"), dir.path().join("split"));
    let one = fit(1, &config(), &whole, &tiny(7));
    let mut last = Vec::new();
    for (ranks, epochs) in [(4, 2), (1, 3), (2, 6)] {
        let ended = on(ranks, |rank| {
            let (train, valid) = data();
            let interrupt = Interrupt::new();
            let handle = interrupt.clone();
            // The first rank is asked to end; all of them do.
            let first = rank.is_first();
            trainer(&config(), &split, rank)
                .interrupt(interrupt)
                .on_epoch(move |_, epoch, _| {
                    assert!(first, "the first rank alone is called");
                    if epoch == epochs {
                        handle.stop();
                    }
                    Ok(())
                })
                .resume(tiny(if ranks == 4 { 7 } else { 8 }), train, valid)
        });
        for fitted in &ended {
            let fitted = fitted.as_ref().expect("trains");
            let expected = if epochs == 6 { Stopped::Finished } else { Stopped::Interrupted };
            assert_eq!((fitted.epochs, fitted.stopped), (epochs, expected));
        }
        last = weights(&ended[0].as_ref().expect("trains").last, "");
    }
    let apart = distance(&weights(&one.last, ""), &last);
    assert!(apart < 1e-5, "{apart}");
    let newest = Checkpoint::newest(&split).expect("intact").expect("there is one");
    assert_eq!(newest.epoch(), 6);
    let lines = |dir: &Path| metrics(dir).lines().count();
    assert_eq!(lines(&split), lines(&whole));
}

/// Counts what it is told.
struct Counting(Arc<AtomicUsize>);

impl Observer for Counting {
    fn epoch_finished(&mut self, _: &EpochSummary) -> Observed {
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

#[test]
fn one_rank_tells_what_happens() {
    let told = Arc::new(AtomicUsize::new(0));
    let dir = tempfile::tempdir().expect("a folder");
    let ended = on(3, |rank| {
        let (train, valid) = data();
        let observer = Box::new(Counting(Arc::clone(&told)));
        trainer(&config(), dir.path(), rank).observe(observer).fit(tiny(7), train, valid)
    });
    assert!(ended.iter().all(Result::is_ok));
    assert_eq!(told.load(Ordering::SeqCst), 6);
}

#[test]
fn all_ranks_stop_early_restore_and_leave_out_alike() {
    let dir = tempfile::tempdir().expect("a folder");
    let stop = Some(EarlyStopping { patience: 1, min_delta: 1e9 });
    let early = TrainConfig { early_stopping: stop, ..config() };
    let fitted = fit(3, &early, &dir.path().join("early"), &tiny(7));
    assert_eq!((fitted.epochs, fitted.stopped), (2, Stopped::Early));
    for policy in [NonFinite::Skip, NonFinite::RestoreBest] {
        let config = TrainConfig { non_finite: policy, ..config() };
        // Later parts of a step: those of the other ranks.
        for kind in [Kind::NotFinite, Kind::LaterParts] {
            let name = format!("{policy:?}-{kind:?}");
            let model = tiny(7).with_fault((3, 1), kind);
            let fitted = fit(2, &config, &dir.path().join(name), &model);
            assert_eq!(fitted.epochs, 6);
        }
    }
}

#[test]
fn a_value_that_is_not_finite_ends_all_ranks_with_the_same_error() {
    let dir = tempfile::tempdir().expect("a folder");
    let model = tiny(7).with_fault((2, 1), Kind::LaterParts);
    let ended = on(3, |rank| {
        let (train, valid) = data();
        trainer(&config(), dir.path(), rank).fit(model.clone(), train, valid)
    });
    for ended in ended {
        let error = ended.expect_err("not a number").to_string();
        assert_eq!(error, "`reconstruction/b` is NaN in epoch 2, train step 2");
    }
}

#[test]
fn a_rank_that_fails_ends_the_run_of_all_who_say_which() {
    let dir = tempfile::tempdir().expect("a folder");
    let ended = on(3, |rank| {
        let (train, valid) = data();
        if rank.rank() == 1 {
            train.broken.store(true, Ordering::SeqCst);
        }
        // What is read before anything is written is read by all.
        trainer(&config(), dir.path(), rank).fit(tiny(7), train, valid)
    });
    let errors: Vec<String> =
        ended.into_iter().map(|ended| ended.expect_err("one has failed").to_string()).collect();
    assert!(errors[1].contains("the file is gone"), "{}", errors[1]);
    assert_eq!(errors[0], format!("rank 1 cannot go on: {}", errors[1]));
    assert_eq!(errors[2], errors[0]);
}

/// A rank that gets other sums than the others.
struct Astray(Threads, Mutex<usize>);

impl Collective for Astray {
    fn rank(&self) -> usize {
        self.0.rank()
    }
    fn ranks(&self) -> usize {
        self.0.ranks()
    }
    fn sum(&self, values: &mut [f32]) -> multivae_train::Result<()> {
        self.0.sum(values)?;
        let mut left = self.1.lock().expect("no panic");
        *left = left.saturating_sub(1);
        if *left == 0 {
            values[0] += 1e-3;
        }
        Ok(())
    }
    fn gather(&self, numbers: &[f64]) -> multivae_train::Result<Vec<f64>> {
        self.0.gather(numbers)
    }
    fn share(&self, bytes: &mut Vec<u8>, from: usize) -> multivae_train::Result<()> {
        self.0.share(bytes, from)
    }
    fn abort(&self, reason: &str) {
        self.0.abort(reason);
    }
}

#[test]
fn weights_that_come_apart_end_the_run_after_the_epoch() {
    let dir = tempfile::tempdir().expect("a folder");
    let ranks = Threads::new(3).into_iter();
    let errors: Vec<String> = thread::scope(|scope| {
        let run = |rank: Threads| {
            let (train, valid) = data();
            // An epoch has six steps.
            let at = if rank.rank() == 2 { 8 } else { usize::MAX };
            let rank: Arc<dyn Collective> = Arc::new(Astray(rank, Mutex::new(at)));
            let ended = trainer(&config(), dir.path(), rank).fit(tiny(7), train, valid);
            ended.expect_err("weights differ").to_string()
        };
        let threads: Vec<_> = ranks.map(|rank| scope.spawn(move || run(rank))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    for error in errors {
        assert!(
            error.starts_with("the weights of rank 2 are not those of rank 0 after epoch 2"),
            "{error}"
        );
    }
}

#[test]
fn what_cannot_be_shared_is_refused_before_anything_is_written() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path().join("run");
    let mut whole = tiny(7);
    whole.stages = vec![Stage::whole().phases(vec![Phase::whole().rows(Rows::Whole(2))])];
    let refused = |model: &Tiny, devices: usize| {
        let ended = on(2, |rank| {
            let (train, valid) = (toy(42, 1), toy(VALID, 2));
            let trainer = trainer(&config(), &dir, rank).devices(vec![Device::flex(); devices]);
            trainer.fit(model.clone(), train, valid)
        });
        assert!(!dir.exists());
        ended[0].as_ref().expect_err("refused").to_string()
    };
    let error = refused(&whole, 1);
    assert!(error.starts_with("`ranks`: expected 1, since phase"), "{error}");
    let error = refused(&tiny(7), 2);
    assert_eq!(
        error,
        "`devices`: expected one, since the run has 2 ranks, each with a device of its own, found 2"
    );
}

/// Predicts one modality from the other, whose values are normalised by running statistics.
#[derive(Module, Debug)]
struct Normed {
    norm: BatchNorm,
    decoder: Linear,
    #[module(skip)]
    specs: Vec<ModalitySpec>,
}

impl Multimodal for Normed {
    fn modalities(&self) -> &[ModalitySpec] {
        &self.specs
    }
}

impl Learn for Normed {
    fn terms(&self, _: Progress) -> Vec<String> {
        vec!["error".into()]
    }

    fn loss(&self, batch: &Batch, _: &mut Noise) -> Loss {
        let of = |m: usize| batch.observed(m).dense().expect("dense").clone();
        let normed: Tensor<2> = self.norm.forward(of(0));
        let error = (self.decoder.forward(normed) - of(1)).square().sum_dim(1).mean();
        Loss { total: error.clone(), terms: vec![("error".into(), error)] }
    }
}

impl MultimodalModel for Normed {
    fn learner(&self) -> &dyn Learn {
        self
    }
}

#[test]
fn running_statistics_are_the_means_of_those_of_all_ranks() {
    // Clones share their running statistics: each rank has a model of its own, as each process has.
    let model = || {
        let specs = specs();
        let [inputs, outputs] = [specs[0].features(), specs[1].features()];
        Normed {
            norm: BatchNormConfig::new(inputs).init(&Device::flex()),
            decoder: linear(&mut Noise::seeded(7), inputs, outputs),
            specs,
        }
    };
    let run = |ranks: usize| -> Vec<(Vec<f32>, f64)> {
        let dir = tempfile::tempdir().expect("a folder");
        on(ranks, |rank| {
            // Batches of equal shares, so that the mean of their means is that of the batch.
            let fitted = Trainer::new(config(), dir.path())
                .device(Device::flex())
                .ranks(rank)
                .fit(model(), toy(40, 1), toy(VALID, 2))
                .expect("trains");
            let loss = fitted.history.get(6, Split::Valid, "loss").expect("measured");
            (weights(&fitted.last, "norm.running_mean"), loss)
        })
    };
    let one = run(1);
    assert!(one[0].0.iter().any(|mean| mean.abs() > 1e-2), "the statistics have moved");
    for ranks in [2, 4] {
        let several = run(ranks);
        assert!(several.iter().all(|rank| *rank == several[0]), "{ranks} ranks differ");
        let apart = distance(&one[0].0, &several[0].0);
        assert!(apart < 1e-5, "{ranks} ranks: {apart}");
    }
}
