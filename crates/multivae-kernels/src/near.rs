//! What tests of kernels compare by.

use std::fmt::Display;

/// Checks that values differ by at most `tolerance` times the greatest of those expected, or times 1 if
/// all of them are smaller.
#[track_caller]
pub(crate) fn assert_near(found: &[f32], expected: &[f32], tolerance: f32, what: impl Display) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let scale = expected.iter().fold(1.0_f32, |scale, e| scale.max(e.abs()));
    for (place, (found, expected)) in found.iter().zip(expected).enumerate() {
        let near = (found - expected).abs() <= tolerance * scale;
        assert!(near, "{what}, value {place}: {found}, expected {expected}");
    }
}
