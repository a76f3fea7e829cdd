//! Messages of a test.

use std::sync::{LazyLock, Mutex, PoisonError};

use patchbay_abi::{Delivery, message::header};
use patchbay_slab::{Parts, Slab};
use serde_json::Value;

use crate::message::Message;

/// A message as a subscription would hand it over.
///
/// ```
/// use patchbay_plugin::testing::TestMessage;
///
/// let message = TestMessage::new("orders.new").text("42").header("tenant", "north").attempt(2).build();
/// assert_eq!(message.header("Tenant"), Some("north"));
/// assert_eq!(message.attempt(), 2);
/// ```
#[derive(Clone, Debug)]
#[must_use = "it is made by build"]
pub struct TestMessage {
    topic: String,
    key: String,
    headers: Vec<(String, String)>,
    payload: Vec<u8>,
    id: u128,
    attempt: u32,
}

/// A message on a topic with a JSON payload, from the source `test`.
#[must_use]
pub fn create_test_message(topic: &str, data: Value) -> Message {
    TestMessage::new(topic)
        .json(&data)
        .header(header::SOURCE, "test")
        .header(header::VERSION, "1.0")
        .build()
}

/// Where messages come from that belong to no host.
static SLAB: LazyLock<Mutex<(Slab, u128)>> = LazyLock::new(|| Mutex::new((Slab::new(), 0)));

// === impl TestMessage ===

impl TestMessage {
    /// An empty message on a topic, handed over for the first time.
    pub fn new(topic: &str) -> Self {
        TestMessage {
            topic: topic.to_owned(),
            key: String::new(),
            headers: Vec::new(),
            payload: Vec::new(),
            id: 0,
            attempt: 1,
        }
    }

    /// The payload.
    pub fn payload(mut self, payload: impl Into<Vec<u8>>) -> Self {
        self.payload = payload.into();
        self
    }

    /// A text as payload.
    pub fn text(self, text: &str) -> Self {
        self.payload(text.as_bytes())
    }

    /// JSON as payload.
    pub fn json(self, data: &Value) -> Self {
        self.payload(data.to_string()).header(header::CONTENT_TYPE, "application/json")
    }

    /// What messages that must stay in order have in common.
    pub fn key(mut self, key: &str) -> Self {
        key.clone_into(&mut self.key);
        self
    }

    /// Adds a header, also one that only a host may set.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Where a reply is to go, and what ties it to this message.
    pub fn reply_to(self, topic: &str, correlation: &str) -> Self {
        self.header(header::REPLY_TO, topic).header(header::CORRELATION_ID, correlation)
    }

    /// The id; else a number that counts up.
    pub fn id(mut self, id: u128) -> Self {
        self.id = id;
        self
    }

    /// The number of the hand-off.
    pub fn attempt(mut self, attempt: u32) -> Self {
        self.attempt = attempt;
        self
    }

    /// Makes the message.
    #[must_use]
    pub fn build(self) -> Message {
        let headers: Vec<(&str, &str)> =
            self.headers.iter().map(|(name, value)| (&**name, &**value)).collect();
        let (slab, last) = &mut *SLAB.lock().unwrap_or_else(PoisonError::into_inner);
        *last += 1;
        let id = if self.id == 0 { *last } else { self.id };
        let parts = Parts {
            topic: &self.topic,
            key: &self.key,
            headers: &headers,
            payload_len: self.payload.len(),
            id,
            ..Parts::default()
        };
        let message = slab.message(&parts, &self.payload).into_raw();
        // SAFETY: the reference was just taken out.
        unsafe {
            Message::from_parts(Delivery {
                message,
                token: 0,
                id: id as u64,
                accepted_ns: 0,
                attempt: self.attempt,
                subscription: 0,
            })
        }
    }
}
