//! Mixtures over sets of modalities, each of which joins its experts by a rule.

use burn::tensor::{Device, Tensor, TensorData};
use multivae_core::{
    Error, Result,
    batch::{Batch, Presence},
    distribution::Normal,
    fusion::{Experts, mixture_weights, select_rows},
    mixture::Mixture,
    modality::{ModalityName, ModalitySpec},
    model::{Draws, Latent, Loss},
    module::Named,
    nn::{Decoder, EncoderNet},
    noise::Noise,
    objective::{Budget, Estimate},
    subset::{Subset, Subsets},
};
use serde::{Deserialize, Serialize};

use crate::blocks::{
    self, PrivateSpace,
    objective::{PrivateBound, Weights},
};

/// All subsets of more modalities than this are more than a thousand components.
const MOST_MODALITIES: usize = 10;

/// The components of a mixture over sets of modalities, as data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum SubsetsConfig {
    /// These sets, each a list of names; all sets if there is none.
    Given(Vec<Vec<ModalityName>>),
    /// All sets, some of which are drawn in each step.
    Sampled(SampledSubsets),
}

/// How many sets are drawn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SampledSubsets {
    /// In each step, at least 1: for each row, or for the batch, as the model says.
    pub sampled: usize,
}

impl Default for SubsetsConfig {
    fn default() -> Self {
        Self::Given(Vec::new())
    }
}

/// The components of a mixture over sets of modalities.
#[derive(Clone, Debug)]
pub struct Components {
    /// The sets that are joined. Where sets are drawn these are each modality alone and all together,
    /// from which likelihoods are estimated.
    pub subsets: Subsets,
    /// How many of all sets a row draws in a step; `None` where all components take part.
    pub sampled: Option<usize>,
}

impl Components {
    /// What a configuration says of these modalities.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for all subsets of too many modalities or none to be drawn, or as
    /// [`Subsets::new`].
    pub fn new(config: &SubsetsConfig, specs: &[ModalitySpec]) -> Result<Self> {
        let modalities = specs.len();
        match config {
            SubsetsConfig::Given(given) if !given.is_empty() => {
                let named = |names: &Vec<ModalityName>| {
                    Subset::named(specs, names.iter().map(ModalityName::as_str))
                };
                let list = given.iter().map(named).collect::<Result<Vec<_>>>()?;
                Ok(Self { subsets: Subsets::new(modalities, list)?, sampled: None })
            }
            SubsetsConfig::Given(_) if modalities > MOST_MODALITIES => Err(Error::Config {
                field: "model.subsets".into(),
                expected: format!(
                    "a list of subsets or {{ sampled = n }}, for more than {MOST_MODALITIES} modalities"
                ),
                found: format!("all subsets of {modalities}"),
            }),
            SubsetsConfig::Given(_) => {
                Ok(Self { subsets: Subsets::all(modalities), sampled: None })
            }
            SubsetsConfig::Sampled(SampledSubsets { sampled }) => {
                blocks::check(*sampled > 0, "model.subsets.sampled", "at least 1", sampled)?;
                let single = (modalities > 1).then(|| (0..modalities).map(Subset::single));
                let list = single.into_iter().flatten().chain([Subset::full(modalities)]).collect();
                Ok(Self { subsets: Subsets::new(modalities, list)?, sampled: Some(*sampled) })
            }
        }
    }
}

/// For each row so many of the sets of the modalities that it observes, each as likely as any other,
/// `[modality, samples * batch]`: 1 where the modality is in the set.
fn drawn(presence: &Presence, samples: usize, device: &Device, noise: &mut Noise) -> Tensor<2> {
    let (rows, modalities) = (presence.rows(), presence.modalities());
    let uniform = noise.uniform([samples, rows.len(), modalities], 1, device);
    let uniform: Vec<f32> = uniform.into_data().iter::<f32>().collect();
    let mut members = vec![0.0; modalities * samples * rows.len()];
    for (place, uniform) in uniform.chunks(modalities).enumerate() {
        let row = rows[place % rows.len()];
        // Of 2^r - 1 sets of r modalities 2^(r - 1) have the first one. With one in, any rest will do.
        let (mut empty, mut rest) = (true, row.len() as i32);
        for m in row.iter() {
            let all = 2f64.powi(rest);
            let share = if empty { 0.5 * all / (all - 1.0) } else { 0.5 };
            if f64::from(uniform[m]) < share {
                members[m * samples * rows.len() + place] = 1.0;
                empty = false;
            }
            rest -= 1;
        }
    }
    let members = TensorData::new(members, [modalities, samples * rows.len()]);
    Tensor::from_data(members, device)
}

/// The posteriors of the shared space of all subsets of experts, `[subset, batch, latent]`; whether
/// the experts are those of all modalities of the model.
pub type SubsetRule = fn(&Experts, &Subsets, bool) -> Normal<3>;

/// `q(z | X) = Σ_S π_S q_S(z)` with equal weights over the components that a row observes completely,
/// beside private spaces.
///
/// Where sets are drawn, each row has `n` of those of its modalities in a step: `z` is a sample of the
/// first, and the divergence the mean of theirs, so that the objective is that of all sets on average
/// while its cost grows with the number of modalities and not with that of their sets.
pub struct SubsetMixture<'a> {
    /// One encoder per modality.
    pub encoders: &'a Named<EncoderNet>,
    /// One decoder per modality, of shared and private codes side by side.
    pub decoders: &'a Named<Decoder>,
    /// The modalities, in the model's order.
    pub modalities: &'a [ModalitySpec],
    /// Features of private spaces.
    pub private: &'a [usize],
    /// The components.
    pub components: &'a Components,
    /// How the experts of a component are joined.
    pub rule: SubsetRule,
    /// Weights of the objective.
    pub weights: Weights<'a>,
}

impl SubsetMixture<'_> {
    fn all(&self) -> Subset {
        Subset::full(self.modalities.len())
    }

    /// The posterior of a subset and the sources of the private codes.
    pub fn posterior(&self, batch: &Batch, given: Subset) -> (Normal<2>, Vec<PrivateSpace>) {
        let unimodal = blocks::encode(self.encoders, self.modalities, batch, given);
        let all = blocks::all_of(given.len());
        let shared = (self.rule)(&unimodal.experts, &all, given == self.all());
        (blocks::only(shared), PrivateSpace::of(&unimodal, batch, self.private))
    }

    /// Weights of the components, `[batch][subset]` and as `[subset, batch]`.
    fn component_weights(&self, batch: &Batch) -> (Vec<Vec<f64>>, Tensor<2>) {
        let subsets = &self.components.subsets;
        let weights = mixture_weights(batch.presence().rows(), subsets);
        let flat: Vec<f32> = weights.iter().flatten().map(|&w| w as f32).collect();
        let data = TensorData::new(flat, [weights.len(), subsets.len()]);
        (weights, Tensor::from_data(data, &batch.device()).transpose())
    }

    /// The mean of the mixture over the subsets that each row can use, `[batch, latent]`.
    fn mean(&self, batch: &Batch) -> (Tensor<2>, Vec<PrivateSpace>) {
        let unimodal = blocks::encode(self.encoders, self.modalities, batch, self.all());
        let components = (self.rule)(&unimodal.experts, &self.components.subsets, true);
        let weights = self.component_weights(batch).1.unsqueeze_dim(2);
        let mean = (components.mean * weights).sum_dim(0).squeeze_dim(0);
        (mean, PrivateSpace::of(&unimodal, batch, self.private))
    }

    /// The mixture of the components within `targets`, and of `targets` itself, over those that a row
    /// observes.
    fn proposal(&self, batch: &Batch, targets: Subset) -> (Mixture, Vec<PrivateSpace>) {
        let unimodal = blocks::encode(self.encoders, self.modalities, batch, targets);
        let within = |s: &Subset| s.intersection(targets) == Some(*s) && *s != targets;
        let list: Vec<Subset> =
            self.components.subsets.iter().filter(within).chain([targets]).collect();
        // The experts are those of the targets, in order.
        let place = |m: usize| targets.iter().position(|t| t == m).expect("within the targets");
        let moved = list.iter().map(|s| Subset::new(s.iter().map(place)).expect("not empty"));
        let subsets = Subsets::new(targets.len(), moved.collect()).expect("different sets");
        let joined = (self.rule)(&unimodal.experts, &subsets, targets == self.all());
        let usable = |row: &Subset| {
            let of = |s: &Subset| s.iter().all(|m| row.contains(m));
            let found: Vec<usize> = (0..list.len()).filter(|&i| of(&list[i])).collect();
            // What joins the targets leaves out what the row lacks.
            if found.is_empty() { vec![list.len() - 1] } else { found }
        };
        let usable = batch.presence().rows().iter().map(usable).collect();
        let standard = Normal::standard_like(&joined.mean.clone().narrow(0, 0, 1));
        let mixture = Mixture::new(joined.into(), usable, &standard.into());
        (mixture, PrivateSpace::of(&unimodal, batch, self.private))
    }

    /// Names of the terms of the objective.
    pub fn terms(&self) -> Vec<String> {
        let mut names = blocks::reconstruction_terms(self.modalities);
        names.push("kl".into());
        names.extend(blocks::private_terms(self.modalities, self.private));
        names
    }

    /// The objective: a component is drawn for each row, and values from it; the divergence is the
    /// mean of those of all components, or of those that are drawn.
    pub fn loss(&self, batch: &Batch, noise: &mut Noise) -> Loss {
        let unimodal = blocks::encode(self.encoders, self.modalities, batch, self.all());
        let (chosen, kl) = match self.components.sampled {
            Some(samples) => self.sampled(&unimodal.experts, batch, samples, noise),
            None => {
                let components = (self.rule)(&unimodal.experts, &self.components.subsets, true);
                let (host_weights, weights) = self.component_weights(batch);
                let chosen = noise.categorical(&host_weights, 1);
                let chosen = components.clone().map(|stack| select_rows(&stack, &chosen, 1));
                (chosen, (components.kl_standard::<2>() * weights).sum() / batch.rows() as f64)
            }
        };
        let z = chosen.rsample(noise.normal(chosen.mean.dims(), 1, &batch.device()));
        let spaces = PrivateSpace::of(&unimodal, batch, self.private);
        let (decoders, modalities, weights) = (self.decoders, self.modalities, self.weights);
        let bound = PrivateBound { decoders, modalities, weights };
        bound.loss(self.terms(), batch, z, kl, &spaces, noise)
    }

    /// The posterior of the first of the sets that each row draws, `[1, batch, latent]`, and the mean of
    /// the divergences of all of them.
    fn sampled(
        &self,
        experts: &Experts,
        batch: &Batch,
        samples: usize,
        noise: &mut Noise,
    ) -> (Normal<3>, Tensor<1>) {
        let [modalities, rows, latent] = experts.mean.dims();
        let sets = drawn(batch.presence(), samples, &batch.device(), noise);
        // A set is what is left of the experts: all sets of all rows are joined in one pass.
        let wide = |x: &Tensor<3>| x.clone().repeat(&[1, samples, 1]);
        let experts = Experts::new(wide(&experts.mean), wide(&experts.log_var), sets);
        let joined = (self.rule)(&experts, &blocks::all_of(modalities), true);
        let joined = joined.map(|x| x.reshape([samples, rows, latent]));
        let kl = joined.kl_standard::<2>().mean();
        (joined.map(|x| x.narrow(0, 0, 1)), kl)
    }

    /// Samples of the posterior of the given modalities; the mean of all is that of the mixture, or of
    /// the component of all where sets are drawn.
    pub fn encode(&self, batch: &Batch, given: Subset, draws: Draws, noise: &mut Noise) -> Latent {
        let of_mixture = given == self.all() && self.components.sampled.is_none();
        let (z, spaces) = if of_mixture && draws == Draws::Mean {
            let (mean, spaces) = self.mean(batch);
            (mean.unsqueeze_dim(0), spaces)
        } else {
            let (shared, spaces) = self.posterior(batch, given);
            (blocks::draw(&shared, draws, noise), spaces)
        };
        let private = blocks::codes(self.modalities, &spaces, batch, draws, noise);
        Latent::shared(z).with_private(private)
    }

    /// An estimate of `log p(x_T)` with samples stratified over the components within the targets.
    pub fn joint_likelihood(
        &self,
        batch: &Batch,
        targets: Subset,
        budget: Budget,
        noise: &mut Noise,
    ) -> Estimate {
        let (mixture, spaces) = self.proposal(batch, targets);
        let decoders = self.decoders;
        blocks::estimate_by_mixture(decoders, batch, targets, budget, &mixture, &spaces, noise)
    }
}

/// All capabilities of a model with the fields `decoders`, `modalities`, `private` and `config.latent`,
/// from its method `mixture`, which gives its [`SubsetMixture`].
macro_rules! subset_mixture {
    ($model:ty) => {
        const _: () = {
            use multivae_core::{
                batch::Progress,
                model::{Bound, Density, Draws, Encode, Generate, Latent, Learn, Loss, Multimodal},
                objective::{Budget, Estimate},
            };

            impl Multimodal for $model {
                fn modalities(&self) -> &[ModalitySpec] {
                    &self.modalities
                }
            }

            impl Learn for $model {
                fn terms(&self, _: Progress) -> Vec<String> {
                    self.mixture().terms()
                }

                fn loss(&self, batch: &Batch, noise: &mut Noise) -> Loss {
                    self.mixture().loss(batch, noise)
                }
            }

            impl Encode for $model {
                /// Samples of the posterior of the given modalities; the mean of all is that of the
                /// mixture.
                fn encode(
                    &self,
                    batch: &Batch,
                    given: Subset,
                    draws: Draws,
                    noise: &mut Noise,
                ) -> Latent {
                    self.mixture().encode(batch, given, draws, noise)
                }
            }

            $crate::blocks::posterior::decoded_spaces!($model);

            impl Density for $model {
                fn bound(&self, batch: &Batch, given: Subset, noise: &mut Noise) -> Bound {
                    let (shared, spaces) = self.mixture().posterior(batch, given);
                    let (decoders, modalities) = (&self.decoders, &self.modalities);
                    blocks::private_bound(decoders, modalities, batch, &shared, &spaces, noise)
                }

                fn joint_likelihood(
                    &self,
                    batch: &Batch,
                    targets: Subset,
                    budget: Budget,
                    noise: &mut Noise,
                ) -> Estimate {
                    self.mixture().joint_likelihood(batch, targets, budget, noise)
                }
            }
        };
    };
}

pub(crate) use subset_mixture;

/// A model that is a [`SubsetMixture`] and nothing else, by a rule `fn(&Experts, &Subsets) ->
/// Normal<3>`: its struct, from a configuration with the fields `latent`, `beta`, `subsets`, `private`,
/// `rescale` and `modalities`, and all capabilities.
macro_rules! subset_mixture_vae {
    ($(#[doc = $doc:literal])+ pub struct $model:ident, $config:ident, $rule:path;) => {
        use burn::{module::Module, tensor::{Device, Tensor}};
        use multivae_core::{
            Result,
            batch::Batch,
            modality::ModalitySpec,
            module::Named,
            nn::{Decoder, EncoderNet, Networks},
            noise::Noise,
            subset::Subset,
        };

        use $crate::{
            blocks::{
                self,
                objective::Weights,
                subset_mixture::{Components, SubsetMixture, subset_mixture},
            },
            registry::Listed,
        };

        $(#[doc = $doc])+
        #[derive(Module, Debug)]
        pub struct $model {
            encoders: Named<EncoderNet>,
            decoders: Named<Decoder>,
            #[module(skip)]
            modalities: Vec<ModalitySpec>,
            #[module(skip)]
            config: $config,
            #[module(skip)]
            rescale: Vec<f64>,
            #[module(skip)]
            components: Components,
            #[module(skip)]
            private: Vec<usize>,
        }

        impl Listed for $config {
            fn exercise(specs: &[ModalitySpec]) -> serde_json::Value {
                serde_json::json!({ "private": { specs[0].name.as_str(): 2 } })
            }
        }

        impl $config {
            /// Fills in what the data says.
            ///
            /// # Errors
            ///
            /// When configuration and data contradict each other.
            pub fn with_modalities(mut self, specs: &[ModalitySpec]) -> Result<Self> {
                self.modalities = blocks::complete(&self.modalities, specs)?;
                self.check()?;
                Components::new(&self.subsets, specs)?;
                blocks::private_sizes(&self.private, specs)?;
                Ok(self)
            }

            fn check(&self) -> Result<()> {
                blocks::check(self.latent > 0, "model.latent", "at least 1", self.latent)?;
                blocks::check_weight("model.beta", self.beta)?;
                self.rescale.check(self.modalities.len())
            }

            /// Builds the model; `networks` holds those that the configuration calls custom.
            ///
            /// # Errors
            ///
            /// When a value is out of its range or a network cannot be built.
            pub fn init(&self, networks: &Networks, device: &Device) -> Result<$model> {
                let modalities = blocks::resolved(&self.modalities, networks)?;
                self.check()?;
                let components = Components::new(&self.subsets, &modalities)?;
                let private = blocks::private_sizes(&self.private, &modalities)?;
                let (encoders, decoders) =
                    blocks::networks(&self.modalities, self.latent, &private, networks, device)?;
                let rescale = self.rescale.factors(&modalities);
                let config = self.clone();
                Ok($model { encoders, decoders, modalities, config, rescale, components, private })
            }
        }

        impl $model {
            /// The components of the mixture.
            pub fn components(&self) -> &Components {
                &self.components
            }

            fn mixture(&self) -> SubsetMixture<'_> {
                let beta = self.config.beta;
                SubsetMixture {
                    encoders: &self.encoders,
                    decoders: &self.decoders,
                    modalities: &self.modalities,
                    private: &self.private,
                    components: &self.components,
                    rule: |experts, subsets, _| $rule(experts, subsets),
                    weights: Weights { shared: beta, private: beta, rescale: &self.rescale },
                }
            }
        }

        subset_mixture!($model);
    };
}

pub(crate) use subset_mixture_vae;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_set_of_what_a_row_observes_is_drawn_as_often() {
        let device = Device::flex();
        let rows = vec![Subset::full(3), Subset::new([0, 2]).expect("two"), Subset::single(1)];
        let presence = Presence::new(rows.clone(), 3, &device);
        let samples = 7000;
        let sets = drawn(&presence, samples, &device, &mut Noise::seeded(2));
        let sets: Vec<f32> = sets.into_data().try_into_vec().expect("floats");
        for (row, observed) in rows.iter().enumerate() {
            let member = |sample: usize, m: usize| sets[(m * samples + sample) * 3 + row] > 0.0;
            let set = |sample: usize| Subset::new((0..3).filter(|&m| member(sample, m)));
            let sets: Vec<Subset> =
                (0..samples).map(|sample| set(sample).expect("no empty one")).collect();
            let count = 2usize.pow(observed.len() as u32) - 1;
            let expected = samples as f64 / count as f64;
            let within = |s: &Subset| s.intersection(*observed) == Some(*s);
            assert!(sets.iter().all(within), "{observed}");
            for subset in Subsets::all(3).iter().filter(within) {
                let found = sets.iter().filter(|s| **s == subset).count() as f64;
                let off = (found - expected).abs();
                assert!(off < 4.5 * expected.sqrt(), "{subset} of {observed}: {found} {expected}");
            }
        }
    }

    #[test]
    fn sets_are_a_list_or_a_number_to_be_drawn() {
        let read = |text: &str| serde_json::from_str::<SubsetsConfig>(text);
        assert_eq!(read("[]").expect("all"), SubsetsConfig::default());
        let sampled = SubsetsConfig::Sampled(SampledSubsets { sampled: 3 });
        assert_eq!(read(r#"{ "sampled": 3 }"#).expect("a number"), sampled);
        read(r#"{ "sampled": 3, "of": 4 }"#).expect_err("no such key");
        let specs: Vec<ModalitySpec> =
            (0..12).map(|m| ModalitySpec::new(&format!("m{m}"), &[1]).expect("valid")).collect();
        Components::new(&SubsetsConfig::default(), &specs).expect_err("4095 sets");
        let components = Components::new(&sampled, &specs).expect("some of them");
        assert_eq!((components.subsets.len(), components.sampled), (13, Some(3)));
        let none = SubsetsConfig::Sampled(SampledSubsets { sampled: 0 });
        Components::new(&none, &specs).expect_err("none to draw");
    }
}
