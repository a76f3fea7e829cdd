//! Which subscriptions want a topic.
//!
//! Literal patterns are in a map, patterns with wildcards in a trie over tokens; both are changed in
//! place, so that the millionth subscription costs what the first did. A publisher comes here once a
//! topic and remembers what it found; every change raises a version, by which it notices that what
//! it remembers is out of date.

mod trie;

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use foldhash::fast::FixedState;
use patchbay_wire::{Topic, TopicPattern};
use smallvec::SmallVec;

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

/// Who listens to one topic.
#[derive(Debug)]
enum Literal {
    /// One subscription, as the route of most topics is made of it: remembering that costs a count.
    One(Arc<[Arc<Subscription>]>),
    Many(Vec<Listener>),
}

/// A topic or a token. Short ones lie in the table itself, so that comparing them is no look
/// elsewhere in memory.
type Name = SmallVec<[u8; 24]>;

#[derive(Debug, Default)]
struct Table {
    /// By their ids.
    subscriptions: HashMap<u64, Arc<Subscription>, FixedState>,
    taps: Vec<(TopicPattern, Arc<Sink>)>,
    literal: HashMap<Name, Literal, FixedState>,
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
        table.wildcard.matches(topic, &mut found);
        let mut only = None;
        match table.literal.get(topic.as_str().as_bytes()) {
            Some(Literal::Many(listeners)) => listeners.iter().for_each(&mut found),
            Some(Literal::One(subscription)) if subscriptions.is_empty() => {
                only = Some(Arc::clone(subscription));
            }
            Some(Literal::One(subscription)) => subscriptions.extend_from_slice(subscription),
            None => {}
        }
        drop(table);
        subscriptions.sort_unstable_by_key(|subscription| subscription.id());
        let subscriptions = match only {
            Some(only) => only,
            None if subscriptions.is_empty() => Arc::default(),
            None => subscriptions.into(),
        };
        Route { subscriptions, taps: taps.into(), level: Level::Memory }
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
        if !pattern.is_literal() {
            return self.wildcard.insert(pattern, listener);
        }
        let name = Name::from_slice(pattern.as_str().as_bytes());
        match self.literal.entry(name) {
            Entry::Vacant(vacant) => drop(vacant.insert(Literal::of(vec![listener]))),
            Entry::Occupied(mut occupied) => {
                let mut listeners = occupied.get_mut().take();
                listeners.push(listener);
                occupied.insert(Literal::of(listeners));
            }
        }
    }

    fn delete(&mut self, pattern: &TopicPattern, is_gone: impl Fn(&Listener) -> bool) {
        if !pattern.is_literal() {
            return self.wildcard.remove(pattern, is_gone);
        }
        let name = pattern.as_str().as_bytes();
        let Some(literal) = self.literal.get_mut(name) else { return };
        let mut listeners = literal.take();
        listeners.retain(|listener| !is_gone(listener));
        if listeners.is_empty() {
            self.literal.remove(name);
        } else {
            *literal = Literal::of(listeners);
        }
    }
}

// === impl Literal ===

impl Literal {
    fn of(listeners: Vec<Listener>) -> Literal {
        match &*listeners {
            [Listener::Subscription(subscription)] => {
                Literal::One(Arc::new([Arc::clone(subscription)]))
            }
            _ => Literal::Many(listeners),
        }
    }

    /// Takes them all out, to be changed and put back.
    fn take(&mut self) -> Vec<Listener> {
        match std::mem::replace(self, Literal::Many(Vec::new())) {
            Literal::Many(listeners) => listeners,
            Literal::One(one) => {
                one.iter().map(|each| Listener::Subscription(Arc::clone(each))).collect()
            }
        }
    }
}
