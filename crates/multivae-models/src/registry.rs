//! Every model, in one list. A model is added by its own file and one line at the end of this one;
//! a model of the user by [`crate::custom::register`].

use burn::{
    module::{
        Content, Devices, Module, ModuleDisplay, ModuleDisplayDefault, ModuleMapper, ModuleVisitor,
    },
    tensor::Device,
};
use multivae_core::{
    Result,
    modality::ModalitySpec,
    model::{CustomModel, Density, Encode, Generate, Lacks, Learn, Multimodal, MultimodalModel},
    nn::Networks,
    options::{Field, Options},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::{Map, Value};

use crate::{custom, exchange::models as classes};

/// What the list tells of a model beside its name and what it is; implemented in the model's file.
pub(crate) trait Listed {
    /// The same model in the Python library MultiVae.
    const CLASS: Option<classes::Class> = None;

    /// Options with which all parts of the model run on such data, as a table.
    fn exercise(_specs: &[ModalitySpec]) -> Value {
        Value::Object(Map::new())
    }
}

impl Serialize for ModelConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match self {
            Self::Custom(settings) => settings.serialize(serializer),
            listed => Self::serialize(listed, serializer),
        }
    }
}

impl<'de> Deserialize<'de> for ModelConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let table = Map::<String, Value>::deserialize(deserializer)?;
        match table.get("name").and_then(Value::as_str).map(str::to_owned) {
            Some(name) if custom::is_registered(&name) => {
                custom::Settings::read(&name, table).map(Self::Custom).map_err(D::Error::custom)
            }
            _ => Self::deserialize(Value::Object(table)).map_err(D::Error::custom),
        }
    }
}

impl Multimodal for Model {
    fn modalities(&self) -> &[ModalitySpec] {
        self.inner().modalities()
    }
}

impl MultimodalModel for Model {
    fn learner(&self) -> &dyn Learn {
        self.inner().learner()
    }

    fn encoder(&self) -> std::result::Result<&dyn Encode, Lacks> {
        self.inner().encoder()
    }

    fn generator(&self) -> std::result::Result<&dyn Generate, Lacks> {
        self.inner().generator()
    }

    fn density(&self) -> std::result::Result<&dyn Density, Lacks> {
        self.inner().density()
    }
}

/// Declares [`ModelConfig`], which names a model and holds its configuration, and [`Model`], which
/// holds the model. `Model` forwards without a path segment of its own, unlike a derived enum, so
/// that its records are those of the model inside.
macro_rules! models {
    ($($name:ident, $key:literal, $about:literal: $config:ty => $model:ty;)*) => {
        /// Configuration of any model; its field `name` tells which.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        // Derived as functions, to which the implementations below add models of the user.
        #[serde(tag = "name", remote = "Self")]
        #[non_exhaustive]
        #[allow(clippy::large_enum_variant, reason = "a program has one, not one a row")]
        pub enum ModelConfig {
            $(#[doc = $about] #[serde(rename = $key)] $name($config),)*
            /// A model of the user; see [`crate::custom`].
            #[serde(skip)]
            Custom(custom::Settings),
        }

        /// Any model.
        #[derive(Clone, Debug)]
        #[non_exhaustive]
        #[allow(clippy::large_enum_variant, reason = "a program has one, not one a row")]
        pub enum Model {
            $(#[doc = $about] $name($model),)*
            /// A model of the user; see [`crate::custom`].
            Custom(CustomModel),
        }

        /// The names of the models of the library.
        pub(crate) const LISTED: &[&str] = &[$($key),*];

        /// The models that the Python library MultiVae has too, with their names here.
        pub(crate) const CLASSES: &[(&str, Option<classes::Class>)] =
            &[$(($key, <$config as Listed>::CLASS)),*];

        impl ModelConfig {
            /// The names of the models of the library, in the order in which they are listed.
            pub const NAMES: &[&str] = LISTED;

            /// A model's configuration with all defaults.
            pub fn named(name: &str) -> Option<Self> {
                match name {
                    $($key => Some(Self::$name(<$config>::default())),)*
                    _ => custom::Settings::named(name).map(Self::Custom),
                }
            }

            /// The model's name.
            pub fn name(&self) -> &str {
                match self {
                    $(Self::$name(_) => $key,)*
                    Self::Custom(settings) => settings.name(),
                }
            }

            /// The models of the library, then those that were [registered](custom::register), each
            /// with what it is in a line.
            pub fn list() -> Vec<(String, String)> {
                let listed = [$(($key, $about)),*];
                let listed = listed.map(|(name, about)| (name.to_owned(), about.to_owned()));
                listed.into_iter().chain(custom::registered()).collect()
            }

            /// What the model's options mean; nothing is known of those of a model of the user.
            pub fn options(&self) -> Vec<Field> {
                match self {
                    $(Self::$name(_) => <$config>::options(),)*
                    Self::Custom(_) => Vec::new(),
                }
            }

            /// Options with which all parts of the model run on such data, as a table: what a test
            /// of every model sets. Those of a model of the user are its defaults.
            pub fn exercise(&self, specs: &[ModalitySpec]) -> Value {
                match self {
                    $(Self::$name(_) => <$config as Listed>::exercise(specs),)*
                    Self::Custom(_) => Value::Object(Map::new()),
                }
            }

            /// Fills in what the data says. The result is complete: it and a record rebuild the
            /// model.
            ///
            /// # Errors
            ///
            /// When configuration and data contradict each other, or a value is out of its range.
            pub fn with_modalities(self, specs: &[ModalitySpec]) -> Result<Self> {
                Ok(match self {
                    $(Self::$name(config) => Self::$name(config.with_modalities(specs)?),)*
                    Self::Custom(settings) => Self::Custom(settings.with_modalities(specs)?),
                })
            }

            /// Builds the model; `networks` holds those that the configuration calls custom.
            ///
            /// # Errors
            ///
            /// When a value is out of its range or a network cannot be built.
            pub fn init(&self, networks: &Networks, device: &Device) -> Result<Model> {
                Ok(match self {
                    $(Self::$name(config) => Model::$name(config.init(networks, device)?),)*
                    Self::Custom(settings) => Model::Custom(settings.init(networks, device)?),
                })
            }
        }

        $(impl From<$model> for Model {
            fn from(model: $model) -> Self {
                Self::$name(model)
            }
        })*

        $(impl From<$config> for ModelConfig {
            fn from(config: $config) -> Self {
                Self::$name(config)
            }
        })*

        impl Model {
            /// The modalities, in the order of a batch's values.
            pub fn modalities(&self) -> &[ModalitySpec] {
                self.inner().modalities()
            }

            /// The model inside: the one place that knows them all.
            fn inner(&self) -> &dyn MultimodalModel {
                match self { $(Self::$name(model) => model,)* Self::Custom(model) => model }
            }
        }

        impl Module for Model {
            fn collect_devices(&self, devices: Devices) -> Devices {
                match self { $(Self::$name(model) => model.collect_devices(devices),)* Self::Custom(model) => model.collect_devices(devices) }
            }
            fn fork(self, device: &Device) -> Self {
                match self {
                    $(Self::$name(model) => Self::$name(model.fork(device)),)*
                    Self::Custom(model) => Self::Custom(model.fork(device)),
                }
            }
            fn to_device(self, device: &Device) -> Self {
                match self {
                    $(Self::$name(model) => Self::$name(model.to_device(device)),)*
                    Self::Custom(model) => Self::Custom(model.to_device(device)),
                }
            }
            fn train(self) -> Self {
                match self {
                    $(Self::$name(model) => Self::$name(model.train()),)*
                    Self::Custom(model) => Self::Custom(model.train()),
                }
            }
            fn valid(&self) -> Self {
                match self {
                    $(Self::$name(model) => Self::$name(model.valid()),)*
                    Self::Custom(model) => Self::Custom(model.valid()),
                }
            }
            fn materialize(self) -> Self {
                match self {
                    $(Self::$name(model) => Self::$name(model.materialize()),)*
                    Self::Custom(model) => Self::Custom(model.materialize()),
                }
            }
            fn visit<V: ModuleVisitor>(&self, visitor: &mut V) {
                match self { $(Self::$name(model) => model.visit(visitor),)* Self::Custom(model) => model.visit(visitor) }
            }
            fn map<M: ModuleMapper>(self, mapper: &mut M) -> Self {
                match self {
                    $(Self::$name(model) => Self::$name(model.map(mapper)),)*
                    Self::Custom(model) => Self::Custom(model.map(mapper)),
                }
            }
        }

        impl ModuleDisplayDefault for Model {
            fn content(&self, content: Content) -> Option<Content> {
                match self { $(Self::$name(model) => model.content(content),)* Self::Custom(model) => model.content(content) }
            }
        }

        impl ModuleDisplay for Model {}

        impl std::fmt::Display for Model {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self { $(Self::$name(model) => model.fmt(f),)* Self::Custom(model) => model.fmt(f) }
            }
        }
    };
}

models! {
    Jmvae, "jmvae", "Joint encoder, approached by unimodal ones (Suzuki et al. 2016)":
        crate::jmvae::JmvaeConfig => crate::jmvae::Jmvae;
    Telbo, "telbo", "Joint encoder, then unimodal ones for its decoders (Vedantam et al. 2018)":
        crate::telbo::TelboConfig => crate::telbo::Telbo;
    Jnf, "jnf", "Joint encoder, then unimodal normalizing flows (Senellart et al. 2023)":
        crate::jnf::JnfConfig => crate::jnf::Jnf;
    Mvae, "mvae", "Product of experts, trained on sub-sampled sets of modalities (Wu and Goodman 2018)":
        crate::mvae::MvaeConfig => crate::mvae::Mvae;
    Mmvae, "mmvae", "Mixture of experts, importance-weighted (Shi et al. 2019)":
        crate::mmvae::MmvaeConfig => crate::mmvae::Mmvae;
    Mopoe, "mopoe", "Mixture of products of experts over subsets (Sutter et al. 2021)":
        crate::mopoe::MopoeConfig => crate::mopoe::Mopoe;
    Mvtcae, "mvtcae", "Product of experts that maximises total correlation (Hwang et al. 2021)":
        crate::mvtcae::MvtcaeConfig => crate::mvtcae::Mvtcae;
    Crmvae, "crmvae", "Product of experts whose modalities also reconstruct themselves (OpenReview Rn8u4MYgeNJ)":
        crate::crmvae::CrmvaeConfig => crate::crmvae::Crmvae;
    Dmvae, "dmvae", "Shared and private spaces, a bound for each modality (Lee and Pavlovic 2021)":
        crate::dmvae::DmvaeConfig => crate::dmvae::Dmvae;
    MmvaePlus, "mmvae_plus", "Mixture of experts with private codes (Palumbo et al. 2023)":
        crate::mmvae_plus::MmvaePlusConfig => crate::mmvae_plus::MmvaePlus;
    Cmvae, "cmvae", "Mixture of experts with private codes and clusters (Palumbo et al. 2024)":
        crate::cmvae::CmvaeConfig => crate::cmvae::Cmvae;
    Nexus, "nexus", "A code for each modality, and a shared space above the codes (Vasco et al. 2022)":
        crate::nexus::NexusConfig => crate::nexus::Nexus;
    Mhvae, "mhvae", "Hierarchical, one product of experts per level (Dorent et al. 2023)":
        crate::mhvae::MhvaeConfig => crate::mhvae::Mhvae;
    Cvae, "cvae", "Conditional: one modality given all others (Sohn et al. 2015)":
        crate::cvae::CvaeConfig => crate::cvae::Cvae;
    Gpoe, "gpoe", "Product of experts with learned powers (Lawry Aguila et al. 2023)":
        crate::gpoe::GpoeConfig => crate::gpoe::Gpoe;
    MeMvae, "me_mvae", "Product of experts with a bound for each modality (Wu and Goodman 2018)":
        crate::me_mvae::MeMvaeConfig => crate::me_mvae::MeMvae;
    WeightedDmvae, "weighted_dmvae", "Shared and private spaces, joined with learned powers (after Lee and Pavlovic 2021)":
        crate::weighted_dmvae::WeightedDmvaeConfig => crate::weighted_dmvae::WeightedDmvae;
    Mmjsd, "mmjsd", "Mixture of experts that approaches a dynamic prior (Sutter et al. 2020)":
        crate::mmjsd::MmjsdConfig => crate::mmjsd::Mmjsd;
    Dvcca, "dvcca", "One modality encodes what all share (Wang et al. 2016)":
        crate::dvcca::DvccaConfig => crate::dvcca::Dvcca;
    Mcvae, "mcvae", "Coordinated channels, sparse on request (Antelmi et al. 2019)":
        crate::mcvae::McvaeConfig => crate::mcvae::Mcvae;
    Ae, "ae", "Autoencoders whose codes all decoders read (Lawry Aguila et al. 2023)":
        crate::ae::AeConfig => crate::ae::Ae;
    Maae, "maae", "Autoencoders whose codes a critic holds to the prior (Makhzani et al. 2015)":
        crate::maae::MaaeConfig => crate::maae::Maae;
    Mwae, "mwae", "Autoencoders with a Wasserstein critic (Tolstikhin et al. 2018)":
        crate::mwae::MwaeConfig => crate::mwae::Mwae;
    JointAae, "joint_aae", "One code for all modalities, held to the prior by a critic (Makhzani et al. 2015)":
        crate::joint_aae::JointAaeConfig => crate::joint_aae::JointAae;
    Dccae, "dccae", "Autoencoders with correlated codes (Wang et al. 2015)":
        crate::dccae::DccaeConfig => crate::dccae::Dccae;
    DccaEy, "dcca_ey", "Encoders with correlated codes, without an eigenproblem (Chapman et al. 2024)":
        crate::dcca_ey::DccaEyConfig => crate::dcca_ey::DccaEy;
    Mmvm, "mmvm", "Unimodal posteriors whose mixture is their prior (Sutter et al. 2024)":
        crate::mmvm::MmvmConfig => crate::mmvm::Mmvm;
    WbVae, "wb_vae", "Wasserstein barycentre of experts (Qiu et al. 2025)":
        crate::wb_vae::WbVaeConfig => crate::wb_vae::WbVae;
    Helvae, "helvae", "Hellinger pooling of experts (Vo and Valera 2026)":
        crate::helvae::HelvaeConfig => crate::helvae::Helvae;
    CodeVae, "code_vae", "Experts whose errors are correlated, over all subsets (Mancisidor et al. 2025)":
        crate::code_vae::CodeVaeConfig => crate::code_vae::CodeVae;
    MwbVae, "mwb_vae", "Mixture of Wasserstein barycentres over subsets (Qiu et al. 2025)":
        crate::mwb_vae::MwbVaeConfig => crate::mwb_vae::MwbVae;
    Mohelvae, "mohelvae", "Mixture of Hellinger pools over subsets (Vo and Valera 2026)":
        crate::mohelvae::MohelvaeConfig => crate::mohelvae::Mohelvae;
    SparseMvae, "sparse_mvae", "Product of experts with sparse latents (Wu and Goodman 2018, Molchanov et al. 2017)":
        crate::sparse_mvae::SparseMvaeConfig => crate::sparse_mvae::SparseMvae;
    MmvaePlusPlus, "mmvae_plus_plus", "Mixture of experts that learn what they share from each other (Märtens and Yau 2023)":
        crate::mmvae_plus_plus::MmvaePlusPlusConfig => crate::mmvae_plus_plus::MmvaePlusPlus;
    MaskedVae, "masked_vae", "Summed features, a bound over what is given and what is not (Hirt et al. 2024)":
        crate::masked_vae::MaskedVaeConfig => crate::masked_vae::MaskedVae;
    Mmhvae, "mmhvae", "Hierarchical, from a reference modality and sets of the others (Dorent et al. 2025)":
        crate::mmhvae::MmhvaeConfig => crate::mmhvae::Mmhvae;
    Mvp, "mvp", "Mixture of experts with private codes, whose priors are learned mixtures (SIAM J. Imaging Sci. 2025)":
        crate::mvp::MvpConfig => crate::mvp::Mvp;
    Mld, "mld", "Autoencoders, then a diffusion of all their codes (Bounoua et al. 2024)":
        crate::mld::MldConfig => crate::mld::Mld;
}
