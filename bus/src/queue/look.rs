//! A look for one message, wherever in the queue its delivery is.

use super::{desk::Desk, service::Queue};
use crate::{
    delivery::Delivery,
    whereabouts::{Found, Place},
};

// === impl Queue ===

impl Queue {
    /// The deliveries of a message that wait or run here. `offset`: wall clock less monotonic clock.
    pub(crate) fn find(&self, mid: u128, offset: u64) -> Vec<Found> {
        let mut found = Vec::new();
        self.look(|desk, inbox| {
            let mut see = |delivery: &Delivery, place: Place| {
                if delivery.message().id() == mid {
                    found.push(desk.found(delivery, place));
                }
            };
            let later = |due_ns: u64| Place::Delayed { due_unix_ns: due_ns.wrapping_add(offset) };
            desk.store.each(|due_ns, delivery| match due_ns {
                0 => see(delivery, Place::Queued),
                due_ns => see(delivery, later(due_ns)),
            });
            for slot in desk.slots.iter().flatten() {
                let generation = slot.generation;
                slot.window.each(|delivery| see(delivery, Place::InFlight { generation }));
            }
            for call in desk.open.values() {
                see(&call.delivery, Place::InFlight { generation: call.generation });
            }
            inbox.lock().each(|due_ns, delivery| match due_ns {
                0 => see(delivery, Place::Queued),
                due_ns => see(delivery, later(due_ns)),
            });
            let pending = desk.pending.iter().map(|(_, letter)| letter);
            let pending = pending.filter(|letter| letter.message.id() == mid);
            found.extend(pending.map(|letter| Found {
                message: letter.message.clone(),
                delivery: letter.delivery,
                place: Place::DeadPending,
                attempts: letter.attempts,
                failures: letter.failures,
                redrives: letter.redrives,
                history: letter.history.clone(),
                accepted_ns: letter.accepted_unix_ns.wrapping_sub(offset),
            }));
        });
        found
    }
}

// === impl Desk ===

impl Desk {
    fn found(&self, delivery: &Delivery, place: Place) -> Found {
        let history = self.histories.get(&delivery.id());
        let running = matches!(place, Place::InFlight { .. });
        Found {
            message: delivery.message().clone(),
            delivery: delivery.id(),
            place,
            attempts: delivery.attempt() - u32::from(!running),
            failures: history.map_or(0, |history| history.failures),
            redrives: history.map_or(0, |history| history.redrives),
            history: history.map(|history| history.last.clone()).unwrap_or_default(),
            accepted_ns: delivery.accepted_ns(),
        }
    }
}
