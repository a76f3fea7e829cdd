//! The desk behind its lock, and what follows a visit once the lock is free.

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard},
};

use patchbay_journal::{Journal, Tried};
use patchbay_slab::Message;

use super::{
    desk::{After, Counts, Desk, History},
    durable::Durable,
    inbox::Inbox,
    recall::{Begun, Progress, Revoked},
    seat::{Park, Taken},
    split::Split,
    store::Store,
    turn::Ask,
    window::Hand,
};
use crate::{
    dead_letters::DeadLetters,
    ledger::{DropReason, Ledger},
    redelivery::{Breaker, BreakerLook, Budget},
    settlement::Fault,
    spec::SubscriptionSpec,
    sync::lock,
    wake::Wake,
};

/// A queue: the inbox and the desk of one subscription.
#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) inbox: Inbox,
    desk: Mutex<Desk>,
    pub(super) spec: Arc<SubscriptionSpec>,
    pub(super) journal: Option<Arc<Journal>>,
    pub(super) id: u64,
    dead_letters: Arc<DeadLetters>,
}

/// What a desk is made of.
pub(crate) struct Origin {
    pub(crate) id: u64,
    pub(crate) spec: Arc<SubscriptionSpec>,
    pub(crate) dead_letters: Arc<DeadLetters>,
    pub(crate) unix_offset: u64,
    pub(crate) now_ns: u64,
    pub(crate) random: u64,
    pub(crate) max_waiters: usize,
    pub(crate) journal: Option<Arc<Journal>>,
}

/// Work that waits for a generation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Deliveries that seats of it could take now (an upper bound where keys hold some back).
    pub ready: u64,
    /// When the oldest of them was accepted, on the monotonic clock.
    pub oldest_accepted_ns: Option<u64>,
    /// Hand-offs that are not settled, of every generation.
    pub in_flight: u64,
}

/// How long a probe waits before it is offered again.
pub(super) const OFFER_AGAIN_NS: u64 = 100_000_000;

/// One instant on both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Time {
    pub(crate) now_ns: u64,
    pub(crate) unix_ns: u64,
}

/// When to look again; `u64::MAX` = never.
pub(crate) type Due = u64;

// === impl Queue ===

impl Queue {
    pub(crate) fn new(origin: Origin) -> Queue {
        let Origin { id, spec, dead_letters, unix_offset, now_ns, random, max_waiters, journal } =
            origin;
        let durable = journal.as_ref().map(|journal| {
            Box::new(Durable::new(Arc::clone(journal), id as u32, unix_offset, now_ns))
        });
        let inbox = Inbox::new(&spec, max_waiters, journal.clone());
        let desk = Desk {
            id,
            dead_letters: Arc::clone(&dead_letters),
            unix_offset,
            split: Split::none(),
            store: Store::new(spec.order, now_ns),
            slots: Vec::new(),
            open: Default::default(),
            histories: Default::default(),
            pending: Vec::new(),
            budget: Budget::new(spec.budget, now_ns),
            breaker: spec.breaker.clone().map(Breaker::new),
            counts: Counts::default(),
            demands: Vec::new(),
            ghosts: Default::default(),
            last_lease: 0,
            last_serial: 0,
            random,
            durable,
            resting: false,
            closed: false,
            spec: Arc::clone(&spec),
        };
        Queue { inbox, desk: Mutex::new(desk), spec, journal, id, dead_letters }
    }

    pub(super) fn lock_desk(&self) -> MutexGuard<'_, Desk> {
        lock(&self.desk)
    }

    /// Runs `act` at the desk and does afterwards what may not be done under its lock.
    pub(super) fn at_desk<R>(
        &self,
        act: impl FnOnce(&mut Desk, &Inbox, &mut After) -> R,
    ) -> (R, Due) {
        self.visit_desk(&mut After::default(), act)
    }

    pub(super) fn visit_desk<R>(
        &self,
        after: &mut After,
        act: impl FnOnce(&mut Desk, &Inbox, &mut After) -> R,
    ) -> (R, Due) {
        let mut desk = lock(&self.desk);
        let result = act(&mut desk, &self.inbox, after);
        if desk.closed {
            desk.drop_waiting(after);
        }
        if let Some(durable) = &mut desk.durable {
            durable.flush();
        }
        let due = desk.next_due_ns().unwrap_or(Due::MAX);
        drop(desk);
        after.run(&self.dead_letters);
        (result, due)
    }

    /// Looks at the desk and changes nothing.
    pub(super) fn look<R>(&self, see: impl FnOnce(&Desk, &Inbox) -> R) -> R {
        see(&lock(&self.desk), &self.inbox)
    }

    /// A seat's visit: settles, and takes if `ask` says so.
    #[inline]
    pub(crate) fn turn(
        &self,
        hand: &mut Hand,
        ask: Option<(usize, Park)>,
        time: Time,
    ) -> (Taken, Due) {
        let mut after = After::default();
        let (taken, due) = self.section(hand, ask, time.now_ns, &mut after);
        if after.errand.is_some() | hand.is_durable {
            return self.consult_journal(hand, ask, time, (taken, due), after);
        }
        (taken, due)
    }

    #[inline]
    pub(super) fn section(
        &self,
        hand: &mut Hand,
        ask: Option<(usize, Park)>,
        now_ns: u64,
        after: &mut After,
    ) -> (Taken, Due) {
        let result = self.visit_desk(after, |desk, inbox, after| {
            desk.settle(hand, now_ns, after);
            mem::swap(&mut hand.current, &mut hand.previous);
            hand.begin_anew();
            if desk.closed || desk.slot(hand.slot, hand.serial).is_none() {
                return Taken::Closed;
            }
            match ask {
                Some((limit, park)) => desk.take(inbox, hand, Ask { limit, park, now_ns }, after),
                None => {
                    inbox.report(desk.load(), &mut after.wakes);
                    desk.pass_on(inbox, None, false, u64::MAX, after);
                    Taken::Empty { next_due_ns: None }
                }
            }
        });
        hand.free_previous();
        result
    }

    pub(crate) fn enter(&self, generation: u64, wake: Arc<dyn Wake>) -> Option<Hand> {
        self.at_desk(
            |desk, inbox, _| {
                if desk.closed { None } else { desk.enter(inbox, generation, wake) }
            },
        )
        .0
    }

    pub(crate) fn leave(&self, hand: &mut Hand, now_ns: u64) -> Due {
        let (_, due) = self.at_desk(|desk, inbox, after| {
            let window = mem::take(&mut hand.current);
            desk.settle(hand, now_ns, after);
            desk.revoke(inbox, hand.serial, &[], now_ns, after);
            desk.ghosts.remove(&hand.serial);
            after.garbage.extend(Arc::into_inner(window).unwrap_or_default());
        });
        due
    }

    pub(crate) fn step_away(&self, hand: &Hand) -> Due {
        self.at_desk(|desk, inbox, after| desk.step_away(inbox, hand, after)).1
    }

    pub(crate) fn cut_over(&self, split: Split, now_ns: u64) -> (Vec<Begun>, Due) {
        self.at_desk(|desk, inbox, after| desk.cut_over(inbox, split, now_ns, after))
    }

    pub(crate) fn split(&self) -> Split {
        lock(&self.desk).split.clone()
    }

    pub(crate) fn relieve(&self, seat: u64, now_ns: u64) -> (usize, Due) {
        self.at_desk(|desk, inbox, after| desk.relieve(inbox, seat, now_ns, after))
    }

    pub(crate) fn revoke(
        &self,
        seat: u64,
        culprits: &[(u64, Fault)],
        now_ns: u64,
    ) -> (Revoked, Due) {
        self.at_desk(|desk, inbox, after| desk.revoke(inbox, seat, culprits, now_ns, after))
    }

    pub(crate) fn revoke_call(&self, token: u64, fault: Fault, now_ns: u64) -> (bool, Due) {
        self.at_desk(|desk, inbox, after| desk.revoke_call(inbox, token, fault, now_ns, after))
    }

    pub(crate) fn begun(&self) -> Vec<Begun> {
        lock(&self.desk).begun()
    }

    pub(crate) fn progress(&self) -> Vec<Progress> {
        lock(&self.desk).progress()
    }

    /// The message of a hand-off, if its lease is still that of the seat.
    pub(crate) fn leased(&self, seat: u64, token: u64) -> Option<Message> {
        lock(&self.desk).leased(seat, token).map(|delivery| delivery.message().clone())
    }

    pub(crate) fn demand(&self, generation: u64, wake: Arc<dyn Wake>) -> Due {
        self.at_desk(|desk, inbox, after| desk.demand(inbox, generation, wake, after)).1
    }

    pub(crate) fn no_demand(&self, generation: u64) {
        lock(&self.desk).demands.retain(|demand| demand.generation != generation);
    }

    /// A publisher put something into an empty inbox that nobody attends.
    #[cold]
    pub(crate) fn raise(&self) -> Due {
        self.at_desk(|desk, inbox, after| desk.raise_all(inbox, after)).1
    }

    /// Something is due: moves it to where seats find it, and sees to it that one comes.
    pub(crate) fn tick(&self, now_ns: u64) -> Due {
        let (_, due) = self.at_desk(|desk, inbox, after| {
            desk.expire(now_ns);
            inbox.report(desk.load(), &mut after.wakes);
            let blocked = desk.durable.as_mut().is_some_and(|it| mem::take(&mut it.is_blocked));
            if blocked || desk.breaker.as_ref().is_some_and(|breaker| !breaker.is_closed()) {
                // Those who rest at an open breaker have no bit: one of them will get the probe.
                desk.wake_all(inbox, after);
            }
            desk.pass_on(inbox, None, false, u64::MAX, after);
        });
        // What is due and was offered in vain: a probe that no lane has time for.
        if due <= now_ns { now_ns.saturating_add(OFFER_AGAIN_NS) } else { due }
    }

    /// Makes room for a message of `size` bytes by giving up the oldest that are queued. False when
    /// there is nothing left to give up.
    #[cold]
    pub(crate) fn drop_oldest(&self, size: usize) -> bool {
        let (made, _) = self.at_desk(|desk, inbox, after| {
            desk.stage(inbox, after);
            loop {
                inbox.report(desk.load(), &mut after.wakes);
                if inbox.has_room(&inbox.lock(), size) {
                    return true;
                }
                let Some(delivery) = desk.store.drop_oldest() else { return false };
                desk.counts.dropped.add(DropReason::Oldest, 1);
                desk.histories.remove(&delivery.id());
                after.garbage.push(delivery);
            }
        });
        made
    }

    /// Exact: both locks are held.
    pub(crate) fn ledger(&self) -> Ledger {
        let desk = lock(&self.desk);
        let inbox = self.inbox.lock();
        let mut ledger = desk.ledger();
        let reached = self.inbox.reached();
        let unaccepted = inbox.intake.unaccepted(reached);
        let later = inbox.intake.accepted_later(reached);
        let recorded = inbox.intake.in_memory().count + inbox.intake.spilled().count;
        ledger.accepted = inbox.taken() - unaccepted;
        ledger.queued += inbox.len() as u64 + recorded as u64 - unaccepted - later;
        ledger.delayed += inbox.later() as u64 + later;
        ledger.dropped.merge(inbox.dropped());
        ledger.dead += inbox.buried();
        ledger
    }

    pub(crate) fn backlog(&self, generation: u64) -> Backlog {
        let desk = lock(&self.desk);
        let in_flight = desk.counts.in_flight;
        let Some(part) = desk.split.part_of(generation) else {
            return Backlog { in_flight, ..Backlog::default() };
        };
        let inbox = self.inbox.lock();
        let mut oldest = desk.store.oldest_ns(part);
        let mut ready = desk.store.waiting(part) as u64;
        // Not sorted yet: exact with one part, an upper bound with two.
        let recorded = inbox.intake.in_memory().count + inbox.intake.spilled().count;
        let due = desk.durable.as_ref().map_or(0, |durable| durable.waiting());
        ready += (inbox.len() + recorded + due) as u64;
        ready -= inbox.intake.unaccepted(self.inbox.reached());
        oldest = oldest.or(inbox.oldest_ns());
        Backlog { ready, oldest_accepted_ns: oldest, in_flight }
    }

    /// Whether hand-offs pause because nearly all fail.
    pub(crate) fn is_tripped(&self) -> bool {
        lock(&self.desk).breaker.as_ref().is_some_and(|breaker| !breaker.is_closed())
    }

    /// How its breaker stands; `None` when it has none.
    pub(crate) fn breaker(&self) -> Option<BreakerLook> {
        lock(&self.desk).breaker.as_ref().map(Breaker::look)
    }

    /// Whether it was removed, or another one has taken its place.
    pub(crate) fn is_over(&self) -> bool {
        lock(&self.desk).closed
    }

    pub(crate) fn in_memory(&self) -> usize {
        let desk = lock(&self.desk);
        let state = self.inbox.lock();
        desk.load().count + state.len() + state.later() + state.intake.in_memory().count
    }

    pub(crate) fn in_flight(&self) -> u64 {
        lock(&self.desk).counts.in_flight
    }

    /// A delivery was charged with the death of a process.
    pub(crate) fn note_standing(&self, tried: &Tried, history: &History, now_ns: u64) {
        if let Some(durable) = &mut lock(&self.desk).durable {
            durable.retry(tried.id, tried.attempts, Some(history), 0, now_ns);
        }
    }

    pub(crate) fn close(&self) -> u64 {
        let (dropped, _) = self.at_desk(|desk, inbox, after| {
            inbox.close(&mut after.wakes);
            let mut dropped = desk.close(inbox, after);
            // Whatever seats say later leaves no record.
            let Some(durable) = desk.durable.take() else { return dropped };
            let intake = mem::take(&mut inbox.lock().intake);
            let gone = intake.in_memory().count + intake.spilled().count + durable.bookmarks();
            desk.counts.dropped.add(DropReason::Unload, gone as u64);
            dropped += gone as u64;
            if intake.registered {
                durable.purge();
            }
            dropped
        });
        dropped
    }
}
