//! What is said about reading files beside their paths: codes for missing values, and what images
//! are made to be.

use multivae_core::schema::{ImageConversion, Schema};
use serde::{Deserialize, Deserializer};

/// Codes in files that say that nothing was measured, beside those that are always known.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct MissingCodes {
    codes: Vec<String>,
    numbers: Vec<f64>,
}

impl MissingCodes {
    pub(crate) fn new(mut codes: Vec<String>) -> Self {
        codes.iter_mut().for_each(|code| *code = code.trim().to_owned());
        let mut seen = std::collections::HashSet::new();
        codes.retain(|code| !code.is_empty() && seen.insert(code.clone()));
        let numbers = codes.iter().filter_map(|code| code.parse().ok()).collect();
        Self { codes, numbers }
    }

    /// As they were given.
    pub(crate) fn codes(&self) -> &[String] {
        &self.codes
    }

    /// Those that are numbers.
    pub(crate) fn numbers(&self) -> &[f64] {
        &self.numbers
    }

    /// Whether a cell holds one: words in any case, numbers however they are written.
    pub(crate) fn holds(&self, cell: &str) -> bool {
        self.codes.iter().any(|code| code.eq_ignore_ascii_case(cell))
            || (!self.numbers.is_empty()
                && cell.parse().is_ok_and(|value: f64| self.numbers.contains(&value)))
    }
}

/// Codes as configurations have them: words, and numbers with or without quotes.
pub(crate) fn codes<'de, D: Deserializer<'de>>(source: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Code {
        Whole(i64),
        Number(f64),
        Word(String),
    }
    let codes = Vec::<Code>::deserialize(source)?.into_iter();
    Ok(codes
        .map(|code| match code {
            Code::Whole(value) => value.to_string(),
            Code::Number(value) => value.to_string(),
            Code::Word(word) => word,
        })
        .collect())
}

/// How the files of a source are read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reading<'a> {
    /// Codes in all files.
    pub(crate) codes: &'a [String],
    /// What all images are made to be.
    pub(crate) images: ImageConversion,
    /// The data that a model was trained on, which other data is read like.
    pub(crate) known: Option<&'a Schema>,
}

impl Reading<'_> {
    /// The codes in the file of a modality; `own` are those that are said of it alone.
    pub(crate) fn codes_of(&self, modality: &str, own: &[String]) -> MissingCodes {
        let known = self.known.and_then(|known| known.modality(modality));
        let known = known.map_or(&[][..], |known| &known.missing_codes);
        MissingCodes::new([own, self.codes, known].concat())
    }

    /// The column of text of a modality, if the model was trained on text.
    pub(crate) fn text_of(&self, modality: &str) -> Option<&str> {
        let known = self.known?.modality(modality)?;
        known.text.as_ref().map(|text| text.column.as_str())
    }

    /// The codes among labels.
    pub(crate) fn codes_of_labels(&self) -> MissingCodes {
        let known = self.known.and_then(|known| known.labels.as_ref());
        let known = known.map_or(&[][..], |known| &known.missing_codes);
        MissingCodes::new([self.codes, known].concat())
    }

    /// What the images of a modality are made to be; `own` is what is said of it alone.
    pub(crate) fn images_of(&self, modality: &str, own: ImageConversion) -> ImageConversion {
        let known = self.known.and_then(|known| known.modality(modality));
        let said = own.or(self.images).or(known.map(|known| known.images).unwrap_or_default());
        ImageConversion { slices: None, ..said }
    }

    /// What the volumes of a modality are made to be; `own` is what is said of it alone.
    pub(crate) fn volumes_of(&self, modality: &str, own: ImageConversion) -> ImageConversion {
        let known = self.known.and_then(|known| known.modality(modality));
        let said = own.or(self.images).or(known.map(|known| known.images).unwrap_or_default());
        ImageConversion { channels: None, resize: None, background: None, ..said }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_known_in_any_case_and_numbers_in_any_writing() {
        let codes = MissingCodes::new(vec!["-999".into(), " LOD ".into(), "lod".into()]);
        for cell in ["-999", "-999.0", "-9.99e2", "LOD", "lod"] {
            assert!(codes.holds(cell), "{cell}");
        }
        for cell in ["999", "-99", "LO", ""] {
            assert!(!codes.holds(cell), "{cell}");
        }
        assert_eq!(codes.numbers(), [-999.0]);
    }
}
