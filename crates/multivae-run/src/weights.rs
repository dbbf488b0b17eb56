//! Weights by name as safetensors.

use std::collections::HashMap;

use multivae_models::exchange::Entry;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

/// The content of a safetensors file with 32-bit floats, as PyTorch's readers take it.
///
/// ```
/// use multivae_models::exchange::Entry;
/// use multivae_run::weights;
///
/// let entry = Entry { name: "scale".into(), shape: vec![2, 1], values: vec![0.5, -2.0] };
/// let bytes = weights::to_safetensors(std::slice::from_ref(&entry))?;
/// assert_eq!(weights::from_safetensors(&bytes)?, [entry]);
/// # Ok::<(), String>(())
/// ```
///
/// # Errors
///
/// Why it has none: names that are given twice.
pub fn to_safetensors(entries: &[Entry]) -> Result<Vec<u8>, String> {
    for (i, entry) in entries.iter().enumerate() {
        if entries[..i].iter().any(|other| other.name == entry.name) {
            return Err(format!("`{}` is given twice", entry.name));
        }
    }
    let bytes: Vec<Vec<u8>> = entries
        .iter()
        .map(|entry| entry.values.iter().flat_map(|value| value.to_le_bytes()).collect())
        .collect();
    let views = entries
        .iter()
        .zip(&bytes)
        .map(|(entry, bytes)| {
            let view = TensorView::new(Dtype::F32, entry.shape.clone(), bytes);
            view.map(|view| (entry.name.as_str(), view))
        })
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| error.to_string())?;
    // What Python's readers ask for.
    let about = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    safetensors::serialize(views, Some(about)).map_err(|error| error.to_string())
}

/// The weights in a safetensors file, by name, in no order that says anything. Doubles and whole
/// numbers, such as counters of batch normalisation, become 32-bit floats.
///
/// # Errors
///
/// Why it cannot be read: it is damaged, cut, something else, or holds values of another type.
pub fn from_safetensors(bytes: &[u8]) -> Result<Vec<Entry>, String> {
    let file = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
    let entry = |(name, view): (String, TensorView<'_>)| {
        let values = match view.dtype() {
            Dtype::F32 => floats(view.data(), f32::from_le_bytes),
            Dtype::F64 => floats(view.data(), |bytes| f64::from_le_bytes(bytes) as f32),
            Dtype::I64 => floats(view.data(), |bytes| i64::from_le_bytes(bytes) as f32),
            other => return Err(format!("`{name}`: expected F32, F64 or I64, found {other:?}")),
        };
        Ok(Entry { name, shape: view.shape().to_vec(), values })
    };
    file.tensors().into_iter().map(entry).collect()
}

/// Numbers of `N` bytes each.
pub fn floats<const N: usize>(bytes: &[u8], number: fn([u8; N]) -> f32) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|bytes| number(*bytes)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, shape: &[usize], values: &[f32]) -> Entry {
        Entry { name: name.into(), shape: shape.to_vec(), values: values.to_vec() }
    }

    #[test]
    fn safetensors_hold_names_shapes_and_bits() {
        let values = [1.5, -0.0, f32::NEG_INFINITY, f32::MIN_POSITIVE / 2.0];
        let mut entries = [entry("b", &[2, 2], &values), entry("a", &[1], &[0.25])];
        let bytes = to_safetensors(&entries).expect("valid");
        let mut read = from_safetensors(&bytes).expect("own file");
        read.sort_by(|a, b| a.name.cmp(&b.name));
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        let bits = |entries: &[Entry]| -> Vec<(String, Vec<usize>, Vec<u32>)> {
            let bits = |e: &Entry| e.values.iter().map(|value| value.to_bits()).collect();
            entries.iter().map(|e| (e.name.clone(), e.shape.clone(), bits(e))).collect()
        };
        assert_eq!(bits(&read), bits(&entries));
    }

    #[test]
    fn a_name_that_is_given_twice_is_refused() {
        let entries = [entry("a", &[1], &[0.0]), entry("a", &[1], &[1.0])];
        assert_eq!(to_safetensors(&entries), Err("`a` is given twice".into()));
    }

    #[test]
    fn a_cut_or_foreign_file_is_refused() {
        let bytes = to_safetensors(&[entry("a", &[4], &[0.0; 4])]).expect("valid");
        assert!(from_safetensors(&bytes[..bytes.len() - 3]).is_err());
        assert!(from_safetensors(b"no tensors").is_err());
    }
}
