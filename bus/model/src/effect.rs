//! What must follow from an event.

use patchbay_bus::{DeadCause, DropReason};

/// What must follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The publisher is told that.
    Answered(Answer),
    /// The seat is told that.
    Begins(Begins),
    /// A delivery came to its end.
    Ended {
        /// Where.
        subscription: u64,
        /// Which.
        delivery: u64,
        /// How.
        end: End,
    },
    /// These hand-offs are begun and not settled, by token. Some more may be listed that were passed
    /// over: they are in the second list.
    Begun(Vec<u64>, Vec<u64>),
    /// That many deliveries went to others.
    Moved(usize),
    /// What a revocation did.
    Revoked {
        /// Settled as recorded.
        finished: usize,
        /// Repeated, or dead.
        running: usize,
        /// Back as they were.
        unstarted: usize,
    },
    /// Whether a call was written off.
    WrittenOff(bool),
    /// Whether a dead letter was sent back: no letter, no subscription, or its new delivery.
    Redriven(Option<Option<u64>>),
    /// Whether a dead letter was deleted.
    Purged(bool),
    /// The broker was seen to do what it must not.
    Forbidden(String),
}

/// What a publisher is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Accepted.
    Accepted {
        /// The message, or the one that it repeats.
        mid: u128,
        /// How many subscriptions took it.
        routed: u32,
        /// It is a repeat.
        duplicate: bool,
    },
    /// That subscription has no room.
    Full(u64),
    /// The journal has no room for that subscription.
    BacklogFull(u64),
    /// Too large for the broker or a subscription.
    TooLarge,
    /// Not a topic.
    Topic,
    /// The chain of causes is too long.
    HopLimit,
    /// Of no use any more when it may start.
    Expired,
    /// Something else was published under the same key.
    DedupMismatch,
    /// Nothing is accepted any more.
    Closed,
}

/// What a seat is told about a hand-off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begins {
    /// It starts.
    Go,
    /// It is passed over.
    Skip,
    /// It and what follows was taken back.
    Stop,
}

/// How a delivery ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Acknowledged.
    Done,
    /// Forwarded.
    Forwarded,
    /// Dead.
    Dead(DeadCause),
    /// Given up by policy.
    Dropped(DropReason),
}
