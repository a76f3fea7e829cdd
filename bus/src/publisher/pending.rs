//! What a publisher is told, and when.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
};

use patchbay_journal::{CommitError, Journal, Level, Reached};

use super::PublishError;
use crate::{subscription::Subscription, wake::Wake};

/// An accepted message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// Its id; that of the first one when it is a duplicate.
    pub id: u128,
    /// Its number in the journal, gapless; `None` when it is not recorded.
    pub seq: Option<u64>,
    /// The level that it has reached.
    pub level: Level,
    /// How many subscriptions took it.
    pub routed: u32,
    /// The same was accepted before under its dedup key: this one was delivered to nobody.
    pub duplicate: bool,
}

/// A message on its way to its level. Dropping it changes nothing for the message.
#[derive(Debug)]
#[must_use = "a message is accepted when this says so"]
pub struct Pending {
    published: Published,
    commit: Option<Commit>,
}

/// The record that has to reach a level.
#[derive(Debug)]
pub(super) struct Commit {
    pub(super) journal: Arc<Journal>,
    pub(super) record: u64,
    /// Who is waiting for it.
    pub(super) subscriptions: Arc<[Arc<Subscription>]>,
    /// Set when nobody may wait for it.
    release: Option<Arc<Release>>,
}

/// Tells subscriptions that a record has its level.
#[derive(Debug)]
struct Release {
    subscriptions: Arc<[Arc<Subscription>]>,
    failed: AtomicBool,
}

/// Wakes whoever waits for a record.
struct Decided(Arc<dyn Wake>);

/// Wakes a task.
struct TaskWake(Waker);

impl Reached for Release {
    fn reached(&self, _record: u64, outcome: Result<(), CommitError>) {
        match outcome {
            Ok(()) => self.subscriptions.iter().for_each(|subscription| subscription.announce()),
            Err(_) => self.failed.store(true, Ordering::Release),
        }
    }
}

impl Reached for Decided {
    fn reached(&self, _record: u64, _outcome: Result<(), CommitError>) {
        self.0.wake();
    }
}

impl Wake for TaskWake {
    fn wake(&self) {
        self.0.wake_by_ref();
    }
}

// === impl Published ===

impl Published {
    pub(crate) const fn in_memory(id: u128, routed: u32) -> Published {
        Published { id, seq: None, level: Level::Memory, routed, duplicate: false }
    }
}

// === impl Commit ===

impl Commit {
    pub(super) fn new(
        journal: &Arc<Journal>,
        record: u64,
        subscriptions: Arc<[Arc<Subscription>]>,
    ) -> Commit {
        Commit { journal: Arc::clone(journal), record, subscriptions, release: None }
    }
}

// === impl Pending ===

impl Pending {
    pub(super) const fn decided(published: Published) -> Pending {
        Pending { published, commit: None }
    }

    pub(super) fn new(published: Published, commit: Commit) -> Pending {
        Pending { published, commit: Some(commit) }
    }

    /// Sees to it that the deliveries are released although nobody may wait here.
    pub(super) fn armed(mut self) -> Pending {
        if let Some(commit) = &mut self.commit {
            let subscriptions = Arc::clone(&commit.subscriptions);
            let release = Arc::new(Release { subscriptions, failed: AtomicBool::new(false) });
            commit.release = Some(Arc::clone(&release));
            commit.journal.when(commit.record, self.published.level, release);
        }
        self
    }

    /// Whether both are waited for by the same subscriptions.
    pub(super) fn leads_to_the_same_as(&self, other: &Pending) -> bool {
        match (&self.commit, &other.commit) {
            (Some(mine), Some(others)) => Arc::ptr_eq(&mine.subscriptions, &others.subscriptions),
            (None, _) => true,
            (Some(_), None) => false,
        }
    }

    /// The record that decides; 0 = it is decided.
    pub(super) fn record(&self) -> u64 {
        self.commit.as_ref().map_or(0, |commit| commit.record)
    }

    /// Lets the deliveries go when the level is reached; nobody waits here.
    pub(crate) fn release(pending: Pending) {
        let _armed = pending.armed();
    }

    /// What will be told, if all goes well.
    #[must_use]
    pub fn promised(&self) -> &Published {
        &self.published
    }

    /// How it was decided, if it was.
    #[must_use]
    pub fn poll_result(&self) -> Option<Result<Published, PublishError>> {
        let Some(commit) = &self.commit else { return Some(Ok(self.published)) };
        if commit.journal.reached(self.published.level) >= commit.record {
            return Some(Ok(self.published));
        }
        let failed =
            commit.release.as_ref().is_some_and(|release| release.failed.load(Ordering::Acquire));
        failed.then_some(Err(PublishError::JournalFailed { written: true }))
    }

    /// Waits until it is decided, and helps to get there. Not for a thread of a runtime.
    ///
    /// # Errors
    /// When the journal fails before the level is reached.
    pub fn wait(self) -> Result<Published, PublishError> {
        let Some(commit) = &self.commit else { return Ok(self.published) };
        if commit.journal.wait(commit.record, self.published.level).is_err() {
            return Err(PublishError::JournalFailed { written: true });
        }
        commit.subscriptions.iter().for_each(|subscription| subscription.announce());
        Ok(self.published)
    }

    /// Calls `wake` once when it is decided, at once if it is.
    pub fn when(&self, wake: Arc<dyn Wake>) {
        match &self.commit {
            None => wake.wake(),
            Some(commit) => {
                let level = self.published.level;
                commit.journal.when(commit.record, level, Arc::new(Decided(wake)));
            }
        }
    }
}

impl Future for Pending {
    type Output = Result<Published, PublishError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(result) = self.poll_result() {
            return Poll::Ready(result);
        }
        self.when(Arc::new(TaskWake(context.waker().clone())));
        // Decided meanwhile: then nobody would come.
        self.poll_result().map_or(Poll::Pending, Poll::Ready)
    }
}
