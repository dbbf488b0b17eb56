//! In which numbers products are taken.

use std::cell::Cell;

use burn::tensor::{Device, FloatDType, Tensor};
use serde::{Deserialize, Serialize};

/// The numbers that affine maps and convolutions multiply. Sums, and everything else, are of `f32`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// Those of the operands.
    #[default]
    F32,
    /// Operands rounded to `bf16`, of 8 significant bits and the range of `f32`. See
    /// [`Precision::is_on`] for where that is done.
    Bf16,
}

thread_local! {
    static CURRENT: Cell<Precision> = const { Cell::new(Precision::F32) };
}

impl Precision {
    /// Calls a function whose affine maps and convolutions, and the backward passes of those, have this
    /// precision. [`on_workers`](crate::on_workers) takes it along; other threads do not.
    pub fn scope<R>(self, f: impl FnOnce() -> R) -> R {
        /// Also behind a panic.
        struct Before(Precision);

        impl Drop for Before {
            fn drop(&mut self) {
                CURRENT.set(self.0);
            }
        }

        let _before = Before(CURRENT.replace(self));
        f()
    }

    /// That of the function which is running, as [`Self::scope`] says.
    pub fn current() -> Self {
        CURRENT.get()
    }

    /// Whether a device takes products so: [`Precision::Bf16`] on the Flex backend where the processor
    /// multiplies pairs of such numbers (`AVX512_BF16`: AMD since Zen 4, Intel since Cooper Lake), on
    /// others where these have the type, as which their products come out too. Elsewhere products are
    /// of `f32`.
    pub fn is_on(self, device: &Device) -> bool {
        match self {
            Self::F32 => true,
            #[cfg(feature = "flex")]
            Self::Bf16 if crate::is_eager(device) => crate::flex::bf16::available(),
            Self::Bf16 => device.supports_dtype(FloatDType::BF16),
        }
    }

    /// Whether Burn's functions are to be given operands of the type: on Flex it is the kernels that
    /// round them.
    pub(crate) fn rounds(self, device: &Device) -> bool {
        self == Self::Bf16 && !crate::is_eager(device) && self.is_on(device)
    }
}

/// The result of a function of rounded operands, as `f32`.
pub(crate) fn rounded<const D: usize>(
    operands: [Tensor<D>; 2],
    f: impl FnOnce([Tensor<D>; 2]) -> Tensor<D>,
) -> Tensor<D> {
    f(operands.map(|x| x.cast(FloatDType::BF16))).cast(FloatDType::F32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_ends_with_its_function_even_by_a_panic() {
        let panics = || Precision::Bf16.scope(|| panic!("within"));
        assert!(std::panic::catch_unwind(panics).is_err());
        assert_eq!(Precision::current(), Precision::F32);
        let inner = Precision::Bf16.scope(|| Precision::F32.scope(Precision::current));
        assert_eq!(inner, Precision::F32);
        assert_eq!(Precision::Bf16.scope(Precision::current), Precision::Bf16);
    }
}
