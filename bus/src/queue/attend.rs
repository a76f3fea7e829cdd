//! Who comes by itself, who has to be woken, and who has to be asked to send somebody.

use std::sync::Arc;

use super::{
    desk::{After, Demand, Desk, Slot},
    inbox::{Fetch, Inbox, SEATS_MAX, Visit},
    window::{Hand, Shared, Window},
};
use crate::{delivery::Delivery, wake::Wake};

// === impl Desk ===

impl Desk {
    /// A new seat, or `None` when there are too many.
    pub(super) fn enter(
        &mut self,
        inbox: &Inbox,
        generation: u64,
        wake: Arc<dyn Wake>,
    ) -> Option<Hand> {
        let free = self.slots.iter().position(Option::is_none);
        let index = free.or_else(|| {
            self.slots.push(None);
            (self.slots.len() <= SEATS_MAX).then(|| self.slots.len() - 1)
        });
        let Some(index) = index else {
            self.slots.truncate(SEATS_MAX);
            return None;
        };
        self.last_serial += 1;
        let shared = Arc::new(Shared::new());
        self.slots[index] = Some(Slot {
            serial: self.last_serial,
            generation,
            shared: Arc::clone(&shared),
            wake: Arc::clone(&wake),
            present: true,
            window: Window::default(),
        });
        let unattended = self.is_unattended();
        let mut state = inbox.lock();
        state.set_wake(index, Some(wake));
        state.set_unattended(unattended);
        Some(Hand::new(index, self.last_serial, generation, shared))
    }

    /// A seat is here.
    #[inline]
    pub(super) fn attend(&mut self, inbox: &Inbox, hand: &Hand) {
        for demand in &mut self.demands {
            if demand.generation == hand.generation {
                demand.raised = false;
            }
        }
        let Some(slot) = self.slot(hand.slot, hand.serial) else { return };
        if !slot.present {
            slot.present = true;
            let unattended = self.is_unattended();
            inbox.lock().set_unattended(unattended);
        }
    }

    /// A seat will not come for a while. A wake-up that it got meanwhile is passed on.
    pub(super) fn step_away(&mut self, inbox: &Inbox, hand: &Hand, after: &mut After) {
        let Some(slot) = self.slot(hand.slot, hand.serial) else { return };
        slot.present = false;
        let unattended = self.is_unattended();
        let mut state = inbox.lock();
        state.clear_parked(hand.slot);
        state.set_unattended(unattended);
        drop(state);
        self.pass_on_all(inbox, after);
    }

    /// Whether nobody would look at the inbox by itself.
    pub(super) fn is_unattended(&self) -> bool {
        let shares = |slot: &Slot| self.split.part_of(slot.generation).is_some();
        !self.slots.iter().flatten().any(|slot| slot.present && shares(slot))
    }

    /// Seats that could take what lies ready: one of them is woken if asleep, and wakes the next if
    /// there is more. Where there is no seat, somebody is asked to send one. `alone`: no other seat
    /// shares the part of `me`. `parked`: an upper bound of those asleep.
    pub(super) fn pass_on(
        &mut self,
        inbox: &Inbox,
        me: Option<usize>,
        alone: bool,
        parked: u64,
        after: &mut After,
    ) {
        let mine = me.and_then(|me| self.slots[me].as_ref()).map(|slot| slot.generation);
        let mut mask = 0u64;
        for part in 0..self.split.generations().len() {
            let generation = self.split.generations()[part];
            if alone && mine == Some(generation) || !self.has_ready(part) {
                continue;
            }
            let mut attended = false;
            for (index, slot) in self.slots.iter().enumerate() {
                if let Some(slot) = slot.as_ref().filter(|slot| slot.generation == generation) {
                    attended |= slot.present;
                    mask |= u64::from(Some(index) != me) << index;
                }
            }
            if !attended {
                self.raise(generation, after);
            }
        }
        if mask & parked != 0 {
            inbox.unpark(mask, false, &mut after.wakes);
        }
    }

    /// As [`Desk::pass_on`], for everything, with what lies in the inbox.
    pub(super) fn pass_on_all(&mut self, inbox: &Inbox, after: &mut After) {
        self.stage(inbox, after);
        self.pass_on(inbox, None, false, u64::MAX, after);
    }

    /// Sorts what lies in the inbox.
    pub(super) fn stage(&mut self, inbox: &Inbox, after: &mut After) {
        let (mut window, mut stage): (Vec<Delivery>, Vec<Delivery>) = Default::default();
        let mut later = Vec::new();
        let mut behind = None;
        let visit = inbox.visit(
            self.load(),
            Fetch {
                seat_bit: 0,
                park: false,
                leave: false,
                direct: 0,
                window: &mut window,
                stage: &mut stage,
                later: &mut later,
                behind: &mut behind,
                freed: &mut after.wakes,
                parked: &mut 0,
            },
        );
        self.set_behind(behind);
        if visit == Visit::Staged {
            self.sort_in(&mut stage);
        }
        self.add_later(&mut later);
    }

    /// Asks for a lane of that generation, once until one comes.
    fn raise(&mut self, generation: u64, after: &mut After) {
        for demand in &mut self.demands {
            if demand.generation == generation && !demand.raised {
                demand.raised = true;
                after.wakes.push(Arc::clone(&demand.wake));
            }
        }
    }

    /// A publisher found nobody attending.
    pub(super) fn raise_all(&mut self, inbox: &Inbox, after: &mut After) {
        if inbox.lock().later() > 0 {
            // To the wheel, so that the timer hears of it.
            return self.pass_on_all(inbox, after);
        }
        match self.split.generations() {
            // With one part, what waits is for that part: no need to sort it here.
            [generation] if self.is_unattended() => self.raise(*generation, after),
            [] => {}
            _ => self.pass_on_all(inbox, after),
        }
    }

    /// Registers who is asked for lanes of a generation.
    pub(super) fn demand(
        &mut self,
        inbox: &Inbox,
        generation: u64,
        wake: Arc<dyn Wake>,
        after: &mut After,
    ) {
        self.demands.retain(|demand| demand.generation != generation);
        self.demands.push(Demand { generation, wake, raised: false });
        self.pass_on_all(inbox, after);
    }

    /// Wakes every seat, asleep or not.
    pub(super) fn wake_all(&mut self, inbox: &Inbox, after: &mut After) {
        // Clears the bits: whoever comes sets its own again.
        inbox.unpark(u64::MAX, true, &mut crate::wake::Wakes::default());
        for slot in self.slots.iter().flatten() {
            after.wakes.push(Arc::clone(&slot.wake));
        }
    }
}
