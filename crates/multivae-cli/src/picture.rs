//! Pictures of rows of images.

use std::path::Path;

use anyhow::{Context, Result};
use burn::tensor::Tensor;
use image::{ImageFormat, RgbImage};
use multivae::{
    core::{modality::ModalitySpec, pass},
    report::{Row, grid, sheet},
    run::files,
};

/// Whether samples of the modality can be drawn: `[1 or 3, height, width]`.
pub(crate) fn is_drawable(spec: &ModalitySpec) -> bool {
    spec.is_image() && matches!(spec.shape[0], 1 | 3)
}

/// Images side by side from values `[rows, features]` in `[0, 1]` of a drawable modality; `shown`
/// tells which rows are drawn.
pub(crate) fn row(
    spec: &ModalitySpec,
    values: Tensor<2>,
    shown: impl Fn(usize) -> bool,
) -> Result<Row> {
    let shape = [spec.shape[0], spec.shape[1], spec.shape[2]];
    Ok(Row::new(shape, &pass::read(values, "values")?, shown))
}

/// Writes rows below each other as a PNG, the whole file or none of it.
pub(crate) fn write(path: &Path, rows: &[Row]) -> Result<()> {
    write_image(path, &grid(&rows.iter().collect::<Vec<_>>()))
}

/// Writes blocks of rows with aligned columns as a PNG, the whole file or none of it.
pub(crate) fn write_sheet(path: &Path, blocks: &[Vec<(Row, bool)>]) -> Result<()> {
    write_image(path, &sheet(blocks))
}

fn write_image(path: &Path, image: &RgbImage) -> Result<()> {
    Ok(files::write_whole(path, |file| {
        image.write_to(file, ImageFormat::Png).context("the picture cannot be encoded")
    })?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_grey_and_colour_images_are_drawn() {
        let drawable =
            |shape: &[usize]| is_drawable(&ModalitySpec::new("m", shape).expect("valid"));
        assert!(drawable(&[1, 4, 4]) && drawable(&[3, 4, 4]));
        assert!(!drawable(&[2, 4, 4]) && !drawable(&[16]));
    }
}
