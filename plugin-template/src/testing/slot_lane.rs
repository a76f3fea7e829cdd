//! A lane that polls a plugin's calls in slots.

use std::{
    alloc::{Layout, alloc, dealloc, handle_alloc_error},
    ffi::c_void,
    ptr::NonNull,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Wake,
};

use patchbay_abi::{Outcome, Plugin, state};

use super::{
    handled::Handled,
    lane::{CallId, Lane, Next},
    waker::HostWaker,
};

/// Control calls that may run at once, beside those for deliveries: neither holds back the other.
const CONTROL_SLOTS: usize = 4;

/// Memory for one call, and what is running there.
struct Slot {
    takes_control: bool,
    memory: NonNull<u8>,
    layout: Layout,
    waker: Arc<HostWaker>,
    flag: Arc<Flag>,
    call: Option<CallId>,
}

/// A slot's call wants to be polled.
struct Flag {
    woken: AtomicBool,
    lane: Arc<Lane>,
}

/// Runs a lane until it is closed and nothing runs on it.
///
/// # Safety
/// `instance` is a live instance of the table's plugin.
pub(crate) unsafe fn run(table: &Plugin, instance: *mut c_void, lane: &Arc<Lane>, slots: usize) {
    let kinds = (0..slots.max(1)).map(|_| false).chain((0..CONTROL_SLOTS).map(|_| true));
    let mut slots: Vec<Slot> = kinds.map(|control| Slot::new(table, lane, control)).collect();
    loop {
        let mut open = false;
        for slot in slots.iter_mut().filter(|slot| slot.call.is_none()) {
            // SAFETY: passed on; the slot is free.
            open |= unsafe { slot.fill(table, instance, lane) };
        }
        let mut ended = false;
        for slot in &mut slots {
            // SAFETY: a call that waits is polled and dropped on its own lane.
            ended |= unsafe { slot.attend(table, lane) };
        }
        let busy = slots.iter().any(|slot| slot.call.is_some());
        if !open && !busy {
            return;
        }
        if !ended {
            lane.wait();
        }
    }
}

// === impl Slot ===

impl Slot {
    fn new(table: &Plugin, lane: &Arc<Lane>, takes_control: bool) -> Self {
        let (size, align) = (table.call_size.max(1) as usize, table.call_align as usize);
        let Ok(layout) = Layout::from_size_align(size, align) else {
            panic!("a call slot of {size} bytes aligned to {align}")
        };
        // SAFETY: not empty.
        let Some(memory) = NonNull::new(unsafe { alloc(layout) }) else {
            handle_alloc_error(layout)
        };
        let flag = Arc::new(Flag { woken: AtomicBool::new(false), lane: lane.clone() });
        let waker = HostWaker::new(flag.clone());
        Slot { takes_control, memory, layout, waker, flag, call: None }
    }

    /// Begins calls here until one waits. Whether there may be more later.
    ///
    /// # Safety
    /// As for [`run`].
    unsafe fn fill(&mut self, table: &Plugin, instance: *mut c_void, lane: &Lane) -> bool {
        let (memory, waker) = (self.memory.as_ptr(), self.waker.as_raw());
        while self.call.is_none() {
            let mut outcome = Outcome::EMPTY;
            let (id, state) = if self.takes_control {
                match lane.next_control() {
                    // SAFETY: a live instance and a free slot; the lane keeps the argument.
                    Next::Some((id, which, arg)) => (CallId::Control(id), unsafe {
                        (table.op)(instance, which, arg, memory, waker, &raw mut outcome)
                    }),
                    Next::NoneNow => return true,
                    Next::Closed => return false,
                }
            } else {
                match lane.next_delivery() {
                    // SAFETY: as above; the lane keeps the message.
                    Next::Some(delivery) => (CallId::Delivery(delivery.token), unsafe {
                        (table.process)(instance, &delivery, memory, waker, &raw mut outcome)
                    }),
                    Next::NoneNow => return true,
                    Next::Closed => return false,
                }
            };
            self.call = Some(id);
            // SAFETY: the call was just begun here.
            unsafe { self.conclude(state, &mut outcome, lane) };
        }
        true
    }

    /// Polls the call that waits here, when it was woken, or drops it, when that is asked for.
    /// Whether it is over.
    ///
    /// # Safety
    /// As for [`run`].
    unsafe fn attend(&mut self, table: &Plugin, lane: &Lane) -> bool {
        let Some(id) = self.call else { return false };
        let mut outcome = Outcome::EMPTY;
        if lane.is_cancelled(id) {
            self.call = None;
            // SAFETY: a call that waits, on its own lane.
            unsafe { (table.cancel)(self.memory.as_ptr()) };
            lane.complete(id, Handled::Cancelled);
        } else if self.flag.woken.swap(false, Ordering::AcqRel) {
            // SAFETY: as above.
            unsafe {
                let (memory, waker) = (self.memory.as_ptr(), self.waker.as_raw());
                let state = (table.poll)(memory, waker, &raw mut outcome);
                self.conclude(state, &mut outcome, lane);
            }
        }
        self.call.is_none()
    }

    /// Reports a call that is over.
    ///
    /// # Safety
    /// The outcome is that of the call in this slot.
    unsafe fn conclude(&mut self, state: u32, outcome: &mut Outcome, lane: &Lane) {
        if state == state::PENDING {
            return;
        }
        if let Some(id) = self.call.take() {
            // SAFETY: filled by the call.
            lane.complete(id, unsafe { Handled::read(outcome) });
        }
        // Freed for the next call, which must not find the wake of this one.
        self.flag.woken.store(false, Ordering::Release);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout; no call is left in it.
        unsafe { dealloc(self.memory.as_ptr(), self.layout) };
    }
}

// === impl Flag ===

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.lane.ring();
    }
}
