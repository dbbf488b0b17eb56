//! Where and when the work of a device is done.

use burn::tensor::Device;

/// Calls a function on one of the threads that the kernels of a device share their work with, if
/// it has some: work that starts there need not wake up others from outside, which takes a tenth
/// of a training step of convolutions and a quarter of a small one.
///
/// The function must not wait for another thread that needs the same ones.
pub fn on_workers<R: Send>(device: &Device, f: impl FnOnce() -> R + Send) -> R {
    #[cfg(feature = "flex")]
    if is_eager(device) {
        return rayon::scope(|_| f());
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
}
