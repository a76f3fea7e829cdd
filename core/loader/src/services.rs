//! What the host does for an instance.
//!
//! The host implements [`Services`] once for each instance, so that it knows who calls. Calls come
//! from any thread of the library, also several at once, and must not wait: a handler runs on the
//! other side. A panic in an implementation is caught, logged, and answered as a refusal.

use std::{num::NonZeroU64, task::Waker};

use patchbay_slab::{Draft, Message};

use crate::messages::Lent;

/// What the host does for one instance.
pub trait Services: Send + Sync + 'static {
    /// Publishes a message: to how many subscriptions it went.
    ///
    /// # Errors
    /// Why nobody got it.
    fn publish(&self, request: Publish<'_>) -> Result<u32, Refused>;

    /// Publishes messages from the front, in order, up to the first that is refused: how many were
    /// accepted, and why the next one was not. Those behind it were not tried. Everything that holds
    /// for [`publish`](Services::publish) holds for each of them.
    fn publish_many(&self, request: PublishMany<'_>) -> (usize, Option<Refused>);

    /// Forgets a token of [`publish`](Services::publish) or [`timer`](Services::timer).
    fn forget(&self, token: u64);

    /// A message with room for a payload; `None` when the parts are refused.
    fn message_new(&self, parts: &MessageParts<'_>) -> Option<Draft>;

    /// A message with the payload of `base`; `None` when the parts are refused.
    fn message_derive(&self, base: &Message, parts: &MessageParts<'_>) -> Option<Message>;

    /// Subscribes the plugin to one more pattern: the number of the subscription.
    ///
    /// # Errors
    /// Why not.
    fn subscribe(&self, pattern: &str) -> Result<u32, Refused>;

    /// Takes such a subscription back: whether there was one of that number.
    fn unsubscribe(&self, subscription: u32) -> bool;

    /// The value at a dotted path of the plugin's configuration, as JSON text.
    fn config_get(&self, path: &str) -> Option<String>;

    /// Writes a log line.
    fn log(&self, line: &LogLine<'_>);

    /// Interns a metric. The same name and kind give the same number.
    fn metric(&self, kind: MetricKind, name: &str) -> u32;

    /// Records a value.
    fn metric_record(&self, metric: u32, value: f64, attributes: &[(&str, &str)]);

    /// Begins a span.
    fn span_begin(&self, span: &SpanBegin<'_>) -> SpanBegun;

    /// Ends a span.
    fn span_end(&self, span: u64, status: SpanStatus, text: &str);

    /// Starts a timer that wakes `waker` after that many nanoseconds; `None` when refused.
    fn timer(&self, delay_ns: u64, waker: Waker) -> Option<NonZeroU64>;

    /// Whether a timer has fired. One that is not known has.
    fn timer_fired(&self, token: u64) -> bool;
}

/// One publish.
#[derive(Debug)]
pub struct Publish<'a> {
    /// What to publish. Clone it to keep it.
    pub message: &'a Message,
    /// The message whose handler publishes, for hops and trace.
    pub cause: Option<&'a Message>,
    /// What to do when there is no room.
    pub wait: Wait,
}

/// Many publishes, because of the same message or of none.
#[derive(Debug)]
pub struct PublishMany<'a> {
    /// What to publish. Clone them to keep them.
    pub messages: &'a [Lent],
    /// As in [`Publish`].
    pub cause: Option<&'a Message>,
    /// What to do when there is no room for one of them.
    pub wait: Wait,
}

/// How a publisher learns that there is room again. All wakers here are the host's own.
#[derive(Debug)]
pub enum Wait {
    /// Not at all.
    No,
    /// By this waker.
    Waker(Waker),
    /// By a token, which the source of this lane reports
    /// ([`LaneSource::ready`](crate::LaneSource)); `None` when the caller is not on a lane.
    Token {
        /// Number of the lane.
        lane: Option<u32>,
    },
}

/// Why a publish or subscribe was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// A matching subscription has no room, and none got the message.
    Full {
        /// With [`Wait::Token`]: what will be reported.
        token: Option<NonZeroU64>,
    },
    /// Topic, pattern or header is not valid.
    Invalid,
    /// The message is larger than the host allows.
    TooLarge,
    /// The host, or this instance, is shutting down.
    Closed,
    /// The plugin may not publish or subscribe there.
    Denied,
    /// The chain of causes is longer than the host allows.
    HopLimit,
}

/// What a library wants in a message. All texts are UTF-8; nothing else is checked yet.
#[derive(Clone, Copy, Debug, Default)]
pub struct MessageParts<'a> {
    /// Concrete topic.
    pub topic: &'a str,
    /// Ordering key; empty = none.
    pub key: &'a str,
    /// Names and values.
    pub headers: &'a [(&'a str, &'a str)],
    /// Room for the payload, in bytes.
    pub payload_len: usize,
    /// The message id; 0 = the host makes one.
    pub id: u128,
    /// When it is no longer of use, nanoseconds since the Unix epoch; 0 = never.
    pub expires_ns: u64,
}

/// One line of a library's log. Text that is not UTF-8 was made so.
#[derive(Debug)]
pub struct LogLine<'a> {
    /// How grave it is.
    pub level: LogLevel,
    /// Module or component.
    pub target: &'a str,
    /// Source file.
    pub file: &'a str,
    /// Line in that file, 0 = unknown.
    pub line: u32,
    /// What it says.
    pub text: &'a str,
}

/// How grave a log line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// Something failed.
    Error,
    /// Something looks wrong.
    Warn,
    /// Something happened.
    Info,
    /// For somebody who looks for a fault.
    Debug,
    /// Everything.
    Trace,
}

/// Kind of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MetricKind {
    /// A sum that only grows.
    Counter,
    /// A value that comes and goes.
    Gauge,
    /// A distribution.
    Histogram,
}

/// What a span starts with.
#[derive(Debug)]
pub struct SpanBegin<'a> {
    /// Its name.
    pub name: &'a str,
    /// The message whose trace it continues when `parent` is 0.
    pub message: Option<&'a Message>,
    /// The span above it, 0 = none.
    pub parent: u64,
    /// Names and values.
    pub attributes: &'a [(&'a str, &'a str)],
}

/// A span that began.
#[derive(Clone, Debug, Default)]
pub struct SpanBegun {
    /// Names it in [`Services::span_end`]; 0 = it is not recorded.
    pub span: u64,
    /// Its W3C `traceparent`.
    pub traceparent: Option<String>,
}

/// How a span ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanStatus {
    /// The library did not say.
    Unset,
    /// Well.
    Ok,
    /// Not well.
    Error,
}
