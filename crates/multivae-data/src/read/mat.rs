//! MAT 5, the format of MATLAB before 7.3: variables as arrays.
//!
//! It is read here and not by a library, since a reader has to say which variables it leaves out,
//! and to give sparse ones. A file of 7.3 is one of HDF5, and known by its first bytes as one of 4 is.

use std::{fs, io::Read, path::Path};

use flate2::read::ZlibDecoder;
use multivae_core::schema::Dtype;

use super::{
    Array, LabelFile, ModalityTable, Numbers, ReadOptions,
    element::by_rows,
    format::{self, Content, Format},
    name, only, room, unsigned,
};
use crate::{
    assemble::Files,
    error::{DataError, Result},
    folder,
    reading::Reading,
    report::Warning,
};

const FORMAT: &str = "MAT 5";
/// Where the elements begin.
const HEADER: usize = 128;
/// Types of elements.
/// Bytes that a sparse array may take with its zeros for each byte of its file, and beside that.
const SPREAD: u64 = 4096;
const FREE: u64 = 64 << 20;
const MATRIX: u32 = 14;
const COMPRESSED: u32 = 15;
/// Flags of a matrix.
const LOGICAL: u32 = 1 << 9;
const COMPLEX: u32 = 1 << 11;
/// Variables that may be text.
const TEXTS: [&str; 3] = ["labels", "ids", "id"];
/// How deep cells lie in cells before a file counts as damaged.
const DEEPEST: usize = 8;

/// Files of variables.
pub(super) struct Mat;

impl Format for Mat {
    fn name(&self) -> &'static str {
        "MAT"
    }

    fn called(&self) -> &'static str {
        "`.mat` (MATLAB 5)"
    }

    fn content(&self) -> Content {
        Content::Arrays
    }

    fn is(&self, path: &Path) -> bool {
        format::ends(path, &["mat"], false)
    }

    fn arrays(&self, path: &Path) -> Result<Vec<Array>> {
        Ok(variables(path)?.0)
    }

    fn block(&self, path: &Path, said: ReadOptions) -> Result<ModalityTable> {
        wanted(path, variables(path)?, said)?.block(path)
    }

    fn labels(&self, path: &Path, said: ReadOptions) -> Result<LabelFile> {
        let array = wanted(path, variables(path)?, said)?;
        Ok(LabelFile::Values(array.labels(path, said)?))
    }

    fn files(&self, path: &Path, reading: Reading) -> Result<Files> {
        let (arrays, mut left) = variables(path)?;
        let (arrays, others): (Vec<Array>, Vec<Array>) = arrays
            .into_iter()
            .partition(|array| array.dtype != Dtype::Text || TEXTS.contains(&&*array.name));
        left.extend(others.into_iter().map(|array| Left { name: array.name, why: "text" }));
        if arrays.is_empty() {
            return Err(DataError::Array {
                path: path.into(),
                expected: "variables that are arrays of numbers".into(),
                found: listed(&left),
            });
        }
        let mut files = folder::arrays(path, arrays, reading)?;
        if !left.is_empty() {
            files.notes.push(Warning::new(
                name(path),
                format!("variables are left out: {}", listed(&left)),
                "save them as arrays of numbers if they are wanted",
            ));
        }
        Ok(files)
    }
}

/// A variable that is no array of numbers.
struct Left {
    name: String,
    why: &'static str,
}

/// Variables that are left out, each with what it is.
fn listed(left: &[Left]) -> String {
    let one = |Left { name, why }: &Left| format!("`{name}` ({why})");
    left.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// The only variable, or the named one.
fn wanted(
    path: &Path,
    (arrays, left): (Vec<Array>, Vec<Left>),
    said: ReadOptions,
) -> Result<Array> {
    let of_name = |left: &&Left| said.array.is_some_and(|name| left.name == name);
    match left.iter().find(of_name) {
        Some(Left { name, why }) => Err(DataError::Type {
            path: path.join(name).display().to_string(),
            expected: "numbers",
            found: (*why).into(),
        }),
        None => only(path, arrays, said.array),
    }
}

/// The arrays of a file, and what else is in it.
fn variables(path: &Path) -> Result<(Vec<Array>, Vec<Left>)> {
    let bytes = fs::read(path).map_err(|cause| DataError::Read { path: path.into(), cause })?;
    if bytes.is_empty() {
        return Err(DataError::EmptyFile { path: path.into(), reason: "it has no bytes" });
    }
    let malformed =
        |reason: String| DataError::Malformed { path: path.into(), format: FORMAT, reason };
    let big = order(&bytes).map_err(malformed)?;
    let most = (bytes.len() as u64).saturating_mul(SPREAD).saturating_add(FREE);
    let mut arrays = Vec::new();
    let mut left = Vec::new();
    let mut rest = &bytes[HEADER..];
    while !rest.is_empty() {
        let element = Element::next(&mut rest, big).map_err(malformed)?;
        let unpacked;
        let element = if element.kind == COMPRESSED {
            unpacked = unpack(element.data, big).map_err(malformed)?;
            Element::next(&mut &unpacked[..], big).map_err(malformed)?
        } else {
            element
        };
        if element.kind != MATRIX {
            return Err(malformed(format!(
                "expected a variable (type {MATRIX}), found an element of type {}",
                element.kind
            )));
        }
        match matrix(element.data, big, 0, path, most)? {
            Variable { name, .. } if name.is_empty() => {}
            Variable { name, value: Value::Left(why) } => left.push(Left { name, why }),
            Variable { name, value: Value::Array { shape, dtype, numbers } } => {
                arrays.push(Array { name, shape, dtype, numbers });
            }
        }
    }
    if arrays.is_empty() && left.is_empty() {
        return Err(DataError::EmptyFile { path: path.into(), reason: "it has no variables" });
    }
    Ok((arrays, left))
}

/// Whether the bytes of numbers are big-endian; or what else a file is.
fn order(bytes: &[u8]) -> Result<bool, String> {
    let hdf5 = |from: usize| bytes.get(from..).is_some_and(|b| b.starts_with(b"\x89HDF\r\n\x1a\n"));
    if bytes.starts_with(b"MATLAB 7.3") || hdf5(0) || hdf5(512) {
        return Err(
            "it is of MATLAB 7.3, which is HDF5; save it with `save -v7`, or the arrays as \
                    `.npz`"
                .into(),
        );
    }
    // A text begins files of MATLAB 5, and a number files of 4.
    if bytes.len() >= 20 && bytes[..4].contains(&0) {
        return Err("it seems to be of MATLAB 4; save it with `save -v7`".into());
    }
    if bytes.len() < HEADER {
        return Err(format!("expected a header of {HEADER} bytes, found {} bytes", bytes.len()));
    }
    match &bytes[126..128] {
        b"IM" => Ok(false),
        b"MI" => Ok(true),
        other => Err(format!("expected `IM` or `MI` at byte 126, found {other:?}")),
    }
}

/// A part of a file: what it is, and its bytes.
struct Element<'a> {
    kind: u32,
    data: &'a [u8],
}

impl<'a> Element<'a> {
    /// The next element, which is taken from `rest`.
    fn next(rest: &mut &'a [u8], big: bool) -> Result<Self, String> {
        let broken = || "it ends within a variable".to_owned();
        let word = |place: usize| {
            let bytes = rest.get(place..place + 4).ok_or_else(broken)?;
            Ok::<u32, String>(number(bytes, big) as u32)
        };
        let first = word(0)?;
        // Up to 4 bytes stand beside type and size in one word.
        let (kind, size, from, whole) = match first >> 16 {
            0 => {
                let size = word(4)? as usize;
                let padded = if first == COMPRESSED { size } else { size.next_multiple_of(8) };
                (first, size, 8, padded)
            }
            size => (first & 0xffff, size as usize, 4, 4),
        };
        let data = rest.get(from..from + size).ok_or_else(|| {
            let found = rest.len() - from.min(rest.len());
            format!("it ends within a variable: expected {size} bytes, found {found}")
        })?;
        *rest = &rest[(from + whole).min(rest.len())..];
        Ok(Self { kind, data })
    }
}

/// An unsigned integer of the length of its bytes.
fn number(bytes: &[u8], big: bool) -> u64 {
    let add = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
    match big {
        true => bytes.iter().fold(0, add),
        false => bytes.iter().rev().fold(0, add),
    }
}

/// A packed element: as many bytes as its own head says, and no more.
fn unpack(data: &[u8], big: bool) -> Result<Vec<u8>, String> {
    let mut reader = ZlibDecoder::new(data);
    let mut out = vec![0; 8];
    let packed = |error: std::io::Error| format!("a variable cannot be unpacked: {error}");
    reader.read_exact(&mut out).map_err(packed)?;
    let size = number(&out[4..8], big);
    reader.take(size).read_to_end(&mut out).map_err(packed)?;
    Ok(out)
}

struct Variable {
    name: String,
    value: Value,
}

enum Value {
    Array {
        shape: Vec<usize>,
        dtype: Dtype,
        numbers: Numbers,
    },
    /// What it is instead.
    Left(&'static str),
}

/// Stored numbers.
enum Stored {
    Signed(Vec<i64>),
    Unsigned(Vec<u64>),
    Floats(Vec<f64>),
}

/// A variable, of which a sparse one may take `most` bytes with all its zeros.
fn matrix(data: &[u8], big: bool, depth: usize, path: &Path, most: u64) -> Result<Variable> {
    let malformed =
        |reason: String| DataError::Malformed { path: path.into(), format: FORMAT, reason };
    let mut rest = data;
    // A variable without anything is an empty array.
    if rest.is_empty() {
        let value = Value::Left("empty");
        return Ok(Variable { name: String::new(), value });
    }
    let mut next = || Element::next(&mut rest, big).map_err(malformed);
    let flags = next()?.data;
    if flags.len() < 8 {
        return Err(malformed("expected flags of 8 bytes in a variable".into()));
    }
    let flags = number(&flags[..4], big) as u32;
    let class = flags & 0xff;
    if class == 17 {
        let name = text_of(next()?.data);
        return Ok(Variable { name, value: Value::Left("an object") });
    }
    let dims = next()?.data;
    let name = text_of(next()?.data);
    let shape: Vec<usize> = dims.chunks_exact(4).map(|dim| number(dim, big) as usize).collect();
    let inside = |reason: String| malformed(format!("variable `{name}`: {reason}"));
    let count = shape.iter().try_fold(1usize, |count, &axis| count.checked_mul(axis));
    let count = match count {
        Some(count) if shape.len() >= 2 && count < 1 << 48 => count,
        _ => return Err(inside(format!("expected two axes or more, found the shape {shape:?}"))),
    };
    let left = |why| Ok(Variable { name: name.clone(), value: Value::Left(why) });
    match class {
        1 => {
            let mut texts = Vec::new();
            for _ in 0..count {
                if depth >= DEEPEST {
                    return Err(inside("its cells lie too deep".into()));
                }
                let cell = next()?;
                match matrix(cell.data, big, depth + 1, path, most)?.value {
                    Value::Array { shape, numbers: Numbers::Text(mut text), .. }
                        if shape == [1] =>
                    {
                        texts.append(&mut text);
                    }
                    // A text without letters.
                    Value::Left("empty") => texts.push(String::new()),
                    _ => return left("cells of other than text"),
                }
            }
            if count == 0 {
                return left("empty");
            }
            let shape = vec![texts.len()];
            let value = Value::Array { shape, dtype: Dtype::Text, numbers: Numbers::Text(texts) };
            return Ok(Variable { name, value });
        }
        2 => return left("a struct"),
        3 => return left("an object"),
        16 => return left("a function"),
        4..=15 => {}
        other => return Err(inside(format!("its class {other} is unknown"))),
    }
    if count == 0 {
        return left("empty");
    }
    if flags & COMPLEX != 0 {
        return left("complex numbers");
    }
    if class == 4 {
        return Ok(Variable { value: letters(next()?, big, &shape).map_err(inside)?, name });
    }
    let stored = if class == 5 {
        let needed = 8 * count as u64;
        if needed > most {
            return Err(inside(format!(
                "its shape {shape:?} takes {needed} bytes with all its zeros, and {most} are few \
                 enough for the file; save it with `scipy.sparse.save_npz`, which is read as it is"
            )));
        }
        room::check(path, needed, "save it in parts, or fewer columns of it")?;
        sparse(&shape, [next()?, next()?, next()?], big).map_err(inside)?
    } else {
        let element = next()?;
        // Images, which are large, as they are.
        let is_bytes = class == 9 && element.kind == 2 && flags & LOGICAL == 0;
        if is_bytes && count > 1 && element.data.len() == count {
            let numbers = Numbers::Bytes(by_rows(element.data.to_vec(), &shape));
            let (shape, dtype) = (trimmed(shape, count), Dtype::U8);
            return Ok(Variable { name, value: Value::Array { shape, dtype, numbers } });
        }
        let stored = stored(element, big).map_err(inside)?;
        let found = match &stored {
            Stored::Signed(values) => values.len(),
            Stored::Unsigned(values) => values.len(),
            Stored::Floats(values) => values.len(),
        };
        if found != count {
            let reason = format!("its shape {shape:?} has {count} values, found {found}");
            return Err(inside(reason));
        }
        stored
    };
    // A single number is a setting and no data.
    if count == 1 {
        return left("a single number");
    }
    let is_logical = flags & LOGICAL != 0;
    let (dtype, numbers) = typed(class, is_logical, stored, &shape);
    Ok(Variable { name, value: Value::Array { shape: trimmed(shape, count), dtype, numbers } })
}

/// The shape of an array; a vector is one, along whichever axis.
fn trimmed(shape: Vec<usize>, count: usize) -> Vec<usize> {
    let longest = shape.iter().copied().max().unwrap_or_default();
    if longest == count { vec![count] } else { shape }
}

/// The numbers of an element, in the order in which they are stored.
fn stored(element: Element, big: bool) -> Result<Stored, String> {
    let Element { kind, data } = element;
    let size = match kind {
        1 | 2 => 1,
        3 | 4 => 2,
        5..=7 => 4,
        9 | 12 | 13 => 8,
        other => return Err(format!("expected numbers, found an element of type {other}")),
    };
    if !data.len().is_multiple_of(size) {
        return Err(format!("{} bytes are no whole numbers of {size} bytes", data.len()));
    }
    let raw = data.chunks_exact(size).map(|bytes| number(bytes, big));
    // To the left, so that the sign is where it should be, and back.
    let shift = 64 - 8 * size as u32;
    Ok(match kind {
        1 | 3 | 5 | 12 => Stored::Signed(raw.map(|bits| (bits << shift) as i64 >> shift).collect()),
        7 => Stored::Floats(raw.map(|bits| f64::from(f32::from_bits(bits as u32))).collect()),
        9 => Stored::Floats(raw.map(f64::from_bits).collect()),
        _ => Stored::Unsigned(raw.collect()),
    })
}

/// All values of a sparse matrix, column by column, from its rows, columns and values.
fn sparse(
    shape: &[usize],
    [rows, columns, values]: [Element; 3],
    big: bool,
) -> Result<Stored, String> {
    let [height, width] = shape[..] else {
        return Err(format!("expected two axes of a sparse matrix, found the shape {shape:?}"));
    };
    let places = |element: Element| -> Vec<usize> {
        element.data.chunks_exact(4).map(|bytes| number(bytes, big) as usize).collect()
    };
    let (rows, columns) = (places(rows), places(columns));
    let values = match stored(values, big)? {
        Stored::Signed(values) => values.into_iter().map(|value| value as f64).collect(),
        Stored::Unsigned(values) => values.into_iter().map(|value| value as f64).collect(),
        Stored::Floats(values) => values,
    };
    if columns.len() != width + 1 {
        let found = columns.len();
        return Err(format!("expected {} beginnings of columns, found {found}", width + 1));
    }
    let mut out = vec![0.0; height * width];
    for column in 0..width {
        let (from, to) = (columns[column], columns[column + 1]);
        let own = from..to;
        let (Some(rows), Some(values)) = (rows.get(own.clone()), values.get(own)) else {
            let (rows, values) = (rows.len(), values.len());
            return Err(format!(
                "column {column} has values {from} to {to}, found {rows} rows and {values} values"
            ));
        };
        for (&row, &value) in rows.iter().zip(values) {
            if row >= height {
                return Err(format!("column {column}: expected rows below {height}, found {row}"));
            }
            out[column * height + row] = value;
        }
    }
    Ok(Stored::Floats(out))
}

/// Numbers of the type that a class has in MATLAB, row by row.
fn typed(class: u32, logical: bool, stored: Stored, shape: &[usize]) -> (Dtype, Numbers) {
    let floats = |stored: Stored| -> Vec<f64> {
        by_rows(
            match stored {
                Stored::Signed(values) => values.into_iter().map(|value| value as f64).collect(),
                Stored::Unsigned(values) => values.into_iter().map(|value| value as f64).collect(),
                Stored::Floats(values) => values,
            },
            shape,
        )
    };
    if logical {
        let values = floats(stored).into_iter().map(|value| u8::from(value != 0.0));
        return (Dtype::Bool, Numbers::Bytes(values.collect()));
    }
    let dtype = match class {
        7 => Dtype::F32,
        8 => Dtype::I8,
        9 => Dtype::U8,
        10 => Dtype::I16,
        11 => Dtype::U16,
        12 => Dtype::I32,
        13 => Dtype::U32,
        14 => Dtype::I64,
        15 => Dtype::U64,
        _ => Dtype::F64,
    };
    let numbers = match (dtype, stored) {
        (Dtype::F64, stored) => Numbers::Doubles(floats(stored)),
        (Dtype::F32, stored) => {
            Numbers::Floats(floats(stored).into_iter().map(|value| value as f32).collect())
        }
        (Dtype::U8, stored) => {
            Numbers::Bytes(floats(stored).into_iter().map(|value| value as u8).collect())
        }
        (_, Stored::Signed(values)) => Numbers::Integers(by_rows(values, shape)),
        (_, Stored::Unsigned(values)) => unsigned(by_rows(values, shape)),
        (_, stored) => Numbers::Doubles(floats(stored)),
    };
    (dtype, numbers)
}

/// The rows of a matrix of letters.
fn letters(element: Element, big: bool, shape: &[usize]) -> Result<Value, String> {
    let [rows, columns] = shape[..] else {
        return Err(format!("expected two axes of text, found the shape {shape:?}"));
    };
    let points: Vec<u32> = match element.kind {
        // UTF-8, of which letters beyond ASCII take several bytes.
        16 => String::from_utf8_lossy(element.data).chars().map(u32::from).collect(),
        17 => {
            let units = element.data.chunks_exact(2).map(|unit| number(unit, big) as u16);
            char::decode_utf16(units)
                .map(|letter| letter.map_or(u32::from(char::REPLACEMENT_CHARACTER), u32::from))
                .collect()
        }
        _ => match stored(element, big)? {
            Stored::Unsigned(values) => values.into_iter().map(|value| value as u32).collect(),
            Stored::Signed(values) => {
                values.into_iter().map(|value| u32::from(value as u8)).collect()
            }
            Stored::Floats(_) => return Err("expected text, found floats".into()),
        },
    };
    if points.len() != rows * columns {
        let (count, found) = (rows * columns, points.len());
        return Err(format!("its shape {shape:?} has {count} letters, found {found}"));
    }
    let row = |row: usize| -> String {
        let letters = (0..columns).map(|column| points[column * rows + row]);
        let text: String = letters
            .map(|point| char::from_u32(point).unwrap_or(char::REPLACEMENT_CHARACTER))
            .collect();
        text.trim_end_matches([' ', '\0']).to_owned()
    };
    let numbers = Numbers::Text((0..rows).map(row).collect());
    Ok(Value::Array { shape: vec![rows], dtype: Dtype::Text, numbers })
}

fn text_of(data: &[u8]) -> String {
    String::from_utf8_lossy(data).trim_end_matches('\0').to_owned()
}

#[cfg(test)]
mod tests {
    use multivae_core::dataset::Dataset;

    use super::*;
    use crate::{
        DataConfig,
        fixture::{Folder, expected, numbers, written},
    };

    fn values(numbers: &Numbers) -> Vec<f64> {
        match numbers {
            Numbers::Floats(values) => values.iter().copied().map(f64::from).collect(),
            Numbers::Doubles(values) => values.clone(),
            Numbers::Bytes(values) => values.iter().copied().map(f64::from).collect(),
            Numbers::Integers(values) => values.iter().map(|&value| value as f64).collect(),
            Numbers::Text(_) => panic!("no numbers"),
        }
    }

    #[test]
    fn variables_are_those_of_scipy_row_by_row() {
        let known = expected("mat/expected.json");
        let known = known.as_object().expect("variables");
        for file in ["plain", "packed"] {
            let (arrays, left) = variables(&written(&format!("mat/{file}.mat"))).expect(file);
            for (name, known) in known {
                let array = arrays.iter().find(|array| array.name == *name).expect(name);
                let shape: Vec<u64> = array.shape.iter().map(|&axis| axis as u64).collect();
                let right = known["shape"].as_array().expect("a shape");
                assert!(
                    shape.iter().eq(right
                        .iter()
                        .filter_map(|n| n.as_u64())
                        .collect::<Vec<_>>()
                        .iter()),
                    "{name}"
                );
                let (found, right) = (values(&array.numbers), numbers(&known["values"]));
                let same = |(a, b): (&f64, &f64)| a == b || a.is_nan() && b.is_nan();
                assert!(found.iter().zip(&right).all(same) && found.len() == right.len(), "{name}");
            }
            let dtype = |name: &str| {
                arrays.iter().find(|array| array.name == name).map(|array| array.dtype)
            };
            assert_eq!(dtype("logical"), Some(Dtype::Bool));
            assert_eq!((dtype("cube"), dtype("long")), (Some(Dtype::U8), Some(Dtype::I64)));
            assert_eq!((dtype("single"), dtype("whole")), (Some(Dtype::F32), Some(Dtype::F64)));
            let ids = arrays.iter().find(|array| array.name == "ids").expect("text");
            let right = ["p1", "p2", "p3", "p4", "p5 ä"].map(String::from).to_vec();
            assert_eq!(ids.numbers, Numbers::Text(right));
            let left = listed(&left);
            for what in [
                "`alpha` (a single number)",
                "`cells` (cells of other than text)",
                "`settings` (a struct)",
                "`wave` (complex numbers)",
                "`nothing` (empty)",
            ] {
                assert!(left.contains(what), "{left}");
            }
        }
    }

    #[test]
    fn a_file_is_a_data_set_with_labels_and_identifiers_and_says_what_it_leaves_out() {
        let path = written("mat/packed.mat").display().to_string();
        let opened = DataConfig::new(path).read().expect("whole");
        let data = &opened.raw;
        assert_eq!((data.len(), data.id(4), data.modalities().len()), (5, "p5 ä".into(), 9));
        assert_eq!(data.labels(), Some([0, 1, 0, 1, 0].map(Some).to_vec()));
        let said: Vec<String> = opened.report.warnings.iter().map(ToString::to_string).collect();
        let left =
            said.iter().find(|warning| warning.starts_with("packed.mat: variables are left"));
        assert!(left.is_some_and(|left| left.contains("`title` (text)")), "{said:?}");
        let folder = Folder::new([("a.mat", fs::read(written("mat/plain.mat")).expect("there"))]);
        let manifest =
            |array: &str| format!("[[modality]]\nname = 'a'\nfile = 'a.mat'\narray = '{array}'\n");
        folder.write("manifest.toml", manifest("sparse").as_bytes());
        let data = DataConfig::new(folder.source()).read().expect("one of several").raw;
        assert_eq!((data.len(), &data.modalities()[0].shape[..]), (5, &[7][..]));
        folder.write("manifest.toml", manifest("settings").as_bytes());
        let error = DataConfig::new(folder.source()).read().map(|_| ()).expect_err("a struct");
        assert!(
            folder
                .message(error)
                .starts_with("`a.mat/settings`: expected values of type numbers, found `a struct`")
        );
    }

    #[test]
    fn other_versions_and_damaged_files_are_refused_by_name() {
        for (file, what) in [
            ("version_4", "it seems to be of MATLAB 4"),
            ("version_7_3", "it is of MATLAB 7.3, which is HDF5"),
        ] {
            let error = variables(&written(&format!("mat/{file}.mat"))).map(|_| ());
            let error = error.expect_err(file).to_string();
            assert!(
                error.contains(&format!("{file}.mat` is not a valid MAT 5 file: {what}")),
                "{error}"
            );
        }
        let plain = fs::read(written("mat/plain.mat")).expect("there");
        let packed = fs::read(written("mat/packed.mat")).expect("there");
        let folder = Folder::new([]);
        let refused = |bytes: &[u8]| {
            folder.write("a.mat", bytes);
            let error = variables(&folder.path("a.mat")).map(|_| ()).expect_err("refused");
            folder.message(error)
        };
        assert!(refused(&[]).contains("it has no bytes"));
        assert!(refused(b"id,x\n1,2\n").contains("expected a header of 128 bytes, found 9 bytes"));
        assert!(refused(&[b'x'; 200]).contains("expected `IM` or `MI` at byte 126"));
        for cut in [140, 190, 300] {
            let error = refused(&plain[..cut]);
            assert!(error.contains("it ends within a variable"), "{cut}: {error}");
            let error = refused(&packed[..cut]);
            assert!(error.contains("it ends within a variable"), "{cut}: {error}");
        }
        // The first variable, with more rows than it has values.
        let dims = plain.windows(8).position(|w| w == [5, 0, 0, 0, 3, 0, 0, 0]).expect("5 by 3");
        for (rows, expected) in [
            (6u32, "variable `dense`: its shape [6, 3] has 18 values, found 15"),
            (u32::MAX, "variable `dense`: its shape [4294967295, 3] has"),
        ] {
            let mut lying = plain.clone();
            lying[dims..dims + 4].copy_from_slice(&rows.to_le_bytes());
            let error = refused(&lying);
            assert!(error.contains(expected), "{error}");
        }
        let mut broken = packed.clone();
        broken[140..160].fill(0xff);
        assert!(refused(&broken).contains("a variable cannot be unpacked"));
    }
}
