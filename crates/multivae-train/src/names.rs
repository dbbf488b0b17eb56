//! Names that are the trainer's own among the terms of a model.

/// Name of the total among the terms.
pub const LOSS: &str = "loss";

/// Name of the learning rate among the metrics.
pub(crate) const RATE: &str = "rate";

/// Name of the gradient's norm among the terms.
pub(crate) const GRADIENT: &str = "gradient";
