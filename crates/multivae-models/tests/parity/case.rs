//! The files of a case.

use std::{collections::BTreeMap, fs, path::Path};

use burn::tensor::{Device, Tensor, TensorData};
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;
use serde_json::Value;

use super::{Problem, broken};

/// Values of a shape.
#[derive(Clone, Debug)]
pub struct Array {
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
}

impl Array {
    /// As a tensor `[shape[0], rest]`.
    pub fn rows(&self, device: &Device) -> Tensor<2> {
        let rows = self.shape.first().copied().unwrap_or(1);
        let rest = self.values.len() / rows.max(1);
        Tensor::from_data(TensorData::new(self.values.clone(), [rows, rest]), device)
    }
}

/// Arrays by name.
pub type Arrays = BTreeMap<String, Array>;

#[derive(Clone, Debug, Deserialize)]
pub struct Modality {
    pub name: String,
    pub dims: Vec<usize>,
    #[serde(default)]
    pub dist: Option<String>,
    #[serde(default)]
    pub dist_params: Value,
}

#[derive(Clone, Debug, Deserialize)]
pub struct RecordedDraw {
    pub kind: String,
    pub shape: Vec<usize>,
    pub offset: usize,
    pub len: usize,
    pub label: String,
    #[serde(default)]
    pub options: Option<Vec<Value>>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Quirk {
    pub id: String,
    pub affects: Vec<String>,
    #[serde(default)]
    pub harmless: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub struct Expected {
    #[serde(default)]
    pub scalars: BTreeMap<String, f64>,
    #[serde(default)]
    pub tensors: Vec<String>,
    #[serde(default)]
    pub grads: Vec<String>,
    #[serde(default)]
    pub grad_none: Vec<String>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Bounds {
    pub rtol: f64,
    #[serde(default)]
    pub atol: f64,
    #[serde(default)]
    pub floor: f64,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub struct Tolerance {
    pub scalar: Option<Bounds>,
    pub tensor: Option<Bounds>,
    pub grad: Option<Bounds>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Call {
    pub id: String,
    pub call: String,
    #[serde(default)]
    pub kwargs: Value,
    pub mode: String,
    #[serde(default)]
    pub rows: Option<Vec<usize>>,
    #[serde(default)]
    pub embedding: Option<Value>,
    #[serde(default)]
    pub modality: Option<String>,
    #[serde(default)]
    pub fix: Option<String>,
    #[serde(default)]
    pub quirk: Option<Vec<Quirk>>,
    #[serde(default)]
    pub noise: Vec<RecordedDraw>,
    pub expected: Expected,
    pub tolerance: Tolerance,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Description {
    pub name: String,
    pub model: String,
    pub config: Value,
    pub modalities: Vec<Modality>,
    pub arch: Value,
    pub batch: usize,
    pub incomplete: bool,
    #[serde(default)]
    pub tied_parameters: Vec<Vec<String>>,
    pub calls: Vec<Call>,
}

/// A case in memory.
#[derive(Clone, Debug)]
pub struct Case {
    pub description: Description,
    pub weights: Arrays,
    pub tensors: Arrays,
}

impl Case {
    /// Reads a case's folder.
    pub fn open(dir: &Path) -> Result<Self, Problem> {
        let read = |name: &str| {
            fs::read(dir.join(name))
                .map_err(|error| broken(format!("{}: {error}", dir.join(name).display())))
        };
        Self::new(&read("case.json")?, &read("weights.safetensors")?, &read("tensors.safetensors")?)
    }

    /// From the contents of its three files.
    pub fn new(json: &[u8], weights: &[u8], tensors: &[u8]) -> Result<Self, Problem> {
        let description =
            serde_json::from_slice(json).map_err(|error| broken(format!("case.json: {error}")))?;
        Ok(Self {
            description,
            weights: arrays(weights).map_err(|e| broken(format!("weights.safetensors: {e}")))?,
            tensors: arrays(tensors).map_err(|e| broken(format!("tensors.safetensors: {e}")))?,
        })
    }

    /// What `case.json` says.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// A tensor of the case.
    pub fn tensor(&self, name: &str) -> Result<&Array, Problem> {
        self.tensors.get(name).ok_or_else(|| broken(format!("tensors.safetensors lacks `{name}`")))
    }

    /// The values of a recorded draw.
    pub fn noise(&self, draw: &RecordedDraw) -> Result<Vec<f32>, Problem> {
        let all = &self.tensor("noise")?.values;
        all.get(draw.offset..draw.offset + draw.len)
            .map(<[f32]>::to_vec)
            .ok_or_else(|| broken(format!("`noise` is too short for `{}`", draw.label)))
    }
}

fn arrays(bytes: &[u8]) -> Result<Arrays, String> {
    let file = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
    file.tensors()
        .into_iter()
        .map(|(name, view)| {
            let values = match view.dtype() {
                Dtype::F32 => view
                    .data()
                    .chunks_exact(4)
                    .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                    .collect(),
                Dtype::U8 => view.data().iter().map(|&b| f32::from(b)).collect(),
                other => return Err(format!("`{name}` is {other:?}, not F32 or U8")),
            };
            Ok((name.clone(), Array { shape: view.shape().to_vec(), values }))
        })
        .collect()
}
