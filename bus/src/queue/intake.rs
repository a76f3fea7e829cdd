//! What was recorded for a queue, and what of it may be handed out (promise P-3).
//!
//! A durable delivery is *sealed* until its record has reached its level: the publisher holds the
//! inbox while the record is appended, so sealed deliveries are in the order of their records, and a
//! lane takes a prefix. In an ordered queue what needs no record stands in line with them.
//!
//! What does not fit into memory is *spilled*: counted here, and read back out of the journal when
//! there is room. Behind a spilled delivery everything is spilled, so that the order stays.

use std::{collections::VecDeque, mem};

use patchbay_journal::{Level, planted::fault};
use patchbay_slab::Message;

use super::inbox::{Inbox, InboxState, Load, Nudge};
use crate::{delivery::Delivery, spec::SubscriptionSpec};

/// The levels of a journal, as of now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reached {
    pub(crate) process: u64,
    pub(crate) disk: u64,
}

/// A delivery and the record that has to reach a level first.
#[derive(Debug)]
pub(crate) struct Sealed {
    pub(crate) record: u64,
    pub(crate) level: Level,
    /// Not to be handed out before; 0 = at once.
    pub(crate) due_ns: u64,
    pub(crate) delivery: Delivery,
}

/// The durable side of an inbox. What every publish reads comes first.
#[derive(Debug, Default)]
#[repr(C)]
pub(crate) struct Intake {
    /// What is in the journal only.
    spilled: Load,
    sealed_bytes: usize,
    sealed: VecDeque<Sealed>,
    /// The records of those spilled last.
    unreleased: VecDeque<(u64, Level)>,
    /// The id from which on everything is in the journal only.
    pub(crate) next_spilled: u64,
    /// The journal knows the subscription.
    pub(crate) registered: bool,
}

/// What is in the journal only.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Behind {
    /// How many may be read back now.
    pub(crate) count: usize,
    /// From which id on a delivery stands behind older ones that are in the journal only, where
    /// there is an order; `u64::MAX` = none does.
    pub(crate) line_from: u64,
}

// === impl Behind ===

impl Behind {
    pub(crate) const NOTHING: Behind = Behind { count: 0, line_from: u64::MAX };
}

/// What is known of a delivery when its record was appended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recorded {
    pub(crate) record: u64,
    pub(crate) level: Level,
    pub(crate) key: u64,
    pub(crate) now_ns: u64,
    /// Not to be handed out before; 0 = at once.
    pub(crate) due_ns: u64,
}

// === impl Inbox ===

impl Inbox {
    /// Whether a durable message of `size` bytes has room: in memory or in the journal.
    pub(crate) fn has_backlog_room(&self, state: &InboxState, size: usize) -> bool {
        let (load, spilled) = (state.load(), state.intake.spilled());
        load.count + load.bookmarks + spilled.count < self.backlog.count
            && load.bytes + spilled.bytes + size <= self.backlog.bytes
    }

    /// How far the journal is; without one nothing ever asks.
    pub(crate) fn reached(&self) -> Reached {
        match &self.journal {
            Some(journal) => Reached {
                process: journal.reached(Level::Process),
                disk: journal.reached(Level::Disk),
            },
            None => Reached { process: 0, disk: 0 },
        }
    }

    /// Takes a delivery over whose record was appended under this lock.
    pub(crate) fn push_durable(&self, state: &mut InboxState, message: Message, entry: Recorded) {
        let Recorded { record, level, key, now_ns, due_ns } = entry;
        let size = message.size();
        let id = state.next_id;
        state.next_id += 1;
        if state.intake.is_spilling() || !self.has_room(state, size) {
            state.intake.spill(id, size, (record, level), self.reached());
            return;
        }
        let mut delivery = Delivery::new(message, id, key, now_ns);
        delivery.set_durable();
        state.intake.seal(Sealed { record, level, due_ns, delivery });
    }

    /// What a desk has to know of what it can read back.
    pub(crate) fn behind(&self, state: &mut InboxState, reached: Reached) -> Behind {
        let line_from = if self.is_held_up(state) { state.intake.next_spilled } else { u64::MAX };
        Behind { count: state.intake.behind(reached), line_from }
    }

    /// A level was reached: whoever sleeps here should look.
    pub(crate) fn announce(&self) -> Nudge {
        let mut state = self.lock();
        if state.intake.is_empty() { Nudge::default() } else { state.nudge() }
    }
}

// === impl InboxState ===

impl InboxState {
    /// Nobody knows yet which order it will have: what is accepted until then stays in order.
    pub(crate) fn keep_order(&mut self) {
        self.is_ordered = true;
    }

    /// Whether what needs no record has to wait for what does: nothing passes in an ordered queue.
    #[inline]
    pub(super) fn waits_in_line(&self) -> bool {
        self.is_ordered && self.intake.has_sealed()
    }
}

// === impl Reached ===

impl Reached {
    #[inline]
    fn covers(self, record: u64, level: Level) -> bool {
        if fault("hand-off-before-commit") {
            return true;
        }
        record <= if level == Level::Disk { self.disk } else { self.process }
    }
}

// === impl Sealed ===

impl Sealed {
    /// One that waits for no record of its own, only for those before it.
    pub(crate) fn in_line(delivery: Delivery) -> Sealed {
        Sealed { record: 0, level: Level::Process, due_ns: 0, delivery }
    }
}

// === impl Intake ===

impl Intake {
    /// Whether there is nothing to hand out or to read back.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.sealed.is_empty() & (self.spilled.count == 0)
    }

    /// What lies in memory.
    #[inline]
    pub(crate) fn in_memory(&self) -> Load {
        Load { count: self.sealed.len(), bytes: self.sealed_bytes, bookmarks: 0 }
    }

    #[inline]
    pub(crate) fn is_spilling(&self) -> bool {
        self.spilled.count > 0
    }

    #[inline]
    pub(crate) fn has_sealed(&self) -> bool {
        !self.sealed.is_empty()
    }

    pub(crate) fn seal(&mut self, sealed: Sealed) {
        self.sealed_bytes += sealed.delivery.size();
        self.sealed.push_back(sealed);
    }

    pub(crate) fn spill(&mut self, id: u64, size: usize, entry: (u64, Level), reached: Reached) {
        // What has its level is a count: a backlog that nobody takes from takes no memory.
        self.forget_released(reached);
        if self.spilled.count == 0 {
            self.next_spilled = id;
        }
        self.spilled.count += 1;
        self.spilled.bytes += size;
        self.unreleased.push_back(entry);
    }

    /// Gives up what the journal does not have.
    pub(crate) fn give_up_unrecorded(&mut self, garbage: &mut Vec<Delivery>) {
        for sealed in mem::take(&mut self.sealed) {
            if sealed.delivery.is_durable() {
                self.sealed.push_back(sealed);
            } else {
                self.sealed_bytes -= sealed.delivery.size();
                garbage.push(sealed.delivery);
            }
        }
    }

    /// The queue has other keys now.
    pub(crate) fn rekey(&mut self, spec: &SubscriptionSpec) {
        for each in &mut self.sealed {
            let key = spec.key_of(each.delivery.message());
            each.delivery.set_key(key);
        }
    }

    /// What a recovery found, all of it accepted.
    pub(crate) fn recover(&mut self, first: u64, count: usize) {
        self.registered = true;
        self.next_spilled = first;
        // Their size is known when they are read.
        self.spilled = Load { count, ..Load::default() };
    }

    /// Moves what may be handed out to `stage`, or to `later` with its time.
    pub(crate) fn release(
        &mut self,
        reached: Reached,
        stage: &mut Vec<Delivery>,
        later: &mut Vec<(u64, Delivery)>,
    ) -> Load {
        let mut moved = Load::default();
        while let Some(first) = self.sealed.front() {
            if !reached.covers(first.record, first.level) {
                break;
            }
            let Some(Sealed { due_ns, delivery, .. }) = self.sealed.pop_front() else { break };
            moved.count += 1;
            moved.bytes += delivery.size();
            match due_ns {
                0 => stage.push(delivery),
                due_ns => later.push((due_ns, delivery)),
            }
        }
        self.sealed_bytes -= moved.bytes;
        moved
    }

    /// How many spilled deliveries may be read back now.
    pub(crate) fn behind(&mut self, reached: Reached) -> usize {
        self.forget_released(reached);
        if self.has_sealed() {
            // They were accepted before, and wait for their level.
            return 0;
        }
        self.spilled.count - self.unreleased.len()
    }

    fn forget_released(&mut self, reached: Reached) {
        while self.unreleased.front().is_some_and(|(record, level)| reached.covers(*record, *level))
        {
            self.unreleased.pop_front();
        }
    }

    /// The first record that must not be read back yet.
    pub(crate) fn barrier(&self) -> Option<u64> {
        self.unreleased.front().map(|(record, _)| *record)
    }

    /// So much was read back, up to the id before `next`.
    pub(crate) fn read_back(&mut self, next: u64, read: Load) {
        self.next_spilled = next;
        self.spilled.count = self.spilled.count.saturating_sub(read.count);
        self.spilled.bytes = self.spilled.bytes.saturating_sub(read.bytes);
        if self.spilled.count == 0 {
            self.spilled.bytes = 0;
        }
    }

    /// What counts nowhere yet: deliveries in memory and not, that are recorded and not accepted.
    pub(crate) fn unaccepted(&self, reached: Reached) -> u64 {
        let sealed = self.sealed.iter().filter(|each| !reached.covers(each.record, each.level));
        let spilled =
            self.unreleased.iter().filter(|(record, level)| !reached.covers(*record, *level));
        (sealed.count() + spilled.count()) as u64
    }

    /// Those of them that have a time to wait for.
    pub(crate) fn accepted_later(&self, reached: Reached) -> u64 {
        let accepted = self
            .sealed
            .iter()
            .filter(|each| each.due_ns != 0 && reached.covers(each.record, each.level));
        accepted.count() as u64
    }

    pub(crate) fn spilled(&self) -> Load {
        self.spilled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_in_the_journal_alone_is_a_count_and_takes_no_memory() {
        let mut intake = Intake::default();
        let upto = |record| Reached { process: record, disk: record };
        for id in 1..=10_000 {
            // Each was told of before the next one came.
            intake.spill(id, 10, (id, Level::Disk), upto(id - 1));
            assert!(intake.unreleased.len() <= 1);
        }
        assert_eq!((intake.spilled().count, intake.spilled().bytes), (10_000, 100_000));
        assert_eq!((intake.unaccepted(upto(9_999)), intake.barrier()), (1, Some(10_000)));
        assert_eq!(intake.behind(upto(9_999)), 9_999);
        assert_eq!((intake.behind(upto(10_000)), intake.barrier()), (10_000, None));
    }
}
