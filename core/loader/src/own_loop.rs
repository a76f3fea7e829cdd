//! A lane of a library that runs a loop of its own: the library asks, through [`abi::Source`].
//!
//! The functions of the source are called by plugin code, so nothing is believed: a token that was
//! not handed out is ignored, a call from another thread refused. A panic of the host's own code
//! is kept and goes on once the library has returned.

use std::{
    any::Any,
    ffi::c_void,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
};

use patchbay_abi::{self as abi, Delivery, Op as RawOp, Source, Str};
use patchbay_slab::Message;

use crate::{
    lane::LaneEnd,
    lane_source::{Begin, Call, LaneSource, Next, NextOp, Op},
    limits::LaneLimits,
    outcome::Outcome,
    slot_loop::TextLimits,
    table::Table,
};

/// Deliveries that a loop may hold at once. A loop that takes more than it can begin is told that
/// there is none.
const HELD_MAX: usize = 8192;

/// What the `lane` pointer of a library leads to.
struct Door<'a> {
    /// Only this thread may come in.
    thread: libc::pthread_t,
    own: OwnLoop<'a>,
}

/// One lane, from its start to its end.
struct OwnLoop<'a> {
    source: &'a mut dyn LaneSource,
    texts: TextLimits,
    lane: u32,
    serial: u32,
    held: Vec<Option<Held>>,
    free: Vec<usize>,
    /// Control calls that are not done; the library borrows their arguments.
    ops: Vec<Op>,
    named: Vec<u64>,
    /// What the library is handed next.
    found: Vec<Delivery>,
    closed: bool,
    panic: Option<Box<dyn Any + Send>>,
}

/// A delivery that the library holds.
struct Held {
    /// The source's token.
    token: u64,
    /// Tells this use of the place from earlier ones.
    serial: u32,
    #[expect(dead_code, reason = "kept alive for the library")]
    message: Message,
}

static SOURCE: Source = Source {
    size: size_of::<Source>() as u32,
    reserved: 0,
    next,
    complete,
    next_op,
    op_done,
    cancelled,
    ready,
    bell,
};

/// Runs the library's loop on this thread until it returns.
///
/// # Safety
/// `instance` was made by `create` of `table`'s library, which stays mapped, and is not destroyed
/// meanwhile; `table` has a `run_lane`. The calling thread belongs to the instance's generation.
pub(crate) unsafe fn run(
    table: &Table,
    instance: *mut c_void,
    source: &mut dyn LaneSource,
    texts: TextLimits,
    lane: u32,
    limits: LaneLimits,
) -> LaneEnd {
    let Some(run_lane) = table.run_lane else { return LaneEnd::LoopLeft };
    let own = OwnLoop {
        source,
        texts,
        lane,
        serial: 0,
        held: Vec::new(),
        free: Vec::new(),
        ops: Vec::new(),
        named: Vec::with_capacity(limits.batch()),
        found: Vec::with_capacity(limits.batch()),
        closed: false,
        panic: None,
    };
    // SAFETY: `pthread_self` has no precondition.
    let mut door = Door { thread: unsafe { libc::pthread_self() }, own };
    let context = (&raw mut door).cast::<c_void>();
    // SAFETY: the caller's promise. `door` is used through `context` only while the library runs.
    let state = unsafe {
        run_lane(
            instance,
            lane,
            &raw const SOURCE,
            context,
            limits.slots() as u32,
            limits.batch() as u32,
        )
    };
    let mut own = door.own;
    let end = match state {
        abi::state::READY if own.closed => LaneEnd::Closed,
        abi::state::PANICKED => LaneEnd::LoopPanicked,
        _ => LaneEnd::LoopLeft,
    };
    own.settle_all();
    if let Some(payload) = own.panic.take() {
        resume_unwind(payload);
    }
    end
}

/// Runs `body` on the lane behind `context`; `refused` when the call comes from another thread or
/// the host panics in it.
///
/// # Safety
/// `context` is what `run_lane` was given, and that call has not returned. No other use of the
/// lane is active: nothing in `body` calls into the library.
unsafe fn on_lane<T>(
    context: *mut c_void,
    refused: T,
    body: impl FnOnce(&mut OwnLoop<'_>) -> T,
) -> T {
    let door = context.cast::<Door<'_>>();
    // SAFETY: alive by the caller's promise; the field is never written after the start, and lies
    // outside of what the lane's own thread borrows.
    let thread = unsafe { (*door).thread };
    // SAFETY: `pthread_self` has no precondition.
    if thread != unsafe { libc::pthread_self() } {
        return refused;
    }
    // SAFETY: on the lane's own thread, and no other use is active.
    let own = unsafe { &mut (*door).own };
    if own.panic.is_some() {
        return refused;
    }
    match catch_unwind(AssertUnwindSafe(|| body(own))) {
        Ok(answer) => answer,
        Err(payload) => {
            own.panic = Some(payload);
            refused
        }
    }
}

/// # Safety
/// All functions below: as for [`on_lane`], and out-pointers are writable for what their
/// documentation in the contract says.
unsafe extern "C" fn next(context: *mut c_void, out: *mut Delivery, max: u32) -> i32 {
    // SAFETY: passed on.
    unsafe {
        on_lane(context, -1, |own| {
            if !own.next(max as usize) {
                return -1;
            }
            for (index, delivery) in own.found.iter().enumerate() {
                // SAFETY: the library has room for `max`, and there are not more.
                out.add(index).write(*delivery);
            }
            i32::try_from(own.found.len()).unwrap_or(0)
        })
    }
}

unsafe extern "C" fn complete(context: *mut c_void, token: u64, outcome: *mut abi::Outcome) {
    // SAFETY: passed on. The text is freed by plugin code, so before the lane is used.
    let outcome = unsafe { take(context, outcome, |texts| texts.reason) };
    // SAFETY: passed on.
    unsafe {
        on_lane(context, (), |own| {
            if let (Some(held), Some(outcome)) = (own.release(token), outcome) {
                own.source.complete(held.token, outcome);
            }
        });
    }
}

unsafe extern "C" fn next_op(context: *mut c_void, out: *mut RawOp) -> i32 {
    // SAFETY: passed on; the library has room for one.
    unsafe {
        on_lane(context, -1, |own| match own.next_op() {
            NextOp::Some(op) => {
                out.write(RawOp {
                    size: size_of::<RawOp>() as u32,
                    which: op.which,
                    id: op.id,
                    arg: Str::from_bytes(&op.arg),
                });
                own.ops.push(op);
                1
            }
            NextOp::Empty => 0,
            NextOp::Closed => -1,
        })
    }
}

unsafe extern "C" fn op_done(context: *mut c_void, id: u64, outcome: *mut abi::Outcome) {
    // SAFETY: as for `complete`.
    let outcome = unsafe { take(context, outcome, |texts| texts.reply) };
    // SAFETY: passed on.
    unsafe {
        on_lane(context, (), |own| {
            let known = own.ops.iter().position(|op| op.id == id);
            if let (Some(index), Some(outcome)) = (known, outcome) {
                own.ops.swap_remove(index);
                own.source.op_done(id, outcome);
            }
        });
    }
}

unsafe extern "C" fn cancelled(context: *mut c_void, id: u64, is_op: u32) -> u32 {
    // SAFETY: passed on. What is not known any more shall be dropped.
    unsafe {
        on_lane(context, 1, |own| {
            let call = if is_op == 0 {
                match own.find(id) {
                    Some(index) => own.held[index].as_ref().map(|held| Call::Delivery(held.token)),
                    None => None,
                }
            } else {
                Some(Call::Op(id))
            };
            call.is_none_or(|call| own.source.cancelled(call)).into()
        })
    }
}

unsafe extern "C" fn ready(context: *mut c_void, tokens: *mut u64, max: u32) -> u32 {
    // SAFETY: passed on.
    unsafe {
        on_lane(context, 0, |own| {
            own.named.clear();
            own.source.ready(max as usize, &mut own.named);
            let found = own.named.len().min(max as usize);
            for (index, token) in own.named[..found].iter().enumerate() {
                // SAFETY: the library has room for `max`, and there are not more.
                tokens.add(index).write(*token);
            }
            u32::try_from(found).unwrap_or(0)
        })
    }
}

unsafe extern "C" fn bell(context: *mut c_void) -> i32 {
    // SAFETY: passed on.
    unsafe { on_lane(context, -1, |own| own.source.bell()) }
}

/// Takes over what the library wrote; `None` from another thread.
///
/// # Safety
/// As for [`on_lane`]; `outcome` is null or filled by the library.
unsafe fn take(
    context: *mut c_void,
    outcome: *mut abi::Outcome,
    limit: impl FnOnce(&TextLimits) -> crate::outcome::TextLimit,
) -> Option<Outcome> {
    // SAFETY: passed on.
    let limit = unsafe { on_lane(context, None, |own| Some(limit(&own.texts))) }?;
    if outcome.is_null() {
        return Some(Outcome::Invalid("a call without an outcome".to_owned()));
    }
    // SAFETY: filled by the library for a call that is over, on a lane of its generation.
    Some(unsafe { Outcome::take(&mut *outcome, limit) })
}

// === impl OwnLoop ===

impl OwnLoop<'_> {
    /// Puts deliveries for the library into `found`; false when the source is closed.
    fn next(&mut self, max: usize) -> bool {
        self.found.clear();
        let max = max.min(HELD_MAX - (self.held.len() - self.free.len()));
        while self.found.is_empty() && max > 0 {
            self.named.clear();
            match self.source.next(max, &mut self.named) {
                Next::Some => self.begin_named(),
                Next::Empty => break,
                Next::Closed => {
                    self.closed = true;
                    return false;
                }
            }
        }
        true
    }

    fn begin_named(&mut self) {
        for index in 0..self.named.len() {
            let token = self.named[index];
            let handed = match self.source.begin(token) {
                Begin::Go(handed) => handed,
                Begin::Skip => continue,
                Begin::Stop => break,
            };
            let mut delivery = Delivery {
                message: handed.message.as_ptr(),
                token: 0,
                id: handed.id,
                accepted_ns: handed.accepted_ns,
                attempt: handed.attempt,
                subscription: handed.subscription,
            };
            let message = handed.message.clone();
            // The library's handlers run as tasks: none of them is the one that is running.
            self.source.suspend(token);
            delivery.token = self.hold(token, message);
            self.found.push(delivery);
        }
    }

    /// Keeps a delivery until it is settled: the library's token for it.
    fn hold(&mut self, token: u64, message: Message) -> u64 {
        let index = self.free.pop().unwrap_or_else(|| {
            self.held.push(None);
            self.held.len() - 1
        });
        self.serial = self.serial.wrapping_add(1);
        let serial = self.serial;
        self.held[index] = Some(Held { token, serial, message });
        u64::from(serial) << 32 | index as u64
    }

    fn find(&self, token: u64) -> Option<usize> {
        let index = (token & u64::from(u32::MAX)) as usize;
        let held = self.held.get(index)?.as_ref()?;
        (u64::from(held.serial) == token >> 32).then_some(index)
    }

    fn release(&mut self, token: u64) -> Option<Held> {
        let index = self.find(token)?;
        self.free.push(index);
        self.held[index].take()
    }

    fn next_op(&mut self) -> NextOp {
        if self.lane == 0 { self.source.next_op() } else { NextOp::Closed }
    }

    /// The loop is over: whatever it still holds gets an answer.
    fn settle_all(&mut self) {
        let left = || Outcome::Invalid("the library's loop ended without an answer".to_owned());
        for held in std::mem::take(&mut self.held).into_iter().flatten() {
            self.source.complete(held.token, left());
        }
        for op in std::mem::take(&mut self.ops) {
            self.source.op_done(op.id, left());
        }
    }
}
