//! x
mod conv;
#[cfg(feature = "flex")]
mod flex;
pub use conv::{conv_transpose2d, conv2d};
