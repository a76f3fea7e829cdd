//! The journal from outside.

mod common;
mod crash_states;
mod disk;
mod failures;
mod model;
#[cfg(feature = "planted-faults")]
mod planted;
mod workload;
