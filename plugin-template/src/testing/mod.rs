//! Testing a plugin without a host process.
//!
//! A [`TestHost`] is a host in the test's own process. Everything a plugin does goes through the same
//! table of functions as with the real one, so what is tested is what runs. There are two kinds, by
//! the transport:
//!
//! * [`MockHost`], for unit tests: publishes are recorded, and go nowhere.
//! * `TestHost<`[`LocalTransport`]`>`, for integration tests: the real message bus.
//!
//! A handler can be called directly, as any method; [`TestHost::run`] calls it as the host would:
//! in a call's scope, on a lane, panics contained.
//!
//! **Absent on purpose.** No library is opened, nothing is unloaded, and no process is restarted:
//! that is the host's own business, and tested there.

mod block_on;
mod call;
mod config;
mod core;
mod handled;
mod host;
mod lane;
mod local;
mod messages;
mod mock;
mod own_lane;
mod pump;
mod run;
mod slot_lane;
mod table;
mod telemetry;
mod timers;
mod transport;
mod waker;

pub use self::{
    block_on::block_on,
    call::Call,
    config::ConfigManager,
    handled::Handled,
    host::{MockHost, TestHost, create_mock_context},
    local::{LocalTransport, LocalTransportConfig, Missed, OutputStream},
    messages::{TestMessage, create_test_message},
    mock::{MockTransport, Sent},
    run::{Lanes, Running},
    telemetry::{LogLine, Measured, SpanRecord, TelemetryContext},
    transport::MessageTransport,
};
