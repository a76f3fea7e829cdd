//! Dead letters: sent back, deleted, listed.

use patchbay_bus::{DeadLetter, RedriveError};
use patchbay_testkit::checker::{Dead, Event};

use super::host::{Host, tag_of};
use crate::{dice::Dice, world::Disagreement};

impl Host {
    /// Sends one back. Twice is once.
    pub(super) fn redrive(&mut self, dice: &mut Dice) -> Result<(), Disagreement> {
        let letters = self.life.broker.dead_letters().after(0, usize::MAX);
        if letters.is_empty() {
            return Ok(());
        }
        let letter = dice.pick(&letters);
        let (number, dead) = (letter.number, self.dead(letter));
        let subscription = dead.subscription.clone();
        self.note(Event::Redrive { subscription: subscription.clone(), message: None });
        let t = self.tick();
        match self.life.broker.redrive(number) {
            Ok(()) => {
                let message = Some(dead.tag.clone());
                self.note_since(Event::Redrive { subscription, message }, t);
                self.went(letter, dead);
            }
            // Not known: the letter is there after the next start, or its delivery is.
            Err(RedriveError::Journal { .. }) => {
                self.unsure.push((number, dead));
                return Ok(());
            }
            Err(error) => return Err(format!("a letter that is listed: {error}")),
        }
        match self.life.broker.redrive(number) {
            Err(RedriveError::Unknown(_)) => Ok(()),
            other => Err(format!("letter {number}, sent back twice: {other:?}")),
        }
    }

    /// Deletes one. It was there, which is what the checker has to know.
    pub(super) fn purge(&mut self, which: usize) {
        let letters = self.life.broker.dead_letters().after(0, usize::MAX);
        if letters.is_empty() {
            return;
        }
        let letter = &letters[which % letters.len()];
        let (number, dead) = (letter.number, self.dead(letter));
        match self.life.broker.purge(number) {
            Some(_) => self.went(letter, dead),
            None => {
                // Not known either: how many there were is not judged then.
                let subscription = dead.subscription.clone();
                self.note(Event::Redrive { subscription, message: None });
                self.unsure.push((number, dead));
            }
        }
    }

    /// Whether a subscription holds dead deliveries back for want of room.
    pub(super) fn is_choked(&self) -> bool {
        let held = self.life.subscriptions.iter().map(|one| one.ledger().dead_pending);
        held.sum::<u64>() > 0
    }

    /// Those that are left at the end.
    pub(super) fn list_dead(&mut self) {
        let letters = self.life.broker.dead_letters().after(0, usize::MAX);
        let listed: Vec<Dead> = letters.iter().map(|letter| self.dead(letter)).collect();
        for (number, dead) in std::mem::take(&mut self.unsure) {
            if letters.iter().all(|letter| letter.number != number) {
                self.records.push(dead.into());
            }
        }
        let went = std::mem::take(&mut self.fleeting);
        listed.into_iter().chain(went).for_each(|dead| self.records.push(dead.into()));
    }

    /// What was only in memory is forgotten with the life.
    fn went(&mut self, letter: &DeadLetter, dead: Dead) {
        if letter.is_durable {
            self.records.push(dead.into());
        } else {
            self.fleeting.push(dead);
        }
    }

    fn dead(&self, letter: &DeadLetter) -> Dead {
        let at = self.specs.iter().position(|spec| spec.owner == letter.owner);
        Dead {
            tag: tag_of(letter.message.payload()),
            subscription: Host::name(at.unwrap_or_default()),
            cause: letter.cause.label().to_owned(),
        }
    }
}
