//! What leaves the process: topics, the message envelope, its JSON and CloudEvents forms.
//!
//! Reading order: [`topic`] → [`pattern`] → [`id`] → [`timestamp`] → [`base_message`] → its three
//! forms [`protobuf`], [`json`], [`cloudevents`] → [`api`], what HTTP says about messages.
//!
//! **Absent on purpose.** No queue, no routing, no clock that ticks by itself, no runtime: this
//! crate turns values into bytes and back, and refuses what is not well formed. Inside the process
//! messages are the shared envelopes of `patchbay-slab`; [`TopicPattern::matches`] is the
//! definition that the routing of `patchbay-bus` is tested against, not the way it routes.

#![forbid(unsafe_code)]

pub mod api;
pub mod base_message;
pub mod cloudevents;
pub mod id;
pub mod json;
pub mod pattern;
mod payload;
pub mod protobuf;
pub mod timestamp;
pub mod topic;

pub use self::{
    base_message::{BaseMessage, MessageError, TraceContext},
    cloudevents::{CloudEventError, ContentTypeHeader, Received},
    id::MessageId,
    json::JsonError,
    pattern::TopicPattern,
    protobuf::WireError,
    timestamp::Timestamp,
    topic::{Topic, TopicError},
};
