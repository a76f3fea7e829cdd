//! Which subscriptions are cut off because of their backlog, over restarts, and who is told.

use std::{
    collections::BTreeSet,
    mem,
    sync::{Arc, Mutex},
};

use patchbay_journal::{Journal, Record};

use crate::{
    broker::{Broker, Inner},
    queue::beyond::{CutOff, WatchCutOff},
    subscription::Subscription,
    sync::lock,
};

/// The key under which the journal keeps them.
const CUT_OFF: &str = "bus/cut_off";

/// Subscriptions that are cut off.
#[derive(Default)]
pub(crate) struct CutOffs {
    /// Their numbers; held while the journal is told, so that it is told in order.
    numbers: Mutex<BTreeSet<u32>>,
    watchers: Mutex<Vec<Arc<dyn WatchCutOff>>>,
    news: Mutex<News>,
}

/// What watchers were not told yet, because whoever found it out held a lock.
#[derive(Default)]
struct News {
    changes: Vec<(Arc<Subscription>, bool)>,
    letters: bool,
}

impl CutOffs {
    /// Those that were when the last life of the bus ended.
    pub(crate) fn recover(&self, journal: &Journal) -> BTreeSet<u32> {
        let value = journal.get(CUT_OFF).unwrap_or_default();
        let found = value.as_chunks().0.iter().map(|bytes| u32::from_le_bytes(*bytes));
        let mut numbers = lock(&self.numbers);
        numbers.extend(found);
        numbers.clone()
    }

    fn note(&self, journal: Option<&Arc<Journal>>, number: u32, is_cut_off: bool) -> bool {
        let mut numbers = lock(&self.numbers);
        let changed = if is_cut_off { numbers.insert(number) } else { numbers.remove(&number) };
        if changed && let Some(journal) = journal {
            let value: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
            // A restart that does not know of it finds the backlog full once more.
            let _told = journal.record(&Record::Control { key: CUT_OFF, value: &value });
        }
        changed
    }
}

impl Inner {
    /// A subscription was cut off, or was let in again. No inbox is locked.
    #[cold]
    pub(crate) fn cut_off_changed(&self, subscription: &Subscription) {
        let is_cut_off = subscription.cut_off().since_unix_ns.is_some();
        if self.cut_offs.note(self.journal.as_ref(), subscription.id() as u32, is_cut_off)
            && let Some(subscription) = subscription.this()
        {
            lock(&self.cut_offs.news).changes.push((subscription, is_cut_off));
        }
    }

    /// A delivery was a dead letter from the start.
    #[cold]
    pub(crate) fn note_buried(&self) {
        lock(&self.cut_offs.news).letters = true;
    }

    /// Tells watchers what was found out since. No lock is held.
    #[cold]
    pub(crate) fn tell_news(&self) {
        let News { changes, letters } = mem::take(&mut *lock(&self.cut_offs.news));
        if changes.is_empty() && !letters {
            return;
        }
        if letters {
            self.dead_letters.watchers().iter().for_each(|watcher| watcher.wake());
        }
        let watchers = lock(&self.cut_offs.watchers).clone();
        for (subscription, is_cut_off) in &changes {
            watchers.iter().for_each(|watcher| watcher.changed(subscription, *is_cut_off));
        }
    }
}

impl Broker {
    /// Tells `watcher` whenever a subscription is cut off because of its backlog, and when it is let
    /// in again. Kept for the life of the broker.
    pub fn watch_cut_off(&self, watcher: Arc<dyn WatchCutOff>) {
        lock(&self.inner().cut_offs.watchers).push(watcher);
    }

    /// Lets a subscription in again that was cut off because of its backlog. Whether it was.
    pub fn let_in(&self, subscription: &Subscription) -> bool {
        let was_cut_off = subscription.queue.inbox.let_in();
        if was_cut_off {
            self.inner().cut_off_changed(subscription);
            self.inner().tell_news();
        }
        was_cut_off
    }
}

impl Subscription {
    /// Whether it is cut off because of its backlog, and how much has passed it by.
    #[must_use]
    pub fn cut_off(&self) -> CutOff {
        self.queue.inbox.lock().cut_off
    }
}
