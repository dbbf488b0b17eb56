//! Bars on standard error, where that is a terminal.

use std::{cell::RefCell, time::Duration};

use burn::tensor::Device;
use indicatif::{ProgressBar, ProgressStyle};
use multivae::core::{
    batch::Batch,
    dataset::{Dataset, DatasetError},
    modality::ModalitySpec,
    subset::Subset,
};

/// Steps of a whole bar.
const STEPS: f64 = 1000.0;

/// A bar of some work; it is gone when the work is.
pub(crate) struct Bar(ProgressBar);

impl Bar {
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

/// Data of which every row is read once, which tells a bar how far that is.
pub(crate) struct Watched<'a> {
    data: &'a dyn Dataset,
    bar: &'a Bar,
}

impl<'a> Watched<'a> {
    pub(crate) fn new(data: &'a dyn Dataset, bar: &'a Bar) -> Self {
        Self { data, bar }
    }
}

impl Dataset for Watched<'_> {
    fn modalities(&self) -> &[ModalitySpec] {
        self.data.modalities()
    }

    fn len(&self) -> usize {
        self.data.len()
    }

    fn batch(&self, rows: &[usize], device: &Device) -> Result<Batch, DatasetError> {
        if let Some(&first) = rows.first() {
            self.bar.set(first as f64 / self.len() as f64);
        }
        self.data.batch(rows, device)
    }

    fn presence(&self, row: usize) -> Subset {
        self.data.presence(row)
    }

    fn label(&self, row: usize) -> Option<i64> {
        self.data.label(row)
    }

    fn id(&self, row: usize) -> String {
        self.data.id(row)
    }
}
