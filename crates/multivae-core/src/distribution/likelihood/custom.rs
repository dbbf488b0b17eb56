//! A likelihood of the user's.

use std::sync::Arc;

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{Learned, LikelihoodFamily, Normalisation, Output, Support};
use crate::{Result, batch::Target, noise::Noise};

/// A likelihood of the user's: its name, and the family itself once it was looked up among the
/// [`Networks`](crate::nn::Networks).
///
/// Until then it has the support of real numbers, one parameter per feature and is not standardised,
/// so that data can be opened and default networks chosen; every question that only the family can
/// answer panics. Models look it up when they are built. Two are equal if their
/// names are.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Custom {
    /// Its name among the networks of the user.
    pub name: String,
    #[serde(skip)]
    family: Option<Arc<dyn LikelihoodFamily>>,
}

impl Custom {
    /// One that is to be looked up.
    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned(), family: None }
    }

    /// One that was found.
    pub(crate) fn found(name: &str, family: Arc<dyn LikelihoodFamily>) -> Self {
        Self { name: name.to_owned(), family: Some(family) }
    }

    fn family(&self) -> &dyn LikelihoodFamily {
        self.family.as_deref().unwrap_or_else(|| {
            panic!("the likelihood `{}` was not looked up among the networks", self.name)
        })
    }
}

impl PartialEq for Custom {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl LikelihoodFamily for Custom {
    fn name(&self) -> &str {
        &self.name
    }

    fn parameters(&self) -> usize {
        self.family.as_ref().map_or(1, |family| family.parameters())
    }

    fn output_shape(&self, shape: &[usize]) -> Vec<usize> {
        self.family.as_ref().map_or(shape.to_vec(), |family| family.output_shape(shape))
    }

    fn support(&self) -> Support {
        self.family.as_ref().map_or(Support::Real, |family| family.support())
    }

    fn learned(&self, shape: &[usize]) -> Vec<Learned> {
        self.family().learned(shape)
    }

    fn output_of_means(&self, means: &[f32]) -> Option<Vec<f32>> {
        self.family.as_ref().and_then(|family| family.output_of_means(means))
    }

    fn check(&self, field: &str) -> Result<()> {
        self.family.as_ref().map_or(Ok(()), |family| family.check(field))
    }

    fn terms(
        &self,
        output: &Output<'_>,
        values: Tensor<3>,
        offset: Option<&Tensor<1>>,
    ) -> Tensor<3> {
        self.family().terms(output, values, offset)
    }

    fn log_prob(&self, output: &Output<'_>, target: &Target) -> Tensor<2> {
        self.family().log_prob(output, target)
    }

    fn mean(&self, output: &Output<'_>, offset: Option<&Tensor<1>>) -> Tensor<3> {
        self.family().mean(output, offset)
    }

    fn sample(
        &self,
        output: &Output<'_>,
        offset: Option<&Tensor<1>>,
        noise: &mut Noise,
    ) -> Tensor<3> {
        self.family().sample(output, offset, noise)
    }

    fn normalisation(&self, feature: usize) -> Normalisation {
        self.family.as_ref().map_or(Normalisation::None, |family| family.normalisation(feature))
    }

    fn first_outside(
        &self,
        row: &[f32],
        shape: &[usize],
        observed: &dyn Fn(usize) -> bool,
    ) -> Option<(usize, Support)> {
        match &self.family {
            Some(family) => family.first_outside(row, shape, observed),
            None => Support::Real.first_outside(row, shape, observed).map(|at| (at, Support::Real)),
        }
    }

    fn check_shape(&self, shape: &[usize], field: &str) -> Result<()> {
        self.family.as_ref().map_or(Ok(()), |family| family.check_shape(shape, field))
    }

    fn encode_view(&self, values: Tensor<2>) -> Tensor<2> {
        self.family().encode_view(values)
    }
}
