//! What a publisher remembers of routes: a direct-mapped table in front of
//! the routes.
//!
//! It starts small, because most publishers know a handful of topics and there may be one for every
//! thread of a thousand plugins, and grows when topics keep driving each other out. Topics for replies
//! are each used once: they pass by the table.

use std::{hash::BuildHasher, sync::atomic::Ordering::Acquire};

use foldhash::fast::FixedState;
use patchbay_wire::{Topic, TopicError};

use crate::{broker::Inner, request::REPLY_PREFIX, routing::Route};

const ENTRIES_FIRST: usize = 64;
const ENTRIES_MAX: usize = 16_384;
/// Factor of growth.
const GROWTH: usize = 4;

#[derive(Debug)]
pub(super) struct RouteCache {
    /// A power of two of them.
    entries: Vec<Option<Entry>>,
    /// The last topic for a reply.
    passing: Option<Entry>,
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
        RouteCache {
            entries: empty(ENTRIES_FIRST),
            passing: None,
            evictions: 0,
            hasher: FixedState::default(),
        }
    }

    /// The route of a topic. One load and one comparison while the routes stand still.
    #[inline]
    pub(super) fn find(&mut self, broker: &Inner, topic: &str) -> Result<&Route, TopicError> {
        let version = broker.version.load(Acquire);
        let mut place = self.place(topic);
        let is_known = self.entries[place].as_ref().is_some_and(|it| it.answers(version, topic));
        if !is_known {
            if topic.starts_with(REPLY_PREFIX) {
                return self.pass(broker, version, topic);
            }
            let entry = look_up(broker, topic)?;
            place = self.make_room(place, topic);
            self.entries[place] = Some(entry);
        }
        // Never empty: known, or filled just now.
        self.entries[place].as_ref().map(|entry| &entry.route).ok_or(TopicError::Empty)
    }

    #[cold]
    fn pass(&mut self, broker: &Inner, version: u64, topic: &str) -> Result<&Route, TopicError> {
        if !self.passing.as_ref().is_some_and(|it| it.answers(version, topic)) {
            self.passing = Some(look_up(broker, topic)?);
        }
        self.passing.as_ref().map(|entry| &entry.route).ok_or(TopicError::Empty)
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

// === impl Entry ===

impl Entry {
    #[inline]
    fn answers(&self, version: u64, topic: &str) -> bool {
        self.version == version && self.topic.as_str() == topic
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{broker::Broker, clock::ManualClock, config::BrokerConfig};

    #[test]
    fn topics_for_replies_drive_nothing_out() {
        let broker = Broker::seeded(BrokerConfig::default(), Arc::new(ManualClock::new()), 1);
        let mut cache = RouteCache::new();
        cache.find(broker.inner(), "orders.new").expect("a topic");
        for number in 0..2 * ENTRIES_FIRST {
            let topic = format!("{REPLY_PREFIX}{number}");
            cache.find(broker.inner(), &topic).expect("a topic");
            let passing = cache.passing.as_ref().map(|entry| entry.topic.as_str());
            assert_eq!(passing, Some(&*topic));
        }
        let kept: Vec<&str> = cache.entries.iter().flatten().map(|it| it.topic.as_str()).collect();
        assert_eq!(kept, ["orders.new"]);
    }
}
