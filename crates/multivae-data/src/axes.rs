//! Which axes arrays have: images, volumes, and images whose channels are last.

use crate::{
    assemble::Source,
    error::{DataError, Result},
    read::format::{self, Content},
};

/// Channels that images can have without a word.
const MOST: usize = 4;

/// Refuses arrays that would be taken for images of many channels, unless a manifest says their
/// shape: most are volumes, or images whose channels are last.
pub(crate) fn check(source: &Source) -> Result<()> {
    let Source { name, block, shape: said, .. } = source;
    let [channels, height, width] = block.shape[..] else { return Ok(()) };
    let images = format::of(&block.path).is_ok_and(|format| format.content() == Content::Images);
    if said.is_some() || channels <= MOST || images {
        return Ok(());
    }
    let remedy = if width <= MOST {
        format!(
            "the channels seem to be last: save `numpy.moveaxis(x, -1, 1)`, rows of [{width}, \
             {channels}, {height}]"
        )
    } else {
        format!(
            "volumes are rows of [1, {channels}, {height}, {width}], as of \
             `numpy.expand_dims(x, 1)`"
        )
    };
    Err(DataError::Shape {
        modality: name.clone(),
        path: block.path.clone(),
        expected: format!("rows of [channels, height, width] with at most {MOST} channels"),
        found: format!(
            "{:?}; {remedy}; images of {channels} channels are said in a manifest, by `shape = {:?}`",
            block.shape, block.shape
        ),
    })
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use ndarray::Array4;
    use ndarray_npy::WriteNpyExt;

    use crate::{
        DataConfig,
        fixture::{Folder, text},
    };

    fn array(shape: [usize; 4]) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        let value = |(row, a, b, c): (usize, usize, usize, usize)| (row + a * b + c) as f32 / 9.0;
        Array4::from_shape_fn(shape, value).write_npy(&mut bytes).expect("memory takes it");
        bytes.into_inner()
    }

    fn shape(files: Vec<(&str, Vec<u8>)>) -> Result<Vec<usize>, String> {
        let folder = Folder::new(files);
        let opened = DataConfig::new(folder.source()).read().map_err(|e| folder.message(e))?;
        Ok(multivae_core::dataset::Dataset::modalities(&opened.data)[0].shape.clone())
    }

    #[test]
    fn volumes_and_channels_that_are_last_are_never_taken_for_channels_unsaid() {
        let volume = shape(vec![("mri.npy", array([3, 6, 5, 7]))]).expect_err("a volume");
        assert!(volume.starts_with("modality `mri` (`mri.npy`): expected rows of [channels, "));
        assert!(volume.contains("volumes are rows of [1, 6, 5, 7]"), "{volume}");
        let last = shape(vec![("photo.npy", array([3, 6, 5, 3]))]).expect_err("channels last");
        assert!(last.contains("rows of [3, 6, 5]; images of 6 channels"), "{last}");
        assert_eq!(shape(vec![("photo.npy", array([3, 4, 5, 6]))]), Ok(vec![4, 5, 6]));
        let manifest = "[[modality]]\nname = 'm'\nfile = 'm.npy'\nshape = [6, 5, 7]\n";
        let said = vec![("manifest.toml", text(manifest)), ("m.npy", array([3, 6, 5, 7]))];
        assert_eq!(shape(said), Ok(vec![6, 5, 7]));
    }
}
