//! Dead deliveries on their way to the dead letters, and back.

use std::mem;

use patchbay_journal::{Level, Record, Redriven, Target};

use super::{
    desk::History,
    service::{Due, Queue},
};
use crate::{dead_letters::DeadLetter, delivery::Delivery, redrive::RedriveError};

impl Queue {
    /// Moves dead deliveries that were held back to the dead letters, as far as there is room.
    pub(crate) fn bury_pending(&self) -> Due {
        let (_, due) = self.at_desk(|desk, inbox, after| {
            if desk.pending.is_empty() {
                return;
            }
            let was_choked = desk.is_choked();
            for (is_durable, letter) in mem::take(&mut desk.pending) {
                desk.bury(letter, is_durable, after);
            }
            if was_choked && !desk.is_choked() {
                desk.wake_all(inbox, after);
            }
        });
        due
    }

    /// Accepts a dead letter once more, with a clean count.
    pub(crate) fn redrive(
        &self,
        letter: &DeadLetter,
        key: u64,
        now_ns: u64,
    ) -> (Result<(), RedriveError>, Due) {
        let number = letter.number;
        // In two steps where the journal has it: recorded, and then handed out.
        let id = match self.next_id(letter, now_ns) {
            Ok(id) => id,
            Err(error) => return (Err(error), Due::MAX),
        };
        self.at_desk(|desk, inbox, after| {
            if desk.closed {
                return Err(RedriveError::Gone { number, owner: letter.owner.to_string() });
            }
            let mut delivery = Delivery::new(letter.message.clone(), id, key, now_ns);
            delivery.set_troubled();
            if letter.is_durable {
                delivery.set_durable();
                if let Some(durable) = &mut desk.durable {
                    durable.is_used = true;
                    durable.known.insert(id);
                }
            }
            let history = History {
                failures: 0,
                redrives: letter.redrives + 1,
                last: letter.history.clone(),
            };
            desk.histories.insert(id, history);
            desk.stage(inbox, after);
            desk.store.add_all(&mut vec![delivery], &desk.split);
            inbox.report(desk.load(), &mut after.wakes);
            desk.pass_on(inbox, None, false, u64::MAX, after);
            Ok(())
        })
    }

    /// The id of a letter's new delivery, recorded if the letter is.
    fn next_id(&self, letter: &DeadLetter, now_ns: u64) -> Result<u64, RedriveError> {
        let number = letter.number;
        let desk = self.lock_desk();
        let mut state = self.inbox.lock();
        if desk.closed {
            return Err(RedriveError::Gone { number, owner: letter.owner.to_string() });
        }
        let Some(journal) = self.journal.as_ref().filter(|_| letter.is_durable) else {
            return Ok(state.next_id());
        };
        let redriven = Redriven {
            letter: number,
            target: Target { sub: self.id as u32, id: state.upcoming() },
            redrives: letter.redrives + 1,
            at_unix_ns: now_ns.wrapping_add(desk.unix_offset),
        };
        let at = journal.append(&Record::Redriven(redriven));
        let at = at.map_err(|_| RedriveError::Journal { number })?;
        let id = state.next_id();
        drop((state, desk));
        // Not known whether it is recorded: the letter is back after a restart, or its delivery.
        journal.wait(at.number, Level::Disk).map_err(|_| RedriveError::Journal { number })?;
        Ok(id)
    }
}
