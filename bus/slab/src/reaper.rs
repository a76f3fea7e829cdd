//! Sends envelopes home in chains.

use std::{
    fmt, ptr,
    sync::atomic::{Ordering::*, fence},
};

use crate::{envelope::Envelope, home::Home, message::Message};

/// Collects envelopes whose last reference was dropped and sends runs of the same home back with one
/// atomic operation each. Flushes when dropped.
pub struct Reaper {
    home: *const Home,
    first: *mut Envelope,
    last: *mut Envelope,
    count: isize,
}

// SAFETY: the chain is owned by the reaper alone, and homes take envelopes from any thread.
unsafe impl Send for Reaper {}

// === impl Reaper ===

impl Reaper {
    /// An empty reaper.
    #[must_use]
    pub const fn new() -> Reaper {
        Reaper { home: ptr::null(), first: ptr::null_mut(), last: ptr::null_mut(), count: 0 }
    }

    /// Drops one reference; the envelope is kept for the way home if it was the last.
    #[inline]
    pub fn put(&mut self, message: Message) {
        // SAFETY: `into_raw` hands over exactly one reference.
        unsafe { self.put_raw(message.into_raw().cast_mut().cast::<Envelope>()) }
    }

    /// Drops one reference of an envelope.
    ///
    /// # Safety
    /// The caller owns that reference and gives it up.
    #[inline]
    pub(crate) unsafe fn put_raw(&mut self, mut envelope: *mut Envelope) {
        // One round per base: a derived message gives its base's reference back.
        while !envelope.is_null() {
            // SAFETY: the reference keeps the envelope alive until it is given up below.
            let refs = unsafe { &(*envelope).refs };
            // A sole owner is the only one who could raise the count: no read-modify-write needed.
            if refs.load(Acquire) != 1 {
                if refs.fetch_sub(1, Release) != 1 {
                    return;
                }
                fence(Acquire);
            }
            // SAFETY: the last reference is ours, and the acquire above orders after all others'.
            unsafe {
                let base = Envelope::empty(envelope);
                let home = (*envelope).home;
                if home != self.home {
                    self.flush();
                    self.home = home;
                }
                (*envelope).next = self.first;
                if self.first.is_null() {
                    self.last = envelope;
                }
                self.first = envelope;
                self.count += 1;
                envelope = base;
            }
        }
    }

    /// Sends home what was collected.
    pub fn flush(&mut self) {
        if self.first.is_null() {
            return;
        }
        // SAFETY: the chain is ours, and all of it belongs to `self.home`.
        unsafe { Home::give_back(self.home, self.first, self.last, self.count) }
        self.first = ptr::null_mut();
        self.count = 0;
    }
}

impl Default for Reaper {
    fn default() -> Self {
        Reaper::new()
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        self.flush();
    }
}

impl fmt::Debug for Reaper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reaper").field("collected", &self.count).finish()
    }
}
