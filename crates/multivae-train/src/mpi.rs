//! Ranks that are processes, joined by MPI.

use std::{
    io::Write,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use mpi::{
    Threading,
    collective::SystemOperation,
    environment::Universe,
    topology::SimpleCommunicator,
    traits::{Communicator, CommunicatorCollectives, Root},
};

use crate::{Result, TrainError, collective::Collective, launcher::apart};

/// All processes that a launcher has started.
pub(crate) struct Mpi {
    rank: usize,
    ranks: usize,
    /// One thread at a time calls, whichever it is: that is all that is asked of the library. MPI ends
    /// when this is dropped.
    universe: Mutex<Universe>,
}

/// The largest message, in values: MPI counts by 32 bits.
const LARGEST: usize = 1 << 28;

impl Mpi {
    /// Joins the processes of which a variable of the launcher says that there are so many.
    pub(crate) fn join(variable: &str, size: usize) -> Result<Arc<dyn Collective>> {
        let refuse = |expected: &str, found: &str| TrainError::config("mpi", expected, found);
        let Some((universe, level)) = mpi::initialize_with_threading(Threading::Serialized) else {
            return Err(refuse("to be joined once in a process", "that it was joined before"));
        };
        if level < Threading::Serialized {
            let level = format!("{level:?}");
            return Err(refuse("a library that any thread may call, one at a time", &level));
        }
        let world = universe.world();
        let number = |n: i32| usize::try_from(n).expect("MPI counts from 0");
        let (rank, ranks) = (number(world.rank()), number(world.size()));
        if ranks != size {
            let expected = format!(
                "as many processes that know each other, and MPI knows {ranks}: start them by the \
                 `mpirun` of the library that the program was built with, or by `srun --mpi=pmix`"
            );
            return Err(apart(variable, size, &expected));
        }
        Ok(Arc::new(Self { rank, ranks, universe: Mutex::new(universe) }))
    }

    fn universe(&self) -> MutexGuard<'_, Universe> {
        self.universe.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with all processes, one thread at a time. Errors of the library end the run: that
    /// is how it handles them unless it is told otherwise.
    fn together<T>(&self, call: impl FnOnce(SimpleCommunicator) -> T) -> T {
        call(self.universe().world())
    }
}

impl Collective for Mpi {
    fn rank(&self) -> usize {
        self.rank
    }

    fn ranks(&self) -> usize {
        self.ranks
    }

    fn sum(&self, values: &mut [f32]) -> Result<()> {
        let mut mine = Vec::with_capacity(values.len().min(LARGEST));
        for values in values.chunks_mut(LARGEST) {
            mine.clear();
            mine.extend_from_slice(values);
            self.together(|world| {
                world.all_reduce_into(&mine[..], values, SystemOperation::sum());
            });
        }
        Ok(())
    }

    fn gather(&self, numbers: &[f64]) -> Result<Vec<f64>> {
        let mut all = vec![0.0; numbers.len() * self.ranks];
        self.together(|world| world.all_gather_into(numbers, &mut all[..]));
        Ok(all)
    }

    fn share(&self, bytes: &mut Vec<u8>, from: usize) -> Result<()> {
        let from = i32::try_from(from).expect("a rank");
        let mut length = bytes.len() as u64;
        self.together(|world| {
            let root = world.process_at_rank(from);
            root.broadcast_into(&mut length);
            bytes.resize(usize::try_from(length).expect("it has been in memory"), 0);
            for bytes in bytes.chunks_mut(LARGEST) {
                root.broadcast_into(bytes);
            }
        });
        Ok(())
    }

    /// Says on standard error which rank cannot go on, and why, and ends all processes.
    fn abort(&self, reason: &str) {
        // There is nowhere left to say that this failed.
        let _ = writeln!(std::io::stderr(), "error: rank {}: {reason}", self.rank);
        // Not behind the lock: another thread may wait for ranks that never come.
        SimpleCommunicator::world().abort(1)
    }
}

impl Drop for Mpi {
    fn drop(&mut self) {
        // MPI ends when all processes end it: the others would be waited for in vain.
        if std::thread::panicking() {
            self.abort("it has panicked");
        }
    }
}
