//! Files that `torch.save` has written, of tensors and of tuples, lists and dictionaries of tensors.
//!
//! The crate `pytorch-reader`, which reads weights here, takes dictionaries only, and published data is
//! a tensor or a tuple of them. As there a pickle is read and never executed: the few functions that
//! make tensors are known by their names, and any other object stays a name.

use std::{
    collections::HashMap,
    fs::File,
    io::{BufReader, Read, Seek, SeekFrom},
    ops::Range,
    path::Path,
};

use multivae_core::schema::Dtype;
use zip::ZipArchive;

use super::{Array, Numbers};
use crate::error::{DataError, Result};

const FORMAT: &str = "PyTorch";
/// Bytes of a pickle beside the numbers of its tensors.
const MOST: u64 = 100 << 20;
/// With what a file begins that is older than the archives: the protocol and a long number.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/// What a file holds.
#[derive(Debug)]
pub(crate) enum Value {
    /// A tensor, its first axis the rows.
    Tensor(Array),
    /// A tuple or a list.
    List(Vec<Value>),
    /// A dictionary, of which the keys are text.
    Dict(Vec<(String, Value)>),
    /// Something else, by its name.
    Other(String),
}

impl Value {
    /// The tensor that it is.
    pub(crate) fn tensor(self, path: &Path, what: &str) -> Result<Array> {
        match self {
            Self::Tensor(array) => Ok(Array { name: what.into(), ..array }),
            other => Err(DataError::Array {
                path: path.into(),
                expected: format!("a tensor as `{what}`"),
                found: other.name(),
            }),
        }
    }

    /// What it is in messages.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Tensor(array) => format!("a tensor of shape {:?}", array.shape),
            Self::List(values) => format!("a tuple of {}", values.len()),
            Self::Dict(values) => format!("a dictionary of {}", values.len()),
            Self::Other(name) => format!("`{name}`"),
        }
    }
}

/// Reads a file.
pub(crate) fn read(path: &Path) -> Result<Value> {
    let failed = |cause| DataError::Read { path: path.into(), cause };
    let mut file = File::open(path).map_err(failed)?;
    let mut head = Vec::new();
    (&mut file).take(64).read_to_end(&mut head).map_err(failed)?;
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    let malformed =
        |reason: String| DataError::Malformed { path: path.into(), format: FORMAT, reason };
    if head.is_empty() {
        return Err(DataError::EmptyFile { path: path.into(), reason: "it has no bytes" });
    }
    if head.starts_with(b"PK") {
        return archive(BufReader::new(file)).map_err(malformed);
    }
    if head.windows(MAGIC.len()).any(|bytes| bytes == MAGIC) {
        return legacy(BufReader::new(file)).map_err(malformed);
    }
    Err(malformed("it begins neither as an archive nor as an older file of `torch.save`".into()))
}

/// The form since version 1.6: an archive of a pickle and the bytes of each storage.
fn archive(file: BufReader<File>) -> Result<Value, String> {
    let size = file.get_ref().metadata().map(|data| data.len()).unwrap_or(0);
    let mut archive = ZipArchive::new(file).map_err(|error| error.to_string())?;
    let named = |name: &&str| *name == "data.pkl" || name.ends_with("/data.pkl");
    let pickle = archive.file_names().filter(named).min_by_key(|name| name.len());
    let pickle = pickle.ok_or("it has no `data.pkl`")?.to_owned();
    let root = pickle.trim_end_matches("data.pkl").to_owned();
    let mut bytes = Vec::new();
    let entry = archive.by_name(&pickle).map_err(|error| error.to_string())?;
    entry.take(MOST).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if archive.index_for_name(&format!("{root}byteorder")).is_some() {
        let mut order = String::new();
        let entry = archive.by_name(&format!("{root}byteorder")).map_err(|e| e.to_string())?;
        entry.take(16).read_to_string(&mut order).map_err(|error| error.to_string())?;
        if order.trim() != "little" {
            return Err(format!("its numbers are `{}`-endian", order.trim()));
        }
    }
    let mut machine = Machine::default();
    let top = machine.run(&mut &bytes[..])?;
    let mut stored = |key: &str| {
        let name = format!("{root}data/{key}");
        let mut entry = archive.by_name(&name).map_err(|error| format!("`{name}`: {error}"))?;
        // Storages are not packed: no file holds more than it has bytes.
        if entry.size() > size {
            return Err(format!("`{name}` claims {} bytes of {size}", entry.size()));
        }
        let mut bytes = Vec::with_capacity(entry.size() as usize);
        entry.read_to_end(&mut bytes).map_err(|error| format!("`{name}`: {error}"))?;
        Ok(bytes)
    };
    machine.value(top, &mut stored)
}

/// The form before: pickles of a number, a version, the machine, the object and the names of its
/// storages, whose bytes follow in this order.
fn legacy(mut file: BufReader<File>) -> Result<Value, String> {
    let size = file.get_ref().metadata().map(|data| data.len()).unwrap_or(0);
    let mut pickle = || {
        let mut machine = Machine::default();
        let top = machine.run(&mut file)?;
        Ok::<_, String>((machine, top))
    };
    pickle()?;
    let (version, top) = pickle()?;
    if !matches!(version.objects[top], Object::Int(1001)) {
        return Err("it is of another version than 1001 of this form".into());
    }
    let (system, top) = pickle()?;
    if let Object::Dict(entries) = &system.objects[top] {
        let little = entries.iter().find(|(key, _)| system.text(*key) == Some("little_endian"));
        if little.is_some_and(|&(_, value)| matches!(system.objects[value], Object::Bool(false))) {
            return Err("its numbers are `big`-endian".into());
        }
    }
    let (machine, top) = pickle()?;
    let (keys, list) = pickle()?;
    let Object::List(items) = &keys.objects[list] else {
        return Err("the names of its storages are no list".into());
    };
    let mut storages = HashMap::new();
    for &item in items {
        let key = keys.text(item).ok_or("the name of a storage is no text")?.to_owned();
        let width =
            machine.width_of(&key).ok_or_else(|| format!("storage `{key}` is of nothing"))?;
        let mut count = [0; 8];
        file.read_exact(&mut count).map_err(|error| error.to_string())?;
        let bytes = u64::from_le_bytes(count).saturating_mul(width as u64);
        if bytes > size {
            return Err(format!("storage `{key}` claims {bytes} bytes of {size}"));
        }
        let mut numbers = vec![0; bytes as usize];
        file.read_exact(&mut numbers).map_err(|error| format!("storage `{key}`: {error}"))?;
        storages.insert(key, numbers);
    }
    let mut stored =
        |key: &str| storages.get(key).cloned().ok_or_else(|| format!("it has no storage `{key}`"));
    machine.value(top, &mut stored)
}

/// An object of a pickle; others are named by their places.
#[derive(Clone, Debug)]
enum Object {
    None,
    Bool(bool),
    Int(i64),
    Text(String),
    Tuple(Vec<usize>),
    List(Vec<usize>),
    Dict(Vec<(usize, usize)>),
    Global(String),
    Storage(Storage),
    Tensor(Tensor),
    /// By the name of what it is.
    Other(String),
}

#[derive(Clone, Debug)]
struct Storage {
    key: String,
    dtype: Dtype,
}

#[derive(Clone, Debug)]
struct Tensor {
    storage: Storage,
    offset: usize,
    shape: Vec<usize>,
    stride: Vec<usize>,
}

/// What a pickle has made so far.
#[derive(Default)]
struct Machine {
    objects: Vec<Object>,
    stack: Vec<usize>,
    marks: Vec<usize>,
    memo: HashMap<u64, usize>,
}

/// The type of the numbers of a storage of PyTorch.
fn dtype(name: &str) -> Option<Dtype> {
    Some(match name.strip_prefix("torch.")?.strip_suffix("Storage")? {
        "Float" => Dtype::F32,
        "Double" => Dtype::F64,
        "Half" => Dtype::F16,
        "BFloat16" => Dtype::Bf16,
        "Long" => Dtype::I64,
        "Int" => Dtype::I32,
        "Short" => Dtype::I16,
        "Char" => Dtype::I8,
        "Byte" => Dtype::U8,
        "Bool" => Dtype::Bool,
        _ => return None,
    })
}

fn width(dtype: Dtype) -> usize {
    match dtype {
        Dtype::F64 | Dtype::I64 | Dtype::U64 => 8,
        Dtype::F32 | Dtype::I32 | Dtype::U32 => 4,
        Dtype::F16 | Dtype::Bf16 | Dtype::I16 | Dtype::U16 => 2,
        // No other type is that of a storage; see `dtype`.
        _ => 1,
    }
}

fn next(from: &mut impl Read, count: u64) -> Result<Vec<u8>, String> {
    if count > MOST {
        return Err(format!("a part of its pickle claims {count} bytes"));
    }
    let mut bytes = Vec::new();
    from.by_ref().take(count).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 == count { Ok(bytes) } else { Err("its pickle ends early".into()) }
}

fn number(from: &mut impl Read, bytes: u64) -> Result<u64, String> {
    Ok(next(from, bytes)?.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte)))
}

fn line(from: &mut impl Read) -> Result<String, String> {
    let mut line = Vec::new();
    loop {
        match next(from, 1)?[0] {
            b'\n' => return String::from_utf8(line).map_err(|error| error.to_string()),
            byte => line.push(byte),
        }
    }
}

/// A whole number of as many bytes as there are; `None` if it is larger than 64 bits.
fn signed(bytes: &[u8]) -> Option<i64> {
    if bytes.len() > 8 {
        return None;
    }
    let negative = bytes.last().is_some_and(|&byte| byte > 127);
    let start = if negative { -1i64 } else { 0 };
    Some(bytes.iter().rev().fold(start, |number, &byte| number << 8 | i64::from(byte)))
}

impl Machine {
    fn push(&mut self, object: Object) {
        self.objects.push(object);
        self.stack.push(self.objects.len() - 1);
    }

    fn pop(&mut self) -> Result<usize, String> {
        self.stack.pop().ok_or_else(|| "its pickle takes what it has not made".into())
    }

    /// What was made since the last mark.
    fn since_mark(&mut self) -> Result<Vec<usize>, String> {
        let mark = self.marks.pop().filter(|&mark| mark <= self.stack.len());
        let mark = mark.ok_or("its pickle has no mark where it needs one")?;
        Ok(self.stack.split_off(mark))
    }

    fn text(&self, place: usize) -> Option<&str> {
        match &self.objects[place] {
            Object::Text(text) => Some(text),
            _ => None,
        }
    }

    fn pushed_text(&mut self, bytes: Vec<u8>) -> Result<(), String> {
        self.push(Object::Text(String::from_utf8(bytes).map_err(|error| error.to_string())?));
        Ok(())
    }

    fn put(&mut self, name: u64) -> Result<(), String> {
        let top = *self.stack.last().ok_or("its pickle keeps what it has not made")?;
        self.memo.insert(name, top);
        Ok(())
    }

    fn get(&mut self, name: u64) -> Result<(), String> {
        let place = self.memo.get(&name).copied();
        self.stack.push(place.ok_or("its pickle names what it has not kept")?);
        Ok(())
    }

    fn append(&mut self, items: Vec<usize>) -> Result<(), String> {
        let top = *self.stack.last().ok_or("its pickle has no list")?;
        if let Object::List(list) = &mut self.objects[top] {
            list.extend(items);
        }
        Ok(())
    }

    fn set(&mut self, items: &[usize]) -> Result<(), String> {
        let top = *self.stack.last().ok_or("its pickle has no dictionary")?;
        if let Object::Dict(entries) = &mut self.objects[top] {
            entries.extend(items.chunks_exact(2).map(|pair| (pair[0], pair[1])));
        }
        Ok(())
    }

    /// Runs a pickle to its end; gives the place of what it is.
    fn run(&mut self, from: &mut impl Read) -> Result<usize, String> {
        loop {
            match next(from, 1)?[0] {
                0x80 => drop(next(from, 1)?),
                0x95 => drop(next(from, 8)?),
                b'.' => return self.pop(),
                b'(' => self.marks.push(self.stack.len()),
                b'0' => drop(self.pop()?),
                b'1' => drop(self.since_mark()?),
                b'2' => {
                    let top = *self.stack.last().ok_or("its pickle has nothing to double")?;
                    self.stack.push(top);
                }
                b'N' => self.push(Object::None),
                0x88 => self.push(Object::Bool(true)),
                0x89 => self.push(Object::Bool(false)),
                b'J' => {
                    let value = number(from, 4)? as u32 as i32;
                    self.push(Object::Int(i64::from(value)));
                }
                b'K' => {
                    let value = number(from, 1)?;
                    self.push(Object::Int(value as i64));
                }
                b'M' => {
                    let value = number(from, 2)?;
                    self.push(Object::Int(value as i64));
                }
                code @ (0x8a | 0x8b) => {
                    let bytes = number(from, if code == 0x8a { 1 } else { 4 })?;
                    let value = signed(&next(from, bytes)?);
                    let other = || Object::Other("a large number".into());
                    self.push(value.map_or_else(other, Object::Int));
                }
                b'I' | b'L' => {
                    let text = line(from)?;
                    let object = match text.trim_end_matches('L') {
                        "00" => Object::Bool(false),
                        "01" => Object::Bool(true),
                        text => text
                            .parse()
                            .map_or_else(|_| Object::Other("a large number".into()), Object::Int),
                    };
                    self.push(object);
                }
                b'F' => {
                    line(from)?;
                    self.push(Object::Other("float".into()));
                }
                b'G' => {
                    next(from, 8)?;
                    self.push(Object::Other("float".into()));
                }
                code @ (b'X' | b'T' | b'B') => {
                    let bytes = number(from, 4)?;
                    self.bytes(code, next(from, bytes)?)?;
                }
                code @ (0x8c | b'U' | b'C') => {
                    let bytes = number(from, 1)?;
                    self.bytes(code, next(from, bytes)?)?;
                }
                code @ (0x8d | 0x8e) => {
                    let bytes = number(from, 8)?;
                    self.bytes(code, next(from, bytes)?)?;
                }
                b'V' => {
                    let text = line(from)?;
                    self.push(Object::Text(text));
                }
                b'S' => {
                    let text = line(from)?;
                    self.push(Object::Text(text.trim_matches(['\'', '"']).to_owned()));
                }
                b')' => self.push(Object::Tuple(Vec::new())),
                b't' => {
                    let items = self.since_mark()?;
                    self.push(Object::Tuple(items));
                }
                code @ 0x85..=0x87 => {
                    let count = usize::from(code - 0x84);
                    let from = self.stack.len().checked_sub(count);
                    let items = self.stack.split_off(from.ok_or("its pickle has too few items")?);
                    self.push(Object::Tuple(items));
                }
                b']' => self.push(Object::List(Vec::new())),
                b'l' => {
                    let items = self.since_mark()?;
                    self.push(Object::List(items));
                }
                b'a' => {
                    let item = self.pop()?;
                    self.append(vec![item])?;
                }
                b'e' => {
                    let items = self.since_mark()?;
                    self.append(items)?;
                }
                b'}' => self.push(Object::Dict(Vec::new())),
                b'd' => {
                    let items = self.since_mark()?;
                    self.push(Object::Dict(Vec::new()));
                    self.set(&items)?;
                }
                b's' => {
                    let (value, key) = (self.pop()?, self.pop()?);
                    self.set(&[key, value])?;
                }
                b'u' => {
                    let items = self.since_mark()?;
                    self.set(&items)?;
                }
                b'c' => {
                    let name = format!("{}.{}", line(from)?, line(from)?);
                    self.push(Object::Global(name));
                }
                0x93 => {
                    let (name, module) = (self.pop()?, self.pop()?);
                    let of = |place| self.text(place).unwrap_or_default();
                    let name = format!("{}.{}", of(module), of(name));
                    self.push(Object::Global(name));
                }
                b'q' => {
                    let name = number(from, 1)?;
                    self.put(name)?;
                }
                b'r' => {
                    let name = number(from, 4)?;
                    self.put(name)?;
                }
                b'p' => {
                    let name = line(from)?.parse().map_err(|_| "a name in its pickle is none")?;
                    self.put(name)?;
                }
                0x94 => self.put(self.memo.len() as u64)?,
                b'h' => {
                    let name = number(from, 1)?;
                    self.get(name)?;
                }
                b'j' => {
                    let name = number(from, 4)?;
                    self.get(name)?;
                }
                b'g' => {
                    let name = line(from)?.parse().map_err(|_| "a name in its pickle is none")?;
                    self.get(name)?;
                }
                b'Q' => {
                    let what = self.pop()?;
                    let storage = self.storage(what)?;
                    self.push(Object::Storage(storage));
                }
                b'R' | 0x81 => {
                    let (arguments, function) = (self.pop()?, self.pop()?);
                    let made = self.made(function, arguments)?;
                    self.push(made);
                }
                0x92 => {
                    let (_, arguments, function) = (self.pop()?, self.pop()?, self.pop()?);
                    let made = self.made(function, arguments)?;
                    self.push(made);
                }
                // The state of an object that is only a name.
                b'b' => drop(self.pop()?),
                other => return Err(format!("its pickle has an unknown code {other}")),
            }
        }
    }

    fn bytes(&mut self, code: u8, bytes: Vec<u8>) -> Result<(), String> {
        match code {
            b'X' | 0x8c | 0x8d => self.pushed_text(bytes),
            // Text of Python 2, or bytes.
            _ => {
                let text = String::from_utf8(bytes);
                let object = text.map_or_else(|_| Object::Other("bytes".into()), Object::Text);
                self.push(object);
                Ok(())
            }
        }
    }

    /// `("storage", type, key, place, count)`.
    fn storage(&self, what: usize) -> Result<Storage, String> {
        let Object::Tuple(items) = &self.objects[what] else {
            return Err("a storage of its pickle is no tuple".into());
        };
        let [kind, class, key, ..] = items[..] else {
            return Err("a storage of its pickle has no name".into());
        };
        let (Some("storage"), Object::Global(class), Some(key)) =
            (self.text(kind), &self.objects[class], self.text(key))
        else {
            return Err("a storage of its pickle has no type".into());
        };
        let dtype = dtype(class).ok_or_else(|| format!("numbers of `{class}` are not read"))?;
        Ok(Storage { key: key.to_owned(), dtype })
    }

    fn sizes(&self, place: usize) -> Option<Vec<usize>> {
        let Object::Tuple(items) = &self.objects[place] else { return None };
        items.iter().map(|&item| self.size(item)).collect()
    }

    fn size(&self, place: usize) -> Option<usize> {
        match self.objects[place] {
            Object::Int(value) => usize::try_from(value).ok(),
            _ => None,
        }
    }

    /// What a function gives: tensors by their storage, else a name.
    fn made(&self, function: usize, arguments: usize) -> Result<Object, String> {
        let Object::Global(name) = &self.objects[function] else {
            return Ok(Object::Other("an object".into()));
        };
        let Object::Tuple(arguments) = &self.objects[arguments] else {
            return Ok(Object::Other(name.clone()));
        };
        match (name.as_str(), &arguments[..]) {
            ("torch._utils._rebuild_tensor_v2" | "torch._utils._rebuild_tensor", arguments) => {
                let wrong = || "a tensor of its pickle has no shape".to_owned();
                let [storage, offset, shape, stride, ..] = arguments[..] else {
                    return Err(wrong());
                };
                let Object::Storage(storage) = &self.objects[storage] else { return Err(wrong()) };
                Ok(Object::Tensor(Tensor {
                    storage: storage.clone(),
                    offset: self.size(offset).ok_or_else(wrong)?,
                    shape: self.sizes(shape).ok_or_else(wrong)?,
                    stride: self.sizes(stride).ok_or_else(wrong)?,
                }))
            }
            ("torch._utils._rebuild_parameter", [data, ..]) => Ok(self.objects[*data].clone()),
            ("collections.OrderedDict", _) => Ok(Object::Dict(Vec::new())),
            _ => Ok(Object::Other(name.clone())),
        }
    }

    /// Bytes of a number of a storage.
    fn width_of(&self, key: &str) -> Option<usize> {
        self.objects.iter().find_map(|object| match object {
            Object::Storage(storage) if storage.key == key => Some(width(storage.dtype)),
            _ => None,
        })
    }

    fn value(
        &self,
        place: usize,
        stored: &mut dyn FnMut(&str) -> Result<Vec<u8>, String>,
    ) -> Result<Value, String> {
        self.value_within(place, 0, stored)
    }

    fn value_within(
        &self,
        place: usize,
        depth: usize,
        stored: &mut dyn FnMut(&str) -> Result<Vec<u8>, String>,
    ) -> Result<Value, String> {
        // A list can hold itself.
        if depth > 16 {
            return Err("its objects lie too deep in one another".into());
        }
        Ok(match &self.objects[place] {
            Object::Tensor(tensor) => {
                let bytes = stored(&tensor.storage.key)?;
                Value::Tensor(tensor.array(&bytes)?)
            }
            Object::Tuple(items) | Object::List(items) => Value::List(
                items
                    .iter()
                    .map(|&item| self.value_within(item, depth + 1, stored))
                    .collect::<Result<_, _>>()?,
            ),
            Object::Dict(entries) => {
                let mut found = Vec::new();
                for &(key, value) in entries {
                    let key = match &self.objects[key] {
                        Object::Text(key) => key.clone(),
                        Object::Int(key) => key.to_string(),
                        _ => continue,
                    };
                    found.push((key, self.value_within(value, depth + 1, stored)?));
                }
                Value::Dict(found)
            }
            Object::None => Value::Other("None".into()),
            Object::Bool(_) => Value::Other("bool".into()),
            Object::Int(_) => Value::Other("int".into()),
            Object::Text(_) => Value::Other("str".into()),
            Object::Global(name) | Object::Other(name) => Value::Other(name.clone()),
            Object::Storage(_) => Value::Other("a storage".into()),
        })
    }
}

impl Tensor {
    /// Its numbers, the last axis the fastest.
    fn array(&self, bytes: &[u8]) -> Result<Array, String> {
        let Self { storage: Storage { key, dtype }, offset, shape, stride } = self;
        let width = width(*dtype);
        let count = shape.iter().try_fold(1usize, |all, &axis| all.checked_mul(axis));
        let last = shape.iter().zip(stride).try_fold(*offset, |last, (&axis, &step)| {
            last.checked_add(axis.saturating_sub(1).checked_mul(step)?)
        });
        let (Some(count), Some(last)) = (count, last) else {
            return Err(format!("a tensor of shape {shape:?} is too large"));
        };
        let end = last.checked_add(1).and_then(|end| end.checked_mul(width));
        if shape.len() != stride.len()
            || (count > 0 && end.is_none_or(|end| end > bytes.len()))
            || count > bytes.len()
        {
            return Err(format!(
                "a tensor of shape {shape:?} is longer than the {} bytes of its storage `{key}`",
                bytes.len()
            ));
        }
        let mut step = 1;
        let contiguous = shape.iter().zip(stride).rev().all(|(&axis, &found)| {
            let expected = step;
            step *= axis;
            axis == 1 || found == expected
        });
        let gathered;
        let bytes = if count == 0 {
            &[][..]
        } else if contiguous {
            &bytes[offset * width..(offset + count) * width]
        } else {
            let mut all = Vec::with_capacity(count * width);
            let mut index = vec![0; shape.len()];
            for _ in 0..count {
                let place: usize = index.iter().zip(stride).map(|(at, step)| at * step).sum();
                let range: Range<usize> = (offset + place) * width..(offset + place + 1) * width;
                all.extend_from_slice(&bytes[range]);
                for axis in (0..shape.len()).rev() {
                    index[axis] += 1;
                    if index[axis] < shape[axis] {
                        break;
                    }
                    index[axis] = 0;
                }
            }
            gathered = all;
            &gathered[..]
        };
        Ok(Array {
            name: String::new(),
            shape: shape.clone(),
            dtype: *dtype,
            numbers: numbers(*dtype, bytes),
        })
    }
}

fn numbers(dtype: Dtype, bytes: &[u8]) -> Numbers {
    fn all<const N: usize, T>(bytes: &[u8], of: impl Fn([u8; N]) -> T) -> Vec<T> {
        bytes.as_chunks::<N>().0.iter().map(|bytes| of(*bytes)).collect()
    }
    match dtype {
        Dtype::F32 => Numbers::Floats(all(bytes, f32::from_le_bytes)),
        Dtype::F64 => Numbers::Doubles(all(bytes, f64::from_le_bytes)),
        Dtype::F16 => Numbers::Floats(all(bytes, |b| super::half(u16::from_le_bytes(b)))),
        Dtype::Bf16 => Numbers::Floats(all(bytes, |b| super::brain(u16::from_le_bytes(b)))),
        Dtype::I64 => Numbers::Integers(all(bytes, i64::from_le_bytes)),
        Dtype::I32 => Numbers::Integers(all(bytes, |b| i32::from_le_bytes(b).into())),
        Dtype::I16 => Numbers::Integers(all(bytes, |b| i16::from_le_bytes(b).into())),
        Dtype::I8 => Numbers::Integers(all(bytes, |b: [u8; 1]| (b[0] as i8).into())),
        _ => Numbers::Bytes(bytes.to_vec()),
    }
}

#[cfg(test)]
pub(crate) mod tests;
