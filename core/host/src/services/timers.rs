//! The timers of one instance, on the bus's timer thread.

use std::{
    collections::HashMap,
    num::NonZeroU64,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::Waker,
};

use patchbay_bus::{Broker, TimerToken, Wake};

/// Timers that have not fired.
#[derive(Debug)]
pub(crate) struct Timers {
    broker: Broker,
    running_max: usize,
    running: Mutex<HashMap<u64, TimerToken>>,
}

/// Ends a timer and wakes whoever waits for it.
struct Fire {
    timers: Weak<Timers>,
    token: u64,
    waker: Waker,
}

// === impl Timers ===

impl Timers {
    pub(crate) fn new(broker: Broker, running_max: usize) -> Timers {
        Timers { broker, running_max, running: Mutex::default() }
    }

    /// `None` when too many run.
    pub(crate) fn start(
        self: &Arc<Timers>,
        token: NonZeroU64,
        due_ns: u64,
        waker: Waker,
    ) -> Option<NonZeroU64> {
        // Held until the timer is in the table: it may fire at once.
        let mut running = self.lock();
        if running.len() >= self.running_max {
            return None;
        }
        let fire = Fire { timers: Arc::downgrade(self), token: token.get(), waker };
        let timer = self.broker.wake_at(due_ns, Arc::new(fire))?;
        running.insert(token.get(), timer);
        Some(token)
    }

    /// One that is not known has fired.
    pub(crate) fn has_fired(&self, token: u64) -> bool {
        !self.lock().contains_key(&token)
    }

    pub(crate) fn forget(&self, token: u64) {
        let timer = self.lock().remove(&token);
        if let Some(timer) = timer {
            self.broker.cancel(timer);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, TimerToken>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Timers {
    fn drop(&mut self) {
        let running = self.running.get_mut().unwrap_or_else(PoisonError::into_inner);
        for timer in running.drain().map(|(_, timer)| timer) {
            self.broker.cancel(timer);
        }
    }
}

// === impl Fire ===

impl Wake for Fire {
    fn wake(&self) {
        let Some(timers) = self.timers.upgrade() else { return };
        if timers.lock().remove(&self.token).is_some() {
            self.waker.wake_by_ref();
        }
    }
}
