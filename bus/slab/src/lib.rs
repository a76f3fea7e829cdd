//! Message envelopes: one allocation a message, recycled in chains.
//!
//! An envelope starts with the struct that a library reads ([`patchbay_abi::Message`]), so a pointer
//! to one is a pointer to the other. It is born in the [`Slab`] of one publisher, filled through a
//! [`Draft`], shared as counted [`Message`]s, and goes home when the last reference is dropped:
//! whoever drops it collects it ([`Reaper`]): one envelope of a bundle holds the addresses of the
//! others, which are not touched, and all bundles are pushed to the home with one compare-exchange.
//! The publisher takes everything that came home with one swap when its private list is empty, and
//! has its envelopes fetched from the other core before it needs them. There is no ABA: bundles are
//! pushed, but only ever popped whole. What does not fit an envelope has a region of its own, which
//! stays for the next message, within a bound.
//!
//! **Absent on purpose.** No topic rules, no limits, no clock: the bus checks before it drafts. No
//! mutation after [`Draft::freeze`]. This is one of the few crates with `unsafe` code; it knows
//! nothing but memory.

mod draft;
mod envelope;
mod home;
mod key;
mod message;
mod near;
mod reaper;
mod slab;

pub use draft::Draft;
pub use message::{FanOut, Headers, Message};
pub use near::fetch_to_write;
pub use reaper::Reaper;
pub use slab::{Parts, Slab};

pub use key::hash as key_hash;

#[cfg(test)]
mod tests;
