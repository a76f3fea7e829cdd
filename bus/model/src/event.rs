//! What happens to a broker, and what was seen of it.

use patchbay_bus::{Death, Fault, SubscriptionSpec};

use crate::{delivery::Facts, subscription::Share};

/// When something happens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// On the clock that never goes back.
    pub now_ns: u64,
    /// On the wall.
    pub unix_ns: u64,
}

/// One call of the broker, with the choices that it was seen to make.
#[derive(Clone, Debug)]
pub enum Event {
    /// A subscription is made.
    Subscribe {
        /// Its number.
        subscription: u64,
        /// What it is.
        spec: Box<SubscriptionSpec>,
    },
    /// It gets nothing new.
    Unroute(u64),
    /// It ends.
    Remove(u64),
    /// The broker accepts nothing new.
    CloseIntake,
    /// Something is published.
    Publish(Publish),
    /// A lane takes a seat.
    Enter {
        /// Where.
        subscription: u64,
        /// The seat's number.
        seat: u64,
        /// The lane's generation.
        generation: u64,
    },
    /// A seat settles its window and asks for the next.
    Take {
        /// Where.
        subscription: u64,
        /// The seat.
        seat: u64,
        /// Most deliveries that it wants.
        limit: usize,
        /// Name of the hand-off at position 0; the next positions count on from it.
        token: u64,
        /// What it got; `None` = never anything again.
        got: Option<Vec<Seen>>,
    },
    /// A seat asks whether a hand-off may start.
    Begin {
        /// Where.
        subscription: u64,
        /// The seat.
        seat: u64,
        /// Of its window.
        position: usize,
    },
    /// A lane says how a hand-off ended.
    Record {
        /// Where.
        subscription: u64,
        /// The seat.
        seat: u64,
        /// Of its window.
        position: usize,
        /// How.
        said: Said,
    },
    /// A call did not end at once.
    Suspend {
        /// Where.
        subscription: u64,
        /// The seat.
        seat: u64,
        /// Of its window.
        position: usize,
    },
    /// A suspended call ended.
    Finish {
        /// Where.
        subscription: u64,
        /// The seat.
        seat: u64,
        /// The hand-off.
        token: u64,
        /// How; `None` = acknowledged.
        said: Option<Said>,
    },
    /// A seat settles its window.
    Settle {
        /// Where.
        subscription: u64,
        /// The seat.
        seat: u64,
    },
    /// A seat is given up by its lane.
    Leave {
        /// Where.
        subscription: u64,
        /// The seat.
        seat: u64,
    },
    /// What a seat has not begun goes to others.
    Relieve {
        /// Where.
        subscription: u64,
        /// The seat.
        seat: u64,
    },
    /// A seat is ended from outside.
    Revoke {
        /// Where.
        subscription: u64,
        /// The seat.
        seat: u64,
        /// Who is charged.
        culprits: Vec<(u64, Fault)>,
    },
    /// One suspended call is written off.
    RevokeCall {
        /// Where.
        subscription: u64,
        /// The hand-off.
        token: u64,
        /// What it is charged with.
        fault: Fault,
    },
    /// Who gets what changes.
    Share {
        /// Where.
        subscription: u64,
        /// Who gets what.
        share: Share,
    },
    /// A subscription that gives up the oldest was seen to have given up so many more.
    GaveUp {
        /// Where.
        subscription: u64,
        /// How many more.
        more: u64,
    },
    /// A dead letter is sent back.
    Redrive(u64),
    /// A dead letter is deleted.
    Purge(u64),
    /// The host dies, all that it said was written down, and the next life begins with what is known
    /// of the death.
    Death(Death),
}

/// A message to publish.
#[derive(Clone, Debug)]
pub struct Publish {
    /// On whose behalf.
    pub principal: String,
    /// What.
    pub facts: Facts,
    /// Not to be handed out before, on the wall; 0 = at once.
    pub not_before_ns: u64,
    /// A repeat under it is recognised.
    pub dedup_key: Option<String>,
    /// It follows from a message that was accepted before.
    pub follows: bool,
}

/// What a lane says of a hand-off, if not that it is acknowledged.
#[derive(Clone, Debug)]
pub enum Said {
    /// Again, after so many nanoseconds.
    Retry(u64),
    /// Never again.
    Failed(String),
    /// It goes on to that topic.
    Forward(String),
    /// It failed.
    Fault(Fault),
}

/// A delivery, as a lane saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its number.
    pub id: u64,
    /// Number of the hand-off.
    pub attempt: u32,
    /// What its payload says.
    pub tag: u64,
    /// The topic.
    pub topic: String,
    /// Messages that led to it.
    pub hops: u32,
}
