//! First weights that suit the data.

use std::collections::HashMap;

use burn::{
    module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId},
    tensor::{Device, Tensor, TensorData},
};

use crate::{
    batch::Values,
    dataset::Dataset,
    model::MultimodalModel,
    pass::{PassError, read},
};

/// Rows at once.
const BATCH: usize = 256;
/// Most rows that means are taken of, evenly spread.
const ROWS: usize = 4096;

/// The model with decoders that begin at the means of their features in the rows of `data`, which has
/// the modalities of the model in its order.
///
/// Means of counts differ by factors of thousands between features, and a decoder is linear in their
/// logarithms: one that begins at a mean of 1 learns weights as large as these logarithms before it
/// learns anything else, and on rows it has not seen is wrong by factors of thousands. So the vector
/// that the last layer of such a decoder adds is moved by the output at which all means are right,
/// [`output_of_means`](crate::distribution::LikelihoodFamily::output_of_means); a feature without any
/// count has half a count in all rows. Other likelihoods, and decoders whose last layer adds no vector
/// of the width of the output, stay as they are.
///
/// # Errors
///
/// [`PassError`].
pub fn at_means<M: Module + MultimodalModel>(
    model: M,
    data: &dyn Dataset,
    device: &Device,
) -> Result<M, PassError> {
    let places = places(&model);
    if places.is_empty() {
        return Ok(model);
    }
    let all = data.len();
    let rows: Vec<usize> = (0..all.min(ROWS)).map(|i| i * all / all.min(ROWS)).collect();
    let mut sums: Vec<Option<[Tensor<1>; 2]>> = vec![None; places.len()];
    for rows in rows.chunks(BATCH) {
        let (start, end) = (rows[0], rows[rows.len() - 1] + 1);
        let failed = |source| PassError::Data { start, end, source };
        let batch = data.batch(rows, device).map_err(failed)?;
        batch.check(data.modalities())?;
        for (place, sums) in places.iter().zip(&mut sums) {
            let target = batch.target(place.modality);
            let Values::Dense(counts) = target.values else { continue };
            let presence = batch.presence().of(place.modality);
            let exposure = match target.offset {
                Some(offset) => presence * offset.exp(),
                None => presence,
            };
            let exposure = exposure.unsqueeze_dim::<2>(1).expand(counts.dims());
            let exposure = match target.cells {
                Some(cells) => exposure * cells,
                None => exposure,
            };
            let new = [counts, exposure].map(|x| x.sum_dim(0).squeeze_dim::<1>(0));
            *sums = Some(match sums.take() {
                Some([counts, exposure]) => {
                    let [more, longer] = new;
                    [counts + more, exposure + longer]
                }
                None => new,
            });
        }
    }
    let mut shifts = HashMap::new();
    for (place, sums) in places.iter().zip(sums) {
        let (Some(sums), spec) = (sums, &data.modalities()[place.modality]) else { continue };
        let what = format!("means of `{}`", spec.name);
        let [counts, exposure] = sums.map(|sum| read(sum, &what));
        let mean = |(count, exposure): (f32, f32)| {
            // What was never observed says nothing.
            if exposure > 0.0 { count.max(0.5) / exposure } else { 1.0 }
        };
        let means: Vec<f32> = counts?.into_iter().zip(exposure?).map(mean).collect();
        if let Some(output) = spec.likelihood.family().output_of_means(&means) {
            shifts.insert(place.bias, output);
        }
    }
    Ok(model.map(&mut Shift(shifts)))
}

/// A decoder of counts.
struct Place {
    modality: usize,
    /// What its last layer adds.
    bias: ParamId,
}

fn places(model: &dyn MultimodalModel) -> Vec<Place> {
    let Ok(generator) = model.generator() else { return Vec::new() };
    let place = |modality: usize| {
        let decoder = generator.decoder(modality)?;
        let (spec, family) = (decoder.spec(), decoder.spec().likelihood.family());
        let output = family.output_of_means(&vec![1.0; spec.features()])?;
        let mut last = LastBias::default();
        decoder.net().visit(&mut last);
        let (bias, width) = last.found?;
        (width == output.len()).then_some(Place { modality, bias })
    };
    generator.generated().iter().filter_map(place).collect()
}

/// The last vector that is added, with its length.
#[derive(Default)]
struct LastBias {
    path: Vec<String>,
    found: Option<(ParamId, usize)>,
}

impl ModuleVisitor for LastBias {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let name = self.path.last().map(String::as_str);
        // Of affine maps, and of normalisations.
        if matches!(name, Some("bias" | "beta")) {
            self.found = Some((param.id, param.val().shape().num_elements()));
        }
    }
}

/// Adds to vectors.
struct Shift(HashMap<ParamId, Vec<f32>>);

impl ModuleMapper for Shift {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(shift) = self.0.remove(&param.id) else { return param };
        param.map(|old| {
            let shift = TensorData::new(shift, old.dims().to_vec());
            let required = old.is_require_grad();
            let new = old.clone().detach() + Tensor::from_data(shift, &old.device());
            new.detach().set_require_grad(required)
        })
    }
}
