//! What `/api/v1` says and hears about messages, shared by the gateway and the command line.
//!
//! A payload is arbitrary bytes. In JSON it stands in exactly one of three fields: `data` (a JSON
//! value), `text` (UTF-8) or `base64`. A view shows it in the first of them that holds it.
//!
//! **Absent on purpose.** Views of plugins and of the host: those are the host's.

mod headers;

use std::time::{Duration, UNIX_EPOCH};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

pub use self::headers::Headers;

/// A message as a caller offers it: `POST /api/v1/messages`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Publish {
    /// Concrete topic.
    pub topic: String,
    /// Payload that is JSON; `null` is a payload, an absent field is none.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
    /// Payload that is text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Payload of any bytes, base64 with padding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
    /// Ordering key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Headers.
    #[serde(default, skip_serializing_if = "Headers::is_empty")]
    pub headers: Headers,
    /// Id, a UUID; the host makes one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// How long the message is of use, such as `30s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<String>,
    /// When the message is no longer of use, RFC 3339; instead of `ttl`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// Not to be handed out before then, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<String>,
    /// A repeat of the same caller to the same topic under the same key is delivered to nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dedup_key: Option<String>,
    /// At least this level, if it is above that of the topic: `memory`, `process` or `disk`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<String>,
    /// How long to wait for room in a full queue, such as `2s`; absent = not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<String>,
}

/// A request: `POST /api/v1/requests`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The message.
    pub message: Publish,
    /// How long to wait for the reply, such as `5s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
}

/// A message as a tap, a reply or a dead letter shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MessageView {
    /// Id, a UUID.
    pub id: String,
    /// Topic it was published to.
    pub topic: String,
    /// When, RFC 3339.
    pub time: String,
    /// Ordering key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Headers.
    #[serde(default, skip_serializing_if = "Headers::is_empty")]
    pub headers: Headers,
    /// How many messages led to this one.
    pub hops: u32,
    /// When it is no longer of use, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// Bytes of the payload.
    pub size: usize,
    /// The payload.
    #[serde(flatten)]
    pub payload: PayloadView,
}

/// A payload in the most readable form that holds every byte of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PayloadView {
    /// It is JSON.
    Data(Value),
    /// It is UTF-8.
    Text(String),
    /// It is neither.
    Base64(String),
}

/// An error as RFC 9457 wants it, `application/problem+json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Identifies the kind of problem: `urn:patchbay:problem:<code>`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in words.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// What was wrong this time, and where.
    pub detail: String,
    /// Stable word for programs.
    pub code: String,
    /// What to try.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Where this is explained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doc: Option<String>,
    /// For a publish: true when the message was certainly not accepted, absent when that is unknown
    /// or nothing was offered (P-5).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rejected: bool,
}

/// Why the payload of a [`Publish`] cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PayloadError {
    /// More than one field holds a payload.
    #[error("a message has one payload, and both `{first}` and `{second}` are given")]
    Several {
        /// One field.
        first: &'static str,
        /// The other.
        second: &'static str,
    },
    /// `base64` is not base64.
    #[error("`base64` cannot be decoded")]
    Base64(#[source] base64::DecodeError),
}

// === impl Publish ===

impl Publish {
    /// Takes the payload out.
    ///
    /// # Errors
    /// [`PayloadError`] when several fields hold one, or `base64` cannot be decoded.
    pub fn take_payload(&mut self) -> Result<Vec<u8>, PayloadError> {
        let given: Vec<&'static str> = [
            self.data.as_ref().map(|_| "data"),
            self.text.as_ref().map(|_| "text"),
            self.base64.as_ref().map(|_| "base64"),
        ]
        .into_iter()
        .flatten()
        .collect();
        if let [first, second, ..] = given[..] {
            return Err(PayloadError::Several { first, second });
        }
        if let Some(data) = self.data.take() {
            return Ok(data.to_string().into_bytes());
        }
        if let Some(text) = self.text.take() {
            return Ok(text.into_bytes());
        }
        match self.base64.take() {
            Some(encoded) => STANDARD.decode(encoded).map_err(PayloadError::Base64),
            None => Ok(Vec::new()),
        }
    }

    /// Sets a payload of any bytes, in the field that holds it unchanged.
    pub fn set_payload(&mut self, payload: Vec<u8>) {
        (self.data, self.text, self.base64) = (None, None, None);
        match String::from_utf8(payload) {
            Ok(text) => self.text = Some(text),
            Err(other) => self.base64 = Some(STANDARD.encode(other.as_bytes())),
        }
    }
}

/// Keeps `null` apart from an absent field.
fn present<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(from).map(Some)
}

// === impl PayloadView ===

impl PayloadView {
    /// Shows a payload. An empty one is empty text.
    #[must_use]
    pub fn of(payload: &[u8]) -> PayloadView {
        if let Ok(value) = serde_json::from_slice(payload) {
            return PayloadView::Data(value);
        }
        match std::str::from_utf8(payload) {
            Ok(text) => PayloadView::Text(text.to_owned()),
            Err(_) => PayloadView::Base64(STANDARD.encode(payload)),
        }
    }

    /// The payload's bytes; JSON is written anew, without spaces.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            PayloadView::Data(value) => value.to_string().into_bytes(),
            PayloadView::Text(text) => text.clone().into_bytes(),
            PayloadView::Base64(text) => STANDARD.decode(text).unwrap_or_default(),
        }
    }
}

// === impl Problem ===

impl Problem {
    /// A problem with a stable code.
    #[must_use]
    pub fn new(status: u16, code: &str, title: &str, detail: impl Into<String>) -> Problem {
        Problem {
            kind: format!("urn:patchbay:problem:{code}"),
            title: title.to_owned(),
            status,
            detail: detail.into(),
            code: code.to_owned(),
            hint: None,
            doc: None,
            rejected: false,
        }
    }
}

/// An instant of the envelope, nanoseconds since the Unix epoch, as text: RFC 3339, UTC,
/// milliseconds.
#[must_use]
pub fn instant(unix_ns: u64) -> String {
    humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_nanos(unix_ns)).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn publish(value: Value) -> Publish {
        serde_json::from_value(value).expect("a publish")
    }

    #[test]
    fn a_payload_is_taken_from_the_field_that_holds_it() {
        for (given, bytes) in [
            (json!({"topic": "t", "data": {"a": 1}}), &b"{\"a\":1}"[..]),
            (json!({"topic": "t", "data": null}), b"null"),
            (json!({"topic": "t", "text": "hé"}), "hé".as_bytes()),
            (json!({"topic": "t", "base64": "AP8="}), b"\x00\xff"),
            (json!({"topic": "t"}), b""),
        ] {
            assert_eq!(publish(given.clone()).take_payload().expect("a payload"), bytes, "{given}");
        }
    }

    #[test]
    fn two_payloads_and_broken_base64_are_refused() {
        let both = publish(json!({"topic": "t", "data": 1, "text": "x"})).take_payload();
        assert_eq!(both, Err(PayloadError::Several { first: "data", second: "text" }));
        let broken = publish(json!({"topic": "t", "base64": "?"})).take_payload();
        assert!(matches!(broken, Err(PayloadError::Base64(_))), "{broken:?}");
    }

    #[test]
    fn an_unknown_field_is_refused() {
        let refused = serde_json::from_value::<Publish>(json!({"topic": "t", "payload": 1}));
        assert!(refused.expect_err("refused").to_string().contains("payload"));
    }

    #[test]
    fn every_payload_is_shown_whole() {
        for (payload, name) in [
            (&b"{\"a\":[1]}"[..], "data"),
            (b"hello", "text"),
            (b"\xff\x00", "base64"),
            (b"", "text"),
        ] {
            let view = PayloadView::of(payload);
            let shown = serde_json::to_value(&view).expect("json");
            assert!(shown.get(name).is_some(), "{shown} has no {name}");
            assert_eq!(view.to_bytes(), payload);
        }
    }

    #[test]
    fn instants_are_rfc_3339_to_the_end_of_time() {
        assert_eq!(instant(1_500_000_000), "1970-01-01T00:00:01.500Z");
        assert!(instant(u64::MAX).starts_with("2554-"));
    }
}
