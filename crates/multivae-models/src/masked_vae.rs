//! Masked VAE: features of modalities that are added up, and a bound over what is given and what is not.
//!
//! **Paper.** Hirt, Campolo, Leong and Ortega, "Learning multi-modal generative models with
//! permutation-invariant encoders and tighter variational objectives", TMLR 2024, OpenReview lM4nHnxGfL;
//! Zaheer et al., "Deep Sets", NeurIPS 2017, arXiv 1703.06114, for the sums.
//!
//! **Generative process.** `z ~ N(0, I)`, `x_m ~ p(x_m | z)` for every modality.
//!
//! **Inference.** `q(z | x_S) = ρ(Σ_{m in S} h_m(x_m))`, a normal distribution whose parameters the network
//! `ρ` reads from the sum of the features of what a row observes; the prior for a row without any.
//!
//! **Objective.** For each row a set `S` of observed modalities is drawn, each being in it with
//! probability `1 - v`, `v` uniform between 0 and 1; `X` are all observed ones. With `z_S ~ q(z | x_S)` and
//! `z ~ q(z | X)`,
//!
//! ```text
//! loss = mean_b [ -Σ_{m in S} λ_m log p(x_m | z_S) + β KL(q(z | x_S) ‖ p(z))
//!                 -Σ_{m not in S} λ_m log p(x_m | z) + β KL(q(z | X) ‖ q(z | x_S)) ]
//! ```
//!
//! a bound of `log p(x_S) + log p(x_rest | x_S)`, in which the posterior of less is the prior of more.
//!
//! **What differs from the authors' code.** Divergences are in closed form, where it takes the difference
//! of log-densities at one sample or more. An empty set has the prior, where its network reads zeros. Its
//! attention between modalities, private spaces and learned mixture of normal distributions as the prior
//! are not here.
//!
//! **Incomplete data.** Yes.
//!
//! **Cost of a step.** `M` encoder calls of `B` rows, a call of `ρ` and `M` decoder calls of `2 B` rows.

use burn::{
    module::Module,
    tensor::{Device, Tensor},
};
use multivae_core::{
    Result,
    batch::{Batch, Progress, Values},
    distribution::Normal,
    modality::ModalitySpec,
    model::{Learn, Loss, Multimodal},
    module::Named,
    nn::{Decoder, Encoder, EncoderConfig, EncoderNet, NetworkConfig, Networks},
    noise::Noise,
    objective::Rescale,
    options,
    subset::Subset,
};

use crate::{
    blocks::{
        self, ModalityConfig, PrivateSpace,
        codes::{CodeNet, Codes},
        posterior::normal_posterior,
    },
    registry::Listed,
};

options! {
    /// Configuration of [`MaskedVae`].
    pub struct MaskedVaeConfig {
        /// Features of the latent space, at least 1.
        pub latent: usize = 20,
        /// Features of a modality that are added up, at least 1.
        pub features: usize = 64,
        /// Weight of the divergences, at least 0.
        pub beta: f64 = 1.0,
        /// From the sum of features to the posterior; a perceptron if not given.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub pool: Option<EncoderConfig> = None,
        /// Weights of the modalities' likelihoods: "none", "by_size" or { given = [..] }.
        pub rescale: Rescale = Rescale::None,
        /// Networks and likelihoods by modality; what is not given comes from the data.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub modalities: Vec<ModalityConfig> = Vec::new(),
    }
}

/// A VAE of summed features with a masked bound; see the [module](self).
#[derive(Module, Debug)]
pub struct MaskedVae {
    /// From a modality to its features.
    encoders: Named<CodeNet>,
    pool: EncoderNet,
    decoders: Named<Decoder>,
    #[module(skip)]
    modalities: Vec<ModalitySpec>,
    #[module(skip)]
    config: MaskedVaeConfig,
    #[module(skip)]
    rescale: Vec<f64>,
    #[module(skip)]
    private: Vec<usize>,
}

impl Listed for MaskedVaeConfig {}

impl MaskedVaeConfig {
    /// Fills in what the data says.
    ///
    /// # Errors
    ///
    /// When configuration and data contradict each other.
    pub fn with_modalities(mut self, specs: &[ModalitySpec]) -> Result<Self> {
        self.modalities = blocks::complete(&self.modalities, specs)?;
        self.check()?;
        let pool = self.pool.take().map_or_else(|| self.default_pool(), Ok)?;
        self.pool = Some(pool);
        Ok(self)
    }

    fn default_pool(&self) -> Result<EncoderConfig> {
        Ok(EncoderConfig::default_for(&ModalitySpec::new("pool", &[self.features])?))
    }

    fn check(&self) -> Result<()> {
        blocks::check(self.latent > 0, "model.latent", "at least 1", self.latent)?;
        blocks::check(self.features > 0, "model.features", "at least 1", self.features)?;
        blocks::check_weight("model.beta", self.beta)?;
        self.rescale.check(self.modalities.len())
    }

    /// Builds the model; `networks` holds those that the configuration calls custom.
    ///
    /// # Errors
    ///
    /// When a value is out of its range or a network cannot be built.
    pub fn init(&self, networks: &Networks, device: &Device) -> Result<MaskedVae> {
        let modalities = blocks::resolved(&self.modalities, networks)?;
        self.check()?;
        let (mut encoders, mut decoders) = (Vec::new(), Vec::new());
        for (config, spec) in self.modalities.iter().zip(&modalities) {
            let name = spec.name.to_string();
            let encoder = CodeNet::init(config, self.features, networks, device)?;
            let decoder = config.decoder.clone();
            let decoder = decoder.unwrap_or_else(|| NetworkConfig::default_for(spec));
            let decoder = Decoder::init(&decoder, spec, &[self.latent], networks, device)?;
            encoders.push((name.clone(), encoder));
            decoders.push((name, decoder));
        }
        let pool = self.pool.clone().map_or_else(|| self.default_pool(), Ok)?;
        let latent: &[usize] = &[self.latent];
        let pool = pool.init("pool", &[self.features], Some(latent), None, networks, device)?;
        let rescale = self.rescale.factors(&modalities);
        Ok(MaskedVae {
            encoders: encoders.into_iter().collect(),
            pool,
            decoders: decoders.into_iter().collect(),
            private: vec![0; modalities.len()],
            modalities,
            config: self.clone(),
            rescale,
        })
    }
}

impl MaskedVae {
    /// The posteriors of several sets a row, `[set, batch, latent]`, from the features of modalities
    /// and masks of which are in a set, `[modality, batch]` each: those of no modality are the prior.
    fn posteriors(&self, features: &Tensor<3>, masks: &[Tensor<2>]) -> Normal<3> {
        let [_, batch, _] = features.dims();
        let sum = |mask: &Tensor<2>| -> Tensor<2> {
            (features.clone() * mask.clone().unsqueeze_dim(2)).sum_dim(0).squeeze_dim(0)
        };
        let sums = Tensor::cat(masks.iter().map(sum).collect(), 0);
        let any = |mask: &Tensor<2>| mask.clone().sum_dim(0).clamp_max(1.0);
        let any = Tensor::cat(masks.iter().map(any).collect(), 0).unsqueeze_dim::<3>(2);
        let pooled = self.pool.encode(&Values::Dense(sums)).shared.bounded();
        // A standard normal has mean and log-variance zero.
        pooled.map(|x| x.reshape([masks.len(), batch, self.config.latent]) * any.clone())
    }

    /// The posterior of the modalities in `given`, and no private spaces.
    fn posterior(&self, batch: &Batch, given: Subset) -> (Normal<2>, Vec<PrivateSpace>) {
        let Codes { values, presence } =
            Codes::encode(&self.encoders, &self.modalities, batch, given);
        (blocks::only(self.posteriors(&values, &[presence])), Vec::new())
    }
}

/// Which of the observed modalities are in the set that is drawn for each row, `[modality, batch]`.
fn drawn(presence: &Tensor<2>, noise: &mut Noise) -> Tensor<2> {
    let [modalities, batch] = presence.dims();
    let device = presence.device();
    let share = noise.uniform([1, batch], 1, &device);
    let each = noise.uniform([modalities, batch], 1, &device);
    each.greater_equal(share.expand([modalities, batch])).float() * presence.clone()
}

impl Multimodal for MaskedVae {
    fn modalities(&self) -> &[ModalitySpec] {
        &self.modalities
    }
}

impl Learn for MaskedVae {
    /// `kl` is the divergence of the posterior of the drawn set from the prior, `kl_rest` that of the
    /// posterior of all from it.
    fn terms(&self, _: Progress) -> Vec<String> {
        let mut names = blocks::reconstruction_terms(&self.modalities);
        names.extend(["kl".into(), "kl_rest".into()]);
        names
    }

    fn loss(&self, batch: &Batch, noise: &mut Noise) -> Loss {
        let all = Subset::full(self.modalities.len());
        let Codes { values, presence } =
            Codes::encode(&self.encoders, &self.modalities, batch, all);
        let part = drawn(&presence, noise);
        let posteriors = self.posteriors(&values, &[part.clone(), presence]);
        let z = posteriors.rsample(noise.normal(posteriors.mean.dims(), 1, &batch.device()));
        let rows = batch.rows() as f64;
        let likelihood = |(m, scale): (usize, &f64)| {
            // Rows of the first are those of the drawn set, of the second those of the rest.
            let inside = part.clone().narrow(0, m, 1);
            let weights = Tensor::cat(vec![inside.clone(), inside.neg() + 1.0], 0);
            let likelihood = blocks::log_likelihood(&self.decoders, batch, m, z.clone());
            (likelihood * weights).sum() * (-*scale / rows)
        };
        let mut terms: Vec<_> = self.rescale.iter().enumerate().map(likelihood).collect();
        let one = |place: usize| posteriors.clone().map(|x| x.narrow(0, place, 1));
        let (of_part, of_all) = (one(0), one(1));
        let kl = of_part.kl_standard::<2>().mean();
        let rest = of_all.kl::<2>(&of_part).mean();
        let total = blocks::sum(&terms) + (kl.clone() + rest.clone()) * self.config.beta;
        terms.extend([kl, rest]);
        blocks::loss(total, self.terms(batch.progress), terms)
    }
}

normal_posterior!(MaskedVae);

#[cfg(test)]
mod tests {
    use multivae_core::{module::init_parameters, noise::Draw};

    use super::*;

    #[test]
    fn a_set_is_drawn_among_what_a_row_observes() {
        let device = Device::flex();
        let presence = Tensor::from_floats([[1.0, 1.0], [1.0, 0.0]], &device);
        let mut noise = Noise::recorded([
            Draw::Uniform(vec![1, 2], vec![0.5, 0.1]),
            Draw::Uniform(vec![2, 2], vec![0.7, 0.05, 0.2, 0.9]),
        ]);
        let found: Vec<f32> =
            drawn(&presence, &mut noise).into_data().try_into_vec().expect("floats");
        assert_eq!(found, [1.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn with_all_in_the_set_the_objective_is_the_bound_and_with_none_too() {
        let device = Device::flex();
        let specs = ["a", "b"].map(|name| ModalitySpec::new(name, &[3]).expect("valid"));
        let config = MaskedVaeConfig { latent: 2, features: 4, ..Default::default() };
        let config = config.with_modalities(&specs).expect("the data suits");
        let model = init_parameters(config.init(&Networks::default(), &device).expect("a model"));
        let batch = Batch::complete(vec![Tensor::ones([1, 3], &device); 2]).expect("one size");
        let of = |share: f32| {
            let zeros = Draw::Normal(vec![2, 1, 2], vec![0.0; 4]);
            let each = Draw::Uniform(vec![2, 1], vec![0.5; 2]);
            let mut noise = Noise::recorded([Draw::Uniform(vec![1, 1], vec![share]), each, zeros]);
            model.loss(&batch, &mut noise)
        };
        let value = |x: &Tensor<1>| x.clone().into_scalar::<f32>();
        let (all, none) = (of(0.0), of(1.0));
        assert!((value(&all.total) - value(&none.total)).abs() < 1e-4);
        // The divergence is all that of the set, or all that of the rest.
        let term = |loss: &Loss, place: usize| value(&loss.terms[place].1);
        assert!(term(&all, 3).abs() < 1e-6 && term(&none, 2).abs() < 1e-6);
        assert!((term(&all, 2) - term(&none, 3)).abs() < 1e-5 && term(&all, 2) > 0.0);
    }
}
