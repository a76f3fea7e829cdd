//! Which subscriptions want a topic.
//!
//! Literal patterns are in a map, patterns with wildcards in a trie over tokens; both are changed in
//! place, so that the millionth subscription costs what the first did. A publisher comes here once a
//! topic and remembers what it found; every change raises a version, by which it notices that what
//! it remembers is out of date.

mod trie;

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use foldhash::fast::FixedState;
use patchbay_wire::{Topic, TopicPattern};

use self::trie::Trie;
use crate::{durability::Level, subscription::Subscription, tap::Sink};

/// Where messages of one topic go.
#[derive(Debug, Default)]
pub(crate) struct Route {
    /// In order of their ids: the order in which their inboxes are locked.
    pub(crate) subscriptions: Arc<[Arc<Subscription>]>,
    pub(crate) taps: Box<[Arc<Sink>]>,
    /// How safe messages are. Set by whoever knows the rules.
    pub(crate) level: Level,
}

/// Somebody who wants what a pattern matches.
#[derive(Clone, Debug)]
enum Listener {
    Subscription(Arc<Subscription>),
    Tap(Arc<Sink>),
}

/// Everybody who listens.
#[derive(Debug, Default)]
pub(crate) struct Routes(RwLock<Table>);

#[derive(Debug, Default)]
struct Table {
    /// By their ids.
    subscriptions: HashMap<u64, Arc<Subscription>, FixedState>,
    taps: Vec<(TopicPattern, Arc<Sink>)>,
    literal: HashMap<Box<str>, Vec<Listener>, FixedState>,
    wildcard: Trie<Listener>,
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
        table.delete(
            &pattern,
            |listener| matches!(listener, Listener::Tap(found) if Arc::ptr_eq(found, &gone)),
        );
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
        let (mut subscriptions, mut taps) = (Vec::new(), Vec::new());
        let mut found = |listener: &Listener| match listener {
            Listener::Subscription(subscription) => subscriptions.push(Arc::clone(subscription)),
            Listener::Tap(sink) => taps.push(Arc::clone(sink)),
        };
        let table = self.read();
        table.literal.get(topic.as_str()).into_iter().flatten().for_each(&mut found);
        table.wildcard.matches(topic, &mut found);
        drop(table);
        subscriptions.sort_unstable_by_key(|subscription| subscription.id());
        Route { subscriptions: subscriptions.into(), taps: taps.into(), level: Level::Memory }
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
        self.delete(
            &gone.spec().pattern,
            |listener| matches!(listener, Listener::Subscription(found) if found.id() == gone.id()),
        );
        Some(gone)
    }

    fn insert(&mut self, pattern: &TopicPattern, listener: Listener) {
        if pattern.is_literal() {
            self.literal.entry(pattern.as_str().into()).or_default().push(listener);
        } else {
            self.wildcard.insert(pattern, listener);
        }
    }

    fn delete(&mut self, pattern: &TopicPattern, is_gone: impl Fn(&Listener) -> bool) {
        if !pattern.is_literal() {
            return self.wildcard.remove(pattern, is_gone);
        }
        let Some(listeners) = self.literal.get_mut(pattern.as_str()) else { return };
        listeners.retain(|listener| !is_gone(listener));
        if listeners.is_empty() {
            self.literal.remove(pattern.as_str());
        }
    }
}
