//! Data in a form of which random rows are read fast, without being in memory.
//!
//! A packed data set is a folder of files that other programs read too: `NAME.npy` for values row by
//! row, `NAME.npz` as SciPy saves sparse matrices for values of which most are 0, `NAME.csv` for mixed
//! tables; identifiers, names of columns and labels as tables of text; and a manifest that says what
//! belongs together. Arrays are neither packed nor turned, so that [`DiskArray`](crate::storage::DiskArray)
//! reads any row by its place.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Seek, SeekFrom, Write},
    path::Path,
};

use multivae_core::{
    dataset::Dataset,
    modality::ModalitySpec,
    schema::{ModalitySchema, Plane, TextTokens},
};
use ndarray_npy::WriteNpyExt;
use serde::Serialize;
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

use crate::{
    config::{DataConfig, Opened},
    error::{DataError, Result},
    memory::MemoryDataset,
    mixed::cell_text,
    storage::{Storage, TokenRows},
    text::TextOptions,
};

/// What was packed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    /// Name of each modality, the file of its values, and how many rows observe it.
    pub modalities: Vec<(String, String, usize)>,
    /// Number of rows.
    pub rows: usize,
    /// What was unusual about the data.
    pub warnings: Vec<String>,
}

#[derive(Serialize)]
struct Manifest {
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<Table>,
    modality: Vec<Entry>,
}

#[derive(Serialize)]
struct Table {
    file: String,
    column: &'static str,
    id: &'static str,
}

#[derive(Serialize)]
struct Entry {
    name: String,
    file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ids: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    names: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shape: Option<Vec<usize>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    likelihood: Option<multivae_core::distribution::Likelihood>,
    /// The plane of the slices that rows are, so that those of a subject stay together.
    #[serde(skip_serializing_if = "Option::is_none")]
    slices: Option<Plane>,
    /// What is said of its text, so that the vocabulary is that of a run's training split.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<TextOptions>,
}

/// Writes all rows of a data source into an empty folder, values in the units of their files, a row
/// at a time. What a row does not observe is not written, but for single cells, which are NaN.
///
/// # Errors
///
/// [`DataError::Write`]; any [`DataError`] of reading the source.
pub fn pack(config: &DataConfig, folder: &Path) -> Result<Packed> {
    let opened = config.read()?;
    let data = &opened.raw;
    let mut entries = Vec::new();
    let mut modalities = Vec::new();
    for (m, spec) in data.modalities().iter().enumerate() {
        let rows: Vec<usize> =
            (0..data.len()).filter(|&row| data.presence(row).contains(m)).collect();
        let entry = Modality { opened: &opened, m, spec, rows: &rows }.write(folder)?;
        modalities.push((entry.name.clone(), entry.file.clone(), rows.len()));
        entries.push(entry);
    }
    let labels = labels(data, folder)?;
    let manifest = Manifest { labels, modality: entries };
    let text = toml::to_string(&manifest).expect("plain data has a TOML form");
    let path = folder.join("manifest.toml");
    fs::write(&path, text).map_err(|cause| DataError::Write { path, cause })?;
    let warnings = opened.report.warnings.iter().map(ToString::to_string).collect();
    Ok(Packed { modalities, rows: data.len(), warnings })
}

/// Writes a file by a function, whose errors are those of the file.
fn file(path: &Path, write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) -> Result<()> {
    let written = || {
        let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
        write(&mut file)?;
        file.flush()
    };
    written().map_err(|cause: io::Error| match cause.downcast::<DataError>() {
        Ok(error) => error,
        Err(cause) => DataError::Write { path: path.into(), cause },
    })
}

/// A table of text with a header.
fn table<'a>(
    path: &Path,
    header: impl IntoIterator<Item = &'a str>,
    rows: impl Iterator<Item = Result<Vec<String>>>,
) -> Result<()> {
    file(path, |file| {
        let mut csv = csv::Writer::from_writer(file);
        csv.write_record(header)?;
        for row in rows {
            csv.write_record(row.map_err(io::Error::other)?)?;
        }
        csv.flush()
    })
}

fn labels(data: &MemoryDataset, folder: &Path) -> Result<Option<Table>> {
    let Some(labels) = data.labels() else { return Ok(None) };
    let name = "labels.csv".to_owned();
    let names = data.label_names();
    let label = |label: &i64| match names {
        Some(names) => names[*label as usize].clone(),
        None => label.to_string(),
    };
    let rows = labels
        .iter()
        .enumerate()
        .map(|(row, value)| Ok(vec![data.id(row), value.as_ref().map(label).unwrap_or_default()]));
    table(&folder.join(&name), ["id", "label"], rows)?;
    Ok(Some(Table { file: name, column: "label", id: "id" }))
}

/// What is done with the values of a row, and which of them are observed.
type SeeRow<'a> = dyn FnMut(&[f32], Option<Vec<bool>>) -> io::Result<()> + 'a;

/// A modality with the rows that observe it.
struct Modality<'a> {
    opened: &'a Opened,
    m: usize,
    spec: &'a ModalitySpec,
    rows: &'a [usize],
}

impl Modality<'_> {
    fn known(&self) -> Option<&ModalitySchema> {
        self.opened.raw.schema().and_then(|schema| schema.modalities.get(self.m))
    }

    fn write(&self, folder: &Path) -> Result<Entry> {
        let name = self.spec.name.to_string();
        let known = self.known();
        if let Some(columns) = known.and_then(|known| known.table.as_ref()) {
            let file = format!("{name}.csv");
            let kept: Vec<_> = columns.iter().filter(|c| c.kind.features() > 0).collect();
            let header = std::iter::once("id").chain(kept.iter().map(|c| c.name.as_str()));
            let mut values = vec![0.0; self.spec.features()];
            let rows = self.rows.iter().map(|&row| {
                self.opened.file_units(row, self.m, &mut values);
                let cells = kept.iter().map(|column| {
                    let values = &values[column.features()];
                    if values.iter().any(|value| value.is_nan()) {
                        return String::new();
                    }
                    cell_text(&column.kind, values, |value| value.to_string())
                });
                Ok(std::iter::once(self.opened.raw.id(row)).chain(cells).collect())
            });
            table(&folder.join(&file), header, rows)?;
            return Ok(Entry {
                name,
                file,
                id: Some("id"),
                ids: None,
                names: None,
                shape: None,
                likelihood: None,
                slices: None,
                text: None,
            });
        }
        if let Some(tokens) = self.opened.raw.storage(self.m).tokens() {
            return self.text(folder, name, tokens);
        }
        let sparse = self.opened.raw.storage(self.m).is_sparse();
        let file = format!("{name}.{}", if sparse { "npz" } else { "npy" });
        let path = folder.join(&file);
        match sparse {
            true => self.sparse(&path)?,
            false => self.dense(&path)?,
        }
        let ids = format!("{name}.ids.csv");
        let of_rows = self.rows.iter().map(|&row| Ok(vec![self.opened.raw.id(row)]));
        table(&folder.join(&ids), ["id"], of_rows)?;
        let names = match known.and_then(|known| known.columns.as_ref()) {
            Some(columns) => {
                let names = format!("{name}.names.csv");
                let rows = columns.iter().map(|column| Ok(vec![column.clone()]));
                table(&folder.join(&names), ["name"], rows)?;
                Some(names)
            }
            None => None,
        };
        Ok(Entry {
            name,
            file,
            id: None,
            ids: Some(ids),
            names,
            shape: Some(self.spec.shape.clone()),
            likelihood: Some(self.spec.likelihood.clone()),
            slices: known.and_then(|known| known.images.slices),
            text: None,
        })
    }

    /// Text as it was read.
    fn text(&self, folder: &Path, name: String, tokens: &TokenRows) -> Result<Entry> {
        let said = tokens.said();
        let column = said.map_or("text", |said| said.column.as_str()).to_owned();
        let mut options = said.map(|said| said.options.clone()).unwrap_or_default();
        options.column = Some(column.clone());
        if let Some(TextTokens::Json { tokenizer, .. }) =
            self.known().and_then(|known| known.text.as_ref()).map(|text| &text.tokens)
        {
            let own = format!("{name}.tokenizer.json");
            file(&folder.join(&own), |file| file.write_all(tokenizer.as_bytes()))?;
            options.tokenizer = Some(own.into());
        }
        let table_file = format!("{name}.csv");
        let rows = self.rows.iter().map(|&row| {
            let text = self.opened.raw.text(row, self.m).unwrap_or_default();
            Ok(vec![self.opened.raw.id(row), text.to_owned()])
        });
        table(&folder.join(&table_file), ["id", column.as_str()], rows)?;
        Ok(Entry {
            name,
            file: table_file,
            id: Some("id"),
            ids: None,
            names: None,
            shape: None,
            likelihood: None,
            slices: None,
            text: Some(options),
        })
    }

    /// Values row by row.
    fn dense(&self, path: &Path) -> Result<()> {
        let storage = self.opened.raw.storage(self.m);
        let features = self.spec.features();
        // Whole numbers of images are put on a scale when they are read; those of slices of volumes
        // are not, so that they are written flat, and the manifest says their shape.
        let sliced = self.known().is_some_and(|known| known.images.slices.is_some());
        let row = if sliced { &[features][..] } else { &self.spec.shape[..] };
        let shape: Vec<String> = std::iter::once(self.rows.len())
            .chain(row.iter().copied())
            .map(|axis| axis.to_string())
            .collect();
        let descriptor = match &**storage {
            Storage::Bytes(_) => "|u1",
            storage if storage.is_double() => "<f8",
            _ => "<f4",
        };
        file(path, |file| {
            file.write_all(&header(descriptor, &shape.join(", ")))?;
            let mut values = vec![0.0; features];
            for &row in self.rows {
                self.opened.file_units(row, self.m, &mut values);
                match &**storage {
                    Storage::Bytes(bytes) => {
                        let stored = self.opened.raw.stored_rows()[row];
                        file.write_all(&bytes[stored * features..][..features])?;
                    }
                    storage if storage.is_double() => {
                        for value in &values {
                            file.write_all(&value.to_le_bytes())?;
                        }
                    }
                    _ => {
                        for value in &values {
                            file.write_all(&(*value as f32).to_le_bytes())?;
                        }
                    }
                }
            }
            Ok(())
        })
    }

    /// Compressed rows, as SciPy saves them.
    fn sparse(&self, path: &Path) -> Result<()> {
        let data = &self.opened.raw;
        let storage = data.storage(self.m);
        let features = self.spec.features();
        let each = |see: &mut SeeRow| {
            let mut values = vec![0.0; features];
            for &row in self.rows {
                storage
                    .read(data.stored_rows()[row] * features, &mut values)
                    .map_err(io::Error::other)?;
                see(&values, data.cells(row, self.m))?;
            }
            Ok::<_, io::Error>(())
        };
        let kept = |values: &[f32], cells: &Option<Vec<bool>>, column: usize| {
            let missing = cells.as_ref().is_some_and(|cells| !cells[column]);
            let value = if missing { f32::NAN } else { values[column] };
            (value != 0.0).then_some(value)
        };
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .large_file(true);
        file(path, |file| {
            let mut starts = vec![0u64];
            each(&mut |values, cells| {
                let entries = (0..features).filter(|&c| kept(values, &cells, c).is_some()).count();
                starts.push(starts[starts.len() - 1] + entries as u64);
                Ok(())
            })?;
            let entries = starts[starts.len() - 1].to_string() + ",";
            let mut zip = ZipWriter::new(file);
            zip.start_file("indices.npy", options)?;
            zip.write_all(&header("<i4", &entries))?;
            each(&mut |values, cells| {
                let columns = (0..features).filter(|&c| kept(values, &cells, c).is_some());
                let bytes: Vec<u8> = columns.flat_map(|c| (c as i32).to_le_bytes()).collect();
                zip.write_all(&bytes)
            })?;
            zip.start_file("indptr.npy", options)?;
            let starts: Vec<i64> = starts.into_iter().map(|start| start as i64).collect();
            ndarray::Array1::from(starts).write_npy(&mut zip).map_err(io::Error::other)?;
            zip.start_file("format.npy", options)?;
            zip.write_all(&header("|S3", ""))?;
            zip.write_all(b"csr")?;
            zip.start_file("shape.npy", options)?;
            let shape = vec![self.rows.len() as i64, features as i64];
            ndarray::Array1::from(shape).write_npy(&mut zip).map_err(io::Error::other)?;
            zip.start_file("data.npy", options)?;
            zip.write_all(&header("<f4", &entries))?;
            each(&mut |values, cells| {
                let found = (0..features).filter_map(|column| kept(values, &cells, column));
                let bytes: Vec<u8> = found.flat_map(f32::to_le_bytes).collect();
                zip.write_all(&bytes)
            })?;
            let file = zip.finish()?;
            file.seek(SeekFrom::End(0))?;
            Ok(())
        })
    }
}

/// The beginning of an NPY file of version 1.0, whose values follow; `shape` as in Python, without
/// its brackets.
fn header(descriptor: &str, shape: &str) -> Vec<u8> {
    let comma = if shape.is_empty() || shape.ends_with(',') { "" } else { "," };
    let text =
        format!("{{'descr': '{descriptor}', 'fortran_order': False, 'shape': ({shape}{comma}), }}");
    // The values begin at a multiple of 64.
    let length = (10 + text.len() + 1).next_multiple_of(64) - 10;
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((length as u16).to_le_bytes());
    bytes.extend(format!("{text:<width$}\n", width = length - 1).bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Folder, npy, png, text};

    #[test]
    fn what_is_packed_reads_as_what_it_was() {
        let counts: String = (0..40)
            .map(|row| {
                let cells: Vec<_> =
                    (0..12).map(|c| if (row * 5 + c) % 4 == 0 { row + c } else { 0 }).collect();
                let cells: Vec<_> = cells.iter().map(ToString::to_string).collect();
                format!("r{row},{}\n", cells.join(","))
            })
            .collect();
        let head: Vec<_> = (0..12).map(|gene| format!("g{gene}")).collect();
        let clinic: String = (0..30)
            .map(|row| {
                let age = if row == 3 { String::new() } else { format!("{}.5", 40 + row % 30) };
                format!(
                    "r{},{age},{},2021-0{}-11\n",
                    row * 2,
                    ["low", "high"][row % 2],
                    row % 9 + 1
                )
            })
            .collect();
        let images = (0..20).map(|row| (format!("scan/r{row}.png"), png(3, 2, row as u8 * 9)));
        let mut files = vec![
            ("genes.csv".to_owned(), text(&format!("id,{}\n{counts}", head.join(",")))),
            ("clinic.csv".to_owned(), text(&format!("id,age,grade,day\n{clinic}"))),
            ("labels.csv".to_owned(), text("id,kind\nr0,a\nr1,b\nr7,a\n")),
        ];
        files.extend(images);
        let folder = Folder::new(files.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())));
        let config = DataConfig::new(folder.source());
        let out = tempfile::tempdir().expect("a folder");
        let packed = pack(&config, out.path()).expect("whole");
        assert_eq!(packed.rows, 50);
        let names: Vec<_> = packed.modalities.iter().map(|(_, file, _)| file.as_str()).collect();
        assert_eq!(names, ["clinic.csv", "genes.npy", "scan.npy"]);
        let before = config.read().expect("whole");
        let again = DataConfig::new(out.path().display().to_string()).read().expect("packed");
        assert_eq!(again.raw.modalities(), before.raw.modalities());
        assert_eq!(again.raw.len(), before.raw.len());
        let place = |opened: &Opened, id: &str| {
            (0..opened.raw.len()).find(|&row| opened.raw.id(row) == id).expect("there")
        };
        for row in 0..before.raw.len() {
            let id = before.raw.id(row);
            let other = place(&again, &id);
            assert_eq!(again.raw.presence(other), before.raw.presence(row), "{id}");
            let name = |opened: &Opened, row| {
                let names = opened.raw.label_names().map(<[String]>::to_vec).unwrap_or_default();
                opened.raw.label(row).map(|label| names[label as usize].clone())
            };
            assert_eq!(name(&again, other), name(&before, row), "{id}");
            for (m, spec) in before.raw.modalities().iter().enumerate() {
                let mut values = [vec![0.0; spec.features()], vec![0.0; spec.features()]];
                before.file_units(row, m, &mut values[0]);
                again.file_units(other, m, &mut values[1]);
                let same = |(a, b): (&f64, &f64)| a == b || a.is_nan() && b.is_nan();
                assert!(values[0].iter().zip(&values[1]).all(same), "{id} {values:?}");
            }
        }
    }

    #[test]
    fn sparse_rows_are_packed_as_sparse_rows() {
        use crate::storage::SparseRows;
        let rows = SparseRows::new(3, vec![0, 1, 2, 4], vec![1, 2, 0, 2], vec![2.0, 7.0, 1.0, 4.0]);
        let spec = ModalitySpec::new("rna", &[3]).expect("valid");
        let data = MemoryDataset::new(vec![(spec.clone(), Storage::Sparse(rows.expect("valid")))]);
        let raw = data.expect("valid").select(&[2, 0]);
        let opened = Opened {
            data: raw.clone(),
            raw,
            origins: Vec::new(),
            empty_rows: Vec::new(),
            report: crate::LoadReport::default(),
        };
        let folder = tempfile::tempdir().expect("a folder");
        let modality = Modality { opened: &opened, m: 0, spec: &spec, rows: &[0, 1] };
        let entry = modality.write(folder.path()).expect("written");
        assert_eq!((entry.file.as_str(), entry.names), ("rna.npz", None));
        let path = folder.path().join("rna.npz");
        let format = crate::read::format::of(&path).expect("known");
        let table = format.block(&path, crate::read::ReadOptions::default()).expect("valid");
        assert!(table.values.is_sparse());
        let mut values = vec![9.0; 6];
        table.values.read(0, &mut values).expect("in memory");
        assert_eq!(values, [1.0, 0.0, 4.0, 0.0, 2.0, 0.0]);
    }

    #[test]
    fn headers_are_those_of_numpy() {
        let bytes = header("<f4", "3, 2");
        assert_eq!((bytes.len() % 64, bytes[bytes.len() - 1]), (0, b'\n'));
        let text = String::from_utf8_lossy(&bytes[10..]).trim_end().to_owned();
        assert_eq!(text, "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2,), }");
        assert!(npy(1, 1).starts_with(b"\x93NUMPY"));
    }
}
