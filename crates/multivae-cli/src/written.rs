//! Rows as they are written, with identifiers, names of columns and names of classes, in forms that
//! are read as data again.

use std::{io::Write, path::Path};

use anyhow::Result;
use multivae::{
    core::{
        dataset::Dataset,
        schema::{Schema, TableColumn, TextSchema},
    },
    data::{Opened, TextCodec, annotate::is_annotated, cell_text, write_parquet},
    run::files::{self, NewFolder},
};

use crate::{
    annotated::Source,
    columns,
    failure::bad_input,
    npz::{self, Array},
};

/// The column of identifiers.
const ID: &str = "id";
/// The column of classes, if their own has no name.
const CLASS: &str = "class";

/// The form of what is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// All arrays in one file.
    Npz,
    /// One table.
    Csv,
    /// One table of columns with types.
    Parquet,
    /// A copy of the file that the rows came from.
    Annotated,
    /// A folder with a file for each modality, as data is read.
    Folder,
}

impl Form {
    /// By the end of the name; a name without an end is a folder's.
    pub(crate) fn of(out: &Path) -> Option<Self> {
        match out.extension().map(|extension| extension.to_str()) {
            Some(Some("npz")) => Some(Self::Npz),
            Some(Some("csv")) => Some(Self::Csv),
            Some(Some("parquet")) => Some(Self::Parquet),
            _ if is_annotated(out) => Some(Self::Annotated),
            None => Some(Self::Folder),
            _ => None,
        }
    }

    /// Refuses a place that is taken.
    pub(crate) fn check_free(self, out: &Path) -> Result<()> {
        match self {
            Self::Folder => Ok(files::check_free(out, "choose another name with `--out`")?),
            _ => Ok(()),
        }
    }
}

/// What values are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// A latent space.
    Latent,
    /// A modality.
    Modality,
    /// A modality of which others were generated, or beside which it was.
    Original,
}

/// The text that values of tokens say, row by row.
#[derive(Debug)]
pub(crate) struct Texts {
    /// The column that held the text of the training.
    pub(crate) column: String,
    /// The text of each row; `None` where it has none.
    pub(crate) rows: Vec<Option<String>>,
}

impl Texts {
    /// Of values of tokens, `[rows, tokens, classes]`; `None` of what is no text.
    pub(crate) fn of(text: Option<&TextSchema>, values: &Array) -> Result<Option<Self>> {
        let Some(text) = text else { return Ok(None) };
        let width = values.shape().iter().skip(1).product();
        let codec = TextCodec::of(text)?;
        let rows = match values {
            Array::Floats(_, values) => {
                values.chunks_exact(width).map(|row| codec.likeliest(row)).collect()
            }
            Array::Doubles(_, values) => {
                values.chunks_exact(width).map(|row| codec.likeliest(row)).collect()
            }
            _ => panic!("values of tokens are floating point numbers"),
        };
        Ok(Some(Self { column: text.column.clone(), rows }))
    }
}

/// Values of all rows.
#[derive(Debug)]
pub(crate) struct Part {
    /// The modality or latent space.
    pub(crate) name: String,
    pub(crate) role: Role,
    /// Names of the values of a row.
    pub(crate) columns: Option<Vec<String>>,
    /// The columns of a mixed table, of which a text has one cell each.
    pub(crate) table: Option<Vec<TableColumn>>,
    /// The text that the values say, which tables have in place of these.
    pub(crate) texts: Option<Texts>,
    /// Numbers, the first axis the rows.
    pub(crate) values: Array,
}

impl Part {
    /// Latent values of a space, `[rows, features]`.
    pub(crate) fn latent(name: String, values: Array) -> Self {
        let features = values.shape().iter().skip(1).product();
        let columns = (0..features).map(|feature| format!("{name}_{feature}")).collect();
        let (table, texts) = (None, None);
        Self { columns: Some(columns), table, texts, name, role: Role::Latent, values }
    }

    pub(crate) fn shape(&self) -> Vec<usize> {
        self.values.shape()
    }

    /// Whether a table can hold it.
    fn is_table(&self) -> bool {
        self.texts.is_some() || self.shape().len() == 2
    }

    /// The end of the stem of its file.
    fn stem(&self) -> String {
        match self.role {
            Role::Original => format!("{}.original", self.name),
            Role::Latent | Role::Modality => self.name.clone(),
        }
    }

    /// The columns of a mixed table that are modelled.
    pub(crate) fn modelled(&self) -> Option<impl Iterator<Item = &TableColumn>> {
        let table = self.table.as_ref()?;
        Some(table.iter().filter(|column| column.kind.features() > 0))
    }

    /// The cells of a row as text: of a mixed table likeliest classes, days and counts.
    fn row(&self, row: usize) -> Vec<String> {
        if let Some(texts) = &self.texts {
            return vec![texts.rows[row].as_deref().map(quoted).unwrap_or_default()];
        }
        let values = self.values.row(row);
        let Some(table) = self.modelled() else { return values };
        let cell = |column: &TableColumn| {
            let numbers: Option<Vec<f64>> =
                values[column.features()].iter().map(|value| value.parse().ok()).collect();
            // What is missing is empty.
            numbers.map_or_else(String::new, |numbers| {
                quoted(&cell_text(&column.kind, &numbers, |value| value.to_string()))
            })
        };
        table.map(cell).collect()
    }

    pub(crate) fn head(&self) -> Vec<String> {
        if let Some(texts) = &self.texts {
            return vec![texts.column.clone()];
        }
        if let Some(table) = self.modelled() {
            return table.map(|column| column.name.clone()).collect();
        }
        let features = self.shape().iter().skip(1).product();
        let numbered = || (0..features).map(|feature| format!("{}_{feature}", self.name)).collect();
        self.columns.clone().unwrap_or_else(numbered)
    }
}

/// Classes of rows.
#[derive(Debug)]
struct Labels {
    column: String,
    values: Vec<Option<i64>>,
    names: Option<Vec<String>>,
}

/// Rows to write.
#[derive(Debug)]
pub(crate) struct Written {
    /// The task that writes them.
    task: &'static str,
    /// Identifiers, of rows that come from data.
    pub(crate) ids: Option<Vec<String>>,
    labels: Option<Labels>,
    /// The file that the rows came from.
    source: Source,
    /// Arrays that say more of the rows, in an NPZ only.
    about: Vec<(String, Array)>,
    pub(crate) parts: Vec<Part>,
}

impl Written {
    /// Rows that come from no data.
    pub(crate) fn new(task: &'static str) -> Self {
        let (source, about, parts) = (Source::default(), Vec::new(), Vec::new());
        Self { task, ids: None, labels: None, source, about, parts }
    }

    /// Rows of data, with their identifiers and classes; `schema` has the names of these.
    pub(crate) fn of(task: &'static str, data: &dyn Dataset, schema: Option<&Schema>) -> Self {
        let rows = 0..data.len();
        let ids = Some(rows.clone().map(|row| data.id(row)).collect());
        let values: Vec<_> = rows.map(|row| data.label(row)).collect();
        let known = schema.and_then(|schema| schema.labels.clone()).unwrap_or_default();
        let labels = values.iter().any(Option::is_some).then(|| Labels {
            column: known.column.unwrap_or_else(|| CLASS.into()),
            values,
            names: known.names,
        });
        Self { ids, labels, ..Self::new(task) }
    }

    /// The same of rows that were read from files.
    pub(crate) fn with_files(self, files: &Opened) -> Self {
        let names = files.data.modalities().iter().map(|spec| spec.name.as_str());
        Self { source: Source::of(names.zip(&files.origins)), ..self }
    }

    /// The same with these values.
    pub(crate) fn with_parts(self, parts: Vec<Part>) -> Self {
        Self { parts, ..self }
    }

    /// The same with what the rows observe: `observed` `[rows, modality]` and `modalities`.
    pub(crate) fn with_presence(mut self, data: &dyn Dataset) -> Self {
        let (rows, specs) = (data.len(), data.modalities());
        let observed = (0..rows).flat_map(|row| {
            let presence = data.presence(row);
            (0..specs.len()).map(move |m| presence.contains(m))
        });
        let names = specs.iter().map(|spec| spec.name.to_string()).collect();
        self.about = vec![
            ("modalities".into(), Array::Text(names)),
            ("observed".into(), Array::Flags(vec![rows, specs.len()], observed.collect())),
        ];
        self
    }

    /// Writes all or nothing.
    pub(crate) fn write(self, out: &Path, form: Form) -> Result<()> {
        match form {
            Form::Npz => npz::write(out, &self.arrays()),
            Form::Csv => {
                let text = text(self.ids.as_deref(), &self.table(out)?);
                Ok(files::write_whole(out, |file| file.write_all(text.as_bytes()))?)
            }
            Form::Parquet => {
                let columns = columns::of(ID, self.ids.as_deref(), &self.table(out)?);
                Ok(files::write_whole(out, |file| write_parquet(out, file, &columns))?)
            }
            Form::Annotated => self.source.write(out, self.task, self.ids.as_deref(), &self.parts),
            Form::Folder => self.folder(out),
        }
    }

    /// The arrays of an NPZ. Those whose names hold a point say something about others.
    pub(crate) fn arrays(self) -> Vec<(String, Array)> {
        let mut arrays = Vec::new();
        let mut columns = Vec::new();
        let (originals, parts): (Vec<_>, Vec<_>) =
            self.parts.into_iter().partition(|part| part.role == Role::Original);
        let named = |part: Part, columns: &mut Vec<(String, Array)>| {
            let prefix = if part.role == Role::Original { "original_" } else { "" };
            let name = format!("{prefix}{}", part.name);
            // Samples of rows have an axis of their own before them.
            if let Some(names) = part.columns {
                columns.push((format!("{name}.columns"), Array::Text(names)));
            }
            if let Some(texts) = part.texts {
                let texts = texts.rows.into_iter().map(Option::unwrap_or_default).collect();
                columns.push((format!("{name}.text"), Array::Text(texts)));
            }
            (name, part.values)
        };
        arrays.extend(parts.into_iter().map(|part| named(part, &mut columns)));
        arrays.extend(self.ids.map(|ids| ("ids".to_owned(), Array::Text(ids))));
        arrays.extend(originals.into_iter().map(|part| named(part, &mut columns)));
        arrays.extend(self.about);
        if let Some(Labels { values, names, .. }) = self.labels {
            let rows = vec![values.len()];
            let all: Option<Vec<i64>> = values.iter().copied().collect();
            let labels = match all {
                Some(labels) => Array::Integers(rows, labels),
                // A row without a label is no number.
                None => {
                    let number = |label: &Option<i64>| label.map_or(f64::NAN, |label| label as f64);
                    Array::Doubles(rows, values.iter().map(number).collect())
                }
            };
            arrays.push(("labels".to_owned(), labels));
            arrays.extend(names.map(|names| ("labels.names".to_owned(), Array::Text(names))));
        }
        arrays.extend(columns);
        arrays.push(("multivae.task".to_owned(), Array::Text(vec![self.task.to_owned()])));
        arrays
    }

    /// The parts whose values stand side by side in a table.
    fn table(&self, out: &Path) -> Result<Vec<&Part>> {
        let parts: Vec<&Part> =
            self.parts.iter().filter(|part| part.role != Role::Original).collect();
        let several = parts.iter().map(|part| &part.name).collect::<Vec<_>>();
        let bad = |reason: String| {
            bad_input(format!(
                "`--out {}`: {reason}: expected a file name that ends with `.npz`, or the name of a \
                 folder",
                out.display()
            ))
        };
        if let Some(part) = parts.iter().find(|part| !part.is_table()) {
            let shape = part.shape();
            return Err(bad(format!("`{}` of shape {shape:?} is no table", part.name)));
        }
        // Latent spaces stand side by side, modalities are files of their own.
        let latent = parts.iter().all(|part| part.role == Role::Latent);
        if several.len() > 1 && !latent {
            let names: Vec<_> = several.iter().map(|name| format!("`{name}`")).collect();
            return Err(bad(format!("{} are several tables", names.join(", "))));
        }
        Ok(parts)
    }

    fn folder(self, out: &Path) -> Result<()> {
        let folder = NewFolder::new(out)?;
        let put = |name: &str, text: &str| {
            let path = folder.path().join(name);
            files::write_whole(&path, |file| file.write_all(text.as_bytes()))
        };
        let mut arrays = false;
        for part in &self.parts {
            if part.is_table() {
                put(&format!("{}.csv", part.stem()), &text(self.ids.as_deref(), &[part]))?;
            } else {
                arrays = true;
                let path = folder.path().join(format!("{}.npy", part.stem()));
                files::write_whole(&path, |file| npz::write_npy(file, &part.values))?;
            }
        }
        if let (true, Some(ids)) = (arrays, &self.ids) {
            put("ids.csv", &text(Some(ids), &[]))?;
        }
        if let (Some(labels), Some(ids)) = (&self.labels, &self.ids) {
            put("labels.csv", &labels.text(ids))?;
        }
        Ok(folder.finish()?)
    }
}

impl Labels {
    fn text(&self, ids: &[String]) -> String {
        let class = |label: Option<i64>| {
            let Some(label) = label else { return String::new() };
            let named = self.names.as_ref().zip(usize::try_from(label).ok());
            let name = named.and_then(|(names, place)| names.get(place).cloned());
            name.unwrap_or_else(|| label.to_string())
        };
        let rows = ids.iter().zip(&self.values);
        let rows = rows.map(|(id, &label)| format!("{},{}\n", quoted(id), quoted(&class(label))));
        format!("{ID},{}\n{}", quoted(&self.column), rows.collect::<String>())
    }
}

/// A table with identifiers, if there are any, and the columns of the parts.
fn text(ids: Option<&[String]>, parts: &[&Part]) -> String {
    let mut head: Vec<String> = ids.iter().map(|_| ID.to_owned()).collect();
    head.extend(parts.iter().flat_map(|part| part.head()).map(|name| quoted(&name)));
    let rows = ids.map_or_else(|| parts[0].shape()[0], <[String]>::len);
    let mut text = head.join(",") + "\n";
    for row in 0..rows {
        let mut cells: Vec<String> = ids.iter().map(|ids| quoted(&ids[row])).collect();
        cells.extend(parts.iter().flat_map(|part| part.row(row)));
        text += &(cells.join(",") + "\n");
    }
    text
}

/// The contents of a cell of a CSV file.
pub(crate) fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) || text.trim() != text {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use multivae::{
        core::schema::{ColumnKind, TextTokens},
        data::ColumnCells,
    };

    use super::*;

    fn part(name: &str, columns: Option<&[&str]>) -> Part {
        Part {
            name: name.into(),
            table: None,
            texts: None,
            role: Role::Modality,
            columns: columns.map(|names| names.iter().map(|&name| name.to_owned()).collect()),
            values: Array::Floats(vec![2, 2], vec![0.5, f32::NAN, -1.0, 3.0]),
        }
    }

    #[test]
    fn a_form_is_known_by_the_end_of_the_name() {
        let of = |name: &str| Form::of(Path::new(name));
        assert_eq!(of("z.npz"), Some(Form::Npz));
        assert_eq!(of("z.csv"), Some(Form::Csv));
        assert_eq!(of("z.parquet"), Some(Form::Parquet));
        assert_eq!((of("z.h5ad"), of("z.h5mu")), (Some(Form::Annotated), Some(Form::Annotated)));
        assert_eq!(of("some/z"), Some(Form::Folder));
        assert_eq!(of("z.txt"), None);
    }

    #[test]
    fn a_table_has_identifiers_names_and_empty_cells() {
        let rna = part("rna", Some(&["TP53", "MYC, long"]));
        let ids = ["p,1".to_owned(), "p2".to_owned()];
        let found = text(Some(&ids), &[&rna]);
        assert_eq!(found, "id,TP53,\"MYC, long\"\n\"p,1\",0.5,\np2,-1,3\n");
        assert_eq!(text(None, &[&part("rna", None)]), "rna_0,rna_1\n0.5,\n-1,3\n");
    }

    #[test]
    fn one_table_holds_one_modality_or_all_latent_spaces() {
        let out = Path::new("x.csv");
        let of = |parts: Vec<Part>| {
            Written { parts, ..Written::new("generate") }.table(out).map(|parts| parts.len())
        };
        let error = of(vec![part("a", Some(&["u", "v"])), part("b", None)]).expect_err("two");
        assert!(error.to_string().contains("`a`, `b` are several tables: expected a file name"));
        let latent = |name: &str| Part::latent(name.into(), part(name, None).values);
        let both = Written { parts: vec![latent("z"), latent("z_a")], ..Written::new("encode") };
        let both = text(None, &both.table(out).expect("side by side"));
        assert!(both.starts_with("z_0,z_1,z_a_0,z_a_1\n"), "{both}");
        let image = Part { values: Array::Floats(vec![1, 1, 1, 1], vec![0.0]), ..part("a", None) };
        assert!(of(vec![image]).is_err());
    }

    #[test]
    fn text_is_a_column_of_its_words() {
        let vocabulary = ["<pad>", "<unk>", "red", "bird"].map(String::from).to_vec();
        let text =
            TextSchema { column: "caption".into(), tokens: TextTokens::Words { vocabulary } };
        // Two tokens of four: `red bird`, then a row that ends after its first, then one of nothing.
        let mut values = vec![0.1; 24];
        (values[2], values[7], values[11], values[12]) = (0.9, 0.9, 0.9, 0.9);
        values[16..].fill(f32::NAN);
        let values = Array::Floats(vec![3, 2, 4], values);
        let texts = super::Texts::of(Some(&text), &values).expect("its own");
        let part = Part { texts, values, ..part("birds", None) };
        let ids = ["a", "b", "c"].map(String::from);
        assert_eq!(super::text(Some(&ids), &[&part]), "id,caption\na,red bird\nb,bird\nc,\n");
        let cells = columns::of("id", None, &[&part]);
        let texts = ["red bird", "bird"].map(|text| Some(text.to_owned()));
        let expected = ColumnCells::Text([&texts[..], &[None]].concat());
        assert_eq!(cells, [("caption".to_owned(), expected)]);
        let written = Written::new("generate").with_parts(vec![part]);
        let arrays = written.arrays();
        assert_eq!((arrays[0].0.as_str(), arrays[0].1.shape()), ("birds", vec![3, 2, 4]));
        let expected = Array::Text(["red bird", "bird", ""].map(String::from).to_vec());
        assert_eq!(arrays[1], ("birds.text".to_owned(), expected));
    }

    #[test]
    fn a_mixed_table_is_written_in_its_own_cells() {
        let column = |name: &str, first, kind| TableColumn { name: name.into(), first, kind };
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        let table = vec![
            column("stage", 1, ColumnKind::Categorical { classes: words(&["i", "ii, a"]) }),
            column("note", 0, ColumnKind::Text),
            column("copies", 0, ColumnKind::Ordinal { levels: words(&["-1", "0", "2"]) }),
            column("dose", 3, ColumnKind::Real { unit: Some("mg".into()) }),
        ];
        let values = vec![1.4, 0.2, 0.8, 2.5, f32::NAN, 0.6, 0.4, f32::NAN];
        let part = Part {
            table: Some(table),
            values: Array::Floats(vec![2, 4], values),
            ..part("clinic", None)
        };
        let expected = "stage,copies,dose\n\"ii, a\",2,2.5 mg\ni,,\n";
        assert_eq!(text(None, &[&part]), expected);
    }
}
