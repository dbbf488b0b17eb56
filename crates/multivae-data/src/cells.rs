//! Which single values of a modality are observed.

/// One bit per value of a modality, row by row; a bit that is set is a missing value.
///
/// It only exists where something is missing: a complete modality has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingCells {
    features: usize,
    rows: usize,
    bits: Vec<u64>,
}

impl MissingCells {
    /// All of `rows` rows of `features` values observed.
    pub fn none(rows: usize, features: usize) -> Self {
        Self { features, rows, bits: vec![0; (rows * features).div_ceil(64)] }
    }

    /// From one flag per value, `[rows, features]` flattened; `None` if nothing is missing.
    ///
    /// # Panics
    ///
    /// If `missing` is not a whole number of rows.
    pub fn from_flags(features: usize, missing: impl IntoIterator<Item = bool>) -> Option<Self> {
        let mut bits = Vec::new();
        let (mut values, mut any) = (0, false);
        for flag in missing {
            if values % 64 == 0 {
                bits.push(0u64);
            }
            if flag {
                any = true;
                bits[values / 64] |= 1 << (values % 64);
            }
            values += 1;
        }
        assert_eq!(values % features, 0, "whole rows");
        any.then_some(Self { features, rows: values / features, bits })
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Whether a value is missing.
    pub fn is_missing(&self, row: usize, feature: usize) -> bool {
        let place = row * self.features + feature;
        self.bits[place / 64] >> (place % 64) & 1 == 1
    }

    /// Makes a value missing.
    pub fn take(&mut self, row: usize, feature: usize) {
        let place = row * self.features + feature;
        self.bits[place / 64] |= 1 << (place % 64);
    }

    /// Makes a value observed.
    pub(crate) fn give_back(&mut self, row: usize, feature: usize) {
        let place = row * self.features + feature;
        self.bits[place / 64] &= !(1 << (place % 64));
    }

    /// How many values of a row are missing.
    pub fn missing_in(&self, row: usize) -> usize {
        let (from, to) = (row * self.features, (row + 1) * self.features);
        let mut count = 0;
        let mut place = from;
        while place < to {
            let end = to.min((place / 64 + 1) * 64);
            let word = self.bits[place / 64] >> (place % 64);
            let kept = end - place;
            let word = if kept == 64 { word } else { word & ((1 << kept) - 1) };
            count += word.count_ones() as usize;
            place = end;
        }
        count
    }

    /// How many values are missing.
    pub fn count(&self) -> usize {
        self.bits.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// The rows at `places`, one after the other; a row without a place has nothing missing.
    pub(crate) fn gather(&self, places: &[Option<usize>]) -> Option<Self> {
        let mut out = Self::none(places.len(), self.features);
        for (row, place) in places.iter().enumerate() {
            let Some(place) = place else { continue };
            for feature in (0..self.features).filter(|&f| self.is_missing(*place, f)) {
                out.take(row, feature);
            }
        }
        (out.count() > 0).then_some(out)
    }

    /// The features at `places`, in their order; a feature without a place is missing throughout.
    pub(crate) fn columns(&self, places: &[Option<usize>]) -> Option<Self> {
        let flag = |row, place: Option<usize>| place.is_none_or(|f| self.is_missing(row, f));
        let flags =
            (0..self.rows).flat_map(|row| places.iter().map(move |&place| flag(row, place)));
        Self::from_flags(places.len(), flags)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_count_their_own_bits() {
        for features in [1, 3, 63, 64, 65, 200] {
            let missing = |row: usize, f: usize| (row * 7 + f * 3).is_multiple_of(5);
            let flags = (0..9).flat_map(|row| (0..features).map(move |f| missing(row, f)));
            let cells = MissingCells::from_flags(features, flags).expect("some are missing");
            for row in 0..9 {
                let expected = (0..features).filter(|&f| missing(row, f)).count();
                assert_eq!(cells.missing_in(row), expected, "{features} {row}");
            }
            assert_eq!(cells.count(), (0..9).map(|row| cells.missing_in(row)).sum::<usize>());
        }
    }

    #[test]
    fn complete_data_has_no_bits_and_columns_without_a_place_are_missing() {
        assert_eq!(MissingCells::from_flags(2, [false; 4]), None);
        let cells = MissingCells::from_flags(2, [false, true, false, false]).expect("one");
        let turned = cells.columns(&[Some(1), None, Some(0)]).expect("more are missing");
        assert_eq!((turned.missing_in(0), turned.missing_in(1)), (2, 1));
        assert!(turned.is_missing(0, 0) && !turned.is_missing(1, 0) && turned.is_missing(1, 1));
        assert_eq!(cells.gather(&[Some(1), None]), None);
    }
}
