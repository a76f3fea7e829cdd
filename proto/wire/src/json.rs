//! The message in JSON, with the field names of the plugin architecture guide.
//!
//! The payload stands in one of three fields: `data` when it is JSON that survives being read and
//! written (but for white space), `text` when it is other UTF-8, `base64` otherwise.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::{
    api::Headers,
    base_message::{BaseMessage, MessageError, TraceContext},
    id::MessageId,
    payload::{faithful_json, is_json_type},
    timestamp::Timestamp,
    topic::Topic,
};

/// Why a text is not a message.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JsonError {
    /// It is not JSON, or of another shape.
    #[error("message is not JSON with the fields of a message")]
    Shape(#[source] serde_json::Error),
    /// The payload is there more than once.
    #[error("message has more than one of `data`, `text` and `base64`; keep one")]
    SeveralPayloads,
    /// `base64` is not base64.
    #[error("message field `base64` cannot be decoded")]
    Base64(#[source] base64::DecodeError),
    /// Another field is wrong.
    #[error("message is not valid")]
    Field(#[source] MessageError),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonMessage {
    id: MessageId,
    timestamp: Timestamp,
    topic: Topic,
    source: String,
    #[serde(default)]
    version: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    schema: Option<String>,
    #[serde(default, skip_serializing_if = "Headers::is_empty")]
    headers: Headers,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    correlation_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reply_to: Option<Topic>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expiry: Option<Timestamp>,
    #[serde(default)]
    hops: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trace_context: Option<TraceContext>,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    data: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
}

/// Keeps `null`, which is a payload, apart from an absent field.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

// === impl BaseMessage ===

impl BaseMessage {
    /// The message in JSON. Headers of one name are put next to each other.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let (mut data, mut text, mut base64) = (None, None, None);
        let may_be_json = self.content_type.as_deref().is_none_or(is_json_type);
        match (faithful_json(&self.data).filter(|_| may_be_json), str::from_utf8(&self.data)) {
            _ if self.data.is_empty() => {}
            (Some(json), _) => data = Some(json),
            (None, Ok(utf8)) => text = Some(utf8.to_owned()),
            (None, Err(_)) => base64 = Some(STANDARD.encode(&self.data)),
        }
        let message = JsonMessage {
            id: self.id,
            timestamp: self.timestamp,
            topic: self.topic.clone(),
            source: self.source.clone(),
            version: self.version.clone(),
            content_type: self.content_type.clone(),
            schema: self.schema.clone(),
            headers: Headers(self.headers.clone()),
            key: self.key.clone(),
            correlation_id: self.correlation_id.clone(),
            reply_to: self.reply_to.clone(),
            expiry: self.expiry,
            hops: self.hops,
            trace_context: self.trace_context.clone(),
            data,
            text,
            base64,
        };
        serde_json::to_value(message).unwrap_or_default()
    }

    /// Reads a message from JSON.
    ///
    /// # Errors
    /// [`JsonError`] when the text is not a message, or a field of it is not valid.
    pub fn from_json(text: &[u8]) -> Result<BaseMessage, JsonError> {
        let message: JsonMessage = serde_json::from_slice(text).map_err(JsonError::Shape)?;
        let data = match (message.data, message.text, message.base64) {
            (None, None, None) => Vec::new(),
            (Some(value), None, None) => value.to_string().into_bytes(),
            (None, Some(text), None) => text.into_bytes(),
            (None, None, Some(encoded)) => STANDARD.decode(encoded).map_err(JsonError::Base64)?,
            _ => return Err(JsonError::SeveralPayloads),
        };
        let message = BaseMessage {
            id: message.id,
            timestamp: message.timestamp,
            topic: message.topic,
            source: message.source,
            version: message.version,
            content_type: message.content_type,
            schema: message.schema,
            data,
            headers: message.headers.0,
            key: message.key,
            correlation_id: message.correlation_id,
            reply_to: message.reply_to,
            expiry: message.expiry,
            hops: message.hops,
            trace_context: message.trace_context,
        };
        message.check().map_err(JsonError::Field)?;
        Ok(message)
    }
}
