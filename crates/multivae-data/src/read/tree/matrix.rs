//! Matrices, dense and sparse.

use std::path::Path;

use multivae_core::schema::Dtype;

use super::{Attribute, Leaf, Node, Tree, join};
use crate::{
    cells::MissingCells,
    error::{DataError, Result},
    read::{ModalityTable, name, room},
    report::Warning,
    storage::{IN_MEMORY, SparseRows, Storage},
};

/// Whether a sparse matrix lies in its file row by row or column by column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Csr,
    Csc,
}

/// A sparse matrix.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sparse {
    pub(super) order: Order,
    pub(super) rows: usize,
    pub(super) columns: usize,
    /// What its parts are called: where rows (or columns) begin, indices and values.
    pub(super) parts: [&'static str; 3],
}

/// What is done about values that do not fit into memory.
const REMEDY: &str = "save them without compression, row by row, so that they can stay in their file, \
     or leave out columns";

/// The parts as SciPy calls them.
pub(super) const SCIPY: [&str; 3] = ["indptr", "indices", "data"];
/// The parts as MATLAB calls them.
pub(super) const MATLAB: [&str; 3] = ["jc", "ir", "data"];

/// The values at a path, of `rows` rows, and of `columns` columns where that is known.
pub(super) fn block(
    tree: &dyn Tree,
    at: &str,
    rows: usize,
    columns: Option<usize>,
) -> Result<ModalityTable> {
    match tree.node(at)? {
        Some(Node::Array(leaf)) => dense(tree, at, leaf, rows, columns, IN_MEMORY),
        Some(Node::Group) => {
            let order = order(tree, at)?;
            let [found, width] = shape(tree, at)?;
            check(tree, at, &[found, width], rows, columns)?;
            let columns = usize::try_from(width).unwrap_or(usize::MAX);
            Sparse { order, rows, columns, parts: SCIPY }.block(tree, at, None)
        }
        None => Err(tree.bad(at, "a matrix", "nothing")),
    }
}

/// Whether a group is a sparse matrix, by rows or by columns.
pub(super) fn order(tree: &dyn Tree, at: &str) -> Result<Order> {
    let encoding = tree.text(at, "encoding-type")?;
    // As anndata wrote it before 0.8.
    let older = tree.text(at, "h5sparse_format")?;
    match encoding.or(older).as_deref() {
        Some("csr_matrix" | "csr") => Ok(Order::Csr),
        Some("csc_matrix" | "csc") => Ok(Order::Csc),
        other => {
            let found = other.map_or("a group without one".into(), |name| format!("`{name}`"));
            Err(tree.bad(at, "a matrix of the encoding `csr_matrix` or `csc_matrix`", found))
        }
    }
}

/// The shape of a sparse matrix.
pub(super) fn shape(tree: &dyn Tree, at: &str) -> Result<[u64; 2]> {
    let found = match tree.attribute(at, "shape")? {
        None => tree.attribute(at, "h5sparse_shape")?,
        found => found,
    };
    let whole = |value: f64| value >= 0.0 && value.fract() == 0.0 && value < 9e15;
    match found {
        Some(Attribute::Numbers(axes)) if axes.len() == 2 && axes.iter().all(|&v| whole(v)) => {
            Ok([axes[0] as u64, axes[1] as u64])
        }
        Some(other) => Err(tree.bad(at, "two axes in `shape`", format!("{other:?}"))),
        None => Err(tree.bad(at, "an attribute `shape`", "nothing")),
    }
}

/// Refuses another shape than that of the names of rows and columns.
fn check(
    tree: &dyn Tree,
    at: &str,
    shape: &[u64],
    rows: usize,
    columns: Option<usize>,
) -> Result<()> {
    let fits = shape.first() == Some(&(rows as u64))
        && columns.is_none_or(|columns| shape.len() == 2 && shape[1] == columns as u64);
    if fits {
        return Ok(());
    }
    let expected = match columns {
        Some(columns) => format!("[{rows}, {columns}], as many as there are names"),
        None => format!("{rows} rows, as many as there are names"),
    };
    Err(tree.bad(at, expected, format!("{shape:?}")))
}

/// Says how many rows have nothing but 0, by how many values of each are kept.
fn zeros(path: &Path, kept: impl Iterator<Item = i64>) -> Option<Warning> {
    let (rows, zeros) =
        kept.fold((0, 0), |(rows, zeros), kept| (rows + 1, zeros + usize::from(kept == 0)));
    (zeros > 0).then(|| {
        let found =
            format!("{zeros} of {rows} rows have nothing but 0: they are observed all the same");
        Warning::note(name(path), found)
    })
}

/// A dense array, which stays in its file if it has more than `limit` bytes and lies there as it is.
pub(super) fn dense(
    tree: &dyn Tree,
    at: &str,
    leaf: Leaf,
    rows: usize,
    columns: Option<usize>,
    limit: u64,
) -> Result<ModalityTable> {
    check(tree, at, &leaf.shape, rows, columns)?;
    let path = tree.path().join(at);
    if let Some(array) = tree.on_disk(at, &leaf, limit)? {
        let shape = leaf.shape.iter().skip(1).map(|&axis| axis as usize).collect::<Vec<_>>();
        let shape = if shape.is_empty() { vec![1] } else { shape };
        let (missing, dtype) = (array.missing(shape.iter().product())?, array.dtype());
        return ModalityTable::of_values(&path, shape, Storage::Disk(array), missing, dtype);
    }
    let needed = leaf.shape.iter().try_fold(4u64, |all, &axis| all.checked_mul(axis));
    let note = room::check(&path, needed.unwrap_or(u64::MAX), REMEDY)?;
    let mut table = tree.array(at)?.block(&path)?;
    table.notes.extend(note);
    Ok(table)
}

impl Sparse {
    /// Its values; only some of its columns, each at a new place, if these are given.
    ///
    /// Memory beside the result is a window of the file: what lies column by column is counted row
    /// by row before it is put in its places.
    pub(super) fn block(
        self,
        tree: &dyn Tree,
        at: &str,
        chosen: Option<&[Option<u32>]>,
    ) -> Result<ModalityTable> {
        self.within(tree, at, chosen, IN_MEMORY)
    }

    /// As [`block`](Self::block); more than `limit` bytes row by row stay in their file, if they lie
    /// there as they are.
    fn within(
        self,
        tree: &dyn Tree,
        at: &str,
        chosen: Option<&[Option<u32>]>,
        limit: u64,
    ) -> Result<ModalityTable> {
        let Self { order, rows, columns: width, .. } = self;
        let path = tree.path().join(at);
        let out = chosen.map_or(width, |chosen| chosen.iter().flatten().count());
        if rows == 0 || out == 0 {
            let reason = if rows == 0 { "it has no rows" } else { "its rows have no values" };
            return Err(DataError::EmptyFile { path, reason });
        }
        if u32::try_from(width).is_err() {
            return Err(tree.bad(at, "at most 4294967295 columns", width.to_string()));
        }
        let entries = self.entries(tree, at)?;
        if (order, chosen) == (Order::Csr, None)
            && let Some(rows) = entries.on_disk(width, limit)?
        {
            let storage = Storage::Sparse(rows);
            let mut table =
                ModalityTable::of_values(&path, vec![out], storage, None, entries.dtype)?;
            table
                .notes
                .extend(zeros(&path, entries.starts.windows(2).map(|pair| pair[1] - pair[0])));
            return Ok(table);
        }
        let place = |major: usize, minor: u32| -> Option<(usize, u32)> {
            let (row, column) = match order {
                Order::Csr => (major, minor),
                Order::Csc => (minor as usize, major as u32),
            };
            match chosen {
                None => Some((row, column)),
                Some(chosen) => Some((row, chosen[column as usize]?)),
            }
        };
        let starts = match (order, chosen) {
            (Order::Csr, None) => entries.starts.iter().map(|&start| start as u64).collect(),
            _ => {
                tree.check_memory(at, rows as u64, 8)?;
                // How many entries each row has.
                let mut starts = vec![0u64; rows + 1];
                entries.each_index(|major, minor| {
                    if let Some((row, _)) = place(major, minor) {
                        starts[row + 1] += 1;
                    }
                })?;
                for row in 0..rows {
                    starts[row + 1] += starts[row];
                }
                starts
            }
        };
        let count = starts[rows] as usize;
        let mut notes = Vec::new();
        notes.extend(room::check(&path, 8 * (count as u64 + 2 * rows as u64), REMEDY)?);
        notes.extend(zeros(&path, starts.windows(2).map(|pair| (pair[1] - pair[0]) as i64)));
        let (mut columns, mut values) = (vec![0u32; count], vec![0f32; count]);
        let mut next = starts.clone();
        let mut missing: Option<MissingCells> = None;
        entries.each(|major, minor, value| {
            let Some((row, column)) = place(major, minor) else { return Ok(()) };
            let at = next[row] as usize;
            next[row] += 1;
            columns[at] = column;
            if value.is_nan() {
                let cells = missing.get_or_insert_with(|| MissingCells::none(rows, out));
                cells.take(row, column as usize);
                return Ok(());
            }
            values[at] = value as f32;
            if values[at].is_infinite() {
                let (path, value_at) = (path.clone(), column as usize);
                return Err(DataError::Infinite { path, row, value: value_at, found: value });
            }
            Ok(())
        })?;
        let rows = SparseRows::new(out, starts, columns, values)
            .map_err(|found| tree.bad(at, "a sparse matrix", found))?;
        let storage = Storage::Sparse(rows);
        let table = ModalityTable::of_values(&path, vec![out], storage, missing, entries.dtype)?;
        Ok(ModalityTable { notes, ..table })
    }

    fn entries<'a>(&self, tree: &'a dyn Tree, at: &str) -> Result<Entries<'a>> {
        let (major, minor) = match self.order {
            Order::Csr => (self.rows, self.columns),
            Order::Csc => (self.columns, self.rows),
        };
        let part = |name: &str| -> Result<(String, Leaf)> {
            let at = join(at, name);
            let leaf = tree.leaf(&at)?;
            if leaf.shape.len() == 1 {
                Ok((at, leaf))
            } else {
                Err(tree.bad(&at, "an array of one axis", format!("{:?}", leaf.shape)))
            }
        };
        let [starts, indices, data] = self.parts;
        let (indptr, of_starts) = part(starts)?;
        let (indices, data) = (part(indices)?, part(data)?);
        let count = data.1.rows();
        if indices.1.rows() != count {
            let expected = format!("{count} numbers, as many as of `{}`", data.0);
            return Err(tree.bad(&indices.0, expected, indices.1.rows().to_string()));
        }
        if of_starts.rows() != major as u64 + 1 {
            let expected = format!("{} numbers, as its shape says", major as u64 + 1);
            return Err(tree.bad(&indptr, expected, of_starts.rows().to_string()));
        }
        let starts = tree.whole(&indptr, 0)?;
        if starts[0] != 0 {
            return Err(tree.bad_row(&indptr, 0, "0", format!("`{}`", starts[0])));
        }
        if let Some(row) = starts.windows(2).position(|pair| pair[1] < pair[0]) {
            let expected = format!("at least {}, which is before it", starts[row]);
            return Err(tree.bad_row(&indptr, row + 1, expected, format!("`{}`", starts[row + 1])));
        }
        if starts[major] as u64 != count {
            let expected = format!("{count}, the length of `{}`", data.0);
            return Err(tree.bad_row(&indptr, major, expected, format!("`{}`", starts[major])));
        }
        let dtype = tree.element(&data.0, &data.1)?.dtype;
        Ok(Entries { tree, indices, data, starts, minor, dtype })
    }
}

/// The entries of a sparse matrix as they lie in the file.
struct Entries<'a> {
    tree: &'a dyn Tree,
    indices: (String, Leaf),
    data: (String, Leaf),
    /// Where the entries of each row, or column, begin, and where the last ones end.
    starts: Vec<i64>,
    /// What an index has to be less than.
    minor: usize,
    dtype: Dtype,
}

impl Entries<'_> {
    /// Rows that stay in their file; `None` if they are small, packed, or not in order.
    fn on_disk(&self, width: usize, limit: u64) -> Result<Option<SparseRows>> {
        let Self { tree, indices, data, starts, .. } = self;
        let columns = tree.on_disk(&indices.0, &indices.1, limit / 2)?;
        let values = tree.on_disk(&data.0, &data.1, limit / 2)?;
        let (Some(columns), Some(values)) = (columns, values) else { return Ok(None) };
        let starts = starts.iter().map(|&start| start as u64).collect();
        match SparseRows::on_disk(width, starts, columns, values)? {
            Ok(rows) => Ok(Some(rows)),
            // What has to be put in order is read into memory.
            Err(None) => Ok(None),
            Err(Some(found)) => Err(tree.bad(&indices.0, "columns of a sparse matrix", found)),
        }
    }

    /// Calls `each` with the row or column and the index of every entry, in the order of the file.
    fn each_index(&self, mut each: impl FnMut(usize, u32)) -> Result<()> {
        let mut major = Major::new(&self.starts);
        let mut indices = Indices::new(self);
        while indices.next < self.indices.1.rows() {
            indices.read_up_to(indices.next + 1)?;
            indices.waiting.drain(..).for_each(|index| each(major.next(), index));
        }
        Ok(())
    }

    /// As [`each_index`](Self::each_index), with the value.
    fn each(&self, mut each: impl FnMut(usize, u32, f64) -> Result<()>) -> Result<()> {
        let mut major = Major::new(&self.starts);
        let mut indices = Indices::new(self);
        self.tree.windows(&self.data.0, &self.data.1, |first, values| {
            indices.read_up_to(first + values.len() as u64)?;
            let mut here = indices.waiting.drain(..values.len());
            let mut done = Ok(());
            values.each(|value| {
                if let (Ok(()), Some(index)) = (&done, here.next()) {
                    done = each(major.next(), index, value);
                }
            });
            done
        })
    }
}

/// The row or column of one entry after the other.
struct Major<'a> {
    starts: &'a [i64],
    major: usize,
    entry: i64,
}

impl<'a> Major<'a> {
    fn new(starts: &'a [i64]) -> Self {
        Self { starts, major: 0, entry: 0 }
    }

    fn next(&mut self) -> usize {
        while self.starts[self.major + 1] <= self.entry {
            self.major += 1;
        }
        self.entry += 1;
        self.major
    }
}

/// The indices of entries, read a window at a time.
struct Indices<'a> {
    of: &'a Entries<'a>,
    /// The first that was not read yet.
    next: u64,
    /// What was read and not taken.
    waiting: Vec<u32>,
}

impl<'a> Indices<'a> {
    fn new(of: &'a Entries<'a>) -> Self {
        Self { of, next: 0, waiting: Vec::new() }
    }

    /// Reads on until there are the indices of all entries before `end`.
    fn read_up_to(&mut self, end: u64) -> Result<()> {
        let Entries { tree, indices: (at, leaf), minor, .. } = self.of;
        while self.next < end {
            let first = self.next;
            let numbers = tree.window(at, leaf, first)?;
            self.next += numbers.len() as u64;
            let mut bad = None;
            let mut place = 0;
            numbers.each(|index| {
                if !(0.0..*minor as f64).contains(&index) || index.fract() != 0.0 {
                    bad.get_or_insert((place, index));
                }
                self.waiting.push(index as u32);
                place += 1;
            });
            if let Some((place, found)) = bad {
                let (row, expected) = (first as usize + place, format!("a number below {minor}"));
                return Err(tree.bad_row(at, row, expected, format!("`{found}`")));
            }
        }
        Ok(())
    }
}

#[cfg(all(test, feature = "hdf5"))]
mod tests {
    use super::*;
    use crate::{fixture::written, read::tree::hdf5::Opened};

    fn values(table: &ModalityTable) -> Vec<f32> {
        let mut out = vec![0.0; table.values.len()];
        table.values.read(0, &mut out).expect("readable");
        out
    }

    #[test]
    fn what_stays_in_its_file_says_the_same() {
        let path = written("several.h5mu");
        let file = Opened::open(&path).expect("valid");
        let tree: &dyn Tree = &file;
        let leaf = tree.leaf("mod/protein/X").expect("there");
        let read = |limit| dense(&file, "mod/protein/X", leaf.clone(), 6, Some(3), limit);
        let (disk, memory) = (read(0).expect("valid"), read(1 << 20).expect("valid"));
        assert!(
            matches!(disk.values, Storage::Disk(_)) && !matches!(memory.values, Storage::Disk(_))
        );
        assert_eq!(values(&disk), values(&memory));
        // Sparse parts are in chunks that are not packed; those of the other file are.
        let sparse = Sparse { order: Order::Csr, rows: 5, columns: 5, parts: SCIPY };
        let read = |limit| sparse.within(&file, "mod/rna/X", None, limit).expect("valid");
        let (disk, memory) = (read(0), read(1 << 20));
        let on_disk = |table: &ModalityTable| match &table.values {
            Storage::Sparse(rows) => rows.is_on_disk(),
            _ => false,
        };
        assert!(on_disk(&disk) && !on_disk(&memory));
        assert_eq!(values(&disk), values(&memory));
        let path = written("csr.h5ad");
        let file = Opened::open(&path).expect("valid");
        let sparse = Sparse { rows: 6, ..sparse };
        assert!(!on_disk(&sparse.within(&file, "X", None, 0).expect("valid")));
    }
}
