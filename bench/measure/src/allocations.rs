//! Counts the allocations of the executable that installs [`Counting`]; those of a library that it
//! loads are not seen.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

static IS_ON: AtomicBool = AtomicBool::new(false);
static COUNT: AtomicU64 = AtomicU64::new(0);

/// The system's allocator, with a counter that is off until [`start`]: a shared counter would be
/// felt in what is measured.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counting;

/// Counts from now on.
pub fn start() {
    IS_ON.store(true, Relaxed);
}

/// Whether it counts.
#[must_use]
pub fn is_on() -> bool {
    IS_ON.load(Relaxed)
}

/// Allocations since [`start`].
#[must_use]
pub fn count() -> u64 {
    COUNT.load(Relaxed)
}

#[inline]
fn note() {
    if IS_ON.load(Relaxed) {
        COUNT.fetch_add(1, Relaxed);
    }
}

// SAFETY: every call is passed on to the system's allocator unchanged; counting does not allocate.
unsafe impl GlobalAlloc for Counting {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    #[inline]
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above; the memory came from `System`.
        unsafe { System.dealloc(memory, layout) }
    }

    #[inline]
    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note();
        // SAFETY: as above.
        unsafe { System.realloc(memory, layout, size) }
    }
}
