//! What a pool tells its owner.

use std::{sync::Arc, time::Duration};

use crate::lane::{LaneId, LoopEnd};

/// Takes events. Called on the monitor's thread, which guards every pool of the host: it must
/// neither wait nor panic. An owner that is slow keeps a bounded buffer and counts what it misses.
pub trait PoolEvents: Send + Sync {
    /// Something has happened to a pool.
    fn notify(&self, event: PoolEvent);
}

/// Something that happened to a pool.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolEvent {
    /// Name of the pool: that of its plugin.
    pub pool: Arc<str>,
    /// Generation that it runs.
    pub generation: u64,
    /// What happened.
    pub kind: PoolEventKind,
}

/// Kinds of [`PoolEvent`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum PoolEventKind {
    /// Lanes were added or let go.
    Scaled {
        /// How many there were.
        from: u32,
        /// How many there are now.
        to: u32,
    },
    /// A call was over its time. It was told to stop, and is charged when it is taken away.
    Overdue {
        /// Where it runs.
        lane: LaneId,
    },
    /// A call that did not stop when told to was taken away from its lane, which goes on.
    CallLost {
        /// Where it runs.
        lane: LaneId,
    },
    /// What a slow lane had not begun was given to others.
    Relieved {
        /// The slow one.
        lane: LaneId,
        /// How many deliveries.
        deliveries: usize,
    },
    /// A lane does not answer. Its thread goes on, but has nothing more to do with the pool.
    Abandoned {
        /// Which.
        lane: LaneId,
        /// Deliveries that go to others: those that were running, and those not begun.
        returned: usize,
    },
    /// The thread of an abandoned lane has ended after all.
    CameBack {
        /// Which.
        lane: LaneId,
    },
    /// More lanes hang than may be replaced: the pool takes nothing any more.
    Stuck {
        /// How many hang.
        abandoned: u32,
    },
    /// A handler's loop ended although its lane was open. What it held went back.
    LoopDied {
        /// Which lane.
        lane: LaneId,
        /// How.
        end: LoopEnd,
        /// When there will be another.
        again_in: Duration,
    },
    /// A thread could not be made; it will be tried again.
    NoThread {
        /// For which lane.
        lane: u32,
        /// What the system said.
        error: String,
    },
    /// A lane got no seat at a subscription, which has too many.
    NoSeat {
        /// Which lane.
        lane: LaneId,
        /// What the bus said.
        error: String,
    },
    /// A control call was given up: its lane did not answer within the grace either.
    ControlStuck {
        /// How many at once.
        calls: usize,
    },
}

/// Nobody listens.
impl PoolEvents for () {
    fn notify(&self, _: PoolEvent) {}
}

impl<F: Fn(PoolEvent) + Send + Sync> PoolEvents for F {
    fn notify(&self, event: PoolEvent) {
        self(event);
    }
}
