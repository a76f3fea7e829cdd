//! What a desk tells the journal, and what it gets back from it.
//!
//! Every change of a durable delivery's standing leaves a record, in the order of the changes,
//! because records are appended under the desk's lock and the journal's own lock is the innermost of
//! all. Settlements of one section are one record. Files are never read under the lock: a lane that
//! finds too little in memory takes an [`Errand`] with it, and comes back with deliveries.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    fmt,
    sync::Arc,
};

use foldhash::fast::FixedState;
use patchbay_journal::{self as journal, Ended, Journal, Record, Span, Target};

use super::{desk::History, inbox::Load, wheel::Wheel};
use crate::{
    dead_letters::{DeadLetter, Failure},
    delivery::{Bookmark, Delivery},
    settlement::FaultClass,
};

/// The durable side of a desk.
pub(crate) struct Durable {
    pub(super) journal: Arc<Journal>,
    pub(super) sub: u32,
    /// Wall clock less monotonic clock.
    pub(super) unix_offset: u64,
    /// A durable delivery has been here.
    pub(super) is_used: bool,
    /// Deliveries that wait for a time, and of which only the place is kept.
    pub(super) far: Wheel<Bookmark>,
    /// Those whose time has come.
    pub(super) due: VecDeque<Bookmark>,
    /// Those whose next attempt comes out of the retry budget besides.
    pub(super) starved: VecDeque<Bookmark>,
    /// How many of those a lane is away with, to read them.
    pub(super) away: usize,
    /// Whose attempt may have ended a process: handed out one at a time, and nothing beside.
    pub(super) suspects: VecDeque<Bookmark>,
    /// The one that is handed out.
    pub(super) solo: bool,
    /// How many fresh ones can be read back, as of the last visit.
    pub(super) behind: usize,
    /// From which id on a new delivery stands behind older ones of its key that only the journal has.
    pub(super) line_from: u64,
    /// Where reading goes on; `None` before the first read and while a lane is away with it.
    pub(super) reader: Option<journal::Backlog>,
    /// Ids beyond the reader that are at the desk already.
    pub(super) known: HashSet<u64, FixedState>,
    /// A lane is away for more.
    pub(super) is_fetching: bool,
    /// The journal had no room for what was to begin: looked at again at the next tick.
    pub(super) is_blocked: bool,
    /// The journal cannot be read or written: nothing is handed out any more.
    pub(super) is_halted: bool,
    /// What is known of forwards whose settlement is not recorded here, by delivery.
    pub(super) forwards: HashMap<u64, Forwarding, FixedState>,
    /// Settlements of this section.
    ends: Vec<(u64, Ended)>,
    /// When the last of them came to its end.
    now_ns: u64,
}

/// Where a delivery was forwarded to.
#[derive(Debug)]
pub(super) enum Forwarding {
    /// Its settlement is part of the record of the new message.
    Recorded,
    /// To a topic that is not recorded, as that message.
    Unrecorded(String, u128),
}

/// What a lane reads out of the journal while the desk is free.
pub(crate) struct Errand {
    pub(super) bookmarks: Vec<Bookmark>,
    /// Of those that wait for their key and are next.
    pub(super) wanted: Vec<Bookmark>,
    pub(super) reader: Option<journal::Backlog>,
    pub(super) from: u64,
    pub(super) upto: u64,
    pub(super) room: Load,
}

/// What it came back with.
#[derive(Default)]
pub(crate) struct Fetched {
    /// Deliveries whose time has come.
    pub(super) due: Vec<Delivery>,
    /// Deliveries that wait for their key and are next.
    pub(super) wanted: Vec<Delivery>,
    /// Fresh deliveries, in the order of acceptance, with what they have to wait for (0 = nothing).
    pub(super) fresh: Vec<(u64, Delivery)>,
    pub(super) reader: Option<journal::Backlog>,
    /// Something cannot be read.
    pub(super) is_broken: bool,
    /// How many fresh ones the journal should have had at most, and at least one of them.
    pub(super) expected: usize,
}

// === impl Durable ===

impl Durable {
    pub(crate) fn new(journal: Arc<Journal>, sub: u32, unix_offset: u64, now_ns: u64) -> Durable {
        Durable {
            journal,
            sub,
            unix_offset,
            is_used: false,
            far: Wheel::new(now_ns),
            due: VecDeque::new(),
            starved: VecDeque::new(),
            away: 0,
            suspects: VecDeque::new(),
            solo: false,
            behind: 0,
            line_from: u64::MAX,
            reader: None,
            known: HashSet::default(),
            is_fetching: false,
            is_blocked: false,
            is_halted: false,
            forwards: HashMap::default(),
            ends: Vec::new(),
            now_ns,
        }
    }

    /// Deliveries of which only the place is kept.
    #[inline]
    pub(super) fn bookmarks(&self) -> usize {
        self.far.len() + self.waiting() + self.suspects.len()
    }

    /// Those of them whose time has come.
    pub(super) fn waiting(&self) -> usize {
        self.due.len() + self.starved.len() + self.away
    }

    /// What has become due needs reading.
    pub(super) fn expire(&mut self, now_ns: u64) {
        if self.far.len() > 0 {
            let (due, starved) = (&mut self.due, &mut self.starved);
            self.far.expire(now_ns, |bookmark| match bookmark.is_budgeted() {
                true => starved.push_back(bookmark),
                false => due.push_back(bookmark),
            });
        }
    }

    pub(super) fn put_far(&mut self, now_ns: u64, due_ns: u64, bookmark: Bookmark) {
        if due_ns <= now_ns && bookmark.is_budgeted() {
            self.starved.push_back(bookmark);
        } else if due_ns <= now_ns {
            self.due.push_back(bookmark);
        } else {
            self.far.insert(now_ns, due_ns, bookmark);
        }
    }

    // --- records ---

    /// A delivery came to its end.
    pub(super) fn end(&mut self, id: u64, how: Ended, now_ns: u64) {
        self.now_ns = now_ns;
        self.ends.push((id, how));
    }

    /// Writes down what came to its end in this section.
    #[inline]
    pub(super) fn flush(&mut self) {
        if !self.ends.is_empty() {
            self.write_ends();
        }
    }

    fn write_ends(&mut self) {
        self.ends.sort_unstable_by_key(|(id, _)| *id);
        let mut ends: Vec<journal::End> = Vec::new();
        for (id, how) in &self.ends {
            match ends.last_mut() {
                Some(last) if last.how == *how && last.span.first + last.span.count == *id => {
                    last.span.count += 1;
                }
                _ => ends.push(journal::End { span: Span { first: *id, count: 1 }, how: *how }),
            }
        }
        let at_unix_ns = self.now_ns.wrapping_add(self.unix_offset);
        let settled = journal::Settled { sub: self.sub, at_unix_ns, ends: ends[..].into() };
        self.write(&Record::Settled(settled));
        self.ends.clear();
    }

    /// A delivery goes back to where it waits, or waits for a time.
    pub(super) fn retry(
        &mut self,
        id: u64,
        attempts: u32,
        history: Option<&History>,
        due_ns: u64,
        now_ns: u64,
    ) {
        let at_unix_ns = now_ns.wrapping_add(self.unix_offset);
        let delay_ns = due_ns.saturating_sub(now_ns);
        let due_unix_ns = if delay_ns == 0 { 0 } else { at_unix_ns.saturating_add(delay_ns) };
        let failures = failures(history.map_or(&[], |history| &history.last));
        let standing = journal::Standing {
            attempts,
            failures: history.map_or(0, |history| history.failures),
            redrives: history.map_or(0, |history| history.redrives),
            due_unix_ns,
            delay_ns,
            history: failures[..].into(),
        };
        let target = Target { sub: self.sub, id };
        let retry = journal::Retry { target, at_unix_ns, standing };
        self.write(&Record::Retry(retry));
    }

    /// A delivery is a dead letter; number 0: it is held where it is.
    pub(super) fn dead(&mut self, letter: &DeadLetter) {
        let history = failures(&letter.history);
        let sub = self.sub;
        self.write(&Record::Dead(dead(sub, letter, &history)));
    }

    /// A delivery was forwarded to a topic that is not recorded.
    pub(super) fn forwarded(&mut self, delivery: &Delivery, now_ns: u64) {
        let (topic, mid) = match self.forwards.remove(&delivery.id()) {
            Some(Forwarding::Recorded) => return,
            Some(Forwarding::Unrecorded(topic, mid)) => (topic, mid),
            None => (delivery.message().topic().to_owned(), delivery.message().id()),
        };
        let message = delivery.message();
        let at_unix_ns = now_ns.wrapping_add(self.unix_offset);
        let publish = journal::Publish {
            seq: 0,
            mid,
            time_ns: at_unix_ns,
            expires_ns: message.expires_ns(),
            not_before_ns: 0,
            observed_ns: self.journal.observed(now_ns),
            hops: message.hops().saturating_add(1),
            level: journal::Level::Memory,
            topic: &topic,
            key: "",
            headers: [][..].into(),
            payload: b"",
            dedup: None,
            targets: [][..].into(),
            letters: [][..].into(),
        };
        let from = Target { sub: self.sub, id: delivery.id() };
        self.write(&Record::Forward { from, at_unix_ns, publish });
    }

    /// The subscription is gone for good, with all that it held.
    pub(super) fn purge(mut self) {
        let sub = self.sub;
        self.write(&Record::Unsubscribe { sub });
    }

    /// What is told here has happened already: without room the journal owes it. What it does not
    /// take at all no life of the host may build on, so nothing is handed out any more; the next life
    /// repeats it.
    fn write(&mut self, record: &Record<'_>) {
        self.is_halted |= self.journal.record(record).is_err();
    }
}

impl fmt::Debug for Errand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Errand")
            .field("bookmarks", &self.bookmarks.len())
            .field("room", &self.room)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Durable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Durable")
            .field("sub", &self.sub)
            .field("far", &self.far.len())
            .field("due", &self.due.len())
            .field("behind", &self.behind)
            .field("is_halted", &self.is_halted)
            .finish_non_exhaustive()
    }
}

/// A dead letter, as a record says it.
pub(crate) fn dead<'a>(
    sub: u32,
    letter: &'a DeadLetter,
    history: &'a [journal::Failure<'a>],
) -> journal::Dead<'a> {
    let standing = journal::Standing {
        attempts: letter.attempts,
        failures: letter.failures,
        redrives: letter.redrives,
        due_unix_ns: 0,
        delay_ns: 0,
        history: history.into(),
    };
    journal::Dead {
        target: Target { sub, id: letter.delivery },
        letter: journal::Letter {
            number: letter.number,
            cause: letter.cause.number(),
            reason: &letter.reason,
            generation: letter.generation,
            version: &letter.version,
            at_unix_ns: letter.at_unix_ns,
        },
        standing,
    }
}

fn failures(history: &[Failure]) -> Vec<journal::Failure<'_>> {
    history
        .iter()
        .map(|failure| journal::Failure {
            plugin: &failure.plugin,
            generation: failure.generation,
            version: &failure.version,
            attempt: failure.attempt,
            class: failure.class.map_or(0, FaultClass::number),
            reason: &failure.reason,
            at_unix_ns: failure.at_unix_ns,
        })
        .collect()
}
