//! Numbers as files store them.

use multivae_core::schema::Dtype;

use super::{Numbers, brain, half, unsigned};

/// How a number is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Element {
    pub(crate) dtype: Dtype,
    /// Whether the byte of the highest value is the first.
    pub(crate) big: bool,
}

impl Element {
    /// Bytes of a number; 0 for text.
    pub(crate) fn size(self) -> usize {
        match self.dtype {
            Dtype::Bool | Dtype::U8 | Dtype::I8 => 1,
            Dtype::U16 | Dtype::I16 | Dtype::F16 | Dtype::Bf16 => 2,
            Dtype::U32 | Dtype::I32 | Dtype::F32 => 4,
            Dtype::U64 | Dtype::I64 | Dtype::F64 => 8,
            _ => 0,
        }
    }

    /// The numbers in bytes, in the order in which they are stored; bytes that are no whole number
    /// are left over.
    pub(crate) fn numbers(self, data: &[u8]) -> Numbers {
        macro_rules! each {
            ($type:ty, $value:expr) => {
                values(data, |bytes| {
                    let value = if self.big {
                        <$type>::from_be_bytes(bytes)
                    } else {
                        <$type>::from_le_bytes(bytes)
                    };
                    $value(value)
                })
            };
        }
        match self.dtype {
            Dtype::F16 => Numbers::Floats(each!(u16, half)),
            Dtype::Bf16 => Numbers::Floats(each!(u16, brain)),
            Dtype::F32 => Numbers::Floats(each!(f32, |value| value)),
            Dtype::F64 => Numbers::Doubles(each!(f64, |value| value)),
            Dtype::U8 => Numbers::Bytes(data.to_vec()),
            Dtype::Bool => Numbers::Bytes(data.iter().map(|&b| u8::from(b != 0)).collect()),
            Dtype::I8 => Numbers::Integers(each!(i8, i64::from)),
            Dtype::I16 => Numbers::Integers(each!(i16, i64::from)),
            Dtype::I32 => Numbers::Integers(each!(i32, i64::from)),
            Dtype::I64 => Numbers::Integers(each!(i64, |value| value)),
            Dtype::U16 => Numbers::Integers(each!(u16, i64::from)),
            Dtype::U32 => Numbers::Integers(each!(u32, i64::from)),
            Dtype::U64 => unsigned(each!(u64, |value| value)),
            _ => Numbers::Text(Vec::new()),
        }
    }
}

impl Numbers {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Floats(values) => values.len(),
            Self::Doubles(values) => values.len(),
            Self::Bytes(values) => values.len(),
            Self::Integers(values) => values.len(),
            Self::Text(values) => values.len(),
        }
    }

    /// These and then others of the same type.
    pub(crate) fn followed_by(self, other: Self) -> Self {
        fn both<T>(mut first: Vec<T>, second: Vec<T>) -> Vec<T> {
            first.extend(second);
            first
        }
        match (self, other) {
            (Self::Floats(first), Self::Floats(second)) => Self::Floats(both(first, second)),
            (Self::Doubles(first), Self::Doubles(second)) => Self::Doubles(both(first, second)),
            (Self::Bytes(first), Self::Bytes(second)) => Self::Bytes(both(first, second)),
            (Self::Integers(first), Self::Integers(second)) => Self::Integers(both(first, second)),
            (Self::Text(first), Self::Text(second)) => Self::Text(both(first, second)),
            // Large unsigned integers are doubles where others of their array are not.
            (first, second) => {
                let mut all = Vec::with_capacity(first.len() + second.len());
                first.each(|value| all.push(value));
                second.each(|value| all.push(value));
                Self::Doubles(all)
            }
        }
    }

    /// Calls `each` with every number; text has none.
    pub(crate) fn each(&self, mut each: impl FnMut(f64)) {
        match self {
            Self::Floats(values) => values.iter().for_each(|&value| each(f64::from(value))),
            Self::Doubles(values) => values.iter().for_each(|&value| each(value)),
            Self::Bytes(values) => values.iter().for_each(|&value| each(f64::from(value))),
            Self::Integers(values) => values.iter().for_each(|&value| each(value as f64)),
            Self::Text(_) => {}
        }
    }

    /// The same row by row, of an array of this shape that is stored column by column.
    pub(crate) fn by_rows(self, shape: &[usize]) -> Self {
        match self {
            Self::Floats(values) => Self::Floats(by_rows(values, shape)),
            Self::Doubles(values) => Self::Doubles(by_rows(values, shape)),
            Self::Bytes(values) => Self::Bytes(by_rows(values, shape)),
            Self::Integers(values) => Self::Integers(by_rows(values, shape)),
            Self::Text(values) => Self::Text(by_rows(values, shape)),
        }
    }

    /// As text, integers without a point.
    pub(crate) fn texts(self) -> Vec<String> {
        match self {
            Self::Floats(values) => values.iter().map(f32::to_string).collect(),
            Self::Doubles(values) => values.iter().map(f64::to_string).collect(),
            Self::Bytes(values) => values.iter().map(u8::to_string).collect(),
            Self::Integers(values) => values.iter().map(i64::to_string).collect(),
            Self::Text(values) => values,
        }
    }
}

/// Values in single precision until one needs more.
#[derive(Debug, Default)]
pub(crate) struct Exact {
    floats: Vec<f32>,
    doubles: Vec<f64>,
}

impl Exact {
    pub(crate) fn push(&mut self, value: f64) {
        if self.doubles.is_empty() {
            let float = value as f32;
            if f64::from(float) == value || value.is_nan() {
                self.floats.push(float);
                return;
            }
            self.doubles = std::mem::take(&mut self.floats).into_iter().map(f64::from).collect();
        }
        self.doubles.push(value);
    }

    pub(crate) fn numbers(self) -> Numbers {
        if self.doubles.is_empty() {
            Numbers::Floats(self.floats)
        } else {
            Numbers::Doubles(self.doubles)
        }
    }
}

/// The values row by row, of an array that is stored column by column.
pub(super) fn by_rows<T: Clone>(values: Vec<T>, shape: &[usize]) -> Vec<T> {
    let mut strides = Vec::with_capacity(shape.len());
    let mut stride = 1;
    for &axis in shape {
        strides.push(stride);
        stride *= axis;
    }
    let mut index = vec![0; shape.len()];
    let mut place = 0;
    let mut out = Vec::with_capacity(values.len());
    for _ in 0..values.len() {
        out.push(values[place].clone());
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            place += strides[axis];
            if index[axis] < shape[axis] {
                break;
            }
            place -= strides[axis] * shape[axis];
            index[axis] = 0;
        }
    }
    out
}

fn values<const N: usize, T>(data: &[u8], value: impl Fn([u8; N]) -> T) -> Vec<T> {
    data.as_chunks::<N>().0.iter().map(|bytes| value(*bytes)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_the_same_in_either_order_of_bytes() {
        for (dtype, little, expected) in [
            (Dtype::F16, vec![0x00, 0xc1], "Floats([-2.5])"),
            (Dtype::Bf16, vec![0x20, 0xc0], "Floats([-2.5])"),
            (Dtype::F32, (-2.5f32).to_le_bytes().to_vec(), "Floats([-2.5])"),
            (Dtype::F64, (-2.5f64).to_le_bytes().to_vec(), "Doubles([-2.5])"),
            (Dtype::I16, (-2i16).to_le_bytes().to_vec(), "Integers([-2])"),
            (Dtype::U32, 4_000_000_000u32.to_le_bytes().to_vec(), "Integers([4000000000])"),
            (Dtype::I64, i64::MIN.to_le_bytes().to_vec(), "Integers([-9223372036854775808])"),
            (Dtype::U64, u64::MAX.to_le_bytes().to_vec(), "Doubles([1.8446744073709552e19])"),
        ] {
            let element = Element { dtype, big: false };
            assert_eq!(element.size(), little.len());
            assert_eq!(format!("{:?}", element.numbers(&little)), expected, "{dtype}");
            let big: Vec<u8> = little.into_iter().rev().collect();
            let element = Element { dtype, big: true };
            assert_eq!(format!("{:?}", element.numbers(&big)), expected, "{dtype}");
        }
    }

    #[test]
    fn values_are_doubles_from_the_first_that_needs_it() {
        let gather = |values: &[f64]| {
            let mut exact = Exact::default();
            values.iter().for_each(|&value| exact.push(value));
            exact.numbers()
        };
        assert_eq!(gather(&[0.5, 3.0]), Numbers::Floats(vec![0.5, 3.0]));
        let large = [1.0, 16_777_217.0, 2.0];
        assert_eq!(gather(&large), Numbers::Doubles(large.to_vec()));
        assert!(matches!(gather(&[f64::NAN]), Numbers::Floats(_)));
    }
}
