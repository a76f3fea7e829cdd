//! Everything that a broker remembers.

use std::{collections::BTreeMap, time::Duration};

use patchbay_bus::{BrokerConfig, DeadLetterConfig};

use crate::{letters::Letter, subscription::Subscription};

/// The whole broker.
#[derive(Clone, Debug)]
pub struct State {
    /// Its limits.
    pub limits: Limits,
    /// It accepts nothing new.
    pub closed: bool,
    /// By number.
    pub subscriptions: BTreeMap<u64, Subscription>,
    /// Oldest first.
    pub letters: Vec<Letter>,
    /// Number of the last letter.
    pub last_letter: u64,
    /// Number of the last one that was written down.
    pub(crate) recorded_letter: u64,
    /// Publishes that a repeat of is recognised, oldest first.
    pub(crate) repeats: Vec<Repeat>,
}

/// What bounds a broker.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Largest message.
    pub message_bytes: usize,
    /// Messages that may lead to one.
    pub hops: u32,
    /// The dead letters.
    pub letters: DeadLetterConfig,
    /// How long a repeat is recognised.
    pub window: Duration,
    /// How many publishes are remembered for it.
    pub keys: usize,
    /// Wall clock less monotonic clock when the broker was made.
    pub unix_offset: u64,
    /// Everything has a durable level: what waits is bounded by the backlog alone.
    pub durable: bool,
}

/// A publish that a repeat of is recognised.
#[derive(Clone, Debug)]
pub(crate) struct Repeat {
    pub(crate) at_ns: u64,
    /// Principal, topic and key.
    pub(crate) scope: (String, String, String),
    pub(crate) payload: (u64, usize),
    pub(crate) mid: u128,
    pub(crate) routed: u32,
}

// === impl State ===

impl State {
    /// A broker without subscriptions.
    #[must_use]
    pub fn new(limits: Limits) -> State {
        State {
            limits,
            closed: false,
            subscriptions: BTreeMap::new(),
            letters: Vec::new(),
            last_letter: 0,
            recorded_letter: 0,
            repeats: Vec::new(),
        }
    }
}

// === impl Limits ===

impl Limits {
    /// Those of a configuration.
    #[must_use]
    pub fn of(config: &BrokerConfig, unix_offset: u64) -> Limits {
        Limits {
            message_bytes: config.max_message_bytes,
            hops: config.max_hops,
            letters: config.dead_letters.clone(),
            window: config.dedup.window,
            keys: config.dedup.max_keys,
            unix_offset,
            durable: !config.durability.is_empty(),
        }
    }
}
