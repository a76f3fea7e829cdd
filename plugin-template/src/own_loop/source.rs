//! A lane's source of work, one safe method for each function.

use std::{ffi::c_void, os::fd::RawFd};

use patchbay_abi::{Delivery, Op, Outcome, Source, Str};

/// A [`Source`] and the lane that goes with it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LaneSource {
    table: *const Source,
    lane: *mut c_void,
}

/// What a source has.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next<T> {
    Some(T),
    NoneNow,
    Closed,
}

/// Names a call towards the host.
#[derive(Clone, Copy, Debug)]
pub(crate) enum CallId {
    Delivery(u64),
    Control(u64),
}

// SAFETY: used on the lane's thread only. The tasks that hold it are `Send` because tokio asks for
// it; they are spawned on the lane's own runtime, or as local tasks, and never leave the thread.
unsafe impl Send for LaneSource {}
// SAFETY: as above.
unsafe impl Sync for LaneSource {}

// === impl LaneSource ===

impl LaneSource {
    /// # Safety
    /// The table and the lane follow the contract, and stay valid until `run_lane` returns. The
    /// value and its copies are used on this thread only.
    pub(crate) unsafe fn new(table: *const Source, lane: *mut c_void) -> Self {
        LaneSource { table, lane }
    }

    /// Up to `max` deliveries, each handed to `take`.
    pub(crate) fn next(self, max: u32, mut take: impl FnMut(Delivery)) -> Next<()> {
        const AT_ONCE: usize = 64;
        let mut out = [const { std::mem::MaybeUninit::<Delivery>::uninit() }; AT_ONCE];
        let max = max.clamp(1, AT_ONCE as u32);
        // SAFETY: room for `max` deliveries.
        let count = unsafe { (self.table().next)(self.lane, out.as_mut_ptr().cast(), max) };
        match usize::try_from(count) {
            Err(_) => Next::Closed,
            Ok(0) => Next::NoneNow,
            Ok(count) => {
                for delivery in &out[..count.min(AT_ONCE)] {
                    // SAFETY: the host wrote as many.
                    take(unsafe { delivery.assume_init() });
                }
                Next::Some(())
            }
        }
    }

    pub(crate) fn next_op(self) -> Next<Op> {
        let mut op = Op { size: size_of::<Op>() as u32, which: 0, id: 0, arg: Str::EMPTY };
        // SAFETY: room for one.
        match unsafe { (self.table().next_op)(self.lane, &raw mut op) } {
            0 => Next::NoneNow,
            1 => Next::Some(op),
            _ => Next::Closed,
        }
    }

    pub(crate) fn complete(self, call: CallId, mut outcome: Outcome) {
        // SAFETY: the host takes the outcome over; it has nothing that is dropped here.
        unsafe {
            match call {
                CallId::Delivery(id) => (self.table().complete)(self.lane, id, &raw mut outcome),
                CallId::Control(id) => (self.table().op_done)(self.lane, id, &raw mut outcome),
            }
        }
    }

    pub(crate) fn is_cancelled(self, call: CallId) -> bool {
        let (id, is_op) = match call {
            CallId::Delivery(id) => (id, 0),
            CallId::Control(id) => (id, 1),
        };
        // SAFETY: numbers.
        unsafe { (self.table().cancelled)(self.lane, id, is_op) == 1 }
    }

    /// Hands every token that has become ready to `take`.
    pub(crate) fn ready(self, mut take: impl FnMut(&[u64])) {
        let mut tokens = [0; 32];
        loop {
            let max = tokens.len() as u32;
            // SAFETY: room for `max` tokens.
            let count = unsafe { (self.table().ready)(self.lane, tokens.as_mut_ptr(), max) };
            let count = (count as usize).min(tokens.len());
            take(&tokens[..count]);
            if count < tokens.len() {
                return;
            }
        }
    }

    pub(crate) fn bell(self) -> RawFd {
        // SAFETY: no argument but the lane.
        unsafe { (self.table().bell)(self.lane) }
    }

    fn table(&self) -> &Source {
        // SAFETY: valid by the promise of `new`.
        unsafe { &*self.table }
    }
}
