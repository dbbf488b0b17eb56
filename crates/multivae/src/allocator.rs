//! An allocator for programs whose tensors come and go with every operation.
//!
//! ```
//! use multivae::allocator::{MiMalloc, keep_pages};
//!
//! #[global_allocator]
//! static ALLOCATOR: MiMalloc = MiMalloc;
//!
//! fn main() {
//!     keep_pages();
//! }
//! ```
//!
//! The allocator of most systems gives large arrays back at once, and a third of a training step
//! goes into new pages.

pub use mimalloc::MiMalloc;

/// Keeps pages that nothing lies in for ten seconds, longer than most steps. Otherwise the arrays of
/// a step go back to the system, and the next step waits for as many new pages.
///
/// To be called before other threads start.
pub fn keep_pages() {
    // The enumeration of `mimalloc.h`; the crate names only some of its entries.
    const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;
    #[allow(unsafe_code)]
    // SAFETY: it sets one number.
    unsafe {
        libmimalloc_sys::mi_option_set(PURGE_DELAY, 10_000);
    }
}
