//! What the journal is made of: one record for each thing that must not half-happen.
//!
//! | record | written by | says |
//! |---|---|---|
//! | [`Subscribe`], `Unsubscribe` | bus | a subscription exists; it was purged |
//! | [`Publish`] | bus | one message for all its subscriptions (P-2) |
//! | `Forward` | bus | a delivery is settled *and* its message published (P-4) |
//! | [`Begun`] | bus | attempts that are about to start (P-14) |
//! | [`Settled`] | bus | deliveries that are done or dropped |
//! | [`Retry`] | bus | a delivery waits for its next attempt |
//! | [`Dead`] | bus | a delivery is a dead letter *and* settled (P-21) |
//! | [`Redriven`], `Purged` | bus | what became of a dead letter |
//! | `Control` | host | the latest value of a key |
//! | `Start`, `Stop` | journal | a life of the host |
//! | [`Moved`], [`DedupKeys`] | journal | copied forward out of an old segment |
//! | [`Checkpoint`] | journal | all that is not deliveries, at the head of every segment |

mod decode;
mod encode;
mod item;
mod parts;

pub use item::{Attempt, DedupKey, End, Ended, Failure, Header, Span, Target};
pub use parts::{
    Begun, Checkpoint, Counters, DROP_REASONS, Dead, Dedup, DedupKeys, KeyValue, Letter, Moved,
    MovedTarget, Publish, Redriven, Retry, Settled, Standing, Subscribe, SubscriptionState,
};

/// One record, borrowing from whoever writes it or from the bytes that were read.
#[derive(Clone, Debug, PartialEq)]
pub enum Record<'a> {
    /// A subscription exists from here on.
    Subscribe(Subscribe<'a>),
    /// It was purged with all that it held.
    Unsubscribe {
        /// Which.
        sub: u32,
    },
    /// One message for all its subscriptions.
    Publish(Publish<'a>),
    /// A delivery is settled as forwarded, and this is what became of it.
    Forward {
        /// The delivery.
        from: Target,
        /// When, nanoseconds since the Unix epoch.
        at_unix_ns: u64,
        /// The new message.
        publish: Publish<'a>,
    },
    /// Attempts are about to start.
    Begun(Begun<'a>),
    /// Deliveries are done with.
    Settled(Settled<'a>),
    /// A delivery waits for its next attempt.
    Retry(Retry<'a>),
    /// A delivery is a dead letter.
    Dead(Dead<'a>),
    /// A dead letter is a delivery again.
    Redriven(Redriven),
    /// A dead letter is gone.
    Purged {
        /// Its number.
        letter: u64,
        /// When, nanoseconds since the Unix epoch.
        at_unix_ns: u64,
    },
    /// The latest value of a key.
    Control {
        /// Whose.
        key: &'a str,
        /// What; empty = forget the key.
        value: &'a [u8],
    },
    /// A host has opened the journal.
    Start {
        /// Which time it is, 1 for the first.
        life: u64,
        /// When, nanoseconds since the Unix epoch.
        at_unix_ns: u64,
        /// What [`Storage::stay`](crate::Storage::stay) said.
        stay: u64,
        /// How long hosts have run so far, in nanoseconds.
        observed_ns: u64,
    },
    /// It has closed it in good order.
    Stop {
        /// When, nanoseconds since the Unix epoch.
        at_unix_ns: u64,
        /// How long hosts have run so far, in nanoseconds.
        observed_ns: u64,
    },
    /// A message copied forward with what is left of it.
    Moved(Moved<'a>),
    /// Keys of publishes copied forward.
    DedupKeys(DedupKeys<'a>),
    /// All that is not deliveries.
    Checkpoint(Box<Checkpoint<'a>>),
}

/// The kind of a record: its tag on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// [`Record::Subscribe`].
    Subscribe = 1,
    /// [`Record::Unsubscribe`].
    Unsubscribe = 2,
    /// [`Record::Publish`].
    Publish = 3,
    /// [`Record::Forward`].
    Forward = 4,
    /// [`Record::Begun`].
    Begun = 5,
    /// [`Record::Settled`].
    Settled = 6,
    /// [`Record::Retry`].
    Retry = 7,
    /// [`Record::Dead`].
    Dead = 8,
    /// [`Record::Redriven`].
    Redriven = 9,
    /// [`Record::Purged`].
    Purged = 10,
    /// [`Record::Control`].
    Control = 11,
    /// [`Record::Start`].
    Start = 12,
    /// [`Record::Stop`].
    Stop = 13,
    /// [`Record::Moved`].
    Moved = 14,
    /// [`Record::DedupKeys`].
    DedupKeys = 15,
    /// [`Record::Checkpoint`].
    Checkpoint = 16,
}

// === impl Record ===

impl Record<'_> {
    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Record::Subscribe(_) => Kind::Subscribe,
            Record::Unsubscribe { .. } => Kind::Unsubscribe,
            Record::Publish(_) => Kind::Publish,
            Record::Forward { .. } => Kind::Forward,
            Record::Begun(_) => Kind::Begun,
            Record::Settled(_) => Kind::Settled,
            Record::Retry(_) => Kind::Retry,
            Record::Dead(_) => Kind::Dead,
            Record::Redriven(_) => Kind::Redriven,
            Record::Purged { .. } => Kind::Purged,
            Record::Control { .. } => Kind::Control,
            Record::Start { .. } => Kind::Start,
            Record::Stop { .. } => Kind::Stop,
            Record::Moved(_) => Kind::Moved,
            Record::DedupKeys(_) => Kind::DedupKeys,
            Record::Checkpoint(_) => Kind::Checkpoint,
        }
    }
}

// === impl Kind ===

impl Kind {
    /// All kinds, in the order of their tags, which start at 1.
    pub const ALL: [Kind; 16] = [
        Kind::Subscribe,
        Kind::Unsubscribe,
        Kind::Publish,
        Kind::Forward,
        Kind::Begun,
        Kind::Settled,
        Kind::Retry,
        Kind::Dead,
        Kind::Redriven,
        Kind::Purged,
        Kind::Control,
        Kind::Start,
        Kind::Stop,
        Kind::Moved,
        Kind::DedupKeys,
        Kind::Checkpoint,
    ];

    pub(crate) fn of_tag(tag: u8) -> Option<Kind> {
        Kind::ALL.get(usize::from(tag).checked_sub(1)?).copied()
    }

    /// The word in reports.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Kind::Subscribe => "subscribe",
            Kind::Unsubscribe => "unsubscribe",
            Kind::Publish => "publish",
            Kind::Forward => "forward",
            Kind::Begun => "begun",
            Kind::Settled => "settled",
            Kind::Retry => "retry",
            Kind::Dead => "dead",
            Kind::Redriven => "redriven",
            Kind::Purged => "purged",
            Kind::Control => "control",
            Kind::Start => "start",
            Kind::Stop => "stop",
            Kind::Moved => "moved",
            Kind::DedupKeys => "dedup_keys",
            Kind::Checkpoint => "checkpoint",
        }
    }

    /// How much of the reserve it leaves alone (P-8): all of it, if it brings work in. What begins
    /// leaves a quarter, so that it can end.
    pub(crate) const fn reserve(self, all: u64) -> u64 {
        match self {
            Kind::Publish | Kind::Subscribe => all,
            Kind::Begun => all / 4,
            _ => 0,
        }
    }
}
