//! The lanes' side of a subscription: where windows are settled and handed out, in one critical
//! section, and where the ledger is kept.
//!
//! Lock order: desk, then inbox, never back; the dead letters' lock comes last. Handlers, publishes,
//! wake-ups and frees run with no lock held: they are collected in [`After`].

use std::{collections::HashMap, sync::Arc};

use foldhash::fast::FixedState;
use patchbay_journal as journal;

use super::{
    durable::{Durable, Errand},
    inbox::Load,
    split::Split,
    store::Store,
    window::{Shared, Window},
};
use crate::{
    dead_letters::{DEAD_TOPICS, DeadLetter, DeadLetters, Failure, HISTORY_MAX},
    delivery::Delivery,
    ledger::{DropReason, Dropped, Ledger},
    redelivery::{self, Breaker, Budget, Next, Standing},
    settlement::Outcome,
    spec::SubscriptionSpec,
    wake::{Wake, Wakes},
};

#[derive(Debug)]
pub(crate) struct Desk {
    pub(super) id: u64,
    pub(super) spec: Arc<SubscriptionSpec>,
    pub(super) dead_letters: Arc<DeadLetters>,
    /// Wall clock less monotonic clock, as of the broker's start; for display only.
    pub(super) unix_offset: u64,
    pub(super) split: Split,
    pub(super) store: Store,
    pub(super) slots: Vec<Option<Slot>>,
    /// Suspended calls whose window is settled, by token.
    pub(super) open: HashMap<u64, OpenCall, FixedState>,
    /// Deliveries that failed before, by id.
    pub(super) histories: Histories,
    /// Dead, and no room in the dead letters; whether the journal has it.
    pub(super) pending: Vec<(bool, DeadLetter)>,
    pub(super) budget: Budget,
    pub(super) breaker: Option<Breaker>,
    pub(super) counts: Counts,
    pub(super) demands: Vec<Demand>,
    /// Hand-offs that were taken from seats that are gone, by serial: their answers are stale.
    pub(super) ghosts: HashMap<u64, u64, FixedState>,
    pub(super) last_lease: u64,
    pub(super) last_serial: u64,
    pub(super) random: u64,
    /// `None` without a journal.
    pub(super) durable: Option<Box<Durable>>,
    /// Seats sleep without a bit, because nothing may be handed out.
    pub(super) resting: bool,
    pub(super) closed: bool,
}

/// A seat, as the desk sees it.
pub(crate) struct Slot {
    pub(super) serial: u64,
    pub(super) generation: u64,
    pub(super) shared: Arc<Shared>,
    pub(super) wake: Arc<dyn Wake>,
    /// Comes by itself, sooner or later: works, or sleeps and can be woken.
    pub(super) present: bool,
    pub(super) window: Window,
}

/// A suspended call whose window is settled. It has a lease of its own.
#[derive(Debug)]
pub(crate) struct OpenCall {
    pub(super) delivery: Delivery,
    pub(super) serial: u64,
    pub(super) generation: u64,
    /// It was forwarded, and that is recorded.
    pub(super) is_forwarded: bool,
}

/// What is remembered of a delivery that failed, or was sent back from the dead letters.
#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) failures: u32,
    pub(crate) redrives: u32,
    pub(crate) last: Vec<Failure>,
}

/// Histories by delivery.
pub(crate) type Histories = HashMap<u64, History, FixedState>;

/// Somebody who starts lanes when there is work and no seat.
pub(crate) struct Demand {
    pub(super) generation: u64,
    pub(super) wake: Arc<dyn Wake>,
    /// Called, and nobody came yet.
    pub(super) raised: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(super) in_flight: u64,
    pub(super) done: u64,
    pub(super) forwarded: u64,
    pub(super) dead: u64,
    pub(super) dropped: Dropped,
    pub(super) stale: u64,
    pub(super) retried: u64,
    pub(super) repeated: u64,
}

/// An attempt that ended.
pub(super) struct Ended<'a> {
    pub(super) delivery: &'a Delivery,
    pub(super) generation: u64,
    /// Its key waits for it.
    pub(super) holds: bool,
}

/// When and by whom an attempt is repeated.
#[derive(Clone, Copy)]
struct Due {
    due_ns: u64,
    budgeted: bool,
    /// A version on trial had it; the other one has it next.
    tried: bool,
}

/// What to do once the desk is free.
#[derive(Debug, Default)]
pub(crate) struct After {
    pub(super) wakes: Wakes,
    pub(super) garbage: Vec<Delivery>,
    /// A dead letter arrived.
    pub(super) news: bool,
    /// More is to be read out of the journal.
    pub(super) errand: Option<Errand>,
}

// === impl Desk ===

impl Desk {
    /// What waits here, for the inbox's bounds.
    #[inline]
    pub(super) fn load(&self) -> Load {
        Load {
            count: self.store.queued() + self.store.delayed(),
            bytes: self.store.bytes(),
            bookmarks: self
                .durable
                .as_ref()
                .map_or(0, |durable| durable.bookmarks() + self.store.places()),
        }
    }

    /// Deliveries in the journal that wait for a time, and those whose time has come.
    fn far(&self) -> (usize, usize) {
        self.durable
            .as_ref()
            .map_or((0, 0), |durable| (durable.far.len(), durable.waiting() + self.store.places()))
    }

    /// Deliveries that wait for their turn alone.
    pub(super) fn suspects(&self) -> usize {
        self.durable.as_ref().map_or(0, |durable| durable.suspects.len())
    }

    /// Whether a seat of that part would find something, here or in the journal.
    #[inline]
    pub(super) fn has_ready(&self, part: usize) -> bool {
        self.store.has_ready(part)
            || self
                .durable
                .as_ref()
                .is_some_and(|durable| !durable.suspects.is_empty() || self.can_fetch(durable))
    }

    /// Moves what is due to where seats find it.
    pub(super) fn expire(&mut self, now_ns: u64) {
        self.store.expire(now_ns, &mut self.budget, &self.split);
        if let Some(durable) = &mut self.durable {
            durable.expire(now_ns);
        }
    }

    /// The durable side, for a delivery that has one.
    #[inline]
    pub(super) fn durable_of(&mut self, delivery: &Delivery) -> Option<&mut Durable> {
        if delivery.is_durable() { self.durable.as_deref_mut() } else { None }
    }

    /// A delivery that was given to a seat is not begun after all: that is recorded, because the
    /// window said that it would be.
    pub(super) fn not_begun(&mut self, delivery: &Delivery, now_ns: u64) {
        if delivery.is_durable()
            && let Some(durable) = &mut self.durable
        {
            let history = self.histories.get(&delivery.id());
            durable.retry(delivery.id(), delivery.attempts(), history, 0, now_ns);
        }
    }

    /// As [`Desk::not_begun`], for what comes back of a window. The last goes first: a death in the
    /// middle must not find one begun behind another of its key that is not.
    pub(super) fn none_begun(&mut self, back: &[Delivery], now_ns: u64) {
        back.iter().rev().for_each(|delivery| self.not_begun(delivery, now_ns));
    }

    /// The seat's slot, if it is still its own.
    pub(super) fn slot(&mut self, slot: usize, serial: u64) -> Option<&mut Slot> {
        self.slots.get_mut(slot)?.as_mut().filter(|found| found.serial == serial)
    }

    /// The ledger but for what lies in the inbox: `accepted` and its share of `queued` and
    /// `dropped` are added by the caller, who holds both locks.
    pub(super) fn ledger(&self) -> Ledger {
        Ledger {
            accepted: 0,
            queued: (self.store.queued() + self.far().1 + self.suspects()) as u64,
            delayed: (self.store.delayed() + self.far().0) as u64,
            in_flight: self.counts.in_flight,
            done: self.counts.done,
            forwarded: self.counts.forwarded,
            dead: self.counts.dead,
            dead_pending: self.pending.len() as u64,
            dropped: self.counts.dropped,
            stale: self.counts.stale,
            retried: self.counts.retried,
            repeated: self.counts.repeated,
        }
    }

    /// Settles one attempt that was begun.
    pub(super) fn conclude(
        &mut self,
        ended: Ended<'_>,
        outcome: Outcome,
        now_ns: u64,
        after: &mut After,
    ) {
        let delivery = ended.delivery;
        self.counts.in_flight -= 1;
        let revoked = matches!(outcome, Outcome::Revoked);
        let (outcome, tried) = if self.split.is_on_trial(ended.generation) {
            redelivery::on_trial(outcome)
        } else {
            (outcome, false)
        };
        let charge = self.breaker.as_ref().is_none_or(Breaker::is_closed);
        if let Some(breaker) = &mut self.breaker {
            match outcome {
                Outcome::Fault(_) => breaker.record(now_ns, 1, 1),
                Outcome::Expired | Outcome::Revoked => {}
                _ => breaker.record(now_ns, 1, 0),
            }
        }
        if let Outcome::Fault(fault) = &outcome {
            let class = Some(fault.class);
            let reason = redelivery::printable(&fault.text);
            self.remember(&ended, class, reason, now_ns);
        }
        let standing = Standing {
            // What a version on trial does brings no message to its end.
            attempts: if tried { 0 } else { delivery.attempt() },
            failures: self.histories.get(&delivery.id()).map_or(0, |history| history.failures),
            accepted_ns: if tried { now_ns } else { delivery.accepted_ns() },
            charge,
        };
        let random = self.random();
        match redelivery::next(&self.spec.retry, standing, outcome, now_ns, random) {
            Next::Done => {
                self.counts.done += 1;
                if let Some(durable) = self.durable_of(delivery) {
                    durable.end(delivery.id(), journal::Ended::Done, now_ns);
                }
            }
            Next::Forwarded => {
                self.counts.forwarded += 1;
                if let Some(durable) = self.durable_of(delivery) {
                    durable.forwarded(delivery, now_ns);
                }
            }
            Next::Expired => {
                self.counts.dropped.add(DropReason::Expired, 1);
                if let Some(durable) = self.durable_of(delivery) {
                    let expired = journal::Ended::Dropped(DropReason::Expired.number());
                    durable.end(delivery.id(), expired, now_ns);
                }
            }
            Next::Untouched => {
                self.not_begun(delivery, now_ns);
                self.store.put_back(vec![delivery.clone()], false, &self.split);
            }
            Next::Again { due_ns, charged, budgeted } => {
                if charged && let Some(history) = self.histories.get_mut(&delivery.id()) {
                    history.failures = history.failures.saturating_add(1);
                }
                self.counts.repeated += u64::from(revoked);
                self.counts.retried += u64::from(!revoked);
                self.schedule(&ended, Due { due_ns, budgeted, tried }, now_ns);
                return;
            }
            Next::Dead { cause, reason, charged } => {
                if cause == redelivery::DeadCause::Failed {
                    self.remember(&ended, None, reason.clone(), now_ns);
                }
                let history = self.histories.remove(&delivery.id()).unwrap_or_default();
                let tells_of_one = delivery.message().topic().starts_with(DEAD_TOPICS);
                let cause = if tells_of_one { redelivery::DeadCause::Terminal } else { cause };
                let letter = DeadLetter {
                    number: 0,
                    subscription: self.id,
                    owner: Arc::clone(&self.spec.owner),
                    generation: ended.generation,
                    version: self.dead_letters.versions.of(ended.generation),
                    message: delivery.message().clone(),
                    delivery: delivery.id(),
                    attempts: delivery.attempt(),
                    failures: history.failures.saturating_add(u32::from(charged && charge)),
                    cause,
                    reason,
                    history: history.last,
                    redrives: history.redrives,
                    accepted_unix_ns: delivery.accepted_ns().wrapping_add(self.unix_offset),
                    at_unix_ns: now_ns.wrapping_add(self.unix_offset),
                    is_durable: delivery.is_durable(),
                };
                self.bury(letter, delivery.is_durable(), after);
            }
        }
        if delivery.troubled() {
            self.histories.remove(&delivery.id());
        }
        self.let_go(delivery, ended.holds);
    }

    /// A delivery's key no longer waits for it.
    pub(super) fn let_go(&mut self, delivery: &Delivery, holds: bool) {
        if holds
            && delivery.key_hash() != 0
            && let Some(keyed) = self.store.keyed()
        {
            keyed.let_go(delivery.key_hash(), &self.split);
        }
    }

    /// Lets a delivery hold its key, unless it does already.
    pub(super) fn hold(&mut self, delivery: &mut Delivery, holds: bool) {
        if delivery.key_hash() != 0
            && let Some(keyed) = self.store.keyed()
        {
            if !holds {
                keyed.hold(delivery.key_hash());
            }
            delivery.set_holds();
        }
    }

    fn schedule(&mut self, ended: &Ended<'_>, due: Due, now_ns: u64) {
        let Due { due_ns, budgeted, tried } = due;
        let mut again = ended.delivery.again();
        self.hold(&mut again, ended.holds);
        if self.histories.contains_key(&again.id()) {
            again.set_troubled();
        }
        again.set_budgeted(budgeted);
        if tried {
            again.set_tried();
        }
        if again.is_durable()
            && let Some(durable) = &mut self.durable
        {
            let history = self.histories.get(&again.id());
            durable.retry(again.id(), again.attempts(), history, due_ns, now_ns);
            // What waits for long leaves room for what the journal has behind it.
            let limits = self.spec.limits;
            let held = self.store.queued() + self.store.delayed();
            let is_much = held >= limits.count / 2 || self.store.bytes() >= limits.bytes / 2;
            if due_ns > now_ns && is_much && again.message().mark() != 0 {
                // More than may stand in memory: the journal has it, and its place is enough.
                durable.put_far(now_ns, due_ns, again.to_bookmark());
                return;
            }
        }
        if due_ns <= now_ns && !budgeted {
            self.store.repeat(again, &self.split);
        } else {
            self.store.delay(now_ns, due_ns, again);
        }
    }

    fn remember(
        &mut self,
        ended: &Ended<'_>,
        class: Option<crate::FaultClass>,
        reason: String,
        now_ns: u64,
    ) {
        let history = self.histories.entry(ended.delivery.id()).or_default();
        if history.last.len() == HISTORY_MAX {
            history.last.remove(0);
        }
        history.last.push(Failure {
            plugin: Arc::clone(&self.spec.owner),
            generation: ended.generation,
            version: self.dead_letters.versions.of(ended.generation),
            attempt: ended.delivery.attempt(),
            class,
            reason,
            at_unix_ns: now_ns.wrapping_add(self.unix_offset),
        });
    }

    /// Gives a dead delivery to the dead letters, or holds it back here.
    pub(super) fn bury(&mut self, letter: DeadLetter, is_durable: bool, after: &mut After) {
        let durable = if is_durable { self.durable.as_deref_mut() } else { None };
        // The record goes in between, so that nobody redrives what is not recorded as dead.
        match self.dead_letters.offer(letter, is_durable, |letter| {
            if let Some(durable) = durable {
                durable.dead(letter);
            }
        }) {
            Ok(()) => {
                self.counts.dead += 1;
                after.news = true;
            }
            Err(letter) => self.pending.push((is_durable, *letter)),
        }
    }

    /// Whether so many dead are held back here that nothing more may fail, or what becomes of
    /// deliveries cannot be recorded any more.
    pub(super) fn is_choked(&self) -> bool {
        self.pending.len() > self.dead_letters.max_pending()
            || self.durable.as_ref().is_some_and(|durable| durable.is_halted)
    }

    fn random(&mut self) -> u64 {
        crate::chance::mix(&mut self.random)
    }
}

// === impl After ===

impl After {
    /// Does it. No lock may be held.
    #[inline]
    pub(super) fn run(&mut self, dead_letters: &DeadLetters) {
        self.wakes.fire();
        self.garbage.clear();
        if std::mem::take(&mut self.news) {
            for watcher in dead_letters.watchers() {
                watcher.wake();
            }
        }
    }
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Slot")
            .field("serial", &self.serial)
            .field("generation", &self.generation)
            .field("present", &self.present)
            .field("window", &self.window)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Demand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Demand")
            .field("generation", &self.generation)
            .field("raised", &self.raised)
            .finish_non_exhaustive()
    }
}
