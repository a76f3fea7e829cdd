//! What a lane pulls from: the host's side of a lane.
//!
//! The host implements [`LaneSource`] over its worker pool. All functions but
//! [`alarm`](LaneSource::alarm) are called on the lane's own thread, one after the other; only
//! [`wait`](LaneSource::wait) waits.
//!
//! The life of a delivery on a lane: [`next`](LaneSource::next) names it by a token →
//! [`begin`](LaneSource::begin) claims it right before the call → perhaps
//! [`suspend`](LaneSource::suspend), [`resumes`](LaneSource::resumes) and
//! [`rests`](LaneSource::rests) in turn → [`complete`](LaneSource::complete), exactly once for each
//! that was begun. A token that was named and not begun is simply dropped: the source gives it
//! back.

use std::{os::fd::RawFd, task::Waker};

use patchbay_slab::Message;

use crate::outcome::Outcome;

/// The host's side of a lane.
pub trait LaneSource {
    /// Appends the tokens of up to `max` deliveries, to be begun in this order. Whatever was named
    /// before and not begun by now is not wanted any more.
    fn next(&mut self, max: usize, tokens: &mut Vec<u64>) -> Next;

    /// Claims a delivery for a call that begins now.
    fn begin(&mut self, token: u64) -> Begin<'_>;

    /// The call did not end at once: others are begun before [`complete`](LaneSource::complete).
    fn suspend(&mut self, token: u64);

    /// The library is about to be called again for a delivery that was suspended.
    fn resumes(&mut self, _token: u64) {}

    /// It was, and is not done.
    fn rests(&mut self, _token: u64) {}

    /// Settles a delivery that was begun. Late tokens (the delivery was written off meanwhile) are
    /// not an error.
    fn complete(&mut self, token: u64, outcome: Outcome);

    /// The same for a delivery that was acknowledged, which is how nearly all of them end.
    fn acknowledge(&mut self, token: u64) {
        self.complete(token, Outcome::Ack(None));
    }

    /// The same for a delivery that was forwarded: to a topic that is not checked yet.
    fn forward(&mut self, token: u64, topic: &str, message: Message) {
        self.complete(token, Outcome::Forward { topic: topic.to_owned(), message });
    }

    /// The next control call. Asked on lane 0 only.
    fn next_op(&mut self) -> NextOp;

    /// Ends a control call.
    fn op_done(&mut self, id: u64, outcome: Outcome);

    /// Whether a call that waits must be dropped now.
    fn cancelled(&mut self, call: Call) -> bool;

    /// Appends up to `max` tokens of [`Wait::Token`](crate::Wait) that have become ready, each
    /// once.
    fn ready(&mut self, max: usize, tokens: &mut Vec<u64>);

    /// A non-blocking eventfd that is written after any answer above may have changed. A library's
    /// own loop watches it; it stays open until `run_lane` has returned.
    fn bell(&self) -> RawFd;

    /// Wakes this lane out of [`wait`](LaneSource::wait), from any thread. A clone may outlive the
    /// lane, and does nothing then.
    fn alarm(&self) -> Waker;

    /// Waits until the alarm was raised since the last wait, or any answer above may have changed.
    /// May return early. Whatever was named and not begun is not wanted any more: this lane has no
    /// room for it, and another may. Not called when a library runs its own loop.
    fn wait(&mut self);
}

/// What [`LaneSource::next`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// At least one token was appended.
    Some,
    /// Nothing now.
    Empty,
    /// Nothing ever again.
    Closed,
}

/// What [`LaneSource::begin`] decided.
#[derive(Debug)]
pub enum Begin<'a> {
    /// Call the handler with this.
    Go(Handed<'a>),
    /// Not this one; the next may be fine.
    Skip,
    /// None of those named: ask again.
    Stop,
}

/// One delivery, as the source lends it for the begin of a call.
#[derive(Clone, Copy, Debug)]
pub struct Handed<'a> {
    /// The message. The lane takes a reference of its own if the call does not end at once.
    pub message: &'a Message,
    /// The same for every attempt of one message at one subscription.
    pub id: u64,
    /// When the subscription accepted the message, nanoseconds since the Unix epoch.
    pub accepted_ns: u64,
    /// 1 for the first hand-off.
    pub attempt: u32,
    /// Number of the subscription within the manifest, counted from 0; dynamic ones follow.
    pub subscription: u32,
}

/// What [`LaneSource::next_op`] found.
#[derive(Debug)]
pub enum NextOp {
    /// A control call.
    Some(Op),
    /// None now.
    Empty,
    /// None ever again.
    Closed,
}

/// A control call.
#[derive(Clone, Debug)]
pub struct Op {
    /// Names it in [`LaneSource::op_done`].
    pub id: u64,
    /// One of [`patchbay_abi::source::op`].
    pub which: u32,
    /// Its argument, empty when it takes none.
    pub arg: Vec<u8>,
}

/// A call on a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// The delivery with that token.
    Delivery(u64),
    /// The control call with that id.
    Op(u64),
}
