//! Bytes that cross the boundary: borrowed ([`Str`]) and owned ([`Buf`]).

use core::{ptr, slice, str};

/// Borrowed bytes; UTF-8 where the field says text. Never NUL terminated.
///
/// The lender keeps them alive and unchanged for as long as the field's documentation says, by
/// default until the call returns.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Str {
    /// First byte. May be dangling or null when `len` is 0.
    pub ptr: *const u8,
    /// Length in bytes.
    pub len: usize,
}

/// Bytes owned by whoever holds the value, freed only through [`Buf::free`].
#[repr(C)]
#[derive(Debug)]
pub struct Buf {
    /// First byte; null when empty.
    pub ptr: *mut u8,
    /// Bytes in use.
    pub len: usize,
    /// Bytes allocated; passed back to `free` as it is.
    pub cap: usize,
    /// Gives the bytes back to the side that made them; `None` when there is nothing to free.
    pub free: Option<unsafe extern "C" fn(ptr: *mut u8, len: usize, cap: usize)>,
}

// === impl Str ===

impl Str {
    /// No bytes.
    pub const EMPTY: Str = Str { ptr: ptr::null(), len: 0 };

    /// Lends the bytes of a string.
    #[must_use]
    pub const fn new(text: &str) -> Str {
        Str::from_bytes(text.as_bytes())
    }

    /// Lends bytes.
    #[must_use]
    pub const fn from_bytes(bytes: &[u8]) -> Str {
        Str { ptr: bytes.as_ptr(), len: bytes.len() }
    }

    /// The bytes.
    ///
    /// # Safety
    /// `ptr` and `len` describe readable bytes that stay alive and unchanged for `'a`.
    #[must_use]
    pub const unsafe fn as_bytes<'a>(self) -> &'a [u8] {
        if self.len == 0 {
            return &[];
        }
        // SAFETY: the caller vouches for the range, and a null pointer was excluded with `len`.
        unsafe { slice::from_raw_parts(self.ptr, self.len) }
    }

    /// The text, or `None` when the bytes are not UTF-8.
    ///
    /// # Safety
    /// As for [`Str::as_bytes`].
    #[must_use]
    pub unsafe fn as_text<'a>(self) -> Option<&'a str> {
        // SAFETY: the caller's promise is passed on.
        str::from_utf8(unsafe { self.as_bytes() }).ok()
    }
}

// SAFETY: a `Str` is a borrowed pointer to immutable bytes; who dereferences it vouches for its life.
unsafe impl Send for Str {}
// SAFETY: as above; shared reads of immutable bytes are sound.
unsafe impl Sync for Str {}

// === impl Buf ===

impl Buf {
    /// Nothing, owned by nobody.
    pub const EMPTY: Buf = Buf { ptr: ptr::null_mut(), len: 0, cap: 0, free: None };

    /// A view of the bytes.
    #[must_use]
    pub const fn as_str(&self) -> Str {
        Str { ptr: self.ptr, len: self.len }
    }

    /// Frees the bytes, through the side that made them, and leaves [`Buf::EMPTY`].
    ///
    /// # Safety
    /// The value was filled according to its contract, and the library that made it is still mapped.
    pub unsafe fn release(&mut self) {
        let Buf { ptr, len, cap, free } = core::mem::replace(self, Buf::EMPTY);
        if let Some(free) = free {
            // SAFETY: `free` came with these very parts and is called once: they were just taken out.
            unsafe { free(ptr, len, cap) }
        }
    }
}

// SAFETY: the bytes are owned and `free` may be called on any thread, by contract.
unsafe impl Send for Buf {}
