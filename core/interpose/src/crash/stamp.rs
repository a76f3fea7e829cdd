//! The last words of a process: who was at fault.
//!
//! What runs here after a fault allocates nothing, locks nothing and calls nothing but `sigaction`
//! and `raise`: it stores a few words into mappings that were made before. Then the disposition that
//! was there before is put back and the signal comes again, so that messages, core dumps and exit
//! status stay what they were. The threads of lanes have a signal stack from the standard library, so
//! that a stack that has overflown is told too. A library that installs a handler of its own takes
//! this one out of the way: then there is no stamp.

use std::{
    cell::{Cell, UnsafeCell},
    ffi::{c_int, c_void},
    mem::MaybeUninit,
    ptr::{NonNull, null_mut},
    sync::{
        Once,
        atomic::{AtomicI32, AtomicPtr, AtomicU64, AtomicUsize, Ordering::*},
    },
};

use super::{L_CALL, L_GENERATION, LANE_WORDS, LANES, STAMP, STAMP_WORDS, check};
use crate::threads;

/// What ends a process from the inside.
pub(super) const FATAL: [c_int; 5] =
    [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGABRT];
/// Records that a thread without a lane stamps: hosts in one process.
const RECORDS_MAX: usize = 64;

/// A stamp is being written.
pub(super) const WRITING: u64 = 1;
/// A stamp is there.
pub(super) const WRITTEN: u64 = 2;

static RECORDS: [AtomicPtr<AtomicU64>; RECORDS_MAX] =
    [const { AtomicPtr::new(null_mut()) }; RECORDS_MAX];
/// The process whose records these are: a child that it forks has the mappings as well.
static PROCESS: AtomicI32 = AtomicI32::new(0);
/// Threads that write last words.
static STAMPING: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    // `Cell`s without a destructor: nothing is registered, and a signal handler may read them.
    static RECORD: Cell<*mut AtomicU64> = const { Cell::new(null_mut()) };
    /// The lane's slot + 1; 0 = it has none.
    static SLOT: Cell<usize> = const { Cell::new(0) };
}

/// The dispositions before.
struct Before([UnsafeCell<MaybeUninit<libc::sigaction>>; FATAL.len()]);

// SAFETY: written once, before the handler that reads it is installed.
unsafe impl Sync for Before {}

static BEFORE: Before = Before([const { UnsafeCell::new(MaybeUninit::uninit()) }; FATAL.len()]);

/// The calling thread is a lane with that record and slot, or is none any more.
pub(super) fn enter(lane: Option<(NonNull<AtomicU64>, usize)>) {
    RECORD.set(lane.map_or(null_mut(), |(record, _)| record.as_ptr()));
    SLOT.set(lane.map_or(0, |(_, slot)| slot));
}

/// A record is to be stamped from now on.
pub(super) fn watch(record: NonNull<AtomicU64>) {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(install);
    // One too many is stamped by its lanes only.
    RECORDS
        .iter()
        .any(|place| place.compare_exchange(null_mut(), record.as_ptr(), SeqCst, Relaxed).is_ok());
}

/// A record is stamped no longer.
pub(super) fn unwatch(record: NonNull<AtomicU64>) {
    for place in &RECORDS {
        let _ = place.compare_exchange(record.as_ptr(), null_mut(), SeqCst, Relaxed);
    }
}

/// Whether anybody writes last words. After `unwatch`: who begins later does not find the record.
pub(super) fn is_stamping() -> bool {
    STAMPING.load(SeqCst) > 0
}

/// A library calls `exit` on this thread, and a host of this process still runs: stamped. False where
/// the call is the host's own.
#[cfg(hooked)]
pub(crate) fn exits() -> bool {
    // SAFETY: no precondition.
    if PROCESS.load(Relaxed) != unsafe { libc::getpid() } {
        return false;
    }
    let is_library = !RECORD.get().is_null() || threads::mark() != 0;
    let hosts = RECORDS.iter().any(|place| !place.load(SeqCst).is_null());
    if is_library && hosts {
        stamp(0);
    }
    is_library && hosts
}

fn install() {
    // SAFETY: no precondition.
    PROCESS.store(unsafe { libc::getpid() }, Relaxed);
    for (index, signal) in FATAL.into_iter().enumerate() {
        // SAFETY: zeroes are a valid `sigaction`, and all fields that count are set.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = on_fault as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        // SAFETY: a set of our own.
        unsafe { libc::sigemptyset(&raw mut action.sa_mask) };
        let before = BEFORE.0[index].get().cast::<libc::sigaction>();
        // SAFETY: the first call reads only, so that the disposition is known before ours is there;
        // `before` is written by this thread alone, and `on_fault` has the required signature.
        unsafe {
            if libc::sigaction(signal, std::ptr::null(), before) == 0 {
                libc::sigaction(signal, &raw const action, null_mut());
            }
        }
    }
}

/// A thread is at fault. Only async-signal-safe steps.
unsafe extern "C" fn on_fault(signal: c_int, info: *mut libc::siginfo_t, _context: *mut c_void) {
    stamp(signal);
    let Some(index) = FATAL.iter().position(|fatal| *fatal == signal) else { return };
    let before = BEFORE.0[index].get().cast::<libc::sigaction>();
    // SAFETY: written before this handler was installed, and only read since.
    unsafe { libc::sigaction(signal, before, null_mut()) };
    // SAFETY: the kernel passes it for a handler with `SA_SIGINFO`.
    let was_sent = !info.is_null() && unsafe { (*info).si_code } <= 0;
    if was_sent {
        // A fault comes again by itself when this returns; what was sent does not. It waits until
        // then.
        // SAFETY: async-signal-safe.
        unsafe { libc::raise(signal) };
    }
}

fn stamp(signal: c_int) {
    // SAFETY: async-signal-safe.
    if PROCESS.load(Relaxed) != unsafe { libc::getpid() } {
        return;
    }
    STAMPING.fetch_add(1, SeqCst);
    match NonNull::new(RECORD.get()) {
        Some(record) => {
            let slot = SLOT.get();
            // SAFETY: the lane keeps its record mapped, and the slot is one of it.
            unsafe { write(record, signal, slot, threads::mark()) };
        }
        None => {
            for place in &RECORDS {
                if let Some(record) = NonNull::new(place.load(SeqCst)) {
                    // SAFETY: a record leaves the list before it is unmapped, and is not unmapped
                    // while anybody stamps.
                    unsafe { write(record, signal, 0, threads::mark()) };
                }
            }
        }
    }
    STAMPING.fetch_sub(1, SeqCst);
}

/// The first to be at fault is: what follows may be its doing.
///
/// # Safety
/// `record` is mapped, with all its words; `slot` is 0 or that of a lane + 1.
unsafe fn write(record: NonNull<AtomicU64>, signal: c_int, slot: usize, generation: u64) {
    // SAFETY: inside the mapping; the words are aligned and atomic.
    let stamp = unsafe { record.add(STAMP).cast::<[AtomicU64; STAMP_WORDS]>().as_ref() };
    if stamp[0].compare_exchange(0, WRITING, SeqCst, Relaxed).is_err() {
        return;
    }
    let mut facts = [signal as u64, slot as u64, generation, 0, 0];
    if slot > 0 {
        let at = LANES + (slot - 1) * LANE_WORDS;
        // SAFETY: as above.
        let lane = unsafe { record.add(at).cast::<[AtomicU64; LANE_WORDS]>().as_ref() };
        facts[2] = lane[L_GENERATION].load(Relaxed);
        (facts[3], facts[4]) = (lane[L_CALL].load(Relaxed), lane[L_CALL + 1].load(Relaxed));
    }
    for (word, fact) in stamp[1..].iter().zip(facts) {
        word.store(fact, Relaxed);
    }
    stamp[STAMP_WORDS - 1].store(check(&facts), Relaxed);
    stamp[0].store(WRITTEN, Release);
}
