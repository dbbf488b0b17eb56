//! Small models of the list, with all their parts, and weights that look random.

use burn::{
    module::{Module, ModuleMapper, ModuleVisitor, Param},
    tensor::{Device, Tensor, TensorData},
};
use multivae_core::{modality::ModalitySpec, nn::Networks};
use multivae_data::{Standardisation, standardise::Moments};
use multivae_models::{Model, ModelConfig};
use multivae_run::{Bundle, init};
use serde_json::json;

/// Two tables.
pub(crate) fn specs() -> Vec<ModalitySpec> {
    let spec = |name: &str, features: usize| ModalitySpec::new(name, &[features]).expect("valid");
    vec![spec("blood", 3), spec("gait", 2)]
}

/// A small configuration of a model. Where its networks are those of modalities, they have batch
/// normalisations, and so do flows.
pub(crate) fn config(name: &str) -> ModelConfig {
    let named = ModelConfig::named(name).expect("a model of the list");
    let mut value = serde_json::to_value(&named).expect("plain data");
    value["latent"] = json!(2);
    let whole = named.with_modalities(&specs()).expect("the data suits");
    let whole = serde_json::to_value(whole).expect("plain data");
    if whole["modalities"][0].get("encoder").is_some() {
        let trunk = json!([{"kind": "linear", "outputs": 4}, {"kind": "batch_norm"}]);
        let encoder = json!({"kind": "branches", "shared": {"trunk": trunk}});
        let entry = |spec: &ModalitySpec| json!({"name": spec.name, "encoder": encoder});
        value["modalities"] = specs().iter().map(entry).collect();
    }
    let mut also = |key: &str, setting: serde_json::Value| {
        if value.get(key).is_some() {
            value[key] = setting;
        }
    };
    also("flow", json!({"kind": "maf", "hidden": 4, "batch_norm": true}));
    also("adaptive", json!(["blood"]));
    also("learned_prior", json!(true));
    also("learned_modality_priors", json!(true));
    let config: ModelConfig = serde_json::from_value(value).expect("fields of the model");
    config.with_modalities(&specs()).expect("the data suits")
}

/// Gives every value of a model, running statistics among them, another one.
struct Scatter(u32);

impl ModuleMapper for Scatter {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let shape = param.val().dims();
        let mut value = || {
            self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // Positive, as variances are.
            0.1 + (self.0 >> 8) as f32 / (1 << 24) as f32
        };
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| value()).collect();
        let data = TensorData::new(values, shape);
        param.map(|old| {
            let learns = old.is_require_grad();
            Tensor::from_data(data, &old.device()).set_require_grad(learns)
        })
    }
}

pub(crate) fn model(config: &ModelConfig) -> Model {
    let first = init(config, &Networks::default(), 0, &Device::flex()).expect("complete");
    scattered(first)
}

/// The same with another value of everything.
pub(crate) fn scattered(model: Model) -> Model {
    model.map(&mut Scatter(7))
}

/// The bits of all values of a model by path, running statistics among them.
pub(crate) fn bits(model: &Model) -> Vec<(String, Vec<u32>)> {
    #[derive(Default)]
    struct Bits {
        path: Vec<String>,
        found: Vec<(String, Vec<u32>)>,
    }
    impl ModuleVisitor for Bits {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.path.push(name.to_owned());
        }
        fn exit_module(&mut self, _: &str, _: &str) {
            self.path.pop();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let values = param.val().into_data();
            let bits = values.iter::<f32>().map(f32::to_bits).collect();
            self.found.push((self.path.join("."), bits));
        }
    }
    let mut bits = Bits::default();
    model.visit(&mut bits);
    bits.found
}

/// What shifts and scales blood, and leaves gait.
pub(crate) fn standardisation() -> Standardisation {
    let mut standardisation = Standardisation::none(&specs());
    standardisation.modalities[0].moments =
        Some(Moments { mean: vec![100.0, -5.0, 0.1], std: vec![10.0, 0.3, 1.0], range: vec![] });
    standardisation
}

/// A bundle of a small model.
pub(crate) fn bundle() -> Bundle {
    let config = config("mopoe");
    let model = model(&config);
    assert_eq!(model.modalities(), specs());
    Bundle::new(&model, &config, &standardisation()).expect("it fits")
}
