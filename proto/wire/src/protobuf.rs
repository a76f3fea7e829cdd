//! The message in protobuf: `patchbay.v1.BaseMessage` of `patchbay.proto`.
//!
//! Fields that a newer writer added are ignored. Nothing is allocated for lengths that the bytes
//! only claim.

use prost::Message as _;

use crate::{
    base_message::{BaseMessage, MessageError, TraceContext},
    id::MessageId,
    timestamp::Timestamp,
    topic::{Topic, TopicError},
};

/// Made from `patchbay.proto`.
#[expect(unreachable_pub, reason = "generated")]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/patchbay.v1.rs"));
}

/// Why bytes are not a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// They are not protobuf, or of another shape.
    #[error("message is not a patchbay.v1.BaseMessage")]
    Decode(#[source] prost::DecodeError),
    /// The id has another length.
    #[error("message id is {0} bytes long; a UUID has 16")]
    Id(usize),
    /// A topic is none.
    #[error("message field `{field}` is not a topic")]
    Topic {
        /// `topic` or `reply_to`.
        field: &'static str,
        /// Why not.
        #[source]
        source: TopicError,
    },
    /// Another field is wrong.
    #[error("message is not valid")]
    Field(#[source] MessageError),
}

// === impl BaseMessage ===

impl BaseMessage {
    /// The message in protobuf.
    #[must_use]
    pub fn to_wire(&self) -> Vec<u8> {
        let header = |(name, value): &(String, String)| generated::Header {
            name: name.clone(),
            value: value.clone(),
        };
        let trace = |trace: &TraceContext| generated::TraceContext {
            traceparent: trace.traceparent.clone(),
            tracestate: trace.tracestate.clone(),
            baggage: trace.baggage.clone(),
        };
        let message = generated::BaseMessage {
            id: self.id.to_bytes().to_vec(),
            timestamp_ns: self.timestamp.0,
            topic: self.topic.to_string(),
            source: self.source.clone(),
            version: self.version.clone(),
            content_type: self.content_type.clone(),
            schema: self.schema.clone(),
            data: self.data.clone(),
            headers: self.headers.iter().map(header).collect(),
            key: self.key.clone(),
            correlation_id: self.correlation_id.clone(),
            reply_to: self.reply_to.as_ref().map(ToString::to_string),
            expiry_ns: self.expiry.map(|expiry| expiry.0),
            hops: self.hops,
            trace_context: self.trace_context.as_ref().map(trace),
        };
        message.encode_to_vec()
    }

    /// Reads a message from protobuf.
    ///
    /// # Errors
    /// [`WireError`] when the bytes are not a message, or a field of it is not valid.
    pub fn from_wire(bytes: &[u8]) -> Result<BaseMessage, WireError> {
        let message = generated::BaseMessage::decode(bytes).map_err(WireError::Decode)?;
        let id = <[u8; 16]>::try_from(message.id.as_slice());
        let topic = |field, text: &str| {
            Topic::parse(text).map_err(|source| WireError::Topic { field, source })
        };
        let message = BaseMessage {
            id: MessageId::from(id.map_err(|_| WireError::Id(message.id.len()))?),
            timestamp: Timestamp(message.timestamp_ns),
            topic: topic("topic", &message.topic)?,
            source: message.source,
            version: message.version,
            content_type: message.content_type,
            schema: message.schema,
            data: message.data,
            headers: message.headers.into_iter().map(|it| (it.name, it.value)).collect(),
            key: message.key,
            correlation_id: message.correlation_id,
            reply_to: message.reply_to.map(|text| topic("reply_to", &text)).transpose()?,
            expiry: message.expiry_ns.map(Timestamp),
            hops: message.hops,
            trace_context: message.trace_context.map(|trace| TraceContext {
                traceparent: trace.traceparent,
                tracestate: trace.tracestate,
                baggage: trace.baggage,
            }),
        };
        message.check().map_err(WireError::Field)?;
        Ok(message)
    }
}
