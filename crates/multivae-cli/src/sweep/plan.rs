//! The file of a sweep, and the runs that it asks for.

use std::path::Path;

use anyhow::{Context, Result};
use multivae::run::{RunConfig, table};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::failure::bad_input;

/// The key of the seed, over which results are averaged if a file does not say otherwise.
const SEED: &str = "train.seed";

/// What a file for `multivae sweep` holds.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// What all runs have in common: a table as for `train --config`, or the path of one beside
    /// this file.
    #[serde(default)]
    base: Base,
    /// Keys and the values of which every combination is run.
    #[serde(default)]
    grid: Table,
    /// Keys and what their values are drawn from.
    #[serde(default)]
    random: Option<Random>,
    /// Keys and values that runs differ by without being different: results are averaged over them.
    #[serde(default)]
    replicas: Table,
    /// When a run ends.
    #[serde(default)]
    limits: Limits,
    /// What is measured of every run.
    #[serde(default)]
    evaluate: Evaluate,
    /// Which lines of the table are shown.
    #[serde(default)]
    table: Shown,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Base {
    Table(Table),
    Path(String),
}

impl Default for Base {
    fn default() -> Self {
        Self::Table(Table::new())
    }
}

/// Points that are drawn, of each value on its own.
#[derive(Debug, Deserialize)]
struct Random {
    /// How many points.
    draws: usize,
    /// What the draws derive from.
    #[serde(default)]
    seed: u64,
    /// A list of values by key, or the ends of a range.
    #[serde(flatten)]
    keys: Table,
}

/// When a run ends before its last epoch.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Limits {
    /// Minutes of training.
    pub(crate) minutes: Option<f64>,
}

/// What `multivae evaluate` is told.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Evaluate {
    pub(crate) metrics: Vec<String>,
    pub(crate) rows: Option<usize>,
    pub(crate) samples: Option<usize>,
    pub(crate) likelihood_rows: Option<usize>,
    pub(crate) likelihoods: Vec<String>,
}

impl Default for Evaluate {
    fn default() -> Self {
        let metrics = ["evaluation", "coherence", "reconstruction", "representation", "likelihood"];
        Self {
            metrics: metrics.map(str::to_owned).to_vec(),
            rows: None,
            samples: None,
            likelihood_rows: None,
            likelihoods: Vec::new(),
        }
    }
}

/// What is shown of the results; the files of the table have all of it.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Shown {
    /// Lines by their names as `multivae compare` prints them.
    pub(crate) columns: Vec<String>,
}

/// One run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Point {
    /// The name of its folder.
    pub(crate) name: String,
    /// The name that it shares with those that differ from it by chance only.
    pub(crate) group: String,
    /// What it differs by from others, as text.
    pub(crate) settings: Vec<(String, String)>,
    /// Its configuration, as for `train --config`.
    pub(crate) config: Table,
}

/// All that a file asks for.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) points: Vec<Point>,
    pub(crate) limits: Limits,
    pub(crate) evaluate: Evaluate,
    pub(crate) shown: Shown,
}

impl Plan {
    /// Reads a file, and checks the configuration of every run.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let shown = path.display();
        let mut whole = table::read(path)?;
        whole.remove("version");
        let file = File::deserialize(Value::Table(whole)).map_err(|error| {
            bad_input(format!("sweep `{shown}`: {}", error.to_string().trim_end()))
        })?;
        let plan = Self::of(file, path.parent().unwrap_or(Path::new("")));
        plan.with_context(|| format!("sweep `{shown}`"))
    }

    fn of(file: File, folder: &Path) -> Result<Self> {
        if let Some(minutes) = file.limits.minutes
            && !(minutes > 0.0 && minutes.is_finite())
        {
            return Err(bad_input(format!(
                "`limits.minutes`: expected more than 0, found {minutes}"
            )));
        }
        let base = match file.base {
            Base::Table(table) => table,
            Base::Path(path) => table::read(&folder.join(path))?,
        };
        let mut replicas = axes(&file.replicas, "replicas")?;
        let mut grid = axes(&file.grid, "grid")?;
        // A grid over seeds means what it means nearly everywhere.
        if replicas.is_empty()
            && let Some(place) = grid.iter().position(|axis| axis.key == SEED)
        {
            replicas.push(grid.remove(place));
        }
        let draws = file.random.map(|random| random.draw()).transpose()?;
        let keys = grid.iter().chain(&replicas).map(|axis| axis.key.as_str());
        let drawn = draws.iter().flatten().next().into_iter().flatten();
        check_keys(keys.chain(drawn.map(|(key, _)| key.as_str())))?;

        let mut points = Vec::new();
        for own in combinations(&grid) {
            for drawn in draws.as_deref().unwrap_or(&[Vec::new()]) {
                for chance in combinations(&replicas) {
                    let kept: Vec<Setting> = own.iter().chain(drawn).cloned().collect();
                    points.push(point(&base, &kept, &chance)?);
                }
            }
        }
        let mut names: Vec<&str> = points.iter().map(|point| point.name.as_str()).collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(bad_input(format!("two runs would be called `{}`", twice[0])));
        }
        Ok(Self { points, limits: file.limits, evaluate: file.evaluate, shown: file.table })
    }
}

/// A key with a value, and the value as part of a name.
type Setting = (String, (Value, String));

/// A key and its values.
struct Axis {
    key: String,
    values: Vec<(Value, String)>,
}

/// The keys of a table with lists, whose names may be written as tables too.
fn axes(table: &Table, section: &str) -> Result<Vec<Axis>> {
    let mut axes = Vec::new();
    for (key, value) in flat(table) {
        let Value::Array(values) = value else {
            return Err(bad_input(format!(
                "`{section}.{key}`: expected a list of values, found {value}"
            )));
        };
        if values.is_empty() {
            return Err(bad_input(format!("`{section}.{key}`: expected values, found none")));
        }
        axes.push(Axis { values: named(values), key });
    }
    Ok(axes)
}

/// Values with their parts of names: what is no plain value is told by its place in the list.
fn named(values: Vec<Value>) -> Vec<(Value, String)> {
    let name = |(i, value): (usize, Value)| {
        let text = match &value {
            Value::String(text) => text.clone(),
            Value::Integer(_) | Value::Float(_) | Value::Boolean(_) => value.to_string(),
            Value::Table(table) => match table.get("name") {
                Some(Value::String(name)) => format!("{name}#{}", i + 1),
                _ => format!("#{}", i + 1),
            },
            _ => format!("#{}", i + 1),
        };
        (value, text)
    };
    values.into_iter().enumerate().map(name).collect()
}

/// Tables within a table as keys joined by dots; ranges of draws stay tables.
fn flat(table: &Table) -> Vec<(String, Value)> {
    let mut list = Vec::new();
    for (key, value) in table {
        match value {
            Value::Table(inner) if !inner.contains_key("low") => {
                list.extend(flat(inner).into_iter().map(|(rest, v)| (format!("{key}.{rest}"), v)));
            }
            value => list.push((key.clone(), value.clone())),
        }
    }
    list
}

fn check_keys<'a>(keys: impl Iterator<Item = &'a str>) -> Result<()> {
    let mut known: Vec<&str> = Vec::new();
    for key in keys {
        if known.contains(&key) {
            return Err(bad_input(format!(
                "`{key}` is given twice, in `grid`, `random` or `replicas`"
            )));
        }
        known.push(key);
    }
    Ok(())
}

/// Every choice of one value an axis; the last axis changes first.
fn combinations(axes: &[Axis]) -> Vec<Vec<Setting>> {
    axes.iter().fold(vec![Vec::new()], |lists, axis| {
        let longer = |list: &Vec<Setting>, value: &(Value, String)| {
            let own = std::iter::once((axis.key.clone(), value.clone()));
            list.iter().cloned().chain(own).collect()
        };
        lists.iter().flat_map(|list| axis.values.iter().map(move |v| longer(list, v))).collect()
    })
}

impl Random {
    /// The points, each from its own stream, so that more of them leave the first as they are.
    fn draw(&self) -> Result<Vec<Vec<Setting>>> {
        if self.draws == 0 {
            return Err(bad_input("`random.draws`: expected at least 1, found 0"));
        }
        let keys = flat(&self.keys);
        let ranges = keys.iter().map(|(key, value)| Ok((key.clone(), Range::of(key, value)?)));
        let ranges = ranges.collect::<Result<Vec<_>>>()?;
        let draw = |i: usize| {
            let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
            rng.set_stream(i as u64);
            ranges.iter().map(|(key, range)| (key.clone(), range.draw(&mut rng))).collect()
        };
        Ok((0..self.draws).map(draw).collect())
    }
}

/// What a value is drawn from.
enum Range {
    List(Vec<(Value, String)>),
    Between { low: f64, high: f64, log: bool, whole: bool },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ends {
    low: Value,
    high: Value,
    #[serde(default)]
    scale: Scale,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Scale {
    #[default]
    Linear,
    Log,
}

impl Range {
    fn of(key: &str, value: &Value) -> Result<Self> {
        let wrong = |found: String| {
            bad_input(format!(
                "`random.{key}`: expected a list of values, or {{ low = .., high = .., scale = \
                 \"linear\" or \"log\" }}, found {found}"
            ))
        };
        if let Value::Array(values) = value {
            return match values.is_empty() {
                true => Err(wrong("an empty list".into())),
                false => Ok(Self::List(named(values.clone()))),
            };
        }
        let ends = Ends::deserialize(value.clone()).map_err(|_| wrong(value.to_string()))?;
        let number = |end: &Value| match end {
            Value::Integer(n) => Some(*n as f64),
            Value::Float(x) => Some(*x),
            _ => None,
        };
        let (Some(low), Some(high)) = (number(&ends.low), number(&ends.high)) else {
            return Err(wrong(value.to_string()));
        };
        let log = matches!(ends.scale, Scale::Log);
        if !(low < high && low.is_finite() && high.is_finite()) || (log && low <= 0.0) {
            return Err(wrong(value.to_string()));
        }
        let whole = ends.low.is_integer() && ends.high.is_integer();
        Ok(Self::Between { low, high, log, whole })
    }

    fn draw(&self, rng: &mut ChaCha8Rng) -> (Value, String) {
        match self {
            Self::List(values) => values[rng.random_range(0..values.len())].clone(),
            Self::Between { low, high, log, whole } => {
                // Both ends of whole numbers are as likely as those between.
                let edge = if *whole { 0.5 } else { 0.0 };
                let (low, high) = (low - edge, high + edge);
                let share: f64 = rng.random();
                let x = match log {
                    true => {
                        (low.max(f64::MIN_POSITIVE).ln() * (1.0 - share) + high.ln() * share).exp()
                    }
                    false => low + (high - low) * share,
                };
                if *whole {
                    let n = x.round().clamp(low + edge, high - edge) as i64;
                    return (Value::Integer(n), n.to_string());
                }
                // Four digits say it, and can be typed.
                let text = format!("{x:.3e}");
                let x = text.parse().expect("a number was written");
                (Value::Float(x), text)
            }
        }
    }
}

/// A run of these settings, its configuration checked.
fn point(base: &Table, kept: &[Setting], chance: &[Setting]) -> Result<Point> {
    let mut over = Table::new();
    for (key, (value, _)) in kept.iter().chain(chance) {
        table::insert(&mut over, key, value.clone())?;
    }
    let mut config = base.clone();
    table::merge(&mut config, over);
    let group = name(kept);
    let name = match (group.is_empty(), chance.is_empty()) {
        (_, true) => group.clone(),
        (true, false) => name(chance),
        (false, false) => format!("{group}-{}", name(chance)),
    };
    let or = |text: String, other: &str| if text.is_empty() { other.to_owned() } else { text };
    RunConfig::assemble(None, config.clone(), &format!("the run `{name}`"))?;
    let text = |(key, (_, text)): &Setting| (key.clone(), text.clone());
    Ok(Point {
        name: or(name, "run"),
        group: or(group, "all"),
        settings: kept.iter().chain(chance).map(text).collect(),
        config,
    })
}

/// What settings are called: words by themselves, numbers with the last part of their keys.
fn name(settings: &[Setting]) -> String {
    let part = |(key, (value, text)): &Setting| {
        let last = key.rsplit('.').next().unwrap_or(key);
        let text = match value {
            Value::String(_) => text.clone(),
            _ => format!("{last}={text}"),
        };
        let plain =
            |c: char| if c.is_ascii_alphanumeric() || "._+#=".contains(c) { c } else { '_' };
        text.chars().map(plain).collect::<String>()
    };
    settings.iter().map(part).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(text: &str) -> Result<Plan> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("sweep.toml");
        std::fs::write(&path, text).expect("writable");
        Plan::read(&path)
    }

    fn message(text: &str) -> String {
        format!("{:#}", plan(text).expect_err("refused"))
    }

    fn names(plan: &Plan) -> Vec<&str> {
        plan.points.iter().map(|point| point.name.as_str()).collect()
    }

    #[test]
    fn a_grid_is_every_combination_and_replicas_share_a_group() {
        let plan = plan(
            "[base]\ndata.source = \"mfeat\"\n[grid]\nmodel.name = [\"mvae\", \"mopoe\"]\n\
             \"data.missing.rate\" = [0.0, 0.5]\n[replicas]\n\"train.seed\" = [0, 1]\n",
        )
        .expect("valid");
        assert_eq!(plan.points.len(), 8);
        assert_eq!(
            names(&plan)[..3],
            ["rate=0.0-mvae-seed=0", "rate=0.0-mvae-seed=1", "rate=0.0-mopoe-seed=0"]
        );
        assert_eq!(plan.points[1].group, "rate=0.0-mvae");
        let config = &plan.points[7].config;
        assert_eq!(config["data"]["source"].as_str(), Some("mfeat"));
        assert_eq!(config["data"]["missing"]["rate"].as_float(), Some(0.5));
        assert_eq!(config["train"]["seed"].as_integer(), Some(1));
    }

    #[test]
    fn seeds_of_a_grid_are_replicas() {
        let plan = plan("[grid]\ntrain.seed = [3, 4]\nmodel.name = [\"mvae\"]").expect("valid");
        assert_eq!(names(&plan), ["mvae-seed=3", "mvae-seed=4"]);
        assert!(plan.points.iter().all(|point| point.group == "mvae"));
    }

    #[test]
    fn whole_variants_of_a_section_are_laid_over_the_base() {
        let text = "[base.model]\nlatent = 7\n[grid]\nmodel = [{ name = \"mvae\", beta = 2.0 }, \
                    { name = \"mopoe\" }]";
        let plan = plan(text).expect("valid");
        assert_eq!(names(&plan), ["model=mvae#1", "model=mopoe#2"]);
        let model = |i: usize| &plan.points[i].config["model"];
        assert_eq!(model(0)["beta"].as_float(), Some(2.0));
        assert_eq!(model(1)["latent"].as_integer(), Some(7));
        assert!(model(1).get("beta").is_none());
    }

    #[test]
    fn draws_lie_in_their_ranges_and_more_of_them_leave_the_first() {
        let text = |draws: usize| {
            format!(
                "[base]\nmodel.name = \"mvae\"\n[random]\ndraws = {draws}\nseed = 5\n\
                 \"train.optimizer.learning_rate\" = {{ low = 1e-4, high = 1e-2, scale = \"log\" }}\n\
                 model.latent = {{ low = 2, high = 4 }}\ntrain.batch_size = [16, 32]\n"
            )
        };
        let plan = super::tests::plan(&text(60)).expect("valid");
        let (mut low, mut latents) = (0, Vec::new());
        for point in &plan.points {
            let rate =
                point.config["train"]["optimizer"]["learning_rate"].as_float().expect("drawn");
            assert!((1e-4..=1e-2).contains(&rate), "{rate}");
            low += usize::from(rate < 1e-3);
            latents.push(point.config["model"]["latent"].as_integer().expect("whole"));
        }
        // Half of a logarithmic range lies below its geometric mean.
        assert!((15..=45).contains(&low), "{low}");
        assert!([2, 3, 4].iter().all(|n| latents.iter().filter(|l| *l == n).count() > 8));
        let fewer = super::tests::plan(&text(4)).expect("valid");
        assert_eq!(fewer.points, plan.points[..4]);
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_key() {
        let cases = [
            ("[grid]\n\"model.name\" = \"mvae\"", "`grid.model.name`: expected a list"),
            ("[grid]\n\"model.name\" = []", "expected values, found none"),
            ("[grid]\n\"model.name\" = [\"vae\"]", "unknown model `vae`"),
            ("[grid]\n\"train.epoch\" = [3]", "`epoch`"),
            ("[random]\ndraws = 0\n", "`random.draws`"),
            (
                "[random]\ndraws = 2\n\"model.latent\" = { low = 4, high = 2 }",
                "`random.model.latent`",
            ),
            ("[grid]\n\"train.epochs\" = [1]\n[replicas]\n\"train.epochs\" = [2]", "given twice"),
            ("[grids]\n", "grids"),
            ("[limits]\nminutes = 0", "`limits.minutes`"),
            ("[grid]\n\"model.name\" = [\"mvae\", \"mvae\"]", "two runs would be called `mvae`"),
        ];
        for (text, part) in cases {
            let message = message(text);
            assert!(message.contains(part) && message.contains("sweep.toml"), "{text}: {message}");
        }
    }

    #[test]
    fn a_base_is_a_file_beside_the_sweep_too() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("base.toml"), "[model]\nname = \"jnf\"\n")
            .expect("written");
        let path = folder.path().join("sweep.toml");
        std::fs::write(&path, "base = \"base.toml\"\n[grid]\ntrain.seed = [1, 2]\n")
            .expect("written");
        let plan = Plan::read(&path).expect("valid");
        assert_eq!(names(&plan), ["seed=1", "seed=2"]);
        assert_eq!(plan.points[0].group, "all");
        assert_eq!(plan.points[0].config["model"]["name"].as_str(), Some("jnf"));
    }
}
