//! The binary itself, in temporary homes.

mod alone;
mod audit;
mod durable;
mod folders;
mod host;
mod letters;
mod messages;
mod operations;
mod plugins;
mod refusals;
mod sources;
mod supervision;
mod support;
mod transitions;
