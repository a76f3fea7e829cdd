//! Why a message was not accepted.

use std::sync::Arc;

use patchbay_slab::Message;
use patchbay_wire::TopicError;

use crate::{durability::Level, subscription::Subscription};

/// Why a message was not accepted: then no subscription has it. Only
/// [`is_unknown`](PublishError::is_unknown) leaves it open.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// A subscription has no room for it.
    #[error("the queue of `{}` for `{}` is full", subscription.owner(), subscription.spec().pattern)]
    Full {
        /// Which one; ask [`Subscription::when_room`] to be told.
        subscription: Arc<Subscription>,
    },
    /// A subscription has as many durable messages waiting as it may have.
    #[error(
        "the backlog of `{}` for `{}` is full",
        subscription.owner(),
        subscription.spec().pattern
    )]
    BacklogFull {
        /// Which one.
        subscription: Arc<Subscription>,
    },
    /// Nobody subscribes to its topic, which was configured to need somebody.
    #[error("nobody subscribes to the topic")]
    NoMatch,
    /// It is larger than the bus or a subscription allows.
    #[error("the message has {size} bytes, {limit} are allowed")]
    TooLarge {
        /// Bytes of topic, key, headers and payload.
        size: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The topic is not one.
    #[error("cannot publish")]
    Topic(#[source] TopicError),
    /// A header is not text in one line.
    #[error("header `{}` has an empty name or a control character", name.escape_debug())]
    Header {
        /// Its name.
        name: String,
    },
    /// The chain of causes is too long.
    #[error("{hops} messages led to this one, {limit} are allowed: is there a loop?")]
    HopLimit {
        /// Messages that led to it.
        hops: u32,
        /// Messages allowed.
        limit: u32,
    },
    /// It would be of no use any more when it may first be handed out.
    #[error("the message expires before it may be handed out")]
    Expired,
    /// The same principal has published something else to the topic under this key.
    #[error("the dedup key was used for another payload, by message {first:032x}")]
    DedupMismatch {
        /// The message that was accepted under the key.
        first: u128,
    },
    /// There is no room for it on disk.
    #[error("cannot record the message: there is no room in the journal")]
    StorageFull,
    /// The journal cannot write any more.
    #[error("cannot record the message: the journal has failed, restart the host")]
    JournalFailed {
        /// It may have been recorded already: it is not known whether a restart will find it.
        written: bool,
    },
    /// The bus keeps no journal, so no message can outlive it.
    #[error("cannot accept a message at level `{level}`: the bus has no journal")]
    NoJournal {
        /// The level asked for.
        level: Level,
    },
    /// The broker no longer accepts anything.
    #[error("the bus is closed")]
    Closed,
}

/// A message that was not accepted, given back.
#[derive(Debug, thiserror::Error)]
#[error("cannot publish to `{}`", message.topic())]
pub struct Refused {
    /// Why not.
    #[source]
    pub error: PublishError,
    /// The message.
    pub message: Message,
}

// === impl PublishError ===

impl PublishError {
    /// Whether the same message may be accepted later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(
            self,
            PublishError::Full { .. }
                | PublishError::BacklogFull { .. }
                | PublishError::StorageFull
        )
    }

    /// Whether nobody knows if the message was accepted: it may be there after a restart.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        matches!(self, PublishError::JournalFailed { written: true })
    }
}
