//! Hints to the processor: what somebody is about to read or to write was written by another core.
//!
//! None of them waits, so that lines asked for one after the other are on their way at the same time.
//! A machine that cannot be told is not told.

#[cfg(target_arch = "x86_64")]
use std::arch::{
    asm,
    x86_64::{_MM_HINT_T0, _mm_prefetch},
};

/// Bytes of a line, which moves between cores as a whole.
pub(crate) const LINE: usize = 64;

/// Somebody reads there soon.
#[inline]
pub(crate) fn to_read(at: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint: it reads nothing that a program can see, wherever it points.
    unsafe {
        _mm_prefetch::<_MM_HINT_T0>(at.cast::<i8>());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

/// Somebody writes there soon.
#[inline]
pub(crate) fn to_write(at: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint, as above. A processor that does not know it takes it for nothing.
    unsafe {
        asm!("prefetchw [{}]", in(reg) at, options(nostack, preserves_flags));
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

/// Brings the first `BYTES` bytes of a place near, for somebody who writes there soon.
#[inline]
pub fn fetch_to_write<const BYTES: usize, T>(place: &T) {
    const { assert!(BYTES > 0 && BYTES <= size_of::<T>()) };
    let start = std::ptr::from_ref(place).cast::<u8>();
    (0..BYTES).step_by(LINE).for_each(|offset| to_write(start.wrapping_add(offset)));
    // A place need not begin where a line does.
    to_write(start.wrapping_add(BYTES - 1));
}
