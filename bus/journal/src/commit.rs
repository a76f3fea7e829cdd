//! Who writes and who waits.
//!
//! Whoever needs a level first leads: it does the write or the flush for everybody who has appended
//! so far, in its own thread, while the others wait. Those who come during a flight wait for the
//! next one, in a second group, so that the end of a flight wakes those that it served and one of
//! the others, who leads on.

use std::sync::{
    Condvar, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering::Acquire},
};

/// Flights of one kind, one at a time.
#[derive(Debug, Default)]
pub(crate) struct Flights {
    state: Mutex<State>,
    gates: [Condvar; 2],
}

#[derive(Debug, Default)]
struct State {
    flying: bool,
    flight: usize,
    /// Up to which record the one that flies serves, once it knows.
    target: Option<u64>,
    waiting: [u32; 2],
}

/// The flight that its leader is in.
pub(crate) struct Flight<'a>(&'a Flights);

// === impl Flights ===

impl Flights {
    /// Waits until `reached` is at `number` or `stop` says something. Leads with `fly` when nobody
    /// does.
    pub(crate) fn wait<E>(
        &self,
        number: u64,
        reached: &AtomicU64,
        stop: impl Fn() -> Option<E>,
        fly: impl Fn(&Flight<'_>),
    ) -> Result<(), E> {
        loop {
            if reached.load(Acquire) >= number {
                return Ok(());
            }
            if let Some(stopped) = stop() {
                // Only one of the next group was woken: it tells the others.
                self.gates.iter().for_each(Condvar::notify_all);
                return Err(stopped);
            }
            let mut state = lock(&self.state);
            if reached.load(Acquire) >= number {
                return Ok(());
            }
            if state.flying {
                // Served by the one that flies, as far as it is known, or by the next one.
                let served = state.target.is_none_or(|target| number <= target);
                let gate = (state.flight + usize::from(!served)) % 2;
                state.waiting[gate] += 1;
                state = self.gates[gate].wait(state).unwrap_or_else(PoisonError::into_inner);
                state.waiting[gate] -= 1;
                continue;
            }
            state.flying = true;
            state.target = None;
            drop(state);
            fly(&Flight(self));
            let mut state = lock(&self.state);
            state.flying = false;
            let served = state.flight % 2;
            state.flight += 1;
            let (many, next) = (state.waiting[served], state.waiting[1 - served]);
            drop(state);
            if many > 0 {
                self.gates[served].notify_all();
            }
            if next > 0 {
                self.gates[1 - served].notify_one();
            }
        }
    }
}

// === impl Flight ===

impl Flight<'_> {
    /// Says up to which record it serves.
    pub(crate) fn serves(&self, number: u64) {
        lock(&self.0.state).target = Some(number);
    }
}

/// Locks; whoever panicked with it left a whole value behind.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
