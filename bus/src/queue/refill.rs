//! Reading a backlog back out of the journal, as far as memory allows.

use std::sync::Arc;

use patchbay_journal::{self as journal, Journal, Place, ReadError, Stored, Target};
use patchbay_slab::{Message, Parts, Slab};

use super::{
    desk::{After, Desk},
    durable::{Durable, Errand, Fetched},
    inbox::{Inbox, Load},
    intake::Behind,
    keyed::Keyed,
    service::Time,
    split::PARTS,
};
use crate::{
    delivery::{Bookmark, Delivery},
    spec::{Order, SubscriptionSpec},
};

/// Most deliveries that one errand brings.
const ERRAND_MAX: usize = 1024;
/// For each delivery that may stand in memory, how many may wait for their key as a place only.
const PLACES_EACH: usize = 64;
/// Which part of the memory may wait for the retry budget before no more of them are read.
const STARVED_PART: usize = 8;

/// What an errand needs to know of its queue.
pub(crate) struct Reading<'a> {
    pub(crate) journal: &'a Arc<Journal>,
    pub(crate) spec: &'a SubscriptionSpec,
    pub(crate) sub: u32,
    pub(crate) time: Time,
}

// === impl Desk ===

impl Desk {
    /// Notes what a visit said of the journal.
    #[inline]
    pub(super) fn set_behind(&mut self, behind: Option<Behind>) {
        if let Some(durable) = &mut self.durable {
            durable.is_used |= behind.is_some();
            let Behind { count, line_from } = behind.unwrap_or(Behind::NOTHING);
            (durable.behind, durable.line_from) = (count, line_from);
            if line_from == u64::MAX && self.store.has_line() {
                self.store.move_up(u64::MAX, &self.split);
            }
        }
    }

    /// New deliveries. In an ordered queue none passes an older one that only the journal has, as a
    /// letter might that is sent back, or what came in before the order was known (P-16).
    #[inline]
    pub(super) fn sort_in(&mut self, stage: &mut Vec<Delivery>) {
        let line_from = self.durable.as_ref().map_or(u64::MAX, |durable| durable.line_from);
        if line_from != u64::MAX {
            let waits = |it: &mut Delivery| it.key_hash() != 0 && it.id() >= line_from;
            for delivery in stage.extract_if(.., waits) {
                self.store.stand_in_line(delivery);
            }
        }
        self.store.add_all(stage, &self.split);
    }

    /// New deliveries that have to wait for a time. Of what the journal has, no more stands in memory
    /// than leaves room for what is behind it and may be ready.
    #[inline]
    pub(super) fn add_later(&mut self, later: &mut Vec<(u64, Delivery)>) {
        if !later.is_empty() && self.durable.is_some() {
            self.keep_places(later);
        }
        self.store.add_later(later);
    }

    fn keep_places(&mut self, later: &mut Vec<(u64, Delivery)>) {
        let mut room = (self.spec.limits.count / 2).saturating_sub(self.load().count);
        let Some(durable) = &mut self.durable else { return };
        later.retain(|(due_ns, delivery)| {
            let stays = !delivery.is_durable() || delivery.message().mark() == 0 || room > 0;
            if stays {
                room = room.saturating_sub(1);
            } else {
                durable.put_far(delivery.accepted_ns(), *due_ns, delivery.to_bookmark());
            }
            stays
        });
    }

    /// Sends the visiting lane for more, if memory has run low and the journal has some.
    #[inline]
    pub(super) fn send_for_more(&mut self, inbox: &Inbox, after: &mut After) {
        if self.durable.as_ref().is_some_and(|durable| self.can_fetch(durable)) {
            self.make_errand(inbox, after);
        }
    }

    /// Whether a lane would find something in the journal, and memory has room for it.
    pub(super) fn can_fetch(&self, durable: &Durable) -> bool {
        if durable.is_fetching || durable.is_halted {
            return false;
        }
        let is_wanting = self.store.keys().is_some_and(Keyed::is_wanting);
        let is_next = is_wanting || !durable.due.is_empty() || self.spare_budgeted(durable) > 0;
        if !is_next && durable.behind == 0 {
            return false;
        }
        // All that lies in memory may wait for the key of one that is not there.
        !self.is_full() || self.can_shed() || is_next && self.is_stuck()
    }

    /// How many more of those may be read that wait for the retry budget.
    fn spare_budgeted(&self, durable: &Durable) -> usize {
        let most = (self.spec.limits.count / STARVED_PART).max(1);
        most.saturating_sub(self.store.starved()).min(durable.starved.len())
    }

    /// What stands in memory, but for what stands in line for what is to be read.
    fn crowd(&self) -> Load {
        let (load, (count, bytes)) = (self.load(), self.store.line());
        Load { count: load.count - count, bytes: load.bytes - bytes, ..load }
    }

    fn is_full(&self) -> bool {
        let (load, limits) = (self.crowd(), self.spec.limits);
        load.count > limits.count / 2 || load.bytes > limits.bytes / 2
    }

    fn is_stuck(&self) -> bool {
        !(0..PARTS).any(|part| self.store.has_ready(part))
    }

    /// Whether there are keys beside those that wait.
    fn can_shed(&self) -> bool {
        let most = self.spec.limits.count.saturating_mul(PLACES_EACH);
        self.spec.order == Order::PerKey && self.store.keys().is_some_and(|it| it.can_shed(most))
    }

    fn make_errand(&mut self, inbox: &Inbox, after: &mut After) {
        if self.is_full() && self.can_shed() {
            let most = self.spec.limits.count.saturating_mul(PLACES_EACH);
            self.store.shed(most, &mut after.garbage);
        }
        let (is_full, is_stuck) = (self.is_full(), self.is_stuck());
        if is_full && !is_stuck {
            return;
        }
        let (load, limits) = (self.crowd(), self.spec.limits);
        let room = Load {
            count: limits.count.saturating_sub(load.count).clamp(1, ERRAND_MAX),
            bytes: limits.bytes.saturating_sub(load.bytes),
            bookmarks: 0,
        };
        let wanted = self.store.keyed().map(|keyed| keyed.wanted(room.count)).unwrap_or_default();
        let budgeted = self.durable.as_ref().map_or(0, |durable| self.spare_budgeted(durable));
        let Some(durable) = &mut self.durable else { return };
        let n = durable.due.len().min(room.count - wanted.len());
        let mut bookmarks: Vec<Bookmark> = durable.due.drain(..n).collect();
        let left = room.count - wanted.len() - n;
        let budgeted = budgeted.min(left);
        bookmarks.extend(durable.starved.drain(..budgeted));
        let left = left - budgeted;
        durable.away = bookmarks.len();
        let mut state = inbox.lock();
        let behind = if left > 0 && !is_full { state.intake.behind(inbox.reached()) } else { 0 };
        if bookmarks.is_empty() && wanted.is_empty() && behind == 0 {
            return;
        }
        let upto = state.intake.barrier().map_or(u64::MAX, |record| record - 1);
        let from = state.intake.next_spilled;
        drop(state);
        durable.is_fetching = true;
        after.errand = Some(Errand {
            bookmarks,
            wanted,
            // Where it stopped, newer ones may have stood in memory and be settled or not.
            reader: durable.reader.take().filter(|reader| reader.position() >= from),
            from,
            upto,
            room: Load { count: behind.min(left), ..room },
        });
    }

    /// Puts what a lane came back with where seats find it.
    pub(super) fn receive(
        &mut self,
        inbox: &Inbox,
        fetched: Fetched,
        now_ns: u64,
        after: &mut After,
    ) {
        let Fetched { due, wanted, mut fresh, reader, is_broken, expected } = fetched;
        // The journal counts it and cannot find it: nothing is handed out on a guess.
        let is_missing = expected > 0 && fresh.is_empty();
        let Some(durable) = &mut self.durable else { return };
        if !durable.known.is_empty() {
            fresh.retain(|(_, delivery)| !durable.known.remove(&delivery.id()));
        }
        durable.is_fetching = false;
        durable.away = 0;
        durable.is_halted |= is_broken || is_missing;
        durable.reader = reader;
        durable.is_used = true;
        let read = Load {
            count: fresh.len(),
            bytes: fresh.iter().map(|(_, delivery)| delivery.size()).sum(),
            bookmarks: 0,
        };
        let next = fresh.last().map(|(_, delivery)| delivery.id() + 1);
        for delivery in wanted {
            self.store.restore(delivery, &self.split);
        }
        for delivery in due {
            self.store.mature(delivery, &self.split);
        }
        for (due_ns, delivery) in fresh {
            if self.store.has_line() {
                self.store.move_up(delivery.id(), &self.split);
            }
            if due_ns <= now_ns {
                self.store.add_all(&mut vec![delivery], &self.split);
            } else if self.load().count < self.spec.limits.count / 2 {
                // The rest is for what stands behind it in the journal and may be ready.
                self.store.delay(now_ns, due_ns, delivery);
            } else if let Some(durable) = &mut self.durable {
                durable.put_far(now_ns, due_ns, delivery.to_bookmark());
            }
        }
        if let Some(next) = next {
            let mut state = inbox.lock();
            state.intake.read_back(next, read);
            let behind = inbox.behind(&mut state, inbox.reached());
            drop(state);
            self.set_behind(Some(behind));
        }
        self.expire(now_ns);
        inbox.report(self.load(), &mut after.wakes);
        self.pass_on_all(inbox, after);
    }
}

// === impl Errand ===

impl Errand {
    /// Reads. No lock is held.
    pub(super) fn run(mut self, reading: &Reading<'_>) -> Fetched {
        let mut slab = Slab::new();
        let mut fetched = Fetched { expected: self.room.count, ..Fetched::default() };
        for (bookmarks, found) in
            [(self.bookmarks, &mut fetched.due), (self.wanted, &mut fetched.wanted)]
        {
            let messages = reading.read_all(&bookmarks);
            for (bookmark, stored) in bookmarks.into_iter().zip(messages) {
                match stored {
                    Ok(stored) => found.push(reading.delivery(bookmark, &stored, &mut slab)),
                    Err(_) => fetched.is_broken = true,
                }
            }
        }
        if self.room.count == 0 {
            fetched.reader = self.reader;
            return fetched;
        }
        let reader =
            self.reader.get_or_insert_with(|| reading.journal.backlog(reading.sub, self.from));
        match reader.next(self.room.count, self.room.bytes, self.upto) {
            Ok(found) => {
                for (id, stored) in found {
                    let bookmark = Bookmark::found(stored.place().pack(), id, 0);
                    let start_ns = reading.start_ns(&stored.publish());
                    fetched.fresh.push((start_ns, reading.delivery(bookmark, &stored, &mut slab)));
                }
            }
            Err(_) => fetched.is_broken = true,
        }
        fetched.reader = self.reader;
        fetched
    }
}

// === impl Reading ===

impl Reading<'_> {
    /// The message of a delivery, wherever it stands by now.
    pub(super) fn read(&self, bookmark: &Bookmark) -> Result<Stored, ReadError> {
        // What the journal has copied forward stands somewhere else.
        let target = Target { sub: self.sub, id: bookmark.id };
        if bookmark.place == 0 {
            return self.journal.read_delivery(target);
        }
        let there = self.journal.read(Place::unpack(bookmark.place));
        there.or_else(|_| self.journal.read_delivery(target))
    }

    /// The same for many, best in the order of their ids.
    pub(super) fn read_all(&self, bookmarks: &[Bookmark]) -> Vec<Result<Stored, ReadError>> {
        let unplaced: Vec<u64> = bookmarks
            .iter()
            .filter(|bookmark| bookmark.place == 0)
            .map(|bookmark| bookmark.id)
            .collect();
        let mut found = self.journal.read_deliveries(self.sub, &unplaced).into_iter();
        let read = |bookmark: &Bookmark| match bookmark.place {
            0 => found.next().unwrap_or_else(|| self.read(bookmark)),
            _ => self.read(bookmark),
        };
        bookmarks.iter().map(read).collect()
    }

    /// A delivery with its message back in memory.
    pub(super) fn delivery(
        &self,
        bookmark: Bookmark,
        stored: &Stored,
        slab: &mut Slab,
    ) -> Delivery {
        let publish = stored.publish();
        let message = message(&publish, slab);
        message.set_mark(stored.place().pack());
        let age = self.journal.observed(self.time.now_ns).saturating_sub(publish.observed_ns);
        let mut delivery = bookmark.with(message, self.time.now_ns.wrapping_sub(age));
        let key = self.spec.key_of(delivery.message());
        delivery.set_key(key);
        delivery
    }

    /// When a message may be handed out, on the monotonic clock; 0 = at once. What was published in
    /// this life waits for its time on that clock; what was published before, no longer than when it
    /// was published, whatever the wall clock did meanwhile (P-17).
    pub(super) fn start_ns(&self, publish: &journal::Publish<'_>) -> u64 {
        let original = publish.not_before_ns.saturating_sub(publish.time_ns);
        // In time that hosts have run.
        let (born, now) = (self.journal.observed(0), self.journal.observed(self.time.now_ns));
        let passed = now - born;
        let left = if publish.observed_ns >= born {
            original.saturating_sub(now.saturating_sub(publish.observed_ns))
        } else {
            let born_unix_ns = self.time.unix_ns.saturating_sub(passed);
            let left = publish.not_before_ns.saturating_sub(born_unix_ns).min(original);
            left.saturating_sub(passed)
        };
        match left {
            0 => 0,
            left => self.time.now_ns.saturating_add(left),
        }
    }
}

/// A message as it was recorded.
pub(crate) fn message(publish: &journal::Publish<'_>, slab: &mut Slab) -> Message {
    let headers: Vec<(&str, &str)> =
        publish.headers.iter().map(|header| (header.name, header.value)).collect();
    let parts = Parts {
        topic: publish.topic,
        key: publish.key,
        headers: &headers,
        payload_len: 0,
        id: publish.mid,
        time_ns: publish.time_ns,
        expires_ns: publish.expires_ns,
        hops: publish.hops,
    };
    slab.message(&parts, publish.payload)
}
