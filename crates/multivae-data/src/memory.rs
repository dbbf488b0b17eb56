//! Rows of which all that is not a value is in memory, and most values are.

use std::{
    collections::{BTreeMap, HashSet},
    ops::Range,
    path::Path,
    sync::Arc,
};

use burn::tensor::{Device, Tensor, TensorData};
use multivae_core::{
    batch::{Batch, Presence, Values},
    dataset::{Dataset, DatasetError},
    distribution::{Likelihood, Support},
    modality::{self, ModalitySpec},
    schema::{Fingerprint, ModalitySchema, Schema},
    subset::Subset,
};
use rayon::prelude::*;

use crate::{
    cells::MissingCells,
    error::{DataError, Result, list},
    fingerprint,
    storage::{self, Draws, Storage},
};

/// Values above which a batch is gathered by several threads: below, waking them costs more.
const PARALLEL: usize = 1 << 18;

/// Rows of several modalities in memory: cheap to clone, and cheap to select rows from, since
/// selections share the values.
#[derive(Clone, Debug)]
pub struct MemoryDataset {
    specs: Arc<[ModalitySpec]>,
    values: Vec<Arc<Storage>>,
    /// Missing values of each modality, by stored row; `None` if nothing is missing.
    missing: Vec<Option<Arc<MissingCells>>>,
    labels: Option<Arc<[Option<i64>]>>,
    label_names: Option<Arc<[String]>>,
    ids: Option<Arc<[String]>>,
    schema: Option<Arc<Schema>>,
    /// Offsets of each modality, by stored row; 0 where it is not observed.
    offsets: Vec<Option<Arc<[f32]>>>,
    /// The stored row of each row.
    rows: Arc<[usize]>,
    /// The observed modalities of each row.
    presence: Arc<[Subset]>,
}

impl MemoryDataset {
    /// Complete rows: each modality with its values, `rows * features` of them.
    ///
    /// # Errors
    ///
    /// [`DataError::Shape`] if the values of a modality are not whole rows, or not as many rows as
    /// those of the first; [`DataError::Core`] if the modalities are invalid.
    pub fn new(modalities: Vec<(ModalitySpec, Storage)>) -> Result<Self> {
        let (specs, values): (Vec<_>, Vec<_>) = modalities.into_iter().unzip();
        modality::check_all(&specs)?;
        let rows = values[0].len() / specs[0].features();
        for (spec, values) in specs.iter().zip(&values) {
            if values.len() != rows * spec.features() {
                return Err(DataError::Shape {
                    modality: spec.name.to_string(),
                    path: "memory".into(),
                    expected: format!("{rows} rows of {} values", spec.features()),
                    found: format!("{} values", values.len()),
                });
            }
        }
        Ok(Self {
            presence: vec![Subset::full(specs.len()); rows].into(),
            missing: vec![None; specs.len()],
            offsets: vec![None; specs.len()],
            specs: specs.into(),
            values: values.into_iter().map(Arc::new).collect(),
            labels: None,
            label_names: None,
            ids: None,
            schema: None,
            rows: (0..rows).collect(),
        })
    }

    /// The same with a class label for each row, in this data set's order.
    ///
    /// # Errors
    ///
    /// [`DataError::RowCounts`].
    pub fn with_labels(self, labels: Vec<i64>) -> Result<Self> {
        self.with_some_labels(labels.into_iter().map(Some).collect())
    }

    /// The same with a class label for some rows, in this data set's order.
    ///
    /// # Errors
    ///
    /// [`DataError::RowCounts`].
    pub fn with_some_labels(mut self, labels: Vec<Option<i64>>) -> Result<Self> {
        self.check_rows("labels", labels.len())?;
        self.labels = Some(self.scatter(labels, None));
        Ok(self)
    }

    /// The same with names of the classes: label `i` is called `names[i]`.
    pub fn with_label_names(mut self, names: Vec<String>) -> Self {
        self.label_names = Some(names.into());
        self
    }

    /// The same with an identifier for each row, in this data set's order.
    ///
    /// # Errors
    ///
    /// [`DataError::RowCounts`], [`DataError::DuplicateId`].
    pub fn with_ids(mut self, ids: Vec<String>) -> Result<Self> {
        self.check_rows("identifiers", ids.len())?;
        let mut seen = HashSet::new();
        if let Some(id) = ids.iter().find(|id| !seen.insert(*id)) {
            return Err(DataError::DuplicateId { path: "memory".into(), id: id.clone() });
        }
        self.ids = Some(self.scatter(ids, String::new()));
        Ok(self)
    }

    /// The same with fewer observed modalities: row `i` observes `presence[i]`.
    ///
    /// # Errors
    ///
    /// [`DataError::RowCounts`]; [`DataError::Config`] if a row would observe what it lacks now.
    pub fn with_presence(mut self, presence: Vec<Subset>) -> Result<Self> {
        self.check_rows("presence", presence.len())?;
        for (row, (new, old)) in presence.iter().zip(self.presence.iter()).enumerate() {
            if new.iter().any(|m| !old.contains(m)) {
                return Err(DataError::Config {
                    field: format!("presence of row {row}"),
                    expected: format!("a part of the modalities {old}"),
                    found: new.to_string(),
                });
            }
        }
        self.presence = presence.into();
        Ok(self)
    }

    /// The same with single missing values: `missing[m]` of modality `m`, by this data set's rows;
    /// `None` where nothing is missing. A row of which all values of a modality are missing lacks
    /// it.
    ///
    /// # Errors
    ///
    /// [`DataError::RowCounts`]; [`DataError::EmptyRows`] if a row is left with nothing.
    pub fn with_missing_cells(mut self, missing: Vec<Option<MissingCells>>) -> Result<Self> {
        if missing.len() != self.specs.len() {
            return Err(DataError::Config {
                field: "missing cells".into(),
                expected: format!("an entry for each of {} modalities", self.specs.len()),
                found: missing.len().to_string(),
            });
        }
        let stored = self.stored();
        for (m, taken) in missing.into_iter().enumerate() {
            let Some(taken) = taken else { continue };
            self.check_rows("missing cells", taken.rows())?;
            let features = self.specs[m].features();
            let mut all = match &self.missing[m] {
                Some(before) => (**before).clone(),
                None => MissingCells::none(stored, features),
            };
            for (row, &place) in self.rows.iter().enumerate() {
                for feature in (0..features).filter(|&feature| taken.is_missing(row, feature)) {
                    all.take(place, feature);
                }
            }
            self.missing[m] = (all.count() > 0).then(|| Arc::new(all));
        }
        let empty = |this: &Self, row: usize, m: usize| {
            let cells = this.missing[m].as_ref();
            let features = this.specs[m].features();
            cells.is_some_and(|cells| cells.missing_in(this.rows[row]) == features)
        };
        let mut presence = Vec::with_capacity(self.len());
        let mut lost = Vec::new();
        for (row, before) in self.presence.iter().enumerate() {
            match Subset::new(before.iter().filter(|&m| !empty(&self, row, m))) {
                Ok(kept) => presence.push(kept),
                Err(_) => lost.push(row),
            }
        }
        if let Some(&first) = lost.first() {
            return Err(DataError::EmptyRows { first: self.id(first), count: lost.len() });
        }
        self.presence = presence.into();
        Ok(self)
    }

    /// The same with the size of each row as the offset of a modality of counts: the logarithm of the
    /// mean of the counts that are observed; of a row without counts that of one count.
    ///
    /// # Errors
    ///
    /// [`DataError::Config`] if there is no such modality, or if it is not one of counts;
    /// [`DataError::Read`].
    pub fn with_library_size(mut self, modality: &str) -> Result<Self> {
        let bad = |expected: String, found: String| DataError::Config {
            field: "library_size".into(),
            expected,
            found,
        };
        let Some(m) = self.specs.iter().position(|spec| spec.name.as_str() == modality) else {
            let names = list(self.specs.iter().map(|spec| spec.name.as_str()));
            return Err(bad(format!("modalities, of {names}"), modality.into()));
        };
        let family = self.specs[m].likelihood.family();
        if !matches!(family.support(), Support::Counts) {
            let found = format!("{modality}, {}", family.name());
            return Err(bad("modalities with a likelihood of counts".into(), found));
        }
        let features = self.specs[m].features();
        let mut offsets = vec![0.0; self.stored()];
        let of_row = |row: usize| {
            let mut values = vec![0.0; features];
            self.values[m].read(self.rows[row] * features, &mut values)?;
            let cells = self.cells(row, m);
            let observed = |feature: usize| cells.as_ref().is_none_or(|cells| cells[feature]);
            let (mut total, mut count) = (0.0, 0);
            for (_, value) in values.iter().enumerate().filter(|(feature, _)| observed(*feature)) {
                total += f64::from(*value);
                count += 1;
            }
            Ok::<_, DataError>((self.rows[row], (total.max(1.0) / f64::from(count)).ln() as f32))
        };
        let observing =
            (0..self.len()).into_par_iter().filter(|&row| self.presence[row].contains(m));
        for (place, offset) in observing.map(of_row).collect::<Result<Vec<_>>>()? {
            offsets[place] = offset;
        }
        self.offsets[m] = Some(offsets.into());
        self.known(m).library_size = true;
        Ok(self)
    }

    /// The same with values of a modality that are probabilities of 0 and 1: what is modelled are draws
    /// of these, once [`MemoryDataset::binarised`].
    ///
    /// # Errors
    ///
    /// [`DataError::Config`] if there is no such modality, or if it has another likelihood than that of
    /// zeros and ones.
    pub(crate) fn with_binarise(mut self, modality: &str) -> Result<Self> {
        let bad = |expected: String, found: String| DataError::Config {
            field: "binarise".into(),
            expected,
            found,
        };
        let Some(m) = self.specs.iter().position(|spec| spec.name.as_str() == modality) else {
            let names = list(self.specs.iter().map(|spec| spec.name.as_str()));
            return Err(bad(format!("modalities, of {names}"), modality.into()));
        };
        let likelihood = &self.specs[m].likelihood;
        if !matches!(likelihood, Likelihood::Bernoulli {}) {
            let found = format!("{modality}, {}", likelihood.family().name());
            return Err(bad("modalities with a bernoulli likelihood".into(), found));
        }
        self.known(m).binarise = true;
        Ok(self)
    }

    /// The same with draws of 0 and 1 in the place of values that are their probabilities, those of an
    /// epoch of a run; epoch 0 for rows that are not learned from.
    pub(crate) fn binarised(mut self, seed: u64, epoch: u64) -> Self {
        for m in 0..self.specs.len() {
            if self.is_binarised(m) {
                let draws = Draws::new(&self.values[m], storage::key(seed, epoch, m));
                self.values[m] = Arc::new(Storage::Draws(draws));
            }
        }
        self
    }

    fn is_binarised(&self, modality: usize) -> bool {
        let name = self.specs[modality].name.as_str();
        let known = self.schema.as_ref().and_then(|schema| schema.modality(name));
        known.is_some_and(|known| known.binarise)
    }

    /// What is known of a modality, to be changed.
    fn known(&mut self, modality: usize) -> &mut ModalitySchema {
        let specs = &self.specs;
        let schema = self.schema.get_or_insert_with(|| Arc::new(Schema::of_specs(specs)));
        let schema = Arc::make_mut(schema);
        let entry = |spec: &ModalitySpec| {
            let known = schema.modality(spec.name.as_str()).cloned();
            known.unwrap_or_else(|| ModalitySchema::new(spec.clone()))
        };
        schema.modalities = specs.iter().map(entry).collect();
        &mut schema.modalities[modality]
    }

    /// The same with other likelihoods of some modalities.
    ///
    /// # Errors
    ///
    /// [`DataError::Core`] for one that cannot be of its modality.
    pub(crate) fn with_likelihoods(mut self, said: &BTreeMap<String, Likelihood>) -> Result<Self> {
        let changed = |spec: &ModalitySpec| match said.get(spec.name.as_str()) {
            Some(likelihood) => spec.clone().with_likelihood(likelihood.clone()),
            None => spec.clone(),
        };
        self.specs = self.specs.iter().map(changed).collect();
        for spec in self.specs.iter() {
            spec.check()?;
        }
        if let Some(schema) = &self.schema {
            let mut schema = Schema::clone(schema);
            schema.modalities.iter_mut().for_each(|known| known.spec = changed(&known.spec));
            self.schema = Some(Arc::new(schema));
        }
        Ok(self)
    }

    /// The same with what is known of the data as it was read.
    pub fn with_schema(mut self, schema: Schema) -> Self {
        self.schema = Some(Arc::new(schema));
        self
    }

    /// Cells of a modality that are missing in rows that observe it, and these rows.
    pub fn missing_cells(&self, modality: usize) -> (usize, usize) {
        let Some(cells) = &self.missing[modality] else { return (0, 0) };
        let name = self.specs[modality].name.as_str();
        let schema = self.schema.as_ref().and_then(|schema| schema.modality(name));
        let table = schema.filter(|known| known.table.is_some()).map(ModalitySchema::cells);
        let observing = (0..self.len()).filter(|&row| self.presence[row].contains(modality));
        let counts = observing.map(|row| match &table {
            Some(table) => {
                let missing = |cell: &&Range<usize>| cells.is_missing(self.rows[row], cell.start);
                table.iter().filter(missing).count()
            }
            None => cells.missing_in(self.rows[row]),
        });
        let some = counts.filter(|&count| count > 0);
        some.fold((0, 0), |(cells, rows), count| (cells + count, rows + 1))
    }

    /// The given rows, in the given order; the values are shared.
    ///
    /// # Panics
    ///
    /// If a row does not exist.
    pub fn select(&self, rows: &[usize]) -> Self {
        Self {
            rows: rows.iter().map(|&row| self.rows[row]).collect(),
            presence: rows.iter().map(|&row| self.presence[row]).collect(),
            ..self.clone()
        }
    }

    /// The rows that observe every modality.
    pub fn complete_cases(&self) -> Self {
        let all = self.specs.len();
        let rows: Vec<_> = (0..self.len()).filter(|&row| self.presence[row].len() == all).collect();
        self.select(&rows)
    }

    /// Names of the classes, where the data names them: label `i` is called `label_names()[i]`.
    pub fn label_names(&self) -> Option<&[String]> {
        self.label_names.as_deref()
    }

    /// The labels of all rows, where there are labels; `None` for a row without one.
    pub fn labels(&self) -> Option<Vec<Option<i64>>> {
        let labels = self.labels.as_deref()?;
        Some(self.rows.iter().map(|&row| labels[row]).collect())
    }

    /// Whether rows have identifiers, and not only numbers.
    pub fn has_ids(&self) -> bool {
        self.ids.is_some()
    }

    /// Place of each row in the data as it was read, from 0.
    pub fn stored_rows(&self) -> &[usize] {
        &self.rows
    }

    /// The values of one modality, `[rows, features]` flattened; 0 where it is missing.
    ///
    /// # Panics
    ///
    /// If there is no such modality, or its file cannot be read any more.
    pub fn values(&self, modality: usize) -> Vec<f32> {
        let rows: Vec<_> = (0..self.len()).collect();
        self.gather(modality, &rows).expect("values can be read")
    }

    /// Values of one modality by stored row, shared between selections.
    pub(crate) fn storage(&self, modality: usize) -> &Arc<Storage> {
        &self.values[modality]
    }

    /// The same rows over other values.
    pub(crate) fn with_storage(mut self, values: Vec<Arc<Storage>>) -> Self {
        debug_assert!(values.iter().zip(&self.values).all(|(a, b)| a.len() == b.len()));
        self.values = values;
        self
    }

    /// The same rows with other values of another shape of a modality.
    pub(crate) fn with_modality(
        mut self,
        modality: usize,
        spec: ModalitySpec,
        values: Storage,
    ) -> Result<Self> {
        debug_assert_eq!(values.len() / spec.features(), self.stored());
        let mut specs = self.specs.to_vec();
        specs[modality] = spec;
        modality::check_all(&specs)?;
        self.specs = specs.into();
        self.values[modality] = Arc::new(values);
        Ok(self)
    }

    /// The text of a row as it was read, if the modality is text and the row has one.
    pub fn text(&self, row: usize, modality: usize) -> Option<&str> {
        let tokens = self.values[modality].tokens()?;
        let there = self.presence[row].contains(modality);
        there.then(|| tokens.texts()[self.rows[row]].as_str())
    }

    /// Values of the given rows; 0 where the modality is missing.
    fn gather(&self, modality: usize, rows: &[usize]) -> Result<Vec<f32>> {
        let features = self.specs[modality].features();
        let storage = &*self.values[modality];
        let missing = self.missing[modality].as_deref();
        let mut out = vec![0.0; rows.len() * features];
        let fill = |(out, &row): (&mut [f32], &usize)| {
            if self.presence[row].contains(modality) {
                storage.read(self.rows[row] * features, out)?;
                if let Some(missing) = missing
                    && missing.missing_in(self.rows[row]) > 0
                {
                    for (feature, out) in out.iter_mut().enumerate() {
                        if missing.is_missing(self.rows[row], feature) {
                            *out = 0.0;
                        }
                    }
                }
            }
            Ok::<_, DataError>(())
        };
        if out.len() < PARALLEL {
            out.chunks_exact_mut(features).zip(rows).try_for_each(fill)?;
        } else {
            // Whole rows to a task, and not so few that handing them out is most of the work.
            out.par_chunks_exact_mut(features)
                .with_min_len((PARALLEL / 8).div_ceil(features))
                .zip(rows)
                .try_for_each(fill)?;
        }
        Ok(out)
    }

    /// 1 where a value of the given rows is observed, `[rows, features]`; `None` if all values of
    /// the rows that observe the modality are.
    fn cell_tensor(&self, modality: usize, rows: &[usize], device: &Device) -> Option<Tensor<2>> {
        let missing = self.missing[modality].as_deref()?;
        let lacks = |&row: &usize| {
            self.presence[row].contains(modality) && missing.missing_in(self.rows[row]) > 0
        };
        if !rows.iter().any(lacks) {
            return None;
        }
        let features = self.specs[modality].features();
        let mut mask = vec![1.0f32; rows.len() * features];
        for (out, row) in mask.chunks_exact_mut(features).zip(rows).filter(|(_, row)| lacks(row)) {
            for (feature, out) in out.iter_mut().enumerate() {
                *out = f32::from(u8::from(!missing.is_missing(self.rows[*row], feature)));
            }
        }
        Some(Tensor::from_data(TensorData::new(mask, [rows.len(), features]), device))
    }

    /// Values given in the order of this data set's rows, put where their rows are stored.
    fn scatter<T: Clone>(&self, values: Vec<T>, filler: T) -> Arc<[T]> {
        let mut out = vec![filler; self.stored()];
        for (&row, value) in self.rows.iter().zip(values) {
            out[row] = value;
        }
        out.into()
    }

    /// How many rows are stored, of which these are a selection.
    fn stored(&self) -> usize {
        self.values[0].len() / self.specs[0].features()
    }

    fn check_rows(&self, what: &str, rows: usize) -> Result<()> {
        if rows == self.len() {
            return Ok(());
        }
        Err(DataError::RowCounts {
            first: Path::new("memory").into(),
            first_rows: self.len(),
            second: Path::new(what).into(),
            second_rows: rows,
        })
    }
}

impl Dataset for MemoryDataset {
    fn modalities(&self) -> &[ModalitySpec] {
        &self.specs
    }

    fn len(&self) -> usize {
        self.rows.len()
    }

    fn batch(&self, rows: &[usize], device: &Device) -> Result<Batch, DatasetError> {
        if let Some(&row) = rows.iter().find(|&&row| row >= self.len()) {
            return Err(DataError::Row { row, rows: self.len() }.into());
        }
        let values = self
            .specs
            .iter()
            .enumerate()
            .map(|(m, spec)| {
                let data = TensorData::new(self.gather(m, rows)?, [rows.len(), spec.features()]);
                Ok(Values::Dense(Tensor::from_data(data, device)))
            })
            .collect::<Result<_>>()?;
        let presence = rows.iter().map(|&row| self.presence[row]).collect();
        let presence = Presence::new(presence, self.specs.len(), device);
        // A batch has labels if all its rows have one.
        let labels = self.labels.as_deref().and_then(|labels| {
            rows.iter().map(|&row| labels[self.rows[row]]).collect::<Option<Vec<i64>>>()
        });
        let mut batch = Batch::new(values, presence)?.with_labels(labels)?;
        if self.offsets.iter().any(Option::is_some) {
            let of = |offsets: &Option<Arc<[f32]>>| {
                let offsets = offsets.as_ref()?;
                let of_rows: Vec<f32> = rows.iter().map(|&row| offsets[self.rows[row]]).collect();
                Some(Tensor::from_floats(of_rows.as_slice(), device))
            };
            batch = batch.with_offsets(self.offsets.iter().map(of).collect())?;
        }
        let cells: Vec<_> =
            (0..self.specs.len()).map(|m| self.cell_tensor(m, rows, device)).collect();
        if cells.iter().all(Option::is_none) { Ok(batch) } else { Ok(batch.with_cells(cells)?) }
    }

    fn in_epoch(&self, seed: u64, epoch: usize) -> Option<Arc<dyn Dataset>> {
        let drawn = (0..self.specs.len()).any(|m| self.is_binarised(m));
        drawn.then(|| Arc::new(self.clone().binarised(seed, epoch as u64)) as Arc<dyn Dataset>)
    }

    fn presence(&self, row: usize) -> Subset {
        self.presence[row]
    }

    fn label(&self, row: usize) -> Option<i64> {
        self.labels.as_deref()?[self.rows[row]]
    }

    fn id(&self, row: usize) -> String {
        let row = self.rows[row];
        self.ids.as_deref().map_or_else(|| row.to_string(), |ids| ids[row].clone())
    }

    fn schema(&self) -> Option<&Schema> {
        self.schema.as_deref()
    }

    fn cells(&self, row: usize, modality: usize) -> Option<Vec<bool>> {
        let missing = self.missing[modality].as_deref()?;
        let stored = self.rows[row];
        if !self.presence[row].contains(modality) || missing.missing_in(stored) == 0 {
            return None;
        }
        let features = self.specs[modality].features();
        Some((0..features).map(|feature| !missing.is_missing(stored, feature)).collect())
    }

    fn precise(&self, row: usize, modality: usize, out: &mut [f64]) -> bool {
        if !self.presence[row].contains(modality) {
            return false;
        }
        // What cannot be read is an error when a batch is asked for.
        if self.values[modality].read_precise(self.rows[row] * out.len(), out).is_err() {
            return false;
        }
        if let Some(observed) = self.cells(row, modality) {
            out.iter_mut().zip(observed).filter(|(_, there)| !there).for_each(|(v, _)| *v = 0.0);
        }
        true
    }

    fn fingerprint(&self) -> Option<Fingerprint> {
        Some(fingerprint::of(self))
    }
}

#[cfg(test)]
mod tests {
    use multivae_core::distribution::likelihood::NegativeBinomial;

    use super::*;

    fn data() -> MemoryDataset {
        let spec = |name, features| ModalitySpec::new(name, &[features]).expect("valid");
        MemoryDataset::new(vec![
            (spec("a", 2), vec![0.0f32, 1.0, 2.0, 3.0, 4.0, 5.0].into()),
            (spec("b", 1), vec![0u8, 51, 255].into()),
        ])
        .and_then(|data| data.with_labels(vec![7, 8, 9]))
        .expect("three rows each")
    }

    fn floats(batch: &Batch, modality: usize) -> Vec<f32> {
        let values = batch.values()[modality].dense().expect("dense").clone();
        values.into_data().try_into_vec().expect("floats")
    }

    #[test]
    fn a_batch_holds_the_rows_asked_for_in_their_order() {
        let batch = data().batch(&[2, 0, 2], &Device::flex()).expect("rows exist");
        assert_eq!(floats(&batch, 0), [4.0, 5.0, 0.0, 1.0, 4.0, 5.0]);
        assert_eq!(floats(&batch, 1), [1.0, 0.0, 1.0]);
        assert_eq!(batch.labels(), Some([9, 7, 9].as_slice()));
        let some = data().with_some_labels(vec![Some(1), None, Some(2)]).expect("three rows");
        assert_eq!((some.label(0), some.label(1)), (Some(1), None));
        let labels = |rows: &[usize]| {
            let batch = some.batch(rows, &Device::flex()).expect("rows exist");
            batch.labels().map(<[i64]>::to_vec)
        };
        assert_eq!((labels(&[2, 0]), labels(&[0, 1])), (Some(vec![2, 1]), None));
    }

    #[test]
    fn a_batch_of_many_rows_equals_its_rows_one_by_one() {
        let features = 300;
        let rows = 2 * PARALLEL / features;
        let values: Vec<f32> = (0..rows * features).map(|i| i as f32).collect();
        let spec = ModalitySpec::new("a", &[features]).expect("valid");
        let data = MemoryDataset::new(vec![(spec, values.into())]).expect("whole rows");
        let order: Vec<_> = (0..rows).rev().collect();
        let batch = data.batch(&order, &Device::flex()).expect("rows exist");
        let found = floats(&batch, 0);
        for (i, &row) in order.iter().enumerate() {
            assert_eq!(found[i * features], (row * features) as f32);
            assert_eq!(found[(i + 1) * features - 1], ((row + 1) * features - 1) as f32);
        }
    }

    #[test]
    fn missing_values_are_read_as_zero() {
        let presence = vec![Subset::full(2), Subset::single(0), Subset::single(1)];
        let data = data().with_presence(presence.clone()).expect("a part");
        let batch = data.batch(&[0, 1, 2], &Device::flex()).expect("rows exist");
        assert_eq!(floats(&batch, 0), [0.0, 1.0, 2.0, 3.0, 0.0, 0.0]);
        assert_eq!(floats(&batch, 1), [0.0, 0.0, 1.0]);
        assert_eq!(batch.presence().rows(), presence);
        assert_eq!(data.incomplete_rows(), 2);
        assert_eq!(data.complete_cases().stored_rows(), [0]);
    }

    #[test]
    fn single_missing_values_are_read_as_zero_and_a_row_of_them_lacks_the_modality() {
        let of = |flags: &[bool]| MissingCells::from_flags(2, flags.to_vec()).expect("some");
        let cells = of(&[false, true, true, true, false, false]);
        let data = data().with_missing_cells(vec![Some(cells), None]).expect("rows keep `b`");
        assert_eq!(data.values(0), [0.0, 0.0, 0.0, 0.0, 4.0, 5.0]);
        assert_eq!((data.presence(1), data.missing_cells(0)), (Subset::single(1), (1, 1)));
        assert_eq!(data.cells(0, 0), Some(vec![true, false]));
        assert_eq!((data.cells(1, 0), data.cells(2, 0), data.cells(0, 1)), (None, None, None));
        let batch = data.batch(&[2, 0], &Device::flex()).expect("rows exist");
        let mask = batch.cells(0).expect("a cell is missing").clone().into_data();
        assert_eq!(mask.try_into_vec::<f32>().expect("floats"), [1.0, 1.0, 1.0, 0.0]);
        assert!(batch.cells(1).is_none());
        let batch = data.batch(&[2, 1], &Device::flex()).expect("rows exist");
        assert!(batch.cells(0).is_none(), "a row that lacks the modality needs no cells");
        // More can go missing, of a selection too.
        let selected = data.select(&[2, 0]);
        let more = of(&[true, false, false, false]);
        let more = selected.with_missing_cells(vec![Some(more), None]).expect("a row each");
        assert_eq!(more.values(0), [0.0, 5.0, 0.0, 0.0]);
        let all = of(&[false, false, true, true]);
        let one = MissingCells::from_flags(1, [false, true]);
        let error = more.with_missing_cells(vec![Some(all), one]).expect_err("nothing is left");
        assert!(error.to_string().starts_with("row `0` observes no modality"), "{error}");
    }

    #[test]
    fn values_keep_their_digits_until_a_batch_rounds_them() {
        let spec = ModalitySpec::new("t", &[1]).expect("valid");
        let seconds = vec![1_700_000_000.0, 1_700_000_001.5];
        let storage = Storage::precise(seconds.clone());
        assert_eq!(storage, Storage::Doubles(seconds.clone()));
        let data = MemoryDataset::new(vec![(spec, storage)]).expect("two rows");
        let mut out = [0.0];
        assert!(data.precise(1, 0, &mut out) && out == [seconds[1]]);
        assert_eq!(data.values(0), [1.7e9, 1.7e9]);
        assert_eq!(Storage::precise(vec![0.5, 3.0]), Storage::Floats(vec![0.5, 3.0]));
    }

    #[test]
    fn selections_of_selections_keep_labels_and_numbers_of_the_original_rows() {
        let data = data().select(&[2, 1]).select(&[1]);
        assert_eq!((data.len(), data.label(0), data.id(0)), (1, Some(8), "1".into()));
        assert_eq!(data.values(0), [2.0, 3.0]);
        let named = data.with_ids(vec!["x".into()]).expect("one row");
        assert_eq!(named.id(0), "x");
    }

    #[test]
    fn a_row_that_does_not_exist_is_refused() {
        let error = data().batch(&[3], &Device::flex()).expect_err("three rows");
        assert_eq!(error.to_string(), "row 3 was asked for, the data has 3");
    }

    #[test]
    fn a_modality_that_is_missing_cannot_be_observed_again() {
        let less = data().with_presence(vec![Subset::single(0); 3]).expect("a part");
        let error = less.with_presence(vec![Subset::full(2); 3]).expect_err("more than there is");
        assert!(matches!(error, DataError::Config { .. }), "{error}");
    }

    #[test]
    fn other_numbers_of_rows_are_refused_with_both() {
        let error = data().with_labels(vec![1]).expect_err("three rows");
        assert!(error.to_string().contains("has 3 rows and `labels` has 1"), "{error}");
        let spec = |name| ModalitySpec::new(name, &[2]).expect("valid");
        let error = MemoryDataset::new(vec![
            (spec("a"), vec![0.0f32; 4].into()),
            (spec("b"), vec![0.0f32; 6].into()),
        ])
        .expect_err("2 rows are not 3");
        assert!(error.to_string().contains("modality `b`"), "{error}");
    }

    #[test]
    fn an_identifier_given_twice_is_refused() {
        let ids = ["x", "y", "x"].map(String::from).to_vec();
        let error = data().with_ids(ids).expect_err("twice");
        assert!(matches!(error, DataError::DuplicateId { ref id, .. } if id == "x"), "{error}");
    }

    #[test]
    fn sizes_of_rows_are_offsets_of_counts() {
        let spec = |name: &str| ModalitySpec::new(name, &[2]).expect("valid");
        let counts = spec("rna").with_likelihood(NegativeBinomial::default().into());
        let data = MemoryDataset::new(vec![
            (counts, vec![3.0f32, 5.0, 0.0, 0.0, 0.0, 8.0].into()),
            (spec("b"), vec![0.5f32; 6].into()),
        ])
        .expect("three rows");
        let hidden = MissingCells::from_flags(2, [false, false, false, false, true, false]);
        let data = data.with_missing_cells(vec![hidden, None]).expect("observed elsewhere");
        let data = data.with_library_size("rna").expect("counts").select(&[2, 0, 1]);
        let batch = data.batch(&[0, 1, 2], &Device::flex()).expect("rows exist");
        assert!(batch.offset(1).is_none());
        let offset = batch.offset(0).expect("sizes").clone().into_data();
        let expected = [8.0f32.ln(), 4.0f32.ln(), 0.5f32.ln()];
        assert_eq!(offset.try_into_vec::<f32>().expect("floats"), expected);
        let refused = |name| data.clone().with_library_size(name).expect_err("refused").to_string();
        let found = refused("b");
        assert!(found.ends_with("a likelihood of counts, found `b, normal`"), "{found}");
        let found = refused("c");
        assert!(found.ends_with("expected modalities, of `rna`, `b`, found `c`"), "{found}");
    }

    #[test]
    fn data_sets_can_be_shared_between_threads() {
        fn check<T: Send + Sync + 'static>() {}
        check::<MemoryDataset>();
    }
}
