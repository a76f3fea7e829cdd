//! Dead letters: bounded, held back when they are full, sent back, deleted.

use patchbay_bus::{DeadCause, WhenFull};

use crate::{
    delivery::{Delivery, Wait},
    effect::Effect,
    event::Moment,
    state::State,
};

/// A delivery that nobody will hand off again.
#[derive(Clone, Debug)]
pub struct Letter {
    /// Its number; 0 while it is held back.
    pub number: u64,
    /// Where it died.
    pub subscription: u64,
    /// The delivery as it was.
    pub delivery: Delivery,
    /// Failures, the last one included if it was charged.
    pub failures: u32,
    /// Why.
    pub cause: DeadCause,
}

impl State {
    /// Gives a dead delivery to the dead letters, or back when there is no room.
    pub(crate) fn offer(&mut self, mut letter: Letter) -> Option<Letter> {
        let limits = &self.limits.letters;
        let size = letter.delivery.facts.size();
        loop {
            let bytes: usize = self.letters.iter().map(|one| one.delivery.facts.size()).sum();
            if self.letters.len() < limits.max_count && bytes + size <= limits.max_bytes {
                break;
            }
            if limits.when_full == WhenFull::Hold {
                return Some(letter);
            }
            if self.letters.is_empty() {
                return None;
            }
            self.letters.remove(0);
        }
        self.last_letter += 1;
        letter.number = self.last_letter;
        // Of a subscription that was removed nothing is written down.
        if self.subscriptions.get(&letter.subscription).is_some_and(|one| !one.closed) {
            self.recorded_letter = self.last_letter;
        }
        self.letters.push(letter);
        None
    }

    /// Gives those held back another chance, subscription by subscription.
    pub(crate) fn move_up(&mut self) {
        let all: Vec<u64> = self.subscriptions.keys().copied().collect();
        for id in all {
            let Some(subscription) = self.subscriptions.get_mut(&id) else { continue };
            for letter in std::mem::take(&mut subscription.pending) {
                let held = self.offer(letter);
                let Some(subscription) = self.subscriptions.get_mut(&id) else { continue };
                match held {
                    None => subscription.counts.dead += 1,
                    Some(letter) => subscription.pending.push(letter),
                }
            }
        }
    }

    pub(crate) fn purge(&mut self, number: u64) -> Effect {
        let found = self.letters.iter().position(|letter| letter.number == number);
        if let Some(at) = found {
            self.letters.remove(at);
            self.move_up();
        }
        Effect::Purged(found.is_some())
    }

    /// Back to its own subscription, as a new delivery with a clean count.
    pub(crate) fn redrive(&mut self, number: u64, now: Moment) -> Effect {
        let Some(at) = self.letters.iter().position(|letter| letter.number == number) else {
            return Effect::Redriven(None);
        };
        let durable = self.limits.durable;
        let letter = self.letters[at].clone();
        let subscription = self.subscriptions.get_mut(&letter.subscription);
        let Some(subscription) = subscription.filter(|one| !one.closed) else {
            return Effect::Redriven(Some(None));
        };
        self.letters.remove(at);
        let id = subscription.next_id;
        subscription.next_id += 1;
        subscription.accepted += 1;
        let key = subscription.key_of(&letter.delivery.facts.key);
        let delivery = Delivery {
            id,
            key,
            accepted_ns: now.now_ns,
            attempts: 0,
            failures: 0,
            history: if durable { Vec::new() } else { letter.delivery.history.clone() },
            redrives: letter.delivery.redrives + 1,
            tried: false,
            late: false,
            wait: Wait::Lane,
            deadline: None,
            accused: false,
            suspect: false,
            deaths: 0,
            known: false,
            ..letter.delivery
        };
        subscription.waiting.insert(id, delivery);
        self.move_up();
        Effect::Redriven(Some(Some(id)))
    }
}
