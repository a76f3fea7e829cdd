//! A subscription: what waits, what lanes hold, what became of the rest.

use std::collections::BTreeMap;

use patchbay_bus::{DropReason, Order, Overflow, SubscriptionSpec, key_hash, redelivery::Breaker};

use crate::{
    delivery::{Delivery, Wait},
    letters::Letter,
    seat::Seat,
};

/// One subscription.
#[derive(Clone, Debug)]
pub struct Subscription {
    /// Its number.
    pub id: u64,
    /// What it is.
    pub spec: SubscriptionSpec,
    /// It gets new messages.
    pub routed: bool,
    /// It was removed.
    pub closed: bool,
    /// Deliveries taken over.
    pub accepted: u64,
    /// The next number.
    pub next_id: u64,
    /// The journal has what it accepts.
    pub(crate) recorded: bool,
    /// Nobody has come for it in this life.
    pub orphan: bool,
    /// What waits, by number.
    pub waiting: BTreeMap<u64, Delivery>,
    /// How many of those were given up to make room: the oldest, and it is not said which.
    pub given_up: u64,
    /// How many more may have been given up since that was last told.
    pub(crate) may_give_up: u64,
    /// Dead, and no room for them.
    pub pending: Vec<Letter>,
    /// Who gets what.
    pub share: Share,
    pub(crate) seats: BTreeMap<u64, Seat>,
    /// Suspended calls whose window is settled, by token.
    pub(crate) open: BTreeMap<u64, Open>,
    /// Which part a key (a delivery without one) went to under this share.
    pub(crate) routes: BTreeMap<u64, usize>,
    pub(crate) breaker: Option<Breaker>,
    pub(crate) retries: Retries,
    pub(crate) counts: Counts,
}

/// A suspended call whose window is settled.
#[derive(Clone, Debug)]
pub(crate) struct Open {
    pub(crate) delivery: Delivery,
    pub(crate) seat: u64,
    pub(crate) generation: u64,
}

/// Which generations get what.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Share {
    /// None, one, or two of them.
    pub generations: Vec<u64>,
    /// How much of it the second gets, 0 to 1.
    pub second: f64,
    /// The one that is on trial; 0 = none.
    pub trial: u64,
}

/// What the retry budget has seen.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Retries {
    pub(crate) since_ns: u64,
    pub(crate) firsts: u64,
    pub(crate) budgeted: u64,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) done: u64,
    pub(crate) forwarded: u64,
    pub(crate) dead: u64,
    pub(crate) expired: u64,
    pub(crate) newest: u64,
    pub(crate) unloaded: u64,
    pub(crate) stale: u64,
    pub(crate) retried: u64,
    pub(crate) repeated: u64,
}

/// The key that everything has in common where the order is total.
const TOTAL: u64 = 1;

// === impl Subscription ===

impl Subscription {
    pub(crate) fn new(id: u64, spec: SubscriptionSpec, now_ns: u64) -> Subscription {
        Subscription {
            id,
            routed: true,
            closed: false,
            accepted: 0,
            next_id: 0,
            recorded: false,
            orphan: false,
            waiting: BTreeMap::new(),
            given_up: 0,
            may_give_up: 0,
            pending: Vec::new(),
            share: Share::default(),
            seats: BTreeMap::new(),
            open: BTreeMap::new(),
            routes: BTreeMap::new(),
            breaker: spec.breaker.clone().map(Breaker::new),
            retries: Retries { since_ns: now_ns, ..Retries::default() },
            counts: Counts::default(),
            spec,
        }
    }

    /// Hash of a message's ordering key here; 0 = none.
    pub(crate) fn key_of(&self, key: &str) -> u64 {
        match (self.spec.order, key) {
            (Order::Total, _) => TOTAL,
            (_, "") => 0,
            (_, key) => key_hash(key),
        }
    }

    pub(crate) fn is_ordered(&self) -> bool {
        self.spec.order != Order::None
    }

    /// How many wait.
    pub(crate) fn depth(&self) -> u64 {
        self.waiting.len() as u64 - self.given_up
    }

    pub(crate) fn has_room(&self, size: usize) -> bool {
        let bytes: usize = self.waiting.values().map(|delivery| delivery.facts.size()).sum();
        let fits = bytes + size <= self.spec.limits.bytes || self.given_up > 0;
        self.depth() < self.spec.limits.count as u64 && fits
    }

    /// Whether it gives up the oldest for what comes.
    pub(crate) fn gives_up(&self) -> bool {
        self.spec.overflow == Overflow::DropOldest
    }

    /// A delivery that waits for a lane (again).
    pub(crate) fn put_back(&mut self, mut delivery: Delivery) {
        delivery.wait = Wait::Lane;
        (delivery.suspect, delivery.accused) = (false, false);
        // As it was: what was never begun has its start, as its publisher gave it.
        if delivery.attempts > 0 || delivery.redrives > 0 {
            delivery.deadline = None;
        }
        self.waiting.insert(delivery.id, delivery);
    }

    /// A removed subscription drops whatever comes to wait.
    pub(crate) fn drop_if_closed(&mut self) {
        if self.closed {
            self.counts.unloaded += self.depth() + self.pending.len() as u64;
            // Those given up before stay counted as that.
            self.counts.newest += self.given_up;
            self.given_up = 0;
            self.waiting.clear();
            self.pending.clear();
        }
    }

    /// With lanes and not settled.
    pub(crate) fn in_flight(&self) -> u64 {
        let held: usize = self.seats.values().map(|seat| seat.held().count()).sum();
        (held + self.open.len()) as u64
    }

    /// Dropped for that reason. Which of the oldest and the newest a queue that gives up the oldest
    /// has dropped is not told apart.
    #[must_use]
    pub fn dropped(&self, reason: DropReason) -> u64 {
        match reason {
            DropReason::Expired => self.counts.expired,
            DropReason::Unload => self.counts.unloaded,
            DropReason::Newest => self.counts.newest + self.given_up,
            _ => 0,
        }
    }

    pub(crate) fn is_choked(&self, max_pending: usize) -> bool {
        self.pending.len() > max_pending
    }

    /// Whether hand-offs pause because nearly all of them fail.
    #[must_use]
    pub fn is_tripped(&self) -> bool {
        self.breaker.as_ref().is_some_and(|breaker| !breaker.is_closed())
    }
}

// === impl Share ===

impl Share {
    /// One generation gets everything.
    #[must_use]
    pub fn all(generation: u64) -> Share {
        Share { generations: vec![generation], second: 0.0, trial: 0 }
    }

    pub(crate) fn part_of(&self, generation: u64) -> Option<usize> {
        self.generations.iter().position(|found| *found == generation)
    }

    pub(crate) fn is_on_trial(&self, generation: u64) -> bool {
        self.trial != 0 && self.trial == generation
    }
}
