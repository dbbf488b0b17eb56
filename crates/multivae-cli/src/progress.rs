//! Bars on standard error, where that is a terminal.

use std::time::Duration;

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
