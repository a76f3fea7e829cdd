//! A durable delivery is forwarded: settled and published in one record (promise P-4).
//!
//! The desk is locked while the record is appended, so that its lease cannot be taken in between;
//! inside it the inboxes of the targets, in the order of their ids. Nobody takes a desk while an
//! inbox is held, so the locks of two desks that forward to each other are in no circle.

use patchbay_journal::{Level, Target};
use patchbay_slab::Message;

use super::{durable::Forwarding, service::Queue, window::of_token};
use crate::{
    publisher::{Pending, PublishError, Publisher},
    settlement::Outcome,
};

/// A forward that is asked for.
pub(crate) struct Forward<'a> {
    pub(crate) seat: u64,
    pub(crate) token: u64,
    /// The delivery that is forwarded.
    pub(crate) delivery: u64,
    pub(crate) topic: &'a str,
    pub(crate) message: &'a Message,
    pub(crate) cause: &'a Message,
}

impl Queue {
    /// The id of a hand-off's delivery, if the journal has it and its lease is still that of the
    /// seat.
    pub(crate) fn durable_id(&self, seat: u64, token: u64) -> Option<u64> {
        self.lock_desk()
            .leased(seat, token)
            .filter(|delivery| delivery.is_durable())
            .map(|d| d.id())
    }

    /// Forwards a durable delivery.
    pub(crate) fn forward(
        &self,
        publisher: &mut Publisher,
        forward: &Forward<'_>,
    ) -> Result<(), PublishError> {
        let Forward { seat, token, delivery, topic, message, cause } = *forward;
        let message = publisher.forwarding(topic, message, cause)?;
        let level = publisher.level_of(topic)?;
        if level == Level::Memory {
            let published = publisher.admit_forwarded(message)?;
            let mut desk = self.lock_desk();
            if let Some(durable) = &mut desk.durable {
                let to = Forwarding::Unrecorded(topic.to_owned(), published.id);
                durable.forwards.insert(delivery, to);
            }
            return Ok(());
        }
        loop {
            let mut desk = self.lock_desk();
            if desk.leased(seat, token).is_none() {
                // Revoked meanwhile: whoever repeats it will forward it; this one is stale.
                return Ok(());
            }
            let Some(sub) = desk.durable.as_ref().map(|durable| durable.sub) else {
                return Err(PublishError::Closed);
            };
            let from = Target { sub, id: delivery };
            let Some(pending) = publisher.record_forward(&message, level, from)? else {
                // The routes change: whoever does it may need this desk.
                drop(desk);
                publisher.settle_routes();
                continue;
            };
            if let Some(durable) = &mut desk.durable {
                durable.forwards.insert(delivery, Forwarding::Recorded);
            }
            // Said here, so that a revocation finds it settled. A call whose window is settled has a
            // lease of its own; that window's place may be the next one's already.
            let (lease, position) = of_token(token);
            if let Some(call) = desk.open.get_mut(&token) {
                call.is_forwarded = true;
            } else if let Some(slot) = desk
                .slots
                .iter()
                .flatten()
                .find(|slot| slot.serial == seat && slot.window.lease == lease)
            {
                slot.shared.record(position as u32, Outcome::Forwarded);
            }
            drop(desk);
            // Nobody waits: the settlement of what comes of it is recorded behind it.
            Pending::release(pending);
            publisher.tell_news();
            return Ok(());
        }
    }
}
