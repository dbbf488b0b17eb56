//! The card of a model says how it is used: every line of it runs, for every model of the list.

use burn::tensor::{Device, Tensor};
use multivae::{
    core::{
        modality::ModalitySpec,
        model::{Draws, MultimodalModel},
        nn::Networks,
        noise::Noise,
    },
    data::Standardisation,
    models::ModelConfig,
    run::{Bundle, bundle::Details, init},
};
use serde_json::{Value, json};

use crate::place::Place;

/// What stands between a word and the next fence.
fn block<'a>(card: &'a str, fence: &str) -> Vec<&'a str> {
    let blocks = card.split(fence).skip(1).filter_map(|rest| rest.split_once("```"));
    blocks.flat_map(|(block, _)| block.lines()).filter(|line| !line.is_empty()).collect()
}

/// The texts in quotes of the line that holds a part.
fn quoted<'a>(code: &[&'a str], part: &str) -> Option<Vec<&'a str>> {
    let line = code.iter().find(|line| line.contains(part))?;
    let (_, rest) = line.split_once(part)?;
    Some(rest.split('"').skip(1).step_by(2).collect())
}

fn specs() -> [ModalitySpec; 2] {
    let spec = |name: &str, features: usize| ModalitySpec::new(name, &[features]).expect("valid");
    [spec("blood", 3), spec("gait", 2)]
}

fn small(name: &str) -> ModelConfig {
    let listed = ModelConfig::named(name).expect("a model of the list");
    let mut value = serde_json::to_value(&listed).expect("plain data");
    value["latent"] = json!(2);
    let exercise = listed.exercise(&specs());
    for (key, option) in exercise.as_object().into_iter().flatten() {
        value[key] = option.clone();
    }
    let config: ModelConfig = serde_json::from_value(value).expect("fields of the model");
    config.with_modalities(&specs()).expect("the data suits")
}

#[test]
fn every_line_of_the_card_of_every_model_runs() {
    let (place, device) = (Place::new(), Device::flex());
    let repository = Some("ada/model".to_owned());
    let mut generating = 0;
    for &name in ModelConfig::NAMES {
        let config = small(name);
        let model = init(&config, &Networks::default(), 0, &device).expect(name);
        let bundle = Bundle::new(&model, &config, &Standardisation::none(&specs())).expect(name);
        let details = Details { repository: repository.clone(), ..Details::default() };
        let card = bundle.card_with(&details);
        let folder = format!("{name}-run");
        bundle.save(&place.path(&folder)).expect("a free place");

        // The commands, which the folder itself stands for where it would be pulled.
        let commands = block(&card, "```sh\n");
        assert_eq!(commands[0], "multivae pull ada/model --out run", "{name}");
        for (i, command) in commands[1..].iter().enumerate() {
            let words = command.strip_prefix("multivae ").expect("a command of the program");
            let (task, rest) = words.split_once(" run ").expect("of the run");
            let rest = rest.replace("--data DATA", "--data data");
            let (before, file) = rest.split_once("--out ").expect("it writes");
            place.succeeds(&format!("{task} {folder} {before}--out {name}-{i}-{file}"));
            assert!(place.path(&format!("{name}-{i}-{file}")).is_file(), "{name}: {command}");
        }

        // The lines of Rust, as they stand there.
        let code = block(&card, "```rust\n");
        let trained =
            Bundle::open(&place.path(&folder)).expect("intact").load(&device).expect(name);
        let Some(given) = quoted(&code, "trained.given(") else {
            assert!(card.contains("The model does not encode: "), "{name}\n{card}");
            continue;
        };
        assert_eq!(quoted(&code, "trained.batch("), Some(given.clone()), "{name}");
        let values = |name: &str| {
            let spec = specs().into_iter().find(|spec| spec.name.as_str() == name);
            Tensor::<2>::ones([4, spec.expect("a modality").features()], &device)
        };
        let rows: Vec<_> = given.iter().map(|&name| (name, values(name))).collect();
        let rows = trained.batch(&rows).expect(name);
        let given = trained.given(&given).expect(name);
        let latent = trained.encode(&rows, given, Draws::Mean, &mut Noise::zero()).expect(name);
        let generates = trained.model.generator().is_ok();
        match quoted(&code, "trained.targets(") {
            Some(targets) => {
                assert!(generates && commands.len() == 3, "{name}\n{card}");
                let targets = trained.targets(&targets).expect(name);
                let generated = trained.generate(&latent, targets).expect(name);
                assert_eq!(generated[0].dims()[1], 4, "{name}");
                generating += 1;
            }
            None => {
                assert!(!generates && commands.len() == 2, "{name}\n{card}");
                assert!(card.contains("The model does not generate: "), "{name}\n{card}");
            }
        }
    }
    assert!(generating > 30, "{generating}");
}

#[test]
fn the_card_of_a_conditional_model_says_what_must_be_given() {
    let (config, device) = (small("cvae"), Device::flex());
    let model = init(&config, &Networks::default(), 0, &device).expect("complete");
    let bundle = Bundle::new(&model, &config, &Standardisation::none(&specs())).expect("it fits");
    let card = bundle.card();
    for part in [
        "multivae encode run --data DATA --out latents.npz\n",
        "multivae generate run --data DATA --given blood --target gait --out generated.npz\n",
        "The model generates `gait` from `blood`, which must be given.",
    ] {
        assert!(card.contains(part), "`{part}` is not in\n{card}");
    }
    let config: Value = serde_json::to_value(&config).expect("plain data");
    assert_eq!(config["main"], json!("gait"));
}
