//! Matrix products on slices.

use std::{
    mem::MaybeUninit,
    sync::atomic::{AtomicU64, Ordering},
};

use gemm::Parallelism;

use super::{bf16, fill};
use crate::Precision;

/// Floating-point operations so far.
static OPERATIONS: AtomicU64 = AtomicU64::new(0);

/// Floating-point operations of all matrix products of these kernels so far, of convolutions too:
/// a multiplication and an addition each. What share of a machine's peak a step reaches follows
/// from their difference.
pub fn operations() -> u64 {
    OPERATIONS.load(Ordering::Relaxed)
}

/// Adds those of a product of `[rows, depth]` and `[depth, columns]`.
pub(crate) fn count([rows, depth, columns]: [usize; 3]) {
    OPERATIONS.fetch_add(2 * (rows * depth * columns) as u64, Ordering::Relaxed);
}

/// A matrix in a slice: element `[row, column]` lies at `row * strides[0] + column * strides[1]`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Matrix<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) strides: [usize; 2],
}

/// Fewest multiplications of a product that is worth more than one thread.
const LARGE: usize = 1 << 21;

/// The product of `left` `[rows, depth]` and `right` `[depth, columns]`, row after row, on all
/// threads where it is worth it; it does not depend on their number. The instructions (AVX-512, AVX2
/// with FMA, NEON, ..) are chosen at run time, and so is whether there are any for a precision.
///
/// # Panics
///
/// If a matrix does not fit into its slice, or is empty.
#[allow(unsafe_code)]
pub(crate) fn product(
    shape: [usize; 3],
    left: Matrix<'_>,
    right: Matrix<'_>,
    precision: Precision,
) -> Vec<f32> {
    let write = |product: &mut [MaybeUninit<f32>]| {
        product_into(shape, left, right, product, precision, false);
    };
    // SAFETY: all values of a product are written.
    unsafe { fill(shape[0] * shape[2], write) }
}

/// The product of [`product`], to where it is wanted; on the calling thread if it is `alone`.
///
/// # Panics
///
/// As [`product`], or if there is not room for exactly it.
#[allow(unsafe_code)]
pub(crate) fn product_into(
    shape: [usize; 3],
    left: Matrix<'_>,
    right: Matrix<'_>,
    product: &mut [MaybeUninit<f32>],
    precision: Precision,
    alone: bool,
) {
    assert!(!shape.contains(&0), "there is something to multiply");
    assert_eq!(product.len(), shape[0] * shape[2], "there is room for the product");
    let alone = alone || shape.iter().product::<usize>() <= LARGE;
    if precision == Precision::Bf16 && bf16::suits(left, right) {
        count(shape);
        return bf16::product_into(shape, left, right, product, alone);
    }
    let parallelism = if alone { Parallelism::None } else { Parallelism::Rayon(0) };
    // SAFETY: the slice has room for all values of the product, all of which are written, and is
    // borrowed by nobody else.
    unsafe { write(shape, left, right, product.as_mut_ptr().cast(), parallelism) };
}

/// # Safety
///
/// `product` points to `rows * columns` values that nobody else reads or writes; they need not be
/// initialised.
///
/// # Panics
///
/// If a factor does not fit into its slice.
#[allow(unsafe_code)]
unsafe fn write(
    [rows, depth, columns]: [usize; 3],
    left: Matrix<'_>,
    right: Matrix<'_>,
    product: *mut f32,
    parallelism: Parallelism,
) {
    assert!(extent([rows, depth], left.strides) <= left.values.len(), "the left factor fits");
    assert!(extent([depth, columns], right.strides) <= right.values.len(), "the right factor fits");
    count([rows, depth, columns]);
    let stride = |stride: usize| isize::try_from(stride).expect("no slice is that long");
    // SAFETY: each factor lies inside its slice, as asserted above (`extent` is one more than the
    // largest offset that the strides reach); all strides are nonnegative; the product is the
    // caller's, and is not read.
    unsafe {
        // Rows and columns are exchanged: `gemm` prefers products that lie column after column.
        gemm::gemm(
            columns,
            rows,
            depth,
            product,
            stride(columns),
            1,
            false,
            right.values.as_ptr(),
            stride(right.strides[0]),
            stride(right.strides[1]),
            left.values.as_ptr(),
            stride(left.strides[0]),
            stride(left.strides[1]),
            1.0,
            1.0,
            false,
            false,
            false,
            parallelism,
        );
    }
}

/// Number of elements from the first to the last one of a matrix.
fn extent(shape: [usize; 2], strides: [usize; 2]) -> usize {
    if shape.contains(&0) {
        return 0;
    }
    let offset = |axis: usize| {
        (shape[axis] - 1).checked_mul(strides[axis]).expect("an offset of a slice in memory")
    };
    offset(0).checked_add(offset(1)).and_then(|last| last.checked_add(1)).expect("as above")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(count: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 37 + 11) % 19) as f32 - 9.0).collect()
    }

    #[test]
    fn products_are_those_of_the_definition_for_all_strides() {
        for [rows, depth, columns] in [[1, 1, 1], [2, 3, 5], [17, 33, 9], [40, 5, 3], [3, 70, 31]] {
            let (left, right) = (values(rows * depth), values(depth * columns));
            for left_strides in [[depth, 1], [1, rows]] {
                for right_strides in [[columns, 1], [1, depth]] {
                    let found = product(
                        [rows, depth, columns],
                        Matrix { values: &left, strides: left_strides },
                        Matrix { values: &right, strides: right_strides },
                        Precision::F32,
                    );
                    for row in 0..rows {
                        for column in 0..columns {
                            // Small whole numbers: exact.
                            let expected: f32 = (0..depth)
                                .map(|k| {
                                    left[row * left_strides[0] + k * left_strides[1]]
                                        * right[k * right_strides[0] + column * right_strides[1]]
                                })
                                .sum();
                            assert_eq!(found[row * columns + column], expected);
                        }
                    }
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "the left factor fits")]
    fn factors_beyond_their_slice_are_refused() {
        let (left, right) = (values(5), values(6));
        let left = Matrix { values: &left, strides: [3, 1] };
        let right = Matrix { values: &right, strides: [2, 1] };
        product([2, 3, 2], left, right, Precision::F32);
    }
}
