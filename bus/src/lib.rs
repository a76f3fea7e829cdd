//! The bus: topics, routing, bounded queues, delivery and settlement, for one process.
//!
//! A [`Publisher`] puts one envelope into the queue of every matching [`Subscription`]. Lanes take
//! their place there as a [`Seat`] and pull windows of deliveries; what they say about each (a
//! [`Verdict`]) is settled in batches. Retries wait on a timer wheel, what cannot be handled goes to
//! the [`DeadLetters`], and the [`Ledger`] of a subscription adds up at every instant.
//!
//! | question | file |
//! |---|---|
//! | which subscriptions get a message | `routing` |
//! | all of them or none | `publisher/admit` |
//! | what a queue is made of | `queue` |
//! | what follows from an outcome | `redelivery` (pure) |
//! | who is due when | `timer` |
//! | one record for all of them | `publisher/recording` |
//! | what a queue tells the journal, and reads back | `queue/durable`, `queue/refill` |
//! | how another life goes on | `recovery`, `queue/estate`, `solo` |
//!
//! **Absent on purpose.** Plugins, libraries, runtimes, actors: nothing here knows what a lane is
//! made of. No thread but the timer's. No file: what outlives the process is a record of
//! `patchbay-journal`, and without a journal every topic is in memory. No delivery guarantee that the
//! ledger does not show.

#![forbid(unsafe_code)]

mod broker;
mod chance;
mod clock;
mod config;
mod cut_off;
mod dead_letters;
mod death;
mod dedup;
mod delivery;
mod durability;
mod ids;
mod ledger;
mod orphans;
mod publisher;
mod queue;
mod recovery;
pub mod redelivery;
mod redrive;
mod request;
mod routing;
mod settlement;
mod solo;
mod spec;
mod subscription;
mod sync;
mod tap;
mod timer;
mod versions;
mod wake;
mod whereabouts;

pub use broker::{Broker, SubscribeError};
pub use clock::{Clock, ManualClock, SystemClock};
pub use config::{BrokerConfig, DeadLetterConfig, WhenFull};
pub use dead_letters::{
    DEAD_TOPICS, DeadLetter, DeadLetters, Failure, HISTORY_MAX, UnreadableLetter,
};
pub use death::{Accused, Death};
pub use dedup::{DedupBound, DedupPolicy, DedupState};
pub use delivery::Delivery;
pub use durability::{DurabilityRule, Level, UnknownLevel};
pub use ledger::{DropReason, Dropped, Ledger};
pub use patchbay_slab::{Draft, Message, key_hash};
pub use publisher::{
    FORWARDED_BY, Outgoing, Pending, PublishError, Published, Publisher, Refused, Terms,
};
pub use queue::{
    beyond::{CutOff, WatchCutOff},
    recall::{Begun, Progress, Revoked},
    room::Room,
    seat::{Begin, Park, Seat, Taken},
    service::Backlog,
    split::Split,
};
pub use recovery::RecoverError;
pub use redelivery::{BreakerLook, BreakerPolicy, BudgetPolicy, DeadCause, OnError, RetryPolicy};
pub use redrive::RedriveError;
pub use request::{REPLY_PREFIX, REPLY_TO, Reply, RequestError};
pub use settlement::{Fault, FaultClass, Outcome, Verdict};
pub use spec::{KeySource, Order, Overflow, QueueLimits, SubscriptionSpec};
pub use subscription::{SeatError, Subscription};
pub use tap::Tap;
pub use timer::TimerToken;
pub use wake::Wake;
pub use whereabouts::{Place, Whereabouts};
