//! Slices of volumes, each a row of its subject.

use std::collections::HashMap;

use multivae_core::{dataset::Dataset, schema::Plane};

/// What stands between a subject and the number of a slice.
const BETWEEN: &str = "/slice-";

/// The identifier of a slice, which counts from 0.
pub(super) fn id(subject: &str, slice: usize) -> String {
    format!("{subject}{BETWEEN}{slice:03}")
}

/// The subject of a slice.
pub(crate) fn subject(id: &str) -> Option<&str> {
    let (subject, slice) = id.rsplit_once(BETWEEN)?;
    (!slice.is_empty() && slice.bytes().all(|byte| byte.is_ascii_digit())).then_some(subject)
}

/// The number of each row's subject, if rows are slices. A row that is no slice is a subject.
pub(crate) fn subjects(data: &dyn Dataset) -> Option<Vec<usize>> {
    let schema = data.schema()?;
    if schema.modalities.iter().all(|modality| modality.images.slices.is_none()) {
        return None;
    }
    let mut numbers: HashMap<String, usize> = HashMap::new();
    let rows = (0..data.len()).map(|row| {
        let id = data.id(row);
        let subject = subject(&id).unwrap_or(&id).to_owned();
        let next = numbers.len();
        *numbers.entry(subject).or_insert(next)
    });
    Some(rows.collect())
}

/// Along which axis of `[channels, z, y, x]` volumes are cut, from 1, by the axis of voxels that is
/// across the plane.
pub(super) fn axis(across: usize) -> usize {
    3 - across
}

/// The name of a plane in messages.
pub(super) fn name(plane: Plane) -> &'static str {
    match plane {
        Plane::Sagittal => "sagittal",
        Plane::Coronal => "coronal",
        Plane::Axial => "axial",
    }
}

/// The shape of a slice and how many there are.
pub(super) fn shape([channels, z, y, x]: [usize; 4], axis: usize) -> ([usize; 3], usize) {
    match axis {
        1 => ([channels, y, x], z),
        2 => ([channels, z, x], y),
        _ => ([channels, z, y], x),
    }
}

/// The slices of a volume, one after the other.
pub(super) fn cut<T: Copy>(values: &[T], [channels, z, y, x]: [usize; 4], axis: usize) -> Vec<T> {
    let mut out = Vec::with_capacity(values.len());
    let at = |c: usize, k: usize, j: usize, i: usize| values[((c * z + k) * y + j) * x + i];
    match axis {
        1 => {
            for k in 0..z {
                for c in 0..channels {
                    out.extend_from_slice(&values[(c * z + k) * y * x..][..y * x]);
                }
            }
        }
        2 => {
            for j in 0..y {
                for c in 0..channels {
                    for k in 0..z {
                        out.extend((0..x).map(|i| at(c, k, j, i)));
                    }
                }
            }
        }
        _ => {
            for i in 0..x {
                for c in 0..channels {
                    for k in 0..z {
                        out.extend((0..y).map(|j| at(c, k, j, i)));
                    }
                }
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_is_named_after_its_subject() {
        assert_eq!(id("sub-01", 12), "sub-01/slice-012");
        assert_eq!(subject("sub-01/slice-012"), Some("sub-01"));
        assert_eq!(subject(&id("a/b", 1234)), Some("a/b"));
        for other in ["sub-01", "sub-01/slice-", "sub-01/slice-x"] {
            assert_eq!(subject(other), None);
        }
    }

    #[test]
    fn slices_hold_the_values_of_their_plane() {
        let shape_of = [2, 2, 3, 4];
        let values: Vec<usize> = (0..48).collect();
        for axis in 1..=3 {
            let ([channels, height, width], count) = shape(shape_of, axis);
            let slices = cut(&values, shape_of, axis);
            assert_eq!((slices.len(), channels * height * width * count), (48, 48));
            for (place, value) in slices.into_iter().enumerate() {
                let (slice, rest) = (place / (48 / count), place % (48 / count));
                let [c, h, w] = [rest / (height * width), rest / width % height, rest % width];
                let [z, y, x] = match axis {
                    1 => [slice, h, w],
                    2 => [h, slice, w],
                    _ => [h, w, slice],
                };
                assert_eq!(value, ((c * 2 + z) * 3 + y) * 4 + x, "axis {axis}");
            }
        }
    }
}
