//! The learning rate of each step.

use burn::lr_scheduler::{LrScheduler, LrSchedulerRecord};

use crate::config::{ScheduleConfig, TrainConfig};

/// Key of the number of steps in a record.
const STEPS: &str = "steps";

/// The learning rate as a function of the number of batches.
///
/// Its state is that number alone. A resumed run with other settings follows the new curve from
/// where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Curve {
    schedule: ScheduleConfig,
    base: f64,
    warmup: usize,
    steps_per_epoch: usize,
    total: usize,
    /// Steps that are made with a batch; the rate is the same for all of them.
    turns: usize,
    done: usize,
}

impl Curve {
    /// The curve of a stage of `epochs` epochs, in each of which `turns` steps are made with so
    /// many batches.
    pub(crate) fn new(
        config: &TrainConfig,
        epochs: usize,
        steps_per_epoch: usize,
        turns: usize,
    ) -> Self {
        Self {
            schedule: config.schedule.clone(),
            base: config.optimizer.learning_rate(),
            warmup: config.warmup_steps,
            steps_per_epoch,
            total: epochs * steps_per_epoch,
            turns,
            done: 0,
        }
    }

    /// The same curve after `done` epochs.
    pub(crate) fn after(self, epochs: usize) -> Self {
        Self { done: epochs * self.steps_per_epoch * self.turns, ..self }
    }

    fn rate(&self, step: usize) -> f64 {
        if step < self.warmup {
            return self.base * (step + 1) as f64 / self.warmup as f64;
        }
        let step = step - self.warmup;
        let length = self.total.saturating_sub(self.warmup).max(1);
        let share = (step as f64 / length as f64).min(1.0);
        let epoch = step / self.steps_per_epoch;
        match &self.schedule {
            ScheduleConfig::Constant(_) => self.base,
            ScheduleConfig::Cosine(s) => {
                let height = 0.5 * (1.0 + (share * std::f64::consts::PI).cos());
                s.final_learning_rate + (self.base - s.final_learning_rate) * height
            }
            ScheduleConfig::Linear(s) => self.base + (s.final_learning_rate - self.base) * share,
            ScheduleConfig::Exponential(s) => self.base * s.gamma.powf(epoch as f64),
            ScheduleConfig::Step(s) => self.base * s.gamma.powf((epoch / s.epochs) as f64),
        }
    }
}

impl LrScheduler for Curve {
    fn step(&mut self) -> f64 {
        self.done += 1;
        self.rate((self.done - 1) / self.turns)
    }

    fn to_record(&self) -> LrSchedulerRecord {
        LrSchedulerRecord::new().with_scalar(STEPS, self.done as u64)
    }

    fn load_record(&mut self, record: LrSchedulerRecord) {
        if let Some(done) = record.scalar::<u64>(STEPS) {
            self.done = done as usize;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Constant, Cosine, Exponential, Linear, Steps};

    fn rates(schedule: ScheduleConfig, warmup_steps: usize) -> Vec<f64> {
        let config = TrainConfig { schedule, warmup_steps, ..TrainConfig::default() };
        let mut curve = Curve::new(&config, 4, 2, 1);
        (0..9).map(|_| (curve.step() * 1e9).round() / 1e3).collect()
    }

    #[test]
    fn schedules_have_their_closed_forms() {
        // Thousandths of the learning rate 1e-3, for 4 epochs of 2 steps and one step more.
        let half = |x: f64| (500.0 * (1.0 + (x * std::f64::consts::PI).cos()) * 1e3).round() / 1e3;
        for (schedule, warmup, expected) in [
            (ScheduleConfig::Constant(Constant {}), 0, [1000.0; 9].to_vec()),
            (
                ScheduleConfig::Constant(Constant {}),
                4,
                vec![250., 500., 750., 1000., 1000., 1000., 1000., 1000., 1000.],
            ),
            (
                ScheduleConfig::Cosine(Cosine::default()),
                0,
                (0..9).map(|i| half(f64::from(i) / 8.0)).collect(),
            ),
            (
                ScheduleConfig::Linear(Linear { final_learning_rate: 2e-4 }),
                0,
                (0..9).map(|i| 1000.0 - 100.0 * f64::from(i)).collect(),
            ),
            (
                ScheduleConfig::Exponential(Exponential { gamma: 0.5 }),
                0,
                vec![1000., 1000., 500., 500., 250., 250., 125., 125., 62.5],
            ),
            (
                ScheduleConfig::Step(Steps { epochs: 2, gamma: 0.1 }),
                0,
                vec![1000., 1000., 1000., 1000., 100., 100., 100., 100., 10.],
            ),
        ] {
            assert_eq!(rates(schedule.clone(), warmup), expected, "{schedule:?}");
        }
    }

    #[test]
    fn a_restored_curve_goes_on_where_it_was() {
        let config = TrainConfig {
            schedule: ScheduleConfig::Cosine(Cosine::default()),
            ..TrainConfig::default()
        };
        let mut whole = Curve::new(&config, 4, 2, 1);
        (0..4).for_each(|_| {
            whole.step();
        });
        let mut restored = Curve::new(&config, 4, 2, 1);
        restored.load_record(whole.to_record());
        let mut stepped = Curve::new(&config, 4, 2, 1).after(2);
        let next = whole.step();
        assert_eq!(next, restored.step());
        assert_eq!(next, stepped.step());
    }

    #[test]
    fn steps_with_the_same_batch_have_the_same_rate() {
        let config = TrainConfig {
            schedule: ScheduleConfig::Cosine(Cosine::default()),
            warmup_steps: 3,
            ..TrainConfig::default()
        };
        let (mut one, mut four) = (Curve::new(&config, 4, 2, 1), Curve::new(&config, 4, 2, 4));
        for _ in 0..8 {
            let rate = one.step();
            assert!((0..4).all(|_| four.step() == rate));
        }
    }
}
