//! What can go wrong before a model runs.

/// A result whose error is [`enum@Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a model, a network or a batch could not be built.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A modality's name is empty, or holds a dot or a path separator.
    #[error("modality name `{0}` must not be empty nor hold `.`, `/`, `\\` or white space")]
    ModalityName(String),
    /// Two modalities have the same name.
    #[error("modality `{0}` is given twice")]
    DuplicateModality(String),
    /// No modality has this name.
    #[error("unknown modality `{name}`; there are {known}")]
    UnknownModality {
        /// The name asked for.
        name: String,
        /// The names that exist.
        known: String,
    },
    /// Fewer or more modalities than can be handled.
    #[error("{0} modalities were given, 1 to 64 are possible")]
    ModalityCount(usize),
    /// A subset without modalities.
    #[error("a set of modalities must not be empty")]
    EmptySubset,
    /// A value has another shape than its modality says.
    #[error("modality `{modality}`: expected {expected}, found {found}")]
    Shape {
        /// The modality.
        modality: String,
        /// The shape that was expected.
        expected: String,
        /// The shape that was found.
        found: String,
    },
    /// A value that the likelihood of its modality does not take.
    #[error(
        "modality `{modality}`, row {row}, column {column}: expected {expected}, found {found}"
    )]
    Value {
        /// The modality.
        modality: String,
        /// The row among those that were checked, from 0.
        row: usize,
        /// The column, from 0.
        column: usize,
        /// The values that are possible.
        expected: String,
        /// What was found.
        found: String,
    },
    /// Rows that observe nothing.
    #[error("row {row} of the batch observes no modality")]
    EmptyRow {
        /// The first such row.
        row: usize,
    },
    /// A configuration value out of its range.
    #[error("`{field}`: expected {expected}, found {found}")]
    Config {
        /// Path of the field.
        field: String,
        /// What is possible.
        expected: String,
        /// What was given.
        found: String,
    },
    /// A layer cannot take the shape that comes to it.
    #[error("{network}: layer {layer} ({kind}) cannot take an input of shape {input:?}: {reason}")]
    Layer {
        /// Which network of the model.
        network: String,
        /// Number of the layer, from 0.
        layer: usize,
        /// The layer's type.
        kind: &'static str,
        /// Shape that comes to the layer, without the batch axis.
        input: Vec<usize>,
        /// What the layer needs.
        reason: String,
    },
    /// A network yields another number of features than is needed.
    #[error("{network}: expected an output of {expected:?}, found {found:?}")]
    Output {
        /// Which network of the model.
        network: String,
        /// Shape that is needed, without the batch axis.
        expected: Vec<usize>,
        /// Shape that the layers yield.
        found: Vec<usize>,
    },
    /// The config names a network or model of the user and none is known under that name.
    #[error(
        "nothing is known by the name `{0}`; pass a `Networks` that has the network, or register the \
         model"
    )]
    MissingCustom(String),
    /// The config names a likelihood of the user's and none was given under that name.
    #[error("unknown custom likelihood `{name}`; there are {known}")]
    UnknownLikelihood {
        /// The name asked for.
        name: String,
        /// The names that exist.
        known: String,
    },
}
