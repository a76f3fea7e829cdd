//! What the host offers to an instance.

use core::ffi::c_void;

use crate::{
    message::{Draft, Header, Message},
    text::{Buf, Str},
    waker::Waker,
};

/// The host's services. Passed to `create`, valid until `destroy` returns. Every function takes the
/// context that came with it, and may be called on any thread.
#[repr(C)]
#[derive(Debug)]
pub struct Host {
    /// Size of this struct as the host knows it, in bytes.
    pub size: u32,
    /// The host's contract version.
    pub major: u16,
    /// The host's additive contract version.
    pub minor: u16,
    /// Publishes; see [`Publish`]. Returns one of [`publish`].
    pub publish: unsafe extern "C" fn(host: *mut c_void, request: *mut Publish) -> i32,
    /// Forgets a token of `publish` or `timer`: it will not be reported any more.
    pub forget: unsafe extern "C" fn(host: *mut c_void, token: u64),
    /// Makes a message with room for a payload, which the caller fills before it publishes the
    /// message or shares it. `payload` receives the room. Null when the draft is refused (invalid
    /// topic or header, payload over the limit). The caller owns one reference.
    pub message_new: unsafe extern "C" fn(
        host: *mut c_void,
        draft: *const Draft,
        payload: *mut *mut u8,
    ) -> *const Message,
    /// Makes a message with the payload of `base`, by reference count, and the topic, key and
    /// headers of the draft. Null as above. The caller owns one reference.
    pub message_derive: unsafe extern "C" fn(
        host: *mut c_void,
        base: *const Message,
        draft: *const Draft,
    ) -> *const Message,
    /// Subscribes the plugin to one more pattern. Returns its number as in
    /// [`Delivery::subscription`](crate::Delivery), or a negative [`publish`] code.
    pub subscribe: unsafe extern "C" fn(host: *mut c_void, pattern: Str, flags: u32) -> i64,
    /// Takes such a subscription back. 0, or -1 when there is none of that number.
    pub unsubscribe: unsafe extern "C" fn(host: *mut c_void, subscription: i64) -> i32,
    /// The value at a dotted path of the plugin's configuration, as JSON text in host memory.
    /// 0, or -1 when there is none.
    pub config_get: unsafe extern "C" fn(host: *mut c_void, path: Str, out: *mut Buf) -> i32,
    /// Writes a log line. `level` is one of [`log`].
    pub log: unsafe extern "C" fn(
        host: *mut c_void,
        level: u32,
        target: Str,
        file: Str,
        line: u32,
        text: Str,
    ),
    /// Interns a metric; `kind` is one of [`metric`]. The same name and kind give the same id.
    pub metric: unsafe extern "C" fn(host: *mut c_void, kind: u32, name: Str) -> u32,
    /// Records a value with attributes.
    pub metric_record: unsafe extern "C" fn(
        host: *mut c_void,
        metric: u32,
        value: f64,
        attributes: *const Header,
        nattributes: u32,
    ),
    /// Begins a span below `parent`, or below the trace context of `message` when `parent` is 0,
    /// or a new trace when both are absent. `context` receives the W3C `traceparent` of the span,
    /// in host memory, when it is not null.
    pub span_begin: unsafe extern "C" fn(
        host: *mut c_void,
        name: Str,
        message: *const Message,
        parent: u64,
        attributes: *const Header,
        nattributes: u32,
        context: *mut Buf,
    ) -> u64,
    /// Ends a span. `status`: 0 = unset, 1 = ok, 2 = error, with a text.
    pub span_end: unsafe extern "C" fn(host: *mut c_void, span: u64, status: u32, text: Str),
    /// Starts a timer; see [`TimerRequest`]. Returns its token, 0 when refused.
    pub timer: unsafe extern "C" fn(host: *mut c_void, request: *const TimerRequest) -> u64,
    /// Whether a timer has fired: 1 yes, 0 not yet.
    pub timer_fired: unsafe extern "C" fn(host: *mut c_void, token: u64) -> u32,
    /// Publishes many messages; see [`PublishMany`]. Returns [`publish::ACCEPTED`] when all were
    /// accepted, else why the one behind the accepted ones was not. Since 1.1.
    pub publish_many: unsafe extern "C" fn(host: *mut c_void, request: *mut PublishMany) -> i32,
}

/// One publish.
#[repr(C)]
#[derive(Debug)]
pub struct Publish {
    /// Size of this struct as the library knows it, in bytes.
    pub size: u32,
    /// [`publish::WAIT`] or 0.
    pub flags: u32,
    /// What to publish. The reference is consumed when the call returns [`publish::ACCEPTED`],
    /// and stays with the caller otherwise.
    pub message: *const Message,
    /// The message whose handler publishes, for hops and trace; null when there is none.
    pub cause: *const Message,
    /// With [`publish::WAIT`]: the host's waker of the running call, woken when there is room.
    /// Null for a caller that learns by [`Source::ready`](crate::Source) instead.
    pub waker: *const Waker,
    /// Out: with [`publish::FULL`] and [`publish::WAIT`] and no waker, what `ready` will report.
    pub token: u64,
    /// Out: how many subscriptions accepted it.
    pub routed: u32,
    /// Reserved, 0.
    pub reserved: u32,
}

/// Many publishes, because of one message or of none. They are taken from the front, in order, until
/// one is not accepted: everything that holds for one publish holds for each of them. Messages of one
/// topic that follow each other go to each queue together, and what is durable is waited for once.
/// Since 1.1.
#[repr(C)]
#[derive(Debug)]
pub struct PublishMany {
    /// Size of this struct as the library knows it, in bytes.
    pub size: u32,
    /// [`publish::WAIT`] or 0.
    pub flags: u32,
    /// `count` messages, borrowed for the call. The references of those that were accepted are
    /// consumed; the others stay with the caller.
    pub messages: *const *const Message,
    /// How many; above [`publish::MANY_MAX`] nothing is tried, and the answer is
    /// [`publish::INVALID`].
    pub count: u32,
    /// Out: how many from the front were accepted.
    pub accepted: u32,
    /// The message whose handler publishes, for hops and trace; null when there is none.
    pub cause: *const Message,
    /// As in [`Publish`], for the one that found no room.
    pub waker: *const Waker,
    /// Out: as in [`Publish`].
    pub token: u64,
}

/// One timer.
#[repr(C)]
#[derive(Debug)]
pub struct TimerRequest {
    /// Size of this struct as the library knows it, in bytes.
    pub size: u32,
    /// Reserved, 0.
    pub flags: u32,
    /// Not before this many nanoseconds from now.
    pub delay_ns: u64,
    /// The host's waker of the running call, woken when the timer fires. Must not be null.
    pub waker: *const Waker,
}

/// Flags and answers of [`Host::publish`] and [`Host::publish_many`].
pub mod publish {
    /// Flag: on [`FULL`], tell when there is room.
    pub const WAIT: u32 = 1;
    /// Accepted by every matching subscription (there may be none).
    pub const ACCEPTED: i32 = 0;
    /// A matching subscription has no room, and none got the message.
    pub const FULL: i32 = 1;
    /// Topic or header is not valid.
    pub const INVALID: i32 = -1;
    /// The message is larger than the host allows.
    pub const TOO_LARGE: i32 = -2;
    /// The host is shutting down.
    pub const CLOSED: i32 = -3;
    /// The plugin may not publish or subscribe there.
    pub const DENIED: i32 = -4;
    /// The chain of causes is longer than the host allows.
    pub const HOP_LIMIT: i32 = -5;
    /// Messages that one [`Host::publish_many`](super::Host::publish_many) takes at most.
    pub const MANY_MAX: u32 = 1024;
}

/// Values of `level` of [`Host::log`].
pub mod log {
    /// Something failed.
    pub const ERROR: u32 = 1;
    /// Something looks wrong.
    pub const WARN: u32 = 2;
    /// Something happened.
    pub const INFO: u32 = 3;
    /// For somebody who looks for a fault.
    pub const DEBUG: u32 = 4;
    /// Everything.
    pub const TRACE: u32 = 5;
}

/// Values of `kind` of [`Host::metric`].
pub mod metric {
    /// A sum that only grows.
    pub const COUNTER: u32 = 1;
    /// A value that comes and goes.
    pub const GAUGE: u32 = 2;
    /// A distribution.
    pub const HISTOGRAM: u32 = 3;
}

// SAFETY: plain function pointers of the host.
unsafe impl Sync for Host {}
