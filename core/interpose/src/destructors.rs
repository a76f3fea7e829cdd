//! Destructors of thread-local values that are still to run, per library.
//!
//! glibc keeps this number for itself: it refuses to unmap a library as long as there is one, for
//! ever and without a word. The hook wraps each destructor in one that counts down after it, and
//! passes the library's own handle on, so that glibc's refusal stays as a safety net.

use std::{
    cell::Cell,
    sync::atomic::{AtomicUsize, Ordering},
};

use crate::range::Range;

/// Handles that can be counted at the same time. A library has one or two of them.
pub const HANDLES_MAX: usize = 2048;

/// What one handle has left to run. Two threads may make two entries for one handle; sums do not
/// care.
pub(crate) struct Entry {
    /// What the library passes as its handle: some address inside it. 0 = entry not in use.
    handle: AtomicUsize,
    pending: AtomicUsize,
}

static ENTRIES: [Entry; HANDLES_MAX] =
    [const { Entry { handle: AtomicUsize::new(0), pending: AtomicUsize::new(0) } }; HANDLES_MAX];
static LOST: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    // A `Cell` without a destructor: reading it in the hook can register nothing.
    static FORGO: Cell<bool> = const { Cell::new(false) };
}

/// Destructors that libraries register on the calling thread from here on are never run. For the
/// thread that closes a library, right before it does: destructors of the library's statics run
/// in there, after glibc has decided to unmap it, and what they register would be called when the
/// code is gone.
pub fn forgo_on_this_thread() {
    FORGO.set(true);
}

/// Destructors of the library that are still to run, on any thread.
///
/// Read it when the threads are gone: the count falls a moment before glibc's own does, and only
/// a thread that the kernel no longer knows has done both.
#[must_use]
pub fn pending_in(range: Range) -> usize {
    ENTRIES
        .iter()
        .filter(|entry| range.contains(entry.handle.load(Ordering::Acquire)))
        .map(|entry| entry.pending.load(Ordering::Acquire))
        .sum()
}

/// Registrations that could not be counted.
pub(crate) fn lost() -> usize {
    LOST.load(Ordering::Acquire)
}

/// Gives the entries of an unmapped library back.
pub(crate) fn forget(range: Range) {
    for entry in &ENTRIES {
        if range.contains(entry.handle.load(Ordering::Acquire))
            && entry.pending.load(Ordering::Acquire) == 0
        {
            entry.handle.store(0, Ordering::Release);
        }
    }
}

/// Whether the calling thread forgoes destructors.
#[cfg(hooked)]
pub(crate) fn are_forgone() -> bool {
    FORGO.get()
}

/// A registration could not be counted.
#[cfg(hooked)]
pub(crate) fn lose() {
    LOST.fetch_add(1, Ordering::AcqRel);
}

/// The entry of this handle, with one more pending. `None` when the table is full.
#[cfg(hooked)]
pub(crate) fn claim(handle: usize) -> Option<&'static Entry> {
    ENTRIES.iter().find(|entry| {
        let known = entry.handle.load(Ordering::Acquire);
        let ours = known == handle
            || (known == 0
                && entry
                    .handle
                    .compare_exchange(0, handle, Ordering::AcqRel, Ordering::Acquire)
                    .is_ok());
        if ours {
            entry.pending.fetch_add(1, Ordering::AcqRel);
        }
        ours
    })
}

// === impl Entry ===

impl Entry {
    /// One of them has run, or was not registered after all.
    #[cfg(hooked)]
    pub(crate) fn done(&self) {
        self.pending.fetch_sub(1, Ordering::Release);
    }
}
