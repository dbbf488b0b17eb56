//! What models are put together from, for those of this crate and your own.
//!
//! | item | for |
//! |---|---|
//! | [`ModalityConfig`], [`complete`], [`specs`], [`check`] | configurations: what the data says is filled in, numbers are checked by name |
//! | [`networks`], [`autoencoder`] | an encoder and a decoder per modality |
//! | [`encode`], [`posterior`], [`draw`] | unimodal posteriors of a batch, joined by a rule, and their samples |
//! | [`log_likelihood`], [`reconstructions`], [`expert_divergences`] | parts of an objective, masked by what is observed |
//! | [`PrivateSpace`], [`codes()`], [`private_divergences`] | modality-specific latents beside a shared space |
//! | [`shared_bound`], [`private_bound`], [`estimate`], [`estimate_by_mixture`] | bounds and importance-sampled likelihoods |
//! | [`joint`] | an encoder of all modalities, which serves the rows that observe them all |
//! | [`experts`] | mixtures of experts with importance-weighted objectives |
//! | [`objective`] | objectives with private spaces, bounds of single posteriors |
//! | [`powers`] | products of experts with learned powers |
//! | [`subset_mixture`] | mixtures over sets of modalities |
//! | [`sparse`] | latent values with learned dropout rates |
//! | [`pooling`] | barycentres, Hellinger pools and dependent experts |
//! | [`codes`](mod@codes) | deterministic encoders, and reconstructions from the codes of all modalities |
//! | [`adversary`] | codes that a critic tells from samples of the prior |
//! | [`critics`] | decoded values that critics tell from observed ones |
//! | [`correlation`] | canonical correlations of codes |
//! | [`diffusion`] | networks that tell codes from noise, and the flows that they drive |
//!
//! All log-densities and divergences are in nats, summed over features; what is missing is 0.

pub mod adversary;
pub mod codes;
pub mod correlation;
pub mod critics;
pub mod diffusion;
pub mod experts;
pub mod joint;
pub mod objective;
pub(crate) mod pooled;
pub mod pooling;
pub(crate) mod posterior;
pub mod powers;
pub mod sparse;
pub mod subset_mixture;

use std::collections::BTreeMap;

use burn::tensor::{Device, Int, Tensor, TensorData};
use multivae_core::{
    Error, Result,
    batch::Batch,
    distribution::{Likelihood, Normal},
    fusion::{Experts, Product},
    mixture::Mixture,
    modality::{ModalityName, ModalitySpec, check_all},
    model::{Bound, Draws, Latent, Loss},
    module::Named,
    nn::{Decoder, EncoderConfig, EncoderNet, Encoding, NetworkConfig, Networks},
    noise::Noise,
    objective::{Budget, Estimate, importance_estimate, log_prior_ratio},
    subset::{Subset, Subsets},
};
use serde::{Deserialize, Serialize};

/// What a model's configuration says of one modality.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `name` | required | name of the modality |
/// | `shape` | from the data | shape of one sample |
/// | `likelihood` | from the data | distribution of the decoder |
/// | `encoder` | by shape | network from values to the posterior |
/// | `decoder` | by shape | network from latent values to the likelihood's parameters |
/// | `observed_mask` | false | whether the encoder reads which cells are observed beside the values |
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModalityConfig {
    /// Name of the modality.
    pub name: ModalityName,
    /// Shape of one sample, without the batch axis; empty for what the data says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shape: Vec<usize>,
    /// Distribution of the decoder; `None` for what the data says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub likelihood: Option<Likelihood>,
    /// Network from values to the posterior; `None` for the default of the shape.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoder: Option<EncoderConfig>,
    /// Network from latent values to the parameters of the likelihood; `None` for the default of
    /// the shape.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decoder: Option<NetworkConfig>,
    /// Whether encoders read which cells are observed beside the values; true where the data says
    /// so. See [`ModalitySpec::input_shape`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub observed_mask: bool,
}

impl ModalityConfig {
    /// Default networks and likelihood.
    pub fn new(name: ModalityName) -> Self {
        Self {
            name,
            shape: Vec::new(),
            likelihood: None,
            encoder: None,
            decoder: None,
            observed_mask: false,
        }
    }

    /// The modality that is configured.
    ///
    /// # Errors
    ///
    /// As [`ModalitySpec::check`].
    pub fn spec(&self) -> Result<ModalitySpec> {
        let spec = ModalitySpec {
            name: self.name.clone(),
            shape: self.shape.clone(),
            likelihood: self.likelihood.clone().unwrap_or_default(),
            observed_mask: self.observed_mask,
        };
        spec.check()?;
        Ok(spec)
    }
}

/// Fills in what the data says: missing modalities, shapes, likelihoods and default networks.
///
/// # Errors
///
/// [`Error::UnknownModality`] if the configuration names a modality the data lacks,
/// [`Error::Shape`] if it gives another shape than the data has, or as [`check_all`].
pub fn complete(given: &[ModalityConfig], data: &[ModalitySpec]) -> Result<Vec<ModalityConfig>> {
    let mut modalities = complete_likelihoods(given, data)?;
    for config in &mut modalities {
        let spec = config.spec()?;
        config.encoder.get_or_insert_with(|| EncoderConfig::default_for(&spec));
        config.decoder.get_or_insert_with(|| NetworkConfig::default_for(&spec));
    }
    Ok(modalities)
}

/// As [`complete`], but for the networks, which stay open.
///
/// # Errors
///
/// As [`complete`].
pub fn complete_likelihoods(
    given: &[ModalityConfig],
    data: &[ModalitySpec],
) -> Result<Vec<ModalityConfig>> {
    check_all(data)?;
    for config in given {
        Subset::named(data, [config.name.as_str()])?;
    }
    let fill = |spec: &ModalitySpec| {
        let config = given.iter().find(|c| c.name == spec.name).cloned();
        let mut config = config.unwrap_or_else(|| ModalityConfig::new(spec.name.clone()));
        if !config.shape.is_empty() && config.shape != spec.shape {
            return Err(Error::Shape {
                modality: spec.name.to_string(),
                expected: format!("{:?}, as the configuration says", config.shape),
                found: format!("{:?} in the data", spec.shape),
            });
        }
        config.shape.clone_from(&spec.shape);
        config.likelihood.get_or_insert_with(|| spec.likelihood.clone());
        config.observed_mask |= spec.observed_mask;
        Ok(config)
    };
    data.iter().map(fill).collect()
}

/// The modalities of a complete configuration.
///
/// # Errors
///
/// As [`ModalitySpec::check`] and [`check_all`].
pub fn specs(modalities: &[ModalityConfig]) -> Result<Vec<ModalitySpec>> {
    let specs = modalities.iter().map(ModalityConfig::spec).collect::<Result<Vec<_>>>()?;
    check_all(&specs)?;
    Ok(specs)
}

/// The same with the likelihoods of the user looked up.
///
/// # Errors
///
/// As [`specs`] and [`Networks::resolve`].
pub fn resolved(modalities: &[ModalityConfig], networks: &Networks) -> Result<Vec<ModalitySpec>> {
    specs(modalities)?.into_iter().map(|spec| networks.resolve(spec)).collect()
}

/// Checks a number of the configuration.
///
/// # Errors
///
/// [`Error::Config`].
pub fn check(holds: bool, field: &str, expected: &str, found: impl ToString) -> Result<()> {
    if holds {
        return Ok(());
    }
    Err(Error::Config { field: field.into(), expected: expected.into(), found: found.to_string() })
}

/// Checks a weight of the objective.
///
/// # Errors
///
/// [`Error::Config`].
pub fn check_weight(field: &str, value: f64) -> Result<()> {
    check(value.is_finite() && value >= 0.0, field, "a finite number of at least 0", value)
}

/// The encoders and decoders of a model with one latent space and private ones of the given
/// sizes.
///
/// # Errors
///
/// When a network cannot be built.
pub fn networks(
    modalities: &[ModalityConfig],
    latent: usize,
    private: &[usize],
    networks: &Networks,
    device: &Device,
) -> Result<(Named<EncoderNet>, Named<Decoder>)> {
    let (mut encoders, mut decoders) = (Vec::new(), Vec::new());
    for (config, &private) in modalities.iter().zip(private) {
        let (encoder, decoder) = autoencoder(config, latent, private, networks, device)?;
        encoders.push((config.name.to_string(), encoder));
        decoders.push((config.name.to_string(), decoder));
    }
    Ok((encoders.into_iter().collect(), decoders.into_iter().collect()))
}

/// The encoder and the decoder of one modality, with a private space of the given size.
///
/// # Errors
///
/// When a network cannot be built.
pub fn autoencoder(
    config: &ModalityConfig,
    latent: usize,
    private: usize,
    networks: &Networks,
    device: &Device,
) -> Result<(EncoderNet, Decoder)> {
    let spec = config.spec()?;
    let encoder = config.encoder.clone().unwrap_or_else(|| EncoderConfig::default_for(&spec));
    let decoder = config.decoder.clone().unwrap_or_else(|| NetworkConfig::default_for(&spec));
    let encoder = encoder.init(
        &format!("encoder of `{}`", spec.name),
        &spec.input_shape(),
        Some(&[latent]),
        (private > 0).then_some(private),
        networks,
        device,
    )?;
    let decoder = Decoder::init(&decoder, &spec, &[latent + private], networks, device)?;
    Ok((encoder, decoder))
}

/// The unimodal posteriors of a batch.
#[derive(Clone, Debug)]
pub struct Unimodal {
    /// Posteriors of the shared space, one an encoded modality, in order.
    pub experts: Experts,
    /// Posteriors of the private spaces, `[batch, private]`, one a modality of the model; `None`
    /// where there is none or the modality was not encoded.
    pub private: Vec<Option<Normal<2>>>,
}

/// What an encoder says of a modality of a batch; once for all subsets where the batch
/// [keeps](Batch::keeping) it. See [`EncoderNet::encode_observed`].
pub fn encoding(encoder: &EncoderNet, spec: &ModalitySpec, batch: &Batch, m: usize) -> Encoding {
    batch.once(encoder, m, || encoder.encode_observed(&batch.input(m, spec), batch, m))
}

/// Runs the encoders of the modalities in `which`, each once. Rows that lack a modality have no
/// influence on others; see [`EncoderNet::encode_observed`].
pub fn encode(
    encoders: &Named<EncoderNet>,
    specs: &[ModalitySpec],
    batch: &Batch,
    which: Subset,
) -> Unimodal {
    let n = encoders.len();
    let (mut mean, mut log_var, mut presence) = (Vec::new(), Vec::new(), Vec::new());
    let mut private = vec![None; n];
    for m in which.iter().filter(|&m| m < n) {
        let encoding = encoding(encoders.at(m), &specs[m], batch, m);
        let shared = encoding.shared.bounded();
        mean.push(shared.mean);
        log_var.push(shared.log_var);
        presence.push(batch.presence().of(m));
        private[m] = encoding.private.map(Normal::bounded);
    }
    Unimodal {
        experts: Experts::new(
            Tensor::stack(mean, 0),
            Tensor::stack(log_var, 0),
            Tensor::stack(presence, 0),
        ),
        private,
    }
}

/// The posterior of the modalities in `given` under a rule, `[batch, latent]`.
pub fn posterior(
    encoders: &Named<EncoderNet>,
    specs: &[ModalitySpec],
    batch: &Batch,
    given: Subset,
    rule: Product,
) -> Normal<2> {
    let experts = encode(encoders, specs, batch, given).experts;
    only(rule.of(&experts, &all_of(given.len())))
}

/// The one subset of all `n` experts that were encoded.
pub fn all_of(n: usize) -> Subsets {
    Subsets::new(n, vec![Subset::full(n)]).expect("one set of n modalities is valid")
}

/// The only posterior of a stack of one, `[batch, latent]`.
pub fn only(stack: Normal<3>) -> Normal<2> {
    stack.map(|x| x.squeeze_dim(0))
}

/// Values of a posterior, `[samples, batch, latent]`.
pub fn draw(posterior: &Normal<2>, draws: Draws, noise: &mut Noise) -> Tensor<3> {
    let [batch, latent] = posterior.mean.dims();
    match draws {
        Draws::Mean => posterior.mean.clone().unsqueeze_dim(0),
        Draws::Samples(n) => {
            let noise = noise.normal([n, batch, latent], 1, &posterior.mean.device());
            posterior.clone().map(|x| x.unsqueeze_dim(0)).rsample(noise)
        }
    }
}

/// What a decoder reads: the shared values, with the private ones of its modality behind.
pub fn decoder_input(shared: &Tensor<3>, private: Option<&Tensor<3>>) -> Tensor<3> {
    match private {
        Some(private) => Tensor::cat(vec![shared.clone(), private.clone()], 2),
        None => shared.clone(),
    }
}

/// `log p(x_m | z)` of one modality, `[samples, batch]`, 0 where it is missing; `input` is what
/// its decoder reads, `[samples, batch, features]`.
pub fn log_likelihood(
    decoders: &Named<Decoder>,
    batch: &Batch,
    modality: usize,
    input: Tensor<3>,
) -> Tensor<2> {
    let decoder = decoders.at(modality);
    let output = decoder.decode(input);
    decoder.log_prob(output, &batch.target(modality))
        * batch.presence().of(modality).unsqueeze_dim(0)
}

/// `log p(x_m | z)` of every modality, `[samples, batch]` each; see [`log_likelihood`].
pub fn log_likelihoods(
    decoders: &Named<Decoder>,
    modalities: &[ModalitySpec],
    batch: &Batch,
    latent: &Latent,
) -> Vec<Tensor<2>> {
    let of = |(m, spec)| log_likelihood(decoders, batch, m, input(latent, spec));
    modalities.iter().enumerate().map(of).collect()
}

/// `KL(q ‖ q_m)` of a joint posterior from the posterior of each modality, `[modality, batch]`:
/// nats, summed over latent features, 0 where the modality is missing.
pub fn expert_divergences(joint: &Normal<2>, experts: &Experts) -> Tensor<2> {
    let joint = joint.clone().map(|x| x.unsqueeze_dim::<3>(0).expand(experts.mean.dims()));
    let expert = Normal::new(experts.mean.clone(), experts.log_var.clone());
    joint.kl::<2>(&expert) * experts.presence.clone()
}

/// The negative mean over the batch of weighted log-likelihoods `[1, batch]`, `[1]` a modality.
pub fn reconstruction_means(log_likelihoods: &[Tensor<2>], weights: &[f64]) -> Vec<Tensor<1>> {
    let of = |(likelihood, weight): (&Tensor<2>, &f64)| likelihood.clone().mean() * -*weight;
    log_likelihoods.iter().zip(weights).map(of).collect()
}

/// The sum of values `[1]`.
pub fn sum(values: &[Tensor<1>]) -> Tensor<1> {
    Tensor::cat(values.to_vec(), 0).sum()
}

/// The mean over the batch of each row of `[rows, batch]`, `[1]` each.
pub fn row_means(values: &Tensor<2>) -> Vec<Tensor<1>> {
    (0..values.dims()[0]).map(|row| values.clone().narrow(0, row, 1).mean()).collect()
}

/// Picks entries of the first axis; the tensor itself if all are picked.
pub fn pick(stack: &Tensor<3>, indices: &[usize]) -> Tensor<3> {
    if indices.len() == stack.dims()[0] {
        return stack.clone();
    }
    let indices: Vec<i64> = indices.iter().map(|&i| i as i64).collect();
    let n = indices.len();
    let indices = Tensor::<1, Int>::from_data(TensorData::new(indices, [n]), &stack.device());
    stack.clone().select(0, indices)
}

/// Puts rows `[indices, ..]` to their places in `total` rows, the others being zero.
pub fn place(rows: Tensor<2>, indices: &[usize], total: usize) -> Tensor<2> {
    if indices.len() == total {
        return rows;
    }
    let mut matrix = vec![0f32; total * indices.len()];
    for (column, &row) in indices.iter().enumerate() {
        matrix[row * indices.len() + column] = 1.0;
    }
    let matrix = TensorData::new(matrix, [total, indices.len()]);
    Tensor::from_data(matrix, &rows.device()).matmul(rows)
}

/// Estimates `log p(x_T)` with a normal proposal of the shared space and the posteriors of the
/// private spaces: weights `Π p(x_m | z) p(z) / q(z)`.
///
/// `private` holds what [`PrivateSpace::of`] gives; it is empty for models without private spaces.
pub fn estimate(
    decoders: &Named<Decoder>,
    batch: &Batch,
    targets: Subset,
    budget: Budget,
    shared: &Normal<2>,
    private: &[PrivateSpace],
    noise: &mut Noise,
) -> Estimate {
    let (rows, device) = (batch.rows(), batch.device());
    let shared = shared.clone().map(|x| x.unsqueeze_dim::<3>(0));
    importance_estimate(rows, budget, &device, |samples| {
        let n = samples.len();
        let [_, rows, latent] = shared.mean.dims();
        let z = shared.rsample(noise.normal([n, rows, latent], 1, &device));
        let ratio = log_prior_ratio(&z, &shared);
        importance_weights(decoders, batch, targets, z, ratio, private, noise)
    })
}

/// Estimates `log p(x_T)` with samples that are dealt to the components of a mixture in turn.
///
/// `private` is as in [`estimate`].
pub fn estimate_by_mixture(
    decoders: &Named<Decoder>,
    batch: &Batch,
    targets: Subset,
    budget: Budget,
    mixture: &Mixture,
    private: &[PrivateSpace],
    noise: &mut Noise,
) -> Estimate {
    let (rows, device) = (batch.rows(), batch.device());
    importance_estimate(rows, budget, &device, |samples| {
        let (z, log_q) = mixture.stratified(samples, budget.samples, noise);
        let log_p: Tensor<2> = Normal::standard_like(&z).log_prob(z.clone());
        importance_weights(decoders, batch, targets, z, log_p - log_q, private, noise)
    })
}

/// Log-weights `[samples, batch]` of values `z` of the shared space whose own log-ratio of prior to
/// proposal is given: adds the likelihoods of the targets, and the ratios of their private codes,
/// which are drawn here.
pub fn importance_weights(
    decoders: &Named<Decoder>,
    batch: &Batch,
    targets: Subset,
    z: Tensor<3>,
    ratio: Tensor<2>,
    private: &[PrivateSpace],
    noise: &mut Noise,
) -> Tensor<2> {
    let [n, rows, _] = z.dims();
    targets.iter().fold(ratio, |mut weights, m| {
        let space = private.get(m);
        let draws = Draws::Samples(n);
        let code = space.and_then(|space| space.draw(rows, draws, &batch.device(), noise));
        if let (Some(code), Some(PrivateSpace::Posterior(posterior))) = (&code, space) {
            let posterior = posterior.clone().map(|x| x.unsqueeze_dim::<3>(0));
            weights = weights + log_prior_ratio(code, &posterior);
        }
        let input = decoder_input(&z, code.as_ref());
        weights + log_likelihood(decoders, batch, m, input)
    })
}

/// From what the code of a private space is drawn.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one a modality, not one a row")]
pub enum PrivateSpace {
    /// Its posterior, `[batch, private]`.
    Posterior(Normal<2>),
    /// The standard normal, of so many features; 0 for no space.
    Prior(usize),
}

impl PrivateSpace {
    /// The posterior where the modality was encoded, made the prior in rows that lack it; the
    /// prior where it was not.
    pub fn of(unimodal: &Unimodal, batch: &Batch, sizes: &[usize]) -> Vec<Self> {
        sizes
            .iter()
            .zip(&unimodal.private)
            .enumerate()
            .map(|(m, (&size, posterior))| match posterior {
                // A standard normal has mean and log-variance zero.
                Some(posterior) => {
                    let presence = batch.presence().of(m).unsqueeze_dim::<2>(1);
                    Self::Posterior(posterior.clone().map(|x| x * presence.clone()))
                }
                None => Self::Prior(size),
            })
            .collect()
    }

    /// Values `[samples, batch, private]`, or `None` for no space; the prior's mean is zero.
    pub fn draw(
        &self,
        rows: usize,
        draws: Draws,
        device: &Device,
        noise: &mut Noise,
    ) -> Option<Tensor<3>> {
        match (self, draws) {
            (Self::Prior(0), _) => None,
            (Self::Posterior(posterior), _) => Some(draw(posterior, draws, noise)),
            (Self::Prior(size), Draws::Mean) => Some(Tensor::zeros([1, rows, *size], device)),
            (Self::Prior(size), Draws::Samples(n)) => {
                Some(noise.normal([n, rows, *size], 1, device))
            }
        }
    }
}

/// Divergences from the prior of the private spaces that were encoded, `[batch]`, as
/// `kl_private/NAME`: nats, summed over features, 0 where the modality is missing.
pub fn private_divergences(
    modalities: &[ModalitySpec],
    spaces: &[PrivateSpace],
) -> Vec<(String, Tensor<1>)> {
    // In rows that lack the modality the posterior is the prior: divergence zero.
    let divergence = |(spec, space): (&ModalitySpec, &PrivateSpace)| match space {
        PrivateSpace::Posterior(posterior) => Some((private_term(spec), posterior.kl_standard())),
        PrivateSpace::Prior(_) => None,
    };
    modalities.iter().zip(spaces).filter_map(divergence).collect()
}

/// `kl_private/NAME` of each modality with a private space.
pub fn private_terms(modalities: &[ModalitySpec], sizes: &[usize]) -> impl Iterator<Item = String> {
    modalities.iter().zip(sizes).filter(|(_, size)| **size > 0).map(|(spec, _)| private_term(spec))
}

fn private_term(spec: &ModalitySpec) -> String {
    format!("kl_private/{}", spec.name)
}

/// Private codes of all modalities that have a space, in order.
pub fn codes(
    modalities: &[ModalitySpec],
    spaces: &[PrivateSpace],
    batch: &Batch,
    draws: Draws,
    noise: &mut Noise,
) -> Vec<(ModalityName, Tensor<3>)> {
    let (rows, device) = (batch.rows(), batch.device());
    let draw = |(spec, space): (&ModalitySpec, &PrivateSpace)| {
        Some((spec.name.clone(), space.draw(rows, draws, &device, noise)?))
    };
    modalities.iter().zip(spaces).filter_map(draw).collect()
}

/// One sample of the standard-normal prior of the shared space and of all private ones.
pub fn prior(
    modalities: &[ModalitySpec],
    latent: usize,
    private: &[usize],
    rows: usize,
    device: &Device,
    noise: &mut Noise,
) -> Latent {
    let z = noise.normal([1, rows, latent], 1, device);
    let draw = |(spec, &size): (&ModalitySpec, &usize)| {
        let code = PrivateSpace::Prior(size).draw(rows, Draws::Samples(1), device, noise);
        Some((spec.name.clone(), code?))
    };
    Latent::shared(z).with_private(modalities.iter().zip(private).filter_map(draw).collect())
}

/// What the decoder of a modality reads of latent values: the shared ones, and its private ones.
pub fn input(latent: &Latent, spec: &ModalitySpec) -> Tensor<3> {
    decoder_input(&latent.z(), latent.of(&spec.name))
}

/// Features of the private space of each modality, from a map by name; 0 for one that is not
/// named.
///
/// # Errors
///
/// [`Error::UnknownModality`].
pub fn private_sizes(
    given: &BTreeMap<ModalityName, usize>,
    specs: &[ModalitySpec],
) -> Result<Vec<usize>> {
    for name in given.keys() {
        Subset::named(specs, [name.as_str()])?;
    }
    Ok(specs.iter().map(|s| given.get(&s.name).copied().unwrap_or(0)).collect())
}

/// A number a modality, from a map by name; `default` for one that is not named.
///
/// # Errors
///
/// [`Error::UnknownModality`], or [`Error::Config`] if one is not a finite number of at least 0.
pub fn weights(
    field: &str,
    given: &BTreeMap<ModalityName, f64>,
    specs: &[ModalitySpec],
    default: impl Fn(usize) -> f64,
) -> Result<Vec<f64>> {
    for (name, weight) in given {
        Subset::named(specs, [name.as_str()])?;
        check_weight(&format!("{field}.{name}"), *weight)?;
    }
    let weight = |(m, spec): (usize, &ModalitySpec)| {
        given.get(&spec.name).copied().unwrap_or_else(|| default(m))
    };
    Ok(specs.iter().enumerate().map(weight).collect())
}

/// Decodes the targets from the shared space and their private ones.
pub fn decode(
    decoders: &Named<Decoder>,
    modalities: &[ModalitySpec],
    latent: &Latent,
    targets: Subset,
) -> Vec<Tensor<3>> {
    targets.iter().map(|m| decoders.at(m).decode(input(latent, &modalities[m]))).collect()
}

/// The bound of a model with one shared space, for one sample of its posterior.
pub fn shared_bound(
    decoders: &Named<Decoder>,
    batch: &Batch,
    posterior: &Normal<2>,
    noise: &mut Noise,
) -> Bound {
    let z = draw(posterior, Draws::Samples(1), noise);
    let of = |m| log_likelihood(decoders, batch, m, z.clone());
    let likelihoods = (0..decoders.len()).map(of).collect();
    bound(likelihoods, vec![("kl".into(), posterior.kl_standard())])
}

/// The bound of a model with a shared space and private ones, for one sample of their posteriors.
pub fn private_bound(
    decoders: &Named<Decoder>,
    modalities: &[ModalitySpec],
    batch: &Batch,
    shared: &Normal<2>,
    spaces: &[PrivateSpace],
    noise: &mut Noise,
) -> Bound {
    let z = draw(shared, Draws::Samples(1), noise);
    let private = codes(modalities, spaces, batch, Draws::Samples(1), noise);
    let latent = Latent::shared(z).with_private(private);
    let mut divergences = vec![("kl".to_owned(), shared.kl_standard())];
    divergences.extend(private_divergences(modalities, spaces));
    bound(log_likelihoods(decoders, modalities, batch, &latent), divergences)
}

/// The bound of a model whose posterior of the shared space is a mixture, for samples that are dealt to
/// its components in turn.
pub fn mixture_bound(
    decoders: &Named<Decoder>,
    modalities: &[ModalitySpec],
    batch: &Batch,
    samples: usize,
    shared: &Mixture,
    spaces: &[PrivateSpace],
    noise: &mut Noise,
) -> Bound {
    let (z, log_q) = shared.stratified(0..samples, samples, noise);
    let log_p: Tensor<2> = Normal::standard_like(&z).log_prob(z.clone());
    let private = codes(modalities, spaces, batch, Draws::Samples(samples), noise);
    let latent = Latent::shared(z).with_private(private);
    let likelihoods = log_likelihoods(decoders, modalities, batch, &latent);
    let means = likelihoods.into_iter().map(|l| l.mean_dim(0)).collect();
    let mut divergences = vec![("kl".to_owned(), (log_q - log_p).mean_dim(0).squeeze_dim(0))];
    divergences.extend(private_divergences(modalities, spaces));
    bound(means, divergences)
}

/// The bound of one sample a row, from its likelihoods `[1, batch]` a modality.
pub fn bound(log_likelihoods: Vec<Tensor<2>>, divergences: Vec<(String, Tensor<1>)>) -> Bound {
    Bound { log_likelihood: Tensor::cat(log_likelihoods, 0).transpose(), divergences }
}

/// `-λ_m log p(x_m | z)` of each modality, averaged over rows, `[1]` each, for one sample `z`
/// `[1, batch, latent]` and the weights `λ`.
pub fn reconstructions(
    decoders: &Named<Decoder>,
    batch: &Batch,
    z: &Tensor<3>,
    weights: &[f64],
) -> Vec<Tensor<1>> {
    let of = |(m, weight): (usize, &f64)| {
        log_likelihood(decoders, batch, m, z.clone()).mean() * -*weight
    };
    weights.iter().enumerate().map(of).collect()
}

/// `reconstruction/NAME` of each modality.
pub fn reconstruction_terms(modalities: &[ModalitySpec]) -> Vec<String> {
    terms("reconstruction", modalities).collect()
}

/// `PART/NAME` of each modality.
pub fn terms(part: &str, modalities: &[ModalitySpec]) -> impl Iterator<Item = String> {
    modalities.iter().map(move |spec| format!("{part}/{}", spec.name))
}

/// Joins the names of a model's terms to their values.
pub fn loss(total: Tensor<1>, names: Vec<String>, values: Vec<Tensor<1>>) -> Loss {
    Loss { total, terms: names.into_iter().zip(values).collect() }
}
