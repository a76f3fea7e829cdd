//! What one queue leaves to the next: when the journal is read back, and when somebody comes for a
//! subscription that had no owner.
//!
//! The new queue may have another order and other keys, so everything is sorted in anew. In an
//! ordered queue the oldest delivery of a key that was tried holds the key (P-16).

use std::collections::HashSet;

use patchbay_slab::Slab;

use super::{
    beyond::CutOff,
    desk::{Counts, Histories},
    intake::Intake,
    refill::Reading,
    service::{Due, Queue},
};
use crate::{
    dead_letters::DeadLetter,
    delivery::{Bookmark, Delivery},
    ledger::{DropReason, Dropped},
    spec::Order,
};

/// Everything that a queue has.
#[derive(Debug, Default)]
pub(crate) struct Estate {
    pub(crate) next_id: u64,
    pub(crate) accepted: u64,
    pub(crate) counts: Counts,
    pub(crate) histories: Histories,
    pub(crate) pending: Vec<(bool, DeadLetter)>,
    /// With the time they wait for; 0 = none.
    pub(crate) deliveries: Vec<(u64, Delivery)>,
    pub(crate) bookmarks: Vec<(u64, Bookmark)>,
    /// Whose attempt may have ended a process.
    pub(crate) suspects: Vec<Bookmark>,
    pub(crate) intake: Intake,
    pub(crate) cut_off: CutOff,
    /// Ids among those that only the journal has which are here.
    pub(crate) known: HashSet<u64, foldhash::fast::FixedState>,
}

/// Something that finds its place in another queue.
enum Heir {
    Here(Delivery),
    Bookmark(Bookmark),
    /// With its message where keys matter.
    Suspect(Bookmark, Option<Delivery>),
}

impl Heir {
    fn id(&self) -> u64 {
        match self {
            Heir::Here(delivery) => delivery.id(),
            Heir::Bookmark(bookmark) | Heir::Suspect(bookmark, _) => bookmark.id,
        }
    }
}

impl Queue {
    /// Takes everything out, for another one to take its place: publishers that still come here are
    /// told to look again. `None` when seats are here, or it is closed.
    pub(crate) fn leave_estate(&self) -> Option<Estate> {
        let mut desk = self.lock_desk();
        if desk.closed || desk.slots.iter().any(Option::is_some) || desk.counts.in_flight > 0 {
            return None;
        }
        let mut estate = Estate::default();
        let mut state = self.inbox.lock();
        estate.next_id = state.upcoming();
        estate.accepted = state.taken();
        estate.deliveries.extend(state.take_buffer().into_iter().map(|delivery| (0, delivery)));
        estate.deliveries.append(&mut state.take_later());
        estate.intake = std::mem::take(&mut state.intake);
        estate.counts = std::mem::take(&mut desk.counts);
        estate.counts.dropped.merge(state.dropped());
        estate.counts.dead += state.buried();
        estate.cut_off = state.cut_off;
        state.move_out();
        drop(state);
        estate.histories = std::mem::take(&mut desk.histories);
        estate.pending = std::mem::take(&mut desk.pending);
        let mut places = Vec::new();
        let deliveries = &mut estate.deliveries;
        desk.store.drain_with(&mut places, |due_ns, delivery| deliveries.push((due_ns, delivery)));
        estate.bookmarks.extend(places.into_iter().map(|place| (0, place)));
        if let Some(durable) = &mut desk.durable {
            durable.far.drain_with(|due_ns, bookmark| estate.bookmarks.push((due_ns, bookmark)));
            let due = durable.due.drain(..).chain(durable.starved.drain(..));
            estate.bookmarks.extend(due.map(|bookmark| (0, bookmark)));
            estate.suspects.extend(durable.suspects.drain(..));
            estate.known = std::mem::take(&mut durable.known);
        }
        desk.closed = true;
        Some(estate)
    }

    /// Starts with what another one left. No publisher knows this queue yet.
    pub(crate) fn inherit(&self, mut estate: Estate, reading: &Reading<'_>) -> Due {
        let now_ns = reading.time.now_ns;
        let is_ordered = self.spec.order != Order::None;
        let mut slab = Slab::new();
        if is_ordered {
            // Keys are in the messages.
            let mut rest = Vec::new();
            estate.bookmarks.sort_by_key(|(_, bookmark)| bookmark.id);
            let bookmarks: Vec<Bookmark> =
                estate.bookmarks.iter().map(|(_, bookmark)| *bookmark).collect();
            let messages = reading.read_all(&bookmarks);
            for ((due_ns, mut bookmark), stored) in estate.bookmarks.drain(..).zip(messages) {
                match stored {
                    Ok(stored) => {
                        let delivery = reading.delivery(bookmark, &stored, &mut slab);
                        bookmark.key = delivery.key_hash();
                        // Whoever waits for long needs no memory for it.
                        if due_ns > now_ns {
                            rest.push((due_ns, bookmark));
                        } else {
                            estate.deliveries.push((0, delivery));
                        }
                    }
                    Err(_) => rest.push((due_ns, bookmark)),
                }
            }
            estate.bookmarks = rest;
        }
        for (_, delivery) in &mut estate.deliveries {
            let key = self.spec.key_of(delivery.message());
            delivery.set_key(key);
            delivery.free();
        }
        let messages = reading.read_all(&estate.suspects);
        let suspects: Vec<Heir> = estate
            .suspects
            .drain(..)
            .zip(messages)
            .map(|(mut bookmark, stored)| match stored {
                Ok(stored) if is_ordered => {
                    let delivery = reading.delivery(bookmark, &stored, &mut slab);
                    bookmark.key = delivery.key_hash();
                    Heir::Suspect(bookmark, Some(delivery))
                }
                _ => Heir::Suspect(bookmark, None),
            })
            .collect();
        let (_, due) = self.at_desk(|desk, inbox, after| {
            let mut state = inbox.lock();
            state.resume(estate.next_id, estate.accepted);
            state.intake = estate.intake;
            state.cut_off = estate.cut_off;
            state.intake.rekey(&self.spec);
            let behind = inbox.behind(&mut state, inbox.reached());
            drop(state);
            desk.set_behind(Some(behind));
            desk.counts = estate.counts;
            desk.histories = estate.histories;
            desk.pending = estate.pending;
            let mut waiting: Vec<(u64, Heir)> = Vec::new();
            waiting.extend(estate.deliveries.into_iter().map(|(due, it)| (due, Heir::Here(it))));
            waiting.extend(estate.bookmarks.into_iter().map(|(due, it)| (due, Heir::Bookmark(it))));
            waiting.extend(suspects.into_iter().map(|it| (0, it)));
            waiting.sort_by_key(|(_, heir)| heir.id());
            let mut seen: HashSet<u64> = HashSet::new();
            for (due_ns, each) in waiting {
                desk.settle_in(due_ns, each, now_ns, &mut seen);
            }
            if let Some(durable) = &mut desk.durable {
                durable.is_used = true;
                durable.known = estate.known;
            }
            inbox.report(desk.load(), &mut after.wakes);
            desk.pass_on_all(inbox, after);
        });
        due
    }

    /// Drops what no journal has; the rest waits for whoever comes.
    pub(crate) fn detach(&self) -> u64 {
        let (dropped, _) = self.at_desk(|desk, inbox, after| {
            desk.stage(inbox, after);
            let mut state = inbox.lock();
            state.shut();
            state.intake.give_up_unrecorded(&mut after.garbage);
            drop(state);
            let (mut kept, mut places) = (Vec::new(), Vec::new());
            let mut dropped = after.garbage.len() as u64;
            let split = desk.split.clone();
            desk.store.drain_with(&mut places, |due_ns, delivery| {
                if delivery.is_durable() {
                    kept.push((due_ns, delivery));
                } else {
                    dropped += 1;
                    after.garbage.push(delivery);
                }
            });
            for delivery in &after.garbage {
                desk.histories.remove(&delivery.id());
            }
            let before = desk.pending.len();
            desk.pending.retain(|(is_durable, _)| *is_durable);
            dropped += (before - desk.pending.len()) as u64;
            desk.counts.dropped.add(DropReason::Unload, dropped);
            desk.store.reset(desk.spec.order);
            if let Some(durable) = &mut desk.durable {
                durable.due.extend(places);
            }
            for (due_ns, delivery) in kept {
                if due_ns == 0 {
                    desk.store.put_back(vec![delivery], false, &split);
                } else {
                    desk.store.delay(delivery.accepted_ns(), due_ns, delivery);
                }
            }
            inbox.report(desk.load(), &mut after.wakes);
            dropped
        });
        dropped
    }
}

impl super::desk::Desk {
    /// Finds the place of a delivery that waited somewhere else before. They come in the order of
    /// acceptance; `seen` has the keys of those that were here.
    fn settle_in(&mut self, due_ns: u64, heir: Heir, now_ns: u64, seen: &mut HashSet<u64>) {
        let (key, attempts) = match &heir {
            Heir::Here(delivery) => (delivery.key_hash(), delivery.attempts()),
            Heir::Bookmark(bookmark) | Heir::Suspect(bookmark, _) => {
                (bookmark.key, bookmark.attempts)
            }
        };
        let is_ordered = self.spec.order != Order::None && key != 0;
        let is_first = is_ordered && seen.insert(key);
        // Only the oldest of a key can have been tried and be waiting for another attempt.
        let holds = is_first && attempts > 0;
        if holds && let Some(keyed) = self.store.keyed() {
            keyed.hold(key);
        }
        match heir {
            // What stood behind another of its key had not begun, whatever its window said.
            Heir::Suspect(_, Some(delivery)) if is_ordered && !is_first => {
                self.sort_in(&mut vec![delivery]);
            }
            Heir::Suspect(mut bookmark, _) => {
                if holds {
                    bookmark.set_holds();
                }
                if let Some(durable) = &mut self.durable {
                    durable.suspects.push_back(bookmark);
                }
            }
            Heir::Bookmark(mut bookmark) => {
                if holds {
                    bookmark.set_holds();
                }
                if let Some(durable) = &mut self.durable {
                    durable.put_far(now_ns, due_ns, bookmark);
                }
            }
            Heir::Here(mut delivery) => {
                if holds {
                    delivery.set_holds();
                }
                if due_ns > now_ns {
                    self.store.delay(now_ns, due_ns, delivery);
                } else if holds {
                    self.store.repeat(delivery, &self.split);
                } else {
                    self.sort_in(&mut vec![delivery]);
                }
            }
        }
    }
}

/// What an earlier life counted.
pub(crate) fn counts(counters: &patchbay_journal::Counters) -> Counts {
    let mut dropped = Dropped::default();
    for reason in DropReason::ALL {
        dropped.add(reason, counters.dropped[usize::from(reason.number())]);
    }
    Counts {
        done: counters.done,
        forwarded: counters.forwarded,
        dead: counters.dead,
        dropped,
        ..Counts::default()
    }
}

/// What only the journal has.
pub(crate) fn fresh(first: u64, count: u64) -> Intake {
    let mut intake = Intake::default();
    intake.recover(first, count as usize);
    intake
}
