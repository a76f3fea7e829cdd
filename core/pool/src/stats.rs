//! A look at a pool.

use std::sync::atomic::Ordering;

use crate::lane::{Counters, LaneShared};

/// A look at a pool. Counts are since the pool was started, lanes that are gone included, and lag
/// behind by at most a hand-out.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PoolStats {
    /// Lanes that are up.
    pub workers: u32,
    /// Those of them that are not asleep with nothing to do.
    pub busy: u32,
    /// Lanes that finish what they have and end.
    pub leaving: u32,
    /// Lanes that were written off and whose threads have not ended.
    pub abandoned: u32,
    /// Lanes that were ever written off.
    pub abandoned_total: u64,
    /// Calls that run or are suspended.
    pub in_flight: u32,
    /// Share of the lanes' capacity in use, smoothed over some ticks, 0 to 1.
    pub load: f64,
    /// Whether messages are taken: not paused, draining, stuck or closed.
    pub taking: bool,
    /// Whether more lanes hang than may be replaced.
    pub stuck: bool,
    /// Calls begun.
    pub calls: u64,
    /// Calls that did not end at once.
    pub suspended: u64,
    /// Calls that asked for another attempt.
    pub retried: u64,
    /// Calls that gave their message up.
    pub failed: u64,
    /// Calls that sent their message on.
    pub forwarded: u64,
    /// Calls that failed.
    pub faults: u64,
    /// Failed calls that were cancelled for being too slow.
    pub timeouts: u64,
    /// Answers about calls that the lane did not have any more.
    pub refused: u64,
    /// Windows opened.
    pub windows: u64,
    /// Times a sleeping lane was woken.
    pub wakes: u64,
}

// === impl PoolStats ===

impl PoolStats {
    /// Adds what a lane has done.
    pub(crate) fn add(&mut self, lane: &LaneShared) {
        let Counters {
            calls,
            suspended,
            retried,
            failed,
            forwarded,
            faults,
            timeouts,
            refused,
            windows,
        } = &lane.counters;
        self.calls += calls.load(Ordering::Relaxed);
        self.suspended += suspended.load(Ordering::Relaxed);
        self.retried += retried.load(Ordering::Relaxed);
        self.failed += failed.load(Ordering::Relaxed);
        self.forwarded += forwarded.load(Ordering::Relaxed);
        self.faults += faults.load(Ordering::Relaxed);
        self.timeouts += timeouts.load(Ordering::Relaxed);
        self.refused += refused.load(Ordering::Relaxed);
        self.windows += windows.load(Ordering::Relaxed);
        self.wakes += lane.bell.rings();
    }
}
