//! Threads that a library started, and lanes that run it.
//!
//! A thread belongs to a library when its start routine or the call that made it lies in the
//! library, or when it descends from a lane of the library's generation: C++ starts `std::thread`
//! with a routine and a caller inside libstdc++, which no address betrays. A thread counts until
//! the kernel no longer knows it, in other words until all its destructors have run.

use std::{
    cell::Cell,
    sync::atomic::{AtomicI32, AtomicU64, AtomicUsize, Ordering},
};

use crate::range::Range;

/// Threads that can be listed at the same time. A library that wants one more is refused it, with
/// `EAGAIN`.
pub const THREADS_MAX: usize = 4096;

/// One listed thread.
pub(crate) struct Slot {
    /// [`FREE`], [`CLAIMED`] while it is being filled, else a number that is used only once: who
    /// found a thread gone can free that very listing and no later one.
    serial: AtomicU64,
    generation: AtomicU64,
    start: AtomicUsize,
    caller: AtomicUsize,
    /// The kernel's number of the thread; 0 = made, but not running yet, which counts as alive.
    tid: AtomicI32,
}

/// What a slot says about its thread.
struct Listing {
    slot: &'static Slot,
    serial: u64,
    tid: i32,
}

const FREE: u64 = 0;
const CLAIMED: u64 = 1;
const SERIAL_FIRST: u64 = 2;

static SLOTS: [Slot; THREADS_MAX] = [const {
    Slot {
        serial: AtomicU64::new(FREE),
        generation: AtomicU64::new(0),
        start: AtomicUsize::new(0),
        caller: AtomicUsize::new(0),
        tid: AtomicI32::new(0),
    }
}; THREADS_MAX];
static SERIAL: AtomicU64 = AtomicU64::new(SERIAL_FIRST);
/// Slots that were ever in use: nobody has to look further.
static HIGH_WATER: AtomicUsize = AtomicUsize::new(0);
static LOST: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    // A `Cell` without a destructor: reading it in a hook can register nothing.
    static GENERATION: Cell<u64> = const { Cell::new(0) };
}

/// Marks the calling thread as one that works for a generation; 0 = for the host. Threads that a
/// library starts from here inherit the mark. Returns the mark before.
pub fn enter(generation: u64) -> u64 {
    GENERATION.replace(generation)
}

/// Lists the calling thread itself as one that must be gone before the generation's library is
/// closed. It stays listed until the kernel no longer knows it.
pub fn enlist(generation: u64) {
    let tid = current_tid();
    let listed = listings().any(|listing| {
        listing.tid == tid && listing.slot.generation.load(Ordering::Relaxed) == generation
    });
    if !listed && list(generation, 0, 0, tid).is_none() {
        LOST.fetch_add(1, Ordering::AcqRel);
    }
}

/// Threads of the generation that the kernel still knows: enlisted ones and their descendants.
#[must_use]
pub fn alive_of(generation: u64) -> usize {
    alive(|slot| slot.generation.load(Ordering::Relaxed) == generation)
}

/// Threads whose start routine or maker lies in the library and which the kernel still knows.
#[must_use]
pub fn alive_in(range: Range) -> usize {
    alive(|slot| {
        range.contains(slot.start.load(Ordering::Relaxed))
            || range.contains(slot.caller.load(Ordering::Relaxed))
    })
}

/// Threads of the library by either rule, each counted once.
#[must_use]
pub fn alive_of_library(generation: u64, range: Range) -> usize {
    alive(|slot| {
        slot.generation.load(Ordering::Relaxed) == generation
            || range.contains(slot.start.load(Ordering::Relaxed))
            || range.contains(slot.caller.load(Ordering::Relaxed))
    })
}

/// Threads that could not be listed.
pub(crate) fn lost() -> usize {
    LOST.load(Ordering::Acquire)
}

/// The mark of the calling thread.
pub(crate) fn mark() -> u64 {
    GENERATION.get()
}

/// Lists a thread before it exists: nobody may see "no threads" between its making and its first
/// step. `None` when the table is full.
#[cfg(hooked)]
pub(crate) fn expect(generation: u64, start: usize, caller: usize) -> Option<&'static Slot> {
    list(generation, start, caller, 0)
}

/// The calling thread has begun. The kernel may have given it a number that was used before: its
/// former owner is gone.
#[cfg(hooked)]
pub(crate) fn begun(slot: Option<&Slot>) {
    let tid = current_tid();
    for listing in listings() {
        if listing.tid == tid {
            listing.free();
        }
    }
    if let Some(slot) = slot {
        slot.tid.store(tid, Ordering::Release);
    }
}

fn alive(belongs: impl Fn(&Slot) -> bool) -> usize {
    listings().filter(|listing| belongs(listing.slot) && !listing.freed_if_gone()).count()
}

fn listings() -> impl Iterator<Item = Listing> {
    let end = HIGH_WATER.load(Ordering::Acquire).min(THREADS_MAX);
    SLOTS[..end].iter().filter_map(|slot| {
        let serial = slot.serial.load(Ordering::Acquire);
        (serial >= SERIAL_FIRST).then(|| Listing {
            slot,
            serial,
            tid: slot.tid.load(Ordering::Acquire),
        })
    })
}

/// Fills a free slot. `None` when there is none, also after the dead were swept out.
fn list(generation: u64, start: usize, caller: usize, tid: i32) -> Option<&'static Slot> {
    let slot = claim().or_else(|| {
        listings().for_each(|listing| {
            listing.freed_if_gone();
        });
        claim()
    })?;
    slot.generation.store(generation, Ordering::Relaxed);
    slot.start.store(start, Ordering::Relaxed);
    slot.caller.store(caller, Ordering::Relaxed);
    slot.tid.store(tid, Ordering::Relaxed);
    // Release: who sees the serial sees the four fields.
    slot.serial.store(SERIAL.fetch_add(1, Ordering::Relaxed), Ordering::Release);
    Some(slot)
}

fn claim() -> Option<&'static Slot> {
    let index = SLOTS.iter().position(|slot| {
        slot.serial.load(Ordering::Relaxed) == FREE
            && slot
                .serial
                .compare_exchange(FREE, CLAIMED, Ordering::Acquire, Ordering::Relaxed)
                .is_ok()
    })?;
    HIGH_WATER.fetch_max(index + 1, Ordering::AcqRel);
    Some(&SLOTS[index])
}

fn current_tid() -> i32 {
    // SAFETY: `gettid` has no precondition.
    unsafe { libc::gettid() }
}

// === impl Slot ===

impl Slot {
    /// The thread that was expected was not made.
    #[cfg(hooked)]
    pub(crate) fn cancel(&self) {
        self.serial.store(FREE, Ordering::Release);
    }
}

// === impl Listing ===

impl Listing {
    /// Frees the slot when the kernel no longer knows the thread, and says whether it did not.
    fn freed_if_gone(&self) -> bool {
        if self.tid == 0 {
            return false;
        }
        // SAFETY: signal 0 is sent to nobody; it only asks whether the thread exists.
        let known = unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), self.tid, 0) } == 0;
        if !known {
            self.free();
        }
        !known
    }

    fn free(&self) {
        // Fails when somebody else was faster, whose right it was just the same.
        let _ = self.slot.serial.compare_exchange(
            self.serial,
            FREE,
            Ordering::Release,
            Ordering::Relaxed,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_enlisted_thread_counts_until_the_kernel_forgets_it() {
        let generation = u64::MAX - 7;
        let (enlisted, seen) = std::sync::mpsc::channel();
        let (release, released) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            enlist(generation);
            enlist(generation);
            enlisted.send(()).unwrap();
            released.recv().ok();
        });
        seen.recv().unwrap();
        assert_eq!(alive_of(generation), 1);
        drop(release);
        thread.join().unwrap();
        // A join returns a moment before the kernel forgets the thread.
        while alive_of(generation) != 0 {
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_thread_of_the_host_inherits_nothing_from_a_lane() {
        let generation = u64::MAX - 8;
        let before = enter(generation);
        let inside = std::thread::spawn(|| GENERATION.get()).join().unwrap();
        enter(before);
        assert_eq!(inside, 0);
        assert_eq!(alive_of(generation), 0);
    }
}
