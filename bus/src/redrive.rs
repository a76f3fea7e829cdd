//! What becomes of dead letters: purged, sent back, too old. Durable ones are recorded first, so that
//! it happens once (promise P-21).

use std::sync::{Arc, Weak};

use patchbay_journal::{Level, Record};

use crate::{
    broker::{Broker, Inner},
    dead_letters::{DeadLetter, DeadLetters, UnreadableLetter},
    subscription::Subscription,
    wake::Wake,
};

/// A dead letter was not sent back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RedriveError {
    /// There is no such letter (any more).
    #[error("there is no dead letter {0}")]
    Unknown(u64),
    /// The journal cannot take it: it stays where it is.
    #[error("dead letter {number} cannot be sent back: the journal does not take it")]
    Journal {
        /// The letter.
        number: u64,
    },
    /// Its subscription was removed.
    #[error("the subscription of dead letter {number} is gone; it belonged to `{owner}`")]
    Gone {
        /// The letter.
        number: u64,
        /// Whose it was.
        owner: String,
    },
}

impl Broker {
    /// What could not be handled.
    #[must_use]
    pub fn dead_letters(&self) -> &DeadLetters {
        &self.inner().dead_letters
    }

    /// Deletes a dead letter for good. Those held back for lack of room move up.
    pub fn purge(&self, number: u64) -> Option<Arc<DeadLetter>> {
        let letter = self.inner().dead_letters.take(number)?;
        if letter.is_durable && !self.forget(&[number]) {
            self.inner().dead_letters.put_back(letter);
            return None;
        }
        self.move_up();
        Some(letter)
    }

    /// Forgets a dead letter whose message cannot be read.
    pub fn purge_unreadable(&self, number: u64) -> Option<UnreadableLetter> {
        let letter = self.inner().dead_letters.take_unreadable(number)?;
        if !self.forget(&[number]) {
            self.inner().dead_letters.put_unreadable(letter);
            return None;
        }
        Some(letter)
    }

    /// Sends a dead letter back to its own subscription, with a clean count. Nobody else sees it.
    ///
    /// # Errors
    /// When there is no such letter, or its subscription is gone; then it stays where it is.
    pub fn redrive(&self, number: u64) -> Result<(), RedriveError> {
        // Taken out first: two redrives at the same time are one.
        let letter = self.inner().dead_letters.take(number).ok_or(RedriveError::Unknown(number))?;
        let found = self.everybody().into_iter().find(|it| it.id() == letter.subscription);
        let redriven = match &found {
            None => Err(RedriveError::Gone { number, owner: letter.owner.to_string() }),
            Some(subscription) => {
                let key = subscription.spec().key_of(&letter.message);
                let now_ns = self.inner().clock.now_ns();
                let (redriven, due) = subscription.queue.redrive(&letter, key, now_ns);
                subscription.arm(due);
                subscription.announce();
                redriven
            }
        };
        if let Err(error) = redriven {
            self.inner().dead_letters.put_back(letter);
            return Err(error);
        }
        self.move_up();
        Ok(())
    }

    /// Every subscription that is not over, also those that nothing is routed to.
    pub(crate) fn everybody(&self) -> Vec<Arc<Subscription>> {
        self.inner().all().into_iter().filter(|each| !each.queue.is_over()).collect()
    }

    /// Tells the journal that letters are gone. False when it cannot be told.
    fn forget(&self, letters: &[u64]) -> bool {
        let Some(journal) = &self.inner().journal else { return true };
        let at_unix_ns = self.inner().clock.unix_ns();
        let mut last = Ok(0);
        for letter in letters {
            let purged = Record::Purged { letter: *letter, at_unix_ns };
            last = journal.append(&purged).map(|at| at.number);
        }
        last.is_ok_and(|number| number == 0 || journal.wait(number, Level::Disk).is_ok())
    }

    /// Gives up dead letters that are too old, and tells the journal of those that went. Happens by
    /// itself once a minute; blocks while the journal writes.
    pub fn tidy(&self) {
        let letters = &self.inner().dead_letters;
        let went = letters.expire(self.inner().clock.unix_ns());
        let gone = letters.take_given_up();
        if let Some(journal) = &self.inner().journal {
            let at_unix_ns = self.inner().clock.unix_ns();
            for letter in gone {
                // What it does not take it gives back at the next start, and then they go again.
                let _told = journal.record(&Record::Purged { letter, at_unix_ns });
            }
        }
        if went > 0 {
            self.move_up();
        }
    }

    pub(crate) fn move_up(&self) {
        // In the same order in every life, whoever came first for what it held.
        let mut all = self.everybody();
        all.sort_unstable_by_key(|subscription| subscription.id());
        for subscription in all {
            subscription.arm(subscription.queue.bury_pending());
        }
    }

    /// Looks after the dead letters now and then, as long as the bus lives.
    pub(crate) fn tidy_later(&self) {
        let due_ns = self.clock().now_ns().saturating_add(TIDY_EVERY_NS);
        // Too many timers: what is too old goes with the next start.
        let _timer = self.wake_at(due_ns, Arc::new(Tidy(self.downgrade())));
    }
}

/// How often letters that are too old are looked for.
const TIDY_EVERY_NS: u64 = 60_000_000_000;

/// The timer must not keep the bus alive.
struct Tidy(Weak<Inner>);

impl Wake for Tidy {
    fn wake(&self) {
        if let Some(broker) = self.0.upgrade().map(Broker::from_inner) {
            broker.tidy();
            broker.tidy_later();
        }
    }
}
