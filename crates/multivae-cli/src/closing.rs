//! What a run has come to, when it ends: a picture, and how often generated values show the right
//! class.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use burn::tensor::Device;
use multivae::{
    core::{
        dataset::Dataset,
        model::{Draws, MultimodalModel},
        noise::Noise,
        subset::Subset,
    },
    device::on_workers,
    metrics::{Classifiers, Coherence, CoherenceConfig, coherence},
    report::Row,
    run::{AlignedDataset, Run, RunError, RunFolder, evenly},
};

use crate::{
    classifier,
    generate::{means, original},
    picture,
    progress::Bar,
};

/// Columns of the picture.
const COLUMNS: usize = 10;
/// Rows at once.
const BATCH: usize = 256;
/// The picture, in the folder of pictures.
pub(crate) const PICTURE: &str = "generated.png";

/// Draws and measures by the best weights of a run, on its test rows. Lines that say what was found;
/// none where there is nothing to draw or measure.
pub(crate) fn lines(folder: &Path, pictures: &str, device: &Device) -> Result<Vec<String>> {
    on_workers(device, || {
        let run = RunFolder::open(folder)?.load(device)?;
        let output = &run.folder.config.output;
        let test = match run.test_split() {
            // That coherence has its rows was checked before the training.
            Err(RunError::NoRows { .. }) => return Ok(Vec::new()),
            test => test?,
        };
        let mut lines = Vec::new();
        if output.pictures_every > 0 {
            lines.extend(draw(&run, &test, &folder.join(pictures))?);
        }
        if output.coherence {
            lines.push(measure(&run, &test)?);
        }
        Ok(lines)
    })
}

/// Draws for each given modality what is generated of the others; what was drawn, and where.
fn draw(run: &Run, test: &AlignedDataset, folder: &Path) -> Result<Option<String>> {
    let (model, specs) = (&run.trained.model, run.trained.model.modalities());
    let Ok(generator) = model.generator() else { return Ok(None) };
    let drawable = |m: &usize| picture::is_drawable(&specs[*m]);
    let targets = generator.generated().iter().filter(drawable);
    let Ok(targets) = Subset::new(targets) else { return Ok(None) };
    let sets = match generator.conditions() {
        Some(conditions) => vec![conditions],
        None => (0..specs.len()).map(Subset::single).collect(),
    };
    let rows = columns(test);
    let batch = test
        .batch(&rows, &run.trained.device)
        .map_err(|error| anyhow::anyhow!(error).context("rows cannot be read"))?;
    let standardisation = &run.folder.standardisation;
    let shown = |m: usize| -> Result<Option<Row>> {
        let Some(values) = original(standardisation, &batch, &specs[m], m) else { return Ok(None) };
        picture::row(&specs[m], values, |column| test.presence(rows[column]).contains(m)).map(Some)
    };
    let (mut blocks, mut sources) = (Vec::new(), Vec::new());
    for given in sets {
        let Ok(wanted) = Subset::new(targets.iter().filter(|&m| !given.contains(m))) else {
            continue;
        };
        let mut block = Vec::new();
        for m in given.iter().filter(drawable) {
            block.extend(shown(m)?.map(|row| (row, true)));
        }
        let latent = generator.encode(&batch, given, Draws::Mean, &mut Noise::zero());
        let means = means(generator, standardisation, &latent, wanted);
        for (m, values) in wanted.iter().zip(means) {
            let from = |column: usize| {
                let present = test.presence(rows[column]);
                given.union(present) == present
            };
            block.push((picture::row(&specs[m], values, from)?, false));
        }
        blocks.push(block);
        sources.push(given.label(specs));
    }
    if blocks.is_empty() {
        return Ok(None);
    }
    fs::create_dir_all(folder).with_context(|| format!("folder `{}`", folder.display()))?;
    let path = folder.join(PICTURE);
    picture::write_sheet(&path, &blocks)?;
    let what = match blocks.iter().flatten().any(|(_, framed)| *framed) {
        true => {
            "of each block the framed images are given, and those below are generated from them \
                 alone"
                .to_owned()
        }
        false => format!("generated from {} alone", sources.join(", from ")),
    };
    Ok(Some(format!("{}: test rows; {what}", path.display())))
}

/// The rows of the picture: of each class one, if there are few, else evenly spread; complete ones
/// where there are any.
fn columns(test: &AlignedDataset) -> Vec<usize> {
    let full = Subset::full(test.modalities().len());
    let complete: Vec<_> = (0..test.len()).filter(|&row| test.presence(row) == full).collect();
    let rows = if complete.is_empty() { (0..test.len()).collect() } else { complete };
    let mut classes: Vec<i64> = rows.iter().filter_map(|&row| test.label(row)).collect();
    classes.sort_unstable();
    classes.dedup();
    if classes.len() < 2 || classes.len() > COLUMNS {
        return evenly(&rows, COLUMNS);
    }
    let first = |class: &i64| rows.iter().copied().find(|&row| test.label(row) == Some(*class));
    classes.iter().filter_map(first).collect()
}

/// Coherence from single modalities, beside what chance and what real values would reach.
fn measure(run: &Run, test: &AlignedDataset) -> Result<String> {
    let bar = Bar::new("classifiers");
    let trained = classifier::any_of_run(run, None, &bar)?;
    let classifiers = Classifiers::of(&trained)?;
    let config = CoherenceConfig { batch_size: BATCH, ..CoherenceConfig::default() };
    let show = |share| bar.set(share);
    let generator = run.trained.model.generator()?;
    let report = coherence(generator, test, &classifiers, &config, &run.trained.device, &show)?;
    drop(bar);
    let real = trained.iter().map(|one| one.report().accuracy.mean).sum::<f64>();
    Ok(told(&report, real / trained.len() as f64))
}

/// Coherence in a line; `real` is the accuracy of the classifiers on real values.
fn told(report: &Coherence, real: f64) -> String {
    let percent = |share: f64| format!("{:.1} %", 100.0 * share);
    let rest = format!(
        "on {} test rows; by chance {}, real values {}",
        report.rows,
        percent(1.0 / report.classes.len() as f64),
        percent(real)
    );
    let Some(size) = report.sizes.first() else { return format!("coherence: none {rest}") };
    let given = match size.given {
        1 => "one modality".to_owned(),
        n => format!("{n} modalities"),
    };
    let pairs = report.pairs.iter().filter(|p| p.given.len() == size.given && !p.reconstructed);
    let pairs = pairs.map(|p| p.scores.accuracy.mean);
    let (least, most) =
        pairs.fold((1.0, 0.0), |(a, b): (f64, f64), share| (a.min(share), b.max(share)));
    format!(
        "coherence: generated from {given}, {} show the right class ({} to {} by pair), {rest}",
        percent(size.scores.accuracy.mean),
        percent(least),
        percent(most)
    )
}
