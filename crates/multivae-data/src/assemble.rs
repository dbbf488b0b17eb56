//! Joining files to rows.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    path::{Path, PathBuf},
};

use multivae_core::{
    dataset::Dataset,
    distribution::{Likelihood, Support},
    modality::{self, ModalitySpec},
    schema::{ImageConversion, LabelSchema, ModalitySchema, Schema},
    subset::Subset,
};
use rayon::prelude::*;
use serde::Deserialize;

use crate::{
    axes,
    cells::MissingCells,
    conform::{EmptyRows, Known},
    error::{DataError, Place, Result, list},
    fingerprint,
    join::{self, Named, Unmatched},
    memory::MemoryDataset,
    mixed,
    origin::Origin,
    read::{
        self, Candidate, Ids, LabelFile, Labels, ModalityTable, TextTable, name,
        volume::{self, slices},
    },
    reading::MissingCodes,
    report::{IdEvidence, JoinKind, JoinReport, LoadReport, ModalityReport, Warning},
    split::SplitIndices,
    storage::Storage,
    suspicious,
    text::{self, TextOptions},
};

/// The file of one modality, and what is said about it.
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) block: ModalityTable,
    pub(crate) shape: Option<Vec<usize>>,
    pub(crate) likelihood: Option<Likelihood>,
    /// Codes that say that nothing was measured, beside the usual ones.
    pub(crate) missing: MissingCodes,
    /// What its images were made to be.
    pub(crate) images: ImageConversion,
    /// Kinds of columns, as they are said.
    pub(crate) said: BTreeMap<String, mixed::Said>,
    /// What is said of its text, if it is text.
    pub(crate) text: Option<TextOptions>,
    /// Whether it comes from the memory of a program and not from a file.
    pub(crate) held: bool,
}

impl Source {
    /// A file about which nothing is said by name.
    pub(crate) fn plain(
        name: String,
        block: ModalityTable,
        missing: MissingCodes,
        images: ImageConversion,
    ) -> Self {
        let said = BTreeMap::new();
        let (shape, likelihood, text, held) = (None, None, None, false);
        Self { name, block, shape, likelihood, missing, images, said, text, held }
    }
}

impl Source {
    /// A modality of texts, whose vocabulary is not known yet.
    pub(crate) fn text(name: String, block: ModalityTable) -> Self {
        let plain = Self::plain(name, block, MissingCodes::default(), ImageConversion::default());
        Self { likelihood: Some(Likelihood::Categorical {}), ..plain }
    }
}

/// Which split a row is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Part {
    Train,
    Valid,
    Test,
}

/// A row in a list of rows.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(untagged)]
pub(crate) enum RowName {
    Number(usize),
    Id(String),
}

/// Splits that the data itself gives.
pub(crate) enum Fixed {
    Lists { path: PathBuf, train: Vec<RowName>, valid: Vec<RowName>, test: Vec<RowName> },
    Table(TextTable),
}

/// A column of splits, with the identifiers of its rows.
enum Assigned {
    Lists { path: PathBuf, train: Vec<RowName>, valid: Vec<RowName>, test: Vec<RowName> },
    Column { path: PathBuf, ids: Option<Vec<String>>, parts: Vec<Part> },
}

/// All files of a data set.
pub(crate) struct Files {
    pub(crate) sources: Vec<Source>,
    pub(crate) labels: Option<LabelFile>,
    /// Codes that say that a row has no label, beside the usual ones.
    pub(crate) label_codes: MissingCodes,
    pub(crate) splits: Option<Fixed>,
    pub(crate) notes: Vec<Warning>,
    /// Identifiers of all rows in their order, where the data has one of its own.
    pub(crate) rows: Option<Vec<String>>,
}

/// Rows, and their splits where these are fixed.
pub(crate) struct Assembled {
    pub(crate) data: MemoryDataset,
    pub(crate) parts: Option<SplitIndices>,
    pub(crate) report: LoadReport,
    /// Where each modality was read from.
    pub(crate) origins: Vec<Origin>,
    /// Identifiers of rows that were left out, since they observe nothing.
    pub(crate) empty_rows: Vec<String>,
}

/// A file as far as joining is concerned.
struct Side<'a> {
    path: &'a Path,
    rows: usize,
    ids: Option<&'a [String]>,
}

/// How rows are found in files.
enum Join {
    /// Row `i` is row `i` of every file.
    Place { rows: usize, ids: Option<Vec<String>> },
    /// Row `i` has identifier `i`; if rows are slices of volumes, what a file has of their subject
    /// is of all of them.
    Ids { ids: Vec<String>, sliced: bool },
}

impl Files {
    /// Joins the files; as data of which everything is known, if `known` says so.
    pub(crate) fn join(self, known: Option<&Known>) -> Result<Assembled> {
        let Self { mut sources, labels, label_codes, splits, notes, rows } = self;
        let mut warnings = notes;
        if let Some(known) = known {
            for source in &mut sources {
                known.prefer(&source.name, &mut source.block)?;
            }
        }
        let chosen = identify(&mut sources, labels, splits, known)?;
        let Identified { labels, label_ids, splits, mut notes } = chosen;
        warnings.append(&mut notes);
        for source in &mut sources {
            warnings.extend(text::take_asked(source, known.map(|known| known.schema))?);
        }
        for source in &mut sources {
            warnings.append(&mut source.block.notes);
            source.block.take_codes(source.missing.numbers())?;
        }
        for source in sources.iter_mut().filter(|source| !source.block.is_text()) {
            match known {
                Some(known) => warnings.extend(known.conform(source)?),
                None => {
                    axes::check(source)?;
                    warnings.extend(mixed::infer(source)?);
                }
            }
        }
        let sliced = sources.iter().any(|source| source.images.slices.is_some());
        let join = {
            let of_labels = labels.as_ref().map(|(labels, _)| Side {
                path: &labels.path,
                rows: labels.values.len(),
                ids: label_ids.as_ref().map(|ids| &ids.ids[..]),
            });
            let of_splits = splits.as_ref().and_then(|splits| match splits {
                Assigned::Column { path, ids, parts } => {
                    Some(Side { path, rows: parts.len(), ids: ids.as_deref() })
                }
                Assigned::Lists { .. } => None,
            });
            let of_sources: Vec<_> = sources.iter().map(|source| source.block.side()).collect();
            Join::of(&of_sources, of_labels.into_iter().chain(of_splits).collect(), rows, sliced)?
        };
        let mut report = LoadReport { rows: join.rows(), ..Default::default() };
        report.join = join.evidence(&sources);
        if matches!(join, Join::Ids { .. }) {
            warnings.extend(check_overlaps(&sources, sliced)?);
        } else if sources.len() > 1 {
            warnings.extend(by_place(&sources));
        }
        let scans: Vec<_> = sources
            .iter()
            .filter_map(|source| Some((&*source.name, volume::scans(&source.block.path)?)))
            .collect();
        warnings.extend(volume::check_between(&scans, sliced)?);
        if let Some((labels, _)) = &labels
            && label_ids.is_none()
            && sources.iter().any(|source| source.block.ids.is_some())
        {
            warnings.push(Warning::new(
                name(&labels.path),
                "its labels are matched to rows by their place, since it has no identifiers",
                "add the identifiers of the rows to it",
            ));
        }
        let specs: Vec<_> = sources.iter().map(spec).collect::<Result<_>>()?;
        modality::check_all(&specs)?;
        let mut modalities = Vec::new();
        let mut missing = Vec::new();
        let mut origins = Vec::new();
        let mut schema = Schema::of_specs(&specs);
        schema.id = sources.iter().find_map(|source| source.block.ids.as_ref()?.column.clone());
        let mut presence = vec![0u64; join.rows()];
        for (m, (source, spec)) in sources.into_iter().zip(specs).enumerate() {
            let Source { name, block, missing: codes, images, .. } = source;
            let places = join.places(block.ids.as_ref().map(|ids| &ids.ids[..]));
            let features = spec.features();
            warnings.extend(suspicious::warnings(&name, &spec, &block, known.is_some())?);
            let entry = &mut schema.modalities[m];
            *entry = ModalitySchema {
                spec: spec.clone(),
                columns: block.columns.clone().filter(|columns| columns.len() == features),
                dtype: block.dtype,
                scale: block.scale,
                range: if block.table.is_none() { block.range()? } else { None },
                table: block.table.clone(),
                missing_codes: codes.codes().to_vec(),
                images,
                library_size: false,
                binarise: false,
                text: None,
            };
            let mut found = ModalityReport { modality: name, ..Default::default() };
            let width = block.width();
            for (row, presence) in presence.iter_mut().enumerate() {
                let place = places.as_ref().map_or(Some(row), |places| places[row]);
                let lacking = place.map(|place| block.missing_in(place));
                match lacking {
                    None => found.absent += 1,
                    Some(lacking) if lacking == width => found.not_a_number += 1,
                    Some(lacking) => {
                        found.observed += 1;
                        found.partial += usize::from(lacking > 0);
                        found.missing_cells += lacking;
                        *presence |= 1 << m;
                    }
                }
            }
            origins.push(Origin {
                path: block.path,
                rows: places.clone().unwrap_or_else(|| (0..join.rows()).map(Some).collect()),
                file_rows: block.rows,
                layout: block.layout,
            });
            let (values, cells) = match places {
                Some(places) => (
                    block.values.gather(&places, features),
                    block.missing.and_then(|cells| cells.gather(&places)),
                ),
                None => (block.values, block.missing),
            };
            // Rows that lack the modality altogether need no cells.
            missing.push(cells.filter(|_| found.missing_cells > 0));
            modalities.push((spec, values));
            report.modalities.push(found);
        }
        let (kept, empty): (Vec<usize>, Vec<usize>) =
            (0..presence.len()).partition(|&row| presence[row] != 0);
        let refuse = known.is_none_or(|known| known.lacking.empty_rows == EmptyRows::Refuse);
        if let Some(&first) = empty.first()
            && (refuse || empty.len() == presence.len())
        {
            return Err(DataError::EmptyRows { first: join.name(first), count: empty.len() });
        }
        // Until they are left out they pass for rows of the first modality.
        for &row in &empty {
            presence[row] = 1;
            if let Some(cells) = &mut missing[0] {
                let features = modalities[0].0.features();
                (0..features).for_each(|feature| cells.give_back(row, feature));
            }
        }
        let empty_rows: Vec<_> = empty.iter().map(|&row| join.name(row)).collect();
        let presence: Vec<Subset> = presence
            .into_iter()
            .map(|bits| Subset::new((0..64).filter(|m| bits >> m & 1 == 1)))
            .collect::<Result<_, _>>()?;
        report.join.with_several = presence.iter().filter(|row| row.len() > 1).count();
        report.join.complete = presence.iter().filter(|row| row.len() == modalities.len()).count();
        let mut data =
            MemoryDataset::new(modalities)?.with_presence(presence)?.with_missing_cells(missing)?;
        if let Some((labels, column)) = labels {
            let ids = label_ids.as_ref().map(|ids| &ids.ids[..]);
            let (values, unused) = join.labels(&labels, ids);
            report.unused_labels = unused;
            if values.iter().all(Option::is_none) {
                if let (Some(ids), Join::Ids { ids: rows, .. }) = (ids, &join) {
                    let side = |file: &Path, ids| Named { file: name(file), ids, columns: None };
                    let own = report.join.files.first().map_or("data", |file| file.file.as_str());
                    let (own, labels) = (Path::new(own), labels.path.clone());
                    return Err(no_common(&labels, own, &side(&labels, ids), &side(own, rows)));
                }
                warnings.push(Warning::new(
                    name(&labels.path),
                    "no row has a label",
                    "remove the file, or name the column of labels in a manifest",
                ));
            } else {
                report.unlabelled = values.iter().filter(|label| label.is_none()).count();
                schema.labels = Some(LabelSchema {
                    column,
                    names: labels.names.clone(),
                    missing_codes: label_codes.codes().to_vec(),
                });
                data = data.with_some_labels(values)?;
                if let Some(names) = labels.names {
                    data = data.with_label_names(names);
                }
            }
            if unused > 0 {
                let found = format!("{unused} labels are of rows that no modality has");
                warnings.push(Warning::note("labels", found));
            }
        }
        let (parts, left) = match splits {
            Some(splits) => {
                let (parts, left) = join.parts(splits)?;
                (Some(parts), left)
            }
            None => (None, 0),
        };
        if left > 0 {
            let found = format!("{left} rows are in no split and are left out");
            warnings.push(Warning::new("splits", found, "add them to a split if they are wanted"));
        }
        if let Some(ids) = join.into_ids() {
            data = data.with_ids(ids)?;
        }
        let mut data = data.with_schema(schema);
        warnings.extend(parts.as_ref().and_then(|parts| divided(&data, parts)));
        if !empty_rows.is_empty() {
            data = data.select(&kept);
            origins = origins.into_iter().map(|origin| origin.select(&kept)).collect();
        }
        check_values(&data)?;
        report.warnings = warnings;
        report.fingerprint = fingerprint::of(&data);
        report.log();
        Ok(Assembled { data, parts, report, origins, empty_rows })
    }
}

/// Labels and splits with the identifiers of their rows.
struct Identified {
    /// The labels, and the column that they stood in.
    labels: Option<(Labels, Option<String>)>,
    label_ids: Option<Ids>,
    splits: Option<Assigned>,
    /// What is unusual about these files.
    notes: Vec<Warning>,
}

/// Finds the identifiers of all files and takes them out of the values.
fn identify(
    sources: &mut [Source],
    labels: Option<LabelFile>,
    splits: Option<Fixed>,
    known: Option<&Known>,
) -> Result<Identified> {
    let of_labels = match &labels {
        Some(LabelFile::Table(table)) => Some(table.candidates()),
        _ => None,
    };
    let of_splits = match &splits {
        Some(Fixed::Table(table)) => Some(table.candidates()),
        _ => None,
    };
    let choices = {
        let mut files: Vec<Unmatched> = sources
            .iter()
            .map(|Source { block, .. }| Unmatched {
                path: &block.path,
                fixed: block.ids.as_ref(),
                candidates: &block.candidates,
                spare: block.shape.iter().product::<usize>() > 1,
                words: true,
            })
            .collect();
        let tables = [
            (labels.as_ref().map(LabelFile::path), of_labels.as_ref()),
            (splits.as_ref().and_then(Fixed::table), of_splits.as_ref()),
        ];
        for (path, candidates) in tables {
            if let (Some(path), Some(candidates)) = (path, candidates) {
                let spare = true;
                files.push(Unmatched { path, fixed: None, candidates, spare, words: false });
            }
        }
        join::choose(&files)?
    };
    let mut choices = choices.into_iter();
    for source in sources.iter_mut() {
        let choice = choices.next().flatten();
        source.block.take_ids(choice)?;
    }
    let names = known.and_then(|known| known.class_names());
    let mut label_ids = None;
    let mut notes = Vec::new();
    let labels = match labels {
        None => None,
        Some(LabelFile::Values(labels)) => {
            if let (Some(names), Some(found)) = (names, &labels.names) {
                notes.extend(unknown_classes(&labels.path, found, names));
            }
            Some((known_classes(labels, names)?, None))
        }
        Some(LabelFile::Table(mut table)) => {
            notes.append(&mut table.notes);
            let ids = table.chosen(choices.next().flatten(), of_labels);
            let column = table.wanted(ids.as_ref())?;
            let (title, cells) = &table.columns[column];
            let (values, found) = match names {
                Some(names) => {
                    notes.extend(unknown_classes(&table.path, cells, names));
                    (read::in_classes(cells, names), Some(names.to_vec()))
                }
                None => read::classes(cells),
            };
            let title = table.named.then(|| title.clone());
            label_ids = ids;
            Some((Labels { path: table.path, values, names: found }, title))
        }
    };
    let splits = match splits {
        None => None,
        Some(Fixed::Lists { path, train, valid, test }) => {
            Some(Assigned::Lists { path, train, valid, test })
        }
        Some(Fixed::Table(mut table)) => {
            notes.append(&mut table.notes);
            let ids = table.chosen(choices.next().flatten(), of_splits);
            let column = table.wanted(ids.as_ref())?;
            let parts = table.parts(column)?;
            Some(Assigned::Column { path: table.path, ids: ids.map(|ids| ids.ids), parts })
        }
    };
    Ok(Identified { labels, label_ids, splits, notes })
}

/// Says which classes the training does not have.
fn unknown_classes(path: &Path, cells: &[String], names: &[String]) -> Option<Warning> {
    let unknown = |cell: &&String| !names.contains(cell) && !read::number::is_unlabelled(cell);
    let mut found: Vec<_> = cells.iter().filter(unknown).collect();
    found.sort();
    found.dedup();
    (!found.is_empty()).then(|| {
        Warning::new(
            name(path),
            format!("the training has no classes {}: their rows have no label", list(found)),
            "write classes as in the data of the training",
        )
    })
}

/// Labels of an array by the names of known classes.
fn known_classes(labels: Labels, names: Option<&[String]>) -> Result<Labels> {
    let (Some(names), Some(found)) = (names, &labels.names) else { return Ok(labels) };
    let class = |label: i64| -> Option<i64> {
        let word = found.get(usize::try_from(label).ok()?)?;
        Some(names.iter().position(|name| name == word)? as i64)
    };
    let values = labels.values.iter().map(|label| label.and_then(class)).collect();
    Ok(Labels { path: labels.path, values, names: Some(names.to_vec()) })
}

impl LabelFile {
    fn path(&self) -> &Path {
        match self {
            Self::Values(labels) => &labels.path,
            Self::Table(table) => &table.path,
        }
    }
}

impl Fixed {
    fn table(&self) -> Option<&Path> {
        match self {
            Self::Table(table) => Some(&table.path),
            Self::Lists { .. } => None,
        }
    }
}

impl TextTable {
    /// The columns that can hold identifiers: all their cells differ.
    fn candidates(&self) -> Vec<Candidate> {
        let mut candidates = Vec::new();
        for (place, (column, cells)) in self.columns.iter().enumerate() {
            let certain = self.id == Some(place);
            let mut seen = HashSet::new();
            let different = cells.iter().all(|cell| !cell.is_empty() && seen.insert(cell));
            if self.columns.len() == 1 || self.wanted == Some(place) || !(certain || different) {
                continue;
            }
            let words = cells.iter().position(|cell| cell.parse::<f64>().is_err());
            candidates.push(Candidate {
                column: column.clone(),
                named: self.named,
                usual: read::usual_id(column),
                certain,
                feature: None,
                bad: words.map(|row| (self.places[row], cells[row].clone(), "a number")),
                ids: cells.clone(),
            });
        }
        candidates
    }

    fn chosen(
        &self,
        choice: Option<join::Choice>,
        candidates: Option<Vec<Candidate>>,
    ) -> Option<Ids> {
        let (choice, mut candidates) = (choice?, candidates?);
        let Candidate { column, ids, .. } = candidates.swap_remove(choice.candidate);
        Some(Ids { column: Some(column), reason: choice.reason, ids })
    }

    /// The column that was asked for, or the only one besides the identifiers.
    fn wanted(&self, ids: Option<&Ids>) -> Result<usize> {
        if let Some(wanted) = self.wanted {
            return Ok(wanted);
        }
        let id = ids.and_then(|ids| ids.column.as_ref());
        let others: Vec<_> =
            (0..self.columns.len()).filter(|&c| Some(&self.columns[c].0) != id).collect();
        match others[..] {
            [column] => Ok(column),
            _ => {
                let found = list(others.iter().map(|&column| &self.columns[column].0));
                let found = if others.is_empty() { "none".into() } else { found };
                Err(DataError::AmbiguousColumn { path: self.path.clone(), found })
            }
        }
    }

    /// A column of splits.
    fn parts(&self, column: usize) -> Result<Vec<Part>> {
        let (title, cells) = &self.columns[column];
        let part = |(cell, &place): (&String, &Place)| match cell.as_str() {
            "train" => Ok(Part::Train),
            "valid" => Ok(Part::Valid),
            "test" => Ok(Part::Test),
            _ => Err(DataError::Cell {
                path: self.path.clone(),
                place,
                column: title.clone(),
                expected: "`train`, `valid` or `test`",
                found: cell.clone(),
            }),
        };
        cells.iter().zip(&self.places).map(part).collect()
    }
}

impl ModalityTable {
    fn side(&self) -> Side<'_> {
        let ids = self.ids.as_ref().map(|ids| &ids.ids[..]);
        Side { path: &self.path, rows: self.rows, ids }
    }

    fn named(&self) -> Option<Named<'_>> {
        let ids = &self.ids.as_ref()?.ids[..];
        Some(Named { file: name(&self.path), ids, columns: self.columns.as_deref() })
    }

    /// The columns of a row: of a mixed table those that are modelled, else the features.
    fn width(&self) -> usize {
        match &self.table {
            Some(table) => table.iter().filter(|column| column.kind.features() > 0).count(),
            None => self.shape.iter().product(),
        }
    }

    /// How many of them are missing.
    fn missing_in(&self, row: usize) -> usize {
        let Some(cells) = &self.missing else { return 0 };
        match &self.table {
            Some(table) => {
                let modelled = table.iter().filter(|column| column.kind.features() > 0);
                modelled.filter(|column| cells.is_missing(row, column.first)).count()
            }
            None => cells.missing_in(row),
        }
    }

    /// Takes the chosen column of identifiers out of the features.
    fn take_ids(&mut self, choice: Option<join::Choice>) -> Result<()> {
        let candidates = std::mem::take(&mut self.candidates);
        let Some(choice) = choice else { return Ok(()) };
        let Candidate { column, ids, feature, .. } = candidates
            .into_iter()
            .nth(choice.candidate)
            .expect("a choice is one of the candidates");
        if let Some(layout) = &mut self.layout {
            layout.id = layout.names.iter().position(|name| *name == column);
        }
        self.words.retain(|words| words.name != column);
        self.ids = Some(Ids { column: Some(column), reason: choice.reason, ids });
        if let Some(feature) = feature {
            let features: usize = self.shape.iter().product();
            let kept: Vec<_> = (0..features).filter(|&f| f != feature).map(Some).collect();
            self.take_columns(&kept)?;
        }
        Ok(())
    }

    /// The features at `places`, in their order; those without a place are missing.
    pub(crate) fn take_columns(&mut self, places: &[Option<usize>]) -> Result<()> {
        let features: usize = self.shape.iter().product();
        self.values = match &self.values {
            Storage::Sparse(rows) if !rows.is_on_disk() => Storage::Sparse(rows.columns(places)),
            values => {
                let mut taken = vec![0.0; self.rows * places.len()];
                let mut buffer = vec![0.0; features];
                for (row, out) in taken.chunks_exact_mut(places.len().max(1)).enumerate() {
                    values.read_precise(row * features, &mut buffer)?;
                    for (out, place) in out.iter_mut().zip(places) {
                        *out = place.map_or(0.0, |feature| buffer[feature]);
                    }
                }
                Storage::precise(taken)
            }
        };
        let lacking = places.iter().any(Option::is_none);
        self.missing = match &self.missing {
            Some(cells) => cells.columns(places),
            None if lacking => MissingCells::none(self.rows, features).columns(places),
            None => None,
        };
        self.shape = vec![places.len()];
        if let Some(layout) = &mut self.layout {
            let column = |place: &Option<usize>| place.and_then(|f| layout.columns[f]);
            layout.columns = places.iter().map(column).collect();
        }
        self.columns = self.columns.take().map(|columns| {
            places
                .iter()
                .map(|place| place.map_or_else(String::new, |f| columns[f].clone()))
                .collect()
        });
        Ok(())
    }

    /// Makes values missing that equal one of the codes, in the file's units.
    fn take_codes(&mut self, codes: &[f64]) -> Result<()> {
        if codes.is_empty() {
            return Ok(());
        }
        let features: usize = self.shape.iter().product();
        let mut cells = match self.missing.take() {
            Some(cells) => cells,
            None => MissingCells::none(self.rows, features),
        };
        let scale = self.scale;
        let is_code = |value: f64| {
            let value = scale.invert(value);
            codes.iter().any(|&code| value == code || value as f32 == code as f32)
        };
        let seen = |mut seen: Vec<usize>, from: usize, values: &[f64]| {
            seen.extend((from..).zip(values).filter(|(_, v)| is_code(**v)).map(|(place, _)| place));
            seen
        };
        let taken = self.values.fold(Vec::new(), seen, |a, b| [a, b].concat())?;
        taken.iter().for_each(|place| cells.take(place / features, place % features));
        self.values.zero(&taken);
        self.missing = (cells.count() > 0).then_some(cells);
        Ok(())
    }

    /// Least and greatest observed value in the file's units.
    fn range(&self) -> Result<Option<[f64; 2]>> {
        let (low, high) = match &self.missing {
            None => {
                let (low, high, _) = self.values.extent()?;
                (low, high)
            }
            Some(cells) => {
                let features: usize = self.shape.iter().product();
                let there = |place: usize| !cells.is_missing(place / features, place % features);
                let seen = |seen: (f64, f64), from: usize, values: &[f64]| {
                    let observed = (from..).zip(values).filter(|(place, _)| there(*place));
                    observed.fold(seen, |(low, high), (_, &v)| (low.min(v), high.max(v)))
                };
                let none = (f64::INFINITY, f64::NEG_INFINITY);
                self.values.fold(none, seen, |a, b| (a.0.min(b.0), a.1.max(b.1)))?
            }
        };
        Ok((low <= high).then(|| [low, high].map(|value| read::as_in_file(value, self.scale))))
    }
}

/// The error about two files without a common identifier.
fn no_common(first: &Path, second: &Path, a: &Named, b: &Named) -> DataError {
    let example = |ids: &[String]| ids.first().cloned().unwrap_or_default();
    let hint = match join::hint(a, b) {
        Some(hint) => format!(": {hint}"),
        None if first.is_dir() && second.is_dir() => {
            ": each folder of images is a modality; if they are classes of one, put them into one \
             folder"
                .into()
        }
        None => format!(" (`{}` against `{}`)", example(a.ids), example(b.ids)),
    };
    DataError::NoCommonRows { first: first.into(), second: second.into(), hint }
}

/// Refuses files of which no two have a row in common, and warns of those with few.
fn check_overlaps(sources: &[Source], sliced: bool) -> Result<Vec<Warning>> {
    let named: Vec<_> = sources.iter().filter_map(|s| Some((s, s.block.named()?))).collect();
    let of_row = |id: &'_ String| -> String { subject(id, sliced).unwrap_or(id).to_owned() };
    let sets: Vec<HashSet<String>> =
        named.iter().map(|(_, named)| named.ids.iter().map(of_row).collect()).collect();
    let mut any = named.len() < 2;
    let mut warnings = Vec::new();
    let mut joined = vec![named.len() < 2; named.len()];
    for i in 0..named.len() {
        for j in 0..i {
            let common = sets[i].intersection(&sets[j]).count();
            any |= common > 0;
            joined[i] |= common > 0;
            joined[j] |= common > 0;
            let smaller = sets[i].len().min(sets[j].len());
            if common > 0 && 2 * common < smaller {
                let (a, b) = (&named[j].1, &named[i].1);
                let found = format!("only {common} of {smaller} identifiers are in both");
                let remedy = join::hint(a, b).unwrap_or_else(|| {
                    "check that identifiers are written alike in both files".into()
                });
                let subject = format!("`{}` and `{}`", a.file, b.file);
                warnings.push(Warning::new(subject, found, remedy));
            }
        }
    }
    if !any {
        // The pair of which the reason is known, if there is one.
        let pairs = || (0..named.len()).flat_map(|i| (0..i).map(move |j| (j, i)));
        let (j, i) = pairs()
            .find(|&(j, i)| join::hint(&named[j].1, &named[i].1).is_some())
            .unwrap_or((0, 1));
        let path = |i: usize| &named[i].0.block.path;
        return Err(no_common(path(j), path(i), &named[j].1, &named[i].1));
    }
    for ((source, named), _) in named.iter().zip(&joined).filter(|(_, joined)| !**joined) {
        warnings.push(Warning::new(
            format!("modality `{}`", source.name),
            format!("no row of `{}` has another modality", named.file),
            "check that identifiers are written alike in all files",
        ));
    }
    Ok(warnings)
}

/// Says that rows were matched by place.
fn by_place(sources: &[Source]) -> Option<Warning> {
    let without: Vec<_> =
        sources.iter().filter(|s| s.block.ids.is_none()).map(|s| name(&s.block.path)).collect();
    let tables = sources.iter().any(|s| s.block.columns.is_some());
    if sources.iter().all(|source| source.held) {
        // Who gives rows without an index has them in one order.
        let some = sources.iter().any(|source| source.block.ids.is_some());
        return (!without.is_empty() && some).then(|| {
            let found = format!(
                "rows are matched by their place, since {} has no identifiers",
                list(without)
            );
            let remedy =
                "give it as a table with the same index if its rows could be in another order";
            Warning::new("join", found, remedy)
        });
    }
    (!without.is_empty() && tables).then(|| {
        Warning::new(
            "join",
            format!("rows are matched by their place, since {} has no identifiers", list(without)),
            "add a column `id` to every file if their rows could be in another order",
        )
    })
}

/// The subject of a row, if rows are slices of volumes.
fn subject(id: &str, sliced: bool) -> Option<&str> {
    slices::subject(id).filter(|_| sliced)
}

/// Warns of slices of one subject in several parts of a split that the data says.
fn divided(data: &MemoryDataset, parts: &SplitIndices) -> Option<Warning> {
    let subjects = slices::subjects(data)?;
    let mut known: HashMap<usize, &str> = HashMap::new();
    for (part, rows) in parts.named() {
        for &row in rows {
            let before = *known.entry(subjects[row]).or_insert(part);
            if before != part {
                let id = data.id(row);
                let found = format!(
                    "slices of `{}` are in `{before}` and in `{part}`",
                    slices::subject(&id).unwrap_or(&id)
                );
                let remedy = "name subjects, so that all their slices are in one part: measures of \
                              the test split are too good otherwise";
                return Some(Warning::new("splits", found, remedy));
            }
        }
    }
    None
}

impl Join {
    /// By identifiers if all files have them, in the order of `order` and then as they first occur.
    fn of(
        modalities: &[Side],
        others: Vec<Side>,
        order: Option<Vec<String>>,
        sliced: bool,
    ) -> Result<Self> {
        let sides: Vec<_> = modalities.iter().chain(&others).collect();
        let without = sides.iter().find(|side| side.ids.is_none());
        let with: Vec<_> = sides.iter().filter_map(|side| Some((side.path, side.ids?))).collect();
        let Some(without) = without else {
            let all = || modalities.iter().flat_map(|side| side.ids.into_iter().flatten());
            let subjects: HashSet<&str> = all().filter_map(|id| subject(id, sliced)).collect();
            let mut seen = HashSet::new();
            // What is known of a subject is known of its slices, and no row of its own.
            let mut rows: Vec<&String> =
                all().filter(|id| !subjects.contains(id.as_str()) && seen.insert(*id)).collect();
            let order = order.unwrap_or_default();
            if !order.is_empty() {
                let places: HashMap<_, _> = order.iter().zip(0..).collect();
                rows.sort_by_key(|id| places.get(id).copied().unwrap_or(order.len()));
            }
            return Ok(Self::Ids { ids: rows.into_iter().cloned().collect(), sliced });
        };
        // Files without identifiers can stand beside files that all have the same ones.
        if let Some((path, _)) = with.iter().find(|(_, ids)| *ids != with[0].1) {
            return Err(DataError::MixedIds { with: path.into(), without: without.path.into() });
        }
        let first = sides[0];
        if let Some(other) = sides.iter().find(|side| side.rows != first.rows) {
            return Err(DataError::RowCounts {
                first: first.path.into(),
                first_rows: first.rows,
                second: other.path.into(),
                second_rows: other.rows,
            });
        }
        Ok(Self::Place { rows: first.rows, ids: with.first().map(|(_, ids)| ids.to_vec()) })
    }

    fn evidence(&self, sources: &[Source]) -> JoinReport {
        let one = |source: &Source| match &source.block.ids {
            Some(ids) => IdEvidence {
                file: name(&source.block.path),
                column: ids.column.clone(),
                reason: ids.reason.clone(),
            },
            None => IdEvidence {
                file: name(&source.block.path),
                column: None,
                reason: "it has no identifiers".into(),
            },
        };
        let kind = match self {
            Self::Place { .. } => JoinKind::Place,
            Self::Ids { .. } => JoinKind::Identifiers,
        };
        JoinReport { kind, files: sources.iter().map(one).collect(), ..Default::default() }
    }

    fn rows(&self) -> usize {
        match self {
            Self::Place { rows, .. } => *rows,
            Self::Ids { ids, .. } => ids.len(),
        }
    }

    fn name(&self, row: usize) -> String {
        match self {
            Self::Place { ids: None, .. } => row.to_string(),
            Self::Place { ids: Some(ids), .. } | Self::Ids { ids, .. } => ids[row].clone(),
        }
    }

    fn into_ids(self) -> Option<Vec<String>> {
        match self {
            Self::Place { ids, .. } => ids,
            Self::Ids { ids, .. } => Some(ids),
        }
    }

    /// Where each row is in a file, or `None` if row `i` is row `i`.
    fn places(&self, ids: Option<&[String]>) -> Option<Vec<Option<usize>>> {
        match (self, ids) {
            (Self::Ids { ids: rows, sliced }, Some(ids)) if rows != ids => {
                let places: HashMap<&str, usize> =
                    ids.iter().enumerate().map(|(i, id)| (id.as_str(), i)).collect();
                let of_subject = |id: &str| places.get(subject(id, *sliced)?).copied();
                let place =
                    |id: &String| places.get(id.as_str()).copied().or_else(|| of_subject(id));
                Some(rows.iter().map(place).collect())
            }
            _ => None,
        }
    }

    /// The label of each row that has one, and how many labels are of other rows.
    fn labels(&self, labels: &Labels, ids: Option<&[String]>) -> (Vec<Option<i64>>, usize) {
        let Some(places) = self.places(ids) else { return (labels.values.clone(), 0) };
        let used = places.iter().flatten().collect::<HashSet<_>>().len();
        let label = |place: Option<usize>| place.and_then(|place| labels.values[place]);
        (places.into_iter().map(label).collect(), labels.values.len() - used)
    }

    /// The rows of each split, and how many rows are in none.
    fn parts(&self, fixed: Assigned) -> Result<(SplitIndices, usize)> {
        let (path, parts) = match fixed {
            Assigned::Column { path, ids, parts } => {
                let places = self.places(ids.as_deref());
                let mut out = SplitIndices::default();
                for row in 0..self.rows() {
                    match places.as_ref().map_or(Some(row), |p| p[row]).map(|place| parts[place]) {
                        Some(Part::Train) => out.train.push(row),
                        Some(Part::Valid) => out.valid.push(row),
                        Some(Part::Test) => out.test.push(row),
                        None => {}
                    }
                }
                (path, out)
            }
            Assigned::Lists { path, train, valid, test } => {
                let mut seen = HashSet::new();
                let known = self.rows_by_id();
                let mut rows = |field: &str, names: Vec<RowName>| -> Result<Vec<usize>> {
                    let mut rows = Vec::new();
                    for name in names {
                        rows.extend(self.named(&path, field, &known, name, &mut seen)?);
                    }
                    Ok(rows)
                };
                let parts = SplitIndices {
                    train: rows("train", train)?,
                    valid: rows("valid", valid)?,
                    test: rows("test", test)?,
                };
                (path, parts)
            }
        };
        if parts.train.is_empty() {
            let reason = format!("`{}` puts none there", path.display());
            return Err(DataError::NoRows { reason });
        }
        let used: usize = parts.named().iter().map(|(_, rows)| rows.len()).sum();
        Ok((parts, self.rows() - used))
    }

    /// The numbers of the row of each identifier, and of the slices of each subject.
    fn rows_by_id(&self) -> HashMap<&str, Vec<usize>> {
        let (ids, sliced) = match self {
            Self::Place { ids, .. } => (ids.as_deref().unwrap_or_default(), false),
            Self::Ids { ids, sliced } => (&ids[..], *sliced),
        };
        let mut rows: HashMap<&str, Vec<usize>> = HashMap::with_capacity(ids.len());
        for (row, id) in ids.iter().enumerate() {
            rows.entry(id).or_default().push(row);
            if let Some(subject) = subject(id, sliced).filter(|subject| *subject != id.as_str()) {
                rows.entry(subject).or_default().push(row);
            }
        }
        rows
    }

    /// The numbers of the row that is named in a list, or of the slices of a subject.
    fn named(
        &self,
        path: &Path,
        field: &str,
        known: &HashMap<&str, Vec<usize>>,
        name: RowName,
        seen: &mut HashSet<usize>,
    ) -> Result<Vec<usize>> {
        let bad = |expected: &str, found: String| DataError::Manifest {
            path: path.into(),
            line: String::new(),
            reason: format!("`splits.{field}`: expected {expected}, found `{found}`"),
        };
        let rows = match &name {
            RowName::Number(row) if *row < self.rows() => vec![*row],
            RowName::Number(row) => {
                return Err(bad(&format!("rows below {}", self.rows()), row.to_string()));
            }
            RowName::Id(id) => match known.get(id.as_str()) {
                Some(rows) => rows.clone(),
                None => return Err(bad("identifiers of rows", id.clone())),
            },
        };
        match rows.iter().find(|&&row| !seen.insert(row)) {
            None => Ok(rows),
            Some(&row) => Err(bad("each row once", self.name(row))),
        }
    }
}

/// The modality of a file.
fn spec(source: &Source) -> Result<ModalitySpec> {
    let ModalityTable { path, shape, values, .. } = &source.block;
    let features: usize = shape.iter().product();
    let shape = match &source.shape {
        Some(said) if said.iter().product::<usize>() != features => {
            return Err(DataError::Shape {
                modality: source.name.clone(),
                path: path.clone(),
                expected: format!("{said:?} = {} values per row", said.iter().product::<usize>()),
                found: format!("{shape:?} = {features}"),
            });
        }
        Some(said) => said,
        None => shape,
    };
    let likelihood = match &source.likelihood {
        Some(likelihood) => likelihood.clone(),
        None => likelihood(shape, values)?,
    };
    let spec = ModalitySpec::new(&source.name, shape)?.with_likelihood(likelihood);
    spec.check()?;
    Ok(spec)
}

/// The likelihood of values that nothing is said about: Bernoulli if all are 0 or 1; for images in
/// `[0, 1]` Laplace of scale 0.75, which the field uses for PolyMNIST; else unit normal.
fn likelihood(shape: &[usize], values: &Storage) -> Result<Likelihood> {
    let (low, high, whole) = values.extent()?;
    let unit = low >= 0.0 && high <= 1.0;
    Ok(match (unit && whole, shape.len() == 3 && unit) {
        (true, _) => Likelihood::Bernoulli {},
        (false, true) => Likelihood::laplace(0.75),
        (false, false) => Likelihood::normal(1.0),
    })
}

/// Checks that the values are such as their likelihood takes.
pub(crate) fn check_values(data: &MemoryDataset) -> Result<()> {
    for (m, spec) in data.modalities().iter().enumerate() {
        let family = spec.likelihood.family();
        let mixed = matches!(spec.likelihood, Likelihood::Mixed(_));
        if data.storage(m).tokens().is_some() {
            continue;
        }
        if matches!(family.support(), Support::Real) && !mixed {
            continue;
        }
        let outside = |buffer: &mut Vec<f32>, row: usize| -> Result<()> {
            if !data.presence(row).contains(m) {
                return Ok(());
            }
            data.storage(m).read(data.stored_rows()[row] * spec.features(), buffer)?;
            let cells = data.cells(row, m);
            let observed = |column: usize| cells.as_ref().is_none_or(|cells| cells[column]);
            let Some((column, support)) = family.first_outside(buffer, &spec.shape, &observed)
            else {
                return Ok(());
            };
            let (modality, row) = (spec.name.to_string(), data.id(row));
            let expected = format!("{support} for a {} likelihood", family.name());
            let known = data.schema().and_then(|schema| schema.modality(&modality));
            let found = match known.and_then(|known| known.columns.as_ref()) {
                Some(names) => format!("{}` in column `{}", buffer[column], names[column]),
                None => buffer[column].to_string(),
            };
            Err(DataError::Value { modality, row, expected, found })
        };
        let first = (0..data.len())
            .into_par_iter()
            .with_min_len(64)
            .map_init(|| vec![0.0; spec.features()], outside)
            .find_first(Result::is_err);
        if let Some(error) = first {
            return error;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use multivae_core::schema::Dtype;

    use super::*;

    fn block(name: &str, ids: Option<&[&str]>, values: Vec<f32>) -> Source {
        let ids = ids.map(|ids| Ids {
            column: Some("id".into()),
            reason: "said".into(),
            ids: ids.iter().map(|id| (*id).to_owned()).collect(),
        });
        let array = read::Array {
            name: name.into(),
            shape: vec![values.len()],
            dtype: Dtype::F32,
            numbers: read::Numbers::Floats(values),
        };
        let block = array.block(Path::new(name)).expect("valid");
        Source::plain(
            name.into(),
            ModalityTable { ids, ..block },
            MissingCodes::default(),
            ImageConversion::default(),
        )
    }

    fn labels(ids: Option<&[&str]>, values: Vec<i64>) -> LabelFile {
        let cells = values.iter().map(i64::to_string).collect();
        let mut columns = vec![("kind".to_owned(), cells)];
        if let Some(ids) = ids {
            columns.push(("id".into(), ids.iter().map(|id| (*id).to_owned()).collect()));
        }
        LabelFile::Table(TextTable {
            path: "labels".into(),
            id: ids.map(|_| 1),
            places: (2..).take(values.len()).map(Place::Line).collect(),
            columns,
            named: true,
            wanted: None,
            notes: Vec::new(),
        })
    }

    fn join(sources: Vec<Source>, labels: Option<LabelFile>) -> Result<Assembled> {
        let label_codes = MissingCodes::default();
        let (splits, notes, rows) = (None, Vec::new(), None);
        Files { sources, labels, label_codes, splits, notes, rows }.join(None)
    }

    fn message(sources: Vec<Source>, labels: Option<LabelFile>) -> String {
        join(sources, labels).map(|_| ()).expect_err("cannot be joined").to_string()
    }

    #[test]
    fn rows_are_joined_by_their_identifiers_and_what_a_file_lacks_is_missing() {
        let a = block("a", Some(&["x", "y"]), vec![1.5, 2.5]);
        let b = block("b", Some(&["z", "y", "w"]), vec![30.0, 20.0, f32::NAN]);
        let c = block("c", Some(&["w", "z"]), vec![5.0, 6.0]);
        let labels = labels(Some(&["w", "x", "v", "y", "z"]), vec![4, 1, 0, 2, 3]);
        let Assembled { data, report, .. } = join(vec![a, b, c], Some(labels)).expect("joined");
        let ids: Vec<_> = (0..data.len()).map(|row| data.id(row)).collect();
        assert_eq!(ids, ["x", "y", "z", "w"]);
        assert_eq!(data.values(0), [1.5, 2.5, 0.0, 0.0]);
        assert_eq!(data.values(1), [0.0, 20.0, 30.0, 0.0]);
        assert_eq!(data.values(2), [0.0, 0.0, 6.0, 5.0]);
        assert_eq!(data.labels(), Some([1, 2, 3, 4].map(Some).to_vec()));
        assert_eq!((report.rows, report.unused_labels), (4, 1));
        let counts = |m: usize| {
            let ModalityReport { observed, not_a_number, absent, .. } = report.modalities[m];
            (observed, not_a_number, absent)
        };
        assert_eq!([counts(0), counts(1), counts(2)], [(2, 0, 2), (2, 1, 1), (2, 0, 2)]);
    }

    #[test]
    fn files_without_identifiers_are_joined_by_place() {
        let sources = vec![block("a", None, vec![1.5, 2.5]), block("b", None, vec![3.0, 4.0])];
        let data = join(sources, Some(labels(Some(&["x", "y"]), vec![7, 8]))).expect("joined").data;
        assert_eq!((data.id(1), data.label(1)), ("y".into(), Some(8)));
        assert_eq!(data.values(1), [3.0, 4.0]);
    }

    #[test]
    fn files_that_cannot_be_joined_are_refused_with_both() {
        assert_eq!(
            message(vec![block("a", None, vec![1.0]), block("b", None, vec![1.0, 2.0])], None),
            "`a` has 1 rows and `b` has 2; files without an `id` column must have the same rows"
        );
        let sources = || {
            let a = block("a", Some(&["x", "y"]), vec![1.0, 2.0]);
            vec![a, block("b", Some(&["y", "x"]), vec![1.0, 2.0])]
        };
        assert_eq!(
            message(sources(), Some(labels(None, vec![0, 1]))),
            "`b` has identifiers and `labels` has none: rows can only be joined if all files have them"
        );
        let part = join(sources(), Some(labels(Some(&["y", "z"]), vec![0, 1]))).expect("joined");
        assert_eq!(part.data.labels(), Some(vec![None, Some(0)]));
        assert_eq!((part.report.unlabelled, part.report.unused_labels), (1, 1));
        let none = message(sources(), Some(labels(Some(&["y-1", "x-1"]), vec![0, 1])));
        assert!(
            none.ends_with("`y-1` of `labels` is `y` of `a` with a suffix; remove it"),
            "{none}"
        );
        assert_eq!(
            message(vec![block("a", None, vec![1.0, 2.0])], Some(labels(None, vec![0]))),
            "`a` has 2 rows and `labels` has 1; files without an `id` column must have the same rows"
        );
    }

    #[test]
    fn rows_that_observe_nothing_are_refused_by_the_first_and_their_number() {
        let nan = f32::NAN;
        let a = || block("a", Some(&["x", "y", "z"]), vec![1.0, nan, nan]);
        assert_eq!(message(vec![a()], None), "row `y` observes no modality; there are 2 such rows");
        let b = block("b", Some(&["z", "x"]), vec![3.0, nan]);
        assert_eq!(
            message(vec![a(), b], None),
            "row `y` observes no modality; there are 1 such rows"
        );
    }

    #[test]
    fn likelihoods_follow_from_shape_and_values() {
        let image = [1, 2, 1];
        for (shape, values, expected) in [
            (&[2][..], vec![0.5, 1.0], Likelihood::normal(1.0)),
            (&[2][..], vec![0.0, 1.0], Likelihood::Bernoulli {}),
            (&image, vec![0.5, 1.0], Likelihood::laplace(0.75)),
            (&image, vec![0.0, 1.0], Likelihood::Bernoulli {}),
            (&image, vec![0.0, 7.0], Likelihood::normal(1.0)),
        ] {
            assert_eq!(likelihood(shape, &Storage::Floats(values)).expect("in memory"), expected);
        }
        assert_eq!(
            likelihood(&image, &vec![0u8, 255].into()).expect("in memory"),
            Likelihood::Bernoulli {}
        );
        assert_eq!(
            likelihood(&image, &vec![0u8, 9].into()).expect("in memory"),
            Likelihood::laplace(0.75)
        );
    }

    #[test]
    fn values_that_a_likelihood_cannot_have_are_refused_by_modality_and_row() {
        let with = |likelihood, values| {
            let source = block("a", Some(&["x", "y"]), values);
            message(vec![Source { likelihood: Some(likelihood), ..source }], None)
        };
        assert_eq!(
            with(Likelihood::Bernoulli {}, vec![0.5, 1.5]),
            "modality `a`, row `y`: expected values from 0 to 1 for a bernoulli likelihood, \
             found `1.5`"
        );
        let mut named = block("a", Some(&["x", "y"]), vec![0.0, 7.0]);
        named.likelihood = Some(Likelihood::Bernoulli {});
        named.block.columns = Some(vec!["smokes".into()]);
        let text = message(vec![named], None);
        assert!(text.ends_with("found `7` in column `smokes`"), "{text}");
        assert_eq!(
            with(Likelihood::Categorical {}, vec![1.0, 0.5]),
            "modality `a`, row `y`: expected values from 0 to 1 whose sum over the last axis is 1 \
             for a categorical likelihood, found `0.5`"
        );
        assert_eq!(
            with(Likelihood::normal(-1.0), vec![1.0, 0.5]),
            "`a.likelihood.scale`: expected a positive number, found -1"
        );
    }
}
