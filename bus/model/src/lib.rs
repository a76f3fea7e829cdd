//! The bookkeeping of a whole broker, as a state machine without threads, clock, files or chance:
//! [`step`] takes an [`Event`] and says in [`Effect`]s what must follow.
//!
//! It is the specification that the hot path is held to, so it is made to be read: every container
//! is a list or a map, every rule is written once. What follows from an outcome is the same pure
//! code that the broker uses ([`patchbay_bus::redelivery`]); everything else is written anew.
//!
//! The promises leave the broker some freedom: which ready delivery goes first where there is no
//! order, how long a backoff is, which queued delivery is the oldest. An event that reports such a
//! choice is checked against what is allowed, and followed; what is not allowed is
//! [`Effect::Forbidden`]. A backoff is a span of time here, so no randomness is needed.
//!
//! | question | file |
//! |---|---|
//! | which subscriptions want a topic | `matching` |
//! | whether a message is accepted | `admission` |
//! | what may be handed out, and begun | `hand_off` |
//! | what follows when an attempt ends | `settlement` |
//! | taking back what lanes hold | `recall` |
//! | dead letters | `letters` |
//! | what a death leaves, and who may have caused it | `death` |
//! | the sum | `balance` |
//!
//! `tests/simulation` drives the real broker and this beside each other.
//!
//! **Absent on purpose.** Speed; anything that the product would use.

#![forbid(unsafe_code)]

mod admission;
mod balance;
mod death;
mod delivery;
mod effect;
mod event;
mod hand_off;
mod letters;
pub mod matching;
mod recall;
mod seat;
mod settlement;
mod state;
mod step;
mod subscription;

pub use balance::{Balance, Span};
pub use delivery::{Deadline, Delivery, Facts, Failed, Wait};
pub use effect::{Answer, Begins, Effect, End};
pub use event::{Event, Moment, Publish, Said, Seen};
pub use letters::Letter;
pub use state::{Limits, State};
pub use step::step;
pub use subscription::{Share, Subscription};
