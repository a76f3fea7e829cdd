//! What can be written down outside the product.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

/// Name of a message that its publisher chose: who, and its how-manieth. It travels in the payload.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Tag {
    /// The publisher.
    pub publisher: String,
    /// Rises with every message of that publisher, in the order of publishing.
    pub n: u64,
}

/// How much the host promised for a message.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Gone when the host dies.
    #[default]
    Memory,
    /// Survives the host, not the machine.
    Process,
    /// Survives both.
    Disk,
}

/// What a publisher was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Accepted.
    Accepted,
    /// Certainly not accepted.
    Rejected,
    /// No answer, or one that leaves it open.
    Unknown,
    /// A repeat of a message that was accepted before.
    Duplicate,
}

/// One try to publish a message. Several tries of one message have the same tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// Which message.
    #[serde(flatten)]
    pub tag: Tag,
    /// Its topic.
    pub topic: String,
    /// Its ordering key; empty = none.
    #[serde(default)]
    pub key: String,
    /// The level that the reply named, or that was asked for when there was none.
    #[serde(default)]
    pub level: Level,
    /// What the reply said.
    pub answer: Answer,
    /// The host's id for it, as the reply gave it.
    #[serde(default)]
    pub mid: Option<String>,
    /// The journal's number for it, as the reply gave it.
    #[serde(default)]
    pub seq: Option<u64>,
    /// How many deliveries the reply promised.
    #[serde(default)]
    pub routed: Option<u32>,
    /// Whether it carried a key against duplicates: then all tries together are one message.
    #[serde(default)]
    pub dedup: bool,
    /// When it may be dropped unhandled, on the clock of `t`; 0 = never.
    #[serde(default)]
    pub expires: u64,
    /// When it may be handed off first, on the clock of `t`; 0 = at once.
    #[serde(default)]
    pub not_before: u64,
    /// When the try began.
    #[serde(default)]
    pub sent: u64,
    /// When the reply was there, or was given up. One clock for all records, any zero.
    pub t: u64,
}

/// A handler was entered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Began {
    /// Which message, out of the payload.
    #[serde(flatten)]
    pub tag: Tag,
    /// The subscription, by the name that [`Listener`](super::Listener) has.
    pub subscription: String,
    /// The delivery's number, as the host told the handler.
    pub delivery: u64,
    /// Number of the hand-off, as the host told the handler.
    pub attempt: u32,
    /// The ordering key of the message.
    #[serde(default)]
    pub key: String,
    /// The host's id for the message.
    #[serde(default)]
    pub mid: Option<String>,
    /// The instance of the plugin.
    #[serde(default)]
    pub generation: u64,
    /// The version of the plugin.
    #[serde(default)]
    pub version: String,
    /// The thread that the handler runs on, where it is known; one thread runs one call at a time.
    #[serde(default)]
    pub lane: u64,
    /// When.
    pub t: u64,
}

/// How a handler ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Handled.
    Acknowledged,
    /// Again later.
    RetryLater,
    /// Never again.
    Failed,
    /// Goes on to that topic.
    Forwarded(String),
    /// An error, a panic, anything that is a failure of the attempt.
    Error,
}

/// A handler was left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Which message.
    #[serde(flatten)]
    pub tag: Tag,
    /// The subscription.
    pub subscription: String,
    /// The delivery's number.
    pub delivery: u64,
    /// Number of the hand-off.
    pub attempt: u32,
    /// With what.
    pub status: Status,
    /// When, right before the handler returned.
    pub t: u64,
}

/// A dead letter that the host listed at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dead {
    /// Which message, out of the payload.
    #[serde(flatten)]
    pub tag: Tag,
    /// The subscription.
    pub subscription: String,
    /// Why, by the host's label.
    #[serde(default)]
    pub cause: String,
}

/// The ledger of one subscription, as the host showed it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerTerms {
    /// The subscription.
    pub subscription: String,
    /// Which life of the host, counted by the test; terms are compared within one life.
    #[serde(default)]
    pub life: u32,
    /// When it was asked for.
    pub t: u64,
    /// Deliveries taken over.
    pub accepted: u64,
    /// Waiting for a hand-off.
    pub queued: u64,
    /// Waiting for a time.
    pub delayed: u64,
    /// Handed off and not settled.
    pub in_flight: u64,
    /// Acknowledged.
    pub done: u64,
    /// Forwarded.
    pub forwarded: u64,
    /// Dead.
    pub dead: u64,
    /// Dead, and no room for it.
    #[serde(default)]
    pub dead_pending: u64,
    /// Given up by policy, all reasons together.
    #[serde(default)]
    pub dropped: u64,
}

/// What the test did, or saw happen, that excuses what follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// When it began: the earliest instant at which it can have taken effect.
    pub t: u64,
    /// When it was over: the latest such instant. 0 = the same.
    #[serde(default)]
    pub until: u64,
    /// What.
    #[serde(flatten)]
    pub event: Event,
}

/// Kinds of causes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The host process died: kill -9, a crash, out of memory.
    HostDeath,
    /// The machine lost its power, or the file system was shut down under it.
    PowerLoss,
    /// The host was stopped in order, and started again.
    HostStop,
    /// The plugin's process or instance died, or its calls were abandoned.
    InstanceDeath {
        /// Of that subscription; empty = of all.
        subscription: String,
    },
    /// A lease ran out or was taken away.
    LeaseExpiry {
        /// Of that subscription; empty = of any.
        subscription: String,
    },
    /// A transition took leases by force.
    ForcedTransition {
        /// Of that subscription; empty = of any.
        subscription: String,
    },
    /// Dead letters were sent back.
    Redrive {
        /// To that subscription; empty = to any.
        subscription: String,
        /// This one, if it is known that it went.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<Tag>,
    },
    /// What waited for a subscription was given up on purpose: a purge, an unload from memory.
    Purge {
        /// That subscription; empty = any.
        subscription: String,
    },
    /// From `until` on, no hand-off to `version` starts.
    Cutover {
        /// That subscription.
        subscription: String,
        /// The version that no longer serves.
        version: String,
        /// Deliveries that the host listed as begun before it: they may be seen a little later.
        #[serde(default)]
        begun: Vec<u64>,
    },
    /// From `t` on, `version` may serve (again).
    Serving {
        /// That subscription.
        subscription: String,
        /// The version.
        version: String,
    },
}

/// One line of what was written down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub enum Record {
    /// A try to publish.
    Published(Published),
    /// A handler was entered.
    Began(Began),
    /// A handler was left.
    Ended(Ended),
    /// A dead letter.
    Dead(Dead),
    /// A look at a ledger.
    Ledger(LedgerTerms),
    /// What the test did.
    Cause(Cause),
}

/// Everything that was written down, in any order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Records(pub Vec<Record>);

// === impl Tag ===

impl Tag {
    /// The `n`-th message of that publisher.
    #[must_use]
    pub fn new(publisher: &str, n: u64) -> Tag {
        Tag { publisher: publisher.to_owned(), n }
    }
}

impl std::fmt::Display for Tag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.publisher, self.n)
    }
}

// === impl Published ===

impl Published {
    /// A try that begins now, and of which nothing is known yet. Its level and its key against
    /// duplicates are for the caller to add.
    #[must_use]
    pub fn begun(tag: Tag, topic: &str, key: &str) -> Published {
        let sent = now();
        Published {
            tag,
            topic: topic.to_owned(),
            key: key.to_owned(),
            level: Level::default(),
            answer: Answer::Unknown,
            mid: None,
            seq: None,
            routed: None,
            dedup: false,
            expires: 0,
            not_before: 0,
            sent,
            t: sent,
        }
    }

    /// The same, answered now.
    #[must_use]
    pub fn told(self, answer: Answer) -> Published {
        Published { answer, t: now(), ..self }
    }
}

/// The clock that records of several processes share: nanoseconds since the Unix epoch, as
/// `CLOCK_REALTIME` has them in a plugin.
#[must_use]
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

// === impl Status ===

impl Status {
    /// Whether the delivery is settled by it, if it was heard.
    #[must_use]
    pub const fn settles(&self) -> bool {
        matches!(self, Status::Acknowledged | Status::Failed | Status::Forwarded(_))
    }
}

// === impl LedgerTerms ===

impl LedgerTerms {
    /// What is accepted and has no final outcome.
    #[must_use]
    pub const fn unsettled(&self) -> u64 {
        self.queued + self.delayed + self.in_flight + self.dead_pending
    }

    /// What every accepted delivery must be found in.
    #[must_use]
    pub const fn sum(&self) -> u64 {
        self.unsettled() + self.done + self.forwarded + self.dead + self.dropped
    }
}

// === impl Records ===

impl Records {
    /// Adds one.
    pub fn push(&mut self, record: Record) {
        self.0.push(record);
    }
}

impl FromIterator<Record> for Records {
    fn from_iter<I: IntoIterator<Item = Record>>(records: I) -> Records {
        Records(records.into_iter().collect())
    }
}

macro_rules! into_record {
    ($($name:ident),*) => {$(
        impl From<$name> for Record {
            fn from(value: $name) -> Record {
                Record::$name(value)
            }
        }
    )*};
}

into_record!(Published, Began, Ended, Dead, Cause);

impl From<LedgerTerms> for Record {
    fn from(value: LedgerTerms) -> Record {
        Record::Ledger(value)
    }
}
