//! Images side by side.

use std::io::Cursor;

use image::{ImageFormat, Rgb, RgbImage};

use crate::ReportError;

/// Columns of a grid; more images go on below.
const COLUMNS: usize = 10;
/// Pixels between two images.
const GAP: usize = 2;
/// Pixels between two blocks of rows.
const BLOCK_GAP: usize = 10;
/// What shows between the images.
const BACKGROUND: Rgb<u8> = Rgb([32, 32, 32]);

/// Images of one shape side by side; a cell is empty where there is nothing to show.
#[derive(Clone, Debug)]
pub struct Row {
    shape: [usize; 3],
    cells: Vec<Option<Vec<f32>>>,
}

impl Row {
    /// From values in `[0, 1]`, `[images, channels, height, width]` in one list; `shown` tells
    /// which images are drawn.
    ///
    /// # Panics
    ///
    /// If there are neither 1 nor 3 channels, or an axis is 0.
    pub fn new(shape: [usize; 3], values: &[f32], shown: impl Fn(usize) -> bool) -> Self {
        assert!(matches!(shape[0], 1 | 3), "1 or 3 channels, not {}", shape[0]);
        let cells = values.chunks(shape.iter().product()).enumerate();
        let cells = cells.map(|(row, cell)| shown(row).then(|| cell.to_vec())).collect();
        Self { shape, cells }
    }

    /// Draws some images, each in the middle of a column of the given width.
    fn draw(&self, image: &mut RgbImage, cells: std::ops::Range<usize>, top: usize, column: usize) {
        let [_, height, width] = self.shape;
        for (place, cell) in self.cells[cells].iter().enumerate() {
            let Some(cell) = cell else { continue };
            let left = GAP + place * (column + GAP) + (column - width) / 2;
            for y in 0..height {
                for x in 0..width {
                    let pixel = self.pixel(cell, x, y);
                    image.put_pixel((left + x) as u32, (top + y) as u32, pixel);
                }
            }
        }
    }

    fn pixel(&self, cell: &[f32], x: usize, y: usize) -> Rgb<u8> {
        let [channels, height, width] = self.shape;
        let at = |channel: usize| {
            let channel = if channels == 1 { 0 } else { channel };
            let value = cell[(channel * height + y) * width + x];
            // A value that is no number is drawn black.
            (value.clamp(0.0, 1.0) * 255.0).round() as u8
        };
        Rgb([at(0), at(1), at(2)])
    }
}

/// Draws the rows below each other, ten columns at a time: what stands in a column belongs together,
/// whatever the sizes of the images.
pub fn grid(rows: &[&Row]) -> RgbImage {
    let columns = rows.iter().map(|row| row.cells.len()).max().unwrap_or(0);
    let shown = columns.clamp(1, COLUMNS);
    let column = rows.iter().map(|row| row.shape[2]).max().unwrap_or(0);
    let width = GAP + shown * (column + GAP);
    let block: usize = GAP + rows.iter().map(|row| row.shape[1] + GAP).sum::<usize>();
    let blocks = columns.div_ceil(COLUMNS).max(1);
    let height = blocks * block + (blocks - 1) * BLOCK_GAP;
    let mut image = RgbImage::from_pixel(width as u32, height as u32, BACKGROUND);
    let mut top = 0;
    for start in (0..columns).step_by(COLUMNS) {
        let mut y = top + GAP;
        for row in rows {
            let cells = start.min(row.cells.len())..(start + COLUMNS).min(row.cells.len());
            row.draw(&mut image, cells, y, column);
            y += row.shape[1] + GAP;
        }
        top += block + BLOCK_GAP;
    }
    image
}

/// Pixels of the cells of a sheet, which the largest image fills as far as whole factors allow.
const CELL: usize = 84;
/// Pixels around an image of a sheet, of which a frame takes the inner ones.
const MARGIN: usize = 4;
/// Pixels of a frame.
const FRAME: usize = 2;
/// The colour of frames.
const FRAMED: Rgb<u8> = Rgb([255, 176, 0]);

/// Draws blocks of rows below each other, enlarged to cells of one size: what stands in a column
/// belongs together, whatever the sizes of the images. Rows with `true` have a frame around each
/// image.
pub fn sheet(blocks: &[Vec<(Row, bool)>]) -> RgbImage {
    let rows = || blocks.iter().flatten().map(|(row, _)| row);
    let columns = rows().map(|row| row.cells.len()).max().unwrap_or(0);
    let largest = rows().flat_map(|row| [row.shape[1], row.shape[2]]).max().unwrap_or(1);
    let cell = CELL.max(largest) + 2 * MARGIN;
    let height = rows().count() * cell + blocks.len().saturating_sub(1) * BLOCK_GAP;
    let size = [columns * cell, height].map(|pixels| pixels.max(1) as u32);
    let mut image = RgbImage::from_pixel(size[0], size[1], BACKGROUND);
    let mut top = 0;
    for block in blocks {
        for (row, framed) in block {
            let [_, height, width] = row.shape;
            let factor = (cell - 2 * MARGIN) / height.max(width);
            for (column, values) in row.cells.iter().enumerate() {
                let Some(values) = values else { continue };
                let left = column * cell + (cell - factor * width) / 2;
                let top = top + (cell - factor * height) / 2;
                let small = RgbImage::from_fn(width as u32, height as u32, |x, y| {
                    row.pixel(values, x as usize, y as usize)
                });
                let mut put = |x: usize, y: usize, pixel| {
                    image.put_pixel((left + x) as u32, (top + y) as u32, pixel);
                };
                for (y, x) in pixels(factor * height, factor * width) {
                    put(x, y, *small.get_pixel((x / factor) as u32, (y / factor) as u32));
                }
                if *framed {
                    let [height, width] = [height, width].map(|n| factor * n + 2 * FRAME);
                    let edge = |y, x| {
                        let within = |at, size| (FRAME..size - FRAME).contains(&at);
                        !(within(y, height) && within(x, width))
                    };
                    for (y, x) in pixels(height, width).filter(|&(y, x)| edge(y, x)) {
                        let at = [(left, x), (top, y)].map(|(from, at)| (from + at - FRAME) as u32);
                        image.put_pixel(at[0], at[1], FRAMED);
                    }
                }
            }
            top += cell;
        }
        top += BLOCK_GAP;
    }
    image
}

/// All `(y, x)` below a height and a width.
fn pixels(height: usize, width: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..height).flat_map(move |y| (0..width).map(move |x| (y, x)))
}

/// Images with what they are.
#[derive(Clone, Debug)]
pub struct Strip {
    /// What stands beside them.
    pub label: String,
    /// The images.
    pub row: Row,
}

/// An image as PNG.
///
/// # Errors
///
/// [`ReportError::Image`].
pub(crate) fn png(image: &RgbImage) -> Result<Vec<u8>, ReportError> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, ImageFormat::Png).map_err(ReportError::Image)?;
    Ok(bytes.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(columns: usize, value: f32) -> Row {
        Row::new([1, 2, 3], &vec![value; columns * 6], |row| row != 1)
    }

    #[test]
    fn rows_are_drawn_below_each_other_and_empty_cells_left_out() {
        let image = grid(&[&row(3, 1.0), &row(3, 0.0)]);
        // Three images of width 3, two rows of height 2.
        assert_eq!(image.dimensions(), (2 + 3 * 5, 2 + 2 * 4));
        assert_eq!(image.get_pixel(2, 2), &Rgb([255, 255, 255]));
        assert_eq!(image.get_pixel(7, 2), &BACKGROUND, "the second row of the data is not shown");
        assert_eq!(image.get_pixel(2, 6), &Rgb([0, 0, 0]));
    }

    #[test]
    fn columns_of_a_grid_are_aligned_whatever_the_sizes_of_images() {
        let wide = Row::new([1, 2, 7], &[1.0; 2 * 14], |_| true);
        let image = grid(&[&row(3, 1.0), &wide]);
        assert_eq!(image.dimensions(), (2 + 3 * 9, 2 + 2 * 4));
        let white = Rgb([255; 3]);
        // Three pixels in the middle of seven, in the third column too; the second is not shown.
        let found = (2..11).chain(20..29).map(|x| *image.get_pixel(x, 2) == white);
        let cell = [false, false, true, true, true, false, false, false, false];
        assert_eq!(found.collect::<Vec<_>>(), [cell, cell].concat());
        assert!((2..9).all(|x| *image.get_pixel(x, 6) == white));
    }

    #[test]
    fn more_than_ten_columns_go_on_below() {
        let image = grid(&[&row(12, 2.0)]);
        assert_eq!(image.dimensions(), (2 + 10 * 5, 2 * 6 + 10));
        assert_eq!(image.get_pixel(2, 6 + 10 + 2), &Rgb([255, 255, 255]), "brighter than white");
        assert_eq!(image.get_pixel(2 + 2 * 5, 6 + 10 + 2), &BACKGROUND);
    }

    #[test]
    fn columns_of_a_sheet_are_aligned_and_given_images_framed() {
        let small = Row::new([1, 4, 3], &[1.0; 2 * 12], |row| row != 1);
        let large = Row::new([3, 28, 28], &[0.5; 2 * 3 * 784], |_| true);
        let image = sheet(&[vec![(small.clone(), true), (large, false)], vec![(small, false)]]);
        let cell = (CELL + 2 * MARGIN) as u32;
        assert_eq!((image.width(), image.height()), (2 * cell, 3 * cell + BLOCK_GAP as u32));
        // 63x84 pixels of 4x3, in the middle of the cell.
        let at = |x: u32, y: u32| *image.get_pixel(x, y);
        let (left, top) = ((cell - 63) / 2, MARGIN as u32);
        assert_eq!([at(left, top), at(left + 62, top + 83)], [Rgb([255; 3]); 2]);
        assert_eq!([at(left - 1, top), at(left + 63, top + 84)], [FRAMED; 2]);
        assert_eq!(at(left - 3, top), BACKGROUND);
        assert_eq!(at(cell + cell / 2, cell / 2), BACKGROUND, "an empty cell");
        assert_eq!(at(cell + MARGIN as u32, cell + MARGIN as u32), Rgb([128; 3]));
        assert_eq!(at(cell + MARGIN as u32 - 1, cell + MARGIN as u32), BACKGROUND, "no frame");
    }
}
