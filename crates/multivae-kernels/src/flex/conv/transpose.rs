//! Transposed matrices, in blocks that fit into registers.

/// Side of the blocks.
const BLOCK: usize = 8;

/// Transposes a matrix `shape`; its rows lie `stride` apart, those of the result `out_stride`.
///
/// # Panics
///
/// If a matrix does not fit into its slice.
pub(crate) fn transpose(
    values: &[f32],
    shape: [usize; 2],
    stride: usize,
    out: &mut [f32],
    out_stride: usize,
) {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx") {
        #[allow(unsafe_code)]
        // SAFETY: the processor has AVX.
        unsafe {
            return with_avx(values, shape, stride, out, out_stride);
        }
    }
    plain(values, shape, stride, out, out_stride);
}

fn plain(
    values: &[f32],
    [rows, columns]: [usize; 2],
    stride: usize,
    out: &mut [f32],
    out_stride: usize,
) {
    for row in (0..rows).step_by(BLOCK) {
        for column in (0..columns).step_by(BLOCK) {
            for j in column..columns.min(column + BLOCK) {
                for i in row..rows.min(row + BLOCK) {
                    out[j * out_stride + i] = values[i * stride + j];
                }
            }
        }
    }
}

/// Blocks at the edges are read and written under a mask, so that they cost as much as whole ones:
/// images are narrow.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx")]
fn with_avx(
    values: &[f32],
    [rows, columns]: [usize; 2],
    stride: usize,
    out: &mut [f32],
    out_stride: usize,
) {
    use std::arch::x86_64::{
        _mm256_loadu_ps, _mm256_maskload_ps, _mm256_maskstore_ps, _mm256_permute2f128_ps,
        _mm256_setzero_ps, _mm256_shuffle_ps, _mm256_storeu_ps, _mm256_unpackhi_ps,
        _mm256_unpacklo_ps,
    };
    for row in (0..rows).step_by(BLOCK) {
        let height = BLOCK.min(rows - row);
        for column in (0..columns).step_by(BLOCK) {
            let width = BLOCK.min(columns - column);
            let mut lines = [_mm256_setzero_ps(); BLOCK];
            for (i, line) in lines.iter_mut().enumerate().take(height) {
                let line_values = &values[(row + i) * stride + column..][..width];
                #[allow(unsafe_code)]
                // SAFETY: `width` values are read, as many as the slice has.
                unsafe {
                    *line = if width == BLOCK {
                        _mm256_loadu_ps(line_values.as_ptr())
                    } else {
                        _mm256_maskload_ps(line_values.as_ptr(), mask(width))
                    };
                }
            }
            let [a, b, c, d, e, f, g, h] = lines;
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
            for j in 0..width {
                let (upper, lower) = (upper[j % 4], lower[j % 4]);
                let line = if j < 4 {
                    _mm256_permute2f128_ps::<0x20>(upper, lower)
                } else {
                    _mm256_permute2f128_ps::<0x31>(upper, lower)
                };
                let to = &mut out[(column + j) * out_stride + row..][..height];
                #[allow(unsafe_code)]
                // SAFETY: `height` values are written, as many as the slice has.
                unsafe {
                    if height == BLOCK {
                        _mm256_storeu_ps(to.as_mut_ptr(), line);
                    } else {
                        _mm256_maskstore_ps(to.as_mut_ptr(), mask(height), line);
                    }
                }
            }
        }
    }
}

/// The first `count` lanes.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx")]
fn mask(count: usize) -> std::arch::x86_64::__m256i {
    let lane = |i: usize| if i < count { -1 } else { 0 };
    std::arch::x86_64::_mm256_setr_epi32(
        lane(0),
        lane(1),
        lane(2),
        lane(3),
        lane(4),
        lane(5),
        lane(6),
        lane(7),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_is_transposed_and_nothing_else_is_written() {
        for rows in 1..20 {
            for columns in 1..20 {
                let (stride, out_stride) = (columns + 3, rows + 2);
                let values: Vec<f32> = (0..rows * stride).map(|i| i as f32).collect();
                for f in [transpose, plain] {
                    let mut out = vec![-1.0; columns * out_stride];
                    f(&values, [rows, columns], stride, &mut out, out_stride);
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
