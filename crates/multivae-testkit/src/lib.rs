//! A model whose every value is known, and a data set in memory, for tests of what sees only the
//! traits of `multivae-core`.

mod layered;
mod linear;
mod rows;

pub use layered::Layered;
pub use linear::{Conditional, LinearGaussian, log_density};
pub use rows::Rows;
