//! Numbers below the normal range count as zero.
//!
//! A processor computes with subnormal numbers, those nearer to zero than `f32::MIN_POSITIVE`, up to
//! a hundred times slower than with others, and weights and moments of an optimiser that decay pass
//! through them for thousands of steps. With the mode set here they are zero, as operands and as
//! results: `FTZ` and `DAZ` of x86-64, `FZ` of AArch64. Elsewhere nothing changes.

/// While it lives, subnormal numbers are zero on this thread; then the mode is what it was before.
///
/// It stays on its thread, whose register it restores.
pub(crate) struct Flushed {
    before: Mode,
    here: std::marker::PhantomData<*const ()>,
}

impl Flushed {
    pub(crate) fn new() -> Self {
        let before = read();
        write(before | ZERO);
        Self { before, here: std::marker::PhantomData }
    }
}

impl Drop for Flushed {
    fn drop(&mut self) {
        write(self.before);
    }
}

#[cfg(target_arch = "x86_64")]
use x86::{Mode, ZERO, read, write};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::asm;

    /// The register MXCSR.
    pub(super) type Mode = u32;

    /// Subnormal results are zero (bit 15), and subnormal operands (bit 6).
    pub(super) const ZERO: Mode = 1 << 15 | 1 << 6;

    pub(super) fn read() -> Mode {
        let mut mode: Mode = 0;
        #[allow(unsafe_code)]
        // SAFETY: the instruction writes four bytes, to a place that is ours.
        unsafe {
            asm!("stmxcsr [{}]", in(reg) &raw mut mode, options(nostack, preserves_flags));
        }
        mode
    }

    pub(super) fn write(mode: Mode) {
        #[allow(unsafe_code)]
        // SAFETY: `mode` comes from `read`, with none but the bits of `ZERO` changed, so that no
        // exception is unmasked and rounding stays. The compiler takes the default mode for
        // granted: what it computes itself may keep a subnormal number. No memory is reached by
        // the value of a float, so that this can change no more than such a number.
        unsafe {
            asm!("ldmxcsr [{}]", in(reg) &raw const mode, options(nostack, preserves_flags));
        }
    }
}

#[cfg(target_arch = "aarch64")]
use aarch64::{Mode, ZERO, read, write};

#[cfg(target_arch = "aarch64")]
mod aarch64 {
    use std::arch::asm;

    /// The register FPCR.
    pub(super) type Mode = u64;

    /// Subnormal operands and results are zero (bit 24).
    pub(super) const ZERO: Mode = 1 << 24;

    pub(super) fn read() -> Mode {
        let mode: Mode;
        #[allow(unsafe_code)]
        // SAFETY: the instruction copies a register that every program may read.
        unsafe {
            asm!("mrs {}, fpcr", out(reg) mode, options(nomem, nostack, preserves_flags));
        }
        mode
    }

    pub(super) fn write(mode: Mode) {
        #[allow(unsafe_code)]
        // SAFETY: `mode` comes from `read`, with none but the bit of `ZERO` changed, so that no
        // exception is unmasked and rounding stays. The compiler takes the default mode for
        // granted: what it computes itself may keep a subnormal number. No memory is reached by
        // the value of a float, so that this can change no more than such a number.
        unsafe {
            asm!("msr fpcr, {}", in(reg) mode, options(nostack, preserves_flags));
        }
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
use other::{Mode, ZERO, read, write};

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod other {
    pub(super) type Mode = u32;
    pub(super) const ZERO: Mode = 0;

    pub(super) fn read() -> Mode {
        0
    }

    pub(super) fn write(_: Mode) {}
}

#[cfg(all(test, any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(crate) mod tests {
    use std::{hint::black_box, panic::catch_unwind};

    use super::*;

    /// 1e-40, if such numbers are not zero; computed when it is called.
    pub(crate) fn tiny() -> f32 {
        black_box(1e-30_f32) * black_box(1e-10)
    }

    /// 1e-30, if 1e-40 as an operand is not zero.
    pub(crate) fn raised() -> f32 {
        black_box(1e-40_f32) * black_box(1e10)
    }

    #[test]
    fn subnormal_results_and_operands_are_zero_while_it_lives() {
        assert!(tiny() > 0.0 && raised() > 0.0);
        let flushed = Flushed::new();
        assert_eq!((tiny(), raised()), (0.0, 0.0));
        // The smallest normal number stays.
        assert!(black_box(f32::MIN_POSITIVE) * black_box(1.0) > 0.0);
        {
            let _nested = Flushed::new();
        }
        assert_eq!(tiny(), 0.0, "the inner one restores what it found");
        drop(flushed);
        assert!(tiny() > 0.0 && raised() > 0.0);
    }

    #[test]
    fn a_panic_restores_the_mode() {
        let result = catch_unwind(|| {
            let _flushed = Flushed::new();
            assert_eq!(tiny(), 0.0);
            panic!("within");
        });
        assert!(result.is_err());
        assert!(tiny() > 0.0);
    }
}
