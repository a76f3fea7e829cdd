//! The timers of a test's host.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use super::waker::HostWaker;

/// Timers by a clock of their own, which the test advances, or by the machine's.
#[derive(Debug)]
pub(crate) struct Timers {
    shared: Arc<Shared>,
    /// Runs with the machine's clock, from the first timer on.
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    clock: Clock,
    next: u64,
    /// By deadline and token.
    waiting: BTreeMap<(Duration, u64), Arc<HostWaker>>,
    fired: BTreeSet<u64>,
    closed: bool,
}

#[derive(Clone, Copy, Debug)]
enum Clock {
    Machine(Instant),
    Test(Duration),
}

// === impl Timers ===

impl Timers {
    pub(crate) fn new() -> Self {
        let state = State {
            clock: Clock::Machine(Instant::now()),
            next: 1,
            waiting: BTreeMap::new(),
            fired: BTreeSet::new(),
            closed: false,
        };
        let shared = Shared { state: Mutex::new(state), changed: Condvar::new() };
        Timers { shared: Arc::new(shared), thread: Mutex::new(None) }
    }

    /// From now on the clock stands still until it is advanced.
    pub(crate) fn stop_clock(&self) {
        let mut state = self.shared.lock();
        state.clock = Clock::Test(state.now());
    }

    /// Advances a clock that was stopped.
    pub(crate) fn advance(&self, by: Duration) {
        let mut state = self.shared.lock();
        state.clock = Clock::Test(state.now() + by);
        let due = state.take_due();
        drop(state);
        due.iter().for_each(|waker| waker.wake());
    }

    pub(crate) fn start(&self, delay: Duration, waker: Arc<HostWaker>) -> u64 {
        let mut state = self.shared.lock();
        let token = state.next;
        state.next += 1;
        let at = state.now().saturating_add(delay);
        state.waiting.insert((at, token), waker);
        let needs_thread = matches!(state.clock, Clock::Machine(_));
        drop(state);
        self.shared.changed.notify_one();
        if needs_thread {
            let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
            thread.get_or_insert_with(|| {
                let shared = self.shared.clone();
                std::thread::spawn(move || shared.run())
            });
        }
        token
    }

    pub(crate) fn fired(&self, token: u64) -> bool {
        self.shared.lock().fired.contains(&token)
    }

    pub(crate) fn forget(&self, token: u64) {
        let mut state = self.shared.lock();
        state.fired.remove(&token);
        state.waiting.retain(|(_, known), _| *known != token);
    }
}

impl Drop for Timers {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_one();
        let thread = self.thread.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        // The last waker may go with the last timer, on the timers' own thread.
        if let Some(thread) = thread.filter(|own| own.thread().id() != std::thread::current().id())
        {
            let _panicked = thread.join();
        }
    }
}

// === impl Shared ===

impl Shared {
    fn run(&self) {
        let mut state = self.lock();
        while !state.closed {
            let due = state.take_due();
            if !due.is_empty() {
                drop(state);
                due.iter().for_each(|waker| waker.wake());
                state = self.lock();
                continue;
            }
            let first = state.waiting.keys().next().map(|(at, _)| at.saturating_sub(state.now()));
            let wait = first.unwrap_or(Duration::from_secs(3600));
            let waited = self.changed.wait_timeout(state, wait);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl State ===

impl State {
    fn now(&self) -> Duration {
        match self.clock {
            Clock::Machine(since) => since.elapsed(),
            Clock::Test(now) => now,
        }
    }

    fn take_due(&mut self) -> Vec<Arc<HostWaker>> {
        let later = self.waiting.split_off(&(self.now(), u64::MAX));
        let due = std::mem::replace(&mut self.waiting, later);
        self.fired.extend(due.keys().map(|(_, token)| token));
        due.into_values().collect()
    }
}
