//! One suspect at a time: see `solo`.

use std::{mem, sync::Arc};

use patchbay_slab::Slab;

use super::{
    refill::Reading,
    seat::Taken,
    service::{Due, Queue, Time},
    window::Hand,
};

impl Queue {
    /// How many deliveries may have ended a process, one that is out included.
    pub(crate) fn suspects(&self) -> usize {
        let desk = self.lock_desk();
        let is_out = desk.durable.as_ref().is_some_and(|durable| durable.solo);
        desk.suspects() + usize::from(is_out)
    }

    /// Whether a lane comes, or is sent when it is asked for.
    pub(crate) fn is_attended(&self) -> bool {
        let desk = self.lock_desk();
        let wanted = |generation: u64| desk.split.part_of(generation).is_some();
        !desk.is_unattended() || desk.demands.iter().any(|demand| wanted(demand.generation))
    }

    /// Whether the suspect that was out was settled; true once.
    pub(crate) fn ended_solo(&self) -> bool {
        let mut desk = self.lock_desk();
        let is_over = desk.counts.in_flight == 0;
        let Some(durable) = &mut desk.durable else { return false };
        is_over && mem::take(&mut durable.solo)
    }

    /// Wakes every seat, and asks for one where there is none.
    pub(crate) fn poke(&self) {
        self.at_desk(|desk, inbox, after| {
            desk.wake_all(inbox, after);
            desk.pass_on(inbox, None, false, 0, after);
        });
    }

    /// Gives the seat one suspect and nothing else. Nothing is out anywhere.
    pub(crate) fn take_suspect(&self, hand: &mut Hand, time: Time) -> (Taken, Due) {
        let empty = (Taken::Empty { next_due_ns: None }, Due::MAX);
        let Some(journal) = &self.journal else { return empty };
        let mut desk = self.lock_desk();
        if desk.split.part_of(hand.generation).is_none() || desk.is_choked() {
            return empty;
        }
        let Some(durable) = &mut desk.durable else { return empty };
        let Some(bookmark) = durable.suspects.pop_front() else { return empty };
        durable.solo = true;
        durable.away = 1;
        drop(desk);
        let reading = Reading { journal, spec: &self.spec, sub: self.id as u32, time };
        let found = reading.read(&bookmark);
        let (taken, due) = self.at_desk(|desk, inbox, after| {
            if let Some(durable) = &mut desk.durable {
                durable.away = 0;
            }
            let Ok(stored) = found else {
                // It cannot be read: nothing more is handed out here, and it is not lost.
                if let Some(durable) = &mut desk.durable {
                    durable.suspects.push_front(bookmark);
                    (durable.solo, durable.is_halted) = (false, true);
                }
                return Taken::Empty { next_due_ns: None };
            };
            let mut delivery = reading.delivery(bookmark, &stored, &mut Slab::new());
            if desk.histories.contains_key(&delivery.id()) {
                delivery.set_troubled();
            }
            let Some(window) = Arc::get_mut(&mut hand.current) else {
                return Taken::Empty { next_due_ns: None };
            };
            window.push(delivery);
            desk.open_window(hand, Vec::new());
            inbox.report(desk.load(), &mut after.wakes);
            Taken::Batch(1)
        });
        if taken != Taken::Batch(1) || self.begin_or_give_back(journal, hand, time) {
            return (taken, due);
        }
        empty
    }
}
