//! What records say, as structs.

use super::item::{Attempt, DedupKey, End, Failure, Header, Target};
use crate::{level::Level, wire::List};

/// How many reasons for dropping there may be.
pub const DROP_REASONS: usize = 8;

/// A subscription: the bus knows it by owner and pattern, the journal by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscribe<'a> {
    /// Its number, never used again.
    pub sub: u32,
    /// The plugin that owns it.
    pub owner: &'a str,
    /// The topics it wants.
    pub pattern: &'a str,
}

/// One message for all its subscriptions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Publish<'a> {
    /// Its number among the messages of this journal, gapless. Set by the journal: what a caller
    /// says here is not read.
    pub seq: u64,
    /// The message id.
    pub mid: u128,
    /// When it was published, nanoseconds since the Unix epoch.
    pub time_ns: u64,
    /// When it is no longer of use, nanoseconds since the Unix epoch; 0 = never.
    pub expires_ns: u64,
    /// Not to be handed off before, nanoseconds since the Unix epoch; 0 = at once. The original
    /// delay is the distance from `time_ns`.
    pub not_before_ns: u64,
    /// When it was accepted, in time that hosts have run ([`observed`](crate::Journal::observed)).
    pub observed_ns: u64,
    /// How many messages led to this one.
    pub hops: u32,
    /// What its publisher asked for.
    pub level: Level,
    /// Concrete topic.
    pub topic: &'a str,
    /// Ordering key; empty = none.
    pub key: &'a str,
    /// Headers in the order of the publisher.
    pub headers: List<'a, Header<'a>>,
    /// The payload.
    pub payload: &'a [u8],
    /// So that it is not published twice.
    pub dedup: Option<Dedup<'a>>,
    /// Its deliveries.
    pub targets: List<'a, Target>,
    /// Those of them that are dead letters from the start (P-4).
    pub letters: List<'a, Dead<'a>>,
}

/// What makes a publish recognisable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dedup<'a> {
    /// Who published.
    pub principal: &'a str,
    /// The key it came with.
    pub key: &'a str,
    /// Hash of what was published.
    pub payload_hash: u64,
}

/// Attempts that are about to start in one lane.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Begun<'a> {
    /// The subscription.
    pub sub: u32,
    /// Which instance of the plugin.
    pub generation: u64,
    /// Which lane of it.
    pub seat: u32,
    /// A number for the version of the plugin.
    pub version: u64,
    /// When, nanoseconds since the Unix epoch.
    pub at_unix_ns: u64,
    /// The deliveries.
    pub attempts: List<'a, Attempt>,
}

/// Deliveries that are done with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settled<'a> {
    /// The subscription.
    pub sub: u32,
    /// When, nanoseconds since the Unix epoch.
    pub at_unix_ns: u64,
    /// The deliveries and how they ended.
    pub ends: List<'a, End>,
}

/// Where an unsettled delivery stands.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Standing<'a> {
    /// Hand-offs so far.
    pub attempts: u32,
    /// Failures charged so far.
    pub failures: u32,
    /// How often it was a dead letter before.
    pub redrives: u32,
    /// When its next attempt is due, nanoseconds since the Unix epoch; 0 = at once.
    pub due_unix_ns: u64,
    /// How far away that was when it was decided.
    pub delay_ns: u64,
    /// The last failures, oldest first.
    pub history: List<'a, Failure<'a>>,
}

/// A delivery waits for its next attempt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Retry<'a> {
    /// The delivery.
    pub target: Target,
    /// When that was decided, nanoseconds since the Unix epoch.
    pub at_unix_ns: u64,
    /// Where it stands now.
    pub standing: Standing<'a>,
}

/// Why a delivery is dead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Letter<'a> {
    /// Its number among the dead letters; 0 = the dead letters are full, and the delivery is held
    /// where it is, unsettled.
    pub number: u64,
    /// Why, a number of the bus.
    pub cause: u8,
    /// Why, in words.
    pub reason: &'a str,
    /// Which instance of the plugin had it last; 0 = none.
    pub generation: u64,
    /// Which version that was; empty where nobody knows.
    pub version: &'a str,
    /// When, nanoseconds since the Unix epoch.
    pub at_unix_ns: u64,
}

/// A delivery is a dead letter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dead<'a> {
    /// The delivery.
    pub target: Target,
    /// Why.
    pub letter: Letter<'a>,
    /// Where it stood.
    pub standing: Standing<'a>,
}

/// A dead letter is a delivery of its subscription again, with a clean count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redriven {
    /// The letter.
    pub letter: u64,
    /// The new delivery: the subscription of the old one, and its next id.
    pub target: Target,
    /// How often it was a dead letter before.
    pub redrives: u32,
    /// When, nanoseconds since the Unix epoch.
    pub at_unix_ns: u64,
}

/// A message copied forward, with those of its deliveries that still need it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moved<'a> {
    /// The message; its own list of targets is empty.
    pub publish: Publish<'a>,
    /// The deliveries and dead letters.
    pub targets: List<'a, MovedTarget<'a>>,
}

/// What is left of a delivery when its message is copied.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MovedTarget<'a> {
    /// The delivery.
    pub target: Target,
    /// An attempt of it had begun in the life of the host that copied it, and not ended.
    pub begun: bool,
    /// One had in an earlier life.
    pub suspect: bool,
    /// Where it stands.
    pub standing: Standing<'a>,
    /// Set when it is a dead letter, or held to become one.
    pub letter: Option<Letter<'a>>,
}

/// Keys of publishes copied forward.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DedupKeys<'a> {
    /// The keys, oldest first.
    pub keys: List<'a, DedupKey<'a>>,
}

/// What became of everything that a subscription accepted (P-1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Deliveries taken over.
    pub accepted: u64,
    /// Acknowledged.
    pub done: u64,
    /// Forwarded.
    pub forwarded: u64,
    /// Made dead letters.
    pub dead: u64,
    /// Dropped, by reason.
    pub dropped: [u64; DROP_REASONS],
}

/// A subscription as a checkpoint has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscriptionState<'a> {
    /// Who it is.
    pub subscribe: Subscribe<'a>,
    /// The id of its next delivery.
    pub next_id: u64,
    /// What became of the earlier ones.
    pub counters: Counters,
}

/// A control key and its latest value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyValue<'a> {
    /// The key.
    pub key: &'a str,
    /// The value.
    pub value: &'a [u8],
}

/// All that is not deliveries, as of the record before it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Checkpoint<'a> {
    /// Number of the next message.
    pub next_seq: u64,
    /// Number of the next dead letter.
    pub next_letter: u64,
    /// Number of the next subscription.
    pub next_sub: u32,
    /// How many hosts have opened the journal.
    pub life: u64,
    /// What [`Storage::stay`](crate::Storage::stay) said in that life.
    pub stay: u64,
    /// How long they have run, in nanoseconds.
    pub observed_ns: u64,
    /// Every subscription.
    pub subs: List<'a, SubscriptionState<'a>>,
    /// Every control key.
    pub control: List<'a, KeyValue<'a>>,
}

// === impl Counters ===

impl Counters {
    /// What has come to its end.
    #[must_use]
    pub fn settled(&self) -> u64 {
        self.done + self.forwarded + self.dead + self.dropped.iter().sum::<u64>()
    }
}
