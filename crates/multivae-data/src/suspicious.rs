//! What looks wrong about the values of a modality.

use multivae_core::modality::ModalitySpec;
use rayon::prelude::*;

use crate::{
    error::Result,
    read::{
        ModalityTable,
        number::{SENTINELS, sentinel},
    },
    report::Warning,
};

/// Rows that are looked at together.
const ROWS: usize = 512;

/// What is seen of a column.
#[derive(Clone, Copy, Debug)]
struct Seen {
    count: usize,
    ends: (f64, f64),
    /// Without values that often mean missing.
    others: (f64, f64),
    sentinels: [usize; SENTINELS.len()],
}

impl Seen {
    const NONE: (f64, f64) = (f64::INFINITY, f64::NEG_INFINITY);
    const NOTHING: Self =
        Self { count: 0, ends: Self::NONE, others: Self::NONE, sentinels: [0; SENTINELS.len()] };

    fn add(&mut self, value: f64) {
        let widened = |ends: (f64, f64)| (ends.0.min(value), ends.1.max(value));
        self.count += 1;
        self.ends = widened(self.ends);
        match sentinel(value) {
            Some(code) => self.sentinels[code] += 1,
            None => self.others = widened(self.others),
        }
    }

    fn join(&mut self, other: &Self) {
        let both = |a: (f64, f64), b: (f64, f64)| (a.0.min(b.0), a.1.max(b.1));
        self.count += other.count;
        self.ends = both(self.ends, other.ends);
        self.others = both(self.others, other.others);
        self.sentinels.iter_mut().zip(other.sentinels).for_each(|(a, b)| *a += b);
    }
}

impl ModalityTable {
    /// What is seen of each column in the units of the file, in one pass over the rows.
    fn seen(&self) -> Result<Vec<Seen>> {
        let features = self.shape.iter().product();
        let of_rows = |rows: std::ops::Range<usize>| {
            let mut seen = vec![Seen::NOTHING; features];
            let mut values = vec![0.0; features];
            for row in rows {
                self.values.read_precise(row * features, &mut values)?;
                let missing = self.missing.as_ref().filter(|cells| cells.missing_in(row) > 0);
                for (feature, (seen, value)) in seen.iter_mut().zip(&values).enumerate() {
                    if !missing.is_some_and(|cells| cells.is_missing(row, feature)) {
                        seen.add(self.scale.invert(*value));
                    }
                }
            }
            Ok(seen)
        };
        let join = |mut a: Vec<Seen>, b: Vec<Seen>| {
            a.iter_mut().zip(&b).for_each(|(a, b)| a.join(b));
            Ok(a)
        };
        (0..self.rows.div_ceil(ROWS))
            .into_par_iter()
            .map(|block| of_rows(block * ROWS..self.rows.min((block + 1) * ROWS)))
            .try_reduce(|| vec![Seen::NOTHING; features], join)
    }
}

/// What looks wrong about a modality's values.
pub(crate) fn warnings(
    name: &str,
    spec: &ModalitySpec,
    block: &ModalityTable,
    known: bool,
) -> Result<Vec<Warning>> {
    let mut warnings = Vec::new();
    let subject = |column: String| format!("modality `{name}`, column `{column}`");
    if spec.is_grid() && !known {
        let (low, high, _) = block.values.extent()?;
        if low == high {
            warnings.push(Warning::new(
                format!("modality `{name}`"),
                format!("all values are {}", block.scale.invert(low)),
                "check how the images were saved",
            ));
        }
        return Ok(warnings);
    }
    if spec.shape.len() > 1 {
        return Ok(warnings);
    }
    for (feature, seen) in block.seen()?.into_iter().enumerate() {
        let column = || match &block.columns {
            Some(columns) => columns[feature].clone(),
            None => feature.to_string(),
        };
        if seen.count == 0 {
            warnings.push(Warning::new(
                subject(column()),
                "no row has a value",
                "remove the column: nothing can be learned about it",
            ));
            continue;
        }
        let (low, high) = seen.others;
        for (code, with) in SENTINELS.into_iter().zip(seen.sentinels) {
            let end = code == seen.ends.0 || code == seen.ends.1;
            let apart = if code < low { low - code } else { code - high };
            // Far from all others: by more than these are from each other.
            if end && low <= high && apart > 2.0 * (high - low).max(1.0) && with < seen.count {
                warnings.push(Warning::new(
                    subject(column()),
                    format!("{with} values are {code}, far from the others ({low} to {high})"),
                    format!(
                        "if that means missing, say `--missing-codes={code}`, or `missing = [{code}]` in \
                         a manifest"
                    ),
                ));
            }
        }
    }
    Ok(warnings)
}
