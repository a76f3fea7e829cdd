//! The one thread of a host that looks after all pools.
//!
//! It adds and removes lanes, keeps deadlines, and takes work away from lanes that hang. A pool is
//! looked at every tick while something runs in it, at a set time while lanes are to be let go
//! later, and not at all while it is idle; with no pool to look at the thread sleeps without a
//! timeout. Lanes wake it when they begin to work.
//!
//! All changes of a pool's lanes are made here, so there is no race between growing, shrinking,
//! replacing and closing. [`Monitor::manual`] has no thread: tests and simulations own its time.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use patchbay_bus::Clock;

use crate::{lock, panic_text, round::Round, shared::PoolShared};

/// Looks after the pools of a host. A clone is the same monitor.
#[derive(Clone, Debug)]
pub struct Monitor {
    shared: Arc<MonitorShared>,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
}

/// What a monitor has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MonitorStats {
    /// Looks at a pool since it was started.
    pub looks: u64,
    /// Pools that are looked at every tick, or will be looked at later.
    pub pools: u64,
    /// Lanes that have ended since it was started.
    pub ended: u64,
}

#[derive(Debug)]
pub(crate) struct MonitorShared {
    pub(crate) clock: Arc<dyn Clock>,
    calls: Mutex<Calls>,
    called: Condvar,
    agenda: Mutex<Vec<Entry>>,
    looks: AtomicU64,
    pools: AtomicU64,
    ended: AtomicU64,
}

#[derive(Debug, Default)]
struct Calls {
    pools: Vec<Arc<PoolShared>>,
    stopped: bool,
}

/// A pool that is to be looked at.
#[derive(Debug)]
struct Entry {
    pool: Arc<PoolShared>,
    due_ns: u64,
}

// === impl Monitor ===

impl Monitor {
    /// Starts the thread. `clock` must move by itself.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn start(clock: Arc<dyn Clock>) -> io::Result<Monitor> {
        let monitor = Monitor::manual(clock);
        let shared = Arc::clone(&monitor.shared);
        let thread =
            thread::Builder::new().name("pool-monitor".to_owned()).spawn(move || shared.run())?;
        *lock(&monitor.thread) = Some(thread);
        Ok(monitor)
    }

    /// A monitor without a thread: it looks when [`Monitor::step`] is called.
    pub fn manual(clock: Arc<dyn Clock>) -> Monitor {
        let shared = MonitorShared {
            clock,
            calls: Mutex::default(),
            called: Condvar::new(),
            agenda: Mutex::default(),
            looks: AtomicU64::new(0),
            pools: AtomicU64::new(0),
            ended: AtomicU64::new(0),
        };
        Monitor { shared: Arc::new(shared), thread: Arc::default() }
    }

    /// Looks at every pool that is due by the clock. Returns when it should look again; `None`: not
    /// before a pool calls.
    pub fn step(&self) -> Option<u64> {
        self.shared.step()
    }

    /// Ends the thread and waits for its end. Close the pools before: nobody looks after those that
    /// are left, and nobody ends them.
    pub fn stop(&self) {
        lock(&self.shared.calls).stopped = true;
        self.shared.called.notify_all();
        let thread = lock(&self.thread).take();
        if let Some(thread) = thread
            && let Err(payload) = thread.join()
        {
            tracing::error!(panic = panic_text(payload), "the monitor of the pools panicked");
        }
        // Pools know their monitor: here the circle is cut.
        lock(&self.shared.calls).pools.clear();
        lock(&self.shared.agenda).clear();
    }

    /// What it has done so far.
    pub fn stats(&self) -> MonitorStats {
        MonitorStats {
            looks: self.shared.looks.load(Ordering::Relaxed),
            pools: self.shared.pools.load(Ordering::Relaxed),
            ended: self.shared.ended.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn shared(&self) -> Arc<MonitorShared> {
        Arc::clone(&self.shared)
    }
}

// === impl MonitorShared ===

impl MonitorShared {
    /// A pool has something to be looked at.
    pub(crate) fn call(&self, pool: Arc<PoolShared>) {
        let mut calls = lock(&self.calls);
        if !calls.stopped {
            calls.pools.push(pool);
            drop(calls);
            self.called.notify_one();
        }
    }

    /// The loop of a lane has ended.
    pub(crate) fn lane_ended(&self) {
        self.ended.fetch_add(1, Ordering::Relaxed);
    }

    fn run(&self) {
        let mut next = None;
        while self.sleep_until(next) {
            next = self.step();
        }
    }

    /// False once the monitor was stopped.
    fn sleep_until(&self, due_ns: Option<u64>) -> bool {
        let mut calls = lock(&self.calls);
        loop {
            if calls.stopped {
                return false;
            }
            if !calls.pools.is_empty() {
                return true;
            }
            let left = due_ns.map(|due| due.saturating_sub(self.clock.now_ns()));
            calls = match left {
                Some(0) => return true,
                Some(left) => {
                    let waited = self.called.wait_timeout(calls, Duration::from_nanos(left));
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.called.wait(calls).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    fn step(&self) -> Option<u64> {
        let mut agenda = lock(&self.agenda);
        for pool in std::mem::take(&mut lock(&self.calls).pools) {
            pool.nudged.store(false, Ordering::SeqCst);
            match agenda.iter_mut().find(|entry| Arc::ptr_eq(&entry.pool, &pool)) {
                Some(entry) => entry.due_ns = 0,
                None => agenda.push(Entry { pool, due_ns: 0 }),
            }
        }
        let now_ns = self.clock.now_ns();
        agenda.retain_mut(|entry| {
            if entry.due_ns > now_ns {
                return true;
            }
            match self.look(&entry.pool, now_ns) {
                Some(due_ns) => entry.due_ns = due_ns,
                None => return false,
            }
            true
        });
        self.pools.store(agenda.len() as u64, Ordering::Relaxed);
        agenda.iter().map(|entry| entry.due_ns).min()
    }

    /// One look at one pool. A panic in it (of an event sink, say) must not leave the other pools
    /// unguarded.
    fn look(&self, pool: &Arc<PoolShared>, now_ns: u64) -> Option<u64> {
        self.looks.fetch_add(1, Ordering::Relaxed);
        let look = catch_unwind(AssertUnwindSafe(|| Round::new(pool, now_ns).run()));
        look.unwrap_or_else(|payload| {
            let panic = panic_text(payload);
            tracing::error!(pool = %pool.name, panic, "looking after a pool panicked");
            Some(now_ns.saturating_add(crate::config::ns(pool.config.tick)))
        })
    }
}
