//! Sets of modalities.
//!
//! ```
//! use burn::tensor::Device;
//! use multivae_core::{modality::ModalitySpec, subset::{Subset, Subsets}};
//!
//! let specs = [
//!     ModalitySpec::new("scan", &[1, 8, 8])?,
//!     ModalitySpec::new("blood", &[5])?,
//!     ModalitySpec::new("text", &[20])?,
//! ];
//! let given = Subset::named(&specs, ["text", "scan"])?;
//! assert_eq!(given.label(&specs), "scan+text");
//! assert_eq!((given.len(), given.contains(1)), (2, false));
//! assert_eq!(given.intersection(Subset::single(1)), None);
//! assert!(Subset::new([]).is_err());
//!
//! // All seven, by size; each modality is in four of them.
//! let all = Subsets::all(3);
//! assert_eq!((all.len(), all.holding(0)), (7, vec![0, 3, 4, 6]));
//! assert_eq!(all.position(given), Some(4));
//! // As a matrix, with which sums over the modalities of every subset are one product.
//! let membership = all.membership(&Device::flex());
//! assert_eq!(membership.dims(), [7, 3]);
//! assert_eq!(membership.sum().into_scalar::<f32>(), 12.0);
//! # Ok::<(), multivae_core::Error>(())
//! ```

use std::{fmt, ops::Range};

use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use crate::{Error, Result, modality::ModalitySpec};

/// A non-empty set of modalities, by their number in the model's order (at most 64).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Subset(u64);

impl Subset {
    /// The set of the given modality numbers.
    ///
    /// # Errors
    ///
    /// [`Error::EmptySubset`], or [`Error::ModalityCount`] for a number of 64 or more.
    pub fn new(modalities: impl IntoIterator<Item = usize>) -> Result<Self> {
        let mut bits = 0;
        for m in modalities {
            if m >= 64 {
                return Err(Error::ModalityCount(m + 1));
            }
            bits |= 1 << m;
        }
        if bits == 0 { Err(Error::EmptySubset) } else { Ok(Self(bits)) }
    }

    /// The set of the first `n` modalities, 1 to 64.
    ///
    /// # Panics
    ///
    /// If `n` is 0 or above 64.
    pub fn full(n: usize) -> Self {
        assert!((1..=64).contains(&n), "1 to 64 modalities, not {n}");
        Self(u64::MAX >> (64 - n))
    }

    /// The set of one modality.
    ///
    /// # Panics
    ///
    /// If `modality` is 64 or more.
    pub fn single(modality: usize) -> Self {
        assert!(modality < 64, "at most 64 modalities, not {}", modality + 1);
        Self(1 << modality)
    }

    /// The set of the named modalities.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownModality`], [`Error::EmptySubset`].
    pub fn named<'a>(
        specs: &[ModalitySpec],
        names: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self> {
        let find = |name: &str| {
            specs.iter().position(|s| s.name.as_str() == name).ok_or_else(|| {
                Error::UnknownModality {
                    name: name.to_owned(),
                    known: specs
                        .iter()
                        .map(|s| format!("`{}`", s.name))
                        .collect::<Vec<_>>()
                        .join(", "),
                }
            })
        };
        Self::new(names.into_iter().map(find).collect::<Result<Vec<_>>>()?)
    }

    /// Whether it holds the modality.
    pub fn contains(self, modality: usize) -> bool {
        modality < 64 && self.0 >> modality & 1 == 1
    }

    /// How many modalities it holds.
    #[expect(clippy::len_without_is_empty, reason = "a subset is never empty")]
    pub fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// What this set or the other holds.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What both sets hold, if anything.
    pub fn intersection(self, other: Self) -> Option<Self> {
        (self.0 & other.0 != 0).then_some(Self(self.0 & other.0))
    }

    /// Its modalities, ascending.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        (0..64).filter(move |&m| self.contains(m))
    }

    /// The names of its modalities, joined by `+`.
    pub fn label(self, specs: &[ModalitySpec]) -> String {
        let names: Vec<_> =
            self.iter().filter_map(|m| specs.get(m)).map(|s| s.name.as_str()).collect();
        names.join("+")
    }
}

impl fmt::Display for Subset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// A list of different subsets of `modalities` modalities, evaluated together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subsets {
    modalities: usize,
    list: Vec<Subset>,
}

impl Subsets {
    /// All non-empty subsets, by size, then in lexicographic order of their members.
    ///
    /// # Panics
    ///
    /// If `modalities` is 0 or above 20: there would be more than a million subsets.
    pub fn all(modalities: usize) -> Self {
        assert!(
            (1..=20).contains(&modalities),
            "all subsets of 1 to 20 modalities, not {modalities}"
        );
        let mut list: Vec<_> = (1..1u64 << modalities).map(Subset).collect();
        list.sort_by_key(|s| (s.len(), s.iter().collect::<Vec<_>>()));
        Self { modalities, list }
    }

    /// The given subsets, in their order.
    ///
    /// # Errors
    ///
    /// [`Error::EmptySubset`] if there are none, [`Error::Config`] if one is given twice or holds
    /// a modality of number `modalities` or more.
    pub fn new(modalities: usize, list: Vec<Subset>) -> Result<Self> {
        if list.is_empty() {
            return Err(Error::EmptySubset);
        }
        for (i, subset) in list.iter().enumerate() {
            if list[..i].contains(subset) || subset.iter().any(|m| m >= modalities) {
                return Err(Error::Config {
                    field: "subsets".into(),
                    expected: format!("different sets of {modalities} modalities"),
                    found: subset.to_string(),
                });
            }
        }
        Ok(Self { modalities, list })
    }

    /// How many modalities there are to choose from.
    pub fn modalities(&self) -> usize {
        self.modalities
    }

    /// How many subsets.
    #[expect(clippy::len_without_is_empty, reason = "the list is never empty")]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// The subsets.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Subset> + '_ {
        self.list.iter().copied()
    }

    /// The place of a subset in the list.
    pub fn position(&self, subset: Subset) -> Option<usize> {
        self.list.iter().position(|s| *s == subset)
    }

    /// The subsets at these places.
    ///
    /// # Panics
    ///
    /// If there are none.
    pub fn part(&self, places: Range<usize>) -> Self {
        assert!(!places.is_empty(), "no subsets at {places:?}");
        Self { modalities: self.modalities, list: self.list[places].to_vec() }
    }

    /// Places of the subsets that hold `modality`.
    pub fn holding(&self, modality: usize) -> Vec<usize> {
        (0..self.len()).filter(|&t| self.list[t].contains(modality)).collect()
    }

    /// The membership matrix `[subset, modality]`: 1 where the subset holds the modality.
    pub fn membership(&self, device: &Device) -> Tensor<2> {
        let values: Vec<f32> = self
            .iter()
            .flat_map(|s| (0..self.modalities).map(move |m| f32::from(u8::from(s.contains(m)))))
            .collect();
        Tensor::from_data(TensorData::new(values, [self.len(), self.modalities]), device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_subsets_come_by_size_then_by_order() {
        let labels: Vec<_> = Subsets::all(3).iter().map(|s| s.iter().collect::<Vec<_>>()).collect();
        assert_eq!(
            labels,
            [vec![0], vec![1], vec![2], vec![0, 1], vec![0, 2], vec![1, 2], vec![0, 1, 2]]
        );
    }

    #[test]
    fn each_modality_is_in_half_of_all_subsets() {
        let subsets = Subsets::all(5);
        for m in 0..5 {
            assert_eq!(subsets.holding(m).len(), 16);
        }
    }

    #[test]
    fn an_empty_set_is_refused() {
        assert_eq!(Subset::new([]), Err(Error::EmptySubset));
        assert_eq!(Subsets::new(2, vec![]), Err(Error::EmptySubset));
    }

    #[test]
    fn a_subset_given_twice_or_out_of_range_is_refused() {
        let one = Subset::single(0);
        assert!(matches!(Subsets::new(2, vec![one, one]), Err(Error::Config { .. })));
        assert!(matches!(Subsets::new(2, vec![Subset::single(2)]), Err(Error::Config { .. })));
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_known_ones() {
        let specs = [ModalitySpec::new("a", &[1]).expect("valid")];
        let error = Subset::named(&specs, ["b"]).expect_err("unknown");
        assert_eq!(error.to_string(), "unknown modality `b`; there are `a`");
    }

    #[test]
    fn the_full_set_holds_all() {
        assert_eq!(Subset::full(64).len(), 64);
        assert_eq!(Subset::full(3).iter().collect::<Vec<_>>(), [0, 1, 2]);
    }
}
