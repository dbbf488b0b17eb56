//! Settings of a run.

use std::collections::BTreeMap;

use burn::optim::{
    ModuleOptimizer, RmsPropConfig, SgdConfig, decay::WeightDecayConfig, momentum::MomentumConfig,
};
use multivae_kernels::{AdamSettings, Decay, Precision};
use serde::{Deserialize, Serialize};

use crate::{Result, TrainError, track::Track};

/// Fields of a section: name and lines of documentation.
type Fields = &'static [(&'static str, &'static [&'static str])];

/// A struct whose fields have a default and whose documentation can be printed.
macro_rules! section {
    (
        $(#[$meta:meta])*
        pub struct $name:ident {
            $($(#[doc = $doc:literal])* pub $field:ident: $type:ty = $default:expr,)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name {
            $($(#[doc = $doc])* pub $field: $type,)*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }

        impl $name {
            const FIELDS: Fields = &[$((stringify!($field), &[$($doc),*]),)*];
        }
    };
}

section! {
    /// How a model is trained.
    ///
    /// Everything that derives from chance in a run derives from `seed`: the order of rows from
    /// (seed, epoch), noise and dropout from (seed, epoch, step).
    pub struct TrainConfig {
        /// Epochs of the whole run, all stages together; at least 1. A finished run goes on when
        /// it is resumed with more.
        pub epochs: usize = 100,
        /// Rows of a batch; at least 1. The last batch of an epoch may be smaller.
        pub batch_size: usize = 64,
        /// Batches whose gradients are averaged before the optimiser makes a step; at least 1. A
        /// step then sees batch_size * accumulate rows in the memory of batch_size.
        pub accumulate: usize = 1,
        /// What affine maps and convolutions of training steps multiply: "f32", or "bf16" for operands
        /// rounded to 8 significant bits, twice as fast where the device has it. Sums, weights,
        /// densities, the optimiser and all validation are of f32.
        pub precision: Precision = Precision::F32,
        /// From what the order of rows and all noise derive; 0 to 2^63 - 1.
        pub seed: u64 = 0,
        /// Steps in which the learning rate grows linearly to its full value, at the start of
        /// every stage; 0 for none.
        pub warmup_steps: usize = 0,
        /// Validate every so many epochs, and at the end of a stage; at least 1.
        pub evaluate_every: usize = 1,
        /// Write a checkpoint every so many epochs; at least 1. The best epoch so far and the
        /// last of a stage are always written.
        pub checkpoint_every: usize = 1,
        /// How many of the newest checkpoints stay, besides the best; at least 1. With two, a
        /// damaged file costs one epoch and not the run.
        pub keep_last: usize = 2,
        /// What happens when a loss term or the gradient is not finite: "stop" ends the run with
        /// an error that names the term; "skip" leaves the step out; "restore_best" gives up the
        /// epoch and goes on with the best weights and the next epoch.
        pub non_finite: NonFinite = NonFinite::Stop,
        /// The optimiser: name = "adam", "adamw", "sgd" or "rmsprop", with its settings.
        pub optimizer: OptimizerConfig = OptimizerConfig::default(),
        /// How the learning rate changes, over the length of a stage: name = "constant",
        /// "cosine", "linear", "exponential" or "step".
        pub schedule: ScheduleConfig = ScheduleConfig::default(),
        /// What is done about large gradients: name = "none", "norm" or "value". Those that are not
        /// finite are noticed in any case.
        pub clip: ClipConfig = ClipConfig::default(),
        /// Settings of single phases of models that make several steps with a batch, by name:
        /// phases.critic.optimizer is the optimiser of the phase `critic`, with its own learning
        /// rate. Without one a phase has the optimiser above, in a state of its own.
        pub phases: BTreeMap<String, PhaseConfig> = BTreeMap::new(),
        /// Ends the last stage when the validation loss no longer falls; absent for never.
        /// Earlier stages always run their length, since models tell stages by the epoch.
        pub early_stopping: Option<EarlyStopping> = None,
        /// Who follows the run: "tensorboard" for event files in the run's folder, "mlflow" for the
        /// server at MLFLOW_TRACKING_URI. What they cannot be told now they are told later.
        pub track: Vec<Track> = Vec::new(),
    }
}

section! {
    /// How the parameters of one phase learn.
    pub struct PhaseConfig {
        /// The optimiser of the phase: name = "adam", "adamw", "sgd" or "rmsprop", with its
        /// settings. Its learning rate follows the run's schedule in proportion.
        pub optimizer: Option<OptimizerConfig> = None,
    }
}

section! {
    /// When a run ends before its last epoch.
    pub struct EarlyStopping {
        /// Epochs without an improvement of the validation loss after which training ends; at
        /// least 1.
        pub patience: usize = 10,
        /// By how much the loss must fall to count as improved, in nats; 0 or more.
        pub min_delta: f64 = 0.0,
    }
}

section! {
    /// Adam. Source: Kingma and Ba 2015.
    pub struct Adam {
        /// The learning rate; above 0.
        pub learning_rate: f64 = 1e-3,
        /// Decay of the mean of gradients; from 0 to below 1.
        pub beta_1: f64 = 0.9,
        /// Decay of the mean of squared gradients; from 0 to below 1.
        pub beta_2: f64 = 0.999,
        /// Added to the denominator; above 0.
        pub epsilon: f64 = 1e-8,
        /// Weight of an L2 penalty that is added to the gradient; 0 or more.
        pub weight_decay: f64 = 0.0,
        /// Whether the denominator never shrinks (AMSGrad).
        pub amsgrad: bool = false,
    }
}

section! {
    /// Adam with decoupled weight decay. Source: Loshchilov and Hutter 2019.
    pub struct AdamW {
        /// The learning rate; above 0.
        pub learning_rate: f64 = 1e-3,
        /// Decay of the mean of gradients; from 0 to below 1.
        pub beta_1: f64 = 0.9,
        /// Decay of the mean of squared gradients; from 0 to below 1.
        pub beta_2: f64 = 0.999,
        /// Added to the denominator; above 0.
        pub epsilon: f64 = 1e-8,
        /// Share of a weight, times the learning rate, that it loses in a step; 0 or more.
        pub weight_decay: f64 = 1e-2,
        /// Whether the denominator never shrinks (AMSGrad).
        pub amsgrad: bool = false,
    }
}

section! {
    /// Stochastic gradient descent.
    pub struct Sgd {
        /// The learning rate; above 0.
        pub learning_rate: f64 = 1e-3,
        /// Share of the last step that is repeated; from 0 (none) to below 1.
        pub momentum: f64 = 0.0,
        /// Share of the gradient that momentum leaves out; from 0 to 1.
        pub dampening: f64 = 0.0,
        /// Whether the gradient is taken ahead of the step; needs momentum.
        pub nesterov: bool = false,
        /// Weight of an L2 penalty that is added to the gradient; 0 or more.
        pub weight_decay: f64 = 0.0,
    }
}

section! {
    /// RMSprop. Source: Tieleman and Hinton 2012.
    pub struct RmsProp {
        /// The learning rate; above 0.
        pub learning_rate: f64 = 1e-3,
        /// Decay of the mean of squared gradients; from 0 to below 1.
        pub alpha: f64 = 0.99,
        /// Share of the last step that is repeated; from 0 (none) to below 1.
        pub momentum: f64 = 0.0,
        /// Added to the denominator; above 0.
        pub epsilon: f64 = 1e-8,
        /// Whether gradients are divided by their standard deviation instead of their root mean
        /// square.
        pub centered: bool = false,
        /// Weight of an L2 penalty that is added to the gradient; 0 or more.
        pub weight_decay: f64 = 0.0,
    }
}

/// The optimiser.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "lowercase")]
pub enum OptimizerConfig {
    /// Adam.
    Adam(Adam),
    /// Adam with decoupled weight decay.
    AdamW(AdamW),
    /// Stochastic gradient descent.
    Sgd(Sgd),
    /// RMSprop.
    RmsProp(RmsProp),
}

section! {
    /// The learning rate stays as it is.
    pub struct Constant {}
}

section! {
    /// The learning rate falls along half a cosine, step by step. Source: Loshchilov and Hutter
    /// 2017.
    pub struct Cosine {
        /// The learning rate at the end; 0 or more.
        pub final_learning_rate: f64 = 0.0,
    }
}

section! {
    /// The learning rate falls along a line, step by step.
    pub struct Linear {
        /// The learning rate at the end; 0 or more.
        pub final_learning_rate: f64 = 0.0,
    }
}

section! {
    /// The learning rate is multiplied by a factor after every epoch.
    pub struct Exponential {
        /// The factor; above 0.
        pub gamma: f64 = 0.99,
    }
}

section! {
    /// The learning rate is multiplied by a factor every few epochs.
    pub struct Steps {
        /// Epochs between two changes; at least 1.
        pub epochs: usize = 30,
        /// The factor; above 0.
        pub gamma: f64 = 0.1,
    }
}

/// How the learning rate changes over a stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum ScheduleConfig {
    /// Not at all.
    Constant(Constant),
    /// Along half a cosine.
    Cosine(Cosine),
    /// Along a line.
    Linear(Linear),
    /// By a factor an epoch.
    Exponential(Exponential),
    /// By a factor every few epochs.
    Step(Steps),
}

section! {
    /// Gradients are taken as they are. Adam makes steps whose length does not depend on theirs.
    pub struct NoClip {}
}

section! {
    /// A gradient whose norm over all parameters is too large is scaled down, all of it.
    ///
    /// Under Adam that is no protection: where a few parameters have the large gradient, their steps are
    /// as long as before, and those of all others shrink. MMVAE on images fails so in its first epoch.
    pub struct ClipNorm {
        /// The largest norm; above 0. Losses are sums over all features, and the gradients of
        /// healthy runs on images reach norms of some thousands, those of MMVAE of a million.
        pub max: f64 = 10_000.0,
    }
}

section! {
    /// Each entry of the gradient is kept within bounds.
    pub struct ClipValue {
        /// The largest absolute value; above 0.
        pub max: f64 = 1_000.0,
    }
}

/// What is done about large gradients. Whatever it is, their norm is looked at in every step, so that one
/// that is not finite is noticed before a checkpoint is made of what it did to the weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum ClipConfig {
    /// Nothing.
    None(NoClip),
    /// Their norm over all parameters is bounded.
    Norm(ClipNorm),
    /// Each of their entries is bounded.
    Value(ClipValue),
}

/// What happens when a loss term or the gradient is not finite.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NonFinite {
    /// The run ends with [`TrainError::NotFinite`]; no checkpoint is made after the step.
    #[default]
    Stop,
    /// The step is left out, for which every step waits for its values: on a GPU that costs time.
    /// An epoch of nothing but such steps ends the run.
    Skip,
    /// The epoch is given up, and the next one starts from the weights and the optimiser of the
    /// best epoch of the stage. Without such an epoch the run ends.
    RestoreBest,
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self::Adam(Adam::default())
    }
}

impl Default for ScheduleConfig {
    fn default() -> Self {
        Self::Constant(Constant::default())
    }
}

impl Default for ClipConfig {
    fn default() -> Self {
        Self::None(NoClip {})
    }
}

impl TrainConfig {
    /// Checks every value against its range.
    ///
    /// # Errors
    ///
    /// [`TrainError::Config`].
    pub fn check(&self) -> Result<()> {
        at_least_one("epochs", self.epochs)?;
        at_least_one("batch_size", self.batch_size)?;
        at_least_one("accumulate", self.accumulate)?;
        at_least_one("evaluate_every", self.evaluate_every)?;
        at_least_one("checkpoint_every", self.checkpoint_every)?;
        at_least_one("keep_last", self.keep_last)?;
        if i64::try_from(self.seed).is_err() {
            // TOML has no larger integers.
            return Err(TrainError::config("seed", "at most 2^63 - 1", self.seed));
        }
        self.optimizer.check("optimizer")?;
        for (name, phase) in &self.phases {
            if let Some(optimizer) = &phase.optimizer {
                optimizer.check(&format!("phases.{name}.optimizer"))?;
            }
        }
        self.schedule.check()?;
        match &self.clip {
            ClipConfig::None(_) => {}
            ClipConfig::Norm(clip) => positive("clip.max", clip.max)?,
            ClipConfig::Value(clip) => positive("clip.max", clip.max)?,
        }
        for (i, track) in self.track.iter().enumerate() {
            track.check()?;
            if self.track[..i].contains(track) {
                return Err(TrainError::config("track", "each tracker once", track.name()));
            }
        }
        if let Some(stop) = &self.early_stopping {
            at_least_one("early_stopping.patience", stop.patience)?;
            not_negative("early_stopping.min_delta", stop.min_delta)?;
        }
        Ok(())
    }

    /// The settings as TOML, each after a comment that explains it.
    ///
    /// What is absent is given with its default, commented out.
    ///
    /// # Panics
    ///
    /// If the seed is above 2^63 - 1, which [`check`](Self::check) refuses.
    pub fn commented_toml(&self) -> String {
        let values = toml::Table::try_from(self).expect("settings are plain data");
        let mut out = String::new();
        let mut sections = String::new();
        for (field, docs) in Self::FIELDS {
            match values.get(*field) {
                Some(toml::Value::Table(_)) if *field == "phases" => {
                    sections.push('\n');
                    comment(&mut sections, docs, "");
                    self.phase_sections(&mut sections);
                }
                Some(toml::Value::Table(table)) => {
                    sections.push('\n');
                    comment(&mut sections, docs, "");
                    sections.push_str(&format!("[{field}]\n"));
                    entries(&mut sections, table, self.fields_of(field), "");
                }
                Some(value) => {
                    comment(&mut out, docs, "");
                    out.push_str(&format!("{field} = {value}\n"));
                }
                None => {
                    let table = toml::Table::try_from(EarlyStopping::default())
                        .expect("settings are plain data");
                    sections.push('\n');
                    comment(&mut sections, docs, "");
                    sections.push_str(&format!("# [{field}]\n"));
                    entries(&mut sections, &table, EarlyStopping::FIELDS, "# ");
                }
            }
        }
        out + &sections
    }

    /// Sections of the phases that have settings.
    fn phase_sections(&self, out: &mut String) {
        for (name, phase) in &self.phases {
            let key = toml::Value::from(name.as_str());
            out.push_str(&format!("[phases.{key}]\n"));
            for (field, docs) in PhaseConfig::FIELDS {
                let Some(optimizer) = &phase.optimizer else { continue };
                let table = toml::Table::try_from(optimizer).expect("settings are plain data");
                comment(out, docs, "");
                out.push_str(&format!("[phases.{key}.{field}]\n"));
                entries(out, &table, optimizer.fields(), "");
            }
        }
    }

    /// Documentation of the fields of a section.
    fn fields_of(&self, section: &str) -> Fields {
        match section {
            "optimizer" => self.optimizer.fields(),
            "schedule" => match &self.schedule {
                ScheduleConfig::Constant(_) => Constant::FIELDS,
                ScheduleConfig::Cosine(_) => Cosine::FIELDS,
                ScheduleConfig::Linear(_) => Linear::FIELDS,
                ScheduleConfig::Exponential(_) => Exponential::FIELDS,
                ScheduleConfig::Step(_) => Steps::FIELDS,
            },
            "clip" => match &self.clip {
                ClipConfig::None(_) => NoClip::FIELDS,
                ClipConfig::Norm(_) => ClipNorm::FIELDS,
                ClipConfig::Value(_) => ClipValue::FIELDS,
            },
            _ => EarlyStopping::FIELDS,
        }
    }
}

impl OptimizerConfig {
    /// Documentation of its fields.
    fn fields(&self) -> Fields {
        match self {
            Self::Adam(_) => Adam::FIELDS,
            Self::AdamW(_) => AdamW::FIELDS,
            Self::Sgd(_) => Sgd::FIELDS,
            Self::RmsProp(_) => RmsProp::FIELDS,
        }
    }

    /// Its name in files.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Adam(_) => "adam",
            Self::AdamW(_) => "adamw",
            Self::Sgd(_) => "sgd",
            Self::RmsProp(_) => "rmsprop",
        }
    }

    /// The learning rate before any schedule.
    pub fn learning_rate(&self) -> f64 {
        match self {
            Self::Adam(o) => o.learning_rate,
            Self::AdamW(o) => o.learning_rate,
            Self::Sgd(o) => o.learning_rate,
            Self::RmsProp(o) => o.learning_rate,
        }
    }

    /// A fresh optimiser.
    pub fn init(&self) -> ModuleOptimizer {
        let penalty =
            |decay: f64| (decay > 0.0).then_some(WeightDecayConfig { penalty: decay as f32 });
        match self {
            Self::Adam(o) => ModuleOptimizer::from(
                AdamSettings {
                    beta_1: o.beta_1 as f32,
                    beta_2: o.beta_2 as f32,
                    epsilon: o.epsilon as f32,
                    decay: Decay::Gradient(o.weight_decay as f32),
                    amsgrad: o.amsgrad,
                }
                .build(),
            ),
            Self::AdamW(o) => ModuleOptimizer::from(
                AdamSettings {
                    beta_1: o.beta_1 as f32,
                    beta_2: o.beta_2 as f32,
                    epsilon: o.epsilon as f32,
                    decay: Decay::Weights(o.weight_decay as f32),
                    amsgrad: o.amsgrad,
                }
                .build(),
            ),
            Self::Sgd(o) => {
                let momentum = (o.momentum > 0.0).then_some(MomentumConfig {
                    momentum: o.momentum,
                    dampening: o.dampening,
                    nesterov: o.nesterov,
                });
                SgdConfig::new()
                    .with_momentum(momentum)
                    .with_weight_decay(penalty(o.weight_decay))
                    .init()
            }
            Self::RmsProp(o) => RmsPropConfig::new()
                .with_alpha(o.alpha as f32)
                .with_momentum(o.momentum as f32)
                .with_epsilon(o.epsilon as f32)
                .with_centered(o.centered)
                .with_weight_decay(penalty(o.weight_decay))
                .init(),
        }
    }

    fn check(&self, section: &str) -> Result<()> {
        let field = |name: &str| format!("{section}.{name}");
        positive(&field("learning_rate"), self.learning_rate())?;
        let adam = |beta_1: f64, beta_2: f64, epsilon: f64| {
            below_one(&field("beta_1"), beta_1)?;
            below_one(&field("beta_2"), beta_2)?;
            positive(&field("epsilon"), epsilon)
        };
        let decay = match self {
            Self::Adam(o) => {
                adam(o.beta_1, o.beta_2, o.epsilon)?;
                o.weight_decay
            }
            Self::AdamW(o) => {
                adam(o.beta_1, o.beta_2, o.epsilon)?;
                o.weight_decay
            }
            Self::Sgd(o) => {
                below_one(&field("momentum"), o.momentum)?;
                in_range(
                    &field("dampening"),
                    o.dampening,
                    (0.0..=1.0).contains(&o.dampening),
                    "0 to 1",
                )?;
                if o.nesterov && o.momentum == 0.0 {
                    return Err(TrainError::config(
                        field("nesterov"),
                        "false without momentum",
                        true,
                    ));
                }
                o.weight_decay
            }
            Self::RmsProp(o) => {
                below_one(&field("alpha"), o.alpha)?;
                below_one(&field("momentum"), o.momentum)?;
                positive(&field("epsilon"), o.epsilon)?;
                o.weight_decay
            }
        };
        not_negative(&field("weight_decay"), decay)
    }
}

impl ScheduleConfig {
    fn check(&self) -> Result<()> {
        match self {
            Self::Constant(_) => Ok(()),
            Self::Cosine(s) => not_negative("schedule.final_learning_rate", s.final_learning_rate),
            Self::Linear(s) => not_negative("schedule.final_learning_rate", s.final_learning_rate),
            Self::Exponential(s) => positive("schedule.gamma", s.gamma),
            Self::Step(s) => {
                at_least_one("schedule.epochs", s.epochs)?;
                positive("schedule.gamma", s.gamma)
            }
        }
    }
}

fn at_least_one(field: &str, value: usize) -> Result<()> {
    if value == 0 { Err(TrainError::config(field, "at least 1", value)) } else { Ok(()) }
}

fn positive(field: &str, value: f64) -> Result<()> {
    in_range(field, value, value > 0.0, "a finite number above 0")
}

fn not_negative(field: &str, value: f64) -> Result<()> {
    in_range(field, value, value >= 0.0, "a finite number of at least 0")
}

fn below_one(field: &str, value: f64) -> Result<()> {
    in_range(field, value, (0.0..1.0).contains(&value), "0 or more and below 1")
}

fn in_range(field: &str, value: f64, within: bool, expected: &str) -> Result<()> {
    if within && value.is_finite() {
        Ok(())
    } else {
        Err(TrainError::config(field, expected, value))
    }
}

/// Writes lines of documentation as comments.
fn comment(out: &mut String, docs: &[&str], prefix: &str) {
    for line in docs {
        out.push_str(&format!("{prefix}# {}\n", line.trim()));
    }
}

/// Writes the entries of a section, its name first.
fn entries(out: &mut String, table: &toml::Table, fields: Fields, prefix: &str) {
    if let Some(name) = table.get("name") {
        out.push_str(&format!("{prefix}name = {name}\n"));
    }
    for (field, docs) in fields {
        comment(out, docs, prefix);
        out.push_str(&format!("{prefix}{field} = {}\n", table[*field]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> TrainConfig {
        toml::from_str(text).expect("settings")
    }

    #[test]
    fn commented_settings_read_back_and_name_every_field() {
        let critic = OptimizerConfig::RmsProp(RmsProp { alpha: 0.5, ..RmsProp::default() });
        let configs = [
            TrainConfig::default(),
            TrainConfig {
                early_stopping: Some(EarlyStopping { patience: 3, min_delta: 0.5 }),
                optimizer: OptimizerConfig::Sgd(Sgd { momentum: 0.9, ..Sgd::default() }),
                schedule: ScheduleConfig::Step(Steps::default()),
                clip: ClipConfig::None(NoClip {}),
                non_finite: NonFinite::RestoreBest,
                seed: 1 << 40,
                phases: [
                    ("critic".to_owned(), PhaseConfig { optimizer: Some(critic) }),
                    ("code book".to_owned(), PhaseConfig::default()),
                ]
                .into(),
                ..TrainConfig::default()
            },
        ];
        for config in configs {
            let text = config.commented_toml();
            assert_eq!(read(&text), config, "{text}");
            for (field, docs) in TrainConfig::FIELDS {
                let named = [format!("{field} = "), format!("[{field}]"), format!("[{field}.")];
                // Without phases there is only the comment.
                let absent = *field == "phases" && config.phases.is_empty();
                assert!(absent || named.iter().any(|name| text.contains(name)), "{field}");
                assert!(text.contains(&format!("# {}\n", docs[0].trim())), "{field}");
            }
        }
    }

    #[test]
    fn absent_early_stopping_is_shown_as_a_comment_that_works() {
        let text = TrainConfig::default().commented_toml();
        let (before, after) = text.split_once("# [early_stopping]").expect("is shown");
        let section: String =
            after.lines().map(|l| l.strip_prefix("# ").unwrap_or(l).to_owned() + "\n").collect();
        let config = read(&format!("{before}[early_stopping]{section}"));
        assert_eq!(config.early_stopping, Some(EarlyStopping::default()));
    }

    #[test]
    fn an_empty_file_is_the_default_and_unknown_fields_are_refused() {
        assert_eq!(read(""), TrainConfig::default());
        for text in [
            "epoch = 3",
            "[optimizer]\nname = \"adam\"\nlr = 1.0",
            "[schedule]\nname = \"constant\"\ngamma = 1.0",
            "[clip]\nname = \"none\"\nmax = 1.0",
        ] {
            assert!(toml::from_str::<TrainConfig>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn values_out_of_range_are_refused_by_name() {
        let adam = |adam: Adam| TrainConfig {
            optimizer: OptimizerConfig::Adam(adam),
            ..TrainConfig::default()
        };
        let cases = [
            ("batch_size", TrainConfig { batch_size: 0, ..TrainConfig::default() }),
            ("epochs", TrainConfig { epochs: 0, ..TrainConfig::default() }),
            ("accumulate", TrainConfig { accumulate: 0, ..TrainConfig::default() }),
            ("keep_last", TrainConfig { keep_last: 0, ..TrainConfig::default() }),
            ("optimizer.learning_rate", adam(Adam { learning_rate: 0.0, ..Adam::default() })),
            ("optimizer.learning_rate", adam(Adam { learning_rate: f64::NAN, ..Adam::default() })),
            ("optimizer.beta_2", adam(Adam { beta_2: 1.0, ..Adam::default() })),
            (
                "phases.critic.optimizer.learning_rate",
                TrainConfig {
                    phases: [(
                        "critic".to_owned(),
                        PhaseConfig {
                            optimizer: Some(OptimizerConfig::Sgd(Sgd {
                                learning_rate: -1.0,
                                ..Sgd::default()
                            })),
                        },
                    )]
                    .into(),
                    ..TrainConfig::default()
                },
            ),
            (
                "clip.max",
                TrainConfig {
                    clip: ClipConfig::Norm(ClipNorm { max: -1.0 }),
                    ..TrainConfig::default()
                },
            ),
            (
                "early_stopping.patience",
                TrainConfig {
                    early_stopping: Some(EarlyStopping { patience: 0, min_delta: 0.0 }),
                    ..TrainConfig::default()
                },
            ),
        ];
        for (expected, config) in cases {
            match config.check() {
                Err(TrainError::Config { field, .. }) => assert_eq!(field, expected),
                other => panic!("{expected}: {other:?}"),
            }
        }
        TrainConfig::default().check().expect("defaults are valid");
    }
}
