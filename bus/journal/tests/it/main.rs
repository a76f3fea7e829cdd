//! The journal from outside.

mod cleaning;
mod common;
mod crash_states;
mod damage;
mod disk;
mod failures;
mod full;
mod mark;
mod model;
#[cfg(feature = "planted-faults")]
mod planted;
mod recycled;
mod threads;
mod workload;
