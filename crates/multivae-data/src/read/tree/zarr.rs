//! Zarr, the other container of AnnData and MuData: a folder of groups and arrays in chunks.
//!
//! What is where is read from the folder itself, since not all programs write a summary of it. A
//! chunk that is not there stands for the fill value, as the format says.

use std::{
    fs,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use multivae_core::schema::Dtype;
use serde_json::{Map, Value};
use zarrs::{
    array::{Array as Chunks, ArrayBytes, ArraySubset},
    filesystem::FilesystemStore,
};

use super::{
    Attribute, Kind, Leaf, Node, SMALL, Tree, TreeFormat, UNPACKED, ZARR, ZARR_FILES, is_zarr,
};
use crate::{
    error::{DataError, Result},
    read::{element::Element, guard::guarded},
};

/// Folders of Zarr.
pub(crate) const FORMAT: TreeFormat = TreeFormat {
    name: ZARR,
    called: ZARR_FILES,
    is: is_zarr,
    open: |path| Ok(Box::new(Opened::open(path)?)),
};

/// An open folder.
struct Opened<'a> {
    path: &'a Path,
    store: Arc<FilesystemStore>,
    /// Length of all its files in bytes.
    bytes: u64,
}

/// What a folder says of itself.
enum Metadata {
    Group(Map<String, Value>),
    Array { leaf: Leaf, attributes: Map<String, Value> },
}

/// Bytes of all files below a folder.
fn size(folder: &Path) -> std::io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let found = entry.metadata()?;
        bytes += if found.is_dir() { size(&entry.path())? } else { found.len() };
    }
    Ok(bytes)
}

impl<'a> Opened<'a> {
    fn open(path: &'a Path) -> Result<Self> {
        let bytes = size(path).map_err(|cause| DataError::Read { path: path.into(), cause })?;
        let store = FilesystemStore::new(path).map_err(|error| malformed(path, "", error))?;
        Ok(Self { path, store: Arc::new(store), bytes })
    }

    fn folder(&self, at: &str) -> PathBuf {
        if at.is_empty() { self.path.into() } else { self.path.join(at) }
    }

    /// The contents of a file of metadata; `None` if there is none.
    fn json(&self, at: &str, name: &str) -> Result<Option<Map<String, Value>>> {
        let path = self.folder(at).join(name);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(cause) if cause.kind() == std::io::ErrorKind::NotADirectory => return Ok(None),
            Err(cause) => return Err(DataError::Read { path, cause }),
        };
        serde_json::from_slice(&text).map(Some).map_err(|error| malformed(self.path, at, error))
    }

    fn metadata(&self, at: &str) -> Result<Option<Metadata>> {
        let bad = |what: &str| (self as &dyn Tree).bad(at, what, "something else");
        if let Some(mut json) = self.json(at, "zarr.json")? {
            let attributes = match json.remove("attributes") {
                Some(Value::Object(attributes)) => attributes,
                _ => Map::new(),
            };
            if json.get("node_type").and_then(Value::as_str) != Some("array") {
                return Ok(Some(Metadata::Group(attributes)));
            }
            let shape = axes(json.get("shape")).ok_or_else(|| bad("a shape"))?;
            let chunks = json.get("chunk_grid").and_then(|grid| grid.get("configuration"));
            let chunks = axes(chunks.and_then(|of| of.get("chunk_shape")));
            let kind = json.get("data_type").map_or(Kind::Other("no type".into()), kind);
            return Ok(Some(Metadata::Array { leaf: leaf(shape, chunks, kind), attributes }));
        }
        let attributes = || Ok::<_, DataError>(self.json(at, ".zattrs")?.unwrap_or_default());
        if let Some(json) = self.json(at, ".zarray")? {
            let shape = axes(json.get("shape")).ok_or_else(|| bad("a shape"))?;
            let chunks = axes(json.get("chunks"));
            let kind = older_kind(&json);
            let leaf = leaf(shape, chunks, kind);
            return Ok(Some(Metadata::Array { leaf, attributes: attributes()? }));
        }
        match self.json(at, ".zgroup")? {
            Some(_) => Ok(Some(Metadata::Group(attributes()?))),
            None => Ok(None),
        }
    }

    fn chunks(&self, at: &str) -> Result<Chunks<FilesystemStore>> {
        let leaf = (self as &dyn Tree).leaf(at)?;
        // Of text, at least a byte for each.
        let size = match &leaf.kind {
            Kind::Numbers(element) => element.size() as u64,
            _ => 1,
        };
        let stored = super::zarr::size(&self.folder(at));
        let stored = stored.map_err(|cause| DataError::Read { path: self.folder(at), cause })?;
        let most = stored.saturating_mul(UNPACKED).saturating_add(SMALL);
        let claimed = leaf.shape.iter().try_fold(size, |all, &axis| all.checked_mul(axis));
        let row = leaf.width().and_then(|width| width.checked_mul(size));
        let block = row.and_then(|row| row.checked_mul(leaf.block.min(leaf.rows()).max(1)));
        if ![claimed, block].into_iter().all(|bytes| bytes.is_some_and(|bytes| bytes <= most)) {
            let expected = format!("at most the {most} bytes that can be stored in it");
            let found = format!("{:?} values of {size} bytes", leaf.shape);
            return Err((self as &dyn Tree).bad(at, expected, found));
        }
        Chunks::open(self.store.clone(), &format!("/{at}"))
            .map_err(|error| malformed(self.path, at, error))
    }
}

fn malformed(path: &Path, at: &str, error: impl std::fmt::Display) -> DataError {
    let inside = if at.is_empty() { String::new() } else { format!("`{at}`: ") };
    DataError::Malformed { path: path.into(), format: ZARR, reason: format!("{inside}{error}") }
}

fn axes(value: Option<&Value>) -> Option<Vec<u64>> {
    value?.as_array()?.iter().map(Value::as_u64).collect()
}

fn leaf(shape: Vec<u64>, chunks: Option<Vec<u64>>, kind: Kind) -> Leaf {
    let block = chunks.and_then(|chunks| chunks.first().copied()).unwrap_or(1);
    Leaf { shape, kind, block }
}

/// Numbers as they are once they are unpacked.
fn numbers(dtype: Dtype) -> Kind {
    Kind::Numbers(Element { dtype, big: cfg!(target_endian = "big") })
}

/// The type of an array of version 3.
fn kind(value: &Value) -> Kind {
    let name = value.as_str().or_else(|| value.get("name").and_then(Value::as_str));
    numbers(match name {
        Some("bool") => Dtype::Bool,
        Some("int8") => Dtype::I8,
        Some("int16") => Dtype::I16,
        Some("int32") => Dtype::I32,
        Some("int64") => Dtype::I64,
        Some("uint8") => Dtype::U8,
        Some("uint16") => Dtype::U16,
        Some("uint32") => Dtype::U32,
        Some("uint64") => Dtype::U64,
        Some("float16") => Dtype::F16,
        Some("bfloat16") => Dtype::Bf16,
        Some("float32") => Dtype::F32,
        Some("float64") => Dtype::F64,
        Some("string") => return Kind::Text,
        other => return Kind::Other(other.map_or_else(|| value.to_string(), str::to_owned)),
    })
}

/// The type of an array of version 2.
fn older_kind(json: &Map<String, Value>) -> Kind {
    let name = json.get("dtype").and_then(Value::as_str).unwrap_or_default();
    let filters = json.get("filters").and_then(Value::as_array);
    let text = |filter: &Value| filter.get("id").and_then(Value::as_str) == Some("vlen-utf8");
    numbers(match name.trim_start_matches(['<', '>', '|']) {
        "b1" => Dtype::Bool,
        "i1" => Dtype::I8,
        "i2" => Dtype::I16,
        "i4" => Dtype::I32,
        "i8" => Dtype::I64,
        "u1" => Dtype::U8,
        "u2" => Dtype::U16,
        "u4" => Dtype::U32,
        "u8" => Dtype::U64,
        "f2" => Dtype::F16,
        "f4" => Dtype::F32,
        "f8" => Dtype::F64,
        "O" if filters.is_some_and(|filters| filters.iter().any(text)) => return Kind::Text,
        other => return Kind::Other(other.to_owned()),
    })
}

impl Tree for Opened<'_> {
    fn path(&self) -> &Path {
        self.path
    }

    fn size(&self) -> u64 {
        self.bytes
    }

    fn node(&self, at: &str) -> Result<Option<Node>> {
        Ok(self.metadata(at)?.map(|metadata| match metadata {
            Metadata::Group(_) => Node::Group,
            Metadata::Array { leaf, .. } => Node::Array(leaf),
        }))
    }

    fn attribute(&self, at: &str, name: &str) -> Result<Option<Attribute>> {
        let attributes = match self.metadata(at)? {
            Some(Metadata::Group(attributes) | Metadata::Array { attributes, .. }) => attributes,
            None => return Ok(None),
        };
        Ok(attributes.get(name).and_then(attribute))
    }

    fn names(&self, group: &str) -> Result<Vec<String>> {
        let folder = self.folder(group);
        let read = |cause| DataError::Read { path: folder.clone(), cause };
        let mut names = Vec::new();
        for entry in fs::read_dir(&folder).map_err(read)? {
            let name = entry.map_err(read)?.file_name().to_string_lossy().into_owned();
            if !name.starts_with('.') && self.node(&super::join(group, &name))?.is_some() {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    fn bytes(&self, at: &str, rows: Range<u64>) -> Result<Vec<u8>> {
        let chunks = self.chunks(at)?;
        let mut ranges: Vec<Range<u64>> = chunks.shape().iter().map(|&axis| 0..axis).collect();
        if let Some(first) = ranges.first_mut() {
            *first = rows;
        }
        let subset = ArraySubset::new_with_ranges(&ranges);
        let bytes = guarded(self.path, ZARR, || {
            chunks
                .retrieve_array_subset::<ArrayBytes<'static>>(&subset)
                .map_err(|error| malformed(self.path, at, error))
        })?;
        let bytes = bytes.into_fixed().map_err(|error| malformed(self.path, at, error))?;
        Ok(bytes.into_owned())
    }

    fn texts(&self, at: &str) -> Result<Vec<String>> {
        let chunks = self.chunks(at)?;
        guarded(self.path, ZARR, || {
            chunks
                .retrieve_array_subset::<Vec<String>>(&chunks.subset_all())
                .map_err(|error| malformed(self.path, at, error))
        })
    }
}

fn attribute(value: &Value) -> Option<Attribute> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    match value {
        Value::String(text) => Some(Attribute::Texts(vec![text.clone()])),
        Value::Number(number) => Some(Attribute::Numbers(vec![number.as_f64()?])),
        Value::Bool(flag) => Some(Attribute::Numbers(vec![f64::from(u8::from(*flag))])),
        Value::Array(values) if values.iter().all(Value::is_number) && !values.is_empty() => {
            Some(Attribute::Numbers(values.iter().map(Value::as_f64).collect::<Option<_>>()?))
        }
        Value::Array(values) => {
            Some(Attribute::Texts(values.iter().map(text).collect::<Option<_>>()?))
        }
        Value::Null | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use multivae_core::dataset::Dataset;
    use zip::ZipArchive;

    use crate::{
        DataConfig, Opened,
        fixture::{Folder, text, written_bytes},
        storage::Storage,
    };

    /// A folder that holds the folder of an archive.
    fn unpacked(name: &str) -> Folder {
        let folder = Folder::new([]);
        let archive = Cursor::new(written_bytes(&format!("{name}.zip")));
        let mut archive = ZipArchive::new(archive).expect("committed with the tests");
        archive.extract(folder.path(name)).expect("writable");
        folder
    }

    fn read(folder: &Folder, name: &str) -> Result<Opened, String> {
        let opened = DataConfig::new(folder.path(name).display().to_string()).read();
        opened.map_err(|error| folder.message(error))
    }

    #[test]
    fn either_version_gives_the_cells_of_the_same_file() {
        for name in ["cells_v2.zarr", "cells_v3.zarr", "cells_sharded.zarr"] {
            let folder = unpacked(name);
            let Opened { data, .. } = read(&folder, name).expect("valid");
            let stem = name.trim_end_matches(".zarr");
            assert_eq!((data.modalities()[0].name.as_str(), data.len()), (stem, 6));
            assert_eq!((data.id(5), data.label(1)), ("cell5".into(), Some(1)));
            assert_eq!(data.values(0)[..10], [1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 2.0, 0.0, 0.0]);
            assert!(matches!(&**data.storage(0), Storage::Sparse(_)));
            // An embedding, of which all chunks but the last are the fill value.
            let manifest =
                format!("[[modality]]\nname = 'm'\nfile = '{name}'\narray = 'obsm/X_pca'\n");
            folder.write("manifest.toml", &text(&manifest));
            let data = read(&folder, "manifest.toml").expect("valid").data;
            assert_eq!(data.values(0)[8..], [0.0, 0.0, 1.5, 1.5], "{name}");
        }
    }

    #[test]
    fn modalities_of_a_folder_are_those_of_the_file() {
        let folder = unpacked("several.zarr");
        let Opened { data, .. } = read(&folder, "several.zarr").expect("valid");
        let names: Vec<_> = data.modalities().iter().map(|spec| spec.name.as_str()).collect();
        assert_eq!((names, data.id(0)), (vec!["protein", "rna"], "cell7".into()));
        assert_eq!(data.values(0)[..3], [7.0, 7.1, 7.2]);
    }

    #[test]
    fn damaged_folders_give_errors_with_their_place() {
        let folder = unpacked("cells_v3.zarr");
        folder.write("cells_v3.zarr/X/data/c/0", b"not packed");
        let error = read(&folder, "cells_v3.zarr").map(|_| ()).expect_err("a damaged chunk");
        assert!(
            error.starts_with("`cells_v3.zarr` is not a valid Zarr file: `X/data`: "),
            "{error}"
        );
        let folder = unpacked("cells_v3.zarr");
        folder.write("cells_v3.zarr/X/data/zarr.json", b"{");
        let error = read(&folder, "cells_v3.zarr").map(|_| ()).expect_err("no metadata");
        assert!(error.contains("`X/data`: EOF while parsing"), "{error}");
        let folder = unpacked("cells_v3.zarr");
        let path = folder.path("cells_v3.zarr/obsm/X_pca/zarr.json");
        let json = std::fs::read_to_string(&path).expect("there");
        let huge = json.replacen("6,", "6000000000000,", 1);
        assert_ne!(json, huge);
        std::fs::write(&path, huge).expect("writable");
        let manifest = "[[modality]]\nname = 'm'\nfile = 'cells_v3.zarr'\narray = 'obsm/X_pca'\n";
        folder.write("manifest.toml", &text(manifest));
        let error = read(&folder, "manifest.toml").map(|_| ()).expect_err("too many rows");
        assert!(error.contains("expected 6 rows, as many as there are names"), "{error}");
    }
}
