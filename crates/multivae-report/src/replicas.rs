//! Runs that differ by chance only, such as by their seed, as one.

use multivae_metrics::Entry;

use crate::{
    compare::{Key, Line},
    entries::unique,
    table::{Absent, Fact, Measures},
};

impl Measures {
    /// The means of runs that differ by chance only: of every measure the mean over the runs that
    /// have it, with the standard error of this mean, and how many runs it is from.
    ///
    /// The errors of single runs, which come from the rows they were measured on, are left out: all
    /// runs are measured on the same rows, so they say nothing of how runs differ. Of one run there
    /// is no error.
    ///
    /// ```
    /// use multivae_metrics::Entry;
    /// use multivae_report::Measures;
    ///
    /// let run = |value| {
    ///     let mut measures = Measures::new("mvae");
    ///     measures.entries.push(Entry {
    ///         report: "evaluation".into(),
    ///         measure: "elbo".into(),
    ///         given: vec![],
    ///         target: String::new(),
    ///         value,
    ///         standard_error: Some(9.0),
    ///         count: 500,
    ///     });
    ///     measures
    /// };
    /// let mean = Measures::mean("mvae", &[run(-10.0), run(-12.0), run(-14.0)]);
    /// let elbo = &mean.entries[0];
    /// assert_eq!((elbo.value, elbo.count), (-12.0, 3));
    /// // The deviation of the three is 2.
    /// let error = elbo.standard_error.expect("of several runs");
    /// assert!((error - 2.0 / 3f64.sqrt()).abs() < 1e-12);
    /// ```
    pub fn mean(title: &str, runs: &[Self]) -> Self {
        let keys = unique(runs.iter().flat_map(|run| run.entries.iter().map(Key::of)));
        let facts = unique(runs.iter().flat_map(|run| run.provenance.iter().map(|f| &f.name)));
        let fact = |name: &String| {
            let values = unique(runs.iter().map(|run| run.fact(name).unwrap_or("-")));
            Fact { name: name.clone(), value: values.join(", ") }
        };
        let absent = |absent: &Absent| {
            let lacking = runs.iter().filter(|run| run.absent.contains(absent)).count();
            match lacking == runs.len() {
                true => absent.clone(),
                false => Absent {
                    reason: format!("{lacking} of {} runs: {}", runs.len(), absent.reason),
                    ..absent.clone()
                },
            }
        };
        Self {
            summary: match runs.len() {
                1 => "One run.".to_owned(),
                n => format!("Means of {n} runs, with the standard errors of these means."),
            },
            provenance: facts.into_iter().map(fact).collect(),
            entries: keys.iter().map(|key| entry(key, runs)).collect(),
            absent: unique(runs.iter().flat_map(|run| &run.absent))
                .into_iter()
                .map(absent)
                .collect(),
            ..Self::new(title)
        }
    }
}

impl Line {
    /// The same of groups of runs that differ by chance only, each given by the places of its runs:
    /// the mean over those that have a value, and the standard error of this mean if there are
    /// several.
    ///
    /// # Panics
    ///
    /// If there is no run at a place.
    pub fn of_groups(&self, groups: &[Vec<usize>]) -> Self {
        let of = |group: &Vec<usize>| {
            let own = group.iter().filter_map(|&run| self.values[run]);
            let values: Vec<f64> = own.map(|(value, _)| value).collect();
            (!values.is_empty()).then(|| mean(&values))
        };
        Self { values: groups.iter().map(of).collect(), ..self.clone() }
    }
}

/// The mean of one measure over the runs that have it.
fn entry(key: &Key, runs: &[Measures]) -> Entry {
    let own = runs.iter().filter_map(|run| run.entries.iter().find(|entry| key.names(entry)));
    let values: Vec<f64> = own.map(|entry| entry.value).collect();
    let (value, standard_error) = mean(&values);
    key.entry(value, standard_error, values.len())
}

/// The mean of at least one value, and of several its standard error.
fn mean(values: &[f64]) -> (f64, Option<f64>) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let error = (squares / (n - 1.0) / n).sqrt();
    // Equal values have a mean that differs from them in the last digit.
    let error = if error < 1e-12 * mean.abs() { 0.0 } else { error };
    (mean, (values.len() > 1).then_some(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::tests::entry;

    #[test]
    fn a_mean_is_over_the_runs_that_have_the_measure() {
        let run = |entries: Vec<Entry>| Measures { entries, ..Measures::new("a run") };
        let runs = [
            run(vec![entry("a", "x", &["m"], "n", 1.0), entry("a", "y", &[], "", 5.0)]),
            run(vec![entry("a", "x", &["m"], "n", 4.0)]),
        ];
        let mean = Measures::mean("two", &runs);
        let [x, y] = &mean.entries[..] else { panic!("{:?}", mean.entries) };
        assert_eq!((x.value, x.count, x.standard_error), (2.5, 2, Some(1.5)));
        assert_eq!((x.given.as_slice(), x.target.as_str()), (&["m".to_owned()][..], "n"));
        assert_eq!((y.value, y.count, y.standard_error), (5.0, 1, None));
    }

    #[test]
    fn a_line_of_groups_leaves_out_runs_without_a_value() {
        let values = [1.0, 3.0, f64::NAN, 7.0].map(|v| (!v.is_nan()).then_some((v, Some(0.1))));
        let line = Line { name: "x".into(), first: true, values: values.to_vec() };
        let groups = line.of_groups(&[vec![0, 1], vec![2, 3], vec![2]]);
        assert_eq!(groups.values, [Some((2.0, Some(1.0))), Some((7.0, None)), None]);
        let equal = Line { values: vec![Some((0.1 + 0.2, None)), Some((0.3, None))], ..line };
        assert_eq!(equal.of_groups(&[vec![0, 1]]).values[0].expect("a mean").1, Some(0.0));
    }

    #[test]
    fn what_differs_between_runs_is_told_with_all_its_values() {
        let run = |seed: &str, lacks: bool| {
            let mut run = Measures::new("a run");
            run.provenance = vec![Fact { name: "Seed".into(), value: seed.into() }];
            if lacks {
                run.absent = vec![Absent { name: "likelihood".into(), reason: "none".into() }];
            }
            run
        };
        let mean = Measures::mean("three", &[run("1", true), run("2", false), run("1", true)]);
        assert_eq!(mean.fact("Seed"), Some("1, 2"));
        assert_eq!(mean.absent.len(), 1);
        assert_eq!(mean.absent[0].reason, "2 of 3 runs: none");
    }
}
