//! The card of a bundle: what it is, for people.

use multivae_core::modality::ModalitySpec;
use multivae_data::Standardisation;
use multivae_models::{ModelConfig, exchange::Entry};

/// A card as Markdown. It says what the model is and how it is used, and nothing of who trained it,
/// where, or on what.
pub(super) fn write(
    config: &ModelConfig,
    specs: &[ModalitySpec],
    standardisation: &Standardisation,
    weights: &[Entry],
) -> String {
    let name = config.name();
    let about = ModelConfig::list().into_iter().find(|(other, _)| other == name);
    let about = about.map_or("A model of the user".to_owned(), |(_, about)| about);
    let names: Vec<_> = specs.iter().map(|spec| spec.name.to_string()).collect();
    let numbers: usize = weights.iter().map(|entry| entry.values.len()).sum();
    let row = |spec: &ModalitySpec| {
        let shape: Vec<_> = spec.shape.iter().map(ToString::to_string).collect();
        let shifted = match standardisation.moments(spec.name.as_str()) {
            Some(_) => "yes",
            None => "no",
        };
        format!("| `{}` | {} | {shifted} |\n", spec.name, shape.join(" \u{d7} "))
    };
    let rows: String = specs.iter().map(row).collect();
    let (first, last) = (&names[0], &names[names.len() - 1]);
    format!(
        "---\n\
         library_name: multivae\n\
         tags: [multimodal, variational-autoencoder, {name}]\n\
         ---\n\
         \n\
         # {name} of {}\n\
         \n\
         {about}.\n\
         A multimodal variational autoencoder with {numbers} weights.\n\
         \n\
         | modality | shape | standardised |\n\
         |---|---|---|\n\
         {rows}\
         \n\
         ## Use\n\
         \n\
         ```rust\n\
         let trained = Bundle::open(folder)?.load(&device)?;\n\
         let rows = trained.batch(&[(\"{first}\", values)])?;\n\
         let given = trained.given(&[\"{first}\"])?;\n\
         let latent = trained.encode(&rows, given, Draws::Mean, &mut Noise::zero())?;\n\
         let generated = trained.generate(&latent, trained.targets(&[\"{last}\"])?)?;\n\
         ```\n\
         \n\
         `multivae encode`, `generate` and `evaluate` take the folder in place of the folder of a run, \
         with `--data`.\n\
         Values go in and come out in the units of the data.\n",
        names.join(", "),
    )
}
