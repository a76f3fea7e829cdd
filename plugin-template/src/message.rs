//! A message, as a handler sees it.

use std::{
    fmt,
    mem::ManuallyDrop,
    ptr,
    time::{Duration, SystemTime},
};

use patchbay_abi::{Delivery, message::header};

use crate::error::PluginError;

/// A message in the host's memory: immutable, and shared by reference count.
///
/// A clone costs one atomic increment and may be kept for as long as the plugin lives. What is
/// about the delivery rather than the message ([`attempt`](Message::attempt),
/// [`delivery_id`](Message::delivery_id), …) is that of the delivery the value came from.
#[repr(transparent)]
pub struct Message(Delivery);

/// The identity of a message. Displays as a UUID.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(pub u128);

// SAFETY: the message is immutable host memory, counted with atomics; the rest are numbers.
unsafe impl Send for Message {}
// SAFETY: as above.
unsafe impl Sync for Message {}

// === impl Message ===

impl Message {
    /// The topic it was published to.
    #[must_use]
    pub fn topic(&self) -> &str {
        // SAFETY: the host keeps it alive with the message, and a topic is ASCII by contract.
        unsafe { std::str::from_utf8_unchecked(self.raw().topic.as_bytes()) }
    }

    /// The payload.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        // SAFETY: the host keeps it alive and unchanged with the message.
        unsafe { self.raw().payload.as_bytes() }
    }

    /// The payload as text.
    ///
    /// # Errors
    /// [`PluginError::InvalidData`] when it is not UTF-8; names the first wrong byte.
    pub fn text(&self) -> Result<&str, PluginError> {
        std::str::from_utf8(self.payload()).map_err(|error| {
            let at = error.valid_up_to();
            PluginError::invalid_data(format!("payload is not UTF-8 from byte {at} on"))
        })
    }

    /// The id: given by the publisher, or made by the host.
    #[must_use]
    pub fn id(&self) -> MessageId {
        let message = self.raw();
        MessageId(u128::from(message.id_hi) << 64 | u128::from(message.id_lo))
    }

    /// What messages that must stay in order have in common, when there is such a key and it is text.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        std::str::from_utf8(self.key_bytes()).ok().filter(|key| !key.is_empty())
    }

    /// The key as bytes; empty when there is none.
    #[must_use]
    pub fn key_bytes(&self) -> &[u8] {
        // SAFETY: the host keeps it alive with the message.
        unsafe { self.raw().key.as_bytes() }
    }

    /// Names and values of all headers, in the publisher's order.
    pub fn headers(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        let message = self.raw();
        let headers: &[patchbay_abi::Header] = if message.nheaders == 0 {
            &[]
        } else {
            // SAFETY: `nheaders` headers, kept alive with the message.
            unsafe { std::slice::from_raw_parts(message.headers, message.nheaders as usize) }
        };
        // SAFETY: two texts, kept alive with the message.
        headers.iter().map(|header| unsafe {
            (header.name.as_text().unwrap_or_default(), header.value.as_text().unwrap_or_default())
        })
    }

    /// The value of a header. Names are compared without regard to ASCII case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// When it was published.
    #[must_use]
    pub fn timestamp(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_nanos(self.raw().time_ns)
    }

    /// When it is of no use any more.
    #[must_use]
    pub fn expires(&self) -> Option<SystemTime> {
        let at = self.raw().expires_ns;
        (at != 0).then(|| SystemTime::UNIX_EPOCH + Duration::from_nanos(at))
    }

    /// How many messages led to this one.
    #[must_use]
    pub fn hops(&self) -> u32 {
        self.raw().hops
    }

    /// 1 for the first hand-off of the delivery; 0 for a message that was made here.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.0.attempt
    }

    /// The same number for every attempt at this delivery: deduplicate by it.
    #[must_use]
    pub fn delivery_id(&self) -> u64 {
        self.0.id
    }

    /// When the subscription accepted the message; the Unix epoch for a message made here.
    #[must_use]
    pub fn accepted(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_nanos(self.0.accepted_ns)
    }

    /// Number of the subscription, counted from 0 in the manifest's order; dynamic ones follow.
    #[must_use]
    pub fn subscription(&self) -> u32 {
        self.0.subscription
    }

    /// Media type of the payload.
    #[must_use]
    pub fn content_type(&self) -> Option<&str> {
        self.header(header::CONTENT_TYPE)
    }

    /// Who published it.
    #[must_use]
    pub fn source(&self) -> Option<&str> {
        self.header(header::SOURCE)
    }

    /// Schema of the payload.
    #[must_use]
    pub fn schema(&self) -> Option<&str> {
        self.header(header::SCHEMA)
    }

    /// Version of the message's format.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.header(header::VERSION)
    }

    /// Topic that a reply goes to; see [`Transport::reply`](crate::Transport::reply).
    #[must_use]
    pub fn reply_to(&self) -> Option<&str> {
        self.header(header::REPLY_TO)
    }

    /// What ties a reply to its request.
    #[must_use]
    pub fn correlation_id(&self) -> Option<&str> {
        self.header(header::CORRELATION_ID)
    }

    /// W3C trace context that the message carries.
    #[must_use]
    pub fn traceparent(&self) -> Option<&str> {
        self.header(header::TRACEPARENT)
    }

    /// Takes over one reference; `None` for null.
    ///
    /// # Safety
    /// The pointer is null, or a message of the host with a reference for us.
    pub(crate) unsafe fn from_raw(message: *const patchbay_abi::Message) -> Option<Self> {
        // Not `then_some`: a message of null must not even be made, because it would be dropped.
        (!message.is_null()).then(|| {
            Message(Delivery {
                message,
                token: 0,
                id: 0,
                accepted_ns: 0,
                attempt: 0,
                subscription: 0,
            })
        })
    }

    /// Takes over one reference, and what is known about the delivery.
    ///
    /// # Safety
    /// The message is of a host, with a reference for us.
    #[cfg(feature = "testing")]
    pub(crate) unsafe fn from_parts(delivery: Delivery) -> Self {
        Message(delivery)
    }

    /// Sees a delivery as a message, without a reference of its own.
    ///
    /// # Safety
    /// The delivery's message stays alive for `'a`.
    pub(crate) unsafe fn from_delivery<'a>(delivery: *const Delivery) -> &'a Self {
        // SAFETY: the same layout, by `repr(transparent)`; alive by the caller's promise.
        unsafe { &*delivery.cast::<Message>() }
    }

    /// A delivery as a message, without a reference of its own: it is not given back.
    ///
    /// # Safety
    /// The delivery's message stays alive for as long as the value is used.
    #[cfg(feature = "tokio")]
    pub(crate) unsafe fn borrowed(delivery: Delivery) -> ManuallyDrop<Self> {
        ManuallyDrop::new(Message(delivery))
    }

    pub(crate) fn as_raw(&self) -> *const patchbay_abi::Message {
        self.0.message
    }

    /// Hands the reference out.
    pub(crate) fn into_raw(self) -> *const patchbay_abi::Message {
        ManuallyDrop::new(self).0.message
    }

    fn raw(&self) -> &patchbay_abi::Message {
        // SAFETY: we hold a reference, or borrow from somebody who does.
        unsafe { &*self.0.message }
    }

    fn ops(&self) -> &patchbay_abi::MessageOps {
        // SAFETY: the table belongs to the host and outlives every message.
        unsafe { &*self.raw().ops }
    }
}

impl Clone for Message {
    fn clone(&self) -> Self {
        // SAFETY: the message is alive, so one more reference can be taken.
        unsafe { (self.ops().retain)(self.0.message) }
        Message(self.0)
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        // SAFETY: our reference, given back once.
        unsafe { (self.ops().release)(self.0.message) }
    }
}

impl AsRef<Message> for Message {
    fn as_ref(&self) -> &Message {
        self
    }
}

impl PartialEq for Message {
    /// The same message in memory, not an equal one.
    fn eq(&self, other: &Self) -> bool {
        ptr::eq(self.0.message, other.0.message)
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("id", &self.id())
            .field("topic", &self.topic())
            .field("payload_bytes", &self.payload().len())
            .field("attempt", &self.attempt())
            .finish_non_exhaustive()
    }
}

// === impl MessageId ===

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.0;
        write!(
            f,
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            id >> 96,
            id >> 80 & 0xffff,
            id >> 64 & 0xffff,
            id >> 48 & 0xffff,
            id & 0xffff_ffff_ffff
        )
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_id_displays_as_a_uuid() {
        let id = MessageId(0x0192_0000_0000_7000_8000_0000_0000_00ff);
        assert_eq!(id.to_string(), "01920000-0000-7000-8000-0000000000ff");
    }
}
