//! The library's own loop on a lane, with tokio.
//!
//! A future of tokio must be polled inside its runtime, so a lane of such a plugin is handed over:
//! [`run`] pulls deliveries (and control calls, on lane 0) from the host until there will be none.
//! Whatever has to wait for the host waits for the next ring of one [`Bell`](bell::Bell). No waker
//! of tokio's ever reaches the host: waking it would run this library's code on a foreign thread,
//! and leave something behind there that keeps the library from being unloaded.

mod bell;
mod contained;
mod lane;
mod runtimes;
mod source;
mod tokens;

pub(crate) use lane::run;
pub(crate) use runtimes::Runtimes;
pub(crate) use source::LaneSource;
pub(crate) use tokens::Tokens;
