//! Waiting for room: what an append does that finds none.

use std::{
    sync::{MutexGuard, PoisonError},
    time::Instant,
};

use crate::{
    commit::lock, error::AppendError, head::Head, journal::Shared, place::Position, record::Record,
};

// === impl Shared ===

impl Shared {
    /// Appends when room is made, or says that there is none to come.
    #[cold]
    pub(crate) fn append_hungry<'a>(
        &'a self,
        mut head: MutexGuard<'a, Head>,
        record: &Record<'_>,
    ) -> Result<(MutexGuard<'a, Head>, Position), AppendError> {
        let end = Instant::now() + self.config.patience;
        loop {
            head.hungry = true;
            head = self.await_change(head, end)?;
            match self.append_in_turn(&mut head, record) {
                Ok(position) => return Ok((head, position)),
                Err(AppendError::StorageFull { .. }) if !head.full && Instant::now() < end => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits until the folder has changed, `end` has come, or the disk is full.
    fn await_change<'a>(
        &'a self,
        head: MutexGuard<'a, Head>,
        end: Instant,
    ) -> Result<MutexGuard<'a, Head>, AppendError> {
        if !self.config.threads {
            drop(head);
            self.tend_folder();
            return Ok(lock(&self.head));
        }
        self.keeper.ring_folder();
        if head.full {
            return Ok(head);
        }
        let left = end.saturating_duration_since(Instant::now());
        let waited = self.room.wait_timeout(head, left).unwrap_or_else(PoisonError::into_inner);
        Ok(waited.0)
    }

    pub(crate) fn await_room(&self) -> Result<(), AppendError> {
        let mut head = lock(&self.head);
        let end = Instant::now() + self.config.patience;
        loop {
            if let Some(failed) = self.failed.get() {
                return Err(failed.clone().into());
            }
            if head.closed {
                return Err(AppendError::Closed);
            }
            let (free, reserve) = (head.room(), head.reserve);
            // As good as room for one more: what is larger waits in `append`.
            if free > reserve + reserve / 4 {
                return Ok(());
            }
            if head.full || Instant::now() >= end {
                return Err(AppendError::StorageFull { free, reserve });
            }
            head.hungry = true;
            head = self.await_change(head, end)?;
        }
    }
}
