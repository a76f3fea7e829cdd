//! A lane that was woken right after it had fallen asleep looks again before it sleeps once more.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use patchbay_bus::{Clock, ManualClock};
use patchbay_pool::{Monitor, Outcome, PoolConfig, from_fn};

use crate::rig::Rig;

/// Of the pool; its lanes are named after it, and no test is.
const NAME: &str = "woken-lane";

/// Moves on a little whenever a lane reads it, and tells somebody.
struct Felt {
    clock: Arc<ManualClock>,
    /// How much.
    step: Duration,
    /// How often a lane has read it.
    reads: AtomicUsize,
    told: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl fmt::Debug for Felt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Felt").field("reads", &self.reads).finish_non_exhaustive()
    }
}

impl Clock for Felt {
    fn now_ns(&self) -> u64 {
        if thread::current().name().is_some_and(|name| name.starts_with(NAME)) {
            self.reads.fetch_add(1, Ordering::SeqCst);
            self.clock.advance(self.step);
            if let Some(told) = self.told.get() {
                told();
            }
        }
        self.clock.now_ns()
    }

    fn unix_ns(&self) -> u64 {
        self.clock.unix_ns()
    }
}

/// Sends a message to a lane that has slept for `step`, and another one at the first moment after it
/// has settled that one and seen that nothing is left. Returns how often the lane was woken.
fn wakes_of_two(step: Duration) -> u64 {
    let manual = Arc::new(ManualClock::new());
    let (reads, told) = Default::default();
    let clock = Arc::new(Felt { clock: Arc::clone(&manual), step, reads, told });
    let monitor = Monitor::manual(Arc::clone(&clock) as Arc<dyn Clock>);
    let rig = Rig::over(Arc::clone(&manual) as Arc<dyn Clock>, monitor, manual, false);
    let echo = rig.subscribe("echo");
    let config = PoolConfig { min_workers: 1, max_workers: 1, ..PoolConfig::default() };
    let pool = rig.pool(NAME, from_fn(|_| Outcome::Ack), &[&echo], config);
    // The first time that a lane reads is when it goes to sleep: nothing happened before.
    rig.until("the lane to fall asleep", || (clock.reads.load(Ordering::SeqCst) > 0).then_some(()));
    let (broker, subscription, sent) = (rig.broker.clone(), Arc::clone(&echo), AtomicUsize::new(0));
    let _ = clock.told.set(Box::new(move || {
        if subscription.ledger().done == 1 && sent.fetch_add(1, Ordering::SeqCst) == 0 {
            let second = patchbay_bus::Outgoing { topic: "echo", ..Default::default() };
            broker.publisher("test").publish(second).expect("publish the second");
        }
    }));
    let before = pool.stats().wakes;
    rig.send("echo", &["first"]);
    rig.until_done(&echo, 2);
    let wakes = pool.stats().wakes - before;
    rig.close(pool);
    wakes
}

#[test]
fn a_lane_that_slept_for_a_moment_is_not_woken_for_what_comes_a_moment_later() {
    assert_eq!(wakes_of_two(Duration::ZERO), 1);
}

#[test]
fn a_lane_that_slept_for_long_sleeps_again_at_once() {
    assert_eq!(wakes_of_two(Duration::from_millis(1)), 2);
}
