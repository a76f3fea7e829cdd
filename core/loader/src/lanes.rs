//! How many lanes run in an instance, and whether more may.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// The lanes of one instance.
#[derive(Debug, Default)]
pub(crate) struct Lanes(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    running: usize,
    closed: bool,
}

/// One lane that runs.
#[derive(Debug)]
pub(crate) struct RunningLane<'a>(&'a Lanes);

// === impl Lanes ===

impl Lanes {
    /// One more lane; `None` when no more may run.
    pub(crate) fn enter(&self) -> Option<RunningLane<'_>> {
        let mut state = self.lock();
        if state.closed {
            return None;
        }
        state.running += 1;
        Some(RunningLane(self))
    }

    /// No more lanes from here on: how many still run.
    pub(crate) fn close(&self) -> usize {
        let mut state = self.lock();
        state.closed = true;
        state.running
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves both fields as they are: right.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for RunningLane<'_> {
    fn drop(&mut self) {
        self.0.lock().running -= 1;
    }
}
