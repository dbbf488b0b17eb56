//! The number of network calls and rows of a training step is the minimum.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use burn::{
    module::Module,
    nn::{Linear, LinearConfig},
    tensor::{Device, Tensor},
};
use multivae_core::{
    batch::{Batch, Progress, Purpose, Values},
    distribution::Normal,
    hmc::HmcConfig,
    modality::{ModalityName, ModalitySpec},
    model::{Draws, MultimodalModel},
    nn::{
        Encoder, EncoderConfig, Encoding, HierarchyConfig, JointEncoderConfig, Network,
        NetworkConfig, Networks, PosteriorConfig,
    },
    noise::Noise,
    subset::{Subset, Subsets},
};
use multivae_models::{
    ModalityConfig, Model, ModelConfig, ae::AeConfig, blocks::experts::Estimator,
    cmvae::CmvaeConfig, code_vae::CodeVaeConfig, crmvae::CrmvaeConfig, cvae::CvaeConfig,
    dcca_ey::DccaEyConfig, dccae::DccaeConfig, dmvae::DmvaeConfig, dvcca::DvccaConfig,
    gpoe::GpoeConfig, helvae::HelvaeConfig, jmvae::JmvaeConfig, jnf::JnfConfig,
    joint_aae::JointAaeConfig, maae::MaaeConfig, masked_vae::MaskedVaeConfig, mcvae::McvaeConfig,
    me_mvae::MeMvaeConfig, mhvae::MhvaeConfig, mld::MldConfig, mmhvae::MmhvaeConfig,
    mmjsd::MmjsdConfig, mmvae::MmvaeConfig, mmvae_plus::MmvaePlusConfig,
    mmvae_plus_plus::MmvaePlusPlusConfig, mmvm::MmvmConfig, mohelvae::MohelvaeConfig,
    mopoe::MopoeConfig, mvae::MvaeConfig, mvp::MvpConfig, mvtcae::MvtcaeConfig, mwae::MwaeConfig,
    mwb_vae::MwbVaeConfig, nexus::NexusConfig, sparse_mvae::SparseMvaeConfig, telbo::TelboConfig,
    wb_vae::WbVaeConfig, weighted_dmvae::WeightedDmvaeConfig,
};
use serde_json::json;

const ROWS: usize = 4;
const WIDTH: usize = 3;
const FIRST: Progress = Progress::new(1, 0.0);

/// Calls and rows by kind of network.
#[derive(Clone, Debug, Default)]
struct Count(Arc<Mutex<BTreeMap<String, (usize, usize)>>>);

impl Count {
    fn add(&self, kind: &str, rows: usize) {
        let mut counts = self.0.lock().expect("no panic while counting");
        let entry = counts.entry(kind.to_owned()).or_default();
        *entry = (entry.0 + 1, entry.1 + rows);
    }
}

/// One linear layer that counts its calls.
#[derive(Module, Debug)]
struct Counted {
    layer: Linear,
    #[module(skip)]
    kind: String,
    #[module(skip)]
    count: Count,
    /// Features of the private space, 0 for none.
    #[module(skip)]
    private: usize,
}

impl Network for Counted {
    fn forward(&self, input: Tensor<2>) -> Tensor<2> {
        self.count.add(&self.kind, input.dims()[0]);
        self.layer.forward(input)
    }
}

impl Encoder for Counted {
    fn encode(&self, values: &Values) -> Encoding {
        let input = values.dense().expect("dense values").clone();
        self.count.add(&self.kind, input.dims()[0]);
        let output = self.layer.forward(input);
        let shared = (output.dims()[1] - 2 * self.private) / 2;
        let part = |from: usize, size: usize| output.clone().narrow(1, from, size);
        let normal = |from, size| Normal::new(part(from, size), part(from + size, size));
        Encoding {
            shared: normal(0, shared),
            private: (self.private > 0).then(|| normal(2 * shared, self.private)),
        }
    }
}

/// Networks whose kind is the setting of the configuration.
fn networks(count: &Count) -> Networks {
    let (a, b) = (count.clone(), count.clone());
    let kind = |settings: &serde_json::Value| settings.as_str().expect("a kind").to_owned();
    Networks::default()
        .with_encoder("counted", move |request| Counted {
            layer: LinearConfig::new(
                request.inputs(),
                2 * (request.outputs() + request.private.unwrap_or(0)),
            )
            .init(request.device),
            kind: kind(request.settings),
            count: a.clone(),
            private: request.private.unwrap_or(0),
        })
        .with_network("counted", move |request| Counted {
            layer: LinearConfig::new(
                request.inputs(),
                request.output.map_or(WIDTH, |s| s.iter().product()),
            )
            .init(request.device),
            kind: kind(request.settings),
            count: b.clone(),
            private: 0,
        })
}

fn encoder(kind: &str) -> EncoderConfig {
    EncoderConfig::Custom { name: "counted".into(), settings: json!(kind) }
}

fn network(kind: &str) -> NetworkConfig {
    NetworkConfig::Custom { name: "counted".into(), settings: json!(kind) }
}

fn names(m: usize) -> Vec<ModalityName> {
    (0..m).map(|i| ModalityName::new(format!("m{i}")).expect("valid")).collect()
}

fn each<T: Clone>(m: usize, config: &T) -> BTreeMap<ModalityName, T> {
    names(m).into_iter().map(|name| (name, config.clone())).collect()
}

fn modalities(m: usize) -> Vec<ModalityConfig> {
    names(m)
        .into_iter()
        .map(|name| ModalityConfig {
            encoder: Some(encoder("encoder")),
            decoder: Some(network("decoder")),
            ..ModalityConfig::new(name)
        })
        .collect()
}

fn joint(m: usize) -> JointEncoderConfig {
    let inputs = each(m, &network("joint_input"));
    JointEncoderConfig { inputs, encoder: Some(encoder("joint")) }
}

/// Runs one step and compares `(kind, calls, rows in batches)`.
fn check(config: ModelConfig, m: usize, expected: &[(&str, usize, usize)]) {
    check_in(Progress::DONE, config, m, expected);
}

/// The same where the run stands so.
fn check_in(progress: Progress, config: ModelConfig, m: usize, expected: &[(&str, usize, usize)]) {
    counted(config, m, expected, |model, batch| {
        let batch = batch.clone().at(progress);
        model.learner().step(&batch, &mut Noise::seeded(0)).into_gradients(model);
    });
}

/// Compares `(kind, calls, rows in batches)` of some work on a batch.
fn counted(
    config: ModelConfig,
    m: usize,
    expected: &[(&str, usize, usize)],
    work: impl FnOnce(&Model, &Batch),
) {
    let device = Device::flex().autodiff();
    let specs: Vec<_> = names(m)
        .iter()
        .map(|name| ModalitySpec::new(name.as_str(), &[WIDTH]).expect("valid"))
        .collect();
    let count = Count::default();
    let name = config.name().to_owned();
    let config = config.with_modalities(&specs).expect("the data suits");
    let model = config.init(&networks(&count), &device).expect("a model");
    // Networks whose output size is open were asked for it.
    count.0.lock().expect("no panic while counting").clear();
    let mut batch =
        Batch::complete(vec![Tensor::zeros([ROWS, WIDTH], &device); m]).expect("one size");
    batch.purpose = Purpose::Train;
    work(&model, &batch);
    let counts = count.0.lock().expect("no panic while counting").clone();
    let expected: BTreeMap<String, (usize, usize)> = expected
        .iter()
        .map(|(kind, calls, batches)| ((*kind).to_owned(), (*calls, batches * ROWS)))
        .collect();
    assert_eq!(counts, expected, "{name} with {m} modalities");
}

#[test]
fn mvae_encodes_once_and_decodes_once_a_modality() {
    for m in [2, 3, 5] {
        let config = MvaeConfig { modalities: modalities(m), ..MvaeConfig::default() };
        let alone = MvaeConfig { subsampling: false, ..config.clone() };
        check(config.into(), m, &[("encoder", m, m), ("decoder", m, 2 * m)]);
        check(alone.into(), m, &[("encoder", m, m), ("decoder", m, m)]);
    }
    // All subsets of two of three modalities: each modality is in two of them.
    let config =
        MvaeConfig { random_subsets: 3, modalities: modalities(3), ..MvaeConfig::default() };
    check(config.into(), 3, &[("encoder", 3, 3), ("decoder", 3, 3 * 4)]);
}

#[test]
fn mopoe_encodes_once_and_decodes_once_a_modality() {
    for m in [2, 3, 5] {
        let config = MopoeConfig { modalities: modalities(m), ..MopoeConfig::default() };
        check(config.into(), m, &[("encoder", m, m), ("decoder", m, m)]);
    }
}

#[test]
fn mixtures_of_experts_encode_once_and_decode_once_a_modality() {
    for m in [2, 3, 5] {
        for samples in [1, 10] {
            let expected = [("encoder", m, m), ("decoder", m, m * m * samples)];
            let latent = WIDTH;
            for estimator in [Estimator::Iwae, Estimator::Dreg] {
                let modalities = modalities(m);
                let mmvae = MmvaeConfig { latent, samples, estimator, ..Default::default() };
                check(MmvaeConfig { modalities: modalities.clone(), ..mmvae }.into(), m, &expected);
                let plus = MmvaePlusConfig {
                    latent,
                    private: WIDTH,
                    samples,
                    estimator,
                    modalities: modalities.clone(),
                    ..Default::default()
                };
                check(plus.into(), m, &expected);
                let clusters = CmvaeConfig {
                    latent,
                    private: WIDTH,
                    samples,
                    estimator,
                    modalities,
                    ..Default::default()
                };
                check(clusters.into(), m, &expected);
            }
        }
    }
}

#[test]
fn jmvae_runs_each_network_once() {
    for m in [2, 3, 5] {
        let (joint_encoder, modalities) = (joint(m), modalities(m));
        let config = JmvaeConfig { joint_encoder, modalities, ..JmvaeConfig::default() };
        let expected =
            [("joint_input", m, m), ("joint", 1, 1), ("encoder", m, m), ("decoder", m, m)];
        check(config.into(), m, &expected);
    }
}

#[test]
fn mvtcae_encodes_once_and_decodes_once_a_modality() {
    for m in [2, 3, 5] {
        let config = MvtcaeConfig { modalities: modalities(m), ..MvtcaeConfig::default() };
        check(config.into(), m, &[("encoder", m, m), ("decoder", m, m)]);
    }
}

#[test]
fn telbo_runs_in_each_stage_only_what_learns_or_is_needed_for_it() {
    for m in [2, 3, 5] {
        let config = TelboConfig {
            joint_epochs: 1,
            joint_encoder: joint(m),
            modalities: modalities(m),
            ..TelboConfig::default()
        };
        let joint = [("joint_input", m, m), ("joint", 1, 1), ("decoder", m, m)];
        check_in(FIRST, config.clone().into(), m, &joint);
        check(config.into(), m, &[("encoder", m, m), ("decoder", m, m)]);
    }
}

#[test]
fn crmvae_decodes_the_joint_and_the_own_sample_at_once() {
    for m in [2, 3, 5] {
        let config = CrmvaeConfig { modalities: modalities(m), ..CrmvaeConfig::default() };
        check(config.into(), m, &[("encoder", m, m), ("decoder", m, 2 * m)]);
    }
}

#[test]
fn dmvae_decodes_all_posteriors_at_once() {
    for m in [2, 3, 5] {
        let config = DmvaeConfig {
            private: each(m, &2),
            modalities: modalities(m),
            ..DmvaeConfig::default()
        };
        check(config.into(), m, &[("encoder", m, m), ("decoder", m, (m + 1) * m)]);
    }
}

#[test]
fn jnf_runs_in_each_stage_only_what_learns_or_is_needed_for_it() {
    for m in [2, 3, 5] {
        let config = JnfConfig {
            joint_epochs: 1,
            joint_encoder: joint(m),
            modalities: modalities(m),
            ..JnfConfig::default()
        };
        let joint = [("joint_input", m, m), ("joint", 1, 1), ("decoder", m, m)];
        check_in(FIRST, config.clone().into(), m, &joint);
        let second = [("joint_input", m, m), ("joint", 1, 1), ("encoder", m, m)];
        check(config.into(), m, &second);
    }
}

#[test]
fn nexus_runs_each_network_once() {
    for m in [2, 3, 5] {
        for dropout in [0.0, 0.5] {
            let config = NexusConfig {
                dropout,
                top_encoders: each(m, &network("top_encoder")),
                top_encoder: Some(encoder("joint")),
                top_decoders: each(m, &network("top_decoder")),
                modalities: modalities(m),
                ..NexusConfig::default()
            };
            let expected = [
                ("encoder", m, m),
                ("decoder", m, m),
                ("top_encoder", m, m),
                ("joint", 1, 1),
                ("top_decoder", m, m),
            ];
            check(config.into(), m, &expected);
        }
    }
}

#[test]
fn posteriors_that_are_joined_by_other_rules_are_decoded_once() {
    for m in [2, 3, 5] {
        let (latent, modalities) = (WIDTH, modalities(m));
        let of = || modalities.clone();
        let mut configs: Vec<ModelConfig> = vec![
            GpoeConfig { latent, modalities: of(), ..Default::default() }.into(),
            MmjsdConfig { latent, modalities: of(), ..Default::default() }.into(),
            MmvmConfig { latent, modalities: of(), ..Default::default() }.into(),
        ];
        configs.push(WbVaeConfig { latent, modalities: of(), ..Default::default() }.into());
        configs.push(HelvaeConfig { latent, modalities: of(), ..Default::default() }.into());
        configs.push(MwbVaeConfig { latent, modalities: of(), ..Default::default() }.into());
        configs.push(MohelvaeConfig { latent, modalities: of(), ..Default::default() }.into());
        configs.push(SparseMvaeConfig { latent, modalities: of(), ..Default::default() }.into());
        for config in configs {
            check(config, m, &[("encoder", m, m), ("decoder", m, m)]);
        }
        let me_mvae = MeMvaeConfig { latent, modalities: of(), ..Default::default() };
        check(me_mvae.into(), m, &[("encoder", m, m), ("decoder", m, 2 * m)]);
        let private = each(m, &2);
        let dmvae = WeightedDmvaeConfig { private, modalities: of(), ..Default::default() };
        check(dmvae.into(), m, &[("encoder", m, m), ("decoder", m, (m + 1) * m)]);
        let dvcca = DvccaConfig { latent, modalities: of(), ..Default::default() };
        check(dvcca.into(), m, &[("encoder", 1, 1), ("decoder", m, m)]);
        let mcvae = McvaeConfig { latent, modalities: of(), ..Default::default() };
        check(mcvae.into(), m, &[("encoder", m, m), ("decoder", m, m * m)]);
        let private = WIDTH;
        let plus = MmvaePlusPlusConfig { latent, private, modalities: of(), ..Default::default() };
        check(plus.into(), m, &[("encoder", m, m), ("decoder", m, m * m)]);
        let mvp = MvpConfig {
            latent,
            private,
            features: WIDTH,
            samples: 2,
            modalities: of(),
            ..Default::default()
        };
        // One encoder to the shared space and one to features of private ones.
        check(mvp.into(), m, &[("encoder", 2 * m, 2 * m), ("decoder", m, 2 * m * m)]);
        let pool = Some(encoder("pool"));
        let masked = MaskedVaeConfig {
            latent,
            features: WIDTH,
            pool,
            modalities: of(),
            ..Default::default()
        };
        check(masked.into(), m, &[("encoder", m, m), ("pool", 1, 2), ("decoder", m, 2 * m)]);
        let code = CodeVaeConfig { latent, modalities: of(), ..Default::default() };
        check(code.into(), m, &[("encoder", m, m), ("decoder", m, ((1 << m) - 1) * m)]);
    }
}

#[test]
fn codes_without_a_distribution_run_only_what_a_phase_needs() {
    for m in [2, 3, 5] {
        let (latent, critic, modalities) = (WIDTH, Some(network("critic")), modalities(m));
        let of = || modalities.clone();
        let pairs = [("encoder", m, m), ("decoder", m, m * m)];
        check(AeConfig { latent, modalities: of(), ..Default::default() }.into(), m, &pairs);
        let c = || critic.clone();
        let maae = MaaeConfig { latent, critic: c(), modalities: of(), ..Default::default() };
        let mwae = MwaeConfig { latent, critic: c(), modalities: of(), ..Default::default() };
        for config in [ModelConfig::from(maae), mwae.into()] {
            check(config.clone(), m, &pairs);
            let critic = [("encoder", m, m), ("critic", 2, m + 1)];
            check_in(Progress::DONE.in_phase(1), config.clone(), m, &critic);
            let generator = [("encoder", m, m), ("critic", 1, m)];
            check_in(Progress::DONE.in_phase(2), config, m, &generator);
        }
        let joint = JointAaeConfig { latent, critic, modalities: of(), ..Default::default() };
        check(joint.into(), m, &[("encoder", m, m), ("decoder", m, m)]);
        let dccae = DccaeConfig { latent: 1, modalities: of(), ..Default::default() };
        check(dccae.into(), m, &[("encoder", m, m), ("decoder", m, m)]);
        let ey = DccaEyConfig { latent, modalities: of() };
        check(ey.into(), m, &[("encoder", m, m)]);
    }
}

#[test]
fn a_diffusion_of_codes_runs_in_each_stage_only_what_learns_or_is_needed_for_it() {
    for m in [2, 3, 5] {
        let config = MldConfig {
            latent: WIDTH,
            autoencoder_epochs: 1,
            width: WIDTH,
            denoiser: Some(network("denoiser")),
            modalities: modalities(m),
            ..MldConfig::default()
        };
        check_in(FIRST, config.clone().into(), m, &[("encoder", m, m), ("decoder", m, m)]);
        check(config.into(), m, &[("encoder", m, m), ("denoiser", 1, 1)]);
    }
}

#[test]
fn jnf_encodes_once_whatever_the_length_of_its_chains() {
    let hmc = HmcConfig { steps: 3, leapfrog: 2, ..HmcConfig::default() };
    let config = JnfConfig {
        joint_encoder: joint(3),
        modalities: modalities(3),
        hmc,
        ..JnfConfig::default()
    };
    let given = Subset::new([0, 2]).expect("not empty");
    counted(config.into(), 3, &[("encoder", 2, 2)], |model, batch| {
        model.density().expect("a VAE").encode(
            batch,
            given,
            Draws::Samples(4),
            &mut Noise::seeded(0),
        );
    });
}

#[test]
fn cvae_runs_each_network_once() {
    for m in [2, 3, 5] {
        let mut modalities = modalities(m);
        for config in &mut modalities[..m - 1] {
            config.decoder = None;
        }
        let mut inputs = each(m, &network("prior_input"));
        inputs.pop_last();
        let prior = JointEncoderConfig { inputs, encoder: Some(encoder("prior")) };
        for prior_network in [None, Some(prior)] {
            let mut expected = vec![("joint_input", m, m), ("joint", 1, 1), ("decoder", 1, 1)];
            if prior_network.is_some() {
                expected.extend([("prior_input", m - 1, m - 1), ("prior", 1, 1)]);
            }
            let config = CvaeConfig {
                joint_encoder: joint(m),
                prior_network,
                modalities: modalities.clone(),
                ..CvaeConfig::default()
            };
            check(config.into(), m, &expected);
        }
    }
}

#[test]
fn critics_of_decoded_values_run_once_a_phase_and_set() {
    for m in [2, 3] {
        let (all, config) = (
            (1 << m) - 1,
            MhvaeConfig {
                latent: WIDTH,
                levels: 1,
                adversarial: 1.0,
                critics: each(m, &network("critic")),
                blocks: Some(HierarchyConfig {
                    encoders: each(m, &network("encoder")),
                    bottom_up: each(m, &vec![]),
                    top: each(m, &encoder("top")),
                    top_down: vec![],
                    prior: vec![],
                    posterior: PosteriorConfig::Shared(vec![]),
                    decoders: each(m, &network("decoder")),
                }),
                ..MhvaeConfig::default()
            },
        );
        let up = [("encoder", m, m), ("top", m, m)];
        let hierarchy = [up[0], up[1], ("decoder", m, m * all), ("critic", m, m * m)];
        check(config.clone().into(), m, &hierarchy);
        let critics = [up[0], up[1], ("decoder", m, m * m), ("critic", 2 * m, m * (m + 1))];
        check_in(Progress::DONE.in_phase(1), config.clone().into(), m, &critics);
        // Before critics judge, none runs.
        check_in(FIRST, config.into(), m, &[up[0], up[1], ("decoder", m, m * all)]);
    }
}

#[test]
fn mmhvae_walks_three_sets() {
    let m = 5;
    let config = MmhvaeConfig {
        latent: WIDTH,
        levels: 1,
        adversarial: 0.0,
        blocks: Some(HierarchyConfig {
            encoders: each(m, &network("encoder")),
            bottom_up: each(m, &vec![]),
            top: each(m, &encoder("top")),
            top_down: vec![],
            prior: vec![],
            posterior: PosteriorConfig::Shared(vec![]),
            decoders: each(m, &network("decoder")),
        }),
        ..MmhvaeConfig::default()
    };
    check(config.into(), m, &[("encoder", m, m), ("top", m, m), ("decoder", m, 3 * m)]);
}

#[test]
fn mhvae_runs_each_block_once() {
    let levels = 3;
    for m in [2, 3, 5] {
        let (all, half) = ((1 << m) - 1, 1 << (m - 1));
        for shared in [true, false] {
            let posterior = vec![encoder("posterior"); levels - 1];
            let blocks = HierarchyConfig {
                encoders: each(m, &network("encoder")),
                bottom_up: each(m, &vec![network("bottom_up"); levels - 2]),
                top: each(m, &encoder("bottom_up")),
                top_down: vec![network("top_down"); levels - 1],
                prior: vec![encoder("prior"); levels - 1],
                posterior: if shared {
                    PosteriorConfig::Shared(posterior)
                } else {
                    PosteriorConfig::PerModality(each(m, &posterior))
                },
                decoders: each(m, &network("decoder")),
            };
            let config = MhvaeConfig {
                latent: WIDTH,
                levels,
                blocks: Some(blocks),
                shared_posterior: shared,
                ..MhvaeConfig::default()
            };
            let posterior_calls = (levels - 1) * if shared { 1 } else { m };
            check(
                config.into(),
                m,
                &[
                    ("encoder", m, m),
                    ("bottom_up", m * (levels - 1), m * (levels - 1)),
                    ("top_down", levels - 1, (levels - 1) * all),
                    ("prior", levels - 1, (levels - 1) * all),
                    ("posterior", posterior_calls, (levels - 1) * m * half),
                    ("decoder", m, m * all),
                ],
            );
        }
    }
}

#[test]
fn all_subsets_of_a_batch_that_keeps_what_encoders_make_cost_one_call_of_each() {
    for m in [2, 3] {
        let mopoe = MopoeConfig { modalities: modalities(m), ..Default::default() };
        let plus = MmvaePlusConfig { modalities: modalities(m), ..Default::default() };
        let ae = AeConfig { modalities: modalities(m), ..Default::default() };
        let all = Subsets::all(m);
        let encode = |model: &Model, batch: &Batch| {
            for given in all.iter() {
                let draws = Draws::Samples(1);
                let encoder = model.encoder().expect("it encodes");
                encoder.encode(batch, given, draws, &mut Noise::seeded(0));
            }
        };
        let calls: usize = all.iter().map(Subset::len).sum();
        for config in [ModelConfig::from(mopoe), plus.into(), ae.into()] {
            let plain = [("encoder", calls, calls)];
            counted(config.clone(), m, &plain, |model, batch| encode(model, batch));
            counted(config, m, &[("encoder", m, m)], |model, batch| {
                encode(model, &batch.clone().keeping());
            });
        }
    }
}
