//! Structured mode: the whole event is one JSON object.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::{Map, Value};

use super::{Attributes, CloudEventError, Received, attribute_of, extensions, wrong};
use crate::{
    base_message::BaseMessage,
    payload::{faithful_json, is_json_type},
};

// === impl BaseMessage ===

impl BaseMessage {
    /// The message as a structured CloudEvent.
    #[must_use]
    pub fn to_cloud_event(&self) -> Value {
        let mut all = Attributes::of(self);
        if let Some(content_type) = &self.content_type {
            all.put("datacontenttype", content_type);
        }
        if self.header("ce-type").is_some() {
            all.put("topic", self.topic.as_str());
        }
        let expiry = self.expiry.map(|expiry| expiry.to_string());
        let trace = self.trace_context.as_ref();
        let optional = [
            ("partitionkey", self.key.as_deref()),
            ("correlationid", self.correlation_id.as_deref()),
            ("replyto", self.reply_to.as_ref().map(AsRef::as_ref)),
            ("expirytime", expiry.as_deref()),
            ("hoptraceparent", trace.map(|trace| trace.traceparent.as_str())),
            ("hoptracestate", trace.and_then(|trace| trace.tracestate.as_deref())),
            ("hopbaggage", trace.and_then(|trace| trace.baggage.as_deref())),
        ];
        for (name, value) in optional {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                all.put(name, value);
            }
        }
        for (name, value) in extensions(self) {
            all.put(&name, value);
        }
        let others = join_headers(self);
        if !others.is_empty() {
            all.put("headers", &others);
        }
        let mut event: Map<String, Value> =
            all.0.into_iter().map(|(name, value)| (name, Value::String(value))).collect();
        if self.hops > 0 {
            event.insert("hops".into(), hops_value(self.hops));
        }
        if let Some((member, value)) = payload(self) {
            event.insert(member.into(), value);
        }
        Value::Object(event)
    }

    /// Reads a structured CloudEvent.
    ///
    /// # Errors
    /// [`CloudEventError`] when the bytes are not an event, or not a message.
    pub fn from_cloud_event(
        bytes: &[u8],
        received: &Received<'_>,
    ) -> Result<BaseMessage, CloudEventError> {
        let mut event: Map<String, Value> =
            serde_json::from_slice(bytes).map_err(CloudEventError::Json)?;
        let (data, base64) = (event.remove("data"), event.remove("data_base64"));
        let content_type = event.get("datacontenttype").and_then(Value::as_str);
        let data = read_payload(data, base64, content_type)?;
        let mut all = Attributes::default();
        let mut headers = Vec::new();
        for (name, value) in event {
            let text = match value {
                // The specification lets an absent attribute be null.
                Value::Null => continue,
                Value::String(text) => text,
                Value::Bool(value) => value.to_string(),
                Value::Number(value) if value.is_i64() || value.is_u64() => value.to_string(),
                _ => return Err(wrong(shown(&name), "is neither text, whole number nor boolean")),
            };
            if name == "headers" {
                headers = split_headers(&text)?;
            } else if attribute_of(&format!("ce-{name}")).is_some_and(|same| same == name) {
                all.read(name, text)?;
            } else {
                return Err(wrong(
                    shown(&name),
                    "is not a name; lower-case letters and digits are",
                ));
            }
        }
        if !all.0.iter().any(|(name, _)| name == "specversion") {
            return Err(CloudEventError::Missing("specversion"));
        }
        all.into_message(received, headers, data)
    }
}

/// A whole number of CloudEvents has 32 bits with a sign; more is written as text.
fn hops_value(hops: u32) -> Value {
    match i32::try_from(hops) {
        Ok(hops) => hops.into(),
        Err(_) => hops.to_string().into(),
    }
}

/// The member that holds the payload. Without a content type it is JSON if it can be.
fn payload(message: &BaseMessage) -> Option<(&'static str, Value)> {
    if message.data.is_empty() {
        return None;
    }
    let content_type = message.content_type.as_deref();
    if content_type.is_none_or(is_json_type) {
        if let Some(value) = faithful_json(&message.data) {
            return Some(("data", value));
        }
    } else if let Ok(text) = str::from_utf8(&message.data) {
        return Some(("data", text.into()));
    }
    Some(("data_base64", STANDARD.encode(&message.data).into()))
}

fn read_payload(
    data: Option<Value>,
    base64: Option<Value>,
    content_type: Option<&str>,
) -> Result<Vec<u8>, CloudEventError> {
    match (data, base64) {
        (None, None) => Ok(Vec::new()),
        (Some(_), Some(_)) => Err(CloudEventError::SeveralPayloads),
        (None, Some(Value::String(encoded))) => {
            STANDARD.decode(encoded).map_err(CloudEventError::Base64)
        }
        (None, Some(_)) => Err(wrong("data_base64", "is not a text")),
        (Some(Value::String(text)), None) if !content_type.is_none_or(is_json_type) => {
            Ok(text.into_bytes())
        }
        (Some(value), None) => Ok(value.to_string().into_bytes()),
    }
}

/// The headers that are no attributes, in one text.
fn join_headers(message: &BaseMessage) -> String {
    let encode = |text| utf8_percent_encode(text, NON_ALPHANUMERIC);
    let others = message.headers.iter().filter(|(name, _)| attribute_of(name).is_none());
    let pairs: Vec<String> =
        others.map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    pairs.join("&")
}

fn split_headers(text: &str) -> Result<Vec<(String, String)>, CloudEventError> {
    let decode = |text: &str| match percent_decode_str(text).decode_utf8() {
        Ok(text) => Ok(text.into_owned()),
        Err(_) => Err(wrong("headers", "is not UTF-8 once decoded")),
    };
    let split = |pair: &str| match pair.split_once('=') {
        Some((name, value)) => Ok((decode(name)?, decode(value)?)),
        None => Err(wrong("headers", "is not of the form `name=value&name=value`")),
    };
    text.split('&').filter(|pair| !pair.is_empty()).map(split).collect()
}

fn shown(name: &str) -> String {
    name.chars().take(32).flat_map(char::escape_debug).collect()
}
