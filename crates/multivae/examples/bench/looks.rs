//! Who looks at images: the classifier of PolyMNIST of the Python library, before it learns.

use burn::tensor::{Device, Tensor};
use multivae::{
    core::{
        modality::ModalitySpec,
        module::init_parameters,
        nn::{Network, NetworkConfig, NetworkNet, Networks},
    },
    metrics::{Classify, Features},
};
use serde_json::json;

use crate::Result;

/// Features of images, and scores of ten classes.
pub(crate) struct Looks {
    features: NetworkNet,
    scores: NetworkNet,
}

impl Looks {
    pub(crate) fn new(spec: &ModalitySpec, device: &Device) -> Result<Self> {
        let half = |channels: usize| json!({ "kind": "conv2d", "channels": channels, "kernel": 4, "stride": 2, "padding": 1 });
        let (linear, relu) = (
            |outputs: usize| json!({ "kind": "linear", "outputs": outputs }),
            json!({ "kind": "relu" }),
        );
        let network = |layers: Vec<serde_json::Value>, input: &[usize]| -> Result<NetworkNet> {
            let config: NetworkConfig =
                serde_json::from_value(json!({ "kind": "layers", "layers": layers }))?;
            Ok(init_parameters(config.init(
                "a classifier",
                input,
                None,
                &Networks::default(),
                device,
            )?))
        };
        let flatten = json!({ "kind": "flatten" });
        let layers =
            vec![half(10), relu.clone(), half(20), relu.clone(), flatten, linear(128), relu];
        Ok(Self {
            features: network(layers, &spec.shape)?,
            scores: network(vec![linear(10)], &[128])?,
        })
    }
}

impl Features for Looks {
    fn name(&self) -> &'static str {
        "classifier"
    }

    fn features(&self, values: Tensor<2>, _: &ModalitySpec) -> Tensor<2> {
        self.features.forward(values)
    }
}

impl Classify for Looks {
    fn classes(&self) -> &[i64] {
        &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    }

    fn scores(&self, values: &Tensor<2>) -> Tensor<2> {
        self.scores.forward(self.features.forward(values.clone()))
    }
}
