//! What came of the runs of a sweep, as tables and as a page.

use std::{collections::BTreeMap, fs, io::Write, path::Path};

use anyhow::{Context, Result};
use multivae::{
    report::{Comparison, Line, Measures, text},
    run::files::{self, NewFolder},
};

use super::{
    plan::{Plan, Point},
    point::{Place, State},
};
use crate::terminal;

/// The runs of a sweep and what was measured of those that are done.
pub(crate) struct Results<'a> {
    plan: &'a Plan,
    states: Vec<State>,
    /// The groups with the points of each, all that the plan asks for, in its order.
    groups: Vec<(&'a str, Vec<usize>)>,
    /// The runs that were measured, by their place in the plan.
    measured: BTreeMap<usize, Measures>,
    lines: Vec<Line>,
}

impl<'a> Results<'a> {
    pub(crate) fn new(
        plan: &'a Plan,
        states: Vec<State>,
        measured: BTreeMap<usize, Measures>,
    ) -> Self {
        let mut groups: Vec<(&str, Vec<usize>)> = Vec::new();
        for (i, point) in plan.points.iter().enumerate() {
            match groups.iter_mut().find(|(name, _)| *name == point.group) {
                Some((_, points)) => points.push(i),
                None => groups.push((&point.group, vec![i])),
            }
        }
        let runs = measured.iter().map(|(&i, m)| (plan.points[i].name.clone(), m.clone()));
        let lines = Comparison { runs: runs.collect() }.lines();
        Self { plan, states, groups, measured, lines }
    }

    /// How far the sweep is, in a line.
    pub(crate) fn progress(&self) -> String {
        let count = |is: fn(&State) -> bool| self.states.iter().filter(|state| is(state)).count();
        let done = count(|state| *state == State::Done);
        let rest = [
            (count(|state| matches!(state, State::Refused(_))), "refused"),
            (count(|state| matches!(state, State::Failed(_))), "failed"),
            (count(|state| *state == State::Open), "to go"),
        ];
        let rest = rest.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!(", {n} {what}"));
        format!("{done} of {} runs done{}", self.states.len(), rest.collect::<String>())
    }

    /// The places of a group's runs among those that were measured.
    fn places(&self) -> Vec<Vec<usize>> {
        let place = |point: &usize| self.measured.keys().position(|key| key == point);
        self.groups.iter().map(|(_, points)| points.iter().filter_map(place).collect()).collect()
    }

    /// The lines that are looked at, averaged over the runs of each group.
    fn shown(&self) -> Vec<Line> {
        let groups = self.places();
        let columns = &self.plan.shown.columns;
        let chosen: Vec<&Line> = match columns.is_empty() {
            true => self.lines.iter().filter(|line| line.first).collect(),
            false => {
                let find = |name: &String| self.lines.iter().find(|line| line.name == *name);
                columns.iter().filter_map(find).collect()
            }
        };
        chosen.into_iter().map(|line| line.of_groups(&groups)).collect()
    }

    /// A row for each group: its name, how many of its runs are done, and what is looked at.
    fn rows(&self) -> (Vec<String>, Vec<Vec<String>>) {
        let lines = self.shown();
        let mut head = vec!["run".to_owned(), "done".to_owned()];
        head.extend(lines.iter().map(|line| line.name.clone()));
        let row = |(i, (name, points)): (usize, &(&str, Vec<usize>))| {
            let done = points.iter().filter(|&&p| self.measured.contains_key(&p)).count();
            let mut row = vec![(*name).to_owned(), format!("{done}/{}", points.len())];
            let value = |line: &Line| {
                line.values[i].map_or_else(|| "-".to_owned(), |(value, error)| text(value, error))
            };
            row.extend(lines.iter().map(value));
            row
        };
        (head, self.groups.iter().enumerate().map(row).collect())
    }

    /// The table for the terminal, and why runs are not in it.
    pub(crate) fn text(&self) -> String {
        let (head, rows) = self.rows();
        let head: Vec<&str> = head.iter().map(String::as_str).collect();
        let mut text = terminal::table(&head, &rows);
        for line in self.reasons() {
            text += &format!("\n{line}");
        }
        text
    }

    fn reasons(&self) -> Vec<String> {
        let reason = |(point, state): (&Point, &State)| match state {
            State::Refused(reason) => Some(format!("{} refused: {reason}", point.name)),
            State::Failed(reason) => Some(format!("{} failed: {reason}", point.name)),
            State::Open | State::Done => None,
        };
        let reasons = self.plan.points.iter().zip(&self.states).filter_map(reason);
        reasons.chain(self.absent()).collect()
    }

    /// Columns that are asked for and that nothing was measured of.
    fn absent(&self) -> Option<String> {
        let measured = |name: &String| self.lines.iter().any(|line| line.name == *name);
        let absent = self.plan.shown.columns.iter().filter(|name| !measured(name));
        let quoted: Vec<String> = absent.map(|name| format!("`{name}`")).collect();
        if quoted.is_empty() || self.lines.is_empty() {
            return None;
        }
        let names: Vec<&str> = self.lines.iter().map(|line| line.name.as_str()).collect();
        let [quoted, names] = [quoted.join(", "), names.join("; ")];
        Some(format!("`table.columns`: there is no {quoted}; there are {names}"))
    }

    /// Writes `runs.csv`, `groups.csv`, `table.md` and the page `report/report.html`.
    pub(crate) fn save(&self, folder: &Path) -> Result<()> {
        let write = |name: &str, text: String| {
            files::write_whole(&folder.join(name), |file| file.write_all(text.as_bytes()))
        };
        write("runs.csv", self.runs_csv()?)?;
        write("groups.csv", self.groups_csv()?)?;
        write("table.md", self.markdown())?;
        let page = folder.join("report");
        if self.measured.is_empty() {
            return Ok(());
        }
        let mean = |(name, points): &(&str, Vec<usize>)| {
            let own = points.iter().filter_map(|point| self.measured.get(point).cloned());
            let own: Vec<Measures> = own.collect();
            (!own.is_empty()).then(|| ((*name).to_owned(), Measures::mean(name, &own)))
        };
        let runs = self.groups.iter().filter_map(mean).collect();
        let new = NewFolder::new(&page)?;
        Comparison { runs }.save(new.path())?;
        if page.is_dir() {
            new.replace()?
        } else {
            new.finish()?
        };
        Ok(())
    }

    /// A row for each run with all its numbers.
    fn runs_csv(&self) -> Result<String> {
        let keys: Vec<&str> = match self.plan.points.first() {
            Some(point) => point.settings.iter().map(|(key, _)| key.as_str()).collect(),
            None => Vec::new(),
        };
        let mut head = vec!["run".to_owned(), "state".to_owned(), "reason".to_owned()];
        head.extend(keys.iter().map(|key| (*key).to_owned()));
        head.extend(self.lines.iter().map(|line| line.name.clone()));
        let row = |(i, (point, state)): (usize, (&Point, &State))| {
            let (state, reason) = match state {
                State::Open => ("open", ""),
                State::Done => ("done", ""),
                State::Refused(reason) => ("refused", reason.as_str()),
                State::Failed(reason) => ("failed", reason.as_str()),
            };
            let mut row = vec![point.name.clone(), state.to_owned(), reason.to_owned()];
            row.extend(point.settings.iter().map(|(_, value)| value.clone()));
            let place = self.measured.keys().position(|&key| key == i);
            let value = |line: &Line| {
                let value = place.and_then(|place| line.values[place]);
                value.map_or_else(String::new, |(value, _)| value.to_string())
            };
            row.extend(self.lines.iter().map(value));
            row
        };
        let rows = self.plan.points.iter().zip(&self.states).enumerate().map(row);
        csv(std::iter::once(head).chain(rows))
    }

    /// A row for each group with the means of all numbers and their standard errors.
    fn groups_csv(&self) -> Result<String> {
        let places = self.places();
        let lines: Vec<Line> = self.lines.iter().map(|line| line.of_groups(&places)).collect();
        let mut head = vec!["run".to_owned(), "done".to_owned(), "of".to_owned()];
        for line in &lines {
            head.extend([line.name.clone(), format!("{}, standard error", line.name)]);
        }
        let row = |(i, (name, points)): (usize, &(&str, Vec<usize>))| {
            let done = places[i].len();
            let mut row = vec![(*name).to_owned(), done.to_string(), points.len().to_string()];
            for line in &lines {
                let (value, error) = line.values[i].unzip();
                let error = error.flatten();
                row.extend([value, error].map(|x| x.map_or_else(String::new, |x| x.to_string())));
            }
            row
        };
        csv(std::iter::once(head).chain(self.groups.iter().enumerate().map(row)))
    }

    /// What the terminal shows, for a page of documentation.
    fn markdown(&self) -> String {
        let (head, rows) = self.rows();
        let line = |cells: &[String]| {
            let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
            format!("| {} |\n", cells.join(" | "))
        };
        let mut text = format!("{}.\n\n{}", self.progress(), line(&head));
        text += &format!("|---|{}\n", "---:|".repeat(head.len() - 1));
        rows.iter().for_each(|row| text += &line(row));
        let reasons: Vec<String> = self.reasons().iter().map(|r| format!("- {r}\n")).collect();
        if !reasons.is_empty() {
            text += &format!("\n{}", reasons.concat());
        }
        text
    }
}

/// Rows as CSV.
fn csv(rows: impl Iterator<Item = Vec<String>>) -> Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer.write_record(row)?;
    }
    let bytes = writer.into_inner().map_err(|error| error.into_error())?;
    Ok(String::from_utf8(bytes)?)
}

/// Reads the measures of the runs that are done.
pub(crate) fn read<'a>(plan: &'a Plan, places: &[Place]) -> Result<Results<'a>> {
    let states = places.iter().map(|place| place.state(&plan.evaluate));
    let states = states.collect::<Result<Vec<_>>>()?;
    let done = states.iter().zip(places).enumerate().filter(|(_, (s, _))| **s == State::Done);
    let read = |(i, (_, place)): (usize, (_, &Place))| Ok((i, place.measures()?));
    let measured = done.map(read).collect::<Result<_>>()?;
    Ok(Results::new(plan, states, measured))
}

/// Writes a script for SLURM with a task for each run.
pub(crate) fn slurm(path: &Path, sweep: &Path, out: &Path, runs: usize) -> Result<()> {
    let absolute = |path: &Path| {
        let path = fs::canonicalize(path).or_else(|_| std::path::absolute(path));
        path.map(|path| quoted(&path.display().to_string())).context("a path cannot be resolved")
    };
    let (sweep, out) = (absolute(sweep)?, absolute(out)?);
    let text = format!(
        "#!/bin/bash\n\
         #SBATCH --job-name=multivae-sweep\n\
         #SBATCH --array=1-{runs}\n\
         #SBATCH --cpus-per-task=2\n\
         # A run that was stopped goes on where it was when the script is submitted again.\n\
         # When all are done: multivae sweep {sweep} --out {out} --collect\n\
         set -euo pipefail\n\
         export RAYON_NUM_THREADS=\"${{SLURM_CPUS_PER_TASK:-2}}\"\n\
         multivae sweep {sweep} --out {out} --only \"$SLURM_ARRAY_TASK_ID\"\n"
    );
    Ok(files::write_whole(path, |file| file.write_all(text.as_bytes()))?)
}

/// A word for a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use multivae::metrics::Entry;

    use super::*;

    fn plan() -> Plan {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("sweep.toml");
        let text = "[grid]\nmodel.name = [\"mvae\", \"jnf\"]\ntrain.seed = [0, 1]\n";
        std::fs::write(&path, text).expect("writable");
        Plan::read(&path).expect("valid")
    }

    fn measures(elbo: f64) -> Measures {
        let entry = Entry {
            report: "evaluation".into(),
            measure: "elbo".into(),
            given: vec![],
            target: String::new(),
            value: elbo,
            standard_error: Some(5.0),
            count: 10,
        };
        Measures { entries: vec![entry], ..Measures::new("a run") }
    }

    fn results(plan: &Plan) -> Results<'_> {
        let states = vec![
            State::Done,
            State::Done,
            State::Refused("rows lack one, \"a\"".into()),
            State::Open,
        ];
        let measured = BTreeMap::from([(0, measures(-10.0)), (1, measures(-14.0))]);
        Results::new(plan, states, measured)
    }

    #[test]
    fn a_table_has_the_means_of_groups_and_says_what_is_not_in_it() {
        let plan = plan();
        let results = results(&plan);
        assert_eq!(results.progress(), "2 of 4 runs done, 1 refused, 1 to go");
        let (head, rows) = results.rows();
        assert_eq!(head.len(), 3, "{head:?}");
        assert_eq!(rows, [["mvae", "2/2", "−12.0 ± 2.0"], ["jnf", "0/2", "-"]]);
        assert!(results.text().contains("jnf-seed=0 refused: rows lack one"));
        let markdown = results.markdown();
        assert!(markdown.starts_with("2 of 4 runs done, 1 refused, 1 to go.\n\n| run |"));
    }

    #[test]
    fn files_hold_every_run_and_every_group() {
        let plan = plan();
        let folder = tempfile::tempdir().expect("a folder");
        results(&plan).save(folder.path()).expect("writable");
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).expect("written");
        let runs = read("runs.csv");
        let lines: Vec<&str> = runs.lines().collect();
        assert!(lines[0].starts_with("run,state,reason,model.name,train.seed,"), "{runs}");
        assert_eq!(lines[1], "mvae-seed=0,done,,mvae,0,-10");
        assert_eq!(lines[3], "jnf-seed=0,refused,\"rows lack one, \"\"a\"\"\",jnf,0,");
        assert_eq!(lines[4], "jnf-seed=1,open,,jnf,1,");
        let groups = read("groups.csv");
        assert_eq!(groups.lines().nth(1), Some("mvae,2,2,-12,2"));
        assert!(read("report/report.html").contains("−12.0"));
    }

    #[test]
    fn a_column_that_is_not_there_is_left_out_and_said_with_those_that_are() {
        let mut plan = plan();
        plan.shown.columns.push("speed".into());
        let results = results(&plan);
        for text in [results.text(), results.markdown()] {
            assert!(text.contains("there is no `speed`; there are evaluation: "), "{text}");
        }
    }
}
