//! The bounds of a broker. Every number here is a limit that somebody can reach.

use std::time::Duration;

use patchbay_wire::TopicPattern;

use crate::{dedup::DedupPolicy, durability::DurabilityRule};

/// Limits of the whole bus.
#[derive(Clone, Debug)]
pub struct BrokerConfig {
    /// Largest message in bytes: topic, key, headers and payload together.
    pub max_message_bytes: usize,
    /// How long a publisher waits for room where a subscription says `block`.
    pub publish_timeout: Duration,
    /// How long a forward waits for a target without room before it becomes a retry, and a publisher
    /// at level `process` for memory of a queue that blocks, before it goes on beyond it; zero = not
    /// at all.
    pub forward_patience: Duration,
    /// Messages in a chain of causes; the next one is refused or dead-lettered.
    pub max_hops: u32,
    /// Tokens waiting for room, per subscription.
    pub max_waiters: usize,
    /// Requests waiting for their reply.
    pub max_requests: usize,
    /// Timers of [`Broker::wake_at`](crate::Broker::wake_at) that have not fired.
    pub max_timers: usize,
    /// Where deliveries end that cannot be handled.
    pub dead_letters: DeadLetterConfig,
    /// The level of topics, the first rule that matches; without one it is memory.
    pub durability: Vec<DurabilityRule>,
    /// Topics on which a message that nobody subscribes to is refused; elsewhere it is accepted, by
    /// nobody.
    pub reject_unmatched: Vec<TopicPattern>,
    /// How far back repeated publishes are recognised.
    pub dedup: DedupPolicy,
}

/// Limits of the dead letters.
#[derive(Clone, Debug)]
pub struct DeadLetterConfig {
    /// Most letters kept.
    pub max_count: usize,
    /// Most bytes kept, counted as in [`BrokerConfig::max_message_bytes`].
    pub max_bytes: usize,
    /// How long a letter is kept after it died.
    pub max_age: Duration,
    /// What happens to one more.
    pub when_full: WhenFull,
    /// How many dead deliveries a subscription holds back under [`WhenFull::Hold`] before it pauses.
    pub max_pending: usize,
}

/// What full dead letters do with one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// It stays with its subscription, unhanded and counted as `dead_pending`.
    Hold,
    /// The oldest letter goes.
    DropOldest,
}

impl Default for BrokerConfig {
    fn default() -> Self {
        BrokerConfig {
            max_message_bytes: 1 << 20,
            publish_timeout: Duration::from_secs(5),
            forward_patience: Duration::from_millis(10),
            max_hops: 16,
            max_waiters: 1024,
            max_requests: 4096,
            max_timers: 65_536,
            dead_letters: DeadLetterConfig::default(),
            durability: Vec::new(),
            reject_unmatched: Vec::new(),
            dedup: DedupPolicy::default(),
        }
    }
}

impl Default for DeadLetterConfig {
    fn default() -> Self {
        DeadLetterConfig {
            max_count: 10_000,
            max_bytes: 64 << 20,
            max_age: Duration::from_secs(30 * 24 * 3600),
            when_full: WhenFull::Hold,
            max_pending: 1000,
        }
    }
}
