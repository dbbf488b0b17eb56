//! Transposed matrices, in blocks that fit into registers.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use super::fill;

/// Side of the blocks.
const BLOCK: usize = 8;

/// Fewest values that are worth a thread.
const PART: usize = 1 << 16;

/// The transposed matrix of one that lies row after row without gaps: products whose columns would
/// else lie far apart are faster with it.
#[allow(unsafe_code)]
pub(crate) fn transposed(values: &[f32], [rows, columns]: [usize; 2]) -> Vec<f32> {
    let part = PART.div_ceil(rows).next_multiple_of(BLOCK);
    let write = |out: &mut [MaybeUninit<f32>]| {
        out.par_chunks_mut(part * rows).enumerate().for_each(|(number, out)| {
            transpose(&values[number * part..], [rows, out.len() / rows], columns, out, rows);
        });
    };
    // SAFETY: every row of the result is in one of the chunks, which are transposed whole.
    unsafe { fill(rows * columns, write) }
}

/// Transposes a matrix `shape`; its rows lie `stride` apart, those of the result `out_stride`.
///
/// # Panics
///
/// If a matrix does not fit into its slice.
pub(crate) fn transpose(
    values: &[f32],
    shape: [usize; 2],
    stride: usize,
    out: &mut [MaybeUninit<f32>],
    out_stride: usize,
) {
    #[cfg(target_arch = "x86_64")]
    if shape.iter().all(|&extent| extent >= BLOCK) && std::arch::is_x86_feature_detected!("avx") {
        #[allow(unsafe_code)]
        // SAFETY: the processor has AVX.
        unsafe {
            return with_avx(values, shape, stride, out, out_stride);
        }
    }
    match shape {
        [1, columns] if out_stride == 1 => write(&mut out[..columns], &values[..columns]),
        [rows, 1] if stride == 1 => write(&mut out[..rows], &values[..rows]),
        [3, columns] if out_stride == 3 => interleave(values, columns, stride, out),
        [rows, 3] if stride == 3 => separate(values, rows, out, out_stride),
        _ => plain(values, shape, stride, out, out_stride),
    }
}

fn write(out: &mut [MaybeUninit<f32>], values: &[f32]) {
    out.write_copy_of_slice(values);
}

/// Three rows without gaps between the columns of the result.
fn interleave(values: &[f32], columns: usize, stride: usize, out: &mut [MaybeUninit<f32>]) {
    let [a, b, c] = [0, 1, 2].map(|row| &values[row * stride..][..columns]);
    let (out, _) = out.as_chunks_mut::<3>();
    for (((out, a), b), c) in out[..columns].iter_mut().zip(a).zip(b).zip(c) {
        *out = [*a, *b, *c].map(MaybeUninit::new);
    }
}

/// The other way round.
fn separate(values: &[f32], rows: usize, out: &mut [MaybeUninit<f32>], out_stride: usize) {
    let (values, _) = values.as_chunks::<3>();
    let values = &values[..rows];
    for column in 0..3 {
        for (out, value) in out[column * out_stride..][..rows].iter_mut().zip(values) {
            out.write(value[column]);
        }
    }
}

/// Row by row: there are few of them, or few columns.
fn plain(
    values: &[f32],
    [rows, columns]: [usize; 2],
    stride: usize,
    out: &mut [MaybeUninit<f32>],
    out_stride: usize,
) {
    for row in 0..rows {
        let line = &values[row * stride..][..columns];
        for (to, value) in out[row..].iter_mut().step_by(out_stride).zip(line) {
            to.write(*value);
        }
    }
}

/// Where blocks begin: the last one overlaps the one before if there is not room for a whole one
/// behind it, and writes the same once more.
#[cfg(target_arch = "x86_64")]
fn starts(extent: usize) -> impl Iterator<Item = usize> {
    (0..extent).step_by(BLOCK).map(move |start| start.min(extent - BLOCK))
}

/// For matrices of at least a block. The longer side is walked first: the few lines that it runs
/// along are then read, or written, from their begin to their end, which is what processors fetch
/// ahead.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx")]
fn with_avx(
    values: &[f32],
    [rows, columns]: [usize; 2],
    stride: usize,
    out: &mut [MaybeUninit<f32>],
    out_stride: usize,
) {
    if rows < columns {
        for row in starts(rows) {
            for column in starts(columns) {
                let values = &values[row * stride + column..];
                block(values, stride, &mut out[column * out_stride + row..], out_stride);
            }
        }
    } else {
        for column in starts(columns) {
            for row in starts(rows) {
                let values = &values[row * stride + column..];
                block(values, stride, &mut out[column * out_stride + row..], out_stride);
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx")]
#[inline]
fn block(values: &[f32], stride: usize, out: &mut [MaybeUninit<f32>], out_stride: usize) {
    use std::arch::x86_64::{
        _mm256_loadu_ps, _mm256_permute2f128_ps, _mm256_shuffle_ps, _mm256_storeu_ps,
        _mm256_unpackhi_ps, _mm256_unpacklo_ps,
    };
    assert!(values.len() >= (BLOCK - 1) * stride + BLOCK, "the block fits");
    assert!(out.len() >= (BLOCK - 1) * out_stride + BLOCK, "the transposed block fits");
    let line = |i: usize| values.as_ptr().wrapping_add(i * stride);
    #[allow(unsafe_code)]
    // SAFETY: the last of the eight lines of eight values ends within the slice, as asserted.
    let (a, b, c, d, e, f, g, h) = unsafe {
        (
            _mm256_loadu_ps(line(0)),
            _mm256_loadu_ps(line(1)),
            _mm256_loadu_ps(line(2)),
            _mm256_loadu_ps(line(3)),
            _mm256_loadu_ps(line(4)),
            _mm256_loadu_ps(line(5)),
            _mm256_loadu_ps(line(6)),
            _mm256_loadu_ps(line(7)),
        )
    };
    let (ab, ab_high) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
    let (cd, cd_high) = (_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
    let (ef, ef_high) = (_mm256_unpacklo_ps(e, f), _mm256_unpackhi_ps(e, f));
    let (gh, gh_high) = (_mm256_unpacklo_ps(g, h), _mm256_unpackhi_ps(g, h));
    // Four rows each; columns 0, 1, 2, 3 below and 4, 5, 6, 7 above.
    const LOW: i32 = 0b01_00_01_00;
    const HIGH: i32 = 0b11_10_11_10;
    let upper = [
        _mm256_shuffle_ps::<LOW>(ab, cd),
        _mm256_shuffle_ps::<HIGH>(ab, cd),
        _mm256_shuffle_ps::<LOW>(ab_high, cd_high),
        _mm256_shuffle_ps::<HIGH>(ab_high, cd_high),
    ];
    let lower = [
        _mm256_shuffle_ps::<LOW>(ef, gh),
        _mm256_shuffle_ps::<HIGH>(ef, gh),
        _mm256_shuffle_ps::<LOW>(ef_high, gh_high),
        _mm256_shuffle_ps::<HIGH>(ef_high, gh_high),
    ];
    let to = out.as_mut_ptr().cast::<f32>();
    for j in 0..4 {
        let first = _mm256_permute2f128_ps::<0x20>(upper[j], lower[j]);
        let second = _mm256_permute2f128_ps::<0x31>(upper[j], lower[j]);
        #[allow(unsafe_code)]
        // SAFETY: as above, for the slice that is written.
        unsafe {
            _mm256_storeu_ps(to.add(j * out_stride), first);
            _mm256_storeu_ps(to.add((j + 4) * out_stride), second);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::room, *};

    #[test]
    fn whole_matrices_are_transposed_part_by_part() {
        for [rows, columns] in [[1, 1], [3, 700], [700, 3], [300, 500]] {
            let values: Vec<f32> = (0..rows * columns).map(|i| i as f32).collect();
            for (i, value) in transposed(&values, [rows, columns]).into_iter().enumerate() {
                assert_eq!(value, values[i % rows * columns + i / rows]);
            }
        }
    }

    type Transpose = fn(&[f32], [usize; 2], usize, &mut [MaybeUninit<f32>], usize);

    #[test]
    fn every_shape_is_transposed_and_nothing_else_is_written() {
        for rows in 1..20 {
            for columns in 1..20 {
                for (f, gap) in [(transpose as Transpose, 3), (transpose, 0), (plain, 3)] {
                    let (stride, out_stride) = (columns + gap, rows + gap);
                    let values: Vec<f32> = (0..rows * stride).map(|i| i as f32).collect();
                    let mut out = vec![-1.0; columns * out_stride];
                    f(&values, [rows, columns], stride, room(&mut out), out_stride);
                    for (i, value) in out.iter().enumerate() {
                        let (column, row) = (i / out_stride, i % out_stride);
                        let expected =
                            if row < rows { values[row * stride + column] } else { -1.0 };
                        assert_eq!(*value, expected, "{rows} {columns} {i}");
                    }
                }
            }
        }
    }
}
