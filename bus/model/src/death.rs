//! What a death of the host leaves of a broker whose journal had written everything down, and what
//! the next life begins with (promises P-1, P-14, P-15, P-17).
//!
//! Everything here is of a durable level. The attempts that were under way count; their deliveries
//! are suspects, and one that was under way alone is charged; where it is known which calls may have
//! ended the host, only theirs are, and a single one of them is charged. Delays go on, and no step of the wall
//! clock makes one longer. Subscriptions have no owner until somebody comes.

use std::{collections::BTreeSet, mem};

use patchbay_bus::{DeadCause, Death, Order, Outcome, SubscriptionSpec, redelivery::Breaker};

use crate::{
    delivery::{Delivery, Failed, Wait},
    event::Moment,
    letters::Letter,
    state::State,
    subscription::{Counts, Retries, Share, Subscription},
};

/// Deaths that one delivery may be charged with; with the last it is dead.
const DEATHS_MAX: u32 = 3;

impl State {
    /// The host dies, and the next life begins at `now`.
    pub(crate) fn die(&mut self, death: &Death, now: Moment) {
        self.closed = false;
        self.limits.unix_offset = now.unix_ns.wrapping_sub(now.now_ns);
        // How many deliveries a publish made is not kept for those who repeat it.
        self.repeats.iter_mut().for_each(|repeat| repeat.routed = 0);
        self.subscriptions.retain(|_, subscription| !subscription.closed);
        let living: BTreeSet<u64> = self.subscriptions.keys().copied().collect();
        self.letters.retain(|letter| living.contains(&letter.subscription));
        self.last_letter = self.recorded_letter;
        let begun: usize = self.subscriptions.values_mut().map(Subscription::cut_off).sum();
        let is_clear = match death {
            Death::Silent => begun == 1,
            Death::Accused(accused) => accused.calls.len() + accused.others == 1,
        };
        for subscription in self.subscriptions.values_mut() {
            subscription.rise(death, is_clear, now);
        }
        self.move_up();
    }

    /// Whether something may have ended a process and was not handed out alone since.
    #[must_use]
    pub fn has_suspects(&self) -> bool {
        let suspected = |one: &Subscription| {
            one.waiting.values().any(|delivery| delivery.suspect) || one.is_alone()
        };
        self.subscriptions.values().any(suspected)
    }

    /// Suspects are handed out one at a time, and nothing beside (promise P-15).
    pub(crate) fn check_alone(&self, at: u64, got: &[u64]) -> Result<(), String> {
        if self.subscriptions.values().any(Subscription::is_alone) {
            return Err(format!("{got:?} while a suspect is out"));
        }
        let Some(subscription) = self.subscriptions.get(&at) else { return Ok(()) };
        let is_suspect = |id: &u64| subscription.waiting.get(id).is_some_and(|one| one.suspect);
        if !got.iter().any(is_suspect) {
            return Ok(());
        }
        let out: u64 = self.subscriptions.values().map(Subscription::in_flight).sum();
        match (got, out) {
            ([_], 0) => Ok(()),
            _ => Err(format!("a suspect among {got:?}, beside {out} others")),
        }
    }
}

impl Subscription {
    /// Whether a call whose window is settled has said that its delivery is forwarded: in a journal
    /// that settles it where it is said.
    pub(crate) fn is_forwarded(&self, token: u64) -> bool {
        let mut finished = self.seats.values().flat_map(|seat| &seat.finished);
        let is_it =
            |(it, outcome): &(u64, Outcome)| *it == token && matches!(outcome, Outcome::Forwarded);
        self.recorded && finished.any(is_it)
    }

    /// What lanes hold comes back as begun. Returns how much that was.
    fn cut_off(&mut self) -> usize {
        let mut begun: Vec<Delivery> = Vec::new();
        for seat in mem::take(&mut self.seats).into_values() {
            for (token, outcome) in seat.finished {
                // A forward is settled where it is said.
                if matches!(outcome, Outcome::Forwarded) && self.open.remove(&token).is_some() {
                    self.counts.forwarded += 1;
                }
            }
            if seat.revoked.is_some() {
                continue;
            }
            for item in seat.items.into_iter().take(seat.cut).filter(|item| !item.gone) {
                match item.said {
                    Some(Outcome::Forwarded) => self.counts.forwarded += 1,
                    _ => begun.push(item.delivery),
                }
            }
        }
        begun.extend(mem::take(&mut self.open).into_values().map(|call| call.delivery));
        let count = begun.len();
        for mut delivery in begun {
            delivery.attempts += 1;
            delivery.begun = true;
            delivery.deadline = None;
            self.waiting.insert(delivery.id, delivery);
        }
        count
    }

    /// The next life. `is_clear`: whoever is accused has ended the process.
    fn rise(&mut self, death: &Death, is_clear: bool, now: Moment) {
        for delivery in self.waiting.values_mut() {
            let begun = mem::take(&mut delivery.begun);
            let is_accused = begun
                && match death {
                    Death::Silent => true,
                    Death::Accused(accused) => {
                        let me = (self.id, delivery.id);
                        accused.calls.iter().any(|it| (u64::from(it.sub), it.id) == me)
                    }
                };
            if is_accused && is_clear {
                delivery.charge_death();
            }
            delivery.accused |= is_accused;
            let charged = delivery.history.last().is_some_and(|last| last.death);
            delivery.suspect = delivery.accused || charged;
            delivery.known = delivery.attempts > 0 || delivery.redrives > 0;
            delivery.tried = false;
            delivery.wait = match delivery.deadline.filter(|_| !delivery.suspect) {
                None => Wait::Lane,
                Some(deadline) => deadline.wait(now),
            };
        }
        let poison = |delivery: &&Delivery| delivery.deaths >= DEATHS_MAX;
        let dead: Vec<u64> =
            self.waiting.values().filter(poison).map(|delivery| delivery.id).collect();
        for id in dead {
            let Some(delivery) = self.waiting.remove(&id) else { continue };
            let (failures, cause) = (delivery.failures, DeadCause::Poison);
            self.pending.push(Letter {
                number: 0,
                subscription: self.id,
                delivery,
                failures,
                cause,
            });
        }
        self.pending.sort_by_key(|letter| letter.delivery.id);
        self.spec = SubscriptionSpec::new(&self.spec.owner, self.spec.pattern.clone());
        (self.routed, self.orphan) = (true, true);
        self.next_id = self.next_id.max(1);
        self.counts = Counts { stale: 0, retried: 0, repeated: 0, ..self.counts };
        self.share = Share::default();
        self.start(now);
    }

    /// Somebody comes for it, maybe with another order.
    pub(crate) fn adopt(&mut self, spec: SubscriptionSpec, now: Moment) -> Result<(), String> {
        let same = spec.owner == self.spec.owner && spec.pattern == self.spec.pattern;
        if !self.orphan || !same {
            return Err(format!(
                "{} of `{}` was given to `{}`",
                self.id, self.spec.owner, spec.owner
            ));
        }
        self.spec = spec;
        (self.routed, self.orphan) = (true, false);
        let mut waiting = mem::take(&mut self.waiting);
        let mut seen = BTreeSet::new();
        for delivery in waiting.values_mut() {
            delivery.key = self.key_of(&delivery.facts.key);
            let ordered = self.spec.order != Order::None && delivery.key != 0;
            // What stood behind another of its key had not begun, whatever its window said.
            if ordered && delivery.known && !seen.insert(delivery.key) {
                delivery.suspect = false;
            }
        }
        self.waiting = waiting;
        self.start(now);
        Ok(())
    }

    /// What counts within one life begins anew.
    fn start(&mut self, now: Moment) {
        self.routes.clear();
        self.breaker = self.spec.breaker.clone().map(Breaker::new);
        self.retries = Retries { since_ns: now.now_ns, ..Retries::default() };
    }

    /// Whether a suspect of it is out.
    fn is_alone(&self) -> bool {
        let held = self.seats.values().filter(|seat| seat.revoked.is_none());
        let mut held = held.flat_map(|seat| seat.held()).map(|(_, item)| &item.delivery);
        held.any(|one| one.suspect) || self.open.values().any(|call| call.delivery.suspect)
    }
}

impl Delivery {
    fn charge_death(&mut self) {
        self.failures += 1;
        self.deaths += 1;
        // A death is not forgotten for the sake of a lesser failure.
        if self.history.len() >= patchbay_bus::HISTORY_MAX {
            let at = self.history.iter().position(|failed| !failed.death).unwrap_or(0);
            self.history.remove(at);
        }
        self.history.push(Failed { attempt: self.attempts, death: true });
    }
}
