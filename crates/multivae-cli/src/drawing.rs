//! Figures of a run: its loss, what it generates, its latent space.

use anyhow::Result;
use burn::tensor::Tensor;
use multivae::{
    core::{
        dataset::Dataset,
        model::{Draws, Latent, MultimodalModel},
        noise::Noise,
        pass::Pass,
        subset::Subset,
    },
    metrics::{TsneConfig, given_subsets, principal_components, tsne},
    report::{Figure, Finding, Heading, Scatter, Strip, Term, Tone, losses, scatter, strips},
    run::{AlignedDataset, Run, RunFolder, evenly},
    train::{History, LOSS, Split},
};

use crate::{
    generate::{means, original},
    picture,
};

/// Images side by side: as many as can be seen on a phone.
pub(crate) const COLUMNS: usize = 8;
/// Most modalities whose images are drawn.
const MOST: usize = 6;
/// Most rows whose latent values are drawn.
const POINTS: usize = 1000;
/// Most latent spaces that are drawn.
const SPACES: usize = 6;

/// The curves of the loss and its terms; none if the run was not trained here.
pub(crate) fn training(run: &Run) -> Result<Vec<Figure>> {
    let history = History::read(&run.folder.path.join(RunFolder::METRICS))?;
    let mut terms: Vec<Term> = Vec::new();
    for epoch in 1..=history.last_epoch() {
        for split in [Split::Train, Split::Valid] {
            for (name, value) in history.terms(epoch, split) {
                let place = terms.iter().position(|term| term.name == name);
                let place = place.unwrap_or_else(|| {
                    terms.push(Term { name, ..Term::default() });
                    terms.len() - 1
                });
                let values = match split {
                    Split::Train => &mut terms[place].train,
                    Split::Valid => &mut terms[place].valid,
                };
                values.push((epoch, value));
            }
        }
    }
    Ok(losses(&terms))
}

/// What the history of the loss says in words: nothing if the run was not trained here.
pub(crate) fn about_training(run: &Run) -> Result<Vec<Finding>> {
    let history = History::read(&run.folder.path.join(RunFolder::METRICS))?;
    let (last, best) = (history.last_epoch(), history.best(LOSS, Split::Valid, ..));
    let text = match best {
        // Of the first epochs nothing can be said.
        None => return Ok(Vec::new()),
        Some(_) if last < 5 => return Ok(Vec::new()),
        Some(best) if best == last => {
            format!("The validation loss was still falling after {last} epochs: more may help.")
        }
        Some(best) => format!(
            "The validation loss was lowest after epoch {best} of {last}; these are the weights \
             that were evaluated."
        ),
    };
    Ok(vec![Finding { tone: Tone::Note, text }])
}

/// Of every image modality some originals, and below each what the model makes of it from all
/// modalities and from fewer.
pub(crate) fn generation(run: &Run, data: &dyn Dataset) -> Result<Vec<Figure>> {
    let (model, specs) = (&run.trained.model, run.trained.model.modalities());
    let Some(targets) = drawable(run) else { return Ok(Vec::new()) };
    let full = Subset::full(specs.len());
    // Complete rows where there are any.
    let complete: Vec<_> = (0..data.len()).filter(|&row| data.presence(row) == full).collect();
    let all: Vec<_> = (0..data.len()).collect();
    let rows = evenly(if complete.is_empty() { &all } else { &complete }, COLUMNS);
    let batch = data
        .batch(&rows, &run.trained.device)
        .map_err(|error| anyhow::anyhow!(error).context("rows cannot be read"))?;
    let standardisation = &run.folder.standardisation;
    let mut generated: Vec<(Subset, Vec<Tensor<2>>)> = Vec::new();
    for given in given(specs.len(), model.encoder()?.conditions()) {
        let latent = model.encoder()?.encode(&batch, given, Draws::Mean, &mut Noise::zero());
        generated.push((given, means(model.generator()?, standardisation, &latent, targets)));
    }
    let mut figures = Vec::new();
    for (place, m) in targets.iter().enumerate() {
        let spec = &specs[m];
        let mut list = Vec::new();
        if let Some(values) = original(standardisation, &batch, spec, m) {
            let observed = |i: usize| data.presence(rows[i]).contains(m);
            list.push(Strip {
                label: "original".to_owned(),
                row: picture::row(spec, values, observed)?,
            });
        }
        for (given, means) in &generated {
            let observed = |i: usize| given.union(data.presence(rows[i])) == data.presence(rows[i]);
            let label = match given.len() {
                n if n == specs.len() => "from all".to_owned(),
                n if n > 2 && n + 1 == specs.len() => {
                    let left = (0..specs.len()).find(|&m| !given.contains(m));
                    let left = left.expect("one modality is not given");
                    format!("from all but {}", specs[left].name)
                }
                _ => format!("from {}", given.label(specs).replace('+', " + ")),
            };
            let row = picture::row(spec, means[place].clone(), observed)?;
            list.push(Strip { label, row });
        }
        let heading = Heading {
            name: &format!("generated-{}", spec.name),
            section: "generation",
            title: &format!("{} from given modalities", spec.name),
            caption: "Means of the decoder at the mean of the posterior of what is given.",
        };
        figures.push(strips(heading, list));
    }
    Ok(figures)
}

/// What the model makes of joint samples, `COLUMNS` of them at most.
pub(crate) fn joint(run: &Run, samples: &[Latent]) -> Result<Option<Figure>> {
    let specs = run.trained.model.modalities();
    let (Some(targets), Some(first)) = (drawable(run), samples.first()) else { return Ok(None) };
    let means = means(run.trained.model.generator()?, &run.folder.standardisation, first, targets);
    let list = targets.iter().zip(means).map(|(m, values)| {
        let row = picture::row(&specs[m], values, |_| true)?;
        Ok(Strip { label: specs[m].name.to_string(), row })
    });
    let heading = Heading {
        name: "generated-from-nothing",
        section: "generation",
        title: "From nothing",
        caption: "Each column is one joint sample, decoded to every modality. A coherent model \
                  shows one thing in a column.",
    };
    Ok(Some(strips(heading, list.collect::<Result<Vec<_>>>()?)))
}

/// The modalities whose images are drawn; `None` if the model generates no images.
pub(crate) fn drawable(run: &Run) -> Option<Subset> {
    let specs = run.trained.model.modalities();
    let generated = run.trained.model.generator().ok()?.generated();
    let drawable = generated.iter().filter(|&m| picture::is_drawable(&specs[m]));
    Subset::new(drawable.take(MOST)).ok()
}

/// Posterior means of all rows in two dimensions: of the first space along its principal components
/// and by t-SNE, of the next ones along their principal components.
pub(crate) fn latent(
    run: &Run,
    data: &AlignedDataset,
    batch_size: usize,
    seed: u64,
) -> Result<Vec<Figure>> {
    let model = &run.trained.model;
    let full = Subset::full(model.modalities().len());
    let pass = Pass { batch_size, seed };
    let chosen = evenly(&(0..data.len()).collect::<Vec<_>>(), POINTS);
    let labels: Option<Vec<i64>> = chosen.iter().map(|&row| data.label(row)).collect();
    let labels = labels.unwrap_or_default();
    let spaces = pass.encode(model.encoder()?, data, full, Draws::Mean, &run.trained.device)?;
    let mut figures = Vec::new();
    for (i, space) in spaces.into_iter().take(SPACES).enumerate() {
        let row = |&row: &usize| space.values[row * space.features..][..space.features].to_vec();
        let values: Vec<f32> = chosen.iter().flat_map(row).collect();
        let components = principal_components(&values, space.features, 2)?;
        let at = |row: &Vec<f64>| (row[0], row.get(1).copied().unwrap_or(0.0));
        let points: Vec<(f64, f64)> = components.rows.iter().map(at).collect();
        let share = |i: usize| {
            let share = components.explained.get(i).copied().unwrap_or(0.0);
            format!("component {}, {:.0} % of the variance", i + 1, 100.0 * share)
        };
        let heading = Heading {
            name: &format!("latent-{}-pca", space.name),
            section: "latent",
            title: &format!("{} along its principal components", space.name),
            caption: "The two directions in which posterior means differ most.",
        };
        let axes = Some((&*share(0), &*share(1)));
        figures.push(scatter(heading, Scatter { points: &points, labels: &labels, axes }));
        if i == 0 {
            let config = TsneConfig { seed, ..TsneConfig::default() };
            let places = tsne(&values, space.features, &config)?;
            let points: Vec<(f64, f64)> = places.iter().map(|&[x, y]| (x, y)).collect();
            let heading = Heading {
                name: &format!("latent-{}-tsne", space.name),
                section: "latent",
                title: &format!("{} by t-SNE", space.name),
                caption: "Rows that are neighbours in the latent space are neighbours here; \
                          distances between groups and their sizes mean nothing.",
            };
            figures
                .push(scatter(heading, Scatter { points: &points, labels: &labels, axes: None }));
        }
    }
    Ok(figures)
}

/// What is given, from most to least: all, all but one, single modalities; of few modalities every
/// set. Sets hold what a conditional model needs.
fn given(modalities: usize, conditions: Option<Subset>) -> Vec<Subset> {
    let few = modalities <= 3;
    let chosen = |set: &Subset| few || set.len() == 1 || set.len() + 1 >= modalities;
    let holds = |set: &Subset| conditions.is_none_or(|needed| needed.union(*set) == *set);
    let sets = given_subsets(modalities).into_iter();
    let mut sets: Vec<Subset> = sets.filter(|set| chosen(set) && holds(set)).collect();
    sets.sort_by_key(|set| std::cmp::Reverse(set.len()));
    sets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_is_given_first_and_conditions_always() {
        let sizes: Vec<_> = given(3, None).iter().map(|set| set.len()).collect();
        assert_eq!(sizes, [3, 2, 2, 2, 1, 1, 1]);
        let sizes: Vec<_> = given(5, None).iter().map(|set| set.len()).collect();
        assert_eq!(sizes, [5, 4, 4, 4, 4, 4, 1, 1, 1, 1, 1]);
        let needed = Subset::single(1);
        assert!(given(4, Some(needed)).iter().all(|set| set.contains(1)));
    }
}
