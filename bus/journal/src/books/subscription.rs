//! The book of one subscription.

use std::collections::{BTreeMap, HashMap, VecDeque};

use crate::{
    ids::IdSet,
    place::Place,
    record::{Counters, Span, Standing, Subscribe, SubscriptionState},
    wire::put_list,
};

/// How far apart, in bytes of the journal, two entries of the index are at least.
const INDEX_BYTES: u64 = 256 << 10;

/// The book of one subscription.
#[derive(Debug)]
pub(crate) struct Book {
    pub(crate) owner: Box<str>,
    pub(crate) pattern: Box<str>,
    pub(crate) next_id: u64,
    pub(crate) counters: Counters,
    /// Unsettled deliveries.
    pub(crate) live: IdSet,
    /// Those of them with an attempt that has begun and not ended.
    pub(crate) begun: IdSet,
    /// Those of them that had one in an earlier life of the host.
    pub(crate) suspects: IdSet,
    /// Those of them whose attempts do not follow from the bit above.
    pub(crate) held: HashMap<u64, Held, foldhash::fast::FixedState>,
    /// Those whose message does not stand where they were published.
    pub(crate) elsewhere: BTreeMap<u64, Whereabouts>,
    /// From which place on to look for which id.
    pub(crate) index: VecDeque<Mark>,
}

/// Ids from `first` on stand at `place` or after it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    pub(crate) first: u64,
    pub(crate) place: Place,
}

/// Where the message of a delivery is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whereabouts {
    /// In the record there.
    At(Place),
    /// Where that other id of the same subscription was published.
    As(u64),
}

/// Where a delivery stands, kept between records.
#[derive(Clone, Debug, Default)]
pub(crate) struct Held {
    pub(crate) attempts: u32,
    pub(crate) failures: u32,
    pub(crate) redrives: u32,
    pub(crate) due_unix_ns: u64,
    pub(crate) delay_ns: u64,
    /// The last failures, as a list of a record; empty = none.
    pub(crate) history: Box<[u8]>,
    /// The record that says why it is held among the dead.
    pub(crate) reason: Option<Place>,
}

// === impl Book ===

impl Book {
    pub(crate) fn new(subscribe: &Subscribe<'_>) -> Book {
        Book {
            owner: subscribe.owner.into(),
            pattern: subscribe.pattern.into(),
            next_id: 1,
            counters: Counters::default(),
            live: IdSet::default(),
            begun: IdSet::default(),
            suspects: IdSet::default(),
            held: HashMap::default(),
            elsewhere: BTreeMap::new(),
            index: VecDeque::new(),
        }
    }

    pub(crate) fn state(&self, sub: u32) -> SubscriptionState<'_> {
        SubscriptionState {
            subscribe: Subscribe { sub, owner: &self.owner, pattern: &self.pattern },
            next_id: self.next_id,
            counters: self.counters,
        }
    }

    #[inline]
    pub(crate) fn accept(&mut self, id: u64, place: Place) {
        self.counters.accepted += 1;
        self.next_id = self.next_id.max(id + 1);
        self.live.insert(id);
        let near = self.index.back().is_some_and(|last| {
            last.place.segment == place.segment && place.offset - last.place.offset < INDEX_BYTES
        });
        if !near {
            self.index.push_back(Mark { first: id, place });
        }
    }

    /// These are settled, whatever is known of them.
    #[inline]
    pub(crate) fn settle(&mut self, first: u64, count: u64) {
        self.live.remove_span(first, count);
        self.begun.remove_span(first, count);
        if self.suspects.len() != 0 {
            self.suspects.remove_span(first, count);
        }
        if !self.held.is_empty() {
            for id in first..first + count {
                self.held.remove(&id);
            }
        }
        if !self.elsewhere.is_empty() {
            for id in first..first + count {
                self.elsewhere.remove(&id);
            }
        }
    }

    #[inline]
    pub(crate) fn begin(&mut self, span: Span, attempt: u32) {
        let Span { first, count } = span;
        if attempt == 1 && self.held.is_empty() && self.live.count(first, first + count) == count {
            self.begun.insert_span(first, count);
            return;
        }
        // What is not live here was published in a segment that is gone: its copy, later in the
        // journal, says where it stood.
        for id in (first..first + count).filter(|id| self.live.contains(*id)) {
            self.begun.insert(id);
            if let Some(held) = self.held.get_mut(&id) {
                held.attempts = attempt;
            } else if attempt != 1 {
                self.held.insert(id, Held { attempts: attempt, ..Held::default() });
            }
        }
    }

    /// It waits for its next attempt, or is held among the dead.
    pub(crate) fn retry(&mut self, id: u64, standing: &Standing<'_>, reason: Option<Place>) {
        if !self.live.contains(id) {
            return;
        }
        self.begun.remove(id);
        self.suspects.remove(id);
        if reason.is_none() && *standing == Standing::default() {
            self.held.remove(&id);
            return;
        }
        let mut history = Vec::new();
        if !standing.history.is_empty() {
            put_list(&mut history, standing.history);
        }
        let held = Held {
            attempts: standing.attempts,
            failures: standing.failures,
            redrives: standing.redrives,
            due_unix_ns: standing.due_unix_ns,
            delay_ns: standing.delay_ns,
            history: history.into(),
            reason,
        };
        self.held.insert(id, held);
    }

    /// The ids that were published in that segment, if any.
    pub(crate) fn published_in(&self, segment: u64) -> Option<(u64, u64)> {
        let at = self.index.partition_point(|mark| mark.place.segment < segment);
        let first = self.index.get(at).filter(|mark| mark.place.segment == segment)?.first;
        let after = self.index.partition_point(|mark| mark.place.segment <= segment);
        Some((first, self.index.get(after).map_or(self.next_id, |mark| mark.first)))
    }

    /// Where to start looking for an id that stands where it was published.
    pub(crate) fn look_from(&self, id: u64) -> Option<Place> {
        let at = self.index.partition_point(|mark| mark.first <= id);
        Some(self.index.get(at.checked_sub(1)?)?.place)
    }

    /// Whether it was never handed off, as far as the journal knows.
    pub(crate) fn is_fresh(&self, id: u64) -> bool {
        !self.begun.contains(id) && !self.suspects.contains(id) && !self.held.contains_key(&id)
    }

    /// A new life of the host: what was begun is suspect.
    pub(crate) fn suspect(&mut self) {
        for (first, count) in std::mem::take(&mut self.begun).spans() {
            self.suspects.insert_span(first, count);
        }
    }

    pub(crate) fn forget_below(&mut self, segment: u64) {
        while self.index.front().is_some_and(|mark| mark.place.segment < segment) {
            self.index.pop_front();
        }
    }
}
