//! Samplers as files.
//!
//! A sampler is one file, `sampler.safetensors`: its arrays, and in the metadata under
//! `multivae_sampler` a JSON object with the version of the format, the configuration and the
//! latent spaces.

use std::{
    collections::HashMap,
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use burn::tensor::Device;
use multivae_core::model::Generate;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::{Deserialize, Serialize};

use crate::{
    Result, Sampler, SamplerConfig, SamplerError,
    aggregate::Aggregate,
    flow::{self, Flow, Parameter},
    layout::Layout,
    mixture::Mixture,
    sampler::Fitted,
};

/// The file in the folder of a sampler.
pub const FILE: &str = "sampler.safetensors";
/// Where the metadata says what the file is.
const KEY: &str = "multivae_sampler";
/// The version of the format that is written, and the newest that is read.
const VERSION: u32 = 1;
/// What the names of a flow's parameters begin with.
const FLOW: &str = "flow.";

#[derive(Serialize, Deserialize)]
struct About {
    version: u32,
    config: SamplerConfig,
    layout: Layout,
}

/// The version alone, which tells whether the rest can be read.
#[derive(Deserialize)]
struct Version {
    version: u32,
}

/// An array: its shape, and its values as they lie in the file.
struct Array {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Array {
    fn doubles(shape: Vec<usize>, values: &[f64]) -> Self {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self { dtype: Dtype::F64, shape, bytes }
    }

    fn singles(shape: Vec<usize>, values: &[f32]) -> Self {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self { dtype: Dtype::F32, shape, bytes }
    }
}

impl Sampler {
    /// Writes the sampler into a folder, which is made if it is not there: one file, whole or not
    /// at all. What is there is not overwritten.
    ///
    /// # Errors
    ///
    /// [`SamplerError::Write`].
    pub fn save(&self, folder: &Path) -> Result<()> {
        let path = folder.join(FILE);
        let failed = |reason: &dyn std::fmt::Display| SamplerError::write(&path, reason);
        let about =
            About { version: VERSION, config: self.config.clone(), layout: self.layout.clone() };
        let about = serde_json::to_string(&about).map_err(|e| failed(&e))?;
        let arrays = self.arrays()?;
        let views = arrays
            .iter()
            .map(|(name, array)| {
                let view = TensorView::new(array.dtype, array.shape.clone(), &array.bytes);
                view.map(|view| (name.as_str(), view))
            })
            .collect::<Result<Vec<_>, _>>()
            .map_err(|e| failed(&e))?;
        let metadata = HashMap::from([(KEY.to_owned(), about)]);
        let bytes = safetensors::serialize(views, Some(metadata)).map_err(|e| failed(&e))?;
        fs::create_dir_all(folder).map_err(|e| failed(&e))?;
        multivae_files::write_new(&path, |file| file.write_all(&bytes))
            .map_err(|e: std::io::Error| failed(&e))
    }

    /// Reads a sampler that was fitted to this model or to one with the same modalities and latent
    /// spaces.
    ///
    /// # Errors
    ///
    /// [`SamplerError::File`], [`SamplerError::Model`], [`SamplerError::Conditional`].
    pub fn load(folder: &Path, model: &dyn Generate, device: &Device) -> Result<Self> {
        SamplerError::of_conditions(model)?;
        let path = folder.join(FILE);
        let bytes = fs::read(&path).map_err(|error| SamplerError::file(&path, error))?;
        let file = File { path: &path, arrays: SafeTensors::deserialize(&bytes), bytes: &bytes };
        let about = file.about()?;
        about.layout.check(&Layout::of(model, device))?;
        about.config.check().map_err(|error| file.error(error))?;
        let features = about.layout.features();
        let fitted = match &about.config {
            SamplerConfig::Gmm(_) => Fitted::Mixture(file.mixture(features)?),
            SamplerConfig::Maf(c) => Fitted::Flow(file.flow(features, &c.maf(), device)?),
            SamplerConfig::Iaf(c) => Fitted::Flow(file.flow(features, &c.iaf(), device)?),
            SamplerConfig::Aggregate(_) => {
                let values = file.singles("values", &[None, Some(features)])?;
                if values.is_empty() {
                    return Err(file.error("has no values"));
                }
                Fitted::Aggregate(Aggregate { features, values })
            }
        };
        Ok(Self { config: about.config, layout: about.layout, fitted })
    }

    fn arrays(&self) -> Result<Vec<(String, Array)>> {
        let named = |arrays: Vec<(&str, Array)>| {
            arrays.into_iter().map(|(name, array)| (name.to_owned(), array)).collect::<Vec<_>>()
        };
        Ok(match &self.fitted {
            Fitted::Mixture(m) => {
                let (k, d) = (m.weights.len(), m.features);
                named(vec![
                    ("weights", Array::doubles(vec![k], &m.weights)),
                    ("means", Array::doubles(vec![k, d], &m.means)),
                    ("factors", Array::doubles(vec![k, d, d], &m.factors)),
                ])
            }
            Fitted::Flow(flow) => {
                let d = flow.shift.len();
                let mut arrays = named(vec![
                    ("shift", Array::singles(vec![d], &flow.shift)),
                    ("scale", Array::singles(vec![d], &flow.scale)),
                ]);
                let parameters = flow::parameters(&flow.net)?.into_iter();
                arrays.extend(parameters.map(|Parameter { path, shape, values }| {
                    (format!("{FLOW}{path}"), Array::singles(shape, &values))
                }));
                arrays
            }
            Fitted::Aggregate(aggregate) => {
                let shape = vec![aggregate.values.len() / aggregate.features, aggregate.features];
                named(vec![("values", Array::singles(shape, &aggregate.values))])
            }
        })
    }
}

/// A file that is read.
struct File<'a> {
    path: &'a PathBuf,
    bytes: &'a [u8],
    arrays: Result<SafeTensors<'a>, safetensors::SafeTensorError>,
}

impl File<'_> {
    fn error(&self, reason: impl ToString) -> SamplerError {
        SamplerError::file(self.path, reason)
    }

    fn about(&self) -> Result<About> {
        let foreign = || self.error("is no sampler of multivae");
        let (_, metadata) = SafeTensors::read_metadata(self.bytes).map_err(|_| foreign())?;
        let about =
            metadata.metadata().as_ref().and_then(|all| all.get(KEY)).ok_or_else(foreign)?;
        let Version { version } = serde_json::from_str(about).map_err(|_| foreign())?;
        if version > VERSION {
            return Err(self.error(format!(
                "has format version {version}, and this program reads up to {VERSION}"
            )));
        }
        serde_json::from_str(about).map_err(|error| self.error(error))
    }

    /// The bytes of an array of a type and shape, where `None` is any number.
    fn array(&self, name: &str, dtype: Dtype, shape: &[Option<usize>]) -> Result<&[u8]> {
        let arrays = self.arrays.as_ref().map_err(|error| self.error(error))?;
        let array = arrays.tensor(name).map_err(|error| self.error(error))?;
        let fits = array.dtype() == dtype
            && array.shape().len() == shape.len()
            && array.shape().iter().zip(shape).all(|(&n, wanted)| wanted.is_none_or(|w| w == n));
        if !fits {
            return Err(self.error(format!(
                "array `{name}`: expected {dtype:?} of shape {shape:?}, found {:?} of shape {:?}",
                array.dtype(),
                array.shape()
            )));
        }
        Ok(array.data())
    }

    fn singles(&self, name: &str, shape: &[Option<usize>]) -> Result<Vec<f32>> {
        let (numbers, _) = self.array(name, Dtype::F32, shape)?.as_chunks::<4>();
        let numbers: Vec<f32> = numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        match numbers.iter().all(|number| number.is_finite()) {
            true => Ok(numbers),
            false => Err(self.error(format!("array `{name}` is not finite"))),
        }
    }

    fn doubles(&self, name: &str, shape: &[Option<usize>]) -> Result<Vec<f64>> {
        let (numbers, _) = self.array(name, Dtype::F64, shape)?.as_chunks::<8>();
        let numbers: Vec<f64> = numbers.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect();
        match numbers.iter().all(|number| number.is_finite()) {
            true => Ok(numbers),
            false => Err(self.error(format!("array `{name}` is not finite"))),
        }
    }

    fn mixture(&self, features: usize) -> Result<Mixture> {
        let weights = self.doubles("weights", &[None])?;
        if weights.iter().any(|&w| w < 0.0) || weights.iter().sum::<f64>() <= 0.0 {
            return Err(self.error("array `weights` holds no weights"));
        }
        let (k, d) = (Some(weights.len()), Some(features));
        Ok(Mixture {
            features,
            means: self.doubles("means", &[k, d])?,
            factors: self.doubles("factors", &[k, d, d])?,
            weights,
        })
    }

    fn flow(
        &self,
        features: usize,
        kind: &multivae_core::nn::FlowConfig,
        device: &Device,
    ) -> Result<Flow> {
        let net = kind.init("flow", features, device).map_err(|error| self.error(error))?;
        let parameters = multivae_core::module::parameters(&net)
            .into_iter()
            .map(|parameter| {
                let shape: Vec<_> = parameter.shape.iter().copied().map(Some).collect();
                let values = self.singles(&format!("{FLOW}{}", parameter.path), &shape)?;
                Ok(Parameter { path: parameter.path, shape: parameter.shape, values })
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Flow {
            net: flow::fill(net, &parameters).expect("the parameters are those of this flow"),
            shift: self.singles("shift", &[Some(features)])?,
            scale: self.singles("scale", &[Some(features)])?,
        })
    }
}
