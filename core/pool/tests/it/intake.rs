//! Pausing, draining, and subscriptions that come and go.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use patchbay_pool::{Intake, Outcome, PoolConfig, Served, WorkerPool, from_fn};

use crate::rig::{Rig, gated, threads};

#[test]
fn nothing_is_handed_out_before_the_intake_is_opened() {
    let rig = Rig::live();
    let subscription = rig.subscribe("work");
    let handler = Arc::new(from_fn(|_| Outcome::Ack));
    let mut spec = rig.spec("held", handler, &[&subscription], PoolConfig::default());
    spec.intake = Intake::Held;
    let pool = WorkerPool::start(spec, &rig.monitor).expect("start the pool");
    rig.send("work", &["x"; 5]);
    rig.until("the monitor to have looked", || (rig.monitor.stats().looks > 0).then_some(()));
    assert_eq!((subscription.ledger().queued, pool.stats().workers), (5, 0));
    pool.resume();
    rig.until_done(&subscription, 5);
    rig.close(pool);
}

#[test]
fn after_a_pause_no_call_begins_until_it_is_over() {
    let rig = Rig::live();
    let subscription = rig.subscribe("work");
    let (barrier, handler) = gated();
    let config = PoolConfig { max_workers: 1, ..PoolConfig::default() };
    let mut spec = rig.spec("pause", Arc::new(handler), &[&subscription], config);
    spec.intake = Intake::Held;
    let pool = WorkerPool::start(spec, &rig.monitor).expect("start the pool");
    rig.send("work", &["x"; 10]);
    pool.resume();
    rig.until("the first call", || (barrier.waiting() == 1).then_some(()));
    pool.pause();
    let ledger = subscription.ledger();
    assert_eq!((ledger.queued, ledger.in_flight), (9, 1), "what was not begun is back at once");
    barrier.open();
    rig.until_done(&subscription, 1);
    rig.send("work", &["x"; 10]);
    rig.until("the lane to sleep", || (pool.stats().busy == 0).then_some(()));
    let ledger = subscription.ledger();
    assert_eq!((ledger.queued, ledger.in_flight, ledger.done), (19, 0, 1));
    pool.resume();
    rig.until_done(&subscription, 20);
    rig.close(pool);
}

#[test]
fn a_pause_is_in_force_when_it_returns() {
    let rig = Rig::live();
    let subscription = rig.subscribe("work");
    let begun = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&begun);
    let handler = from_fn(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        Outcome::Ack
    });
    let config = PoolConfig { max_workers: 1, ..PoolConfig::default() };
    let pool = rig.pool("firm", handler, &[&subscription], config);
    let mut publisher = rig.broker.publisher("test");
    let mut sent = 0;
    for _ in 0..2_000 {
        for _ in 0..20 {
            rig.publish(&mut publisher, "work", "x");
        }
        sent += 20;
        pool.pause();
        let at_pause = begun.load(Ordering::SeqCst);
        for _ in 0..200 {
            std::hint::spin_loop();
        }
        std::thread::yield_now();
        // One call may have been claimed and not have come to its first instruction.
        let late = begun.load(Ordering::SeqCst) - at_pause;
        assert!(late <= 1, "{late} calls began after the pause");
        pool.resume();
        rig.until_done(&subscription, sent);
    }
    rig.close(pool);
}

#[test]
fn a_drain_waits_for_what_was_begun() {
    let rig = Rig::still();
    let subscription = rig.subscribe("work");
    let (barrier, handler) = gated();
    let config = PoolConfig { max_workers: 1, ..PoolConfig::default() };
    let pool = rig.pool("drain", handler, &[&subscription], config);
    rig.send("work", &["x"; 4]);
    rig.until("the call", || (barrier.waiting() == 1).then_some(()));
    let within = Duration::from_secs(2);
    let drain = pool.drain(within);
    rig.pass(within);
    let report = rig.wait("the drain to give up", drain);
    assert_eq!((report.drained, report.in_flight, report.took), (false, 1, within));
    let drain = pool.drain(within);
    barrier.open();
    let report = rig.wait("the drain", drain);
    assert_eq!((report.drained, report.in_flight), (true, 0));
    let ledger = subscription.ledger();
    assert_eq!((ledger.done, ledger.queued, ledger.in_flight), (1, 3, 0));
    pool.resume();
    rig.until_done(&subscription, 4);
    rig.close(pool);
}

#[test]
fn a_pool_without_lanes_is_drained_already() {
    let rig = Rig::still();
    let subscription = rig.subscribe("work");
    let handler = from_fn(|_| Outcome::Ack);
    let pool = rig.pool("dry", handler, &[&subscription], PoolConfig::default());
    let report = rig.wait("the drain", pool.drain(Duration::from_secs(1)));
    assert!(report.drained);
    rig.close(pool);
}

#[test]
fn subscriptions_come_and_go_while_lanes_run() {
    let rig = Rig::live();
    let (first, second) = (rig.subscribe("first"), rig.subscribe("second"));
    let handler = from_fn(|handed| {
        assert_eq!(handed.message().topic() == "second", handed.subscription() == 7);
        Outcome::Ack
    });
    let config = PoolConfig { min_workers: 2, ..PoolConfig::default() };
    let pool = rig.pool("change", handler, &[&first], config);
    rig.until("two lanes", || (threads("change") == 2).then_some(()));
    rig.send("second", &["x"; 3]);
    for round in 1..=20 {
        let subscription = Arc::clone(&second);
        pool.add_subscription(Served { subscription, number: 7, concurrency: 1 });
        rig.send("second", &["x"; 3]);
        rig.send("first", &["x"]);
        rig.until_done(&second, 3 + round * 3);
        rig.until_done(&first, round);
        assert!(pool.remove_subscription(&second));
        assert!(!pool.remove_subscription(&second));
    }
    assert_eq!(rig.events().len(), 1, "{:?}", rig.events());
    // A subscription that is removed at the bus is left by the lanes by themselves.
    rig.broker.remove(&first);
    let added = Served { subscription: Arc::clone(&second), number: 7, concurrency: 1 };
    pool.add_subscription(added);
    rig.send("second", &["x"]);
    rig.until_done(&second, 64);
    rig.close(pool);
}
