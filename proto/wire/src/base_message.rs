//! The message as other processes see it.
//!
//! A struct of plain values, with three forms: protobuf ([`crate::protobuf`]), JSON
//! ([`crate::json`]) and CloudEvents ([`crate::cloudevents`]). A message that came out of one of
//! them was checked ([`BaseMessage::check`]) and goes through the others and back unchanged.

use serde::{Deserialize, Serialize};

use crate::{id::MessageId, timestamp::Timestamp, topic::Topic};

/// Most headers of one message.
pub const HEADERS_MAX: usize = 256;
/// Most bytes of the name of a header.
pub const HEADER_NAME_BYTES_MAX: usize = 128;
/// Most bytes of every other text: of a header, the key, the source and so on.
pub const TEXT_BYTES_MAX: usize = 8 * 1024;

const EMPTY: &str = "is empty; give it a value or leave it away";

/// Headers, in lower case, that are fields of a message.
const HEADERS_WITH_FIELDS: [(&str, &str); 26] = [
    ("content-type", "content_type"),
    ("traceparent", "trace_context"),
    ("tracestate", "trace_context"),
    ("baggage", "trace_context"),
    ("patchbay-key", "key"),
    ("patchbay-correlation-id", "correlation_id"),
    ("patchbay-reply-to", "reply_to"),
    ("patchbay-expires", "expiry"),
    ("patchbay-hops", "hops"),
    ("ce-specversion", "version"),
    ("ce-data", "data"),
    ("ce-headers", "headers"),
    ("ce-source", "source"),
    ("ce-time", "timestamp"),
    ("ce-topic", "topic"),
    ("ce-msgversion", "version"),
    ("ce-datacontenttype", "content_type"),
    ("ce-dataschema", "schema"),
    ("ce-partitionkey", "key"),
    ("ce-correlationid", "correlation_id"),
    ("ce-replyto", "reply_to"),
    ("ce-expirytime", "expiry"),
    ("ce-hops", "hops"),
    ("ce-hoptraceparent", "trace_context"),
    ("ce-hoptracestate", "trace_context"),
    ("ce-hopbaggage", "trace_context"),
];

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseMessage {
    /// Names the message; the same wherever it travels.
    pub id: MessageId,
    /// When it was published.
    pub timestamp: Timestamp,
    /// Where it was published to.
    pub topic: Topic,
    /// Who published it: a URI reference, not empty.
    pub source: String,
    /// Version of the message format, as its author counts; may be empty.
    pub version: String,
    /// Media type of the data. JSON is one of many.
    pub content_type: Option<String>,
    /// URI of the schema that the data follows.
    pub schema: Option<String>,
    /// Payload: any bytes.
    pub data: Vec<u8>,
    /// Names and values in the order in which they were written. Names are compared without regard
    /// to ASCII case, and may appear more than once.
    pub headers: Vec<(String, String)>,
    /// What messages that must stay in order have in common.
    pub key: Option<String>,
    /// What ties a reply to its request.
    pub correlation_id: Option<String>,
    /// Topic that a reply goes to.
    pub reply_to: Option<Topic>,
    /// When it is no longer of use.
    pub expiry: Option<Timestamp>,
    /// How many messages led to this one.
    pub hops: u32,
    /// W3C trace context of this hop.
    pub trace_context: Option<TraceContext>,
}

/// The headers of W3C Trace Context and Baggage. Kept as they are, also when they are not valid:
/// whoever continues the trace decides.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TraceContext {
    /// Trace, parent and flags.
    pub traceparent: String,
    /// What vendors add.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracestate: Option<String>,
    /// What the application adds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baggage: Option<String>,
}

/// Why a message is not one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("message field `{field}` {problem}")]
pub struct MessageError {
    /// Which field.
    pub field: &'static str,
    /// What is wrong with it, and what would be right.
    pub problem: String,
}

// === impl BaseMessage ===

impl BaseMessage {
    /// A message with a new id, the time of the system's clock, and nothing that is optional.
    #[must_use]
    pub fn new(topic: Topic, source: impl Into<String>, data: Vec<u8>) -> BaseMessage {
        BaseMessage {
            id: MessageId::generate(),
            timestamp: Timestamp::now(),
            topic,
            source: source.into(),
            version: String::new(),
            content_type: None,
            schema: None,
            data,
            headers: Vec::new(),
            key: None,
            correlation_id: None,
            reply_to: None,
            expiry: None,
            hops: 0,
            trace_context: None,
        }
    }

    /// The first value of a header; ASCII case does not matter.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers.find(|(held, _)| held.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Whether every field may be what it is. Everything that reads a message has asked this.
    ///
    /// # Errors
    /// [`MessageError`] names the first field that is wrong.
    pub fn check(&self) -> Result<(), MessageError> {
        check_given("source", Some(&self.source))?;
        check_text("version", &self.version)?;
        check_given("content_type", self.content_type.as_deref())?;
        check_given("schema", self.schema.as_deref())?;
        check_given("key", self.key.as_deref())?;
        check_given("correlation_id", self.correlation_id.as_deref())?;
        if let Some(trace) = &self.trace_context {
            check_text("trace_context", &trace.traceparent)?;
            check_given("trace_context", trace.tracestate.as_deref())?;
            check_given("trace_context", trace.baggage.as_deref())?;
            if *trace == TraceContext::default() {
                return Err(MessageError::new("trace_context", EMPTY));
            }
        }
        if self.headers.len() > HEADERS_MAX {
            let problem = format!("has {} entries; {HEADERS_MAX} are allowed", self.headers.len());
            return Err(MessageError::new("headers", problem));
        }
        for (index, (name, value)) in self.headers.iter().enumerate() {
            check_name(name)?;
            check_text("headers", value)?;
            self.check_place(index, &name.to_ascii_lowercase(), value)?;
        }
        Ok(())
    }

    /// Whether what a header says has no field of its own: there must be one place for each thing,
    /// or the forms would disagree about which counts.
    fn check_place(&self, index: usize, name: &str, value: &str) -> Result<(), MessageError> {
        let refuse = |problem: String| Err(MessageError::new("headers", problem));
        if let Some((_, field)) = HEADERS_WITH_FIELDS.iter().find(|(header, _)| *header == name) {
            return refuse(format!("contains `{name}`, which is the field `{field}`"));
        }
        if !name.starts_with("ce-") {
            return Ok(());
        }
        let same = |(other, _): &(String, String)| other.eq_ignore_ascii_case(name);
        if value.is_empty() || self.headers[..index].iter().any(same) {
            return refuse(format!("contains `{name}` twice or empty, which no attribute may be"));
        }
        if name == "ce-id" && MessageId::of_foreign(&self.source, value) != self.id {
            return refuse("contains a `ce-id` that does not belong to the id".into());
        }
        Ok(())
    }
}

// === impl MessageError ===

impl MessageError {
    pub(crate) fn new(field: &'static str, problem: impl Into<String>) -> MessageError {
        MessageError { field, problem: problem.into() }
    }
}

/// Names of headers are those of HTTP: they travel as such.
fn check_name(name: &str) -> Result<(), MessageError> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || name.len() > HEADER_NAME_BYTES_MAX || !name.bytes().all(is_token) {
        let shown: String = name.chars().take(32).flat_map(char::escape_debug).collect();
        let problem = format!(
            "has the name `{shown}`; 1 to {HEADER_NAME_BYTES_MAX} letters, digits, `-` and `_` are \
             allowed"
        );
        return Err(MessageError::new("headers", problem));
    }
    Ok(())
}

/// What may be absent is not there and empty.
fn check_given(field: &'static str, text: Option<&str>) -> Result<(), MessageError> {
    match text {
        None => Ok(()),
        Some("") => Err(MessageError::new(field, EMPTY)),
        Some(text) => check_text(field, text),
    }
}

fn check_text(field: &'static str, text: &str) -> Result<(), MessageError> {
    if text.len() > TEXT_BYTES_MAX {
        let problem = format!("is {} bytes long; {TEXT_BYTES_MAX} are allowed", text.len());
        return Err(MessageError::new(field, problem));
    }
    match text.chars().find(|c| c.is_control()) {
        None => Ok(()),
        Some(found) => {
            let problem = format!("contains the control character {}", found.escape_unicode());
            Err(MessageError::new(field, problem + "; remove it"))
        }
    }
}
