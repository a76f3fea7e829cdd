//! One thread that knows what is due next, over all subscriptions; asleep when nothing is.
//!
//! Without the thread, [`Timer::run_due`] does the same when called: that is how tests own time.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Condvar, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, Ordering::*},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::{clock::Clock, subscription::Subscription, sync::lock, wake::Wake};

/// What is due when.
#[derive(Debug)]
pub(crate) struct Timer {
    state: Mutex<State>,
    changed: Condvar,
    clock: Arc<dyn Clock>,
    max: usize,
}

#[derive(Debug)]
struct State {
    /// By time, then by number.
    queue: BTreeMap<(u64, u64), Target>,
    last: u64,
    /// What the thread sleeps until; `u64::MAX` = until it is told.
    sleeps_until: u64,
    stopped: bool,
    thread: Option<JoinHandle<()>>,
}

enum Target {
    Subscription(Weak<Subscription>),
    Wake(Arc<dyn Wake>),
}

/// Names a timer of [`Broker::wake_at`](crate::Broker::wake_at).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimerToken {
    due_ns: u64,
    number: u64,
}

// === impl Timer ===

impl Timer {
    pub(crate) fn new(clock: Arc<dyn Clock>, max: usize) -> Timer {
        let state = State {
            queue: BTreeMap::new(),
            last: 0,
            sleeps_until: 0,
            stopped: false,
            thread: None,
        };
        Timer { state: Mutex::new(state), changed: Condvar::new(), clock, max }
    }

    /// Looks at a subscription at `due_ns`, unless an earlier look is planned. `armed` is when.
    pub(crate) fn arm(&self, subscription: &Weak<Subscription>, armed: &AtomicU64, due_ns: u64) {
        let mut state = lock(&self.state);
        // Under the lock, because both the lanes and the timer come here.
        if due_ns >= armed.load(Acquire) {
            return;
        }
        armed.store(due_ns, Release);
        state.insert(due_ns, Target::Subscription(Weak::clone(subscription)));
        self.announce(state, due_ns);
    }

    /// Calls `wake` at `due_ns`; `None` when too many timers run.
    pub(crate) fn wake_at(&self, due_ns: u64, wake: Arc<dyn Wake>) -> Option<TimerToken> {
        let mut state = lock(&self.state);
        if state.queue.len() >= self.max {
            return None;
        }
        let number = state.insert(due_ns, Target::Wake(wake));
        self.announce(state, due_ns);
        Some(TimerToken { due_ns, number })
    }

    /// Forgets a timer; false when it has fired.
    pub(crate) fn cancel(&self, token: TimerToken) -> bool {
        lock(&self.state).queue.remove(&(token.due_ns, token.number)).is_some()
    }

    fn announce(&self, state: std::sync::MutexGuard<'_, State>, due_ns: u64) {
        // A thread that wakes before it is due looks again by itself.
        let sleeps = state.sleeps_until > due_ns;
        drop(state);
        if sleeps {
            self.changed.notify_one();
        }
    }

    /// Does what is due. Returns when to come back.
    pub(crate) fn run_due(&self) -> Option<u64> {
        loop {
            let now_ns = self.clock.now_ns();
            let mut state = lock(&self.state);
            let first = state.queue.first_entry()?;
            let due_ns = first.key().0;
            if due_ns > now_ns {
                return Some(due_ns);
            }
            let target = first.remove();
            drop(state);
            match target {
                Target::Wake(wake) => wake.wake(),
                Target::Subscription(subscription) => {
                    let Some(subscription) = subscription.upgrade() else { continue };
                    // Before the desk is locked: whoever arms from now on is heard.
                    if subscription.armed.load(Acquire) <= due_ns {
                        subscription.armed.store(u64::MAX, Release);
                    }
                    let due = subscription.tick(now_ns);
                    // A desk may say "now" while nobody takes what it offers.
                    subscription.arm(due.max(now_ns + MIN_DISTANCE_NS));
                }
            }
        }
    }

    /// Starts the thread, once.
    pub(crate) fn start(self: &Arc<Timer>) -> std::io::Result<()> {
        let mut state = lock(&self.state);
        if state.thread.is_some() || state.stopped {
            return Ok(());
        }
        let timer = Arc::clone(self);
        let thread =
            thread::Builder::new().name("patchbay-timer".into()).spawn(move || timer.run())?;
        state.thread = Some(thread);
        Ok(())
    }

    fn run(&self) {
        loop {
            self.run_due();
            let mut state = lock(&self.state);
            if state.stopped {
                return;
            }
            // Asked again under the lock: nothing that was added meanwhile is slept over.
            let next = state.queue.keys().next().map(|(due_ns, _)| *due_ns);
            state.sleeps_until = next.unwrap_or(u64::MAX);
            match next {
                None => drop(self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)),
                Some(due_ns) => {
                    // What has become due meanwhile is waited for as well, for no time: the lock
                    // must be let go of in any case.
                    let left = due_ns.saturating_sub(self.clock.now_ns());
                    let wait = self.changed.wait_timeout(state, Duration::from_nanos(left));
                    drop(wait.unwrap_or_else(PoisonError::into_inner));
                }
            }
            // Awake: whatever is added now is seen before the next sleep.
            lock(&self.state).sleeps_until = 0;
        }
    }

    /// Ends the thread and waits for it, unless it is the caller.
    pub(crate) fn stop(&self) {
        let mut state = lock(&self.state);
        state.stopped = true;
        let thread = state.thread.take();
        state.queue.clear();
        drop(state);
        self.changed.notify_all();
        if let Some(thread) = thread
            && thread.thread().id() != thread::current().id()
        {
            // Its only way to end badly is a panic of a wake-up, which was printed.
            drop(thread.join());
        }
    }
}

/// A subscription is looked at no more often than this.
const MIN_DISTANCE_NS: u64 = 1_000_000;

// === impl State ===

impl State {
    fn insert(&mut self, due_ns: u64, target: Target) -> u64 {
        self.last += 1;
        self.queue.insert((due_ns, self.last), target);
        self.last
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Target::Subscription(_) => "Subscription",
            Target::Wake(_) => "Wake",
        })
    }
}
