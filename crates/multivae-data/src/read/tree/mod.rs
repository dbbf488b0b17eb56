//! Files of groups and arrays by path, as HDF5 and Zarr have them, and what is kept in them.
//!
//! A format implements [`Tree`]; what the groups and arrays mean is the same in all of them:
//!
//! | file | what is in it |
//! |---|---|
//! | AnnData | `X`, `layers`, `obsm`, and the tables `obs` and `var`; see [`anndata`] |
//! | MuData | an AnnData for each modality below `mod`; see [`mudata`] |
//! | 10x Genomics | a matrix of features by barcodes, of several types; see [`tenx`] |
//! | any other | arrays by path; see [`arrays`] |

#![cfg_attr(
    not(any(feature = "hdf5", feature = "zarr")),
    allow(dead_code, reason = "no format of such files is read")
)]

use std::{io::Read, ops::Range, path::Path};

use multivae_core::schema::Dtype;

use super::{
    Array, LabelFile, ModalityTable, Numbers, ReadOptions, TextTable,
    element::{Element, Exact},
    format::{self, Content, Format},
};
use crate::{
    assemble::Files,
    error::{DataError, Result},
    reading::Reading,
    storage::{DiskArray, Place},
};

mod anndata;
mod arrays;
#[cfg(feature = "hdf5")]
mod bounded;
#[cfg(all(test, feature = "hdf5"))]
mod damaged;
mod frame;
#[cfg(feature = "hdf5")]
pub(crate) mod hdf5;
mod matrix;
mod mudata;
mod sites;
mod tenx;
#[cfg(feature = "zarr")]
pub(crate) mod zarr;

/// The name of HDF5 in messages.
pub(super) const HDF5: &str = "HDF5";
/// How its files are called.
pub(super) const HDF5_FILES: &str =
    "`.h5ad`, `.h5mu`, `.h5`, `.hdf5` (HDF5, also `.mat` of MATLAB 7.3)";
/// The name of Zarr in messages.
pub(super) const ZARR: &str = "Zarr";
/// How its folders are called.
pub(super) const ZARR_FILES: &str = "a folder `.zarr`";
/// The first bytes of an HDF5 file, or of one below some text of another program.
const SIGNATURE: &[u8] = b"\x89HDF\r\n\x1a\n";

/// Whether a file is called as HDF5 is, or is one of MATLAB in that form.
pub(super) fn is_hdf5(path: &Path) -> bool {
    let signed = || {
        let mut head = Vec::new();
        let file = std::fs::File::open(path);
        let read = file.and_then(|file| file.take(520).read_to_end(&mut head));
        let at = |place: usize| head.get(place..).is_some_and(|rest| rest.starts_with(SIGNATURE));
        read.is_ok() && (at(0) || at(512))
    };
    format::ends(path, &["h5ad", "h5mu", "h5", "hdf5", "he5"], false)
        || format::ends(path, &["mat"], false) && signed()
}

/// Whether a folder is one of Zarr, whatever it is called.
pub(super) fn is_zarr(path: &Path) -> bool {
    [".zgroup", ".zarray", "zarr.json"].iter().any(|name| path.join(name).is_file())
}

/// Bytes that are read at a time.
const WINDOW: u64 = 1 << 20;
/// How often a byte of a file can be unpacked at most: what the deflate method can do.
const UNPACKED: u64 = 1032;
/// Bytes that are asked for whatever the size of the file.
const SMALL: u64 = 64 << 20;

/// A format of such files: what it does follows from how a file is opened.
pub(crate) struct TreeFormat {
    name: &'static str,
    called: &'static str,
    is: fn(&Path) -> bool,
    open: for<'a> fn(&'a Path) -> Result<Box<dyn Tree + 'a>>,
}

impl Format for TreeFormat {
    fn name(&self) -> &'static str {
        self.name
    }

    fn called(&self) -> &'static str {
        self.called
    }

    fn content(&self) -> Content {
        Content::Annotated
    }

    fn is(&self, path: &Path) -> bool {
        (self.is)(path)
    }

    fn arrays(&self, path: &Path) -> Result<Vec<Array>> {
        arrays::all(&*(self.open)(path)?)
    }

    fn text(&self, path: &Path, said: ReadOptions) -> Result<TextTable> {
        text(&*(self.open)(path)?, said)
    }

    fn block(&self, path: &Path, said: ReadOptions) -> Result<ModalityTable> {
        block(&*(self.open)(path)?, said)
    }

    fn labels(&self, path: &Path, said: ReadOptions) -> Result<LabelFile> {
        labels(&*(self.open)(path)?, said)
    }

    fn files(&self, path: &Path, reading: Reading) -> Result<Files> {
        files(&*(self.open)(path)?, reading)
    }
}

/// A file of groups and arrays. The path of the whole is empty; a `/` is between the names of others.
pub(super) trait Tree {
    /// The file.
    fn path(&self) -> &Path;

    /// Bytes of the whole file.
    fn size(&self) -> u64;

    /// What is at a path; `None` if there is nothing.
    fn node(&self, at: &str) -> Result<Option<Node>>;

    /// An attribute of what is there; `None` if it has none of that name.
    fn attribute(&self, at: &str, name: &str) -> Result<Option<Attribute>>;

    /// Names of what is in a group, in alphabetical order.
    fn names(&self, group: &str) -> Result<Vec<String>>;

    /// The numbers of some rows of an array, as they are stored.
    fn bytes(&self, at: &str, rows: Range<u64>) -> Result<Vec<u8>>;

    /// The cells of an array of text.
    fn texts(&self, at: &str) -> Result<Vec<String>>;

    /// Where in the file the numbers of an array lie as they are; `None` if they do not.
    fn place(&self, _at: &str) -> Result<Option<Place>> {
        Ok(None)
    }
}

/// What is at a path.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    Group,
    Array(Leaf),
}

/// An array.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Leaf {
    pub(super) shape: Vec<u64>,
    pub(super) kind: Kind,
    /// Rows that are stored together.
    pub(super) block: u64,
}

/// What cells of an array are.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    Numbers(Element),
    Text,
    /// What is not read, in words.
    Other(String),
}

/// What an attribute holds.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Attribute {
    Texts(Vec<String>),
    Numbers(Vec<f64>),
}

impl Leaf {
    /// Number of rows; that of a single value is 1.
    pub(super) fn rows(&self) -> u64 {
        self.shape.first().copied().unwrap_or(1)
    }

    /// Values of a row; none if that is more than can be counted.
    pub(super) fn width(&self) -> Option<u64> {
        self.shape.iter().skip(1).try_fold(1u64, |product, &axis| product.checked_mul(axis))
    }
}

/// The path of something in a group.
pub(crate) fn join(group: &str, name: &str) -> String {
    if group.is_empty() { name.into() } else { format!("{group}/{name}") }
}

impl dyn Tree + '_ {
    /// The error about something in the file.
    pub(super) fn bad(
        &self,
        at: &str,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> DataError {
        let (inside, place) = (at.into(), "");
        let (expected, found) = (expected.into(), found.into());
        DataError::Inside { path: self.path().into(), inside, place: place.into(), expected, found }
    }

    /// The error about a row of an array in the file.
    pub(super) fn bad_row(
        &self,
        at: &str,
        row: usize,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> DataError {
        let (inside, place) = (at.into(), format!(", row {row}"));
        let (expected, found) = (expected.into(), found.into());
        DataError::Inside { path: self.path().into(), inside, place: place.into(), expected, found }
    }

    /// Refuses to ask for the memory of so many values, of `size` bytes each, where a file of this
    /// size cannot hold as many.
    pub(super) fn check_memory(&self, at: &str, values: u64, size: u64) -> Result<()> {
        let most = self.size().saturating_mul(UNPACKED).saturating_add(SMALL);
        if values.checked_mul(size).is_some_and(|bytes| bytes <= most) {
            return Ok(());
        }
        let expected = format!("at most {} values, as the size of the file allows", most / size);
        Err(self.bad(at, expected, values.to_string()))
    }

    /// Text of an attribute, if it is one text.
    pub(super) fn text(&self, at: &str, name: &str) -> Result<Option<String>> {
        Ok(match self.attribute(at, name)? {
            Some(Attribute::Texts(mut texts)) if texts.len() == 1 => texts.pop(),
            _ => None,
        })
    }

    /// Texts of an attribute; none if it is something else or empty.
    pub(super) fn list(&self, at: &str, name: &str) -> Result<Vec<String>> {
        Ok(match self.attribute(at, name)? {
            Some(Attribute::Texts(texts)) => texts,
            _ => Vec::new(),
        })
    }

    /// Whether there is a group.
    pub(super) fn is_group(&self, at: &str) -> Result<bool> {
        Ok(matches!(self.node(at)?, Some(Node::Group)))
    }

    /// The array at a path.
    pub(super) fn leaf(&self, at: &str) -> Result<Leaf> {
        match self.node(at)? {
            Some(Node::Array(leaf)) => Ok(leaf),
            Some(Node::Group) => Err(self.bad(at, "an array", "a group")),
            None => Err(self.bad(at, "an array", "nothing")),
        }
    }

    /// How the numbers of an array are stored.
    pub(super) fn element(&self, at: &str, leaf: &Leaf) -> Result<Element> {
        match &leaf.kind {
            Kind::Numbers(element) => Ok(*element),
            Kind::Text => Err(self.bad(at, "numbers", "text")),
            Kind::Other(found) => {
                Err(self.bad(at, "truth values, or integers or floats of at most 64 bits", found))
            }
        }
    }

    /// The numbers of an array from a row on: as many rows as are read at a time, at least one.
    pub(super) fn window(&self, at: &str, leaf: &Leaf, row: u64) -> Result<Numbers> {
        let element = self.element(at, leaf)?;
        let width = leaf.width().and_then(|width| width.checked_mul(element.size() as u64));
        let width =
            width.ok_or_else(|| self.bad(at, "fewer values", format!("{:?}", leaf.shape)))?;
        // Whole blocks, so that none is unpacked twice.
        let block = leaf.block.max(1);
        let step = (WINDOW / width.max(1)).max(1).div_ceil(block).saturating_mul(block);
        let end = row.saturating_add(step).min(leaf.rows());
        let bytes = self.bytes(at, row..end)?;
        if bytes.len() as u64 == (end - row).saturating_mul(width) {
            return Ok(element.numbers(&bytes));
        }
        let expected = format!("rows {row} to {end} of {width} bytes");
        Err(self.bad(at, expected, format!("{} bytes", bytes.len())))
    }

    /// Calls `each` with the numbers of an array, some rows at a time, and the first of the rows.
    pub(super) fn windows(
        &self,
        at: &str,
        leaf: &Leaf,
        mut each: impl FnMut(u64, Numbers) -> Result<()>,
    ) -> Result<()> {
        let Some(width) = leaf.width().filter(|&width| width > 0) else { return Ok(()) };
        let mut row = 0;
        while row < leaf.rows() {
            let numbers = self.window(at, leaf, row)?;
            let read = numbers.len() as u64 / width;
            each(row, numbers)?;
            row += read;
        }
        Ok(())
    }

    /// All numbers of an array, of their own type.
    pub(super) fn numbers(&self, at: &str) -> Result<Numbers> {
        let leaf = self.leaf(at)?;
        let mut all: Option<Numbers> = None;
        self.windows(at, &leaf, |_, numbers| {
            all = Some(match all.take() {
                None => numbers,
                Some(all) => all.followed_by(numbers),
            });
            Ok(())
        })?;
        Ok(all.unwrap_or_else(|| Numbers::Floats(Vec::new())))
    }

    /// All numbers of an array in as little memory as keeps their digits.
    pub(super) fn exact(&self, at: &str, leaf: &Leaf) -> Result<Numbers> {
        let bytes = |dtype| matches!(dtype, Dtype::Bool | Dtype::U8);
        if bytes(self.element(at, leaf)?.dtype) {
            return self.numbers(at);
        }
        let mut exact = Exact::default();
        self.windows(at, leaf, |_, numbers| {
            numbers.each(|value| exact.push(value));
            Ok(())
        })?;
        Ok(exact.numbers())
    }

    /// All whole numbers of an array of one axis, none of them below `least`.
    pub(super) fn whole(&self, at: &str, least: i64) -> Result<Vec<i64>> {
        let leaf = self.leaf(at)?;
        if leaf.shape.len() != 1 {
            return Err(self.bad(at, "an array of one axis", format!("{:?}", leaf.shape)));
        }
        let mut all = Vec::new();
        self.windows(at, &leaf, |first, numbers| {
            let numbers = match numbers {
                Numbers::Integers(values) => values,
                Numbers::Bytes(values) => values.into_iter().map(i64::from).collect(),
                other => {
                    let found = other.texts().into_iter().next().unwrap_or_default();
                    return Err(self.bad(at, "whole numbers", found));
                }
            };
            if let Some(place) = numbers.iter().position(|&value| value < least) {
                let (row, found) = (first as usize + place, format!("`{}`", numbers[place]));
                return Err(self.bad_row(at, row, format!("at least {least}"), found));
            }
            all.extend(numbers);
            Ok(())
        })?;
        Ok(all)
    }

    /// The numbers of an array where they lie, if they take more than `limit` bytes and lie there as
    /// they are.
    pub(super) fn on_disk(&self, at: &str, leaf: &Leaf, limit: u64) -> Result<Option<DiskArray>> {
        let element = self.element(at, leaf)?;
        let count = leaf.shape.iter().try_fold(1u64, |all, &axis| all.checked_mul(axis));
        let large = |&count: &u64| count.saturating_mul(element.size() as u64) > limit;
        let Some(count) = count.filter(large).and_then(|count| usize::try_from(count).ok()) else {
            return Ok(None);
        };
        match self.place(at)? {
            Some(place) => DiskArray::placed(self.path(), place, count, element).map(Some),
            None => Ok(None),
        }
    }

    /// An array of numbers or text.
    pub(super) fn array(&self, at: &str) -> Result<Array> {
        let leaf = self.leaf(at)?;
        let mut shape = Vec::with_capacity(leaf.shape.len());
        for &axis in &leaf.shape {
            let axis = usize::try_from(axis);
            shape
                .push(axis.map_err(|_| self.bad(at, "fewer values", format!("{:?}", leaf.shape)))?);
        }
        let (dtype, numbers) = match &leaf.kind {
            Kind::Text => (Dtype::Text, Numbers::Text(self.texts(at)?)),
            _ if shape.len() < 2 => (self.element(at, &leaf)?.dtype, self.numbers(at)?),
            _ => (self.element(at, &leaf)?.dtype, self.exact(at, &leaf)?),
        };
        Ok(Array { name: at.into(), shape, dtype, numbers })
    }
}

/// What a file holds.
enum Holds {
    AnnData,
    MuData,
    Tenx(tenx::Matrix),
    Arrays,
}

fn holds(tree: &dyn Tree) -> Result<Holds> {
    if tree.is_group("mod")? {
        return Ok(Holds::MuData);
    }
    if let Some(matrix) = tenx::Matrix::of(tree)? {
        return Ok(Holds::Tenx(matrix));
    }
    let tables = tree.node("obs")?.is_some() && tree.node("var")?.is_some();
    if tables || tree.text("", "encoding-type")?.as_deref() == Some("anndata") {
        return Ok(Holds::AnnData);
    }
    Ok(Holds::Arrays)
}

/// The values of one modality.
pub(super) fn block(tree: &dyn Tree, said: ReadOptions) -> Result<ModalityTable> {
    match holds(tree)? {
        Holds::AnnData => anndata::block(tree, said),
        Holds::MuData => mudata::block(tree, said),
        Holds::Tenx(matrix) => matrix.block(tree, said),
        Holds::Arrays => arrays::block(tree, said),
    }
}

/// The table of what is known of the rows.
pub(super) fn text(tree: &dyn Tree, said: ReadOptions) -> Result<TextTable> {
    match holds(tree)? {
        Holds::AnnData => frame::text(tree, "obs", said),
        Holds::MuData => mudata::text(tree, said),
        Holds::Tenx(_) | Holds::Arrays => Err(DataError::UnsupportedFile {
            path: tree.path().into(),
            expected: "a file with a table of what is known of its rows, as AnnData has it",
        }),
    }
}

/// Class labels.
pub(super) fn labels(tree: &dyn Tree, said: ReadOptions) -> Result<LabelFile> {
    match holds(tree)? {
        Holds::Arrays => arrays::labels(tree, said),
        _ if said.array.is_some() => arrays::labels(tree, said),
        _ => Ok(LabelFile::Table(text(tree, said)?.without_codes(said))),
    }
}

/// All modalities of a file.
pub(super) fn files(tree: &dyn Tree, reading: Reading) -> Result<Files> {
    match holds(tree)? {
        Holds::AnnData => anndata::files(tree, reading),
        Holds::MuData => mudata::files(tree, reading),
        Holds::Tenx(matrix) => matrix.files(tree, reading),
        Holds::Arrays => arrays::files(tree, reading),
    }
}
