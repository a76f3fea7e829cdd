//! The ledger that a subscription must show.

use patchbay_bus::{DropReason, Ledger};

use crate::{
    delivery::{Delivery, Wait},
    subscription::Subscription,
};

/// What the ledger of a subscription must say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Balance {
    /// All terms; those of `queued` and `delayed` are one: `queued`.
    pub ledger: Ledger,
    /// How much of it may be delayed.
    pub delayed: Span,
    /// What was dropped: expired, unloaded, and for lack of room.
    pub dropped: [u64; 3],
}

/// From, to, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub u64, pub u64);

// === impl Subscription ===

impl Subscription {
    /// What its ledger must say now.
    #[must_use]
    pub fn balance(&self, now_ns: u64) -> Balance {
        let times = |fits: fn(&Wait, u64) -> bool| {
            let timed = |wait: &Wait| matches!(wait, Wait::Time { .. }) && fits(wait, now_ns);
            self.waiting.values().filter(|one| timed(&one.wait)).count() as u64
        };
        // What was published for later is sorted by a lane, or read back: until then it counts as
        // delayed or as queued, whatever the time.
        let unsorted = |one: &&Delivery| self.recorded && one.late && one.attempts == 0;
        let unsorted = self.waiting.values().filter(unsorted).count() as u64;
        let least = times(|wait, now_ns| !wait.may_be_over(now_ns)).saturating_sub(unsorted);
        let most = times(|wait, now_ns| !wait.is_over(now_ns)) + unsorted;
        let ledger = Ledger {
            accepted: self.accepted,
            queued: self.depth(),
            in_flight: self.in_flight(),
            done: self.counts.done,
            forwarded: self.counts.forwarded,
            dead: self.counts.dead,
            dead_pending: self.pending.len() as u64,
            stale: self.counts.stale,
            retried: self.counts.retried,
            repeated: self.counts.repeated,
            ..Ledger::default()
        };
        Balance {
            ledger,
            delayed: Span(least.saturating_sub(self.given_up), most),
            dropped: [
                self.dropped(DropReason::Expired),
                self.dropped(DropReason::Unload),
                self.dropped(DropReason::Newest),
            ],
        }
    }
}

// === impl Balance ===

impl Balance {
    /// What a ledger says otherwise, if anything.
    #[must_use]
    pub fn differs(&self, seen: &Ledger) -> Option<String> {
        let joined = Ledger {
            queued: seen.queued + seen.delayed,
            delayed: 0,
            dropped: self.ledger.dropped,
            ..*seen
        };
        let dropped = [
            seen.dropped.count(DropReason::Expired),
            seen.dropped.count(DropReason::Unload),
            seen.dropped.count(DropReason::Newest) + seen.dropped.count(DropReason::Oldest),
        ];
        let Span(least, most) = self.delayed;
        let delayed = (least..=most).contains(&seen.delayed);
        let same = joined == self.ledger && dropped == self.dropped && delayed;
        (!same || !seen.balanced()).then(|| format!("the ledger is {seen:?}, and must be {self:?}"))
    }
}
