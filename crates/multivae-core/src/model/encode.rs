//! What encodes.

use super::{Latent, Multimodal};
use crate::{batch::Batch, noise::Noise, subset::Subset};

/// Which values of a posterior are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Draws {
    /// Its mean, as one sample.
    Mean,
    /// So many samples; equal ones of a model whose latent values are deterministic.
    Samples(usize),
}

impl Draws {
    /// How many values per row.
    pub fn count(self) -> usize {
        match self {
            Self::Mean => 1,
            Self::Samples(n) => n,
        }
    }
}

/// A model with latent values of rows.
///
/// `S` below is a given subset; a row uses those of its modalities that it observes, and the prior
/// if it observes none.
pub trait Encode: Multimodal {
    /// Latent values from `q(z | x_S)`, and from the prior for spaces of single modalities that are
    /// not given.
    fn encode(&self, batch: &Batch, given: Subset, draws: Draws, noise: &mut Noise) -> Latent;

    /// The modalities that the model takes as given and does not generate: encoding needs them,
    /// and they are no targets. `None` for all but conditional models.
    fn conditions(&self) -> Option<Subset> {
        None
    }
}
