//! Which subscriptions want a topic.
//!
//! An immutable snapshot: literal patterns in a map, patterns with wildcards in a trie over interned
//! tokens. A change makes a new snapshot and raises the version, by which publishers notice that
//! what they remember is out of date.

mod trie;

use std::{collections::HashMap, sync::Arc};

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
pub(crate) enum Listener {
    Subscription(Arc<Subscription>),
    Tap(Arc<Sink>),
}

/// A snapshot of everybody who listens.
#[derive(Debug, Default)]
pub(crate) struct Table {
    listeners: Vec<(TopicPattern, Listener)>,
    literal: HashMap<Box<str>, Vec<u32>, FixedState>,
    wildcard: Trie,
}

// === impl Table ===

impl Table {
    pub(crate) fn new(listeners: Vec<(TopicPattern, Listener)>) -> Table {
        let mut table = Table { listeners, ..Table::default() };
        for (index, (pattern, _)) in table.listeners.iter().enumerate() {
            if pattern.is_literal() {
                table.literal.entry(pattern.as_str().into()).or_default().push(index as u32);
            } else {
                table.wildcard.insert(pattern, index as u32);
            }
        }
        table
    }

    /// The same with one listener more.
    pub(crate) fn with(&self, pattern: TopicPattern, listener: Listener) -> Table {
        let mut listeners = self.listeners.clone();
        listeners.push((pattern, listener));
        Table::new(listeners)
    }

    /// The same without those.
    pub(crate) fn without(&self, mut gone: impl FnMut(&Listener) -> bool) -> Table {
        let kept = self.listeners.iter().filter(|(_, listener)| !gone(listener)).cloned();
        Table::new(kept.collect())
    }

    pub(crate) fn subscriptions(&self) -> impl Iterator<Item = &Arc<Subscription>> {
        self.listeners.iter().filter_map(|(_, listener)| match listener {
            Listener::Subscription(subscription) => Some(subscription),
            Listener::Tap(_) => None,
        })
    }

    pub(crate) fn route(&self, topic: &Topic) -> Route {
        let mut found = self.literal.get(topic.as_str()).cloned().unwrap_or_default();
        self.wildcard.matches(topic, &mut found);
        found.sort_unstable();
        let (mut subscriptions, mut taps) = (Vec::new(), Vec::new());
        for index in found {
            match &self.listeners[index as usize].1 {
                Listener::Subscription(subscription) => {
                    subscriptions.push(Arc::clone(subscription))
                }
                Listener::Tap(sink) => taps.push(Arc::clone(sink)),
            }
        }
        subscriptions.sort_by_key(|subscription| subscription.id());
        Route { subscriptions: subscriptions.into(), taps: taps.into(), level: Level::Memory }
    }
}
