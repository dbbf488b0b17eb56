//! Text as numbers of tokens, which are one-hot values only when a batch is gathered.

use std::{ops::Range, sync::Arc};

use crate::text::TextOptions;

/// Texts of one length in tokens: row by row, `[length, classes]` of which one class of each token
/// is 1.
///
/// ```
/// use multivae_data::storage::TokenRows;
///
/// // Two rows of two tokens, of three that there are.
/// let rows = TokenRows::new(vec![2, 0, 1, 1], 2, 3);
/// assert_eq!((rows.len(), rows.ids(1)), (12, &[1, 1][..]));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct TokenRows {
    /// The tokens of all rows.
    ids: Arc<[u32]>,
    /// Tokens of a row.
    length: usize,
    /// How many tokens there are.
    classes: usize,
    /// The text of each row as it was read; empty where a row has none.
    texts: Arc<[String]>,
    /// What is said of the text.
    said: Option<Arc<Pending>>,
    /// Whether its tokens are not known yet.
    pending: bool,
}

/// What is said of text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Pending {
    /// The column of the file.
    pub(crate) column: String,
    pub(crate) options: TextOptions,
}

impl TokenRows {
    /// Rows of `length` tokens, each below `classes`.
    ///
    /// # Panics
    ///
    /// If these are no whole rows, or a token is none of the classes.
    pub fn new(ids: Vec<u32>, length: usize, classes: usize) -> Self {
        assert!(length > 0 && ids.len().is_multiple_of(length), "whole rows of tokens");
        assert!(ids.iter().all(|&id| (id as usize) < classes), "tokens are below {classes}");
        let texts = vec![String::new(); ids.len() / length].into();
        Self { ids: ids.into(), length, classes, texts, said: None, pending: false }
    }

    /// The same of texts as they were read.
    pub(crate) fn with_texts(self, texts: Arc<[String]>) -> Self {
        assert_eq!(texts.len() * self.length, self.ids.len(), "a text for each row");
        Self { texts, ..self }
    }

    /// The same with what is said of the text.
    pub(crate) fn with_said(self, said: Arc<Pending>) -> Self {
        Self { said: Some(said), ..self }
    }

    /// Texts whose vocabulary is not known yet: until it is they pass for one token of one class.
    pub(crate) fn pending(texts: Vec<String>, said: Pending) -> Self {
        let rows = Self::new(vec![0; texts.len()], 1, 1).with_texts(texts.into());
        Self { pending: true, ..rows.with_said(Arc::new(said)) }
    }

    /// What was said of the text, if its vocabulary is not known yet.
    pub(crate) fn wanting(&self) -> Option<&Arc<Pending>> {
        self.said.as_ref().filter(|_| self.pending)
    }

    /// What was said of the text, if anything was.
    pub(crate) fn said(&self) -> Option<&Pending> {
        self.said.as_deref()
    }

    /// How many one-hot values there are.
    pub fn len(&self) -> usize {
        self.ids.len() * self.classes
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// How many different tokens there are.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The tokens of a row.
    ///
    /// # Panics
    ///
    /// If there is no such row.
    pub fn ids(&self, row: usize) -> &[u32] {
        &self.ids[row * self.length..(row + 1) * self.length]
    }

    /// The texts of all rows as they were read; empty where a row has none.
    pub(crate) fn texts(&self) -> &Arc<[String]> {
        &self.texts
    }

    /// Writes one-hot values `from..from + out.len()` to `out`.
    pub(crate) fn read<T: Copy + From<u8>>(&self, from: usize, out: &mut [T]) {
        out.fill(T::from(0));
        let range: Range<usize> = from..from + out.len();
        let tokens = from / self.classes..range.end.div_ceil(self.classes);
        for token in tokens {
            let place = token * self.classes + self.ids[token] as usize;
            if range.contains(&place) {
                out[place - from] = T::from(1);
            }
        }
    }

    /// Rows in another order; where there is none, all tokens are the first.
    pub(crate) fn gather(&self, places: &[Option<usize>]) -> Self {
        let ids = places.iter().flat_map(|place| match place {
            Some(row) => self.ids(*row).to_vec(),
            None => vec![0; self.length],
        });
        let text = |place: &Option<usize>| place.map(|row| self.texts[row].clone());
        let texts = places.iter().map(|place| text(place).unwrap_or_default());
        Self { ids: ids.collect(), texts: texts.collect(), ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::Storage;

    #[test]
    fn tokens_are_one_hot_values_wherever_a_block_begins() {
        let rows = TokenRows::new(vec![2, 0, 1, 1], 2, 3);
        let all = [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0];
        let storage = Storage::Tokens(rows);
        assert_eq!(storage.len(), 12);
        for from in 0..12 {
            for end in from..=12 {
                let mut out = vec![7.0f32; end - from];
                storage.read(from, &mut out).expect("in memory");
                assert_eq!(out, all[from..end].iter().map(|v| *v as f32).collect::<Vec<_>>());
                let mut out = vec![7.0f64; end - from];
                storage.read_precise(from, &mut out).expect("in memory");
                assert_eq!(out, all[from..end]);
            }
        }
        assert_eq!(storage.extent().expect("in memory"), (0.0, 1.0, true));
        assert!(storage.all(|v| v < 2.0).expect("in memory"));
        assert!(!storage.all(|v| v < 1.0).expect("in memory"));
        let turned = storage.gather(&[Some(1), None, Some(0)], 6);
        let mut out = vec![0.0f32; 18];
        turned.read(0, &mut out).expect("in memory");
        let expected = [&all[6..], &[1.0, 0.0, 0.0, 1.0, 0.0, 0.0], &all[..6]].concat();
        assert_eq!(out, expected.iter().map(|v| *v as f32).collect::<Vec<_>>());
        let one = Storage::Tokens(TokenRows::new(vec![0, 0], 1, 1));
        assert_eq!(one.extent().expect("in memory"), (1.0, 1.0, true));
    }
}
