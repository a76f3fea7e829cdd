//! A seat's one visit per batch: settle what it did, fetch what comes next.

use std::{mem, sync::Arc};

use super::{
    desk::{After, Desk, Ended, OpenCall},
    inbox::{Fetch, Inbox, Visit},
    seat::{Park, Taken},
    window::{BATCH_MAX, Hand, OddWalk, token},
};
use patchbay_journal::{self as journal, planted::fault};

use crate::{
    delivery::Delivery,
    redelivery::{Allowance, Breaker},
    settlement::Outcome,
};

/// What a seat wants.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask {
    /// Most deliveries.
    pub(super) limit: usize,
    /// What to do when there are none.
    pub(super) park: Park,
    pub(super) now_ns: u64,
}

// === impl Desk ===

impl Desk {
    /// Settles a seat's window and its late ends.
    pub(super) fn settle(&mut self, hand: &mut Hand, now_ns: u64, after: &mut After) {
        for (token, outcome) in mem::take(&mut hand.finished) {
            match self.open.remove(&token) {
                Some(call) => {
                    let holds = call.delivery.holds();
                    let generation = call.generation;
                    let ended = Ended { delivery: &call.delivery, generation, holds };
                    self.conclude(ended, outcome, now_ns, after);
                    after.garbage.push(call.delivery);
                }
                None => self.counts.stale += 1,
            }
        }
        let n = hand.current.len();
        if n == 0 {
            return;
        }
        let (lease, is_plain) = (hand.lease, self.store.is_plain() && self.histories.is_empty());
        let began = hand.began as usize == n && !hand.is_odd && hand.suspended == 0;
        let Some(slot) = self.slot(hand.slot, hand.serial).filter(|s| s.window.lease == lease)
        else {
            self.refuse(hand);
            return;
        };
        let window = &mut slot.window;
        window.items = None;
        let is_durable = window.is_durable;
        let forwarded = u64::from(hand.forwarded);
        let is_whole = window.cut == n && !window.fenced && window.gone.is_empty();
        if is_plain && began && is_whole && (forwarded == 0 || !is_durable) {
            self.counts.done += n as u64 - forwarded;
            self.counts.forwarded += forwarded;
            self.counts.in_flight -= n as u64;
            if is_durable && let Some(durable) = &mut self.durable {
                let mine = hand.current.iter().filter(|delivery| delivery.is_durable());
                mine.for_each(|delivery| durable.end(delivery.id(), journal::Ended::Done, now_ns));
            }
            if let Some(breaker) = &mut self.breaker {
                breaker.record(now_ns, n as u32, 0);
            }
        } else {
            self.settle_each(hand, now_ns, after);
        }
        if let Some(Some(slot)) = self.slots.get_mut(hand.slot) {
            slot.window.fenced = false;
            slot.window.gone.clear();
            slot.window.written_off.clear();
            if let Some(keyed) = self.store.keyed() {
                keyed.give_back(&mut slot.window.lanes);
            }
        }
    }

    /// The window was taken from the seat: what it says is refused and counted.
    fn refuse(&mut self, hand: &Hand) {
        if fault("honour-late-ack") {
            self.counts.done += self.ghosts.remove(&hand.serial).unwrap_or_default();
            return;
        }
        self.counts.stale += self.ghosts.remove(&hand.serial).unwrap_or_default();
        drop(hand.shared.take_odd());
    }

    fn settle_each(&mut self, hand: &mut Hand, now_ns: u64, after: &mut After) {
        let Some(Some(slot)) = self.slots.get_mut(hand.slot) else { return };
        let (cut, fenced) = (slot.window.cut, slot.window.fenced);
        let gone = mem::take(&mut slot.window.gone);
        let written_off = mem::take(&mut slot.window.written_off);
        let mut odd = OddWalk::new(match hand.is_odd || hand.forwarded > 0 {
            true => hand.shared.take_odd(),
            false => Vec::new(),
        });
        let mut back = Vec::new();
        for (position, delivery) in hand.current.iter().enumerate().take(cut) {
            if gone.contains(position) {
                // Whoever ended a call since it was written off said so too late.
                let ended = written_off.contains(&(position as u32));
                if ended && fault("honour-late-ack") {
                    self.counts.done += 1;
                    continue;
                }
                self.counts.stale += u64::from(ended && !hand.shared.is_open(position));
                continue;
            }
            let outcome = odd.at(position);
            let holds = delivery.holds() || fenced;
            let unstarted = position >= hand.began as usize;
            if unstarted || matches!(outcome, Some(Outcome::Skipped)) {
                self.counts.in_flight -= 1;
                back.push(delivery.clone());
                self.let_go(delivery, fenced && !delivery.holds());
            } else if outcome.is_none() && hand.suspended > 0 && hand.shared.is_open(position) {
                let mut delivery = delivery.clone();
                self.hold(&mut delivery, holds);
                let (serial, generation) = (hand.serial, hand.generation);
                let call = OpenCall { delivery, serial, generation, is_forwarded: false };
                self.open.insert(token(hand.lease, position), call);
            } else if outcome.is_none() && !holds && !delivery.troubled() {
                self.counts.done += 1;
                self.counts.in_flight -= 1;
                if let Some(durable) = self.durable_of(delivery) {
                    durable.end(delivery.id(), journal::Ended::Done, now_ns);
                }
                if let Some(breaker) = &mut self.breaker {
                    breaker.record(now_ns, 1, 0);
                }
            } else {
                let ended = Ended { delivery, generation: hand.generation, holds };
                self.conclude(ended, outcome.unwrap_or(Outcome::Done), now_ns, after);
            }
        }
        if !back.is_empty() {
            if hand.is_durable {
                self.none_begun(&back, now_ns);
            }
            self.store.put_back(back, false, &self.split);
        }
    }

    /// Fetches the next window of a seat, whose last one was settled.
    pub(super) fn take(
        &mut self,
        inbox: &Inbox,
        hand: &mut Hand,
        ask: Ask,
        after: &mut After,
    ) -> Taken {
        hand.begin_anew();
        self.expire(ask.now_ns);
        self.attend(inbox, hand);
        let Some(part) = self.split.part_of(hand.generation) else {
            // A generation without a share: nothing for it, but what it settled may be for others.
            return self.nothing(inbox, after);
        };
        let limit = match self.breaker.as_ref().map(|breaker| breaker.allowance(ask.now_ns)) {
            None | Some(Allowance::All) => ask.limit,
            Some(Allowance::Probe) => ask.limit.min(1),
            Some(Allowance::Nothing(_)) => 0,
        };
        let limit = if self.is_choked() { 0 } else { limit.min(BATCH_MAX) };
        self.rest(inbox, limit == 0 && ask.park == Park::Yes, after);
        let Hand { current, stage, .. } = hand;
        let Some(window) = Arc::get_mut(current) else {
            return self.nothing(inbox, after);
        };
        let peers = self
            .slots
            .iter()
            .flatten()
            .filter(|slot| slot.generation == hand.generation && slot.present);
        let peers = peers.count();
        let mut lanes = mem::take(match self.slots.get_mut(hand.slot) {
            Some(Some(slot)) => &mut slot.window.lanes,
            _ => return Taken::Closed,
        });
        let mut parked = 0;
        let mut later = Vec::new();
        // What was fetched before is handed out first: to fetch more beside it would only move it about.
        let is_one_line = self.store.is_one_line(&self.split);
        let mut leave = peers == 1 && is_one_line && self.store.has_ready(part);
        let mut visit;
        loop {
            let is_idle = !self.store.has_ready(part);
            let mut behind = None;
            let direct = if is_one_line && is_idle { limit } else { 0 };
            visit = inbox.visit(
                self.load(),
                Fetch {
                    seat_bit: 1 << hand.slot,
                    park: is_idle && ask.park == Park::Yes,
                    leave: mem::take(&mut leave),
                    direct,
                    window,
                    stage,
                    later: &mut later,
                    behind: &mut behind,
                    freed: &mut after.wakes,
                    parked: &mut parked,
                },
            );
            self.set_behind(behind);
            match visit {
                Visit::Direct => {
                    self.add_later(&mut later);
                    break;
                }
                Visit::Staged if peers == 1 && self.store.is_open_to(part) => {
                    self.store.hand_over(stage, (part, limit), window, &self.split);
                }
                Visit::Staged => self.sort_in(stage),
                Visit::Left | Visit::Empty => {}
            }
            self.add_later(&mut later);
            let waiting = self.store.waiting(part);
            let n = if peers > 1 { limit.min((waiting / peers).max(SHARE_MIN)) } else { limit };
            self.store.pick(part, n - window.len(), window, &mut lanes);
            // All that was there may belong to others or wait for a held key: sleep only after a
            // visit that said so.
            if !window.is_empty() || limit == 0 || visit == Visit::Empty && is_idle {
                break;
            }
        }
        let n = window.len();
        if n > 0 && visit != Visit::Direct {
            // What went into the window does not wait any more.
            inbox.report(self.load(), &mut after.wakes);
        }
        let first = window.iter().filter(|delivery| delivery.is_first()).count();
        if limit > 0 {
            self.send_for_more(inbox, after);
        }
        self.pass_on(inbox, Some(hand.slot), peers == 1, parked, after);
        if n == 0 {
            if let Some(keyed) = self.store.keyed() {
                keyed.give_back(&mut lanes);
            }
            self.put_lanes(hand.slot, lanes);
            return Taken::Empty { next_due_ns: self.next_due_ns() };
        }
        self.budget.earn(first as u64);
        if let Some(breaker) = &mut self.breaker {
            breaker.probing(ask.now_ns);
        }
        self.open_window(hand, lanes);
        Taken::Batch(n)
    }

    /// A seat finds that nothing may be handed out now, and sleeps without a bit, or something may:
    /// then those who slept so are woken.
    fn rest(&mut self, inbox: &Inbox, rests: bool, after: &mut After) {
        if rests {
            self.resting = true;
        } else if self.resting && self.breaker.as_ref().is_none_or(Breaker::is_closed) {
            self.resting = false;
            self.wake_all(inbox, after);
        }
    }

    fn put_lanes(&mut self, slot: usize, lanes: Vec<u32>) {
        if let Some(Some(slot)) = self.slots.get_mut(slot) {
            slot.window.lanes = lanes;
        }
    }

    pub(super) fn open_window(&mut self, hand: &mut Hand, lanes: Vec<u32>) {
        let Some(Some(slot)) = self.slots.get_mut(hand.slot) else { return };
        let used = self.durable.as_ref().is_some_and(|durable| durable.is_used);
        let is_durable = used && hand.current.iter().any(Delivery::is_durable);
        self.last_lease += 1;
        hand.is_durable = is_durable;
        hand.lease = self.last_lease;
        hand.ticket = hand.shared.gate.open();
        hand.shared.clear_open();
        let window = &mut slot.window;
        window.lease = hand.lease;
        window.cut = hand.current.len();
        window.fenced = false;
        window.lanes = lanes;
        window.is_durable = is_durable;
        window.items = Some(Arc::clone(&hand.current));
        self.counts.in_flight += hand.current.len() as u64;
    }

    /// There is nothing for this seat, whatever waits.
    fn nothing(&mut self, inbox: &Inbox, after: &mut After) -> Taken {
        inbox.report(self.load(), &mut after.wakes);
        self.pass_on(inbox, None, false, u64::MAX, after);
        Taken::Empty { next_due_ns: self.next_due_ns() }
    }

    /// When something will be due by itself.
    #[inline]
    pub(super) fn next_due_ns(&self) -> Option<u64> {
        let due = self.store.next_ns(&self.budget);
        let far = self.durable.as_ref().and_then(|durable| durable.far.next_ns());
        let due = match (due, far) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        let breaker = self.breaker.as_ref().filter(|breaker| !breaker.is_closed());
        let Some(breaker) = breaker.filter(|_| self.store.queued() > 0) else { return due };
        // Any instant will do: an allowance that is open now is used by whoever is woken.
        match breaker.allowance(0) {
            Allowance::Nothing(Some(probe)) => Some(due.map_or(probe, |due| due.min(probe))),
            _ => due,
        }
    }
}

/// Smallest share of what waits that a seat takes beside others.
const SHARE_MIN: usize = 16;
