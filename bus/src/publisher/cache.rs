//! What a publisher remembers of routes: a direct-mapped table in front of the snapshot.

use std::{hash::BuildHasher, sync::atomic::Ordering::Acquire};

use foldhash::fast::FixedState;
use patchbay_wire::{Topic, TopicError};

use crate::{broker::Inner, routing::Route};

const ENTRIES: usize = 64;

#[derive(Debug)]
pub(super) struct RouteCache {
    entries: Vec<Option<Entry>>,
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
        RouteCache { entries: (0..ENTRIES).map(|_| None).collect(), hasher: FixedState::default() }
    }

    /// The route of a topic. One load and one comparison while the routes stand still.
    #[inline]
    pub(super) fn find(&mut self, broker: &Inner, topic: &str) -> Result<&Route, TopicError> {
        let place = self.hasher.hash_one(topic) as usize % ENTRIES;
        let version = broker.version.load(Acquire);
        let is_known = self.entries[place]
            .as_ref()
            .is_some_and(|entry| entry.version == version && entry.topic.as_str() == topic);
        if !is_known {
            self.entries[place] = Some(look_up(broker, topic)?);
        }
        // Never empty: known, or filled just now.
        self.entries[place].as_ref().map(|entry| &entry.route).ok_or(TopicError::Empty)
    }
}

#[cold]
fn look_up(broker: &Inner, topic: &str) -> Result<Entry, TopicError> {
    let topic = Topic::parse(topic)?;
    // The version first: a snapshot that is newer than its number is looked up once more later.
    let version = broker.version.load(Acquire);
    let route = broker.route(&topic);
    Ok(Entry { topic, version, route })
}
