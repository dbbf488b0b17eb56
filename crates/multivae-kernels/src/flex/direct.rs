//! Products of what windows see of images with weights, without a copy of what they see.
//!
//! Images have their channels last, so that what a window sees in one of its rows is one run of
//! values. A block of results stays in registers while all that its windows see goes by.

use std::mem::MaybeUninit;

use pulp::{Arch, Simd, WithSimd};

use crate::flex::room;

/// Windows of one shape over some images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Windows {
    /// Rows of a window.
    pub(crate) taps: usize,
    /// Values from one row of a window to the next.
    pub(crate) line: usize,
    /// Values that a window sees in a row.
    pub(crate) run: usize,
    /// Where each window begins, and where what belongs to it begins on the other side.
    pub(crate) places: Vec<[usize; 2]>,
}

impl Windows {
    /// Values that a window sees.
    pub(crate) fn depth(&self) -> usize {
        self.taps * self.run
    }

    /// One more than the last of the values that some windows see.
    pub(crate) fn extent(&self, places: &[[usize; 2]]) -> usize {
        let reach = (self.taps.max(1) - 1) * self.line + self.run;
        places.iter().map(|[from, _]| from + reach).max().unwrap_or(0)
    }
}

/// Places that a weight gradient is summed over before it is added to what there is: they stay in
/// the first-level cache.
const TILE: usize = 64;

/// Values in a vector, at most.
const MOST_LANES: usize = 16;

/// Number of vectors of a panel: with the values that they are multiplied by, a block has to fit
/// into registers, of which AVX2 has sixteen, others twice as many.
const fn most(lanes: usize) -> usize {
    if lanes == 8 { 2 } else { 4 }
}

/// The first vector of some values.
#[inline(always)]
#[allow(unsafe_code)]
fn load<S: Simd>(values: &[f32]) -> S::f32s {
    assert!(values.len() >= S::F32_LANES, "a whole vector");
    // SAFETY: there are as many values as in a vector, which may lie anywhere.
    unsafe { values.as_ptr().cast::<S::f32s>().read_unaligned() }
}

/// Writes the first vector of some values.
#[inline(always)]
#[allow(unsafe_code)]
fn store<V: Copy>(values: &mut [MaybeUninit<f32>], vector: V) {
    assert!(size_of_val(values) >= size_of::<V>(), "a whole vector");
    // SAFETY: there is room for the vector, which consists of numbers and may lie anywhere.
    unsafe { values.as_mut_ptr().cast::<V>().write_unaligned(vector) }
}

/// Values of a vector on this processor.
pub(crate) fn lanes() -> usize {
    struct Lanes;

    impl WithSimd for Lanes {
        type Output = usize;

        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> usize {
            S::F32_LANES
        }
    }

    Arch::new().dispatch(Lanes)
}

/// A matrix `[depth, columns]` cut into panels of some columns, each row after row. The last one
/// is filled up with zeros to whole vectors.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Panels {
    values: Vec<f32>,
    depth: usize,
    columns: usize,
    lanes: usize,
}

impl Panels {
    pub(crate) fn new([depth, columns]: [usize; 2]) -> Self {
        let lanes = lanes();
        let values = vec![0.0; depth * columns.next_multiple_of(lanes)];
        Self { values, depth, columns, lanes }
    }

    /// For each panel its first column, how many it has, the values from a row on, and how far
    /// rows lie apart.
    pub(crate) fn each_from(&mut self, row: usize) -> impl Iterator<Item = Panel<'_>> {
        let Self { depth, columns, lanes, .. } = *self;
        let most = most(lanes) * lanes;
        self.values.chunks_mut((depth * most).max(1)).enumerate().map(move |(number, values)| {
            let first = number * most;
            let columns = (columns - first).min(most);
            let stride = columns.next_multiple_of(lanes);
            Panel { first, columns, stride, values: &mut values[row * stride..] }
        })
    }
}

impl Panels {
    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// Copies a row of the matrix.
    pub(crate) fn read_row(&self, row: usize, to: &mut [f32]) {
        let most = most(self.lanes) * self.lanes;
        let panels = self.values.chunks((self.depth * most).max(1));
        for (values, to) in panels.zip(to.chunks_mut(most)) {
            let stride = to.len().next_multiple_of(self.lanes);
            to.copy_from_slice(&values[row * stride..][..to.len()]);
        }
    }
}

/// Some columns of a matrix.
pub(crate) struct Panel<'a> {
    pub(crate) first: usize,
    pub(crate) columns: usize,
    /// From one row to the next.
    pub(crate) stride: usize,
    pub(crate) values: &'a mut [f32],
}

/// Asserts that results of so many columns, from their places on, lie within `len` values, and that the bias
/// is theirs.
pub(crate) fn assert_results_fit(
    places: &[[usize; 2]],
    columns: usize,
    bias: Option<&[f32]>,
    len: usize,
) {
    assert!(bias.is_none_or(|bias| bias.len() == columns), "a bias for each column");
    let last = places.iter().map(|[_, to]| to + columns).max().unwrap_or(0);
    assert!(last <= len, "the results fit");
}

/// Writes for each window what it sees, times a matrix, plus a bias: as many values as the matrix
/// has columns, from the place on.
///
/// # Panics
///
/// If windows or results do not fit into their slices, or the matrix to the windows.
pub(crate) fn multiply(
    windows: &Windows,
    places: &[[usize; 2]],
    source: &[f32],
    weights: &Panels,
    bias: Option<&[f32]>,
    out: &mut [MaybeUninit<f32>],
) {
    assert!(windows.extent(places) <= source.len(), "the windows lie within the images");
    assert_eq!(windows.depth(), weights.depth, "a row of weights for each value");
    assert_results_fit(places, weights.columns, bias, out.len());
    Arch::new().dispatch(Multiply { windows, places, source, weights, bias, out });
}

struct Multiply<'a> {
    windows: &'a Windows,
    places: &'a [[usize; 2]],
    source: &'a [f32],
    weights: &'a Panels,
    bias: Option<&'a [f32]>,
    out: &'a mut [MaybeUninit<f32>],
}

impl WithSimd for Multiply<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        assert_eq!(self.weights.lanes, S::F32_LANES, "packed for this processor");
        let (columns, lanes) = (self.weights.columns, S::F32_LANES);
        let mut column = 0;
        while column < columns {
            let vectors = (columns - column).div_ceil(lanes).min(most(lanes));
            match vectors {
                1 => self.panel::<S, 12, 1>(simd, column),
                2 if lanes == 8 => self.panel::<S, 6, 2>(simd, column),
                2 => self.panel::<S, 8, 2>(simd, column),
                3 => self.panel::<S, 6, 3>(simd, column),
                _ => self.panel::<S, 6, 4>(simd, column),
            }
            column += vectors * lanes;
        }
    }
}

impl Multiply<'_> {
    /// `NR` vectors of columns for all windows, `MR` of them at a time.
    // Loops by index: what iterators hand out by reference does not stay in registers.
    #[inline(always)]
    #[allow(unsafe_code, clippy::needless_range_loop)]
    fn panel<S: Simd, const MR: usize, const NR: usize>(&mut self, simd: S, column: usize) {
        let Self { windows, weights, bias, .. } = *self;
        let lanes = S::F32_LANES;
        let wide = (weights.columns - column).min(NR * lanes);
        let mut first = [simd.splat_f32s(0.0); NR];
        if let Some(bias) = bias {
            for n in 0..NR {
                let bias = &bias[column + n * lanes..];
                first[n] = simd.partial_load_f32s(&bias[..bias.len().min(lanes)]);
            }
        }
        let panel = &weights.values[column * weights.depth..][..NR * lanes * weights.depth];
        for block in self.places.chunks(MR) {
            // A block that is not full computes its last window several times.
            let places: [[usize; 2]; MR] = std::array::from_fn(|m| block[m.min(block.len() - 1)]);
            let mut sums = [first; MR];
            let mut from = places.map(|[from, _]| self.source.as_ptr().wrapping_add(from));
            let mut row = panel.as_ptr().cast::<S::f32s>();
            // SAFETY: `multiply` has asserted that all that windows see lies within the source and
            // that there is a row of weights for each of it; a row has `NR` vectors, as the slice
            // above asserts. Pointers that leave their slice are not read from.
            unsafe {
                for _ in 0..windows.taps {
                    for i in 0..windows.run {
                        let mut right = first;
                        for n in 0..NR {
                            right[n] = row.add(n).read_unaligned();
                        }
                        row = row.wrapping_add(NR);
                        for m in 0..MR {
                            let left = simd.splat_f32s(*from[m].add(i));
                            for n in 0..NR {
                                sums[m][n] = simd.mul_add_e_f32s(left, right[n], sums[m][n]);
                            }
                        }
                    }
                    for from in &mut from {
                        *from = from.wrapping_add(windows.line);
                    }
                }
            }
            // What is not whole vectors of a row is cut off on the way.
            let whole = wide == NR * lanes;
            let mut cut = [[[MaybeUninit::<f32>::uninit(); MOST_LANES]; NR]; MR];
            for m in 0..MR {
                let row = self.out.as_mut_ptr().wrapping_add(places[m][1] + column);
                for n in 0..NR {
                    let to = row.wrapping_add(n * lanes);
                    let to = if whole { to } else { cut[m][n].as_mut_ptr() };
                    // SAFETY: `multiply` has asserted that all columns lie within the results,
                    // and these are all of the panel's; or there is room for the longest vectors.
                    unsafe { to.cast::<S::f32s>().write_unaligned(sums[m][n]) };
                }
            }
            if !whole {
                for (vectors, [_, to]) in cut.iter().zip(places) {
                    let row = &mut self.out[to + column..][..wide];
                    for (to, vector) in row.chunks_mut(lanes).zip(vectors) {
                        to.copy_from_slice(&vector[..to.len()]);
                    }
                }
            }
        }
    }
}

/// Adds to `gradient` `[depth, columns]` the products of what windows see with what belongs to
/// them in `y`, `columns` values each, summed over windows. `columns` is a multiple of [`lanes`].
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
) {
    assert!(windows.extent(places) <= source.len(), "the windows lie within the images");
    let last = places.iter().map(|[_, to]| to + columns).max().unwrap_or(0);
    assert!(last <= y.len(), "there is something for each window");
    assert_eq!(gradient.len(), windows.depth() * columns, "a row for each value");
    Arch::new().dispatch(Outer { windows, places, source, y, columns, gradient });
}

struct Outer<'a> {
    windows: &'a Windows,
    places: &'a [[usize; 2]],
    source: &'a [f32],
    y: &'a [f32],
    columns: usize,
    gradient: &'a mut [f32],
}

impl WithSimd for Outer<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let lanes = S::F32_LANES;
        assert!(self.columns.is_multiple_of(lanes), "whole vectors");
        for tile in self.places.chunks(TILE) {
            let mut column = 0;
            while column < self.columns {
                let vectors = ((self.columns - column) / lanes).min(most(lanes));
                match vectors {
                    1 => self.panel::<S, 1>(simd, tile, column),
                    2 => self.panel::<S, 2>(simd, tile, column),
                    3 => self.panel::<S, 3>(simd, tile, column),
                    _ => self.panel::<S, 4>(simd, tile, column),
                }
                column += vectors * lanes;
            }
        }
    }
}

impl Outer<'_> {
    /// `NR` vectors of columns for all rows.
    #[inline(always)]
    fn panel<S: Simd, const NR: usize>(&mut self, simd: S, tile: &[[usize; 2]], column: usize) {
        let Windows { taps, run, .. } = *self.windows;
        for tap in 0..taps {
            let mut first = 0;
            while first + 6 <= run {
                self.rows::<S, 6, NR>(simd, tile, column, [tap, first]);
                first += 6;
            }
            while first + 2 <= run {
                self.rows::<S, 2, NR>(simd, tile, column, [tap, first]);
                first += 2;
            }
            if first < run {
                self.rows::<S, 1, NR>(simd, tile, column, [tap, first]);
            }
        }
    }

    /// `MR` rows from one on.
    #[inline(always)]
    #[allow(unsafe_code, clippy::needless_range_loop)]
    fn rows<S: Simd, const MR: usize, const NR: usize>(
        &mut self,
        simd: S,
        tile: &[[usize; 2]],
        column: usize,
        [tap, first]: [usize; 2],
    ) {
        let Windows { line, run, .. } = *self.windows;
        let lanes = S::F32_LANES;
        let mut sums = [[simd.splat_f32s(0.0); NR]; MR];
        let source = self.source.as_ptr().wrapping_add(tap * line + first);
        let y = self.y.as_ptr().wrapping_add(column);
        for &[from, to] in tile {
            // SAFETY: `add_outer` has asserted that all that windows see, of which these are `MR`
            // values of a row, lies within the source, and all columns of what belongs to them
            // within `y`.
            unsafe {
                let from = source.add(from);
                let to = y.add(to).cast::<S::f32s>();
                let mut right = sums[0];
                for n in 0..NR {
                    right[n] = to.add(n).read_unaligned();
                }
                for m in 0..MR {
                    let left = simd.splat_f32s(*from.add(m));
                    for n in 0..NR {
                        sums[m][n] = simd.mul_add_e_f32s(left, right[n], sums[m][n]);
                    }
                }
            }
        }
        for m in 0..MR {
            let row = (tap * run + first + m) * self.columns + column;
            let row = &mut self.gradient[row..row + NR * lanes];
            for n in 0..NR {
                let value = &mut row[n * lanes..];
                let total = simd.add_f32s(load::<S>(value), sums[m][n]);
                store(room(value), total);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(count: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 37 + 11) % 19) as f32 - 9.0).collect()
    }

    /// Two rows of three values, from any place of a line of 50 to one of `count`.
    fn windows(count: usize, columns: usize) -> Windows {
        let places = (0..count).map(|i| [(i * 7) % 40, i * columns]).collect();
        Windows { taps: 2, line: 50, run: 7, places }
    }

    fn seen(windows: &Windows, source: &[f32], place: [usize; 2], row: usize) -> f32 {
        source[place[0] + row / windows.run * windows.line + row % windows.run]
    }

    // Small whole numbers: exact.
    #[test]
    fn products_are_those_of_the_definition() {
        for count in [1, 5, 12, 31] {
            for columns in [1, 3, 8, 16, 21, 33, 64, 100] {
                let windows = windows(count, columns);
                let source = values(100);
                let matrix = values(14 * columns);
                let mut weights = Panels::new([14, columns]);
                for row in 0..14 {
                    for panel in weights.each_from(row) {
                        let from = &matrix[row * columns + panel.first..][..panel.columns];
                        panel.values[..panel.columns].copy_from_slice(from);
                    }
                }
                let bias = values(columns);
                for bias in [None, Some(&bias[..])] {
                    let mut out = vec![f32::NAN; count * columns];
                    multiply(&windows, &windows.places, &source, &weights, bias, room(&mut out));
                    for &place in &windows.places {
                        for column in 0..columns {
                            let mut expected = bias.map_or(0.0, |bias| bias[column]);
                            for row in 0..14 {
                                expected += seen(&windows, &source, place, row)
                                    * matrix[row * columns + column];
                            }
                            assert_eq!(out[place[1] + column], expected);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn outer_products_are_those_of_the_definition() {
        for count in [1, 5, 200] {
            for vectors in [1, 2, 3, 4, 7] {
                let columns = vectors * lanes();
                let windows = windows(count, columns);
                let (source, y) = (values(100), values(count * columns));
                let mut gradient = vec![1.0; 14 * columns];
                add_outer(&windows, &windows.places, &source, &y, columns, &mut gradient);
                for row in 0..14 {
                    for column in 0..columns {
                        let mut expected = 1.0;
                        for &place in &windows.places {
                            expected += seen(&windows, &source, place, row) * y[place[1] + column];
                        }
                        assert_eq!(gradient[row * columns + column], expected);
                    }
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "the windows lie within the images")]
    fn windows_beyond_the_images_are_refused() {
        let windows = windows(3, 4);
        let weights = Panels::new([14, 4]);
        multiply(&windows, &windows.places, &values(70), &weights, None, room(&mut [0.0; 12]));
    }

    #[test]
    #[should_panic(expected = "the results fit")]
    fn results_beyond_their_slice_are_refused() {
        let windows = windows(3, 4);
        let weights = Panels::new([14, 4]);
        multiply(&windows, &windows.places, &values(100), &weights, None, room(&mut [0.0; 11]));
    }
}
