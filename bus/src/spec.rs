//! What a subscription is asked to be.

use std::{fmt, sync::Arc};

use patchbay_slab::Message;
use patchbay_wire::TopicPattern;

use crate::redelivery::{BreakerPolicy, BudgetPolicy, RetryPolicy};

/// Everything about a subscription that does not change while it lives.
#[derive(Clone, Debug)]
pub struct SubscriptionSpec {
    /// The plugin that owns it, by name: the subscription outlives versions.
    pub owner: Arc<str>,
    /// Its number within the owner.
    pub index: u32,
    /// The topics it wants.
    pub pattern: TopicPattern,
    /// How much may wait.
    pub limits: QueueLimits,
    /// How much may wait in the journal.
    pub backlog: QueueLimits,
    /// What happens when no more may wait in memory.
    pub overflow: Overflow,
    /// What must stay in order.
    pub order: Order,
    /// Where the ordering key comes from.
    pub key: KeySource,
    /// How often and when a delivery is tried again.
    pub retry: RetryPolicy,
    /// How many retries there may be beside first attempts.
    pub budget: BudgetPolicy,
    /// When hand-offs pause because nearly all fail; `None` = never.
    pub breaker: Option<BreakerPolicy>,
}

/// Bounds of what waits, delayed deliveries included. Both hold at every instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueLimits {
    /// Deliveries.
    pub count: usize,
    /// Bytes of their messages. A message above it is refused as too large.
    pub bytes: usize,
}

/// What happens to a message that finds the queue full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overflow {
    /// The publisher is told.
    #[default]
    Reject,
    /// The publisher waits for room, up to `publish_timeout`, then is told. A handler never waits.
    Block,
    /// The oldest queued delivery is dropped.
    DropOldest,
    /// This one is dropped.
    DropNewest,
    /// A durable message beyond the backlog is accepted and is a dead letter at once; the others get
    /// theirs. Of what is only in memory the publisher is told.
    DeadLetter,
    /// Durable messages beyond the backlog pass this subscription by, until half of the backlog is
    /// worked off. Of what is only in memory the publisher is told.
    Detach,
}

/// What must stay in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Nothing.
    #[default]
    None,
    /// Messages with the same key. Those without one are in no order.
    PerKey,
    /// All of them: one at a time.
    Total,
}

/// Where the ordering key of a message comes from, when it carries none itself.
#[derive(Clone, Default)]
pub enum KeySource {
    /// Nowhere.
    #[default]
    Message,
    /// The value of that header.
    Header(Arc<str>),
    /// A function that returns a key's [hash](patchbay_slab::key_hash), 0 = none. Called by
    /// publishers, with no lock held.
    Computed(Arc<dyn Fn(&Message) -> u64 + Send + Sync>),
}

/// The key that all messages of a totally ordered subscription have in common.
const TOTAL: u64 = 1;

// === impl SubscriptionSpec ===

impl SubscriptionSpec {
    /// An unordered subscription with default limits.
    #[must_use]
    pub fn new(owner: &str, pattern: TopicPattern) -> SubscriptionSpec {
        SubscriptionSpec {
            owner: owner.into(),
            index: 0,
            pattern,
            limits: QueueLimits::default(),
            backlog: QueueLimits::BACKLOG,
            overflow: Overflow::default(),
            order: Order::default(),
            key: KeySource::default(),
            retry: RetryPolicy::default(),
            budget: BudgetPolicy::default(),
            breaker: Some(BreakerPolicy::default()),
        }
    }

    /// Whether a message carries its key itself, or none is needed.
    #[inline]
    pub(crate) fn key_is_at_hand(&self) -> bool {
        matches!((&self.key, self.order), (KeySource::Message, _) | (_, Order::Total))
    }

    /// The key hash of a message here; 0 = none.
    #[inline]
    pub(crate) fn key_of(&self, message: &Message) -> u64 {
        if self.order == Order::Total {
            return TOTAL;
        }
        match (message.key_hash(), &self.key) {
            (0, KeySource::Header(name)) => message.header(name).map_or(0, patchbay_slab::key_hash),
            (0, KeySource::Computed(key)) => key(message),
            (key, _) => key,
        }
    }
}

// === impl QueueLimits ===

impl QueueLimits {
    /// The usual bounds of what waits in the journal: a million deliveries, 4 GiB.
    pub const BACKLOG: QueueLimits = QueueLimits { count: 1_000_000, bytes: 4 << 30 };
}

impl Default for QueueLimits {
    fn default() -> Self {
        QueueLimits { count: 1024, bytes: 16 << 20 }
    }
}

// === impl KeySource ===

impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeySource::Message => f.write_str("Message"),
            KeySource::Header(name) => f.debug_tuple("Header").field(name).finish(),
            KeySource::Computed(_) => f.write_str("Computed"),
        }
    }
}
