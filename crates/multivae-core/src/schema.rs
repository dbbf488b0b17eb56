//! What is known of data as it was read: the names, types and units behind a batch's numbers.
//!
//! A batch holds `f32` values by position. What these positions mean is the schema's: which column
//! of the file a feature was, which type its values had, what they were divided by, and what the
//! classes are called. It is made by readers, kept with a run, and new data is read by it, so that
//! columns in another order or on another scale are put right or refused, never taken as they come.

use std::{fmt, ops::Range};

use serde::{Deserialize, Serialize};

use crate::{
    Error, Result,
    modality::{self, ModalitySpec},
};

/// The type of values in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Dtype {
    /// Truth values.
    Bool,
    /// Bytes.
    U8,
    /// Unsigned, 16 bits.
    U16,
    /// Unsigned, 32 bits.
    U32,
    /// Unsigned, 64 bits.
    U64,
    /// Signed, 8 bits.
    I8,
    /// Signed, 16 bits.
    I16,
    /// Signed, 32 bits.
    I32,
    /// Signed, 64 bits.
    I64,
    /// IEEE half precision.
    F16,
    /// The upper half of single precision.
    Bf16,
    /// Single precision.
    #[default]
    F32,
    /// Double precision.
    F64,
    /// Numbers written as text, as in CSV.
    Text,
}

impl Dtype {
    /// Whether values of this type are whole numbers by necessity.
    pub fn is_integer(self) -> bool {
        !matches!(self, Self::F16 | Self::Bf16 | Self::F32 | Self::F64 | Self::Text)
    }

    /// Its name in messages and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::U8 => "u8",
            Self::U16 => "u16",
            Self::U32 => "u32",
            Self::U64 => "u64",
            Self::I8 => "i8",
            Self::I16 => "i16",
            Self::I32 => "i32",
            Self::I64 => "i64",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::F32 => "f32",
            Self::F64 => "f64",
            Self::Text => "text",
        }
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// From the units of a file to the values that are standardised and modelled:
/// `value = (file - offset) / factor`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValueScale {
    /// What is subtracted from a file's value, in its units.
    pub offset: f64,
    /// What the difference is divided by, in the file's units.
    pub factor: f64,
}

impl Default for ValueScale {
    fn default() -> Self {
        Self::IDENTITY
    }
}

impl ValueScale {
    /// Values are as they are in the file.
    pub const IDENTITY: Self = Self { offset: 0.0, factor: 1.0 };

    /// Values from 0 to `top` become values from 0 to 1.
    pub fn up_to(top: f64) -> Self {
        Self { offset: 0.0, factor: top }
    }

    /// Whether it changes nothing.
    pub fn is_identity(self) -> bool {
        self == Self::IDENTITY
    }

    /// A value in the file's units as it is stored.
    pub fn apply(self, file: f64) -> f64 {
        (file - self.offset) / self.factor
    }

    /// A stored value in the file's units.
    pub fn invert(self, value: f64) -> f64 {
        value * self.factor + self.offset
    }
}

/// What kind of values a column of a mixed table holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum ColumnKind {
    /// Any numbers.
    Real {
        /// What stands behind each number, as `mg/dl`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        unit: Option<String>,
    },
    /// Numbers above 0, some many times as large as others.
    Positive,
    /// Whole numbers from 0.
    Count,
    /// One of two: a feature that is 1 for the second.
    Binary {
        /// What the two are called in the file.
        classes: Vec<String>,
    },
    /// One of several in an order: a feature that is the number of the level, from 0.
    Ordinal {
        /// What they are called in the file, the lowest first.
        levels: Vec<String>,
    },
    /// One of several: a feature for each, 1 for the one that it is.
    Categorical {
        /// What they are called in the file.
        classes: Vec<String>,
    },
    /// Days, or times, as days since 1970 began.
    Date {
        /// How they are written, as `%Y-%m-%d`.
        format: String,
    },
    /// Text that is not modelled: it has no feature.
    Text,
}

impl ColumnKind {
    /// Its name in messages and manifests.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Real { .. } => "real",
            Self::Positive => "positive",
            Self::Count => "count",
            Self::Binary { .. } => "binary",
            Self::Ordinal { .. } => "ordinal",
            Self::Categorical { .. } => "categorical",
            Self::Date { .. } => "date",
            Self::Text => "text",
        }
    }

    /// How many features a column has.
    pub fn features(&self) -> usize {
        match self {
            Self::Text => 0,
            Self::Categorical { classes } => classes.len(),
            _ => 1,
        }
    }

    /// What its classes are called, if it has classes.
    pub fn classes(&self) -> Option<&[String]> {
        match self {
            Self::Binary { classes } | Self::Categorical { classes } => Some(classes),
            Self::Ordinal { levels } => Some(levels),
            _ => None,
        }
    }

    /// The numbers that classes of one feature are in the file, ascending; `None` if they are words.
    pub fn numbers(&self) -> Option<Vec<f64>> {
        let (Self::Binary { classes } | Self::Ordinal { levels: classes }) = self else {
            return None;
        };
        let numbers: Vec<f64> =
            classes.iter().map(|class| class.parse().ok()).collect::<Option<_>>()?;
        numbers.is_sorted_by(|a, b| a < b).then_some(numbers)
    }

    /// The number of the class that features say, from 0: the likeliest where they are
    /// probabilities, the nearest where they are expectations; `None` for a column without classes.
    ///
    /// # Panics
    ///
    /// If there are not as many features as the column has.
    pub fn class_number(&self, features: &[f64]) -> Option<usize> {
        let last = self.classes()?.len().checked_sub(1)?;
        Some(match self {
            Self::Categorical { .. } => {
                let most = |best, i| if features[i] > features[best] { i } else { best };
                (0..=last).fold(0, most)
            }
            _ => features[0].round().clamp(0.0, last as f64) as usize,
        })
    }
}

/// A column of a mixed table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TableColumn {
    /// Its name in the file.
    pub name: String,
    /// Its first feature.
    pub first: usize,
    /// What it holds.
    #[serde(flatten)]
    pub kind: ColumnKind,
}

impl TableColumn {
    /// The places of its features in a row.
    pub fn features(&self) -> Range<usize> {
        self.first..self.first + self.kind.features()
    }
}

/// Channels of images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", try_from = "ChannelsText")]
pub enum Channels {
    /// One of brightness.
    Grey,
    /// Red, green and blue.
    Colour,
    /// Red, green, blue, and how opaque.
    Alpha,
}

impl Channels {
    /// How many there are.
    pub fn count(self) -> usize {
        match self {
            Self::Grey => 1,
            Self::Colour => 3,
            Self::Alpha => 4,
        }
    }
}

impl std::str::FromStr for Channels {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "grey" | "gray" | "1" => Ok(Self::Grey),
            "colour" | "color" | "3" => Ok(Self::Colour),
            "alpha" | "4" => Ok(Self::Alpha),
            _ => Err(format!(
                "`channels`: expected `grey`, `colour`, `alpha`, or 1, 3, 4, found {text}"
            )),
        }
    }
}

/// Channels as they are written: by name or by number.
#[derive(Deserialize)]
#[serde(untagged)]
enum ChannelsText {
    Number(i64),
    Name(String),
}

impl TryFrom<ChannelsText> for Channels {
    type Error = String;

    fn try_from(text: ChannelsText) -> std::result::Result<Self, String> {
        match text {
            ChannelsText::Number(count) => count.to_string().parse(),
            ChannelsText::Name(name) => name.parse(),
        }
    }
}

/// What lies behind the transparent parts of images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Background {
    /// They are laid on black.
    Black,
    /// They are laid on white.
    White,
    /// How opaque they are is left out: colours are those that are stored behind it.
    Ignore,
}

/// The plane of slices through a volume, by the anatomical axis that is across it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Plane {
    /// From left to right.
    Sagittal,
    /// From back to front.
    Coronal,
    /// From the feet to the head.
    Axial,
}

impl Plane {
    /// The axis across the plane: 0 for left and right, 1 for back and front, 2 for down and up.
    pub fn axis(self) -> usize {
        self as usize
    }
}

/// What images are made to be when they are read; what is `None` stays as it is in the files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ImageConversion {
    /// Channels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channels: Option<Channels>,
    /// Height and width in pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resize: Option<[u32; 2]>,
    /// What transparent parts are laid on; black if it is not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub background: Option<Background>,
    /// The plane of the slices that volumes are cut into, each a row; whole volumes if it is not
    /// said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slices: Option<Plane>,
    /// Whether values are classes of pixels or voxels, and so whole numbers. If it is not said,
    /// names such as `dseg` and headers of volumes say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_map: Option<bool>,
}

impl ImageConversion {
    /// Whether nothing is changed.
    pub fn is_identity(&self) -> bool {
        *self == Self::default()
    }

    /// What it says, and of what it does not say what `other` does.
    pub fn or(self, other: Self) -> Self {
        Self {
            channels: self.channels.or(other.channels),
            resize: self.resize.or(other.resize),
            background: self.background.or(other.background),
            slices: self.slices.or(other.slices),
            label_map: self.label_map.or(other.label_map),
        }
    }
}

/// How text becomes tokens and tokens become text.
///
/// Tokens are numbers from 0, in the order of the vocabulary. The first is [`PAD`], which stands
/// behind the end of a text, the second [`UNKNOWN`], which stands for what the vocabulary lacks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum TextTokens {
    /// Words in lower case, and marks one by one.
    Words {
        /// The tokens, [`PAD`] and [`UNKNOWN`] first.
        vocabulary: Vec<String>,
    },
    /// Single characters as they are.
    Characters {
        /// The tokens, [`PAD`] and [`UNKNOWN`] first.
        vocabulary: Vec<String>,
    },
    /// What a `tokenizer.json` of the library `tokenizers` says.
    Json {
        /// The contents of the file.
        tokenizer: String,
        /// The token that stands behind the end of a text.
        pad: u32,
    },
}

/// The token behind the end of a text.
pub const PAD: &str = "<pad>";
/// The token of what a vocabulary lacks.
pub const UNKNOWN: &str = "<unk>";

impl TextTokens {
    /// The tokens in the order of their numbers; `None` of those that another file says.
    pub fn vocabulary(&self) -> Option<&[String]> {
        match self {
            Self::Words { vocabulary } | Self::Characters { vocabulary } => Some(vocabulary),
            Self::Json { .. } => None,
        }
    }
}

/// The text of a modality whose rows are `[tokens, classes]`, one-hot over the classes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextSchema {
    /// The column of the file that holds the text.
    pub column: String,
    /// How it becomes tokens.
    pub tokens: TextTokens,
}

/// One modality as it was read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModalitySchema {
    /// Name, shape of a row and likelihood.
    pub spec: ModalitySpec,
    /// Names of the features in the order of a row's values, if the file names them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Vec<String>>,
    /// The columns of a mixed table in the order of its file, of which some are several features or
    /// none; `None` where a feature is a column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<Vec<TableColumn>>,
    /// The type of the values in the file.
    pub dtype: Dtype,
    /// From the file's units to stored values, before any standardisation.
    #[serde(default)]
    pub scale: ValueScale,
    /// Least and greatest observed value in the file's units, if any is observed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<[f64; 2]>,
    /// Codes in the file that say that nothing was measured, beside the usual ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing_codes: Vec<String>,
    /// What its images were made to be.
    #[serde(default, skip_serializing_if = "ImageConversion::is_identity")]
    pub images: ImageConversion,
    /// Whether means of its counts are relative to the size of a row: the logarithm of the mean
    /// observed count of the row is the offset of a batch.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub library_size: bool,
    /// Whether its values are probabilities, of which a batch holds draws of 0 and 1.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub binarise: bool,
    /// How its text became tokens, if it is text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<TextSchema>,
}

impl ModalitySchema {
    /// A modality of which nothing but the specification is known.
    pub fn new(spec: ModalitySpec) -> Self {
        Self {
            spec,
            columns: None,
            table: None,
            dtype: Dtype::default(),
            scale: ValueScale::IDENTITY,
            range: None,
            missing_codes: Vec::new(),
            images: ImageConversion::default(),
            library_size: false,
            binarise: false,
            text: None,
        }
    }

    /// Makes values of the units of the file of stored ones, rows of `[features]`: the scale is
    /// undone, and classes that are numbers in the file become these; an expectation between two
    /// classes lies between their numbers. Probabilities stay.
    ///
    /// # Panics
    ///
    /// If `values` is no whole number of rows.
    pub fn in_file_units(&self, values: &mut [f64]) {
        if !self.scale.is_identity() {
            values.iter_mut().for_each(|value| *value = self.scale.invert(*value));
        }
        let features = self.spec.features();
        assert!(values.len().is_multiple_of(features), "whole rows");
        for column in self.table.iter().flatten() {
            let Some(numbers) = column.kind.numbers() else { continue };
            for value in values.iter_mut().skip(column.first).step_by(features) {
                let code = value.clamp(0.0, numbers.len() as f64 - 1.0);
                let below = (code.floor() as usize).min(numbers.len() - 2);
                let part = code - below as f64;
                *value = numbers[below] + part * (numbers[below + 1] - numbers[below]);
            }
        }
    }

    /// The features of each cell of a row, in the order of the features: several for a class of a
    /// mixed table, else one.
    pub fn cells(&self) -> Vec<Range<usize>> {
        match &self.table {
            Some(table) => {
                let mut cells: Vec<_> = table.iter().map(TableColumn::features).collect();
                cells.retain(|cell| !cell.is_empty());
                cells.sort_unstable_by_key(|cell| cell.start);
                cells
            }
            None => (0..self.spec.features()).map(|feature| feature..feature + 1).collect(),
        }
    }

    /// The name of a feature: its column, or its place from 0 if there are no names.
    pub fn column(&self, feature: usize) -> String {
        let named = self.columns.as_ref().and_then(|columns| columns.get(feature));
        named.map_or_else(|| feature.to_string(), Clone::clone)
    }
}

/// The class labels of data.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelSchema {
    /// The column of the labels, if their file is a table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// Names of the classes, label `i` is `names[i]`; `None` if labels are whole numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub names: Option<Vec<String>>,
    /// Codes that say that a row has no label, beside the usual ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing_codes: Vec<String>,
}

/// Data as it was read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schema {
    /// Version of the format.
    pub version: u32,
    /// The column of identifiers, if rows are known by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// One entry per modality, in the data's order.
    pub modalities: Vec<ModalitySchema>,
    /// The labels, if there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<LabelSchema>,
}

impl Schema {
    /// The version that this crate writes and reads.
    pub const VERSION: u32 = 1;

    /// Modalities of which nothing but the specification is known.
    pub fn of_specs(specs: &[ModalitySpec]) -> Self {
        Self {
            version: Self::VERSION,
            id: None,
            modalities: specs.iter().cloned().map(ModalitySchema::new).collect(),
            labels: None,
        }
    }

    /// The modality of this name.
    pub fn modality(&self, name: &str) -> Option<&ModalitySchema> {
        self.modalities.iter().find(|modality| modality.spec.name.as_str() == name)
    }

    /// The specifications of the modalities.
    pub fn specs(&self) -> Vec<ModalitySpec> {
        self.modalities.iter().map(|modality| modality.spec.clone()).collect()
    }

    /// The name of a class; its number if classes have no names.
    pub fn class(&self, label: i64) -> String {
        let names = self.labels.as_ref().and_then(|labels| labels.names.as_ref());
        let named = names.zip(usize::try_from(label).ok()).and_then(|(names, i)| names.get(i));
        named.map_or_else(|| label.to_string(), Clone::clone)
    }

    /// Checks what a file can get wrong: the version, the modalities, the number of columns, and
    /// that scales can be undone.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] with the field; as [`modality::check_all`].
    pub fn check(&self) -> Result<()> {
        let bad = |field: String, expected: String, found: String| {
            Err(Error::Config { field, expected, found })
        };
        if self.version != Self::VERSION {
            return bad(
                "schema.version".into(),
                format!("{}, the version that is read here", Self::VERSION),
                self.version.to_string(),
            );
        }
        modality::check_all(&self.specs())?;
        for ModalitySchema { spec, columns, scale, table, text, .. } in &self.modalities {
            let field = |field: &str| format!("schema.{}.{field}", spec.name);
            if let Some(TextSchema { tokens, .. }) = text {
                let [_, classes] = spec.shape[..] else {
                    let expected = "[tokens, classes] of text".into();
                    return bad(field("shape"), expected, format!("{:?}", spec.shape));
                };
                if let Some(found) = tokens.vocabulary().map(<[String]>::len)
                    && found != classes
                {
                    let expected = format!("a vocabulary of {classes} tokens");
                    return bad(field("text"), expected, found.to_string());
                }
            }
            if let Some(columns) = columns
                && columns.len() != spec.features()
            {
                let expected = format!("{} names", spec.features());
                return bad(field("columns"), expected, columns.len().to_string());
            }
            let mut of_columns = vec![false; spec.features()];
            for column in table.iter().flatten() {
                let found = column.features();
                match of_columns.get_mut(found.clone()) {
                    Some(free) if !free.contains(&true) => free.fill(true),
                    _ => {
                        let expected = "features of its own, of those of the modality".into();
                        return bad(field(&column.name), expected, format!("{found:?}"));
                    }
                }
            }
            if !(scale.offset.is_finite() && scale.factor.is_finite() && scale.factor != 0.0) {
                let found = format!("offset {}, factor {}", scale.offset, scale.factor);
                return bad(field("scale"), "finite numbers, the factor not 0".into(), found);
            }
        }
        Ok(())
    }
}

/// What a data set holds, as short codes that differ where the data differs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fingerprint {
    /// Number of rows.
    pub rows: usize,
    /// Code of the identifiers, in the order of the rows.
    pub ids: String,
    /// Code of the labels, if there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<String>,
    /// Name of each modality, and the code of its values and of which are observed.
    pub modalities: Vec<(String, String)>,
}

impl Fingerprint {
    /// What differs in `now` from `self`, in words; empty if nothing does.
    pub fn changes(&self, now: &Self) -> Vec<String> {
        let mut changes = Vec::new();
        if self.rows != now.rows {
            changes.push(format!("the number of rows ({} then, {} now)", self.rows, now.rows));
        }
        if self.ids != now.ids {
            changes.push("identifiers or their order".into());
        }
        match (&self.labels, &now.labels) {
            (Some(then), Some(now)) if then != now => changes.push("labels".into()),
            (Some(_), None) => changes.push("labels, which are gone".into()),
            (None, Some(_)) => changes.push("labels, which are new".into()),
            _ => {}
        }
        let code = |of: &Self, name: &str| {
            of.modalities.iter().find(|(other, _)| other == name).map(|(_, code)| code.clone())
        };
        for (name, then) in &self.modalities {
            match code(now, name) {
                None => changes.push(format!("modality `{name}`, which is gone")),
                Some(now) if now != *then => changes.push(format!("values of modality `{name}`")),
                Some(_) => {}
            }
        }
        for (name, _) in &now.modalities {
            if code(self, name).is_none() {
                changes.push(format!("modality `{name}`, which is new"));
            }
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema() -> Schema {
        let spec = ModalitySpec::new("rna", &[2]).expect("valid");
        let columns = Some(vec!["TP53".into(), "MYC".into()]);
        let scale = ValueScale { offset: 10.0, factor: 4.0 };
        Schema {
            id: Some("sample".into()),
            modalities: vec![ModalitySchema { columns, scale, ..ModalitySchema::new(spec) }],
            labels: Some(LabelSchema {
                names: Some(vec!["glia".into()]),
                ..LabelSchema::default()
            }),
            ..Schema::of_specs(&[])
        }
    }

    #[test]
    fn names_are_those_of_the_file_and_places_where_it_has_none() {
        let schema = schema();
        let rna = schema.modality("rna").expect("there");
        assert_eq!(
            (rna.column(1), schema.class(0), schema.class(-1)),
            ("MYC".into(), "glia".into(), "-1".into())
        );
        assert_eq!(rna.scale.invert(rna.scale.apply(13.0)), 13.0);
        let plain = Schema::of_specs(&schema.specs());
        assert_eq!((plain.modalities[0].column(1), plain.class(3)), ("1".into(), "3".into()));
    }

    #[test]
    fn other_versions_columns_and_scales_are_refused_by_field() {
        assert_eq!(schema().check(), Ok(()));
        let changed = |change: fn(&mut Schema)| {
            let mut schema = schema();
            change(&mut schema);
            schema.check().expect_err("refused").to_string()
        };
        let version = changed(|schema| schema.version = 9);
        assert!(version.starts_with("`schema.version`: expected 1"), "{version}");
        let columns = changed(|schema| schema.modalities[0].columns = Some(vec![]));
        assert_eq!(columns, "`schema.rna.columns`: expected 2 names, found 0");
        let scale = changed(|schema| schema.modalities[0].scale.factor = 0.0);
        assert!(scale.starts_with("`schema.rna.scale`"), "{scale}");
    }

    #[test]
    fn channels_have_names_and_numbers_and_nothing_else() {
        for (text, expected) in [("1", 1), ("\"grey\"", 1), ("3", 3), ("\"color\"", 3), ("4", 4)] {
            let found: Channels = serde_json::from_str(text).expect("known");
            assert_eq!(found.count(), expected, "{text}");
            let written = serde_json::to_string(&found).expect("a name");
            assert_eq!(serde_json::from_str::<Channels>(&written).expect("its own"), found);
        }
        let error = serde_json::from_str::<Channels>("2").expect_err("none").to_string();
        assert!(error.contains("`grey`, `colour`, `alpha`, or 1, 3, 4, found 2"), "{error}");
        let said = ImageConversion { channels: Some(Channels::Grey), ..Default::default() };
        let other =
            ImageConversion { resize: Some([2, 3]), channels: Some(Channels::Alpha), ..said };
        assert_eq!(said.or(other), ImageConversion { resize: Some([2, 3]), ..said });
    }

    #[test]
    fn a_fingerprint_says_what_changed() {
        let then = Fingerprint {
            rows: 3,
            ids: "a".into(),
            labels: Some("l".into()),
            modalities: vec![("x".into(), "1".into()), ("y".into(), "2".into())],
        };
        assert!(then.changes(&then).is_empty());
        let now = Fingerprint {
            rows: 4,
            labels: None,
            modalities: vec![("x".into(), "9".into()), ("z".into(), "2".into())],
            ..then.clone()
        };
        assert_eq!(
            then.changes(&now),
            [
                "the number of rows (3 then, 4 now)",
                "labels, which are gone",
                "values of modality `x`",
                "modality `y`, which is gone",
                "modality `z`, which is new",
            ]
        );
    }
}
