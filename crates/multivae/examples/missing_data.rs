//! Missing data: training with a third of the entries missing, then imputation of a whole modality
//! and of single cells.
//!
//! ```text
//! $ cargo run --release --example missing_data
//! 1317 of 1400 training rows lack something
//! `kar` from the other modalities: 0.76
//! a third of its cells from all that is left: 0.76
//! ```

use std::error::Error;
use std::sync::Arc;

use multivae::{
    data::{MissingConfig, Pattern},
    prelude::*,
};

#[expect(clippy::print_stdout, reason = "it is a program")]
fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    // Six feature sets of 2000 handwritten numerals, standardised. In training and validation rows
    // the first is kept and each of the five others is missing with probability 0.4: a third of all.
    let missing = MissingConfig { pattern: Pattern::Mcar, rate: 0.4, seed: 0 };
    let data = DataConfig { missing, ..DataConfig::new("mfeat") }.open()?;
    let specs = data.train.modalities().to_vec();
    println!(
        "{} of {} training rows lack something",
        data.train.incomplete_rows(),
        data.train.len()
    );

    let device = Device::flex();
    device.seed(0);
    let config = ModelConfig::named("mvtcae").expect("a model of the list");
    let model = config.with_modalities(&specs)?.init(&Networks::default(), &device)?;
    let run = tempfile::tempdir()?;
    let settings = TrainConfig { epochs: 10, ..TrainConfig::default() };
    let (train, valid) = (Arc::new(data.train), Arc::new(data.valid));
    let fitted = Trainer::new(settings, run.path()).fit(model, train, valid)?;
    let model = fitted.model.generator()?;

    // The test rows are complete, so that what is imputed can be compared with what was hidden.
    let rows: Vec<usize> = (0..data.test.len()).collect();
    let batch = data.test.batch(&rows, &device)?;
    let target = Subset::named(&specs, ["kar"])?;
    let m = target.iter().next().expect("one modality");
    let truth = batch.values()[m].dense().expect("a table").clone();
    // Outputs of a decoder with a normal likelihood are means, `[samples, batch, features]`.
    let impute = |batch: &Batch, given: Subset| {
        let latent = model.encode(batch, given, Draws::Mean, &mut Noise::zero());
        model.decode(&latent, target).remove(0).squeeze_dim::<2>(0)
    };
    // Root mean squared error where `hidden` is 1; the mean of the training rows would have about 1.
    let error = |imputed: Tensor<2>, hidden: Tensor<2>| {
        let squares = (imputed - truth.clone()).square() * hidden.clone();
        (squares.sum() / hidden.sum()).sqrt().into_scalar::<f32>()
    };

    let others = Subset::new((0..specs.len()).filter(|&other| other != m))?;
    let imputed = impute(&batch, others);
    println!("`kar` from the other modalities: {:.2}", error(imputed, truth.ones_like()));

    // A third of the cells of `kar`, the rest of it and all other modalities being observed. What
    // stands in a hidden cell is never read.
    let uniform = Noise::seeded(1).uniform(truth.dims(), 0, &device);
    let observed = uniform.greater_equal_scalar(1.0 / 3.0).float();
    let mut cells = vec![None; specs.len()];
    cells[m] = Some(observed.clone());
    let batch = batch.with_cells(cells)?;
    let imputed = impute(&batch, Subset::full(specs.len()));
    println!("a third of its cells from all that is left: {:.2}", error(imputed, 1.0 - observed));
    Ok(())
}
