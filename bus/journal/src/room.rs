//! Room for what is to be appended: waited for where no lock is held, never in an append.

use std::{
    fmt,
    sync::{MutexGuard, PoisonError},
    time::Instant,
};

use crate::{
    commit::lock,
    error::AppendError,
    frame::HEAD,
    head::Head,
    journal::{Journal, Shared},
    place::Position,
    record::Record,
};

/// What a record of a message takes at most beside the message.
const BESIDE: u64 = 256;

/// Somebody who wants room; see [`Journal::wanting`].
pub struct Wanting<'a> {
    shared: &'a Shared,
    bytes: u64,
    /// There was some, and others took it.
    is_asked: bool,
    /// Until when it is waited for, once it is.
    end: Option<Instant>,
}

// === impl Journal ===

impl Journal {
    /// Wants room for a publish of so many bytes.
    #[must_use]
    #[inline]
    pub fn wanting(&self, bytes: u64) -> Wanting<'_> {
        Wanting { shared: &self.shared, bytes, is_asked: false, end: None }
    }
}

// === impl Wanting ===

impl Wanting<'_> {
    /// Waits until there is room. The first time it does so only if there is none now; after that
    /// until something has changed, for others took the room that was there. All together no longer
    /// than the configuration's `patience`.
    ///
    /// # Errors
    /// [`AppendError::StorageFull`] when there is none to come: at once when the disk is full.
    #[inline]
    pub fn wait(&mut self) -> Result<(), AppendError> {
        let shared = self.shared;
        let head = lock(&shared.head);
        if !self.is_asked && head.has_room(self.bytes) && !head.closed {
            self.is_asked = true;
            return shared.failed.get().map_or(Ok(()), |failed| Err(failed.clone().into()));
        }
        self.wait_for_change(head)
    }

    #[cold]
    fn wait_for_change<'a>(
        &'a mut self,
        mut head: MutexGuard<'a, Head>,
    ) -> Result<(), AppendError> {
        let shared = self.shared;
        self.is_asked = true;
        let end = *self.end.get_or_insert_with(|| Instant::now() + shared.config.patience);
        loop {
            if let Some(failed) = shared.failed.get() {
                return Err(failed.clone().into());
            }
            if head.closed {
                return Err(AppendError::Closed);
            }
            if head.full || Instant::now() >= end {
                head.starved = head.starved.max(self.bytes);
                return Err(AppendError::StorageFull { free: head.room(), reserve: head.reserve });
            }
            head.hungry = true;
            head = shared.await_change(head, end);
            if head.has_room(self.bytes) {
                return Ok(());
            }
        }
    }
}

impl fmt::Debug for Wanting<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wanting").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

// === impl Head ===

impl Head {
    /// Whether there is no room for what was refused last, or none that is worth the name.
    pub(crate) fn is_without_room(&mut self) -> bool {
        if self.starved > 0 && self.has_room(self.starved) {
            self.starved = 0;
        }
        self.starved > 0 || self.full && self.room() <= self.reserve + self.reserve / 4
    }

    /// Whether a publish of so many bytes finds room, and some others at the same time too.
    fn has_room(&self, bytes: u64) -> bool {
        let size = self.used.back().map_or(0, |used| used.segment.size);
        if size > 0 && bytes > size - HEAD as u64 {
            // There will never be any: appending it says so.
            return true;
        }
        let rest = self.used.back().map_or(0, |used| used.segment.size.saturating_sub(used.end));
        let wanted = bytes.saturating_add(BESIDE);
        // Without room in the segment that grows it must be in those that are ready.
        let free = if rest >= wanted { self.room() } else { self.room() - rest };
        free > self.reserve + wanted.max(self.reserve / 4)
    }
}

// === impl Shared ===

impl Shared {
    /// Sees to it that room is made, for whoever found none and may not wait.
    #[cold]
    pub(crate) fn go_hungry<'a>(
        &'a self,
        mut head: MutexGuard<'a, Head>,
        record: &Record<'_>,
        refused: AppendError,
    ) -> Result<(MutexGuard<'a, Head>, Position), AppendError> {
        head.hungry = true;
        if self.config.threads {
            drop(head);
            self.keeper.ring_folder();
            return Err(refused);
        }
        // There is no thread that would do it.
        drop(head);
        self.tend_folder();
        head = lock(&self.head);
        let position = self.append_in_turn(&mut head, record)?;
        Ok((head, position))
    }

    /// Waits until the folder has changed, `end` has come, or the disk is full.
    fn await_change<'a>(
        &'a self,
        head: MutexGuard<'a, Head>,
        end: Instant,
    ) -> MutexGuard<'a, Head> {
        if !self.config.threads {
            drop(head);
            self.tend_folder();
            return lock(&self.head);
        }
        self.keeper.ring_folder();
        let left = end.saturating_duration_since(Instant::now());
        self.room.wait_timeout(head, left).unwrap_or_else(PoisonError::into_inner).0
    }
}
