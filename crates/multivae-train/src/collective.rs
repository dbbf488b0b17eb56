//! Processes, or threads, that make the steps of one run together.
//!
//! Each of them, a *rank*, has the whole model and takes its share of every batch. What they tell each
//! other are sums of gradients, and the numbers from which all draw the same conclusions. Nothing here
//! knows by what they are connected.

use std::{
    fmt::Display,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

use crate::{Result, TrainError};

/// Ranks of one run, as one of them sees them.
///
/// All methods but [`abort`](Self::abort) are called by all ranks in the same order, with values of the
/// same lengths, and return when all have called them. What they give is the same on all ranks, bit for
/// bit.
///
/// # Errors
///
/// All of them give [`TrainError::Rank`] when a rank has gone, if the process lives to see it.
pub trait Collective: Send + Sync {
    /// Which of the ranks this is, from 0. The first one writes.
    fn rank(&self) -> usize;

    /// How many there are.
    fn ranks(&self) -> usize;

    /// Puts the sum over all ranks in the place of each value.
    ///
    /// # Errors
    ///
    /// See [`Collective`].
    fn sum(&self, values: &mut [f32]) -> Result<()>;

    /// The numbers of all ranks, those of rank 0 first.
    ///
    /// # Errors
    ///
    /// See [`Collective`].
    fn gather(&self, numbers: &[f64]) -> Result<Vec<f64>>;

    /// Gives the bytes of one rank to all of them; the others may come with any.
    ///
    /// # Errors
    ///
    /// See [`Collective`].
    fn share(&self, bytes: &mut Vec<u8>, from: usize) -> Result<()>;

    /// Ends the run on all ranks, wherever they are, since this one cannot go on. May end the process,
    /// after writing the reason to standard error.
    fn abort(&self, reason: &str);

    /// Whether this is the rank that writes.
    fn is_first(&self) -> bool {
        self.rank() == 0
    }

    /// Whether there are others.
    fn is_several(&self) -> bool {
        self.ranks() > 1
    }
}

/// A run on its own.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alone;

impl Collective for Alone {
    fn rank(&self) -> usize {
        0
    }

    fn ranks(&self) -> usize {
        1
    }

    fn sum(&self, _: &mut [f32]) -> Result<()> {
        Ok(())
    }

    fn gather(&self, numbers: &[f64]) -> Result<Vec<f64>> {
        Ok(numbers.to_vec())
    }

    fn share(&self, _: &mut Vec<u8>, _: usize) -> Result<()> {
        Ok(())
    }

    fn abort(&self, _: &str) {}
}

/// A result that all ranks have alike: if one of them has failed, all have, those that did not by
/// [`TrainError::Rank`].
///
/// # Errors
///
/// What this rank has failed by, or the first that did.
pub fn agree<T, E>(ranks: &dyn Collective, mine: Result<T, E>) -> Result<T, E>
where
    E: Display + From<TrainError>,
{
    if !ranks.is_several() {
        return mine;
    }
    let failed = match ranks.gather(&[f64::from(u8::from(mine.is_err()))]) {
        Ok(failed) => failed,
        Err(gone) => return mine.and(Err(gone.into())),
    };
    let Some(first) = failed.iter().position(|&failed| failed != 0.0) else { return mine };
    // With its causes, where the error has them.
    let reason = mine.as_ref().err().map_or_else(String::new, |error| format!("{error:#}"));
    let mut reason = reason.into_bytes();
    ranks.share(&mut reason, first)?;
    match mine {
        Err(error) if first == ranks.rank() => Err(error),
        _ => {
            let reason = String::from_utf8_lossy(&reason).into_owned();
            Err(TrainError::Rank { rank: first, reason }.into())
        }
    }
}

/// Ends the run on all ranks if this one panics before the guard is dropped.
pub(crate) struct Together<'a>(pub(crate) &'a dyn Collective);

impl Drop for Together<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.abort("it has panicked");
        }
    }
}

/// A rank that is a thread of this process, for tests and for what is to be tried without a cluster.
///
/// ```
/// use std::thread;
///
/// use multivae_train::{Collective, Threads};
///
/// let sums = thread::scope(|scope| {
///     let ranks = Threads::new(3).into_iter();
///     let sum = |rank: Threads| {
///         let mut value = [1.0 + rank.rank() as f32];
///         rank.sum(&mut value).map(|()| value[0])
///     };
///     let threads: Vec<_> = ranks.map(|rank| scope.spawn(move || sum(rank))).collect();
///     threads.into_iter().map(|t| t.join().expect("no panic")).collect::<Result<Vec<_>, _>>()
/// })?;
/// assert_eq!(sums, [6.0; 3]);
/// # Ok::<(), multivae_train::TrainError>(())
/// ```
pub struct Threads {
    rank: usize,
    room: Arc<Room>,
}

/// Where threads meet.
struct Room {
    ranks: usize,
    state: Mutex<Meeting>,
    changed: Condvar,
}

/// What is on the table.
struct Meeting {
    /// What each rank has brought.
    brought: Vec<Option<Vec<u8>>>,
    /// How many have taken what the others brought.
    taken: usize,
    /// Who has gone, and why.
    gone: Option<(usize, String)>,
}

impl Threads {
    /// So many ranks, each for a thread of its own.
    pub fn new(ranks: usize) -> Vec<Self> {
        let meeting = Meeting { brought: vec![None; ranks], taken: 0, gone: None };
        let room = Room { ranks, state: Mutex::new(meeting), changed: Condvar::new() };
        let room = Arc::new(room);
        (0..ranks).map(|rank| Self { rank, room: Arc::clone(&room) }).collect()
    }

    /// Brings something, and takes what all have brought.
    fn meet(&self, mine: Vec<u8>) -> Result<Vec<Vec<u8>>> {
        let wait = |state| {
            let state: MutexGuard<'_, Meeting> =
                self.room.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            state
        };
        let mut state = self.state();
        // Who is quick may be here again before the others have left.
        while state.brought[self.rank].is_some() && state.gone.is_none() {
            state = wait(state);
        }
        state.brought[self.rank] = Some(mine);
        self.room.changed.notify_all();
        while state.brought.iter().any(Option::is_none) && state.gone.is_none() {
            state = wait(state);
        }
        if let Some((rank, reason)) = &state.gone {
            return Err(TrainError::Rank { rank: *rank, reason: reason.clone() });
        }
        let all = state.brought.iter().flatten().cloned().collect();
        state.taken += 1;
        if state.taken == self.room.ranks {
            state.taken = 0;
            state.brought.fill(None);
            self.room.changed.notify_all();
        }
        Ok(all)
    }

    fn state(&self) -> MutexGuard<'_, Meeting> {
        self.room.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collective for Threads {
    fn rank(&self) -> usize {
        self.rank
    }

    fn ranks(&self) -> usize {
        self.room.ranks
    }

    fn sum(&self, values: &mut [f32]) -> Result<()> {
        let all = self.meet(values.iter().flat_map(|value| value.to_le_bytes()).collect())?;
        values.fill(0.0);
        for bytes in all {
            assert_eq!(bytes.len(), size_of_val(values), "all ranks sum as many values");
            for (sum, value) in values.iter_mut().zip(bytes.as_chunks().0) {
                *sum += f32::from_le_bytes(*value);
            }
        }
        Ok(())
    }

    fn gather(&self, numbers: &[f64]) -> Result<Vec<f64>> {
        let all = self.meet(numbers.iter().flat_map(|number| number.to_le_bytes()).collect())?;
        let equal = all.iter().all(|bytes| bytes.len() == size_of_val(numbers));
        assert!(equal, "all ranks give as many numbers");
        let number = |bytes: &[u8; 8]| f64::from_le_bytes(*bytes);
        Ok(all.iter().flat_map(|bytes| bytes.as_chunks().0).map(number).collect())
    }

    fn share(&self, bytes: &mut Vec<u8>, from: usize) -> Result<()> {
        let mine = if self.rank == from { std::mem::take(bytes) } else { Vec::new() };
        *bytes = self.meet(mine)?.swap_remove(from);
        Ok(())
    }

    fn abort(&self, reason: &str) {
        let mut state = self.state();
        state.gone.get_or_insert_with(|| (self.rank, reason.to_owned()));
        self.room.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    /// What each of so many ranks gives.
    fn each<T: Send>(ranks: usize, call: impl Fn(&Threads) -> T + Sync) -> Vec<T> {
        let call = &call;
        thread::scope(|scope| {
            let threads: Vec<_> = Threads::new(ranks)
                .into_iter()
                .map(|rank| scope.spawn(move || call(&rank)))
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        })
    }

    #[test]
    fn ranks_have_the_same_sums_numbers_and_bytes() {
        let found = each(3, |rank| {
            let own = rank.rank() as f32;
            let mut all = Vec::new();
            // Several rounds, in which some are quicker than others.
            for round in 0..50 {
                let mut values = [own, 1.0, round as f32];
                rank.sum(&mut values).expect("all are there");
                let numbers = rank.gather(&[f64::from(own), 7.0]).expect("all are there");
                let mut bytes = vec![rank.rank() as u8; 1 + rank.rank()];
                rank.share(&mut bytes, round % 3).expect("all are there");
                all.push((values, numbers, bytes));
            }
            all
        });
        assert!(found.iter().all(|all| *all == found[0]));
        let expected = ([3.0, 3.0, 123.0], vec![0.0, 7.0, 1.0, 7.0, 2.0, 7.0], vec![2; 3]);
        assert_eq!(found[0][41], expected);
    }

    #[test]
    fn all_fail_if_one_has_failed_and_know_the_reason() {
        let found = each(3, |rank| {
            let mine = match rank.rank() {
                0 => Ok(()),
                own => Err(TrainError::config("epochs", "at least 1", own)),
            };
            agree(rank, mine).expect_err("two have failed").to_string()
        });
        assert_eq!(found[1], "`epochs`: expected at least 1, found 1");
        assert_eq!(found[0], format!("rank 1 cannot go on: {}", found[1]));
        assert_eq!(found[2], found[0]);
    }

    #[test]
    fn whoever_waits_for_a_rank_that_has_gone_is_told() {
        let found = each(3, |rank| match rank.rank() {
            2 => {
                rank.abort("the disk is full");
                String::new()
            }
            _ => rank.gather(&[1.0]).expect_err("one has gone").to_string(),
        });
        assert_eq!(found[..2], ["rank 2 cannot go on: the disk is full"; 2]);
    }
}
