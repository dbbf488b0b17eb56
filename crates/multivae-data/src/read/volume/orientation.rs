//! Where the axes of a volume point to.

use std::fmt;

/// The ends of the three axes of a body, the far one second, as the field names them.
const ENDS: [[char; 2]; 3] = [['L', 'R'], ['P', 'A'], ['I', 'S']];
/// The orders of three axes.
const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
/// By how much positions can differ, in the size of a voxel, and still be the same.
const NEAR: f64 = 0.01;

/// Where voxels lie in the space of a scanner or a template, in millimetres to the right, to the
/// front and up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Orientation {
    affine: [[f64; 4]; 3],
    /// The axis of the body that each axis of voxels is nearest to.
    axes: [usize; 3],
}

impl Orientation {
    /// Of the matrix from places of voxels to positions.
    pub(super) fn of(affine: [[f64; 4]; 3]) -> Result<Self, String> {
        let sizes = sizes(&affine);
        if let Some(axis) = sizes.iter().position(|size| !(size.is_finite() && *size > 0.0)) {
            return Err(format!(
                "expected voxels of a size above 0, found {} along axis {axis}",
                sizes[axis]
            ));
        }
        // The order in which all axes together are nearest to those of the body.
        let near = |order: &[usize; 3]| -> f64 {
            (0..3).map(|axis| (affine[order[axis]][axis] / sizes[axis]).abs()).sum()
        };
        let axes = ORDERS.into_iter().max_by(|a, b| near(a).total_cmp(&near(b)));
        Ok(Self { affine, axes: axes.expect("there are orders") })
    }

    /// The axis of voxels that is nearest to an axis of the body.
    pub(super) fn voxel_axis(&self, of_body: usize) -> usize {
        self.axes.iter().position(|&axis| axis == of_body).expect("an order has all axes")
    }

    /// To which end each axis of voxels grows, as `RAS`.
    pub(super) fn codes(&self) -> String {
        let end = |axis: usize| {
            let to = self.axes[axis];
            ENDS[to][usize::from(self.affine[to][axis] > 0.0)]
        };
        (0..3).map(end).collect()
    }

    /// Sizes of a voxel along its axes, in millimetres.
    pub(super) fn sizes(&self) -> [f64; 3] {
        sizes(&self.affine)
    }

    /// Whether all corners of a volume of these extents lie where they do in another orientation.
    pub(super) fn is_near(&self, other: &Self, extents: [usize; 3]) -> bool {
        let size = self.sizes().into_iter().fold(f64::INFINITY, f64::min);
        let corners = (0..8).map(|corner| -> [f64; 3] {
            std::array::from_fn(|axis| (corner >> axis & 1) as f64 * extents[axis] as f64)
        });
        let at = |affine: &[[f64; 4]; 3], place: &[f64; 3], row: usize| {
            (0..3).map(|axis| affine[row][axis] * place[axis]).sum::<f64>() + affine[row][3]
        };
        corners.into_iter().all(|place| {
            (0..3).all(|row| {
                (at(&self.affine, &place, row) - at(&other.affine, &place, row)).abs()
                    <= NEAR * size
            })
        })
    }
}

fn sizes(affine: &[[f64; 4]; 3]) -> [f64; 3] {
    std::array::from_fn(|axis| affine.iter().map(|row| row[axis].powi(2)).sum::<f64>().sqrt())
}

impl fmt::Display for Orientation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [x, y, z] = self.sizes().map(|size| (size * 1000.0).round() / 1000.0);
        write!(f, "{} with voxels of {x}x{y}x{z} mm", self.codes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_say_to_which_end_axes_grow() {
        let of = |columns: [[f64; 3]; 3]| {
            let row = |row: usize| [columns[0][row], columns[1][row], columns[2][row], 0.0];
            Orientation::of(std::array::from_fn(row)).expect("voxels have a size")
        };
        assert_eq!(of([[1., 0., 0.], [0., 2., 0.], [0., 0., 3.]]).codes(), "RAS");
        assert_eq!(of([[-1., 0., 0.], [0., -2., 0.], [0., 0., 3.]]).codes(), "LPS");
        let turned = of([[0., 2., 0.], [0., 0., -1.], [3., 0.1, 0.]]);
        assert_eq!((turned.codes().as_str(), turned.voxel_axis(2)), ("AIR", 1));
        assert_eq!(turned.to_string(), "AIR with voxels of 2x1x3.002 mm");
        // Sheared.
        assert_eq!(of([[1., 0., 0.], [0.4, 1., 0.], [0., 0.3, 1.]]).codes(), "RAS");
        let flat = Orientation::of([[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0; 4]]);
        assert_eq!(
            flat.expect_err("no depth"),
            "expected voxels of a size above 0, found 0 along axis 2"
        );
    }

    #[test]
    fn orientations_are_near_if_all_corners_are() {
        let of = |shift: f64, size: f64| {
            let affine = [[size, 0.0, 0.0, shift], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]];
            Orientation::of(affine).expect("voxels have a size")
        };
        assert!(of(0.0, 1.0).is_near(&of(0.005, 1.0), [100; 3]));
        assert!(!of(0.0, 1.0).is_near(&of(0.5, 1.0), [100; 3]));
        assert!(!of(0.0, 1.0).is_near(&of(0.0, 1.001), [100; 3]));
    }
}
