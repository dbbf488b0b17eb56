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

    fn draw(&self, image: &mut RgbImage, cells: std::ops::Range<usize>, top: usize) {
        let [channels, height, width] = self.shape;
        for (column, cell) in self.cells[cells].iter().enumerate() {
            let Some(cell) = cell else { continue };
            let left = GAP + column * (width + GAP);
            for y in 0..height {
                for x in 0..width {
                    let at = |channel: usize| {
                        let channel = if channels == 1 { 0 } else { channel };
                        let value = cell[(channel * height + y) * width + x];
                        // A value that is no number is drawn black.
                        (value.clamp(0.0, 1.0) * 255.0).round() as u8
                    };
                    let pixel = Rgb([at(0), at(1), at(2)]);
                    image.put_pixel((left + x) as u32, (top + y) as u32, pixel);
                }
            }
        }
    }
}

/// Draws the rows below each other, ten columns at a time.
pub fn grid(rows: &[&Row]) -> RgbImage {
    let columns = rows.iter().map(|row| row.cells.len()).max().unwrap_or(0);
    let shown = columns.clamp(1, COLUMNS);
    let width = rows.iter().map(|row| GAP + shown * (row.shape[2] + GAP)).max().unwrap_or(2 * GAP);
    let block: usize = GAP + rows.iter().map(|row| row.shape[1] + GAP).sum::<usize>();
    let blocks = columns.div_ceil(COLUMNS).max(1);
    let height = blocks * block + (blocks - 1) * BLOCK_GAP;
    let mut image = RgbImage::from_pixel(width as u32, height as u32, BACKGROUND);
    let mut top = 0;
    for start in (0..columns).step_by(COLUMNS) {
        let mut y = top + GAP;
        for row in rows {
            let cells = start.min(row.cells.len())..(start + COLUMNS).min(row.cells.len());
            row.draw(&mut image, cells, y);
            y += row.shape[1] + GAP;
        }
        top += block + BLOCK_GAP;
    }
    image
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
    fn more_than_ten_columns_go_on_below() {
        let image = grid(&[&row(12, 2.0)]);
        assert_eq!(image.dimensions(), (2 + 10 * 5, 2 * 6 + 10));
        assert_eq!(image.get_pixel(2, 6 + 10 + 2), &Rgb([255, 255, 255]), "brighter than white");
        assert_eq!(image.get_pixel(2 + 2 * 5, 6 + 10 + 2), &BACKGROUND);
    }
}
