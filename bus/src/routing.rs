//! Which subscriptions want a topic.
//!
//! Literal patterns are in a map, patterns with wildcards in a trie over tokens; both are changed in
//! place, so that the millionth subscription costs what the first did. A publisher comes here once a
//! topic and remembers what it found; every change raises a version, by which it notices that what
//! it remembers is out of date. Whoever looks touches the memory of the routes, and none of the
//! subscriptions that it finds under a single pattern.

mod arena;
mod listeners;
mod trie;

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use foldhash::fast::FixedState;
use patchbay_wire::{Topic, TopicPattern};
use smallvec::SmallVec;

use self::{
    listeners::{Listener, Listeners},
    trie::Trie,
};
use crate::{durability::Level, subscription::Subscription, tap::Sink};

/// Where messages of one topic go.
#[derive(Debug, Default)]
pub(crate) struct Route {
    /// In order of their ids: the order in which their inboxes are locked.
    pub(crate) subscriptions: Arc<[Arc<Subscription>]>,
    pub(crate) taps: Box<[Arc<Sink>]>,
    /// How safe messages are. Set by whoever knows the rules.
    pub(crate) level: Level,
    /// A message that no subscription takes is refused. Set as the level is.
    pub(crate) needs_taker: bool,
}

/// Everybody who listens.
#[derive(Debug, Default)]
pub(crate) struct Routes(RwLock<Table>);

/// A topic or a token. Short ones lie in the table itself, a topic in one cache line with its
/// listeners.
type Name = SmallVec<[u8; 23]>;

#[derive(Debug, Default)]
struct Table {
    /// By their ids.
    subscriptions: HashMap<u64, Arc<Subscription>, FixedState>,
    taps: Vec<(TopicPattern, Arc<Sink>)>,
    literal: HashMap<Name, Listeners, FixedState>,
    wildcard: Trie<Listeners>,
}

// === impl Routes ===

impl Routes {
    fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// One subscription more.
    pub(crate) fn add(&self, subscription: Arc<Subscription>) {
        self.write().insert_subscription(subscription);
    }

    /// One subscription less, if it is there.
    pub(crate) fn remove(&self, subscription: &Subscription) {
        let mut table = self.write();
        let gone = table.delete_subscription(subscription);
        // In this order: what may be the last of it goes while nothing is locked.
        drop(table);
        drop(gone);
    }

    /// One subscription in the place of another; no topic is without both in between.
    pub(crate) fn replace(&self, old: &Subscription, new: Arc<Subscription>) {
        let mut table = self.write();
        let gone = table.delete_subscription(old);
        table.insert_subscription(new);
        drop(table);
        drop(gone);
    }

    /// One tap more.
    pub(crate) fn add_tap(&self, pattern: TopicPattern, sink: Arc<Sink>) {
        let mut table = self.write();
        table.insert(&pattern, Listener::Tap(Arc::clone(&sink)));
        table.taps.push((pattern, sink));
    }

    /// One tap less, if it is there.
    pub(crate) fn remove_tap(&self, sink: &Arc<Sink>) {
        let mut table = self.write();
        let Some(index) = table.taps.iter().position(|(_, found)| Arc::ptr_eq(found, sink)) else {
            return;
        };
        let (pattern, gone) = table.taps.swap_remove(index);
        table.delete(&pattern, &Listener::Tap(Arc::clone(&gone)));
        drop(table);
        drop(gone);
    }

    /// Every subscription, in order of their ids.
    pub(crate) fn subscriptions(&self) -> Vec<Arc<Subscription>> {
        let mut all: Vec<_> = self.read().subscriptions.values().cloned().collect();
        all.sort_unstable_by_key(|subscription| subscription.id());
        all
    }

    /// How many subscriptions there are.
    pub(crate) fn len(&self) -> usize {
        self.read().subscriptions.len()
    }

    /// Where messages of a topic go now.
    pub(crate) fn route(&self, topic: &Topic) -> Route {
        let table = self.read();
        let mut lists: SmallVec<[&Listeners; 8]> = SmallVec::new();
        table.wildcard.matches(topic, &mut |listeners| lists.push(listeners));
        lists.extend(table.literal.get(topic.as_str().as_bytes()));
        let taps = lists.iter().flat_map(|listeners| listeners.taps()).cloned().collect();
        let level = Level::Memory;
        if let [only] = &*lists {
            return Route { subscriptions: only.shared(), taps, level, needs_taker: false };
        }
        let all = lists.iter().flat_map(|listeners| listeners.subscriptions());
        let mut all: Vec<_> = all.cloned().collect();
        drop(lists);
        drop(table);
        all.sort_unstable_by_key(|subscription| subscription.id());
        let subscriptions = if all.is_empty() { Arc::default() } else { all.into() };
        Route { subscriptions, taps, level, needs_taker: false }
    }
}

// === impl Table ===

impl Table {
    fn insert_subscription(&mut self, subscription: Arc<Subscription>) {
        let pattern = &subscription.spec().pattern;
        self.insert(pattern, Listener::Subscription(Arc::clone(&subscription)));
        self.subscriptions.insert(subscription.id(), subscription);
    }

    fn delete_subscription(&mut self, subscription: &Subscription) -> Option<Arc<Subscription>> {
        let gone = self.subscriptions.remove(&subscription.id())?;
        self.delete(&gone.spec().pattern, &Listener::Subscription(Arc::clone(&gone)));
        Some(gone)
    }

    fn insert(&mut self, pattern: &TopicPattern, listener: Listener) {
        self.change(pattern, |before| Some(Listeners::with(before, listener)));
    }

    fn delete(&mut self, pattern: &TopicPattern, listener: &Listener) {
        self.change(pattern, |before| before?.without(listener));
    }

    /// Puts others, or nobody, in the place of those who listen under a pattern.
    fn change(
        &mut self,
        pattern: &TopicPattern,
        change: impl FnOnce(Option<Listeners>) -> Option<Listeners>,
    ) {
        if !pattern.is_literal() {
            return self.wildcard.change(pattern, change);
        }
        let name = pattern.as_str().as_bytes();
        let (name, before) = match self.literal.remove_entry(name) {
            Some((name, before)) => (name, Some(before)),
            None => (Name::from_slice(name), None),
        };
        if let Some(now) = change(before) {
            self.literal.insert(name, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_literal_pattern_and_its_listeners_fit_a_cache_line() {
        assert!(size_of::<(Name, Listeners)>() <= 64, "{}", size_of::<(Name, Listeners)>());
    }
}
