//! Text as tokens of a vocabulary, and back.
//!
//! A column of text becomes a modality of rows `[tokens, classes]`, one-hot over the classes, with a
//! categorical likelihood: each place of a text is one of the tokens of the vocabulary. In memory a
//! row is the numbers of its tokens; values are one-hot only in a batch.
//!
//! *Padding* is a token of its own, [`PAD`]: a text that is shorter than the longest ends with it. The
//! categorical likelihood takes every place for one of its classes, and so it learns where a text ends,
//! and a text that is generated ends where the first such token stands. Were these places missing
//! cells, nothing would be learned of them, what is generated would never end, and imputation would
//! fill them, since a missing cell is one that was not measured. A row whose text is missing lacks the
//! modality.
//!
//! *The vocabulary* is that of the training split, and is kept with the run and its bundle, so that new
//! text is read by it. What it lacks becomes [`UNKNOWN`] and is warned of with its count; so are texts
//! that are longer than what is kept of them. Words are read in lower case, marks are tokens of their
//! own; characters are read as they are. A `tokenizer.json` of the library `tokenizers`, or pairs of
//! bytes that are learned by it, need the feature `text` of this crate.
//!
//! ```toml
//! [[modality]]
//! name = "report"
//! file = "reports.csv"
//! text = { column = "report", unit = "words", vocabulary = 2000, min_count = 1, length = 32 }
//! ```

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use multivae_core::{
    dataset::Dataset,
    distribution::Likelihood,
    modality::ModalitySpec,
    schema::{Dtype, Schema, TextSchema, TextTokens, ValueScale},
};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

pub use multivae_core::schema::{PAD, UNKNOWN};

use crate::{
    assemble::Source,
    cells::MissingCells,
    error::{DataError, Result, list},
    fingerprint,
    memory::MemoryDataset,
    read::{ModalityTable, number},
    report::{LoadReport, Warning},
    storage::{Pending, Storage, TokenRows},
};

mod json;
mod plain;

/// Values of a row above which a batch of text takes much memory.
const LARGE: usize = 1 << 20;

/// What is said of text in a manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct TextOptions {
    /// The column of the table, if it has several of text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) column: Option<String>,
    /// What a token is.
    pub(crate) unit: Unit,
    /// How many tokens there are at most.
    pub(crate) vocabulary: usize,
    /// How often a token has to occur in the training split.
    pub(crate) min_count: usize,
    /// How many tokens of a text are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) length: Option<usize>,
    /// A `tokenizer.json` of the library `tokenizers`, beside the manifest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tokenizer: Option<PathBuf>,
}

impl Default for TextOptions {
    fn default() -> Self {
        Self {
            column: None,
            unit: Unit::default(),
            vocabulary: 2000,
            min_count: 1,
            length: None,
            tokenizer: None,
        }
    }
}

impl TextOptions {
    /// The same with its file beside the manifest.
    pub(crate) fn beside(mut self, folder: &Path) -> Self {
        self.tokenizer = self.tokenizer.map(|path| folder.join(path));
        self
    }
}

/// What a token is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Unit {
    /// Words and marks.
    #[default]
    Words,
    /// Single characters.
    Characters,
    /// Pairs of bytes that are often together, joined again and again.
    Pairs,
}

impl Unit {
    /// Tokens that are kept of a text if it is not said.
    fn longest(self) -> usize {
        match self {
            Self::Words | Self::Pairs => 64,
            Self::Characters => 256,
        }
    }
}

/// The tokens of a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Encoded {
    pub(crate) ids: Vec<u32>,
    /// What the vocabulary lacks.
    pub(crate) unknown: Vec<String>,
}

/// From text to tokens and back, by what is known of a modality.
///
/// ```
/// use multivae_core::schema::{TextSchema, TextTokens};
/// use multivae_data::text::{PAD, TextCodec, UNKNOWN};
///
/// let vocabulary = [PAD, UNKNOWN, "a", "bird", "."].map(String::from).to_vec();
/// let tokens = TextTokens::Words { vocabulary };
/// let codec = TextCodec::of(&TextSchema { column: "caption".into(), tokens })?;
/// assert_eq!(codec.encode("A blue bird.")?, [2, 1, 3, 4]);
/// assert_eq!(codec.decode(&[2, 3, 4, 0, 3]), "a bird.");
/// # Ok::<(), multivae_data::DataError>(())
/// ```
pub struct TextCodec {
    tokens: Kind,
    pad: u32,
    classes: usize,
}

enum Kind {
    Plain(plain::Vocabulary),
    Json(json::Tokenizer),
}

impl TextCodec {
    /// By the description of a modality.
    ///
    /// # Errors
    ///
    /// [`DataError::Config`] if the description is none; [`DataError::Feature`] if its tokens are those
    /// of a `tokenizer.json` and this build does not read these.
    pub fn of(text: &TextSchema) -> Result<Self> {
        let words = matches!(text.tokens, TextTokens::Words { .. });
        match &text.tokens {
            TextTokens::Words { vocabulary } | TextTokens::Characters { vocabulary } => {
                let (tokens, classes) =
                    (plain::Vocabulary::new(vocabulary, words)?, vocabulary.len());
                Ok(Self { tokens: Kind::Plain(tokens), pad: 0, classes })
            }
            TextTokens::Json { tokenizer, pad } => {
                let tokenizer = json::Tokenizer::new(tokenizer, Path::new("tokenizer.json"))?;
                let classes = tokenizer.classes().max(*pad as usize + 1);
                Ok(Self { tokens: Kind::Json(tokenizer), pad: *pad, classes })
            }
            _ => Err(DataError::Config {
                field: "text".into(),
                expected: "tokens that this version knows".into(),
                found: format!("{:?}", text.tokens),
            }),
        }
    }

    /// How many different tokens there are.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The tokens of a text, neither cut nor padded.
    ///
    /// # Errors
    ///
    /// [`DataError::Config`] if the tokenizer refuses the text.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        Ok(self.encoded(text)?.ids)
    }

    fn encoded(&self, text: &str) -> Result<Encoded> {
        match &self.tokens {
            Kind::Plain(vocabulary) => Ok(vocabulary.encode(text)),
            Kind::Json(tokenizer) => tokenizer.encode(text),
        }
    }

    /// The text of tokens up to the first that says that it has ended.
    pub fn decode(&self, ids: &[u32]) -> String {
        let end = ids.iter().position(|&id| id == self.pad).unwrap_or(ids.len());
        match &self.tokens {
            Kind::Plain(vocabulary) => vocabulary.decode(&ids[..end]),
            Kind::Json(tokenizer) => tokenizer.decode(&ids[..end]),
        }
    }

    /// The text of the likeliest tokens of a row `[tokens, classes]`, flattened; `None` if a value is no
    /// number, as in a row without text.
    ///
    /// # Panics
    ///
    /// If these are not whole tokens.
    pub fn likeliest<T: Copy + Into<f64>>(&self, row: &[T]) -> Option<String> {
        assert!(row.len().is_multiple_of(self.classes), "whole tokens of {} classes", self.classes);
        let token = |values: &[T]| {
            let values = values.iter().map(|&value| value.into());
            let mut best = (0, f64::NEG_INFINITY);
            for (class, value) in values.enumerate() {
                if value.is_nan() {
                    return None;
                }
                if value > best.1 {
                    best = (class as u32, value);
                }
            }
            Some(best.0)
        };
        let ids: Option<Vec<u32>> = row.chunks_exact(self.classes).map(token).collect();
        Some(self.decode(&ids?))
    }
}

/// What is asked of a source: that its text becomes tokens, since that is said or since a model was
/// trained on it.
pub(crate) fn take_asked(source: &mut Source, known: Option<&Schema>) -> Result<Option<Warning>> {
    if source.block.is_text() {
        return Ok(None);
    }
    let known = known.and_then(|known| known.modality(&source.name)).map(|known| &known.text);
    let (wanted, options) = match (known, source.text.take()) {
        // What another program has made of it is read as it is.
        (Some(Some(_)), _) if source.block.words.is_empty() => return Ok(None),
        (Some(Some(text)), _) => (Some(text.column.clone()), TextOptions::default()),
        (Some(None), _) | (None, None) => return Ok(None),
        (None, Some(options)) => (options.column.clone(), options),
    };
    let words = || source.block.words.iter().map(|words| &words.name);
    let column = match (wanted, &source.block.words[..]) {
        (Some(wanted), _) if words().any(|name| *name == wanted) => wanted,
        // Of new data the column can be called otherwise, if there is one only.
        (Some(_), [only]) if known.is_some() => only.name.clone(),
        (None, [only]) => only.name.clone(),
        (Some(column), _) => {
            let known = match words().next() {
                Some(_) => format!("{} of text", list(words())),
                None => "none of text".into(),
            };
            return Err(DataError::MissingColumn {
                path: source.block.path.clone(),
                column,
                known,
            });
        }
        (None, _) => {
            let found = if words().next().is_some() { list(words()) } else { "none".into() };
            return Err(DataError::Config {
                field: format!("text of modality `{}`", source.name),
                expected: format!(
                    "one column of text in `{}`, or the name of one as `text.column`",
                    source.block.path.display()
                ),
                found,
            });
        }
    };
    Ok(take(source, column, options)?.into_iter().next())
}

/// Makes a modality of a column of text, whose vocabulary is not known yet.
pub(crate) fn take(
    source: &mut Source,
    column: String,
    options: TextOptions,
) -> Result<Vec<Warning>> {
    let block = &mut source.block;
    let of_column = |words: &crate::read::Words| words.name == column;
    let place = block.words.iter().position(of_column).expect("it is one of them");
    let cells = block.words.remove(place).cells;
    let mut others: Vec<String> = block.words.drain(..).map(|words| words.name).collect();
    others.extend(block.columns.take().unwrap_or_default());
    let missing: Vec<bool> =
        cells.iter().map(|cell| number::is_no_class(cell) || source.missing.holds(cell)).collect();
    let texts = cells.into_iter().zip(&missing);
    let texts = texts.map(|(text, missing)| if *missing { String::new() } else { text }).collect();
    let (ids, candidates) = (block.ids.take(), std::mem::take(&mut block.candidates));
    let notes = std::mem::take(&mut block.notes);
    let path = block.path.clone();
    *block = ModalityTable {
        ids,
        candidates,
        notes,
        ..of_texts(&path, texts, &missing, column, options)
    };
    (source.shape, source.likelihood) = (None, Some(Likelihood::Categorical {}));
    let left = (!others.is_empty()).then(|| {
        Warning::new(
            format!("modality `{}`", source.name),
            format!("the columns {} beside its text are left out", list(others.iter().take(10))),
            "make a second modality of the file if they are wanted",
        )
    });
    Ok(left.into_iter().collect())
}

/// A modality of texts, whose vocabulary is not known yet.
pub(crate) fn of_texts(
    path: &Path,
    texts: Vec<String>,
    missing: &[bool],
    column: String,
    options: TextOptions,
) -> ModalityTable {
    let missing = MissingCells::from_flags(1, missing.iter().copied());
    ModalityTable {
        path: path.into(),
        ids: None,
        candidates: Vec::new(),
        shape: vec![1, 1],
        columns: None,
        words: Vec::new(),
        table: None,
        rows: texts.len(),
        values: Storage::Tokens(TokenRows::pending(texts, Pending { column, options })),
        missing,
        dtype: Dtype::Text,
        scale: ValueScale::IDENTITY,
        notes: Vec::new(),
        matrix: false,
        layout: None,
    }
}

impl ModalityTable {
    /// Takes no column for identifiers that could be the text: texts differ as these do.
    pub(crate) fn keep_text(&mut self) {
        self.candidates.retain(|candidate| candidate.certain || candidate.usual.is_some());
    }

    /// Whether it is text whose vocabulary is not known yet.
    pub(crate) fn is_text(&self) -> bool {
        self.values.tokens().is_some_and(|tokens| tokens.wanting().is_some())
    }
}

/// Whose vocabulary text is read by.
#[derive(Clone, Copy, Debug)]
pub(crate) enum By<'a> {
    /// That of the training rows.
    Training(&'a [usize]),
    /// That of a model.
    Known(&'a Schema),
}

/// Makes tokens of text, and says what the vocabulary lacks.
///
/// # Errors
///
/// [`DataError::Unobserved`] if no training row has text; [`DataError::Config`] for a vocabulary that
/// cannot be; [`DataError::Feature`]; [`DataError::Read`].
pub(crate) fn finish(data: &mut MemoryDataset, report: &mut LoadReport, by: By) -> Result<()> {
    let mut any = false;
    for m in 0..data.modalities().len() {
        let storage = Arc::clone(data.storage(m));
        let Some(tokens) = storage.tokens() else { continue };
        let Some(said) = tokens.wanting() else { continue };
        any = true;
        let made = Made::of(data, m, tokens.texts(), said, by)?;
        made.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        report.warnings.extend(made.warnings);
        let name = data.modalities()[m].name.to_string();
        let shape = [made.length, made.classes];
        let spec = ModalitySpec::new(&name, &shape)?.with_likelihood(Likelihood::Categorical {});
        let rows = TokenRows::new(made.ids, made.length, made.classes);
        let rows = rows.with_texts(Arc::clone(tokens.texts())).with_said(Arc::clone(said));
        let schema = data.schema().cloned();
        *data = data.clone().with_modality(m, spec.clone(), Storage::Tokens(rows))?;
        if let Some(mut schema) = schema {
            let known = &mut schema.modalities[m];
            (known.spec, known.range, known.text) = (spec, None, Some(made.schema));
            *data = data.clone().with_schema(schema);
        }
    }
    if any {
        report.fingerprint = fingerprint::of(data);
    }
    Ok(())
}

/// Tokens of all texts of a modality.
struct Made {
    ids: Vec<u32>,
    length: usize,
    classes: usize,
    schema: TextSchema,
    warnings: Vec<Warning>,
}

impl Made {
    fn of(
        data: &MemoryDataset,
        m: usize,
        texts: &[String],
        said: &Pending,
        by: By,
    ) -> Result<Self> {
        let name = data.modalities()[m].name.as_str();
        let there: Vec<usize> = (0..data.len())
            .filter(|&row| data.presence(row).contains(m))
            .map(|row| data.stored_rows()[row])
            .collect();
        let (schema, known_length) = match by {
            By::Known(known) => {
                let known = known.modality(name).and_then(|known| {
                    Some((known.text.clone()?, known.spec.shape.first().copied()?))
                });
                let known = known.ok_or_else(|| DataError::Config {
                    field: format!("modality `{name}`"),
                    expected: "numbers, as the model was trained on".into(),
                    found: "text".into(),
                })?;
                (known.0, Some(known.1))
            }
            By::Training(train) => {
                let observing = train.iter().filter(|&&row| data.presence(row).contains(m));
                let texts = observing.map(|&row| texts[data.stored_rows()[row]].as_str());
                let texts: Vec<&str> = texts.collect();
                if texts.is_empty() {
                    return Err(DataError::Unobserved { modality: name.into() });
                }
                let tokens = learned(name, &texts, &said.options)?;
                (TextSchema { column: said.column.clone(), tokens }, None)
            }
        };
        let codec = TextCodec::of(&schema)?;
        let encoded: Vec<Encoded> =
            texts.par_iter().map(|text| codec.encoded(text)).collect::<Result<_>>()?;
        let length = match (known_length, by) {
            (Some(length), _) => length,
            (None, By::Training(train)) => {
                let stored = train.iter().map(|&row| data.stored_rows()[row]);
                let longest = stored.map(|row| encoded[row].ids.len()).max().unwrap_or(1);
                let options = &said.options;
                options.length.unwrap_or(longest.min(options.unit.longest())).max(1)
            }
            (None, By::Known(_)) => unreachable!("a model says how long its texts are"),
        };
        let warnings = warnings(name, &there, &encoded, length, codec.classes);
        let mut ids = Vec::with_capacity(texts.len() * length);
        for text in &encoded {
            let kept = text.ids.len().min(length);
            ids.extend(&text.ids[..kept]);
            ids.extend(std::iter::repeat_n(codec.pad, length - kept));
        }
        Ok(Self { ids, length, classes: codec.classes, schema, warnings })
    }
}

/// The tokens of the training texts, or those of a file.
fn learned(name: &str, texts: &[&str], options: &TextOptions) -> Result<TextTokens> {
    let bad = |field: &str, expected: &str, found: String| DataError::Config {
        field: format!("text.{field} of modality `{name}`"),
        expected: expected.into(),
        found,
    };
    if let Some(path) = &options.tokenizer {
        return json::Tokenizer::of_file(path);
    }
    if options.vocabulary < 3 {
        let expected = "3 tokens or more, of which two are padding and unknown";
        return Err(bad("vocabulary", expected, options.vocabulary.to_string()));
    }
    if options.length == Some(0) {
        return Err(bad("length", "1 token or more", "0".into()));
    }
    let vocabulary = |words| {
        let found = plain::Vocabulary::learned(texts, words, options.vocabulary, options.min_count);
        if found.len() > 2 {
            return Ok(found);
        }
        let found = format!("{} texts without such a token", texts.len());
        let expected = format!("tokens that occur {} times or more", options.min_count.max(1));
        Err(bad("min_count", &expected, found))
    };
    match options.unit {
        Unit::Words => Ok(TextTokens::Words { vocabulary: vocabulary(true)? }),
        Unit::Characters => Ok(TextTokens::Characters { vocabulary: vocabulary(false)? }),
        Unit::Pairs => json::Tokenizer::learned(texts, options.vocabulary, options.min_count),
    }
}

/// What of the texts is not in their tokens.
fn warnings(
    name: &str,
    there: &[usize],
    encoded: &[Encoded],
    length: usize,
    classes: usize,
) -> Vec<Warning> {
    let subject = || format!("modality `{name}`");
    let mut warnings = Vec::new();
    let all: usize = there.iter().map(|&row| encoded[row].ids.len()).sum();
    let mut unknown: BTreeMap<&str, usize> = BTreeMap::new();
    let mut rows = 0;
    for &row in there {
        rows += usize::from(!encoded[row].unknown.is_empty());
        for word in &encoded[row].unknown {
            *unknown.entry(word).or_default() += 1;
        }
    }
    if !unknown.is_empty() {
        let count: usize = unknown.values().sum();
        let mut most: Vec<_> = unknown.into_iter().collect();
        most.sort_by_key(|(word, count)| (std::cmp::Reverse(*count), *word));
        let shown = list(most.iter().take(5).map(|(word, _)| word));
        warnings.push(Warning::new(
            subject(),
            format!(
                "{count} of {all} tokens in {rows} of {} texts are not in the vocabulary of the \
                 training split and become `{UNKNOWN}`, {} different ones such as {shown}",
                there.len(),
                most.len()
            ),
            "a larger `text.vocabulary`, a smaller `text.min_count`, or characters keep more",
        ));
    }
    let cut = there.iter().filter(|&&row| encoded[row].ids.len() > length).count();
    if cut > 0 {
        let longest = there.iter().map(|&row| encoded[row].ids.len()).max().unwrap_or(0);
        warnings.push(Warning::new(
            subject(),
            format!(
                "{cut} of {} texts are longer than {length} tokens, up to {longest}, and are cut",
                there.len()
            ),
            "a larger `text.length` keeps more of them",
        ));
    }
    if length.saturating_mul(classes) > LARGE {
        warnings.push(Warning::new(
            subject(),
            format!("a row of {length} tokens of {classes} classes is {} values", length * classes),
            "a smaller `text.vocabulary` or `text.length` takes less memory",
        ));
    }
    warnings
}

#[cfg(test)]
mod tests;
