//! Products of operands that are rounded to `bf16`, with sums of `f32`: twice as many
//! multiplications an instruction as of `f32`, which multiply pairs along what is summed over.
//!
//! Pairs lie in a `u32`, the first in its lower half. Panels of the right factor, as many columns as a
//! block of sums in registers has, lie pair after pair; rows of the left one are read where they are.
//! The order of sums depends on shapes alone.
//!
//! Rounding is to the nearest, ties to even; subnormal numbers count as zero, as on the workers.

#![allow(unsafe_code)]

use std::{cell::Cell, mem::MaybeUninit};

use rayon::prelude::*;

use super::{
    direct::{Panels, Windows, assert_results_fit},
    gemm::Matrix,
};

/// Whether the processor has the instructions.
pub(crate) fn available() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512bf16")
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        false
    }
}

/// Columns of a vector.
const LANES: usize = 16;

/// Columns of a block of sums, in vectors, and its rows: with the vectors that they are multiplied
/// by they fill the registers.
const VECTORS: usize = 4;
const ROWS: usize = 6;

/// Columns of a panel.
const WIDE: usize = VECTORS * LANES;

/// Pairs that are summed before the next ones are: as many of a panel stay in the second-level cache.
const PAIRS: usize = 512;

/// Rows that a thread works on with a panel.
const PART: usize = 16 * ROWS;

/// Places that a weight gradient is summed over at a time.
const TILE: usize = 64;

/// A matrix in pairs, cut into panels of some columns; the last one is filled up with zeros to whole
/// vectors.
#[derive(Clone, Debug)]
pub(crate) struct PairPanels {
    values: Vec<u32>,
    pairs: usize,
    columns: usize,
}

impl PairPanels {
    /// Of a matrix `[depth, columns]` whose rows lie without gaps, in a buffer; on all threads, unless
    /// `alone`.
    fn of_matrix(
        [depth, columns]: [usize; 2],
        matrix: Matrix<'_>,
        mut values: Vec<u32>,
        alone: bool,
    ) -> Self {
        let pairs = depth.div_ceil(2);
        values.resize(pairs * columns.next_multiple_of(LANES), 0);
        let pack = |(number, panel): (usize, &mut [u32])| {
            let first = number * WIDE;
            let wide = (columns - first).min(WIDE);
            pack([depth, wide], &matrix.values[first..], matrix.strides[0], panel);
        };
        let panels = values.chunks_mut((pairs * WIDE).max(1)).enumerate();
        match alone {
            true => panels.for_each(pack),
            false => panels.collect::<Vec<_>>().into_par_iter().for_each(pack),
        }
        Self { values, pairs, columns }
    }

    /// Of the rows that windows see, in pairs along each run.
    pub(crate) fn of_windows(windows: &Windows, weights: &Panels) -> Self {
        let (pairs, columns) = (windows.run.div_ceil(2), weights.columns());
        // Runs of whole pairs.
        let depth = windows.taps * 2 * pairs;
        let mut rows = vec![0.0; depth * columns];
        for row in 0..windows.depth() {
            let (tap, place) = (row / windows.run, row % windows.run);
            let to = (tap * 2 * pairs + place) * columns;
            weights.read_row(row, &mut rows[to..to + columns]);
        }
        let matrix = Matrix { values: &rows, strides: [columns, 1] };
        Self::of_matrix([depth, columns], matrix, Vec::new(), true)
    }

    /// Its panels: the first column, how many vectors it has, and its pairs.
    fn each(&self) -> impl Iterator<Item = (usize, usize, &[u32])> {
        (0..self.columns).step_by(WIDE).map(|first| {
            let vectors = (self.columns - first).min(WIDE).div_ceil(LANES);
            let values = &self.values[first * self.pairs..][..self.pairs * vectors * LANES];
            (first, vectors, values)
        })
    }
}

/// Pairs of two rows, of which the second may be zeros; zeros behind them.
fn interleave(first: &[f32], second: Option<&[f32]>, pairs: &mut [u32]) {
    assert!(second.is_none_or(|second| second.len() == first.len()), "rows of one length");
    assert!(first.len() <= pairs.len(), "room for all pairs");
    assert!(available(), "callers ask for it");
    // SAFETY: the processor has the instructions; lengths are asserted above.
    unsafe { x86::interleave(first, second, pairs) }
}

/// Rows of a panel, `stride` apart, as pairs of whole vectors.
fn pack(shape: [usize; 2], values: &[f32], stride: usize, panel: &mut [u32]) {
    let [depth, wide] = shape;
    assert!((depth - 1) * stride + wide <= values.len(), "rows are there");
    assert!(panel.len() >= depth.div_ceil(2) * wide.next_multiple_of(LANES), "room for all pairs");
    assert!(available(), "callers ask for it");
    // SAFETY: the processor has the instructions; lengths are asserted above.
    unsafe { x86::pack(shape, values, stride, panel) }
}

/// Neighbours as pairs; behind an odd number there is a zero.
fn narrow(values: &[f32], pairs: &mut [u32]) {
    assert_eq!(pairs.len(), values.len().div_ceil(2), "room for exactly the pairs");
    assert!(available(), "callers ask for it");
    // SAFETY: as above; a pair has the room of two numbers.
    unsafe { x86::narrow(values, pairs.as_mut_ptr().cast(), 2 * pairs.len()) }
}

/// Values as they are multiplied, with a zero behind them, so that each starts a pair.
pub(crate) fn narrowed<'a>(values: &[f32], buffer: &'a mut Vec<u16>) -> &'a [u16] {
    if buffer.len() <= values.len() {
        buffer.resize(values.len() + 1, 0);
    }
    let narrow = &mut buffer[..=values.len()];
    assert!(available(), "callers ask for it");
    // SAFETY: as above.
    unsafe { x86::narrow(values, narrow.as_mut_ptr(), narrow.len()) };
    narrow
}

/// Whether a product is for these kernels: rows of the right factor lie without gaps, and those of the
/// left, or its columns.
pub(crate) fn suits(left: Matrix<'_>, right: Matrix<'_>) -> bool {
    right.strides[1] == 1 && left.strides.contains(&1) && available()
}

/// The product of two matrices, of which [`suits`] is true, row after row; on all threads, unless
/// `alone`.
///
/// # Panics
///
/// If a factor does not fit into its slice, or the product is not just its size.
pub(crate) fn product_into(
    [rows, depth, columns]: [usize; 3],
    left: Matrix<'_>,
    right: Matrix<'_>,
    product: &mut [MaybeUninit<f32>],
    alone: bool,
) {
    assert!(suits(left, right), "a product for these kernels");
    assert_eq!(product.len(), rows * columns, "there is room for the product");
    let pairs = depth.div_ceil(2);
    // A product within a product finds no buffers and makes some.
    let right = PairPanels::of_matrix([depth, columns], right, PANELS.take(), alone);
    let mut narrow_left = ROWS_OF_PAIRS.take();
    narrow_left.resize(rows * pairs, 0);
    let narrow_row = |(row, pairs): (usize, &mut [u32])| {
        narrow(&left.values[row * left.strides[0]..][..depth], pairs);
    };
    let narrow_column = |(pair, pairs): (usize, &mut [u32])| {
        let column = |k: usize| &left.values[k * left.strides[1]..][..rows];
        let second = (2 * pair + 1 < depth).then(|| column(2 * pair + 1));
        interleave(column(2 * pair), second, pairs);
    };
    // How far rows and pairs of the left factor lie apart.
    let by_row = left.strides[1] == 1;
    let [apart, step] = if by_row { [pairs, 1] } else { [1, rows] };
    match (by_row, alone) {
        (true, true) => narrow_left.chunks_exact_mut(pairs).enumerate().for_each(narrow_row),
        (true, false) => narrow_left.par_chunks_exact_mut(pairs).enumerate().for_each(narrow_row),
        (false, true) => narrow_left.chunks_exact_mut(rows).enumerate().for_each(narrow_column),
        (false, false) => {
            narrow_left.par_chunks_exact_mut(rows).enumerate().for_each(narrow_column);
        }
    }
    let panels: Vec<_> = right.each().collect();
    let out = Out(product.as_mut_ptr().cast());
    let write = |(panel, first_row): (usize, usize)| {
        let (column, vectors, panel) = panels[panel];
        let rows = first_row..rows.min(first_row + PART);
        let columns = columns - column;
        // SAFETY: the processor has the instructions. Rows and pairs of both factors lie in their
        // vectors, whose lengths are those products; the columns of these rows, as many as the panel
        // has, are written by nobody else.
        unsafe {
            let place = out.at(first_row * (columns + column) + column);
            let left = narrow_left.as_ptr().wrapping_add(first_row * apart);
            let left = x86::Left { pairs: left, apart, step };
            let out = x86::Rows { first: place, apart: columns + column, columns };
            x86::part([rows.len(), pairs], left, panel, vectors, out, false);
        }
    };
    let parts = (0..panels.len())
        .flat_map(|panel| (0..rows).step_by(PART).map(move |first| (panel, first)));
    match alone {
        true => parts.for_each(write),
        false => parts.collect::<Vec<_>>().into_par_iter().for_each(write),
    }
    PANELS.set(right.values);
    ROWS_OF_PAIRS.set(narrow_left);
}

thread_local! {
    /// What a product of this thread has packed its factors into: new memory takes as long as that.
    static PANELS: Cell<Vec<u32>> = const { Cell::new(Vec::new()) };
    static ROWS_OF_PAIRS: Cell<Vec<u32>> = const { Cell::new(Vec::new()) };
}

/// Where threads write, each to places of its own.
#[derive(Clone, Copy)]
struct Out(*mut f32);

// SAFETY: who writes says where.
unsafe impl Send for Out {}
// SAFETY: as above.
unsafe impl Sync for Out {}

impl Out {
    fn at(self, place: usize) -> *mut f32 {
        self.0.wrapping_add(place)
    }
}

/// As [`multiply`](super::direct::multiply), of a source that [`narrowed`] has made.
///
/// # Panics
///
/// If windows or results do not fit into their slices, or the matrix to the windows.
pub(crate) fn multiply(
    windows: &Windows,
    places: &[[usize; 2]],
    source: &[u16],
    weights: &PairPanels,
    bias: Option<&[f32]>,
    out: &mut [MaybeUninit<f32>],
) {
    let pairs = windows.run.div_ceil(2);
    assert!(
        windows.extent(places) < source.len(),
        "the windows and one more lie within the images"
    );
    assert_eq!(windows.taps * pairs, weights.pairs, "a row of weights for each value");
    assert_results_fit(places, weights.columns, bias, out.len());
    assert!(available(), "callers ask for it");
    for (column, vectors, panel) in weights.each() {
        let wide = (weights.columns - column).min(WIDE);
        let bias = bias.map(|bias| &bias[column..][..wide]);
        let windows = x86::Seen { source, taps: windows.taps, line: windows.line, pairs };
        // SAFETY: the processor has the instructions; all that windows see lies within the source, a
        // pair of an odd run one value further; columns of these places lie within the results.
        unsafe { x86::windows(&windows, places, panel, vectors, bias, out, [column, wide]) }
    }
}

/// Buffers of [`add_outer`], kept from call to call.
#[derive(Debug, Default)]
pub(crate) struct OuterScratch {
    seen: Vec<u32>,
    y: Vec<u32>,
}

/// As [`add_outer`](super::direct::add_outer).
///
/// # Panics
///
/// If anything does not fit into its slice.
pub(crate) fn add_outer(
    windows: &Windows,
    places: &[[usize; 2]],
    source: &[f32],
    y: &[f32],
    columns: usize,
    gradient: &mut [f32],
    scratch: &mut OuterScratch,
) {
    let (depth, run) = (windows.depth(), windows.run);
    assert!(columns.is_multiple_of(LANES), "whole vectors");
    assert_eq!(gradient.len(), depth * columns, "a row for each value");
    let OuterScratch { seen, y: belongs } = scratch;
    seen.resize(TILE / 2 * depth, 0);
    belongs.resize(TILE / 2 * columns, 0);
    for tile in places.chunks(TILE) {
        let pairs = tile.len().div_ceil(2);
        for (number, pair) in tile.chunks(2).enumerate() {
            for tap in 0..windows.taps {
                let row = |[from, _]: [usize; 2]| &source[from + tap * windows.line..][..run];
                let to = &mut seen[number * depth + tap * run..][..run];
                interleave(row(pair[0]), pair.get(1).map(|&place| row(place)), to);
            }
            let row = |[_, to]: [usize; 2]| &y[to..][..columns];
            let [first, second] = [Some(row(pair[0])), pair.get(1).map(|&place| row(place))];
            for column in (0..columns).step_by(WIDE) {
                let wide = (columns - column).min(WIDE);
                let [first, second] =
                    [first, second].map(|row| row.map(|row| &row[column..][..wide]));
                let to = &mut belongs[pairs * column + number * wide..][..wide];
                interleave(first.expect("of a pair"), second, to);
            }
        }
        for column in (0..columns).step_by(WIDE) {
            let wide = (columns - column).min(WIDE);
            let panel = &belongs[pairs * column..][..pairs * wide];
            let left = x86::Left { pairs: seen.as_ptr(), apart: 1, step: depth };
            let first = gradient[column..].as_mut_ptr();
            let out = x86::Rows { first, apart: columns, columns: wide };
            // SAFETY: the processor has the instructions, as `interleave` asserts; there are `pairs`
            // pairs of `depth` values and of the panel's columns, and a row of the gradient for each
            // value.
            unsafe { x86::part([depth, pairs], left, panel, wide / LANES, out, true) }
        }
    }
}

// Loops by index: what iterators hand out by reference does not stay in registers.
#[cfg(target_arch = "x86_64")]
#[allow(clippy::needless_range_loop)]
mod x86 {
    use std::{arch::x86_64::*, mem, mem::MaybeUninit};

    use super::{LANES, PAIRS, ROWS, VECTORS};

    /// The left factor: pair `k` of row `m` lies at `m * apart + k * step`.
    #[derive(Clone, Copy)]
    pub(super) struct Left {
        pub(super) pairs: *const u32,
        pub(super) apart: usize,
        pub(super) step: usize,
    }

    /// Rows of the result, of which `columns` are to be written.
    #[derive(Clone, Copy)]
    pub(super) struct Rows {
        pub(super) first: *mut f32,
        pub(super) apart: usize,
        pub(super) columns: usize,
    }

    /// What windows see.
    pub(super) struct Seen<'a> {
        pub(super) source: &'a [u16],
        pub(super) taps: usize,
        pub(super) line: usize,
        /// Of a run.
        pub(super) pairs: usize,
    }

    /// Calls a function with the rows and the vectors of a block, for panels of so many vectors.
    macro_rules! by_vectors {
        ($vectors:expr, $function:ident($($argument:expr),*)) => {
            match $vectors {
                1 => $function::<12, 1>($($argument),*),
                2 => $function::<12, 2>($($argument),*),
                3 => $function::<8, 3>($($argument),*),
                _ => $function::<ROWS, VECTORS>($($argument),*),
            }
        };
    }

    type Sums<const MR: usize, const NR: usize> = [[__m512; NR]; MR];

    /// What of a vector is one of so many columns.
    fn mask(columns: usize) -> __mmask16 {
        if columns >= LANES { !0 } else { (1 << columns) - 1 }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    fn narrow_vector(values: __m512) -> __m256i {
        // SAFETY: sixteen numbers either way.
        unsafe { mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(values)) }
    }

    /// # Safety
    ///
    /// The processor has the instructions; `pairs` is no shorter than the rows, which are alike.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    pub(super) unsafe fn interleave(first: &[f32], second: Option<&[f32]>, pairs: &mut [u32]) {
        for (number, pairs) in pairs.chunks_mut(LANES).enumerate() {
            let start = number * LANES;
            let mask = mask(first.len().saturating_sub(start));
            let load = |row: &[f32]| {
                // SAFETY: what is masked out is not read.
                let values =
                    unsafe { _mm512_maskz_loadu_ps(mask, row.as_ptr().wrapping_add(start)) };
                _mm512_cvtepu16_epi32(narrow_vector(values))
            };
            let low = load(first);
            let both = match second {
                Some(second) => _mm512_or_si512(low, _mm512_slli_epi32::<16>(load(second))),
                None => low,
            };
            // SAFETY: what is masked out is not written.
            unsafe {
                _mm512_mask_storeu_epi32(pairs.as_mut_ptr().cast(), self::mask(pairs.len()), both);
            }
        }
    }

    /// # Safety
    ///
    /// The processor has the instructions; rows and room for their pairs are there.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    pub(super) unsafe fn pack(
        [depth, wide]: [usize; 2],
        values: &[f32],
        stride: usize,
        panel: &mut [u32],
    ) {
        let vectors = wide.div_ceil(LANES);
        for pair in 0..depth.div_ceil(2) {
            for n in 0..vectors {
                let mask = mask(wide - n * LANES);
                let load = |row: usize| {
                    let from = values.as_ptr().wrapping_add(row * stride + n * LANES);
                    // SAFETY: as the caller says; what is masked out is not read.
                    _mm512_cvtepu16_epi32(narrow_vector(unsafe {
                        _mm512_maskz_loadu_ps(mask, from)
                    }))
                };
                let mut both = load(2 * pair);
                if 2 * pair + 1 < depth {
                    both = _mm512_or_si512(both, _mm512_slli_epi32::<16>(load(2 * pair + 1)));
                }
                let to = panel.as_mut_ptr().wrapping_add((pair * vectors + n) * LANES);
                // SAFETY: as the caller says.
                unsafe { _mm512_storeu_si512(to.cast(), both) };
            }
        }
    }

    /// Writes numbers, and zeros up to `count`.
    ///
    /// # Safety
    ///
    /// The processor has the instructions; there is room for `count` numbers, no fewer than values.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    pub(super) unsafe fn narrow(values: &[f32], to: *mut u16, count: usize) {
        for start in (0..count).step_by(LANES) {
            let inside = mask(values.len().saturating_sub(start));
            // SAFETY: what is masked out is neither read nor written.
            unsafe {
                let from = values.as_ptr().wrapping_add(start);
                let narrow = narrow_vector(_mm512_maskz_loadu_ps(inside, from));
                _mm256_mask_storeu_epi16(to.add(start).cast(), mask(count - start), narrow);
            }
        }
    }

    /// Adds a run of pairs to a block of sums.
    ///
    /// # Safety
    ///
    /// The processor has the instructions; there are so many pairs behind each pointer of `left`,
    /// `step` bytes apart, and as many times `NR` vectors behind `right`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn add_pairs<const MR: usize, const NR: usize>(
        sums: &mut Sums<MR, NR>,
        left: [*const u8; MR],
        step: usize,
        right: *const u32,
        pairs: usize,
    ) {
        let mut place = 0;
        for pair in 0..pairs {
            // SAFETY: as the caller says; pairs and vectors may lie anywhere.
            unsafe {
                let right = right.add(pair * NR * LANES);
                let mut vectors = [_mm512_setzero_si512(); NR];
                for n in 0..NR {
                    vectors[n] = _mm512_loadu_si512(right.add(n * LANES).cast());
                }
                for m in 0..MR {
                    let one = left[m].add(place).cast::<i32>().read_unaligned();
                    let one = mem::transmute::<__m512i, __m512bh>(_mm512_set1_epi32(one));
                    for n in 0..NR {
                        let right = mem::transmute::<__m512i, __m512bh>(vectors[n]);
                        sums[m][n] = _mm512_dpbf16_ps(sums[m][n], one, right);
                    }
                }
            }
            place += step;
        }
    }

    /// Writes the result of some rows and the columns of a panel, or adds to it.
    ///
    /// # Safety
    ///
    /// The processor has the instructions; both factors and the result are there.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    pub(super) unsafe fn part(
        [rows, pairs]: [usize; 2],
        left: Left,
        panel: &[u32],
        vectors: usize,
        out: Rows,
        add: bool,
    ) {
        for start in (0..pairs).step_by(PAIRS) {
            let count = (pairs - start).min(PAIRS);
            let panel = &panel[start * vectors * LANES..][..count * vectors * LANES];
            let left = Left { pairs: left.pairs.wrapping_add(start * left.step), ..left };
            let add = add || start > 0;
            // SAFETY: as the caller says.
            unsafe { by_vectors!(vectors, blocks([rows, count], left, panel, out, add)) }
        }
    }

    /// The same by blocks of `MR` rows, of `NR` vectors.
    ///
    /// # Safety
    ///
    /// As [`part`].
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn blocks<const MR: usize, const NR: usize>(
        [rows, pairs]: [usize; 2],
        left: Left,
        panel: &[u32],
        out: Rows,
        add: bool,
    ) {
        assert!(panel.len() >= pairs * NR * LANES, "the panel is there");
        let masks: [__mmask16; NR] =
            std::array::from_fn(|n| mask(out.columns.saturating_sub(n * LANES)));
        for first in (0..rows).step_by(MR) {
            let count = (rows - first).min(MR);
            // A block that is not full computes its last row several times.
            let pointers: [*const u8; MR] = std::array::from_fn(|m| {
                left.pairs.wrapping_add((first + m.min(count - 1)) * left.apart).cast()
            });
            let mut sums: Sums<MR, NR> = [[_mm512_setzero_ps(); NR]; MR];
            // SAFETY: as the caller says; what is masked out is neither read nor written.
            unsafe {
                add_pairs(&mut sums, pointers, left.step * size_of::<u32>(), panel.as_ptr(), pairs);
                for m in 0..MR {
                    if m == count {
                        break;
                    }
                    let row = out.first.add((first + m) * out.apart);
                    for n in 0..NR {
                        let place = row.wrapping_add(n * LANES);
                        let mut sum = sums[m][n];
                        if add {
                            sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(masks[n], place));
                        }
                        _mm512_mask_storeu_ps(place, masks[n], sum);
                    }
                }
            }
        }
    }

    /// Columns of a panel for all windows.
    ///
    /// # Safety
    ///
    /// The processor has the instructions; windows and results lie within their slices.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    pub(super) unsafe fn windows(
        seen: &Seen<'_>,
        places: &[[usize; 2]],
        panel: &[u32],
        vectors: usize,
        bias: Option<&[f32]>,
        out: &mut [MaybeUninit<f32>],
        columns: [usize; 2],
    ) {
        // SAFETY: as the caller says.
        unsafe { by_vectors!(vectors, each_window(seen, places, panel, bias, out, columns)) }
    }

    /// The same by blocks of `MR` windows, of `NR` vectors.
    ///
    /// # Safety
    ///
    /// As [`windows`].
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn each_window<const MR: usize, const NR: usize>(
        seen: &Seen<'_>,
        places: &[[usize; 2]],
        panel: &[u32],
        bias: Option<&[f32]>,
        out: &mut [MaybeUninit<f32>],
        [column, wide]: [usize; 2],
    ) {
        let Seen { source, taps, line, pairs } = *seen;
        assert!(panel.len() >= taps * pairs * NR * LANES, "the panel is there");
        let masks: [__mmask16; NR] = std::array::from_fn(|n| mask(wide.saturating_sub(n * LANES)));
        let mut start = [_mm512_setzero_ps(); NR];
        if let Some(bias) = bias {
            for n in 0..NR {
                // SAFETY: what is masked out is not read.
                start[n] = unsafe {
                    _mm512_maskz_loadu_ps(masks[n], bias.as_ptr().wrapping_add(n * LANES))
                };
            }
        }
        for block in places.chunks(MR) {
            // As above.
            let mut from: [*const u16; MR] = std::array::from_fn(|m| {
                source.as_ptr().wrapping_add(block[m.min(block.len() - 1)][0])
            });
            let mut sums: Sums<MR, NR> = [start; MR];
            for tap in 0..taps {
                let panel = panel.as_ptr().wrapping_add(tap * pairs * NR * LANES);
                // SAFETY: as the caller says.
                unsafe { add_pairs(&mut sums, from.map(<*const u16>::cast), 4, panel, pairs) };
                for from in &mut from {
                    *from = from.wrapping_add(line);
                }
            }
            for m in 0..MR {
                if m == block.len() {
                    break;
                }
                let row = out.as_mut_ptr().cast::<f32>().wrapping_add(block[m][1] + column);
                for n in 0..NR {
                    // SAFETY: as the caller says; what is masked out is not written.
                    unsafe {
                        _mm512_mask_storeu_ps(row.wrapping_add(n * LANES), masks[n], sums[m][n]);
                    }
                }
            }
        }
    }
}

/// Where [`available`] is false, and nothing of this is called.
#[cfg(not(target_arch = "x86_64"))]
mod x86 {
    use std::mem::MaybeUninit;

    pub(super) struct Left {
        pub(super) pairs: *const u32,
        pub(super) apart: usize,
        pub(super) step: usize,
    }

    pub(super) struct Rows {
        pub(super) first: *mut f32,
        pub(super) apart: usize,
        pub(super) columns: usize,
    }

    pub(super) struct Seen<'a> {
        pub(super) source: &'a [u16],
        pub(super) taps: usize,
        pub(super) line: usize,
        pub(super) pairs: usize,
    }

    macro_rules! absent {
        ($($name:ident($($argument:ty),*);)*) => {
            // SAFETY: nothing is done.
            $(pub(super) unsafe fn $name($(_: $argument),*) {
                unreachable!("the processor lacks the instructions")
            })*
        };
    }

    absent! {
        interleave(&[f32], Option<&[f32]>, &mut [u32]);
        pack([usize; 2], &[f32], usize, &mut [u32]);
        narrow(&[f32], *mut u16, usize);
        part([usize; 2], Left, &[u32], usize, Rows, bool);
        windows(&Seen<'_>, &[[usize; 2]], &[u32], usize, Option<&[f32]>, &mut [MaybeUninit<f32>], [usize; 2]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Precision,
        flex::{direct, gemm, room},
    };

    fn values(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 37 + seed * 11) % 1009) as f32 * 0.002_137 - 1.03).collect()
    }

    /// Small whole numbers, which are their own roundings.
    fn whole(count: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 37 + 11) % 19) as f32 - 9.0).collect()
    }

    /// To the nearest, ties to even.
    fn nearest(value: f32) -> f64 {
        let bits = value.to_bits();
        let rounded = bits + 0x7fff + (bits >> 16 & 1);
        f64::from(f32::from_bits(rounded & 0xffff_0000))
    }

    // With u = 2^-24, sums of n products of f32 are off by at most n u / (1 - n u) of the sum of their
    // sizes, whatever the order (Higham 2002, 3.1). What the products themselves round is of the same
    // kind: an instruction adds two of them, each rounded once more.
    #[test]
    fn products_are_those_of_rounded_operands_up_to_rounding_of_sums() {
        for [rows, depth, columns] in [
            [1, 1, 1],
            [2, 3, 5],
            [17, 33, 9],
            [40, 5, 130],
            [3, 70, 31],
            [100, 1301, 70],
            [13, 2, 64],
        ] {
            let (left, right) = (values(rows * depth, 1), values(depth * columns, 2));
            for strides in [[depth, 1], [1, rows]] {
                let found = gemm::product(
                    [rows, depth, columns],
                    Matrix { values: &left, strides },
                    Matrix { values: &right, strides: [columns, 1] },
                    Precision::Bf16,
                );
                let alike = gemm::product(
                    [rows, depth, columns],
                    Matrix { values: &left, strides },
                    Matrix { values: &right, strides: [columns, 1] },
                    Precision::F32,
                );
                if !available() {
                    assert!(found == alike, "f32 where there are no such instructions");
                    continue;
                }
                for (place, found) in found.into_iter().enumerate() {
                    let (row, column) = (place / columns, place % columns);
                    let (mut sum, mut size) = (0.0, 0.0);
                    for k in 0..depth {
                        let left = nearest(left[row * strides[0] + k * strides[1]]);
                        let term = left * nearest(right[k * columns + column]);
                        sum += term;
                        size += term.abs();
                    }
                    let unit = (2 * depth) as f64 * 0.5_f64.powi(24);
                    let bound = unit / (1.0 - unit) * size;
                    let off = (f64::from(found) - sum).abs();
                    assert!(off <= bound, "{rows} {depth} {columns} at {place}: {off} of {bound}");
                }
            }
        }
    }

    #[test]
    fn what_windows_see_is_multiplied_as_by_the_other_kernels() {
        if !available() {
            // Nobody calls these functions; see the test above for what is called.
            return;
        }
        for (run, columns) in [(7, 1), (7, 16), (6, 33), (8, 64), (1, 100), (3, 48)] {
            for count in [1, 5, 12, 31, 200] {
                let places = (0..count).map(|i| [(i * 7) % 40, i * columns]).collect();
                let windows = Windows { taps: 2, line: 50, run, places };
                let source = whole(100);
                let matrix = whole(windows.depth() * columns);
                let mut weights = Panels::new([windows.depth(), columns]);
                for row in 0..windows.depth() {
                    for panel in weights.each_from(row) {
                        let from = &matrix[row * columns + panel.first..][..panel.columns];
                        panel.values[..panel.columns].copy_from_slice(from);
                    }
                    let mut read = vec![0.0; columns];
                    weights.read_row(row, &mut read);
                    assert_eq!(read, matrix[row * columns..][..columns]);
                }
                let pairs = PairPanels::of_windows(&windows, &weights);
                let mut buffer = Vec::new();
                let narrow = narrowed(&source, &mut buffer);
                let bias = whole(columns);
                for bias in [None, Some(&bias[..])] {
                    let [mut out, mut expected] = [0, 1].map(|_| vec![f32::NAN; count * columns]);
                    let places = &windows.places;
                    multiply(&windows, places, narrow, &pairs, bias, room(&mut out));
                    direct::multiply(
                        &windows,
                        places,
                        &source,
                        &weights,
                        bias,
                        room(&mut expected),
                    );
                    assert_eq!(out, expected);
                }
            }
        }
    }

    #[test]
    fn outer_products_are_those_of_the_other_kernels() {
        if !available() {
            // As above.
            return;
        }
        let mut scratch = OuterScratch::default();
        for (run, vectors) in [(7, 1), (6, 2), (8, 3), (1, 4), (19, 5)] {
            // Both kernels read whole vectors.
            let columns = vectors * LANES.max(direct::lanes());
            for count in [1, 5, 64, 200] {
                let places = (0..count).map(|i| [(i * 7) % 30, i * columns]).collect();
                let windows = Windows { taps: 2, line: 50, run, places };
                let (source, y) = (whole(100), whole(count * columns));
                let size = windows.depth() * columns;
                let [mut found, mut expected] = [0, 1].map(|_| vec![1.0; size]);
                let places = &windows.places;
                add_outer(&windows, places, &source, &y, columns, &mut found, &mut scratch);
                direct::add_outer(&windows, places, &source, &y, columns, &mut expected);
                assert_eq!(found, expected);
            }
        }
    }
}
