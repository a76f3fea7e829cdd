//! The wakers that calls in slots get.
//!
//! One word towards the library, a counted object of the host behind it: it may be kept, leaked
//! and used late, from any thread. Each slot has one ready before the call, so that a call which
//! is over at its first poll costs neither an allocation nor a counter.

use std::{
    mem,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Wake, Waker},
};

use patchbay_abi as abi;

/// The waker of one call in one slot.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct SlotWaker {
    // First, so that a pointer to the whole is a pointer to what the library sees.
    head: abi::Waker,
    slot: usize,
    /// False once the call that it was made for is over: the slot may hold another by then.
    live: AtomicBool,
    woken: Arc<Woken>,
}

/// Which slots of a lane were woken, and how the lane is told.
#[derive(Debug)]
pub(crate) struct Woken {
    /// One bit a slot.
    words: Box<[AtomicU64]>,
    /// The lane has found nothing to do and is about to wait.
    idle: AtomicBool,
    alarm: Waker,
}

static OPS: abi::WakerOps = abi::WakerOps { clone, wake, wake_by_ref, drop };

// === impl SlotWaker ===

impl SlotWaker {
    pub(crate) fn new(slot: usize, woken: &Arc<Woken>) -> Arc<SlotWaker> {
        let head = abi::Waker { ops: &raw const OPS };
        Arc::new(SlotWaker { head, slot, live: AtomicBool::new(true), woken: woken.clone() })
    }

    /// Whoever still has the waker wakes nobody any more, from a moment after this on.
    pub(crate) fn retire(&self) {
        self.live.store(false, Ordering::Relaxed);
    }

    fn raise(&self) {
        if self.live.load(Ordering::Relaxed) {
            self.woken.set(self.slot);
        }
    }

    /// What the library gets. Valid while the `Arc` is.
    pub(crate) fn as_raw(this: &Arc<SlotWaker>) -> *const abi::Waker {
        Arc::as_ptr(this).cast()
    }
}

impl Wake for SlotWaker {
    fn wake(self: Arc<Self>) {
        self.raise();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.raise();
    }
}

/// A waker that a library passed on, as one of the host. `None` for null and for one that is not
/// the host's: no waker of a library ever reaches the host.
///
/// # Safety
/// `waker` is null, or points to a waker that stays referenced during the call.
pub(crate) unsafe fn adopt(waker: *const abi::Waker) -> Option<Waker> {
    // SAFETY: not null, and readable by contract.
    if waker.is_null() || !std::ptr::eq(unsafe { (*waker).ops }, &raw const OPS) {
        return None;
    }
    let own = waker.cast::<SlotWaker>();
    // SAFETY: the table of functions is that of slot wakers only, so the pointer is one that
    // `as_raw` or `clone` gave out, and its reference lives during the call.
    unsafe { Arc::increment_strong_count(own) };
    // SAFETY: the reference was just taken.
    Some(Waker::from(unsafe { Arc::from_raw(own) }))
}

/// # Safety
/// The four functions get a pointer that [`SlotWaker::as_raw`] or `clone` gave out and that is
/// still referenced; `wake` and `drop` take that reference over.
unsafe extern "C" fn clone(waker: *const abi::Waker) -> *const abi::Waker {
    // SAFETY: see above; the pointer is to the whole object.
    unsafe { Arc::increment_strong_count(waker.cast::<SlotWaker>()) };
    waker
}

unsafe extern "C" fn wake(waker: *const abi::Waker) {
    // SAFETY: see above.
    unsafe { Arc::from_raw(waker.cast::<SlotWaker>()) }.wake();
}

unsafe extern "C" fn wake_by_ref(waker: *const abi::Waker) {
    // SAFETY: see above.
    unsafe { &*waker.cast::<SlotWaker>() }.raise();
}

unsafe extern "C" fn drop(waker: *const abi::Waker) {
    // SAFETY: see above.
    mem::drop(unsafe { Arc::from_raw(waker.cast::<SlotWaker>()) });
}

// === impl Woken ===

impl Woken {
    pub(crate) fn new(slots: usize, alarm: Waker) -> Woken {
        let words = (0..slots.div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        Woken { words, idle: AtomicBool::new(false), alarm }
    }

    /// Marks the slot, and raises the alarm if the lane may be waiting.
    fn set(&self, slot: usize) {
        // SeqCst on both sides: either the lane sees the bit before it waits, or this sees `idle`.
        self.words[slot / 64].fetch_or(1 << (slot % 64), Ordering::SeqCst);
        if self.idle.swap(false, Ordering::SeqCst) {
            self.alarm.wake_by_ref();
        }
    }

    /// Announces that the lane is about to wait: whether it really may.
    pub(crate) fn may_wait(&self) -> bool {
        self.idle.store(true, Ordering::SeqCst);
        let nothing = self.words.iter().all(|word| word.load(Ordering::SeqCst) == 0);
        if !nothing {
            self.idle.store(false, Ordering::Relaxed);
        }
        nothing
    }

    /// The lane runs again.
    pub(crate) fn waited(&self) {
        self.idle.store(false, Ordering::Relaxed);
    }

    /// Calls `each` with every slot that was woken since the last time.
    pub(crate) fn drain(&self, mut each: impl FnMut(usize)) {
        for (index, word) in self.words.iter().enumerate() {
            if word.load(Ordering::Relaxed) == 0 {
                continue;
            }
            let mut bits = word.swap(0, Ordering::Acquire);
            while bits != 0 {
                each(index * 64 + bits.trailing_zeros() as usize);
                bits &= bits - 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(slots: usize) -> Arc<Woken> {
        Arc::new(Woken::new(slots, Waker::noop().clone()))
    }

    fn drained(woken: &Woken) -> Vec<usize> {
        let mut slots = Vec::new();
        woken.drain(|slot| slots.push(slot));
        slots
    }

    #[test]
    fn a_clone_wakes_its_slot_also_after_the_original_is_gone() {
        let woken = lane(130);
        let waker = SlotWaker::new(129, &woken);
        let raw = SlotWaker::as_raw(&waker);
        // SAFETY: a live waker of this module; the clone is given up by `wake`.
        unsafe {
            let kept = ((*(*raw).ops).clone)(raw);
            mem::drop(waker);
            ((*(*kept).ops).wake)(kept);
        }
        assert_eq!(drained(&woken), [129]);
        assert!(drained(&woken).is_empty());
        assert_eq!(Arc::strong_count(&woken), 1);
    }

    #[test]
    fn a_retired_waker_wakes_nobody() {
        let woken = lane(1);
        let waker = SlotWaker::new(0, &woken);
        waker.retire();
        waker.wake();
        assert!(drained(&woken).is_empty());
    }

    #[test]
    fn a_lane_with_a_woken_slot_may_not_wait() {
        let woken = lane(1);
        assert!(woken.may_wait());
        woken.waited();
        SlotWaker::new(0, &woken).wake();
        assert!(!woken.may_wait());
    }

    #[test]
    fn a_waker_of_somebody_else_is_not_adopted() {
        static OTHER: abi::WakerOps = abi::WakerOps { clone, wake, wake_by_ref, drop };
        let other = abi::Waker { ops: &raw const OTHER };
        // SAFETY: null, and a live waker that is not of this module.
        unsafe {
            assert!(adopt(std::ptr::null()).is_none());
            assert!(adopt(&raw const other).is_none());
        }
    }
}
