//! Taking back what seats hold: cutover, relief, revocation, and the end of a seat.

use std::sync::Arc;

use patchbay_fence::barrier;

use super::{
    desk::{After, Desk, Ended},
    inbox::Inbox,
    split::Split,
    window::{OddWalk, of_token, token},
};
use crate::{
    delivery::Delivery,
    settlement::{Fault, Outcome},
};

/// A hand-off that was begun before a cutover and is not settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begun {
    /// The seat that began it.
    pub seat: u64,
    /// Its generation.
    pub generation: u64,
    /// The delivery's id.
    pub delivery: u64,
    /// As in [`Seat::token`](crate::Seat::token).
    pub token: u64,
}

/// What a revocation did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Revoked {
    /// Hand-offs that had ended, settled as the lane recorded them.
    pub finished: usize,
    /// Hand-offs that were running: they will be repeated, or are dead.
    pub running: usize,
    /// Deliveries not begun: back as they were.
    pub unstarted: usize,
}

/// A seat's position, for who watches over slow calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The seat.
    pub seat: u64,
    /// Its window.
    pub lease: u64,
    /// How many hand-offs of it were begun.
    pub begun: u32,
}

// === impl Desk ===

impl Desk {
    /// Takes back what a seat has not begun. Its gate was cut, and the barrier passed. `fence`: what
    /// it has begun holds its keys from now on.
    fn take_back(&mut self, index: usize, back: &mut Vec<Delivery>, fence: bool) {
        let Some(Some(slot)) = self.slots.get_mut(index) else { return };
        let window = &mut slot.window;
        let Some(items) = window.items.clone() else { return };
        let claimed = (slot.shared.gate.claimed() as usize).min(window.cut);
        back.extend(items[claimed..window.cut].iter().cloned());
        self.counts.in_flight -= (window.cut - claimed) as u64;
        window.cut = claimed;
        let Some(keyed) = self.store.keyed() else { return };
        if fence && !window.fenced {
            window.fenced = true;
            let begun = items[..claimed].iter().enumerate();
            for (position, item) in begun {
                let settled = window.gone.contains(position);
                if item.key_hash() != 0 && !item.holds() && !settled {
                    keyed.hold(item.key_hash());
                }
            }
        }
        keyed.give_back(&mut window.lanes);
    }

    /// Settles what a seat has finished of its window, as its lane recorded it. Returns how many, and
    /// appends what it passed over to `back`. Its gate was cut, and the barrier passed.
    fn settle_finished(
        &mut self,
        index: usize,
        back: &mut Vec<Delivery>,
        now_ns: u64,
        after: &mut After,
    ) -> usize {
        let Some(Some(slot)) = self.slots.get_mut(index) else { return 0 };
        let Some(items) = slot.window.items.clone() else { return 0 };
        let (generation, fenced) = (slot.generation, slot.window.fenced);
        let begun = (slot.shared.gate.claimed() as usize).min(slot.window.cut);
        let mut gone = std::mem::take(&mut slot.window.gone);
        let shared = Arc::clone(&slot.shared);
        let mut odd = OddWalk::new(shared.take_odd());
        let mut finished = 0;
        for (position, delivery) in items.iter().enumerate().take(begun) {
            if gone.contains(position) {
                continue;
            }
            // A lane goes through its window in order: all but the last begun have ended, unless
            // they are suspended. The last may have ended too; only a record tells.
            let runs = position + 1 == begun || shared.is_open(position);
            match odd.at(position) {
                None if runs => continue,
                Some(Outcome::Skipped) => {
                    self.counts.in_flight -= 1;
                    back.push(delivery.clone());
                    self.let_go(delivery, fenced && !delivery.holds());
                }
                outcome => {
                    let holds = delivery.holds() || fenced;
                    let ended = Ended { delivery, generation, holds };
                    self.conclude(ended, outcome.unwrap_or(Outcome::Done), now_ns, after);
                    finished += 1;
                }
            }
            gone.insert(position);
        }
        if let Some(Some(slot)) = self.slots.get_mut(index) {
            slot.window.gone = gone;
        }
        finished
    }

    /// Cutover. When this returns, no seat starts a hand-off that was decided under the old split.
    pub(super) fn cut_over(
        &mut self,
        inbox: &Inbox,
        split: Split,
        now_ns: u64,
        after: &mut After,
    ) -> Vec<Begun> {
        self.split = split;
        self.slots.iter().flatten().for_each(|slot| slot.shared.gate.cut());
        barrier();
        let mut back = Vec::new();
        for index in 0..self.slots.len() {
            self.take_back(index, &mut back, true);
        }
        self.stage(inbox, after);
        self.none_begun(&back, now_ns);
        self.store.put_back(back, true, &self.split);
        let unattended = self.is_unattended();
        inbox.lock().set_unattended(unattended);
        inbox.report(self.load(), &mut after.wakes);
        self.pass_on(inbox, None, false, 0, after);
        // Also those that slept because their generation had no share.
        self.wake_all(inbox, after);
        self.begun()
    }

    /// Every hand-off that was begun and is not settled, as far as the lanes have said.
    pub(super) fn begun(&self) -> Vec<Begun> {
        let mut begun = Vec::new();
        for slot in self.slots.iter().flatten() {
            let Some(items) = &slot.window.items else { continue };
            let items = items.iter().enumerate().take(slot.window.cut);
            let items = items.filter(|(position, _)| !slot.window.gone.contains(*position));
            begun.extend(items.map(|(position, item)| Begun {
                seat: slot.serial,
                generation: slot.generation,
                delivery: item.id(),
                token: token(slot.window.lease, position),
            }));
        }
        begun.extend(self.open.iter().map(|(token, call)| Begun {
            seat: call.serial,
            generation: call.generation,
            delivery: call.delivery.id(),
            token: *token,
        }));
        begun
    }

    /// What a seat has not begun goes to others, and what it has finished is settled; it keeps its
    /// running calls and its lease. Returns how many went to others.
    pub(super) fn relieve(
        &mut self,
        inbox: &Inbox,
        seat: u64,
        now_ns: u64,
        after: &mut After,
    ) -> usize {
        let Some(index) = self.index_of(seat) else { return 0 };
        let Some(Some(slot)) = self.slots.get(index) else { return 0 };
        if slot.window.items.is_none() {
            return 0;
        }
        slot.shared.gate.cut();
        barrier();
        let mut back = Vec::new();
        self.settle_finished(index, &mut back, now_ns, after);
        self.take_back(index, &mut back, true);
        let moved = back.len();
        self.none_begun(&back, now_ns);
        self.store.put_back(back, false, &self.split);
        inbox.report(self.load(), &mut after.wakes);
        self.pass_on(inbox, Some(index), false, u64::MAX, after);
        moved
    }

    /// Ends a seat. What had ended is settled as recorded, what was running is repeated (and charged
    /// if it is among the `culprits`), the rest goes back as it was.
    pub(super) fn revoke(
        &mut self,
        inbox: &Inbox,
        seat: u64,
        culprits: &[(u64, Fault)],
        now_ns: u64,
        after: &mut After,
    ) -> Revoked {
        let mut revoked = Revoked::default();
        let Some(index) = self.index_of(seat) else { return revoked };
        if let Some(Some(slot)) = self.slots.get(index) {
            slot.shared.gate.cut();
        }
        barrier();
        let mut back = Vec::new();
        revoked.finished = self.settle_finished(index, &mut back, now_ns, after);
        self.take_back(index, &mut back, false);
        revoked.unstarted = back.len();
        let Some(slot) = self.slots.get_mut(index).and_then(Option::take) else { return revoked };
        let taken = |token| match culprits.iter().find(|(culprit, _)| *culprit == token) {
            Some((_, fault)) => Outcome::Fault(fault.clone()),
            None => Outcome::Revoked,
        };
        let (window, generation) = (slot.window, slot.generation);
        for (position, delivery) in window.items.iter().flat_map(|items| items.iter()).enumerate() {
            if position < window.cut && !window.gone.contains(position) {
                let holds = delivery.holds() || window.fenced;
                let outcome = taken(token(window.lease, position));
                self.conclude(Ended { delivery, generation, holds }, outcome, now_ns, after);
                revoked.running += 1;
            }
        }
        if revoked.running > 0 {
            self.ghosts.insert(seat, revoked.running as u64);
        }
        revoked.running += self.revoke_open(seat, taken, now_ns, after);
        self.none_begun(&back, now_ns);
        self.store.put_back(back, false, &self.split);
        let unattended = self.is_unattended();
        let mut state = inbox.lock();
        state.set_wake(index, None);
        state.set_unattended(unattended);
        drop(state);
        self.pass_on_all(inbox, after);
        inbox.report(self.load(), &mut after.wakes);
        revoked
    }

    /// Takes the suspended calls of a seat whose windows are settled.
    fn revoke_open(
        &mut self,
        seat: u64,
        taken: impl Fn(u64) -> Outcome,
        now_ns: u64,
        after: &mut After,
    ) -> usize {
        let mine = self.open.iter().filter(|(_, call)| call.serial == seat);
        let mut tokens: Vec<u64> = mine.map(|(token, _)| *token).collect();
        tokens.sort_unstable();
        for token in &tokens {
            let Some(call) = self.open.remove(token) else { continue };
            let (generation, holds) = (call.generation, call.delivery.holds());
            let ended = Ended { delivery: &call.delivery, generation, holds };
            let outcome = if call.is_forwarded { Outcome::Forwarded } else { taken(*token) };
            self.conclude(ended, outcome, now_ns, after);
            after.garbage.push(call.delivery);
        }
        tokens.len()
    }

    /// Writes one suspended call off. False when it is not suspended (any more).
    pub(super) fn revoke_call(
        &mut self,
        inbox: &Inbox,
        token: u64,
        fault: Fault,
        now_ns: u64,
        after: &mut After,
    ) -> bool {
        let outcome = Outcome::Fault(fault);
        if let Some(call) = self.open.remove(&token) {
            let outcome = if call.is_forwarded { Outcome::Forwarded } else { outcome };
            let holds = call.delivery.holds();
            let ended = Ended { delivery: &call.delivery, generation: call.generation, holds };
            self.conclude(ended, outcome, now_ns, after);
            after.garbage.push(call.delivery);
        } else {
            let (lease, position) = of_token(token);
            let slots = self.slots.iter_mut().flatten();
            let Some(slot) = slots.into_iter().find(|slot| slot.window.lease == lease) else {
                return false;
            };
            let window = &mut slot.window;
            let settled = window.gone.contains(position);
            let Some(items) = window.items.clone().filter(|_| !settled) else { return false };
            if position >= window.cut || !slot.shared.is_open(position) {
                return false;
            }
            window.gone.insert(position);
            window.written_off.push(position as u32);
            let holds = items[position].holds() || window.fenced;
            let generation = slot.generation;
            let delivery = &items[position];
            self.conclude(Ended { delivery, generation, holds }, outcome, now_ns, after);
        }
        self.pass_on_all(inbox, after);
        inbox.report(self.load(), &mut after.wakes);
        true
    }

    /// The delivery of a begun hand-off, if its lease is still that of the seat.
    pub(super) fn leased(&self, seat: u64, token: u64) -> Option<&Delivery> {
        if let Some(call) = self.open.get(&token) {
            return Some(&call.delivery);
        }
        let (lease, position) = of_token(token);
        let slot = self.slots.iter().flatten().find(|slot| slot.serial == seat)?;
        let window = &slot.window;
        let is_current = window.lease == lease && !window.gone.contains(position);
        window.items.as_ref().filter(|_| is_current)?.get(position)
    }

    /// Where every seat with a window stands.
    pub(super) fn progress(&self) -> Vec<Progress> {
        let working = self.slots.iter().flatten().filter(|slot| slot.window.items.is_some());
        let progress = working.map(|slot| Progress {
            seat: slot.serial,
            lease: slot.window.lease,
            begun: slot.shared.gate.claimed(),
        });
        progress.collect()
    }

    fn index_of(&self, seat: u64) -> Option<usize> {
        self.slots.iter().position(|slot| slot.as_ref().is_some_and(|slot| slot.serial == seat))
    }

    /// Ends the subscription: everything that waits is dropped, and so is what comes back later.
    pub(super) fn close(&mut self, inbox: &Inbox, after: &mut After) -> u64 {
        self.stage(inbox, after);
        self.closed = true;
        let dropped = self.drop_waiting(after);
        self.wake_all(inbox, after);
        self.demands.clear();
        dropped
    }

    /// Drops everything that waits, as a closed subscription does.
    pub(super) fn drop_waiting(&mut self, after: &mut After) -> u64 {
        let mut places = Vec::new();
        let waiting = self.store.drain(&mut places);
        let held = self.pending.len();
        let dropped = (waiting.len() + places.len() + held) as u64;
        self.counts.dropped.add(crate::DropReason::Unload, dropped);
        // Not those of what lanes still hold: it may die yet.
        let here = waiting.iter().map(Delivery::id);
        for id in here.chain(places.iter().map(|place| place.id)) {
            self.histories.remove(&id);
        }
        after.garbage.extend(waiting);
        self.pending.clear();
        dropped
    }
}
