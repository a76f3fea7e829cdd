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
mod other;
#[cfg(feature = "planted-faults")]
mod planted;
mod recycled;
mod room;
mod stayed;
mod threads;
mod workload;
