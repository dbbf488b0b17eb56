//! Grids of images.

use std::path::Path;

use anyhow::{Context, Result};
use burn::tensor::Tensor;
use image::{ImageFormat, Rgb, RgbImage};
use multivae::core::{modality::ModalitySpec, pass};

use crate::files;

/// Columns of a grid; more images go on below.
const COLUMNS: usize = 10;
/// Pixels between two images.
const GAP: usize = 2;
/// Pixels between two blocks of rows.
const BLOCK_GAP: usize = 10;
/// What shows between the images.
const BACKGROUND: Rgb<u8> = Rgb([32, 32, 32]);

/// Whether samples of the modality can be drawn: `[1 or 3, height, width]`.
pub(crate) fn is_drawable(spec: &ModalitySpec) -> bool {
    spec.is_image() && matches!(spec.shape[0], 1 | 3)
}

/// Images of one shape side by side; a cell is empty where there is nothing to show.
pub(crate) struct Row {
    shape: [usize; 3],
    cells: Vec<Option<Vec<f32>>>,
}

impl Row {
    /// From values `[rows, features]` in `[0, 1]` of a drawable modality; `shown` tells which
    /// rows are drawn.
    pub(crate) fn new(
        spec: &ModalitySpec,
        values: Tensor<2>,
        shown: impl Fn(usize) -> bool,
    ) -> Result<Self> {
        let shape = [spec.shape[0], spec.shape[1], spec.shape[2]];
        let values = pass::read(values, "values")?;
        let cells = values.chunks(spec.features()).enumerate();
        let cells = cells.map(|(row, cell)| shown(row).then(|| cell.to_vec())).collect();
        Ok(Self { shape, cells })
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
pub(crate) fn grid(rows: &[Row]) -> RgbImage {
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

/// Writes a PNG, the whole file or none of it.
pub(crate) fn write(path: &Path, image: &RgbImage) -> Result<()> {
    files::write_whole(path, |file| {
        image.write_to(file, ImageFormat::Png).context("the picture cannot be encoded")
    })
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    fn row(columns: usize, value: f32) -> Row {
        let spec = ModalitySpec::new("m", &[1, 2, 3]).expect("valid");
        let values = Tensor::full([columns, 6], value, &Device::flex());
        Row::new(&spec, values, |row| row != 1).expect("a row")
    }

    #[test]
    fn rows_are_drawn_below_each_other_and_empty_cells_left_out() {
        let image = grid(&[row(3, 1.0), row(3, 0.0)]);
        // Three images of width 3, two rows of height 2.
        assert_eq!(image.dimensions(), (2 + 3 * 5, 2 + 2 * 4));
        assert_eq!(image.get_pixel(2, 2), &Rgb([255, 255, 255]));
        assert_eq!(image.get_pixel(7, 2), &BACKGROUND, "the second row of the data is not shown");
        assert_eq!(image.get_pixel(2, 6), &Rgb([0, 0, 0]));
    }

    #[test]
    fn more_than_ten_columns_go_on_below() {
        let image = grid(&[row(12, 2.0)]);
        assert_eq!(image.dimensions(), (2 + 10 * 5, 2 * 6 + 10));
        assert_eq!(image.get_pixel(2, 6 + 10 + 2), &Rgb([255, 255, 255]), "brighter than white");
        assert_eq!(image.get_pixel(2 + 2 * 5, 6 + 10 + 2), &BACKGROUND);
    }

    #[test]
    fn only_grey_and_colour_images_are_drawn() {
        let drawable =
            |shape: &[usize]| is_drawable(&ModalitySpec::new("m", shape).expect("valid"));
        assert!(drawable(&[1, 4, 4]) && drawable(&[3, 4, 4]));
        assert!(!drawable(&[2, 4, 4]) && !drawable(&[16]));
    }
}
