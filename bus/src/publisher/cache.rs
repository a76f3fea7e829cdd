//! What a publisher remembers of routes: a direct-mapped table in front of
//! the routes.
//!
//! It starts small, because most publishers know a handful of topics and there may be one for every
//! thread of a thousand plugins, and grows when topics keep driving each other out.

use std::{hash::BuildHasher, sync::atomic::Ordering::Acquire};

use foldhash::fast::FixedState;
use patchbay_wire::{Topic, TopicError};

use crate::{broker::Inner, routing::Route};

const ENTRIES_FIRST: usize = 64;
const ENTRIES_MAX: usize = 16_384;
/// Factor of growth.
const GROWTH: usize = 4;

#[derive(Debug)]
pub(super) struct RouteCache {
    /// A power of two of them.
    entries: Vec<Option<Entry>>,
    /// Topics that drove another one out since the table has this size.
    evictions: usize,
    hasher: FixedState,
}

#[derive(Debug)]
struct Entry {
    topic: Topic,
    version: u64,
    route: Route,
}

// === impl RouteCache ===

impl RouteCache {
    pub(super) fn new() -> RouteCache {
        RouteCache { entries: empty(ENTRIES_FIRST), evictions: 0, hasher: FixedState::default() }
    }

    /// The route of a topic. One load and one comparison while the routes stand still.
    #[inline]
    pub(super) fn find(&mut self, broker: &Inner, topic: &str) -> Result<&Route, TopicError> {
        let version = broker.version.load(Acquire);
        let mut place = self.place(topic);
        let is_known = self.entries[place]
            .as_ref()
            .is_some_and(|entry| entry.version == version && entry.topic.as_str() == topic);
        if !is_known {
            let entry = look_up(broker, topic)?;
            place = self.make_room(place, topic);
            self.entries[place] = Some(entry);
        }
        // Never empty: known, or filled just now.
        self.entries[place].as_ref().map(|entry| &entry.route).ok_or(TopicError::Empty)
    }

    #[inline]
    fn place(&self, topic: &str) -> usize {
        self.hasher.hash_one(topic) as usize & (self.entries.len() - 1)
    }

    /// Where a topic that is not known goes: into a larger table when others were driven out as often
    /// as this one has places.
    #[cold]
    fn make_room(&mut self, place: usize, topic: &str) -> usize {
        let drives_out =
            self.entries[place].as_ref().is_some_and(|entry| entry.topic.as_str() != topic);
        self.evictions += usize::from(drives_out);
        if self.evictions < self.entries.len() || self.entries.len() >= ENTRIES_MAX {
            return place;
        }
        self.evictions = 0;
        let larger = empty(self.entries.len() * GROWTH);
        for entry in std::mem::replace(&mut self.entries, larger).into_iter().flatten() {
            let place = self.place(entry.topic.as_str());
            self.entries[place] = Some(entry);
        }
        self.place(topic)
    }
}

fn empty(entries: usize) -> Vec<Option<Entry>> {
    (0..entries).map(|_| None).collect()
}

#[cold]
fn look_up(broker: &Inner, topic: &str) -> Result<Entry, TopicError> {
    let topic = Topic::parse(topic)?;
    // The version first: routes that are newer than their number are looked up once more later.
    let version = broker.version.load(Acquire);
    let route = broker.route(&topic);
    Ok(Entry { topic, version, route })
}
