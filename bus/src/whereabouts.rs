//! Where the deliveries of one message are right now: a look at every queue, for people who ask.
//!
//! **Absent on purpose.** What was settled: a queue forgets it. No index by id either; a look goes
//! through what waits, one queue after the other, and is not for the hot path.

use std::sync::Arc;

use patchbay_slab::Message;

use crate::{
    broker::Broker,
    dead_letters::{DeadLetter, Failure},
    subscription::Subscription,
};

/// One delivery that is not settled, or that is a dead letter.
#[derive(Clone, Debug)]
pub struct Whereabouts {
    /// The plugin that owns the subscription.
    pub owner: Arc<str>,
    /// The subscription; `None` when it is gone and only the dead letter is left.
    pub subscription: Option<Arc<Subscription>>,
    /// The message.
    pub message: Message,
    /// The delivery's id.
    pub delivery: u64,
    /// Where it is.
    pub place: Place,
    /// Hand-offs so far.
    pub attempts: u32,
    /// Failures charged so far.
    pub failures: u32,
    /// How often it was sent back from the dead letters.
    pub redrives: u32,
    /// The last failures, oldest first.
    pub history: Vec<Failure>,
    /// When it was accepted, nanoseconds since the Unix epoch.
    pub accepted_unix_ns: u64,
}

/// Where a delivery is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Place {
    /// Waits for a hand-off.
    Queued,
    /// Waits for a time, nanoseconds since the Unix epoch.
    Delayed {
        /// When.
        due_unix_ns: u64,
    },
    /// With a lane: handed off, or about to be.
    InFlight {
        /// Of which generation.
        generation: u64,
    },
    /// Dead, and kept in its queue because the dead letters are full.
    DeadPending,
    /// A dead letter.
    Dead(Arc<DeadLetter>),
}

/// What a queue knows of a delivery.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) message: Message,
    pub(crate) delivery: u64,
    pub(crate) place: Place,
    pub(crate) attempts: u32,
    pub(crate) failures: u32,
    pub(crate) redrives: u32,
    pub(crate) history: Vec<Failure>,
    /// On the monotonic clock.
    pub(crate) accepted_ns: u64,
}

// === impl Broker ===

impl Broker {
    /// Where the deliveries of a message are. Those that are settled are not among them, nor those
    /// that wait in the journal only.
    #[must_use]
    pub fn whereabouts(&self, mid: u128) -> Vec<Whereabouts> {
        let mut all = Vec::new();
        for subscription in self.subscriptions() {
            let offset = subscription.unix_offset();
            for found in subscription.queue.find(mid, offset) {
                all.push(Whereabouts {
                    owner: subscription.spec().owner.clone(),
                    subscription: Some(Arc::clone(&subscription)),
                    message: found.message,
                    delivery: found.delivery,
                    place: found.place,
                    attempts: found.attempts,
                    failures: found.failures,
                    redrives: found.redrives,
                    history: found.history,
                    accepted_unix_ns: found.accepted_ns.wrapping_add(offset),
                });
            }
        }
        for letter in self.dead_letters().of_message(mid) {
            let owned = |it: &Arc<Subscription>| it.id() == letter.subscription;
            all.push(Whereabouts {
                owner: Arc::clone(&letter.owner),
                subscription: self.subscriptions().into_iter().find(owned),
                message: letter.message.clone(),
                delivery: letter.delivery,
                attempts: letter.attempts,
                failures: letter.failures,
                redrives: letter.redrives,
                history: letter.history.clone(),
                accepted_unix_ns: letter.accepted_unix_ns,
                place: Place::Dead(letter),
            });
        }
        all
    }
}
