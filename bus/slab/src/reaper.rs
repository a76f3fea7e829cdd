//! Sends envelopes home in chains.

use std::{
    fmt, ptr,
    sync::atomic::{Ordering::*, fence},
};

use crate::{
    envelope::{BUNDLE, Envelope},
    home::Home,
    message::Message,
};

/// Collects envelopes whose last reference was dropped and sends those of the same home back with
/// one atomic operation. Flushes when dropped.
pub struct Reaper {
    /// Of two homes, because a forwarded message and the one whose payload it shows go home by
    /// turns.
    pockets: [Pocket; 2],
    /// The pocket that was used last.
    at: usize,
}

/// What goes to one home: bundles, linked by their heads.
struct Pocket {
    home: *const Home,
    first: *mut Envelope,
    last: *mut Envelope,
    count: isize,
    /// How many more the first bundle can hold.
    room: usize,
}

// SAFETY: the bundles are owned by the reaper alone, and homes take envelopes from any thread.
unsafe impl Send for Reaper {}

// === impl Reaper ===

impl Reaper {
    /// An empty reaper.
    #[must_use]
    pub const fn new() -> Reaper {
        Reaper { pockets: [Pocket::EMPTY; 2], at: 0 }
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
                self.pocket((*envelope).home).put(envelope);
                envelope = base;
            }
        }
    }

    #[inline]
    fn pocket(&mut self, home: *const Home) -> &mut Pocket {
        if self.pockets[self.at].home != home {
            self.at = 1 - self.at;
            let pocket = &mut self.pockets[self.at];
            if pocket.home != home {
                pocket.flush();
                pocket.home = home;
            }
        }
        &mut self.pockets[self.at]
    }

    /// Sends home what was collected.
    pub fn flush(&mut self) {
        self.pockets.iter_mut().for_each(Pocket::flush);
    }
}

// === impl Pocket ===

impl Pocket {
    const EMPTY: Pocket = Pocket {
        home: ptr::null(),
        first: ptr::null_mut(),
        last: ptr::null_mut(),
        count: 0,
        room: 0,
    };

    /// # Safety
    /// The envelope belongs to the home of the pocket, was emptied, and the caller gives it up.
    #[inline]
    unsafe fn put(&mut self, envelope: *mut Envelope) {
        self.count += 1;
        // SAFETY: the envelope is the caller's, the bundles are ours; `room` says whether the first
        // one has any.
        unsafe {
            if self.room > 0 {
                self.room -= 1;
                return Envelope::join(self.first, envelope);
            }
            Envelope::lead(envelope, self.first);
        }
        self.room = BUNDLE;
        if self.first.is_null() {
            self.last = envelope;
        }
        self.first = envelope;
    }

    fn flush(&mut self) {
        if self.first.is_null() {
            return;
        }
        // SAFETY: the bundles are ours, and all of them belong to `self.home`.
        unsafe { Home::give_back(self.home, self.first, self.last, self.count) }
        self.first = ptr::null_mut();
        (self.count, self.room) = (0, 0);
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
        f.debug_struct("Reaper")
            .field("collected", &self.pockets.each_ref().map(|pocket| pocket.count))
            .finish()
    }
}
