//! A lane of a library without a loop of its own: the host polls.
//!
//! A handler that is ready at its first poll costs one indirect call into the library, and two
//! into the source: nothing is allocated, counted or locked. One that waits occupies a slot until
//! its waker was woken or the source wants it dropped.

use std::{ffi::c_void, sync::Arc};

use patchbay_abi as abi;

use crate::{
    lane::LaneEnd,
    lane_source::{Begin, Call, LaneSource, Next, NextOp, Op},
    limits::{LaneLimits, OPS_MAX},
    outcome::{Outcome, TextLimit},
    slots::{Pending, Slots},
    table::Table,
    waker::Woken,
};

/// How long texts of a library may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TextLimits {
    pub(crate) reason: TextLimit,
    pub(crate) reply: TextLimit,
}

/// Turns of a busy lane after which calls that wait are asked whether they shall be dropped. An
/// idle lane asks after every wait.
const SWEEP_TURNS: u32 = 64;

/// One lane, from its start to its end.
pub(crate) struct SlotLoop<'a, S: LaneSource> {
    table: &'a Table,
    instance: *mut c_void,
    source: &'a mut S,
    texts: TextLimits,
    slots: Slots,
    woken: Arc<Woken>,
    /// Named by the source and not begun; the next one last.
    named: Vec<u64>,
    /// Slots to poll in this turn.
    to_poll: Vec<usize>,
    batch: usize,
    deliveries: InFlight,
    ops: InFlight,
}

/// Calls of one kind that wait, and whether more will come.
struct InFlight {
    waiting: usize,
    max: usize,
    closed: bool,
}

// === impl SlotLoop ===

impl<'a, S: LaneSource> SlotLoop<'a, S> {
    pub(crate) fn new(
        table: &'a Table,
        instance: *mut c_void,
        source: &'a mut S,
        texts: TextLimits,
        lane: u32,
        limits: LaneLimits,
    ) -> SlotLoop<'a, S> {
        let ops = if lane == 0 { OPS_MAX } else { 0 };
        let deliveries = limits.slots().min(Slots::fitting(table) - ops);
        let slots = Slots::new(table, deliveries + ops, source.alarm());
        let woken = slots.woken();
        SlotLoop {
            table,
            instance,
            source,
            texts,
            slots,
            woken,
            named: Vec::with_capacity(limits.batch()),
            to_poll: Vec::new(),
            batch: limits.batch(),
            deliveries: InFlight { waiting: 0, max: deliveries, closed: false },
            ops: InFlight { waiting: 0, max: ops, closed: ops == 0 },
        }
    }

    /// Runs until the source is closed and nothing waits any more.
    ///
    /// # Safety
    /// `instance` was made by `create` of `table`'s library, which stays mapped, and is not
    /// destroyed meanwhile. The calling thread belongs to its generation.
    pub(crate) unsafe fn run(mut self) -> LaneEnd {
        let mut turns = 0_u32;
        loop {
            // SAFETY: passed on to each step.
            let busy = unsafe { self.take_ops() | self.poll_woken() | self.take_deliveries() };
            if self.deliveries.closed && self.ops.closed && self.slots.waiting() == 0 {
                return LaneEnd::Closed;
            }
            turns = turns.wrapping_add(1);
            let sweep = self.slots.waiting() > 0 && (!busy || turns.is_multiple_of(SWEEP_TURNS));
            // SAFETY: passed on.
            if (sweep && unsafe { self.drop_cancelled() }) || busy {
                continue;
            }
            if self.woken.may_wait() {
                // What has no slot here goes back: somebody else may have one.
                self.named.clear();
                self.source.wait();
                self.woken.waited();
            }
        }
    }

    /// Begins the control calls that have come. Whether there was one.
    ///
    /// # Safety
    /// As for [`run`](SlotLoop::run).
    unsafe fn take_ops(&mut self) -> bool {
        let mut any = false;
        while self.ops.open() {
            match self.source.next_op() {
                // SAFETY: passed on.
                NextOp::Some(op) => unsafe { self.begin_op(op) },
                NextOp::Empty => break,
                NextOp::Closed => self.ops.closed = true,
            }
            any = true;
        }
        any
    }

    /// # Safety
    /// As for [`run`](SlotLoop::run).
    unsafe fn begin_op(&mut self, op: Op) {
        let Some(slot) = self.slots.spare() else {
            unreachable!("{OPS_MAX} slots are for control calls")
        };
        let mut raw = abi::Outcome::EMPTY;
        // SAFETY: the slot is free and of the size and alignment that the library wants; the
        // argument outlives the call, or moves with it into `Pending` without moving its bytes.
        let state = unsafe {
            (self.table.op)(
                self.instance,
                op.which,
                abi::Str::from_bytes(&op.arg),
                self.slots.memory(slot),
                self.slots.waker(slot),
                &raw mut raw,
            )
        };
        if state == abi::state::PENDING {
            self.ops.waiting += 1;
            self.slots.wait(slot, Pending::Op(op.id, op.arg));
            return;
        }
        // SAFETY: the call is over, and this is a thread of its generation.
        let outcome = unsafe { Outcome::after(state, &mut raw, self.texts.reply) };
        self.slots.renew(slot);
        self.source.op_done(op.id, outcome);
    }

    /// Begins deliveries: one batch at most, so that control calls get their turn. Whether there
    /// was anything.
    ///
    /// # Safety
    /// As for [`run`](SlotLoop::run).
    unsafe fn take_deliveries(&mut self) -> bool {
        if !self.deliveries.open() {
            return false;
        }
        if self.named.is_empty() {
            match self.source.next(self.batch, &mut self.named) {
                Next::Some if !self.named.is_empty() => self.named.reverse(),
                Next::Some | Next::Empty => return false,
                Next::Closed => {
                    self.deliveries.closed = true;
                    return true;
                }
            }
        }
        while self.deliveries.open() && !self.named.is_empty() {
            // SAFETY: passed on.
            unsafe { self.begin_named() };
        }
        true
    }

    /// Begins what was named, in one slot, until a call waits in it or nothing is left.
    ///
    /// # Safety
    /// As for [`run`](SlotLoop::run).
    unsafe fn begin_named(&mut self) {
        let Some(slot) = self.slots.spare() else {
            unreachable!("there is a slot for each delivery in flight")
        };
        let memory = self.slots.memory(slot);
        while let Some(token) = self.named.pop() {
            let handed = match self.source.begin(token) {
                Begin::Go(handed) => handed,
                Begin::Skip => continue,
                Begin::Stop => {
                    self.named.clear();
                    return;
                }
            };
            let delivery = abi::Delivery {
                message: handed.message.as_ptr(),
                token,
                id: handed.id,
                accepted_ns: handed.accepted_ns,
                attempt: handed.attempt,
                subscription: handed.subscription,
            };
            let mut raw = abi::Outcome::EMPTY;
            let waker = self.slots.waker(slot);
            // SAFETY: the slot is free and of the size and alignment that the library wants. The
            // message is lent by the source during the call, and referenced below if it waits.
            let state = unsafe {
                let delivery = &raw const delivery;
                (self.table.process)(self.instance, delivery, memory, waker, &raw mut raw)
            };
            if state == abi::state::PENDING {
                let message = handed.message.clone();
                self.source.suspend(token);
                self.deliveries.waiting += 1;
                self.slots.wait(slot, Pending::Delivery(token, message));
                return;
            }
            if Outcome::is_plain(state, &raw) {
                self.slots.renew(slot);
                self.source.acknowledge(token);
                continue;
            }
            // SAFETY: the call is over, and this is a thread of its generation; what is lent is given
            // back before the next call.
            if let Some(forward) = unsafe { Outcome::forward(state, &mut raw, self.texts.reason) } {
                self.slots.renew(slot);
                self.source.forward(token, &forward.topic, forward.message);
                continue;
            }
            // SAFETY: as above.
            let outcome = unsafe { Outcome::after_all(state, &mut raw, self.texts.reason) };
            self.slots.renew(slot);
            self.source.complete(token, outcome);
        }
    }

    /// Polls what was woken. Whether there was anything.
    ///
    /// # Safety
    /// As for [`run`](SlotLoop::run).
    unsafe fn poll_woken(&mut self) -> bool {
        let mut to_poll = std::mem::take(&mut self.to_poll);
        self.woken.drain(|slot| to_poll.push(slot));
        let mut any = false;
        for slot in to_poll.drain(..) {
            let Some(call) = self.slots.pending(slot) else { continue };
            any = true;
            if let Call::Delivery(token) = call {
                self.source.resumes(token);
            }
            let mut raw = abi::Outcome::EMPTY;
            // SAFETY: the slot holds a call of this library that waits.
            let state = unsafe {
                (self.table.poll)(self.slots.memory(slot), self.slots.waker(slot), &raw mut raw)
            };
            if state == abi::state::PENDING {
                if let Call::Delivery(token) = call {
                    self.source.rests(token);
                }
                continue;
            }
            let limit = match call {
                Call::Delivery(_) => self.texts.reason,
                Call::Op(_) => self.texts.reply,
            };
            // SAFETY: the call is over, and this is a thread of its generation.
            let outcome = unsafe { Outcome::after(state, &mut raw, limit) };
            self.end(slot, outcome);
        }
        self.to_poll = to_poll;
        any
    }

    /// Drops the calls that the source does not want any more. Whether there was one.
    ///
    /// # Safety
    /// As for [`run`](SlotLoop::run).
    unsafe fn drop_cancelled(&mut self) -> bool {
        let waiting: Vec<usize> = self.slots.occupied().collect();
        let mut any = false;
        for slot in waiting {
            let Some(call) = self.slots.pending(slot) else { continue };
            if self.source.cancelled(call) {
                any = true;
                if let Call::Delivery(token) = call {
                    self.source.resumes(token);
                }
                // SAFETY: the slot holds a call of this library that waits; it is over after this.
                unsafe { (self.table.cancel)(self.slots.memory(slot)) };
                self.end(slot, Outcome::Cancelled);
            }
        }
        any
    }

    /// Reports a call that waited and is over.
    fn end(&mut self, slot: usize, outcome: Outcome) {
        match self.slots.over(slot) {
            Some(Pending::Delivery(token, _message)) => {
                self.deliveries.waiting -= 1;
                self.source.complete(token, outcome);
            }
            Some(Pending::Op(id, _arg)) => {
                self.ops.waiting -= 1;
                self.source.op_done(id, outcome);
            }
            None => {}
        }
    }
}

impl<S: LaneSource> Drop for SlotLoop<'_, S> {
    /// Only if the source panicked is there still a call: it must end before its memory does.
    fn drop(&mut self) {
        let waiting: Vec<usize> = self.slots.occupied().collect();
        for slot in waiting {
            // SAFETY: the slot holds a call of a library that is still mapped, on its lane.
            unsafe { (self.table.cancel)(self.slots.memory(slot)) };
            self.slots.over(slot);
        }
    }
}

// === impl InFlight ===

impl InFlight {
    /// Whether one more may be begun.
    fn open(&self) -> bool {
        !self.closed && self.waiting < self.max
    }
}
