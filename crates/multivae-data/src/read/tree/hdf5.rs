//! HDF5, the container of AnnData, MuData, 10x Genomics and MATLAB 7.3.

use std::{cell::RefCell, ops::Range, path::Path};

use hdf5_pure::{
    AttrValue, Dataset, Datatype, DatatypeByteOrder, Error, File, FloatingPointLayout, FormatError,
    Layout, VlenStringReadOptions,
};
use multivae_core::schema::Dtype;

use super::{
    Attribute, HDF5, HDF5_FILES, Kind, Leaf, Node, SMALL, Tree, TreeFormat, UNPACKED,
    bounded::Bounded, is_hdf5,
};
use crate::{
    error::{DataError, Result},
    read::element::Element,
    storage::Place,
};

/// Arrays that are kept open: those of a sparse matrix are read side by side.
const RECENT: usize = 4;

/// Files of HDF5.
pub(crate) const FORMAT: TreeFormat = TreeFormat {
    name: HDF5,
    called: HDF5_FILES,
    is: is_hdf5,
    open: |path| Ok(Box::new(Opened::open(path)?)),
};

/// An open file.
pub(super) struct Opened<'a> {
    path: &'a Path,
    file: File,
    /// Length of the file in bytes.
    bytes: u64,
    /// The arrays that were read last, with the index of their chunks.
    recent: RefCell<Vec<(String, Dataset)>>,
}

impl<'a> Opened<'a> {
    pub(super) fn open(path: &'a Path) -> Result<Self> {
        let read = |cause| DataError::Read { path: path.into(), cause };
        let bytes = std::fs::metadata(path).map_err(read)?.len();
        if bytes == 0 {
            return Err(DataError::EmptyFile { path: path.into(), reason: "it has no bytes" });
        }
        let source = Bounded::new(std::fs::File::open(path).map_err(read)?).map_err(Error::Format);
        let file = source.and_then(File::from_source).map_err(|error| failed(path, "", error))?;
        Ok(Self { path, file, bytes, recent: RefCell::default() })
    }

    fn error(&self, at: &str, error: Error) -> DataError {
        failed(self.path, at, error)
    }

    fn dataset(&self, at: &str) -> Result<Dataset> {
        if let Some((_, dataset)) = self.recent.borrow().iter().find(|(recent, _)| recent == at) {
            return Ok(dataset.clone());
        }
        let dataset = self.file.dataset(at).map_err(|error| self.error(at, error))?;
        self.check_size(at, &dataset)?;
        let mut recent = self.recent.borrow_mut();
        if recent.len() == RECENT {
            recent.remove(0);
        }
        recent.push((at.into(), dataset.clone()));
        Ok(dataset)
    }

    /// Refuses an array that claims more values than the bytes of the file can hold.
    fn check_size(&self, at: &str, dataset: &Dataset) -> Result<()> {
        let error = |error| self.error(at, error);
        let shape = dataset.shape().map_err(error)?;
        let size = dataset.element_size().map_err(error)?;
        let claimed =
            |shape: &[u64]| shape.iter().try_fold(size, |all, &axis| all.checked_mul(axis));
        let (stored, block) = match dataset.layout().map_err(error)? {
            Layout::Compact { size } => (size, None),
            Layout::Contiguous { address: Some(_), size } => (size.min(self.bytes), None),
            Layout::Contiguous { address: None, .. } => (0, None),
            Layout::Chunked { chunk_shape, .. } => {
                let chunks = dataset.chunks();
                // Of the index that cannot be listed, all chunks are somewhere in the file.
                let stored = chunks.map_or(self.bytes, |chunks| {
                    chunks.iter().fold(0u64, |sum, chunk| sum.saturating_add(chunk.storage_size))
                });
                (stored.min(self.bytes).saturating_mul(UNPACKED), Some(claimed(&chunk_shape)))
            }
            other => {
                return Err((self as &dyn Tree).bad(at, "an array in the file", other.to_string()));
            }
        };
        let most = stored.saturating_add(SMALL);
        let fits = |bytes: Option<u64>| bytes.is_some_and(|bytes| bytes <= most);
        if fits(claimed(&shape)) && block.is_none_or(fits) {
            return Ok(());
        }
        let expected = format!("at most the {most} bytes that can be stored in it");
        Err((self as &dyn Tree).bad(at, expected, format!("{shape:?} values of {size} bytes")))
    }
}

/// The names of the rows of a table of a file.
pub(crate) fn names(path: &Path, table: &str) -> Result<Vec<String>> {
    super::frame::names(&Opened::open(path)?, table)
}

/// The error of the library about something in a file.
pub(crate) fn failed(path: &Path, at: &str, error: Error) -> DataError {
    match error {
        Error::Io(cause) => DataError::Read { path: path.into(), cause },
        error => {
            let inside = if at.is_empty() { String::new() } else { format!("`{at}`: ") };
            let reason = format!("{inside}{error}");
            DataError::Malformed { path: path.into(), format: HDF5, reason }
        }
    }
}

/// How cells of a type are stored.
fn kind(datatype: &Datatype) -> Kind {
    let other = || Kind::Other(described(datatype));
    let element = |dtype, order: &DatatypeByteOrder| match order {
        DatatypeByteOrder::LittleEndian => Kind::Numbers(Element { dtype, big: false }),
        DatatypeByteOrder::BigEndian => Kind::Numbers(Element { dtype, big: true }),
        _ => other(),
    };
    match datatype {
        Datatype::FixedPoint { size, byte_order, layout }
            if layout.bit_offset == 0 && u32::from(layout.bit_precision) == 8 * size =>
        {
            match (size, layout.signed) {
                (1, false) => element(Dtype::U8, byte_order),
                (1, true) => element(Dtype::I8, byte_order),
                (2, false) => element(Dtype::U16, byte_order),
                (2, true) => element(Dtype::I16, byte_order),
                (4, false) => element(Dtype::U32, byte_order),
                (4, true) => element(Dtype::I32, byte_order),
                (8, false) => element(Dtype::U64, byte_order),
                (8, true) => element(Dtype::I64, byte_order),
                _ => other(),
            }
        }
        Datatype::FloatingPoint { size, byte_order, layout } => {
            match (size, layout.exponent_size) {
                (4, _) if *layout == FloatingPointLayout::IEEE754_BINARY32 => {
                    element(Dtype::F32, byte_order)
                }
                (8, _) if *layout == FloatingPointLayout::IEEE754_BINARY64 => {
                    element(Dtype::F64, byte_order)
                }
                (2, 5) if layout.mantissa_size == 10 && layout.exponent_bias == 15 => {
                    element(Dtype::F16, byte_order)
                }
                (2, 8) if layout.mantissa_size == 7 && layout.exponent_bias == 127 => {
                    element(Dtype::Bf16, byte_order)
                }
                _ => other(),
            }
        }
        // As NumPy's truth values are stored.
        Datatype::Enumeration { size: 1, members, .. }
            if members.iter().map(|member| &*member.name).eq(["FALSE", "TRUE"]) =>
        {
            Kind::Numbers(Element { dtype: Dtype::Bool, big: false })
        }
        Datatype::Enumeration { base_type, .. } => kind(base_type),
        Datatype::String { .. } | Datatype::VariableLength { is_string: true, .. } => Kind::Text,
        _ => other(),
    }
}

/// A type that is not read, in words.
fn described(datatype: &Datatype) -> String {
    match datatype {
        Datatype::FixedPoint { size, .. } => format!("an integer of {size} bytes"),
        Datatype::FloatingPoint { size, .. } => format!("a float of {size} bytes"),
        Datatype::Compound { members, .. } => {
            let names: Vec<_> = members.iter().map(|member| member.name.as_str()).collect();
            format!("a compound of {}", names.join(", "))
        }
        Datatype::Reference { .. } => "references".into(),
        Datatype::VariableLength { .. } => "lists".into(),
        Datatype::Array { .. } => "arrays in each cell".into(),
        Datatype::Opaque { .. } | Datatype::BitField { .. } => "bits".into(),
        Datatype::Time { .. } => "times".into(),
        _ => "another type".into(),
    }
}

impl Tree for Opened<'_> {
    fn path(&self) -> &Path {
        self.path
    }

    fn size(&self) -> u64 {
        self.bytes
    }

    fn node(&self, at: &str) -> Result<Option<Node>> {
        if at.is_empty() {
            return Ok(Some(Node::Group));
        }
        let error = |error| self.error(at, error);
        match self.file.dataset(at) {
            Ok(dataset) => {
                let shape = dataset.shape().map_err(error)?;
                let kind = kind(&dataset.datatype().map_err(error)?);
                let chunk = dataset.chunk_shape().map_err(error)?;
                let block = chunk.and_then(|chunk| chunk.first().copied()).unwrap_or(1);
                Ok(Some(Node::Array(Leaf { shape, kind, block })))
            }
            Err(Error::NotADataset(_)) => Ok(Some(Node::Group)),
            Err(Error::NotAGroup(_) | Error::Format(FormatError::PathNotFound(_))) => Ok(None),
            Err(failed) => Err(error(failed)),
        }
    }

    fn attribute(&self, at: &str, name: &str) -> Result<Option<Attribute>> {
        let attributes = if at.is_empty() {
            self.file.root().attrs()
        } else {
            match self.file.group(at) {
                Ok(group) => group.attrs(),
                Err(Error::NotAGroup(_)) => match self.file.dataset(at) {
                    Ok(dataset) => dataset.attrs(),
                    Err(Error::NotAGroup(_)) => return Ok(None),
                    Err(error) => Err(error),
                },
                Err(Error::Format(FormatError::PathNotFound(_))) => return Ok(None),
                Err(error) => Err(error),
            }
        };
        let attributes = attributes.map_err(|error| self.error(at, error))?;
        Ok(attributes.get(name).and_then(attribute))
    }

    fn names(&self, group: &str) -> Result<Vec<String>> {
        let error = |error| self.error(group, error);
        let opened = if group.is_empty() {
            self.file.root()
        } else {
            self.file.group(group).map_err(error)?
        };
        let mut names = opened.datasets().map_err(error)?;
        names.extend(opened.groups().map_err(error)?);
        names.sort();
        Ok(names)
    }

    fn bytes(&self, at: &str, rows: Range<u64>) -> Result<Vec<u8>> {
        let dataset = self.dataset(at)?;
        let bytes = dataset.read_raw_rows(rows.start, rows.end - rows.start);
        bytes.map_err(|error| self.error(at, error))
    }

    fn texts(&self, at: &str) -> Result<Vec<String>> {
        let dataset = self.dataset(at)?;
        let varying = matches!(dataset.datatype(), Ok(Datatype::VariableLength { .. }));
        let texts = if varying {
            // Each text has bytes of its own.
            let most = usize::try_from(self.bytes).unwrap_or(usize::MAX);
            dataset.read_vlen_strings(VlenStringReadOptions::new().with_max_payload_bytes(most))
        } else {
            dataset.read_string()
        };
        let texts = texts.map_err(|error| self.error(at, error))?;
        match texts.iter().position(|text| text.contains(char::REPLACEMENT_CHARACTER)) {
            None => Ok(texts),
            Some(row) => {
                let found = format!("`{}`", texts[row]);
                Err((self as &dyn Tree).bad_row(at, row, "text in UTF-8", found))
            }
        }
    }

    fn place(&self, at: &str) -> Result<Option<Place>> {
        let dataset = self.dataset(at)?;
        let error = |error| self.error(at, error);
        let chunks = match dataset.layout().map_err(error)? {
            Layout::Contiguous { address, .. } => return Ok(address.map(Place::From)),
            Layout::Chunked { chunk_shape, .. } if dataset.filters().is_empty() => chunk_shape,
            _ => return Ok(None),
        };
        let [len] = chunks[..] else { return Ok(None) };
        let mut chunks = dataset.chunks().map_err(error)?;
        chunks.sort_by_key(|chunk| chunk.offset.first().copied());
        // All are there, and each where it belongs.
        let whole = dataset
            .shape()
            .map_err(error)?
            .first()
            .is_some_and(|rows| len > 0 && chunks.len() as u64 == rows.div_ceil(len));
        let mut expected = (0..).map(|chunk| chunk * len);
        if !whole || !chunks.iter().all(|chunk| chunk.offset.first().copied() == expected.next()) {
            return Ok(None);
        }
        let starts = chunks.iter().map(|chunk| chunk.address).collect();
        Ok(usize::try_from(len).ok().map(|len| Place::Chunks { starts, len }))
    }
}

fn attribute(value: &AttrValue) -> Option<Attribute> {
    if let Some(texts) = value.as_strings() {
        return Some(Attribute::Texts(texts.to_vec()));
    }
    let whole = || Some(value.to_i64s()?.into_iter().map(|value| value as f64).collect());
    value.to_f64s().or_else(whole).map(Attribute::Numbers)
}
