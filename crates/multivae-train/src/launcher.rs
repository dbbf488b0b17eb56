//! Whether this process is one of several that a launcher has started, and how they are joined.

use std::sync::Arc;

use crate::{
    Result, TrainError,
    collective::{Alone, Collective},
};

/// Variables by which launchers say how many processes they have started: those of Open MPI, of
/// MVAPICH, of MPICH and Intel MPI, and of a step of SLURM. The variables of a SLURM *job*, such as
/// `SLURM_NTASKS`, also stand in its batch script, which is one process.
const SIZES: [&str; 4] =
    ["OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"];

/// How many processes a launcher has started, and by which variable it says so; none for one.
fn launched(variable: impl Fn(&str) -> Option<String>) -> Option<(&'static str, usize)> {
    let size = |name: &'static str| {
        let size: usize = variable(name)?.trim().parse().ok()?;
        (size > 1).then_some((name, size))
    };
    SIZES.into_iter().find_map(size)
}

/// The ranks of this process: those of MPI, with the feature `mpi`, if a launcher such as `mpirun` or
/// `srun` has started several, otherwise [`Alone`]. To be called once in a process; MPI is ended when
/// what this gives is dropped.
///
/// # Errors
///
/// [`TrainError::Config`] if several processes were started that cannot be joined: without the feature,
/// or since the launcher is of another MPI. Each would train on its own, in the same directory.
pub fn join() -> Result<Arc<dyn Collective>> {
    joined(launched(|name| std::env::var(name).ok()))
}

fn joined(launched: Option<(&str, usize)>) -> Result<Arc<dyn Collective>> {
    let Some((variable, size)) = launched else { return Ok(Arc::new(Alone)) };
    #[cfg(feature = "mpi")]
    {
        crate::mpi::Mpi::join(variable, size)
    }
    #[cfg(not(feature = "mpi"))]
    Err(apart(
        variable,
        size,
        "a program with MPI: build it with `--features mpi` to train on all of them",
    ))
}

/// Checks that no launcher has started this process among several, for a task that is that of one.
///
/// # Errors
///
/// [`TrainError::Config`].
pub fn check_single() -> Result<()> {
    match launched(|name| std::env::var(name).ok()) {
        None => Ok(()),
        Some((variable, size)) => Err(apart(variable, size, "one, for this task")),
    }
}

/// Processes that do not know each other.
pub(crate) fn apart(variable: &str, size: usize, expected: &str) -> TrainError {
    let expected = format!(
        "{expected}; for runs that have nothing to do with each other, unset `{variable}` and give \
         each a directory"
    );
    TrainError::config("processes", expected, format!("{size}, by `{variable}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Option<(&'static str, usize)> {
        launched(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn several_processes_are_told_from_one_by_what_launchers_say() {
        assert_eq!(of(&[("OMPI_COMM_WORLD_SIZE", "4")]), Some(("OMPI_COMM_WORLD_SIZE", 4)));
        assert_eq!(of(&[("PMI_SIZE", "2")]), Some(("PMI_SIZE", 2)));
        assert_eq!(of(&[("SLURM_STEP_NUM_TASKS", "8")]), Some(("SLURM_STEP_NUM_TASKS", 8)));
        // One task, a batch script of a job of several tasks, an array of jobs.
        assert_eq!(of(&[("SLURM_STEP_NUM_TASKS", "1"), ("PMI_SIZE", "1")]), None);
        assert_eq!(of(&[("SLURM_NTASKS", "4"), ("SLURM_PROCID", "0")]), None);
        assert_eq!(of(&[("SLURM_ARRAY_TASK_COUNT", "12"), ("SLURM_NTASKS", "1")]), None);
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn one_process_is_alone() {
        let ranks = joined(None).expect("nothing to join");
        assert_eq!((ranks.rank(), ranks.ranks()), (0, 1));
    }

    #[cfg(not(feature = "mpi"))]
    #[test]
    fn several_processes_without_mpi_are_refused_and_the_feature_is_named() {
        let error = joined(Some(("OMPI_COMM_WORLD_SIZE", 4))).err().expect("refused").to_string();
        assert_eq!(
            error,
            "`processes`: expected a program with MPI: build it with `--features mpi` to train on \
             all of them; for runs that have nothing to do with each other, unset \
             `OMPI_COMM_WORLD_SIZE` and give each a directory, found 4, by `OMPI_COMM_WORLD_SIZE`"
        );
    }
}
