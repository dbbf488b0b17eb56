//! Codes of contents, by which a change of data is noticed.

use multivae_core::{dataset::Dataset, schema::Fingerprint};
use rayon::prelude::*;

use crate::memory::MemoryDataset;

/// A running code of bytes and numbers: fast, the same on every machine, and no protection against
/// somebody who wants two data sets to look alike.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Code {
    low: u64,
    high: u64,
}

impl Code {
    pub(crate) const fn new() -> Self {
        Self { low: 0x9e37_79b9_7f4a_7c15, high: 0xc2b2_ae3d_27d4_eb4f }
    }

    pub(crate) fn word(&mut self, word: u64) {
        self.low = (self.low ^ word).wrapping_mul(0xff51_afd7_ed55_8ccd).rotate_left(31);
        self.high = (self.high.rotate_left(27) ^ self.low).wrapping_mul(0x8764_0000_1b3a_11d5 | 1);
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        words.iter().for_each(|word| self.word(u64::from_le_bytes(*word)));
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.word(u64::from_le_bytes(last));
        self.word(bytes.len() as u64);
    }

    fn end(self) -> (u64, u64) {
        let mix = |word: u64| {
            let word = (word ^ word >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
            word ^ word >> 29
        };
        (mix(self.low), mix(self.high ^ self.low.rotate_left(17)))
    }

    pub(crate) fn text(self) -> String {
        let (low, high) = self.end();
        format!("{high:016x}{low:016x}")
    }
}

/// The code of a row's values of one modality, and of which are observed.
fn value_code(data: &MemoryDataset, row: usize, modality: usize, buffer: &mut [f64]) -> Code {
    let mut code = Code::new();
    // One-hot values of text are many, and their tokens say the same.
    if let Some(tokens) = data.storage(modality).tokens() {
        if data.presence(row).contains(modality) {
            code.word(2);
            let ids = tokens.ids(data.stored_rows()[row]);
            ids.iter().for_each(|&id| code.word(u64::from(id)));
        }
        return code;
    }
    if data.presence(row).contains(modality) && data.precise(row, modality, buffer) {
        code.word(1);
        let cells = data.cells(row, modality);
        for (feature, value) in buffer.iter().enumerate() {
            match cells.as_ref().is_none_or(|cells| cells[feature]) {
                true => code.word(value.to_bits()),
                false => code.word(0x6d69_7373_696e_6721),
            }
        }
    }
    code
}

/// The codes of a data set, row by row.
pub(crate) fn of(data: &MemoryDataset) -> Fingerprint {
    let modality = |(m, spec): (usize, &multivae_core::modality::ModalitySpec)| {
        let row = |buffer: &mut Vec<f64>, row: usize| value_code(data, row, m, buffer).end();
        let codes: Vec<(u64, u64)> = (0..data.len())
            .into_par_iter()
            .with_min_len(256)
            .map_init(|| vec![0.0; spec.features()], row)
            .collect();
        let mut code = Code::new();
        spec.shape.iter().for_each(|&axis| code.word(axis as u64));
        for (low, high) in codes {
            code.word(low);
            code.word(high);
        }
        (spec.name.to_string(), code.text())
    };
    let modalities = data.modalities().iter().enumerate().map(modality).collect();
    // Numbers of rows are no identifiers.
    let mut ids = Code::new();
    if data.has_ids() {
        (0..data.len()).for_each(|row| ids.bytes(data.id(row).as_bytes()));
    }
    let labels = data.labels().map(|labels| {
        let mut code = Code::new();
        for label in labels {
            code.word(u64::from(label.is_some()));
            code.word(label.unwrap_or_default() as u64);
        }
        if let Some(names) = data.label_names() {
            names.iter().for_each(|name| code.bytes(name.as_bytes()));
        }
        code.text()
    });
    Fingerprint { rows: data.len(), ids: ids.text(), labels, modalities }
}

/// A short code of data and of which of its rows are meant: equal if both are.
///
/// ```
/// use multivae_core::schema::Fingerprint;
/// use multivae_data::data_code;
///
/// let data = Fingerprint { rows: 2, ..Fingerprint::default() };
/// assert_eq!(data_code(&data, ["0", "1"]), data_code(&data, ["0", "1"]));
/// assert_ne!(data_code(&data, ["0", "1"]), data_code(&data, ["0"]));
/// ```
pub fn data_code<S: AsRef<str>>(data: &Fingerprint, rows: impl IntoIterator<Item = S>) -> String {
    let mut code = Code::new();
    code.word(data.rows as u64);
    code.bytes(data.ids.as_bytes());
    code.bytes(data.labels.as_deref().unwrap_or_default().as_bytes());
    let mut modalities: Vec<_> = data.modalities.iter().collect();
    modalities.sort();
    for (name, values) in modalities {
        code.bytes(name.as_bytes());
        code.bytes(values.as_bytes());
    }
    rows.into_iter().for_each(|row| code.bytes(row.as_ref().as_bytes()));
    code.text()[..12].to_owned()
}

/// A name for each row by what it holds, for rows that have no identifiers. Equal rows are told
/// apart by how many came before.
pub(crate) fn row_codes(data: &MemoryDataset) -> Vec<String> {
    let mut buffers: Vec<Vec<f64>> =
        data.modalities().iter().map(|spec| vec![0.0; spec.features()]).collect();
    let mut seen = std::collections::HashMap::new();
    (0..data.len())
        .map(|row| {
            let mut code = Code::new();
            for (m, buffer) in buffers.iter_mut().enumerate() {
                let (low, high) = value_code(data, row, m, buffer).end();
                code.word(low);
                code.word(high);
            }
            let text = code.text();
            let before = seen.entry(text.clone()).and_modify(|n| *n += 1).or_insert(0usize);
            if *before == 0 { text } else { format!("{text}+{before}") }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use multivae_core::{modality::ModalitySpec, subset::Subset};

    use super::*;
    use crate::cells::MissingCells;

    fn data(values: Vec<f32>) -> MemoryDataset {
        let spec = |name| ModalitySpec::new(name, &[2]).expect("valid");
        let other = vec![1.0f32; values.len()];
        MemoryDataset::new(vec![(spec("a"), values.into()), (spec("b"), other.into())])
            .and_then(|data| data.with_labels(vec![0, 1]))
            .expect("two rows")
    }

    fn changes(now: &MemoryDataset) -> Vec<String> {
        of(&data(vec![1.0, 2.0, 3.0, 4.0])).changes(&of(now))
    }

    #[test]
    fn every_kind_of_change_is_noticed_and_named() {
        let same = || data(vec![1.0, 2.0, 3.0, 4.0]);
        assert!(changes(&same()).is_empty());
        assert_eq!(changes(&data(vec![1.0, 2.0, 3.0, 4.5])), ["values of modality `a`"]);
        assert_eq!(changes(&data(vec![3.0, 4.0, 1.0, 2.0])), ["values of modality `a`"]);
        let lacking = same().with_presence(vec![Subset::full(2), Subset::single(0)]);
        assert_eq!(changes(&lacking.expect("a part")), ["values of modality `b`"]);
        let cells = MissingCells::from_flags(2, [false, true, false, false]);
        let holes = same().with_missing_cells(vec![cells, None]).expect("a cell");
        assert_eq!(changes(&holes), ["values of modality `a`"]);
        let named = same().with_ids(vec!["x".into(), "y".into()]).expect("two rows");
        assert_eq!(changes(&named), ["identifiers or their order"]);
        assert_eq!(changes(&same().with_labels(vec![1, 1]).expect("two rows")), ["labels"]);
        assert!(changes(&same().select(&[0])).len() > 2);
    }

    #[test]
    fn equal_rows_have_names_of_their_own() {
        let codes = row_codes(&data(vec![1.0, 2.0, 1.0, 2.0]));
        assert_eq!(codes[1], format!("{}+1", codes[0]));
        let other = row_codes(&data(vec![3.0, 4.0, 1.0, 2.0]));
        assert_eq!(other[1], codes[0], "a row is known by its content, not by its place");
    }
}
