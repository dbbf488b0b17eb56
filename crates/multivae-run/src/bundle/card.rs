//! The card of a bundle: what it is, for people, and at its top in YAML for the Hugging Face Hub.

use multivae_core::{
    modality::ModalitySpec,
    model::{Lacks, MultimodalModel},
    subset::Subset,
};
use multivae_data::Standardisation;
use multivae_models::{ModelConfig, exchange::Entry};
use serde_json::{Number, Value};

/// What a card says beyond what a bundle knows. Nothing of it is there unless somebody has said it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Details {
    /// By which licence others may use the model, as the Hub names it, such as `mit`.
    pub license: Option<String>,
    /// Data sets on the Hub that the model was trained on.
    pub datasets: Vec<String>,
    /// What the model was trained on, in a sentence.
    pub data: Option<String>,
    /// What was measured.
    pub results: Option<Results>,
    /// Files beside the card with pictures, and what they show.
    pub pictures: Vec<(String, String)>,
    /// The repository on the Hub, `OWNER/NAME`.
    pub repository: Option<String>,
    /// Whether the Python library MultiVae can rebuild the model.
    pub reference: bool,
}

/// What was measured of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Results {
    /// On which rows, in a sentence.
    pub rows: String,
    /// The name of the data set that these are of; `None` if it has none that others know.
    pub dataset: Option<String>,
    /// The numbers.
    pub measures: Vec<Measured>,
    /// What calls for attention, in sentences.
    pub findings: Vec<String>,
}

/// A number.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// What it is.
    pub name: String,
    /// The number.
    pub value: f64,
    /// Its standard error, if it is a mean.
    pub standard_error: Option<f64>,
}

impl Measured {
    /// Its name as one word.
    fn kind(&self) -> String {
        let mut kind = String::new();
        for c in self.name.chars() {
            match c {
                c if c.is_alphanumeric() => kind.extend(c.to_lowercase()),
                _ if kind.ends_with('_') || kind.is_empty() => {}
                _ => kind.push('_'),
            }
        }
        kind.trim_end_matches('_').to_owned()
    }
}

/// What a model can do, or why it cannot.
#[derive(Clone, Debug)]
pub(super) struct Abilities {
    /// What encoding needs: the conditions of a conditional model.
    encodes: Result<Option<Subset>, Lacks>,
    /// The modalities that it generates.
    generates: Result<Subset, Lacks>,
}

impl Abilities {
    pub(super) fn of(model: &dyn MultimodalModel) -> Self {
        Self {
            encodes: model.encoder().map(|encoder| encoder.conditions()),
            generates: model.generator().map(|generator| generator.generated()),
        }
    }
}

/// What a bundle knows of its model.
pub(super) struct Known<'a> {
    /// `None` of a model that was not made.
    pub(super) abilities: Option<&'a Abilities>,
    pub(super) config: &'a ModelConfig,
    pub(super) specs: &'a [ModalitySpec],
    pub(super) standardisation: &'a Standardisation,
    pub(super) weights: &'a [Entry],
}

/// A card as Markdown. It says what the model is and how it is used, and of who trained it, where,
/// and on what, only what the details do.
pub(super) fn write(known: &Known<'_>, details: &Details) -> String {
    let Known { config, specs, weights, .. } = known;
    let name = config.name();
    let about = ModelConfig::list().into_iter().find(|(other, _)| *other == name);
    let about = about.map_or("A model of the user".to_owned(), |(_, about)| about);
    let names: Vec<_> = specs.iter().map(|spec| spec.name.to_string()).collect();
    let numbers: usize = weights.iter().map(|entry| entry.values.len()).sum();
    let mut card = front(name, details);
    card += &format!(
        "\n# {name} of {}\n\n{about}.\n\
         A multimodal variational autoencoder with {numbers} weights.\n",
        names.join(", ")
    );
    card += &modalities(known);
    if let Some(data) = &details.data {
        card += &format!("\n## Data\n\n{data}\n");
    }
    if let Some(results) = details.results.as_ref().filter(|results| !results.measures.is_empty()) {
        card += &measured(results);
    }
    if !details.pictures.is_empty() {
        card += "\n## Pictures\n";
        for (file, about) in &details.pictures {
            card += &format!("\n![{about}]({file})\n");
        }
    }
    card += &usage(known, &names, details);
    card + LIMITS
}

/// What the Hub reads. Text is written as JSON, which is YAML that nothing else can be read from.
fn front(name: &str, details: &Details) -> String {
    let text = |text: &str| Value::from(text).to_string();
    let mut front = "---\n".to_owned();
    if let Some(license) = &details.license {
        front += &format!("license: {}\n", text(license));
    }
    front += &format!(
        "library_name: multivae\n\
         tags: [multimodal, variational-autoencoder, {}]\n",
        text(name)
    );
    if !details.datasets.is_empty() {
        front += "datasets:\n";
        front.extend(details.datasets.iter().map(|id| format!("- {}\n", text(id))));
    }
    if let Some(results) = &details.results {
        let measures = results.measures.iter();
        let measures: Vec<_> = measures
            .filter_map(|one| Number::from_f64(one.value).map(|value| (one, value)))
            .collect();
        if !measures.is_empty() {
            front += "metrics:\n";
            front.extend(measures.iter().map(|(one, _)| format!("- {}\n", text(&one.kind()))));
            let dataset = match &results.dataset {
                Some(id) => {
                    format!(
                        "      type: {}\n      name: {}\n      split: test\n",
                        text(id),
                        text(id)
                    )
                }
                None => "      type: other\n      name: not published\n".to_owned(),
            };
            front += &format!(
                "model-index:\n- name: {}\n  results:\n  - task:\n      type: other\n      \
                 name: multimodal generation\n    dataset:\n{dataset}    metrics:\n",
                text(details.repository.as_deref().unwrap_or(name))
            );
            front.extend(measures.iter().map(|(one, value)| {
                format!(
                    "    - type: {}\n      name: {}\n      value: {value}\n",
                    text(&one.kind()),
                    text(&one.name)
                )
            }));
        }
    }
    front + "---\n"
}

fn modalities(known: &Known<'_>) -> String {
    let row = |spec: &ModalitySpec| {
        let shape: Vec<_> = spec.shape.iter().map(ToString::to_string).collect();
        let shifted = match known.standardisation.moments(spec.name.as_str()) {
            Some(_) => "yes",
            None => "no",
        };
        format!("| `{}` | {} | {shifted} |\n", cell(spec.name.as_str()), shape.join(" \u{d7} "))
    };
    let rows: String = known.specs.iter().map(row).collect();
    format!("\n| modality | shape | standardised |\n|---|---|---|\n{rows}")
}

fn measured(results: &Results) -> String {
    let row = |one: &Measured| {
        let error = one.standard_error.filter(|error| error.is_finite());
        let error = error.map_or(String::new(), |error| format!("{error:.4}"));
        format!("| {} | {:.4} | {error} |\n", cell(&one.name), one.value)
    };
    let rows: String = results.measures.iter().map(row).collect();
    let mut text = format!(
        "\n## Results\n\n{}\n\n| measure | value | standard error |\n|---|---|---|\n{rows}",
        results.rows
    );
    if !results.findings.is_empty() {
        text += "\nWhat calls for attention:\n\n";
        text.extend(results.findings.iter().map(|finding| format!("- {finding}\n")));
    }
    text
}

/// Text in a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// How the model is used: commands and lines that work for this one.
fn usage(known: &Known<'_>, names: &[String], details: &Details) -> String {
    let python = if details.reference {
        "The Python library MultiVae rebuilds the model from `model_config.json`; its weights are \
         `model.safetensors`, under its own names.\n"
    } else {
        "`model.safetensors` has the weights under names of PyTorch.\n"
    };
    let mut text = "\n## Use\n".to_owned();
    if let Some(repository) = &details.repository {
        text += &format!("\n```sh\nmultivae pull {repository} --out run\n```\n");
    }
    if let Some(abilities) = known.abilities {
        text += &possible(abilities, names);
    }
    text + &format!(
        "\nThe program takes the folder of these files in place of the folder of a run.\n\
         Values go in and come out in the units of the data.\n\
         {python}"
    )
}

fn possible(abilities: &Abilities, names: &[String]) -> String {
    let Abilities { encodes, generates } = abilities;
    let conditions = match encodes {
        Ok(conditions) => *conditions,
        Err(lacks) => return format!("\n{}.\n", sentence(lacks)),
    };
    let of = |set: Subset| set.iter().map(|m| names[m].as_str()).collect::<Vec<_>>();
    let given = conditions.map_or_else(|| vec![names[0].as_str()], of);
    let target = generates.as_ref().ok().map(|&set| *of(set).last().expect("at least one"));
    let mut commands = match conditions {
        // Of all, with what the conditions leave open.
        Some(_) => "multivae encode run --data DATA --out latents.npz\n".to_owned(),
        None => format!(
            "multivae encode run --data DATA --given {} --out latents.npz\n",
            listed(&given)
        ),
    };
    let mut code = format!(
        "let trained = Bundle::open(folder)?.load(&device)?;\n\
         let rows = trained.batch(&[{}])?;\n\
         let given = trained.given(&[{}])?;\n\
         let latent = trained.encode(&rows, given, Draws::Mean, &mut Noise::zero())?;\n",
        joined(&given, |name| format!("({name:?}, values)")),
        joined(&given, |name| format!("{name:?}")),
    );
    if let Some(target) = target {
        commands += &format!(
            "multivae generate run --data DATA --given {} --target {} --out generated.npz\n",
            listed(&given),
            listed(&[target])
        );
        code += &format!(
            "let generated = trained.generate(&latent, trained.targets(&[{target:?}])?)?;\n"
        );
    }
    let mut text = format!("\n```sh\n{commands}```\n\n```rust\n{code}```\n");
    if conditions.is_some() {
        text += &format!(
            "\nThe model generates `{}` from {}, which must be given.\n",
            target.unwrap_or_default(),
            joined(&given, |name| format!("`{name}`"))
        );
    }
    if let Err(lacks) = generates {
        text += &format!("\n{}.\n", sentence(lacks));
    }
    text
}

fn sentence(lacks: &Lacks) -> String {
    let text = lacks.to_string();
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

fn joined(names: &[&str], shown: impl Fn(&str) -> String) -> String {
    names.iter().map(|name| shown(name)).collect::<Vec<_>>().join(", ")
}

/// Names as one word of a shell.
fn listed(names: &[&str]) -> String {
    let list = names.join(",");
    let plain = |c: char| c.is_alphanumeric() || matches!(c, ',' | '.' | '_' | '-');
    if list.chars().all(plain) { list } else { format!("'{}'", list.replace('\'', "'\\''")) }
}

/// What a model must not be used for.
const LIMITS: &str = "
## What it must not be used for

- Generated and imputed values are guesses of the model, not measurements: do not report or reuse them as observed.
- It must not decide about people, nor be part of a diagnosis or a treatment, unless it was validated for that on data of that use.
- Rows unlike those that it was trained on, from another device, place or population, are encoded without a warning; check how well it reconstructs them first.
- A model can hold traces of the rows that it was trained on: do not use it to find out about them, and do not take it for anonymous data.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_one_word_of_a_shell() {
        assert_eq!(listed(&["a", "b_2"]), "a,b_2");
        assert_eq!(listed(&["a b", "c's"]), r"'a b,c'\''s'");
    }

    #[test]
    fn the_name_of_a_measure_becomes_one_word() {
        let kind =
            |name: &str| Measured { name: name.into(), value: 0.0, standard_error: None }.kind();
        assert_eq!(kind("coherence: Coherence, 1 given"), "coherence_coherence_1_given");
        assert_eq!(kind("  log p(a | z) "), "log_p_a_z");
    }

    #[test]
    fn nothing_in_a_text_can_end_what_the_hub_reads() {
        let details = Details {
            license: Some("mit\n---\n# other".into()),
            datasets: vec!["no".into(), "a: \"b\"".into()],
            ..Details::default()
        };
        let found = front("m", &details);
        assert_eq!(found.matches("---\n").count(), 2, "{found}");
        assert!(found.contains("license: \"mit\\n---\\n# other\"\n"), "{found}");
        assert!(found.contains("- \"no\"\n- \"a: \\\"b\\\"\"\n"), "{found}");
    }

    #[test]
    fn what_is_no_number_is_not_a_result_of_the_hub() {
        let one = |name: &str, value| Measured { name: name.into(), value, standard_error: None };
        let results = Results {
            rows: "On 3 rows.".into(),
            dataset: None,
            measures: vec![one("bound", f64::NAN), one("coherence", 0.25)],
            findings: Vec::new(),
        };
        let found = front("m", &Details { results: Some(results.clone()), ..Details::default() });
        assert!(found.contains("metrics:\n- \"coherence\"\n"), "{found}");
        assert!(found.contains("name: \"coherence\"\n      value: 0.25\n"), "{found}");
        assert!(!found.contains("bound") && !found.contains("NaN"), "{found}");
        let none = Results { measures: vec![one("bound", f64::NAN)], ..results };
        assert!(
            !front("m", &Details { results: Some(none), ..Details::default() }).contains("index")
        );
    }
}
