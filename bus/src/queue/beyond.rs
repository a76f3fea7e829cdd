//! What becomes of a durable message beyond what may wait in the journal (promise P-20).
//!
//! Usually the whole publish is refused. A subscription may say instead that its own delivery is a
//! dead letter at once, or that it is *cut off*: it is passed over, and named in no record, until
//! half of its backlog is worked off or somebody lets it in again. Either way the others get theirs.

use super::inbox::{Inbox, InboxState};
use crate::{dead_letters::DeadLetters, publisher::PublishError, spec::Overflow};

/// Whether a subscription was cut off, and what has passed it by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CutOff {
    /// Since when, nanoseconds since the Unix epoch; `None`: it is not. After a restart the time of
    /// the restart.
    pub since_unix_ns: Option<u64>,
    /// Messages that it was not given, since the bus was opened.
    pub passed: u64,
}

/// What a subscription does with a durable message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reception {
    /// Takes it.
    Take,
    /// Takes it, and it is a dead letter.
    Bury,
    /// Takes it, and is cut off no more.
    Resume,
    /// Is passed over.
    Pass,
    /// Is passed over from now on.
    CutOff,
}

/// Why it takes none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreceived {
    /// No more may wait.
    Full,
    /// It will never have room for so many bytes.
    TooLarge(usize),
}

/// Somebody who wants to know when a subscription is cut off, and when no longer.
pub trait WatchCutOff: Send + Sync {
    /// It was, or was let in again. Called by publishers, with no lock held: it must not wait.
    fn changed(&self, subscription: &crate::Subscription, is_cut_off: bool);
}

// === impl Inbox ===

impl Inbox {
    /// What happens to a durable message of `size` bytes here.
    pub(crate) fn receive(
        &self,
        state: &InboxState,
        size: usize,
        dead_letters: &DeadLetters,
    ) -> Result<Reception, Unreceived> {
        if state.cut_off.since_unix_ns.is_some() {
            return Ok(if self.is_worked_off(state) { Reception::Resume } else { Reception::Pass });
        }
        if size > self.backlog.bytes {
            return Err(Unreceived::TooLarge(self.backlog.bytes));
        }
        match self.overflow {
            _ if self.has_backlog_room(state, size) => Ok(Reception::Take),
            Overflow::Detach => Ok(Reception::CutOff),
            // Where the dead have no room either, somebody has to be told.
            Overflow::DeadLetter if dead_letters.have_room(size) => Ok(Reception::Bury),
            _ => Err(Unreceived::Full),
        }
    }

    /// Ends that it is cut off. Whether it was.
    pub(crate) fn let_in(&self) -> bool {
        self.lock().cut_off.since_unix_ns.take().is_some()
    }

    fn is_worked_off(&self, state: &InboxState) -> bool {
        let (load, spilled) = (state.load(), state.intake.spilled());
        self.overflow == Overflow::Detach
            && load.count + load.bookmarks + spilled.count <= self.backlog.count / 2
            && load.bytes + spilled.bytes <= self.backlog.bytes / 2
    }
}

// === impl InboxState ===

impl InboxState {
    /// Takes a delivery over that is a dead letter.
    pub(crate) fn bury(&mut self) {
        self.next_id += 1;
        self.buried += 1;
    }

    /// How many it buried.
    pub(crate) fn buried(&self) -> u64 {
        self.buried
    }
}

// === impl Unreceived ===

impl Unreceived {
    pub(crate) fn error(
        self,
        size: usize,
        subscription: &std::sync::Arc<crate::Subscription>,
    ) -> PublishError {
        match self {
            Unreceived::Full => {
                PublishError::BacklogFull { subscription: std::sync::Arc::clone(subscription) }
            }
            Unreceived::TooLarge(limit) => PublishError::TooLarge { size, limit },
        }
    }
}

// === impl Reception ===

impl Reception {
    /// Whether the record names it.
    pub(crate) const fn is_named(self) -> bool {
        matches!(self, Reception::Take | Reception::Bury | Reception::Resume)
    }
}
