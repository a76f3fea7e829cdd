//! Messages and deliveries, as a library sees them.

use crate::text::Str;

/// One header: a name and a value, both text.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Header {
    /// Lower or mixed case as the publisher wrote it; compared without regard to ASCII case.
    pub name: Str,
    /// Any text without control characters.
    pub value: Str,
}

/// A message. Owned by the host, immutable once published; its address is stable while a reference
/// is held. Read fields directly, hold it longer than the call by [`MessageOps::retain`].
#[repr(C)]
#[derive(Debug)]
pub struct Message {
    /// Size of this struct as the host knows it, in bytes.
    pub size: u32,
    /// Reserved, 0.
    pub flags: u32,
    /// The functions of this message; the same for every message of a host.
    pub ops: *const MessageOps,
    /// Upper half of the 128-bit message id.
    pub id_hi: u64,
    /// Lower half of the 128-bit message id.
    pub id_lo: u64,
    /// When it was published, nanoseconds since the Unix epoch, wall clock.
    pub time_ns: u64,
    /// When it is no longer of use, nanoseconds since the Unix epoch; 0 = never.
    pub expires_ns: u64,
    /// The concrete topic it was published to.
    pub topic: Str,
    /// Arbitrary bytes.
    pub payload: Str,
    /// What messages that must stay in order have in common; empty = none.
    pub key: Str,
    /// `nheaders` headers.
    pub headers: *const Header,
    /// How many headers there are.
    pub nheaders: u32,
    /// How many messages led to this one (Forward, or a publish from inside a handler).
    pub hops: u32,
}

/// What can be done with a message. Every function may be called on any thread.
#[repr(C)]
#[derive(Debug)]
pub struct MessageOps {
    /// Size of this struct, in bytes.
    pub size: u32,
    /// Reserved, 0.
    pub reserved: u32,
    /// Takes one more reference.
    pub retain: unsafe extern "C" fn(message: *const Message),
    /// Gives one reference back; after the last one the message is gone.
    pub release: unsafe extern "C" fn(message: *const Message),
}

/// One attempt to hand one message to one subscription.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Delivery {
    /// The message; borrowed until the delivery is settled.
    pub message: *const Message,
    /// Names this hand-off towards the lane that made it ([`Source::complete`](crate::Source)).
    pub token: u64,
    /// The same for every attempt of one message at one subscription: deduplicate by it.
    pub id: u64,
    /// When the subscription accepted the message, nanoseconds since the Unix epoch.
    pub accepted_ns: u64,
    /// 1 for the first hand-off.
    pub attempt: u32,
    /// Number of the subscription within the manifest, counted from 0; dynamic ones follow.
    pub subscription: u32,
}

/// What a library asks for when it makes a message.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Draft {
    /// Size of this struct as the library knows it, in bytes.
    pub size: u32,
    /// Reserved, 0.
    pub flags: u32,
    /// Concrete topic.
    pub topic: Str,
    /// Ordering key; empty = none.
    pub key: Str,
    /// `nheaders` headers; may be null when there are none.
    pub headers: *const Header,
    /// How many headers there are.
    pub nheaders: u32,
    /// Reserved, 0.
    pub reserved: u32,
    /// Room for the payload, in bytes.
    pub payload_len: usize,
    /// Upper half of the id; both halves 0 = the host makes one.
    pub id_hi: u64,
    /// Lower half of the id.
    pub id_lo: u64,
    /// When it is no longer of use, nanoseconds since the Unix epoch; 0 = never.
    pub expires_ns: u64,
}

// SAFETY: host memory, immutable after publish, reference counted with atomics.
unsafe impl Send for Message {}
// SAFETY: as above.
unsafe impl Sync for Message {}
// SAFETY: two borrowed immutable strings.
unsafe impl Send for Header {}
// SAFETY: as above.
unsafe impl Sync for Header {}

/// Header names that the host and the author's kit give a meaning. `content-type` and the `ce-`
/// names are those of CloudEvents' binary mode; `traceparent`, `tracestate` and `baggage` are W3C's.
pub mod header {
    /// Media type of the payload.
    pub const CONTENT_TYPE: &str = "content-type";
    /// Who published: CloudEvents `source`.
    pub const SOURCE: &str = "ce-source";
    /// Kind of event when it is not the topic: CloudEvents `type`.
    pub const TYPE: &str = "ce-type";
    /// Schema of the payload: CloudEvents `dataschema`.
    pub const SCHEMA: &str = "ce-dataschema";
    /// Version of the message format: CloudEvents extension `msgversion`.
    pub const VERSION: &str = "ce-msgversion";
    /// W3C trace context of this hop.
    pub const TRACEPARENT: &str = "traceparent";
    /// W3C vendor trace state.
    pub const TRACESTATE: &str = "tracestate";
    /// W3C baggage.
    pub const BAGGAGE: &str = "baggage";
    /// Topic that a reply goes to.
    pub const REPLY_TO: &str = "Patchbay-Reply-To";
    /// What ties a reply to its request.
    pub const CORRELATION_ID: &str = "Patchbay-Correlation-Id";
    /// Names of the plugins that forwarded the message, comma separated, oldest first.
    pub const FORWARDED_BY: &str = "Patchbay-Forwarded-By";
    /// Prefix of every header that only the host may set.
    pub const OWN_PREFIX: &str = "Patchbay-";
}
