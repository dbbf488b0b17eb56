//! Safetensors, the format of Hugging Face.

use std::path::Path;

use multivae_core::schema;
use safetensors::{Dtype, SafeTensors};

use super::{
    Array, Numbers, bytes,
    element::Element,
    format::{self, Content, Format},
};
use crate::error::{DataError, Result};

const TYPES: &str = "F16, BF16, F32, F64, BOOL, or integers of 8 to 64 bits";

/// Files of tensors by name.
pub(super) struct Safetensors;

impl Format for Safetensors {
    fn name(&self) -> &'static str {
        "safetensors"
    }

    fn called(&self) -> &'static str {
        "`.safetensors`"
    }

    fn content(&self) -> Content {
        Content::Arrays
    }

    fn is(&self, path: &Path) -> bool {
        format::ends(path, &["safetensors"], false)
    }

    fn arrays(&self, path: &Path) -> Result<Vec<Array>> {
        arrays(path, &bytes(path)?.0)
    }
}

/// The tensors of a file, by name, since the format keeps no order of its own.
fn arrays(path: &Path, bytes: &[u8]) -> Result<Vec<Array>> {
    let file = SafeTensors::deserialize(bytes).map_err(|error| DataError::Malformed {
        path: path.into(),
        format: "safetensors",
        reason: error.to_string(),
    })?;
    let mut tensors = file.tensors();
    tensors.sort_by(|(a, _), (b, _)| a.cmp(b));
    if tensors.is_empty() {
        return Err(DataError::EmptyFile { path: path.into(), reason: "it has no tensors" });
    }
    tensors
        .into_iter()
        .map(|(name, tensor)| {
            let (dtype, numbers) =
                numbers(tensor.dtype(), tensor.data()).ok_or_else(|| DataError::Type {
                    path: path.join(&name).display().to_string(),
                    expected: TYPES,
                    found: format!("{:?}", tensor.dtype()),
                })?;
            Ok(Array { name, shape: tensor.shape().to_vec(), dtype, numbers })
        })
        .collect()
}

fn numbers(kind: Dtype, data: &[u8]) -> Option<(schema::Dtype, Numbers)> {
    use schema::Dtype as To;
    let dtype = match kind {
        Dtype::F16 => To::F16,
        Dtype::BF16 => To::Bf16,
        Dtype::F32 => To::F32,
        Dtype::F64 => To::F64,
        Dtype::U8 => To::U8,
        Dtype::BOOL => To::Bool,
        Dtype::I8 => To::I8,
        Dtype::I16 => To::I16,
        Dtype::I32 => To::I32,
        Dtype::I64 => To::I64,
        Dtype::U16 => To::U16,
        Dtype::U32 => To::U32,
        Dtype::U64 => To::U64,
        _ => return None,
    };
    Some((dtype, Element { dtype, big: false }.numbers(data)))
}

#[cfg(test)]
mod tests {
    use safetensors::tensor::TensorView;

    use super::*;

    fn file(kind: Dtype, shape: &[usize], data: &[u8]) -> Vec<u8> {
        let view = || TensorView::new(kind, shape.to_vec(), data).expect("fits");
        safetensors::serialize([("b", view()), ("a", view())], None).expect("valid")
    }

    fn open(bytes: &[u8]) -> Result<Vec<Array>> {
        arrays(Path::new("a.safetensors"), bytes)
    }

    #[test]
    fn tensors_come_by_name_with_their_values() {
        let floats: Vec<u8> = [1.5f32, -2.0].into_iter().flat_map(f32::to_le_bytes).collect();
        let found = open(&file(Dtype::F32, &[2, 1], &floats)).expect("valid");
        assert_eq!((found[0].name.as_str(), found[1].name.as_str()), ("a", "b"));
        assert_eq!(format!("{:?}", found[0].numbers), "Floats([1.5, -2.0])");
        let integers: Vec<u8> = [-7i64, 8].into_iter().flat_map(i64::to_le_bytes).collect();
        let found = open(&file(Dtype::I64, &[2], &integers)).expect("valid");
        assert_eq!(format!("{:?}", found[0].numbers), "Integers([-7, 8])");
    }

    #[test]
    fn truncated_and_foreign_files_are_refused() {
        let bytes = file(Dtype::U8, &[4], &[1, 2, 3, 4]);
        for bytes in [&bytes[..5], &bytes[..bytes.len() - 1], b"id,a\n1,2\n"] {
            let error = open(bytes).expect_err("not whole");
            assert!(error.to_string().contains("is not a valid safetensors file"), "{error}");
        }
    }

    #[test]
    fn other_types_are_refused_by_tensor_and_name() {
        let halves = open(&file(Dtype::BF16, &[2], &[0x80, 0x3f, 0, 0xc0])).expect("valid");
        assert_eq!(format!("{:?}", halves[0].numbers), "Floats([1.0, -2.0])");
        let error = open(&file(Dtype::F8_E5M2, &[2], &[0; 2])).expect_err("not read");
        assert!(error.to_string().starts_with("`a.safetensors/a`"), "{error}");
        assert!(error.to_string().ends_with("found `F8_E5M2`"), "{error}");
    }
}
