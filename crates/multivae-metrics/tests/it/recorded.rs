//! Values recorded from Python, the arrays that they are about, and how far off ours are.
//!
//! `cargo test --release --test metrics recorded -- --nocapture` prints the largest relative error
//! of each measure.

use burn::tensor::{Device, Tensor, TensorData};
use serde_json::Value;

/// What `tests/data/generate.py` has written under a name.
pub(crate) fn recorded(name: &str) -> Value {
    let text = include_str!("../data/recorded.json");
    let all: Value = serde_json::from_str(text).expect("written by Python");
    all[name].clone()
}

/// Numbers in [0, 1), each from its place: the finaliser of splitmix64, 24 bits of it.
pub(crate) fn unit(seed: u64, count: usize) -> impl Iterator<Item = f64> {
    (0..count as u64).map(move |i| {
        let z = i.wrapping_add(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 40) as f64 / f64::from(1 << 24)
    })
}

/// A number of a case.
pub(crate) fn number(case: &Value, key: &str) -> usize {
    case[key].as_u64().unwrap_or_else(|| panic!("`{key}` is a number")) as usize
}

/// The numbers of a list.
pub(crate) fn numbers(list: &Value) -> Vec<f64> {
    list.as_array().expect("a list").iter().map(|v| v.as_f64().expect("a number")).collect()
}

/// Floats of a tensor.
pub(crate) fn floats<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}

/// A tensor of a shape.
pub(crate) fn tensor<const D: usize>(values: Vec<f64>, shape: [usize; D]) -> Tensor<D> {
    let data = TensorData::new(values, shape).convert::<f32>();
    Tensor::from_data(data, &Device::flex())
}

/// The largest relative error seen of a measure.
pub(crate) struct Agreement {
    measure: &'static str,
    largest: f64,
    count: usize,
}

impl Agreement {
    pub(crate) fn of(measure: &'static str) -> Self {
        Self { measure, largest: 0.0, count: 0 }
    }

    /// Compares two lists of the same length.
    pub(crate) fn see(&mut self, found: &[f64], expected: &[f64]) {
        assert_eq!(found.len(), expected.len(), "{}", self.measure);
        for (found, expected) in found.iter().zip(expected) {
            let error = (found - expected).abs() / expected.abs();
            assert!(error <= 1e-4, "{}: expected {expected}, found {found}", self.measure);
            self.largest = self.largest.max(error);
            self.count += 1;
        }
    }

    /// Compares two lists of the same length, of which entries may be 0: errors are relative to the
    /// root mean square.
    pub(crate) fn see_scaled(&mut self, found: &[f64], expected: &[f64]) {
        assert_eq!(found.len(), expected.len(), "{}", self.measure);
        let squares: f64 = expected.iter().map(|value| value * value).sum();
        let scale = (squares / expected.len() as f64).sqrt();
        for (found, expected) in found.iter().zip(expected) {
            let error = (found - expected).abs() / scale;
            assert!(error <= 1e-4, "{}: expected {expected}, found {found}", self.measure);
            self.largest = self.largest.max(error);
            self.count += 1;
        }
    }

    /// Prints it.
    #[expect(clippy::print_stdout, reason = "the figures are what the test is run for")]
    pub(crate) fn show(self) {
        assert!(self.count > 0, "{}: nothing was compared", self.measure);
        println!("{}: {:.1e} of {} values", self.measure, self.largest, self.count);
    }
}
