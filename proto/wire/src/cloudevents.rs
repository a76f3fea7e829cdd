//! The message as a CloudEvent, version 1.0.
//!
//! | field | attribute (structured) | header (binary) |
//! |---|---|---|
//! | `id` | `id` | `ce-id` |
//! | `timestamp` | `time` | `ce-time` |
//! | `source` | `source` | `ce-source` |
//! | `topic` | `type`; `topic` too when the type is another | `ce-type`, and the transport's own |
//! | `version` | `msgversion` | `ce-msgversion` |
//! | `content_type` | `datacontenttype` | `content-type`, with NATS `ce-datacontenttype` |
//! | `schema` | `dataschema` | `ce-dataschema` |
//! | `key` | `partitionkey` | `Patchbay-Key` |
//! | `correlation_id` | `correlationid` | `Patchbay-Correlation-Id` |
//! | `reply_to` | `replyto` | `Patchbay-Reply-To` |
//! | `expiry` | `expirytime` | `Patchbay-Expires` |
//! | `hops` | `hops` | `Patchbay-Hops` |
//! | `trace_context` | `hoptraceparent`, `hoptracestate`, `hopbaggage` | `traceparent`, `tracestate`, `baggage` |
//! | header `ce-NAME` | `NAME` | `ce-NAME` |
//! | other headers | `headers`, as `name=value&…` with percent signs | as they are |
//!
//! The attribute `traceparent` is the context in which the event was created: it stays what its
//! creator wrote, as the header `ce-traceparent`, and is not the context of this hop. A type that is
//! not the topic is the header `ce-type`; an id that is not a UUID is the header `ce-id`, and
//! [`MessageId::of_foreign`] stands for it.
//!
//! Both ways and back, a message stays the same, but for the order of headers with different names
//! and the white space of a JSON payload.

mod binary;
mod structured;

pub use self::binary::ContentTypeHeader;

use crate::{
    base_message::{BaseMessage, MessageError, TraceContext},
    id::MessageId,
    timestamp::Timestamp,
    topic::{Topic, TopicError},
};

/// Media type of a structured event.
pub const STRUCTURED_TYPE: &str = "application/cloudevents+json";
/// The version of the specification.
const SPEC_VERSION: &str = "1.0";

/// What a transport knows about a message besides its headers and bytes; used where the message
/// does not say so itself.
#[derive(Clone, Debug)]
pub struct Received<'a> {
    /// Where it arrived. Unlike the rest this counts more than what the message says: a peer does
    /// not choose the topic by an attribute.
    pub topic: Option<&'a Topic>,
    /// When it arrived.
    pub at: Timestamp,
    /// The id of a message that has none.
    pub id: MessageId,
    /// The source of a message that names none.
    pub source: &'a str,
}

/// Why something is not a CloudEvent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CloudEventError {
    /// A structured event is not a JSON object.
    #[error("cloud event is not a JSON object")]
    Json(#[source] serde_json::Error),
    /// Several events in one.
    #[error("batches of cloud events are not accepted; send one event at a time")]
    Batch,
    /// An attribute that must be there.
    #[error("cloud event has no attribute `{0}`, which is required")]
    Missing(&'static str),
    /// An attribute of the wrong type or content.
    #[error("cloud event attribute `{attribute}` {problem}")]
    Attribute {
        /// Which.
        attribute: String,
        /// What is wrong.
        problem: String,
    },
    /// An attribute that must be a topic.
    #[error("cloud event attribute `{attribute}` is not a topic")]
    Topic {
        /// Which.
        attribute: &'static str,
        /// Why not.
        #[source]
        source: TopicError,
    },
    /// Both `data` and `data_base64`.
    #[error("cloud event has both `data` and `data_base64`; keep one")]
    SeveralPayloads,
    /// `data_base64` is not base64.
    #[error("cloud event member `data_base64` cannot be decoded")]
    Base64(#[source] base64::DecodeError),
    /// The message is not valid.
    #[error("message is not valid")]
    Field(#[source] MessageError),
}

/// The attributes of an event by name, in order; no name twice.
#[derive(Debug, Default)]
struct Attributes(Vec<(String, String)>);

// === impl Attributes ===

impl Attributes {
    /// The attributes that both modes write alike.
    fn of(message: &BaseMessage) -> Attributes {
        let mut all = Attributes::default();
        let own_id = message.id.to_string();
        all.put("specversion", SPEC_VERSION);
        all.put("id", message.header("ce-id").unwrap_or(&own_id));
        all.put("source", &message.source);
        all.put("type", message.header("ce-type").unwrap_or(message.topic.as_str()));
        all.put("time", &message.timestamp.to_string());
        if let Some(schema) = &message.schema {
            all.put("dataschema", schema);
        }
        if !message.version.is_empty() {
            all.put("msgversion", &message.version);
        }
        all
    }

    fn put(&mut self, name: &str, value: &str) {
        self.0.push((name.to_owned(), value.to_owned()));
    }

    /// Adds an attribute that was read.
    fn read(&mut self, name: String, value: String) -> Result<(), CloudEventError> {
        if self.0.iter().any(|(held, _)| *held == name) {
            return Err(wrong(name, "is there twice"));
        }
        self.0.push((name, value));
        Ok(())
    }

    fn take(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(held, _)| held == name)?;
        Some(self.0.remove(at).1)
    }

    fn take_parsed<T: std::str::FromStr>(
        &mut self,
        name: &'static str,
    ) -> Result<Option<T>, CloudEventError>
    where
        T::Err: std::fmt::Display,
    {
        let parse = |text: String| text.parse().map_err(|error: T::Err| wrong(name, error));
        self.take(name).map(parse).transpose()
    }

    fn take_topic(&mut self, name: &'static str) -> Result<Option<Topic>, CloudEventError> {
        let parse = |text: String| {
            Topic::parse(&text).map_err(|source| CloudEventError::Topic { attribute: name, source })
        };
        self.take(name).map(parse).transpose()
    }

    /// Makes the message. Attributes that mean nothing here become headers.
    fn into_message(
        mut self,
        received: &Received<'_>,
        headers: Vec<(String, String)>,
        data: Vec<u8>,
    ) -> Result<BaseMessage, CloudEventError> {
        let is_event = self.check_version()?;
        let source = match self.take("source") {
            Some(source) => source,
            None if is_event => return Err(CloudEventError::Missing("source")),
            None => received.source.to_owned(),
        };
        let mut kept = Vec::new();
        let id = match self.take("id") {
            Some(text) => match text.parse::<MessageId>() {
                Ok(id) if id.to_string() == text => id,
                _ => {
                    let id = MessageId::of_foreign(&source, &text);
                    kept.push(("ce-id".to_owned(), text));
                    id
                }
            },
            None if is_event => return Err(CloudEventError::Missing("id")),
            None => received.id,
        };
        let topic = self.take_destination(received, is_event, &mut kept)?;
        let message = BaseMessage {
            id,
            timestamp: self.take_parsed("time")?.unwrap_or(received.at),
            topic,
            source,
            version: self.take("msgversion").unwrap_or_default(),
            content_type: self.take("datacontenttype"),
            schema: self.take("dataschema"),
            data,
            key: self.take("partitionkey"),
            correlation_id: self.take("correlationid"),
            reply_to: self.take_topic("replyto")?,
            expiry: self.take_parsed("expirytime")?,
            hops: self.take_parsed("hops")?.unwrap_or(0),
            trace_context: self.take_trace(),
            headers: {
                kept.extend(self.0.into_iter().map(|(name, value)| (format!("ce-{name}"), value)));
                kept.extend(headers);
                kept
            },
        };
        message.check().map_err(CloudEventError::Field)?;
        Ok(message)
    }

    /// Whether this is an event at all; any payload may come without attributes.
    fn check_version(&mut self) -> Result<bool, CloudEventError> {
        match self.take("specversion").as_deref() {
            Some(SPEC_VERSION) => Ok(true),
            Some(other) => {
                let shown: String = other.chars().take(32).flat_map(char::escape_debug).collect();
                let problem = format!("is `{shown}`; `{SPEC_VERSION}` is understood");
                Err(wrong("specversion", problem))
            }
            None if self.0.iter().any(|(name, _)| matches!(name.as_str(), "id" | "type")) => {
                Err(CloudEventError::Missing("specversion"))
            }
            None => Ok(false),
        }
    }

    /// The topic: the transport's, or the one that the event names.
    fn take_destination(
        &mut self,
        received: &Received<'_>,
        is_event: bool,
        kept: &mut Vec<(String, String)>,
    ) -> Result<Topic, CloudEventError> {
        let named = self.take_topic("topic")?;
        let kind = self.take("type");
        if is_event && kind.is_none() {
            return Err(CloudEventError::Missing("type"));
        }
        let topic = match (received.topic.cloned().or(named), &kind) {
            (Some(topic), _) => topic,
            (None, Some(kind)) => Topic::parse(kind)
                .map_err(|source| CloudEventError::Topic { attribute: "type", source })?,
            (None, None) => return Err(CloudEventError::Missing("topic")),
        };
        if let Some(kind) = kind.filter(|kind| kind != topic.as_str()) {
            kept.push(("ce-type".to_owned(), kind));
        }
        Ok(topic)
    }

    fn take_trace(&mut self) -> Option<TraceContext> {
        let traceparent = self.take("hoptraceparent");
        let tracestate = self.take("hoptracestate");
        let baggage = self.take("hopbaggage");
        if traceparent.is_none() && tracestate.is_none() && baggage.is_none() {
            return None;
        }
        Some(TraceContext { traceparent: traceparent.unwrap_or_default(), tracestate, baggage })
    }
}

/// The name of the attribute that a header holds: `ce-` and letters and digits.
fn attribute_of(header: &str) -> Option<String> {
    let (prefix, name) = header.split_at_checked(3)?;
    let fits = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    (prefix.eq_ignore_ascii_case("ce-") && fits).then(|| name.to_ascii_lowercase())
}

/// The headers of a message that are attributes of the event, by name, besides `id` and `type`.
fn extensions(message: &BaseMessage) -> impl Iterator<Item = (String, &str)> {
    message.headers.iter().filter_map(|(header, value)| {
        let name = attribute_of(header).filter(|name| !matches!(name.as_str(), "id" | "type"))?;
        Some((name, value.as_str()))
    })
}

fn wrong(attribute: impl Into<String>, problem: impl ToString) -> CloudEventError {
    CloudEventError::Attribute { attribute: attribute.into(), problem: problem.to_string() }
}
