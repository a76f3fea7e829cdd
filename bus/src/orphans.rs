//! Subscriptions without an owner: found in the journal, or left behind by a plugin that is gone.
//! They keep what is durable until somebody comes for it or it is purged by name.

use std::sync::Arc;

use crate::{
    broker::Broker,
    queue::{refill::Reading, service::Time},
    recovery::{DETACHED, detached},
    spec::{Overflow, SubscriptionSpec},
    subscription::Subscription,
    sync::lock,
};

impl Broker {
    /// Subscriptions that nobody serves: those found in the journal that nobody has come for, and
    /// those that were [detached](Broker::detach).
    #[must_use]
    pub fn orphans(&self) -> Vec<Arc<Subscription>> {
        lock(&self.inner().orphans).clone()
    }

    /// Ends a subscription whose plugin is gone, and keeps what is durable under its owner's name:
    /// nothing new comes in. Without a journal, or when nothing of it was ever durable, this is
    /// [`remove`](Broker::remove). Its seats must be gone. Returns how many deliveries were dropped.
    pub fn detach(&self, subscription: &Arc<Subscription>) -> u64 {
        let Some(journal) = &self.inner().journal else { return self.remove(subscription) };
        if !subscription.queue.inbox.lock().intake.registered {
            return self.remove(subscription);
        }
        self.unroute(subscription);
        let dropped = subscription.queue.detach();
        let mut orphans = lock(&self.inner().orphans);
        if !orphans.iter().any(|orphan| orphan.id() == subscription.id()) {
            orphans.push(Arc::clone(subscription));
        }
        let mut all = detached(journal);
        all.insert(subscription.id() as u32);
        // A restart that does not know it routes to it again, until its plugin is found missing.
        let _told = journal.put(DETACHED, &bytes(all));
        dropped
    }

    /// Deletes the orphans of that owner and pattern for good, with all that they hold and their
    /// dead letters. Returns how many deliveries were dropped.
    pub fn purge_orphans(&self, owner: &str, pattern: Option<&str>) -> u64 {
        let is_meant = |orphan: &Arc<Subscription>| {
            orphan.owner() == owner
                && pattern.is_none_or(|pattern| orphan.spec().pattern.as_str() == pattern)
        };
        let mut dropped = 0;
        for orphan in self.orphans().iter().filter(|orphan| is_meant(orphan)) {
            self.dead_letters().forget_subscription(orphan.id());
            dropped += self.remove(orphan);
        }
        dropped
    }

    /// Gives an orphan that fits a new owner. The lock of edits is held.
    pub(crate) fn adopt(&self, spec: &Arc<SubscriptionSpec>) -> Option<Arc<Subscription>> {
        let inner = self.inner();
        let journal = inner.journal.as_ref()?;
        let mut orphans = lock(&inner.orphans);
        let at = orphans.iter().position(|orphan| {
            orphan.owner() == &*spec.owner && orphan.spec().pattern == spec.pattern
        })?;
        let estate = orphans[at].queue.leave_estate()?;
        let old = orphans.remove(at);
        drop(orphans);
        let subscription = inner.make(old.id(), Arc::clone(spec));
        let now_ns = inner.clock.now_ns();
        let reading = Reading {
            journal,
            spec,
            sub: old.id() as u32,
            time: Time { now_ns, unix_ns: now_ns.wrapping_add(inner.unix_offset) },
        };
        let due = subscription.queue.inherit(estate, &reading);
        if subscription.suspects() > 0 {
            inner.solo.join(&subscription);
        }
        inner.routes.replace(&old, Arc::clone(&subscription));
        self.rerouted();
        if spec.overflow != Overflow::Detach {
            self.let_in(&subscription);
        }
        subscription.arm(due);
        let mut all = detached(journal);
        if all.remove(&(old.id() as u32)) {
            let _told = journal.put(DETACHED, &bytes(all));
        }
        Some(subscription)
    }
}

fn bytes(numbers: std::collections::HashSet<u32>) -> Vec<u8> {
    let mut sorted: Vec<u32> = numbers.into_iter().collect();
    sorted.sort_unstable();
    sorted.into_iter().flat_map(u32::to_le_bytes).collect()
}
