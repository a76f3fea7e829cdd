//! What a publisher is told, and when.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
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
    pub(super) release: Arc<Release>,
}

/// Tells subscriptions that a record has its level. A publisher has one for many records.
#[derive(Debug, Default)]
pub(super) struct Release {
    pub(super) subscriptions: Arc<[Arc<Subscription>]>,
    /// Up to which record a publisher has told them, for each level.
    told: [AtomicU64; Level::ALL.len()],
}

/// Wakes whoever waits for a record.
struct Decided(Arc<dyn Wake>);

/// Wakes a task.
struct TaskWake(Waker);

impl Reached for Release {
    fn reached(&self, _record: u64, outcome: Result<(), CommitError>) {
        if outcome.is_ok() {
            self.announce();
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

// === impl Release ===

impl Release {
    pub(super) fn new(subscriptions: Arc<[Arc<Subscription>]>) -> Release {
        Release { subscriptions, told: Default::default() }
    }

    fn announce(&self) {
        self.subscriptions.iter().for_each(|subscription| subscription.announce());
    }

    /// Tells of a record that has that level, and of all that have it by now; nothing when that was
    /// done with an earlier one.
    fn announce_upto(&self, record: u64, level: Level, journal: &Journal) {
        let told = &self.told[level as usize];
        if told.load(Relaxed) < record {
            let reached = journal.reached(level);
            self.announce();
            told.fetch_max(reached, Relaxed);
        }
    }
}

// === impl Commit ===

impl Commit {
    pub(super) fn new(journal: &Arc<Journal>, record: u64, release: Arc<Release>) -> Commit {
        Commit { journal: Arc::clone(journal), record, release }
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
    pub(super) fn armed(self) -> Pending {
        if let Some(commit) = &self.commit {
            commit.journal.when(commit.record, self.published.level, &commit.release);
        }
        self
    }

    /// Whether both are waited for by the same subscriptions.
    pub(super) fn leads_to_the_same_as(&self, other: &Pending) -> bool {
        match (&self.commit, &other.commit) {
            (Some(mine), Some(others)) => {
                Arc::ptr_eq(&mine.release.subscriptions, &others.release.subscriptions)
            }
            (None, _) => true,
            (Some(_), None) => false,
        }
    }

    /// Sees to it that lanes find it now, if its level is [`Level::Process`]. Whether they do.
    pub(super) fn make_found(&self) -> bool {
        let Some(commit) = &self.commit else { return true };
        let is_written = commit.journal.write_through(commit.record).is_ok();
        if is_written {
            commit.release.announce_upto(commit.record, Level::Process, &commit.journal);
        }
        is_written
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
        // Nothing is reached after a failure: so that is asked for first.
        let failed = commit.journal.failure().is_some();
        if commit.journal.reached(self.published.level) >= commit.record {
            return Some(Ok(self.published));
        }
        failed.then_some(Err(PublishError::JournalFailed { written: true }))
    }

    /// Waits until it is decided, and helps to get there. Not for a thread of a runtime.
    ///
    /// # Errors
    /// When the journal fails before the level is reached.
    pub fn wait(self) -> Result<Published, PublishError> {
        let Some(commit) = &self.commit else { return Ok(self.published) };
        let level = self.published.level;
        if commit.journal.wait(commit.record, level).is_err() {
            return Err(PublishError::JournalFailed { written: true });
        }
        commit.release.announce_upto(commit.record, level, &commit.journal);
        Ok(self.published)
    }

    /// Calls `wake` once when it is decided, at once if it is.
    pub fn when(&self, wake: Arc<dyn Wake>) {
        match &self.commit {
            None => wake.wake(),
            Some(commit) => {
                let level = self.published.level;
                commit.journal.when(commit.record, level, &Arc::new(Decided(wake)));
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
