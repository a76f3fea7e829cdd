//! What a plugin author depends on.
//!
//! Implement [`Plugin`], or [`PluginProcessor`] when only the processing is of interest, and export
//! it with [`export_plugin!`]. The author's guide is this crate's `README.md`.
//!
//! Reading order: [`Plugin`] → [`Message`] → [`ProcessingStatus`] → [`PluginError`] →
//! [`PluginContext`] with its [`Transport`], [`Config`] and [`Telemetry`] → [`Runtime`].
//!
//! Features: `tokio` (handlers may use sockets, timers and tasks of tokio), `json` (typed payloads
//! and settings), `testing` (contexts and hosts for tests).
//!
//! **Absent on purpose.** Without features nothing but the contract is linked: no runtime, no
//! serialisation, no logging framework. A plugin knows no host type, and no other plugin.

mod batch;
mod builder;
mod config;
mod context;
mod error;
mod export;
mod glue;
mod host;
#[cfg(feature = "json")]
mod json;
mod log;
mod message;
#[cfg(feature = "tokio")]
mod own_loop;
mod plugin;
mod runtime;
mod scope;
mod status;
mod telemetry;
#[cfg(feature = "testing")]
pub mod testing;
mod timer;
mod transport;

#[cfg(feature = "json")]
pub use json::JsonError;
pub use {
    batch::{PublishBatch, PublishBatchError},
    builder::MessageBuilder,
    config::{Config, ConfigError},
    context::{ContextParts, PluginContext},
    error::{ErrorClass, PluginError},
    log::Level,
    message::{Message, MessageId},
    plugin::{Plugin, PluginProcessor},
    runtime::Runtime,
    status::{Health, Metrics, Number, ProcessingStatus},
    telemetry::{Attributes, Counter, Gauge, Histogram, Span, SpanGuard, Telemetry},
    timer::{Sleep, SleepError},
    transport::{Publish, PublishError, Published, SubscribeError, SubscriptionId, Transport},
};

/// The author's guide, of which every example is compiled and run.
#[cfg(all(doctest, feature = "testing", feature = "tokio"))]
#[doc = include_str!("../README.md")]
struct Guide;

/// For [`export_plugin!`]; not part of the interface.
#[doc(hidden)]
pub mod private {
    pub use patchbay_abi as abi;

    pub use crate::{
        export::{loaded, name, version},
        glue::table::{Identity, table},
    };
}
