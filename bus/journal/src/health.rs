//! How a journal is doing (promise P-46).

use std::sync::atomic::Ordering::Acquire;

use crate::{commit::lock, error::Failed, journal::Journal};

/// What a journal can do now.
#[derive(Clone, Debug)]
pub enum JournalState {
    /// Everything.
    Ready,
    /// It takes settlements and no publishes until there is room (P-8).
    Full,
    /// Nothing, until a restart (P-7).
    Failed(Failed),
    /// It was closed.
    Closed,
}

/// A look at a journal.
#[derive(Clone, Debug)]
pub struct JournalHealth {
    /// What it can do.
    pub state: JournalState,
    /// Segments with records that are needed.
    pub segments: u64,
    /// Segments made ahead.
    pub ready: u64,
    /// Bytes of records in those with records.
    pub bytes: u64,
    /// Prepared room, in bytes.
    pub room: u64,
    /// What of it publishes leave alone.
    pub reserve: u64,
    /// Bytes of records that wait in memory for room, of what has happened already.
    pub owed: u64,
    /// Number of the last record that was appended.
    pub appended: u64,
    /// Up to which record everything is written.
    pub written: u64,
    /// Up to which record everything is on the device.
    pub synced: u64,
    /// Unsettled deliveries.
    pub live: u64,
    /// Dead letters.
    pub letters: u64,
    /// Places where damage was found on opening. Not zero = degraded (P-10).
    pub damaged: u64,
}

// === impl Journal ===

impl Journal {
    /// Why it failed, if it has.
    #[must_use]
    pub fn failure(&self) -> Option<&Failed> {
        self.shared.failed.get()
    }

    /// How it is doing now.
    #[must_use]
    pub fn health(&self) -> JournalHealth {
        let shared = &self.shared;
        let (written, synced) = (shared.written.load(Acquire), shared.synced.load(Acquire));
        let mut head = lock(&shared.head);
        let (room, reserve) = (head.room(), head.reserve);
        let state = match shared.failed.get() {
            Some(failed) => JournalState::Failed(failed.clone()),
            None if head.closed => JournalState::Closed,
            None if head.is_without_room() => JournalState::Full,
            None => JournalState::Ready,
        };
        JournalHealth {
            state,
            segments: head.used.len() as u64,
            ready: head.ready.len() as u64,
            bytes: head.used.iter().map(|used| used.end).sum(),
            room,
            reserve,
            owed: head.owed.bytes() as u64,
            appended: head.link.number - 1,
            written,
            synced,
            live: head.books.subs.values().map(|book| book.live.len()).sum(),
            letters: head.books.letters.len() as u64,
            damaged: shared.damage.len() as u64,
        }
    }
}
