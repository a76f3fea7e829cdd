//! The lanes of one instance, as those reach them who promised to tell when there is room.

use std::{
    collections::{BTreeMap, HashMap},
    num::NonZeroU64,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use patchbay_pool::LaneHandle;

/// Lanes and the tokens that are to be reported on them.
#[derive(Debug, Default)]
pub(crate) struct Lanes {
    numbers: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    up: BTreeMap<u32, LaneHandle>,
    /// Tokens that were given out, with the lane that asked.
    waiting: HashMap<u64, Option<u32>>,
}

// === impl Lanes ===

impl Lanes {
    /// A number that no other token of this instance has.
    pub(crate) fn number(&self) -> NonZeroU64 {
        NonZeroU64::MIN.saturating_add(self.numbers.fetch_add(1, Relaxed))
    }

    /// A token that will be reported on that lane, or on another one when it is gone by then.
    pub(crate) fn token(&self, lane: Option<u32>) -> NonZeroU64 {
        let token = self.number();
        self.lock().waiting.insert(token.get(), lane);
        token
    }

    pub(crate) fn forget(&self, token: u64) {
        self.lock().waiting.remove(&token);
    }

    /// Reports a token, unless it was forgotten. With no lane up there is no call that waits.
    pub(crate) fn ready(&self, token: u64) {
        let mut state = self.lock();
        let Some(lane) = state.waiting.remove(&token) else { return };
        let asked = lane.and_then(|lane| state.up.get(&lane)).cloned();
        let others: Vec<LaneHandle> = state.up.values().cloned().collect();
        drop(state);
        let reported = asked.into_iter().chain(others).any(|lane| lane.ready(token));
        if !reported {
            tracing::debug!(token, "no lane was there to be told of room");
        }
    }

    /// A lane comes up; it is forgotten when the value is dropped.
    pub(crate) fn enter(&self, lane: u32, handle: LaneHandle) -> impl Drop + use<'_> {
        self.lock().up.insert(lane, handle);
        Up { lanes: self, lane }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A lane that is up.
struct Up<'a> {
    lanes: &'a Lanes,
    lane: u32,
}

impl Drop for Up<'_> {
    fn drop(&mut self) {
        self.lanes.lock().up.remove(&self.lane);
    }
}
