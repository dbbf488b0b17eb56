//! The networks of a hierarchical model: a ladder up from each modality, one ladder down.
//!
//! With `L` levels and modalities `m`, in the order in which values flow:
//!
//! | part | from | to | how many |
//! |---|---|---|---|
//! | encoder | `x_m` | `s_1` | one per modality |
//! | bottom-up | `s_i` | `s_{i+1}`, `i = 1..L-2` | `L - 2` per modality |
//! | top | `s_{L-1}` (`s_1` if `L = 1`) | `q(z_L \| x_m)` | one per modality |
//! | top-down | `z_{i+1}` | `h_i`, `i = L-1..1` | `L - 1` |
//! | prior | `h_i` | `p(z_i \| z_{i+1})` | `L - 1` |
//! | posterior | `h_i` and `s_i`, their channels joined | `q(z_i \| z_{i+1}, x_m)` | `L - 1`, shared or a modality |
//! | decoder | `z_1` | `p(x_m \| z_1)` | one per modality |
//!
//! Source: Dorent et al. 2023, "Unified Brain MR-Ultrasound Synthesis using Multi-Modal
//! Hierarchical Representations".

use std::collections::BTreeMap;

use burn::{module::Module, tensor::Device};
use serde::{Deserialize, Serialize};

use super::{
    decoder::Decoder,
    encoder::{BranchConfig, EncoderConfig, EncoderNet},
    layer::LayerConfig,
    network::{NetworkConfig, NetworkNet},
    networks::Networks,
    presets::{self, Activation},
};
use crate::{
    Error, Result,
    modality::{ModalityName, ModalitySpec},
    module::Named,
};

/// Something for each modality, by name.
pub type PerModality<T> = BTreeMap<ModalityName, T>;

/// The networks of a hierarchical model as data; see the [module](self).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HierarchyConfig {
    /// From values to `s_1`.
    pub encoders: PerModality<NetworkConfig>,
    /// From `s_i` to `s_{i+1}`.
    pub bottom_up: PerModality<Vec<NetworkConfig>>,
    /// From `s_{L-1}` to the posterior of `z_L`.
    pub top: PerModality<EncoderConfig>,
    /// From `z_{i+1}` to `h_i`; the first is that to `h_1`.
    pub top_down: Vec<NetworkConfig>,
    /// From `h_i` to the prior of `z_i`, whose shape is that of its mean. An open size is `h_i`'s.
    pub prior: Vec<EncoderConfig>,
    /// From `h_i` joined with `s_i` to the posterior of `z_i`.
    pub posterior: PosteriorConfig,
    /// From `z_1` to the likelihood.
    pub decoders: PerModality<NetworkConfig>,
}

/// Whether modalities share the networks of their posteriors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PosteriorConfig {
    /// One network per level.
    Shared(Vec<EncoderConfig>),
    /// One network per level and modality.
    PerModality(PerModality<Vec<EncoderConfig>>),
}

/// Largest magnitude of all means and log-variances of the default networks.
const LIMIT: f64 = 10.0;

/// Width of all hidden layers of the default networks without convolutions.
const WIDTH: usize = 256;

/// Fewest features of the lower levels of the default networks without convolutions.
const FEWEST: usize = 64;

impl HierarchyConfig {
    /// Networks that suit the modalities: convolutions if all are images of one height and width, or
    /// volumes of one depth, height and width, else perceptrons. `latent` is the number of features of the highest level.
    ///
    /// For 3×28×28 and three levels these are the networks of the example of MultiVae, but for
    /// the sigmoid at the end of its decoders; see [`with_output`](Self::with_output).
    ///
    /// # Panics
    ///
    /// If `levels` is 0.
    pub fn default_for(specs: &[ModalitySpec], levels: usize, latent: usize) -> Self {
        assert!(levels > 0, "a hierarchy has at least one level");
        let first = specs.first().and_then(|spec| presets::grid(&spec.shape));
        match first.filter(|_| specs.iter().all(|spec| presets::grid(&spec.shape) == first)) {
            Some(extents) => Self::of_grids(specs, levels, extents),
            None => Self::of_vectors(specs, levels, latent.max(FEWEST)),
        }
    }

    /// The same with a function at the end of every decoder that is layers.
    pub fn with_output(mut self, output: Activation) -> Self {
        for decoder in self.decoders.values_mut() {
            if let NetworkConfig::Layers { layers } = decoder {
                layers.extend(output.layer());
            }
        }
        self
    }

    /// Number of levels.
    pub fn levels(&self) -> usize {
        self.prior.len() + 1
    }

    /// Of images, or of volumes, whose maps have a quarter of the channels.
    fn of_grids(specs: &[ModalitySpec], levels: usize, extents: &[usize]) -> Self {
        let skips = (levels - 1).max(1);
        let sizes = presets::halvings(extents, skips + 1);
        let axes = extents.len();
        let least = if axes == 3 { 4_usize } else { 16 };
        let channels = |level: usize| least << level.min(4);
        let conv = |channels: Option<usize>, kernel, padding| {
            presets::conv(axes, channels, kernel, 1, padding)
        };
        let halve = |channels| presets::halve(axes, channels);
        let silu = || LayerConfig::Silu {};

        // From the highest level, which is flat, to the map below it.
        let shape = [&[channels(skips + 1)], &sizes[skips + 1][..]].concat();
        let unfold = vec![
            LayerConfig::linear(512),
            LayerConfig::Relu {},
            LayerConfig::linear(shape.iter().product()),
            LayerConfig::Relu {},
            LayerConfig::Reshape { shape },
            presets::double(channels(skips), &sizes[skips]),
            silu(),
        ];
        let decoder = {
            let mut layers = if levels == 1 { unfold.clone() } else { Vec::new() };
            layers.extend([
                presets::double(channels(1), &sizes[0]),
                silu(),
                match axes {
                    3 => LayerConfig::conv_transpose3d(None, 3, 1, 1, 0),
                    _ => LayerConfig::conv_transpose2d(None, 3, 1, 1, 0),
                },
            ]);
            NetworkConfig::layers(layers)
        };
        let encoder = NetworkConfig::layers(vec![
            conv(Some(channels(1)), 3, 1),
            silu(),
            halve(channels(1)),
            silu(),
        ]);
        let bottom_up = (2..=skips)
            .map(|level| NetworkConfig::layers(vec![halve(channels(level)), silu()]))
            .collect::<Vec<_>>();
        let top = branch(
            vec![
                halve(channels(skips + 1)),
                silu(),
                LayerConfig::linear(512),
                LayerConfig::Relu {},
            ],
            LayerConfig::linear_open(),
        );
        let pointwise = || conv(None, 1, 0);
        let join = |level| vec![conv(Some(channels(level)), 3, 1), silu()];
        Self {
            encoders: each(specs, &encoder),
            bottom_up: each(specs, &bottom_up),
            top: each(specs, &top),
            top_down: (1..levels)
                .map(|level| {
                    NetworkConfig::layers(if level == levels - 1 {
                        unfold.clone()
                    } else {
                        vec![presets::double(channels(level), &sizes[level]), silu()]
                    })
                })
                .collect(),
            prior: (1..levels).map(|_| branch(Vec::new(), pointwise())).collect(),
            posterior: PosteriorConfig::Shared(
                (1..levels).map(|level| branch(join(level), pointwise())).collect(),
            ),
            decoders: each(specs, &decoder),
        }
    }

    fn of_vectors(specs: &[ModalitySpec], levels: usize, features: usize) -> Self {
        let block = || vec![LayerConfig::linear(WIDTH), LayerConfig::Silu {}];
        let network = || NetworkConfig::layers(block());
        let mut decoder = block();
        decoder.push(LayerConfig::linear_open());
        let bottom_up: Vec<_> = (2..levels).map(|_| network()).collect();
        let head = LayerConfig::linear_open;
        Self {
            encoders: each(specs, &network()),
            bottom_up: each(specs, &bottom_up),
            top: each(specs, &branch(block(), head())),
            top_down: (1..levels).map(|_| network()).collect(),
            prior: (1..levels).map(|_| branch(Vec::new(), LayerConfig::linear(features))).collect(),
            posterior: PosteriorConfig::Shared(
                (1..levels).map(|_| branch(block(), head())).collect(),
            ),
            decoders: each(specs, &NetworkConfig::layers(decoder)),
        }
    }

    /// Checks that every modality has its networks, and every level.
    ///
    /// # Errors
    ///
    /// [`Error::Config`].
    pub fn check(&self, specs: &[ModalitySpec]) -> Result<()> {
        fn count(field: String, expected: usize, found: usize) -> Result<()> {
            let expected_networks = format!("{expected} networks");
            if expected == found {
                return Ok(());
            }
            Err(Error::Config { field, expected: expected_networks, found: found.to_string() })
        }
        fn names<T>(field: &str, specs: &[ModalitySpec], map: &PerModality<T>) -> Result<()> {
            let list = |names: Vec<&ModalityName>| {
                names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ")
            };
            let mut expected: Vec<&ModalityName> = specs.iter().map(|spec| &spec.name).collect();
            expected.sort();
            let found: Vec<&ModalityName> = map.keys().collect();
            if expected == found {
                return Ok(());
            }
            Err(Error::Config {
                field: field.to_owned(),
                expected: format!("the modalities {}", list(expected)),
                found: list(found),
            })
        }
        let lower = self.levels() - 1;
        names("encoders", specs, &self.encoders)?;
        names("bottom_up", specs, &self.bottom_up)?;
        names("top", specs, &self.top)?;
        names("decoders", specs, &self.decoders)?;
        for (name, blocks) in &self.bottom_up {
            count(format!("bottom_up.{name}"), lower.saturating_sub(1), blocks.len())?;
        }
        count("top_down".into(), lower, self.top_down.len())?;
        match &self.posterior {
            PosteriorConfig::Shared(blocks) => {
                count("posterior.shared".into(), lower, blocks.len())
            }
            PosteriorConfig::PerModality(blocks) => {
                names("posterior.per_modality", specs, blocks)?;
                blocks.iter().try_for_each(|(name, blocks)| {
                    count(format!("posterior.per_modality.{name}"), lower, blocks.len())
                })
            }
        }
    }

    /// Builds the networks; `latent` is the number of features of the highest level.
    ///
    /// # Errors
    ///
    /// As [`check`](Self::check), [`NetworkConfig::init`] and [`EncoderConfig::init`];
    /// [`Error::Config`] if `h_i` and `s_i` cannot be joined, or differ between modalities that
    /// share a network.
    pub fn init(
        &self,
        specs: &[ModalitySpec],
        latent: usize,
        networks: &Networks,
        device: &Device,
    ) -> Result<Hierarchy> {
        self.check(specs)?;
        let mut encoders = Vec::new();
        let mut bottom_up = Vec::new();
        let mut top = Vec::new();
        // Of each modality, the shapes of s_1, s_2 and so on.
        let mut skips: Vec<Vec<Vec<usize>>> = Vec::new();
        for spec in specs {
            let name = &spec.name;
            let net = self.encoders[name].init(
                &format!("encoder of `{name}`"),
                &spec.input_shape(),
                None,
                networks,
                device,
            )?;
            let mut shapes = vec![net.output_shape().to_vec()];
            encoders.push((name.as_str(), net));
            let mut blocks = Vec::new();
            for (i, block) in self.bottom_up[name].iter().enumerate() {
                let block = block.init(
                    &format!("bottom-up block {i} of `{name}`"),
                    &shapes[i],
                    None,
                    networks,
                    device,
                )?;
                shapes.push(block.output_shape().to_vec());
                blocks.push(block);
            }
            bottom_up.push((name.as_str(), blocks));
            let net = self.top[name].init(
                &format!("top of `{name}`"),
                &shapes[shapes.len() - 1],
                Some(&[latent]),
                None,
                networks,
                device,
            )?;
            top.push((name.as_str(), net));
            skips.push(shapes);
        }

        let lower = self.levels() - 1;
        let mut shapes = vec![vec![latent]; self.levels()];
        let mut top_down = Vec::new();
        let mut prior = Vec::new();
        let mut joined = vec![Vec::new(); lower];
        for level in (0..lower).rev() {
            let block = self.top_down[level].init(
                &format!("top-down block {level}"),
                &shapes[level + 1],
                None,
                networks,
                device,
            )?;
            let h = block.output_shape().to_vec();
            let net = self.prior[level].init_open(
                &format!("prior block {level}"),
                &h,
                Some(&h),
                None,
                networks,
                device,
            )?;
            shapes[level] = net.latent_shape().to_vec();
            joined[level] = specs
                .iter()
                .zip(&skips)
                .map(|(spec, skips)| join(level, &spec.name, &h, &skips[level]))
                .collect::<Result<Vec<_>>>()?;
            top_down.push(block);
            prior.push(net);
        }
        top_down.reverse();
        prior.reverse();

        let block = |name: String, config: &EncoderConfig, level: usize, input: &[usize]| {
            config.init(&name, input, Some(&shapes[level]), None, networks, device)
        };
        let posterior = match &self.posterior {
            PosteriorConfig::Shared(configs) => {
                let nets =
                    configs.iter().zip(&joined).enumerate().map(|(level, (config, joined))| {
                        if let Some(other) = joined.iter().find(|shape| **shape != joined[0]) {
                            return Err(Error::Config {
                                field: "posterior.shared".into(),
                                expected: format!("one shape {:?} at level {level}", joined[0]),
                                found: format!("{other:?}; use `per_modality`"),
                            });
                        }
                        block(format!("posterior block {level}"), config, level, &joined[0])
                    });
                PosteriorNet::Shared(nets.collect::<Result<_>>()?)
            }
            PosteriorConfig::PerModality(configs) => {
                let nets = specs.iter().enumerate().map(|(m, spec)| {
                    let nets = configs[&spec.name].iter().enumerate().map(|(level, config)| {
                        let name = format!("posterior block {level} of `{}`", spec.name);
                        block(name, config, level, &joined[level][m])
                    });
                    Ok((spec.name.as_str(), nets.collect::<Result<Vec<_>>>()?))
                });
                PosteriorNet::PerModality(nets.collect::<Result<_>>()?)
            }
        };
        let decoders = specs
            .iter()
            .map(|spec| {
                let config = &self.decoders[&spec.name];
                let decoder = Decoder::init(config, spec, &shapes[0], networks, device)?;
                Ok((spec.name.as_str(), decoder))
            })
            .collect::<Result<_>>()?;
        Ok(Hierarchy {
            encoders: encoders.into_iter().collect(),
            bottom_up: bottom_up.into_iter().collect(),
            top: top.into_iter().collect(),
            top_down,
            prior,
            posterior,
            decoders,
            shapes,
        })
    }
}

/// The same network for every modality, as data.
fn each<T: Clone>(specs: &[ModalitySpec], config: &T) -> PerModality<T> {
    specs.iter().map(|spec| (spec.name.clone(), config.clone())).collect()
}

/// A trunk and two heads of one layer, softly clamped.
fn branch(trunk: Vec<LayerConfig>, head: LayerConfig) -> EncoderConfig {
    let head = vec![head, LayerConfig::SoftClamp { limit: LIMIT }];
    EncoderConfig::Branches(BranchConfig::new(trunk).with_heads(head).into())
}

/// The shape of `h_i` and `s_i` joined along channels, which in memory is end to end.
fn join(level: usize, name: &ModalityName, h: &[usize], skip: &[usize]) -> Result<Vec<usize>> {
    match (h, skip) {
        ([a, rest @ ..], [b, others @ ..]) if rest == others => Ok([&[a + b], rest].concat()),
        _ => Err(Error::Config {
            field: format!("top_down.{level}"),
            expected: format!("{skip:?} but for the channels, as `{name}` has at that level"),
            found: format!("{h:?}"),
        }),
    }
}

/// The networks of a hierarchical model; see the [module](self). Levels count from 0, the one
/// that decoders read.
#[derive(Module, Debug)]
pub struct Hierarchy {
    /// From values to `s_1`.
    pub encoders: Named<NetworkNet>,
    /// From `s_i` to `s_{i+1}`.
    pub bottom_up: Named<Vec<NetworkNet>>,
    /// From `s_{L-1}` to the posterior of `z_L`.
    pub top: Named<EncoderNet>,
    /// From `z_{i+1}` to `h_i`.
    pub top_down: Vec<NetworkNet>,
    /// From `h_i` to the prior of `z_i`.
    pub prior: Vec<EncoderNet>,
    /// From `h_i` joined with `s_i`, features end to end, to the posterior of `z_i`.
    pub posterior: PosteriorNet,
    /// From `z_1` to the likelihood.
    pub decoders: Named<Decoder>,
    #[module(skip)]
    shapes: Vec<Vec<usize>>,
}

impl Hierarchy {
    /// Number of levels.
    pub fn levels(&self) -> usize {
        self.shapes.len()
    }

    /// Shape of the latent values of every level, without the batch axis, in which they lie flat
    /// in memory.
    pub fn shapes(&self) -> &[Vec<usize>] {
        &self.shapes
    }
}

/// See [`PosteriorConfig`].
#[derive(Module, Debug)]
pub enum PosteriorNet {
    /// One network per level.
    Shared(Vec<EncoderNet>),
    /// One network per level and modality.
    PerModality(Named<Vec<EncoderNet>>),
}

impl PosteriorNet {
    /// The network of a level and a modality.
    ///
    /// # Panics
    ///
    /// If there is no such level or modality.
    pub fn at(&self, level: usize, modality: usize) -> &EncoderNet {
        match self {
            Self::Shared(nets) => &nets[level],
            Self::PerModality(nets) => &nets.at(modality)[level],
        }
    }

    /// The network of a level, if all modalities share it: their rows can be stacked.
    pub fn shared(&self, level: usize) -> Option<&EncoderNet> {
        match self {
            Self::Shared(nets) => Some(&nets[level]),
            Self::PerModality(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Tensor;

    use super::*;
    use crate::{
        batch::Values,
        module::{init_parameters, tests::without_gradient},
        nn::{Encoder, Network},
    };

    fn specs(shapes: &[&[usize]]) -> Vec<ModalitySpec> {
        let spec = |(i, shape): (usize, &&[usize])| ModalitySpec::new(&format!("m{i}"), shape);
        shapes.iter().enumerate().map(spec).collect::<Result<_>>().expect("valid")
    }

    fn build(config: &HierarchyConfig, specs: &[ModalitySpec], latent: usize) -> Result<Hierarchy> {
        config.init(specs, latent, &Networks::default(), &Device::flex().autodiff())
    }

    /// Goes up and down with every network, and sees that all shapes agree and all parameters
    /// learn.
    fn walk(net: &Hierarchy, specs: &[ModalitySpec]) {
        let device = Device::flex().autodiff();
        let rows = 2;
        let dense = |x: &Tensor<2>| Values::Dense(x.clone());
        let mut sum = Tensor::<1>::zeros([1], &device);
        let mut z = Vec::new();
        let mut skips = Vec::new();
        for (m, spec) in specs.iter().enumerate() {
            let x = Tensor::ones([rows, spec.features()], &device) * 0.5;
            let mut ladder = vec![net.encoders.at(m).forward_values(&dense(&x))];
            for block in net.bottom_up.at(m) {
                ladder.push(block.forward(ladder[ladder.len() - 1].clone()));
            }
            let top = net.top.at(m).encode(&dense(&ladder[ladder.len() - 1])).shared;
            sum = sum + top.log_var.sum();
            z.push(top.mean);
            skips.push(ladder);
        }
        let mut z = z.into_iter().reduce(|a, b| a + b).expect("a modality");
        for level in (0..net.levels() - 1).rev() {
            let h = net.top_down[level].forward(z);
            let prior = net.prior[level].encode(&dense(&h)).shared;
            sum = sum + prior.log_var.sum();
            z = prior.mean;
            for (m, ladder) in skips.iter().enumerate() {
                let joined = Tensor::cat(vec![h.clone(), ladder[level].clone()], 1);
                let posterior = net.posterior.at(level, m).encode(&dense(&joined)).shared;
                assert_eq!(posterior.mean.dims(), z.dims());
                sum = sum + posterior.log_var.sum();
                z = z + posterior.mean;
            }
            assert_eq!(z.dims(), [rows, net.shapes()[level].iter().product()]);
        }
        for decoder in net.decoders.values() {
            sum = sum + decoder.decode(z.clone().unsqueeze_dim(0)).sum();
        }
        assert_eq!(without_gradient(net, &sum.backward()), Vec::<String>::new());
    }

    #[test]
    fn any_images_and_volumes_and_any_number_of_levels_have_default_networks() {
        for shape in [&[3_usize, 28, 28] as &[usize], &[1, 9, 14], &[2, 33, 8], &[1, 8, 9, 11]] {
            for levels in 1..=5 {
                let specs = specs(&[shape, shape]);
                let config = HierarchyConfig::default_for(&specs, levels, 6);
                assert_eq!(config.levels(), levels);
                let net = build(&config, &specs, 6).unwrap_or_else(|error| panic!("{error}"));
                assert_eq!(net.shapes()[levels - 1], [6]);
                assert!(net.shapes()[..levels - 1].iter().all(|map| map.len() == shape.len()));
                walk(&init_parameters(net), &specs);
            }
        }
    }

    #[test]
    fn mixed_modalities_have_vectors_at_every_level() {
        for levels in 1..=4 {
            let specs = specs(&[&[3, 28, 28], &[10], &[4, 3]]);
            let config = HierarchyConfig::default_for(&specs, levels, 6);
            let net = build(&config, &specs, 6).unwrap_or_else(|error| panic!("{error}"));
            assert!(net.shapes()[..levels - 1].iter().all(|shape| shape == &[FEWEST]));
            walk(&init_parameters(net), &specs);
        }
    }

    #[test]
    fn images_of_different_sizes_are_mixed_modalities() {
        let specs = specs(&[&[3, 28, 28], &[3, 32, 32]]);
        let net = build(&HierarchyConfig::default_for(&specs, 2, 6), &specs, 6).expect("vectors");
        assert_eq!(net.shapes()[0], [FEWEST]);
    }

    #[test]
    fn three_levels_of_polymnist_are_the_example_of_multivae() {
        let specs = specs(&[&[3, 28, 28], &[3, 28, 28]]);
        let config = HierarchyConfig::default_for(&specs, 3, 16).with_output(Activation::Sigmoid);
        let layers =
            |text: &str| -> Vec<LayerConfig> { serde_json::from_str(text).expect("valid") };
        let network = |text: &str| NetworkConfig::layers(layers(text));
        let name = &specs[1].name;
        assert_eq!(
            config.encoders[name],
            network(
                r#"[{"kind":"conv2d","channels":32,"kernel":3,"stride":1,"padding":1},{"kind":"silu"},
                    {"kind":"conv2d","channels":32,"kernel":3,"stride":2,"padding":1},{"kind":"silu"}]"#
            )
        );
        assert_eq!(
            config.bottom_up[name],
            [network(
                r#"[{"kind":"conv2d","channels":64,"kernel":3,"stride":2,"padding":1},{"kind":"silu"}]"#
            )]
        );
        let branches = |config: &EncoderConfig| config.expand(&[]).expect("layers").shared;
        let top = branches(&config.top[name]);
        assert_eq!(
            top.trunk,
            layers(
                r#"[{"kind":"conv2d","channels":128,"kernel":3,"stride":2,"padding":1},{"kind":"silu"},
                    {"kind":"linear","outputs":512},{"kind":"relu"}]"#
            )
        );
        assert_eq!(top.mean, layers(r#"[{"kind":"linear"},{"kind":"soft_clamp","limit":10.0}]"#));
        assert_eq!(
            config.top_down,
            [
                network(
                    r#"[{"kind":"conv_transpose2d","channels":32,"kernel":3,"stride":2,"padding":1,
                         "output_padding":1},{"kind":"silu"}]"#
                ),
                network(
                    r#"[{"kind":"linear","outputs":512},{"kind":"relu"},
                        {"kind":"linear","outputs":2048},{"kind":"relu"},
                        {"kind":"reshape","shape":[128,4,4]},
                        {"kind":"conv_transpose2d","channels":64,"kernel":3,"stride":2,"padding":1},
                        {"kind":"silu"}]"#
                )
            ]
        );
        let head = layers(r#"[{"kind":"conv2d","kernel":1},{"kind":"soft_clamp","limit":10.0}]"#);
        for (level, prior) in config.prior.iter().enumerate() {
            let prior = branches(prior);
            assert_eq!((prior.trunk, prior.log_var), (Vec::new(), head.clone()), "level {level}");
        }
        let PosteriorConfig::Shared(posterior) = &config.posterior else { panic!("shared") };
        let posterior = branches(&posterior[1]);
        assert_eq!(
            posterior.trunk,
            layers(
                r#"[{"kind":"conv2d","channels":64,"kernel":3,"stride":1,"padding":1},{"kind":"silu"}]"#
            )
        );
        assert_eq!(posterior.mean, head);
        assert_eq!(
            config.decoders[name],
            network(
                r#"[{"kind":"conv_transpose2d","channels":32,"kernel":3,"stride":2,"padding":1,
                     "output_padding":1},{"kind":"silu"},
                    {"kind":"conv_transpose2d","kernel":3,"padding":1},{"kind":"sigmoid"}]"#
            )
        );
        let net = build(&config, &specs, 16).expect("fits");
        assert_eq!(net.shapes(), [vec![32, 14, 14], vec![64, 7, 7], vec![16]]);
    }

    #[test]
    fn configs_round_trip_and_refuse_unknown_keys() {
        let config = HierarchyConfig::default_for(&specs(&[&[3, 28, 28], &[3, 28, 28]]), 3, 6);
        let text = serde_json::to_string(&config).expect("plain data");
        assert_eq!(serde_json::from_str::<HierarchyConfig>(&text).expect("its own text"), config);
        let wrong = text.replacen("\"top\"", "\"tops\"", 1);
        assert!(serde_json::from_str::<HierarchyConfig>(&wrong).is_err());
    }

    #[test]
    fn networks_that_are_missing_or_too_many_are_refused_by_name() {
        let specs = specs(&[&[6], &[4]]);
        let config = HierarchyConfig::default_for(&specs, 3, 6);
        let message = |config: &HierarchyConfig| {
            config.check(&specs).expect_err("something is wrong").to_string()
        };
        let mut wrong = config.clone();
        wrong.encoders.remove(&specs[1].name);
        assert_eq!(message(&wrong), "`encoders`: expected the modalities `m0`, `m1`, found `m0`");
        let mut wrong = config.clone();
        wrong.bottom_up.values_mut().for_each(Vec::clear);
        assert_eq!(message(&wrong), "`bottom_up.m0`: expected 1 networks, found 0");
        let mut wrong = config;
        wrong.posterior = PosteriorConfig::Shared(Vec::new());
        assert_eq!(message(&wrong), "`posterior.shared`: expected 2 networks, found 0");
    }

    #[test]
    fn posteriors_may_differ_between_modalities_and_levels_be_narrow() {
        let specs = specs(&[&[1, 8, 8], &[1, 8, 8]]);
        let mut config = HierarchyConfig::default_for(&specs, 2, 6);
        let PosteriorConfig::Shared(shared) = config.posterior.clone() else { panic!("shared") };
        config.posterior = PosteriorConfig::PerModality(each(&specs, &shared));
        // Fewer channels than h has.
        config.prior = vec![branch(Vec::new(), LayerConfig::conv2d(5, 1, 1, 0))];
        let net = init_parameters(build(&config, &specs, 6).expect("fits"));
        assert_eq!(net.shapes()[0], [5, 4, 4]);
        assert!(net.posterior.shared(0).is_none());
        walk(&net, &specs);
    }

    #[test]
    fn maps_that_cannot_be_joined_are_refused() {
        let specs = specs(&[&[1, 8, 8]]);
        let mut config = HierarchyConfig::default_for(&specs, 2, 6);
        config.top_down = vec![NetworkConfig::layers(vec![LayerConfig::linear(512)])];
        config.prior = vec![branch(Vec::new(), LayerConfig::linear(512))];
        let error = build(&config, &specs, 6).expect_err("a vector and a map");
        assert!(error.to_string().starts_with("`top_down.0`"), "{error}");
    }

    #[test]
    fn a_custom_encoder_at_the_top_must_be_given() {
        let specs = specs(&[&[6]]);
        let mut config = HierarchyConfig::default_for(&specs, 2, 6);
        let custom =
            EncoderConfig::Custom { name: "mine".into(), settings: serde_json::Value::Null };
        config.top = each(&specs, &custom);
        let error = build(&config, &specs, 6).expect_err("not given");
        assert_eq!(error, Error::MissingCustom("mine".into()));
    }
}
