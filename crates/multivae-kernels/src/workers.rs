//! Where and when the work of a device is done.

use burn::tensor::Device;

#[cfg(feature = "flex")]
use crate::Precision;

/// Calls a function on one of the threads that the kernels of a device share their work with, if
/// it has some: work that starts there need not wake up others from outside, which takes a tenth
/// of a training step of convolutions and a quarter of a small one.
///
/// Those of Flex are threads of their own, as many as those of Rayon's global pool
/// (`RAYON_NUM_THREADS`), on which subnormal numbers are zero, as operands and as results. They are
/// zero on all of them, so that results do not depend on how many there are; what Flex and the
/// matrix products of the `gemm` crate start from there runs on the same threads. The thread that
/// calls keeps its mode, and so does Rayon's global pool. The [`Precision`](crate::Precision) of the caller is that of
/// the function.
///
/// The function must not wait for another thread that needs the same ones.
pub fn on_workers<R: Send>(device: &Device, f: impl FnOnce() -> R + Send) -> R {
    #[cfg(feature = "flex")]
    if is_eager(device) {
        let precision = Precision::current();
        return pool::call(|| precision.scope(f));
    }
    let _ = device;
    f()
}

/// Whether operations are done when their call returns, so that nothing waits where a value is
/// read. Elsewhere they stand in a queue.
pub fn is_eager(device: &Device) -> bool {
    #[cfg(feature = "flex")]
    if crate::flex::is_flex(device.as_dispatch()) {
        return true;
    }
    let _ = device;
    false
}

#[cfg(feature = "flex")]
mod pool {
    use std::sync::OnceLock;

    use rayon::{ThreadPool, ThreadPoolBuilder};

    use crate::subnormal::Flushed;

    /// On the threads of Flex, or on this one where there can be no others.
    pub(super) fn call<R: Send>(f: impl FnOnce() -> R + Send) -> R {
        static POOL: OnceLock<Option<ThreadPool>> = OnceLock::new();
        match POOL.get_or_init(start) {
            Some(pool) => pool.install(f),
            None => {
                let _flushed = Flushed::new();
                f()
            }
        }
    }

    fn start() -> Option<ThreadPool> {
        ThreadPoolBuilder::new()
            .num_threads(rayon::current_num_threads())
            .thread_name(|i| format!("flex-{i}"))
            // For as long as the thread lives.
            .start_handler(|_| std::mem::forget(Flushed::new()))
            .build()
            .ok()
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;

    #[test]
    fn work_on_flex_is_done_by_workers_wherever_it_begins() {
        let device = Device::flex();
        assert!(rayon::current_thread_index().is_none());
        for device in [device.clone(), device.autodiff()] {
            let nested = || on_workers(&device, rayon::current_thread_index);
            assert!(on_workers(&device, nested).is_some());
        }
    }

    #[test]
    fn the_precision_goes_along() {
        let device = Device::flex();
        let there = || on_workers(&device, Precision::current);
        assert_eq!(Precision::Bf16.scope(there), Precision::Bf16);
        assert_eq!(there(), Precision::F32);
    }

    #[test]
    fn there_are_as_many_workers_as_rayon_has_threads() {
        let threads = on_workers(&Device::flex(), rayon::current_num_threads);
        assert_eq!(threads, rayon::current_num_threads());
    }

    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    mod subnormal {
        use burn::tensor::Tensor;

        use super::*;
        use crate::{
            Activation, linear,
            subnormal::tests::{raised, tiny},
        };

        /// Outer products whose values are 1e-40, on as many threads as there are.
        fn products(device: &Device) -> f32 {
            let x = Tensor::<2>::full([512, 8], 1e-30, device);
            let weight = Tensor::<2>::full([8, 512], 1e-11, device);
            let y = linear(x, weight, None, Activation::Identity);
            y.abs().max().into_scalar::<f32>()
        }

        #[test]
        fn what_a_kernel_makes_below_the_normal_range_is_zero_on_workers_only() {
            let device = Device::flex();
            assert!(products(&device) > 0.0);
            assert_eq!(on_workers(&device, || products(&device)), 0.0);
            assert!(products(&device) > 0.0);
        }

        #[test]
        fn it_is_zero_on_every_worker_and_the_caller_keeps_its_mode() {
            let device = Device::flex();
            let found = on_workers(&device, || rayon::broadcast(|_| (tiny(), raised())));
            assert!(found.iter().all(|&pair| pair == (0.0, 0.0)), "{found:?}");
            assert!(tiny() > 0.0 && raised() > 0.0);
            assert!(rayon::broadcast(|_| tiny()).iter().all(|&value| value > 0.0));
        }

        #[test]
        fn a_panic_on_a_worker_leaves_the_mode_of_the_caller_and_of_the_workers() {
            let device = Device::flex();
            let panics = || on_workers::<()>(&device, || panic!("within"));
            assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(panics)).is_err());
            assert!(tiny() > 0.0);
            assert_eq!(on_workers(&device, tiny), 0.0);
        }
    }
}
