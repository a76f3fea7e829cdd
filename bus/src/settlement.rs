//! What a lane says about a delivery.

use patchbay_slab::Message;

/// Every outcome but the usual one, acknowledged, which needs no word.
#[derive(Debug)]
pub enum Verdict {
    /// Again, not before that many nanoseconds. Clamped, never charged as a failure.
    Retry(u64),
    /// Never again: dead letter, with the reason.
    Failed(String),
    /// Done here; the message goes on to another topic.
    Forward {
        /// Where to.
        topic: String,
        /// What. Its payload is shared, its topic is not looked at.
        message: Message,
    },
    /// The attempt failed.
    Fault(Fault),
}

/// A failed attempt.
#[derive(Clone, Debug)]
pub struct Fault {
    /// What kind of failure.
    pub class: FaultClass,
    /// In words.
    pub text: String,
}

/// Kinds of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FaultClass {
    /// The handler returned an error that may pass.
    Transient,
    /// The handler returned an error that will not pass.
    Permanent,
    /// The handler says that the message itself is at fault.
    InvalidData,
    /// The handler panicked.
    Panic,
    /// The call took too long.
    Timeout,
    /// The handler answered with something that the host does not understand or cannot do.
    Invalid,
    /// The process died, and this was all that was under way.
    Crash,
}

/// What the desk does with a hand-off. A verdict whose publish, if any, has happened.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// Acknowledged.
    Done,
    /// Asked for another attempt after that many nanoseconds.
    Retry(u64),
    /// Given up by the handler.
    Failed(String),
    /// Published to the target.
    Forwarded,
    /// The target of a forward had no room.
    Refused,
    /// The target of a forward lies beyond the hop limit.
    HopLimit,
    /// Failed.
    Fault(Fault),
    /// Not started: back as it was.
    Skipped,
    /// Not started: its expiry had passed.
    Expired,
    /// Started, and then its lease was taken: again at once, uncharged.
    Revoked,
}

impl FaultClass {
    /// The label in metrics and dead letters.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            FaultClass::Transient => "transient",
            FaultClass::Permanent => "permanent",
            FaultClass::InvalidData => "invalid_data",
            FaultClass::Panic => "panic",
            FaultClass::Timeout => "timeout",
            FaultClass::Invalid => "invalid",
            FaultClass::Crash => "crash",
        }
    }

    const ALL: [FaultClass; 7] = [
        FaultClass::Transient,
        FaultClass::Permanent,
        FaultClass::InvalidData,
        FaultClass::Panic,
        FaultClass::Timeout,
        FaultClass::Invalid,
        FaultClass::Crash,
    ];

    /// Its number in the journal, never 0: these never change.
    pub(crate) const fn number(self) -> u8 {
        self as u8 + 1
    }

    pub(crate) fn of_number(number: u8) -> Option<FaultClass> {
        FaultClass::ALL.into_iter().find(|class| class.number() == number)
    }
}
