//! Who listens under one pattern.

use std::sync::{Arc, OnceLock};

use crate::{subscription::Subscription, tap::Sink};

/// Subscriptions as routes have them: a route that is made of one list counts the list, and touches
/// none of those in it.
type Shared = Arc<[Arc<Subscription>]>;

/// Somebody who wants what a pattern matches.
#[derive(Clone, Debug)]
pub(super) enum Listener {
    Subscription(Arc<Subscription>),
    Tap(Arc<Sink>),
}

/// Those who listen under one pattern, at least one. Changed by value, so that what routes share of
/// the old list is dropped with it.
#[derive(Debug)]
pub(super) enum Listeners {
    /// Nearly always it is one subscription, which needs no memory of its own then.
    One(Arc<Subscription>, OnceLock<Shared>),
    Many(Box<Many>),
}

#[derive(Debug, Default)]
pub(super) struct Many {
    /// In order of their ids.
    subscriptions: Vec<Arc<Subscription>>,
    /// The same, made with the first route: nobody may ever publish there.
    shared: OnceLock<Shared>,
    taps: Vec<Arc<Sink>>,
}

// === impl Listeners ===

impl Listeners {
    /// One more than there were.
    pub(super) fn with(before: Option<Listeners>, listener: Listener) -> Listeners {
        let mut many = match (before, listener) {
            (None, Listener::Subscription(subscription)) => {
                return Listeners::One(subscription, OnceLock::new());
            }
            (before, listener) => {
                let mut many = before.map_or_else(Box::default, Listeners::into_many);
                many.add(listener);
                many
            }
        };
        many.shared = OnceLock::new();
        Listeners::Many(many)
    }

    /// Those who are left without somebody, who need not be among them.
    pub(super) fn without(self, listener: &Listener) -> Option<Listeners> {
        let mut many = self.into_many();
        many.remove(listener);
        many.shared = OnceLock::new();
        match (many.subscriptions.len(), many.taps.is_empty()) {
            (0, true) => None,
            (1, true) => many.subscriptions.pop().map(|last| Listeners::One(last, OnceLock::new())),
            _ => Some(Listeners::Many(many)),
        }
    }

    /// The subscriptions, in order of their ids.
    pub(super) fn subscriptions(&self) -> &[Arc<Subscription>] {
        match self {
            Listeners::One(subscription, _) => std::slice::from_ref(subscription),
            Listeners::Many(many) => &many.subscriptions,
        }
    }

    /// The same, to be kept.
    pub(super) fn shared(&self) -> Shared {
        let shared = match self {
            Listeners::One(_, shared) => shared,
            Listeners::Many(many) => &many.shared,
        };
        Arc::clone(shared.get_or_init(|| self.subscriptions().into()))
    }

    /// The taps, in no order.
    pub(super) fn taps(&self) -> &[Arc<Sink>] {
        match self {
            Listeners::One(..) => &[],
            Listeners::Many(many) => &many.taps,
        }
    }

    fn into_many(self) -> Box<Many> {
        match self {
            Listeners::One(subscription, _) => {
                Box::new(Many { subscriptions: vec![subscription], ..Many::default() })
            }
            Listeners::Many(many) => many,
        }
    }
}

// === impl Many ===

impl Many {
    fn add(&mut self, listener: Listener) {
        match listener {
            Listener::Tap(sink) => self.taps.push(sink),
            Listener::Subscription(subscription) => {
                // The newest has the highest id: nearly always this is the end.
                let place = self.place(subscription.id()).unwrap_or_else(|place| place);
                self.subscriptions.insert(place, subscription);
            }
        }
    }

    fn remove(&mut self, listener: &Listener) {
        match listener {
            Listener::Tap(sink) => self.taps.retain(|found| !Arc::ptr_eq(found, sink)),
            Listener::Subscription(subscription) => {
                if let Ok(place) = self.place(subscription.id()) {
                    self.subscriptions.remove(place);
                }
            }
        }
    }

    /// Where a subscription is, or would be.
    fn place(&self, id: u64) -> Result<usize, usize> {
        self.subscriptions.binary_search_by_key(&id, |subscription| subscription.id())
    }
}
