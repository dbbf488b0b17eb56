//! Statistics that encoders take of a batch while a model learns.

use burn::{
    module::{Module, ModuleVisitor, Param},
    tensor::{Device, Int, Tensor},
};
use multivae_core::{
    batch::{Batch, Presence, Purpose, Values},
    modality::ModalitySpec,
    model::MultimodalModel,
    nn::Networks,
    noise::Noise,
    subset::Subset,
};
use multivae_models::{Model, ModelConfig};
use serde_json::{Value, json};

use crate::contract::{ROWS, complete, config, flat, floats, model};

/// The modality that some rows lack, and the rows that observe it.
const LACKED: usize = 1;
const OBSERVED: [usize; 3] = [0, 2, 5];

/// The configuration with a batch normalisation in every network of layers, and in the encoders of
/// modalities.
fn with_batch_norm(name: &str, specs: &[ModalitySpec]) -> ModelConfig {
    fn add(value: &mut Value) {
        let norm = json!({"kind": "batch_norm"});
        let lists = match value["kind"].as_str() {
            Some("layers") => value["layers"].as_array_mut(),
            Some("branches") => value["shared"]["trunk"].as_array_mut(),
            _ => None,
        };
        if let Some(layers) = lists {
            layers.push(norm);
        }
        match value {
            Value::Array(values) => values.iter_mut().for_each(add),
            Value::Object(values) => values.values_mut().for_each(add),
            _ => {}
        }
    }
    let mut value = serde_json::to_value(config(name, specs)).expect("plain data");
    let trunk = json!([{"kind": "linear", "outputs": 4}]);
    let encoder = json!({"kind": "branches", "shared": {"trunk": trunk}});
    for modality in value["modalities"].as_array_mut().into_iter().flatten() {
        if modality.get("encoder").is_some() {
            modality["encoder"] = encoder.clone();
        }
    }
    if let Some(blocks) = value.get_mut("blocks") {
        let layers = || json!([{"kind": "linear", "outputs": 4}]);
        for net in blocks["encoders"].as_object_mut().into_iter().flat_map(|nets| nets.values_mut())
        {
            *net = json!({"kind": "layers", "layers": layers()});
        }
    }
    add(&mut value);
    serde_json::from_value(value).expect("fields of the model")
}

/// Running statistics by path.
fn statistics(model: &Model) -> Vec<(String, Vec<f32>)> {
    #[derive(Default)]
    struct Read {
        path: Vec<String>,
        found: Vec<(String, Vec<f32>)>,
    }
    impl ModuleVisitor for Read {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.path.push(name.to_owned());
        }
        fn exit_module(&mut self, _: &str, _: &str) {
            self.path.pop();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let path = self.path.join(".");
            if path.contains("running") {
                self.found.push((path, floats(param.val())));
            }
        }
    }
    let mut read = Read::default();
    // What a step has taken is put together when the model is validated.
    model.valid().visit(&mut read);
    read.found
}

/// The rows of [`OBSERVED`] observe everything, the others lack a modality, in which a filler
/// stands.
fn incomplete(specs: &[ModalitySpec], filler: f32) -> Batch {
    let (batch, n) = (complete(specs), specs.len());
    let lacks = Subset::new((0..n).filter(|&m| m != LACKED)).expect("others");
    let row = |row: usize| if OBSERVED.contains(&row) { Subset::full(n) } else { lacks };
    let presence = Presence::new((0..ROWS).map(row).collect(), n, &batch.device());
    let values = batch.values()[LACKED].dense().expect("numbers").clone();
    let missing = presence.of(LACKED).equal_scalar(0.0).unsqueeze_dim::<2>(1);
    let values = values.clone().mask_fill(missing.expand(values.dims()), filler);
    let batch = batch.with_values(LACKED, Values::Dense(values));
    let mut batch = batch.and_then(|batch| batch.with_presence(presence)).expect("as many rows");
    batch.purpose = Purpose::Train;
    batch
}

fn observed_alone(specs: &[ModalitySpec]) -> Batch {
    let batch = complete(specs);
    let rows = Tensor::<1, Int>::from_ints(OBSERVED.map(|row| row as i64), &batch.device());
    let of = |values: &Values| values.dense().expect("numbers").clone().select(0, rows.clone());
    let mut batch = Batch::complete(batch.values().iter().map(of).collect()).expect("one size");
    batch.purpose = Purpose::Train;
    batch
}

/// Loss, first gradient norm and running statistics of a step from the same weights.
fn step(config: &ModelConfig, batch: &Batch) -> (f32, Vec<(String, Vec<f32>)>) {
    // Clones would share their statistics.
    let model = model(config);
    let (loss, _) = model.learner().step(batch, &mut Noise::seeded(1)).into_gradients(&model);
    (loss.total.into_scalar::<f32>(), statistics(&model))
}

#[test]
fn rows_that_lack_a_modality_move_no_running_statistics_of_its_networks() {
    let mut with_statistics = 0;
    for name in ModelConfig::NAMES {
        let specs = flat();
        let config = with_batch_norm(name, &specs);
        let built = config.init(&Networks::default(), &Device::flex().autodiff());
        let built = built.unwrap_or_else(|error| panic!("{name}: {error}"));
        if built.learner().needs_complete_rows() {
            continue;
        }
        let (loss, zero) = step(&config, &incomplete(&specs, 0.0));
        assert!(loss.is_finite(), "{name}");
        for filler in [1e9, f32::NAN] {
            assert_eq!(step(&config, &incomplete(&specs, filler)), (loss, zero.clone()), "{name}");
        }
        let (_, alone) = step(&config, &observed_alone(&specs));
        let before = statistics(&model(&config));
        // What encodes the modality and nothing else.
        let own = |path: &str| {
            path.contains(&format!(".{}.", specs[LACKED].name))
                && ["encoders.", "bottom_up.", "top."].iter().any(|part| path.contains(part))
                && !path.contains("top_encoders")
                && !path.contains("posterior")
        };
        for (((path, found), (_, alone)), (_, before)) in zero.iter().zip(&alone).zip(&before) {
            if !own(path) {
                continue;
            }
            with_statistics += 1;
            assert_ne!(found, before, "{name}: `{path}` took no statistics");
            for (found, alone) in found.iter().zip(alone) {
                let off = (found - alone).abs();
                assert!(off <= 1e-5 * alone.abs().max(1.0), "{name}: `{path}` {found} {alone}");
            }
        }
        let taken = zero.iter().any(|(path, _)| own(path));
        assert!(taken, "{name} has no batch normalisation: {:?}", zero.iter().map(|x| &x.0));
    }
    assert!(with_statistics > 20, "{with_statistics}");
}

#[test]
fn a_batch_without_a_modality_leaves_its_statistics_and_learns_from_the_others() {
    for name in ModelConfig::NAMES {
        let specs = flat();
        let config = with_batch_norm(name, &specs);
        if model(&config).learner().needs_complete_rows() {
            continue;
        }
        let batch = complete(&specs);
        let others = Subset::new([0, 2]).expect("two");
        let presence = Presence::new(vec![others; ROWS], specs.len(), &batch.device());
        let mut batch = batch.with_presence(presence).expect("as many rows");
        batch.purpose = Purpose::Train;
        let before = statistics(&model(&config));
        let (loss, after) = step(&config, &batch);
        assert!(loss.is_finite(), "{name}");
        let lacked = format!(".{}.", specs[LACKED].name);
        for ((path, before), (_, after)) in before.iter().zip(&after) {
            if path.contains(&lacked) && path.contains("encoders.") {
                assert_eq!(before, after, "{name}: `{path}`");
            }
        }
    }
}
