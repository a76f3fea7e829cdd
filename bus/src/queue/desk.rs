//! The lanes' side of a subscription: where windows are settled and handed out, in one critical
//! section, and where the ledger is kept.
//!
//! Lock order: desk, then inbox, never back; the dead letters' lock comes last. Handlers, publishes,
//! wake-ups and frees run with no lock held: they are collected in [`After`].

use std::{collections::HashMap, sync::Arc};

use foldhash::fast::FixedState;

use super::{
    inbox::Load,
    split::Split,
    store::Store,
    window::{Shared, Window},
};
use crate::{
    dead_letters::{DeadLetter, DeadLetters, Failure, HISTORY_MAX},
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
    pub(super) histories: HashMap<u64, History, FixedState>,
    /// Dead, and no room in the dead letters.
    pub(super) pending: Vec<DeadLetter>,
    pub(super) budget: Budget,
    pub(super) breaker: Option<Breaker>,
    pub(super) counts: Counts,
    pub(super) demands: Vec<Demand>,
    /// Hand-offs that were taken from seats that are gone, by serial: their answers are stale.
    pub(super) ghosts: HashMap<u64, u64, FixedState>,
    pub(super) last_lease: u64,
    pub(super) last_serial: u64,
    pub(super) random: u64,
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
}

/// What is remembered of a delivery that failed, or was sent back from the dead letters.
#[derive(Debug, Default)]
pub(crate) struct History {
    pub(super) failures: u32,
    pub(super) redrives: u32,
    pub(super) last: Vec<Failure>,
}

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
}

// === impl Desk ===

impl Desk {
    /// What waits here, for the inbox's bounds.
    #[inline]
    pub(super) fn load(&self) -> Load {
        Load { count: self.store.queued() + self.store.delayed(), bytes: self.store.bytes() }
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
            queued: self.store.queued() as u64,
            delayed: self.store.delayed() as u64,
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
            Next::Done => self.counts.done += 1,
            Next::Forwarded => self.counts.forwarded += 1,
            Next::Expired => self.counts.dropped.add(DropReason::Expired, 1),
            Next::Untouched => {
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
                let letter = DeadLetter {
                    number: 0,
                    subscription: self.id,
                    owner: Arc::clone(&self.spec.owner),
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
                };
                self.bury(letter, after);
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
            attempt: ended.delivery.attempt(),
            class,
            reason,
            at_unix_ns: now_ns.wrapping_add(self.unix_offset),
        });
    }

    /// Gives a dead delivery to the dead letters, or holds it back here.
    pub(super) fn bury(&mut self, letter: DeadLetter, after: &mut After) {
        match self.dead_letters.offer(letter) {
            Ok(()) => {
                self.counts.dead += 1;
                after.news = true;
            }
            Err(letter) => self.pending.push(*letter),
        }
    }

    /// Whether so many dead are held back here that nothing more may fail.
    pub(super) fn is_choked(&self) -> bool {
        self.pending.len() > self.dead_letters.max_pending()
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
