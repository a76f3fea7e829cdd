//! How far the documents are that could not be passed on in one attempt.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Documents that are remembered at once. Beyond it all are forgotten, which costs their next
/// attempt some drafts that were published before, under the same names.
const DOCUMENTS_MAX: usize = 1_000;

/// Segments passed on so far, by delivery.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    passed_on: Mutex<HashMap<u64, usize>>,
}

// === impl Progress ===

impl Progress {
    /// Takes out how many segments of the delivery were passed on before; 0 for a new one.
    pub(crate) fn take(&self, delivery: u64) -> usize {
        self.lock().remove(&delivery).unwrap_or(0)
    }

    /// Remembers how many segments of the delivery were passed on.
    pub(crate) fn keep(&self, delivery: u64, count: usize) {
        let mut passed_on = self.lock();
        if passed_on.len() >= DOCUMENTS_MAX {
            passed_on.clear();
        }
        passed_on.insert(delivery, count);
    }

    /// Forgets all of them.
    pub(crate) fn forget(&self) {
        self.lock().clear();
    }

    /// How many documents are remembered.
    pub(crate) fn documents(&self) -> usize {
        self.lock().len()
    }

    /// Nothing is half-made under this lock, so a poisoned one is as good as any.
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, usize>> {
        self.passed_on.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_taken_once() {
        let progress = Progress::default();
        progress.keep(7, 40);
        assert_eq!(progress.take(7), 40);
        assert_eq!(progress.take(7), 0);
    }

    #[test]
    fn memory_is_bounded() {
        let progress = Progress::default();
        for delivery in 0..DOCUMENTS_MAX as u64 + 5 {
            progress.keep(delivery, 1);
        }
        assert_eq!(progress.documents(), 5);
    }
}
