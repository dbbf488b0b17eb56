//! The range of values, as the training rows have it.

use std::sync::Arc;

use multivae_core::{
    dataset::Dataset,
    schema::{ModalitySchema, Schema},
};
use rayon::prelude::*;

use crate::{error::Result, memory::MemoryDataset, read, report::Warning};

/// The data with range and scale of its modalities as its training rows say them, and what is
/// outside of that. `None` if they say what all rows do, or nothing was read from files.
///
/// Images of whole numbers are scaled by the least of 8, 10, 12, 14 and 16 bits that holds the
/// training rows.
pub(crate) fn of_training(
    data: &MemoryDataset,
    train: &[usize],
) -> Result<Option<(MemoryDataset, Vec<Warning>)>> {
    let Some(schema) = data.schema() else { return Ok(None) };
    let mut schema: Schema = schema.clone();
    let mut values: Vec<_> =
        (0..schema.modalities.len()).map(|m| Arc::clone(data.storage(m))).collect();
    let mut warnings = Vec::new();
    let mut changed = false;
    for (m, known) in schema.modalities.iter_mut().enumerate() {
        if known.text.is_some() {
            continue;
        }
        let Some([low, high]) = range(data, train, m, known) else { continue };
        let all = known.range;
        changed |= all != Some([low, high]);
        known.range = Some([low, high]);
        let scale = read::image_scale(known.spec.shape.len(), true, low, high);
        if !known.dtype.is_integer() || known.scale.is_identity() || scale.is_identity() {
            continue;
        }
        if scale.factor < known.scale.factor {
            values[m] = Arc::new((*values[m]).clone().rescaled(known.scale, scale)?);
            known.scale = scale;
            warnings.push(Warning::new(
                format!("modality `{}`", known.spec.name),
                format!(
                    "its values are divided by {}, which holds those of the training split; others \
                     go up to {}",
                    scale.factor,
                    all.map_or(high, |[_, high]| high)
                ),
                "check that all images are of one kind",
            ));
        }
    }
    Ok(changed.then(|| (data.clone().with_storage(values).with_schema(schema), warnings)))
}

/// Least and greatest observed value of some rows in the units of the file.
fn range(
    data: &MemoryDataset,
    rows: &[usize],
    m: usize,
    known: &ModalitySchema,
) -> Option<[f64; 2]> {
    let none = || (f64::INFINITY, f64::NEG_INFINITY);
    let join = |a: (f64, f64), b: (f64, f64)| (a.0.min(b.0), a.1.max(b.1));
    let of_row = |buffer: &mut Vec<f64>, &row: &usize| {
        if !data.presence(row).contains(m) || !data.precise(row, m, buffer) {
            return none();
        }
        let cells = data.cells(row, m);
        let there = |feature: usize| cells.as_ref().is_none_or(|cells| cells[feature]);
        let values = buffer.iter().enumerate().filter(|(feature, _)| there(*feature));
        values.fold(none(), |seen, (_, &value)| join(seen, (value, value)))
    };
    let (low, high) = rows
        .par_iter()
        .with_min_len(64)
        .map_init(|| vec![0.0; known.spec.features()], of_row)
        .reduce(none, join);
    (low <= high).then(|| [low, high].map(|value| read::as_in_file(value, known.scale)))
}
