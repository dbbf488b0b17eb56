//! In what observed and generated values of a modality are compared as distributions.

use burn::tensor::Tensor;
use multivae_core::modality::ModalitySpec;

/// Features of values of one modality: pool features of Inception, a layer of a classifier, or any
/// encoder.
///
/// Distances between sets depend on them, so that only those with the same features can be
/// compared.
pub trait Features {
    /// What they are called in reports, such as `inception`.
    fn name(&self) -> &str;

    /// `[batch, features]` of flat values `[batch, values]`. Text comes as
    /// [`Values::flat`](multivae_core::batch::Values::flat), and generated values as the mean of
    /// their distribution.
    ///
    /// A row's features depend on that row alone, and batches may have any number of rows.
    ///
    /// # Panics
    ///
    /// It may, if the values are not those of a modality that it was made for.
    fn features(&self, values: Tensor<2>, spec: &ModalitySpec) -> Tensor<2>;
}

/// The values themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawValues;

impl Features for RawValues {
    fn name(&self) -> &'static str {
        "values"
    }

    fn features(&self, values: Tensor<2>, _: &ModalitySpec) -> Tensor<2> {
        values
    }
}
