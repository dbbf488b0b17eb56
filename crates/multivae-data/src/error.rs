//! What can go wrong with data.

use std::{fmt, io, path::PathBuf};

/// A result whose error is [`DataError`].
pub type Result<T, E = DataError> = std::result::Result<T, E>;

/// Where a row stands in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// In a text or a sheet: the line, from 1, the header included.
    Line(u64),
    /// In any other file: the row, from 0.
    Row(u64),
}

impl Place {
    /// Where the row `row`, from 0, stands in the same file, if nothing lies between.
    pub(crate) fn of_row(self, row: usize) -> Self {
        match self {
            Self::Line(_) => Self::Line(row as u64 + 2),
            Self::Row(_) => Self::Row(row as u64),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line}"),
            Self::Row(row) => write!(f, "row {row}"),
        }
    }
}

/// Why data could not be read, split or prepared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// Neither the name of an embedded data set nor an existing path.
    #[error("`{name}` is neither an embedded data set ({known}) nor an existing file or folder")]
    UnknownSource {
        /// What was given.
        name: String,
        /// The embedded data sets.
        known: String,
    },
    /// Data that a program had in its memory.
    #[error("`{name}` was in the memory of a program and is no longer: give the data again")]
    Gone {
        /// The name that it had.
        name: String,
    },
    /// The operating system refused.
    #[error("`{path}` cannot be read: {cause}")]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The operating system refused.
    #[error("`{path}` cannot be written: {cause}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// A file of a kind that is not read here.
    #[error("`{path}`: expected {expected}, found another kind of file")]
    UnsupportedFile {
        /// The file.
        path: PathBuf,
        /// The kinds that are read.
        expected: &'static str,
    },
    /// A file of a format that this build was made without.
    #[error(
        "`{path}` is a file of {format}, which this build does not read: build `multivae-data` with \
         the feature `{feature}`"
    )]
    Feature {
        /// The file.
        path: PathBuf,
        /// Its format.
        format: &'static str,
        /// The feature that reads it.
        feature: &'static str,
    },
    /// A file without data.
    #[error("`{path}` is empty: {reason}")]
    EmptyFile {
        /// The file or folder.
        path: PathBuf,
        /// What is missing.
        reason: &'static str,
    },
    /// A truncated, damaged or foreign file.
    #[error("`{path}` is not a valid {format} file: {reason}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What it should be.
        format: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// Something in a file of groups and arrays that is not what it should be.
    #[error("`{path}`, `{inside}`{place}: expected {expected}, found {found}")]
    Inside {
        /// The file.
        path: PathBuf,
        /// The path of the group or array in it.
        inside: Box<str>,
        /// `, row N` where it is known, from 0.
        place: Box<str>,
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A cell of a table that does not hold what it should.
    #[error("`{path}`, {place}, column `{column}`: expected {expected}, found `{found}`")]
    Cell {
        /// The file.
        path: PathBuf,
        /// Where in it.
        place: Place,
        /// The column's name.
        column: String,
        /// What it should hold.
        expected: &'static str,
        /// What it holds.
        found: String,
    },
    /// An infinite value in an array.
    #[error("`{path}`, row {row}, value {value}: expected a finite number or NaN, found `{found}`")]
    Infinite {
        /// The file.
        path: PathBuf,
        /// The row, from 0.
        row: usize,
        /// Place of the value in the flattened row, from 0.
        value: usize,
        /// What it holds.
        found: f64,
    },
    /// A value that the likelihood of its modality cannot have.
    #[error("modality `{modality}`, row `{row}`: expected {expected}, found `{found}`")]
    Value {
        /// The modality.
        modality: String,
        /// Identifier of the row.
        row: String,
        /// What the likelihood takes.
        expected: String,
        /// What was found.
        found: String,
    },
    /// Values of a type that is not read here.
    #[error("`{path}`: expected values of type {expected}, found `{found}`")]
    Type {
        /// The file, and the array in it.
        path: String,
        /// The types that are read.
        expected: &'static str,
        /// The type in the file.
        found: String,
    },
    /// A column that a table lacks.
    #[error("`{path}` has no column `{column}`; it has {known}")]
    MissingColumn {
        /// The file.
        path: PathBuf,
        /// The column that was looked for.
        column: String,
        /// The columns that exist.
        known: String,
    },
    /// Two columns of one name.
    #[error("`{path}`: column `{column}` is given twice; is the header line missing?")]
    DuplicateColumn {
        /// The file.
        path: PathBuf,
        /// The name.
        column: String,
    },
    /// A file of labels or splits with several candidate columns.
    #[error(
        "`{path}`: expected one column besides the identifiers, found {found}; name one in a manifest"
    )]
    AmbiguousColumn {
        /// The file.
        path: PathBuf,
        /// The columns.
        found: String,
    },
    /// An array that a file lacks, or one of several that must be named.
    #[error("`{path}`: expected {expected}, found the arrays {found}")]
    Array {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        expected: String,
        /// The arrays of the file.
        found: String,
    },
    /// Two files for one modality.
    #[error("modality `{modality}` is given twice: `{first}` and `{second}`")]
    DuplicateModality {
        /// The name.
        modality: String,
        /// The first file.
        first: PathBuf,
        /// The second file.
        second: PathBuf,
    },
    /// An identifier given twice in one file.
    #[error("`{path}`: identifier `{id}` is given twice")]
    DuplicateId {
        /// The file or folder.
        path: PathBuf,
        /// The identifier.
        id: String,
    },
    /// Files of different length, and no identifiers to join them by.
    #[error(
        "`{first}` has {first_rows} rows and `{second}` has {second_rows}; \
         files without an `id` column must have the same rows"
    )]
    RowCounts {
        /// One file.
        first: PathBuf,
        /// Its rows.
        first_rows: usize,
        /// Another file.
        second: PathBuf,
        /// Its rows.
        second_rows: usize,
    },
    /// Rows cannot be matched, since only some files say which row is which.
    #[error(
        "`{with}` has identifiers and `{without}` has none: rows can only be joined if all files have them"
    )]
    MixedIds {
        /// A file with identifiers.
        with: PathBuf,
        /// A file without.
        without: PathBuf,
    },
    /// Images of different size in one folder.
    #[error(
        "`{path}` is {found}, and `{first}` is {expected}: \
         all images of a modality must have one size and as many channels; `--channels` and `--resize`, \
         or `channels` and `resize` in a manifest, make them so"
    )]
    ImageSize {
        /// The image that differs.
        path: PathBuf,
        /// Its size.
        found: String,
        /// The first image of the folder.
        first: PathBuf,
        /// The size of the first.
        expected: String,
    },
    /// Values that do not fit into memory.
    #[error("`{path}`: its values take {needed} of memory, and {free} are free; {remedy}")]
    Memory {
        /// The file or folder.
        path: PathBuf,
        /// What they take.
        needed: String,
        /// What is free.
        free: String,
        /// What can be done.
        remedy: String,
    },
    /// Values of another shape than expected.
    #[error("modality `{modality}` (`{path}`): expected {expected}, found {found}")]
    Shape {
        /// The modality.
        modality: String,
        /// Its file.
        path: PathBuf,
        /// The shape that was expected.
        expected: String,
        /// The shape that was found.
        found: String,
    },
    /// A manifest that does not parse.
    #[error("manifest `{path}`{line}: {reason}")]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// `, line N` where it is known.
        line: String,
        /// What is wrong.
        reason: String,
    },
    /// A setting out of its range.
    #[error("`{field}`: expected {expected}, found `{found}`")]
    Config {
        /// The setting.
        field: String,
        /// What is possible.
        expected: String,
        /// What was given.
        found: String,
    },
    /// Rows that observe nothing.
    #[error("row `{first}` observes no modality; there are {count} such rows")]
    EmptyRows {
        /// Identifier of the first such row.
        first: String,
        /// How many there are.
        count: usize,
    },
    /// No row observes two modalities, although there are several: the files do not fit together.
    #[error(
        "no row has two modalities: `{first}` and `{second}` have no identifier in common{hint}"
    )]
    NoCommonRows {
        /// A file.
        first: PathBuf,
        /// Another file.
        second: PathBuf,
        /// The likely reason, after a colon or semicolon.
        hint: String,
    },
    /// Columns that could be identifiers and say another order of rows than their places do.
    #[error(
        "column `{first_column}` of `{first}` and column `{second_column}` of `{second}` hold the \
         same different values in another order: if they are identifiers, name them as `id` in a \
         manifest, or call both `id`"
    )]
    PossibleIds {
        /// A file.
        first: PathBuf,
        /// Its column.
        first_column: String,
        /// Another file.
        second: PathBuf,
        /// Its column.
        second_column: String,
    },
    /// A modality that a model does not have.
    #[error("the model has no modality `{modality}`; it has {known}")]
    UnknownModality {
        /// The modality.
        modality: String,
        /// Those that it has.
        known: String,
    },
    /// New data whose columns are not those that a model was trained on.
    #[error("modality `{modality}` (`{path}`): {what} {columns}; {remedy}")]
    Columns {
        /// The modality.
        modality: String,
        /// Its file.
        path: PathBuf,
        /// What is wrong with them.
        what: &'static str,
        /// The columns.
        columns: String,
        /// What can be done.
        remedy: String,
    },
    /// New values on another scale than those that a model was trained on.
    #[error("modality `{modality}` (`{path}`): expected {expected}, found {found}")]
    Scale {
        /// The modality.
        modality: String,
        /// Its file.
        path: PathBuf,
        /// The scale of the training data.
        expected: String,
        /// What was found.
        found: String,
    },
    /// Data that is not what a run began with.
    #[error("the data `{name}` has changed since the run began: {changes}; {remedy}")]
    Changed {
        /// The source.
        name: String,
        /// What changed.
        changes: String,
        /// What can be done.
        remedy: String,
    },
    /// Rows of a data set that cannot be read.
    #[error("rows cannot be read: {reason}")]
    Rows {
        /// Why.
        reason: String,
    },
    /// A modality that nothing can be learned about.
    #[error("modality `{modality}`: no row of the training split observes it")]
    Unobserved {
        /// The modality.
        modality: String,
    },
    /// No rows are left.
    #[error("the training split has no rows: {reason}")]
    NoRows {
        /// Why.
        reason: String,
    },
    /// A row that does not exist.
    #[error("row {row} was asked for, the data has {rows}")]
    Row {
        /// The row asked for.
        row: usize,
        /// How many there are.
        rows: usize,
    },
    /// Class-dependent missingness without classes.
    #[error("`missing.pattern` is `class_dependent`, and the data has no labels")]
    NoLabels,
    /// A standardisation that belongs to other data.
    #[error("standardisation of modality `{modality}`: expected {expected}, found {found}")]
    Standardisation {
        /// The modality.
        modality: String,
        /// What the data says.
        expected: String,
        /// What the standardisation says.
        found: String,
    },
    /// A modality's name, shape or likelihood is invalid.
    #[error(transparent)]
    Core(#[from] multivae_core::Error),
}

/// Names in backticks, joined by commas.
pub(crate) fn list<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> String {
    names.into_iter().map(|n| format!("`{}`", n.as_ref())).collect::<Vec<_>>().join(", ")
}
