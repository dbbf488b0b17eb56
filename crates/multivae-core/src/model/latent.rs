//! Latent values, by the space they belong to.

use std::fmt;

use burn::tensor::Tensor;

use crate::modality::ModalityName;

/// A latent space of a model.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Space {
    /// The one space that all modalities share.
    Shared,
    /// A level of a shared hierarchy, from 1, the one that decoders read.
    Level(usize),
    /// The space of one modality: modality-specific latents beside a shared space, or all there is
    /// where a model has no shared one.
    Modality(ModalityName),
}

impl Space {
    /// Its name in files and reports: `z`, `z_1`, `z_2` and so on, `z_NAME`.
    pub fn name(&self) -> String {
        self.to_string()
    }

    /// Whether all modalities share it.
    pub fn is_shared(&self) -> bool {
        !matches!(self, Self::Modality(_))
    }
}

impl fmt::Display for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shared => f.write_str("z"),
            Self::Level(level) => write!(f, "z_{level}"),
            Self::Modality(name) => write!(f, "z_{name}"),
        }
    }
}

/// Values of all latent spaces, `[samples, batch, features]` each, for the same draws of the same
/// rows.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use multivae_core::{modality::ModalityName, model::{Latent, Space}};
///
/// let device = Device::flex();
/// let scan = ModalityName::new("scan")?;
/// let latent = Latent::shared(Tensor::zeros([1, 4, 20], &device))
///     .with_private(vec![(scan.clone(), Tensor::ones([1, 4, 3], &device))]);
/// let names: Vec<_> = latent.spaces().map(|(space, _)| space.name()).collect();
/// assert_eq!(names, ["z", "z_scan"]);
/// assert_eq!(latent.of(&scan).map(|values| values.dims()), Some([1, 4, 3]));
/// assert!(latent.get(&Space::Level(1)).is_none());
/// # Ok::<(), multivae_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Latent {
    /// Shared spaces in order, then those of modalities in the model's order.
    spaces: Vec<(Space, Tensor<3>)>,
    conditions: Vec<(ModalityName, Tensor<3>)>,
}

impl Latent {
    /// One shared space.
    pub fn shared(z: Tensor<3>) -> Self {
        Self { spaces: vec![(Space::Shared, z)], conditions: Vec::new() }
    }

    /// Levels of a shared space, the first being the one that decoders read. One level is a shared
    /// space without more.
    pub fn hierarchy(levels: Vec<Tensor<3>>) -> Self {
        let one = levels.len() == 1;
        let space = |i| if one { Space::Shared } else { Space::Level(i + 1) };
        let spaces = levels.into_iter().enumerate().map(|(i, z)| (space(i), z)).collect();
        Self { spaces, conditions: Vec::new() }
    }

    /// A space per modality and none that they share.
    pub fn of_modalities(spaces: Vec<(ModalityName, Tensor<3>)>) -> Self {
        Self { spaces: Vec::new(), conditions: Vec::new() }.with_private(spaces)
    }

    /// The same with spaces of single modalities, in place of those it had.
    pub fn with_private(mut self, private: Vec<(ModalityName, Tensor<3>)>) -> Self {
        self.spaces.retain(|(space, _)| space.is_shared());
        self.spaces.extend(private.into_iter().map(|(name, z)| (Space::Modality(name), z)));
        self
    }

    /// The same with observed values that decoders read beside latent ones; see
    /// [`Encode::conditions`](super::Encode::conditions).
    pub fn with_conditions(self, conditions: Vec<(ModalityName, Tensor<3>)>) -> Self {
        Self { conditions, ..self }
    }

    /// Every space with its values: shared ones, then those of modalities.
    pub fn spaces(&self) -> impl Iterator<Item = (&Space, &Tensor<3>)> {
        self.spaces.iter().map(|(space, z)| (space, z))
    }

    /// Every space by its [name](Space::name).
    pub fn named(&self) -> Vec<(String, Tensor<3>)> {
        self.spaces().map(|(space, z)| (space.name(), z.clone())).collect()
    }

    /// The values of a space, if there is such a space.
    pub fn get(&self, space: &Space) -> Option<&Tensor<3>> {
        self.spaces.iter().find(|(s, _)| s == space).map(|(_, z)| z)
    }

    /// What decoders read of the shared spaces: the only one, or the first level; `None` for a
    /// model whose spaces all belong to single modalities.
    pub fn first(&self) -> Option<&Tensor<3>> {
        self.levels().next()
    }

    /// What decoders read of the shared spaces, for models that have one.
    ///
    /// # Panics
    ///
    /// If there is no shared space.
    pub fn z(&self) -> Tensor<3> {
        self.first().cloned().expect("a latent value with a shared space")
    }

    /// The shared spaces in order: one for flat models, one per level for hierarchical ones.
    pub fn levels(&self) -> impl Iterator<Item = &Tensor<3>> {
        self.spaces.iter().filter(|(space, _)| space.is_shared()).map(|(_, z)| z)
    }

    /// The space of a modality, if it has one.
    pub fn of(&self, name: &ModalityName) -> Option<&Tensor<3>> {
        self.private().find(|(n, _)| *n == name).map(|(_, z)| z)
    }

    /// The spaces of single modalities, in the model's order.
    pub fn private(&self) -> impl Iterator<Item = (&ModalityName, &Tensor<3>)> {
        self.spaces.iter().filter_map(|(space, z)| match space {
            Space::Modality(name) => Some((name, z)),
            _ => None,
        })
    }

    /// Observed values that decoders read beside latent ones, `[samples, batch, features]`; none
    /// for all but conditional models.
    pub fn conditions(&self) -> impl Iterator<Item = (&ModalityName, &Tensor<3>)> {
        self.conditions.iter().map(|(name, values)| (name, values))
    }

    /// Samples and rows of every space, `[samples, batch]`; zeros where there is no space.
    pub fn dims(&self) -> [usize; 2] {
        let [samples, rows] = self.spaces.first().map_or([0, 0], |(_, z)| {
            let [samples, rows, _] = z.dims();
            [samples, rows]
        });
        [samples, rows]
    }

    /// All values, those of conditions too, under a function of tensors such as a choice of rows.
    pub fn map(self, mut f: impl FnMut(Tensor<3>) -> Tensor<3>) -> Self {
        Self {
            spaces: self.spaces.into_iter().map(|(space, z)| (space, f(z))).collect(),
            conditions: self.conditions.into_iter().map(|(name, x)| (name, f(x))).collect(),
        }
    }

    /// Several latent values of the same spaces, one after the other along an axis; `None` for
    /// none.
    ///
    /// # Panics
    ///
    /// If they differ in their spaces, or in an axis that is not the one they are joined along.
    pub fn join(parts: &[Self], axis: usize) -> Option<Self> {
        let first = parts.first()?;
        let spaces = |part: &Self| part.spaces.iter().map(|(s, _)| s.clone()).collect::<Vec<_>>();
        assert!(
            parts.iter().all(|part| spaces(part) == spaces(first)),
            "latent values of different spaces cannot be joined"
        );
        let along = |of: &dyn Fn(&Self) -> Tensor<3>| {
            Tensor::cat(parts.iter().map(of).collect::<Vec<_>>(), axis)
        };
        let space = |(i, (space, _)): (usize, &(Space, Tensor<3>))| {
            (space.clone(), along(&|part| part.spaces[i].1.clone()))
        };
        let condition = |(i, (name, _)): (usize, &(ModalityName, Tensor<3>))| {
            (name.clone(), along(&|part| part.conditions[i].1.clone()))
        };
        Some(Self {
            spaces: first.spaces.iter().enumerate().map(space).collect(),
            conditions: first.conditions.iter().enumerate().map(condition).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    fn ones(features: usize) -> Tensor<3> {
        Tensor::ones([2, 3, features], &Device::flex())
    }

    fn names(latent: &Latent) -> Vec<String> {
        latent.spaces().map(|(space, _)| space.name()).collect()
    }

    #[test]
    fn spaces_are_called_by_what_they_are() {
        let name = ModalityName::new("a").expect("valid");
        let private = || vec![(name.clone(), ones(1))];
        assert_eq!(names(&Latent::shared(ones(2)).with_private(private())), ["z", "z_a"]);
        assert_eq!(names(&Latent::hierarchy(vec![ones(2), ones(1)])), ["z_1", "z_2"]);
        assert_eq!(names(&Latent::hierarchy(vec![ones(2)])), ["z"]);
        let own = Latent::of_modalities(private());
        assert_eq!(names(&own), ["z_a"]);
        assert!(own.first().is_none() && own.of(&name).is_some());
        assert_eq!(own.dims(), [2, 3]);
    }

    #[test]
    fn other_private_spaces_replace_the_old_ones() {
        let name = |n| ModalityName::new(n).expect("valid");
        let latent = Latent::shared(ones(2)).with_private(vec![(name("a"), ones(1))]);
        assert_eq!(names(&latent.with_private(vec![(name("b"), ones(1))])), ["z", "z_b"]);
    }

    #[test]
    fn parts_are_joined_space_by_space() {
        let name = ModalityName::new("a").expect("valid");
        let latent = Latent::shared(ones(2)).with_conditions(vec![(name, ones(4))]);
        let joined = Latent::join(&[latent.clone(), latent], 1).expect("two parts");
        assert_eq!(joined.z().dims(), [2, 6, 2]);
        assert_eq!(joined.conditions().next().map(|(_, x)| x.dims()), Some([2, 6, 4]));
        assert!(Latent::join(&[], 1).is_none());
    }

    #[test]
    #[should_panic(expected = "different spaces")]
    fn parts_of_other_spaces_are_not_joined() {
        Latent::join(&[Latent::shared(ones(2)), Latent::hierarchy(vec![ones(2), ones(2)])], 1);
    }
}
