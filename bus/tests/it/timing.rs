//! The timer: one thread, never early, asleep when nothing is due.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use patchbay_bus::{Broker, BrokerConfig, Clock, Park, Split, Taken, Verdict};
use patchbay_testkit::eventually;

use crate::support::*;

#[test]
fn a_due_retry_wakes_a_lane_that_sleeps() {
    let mut rig = Rig::new();
    let subscription = rig.subscribe(|_| {});
    let bell = Bell::new();
    let mut seat = subscription.seat(1, bell.clone()).unwrap();
    rig.publish("a");
    drain(&mut seat, |_| Some(Verdict::Retry(100 * MS)));
    assert!(matches!(seat.take(1, Park::Yes), Taken::Empty { next_due_ns: Some(_) }));
    rig.advance(99);
    assert_eq!(bell.rung(), 0);
    rig.advance(3);
    assert_eq!(bell.rung(), 1);
    assert_eq!(drain(&mut seat, |_| None), ["a"]);
    assert_eq!(rig.broker.tick(), None, "nothing is due any more");
}

#[test]
fn a_retry_that_an_old_generation_asked_for_is_watched_over() {
    // The lane that settled it has no share any more, and the one that has sleeps.
    let mut rig = Rig::new();
    let subscription = rig.subscribe(|_| {});
    let mut old = seat(&subscription, 1);
    let bell = Bell::new();
    let mut new = subscription.seat(2, bell.clone()).unwrap();
    rig.publish("a");
    assert_eq!(old.take(1, Park::No), Taken::Batch(1));
    old.begin(0);
    subscription.set_split(Split::all(2));
    assert!(matches!(new.take(1, Park::Yes), Taken::Empty { .. }));
    bell.rung();
    old.record(0, Verdict::Retry(50 * MS));
    assert!(matches!(old.take(1, Park::Yes), Taken::Empty { .. }));
    rig.advance(60);
    assert_eq!(bell.rung(), 1);
    assert_eq!(drain(&mut new, |_| None), ["a"]);
}

#[test]
fn the_timer_thread_wakes_sleeping_lanes_on_real_time() {
    let broker = live();
    let subscription = subscribe(&broker, "t", |_| {});
    subscription.set_split(Split::all(1));
    let lanes = [lane(&subscription, 1, |delivery, _| {
        (delivery.attempt() < 3).then_some(Verdict::Retry(30 * MS))
    })];
    let start = Instant::now();
    let mut publisher = broker.publisher("p");
    publisher.publish(patchbay_bus::Outgoing { topic: "t", ..Default::default() }).unwrap();
    settled(&subscription);
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(60), "too early: {took:?}");
    broker.remove(&subscription);
    lanes.into_iter().for_each(|lane| lane.join().unwrap());
    broker.stop_timer();
}

#[test]
fn a_timer_fires_once_and_not_after_it_was_cancelled() {
    let rig = Rig::new();
    let (one, two) = (Bell::new(), Bell::new());
    let now = rig.broker.clock().now_ns();
    rig.broker.wake_at(now + 10 * MS, one.clone()).unwrap();
    let token = rig.broker.wake_at(now + 10 * MS, two.clone()).unwrap();
    assert!(rig.broker.cancel(token));
    rig.advance(20);
    rig.advance(20);
    assert_eq!((one.rung(), two.rung()), (1, 0));
    assert!(!rig.broker.cancel(token));
}

/// A millisecond passes between any two looks at it.
#[derive(Debug)]
struct Running(AtomicU64);

impl Clock for Running {
    fn now_ns(&self) -> u64 {
        self.0.fetch_add(MS, SeqCst)
    }

    fn unix_ns(&self) -> u64 {
        self.now_ns()
    }
}

#[test]
fn what_becomes_due_while_the_timer_goes_to_sleep_fires_and_holds_nobody_up() {
    let broker = Broker::new(BrokerConfig::default(), Arc::new(Running(AtomicU64::new(MS))));
    broker.start_timer().unwrap();
    // Now and then the thread finds nothing due, and a moment later that it is.
    for round in 0..40 {
        let bell = Bell::new();
        let now = broker.clock().now_ns();
        broker.wake_at(now + (1 + round % 8) * MS, bell.clone()).unwrap();
        eventually("the timer", DEADLINE, || (bell.rung() == 1).then_some(()));
    }
    broker.stop_timer();
}

#[test]
fn an_earlier_timer_overtakes_the_one_that_is_slept_for() {
    let broker = live();
    let now = broker.clock().now_ns();
    let (late, early) = (Bell::new(), Bell::new());
    broker.wake_at(now + 60_000 * MS, late.clone()).unwrap();
    // Lets the thread fall asleep on the first, most of the time.
    thread::yield_now();
    broker.wake_at(now + 20 * MS, early.clone()).unwrap();
    eventually("the early one", DEADLINE, || (early.rung() == 1).then_some(()));
    assert_eq!(late.rung(), 0);
}

#[test]
fn a_dropped_broker_ends_its_timer_thread() {
    let broker = live();
    let bell: Arc<Bell> = Bell::new();
    let now = broker.clock().now_ns();
    broker.wake_at(now + 60_000 * MS, bell.clone()).unwrap();
    drop(broker);
    assert_eq!(Arc::strong_count(&bell), 1, "the timer lives on");
}
