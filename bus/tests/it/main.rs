//! The bus from outside: deterministic tests drive seats and a manual clock on one thread, stress
//! tests use real threads for a second or two.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic like tests")]

mod admission;
mod batches;
mod cutover;
mod dead_letters;
mod durable;
mod fan_out;
mod forwarding;
mod order;
mod outcomes;
#[cfg(feature = "planted-faults")]
mod planted;
mod recall;
mod request;
mod stress;
mod support;
mod tap;
mod terms;
mod timing;
mod trial;
mod waking;
mod whereabouts;
