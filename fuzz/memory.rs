//! How much memory is taken.
#![allow(unsafe_code, reason = "an allocator is unsafe to write")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

/// More than that no input may take at all, in bytes: the process ends.
pub const MOST: usize = 3 << 30;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

/// The system's allocator, counted.
#[derive(Debug)]
pub struct Counted;

fn taken(bytes: usize) -> bool {
    let now = NOW.fetch_add(bytes, Relaxed) + bytes;
    if now > MOST {
        NOW.fetch_sub(bytes, Relaxed);
        return false;
    }
    PEAK.fetch_max(now, Relaxed);
    true
}

// SAFETY: every request goes to the system's allocator with the layout it came with; what is counted
// beside it has no influence on the memory, and a refusal is the null pointer that the trait allows.
unsafe impl GlobalAlloc for Counted {
    // SAFETY: what the caller promises is what the trait asks for.
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !taken(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller promises a layout whose size is not 0.
        unsafe { System.alloc(layout) }
    }

    // SAFETY: what the caller promises is what the trait asks for.
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if !taken(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller promises a layout whose size is not 0.
        unsafe { System.alloc_zeroed(layout) }
    }

    // SAFETY: what the caller promises is what the trait asks for.
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller promises memory that came from here, which is from the system, and its
        // layout.
        unsafe { System.dealloc(memory, layout) }
    }

    // SAFETY: what the caller promises is what the trait asks for.
    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if !taken(size) {
            return std::ptr::null_mut();
        }
        NOW.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller promises memory that came from here, its layout, and a size that is not 0.
        unsafe { System.realloc(memory, layout, size) }
    }
}

/// Starts counting anew, and gives what is taken now.
pub fn start() -> usize {
    let now = NOW.load(Relaxed);
    PEAK.store(now, Relaxed);
    now
}

/// The most that has been taken since the start, in bytes.
pub fn peak() -> usize {
    PEAK.load(Relaxed)
}
