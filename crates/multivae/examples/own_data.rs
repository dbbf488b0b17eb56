//! A data set of one's own: rows that are made when they are asked for, some of them incomplete.
//!
//! ```text
//! $ cargo run --release --example own_data
//! elbo -7.60 nats over 256 rows
//! ```

use std::{error::Error, ops::Range, sync::Arc};

use multivae::{core::dataset::DatasetError, prelude::*};

/// Two sensors that see one angle: its cosine and sine, and the angle in eight sectors.
struct Angles {
    modalities: Vec<ModalitySpec>,
    rows: Range<usize>,
}

impl Angles {
    fn new(rows: Range<usize>) -> Self {
        let spec = |name, features| ModalitySpec::new(name, &[features]).expect("a valid name");
        Self { modalities: vec![spec("point", 2), spec("sector", 8)], rows }
    }

    fn angle(&self, row: usize) -> f64 {
        // Multiples of the golden ratio, by which the circle is filled evenly.
        ((self.rows.start + row) as f64 * 0.618_034).fract()
    }
}

impl Dataset for Angles {
    fn modalities(&self) -> &[ModalitySpec] {
        &self.modalities
    }

    fn len(&self) -> usize {
        self.rows.len()
    }

    /// Every third row lacks the sector.
    fn presence(&self, row: usize) -> Subset {
        if row % 3 == 2 { Subset::single(0) } else { Subset::full(2) }
    }

    /// All rows of a batch at once. A row that lacks a modality has any filler there.
    fn batch(&self, rows: &[usize], device: &Device) -> Result<Batch, DatasetError> {
        let table = |row: &dyn Fn(f64) -> Vec<f64>, features: usize| {
            let values: Vec<f64> = rows.iter().flat_map(|&r| row(self.angle(r))).collect();
            let values = Tensor::<1>::from_floats(values.as_slice(), device);
            Values::Dense(values.reshape([rows.len(), features]))
        };
        let point = |angle: f64| {
            let (sin, cos) = (angle * std::f64::consts::TAU).sin_cos();
            vec![cos, sin]
        };
        let sector = |angle: f64| {
            let sector = (angle * 8.0) as usize;
            (0..8).map(|s| f64::from(u8::from(s == sector))).collect()
        };
        let presence = rows.iter().map(|&row| self.presence(row)).collect();
        let presence = Presence::new(presence, 2, device);
        Ok(Batch::new(vec![table(&point, 2), table(&sector, 8)], presence)?)
    }
}

#[expect(clippy::print_stdout, reason = "it is a program")]
fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let [train, valid, test] = [0..1024, 1024..1280, 1280..1536].map(Angles::new);
    let device = Device::flex();
    device.seed(0);
    let config = ModelConfig::named("mvae").expect("a model of the list");
    let config = config.with_modalities(train.modalities())?;
    let model = config.init(&Networks::default(), &device)?;
    let run = tempfile::tempdir()?;
    let settings = TrainConfig { epochs: 5, ..TrainConfig::default() };
    let fitted = Trainer::new(settings, run.path()).fit(model, Arc::new(train), Arc::new(valid))?;
    let found = evaluate(fitted.model.density()?, &test, &EvaluateConfig::default(), &device)?;
    println!("elbo {:.2} nats over {} rows", found.elbo.mean, found.rows);
    Ok(())
}
