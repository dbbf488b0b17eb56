//! Bars on standard error, where that is a terminal.

use std::{cell::RefCell, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};
use multivae::core::dataset::Dataset;

use crate::watched::Watched;

/// Steps of a whole bar.
const STEPS: f64 = 1000.0;

/// A bar of some work; it is gone when the work is.
pub(crate) struct Bar(ProgressBar);

impl Bar {
    /// Data of which every row is read once, which tells the bar how far that is.
    pub(crate) fn watching<'a>(&'a self, data: &'a dyn Dataset) -> impl Dataset + 'a {
        let before = |rows: &[usize]| {
            if let Some(&first) = rows.first() {
                self.set(first as f64 / data.len() as f64);
            }
            Ok(())
        };
        Watched { data, before }
    }

    /// Of work with this name.
    pub(crate) fn new(name: &str) -> Self {
        let style = ProgressStyle::with_template("{prefix} [{bar:30}] {percent:>3} %, {elapsed}")
            .expect("the template is valid");
        let bar = ProgressBar::new(STEPS as u64).with_style(style).with_prefix(name.to_owned());
        // The time goes on where the work tells nothing.
        bar.enable_steady_tick(Duration::from_millis(500));
        Self(bar)
    }

    /// Shows the share of the work that is done.
    pub(crate) fn set(&self, done: f64) {
        self.0.set_position((done.clamp(0.0, 1.0) * STEPS) as u64);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// Bars of files that are moved, one after the other.
#[cfg(feature = "hub")]
#[derive(Default)]
pub(crate) struct Transfers(RefCell<Option<(String, Bar)>>);

#[cfg(feature = "hub")]
impl Transfers {
    /// Shows how many bytes of a file were moved.
    pub(crate) fn set(&self, name: &str, done: u64, all: u64) {
        let mut shown = self.0.borrow_mut();
        if shown.as_ref().is_none_or(|(other, _)| other != name) {
            *shown = Some((name.to_owned(), Bar::new(name)));
        }
        if let Some((_, bar)) = &*shown {
            bar.set(done as f64 / all.max(1) as f64);
        }
    }
}
