//! What the importance-weighted mixtures of experts share: sources of samples, log-weights, the two
//! estimators, priors of location zero.

use std::cell::Cell;

use burn::{
    module::{Initializer, Module, Param},
    tensor::{Device, Tensor, TensorData},
};
use multivae_core::{
    batch::Batch,
    distribution::{Family, LocationScale, Normal},
    mixture::Mixture,
    modality::ModalitySpec,
    model::{Bound, Draws, Latent, Learn, Loss, Multimodal, Step},
    module::Named,
    nn::{Decoder, EncoderNet},
    noise::Noise,
    objective::{Budget, Estimate, dreg, importance_estimate, iwae, mean_over_sources},
    subset::Subset,
};
use serde::{Deserialize, Serialize};

use crate::blocks::{self, Unimodal};

/// How gradients of an importance-weighted bound are estimated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Estimator {
    /// By reparameterisation alone.
    Iwae,
    /// By double reparameterisation, of lower variance: [`dreg`].
    #[default]
    Dreg,
}

/// Log-weights of samples of several sources, in their parts.
#[derive(Clone, Debug)]
pub struct ImportanceWeights {
    /// `log p(x_m | z)`, `[source, samples, batch]` a modality of the model; `None` for one that no
    /// row of the batch observes. Not rescaled; 0 where the modality is missing.
    pub log_likelihood: Vec<Option<Tensor<3>>>,
    /// `log p(z) - log q(z | X)` over all spaces, `[source, samples, batch]`.
    pub log_ratio: Tensor<3>,
}

impl ImportanceWeights {
    /// `Σ_m λ_m log p(x_m | z) + β (log p(z) - log q(z | X))`, `[source, samples, batch]`.
    pub fn log_weights(&self, rescale: &[f64], beta: f64) -> Tensor<3> {
        self.log_likelihood
            .iter()
            .zip(rescale)
            .filter_map(|(likelihood, &weight)| Some(likelihood.clone()? * weight))
            .fold(self.log_ratio.clone() * beta, |sum, likelihood| sum + likelihood)
    }

    /// The means over rows, sources and samples of `-λ_m log p(x_m | z)` by modality, and of
    /// `log q - log p`.
    fn terms(&self, rescale: &[f64], sources: &Tensor<2>) -> Vec<Tensor<1>> {
        let mean =
            |x: Tensor<3>| mean_over_sources(x.detach().mean_dim(1).squeeze_dim(1), sources).neg();
        let likelihoods = self.log_likelihood.iter().zip(rescale);
        let likelihoods = likelihoods.map(|(likelihood, &weight)| match likelihood {
            Some(likelihood) => mean(likelihood.clone()) * weight,
            None => Tensor::zeros([1], &sources.device()),
        });
        likelihoods.chain([mean(self.log_ratio.clone())]).collect()
    }
}

/// The names of the terms of [`IwaeObjective`].
pub fn terms(model: &impl Multimodal) -> Vec<String> {
    let mut names = blocks::reconstruction_terms(model.modalities());
    names.push("kl".into());
    names
}

/// What the two estimators of a bound need of a model.
pub struct IwaeObjective<'a> {
    /// Whose gradients learning follows.
    pub estimator: Estimator,
    /// Weight of the log-ratio of prior to posterior.
    pub beta: f64,
    /// Weights of the log-likelihoods per modality.
    pub rescale: &'a [f64],
}

impl IwaeObjective<'_> {
    /// The bound, negated.
    pub fn loss(
        &self,
        names: Vec<String>,
        weights: &ImportanceWeights,
        sources: &Tensor<2>,
    ) -> Loss {
        let total = iwae(weights.log_weights(self.rescale, self.beta), sources);
        blocks::loss(total, names, weights.terms(self.rescale, sources))
    }

    /// The bound with its gradients. `samples` are reparameterised, `[source, samples, batch, ..]`;
    /// `weigh` gives the log-weights of values in their place, and is told whether to keep
    /// gradients from the parameters of posterior densities.
    pub fn step<M: Module>(
        &self,
        model: &M,
        names: Vec<String>,
        samples: Vec<Tensor<4>>,
        sources: &Tensor<2>,
        weigh: impl FnOnce(&[Tensor<4>], bool) -> ImportanceWeights,
    ) -> Step {
        if self.estimator == Estimator::Iwae {
            return self.loss(names, &weigh(&samples, false), sources).into();
        }
        let mut found = None;
        let gradients = dreg(model, samples, sources, |leaves| {
            let weights = weigh(leaves, true);
            let log_weights = weights.log_weights(self.rescale, self.beta);
            found = Some((weights.terms(self.rescale, sources), log_weights.clone().detach()));
            log_weights
        });
        let (terms, log_weights) = found.expect("the estimator weighs once");
        let loss = blocks::loss(iwae(log_weights, sources), names, terms);
        Step { loss, gradients: Some(gradients) }
    }
}

/// The posteriors of the modalities that a batch observes, each a source of samples.
pub struct Sources {
    /// The modalities that some row observes.
    pub members: Subset,
    /// 1 where a row observes the modality, `[source, batch]`.
    pub presence: Tensor<2>,
    /// Posteriors of the shared space, `[source, batch, latent]`.
    pub shared: LocationScale<3>,
    /// Posteriors of the private spaces, `[source, batch, private]`, for models that have them.
    private: Option<LocationScale<3>>,
}

impl Sources {
    /// Of the modalities that are encoded, of which there is at least one; their private spaces
    /// have one size.
    pub fn new(unimodal: Unimodal, members: Subset, family: Family) -> Self {
        let Unimodal { experts, private } = unimodal;
        let private: Vec<Normal<2>> = private.into_iter().flatten().collect();
        let stack = |of: fn(&Normal<2>) -> &Tensor<2>| -> Tensor<3> {
            Tensor::stack(private.iter().map(|q| of(q).clone()).collect(), 0)
        };
        let private = (!private.is_empty())
            .then(|| family.with_raw_scale(stack(|q| &q.mean), stack(|q| &q.log_var)));
        let shared = family.with_raw_scale(experts.mean, experts.log_var);
        Self { members, presence: experts.presence, shared, private }
    }

    /// The modalities that some row of a batch observes, or of the step that it is a share of: the rows
    /// of a share draw the noise that they would draw in the whole.
    pub fn observed(batch: &Batch) -> Subset {
        let seen = Cell::new(batch.presence().rows()[0]);
        // Goes through the rows of the step.
        batch.share_of(|row| {
            seen.set(seen.get().union(row));
            true
        });
        seen.get()
    }

    /// The mixture of the shared posteriors; rows without any source have the prior,
    /// `[1, 1, latent]`.
    pub fn mixture(&self, batch: &Batch, prior: &LocationScale<3>) -> Mixture {
        Mixture::of_experts(self.shared.clone(), batch.presence().rows(), self.members, prior)
    }

    /// The same where the standard distribution of the family stands in for the posterior of rows
    /// without any source, whose values mean nothing.
    pub fn own_mixture(&self, batch: &Batch) -> Mixture {
        let [_, _, latent] = self.shared.location.dims();
        self.mixture(batch, &self.shared.family.standard([1, 1, latent], &batch.device()))
    }

    /// Values of the shared space from the mixture of the sources and their log-density,
    /// `[samples, batch, latent]` and `[samples, batch]`; from the prior in rows without a source.
    pub fn values(
        &self,
        batch: &Batch,
        prior: &dyn SharedPrior,
        choice: Choice,
        noise: &mut Noise,
    ) -> (Tensor<3>, Tensor<2>) {
        let mixture = self.own_mixture(batch);
        let (u, log_q) = match choice {
            Choice::Random(n) => {
                let u = mixture.sample(n, noise);
                let log_q = mixture.log_prob(&u);
                (u, log_q)
            }
            Choice::Stratified(range, total) => mixture.stratified(range, total, noise),
        };
        let Some(lacking) = self.lacking(batch) else { return (u, log_q) };
        let draws = Draws::Samples(u.dims()[0]);
        let of_prior = prior.draw(draws, batch.rows(), &batch.device(), noise);
        let observed = lacking.clone().neg() + 1.0;
        let log_p = prior.log_prob(&of_prior) * lacking.clone().unsqueeze_dim(0);
        let log_q = log_q * observed.clone().unsqueeze_dim(0) + log_p;
        let u = u * observed.unsqueeze_dims(&[0, 2]) + of_prior * lacking.unsqueeze_dims(&[0, 2]);
        (u, log_q)
    }

    /// The mean of the mixture, `[1, batch, latent]`; that of the prior in rows without a source.
    pub fn mean(&self, batch: &Batch, prior: &dyn SharedPrior, noise: &mut Noise) -> Tensor<3> {
        let mean = self.own_mixture(batch).mean().unsqueeze_dim::<3>(0);
        let Some(lacking) = self.lacking(batch) else { return mean };
        let of_prior = prior.draw(Draws::Mean, batch.rows(), &batch.device(), noise);
        let lacking = lacking.unsqueeze_dims::<3>(&[0, 2]);
        mean * (lacking.clone().neg() + 1.0) + of_prior * lacking
    }

    /// The posteriors of the private spaces, `[source, batch, private]`.
    ///
    /// # Panics
    ///
    /// If the encoders give none.
    pub fn private(&self) -> &LocationScale<3> {
        self.private.as_ref().expect("encoders of models with private codes give them")
    }

    /// 1 where a row observes no source, `[batch]`; `None` if every row observes one.
    fn lacking(&self, batch: &Batch) -> Option<Tensor<1>> {
        let lacks = |row: &Subset| row.intersection(self.members).is_none();
        let rows = batch.presence().rows();
        let values: Vec<f32> = rows.iter().map(|row| f32::from(u8::from(lacks(row)))).collect();
        let count = values.len();
        rows.iter()
            .any(lacks)
            .then(|| Tensor::from_data(TensorData::new(values, [count]), &batch.device()))
    }
}

/// Samples `[source, samples, batch, features]` of posteriors `[source, batch, features]`.
pub fn draw(posterior: &LocationScale<3>, samples: usize, noise: &mut Noise) -> Tensor<4> {
    let [sources, rows, features] = posterior.location.dims();
    let device = posterior.location.device();
    let shape = [sources, samples, rows, features];
    let noise = posterior.family.noise(shape, 2, &device, noise);
    posterior.clone().map(|x| x.unsqueeze_dim::<4>(1)).rsample(noise)
}

/// From `[source, samples, batch, features]` to `[source * samples, batch, features]`.
pub fn folded(z: &Tensor<4>) -> Tensor<3> {
    let [sources, samples, rows, features] = z.dims();
    z.clone().reshape([sources * samples, rows, features])
}

/// From `[source * samples, batch]` to `[source, samples, batch]`.
pub fn unfolded(values: Tensor<2>, sources: usize) -> Tensor<3> {
    let [all, rows] = values.dims();
    values.reshape([sources, all / sources, rows])
}

/// A prior of location 0 whose scale is learned, or that of raw value 0; see [`Family`].
#[derive(Module, Debug)]
pub struct ZeroMeanPrior {
    /// What the scale is the map of, `[1, features]`, where it is learned; it starts at 0.
    raw: Option<Param<Tensor<2>>>,
    #[module(skip)]
    family: Family,
    #[module(skip)]
    features: usize,
}

impl ZeroMeanPrior {
    /// Of so many features.
    pub fn init(family: Family, features: usize, learned: bool, device: &Device) -> Self {
        let raw = learned.then(|| Initializer::Zeros.init([1, features], device));
        Self { raw, family, features }
    }

    /// The distribution, `[1, 1, features]`.
    pub fn distribution(&self, device: &Device) -> LocationScale<3> {
        match &self.raw {
            None => self.family.standard([1, 1, self.features], device),
            Some(raw) => {
                let raw = raw.val().unsqueeze_dim::<3>(0);
                self.family.with_raw_scale(raw.zeros_like(), raw)
            }
        }
    }
}

/// One prior a modality.
pub fn modality_priors(
    modalities: &[ModalitySpec],
    family: Family,
    features: usize,
    learned: bool,
    device: &Device,
) -> Named<ZeroMeanPrior> {
    let prior = || ZeroMeanPrior::init(family, features, learned, device);
    modalities.iter().map(|spec| (spec.name.to_string(), prior())).collect()
}

/// Values of one distribution `[1, 1, features]` for all rows, `[samples, batch, features]`; its
/// location, as one sample, for [`Draws::Mean`].
pub fn draw_prior(
    prior: &LocationScale<3>,
    draws: Draws,
    rows: usize,
    noise: &mut Noise,
) -> Tensor<3> {
    let [_, _, features] = prior.location.dims();
    match draws {
        Draws::Mean => prior.location.clone().expand([1, rows, features]),
        Draws::Samples(n) => {
            let device = prior.location.device();
            prior.rsample(prior.family.noise([n, rows, features], 1, &device, noise))
        }
    }
}

/// From which prior the private code of a modality that is not given is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PrivatePrior {
    /// That of all modalities, `p(w)`.
    #[default]
    Shared,
    /// The modality's own auxiliary prior, `r_m(w)`.
    Modality,
}

/// The prior of the shared space.
pub trait SharedPrior {
    /// `log p(u)`, `[samples, batch]`.
    fn log_prob(&self, shared: &Tensor<3>) -> Tensor<2>;
    /// Values of the shared space, `[samples, batch, latent]`.
    fn draw(&self, draws: Draws, rows: usize, device: &Device, noise: &mut Noise) -> Tensor<3>;
}

/// The prior of the generative process of a model with private codes.
pub trait GenerativePrior: SharedPrior {
    /// `p(w)`, `[1, 1, private]`.
    fn private(&self, device: &Device) -> LocationScale<3>;
}

/// A mixture of experts on the shared space with private codes of one size: what MMVAE+ and CMVAE
/// have in common. They differ in the prior.
pub struct PrivateExperts<'a> {
    /// One encoder per modality.
    pub encoders: &'a Named<EncoderNet>,
    /// One decoder per modality, of shared and private codes side by side.
    pub decoders: &'a Named<Decoder>,
    /// The auxiliary priors `r_m`.
    pub modality_priors: &'a Named<ZeroMeanPrior>,
    /// The modalities, in the model's order.
    pub modalities: &'a [ModalitySpec],
    /// Of posteriors and priors.
    pub family: Family,
    /// Where private codes that are not given come from.
    pub private_prior: PrivatePrior,
    /// The prior of shared and private codes.
    pub prior: &'a dyn GenerativePrior,
}

/// Which samples of a mixture are wanted.
#[derive(Clone, Debug)]
pub enum Choice {
    /// So many, each from a component at random.
    Random(usize),
    /// These of so many, which are dealt to the components in turn.
    Stratified(std::ops::Range<usize>, usize),
}

/// `log p(x_m | u, w)` of shared and private codes `[source, samples, batch, features]`, of each modality
/// of the model `[source, samples, batch]`; `None` for one that is no source. A modality is decoded from
/// its own private code where it is the source, else from `auxiliary` ones,
/// `[(sources - 1) * samples, batch, private]` by modality, of which there are none for a single source.
pub fn cross_likelihoods(
    decoders: &Named<Decoder>,
    batch: &Batch,
    members: Subset,
    codes: &[Tensor<4>],
    auxiliary: &[Option<Tensor<3>>],
) -> Vec<Option<Tensor<3>>> {
    let [count, samples, ..] = codes[0].dims();
    let (u, w) = (folded(&codes[0]), folded(&codes[1]));
    let likelihood = |(m, auxiliary): (usize, &Option<Tensor<3>>)| {
        let place = members.iter().position(|source| source == m)?;
        let own = w.clone().narrow(0, place * samples, samples);
        let code = match auxiliary {
            None => own,
            Some(others) => {
                let after = (count - 1 - place) * samples;
                let mut parts = Vec::new();
                if place > 0 {
                    parts.push(others.clone().narrow(0, 0, place * samples));
                }
                parts.push(own);
                if after > 0 {
                    parts.push(others.clone().narrow(0, place * samples, after));
                }
                Tensor::cat(parts, 0)
            }
        };
        let input = blocks::decoder_input(&u, Some(&code));
        Some(unfolded(blocks::log_likelihood(decoders, batch, m, input), count))
    };
    auxiliary.iter().enumerate().map(likelihood).collect()
}

impl PrivateExperts<'_> {
    /// The posteriors of the modalities in `which`.
    pub fn sources(&self, batch: &Batch, which: Subset) -> Sources {
        Sources::new(
            blocks::encode(self.encoders, self.modalities, batch, which),
            which,
            self.family,
        )
    }

    /// The log-weights of `samples` samples of every source that the batch observes, and which
    /// sources a row has, `[source, batch]`.
    pub fn importance_weights(
        &self,
        batch: &Batch,
        samples: usize,
        noise: &mut Noise,
    ) -> (ImportanceWeights, Tensor<2>) {
        let sources = self.sources(batch, Sources::observed(batch));
        let codes = self.samples(&sources, samples, noise);
        let auxiliary = self.auxiliary(&sources, samples, noise);
        (self.weigh(batch, &sources, &codes, &auxiliary, false), sources.presence)
    }

    /// The bound of `samples` samples of every source, with its gradients.
    pub fn step(
        &self,
        model: &(impl Learn + Module),
        objective: &IwaeObjective<'_>,
        batch: &Batch,
        samples: usize,
        noise: &mut Noise,
    ) -> Step {
        let sources = self.sources(batch, Sources::observed(batch));
        let codes = self.samples(&sources, samples, noise);
        let auxiliary = self.auxiliary(&sources, samples, noise);
        let weigh = |codes: &[Tensor<4>], detach: bool| {
            self.weigh(batch, &sources, codes, &auxiliary, detach)
        };
        let names = model.terms(batch.progress);
        objective.step(model, names, codes, &sources.presence, weigh)
    }

    /// Reparameterised samples of shared and private codes of every source, to be weighed.
    fn samples(&self, sources: &Sources, samples: usize, noise: &mut Noise) -> Vec<Tensor<4>> {
        vec![draw(&sources.shared, samples, noise), draw(sources.private(), samples, noise)]
    }

    /// Private codes of each modality that is not their source, from its auxiliary prior, for
    /// [`weigh`](Self::weigh): `[(sources - 1) * samples, batch, private]` by modality, `None` for
    /// one that the batch lacks.
    fn auxiliary(
        &self,
        sources: &Sources,
        samples: usize,
        noise: &mut Noise,
    ) -> Vec<Option<Tensor<3>>> {
        let [count, rows] = sources.presence.dims();
        let device = sources.presence.device();
        let mut code = |m: usize| {
            let prior = self.modality_priors.at(m).distribution(&device);
            draw_prior(&prior, Draws::Samples((count - 1) * samples), rows, noise)
        };
        let used = |m: &usize| count > 1 && sources.members.contains(*m);
        (0..self.modalities.len()).map(|m| used(&m).then(|| code(m))).collect()
    }

    /// Weighs shared and private codes `[source, samples, batch, features]`; see
    /// [`cross_likelihoods`].
    fn weigh(
        &self,
        batch: &Batch,
        sources: &Sources,
        codes: &[Tensor<4>],
        auxiliary: &[Option<Tensor<3>>],
        detach: bool,
    ) -> ImportanceWeights {
        let count = codes[0].dims()[0];
        let (u, w) = (folded(&codes[0]), folded(&codes[1]));
        let log_likelihood =
            cross_likelihoods(self.decoders, batch, sources.members, codes, auxiliary);
        let device = batch.device();
        let mixture = sources.own_mixture(batch);
        let (mixture, private) = match detach {
            true => (mixture.detach(), sources.private().clone().detach()),
            false => (mixture, sources.private().clone()),
        };
        let log_p = self.prior.log_prob(&u) - mixture.log_prob(&u);
        let log_p_w: Tensor<2> = self.prior.private(&device).log_prob(w);
        let log_q_w: Tensor<3> =
            private.map(|x| x.unsqueeze_dim::<4>(1)).log_prob(codes[1].clone());
        let log_ratio = unfolded(log_p + log_p_w, count) - log_q_w;
        ImportanceWeights { log_likelihood, log_ratio }
    }

    /// The posterior of the private code of each modality, `[1, batch, private]`; the prior where
    /// it is not given or the row lacks it.
    fn private(&self, batch: &Batch, sources: &Sources) -> Vec<LocationScale<3>> {
        let device = batch.device();
        let posterior = |m: usize| {
            let prior = match self.private_prior {
                PrivatePrior::Shared => self.prior.private(&device),
                PrivatePrior::Modality => self.modality_priors.at(m).distribution(&device),
            };
            let Some(place) = sources.members.iter().position(|source| source == m) else {
                return prior;
            };
            let own = sources.private().clone().map(|x| x.narrow(0, place, 1));
            let observed = batch.presence().of(m).unsqueeze_dims::<3>(&[0, 2]);
            let lacking = observed.clone().neg() + 1.0;
            LocationScale {
                family: own.family,
                location: own.location * observed.clone() + prior.location * lacking.clone(),
                scale: own.scale * observed + prior.scale * lacking,
            }
        };
        (0..self.modalities.len()).map(posterior).collect()
    }

    fn with_codes(
        &self,
        u: Tensor<3>,
        private: &[LocationScale<3>],
        rows: usize,
        draws: Draws,
        noise: &mut Noise,
    ) -> Latent {
        let codes = self.modalities.iter().zip(private);
        let code = |(spec, posterior): (&ModalitySpec, &LocationScale<3>)| {
            let [_, batch, features] = posterior.location.dims();
            let posterior = match batch {
                1 => posterior.clone().map(|x| x.expand([1, rows, features])),
                _ => posterior.clone(),
            };
            (spec.name.clone(), draw_prior(&posterior, draws, rows, noise))
        };
        Latent::shared(u).with_private(codes.map(code).collect())
    }

    /// Samples of the mixture of the given modalities, and of the private spaces of all.
    pub fn encode(&self, batch: &Batch, given: Subset, draws: Draws, noise: &mut Noise) -> Latent {
        let sources = self.sources(batch, given);
        let u = match draws {
            Draws::Samples(n) => sources.values(batch, self.prior, Choice::Random(n), noise).0,
            Draws::Mean => sources.mean(batch, self.prior, noise),
        };
        let private = self.private(batch, &sources);
        self.with_codes(u, &private, batch.rows(), draws, noise)
    }

    /// Samples of the generative process.
    pub fn generate(&self, rows: usize, device: &Device, noise: &mut Noise) -> Latent {
        let draws = Draws::Samples(1);
        let u = self.prior.draw(draws, rows, device, noise);
        let prior = |m: usize| match self.private_prior {
            PrivatePrior::Shared => self.prior.private(device),
            PrivatePrior::Modality => self.modality_priors.at(m).distribution(device),
        };
        let private: Vec<_> = (0..self.modalities.len()).map(prior).collect();
        self.with_codes(u, &private, rows, draws, noise)
    }

    /// `log p(x_m | u, w_m)` of one modality.
    pub fn log_prob(&self, batch: &Batch, latent: &Latent, m: usize) -> Tensor<2> {
        let input = blocks::input(latent, &self.modalities[m]);
        blocks::log_likelihood(self.decoders, batch, m, input)
    }

    /// The bound, of one sample a given modality.
    pub fn bound(&self, batch: &Batch, given: Subset, noise: &mut Noise) -> Bound {
        let (sources, samples) = (self.sources(batch, given), given.len());
        let choice = Choice::Stratified(0..samples, samples);
        let (u, log_q) = sources.values(batch, self.prior, choice, noise);
        let kl = (log_q - self.prior.log_prob(&u)).mean_dim(0).squeeze_dim(0);
        let private = self.private(batch, &sources);
        let draws = Draws::Samples(samples);
        let latent = self.with_codes(u, &private, batch.rows(), draws, noise);
        let likelihoods = (0..self.modalities.len())
            .map(|m| self.log_prob(batch, &latent, m).mean_dim(0))
            .collect();
        let prior = self.prior.private(&batch.device());
        let mut divergences = vec![("kl".to_owned(), kl)];
        for m in given.iter() {
            let name = &self.modalities[m].name;
            let code = latent.of(name).expect("every modality has a private space");
            let log_q: Tensor<2> = private[m].log_prob(code.clone());
            let log_p: Tensor<2> = prior.log_prob(code.clone());
            let observed = batch.presence().of(m);
            let kl = (log_q - log_p).mean_dim(0).squeeze_dim::<1>(0) * observed;
            divergences.push((format!("kl_private/{name}"), kl));
        }
        blocks::bound(likelihoods, divergences)
    }

    /// Importance samples: shared codes stratified over the targets, private ones of the targets
    /// from their posteriors, weighed with `p(u) Π p(w_m)`.
    pub fn joint_likelihood(
        &self,
        batch: &Batch,
        targets: Subset,
        budget: Budget,
        noise: &mut Noise,
    ) -> Estimate {
        let sources = self.sources(batch, targets);
        let prior = self.prior.private(&batch.device());
        let private = self.private(batch, &sources);
        importance_estimate(batch.rows(), budget, &batch.device(), |samples| {
            let draws = Draws::Samples(samples.len());
            let choice = Choice::Stratified(samples, budget.samples);
            let (u, log_q) = sources.values(batch, self.prior, choice, noise);
            let ratio = self.prior.log_prob(&u) - log_q;
            targets.iter().fold(ratio, |weights, m| {
                let w = draw_prior(&private[m], draws, batch.rows(), noise);
                let log_p: Tensor<2> = prior.log_prob(w.clone());
                let log_q: Tensor<2> = private[m].log_prob(w.clone());
                let observed = batch.presence().of(m).unsqueeze_dim::<2>(0);
                let input = blocks::decoder_input(&u, Some(&w));
                let likelihood = blocks::log_likelihood(self.decoders, batch, m, input);
                weights + (log_p - log_q) * observed + likelihood
            })
        })
    }
}

/// What mixtures of experts with modality-specific latents do alike, from a method `experts` that
/// gives their [`PrivateExperts`]: encoding, generating and densities.
macro_rules! private_experts {
    ($model:ty) => {
        const _: () = {
            use multivae_core::model::{Bound, Density, Draws, Encode, Generate, Latent};

            impl Encode for $model {
                fn encode(
                    &self,
                    batch: &Batch,
                    given: Subset,
                    draws: Draws,
                    noise: &mut Noise,
                ) -> Latent {
                    self.experts().encode(batch, given, draws, noise)
                }
            }

            impl Generate for $model {
                fn prior(&self, rows: usize, device: &Device, noise: &mut Noise) -> Latent {
                    self.experts().generate(rows, device, noise)
                }

                fn decode(&self, latent: &Latent, targets: Subset) -> Vec<Tensor<3>> {
                    blocks::decode(&self.decoders, &self.modalities, latent, targets)
                }

                fn decoder(&self, modality: usize) -> Option<&Decoder> {
                    Some(self.decoders.at(modality))
                }
            }

            impl Density for $model {
                fn bound(&self, batch: &Batch, given: Subset, noise: &mut Noise) -> Bound {
                    self.experts().bound(batch, given, noise)
                }

                fn joint_likelihood(
                    &self,
                    batch: &Batch,
                    targets: Subset,
                    budget: Budget,
                    noise: &mut Noise,
                ) -> Estimate {
                    self.experts().joint_likelihood(batch, targets, budget, noise)
                }
            }
        };
    };
}

pub(crate) use private_experts;
