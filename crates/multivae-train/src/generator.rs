//! The generator of random numbers of a device, of which a backend may have one for the whole process.
//!
//! First weights are drawn from it after it was seeded, and a step seeds it for dropout: models that are
//! trained at once, on threads of one process, would draw each other's weights.

use std::sync::{PoisonError, RwLock};

static USED: RwLock<()> = RwLock::new(());

/// Draws first weights while no model takes a step and no others are drawn.
pub fn alone<T>(draw: impl FnOnce() -> T) -> T {
    let _guard = USED.write().unwrap_or_else(PoisonError::into_inner);
    draw()
}

/// Takes a step while no first weights are drawn; others take theirs at the same time, and share what is
/// drawn for dropout.
pub(crate) fn with_others<T>(step: impl FnOnce() -> T) -> T {
    let _guard = USED.read().unwrap_or_else(PoisonError::into_inner);
    step()
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicBool, Ordering},
        thread,
        time::Duration,
    };

    use super::*;

    #[test]
    fn weights_are_drawn_while_nobody_takes_a_step() {
        let drawing = AtomicBool::new(false);
        thread::scope(|threads| {
            for _ in 0..3 {
                threads.spawn(|| {
                    for _ in 0..20 {
                        with_others(|| assert!(!drawing.load(Ordering::SeqCst)));
                        alone(|| {
                            assert!(!drawing.swap(true, Ordering::SeqCst));
                            thread::sleep(Duration::from_micros(50));
                            drawing.store(false, Ordering::SeqCst);
                        });
                    }
                });
            }
        });
    }
}
