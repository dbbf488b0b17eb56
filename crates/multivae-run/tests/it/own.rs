//! A model that this workspace does not know, in a bundle.

use burn::{
    module::Module,
    nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig},
    tensor::{Device, Tensor},
};
use multivae_core::{
    Result,
    batch::{Batch, Progress},
    modality::ModalitySpec,
    model::{Draws, Learn, Loss, Multimodal, MultimodalModel},
    nn::Networks,
    noise::Noise,
};
use multivae_data::Standardisation;
use multivae_models::{
    Model, ModelConfig,
    custom::{CustomConfig, register},
};
use multivae_run::{Bundle, RunError};
use serde::{Deserialize, Serialize};

use crate::models::{bits, scattered, specs};

/// Predicts the second modality from the first: a regression, no VAE.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RegressionConfig {
    modalities: Vec<ModalitySpec>,
}

#[derive(Module, Debug)]
struct Regression {
    norm: BatchNorm,
    map: Linear,
    #[module(skip)]
    config: RegressionConfig,
}

impl CustomConfig for RegressionConfig {
    type Model = Regression;

    fn with_modalities(self, specs: &[ModalitySpec]) -> Result<Self> {
        Ok(Self { modalities: specs.to_vec() })
    }

    fn init(&self, _: &Networks, device: &Device) -> Result<Regression> {
        let [inputs, outputs] = [0, 1].map(|m| self.modalities[m].features());
        let norm = BatchNormConfig::new(inputs).init(device);
        let map = LinearConfig::new(inputs, outputs).init(device);
        Ok(Regression { norm, map, config: self.clone() })
    }
}

impl Multimodal for Regression {
    fn modalities(&self) -> &[ModalitySpec] {
        &self.config.modalities
    }
}

impl Learn for Regression {
    fn terms(&self, _: Progress) -> Vec<String> {
        vec!["error".into()]
    }

    fn loss(&self, batch: &Batch, _: &mut Noise) -> Loss {
        let [x, y] = [0, 1].map(|m| batch.observed(m).dense().expect("tables").clone());
        let error = (self.map.forward(x) - y).square().sum_dim(1).mean();
        Loss { total: error.clone(), terms: vec![("error".into(), error)] }
    }
}

impl MultimodalModel for Regression {
    fn learner(&self) -> &dyn Learn {
        self
    }
}

#[test]
fn a_model_of_the_user_comes_back_from_a_bundle_and_says_what_it_lacks() {
    register::<RegressionConfig>("regression", "The second modality from the first").expect("new");
    let config = ModelConfig::named("regression").expect("registered");
    let config = config.with_modalities(&specs()).expect("two tables");
    let device = Device::flex();
    let first = config.init(&Networks::default(), &device).expect("complete");
    let model: Model = scattered(first);
    let bundle = Bundle::new(&model, &config, &Standardisation::none(&specs())).expect("it fits");
    assert!(bundle.card().contains("The second modality from the first."), "{}", bundle.card());
    let bytes = bundle.to_bytes().expect("files");
    let trained = Bundle::from_bytes(&bytes).and_then(|b| b.load(&device)).expect("own bundle");
    assert_eq!(bits(&trained.model), bits(&model));
    assert_eq!(bits(&model).len(), 6);

    let rows = trained.batch(&[("blood", Tensor::zeros([2, 3], &device))]).expect("two rows");
    let given = trained.subset(&["blood"]).expect("its name");
    let error = trained.encode(&rows, given, Draws::Mean, &mut Noise::zero());
    assert!(matches!(error, Err(RunError::Lacks(_))), "{error:?}");
    assert!(matches!(trained.targets(&[]), Err(RunError::Lacks(_))));
}
