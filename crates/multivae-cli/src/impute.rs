//! `multivae impute`.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use multivae::{
    core::{
        dataset::Dataset,
        distribution::Likelihood,
        modality::ModalitySpec,
        model::MultimodalModel,
        schema::{ColumnKind, Dtype, ModalitySchema, Schema, TableColumn, TextSchema},
    },
    data::{
        EmptyRows, Lacking, Origin, TableText, TextCodec, annotate::is_annotated, cell_text,
        write_parquet,
    },
    run::{Impute, Imputed, Interval, OpenedRows, Run, files, files::NewFolder},
};

use crate::{
    arguments::ImputeArguments,
    columns,
    failure::{Outcome, bad_input},
    given,
    npz::{self, Array},
    terminal::{print_out, table},
    written::{Form, Part, Role, Texts, Written, quoted},
};

/// Digits of an imputed value below its deviation: what single precision has.
const DIGITS: i32 = 6;

/// Imputes, writes and says what was imputed.
pub(crate) fn run(arguments: &ImputeArguments) -> Result<Outcome> {
    let out = &arguments.out;
    if fs::symlink_metadata(out).is_ok() {
        return Err(bad_input(format!(
            "`--out {}`: expected the name of a new folder, found one that exists",
            out.display()
        )));
    }
    if is_annotated(out) && arguments.samples.is_some() {
        return Err(bad_input(format!(
            "`--out {}`: samples are files of their own: expected the name of a new folder",
            out.display()
        )));
    }
    let run = given::run(&arguments.run)?;
    let lacking = Lacking { empty_rows: EmptyRows::LeaveOut, ..arguments.missing_columns.into() };
    let rows = run.open_rows(arguments.data.as_deref(), lacking)?;
    let how = Impute {
        batch_size: arguments.run.batch_size,
        seed: arguments.run.seed,
        samples: arguments.samples,
    };
    let imputed = run.impute(&rows, &how)?;
    let known = run.folder.schema()?;
    let mut notes = Vec::new();
    let outputs = || {
        let each = run.trained.modalities().iter().zip(&imputed);
        each.map(|(spec, imputed)| Output::new(&run, &rows, known.as_ref(), spec, imputed))
    };
    if is_annotated(out) {
        let parts = outputs().map(|output| output.layer(&mut notes)).collect();
        let written = Written::of("impute", &rows.data, rows.files.data.schema());
        written.with_files(&rows.files).with_parts(parts).write(out, Form::Annotated)?;
    } else {
        let folder = NewFolder::new(out)?;
        let mut arrays = false;
        for output in outputs() {
            let written = output.write(folder.path(), arguments.samples.is_some(), &mut notes);
            arrays |= written.with_context(|| format!("modality `{}`", output.spec.name))?;
        }
        if arrays && rows.files.data.has_ids() {
            let id = known.as_ref().and_then(|schema| schema.id.clone());
            let found = rows.files.data.schema().and_then(|schema| schema.id.clone());
            ids(folder.path(), &rows, found.or(id).as_deref().unwrap_or("id"))?;
        }
        folder.finish()?;
    }
    print_out(summary(&rows, run.trained.modalities(), &imputed))?;
    if let Some(needed) = run.trained.model.encoder()?.conditions() {
        let names = needed.label(run.trained.modalities());
        let left: usize = needed.iter().map(|m| imputed[m].left).sum();
        if left > 0 {
            notes.push(format!(
                "the model takes `{names}` as given: what is missing there is not imputed, nor \
                 anything else in rows that lack it"
            ));
        }
    }
    if let Some(first) = rows.files.empty_rows.first() {
        let count = rows.files.empty_rows.len();
        notes.insert(
            0,
            format!("rows that observe nothing and are not imputed: {count}, first `{first}`"),
        );
    }
    if arguments.samples.is_some() {
        notes.push(
            "files that end in .std, .low, .high, .imputed and .probabilities are about others: as data the folder \
             holds the imputed modalities only"
                .into(),
        );
    }
    for note in notes {
        print_out(note)?;
    }
    print_out(format!("\n{}", out.display()))?;
    Ok(Outcome::Done)
}

/// All rows with what was imputed of them: for each modality a part in the units of its data, and as
/// `NAME.imputed` which cells were missing; with samples `NAME.std`, `NAME.low` and `NAME.high`, too.
pub(crate) fn written(
    run: &Run,
    rows: &OpenedRows,
    how: &Impute,
) -> Result<(Written, Vec<String>)> {
    let imputed = run.impute(rows, how)?;
    let known = run.folder.schema()?;
    let (mut notes, mut parts) = (Vec::new(), Vec::new());
    for (spec, imputed) in run.trained.modalities().iter().zip(&imputed) {
        let output = Output::new(run, rows, known.as_ref(), spec, imputed);
        parts.extend(output.parts(how.samples.is_some(), &mut notes)?);
        if imputed.left > 0 {
            notes.push(format!("{}: rows that cannot be imputed: {}", spec.name, imputed.left));
        }
    }
    let written = Written::of("impute", &rows.data, rows.files.data.schema());
    Ok((written.with_parts(parts), notes))
}

/// What was imputed, by modality.
fn summary(rows: &OpenedRows, specs: &[ModalitySpec], imputed: &[Imputed]) -> String {
    let line = |(spec, imputed): (&ModalitySpec, &Imputed)| {
        let counts = [rows.data.len(), imputed.cells, imputed.partial, imputed.whole, imputed.left];
        let mut line = vec![spec.name.to_string()];
        line.extend(counts.map(|count| count.to_string()));
        line
    };
    let lines: Vec<_> = specs.iter().zip(imputed).map(line).collect();
    table(&["modality", "rows", "values imputed", "in rows", "whole rows imputed", "left"], &lines)
}

/// Writes the identifiers of the rows of arrays.
fn ids(folder: &Path, rows: &OpenedRows, column: &str) -> Result<()> {
    let mut text = format!("{}\n", quoted(column));
    for row in 0..rows.data.len() {
        text += &format!("{}\n", quoted(&rows.data.id(row)));
    }
    whole(&folder.join("ids.csv"), text.as_bytes())
}

/// One modality to write.
struct Output<'a> {
    rows: &'a OpenedRows,
    spec: &'a ModalitySpec,
    imputed: &'a Imputed,
    /// Its place in the files; `None` if they have none of it.
    place: Option<usize>,
    origin: Option<&'a Origin>,
    known: ModalitySchema,
    id: String,
    /// Whether the values of each column are whole numbers.
    whole: Vec<bool>,
    /// Decimal places of the imputed values of each column; `None` for all of single precision.
    decimals: Vec<Option<usize>>,
    doubles: bool,
}

impl<'a> Output<'a> {
    fn new(
        run: &Run,
        rows: &'a OpenedRows,
        schema: Option<&Schema>,
        spec: &'a ModalitySpec,
        imputed: &'a Imputed,
    ) -> Self {
        let name = spec.name.as_str();
        let data = &rows.files.data;
        let place = data.modalities().iter().position(|other| other.name == spec.name);
        let found = data.schema().and_then(|schema| schema.modality(name));
        let known = found.or_else(|| schema.and_then(|schema| schema.modality(name)));
        let known = known.cloned().unwrap_or_else(|| ModalitySchema::new(spec.clone()));
        let ids = [data.schema(), schema].into_iter().flatten().find_map(|s| s.id.clone());
        let standardisation = &run.trained.standardisation;
        let moments = standardisation.moments(name);
        let decimals = (0..spec.features()).map(|feature| {
            let (_, std) = moments?.of(feature);
            let digits = f64::from(DIGITS) - (std * known.scale.factor.abs()).log10().floor();
            Some(digits.clamp(0.0, 300.0) as usize)
        });
        Self {
            place,
            origin: place.and_then(|place| rows.files.origins.get(place)),
            id: ids.unwrap_or_else(|| "id".into()),
            whole: whole_columns(rows, spec, place, &known),
            decimals: decimals.collect(),
            doubles: known.dtype == Dtype::F64 || standardisation.needs_doubles(name),
            rows,
            spec,
            imputed,
            known,
        }
    }

    /// Writes its files; says whether they are arrays.
    fn write(&self, folder: &Path, samples: bool, notes: &mut Vec<String>) -> Result<bool> {
        let rounded = (0..self.spec.features()).filter(|&f| self.whole[f] && self.imputes(f));
        let rounded = rounded.count();
        if rounded > 0 {
            notes.push(format!(
                "{}: columns of whole numbers whose imputed values are rounded: {rounded}",
                self.spec.name
            ));
        }
        if let Some(text) = &self.known.text {
            return self.texts(folder, text, samples).map(|()| false);
        }
        let text = self.origin.map(TableText::open).transpose()?.flatten();
        match text {
            Some(text) => self.table(folder, &text, samples, notes).map(|()| false),
            None if self.origin.is_some_and(Origin::is_typed) => {
                self.typed_table(folder, samples, notes).map(|()| false)
            }
            None if self.place.is_none() && self.known.columns.is_some() => {
                notes.push(format!(
                    "{}: the data has no file of it, all is imputed",
                    self.spec.name
                ));
                self.new_table(folder, samples).map(|()| false)
            }
            None => {
                if self.place.is_none() {
                    let found = "the data has no file of it, all is imputed";
                    notes.push(format!("{}: {found}", self.spec.name));
                }
                self.arrays(folder, samples, notes).map(|()| true)
            }
        }
    }

    /// Whether anything of a feature is imputed.
    fn imputes(&self, feature: usize) -> bool {
        (0..self.rows.data.len()).any(|row| self.imputed.value(row, feature).is_some())
    }

    fn table(
        &self,
        folder: &Path,
        text: &TableText,
        samples: bool,
        notes: &mut Vec<String>,
    ) -> Result<()> {
        let (name, origin) = (&self.spec.name, self.origin.expect("a table has a file"));
        let file = origin.file();
        let plain = file.strip_suffix(".gz").unwrap_or(&file);
        let extension = plain.rsplit_once('.').map_or("csv", |(_, extension)| extension);
        if self.imputed.is_empty() && text.is_whole() {
            let packed = if plain.len() < file.len() { ".gz" } else { "" };
            let to = folder.join(format!("{name}.{extension}{packed}"));
            let bytes = fs::read(origin.path())
                .with_context(|| format!("`{}` cannot be read", origin.path().display()))?;
            return whole(&to, &bytes);
        }
        if text.added_rows() > 0 {
            let count = text.added_rows();
            notes.push(format!("{name}: rows added that `{file}` does not have: {count}"));
        }
        if text.other_rows() > 0 {
            let count = text.other_rows();
            notes.push(format!("{name}: rows of `{file}` that stay as they are: {count}"));
        }
        let write = |kind: &str, cell: &dyn Fn(Option<usize>, usize) -> Option<String>| {
            let bytes =
                text.rewritten(|column| self.title(column), |row| self.rows.data.id(row), cell);
            whole(&folder.join(format!("{name}{kind}.{extension}")), &bytes)
        };
        write("", &|row, column| self.cell(row?, column, &|value| text.number(value)))?;
        if samples {
            for (kind, of) in MEASURES {
                write(kind, &|row, column| {
                    Some(self.measured(row, column, of, &|value| text.number(value)))
                })?;
            }
            write(IMPUTED, &|row, column| Some(self.flag(row, self.first(column)).to_owned()))?;
            self.probabilities(folder)?;
        }
        Ok(())
    }

    /// A table of text: as it was read, and of the likeliest tokens where it is imputed.
    fn texts(&self, folder: &Path, text: &TextSchema, samples: bool) -> Result<()> {
        let codec = TextCodec::of(text)?;
        let (data, features) = (&self.rows.files.data, self.spec.features());
        let imputed = |row| -> Option<String> {
            let values = (0..features).map(|feature| self.imputed.value(row, feature));
            codec.likeliest(&values.collect::<Option<Vec<f64>>>()?)
        };
        let observed = |row| Some(data.text(row, self.place?)?.to_owned());
        let cell = |row| observed(row).or_else(|| imputed(row)).unwrap_or_default();
        let table = |kind: &str, cell: &dyn Fn(usize) -> String| {
            let ids = data.has_ids();
            let mut head: Vec<_> = ids.then(|| quoted(&self.id)).into_iter().collect();
            head.push(quoted(&text.column));
            let mut lines = head.join(",") + "\n";
            for row in 0..self.rows.data.len() {
                if ids {
                    lines += &(quoted(&self.rows.data.id(row)) + ",");
                }
                lines += &(quoted(&cell(row)) + "\n");
            }
            whole(&folder.join(format!("{}{kind}.csv", self.spec.name)), lines.as_bytes())
        };
        table("", &cell)?;
        if samples { table(IMPUTED, &|row| self.flag(Some(row), 0).to_owned()) } else { Ok(()) }
    }

    /// A table of a modality that the data has no file of.
    fn new_table(&self, folder: &Path, samples: bool) -> Result<()> {
        let plain = |text: String| text;
        let cell = |row, column| quoted(&self.cell(row, column, &plain).unwrap_or_default());
        self.new_file(folder, "", &cell)?;
        if samples { self.new_measures(folder) } else { Ok(()) }
    }

    /// A table of text with a row for each of the data.
    fn new_file(
        &self,
        folder: &Path,
        kind: &str,
        cell: &dyn Fn(usize, usize) -> String,
    ) -> Result<()> {
        let ids = self.rows.files.data.has_ids();
        let mut head: Vec<_> = ids.then(|| quoted(&self.id)).into_iter().collect();
        let columns = self.columns();
        head.extend((0..columns).map(|column| quoted(&self.title(column))));
        let mut text = head.join(",") + "\n";
        for row in 0..self.rows.data.len() {
            let id = ids.then(|| quoted(&self.rows.data.id(row)));
            let cells = id.into_iter().chain((0..columns).map(|column| cell(row, column)));
            text += &(cells.collect::<Vec<_>>().join(",") + "\n");
        }
        whole(&folder.join(format!("{}{kind}.csv", self.spec.name)), text.as_bytes())
    }

    /// Tables about the draws of each cell.
    fn new_measures(&self, folder: &Path) -> Result<()> {
        let plain = |text: String| text;
        for (kind, of) in MEASURES {
            let cell = |row, column| self.measured(Some(row), column, of, &plain);
            self.new_file(folder, kind, &cell)?;
        }
        let flag = |row, column| self.flag(Some(row), self.first(column)).to_owned();
        self.new_file(folder, IMPUTED, &flag)?;
        self.probabilities(folder)
    }

    /// All rows with what is imputed, and parts about it.
    fn parts(&self, samples: bool, notes: &mut Vec<String>) -> Result<Vec<Part>> {
        let mut parts = vec![self.whole_part(notes)?];
        let (rows, columns) = (self.rows.data.len(), self.columns());
        let titles: Vec<String> = (0..columns).map(|column| self.title(column)).collect();
        let (shape, titles) = match self.mixed() {
            None => (self.shape(), self.known.columns.clone()),
            Some(_) => (vec![rows, columns], Some(titles)),
        };
        let about = |kind: &str, values: Array| Part {
            name: format!("{}{kind}", self.spec.name),
            role: Role::Modality,
            columns: titles.clone(),
            table: None,
            texts: None,
            values,
        };
        let each = || (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
        let has =
            |column: usize| self.mixed().is_none_or(|table| table[column].kind.features() > 0);
        let flags = each().map(|(row, column)| {
            has(column) && self.imputed.value(row, self.first(column)).is_some()
        });
        parts.push(about(IMPUTED, Array::Flags(shape.clone(), flags.collect())));
        let numbers =
            |column: usize| self.mixed().is_none_or(|table| table[column].kind.classes().is_none());
        for (kind, of) in MEASURES.into_iter().filter(|_| samples) {
            let value = |(row, column)| {
                let measured = (has(column) && numbers(column))
                    .then(|| self.interval(Some(row), self.first(column), of));
                measured.flatten().unwrap_or(f64::NAN)
            };
            parts.push(about(kind, self.floats(shape.clone(), each().map(value).collect())));
        }
        Ok(parts)
    }

    /// All rows of the modality, with what is imputed.
    fn whole_part(&self, notes: &mut Vec<String>) -> Result<Part> {
        let features = self.spec.features();
        let mut values = vec![f64::NAN; self.rows.data.len() * features];
        let each = values.chunks_exact_mut(features).enumerate();
        let beyond = each.map(|(row, out)| self.filled(row, out)).sum();
        self.note_beyond(beyond, notes);
        let values = match (&self.known.text, self.mixed()) {
            (None, None) => self.typed(self.shape(), values),
            _ => self.floats(self.shape(), values),
        };
        let mut texts = Texts::of(self.known.text.as_ref(), &values)?;
        // Text that was read stays as it was.
        for (row, text) in texts.iter_mut().flat_map(|texts| texts.rows.iter_mut()).enumerate() {
            let observed = self.place.and_then(|place| self.rows.files.data.text(row, place));
            *text = observed.map(str::to_owned).or(text.take());
        }
        Ok(Part {
            name: self.spec.name.to_string(),
            role: Role::Modality,
            columns: self.known.columns.clone(),
            table: self.known.table.clone(),
            texts,
            values,
        })
    }

    fn shape(&self) -> Vec<usize> {
        [&[self.rows.data.len()][..], &self.spec.shape].concat()
    }

    /// A Parquet file of all columns that are modelled, of a table whose columns have types.
    fn typed_table(&self, folder: &Path, samples: bool, notes: &mut Vec<String>) -> Result<()> {
        let (n, data) = (self.rows.data.len(), &self.rows.files.data);
        let part = self.whole_part(notes)?;
        let left: Vec<_> = (self.mixed().into_iter().flatten())
            .filter(|column| column.kind.features() == 0)
            .map(|column| format!("`{}`", column.name))
            .collect();
        if !left.is_empty() {
            let (name, left) = (&self.spec.name, left.join(", "));
            notes.push(format!("{name}: columns of text that are not in its file: {left}"));
        }
        let ids: Option<Vec<String>> =
            data.has_ids().then(|| (0..n).map(|row| self.rows.data.id(row)).collect());
        let id = if self.id.is_empty() { "id" } else { &self.id };
        let columns = columns::of(id, ids.as_deref(), &[&part]);
        let to = folder.join(format!("{}.parquet", self.spec.name));
        files::write_whole(&to, |file| write_parquet(&to, file, &columns))?;
        if samples { self.new_measures(folder) } else { Ok(()) }
    }

    /// The values of a row in the units of the file, with those that are imputed; gives how many of
    /// these are drawn into what the file can hold.
    fn filled(&self, row: usize, out: &mut [f64]) -> usize {
        if let Some(place) = self.place {
            self.rows.files.file_units(row, place, out);
        }
        let limits = self.limits();
        let mut beyond = 0;
        for (feature, out) in out.iter_mut().enumerate() {
            if let Some(value) = self.imputed.value(row, feature) {
                let value = if self.whole[feature] { value.round() } else { value };
                *out = value.clamp(limits[0], limits[1]);
                beyond += usize::from(*out != value);
            }
        }
        beyond
    }

    fn note_beyond(&self, beyond: usize, notes: &mut Vec<String>) {
        if beyond > 0 {
            let (name, [low, high]) = (&self.spec.name, self.limits());
            notes.push(format!(
                "{name}: imputed values outside of {low} to {high}, which its file can hold, that \
                 are drawn in: {beyond}"
            ));
        }
    }

    /// The columns of a mixed table; `None` where each feature is a column.
    fn mixed(&self) -> Option<&[TableColumn]> {
        self.known.table.as_deref()
    }

    /// How many columns a table of it has.
    fn columns(&self) -> usize {
        self.mixed().map_or(self.spec.features(), <[TableColumn]>::len)
    }

    fn title(&self, column: usize) -> String {
        match self.mixed() {
            Some(table) => table[column].name.clone(),
            None => self.known.column(column),
        }
    }

    /// The first feature of a column.
    fn first(&self, column: usize) -> usize {
        self.mixed().map_or(column, |table| table[column].first)
    }

    /// The text of an imputed cell, with numbers as the table writes them; `None` for one that is
    /// observed or not modelled.
    fn cell(&self, row: usize, column: usize, number: &dyn Fn(String) -> String) -> Option<String> {
        let Some(table) = self.mixed() else {
            return Some(number(self.shown(self.imputed.value(row, column)?, column)));
        };
        let TableColumn { kind, first, .. } = &table[column];
        let features = table[column].features();
        let values: Option<Vec<f64>> =
            features.map(|feature| self.imputed.value(row, feature)).collect();
        let values = values.filter(|values| !values.is_empty())?;
        Some(cell_text(kind, &values, |value| number(self.shown(value, *first))))
    }

    /// The text of a measure of the draws of a cell; empty for classes, which have probabilities.
    fn measured(
        &self,
        row: Option<usize>,
        column: usize,
        of: Measure,
        number: &dyn Fn(String) -> String,
    ) -> String {
        let numbers =
            |column: &TableColumn| column.kind.classes().is_none() && column.kind.features() > 0;
        if self.mixed().is_some_and(|table| !numbers(&table[column])) {
            return String::new();
        }
        let feature = self.first(column);
        let value = self.interval(row, feature, of);
        value.map_or_else(String::new, |value| number(self.shown_measure(value, feature)))
    }

    /// Writes the probabilities of classes of imputed cells, if the table has columns of classes: a
    /// row for each cell.
    fn probabilities(&self, folder: &Path) -> Result<()> {
        // Of levels only the expected number is known.
        let classes = |column: &&TableColumn| {
            matches!(column.kind, ColumnKind::Binary { .. } | ColumnKind::Categorical { .. })
        };
        let columns: Vec<_> = self.mixed().into_iter().flatten().filter(classes).collect();
        if columns.is_empty() {
            return Ok(());
        }
        let id = if self.id.is_empty() { "id" } else { &self.id };
        let mut text = format!("{},column,class,probability\n", quoted(id));
        for row in 0..self.rows.data.len() {
            for column in &columns {
                let values: Option<Vec<f64>> =
                    column.features().map(|feature| self.imputed.value(row, feature)).collect();
                let Some(values) = values else { continue };
                let names = column.kind.classes().unwrap_or_default();
                let of_classes = match &column.kind {
                    ColumnKind::Binary { .. } => {
                        let [low, high] = match column.kind.numbers().as_deref() {
                            Some(&[low, high]) => [low, high],
                            _ => [0.0, 1.0],
                        };
                        let second = (values[0] - low) / (high - low);
                        vec![1.0 - second, second]
                    }
                    _ => values,
                };
                for (class, probability) in names.iter().zip(of_classes) {
                    text += &format!(
                        "{},{},{},{:.4}\n",
                        quoted(&self.rows.data.id(row)),
                        quoted(&column.name),
                        quoted(class),
                        probability
                    );
                }
            }
        }
        whole(&folder.join(format!("{}.probabilities.csv", self.spec.name)), text.as_bytes())
    }

    /// Arrays, in the order of the data's rows.
    fn arrays(&self, folder: &Path, samples: bool, notes: &mut Vec<String>) -> Result<()> {
        let (name, features, n) = (&self.spec.name, self.spec.features(), self.rows.data.len());
        let to = folder.join(format!("{name}.npy"));
        if let Some(origin) = self.origin
            && self.imputed.is_empty()
            && origin.path().is_file()
            && origin.path().extension().is_some_and(|extension| extension == "npy")
            && origin.rows().iter().enumerate().all(|(row, place)| *place == Some(row))
        {
            let bytes = fs::read(origin.path())
                .with_context(|| format!("`{}` cannot be read", origin.path().display()))?;
            return whole(&to, &bytes);
        }
        // Without identifiers a row is known by its place in the file.
        let own = (0..n).map(Some).collect::<Vec<_>>();
        let places = match self.origin {
            Some(origin) if !self.rows.files.data.has_ids() => origin.rows(),
            _ => &own,
        };
        let total = match self.origin {
            Some(origin) if !self.rows.files.data.has_ids() => origin.file_rows(),
            _ => n,
        };
        let mut rows: Vec<Option<usize>> = vec![None; total];
        for (row, place) in places.iter().enumerate() {
            if let Some(place) = place {
                rows[*place] = Some(row);
            }
        }
        let mut shape = vec![total];
        shape.extend(&self.spec.shape);
        let mut values = vec![f64::NAN; total * features];
        let mut beyond = 0;
        for (row, out) in rows.iter().zip(values.chunks_exact_mut(features)) {
            let Some(row) = *row else { continue };
            beyond += self.filled(row, out);
        }
        self.note_beyond(beyond, notes);
        let array = self.typed(shape.clone(), values);
        files::write_whole(&to, |file| npz::write_npy(file, &array))?;
        if samples {
            let each = || rows.iter().flat_map(|row| (0..features).map(|f| (*row, f)));
            for (kind, of) in MEASURES {
                let value = |(row, f)| self.interval(row, f, of).unwrap_or(f64::NAN);
                let array = self.floats(shape.clone(), each().map(value).collect());
                let to = folder.join(format!("{name}{kind}.npy"));
                files::write_whole(&to, |file| npz::write_npy(file, &array))?;
            }
            let flags = each().map(|(row, f)| self.imputed.value(row?, f)).map(|v| v.is_some());
            let array = Array::Flags(shape, flags.collect());
            let to = folder.join(format!("{name}{IMPUTED}.npy"));
            files::write_whole(&to, |file| npz::write_npy(file, &array))?;
        }
        Ok(())
    }

    /// All rows as a layer of the file that they came from.
    fn layer(&self, notes: &mut Vec<String>) -> Part {
        let (rows, features) = (self.rows.data.len(), self.spec.features());
        let mut values = vec![f64::NAN; rows * features];
        let each = values.chunks_exact_mut(features).enumerate();
        let beyond = each.map(|(row, out)| self.filled(row, out)).sum();
        self.note_beyond(beyond, notes);
        let values = values.into_iter().map(|value| value as f32).collect();
        Part {
            name: self.spec.name.to_string(),
            role: Role::Modality,
            columns: self.known.columns.clone(),
            table: self.known.table.clone(),
            texts: None,
            values: Array::Floats(vec![rows, features], values),
        }
    }

    /// Least and greatest value of an array as its file has it: those of its scale, or its type.
    fn limits(&self) -> [f64; 2] {
        let scale = self.known.scale;
        if !scale.is_identity() {
            let [a, b] = [0.0, 1.0].map(|value| scale.invert(value));
            return [a.min(b), a.max(b)];
        }
        match self.known.dtype {
            Dtype::Bool => [0.0, 1.0],
            Dtype::U8 => [0.0, f64::from(u8::MAX)],
            Dtype::U16 => [0.0, f64::from(u16::MAX)],
            Dtype::U32 | Dtype::U64 => [0.0, f64::INFINITY],
            _ => [f64::NEG_INFINITY, f64::INFINITY],
        }
    }

    /// An array of the type that the file has, if all values are of it.
    fn typed(&self, shape: Vec<usize>, values: Vec<f64>) -> Array {
        let integers = self.known.dtype.is_integer()
            && values.iter().all(|value| value.is_finite() && value.fract() == 0.0);
        if !integers {
            return self.floats(shape, values);
        }
        match self.known.dtype {
            Dtype::Bool => Array::Flags(shape, values.iter().map(|&value| value >= 0.5).collect()),
            Dtype::U8 => Array::Bytes(shape, values.iter().map(|&value| value as u8).collect()),
            Dtype::U16 => Array::Words(shape, values.iter().map(|&value| value as u16).collect()),
            _ => Array::Integers(shape, values.iter().map(|&value| value as i64).collect()),
        }
    }

    fn floats(&self, shape: Vec<usize>, values: Vec<f64>) -> Array {
        if self.doubles {
            Array::Doubles(shape, values)
        } else {
            Array::Floats(shape, values.into_iter().map(|value| value as f32).collect())
        }
    }

    /// A measure of the draws of a value; of whole numbers ends of intervals are whole as well.
    fn interval(&self, row: Option<usize>, feature: usize, of: Measure) -> Option<f64> {
        Some(of(self.imputed.interval(row?, feature)?, self.whole[feature]))
    }

    fn flag(&self, row: Option<usize>, feature: usize) -> &'static str {
        let imputed = row.is_some_and(|row| self.imputed.value(row, feature).is_some());
        if imputed { "1" } else { "0" }
    }

    /// An imputed value as text.
    fn shown(&self, value: f64, feature: usize) -> String {
        if self.whole[feature] {
            value.round().to_string()
        } else {
            self.shown_measure(value, feature)
        }
    }

    fn shown_measure(&self, value: f64, feature: usize) -> String {
        let text = match self.decimals[feature] {
            Some(decimals) => format!("{value:.decimals$}"),
            None => (value as f32).to_string(),
        };
        let text = if text.contains('.') {
            text.trim_end_matches('0').trim_end_matches('.')
        } else {
            &text
        };
        if text == "-0" { "0".into() } else { text.to_owned() }
    }
}

/// A number about the draws of a value, of which is said whether it is a whole number.
type Measure = fn(Interval, bool) -> f64;

/// Ends of the names of files about draws, and what they hold; of whole numbers the interval is
/// widened to whole numbers.
const MEASURES: [(&str, Measure); 3] = [
    (".std", |interval, _| interval.std),
    (".low", |interval, whole| if whole { interval.low.floor() } else { interval.low }),
    (".high", |interval, whole| if whole { interval.high.ceil() } else { interval.high }),
];
/// End of the names of files that say what was imputed.
const IMPUTED: &str = ".imputed";

/// Which columns hold whole numbers, as far as they are observed; probabilities of classes are none.
fn whole_columns(
    rows: &OpenedRows,
    spec: &ModalitySpec,
    place: Option<usize>,
    known: &ModalitySchema,
) -> Vec<bool> {
    let features = spec.features();
    if matches!(spec.likelihood, Likelihood::Categorical { .. }) {
        return vec![false; features];
    }
    let numbers: Option<Vec<bool>> = known.table.as_ref().map(|table| {
        let mut numbers = vec![false; features];
        for column in table {
            let is = matches!(column.kind, ColumnKind::Count | ColumnKind::Real { .. });
            numbers[column.features()].fill(is);
        }
        numbers
    });
    if known.dtype.is_integer() || spec.is_image() {
        return vec![known.dtype.is_integer(); features];
    }
    let Some(place) = place else { return vec![false; features] };
    let (mut whole, mut seen) =
        (numbers.unwrap_or_else(|| vec![true; features]), vec![false; features]);
    let mut values = vec![0.0; features];
    for row in 0..rows.data.len() {
        rows.files.file_units(row, place, &mut values);
        for (feature, value) in values.iter().enumerate().filter(|(_, value)| !value.is_nan()) {
            seen[feature] = true;
            whole[feature] &= value.fract() == 0.0;
        }
    }
    whole.iter().zip(seen).map(|(&whole, seen)| whole && seen).collect()
}

fn whole(path: &Path, bytes: &[u8]) -> Result<()> {
    Ok(files::write_whole(path, |file| std::io::Write::write_all(file, bytes))?)
}
