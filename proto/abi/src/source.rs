//! What a lane pulls from, when the library runs its own loop on it.

use core::ffi::c_void;

use crate::{message::Delivery, outcome::Outcome, text::Str};

/// A lane's source of work. `lane` is the first argument of every function; all of them are called
/// on the lane's own thread.
///
/// None of them waits. Whoever finds nothing waits for the [`bell`](Source::bell), having first
/// registered for its next ring and then asked once more.
#[repr(C)]
#[derive(Debug)]
pub struct Source {
    /// Size of this struct as the host knows it, in bytes.
    pub size: u32,
    /// Reserved, 0.
    pub reserved: u32,
    /// Up to `max` deliveries into `out`: how many (> 0), 0 = none now, -1 = closed for ever.
    pub next: unsafe extern "C" fn(lane: *mut c_void, out: *mut Delivery, max: u32) -> i32,
    /// Settles the delivery with that token. Takes over the outcome, whose text is freed inside.
    pub complete: unsafe extern "C" fn(lane: *mut c_void, token: u64, outcome: *mut Outcome),
    /// The next control call into `out`: 1, 0 = none now, -1 = closed for ever. Lane 0 only gets any.
    pub next_op: unsafe extern "C" fn(lane: *mut c_void, out: *mut Op) -> i32,
    /// Ends a control call. Takes over the outcome as above.
    pub op_done: unsafe extern "C" fn(lane: *mut c_void, id: u64, outcome: *mut Outcome),
    /// Whether the call must be dropped now: 1 yes, 0 no. `is_op`: `id` is that of a control call,
    /// else a delivery's token. Answer with an outcome of code `CANCELLED`.
    pub cancelled: unsafe extern "C" fn(lane: *mut c_void, id: u64, is_op: u32) -> u32,
    /// Tokens of [`Host::publish`](crate::Host) that have become ready, each once: how many.
    pub ready: unsafe extern "C" fn(lane: *mut c_void, tokens: *mut u64, max: u32) -> u32,
    /// The bell: a non-blocking eventfd of the host, written after anything above may have changed.
    /// Watch it edge-triggered and never read it. The host closes it after the loop returned.
    pub bell: unsafe extern "C" fn(lane: *mut c_void) -> i32,
}

/// A control call.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Op {
    /// Size of this struct as the host knows it, in bytes.
    pub size: u32,
    /// One of [`op`].
    pub which: u32,
    /// Names the call in `op_done` and `cancelled`.
    pub id: u64,
    /// Argument; valid until `op_done`.
    pub arg: Str,
}

/// Values of [`Op::which`], and of `which` of [`Plugin::op`](crate::Plugin). A library answers one
/// that it does not know with an outcome of code `ERROR`, class `PERMANENT`.
pub mod op {
    /// Acquire what the plugin needs; messages follow only if it succeeds.
    pub const INIT: u32 = 1;
    /// Messages are about to flow.
    pub const START: u32 = 2;
    /// Release everything; no message follows.
    pub const SHUTDOWN: u32 = 3;
    /// ACK = healthy (text: detail), FAILED = not (text: why).
    pub const HEALTH: u32 = 4;
    /// No messages for a while.
    pub const PAUSE: u32 = 5;
    /// Messages again.
    pub const RESUME: u32 = 6;
    /// Forget what was learned from messages.
    pub const RESET: u32 = 7;
    /// Text of the reply: a JSON object.
    pub const METRICS: u32 = 8;
    /// Text of the reply: state for a successor.
    pub const EXPORT_STATE: u32 = 9;
    /// Argument: state of a predecessor.
    pub const IMPORT_STATE: u32 = 10;
}
