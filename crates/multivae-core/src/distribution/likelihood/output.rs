//! What a decoder says of the values of a modality.

use burn::tensor::{Bool, Tensor};

/// The parameters of a likelihood.
#[derive(Clone, Debug)]
pub struct Output<'a> {
    parameters: Tensor<3>,
    shape: &'a [usize],
    learned: &'a [Tensor<1>],
}

/// A tensor that a likelihood has its decoder hold, such as a scale.
#[derive(Clone, Debug, PartialEq)]
pub struct Learned {
    /// Its name among the parameters of the decoder, without dots.
    pub name: String,
    /// Its values before learning.
    pub initial: Vec<f32>,
}

impl Learned {
    /// So many equal values.
    pub fn new(name: &str, length: usize, initial: f32) -> Self {
        Self { name: name.to_owned(), initial: vec![initial; length] }
    }
}

impl<'a> Output<'a> {
    /// The output of a decoder, `[samples, batch, parameters * features]`, for values of `shape`,
    /// with the tensors that the likelihood has it learn, in the order of
    /// [`LikelihoodFamily::learned`](super::LikelihoodFamily::learned).
    pub fn new(parameters: Tensor<3>, shape: &'a [usize], learned: &'a [Tensor<1>]) -> Self {
        Self { parameters, shape, learned }
    }

    /// All parameters, `[samples, batch, parameters * features]`.
    pub fn all(&self) -> Tensor<3> {
        self.parameters.clone()
    }

    /// One parameter of every feature, `[samples, batch, features]`.
    ///
    /// # Panics
    ///
    /// If there are not so many.
    pub fn parameter(&self, number: usize) -> Tensor<3> {
        let features = self.features();
        if self.parameters.dims()[2] == features && number == 0 {
            return self.all();
        }
        self.parameters.clone().narrow(2, number * features, features)
    }

    /// A learned tensor as one that stretches over samples and rows, `[1, 1, length]`.
    ///
    /// # Panics
    ///
    /// If there are not so many.
    pub fn learned(&self, number: usize) -> Tensor<3> {
        let learned = self.learned.get(number);
        learned.expect("a decoder holds what its likelihood learns").clone().unsqueeze()
    }

    /// All learned tensors.
    pub(super) fn held(&self) -> &'a [Tensor<1>] {
        self.learned
    }

    /// Shape of the values, without the batch axis.
    pub fn shape(&self) -> &'a [usize] {
        self.shape
    }

    /// Number of features of the values.
    pub fn features(&self) -> usize {
        self.shape.iter().product()
    }

    /// Samples, batch and features.
    pub fn dims(&self) -> [usize; 3] {
        let [samples, batch, _] = self.parameters.dims();
        [samples, batch, self.features()]
    }

    /// The same with 0 for the parameters of missing cells, `[batch, features]`, so that no
    /// gradient passes there.
    pub fn without(&self, missing: &Tensor<2, Bool>) -> Self {
        let [samples, batch, width] = self.parameters.dims();
        let missing = missing.clone().repeat_dim(1, width / self.features());
        let missing = missing.unsqueeze_dim::<3>(0).expand([samples, batch, width]);
        Self { parameters: self.all().mask_fill(missing, 0.0), ..self.clone() }
    }
}
