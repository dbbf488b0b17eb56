//! Weights that Python has saved. Pickles are read, never executed.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::Read,
    path::Path,
};

use anyhow::Result;
use multivae::{
    models::exchange::{Entry, Weights},
    run::weights::{self, floats},
};
use pytorch_reader::{DType, MAX_PICKLE_SIZE, PytorchReader};
use zip::ZipArchive;

use crate::failure::bad_input;

/// Reads a file that `torch.save` has written, where the weights are under `key`, or a safetensors
/// file, by its name.
pub(crate) fn read(path: &Path, key: &str) -> Result<Weights> {
    let wrong = |error: String| bad_input(format!("`{}` cannot be read: {error}", path.display()));
    if path.extension().is_some_and(|extension| extension == "safetensors") {
        let bytes = fs::read(path).map_err(|error| wrong(error.to_string()))?;
        return Ok(Weights::unordered(weights::from_safetensors(&bytes).map_err(wrong)?));
    }
    let reader =
        PytorchReader::with_top_level_key(path, key).map_err(|error| wrong(error.to_string()))?;
    let entry = |(name, tensor): (String, pytorch_reader::Tensor)| {
        let bytes = tensor.read().map_err(|error| wrong(error.to_string()))?;
        let values = match tensor.dtype() {
            DType::F32 => floats(&bytes, f32::from_ne_bytes),
            DType::F64 => floats(&bytes, |bytes| f64::from_ne_bytes(bytes) as f32),
            DType::I64 => floats(&bytes, |bytes| i64::from_ne_bytes(bytes) as f32),
            other => return Err(wrong(format!("`{name}` has the type {other:?}"))),
        };
        Ok(Entry { name, shape: tensor.shape().to_vec(), values })
    };
    let mut entries =
        reader.into_tensors().into_iter().map(entry).collect::<Result<Vec<Entry>>>()?;
    let names = entries.iter().map(|entry| entry.name.as_str());
    match pickle(path).map(|pickle| order(&pickle, names)) {
        Some(order) if order.len() == entries.len() => {
            entries.sort_by_key(|entry| order[&entry.name]);
            Ok(Weights::ordered(entries))
        }
        _ => Ok(Weights::unordered(entries)),
    }
}

/// The pickle in an archive of `torch.save`; `None` of older files.
fn pickle(path: &Path) -> Option<Vec<u8>> {
    let mut archive = ZipArchive::new(File::open(path).ok()?).ok()?;
    let name = archive.file_names().find(|name| name.ends_with("/data.pkl"))?.to_owned();
    let file = archive.by_name(&name).ok()?;
    let mut bytes = Vec::new();
    file.take(MAX_PICKLE_SIZE).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// Where each name stands in a pickle, which holds the entries of a dictionary in order. The reader
/// gives them in no order.
fn order<'a>(pickle: &[u8], names: impl Iterator<Item = &'a str>) -> HashMap<String, usize> {
    let mut open: HashMap<&[u8], &str> = names.map(|name| (name.as_bytes(), name)).collect();
    let mut found = HashMap::new();
    for at in 0..pickle.len() {
        // Text is `X` and four bytes of length, or byte 140 and one of them.
        let text = match pickle[at..] {
            [b'X', a, b, c, d, ..] => Some((at + 5, u32::from_le_bytes([a, b, c, d]) as usize)),
            [140, length, ..] => Some((at + 2, usize::from(length))),
            _ => None,
        };
        let text = text.and_then(|(start, length)| pickle[start..].get(..length));
        if let Some(name) = text.and_then(|text| open.remove(text)) {
            found.insert(name.to_owned(), at);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_the_order_of_their_first_place() {
        let mut pickle = b"\x80\x02}".to_vec();
        let mut put = |name: &str| {
            pickle.push(b'X');
            pickle.extend((name.len() as u32).to_le_bytes());
            pickle.extend(name.as_bytes());
        };
        put("b.weight");
        put("a.weight");
        put("b");
        put("b.weight");
        pickle.extend(b"\x8c\x01c");
        let found = order(&pickle, ["a.weight", "b.weight", "c", "d"].into_iter());
        let mut names: Vec<&str> = found.keys().map(String::as_str).collect();
        names.sort_by_key(|name| found[*name]);
        assert_eq!(names, ["b.weight", "a.weight", "c"]);
    }
}
