//! Work that waits for one of a few threads.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc::{self, RecvTimeoutError, Sender},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use super::refusal::Refusal;

type Job = Box<dyn FnOnce() + Send>;

/// Threads that do one thing after the other, for as many requests at a time as there are places.
pub(super) struct Queue {
    jobs: Sender<Job>,
    /// Requests that are there.
    there: Arc<AtomicUsize>,
    /// Those of them that are computed.
    computed: Arc<AtomicUsize>,
    places: usize,
}

/// A request that is there, until it has its answer.
pub(super) struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

impl Queue {
    pub(super) fn new(threads: usize, places: usize) -> Result<Self> {
        let (jobs, waiting) = mpsc::channel::<Job>();
        let waiting = Arc::new(Mutex::new(waiting));
        for number in 0..threads {
            let waiting = waiting.clone();
            let work = move || {
                loop {
                    let next = lock(&waiting).recv();
                    let Ok(job) = next else { return };
                    // The message of a panic is on standard error already.
                    let _ = catch_unwind(AssertUnwindSafe(job));
                }
            };
            let thread = thread::Builder::new().name(format!("answers-{number}"));
            thread.spawn(work).context("no thread to compute answers can be started")?;
        }
        let (there, computed) = <(Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
        Ok(Self { jobs, there, computed, places })
    }

    /// A place for a request, if there is one.
    pub(super) fn place(&self) -> Result<Place, Refusal> {
        let free = |there: usize| (there < self.places).then_some(there + 1);
        match self.there.fetch_update(SeqCst, SeqCst, free) {
            Ok(_) => Ok(Place(self.there.clone())),
            Err(_) => {
                let message = "the service has as many requests as it takes at a time: ask later";
                Err(Refusal::new(503, "busy", message))
            }
        }
    }

    /// How many requests are computed, and how many wait or are read.
    pub(super) fn counts(&self) -> (usize, usize) {
        let computed = self.computed.load(SeqCst);
        (computed, self.there.load(SeqCst).saturating_sub(computed))
    }

    /// Does the work of a request in its turn and waits for it until its end.
    pub(super) fn run<T: Send + 'static>(
        &self,
        place: Place,
        end: Instant,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let waited = || {
            let message = "the request has waited as long as it may: ask later";
            Refusal::new(503, "busy", message)
        };
        let begun = Arc::new(AtomicUsize::new(0));
        let (answer, answers) = mpsc::sync_channel(1);
        let (begins, computed) = (begun.clone(), self.computed.clone());
        let job = move || {
            if Instant::now() >= end {
                return;
            }
            begins.store(1, SeqCst);
            computed.fetch_add(1, SeqCst);
            let counted = Place(computed);
            let found = work();
            // Who has the answer finds the place free.
            drop((counted, place));
            // Nobody may wait for it any more.
            let _ = answer.send(found);
        };
        self.jobs.send(Box::new(job)).map_err(|_| Refusal::internal())?;
        let left = end.saturating_duration_since(Instant::now());
        match answers.recv_timeout(left) {
            Ok(answer) => Ok(answer),
            Err(RecvTimeoutError::Timeout) if begun.load(SeqCst) == 1 => Err(Refusal::too_late()),
            Err(RecvTimeoutError::Timeout) => Err(waited()),
            Err(RecvTimeoutError::Disconnected) if begun.load(SeqCst) == 0 => Err(waited()),
            Err(RecvTimeoutError::Disconnected) => Err(Refusal::internal()),
        }
    }
}

/// At most so many at a time; further ones wait.
pub(super) struct Gate {
    open: Mutex<usize>,
    changed: Condvar,
    most: usize,
}

impl Gate {
    pub(super) fn new(most: usize) -> Self {
        Self { open: Mutex::new(0), changed: Condvar::new(), most }
    }

    /// Waits until there is room.
    pub(super) fn enter(self: &Arc<Self>) -> Inside {
        let open = lock(&self.open);
        let mut open = self
            .changed
            .wait_while(open, |open| *open >= self.most)
            .unwrap_or_else(PoisonError::into_inner);
        *open += 1;
        Inside(self.clone())
    }

    /// Waits until all have left; says whether they did in time.
    pub(super) fn empty_within(&self, time: Duration) -> bool {
        let open = lock(&self.open);
        let waited = self.changed.wait_timeout_while(open, time, |open| *open > 0);
        *waited.unwrap_or_else(PoisonError::into_inner).0 == 0
    }
}

/// One that has entered, until it leaves.
pub(super) struct Inside(Arc<Gate>);

impl Drop for Inside {
    fn drop(&mut self) {
        *lock(&self.0.open) -= 1;
        self.0.changed.notify_all();
    }
}

/// What is locked here is whole at any moment, whoever panics.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    #[test]
    fn no_more_is_computed_at_a_time_than_there_are_threads() {
        let queue = Queue::new(2, 64).expect("threads");
        let (now, most) = <(Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let (now, most) = (now.clone(), most.clone());
                    let work = move || {
                        most.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
                        thread::sleep(Duration::from_millis(5));
                        now.fetch_sub(1, SeqCst);
                    };
                    let place = queue.place().expect("there are 64");
                    queue.run(place, soon(), work).expect("there is time");
                });
            }
        });
        assert_eq!((most.load(SeqCst), queue.counts()), (2, (0, 0)));
    }

    #[test]
    fn who_finds_no_place_or_waits_too_long_is_told_to_come_later() {
        let queue = Queue::new(1, 2).expect("a thread");
        let places = [queue.place().expect("one"), queue.place().expect("two")];
        assert_eq!(queue.place().map(|_| ()).expect_err("no third").status, 503);
        drop(places);
        let (begun, free) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
        let place = queue.place().expect("free again");
        thread::scope(|scope| {
            let (begins, waits) = (begun.clone(), free.clone());
            let long = scope.spawn(|| {
                queue.run(place, Instant::now() + Duration::from_secs(1), move || {
                    begins.wait();
                    waits.wait();
                })
            });
            begun.wait();
            let place = queue.place().expect("the second");
            let late = queue.run(place, Instant::now() + Duration::from_millis(10), || ());
            assert_eq!(late.expect_err("it never began").status, 503);
            assert_eq!(long.join().expect("no panic").expect_err("too long").status, 504);
            free.wait();
        });
        let end = soon();
        while queue.counts() != (0, 0) {
            assert!(Instant::now() < end, "places are given back");
            thread::yield_now();
        }
        queue.run(queue.place().expect("free"), end, || ()).expect("it goes on");
    }

    #[test]
    fn a_panic_is_an_error_of_its_request_only() {
        let queue = Queue::new(1, 2).expect("a thread");
        let place = || queue.place().expect("a place");
        let failed = queue.run(place(), soon(), || panic!("of this request"));
        assert_eq!(failed.map(|(): ()| ()).expect_err("no answer").status, 500);
        assert_eq!(queue.run(place(), soon(), || 3), Ok(3));
        assert_eq!(queue.counts(), (0, 0));
    }

    #[test]
    fn a_gate_lets_so_many_in() {
        let gate = Arc::new(Gate::new(1));
        let first = gate.enter();
        assert!(!gate.empty_within(Duration::from_millis(1)));
        let other = gate.clone();
        let second = thread::spawn(move || drop(other.enter()));
        drop(first);
        second.join().expect("it got in");
        assert!(gate.empty_within(Duration::ZERO));
    }
}
