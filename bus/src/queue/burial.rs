//! Dead deliveries on their way to the dead letters, and back.

use std::mem;

use patchbay_journal::{Level, Record, Redriven, Target};

use super::{
    desk::History,
    intake::Sealed,
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

    /// Accepts a dead letter once more, with a clean count. Where the journal has it, that is one
    /// record, and nothing is handed out before it is on the device.
    pub(crate) fn redrive(
        &self,
        letter: &DeadLetter,
        key: u64,
        now_ns: u64,
    ) -> (Result<(), RedriveError>, Due) {
        let number = letter.number;
        let (redriven, due) = self.at_desk(|desk, inbox, after| {
            if desk.closed {
                return Err(RedriveError::Gone { number, owner: letter.owner.to_string() });
            }
            let mut state = inbox.lock();
            let mut delivery = Delivery::new(letter.message.clone(), state.upcoming(), key, now_ns);
            delivery.set_troubled();
            let mut record = 0;
            if let Some(journal) = self.journal.as_ref().filter(|_| letter.is_durable) {
                if desk.durable.as_ref().is_some_and(|durable| durable.is_halted) {
                    // The journal may not know that it is dead.
                    return Err(RedriveError::Journal { number });
                }
                let redriven = Redriven {
                    letter: number,
                    target: Target { sub: self.id as u32, id: delivery.id() },
                    redrives: letter.redrives + 1,
                    at_unix_ns: now_ns.wrapping_add(desk.unix_offset),
                };
                let at = journal.append(&Record::Redriven(redriven));
                record = at.map_err(|_| RedriveError::Journal { number })?.number;
                delivery.set_durable();
                if let Some(durable) = desk.durable.as_mut().filter(|_| state.intake.is_spilling())
                {
                    durable.known.insert(delivery.id());
                }
            }
            state.next_id();
            // A clean count. The journal does not keep what it failed of before, and deaths of a
            // process must not be held against it in the next life.
            let last = if letter.is_durable { Vec::new() } else { letter.history.clone() };
            let history = History { failures: 0, redrives: letter.redrives + 1, last };
            desk.histories.insert(delivery.id(), history);
            if record != 0 {
                let level = Level::Disk;
                state.intake.seal(Sealed { record, level, due_ns: 0, delivery });
                return Ok(record);
            }
            if state.waits_in_line() {
                state.intake.seal(Sealed::in_line(delivery));
                return Ok(0);
            }
            drop(state);
            desk.stage(inbox, after);
            desk.sort_in(&mut vec![delivery]);
            inbox.report(desk.load(), &mut after.wakes);
            desk.pass_on(inbox, None, false, u64::MAX, after);
            Ok(0)
        });
        let result = match (redriven, &self.journal) {
            (Ok(record), Some(journal)) if record != 0 => {
                // Refused, it is not known whether it is recorded: after a restart the letter is
                // back, or its delivery.
                let reached = journal.wait(record, Level::Disk);
                reached.map_err(|_| RedriveError::Journal { number })
            }
            (result, _) => result.map(drop),
        };
        (result, due)
    }
}
