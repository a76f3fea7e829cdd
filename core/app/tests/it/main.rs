//! The binary itself, in temporary homes.

mod alone;
mod durable;
mod host;
mod messages;
mod plugins;
mod sources;
mod support;
mod transitions;
