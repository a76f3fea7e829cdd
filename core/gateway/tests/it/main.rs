//! The routes over a host without plugins, in this process: no socket, no port.

mod document;
mod errors;
mod letters;
mod messages;
mod metrics;
mod refusals;
mod support;
mod transitions;
