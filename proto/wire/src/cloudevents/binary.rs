//! Binary mode: attributes are headers of the transport, the payload is the payload.

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

use super::{
    Attributes, CloudEventError, Received, STRUCTURED_TYPE, attribute_of, extensions, wrong,
};
use crate::base_message::BaseMessage;

/// What the specification wants encoded in the value of a header, besides all that is not ASCII.
const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%');

/// Headers of ours, and the attribute that each holds.
const OWN_HEADERS: [(&str, &str); 5] = [
    ("Patchbay-Key", "partitionkey"),
    ("Patchbay-Correlation-Id", "correlationid"),
    ("Patchbay-Reply-To", "replyto"),
    ("Patchbay-Expires", "expirytime"),
    ("Patchbay-Hops", "hops"),
];
/// Headers of W3C, and the attribute that each holds.
const TRACE_HEADERS: [(&str, &str); 3] =
    [("traceparent", "hoptraceparent"), ("tracestate", "hoptracestate"), ("baggage", "hopbaggage")];

/// In which header the media type of the payload travels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ContentTypeHeader {
    /// `content-type`: HTTP, ZeroMQ, and inside this process.
    #[default]
    ContentType,
    /// `ce-datacontenttype`: NATS.
    CloudEvents,
}

// === impl BaseMessage ===

impl BaseMessage {
    /// The headers of the message as a CloudEvent in binary mode; the payload is
    /// [`BaseMessage::data`].
    #[must_use]
    pub fn to_binary_headers(
        &self,
        content_type_header: ContentTypeHeader,
    ) -> Vec<(String, String)> {
        let mut all = Attributes::of(self);
        let mut plain: Vec<(String, String)> = Vec::new();
        if let Some(content_type) = &self.content_type {
            match content_type_header {
                ContentTypeHeader::ContentType => {
                    plain.push(("content-type".into(), content_type.clone()));
                }
                ContentTypeHeader::CloudEvents => all.put("datacontenttype", content_type),
            }
        }
        for (name, value) in extensions(self) {
            all.put(&name, value);
        }
        let mut headers: Vec<(String, String)> =
            all.0.into_iter().map(|(name, value)| (format!("ce-{name}"), encode(&value))).collect();
        headers.append(&mut plain);
        let expiry = self.expiry.map(|expiry| expiry.to_string());
        let hops = (self.hops > 0).then(|| self.hops.to_string());
        let own = [
            self.key.as_deref(),
            self.correlation_id.as_deref(),
            self.reply_to.as_ref().map(AsRef::as_ref),
            expiry.as_deref(),
            hops.as_deref(),
        ];
        for ((name, _), value) in OWN_HEADERS.into_iter().zip(own) {
            headers.extend(value.map(|value| (name.to_owned(), encode(value))));
        }
        if let Some(trace) = &self.trace_context {
            let values =
                [Some(&trace.traceparent), trace.tracestate.as_ref(), trace.baggage.as_ref()];
            for ((name, _), value) in TRACE_HEADERS.into_iter().zip(values) {
                let value = value.filter(|value| !value.is_empty());
                headers.extend(value.map(|value| (name.to_owned(), value.clone())));
            }
        }
        let others = self.headers.iter().filter(|(name, _)| attribute_of(name).is_none());
        headers.extend(others.cloned());
        headers
    }

    /// Reads a message from what a transport delivers: a CloudEvent in either mode, or a plain
    /// payload with any headers.
    ///
    /// # Errors
    /// [`CloudEventError`] when headers of an event are there but do not make one, or what they
    /// make is not a message.
    pub fn from_transport(
        headers: &[(String, String)],
        payload: Vec<u8>,
        received: &Received<'_>,
    ) -> Result<BaseMessage, CloudEventError> {
        let content_type = headers.iter().find(|(name, _)| is(name, "content-type"));
        let content_type = content_type.map(|(_, value)| value.as_str()).unwrap_or_default();
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        if essence.eq_ignore_ascii_case(STRUCTURED_TYPE) {
            return BaseMessage::from_cloud_event(&payload, received);
        }
        if essence.to_ascii_lowercase().starts_with("application/cloudevents-batch") {
            return Err(CloudEventError::Batch);
        }
        let mut all = Attributes::default();
        let mut others = Vec::new();
        for (name, value) in headers {
            let known = OWN_HEADERS.iter().chain(&TRACE_HEADERS).find(|(own, _)| is(name, own));
            match (known, attribute_of(name)) {
                (Some((own, attribute)), _) => {
                    let is_own = own.starts_with("Patchbay-");
                    let value = if is_own { decode(name, value)? } else { value.clone() };
                    // Ours counts more than the attribute that means the same.
                    all.take(attribute);
                    all.put(attribute, &value);
                }
                // The context of this hop travels in W3C's own headers only.
                (None, Some(attribute)) if attribute.starts_with("hop") && attribute != "hops" => {}
                (None, Some(attribute)) => {
                    let ours = OWN_HEADERS.iter().find(|(_, held)| *held == attribute);
                    let shadowed =
                        ours.is_some_and(|(own, _)| headers.iter().any(|(name, _)| is(name, own)));
                    if !shadowed {
                        all.read(attribute, decode(name, value)?)?;
                    }
                }
                (None, None) if is(name, "content-type") => {}
                (None, None) => others.push((name.clone(), value.clone())),
            }
        }
        if !content_type.is_empty() && !all.0.iter().any(|(name, _)| name == "datacontenttype") {
            all.put("datacontenttype", content_type);
        }
        all.into_message(received, others, payload)
    }
}

fn is(name: &str, other: &str) -> bool {
    name.eq_ignore_ascii_case(other)
}

fn encode(value: &str) -> String {
    utf8_percent_encode(value, ENCODED).to_string()
}

fn decode(name: &str, value: &str) -> Result<String, CloudEventError> {
    match percent_decode_str(value).decode_utf8() {
        Ok(value) => Ok(value.into_owned()),
        Err(_) => Err(wrong(name, "is not UTF-8 once decoded")),
    }
}
