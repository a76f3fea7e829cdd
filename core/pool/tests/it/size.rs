//! How many lanes there are.

use std::time::Duration;

use patchbay_pool::{Op, Outcome, PoolConfig, PoolEventKind, WorkerPool, from_fn};

use patchbay_testkit::eventually;

use crate::rig::{LONG, Rig, gated, threads};

fn config() -> PoolConfig {
    PoolConfig { max_workers: 3, idle_timeout: Duration::from_secs(10), ..PoolConfig::default() }
}

fn workers(pool: &WorkerPool) -> u32 {
    pool.stats().workers
}

#[test]
fn a_pool_grows_by_the_age_of_its_backlog_and_goes_back_to_zero() {
    let rig = Rig::still();
    let subscription = rig.subscribe("work");
    let (barrier, handler) = gated();
    let pool = rig.pool("grow-pool", handler, &[&subscription], config());
    rig.look();
    assert_eq!(workers(&pool), 0);
    rig.send("work", &["1"; 40]);
    rig.until("the first lane", || (barrier.waiting() == 1).then_some(()));
    assert_eq!(workers(&pool), 1);
    // Time stands still: the backlog does not age, however often the monitor looks.
    for _ in 0..50 {
        rig.look();
    }
    assert_eq!(workers(&pool), 1);
    rig.passes_until("three lanes", || (barrier.waiting() == 3).then_some(()));
    rig.pass(Duration::from_secs(2));
    assert_eq!((workers(&pool), threads("grow-pool")), (3, 3));
    barrier.open();
    rig.until_done(&subscription, 40);
    rig.until("the lanes to sleep", || (pool.stats().busy == 0).then_some(()));
    rig.pass(Duration::from_secs(9));
    assert!(workers(&pool) > 0);
    rig.passes_until("no lane", || (threads("grow-pool") == 0).then_some(()));
    assert_eq!(workers(&pool), 0);
    let scaled: Vec<(u32, u32)> = rig
        .events()
        .iter()
        .filter_map(|event| match event {
            PoolEventKind::Scaled { from, to } => Some((*from, *to)),
            _ => None,
        })
        .collect();
    assert_eq!(scaled.first(), Some(&(0, 1)));
    assert_eq!(scaled.last(), Some(&(1, 0)), "lane 0 goes last: {scaled:?}");

    rig.send("work", &["again"]);
    rig.until_done(&subscription, 41);
    assert_eq!(workers(&pool), 1);
    rig.close(pool);
    assert_eq!(threads("grow-pool"), 0);
}

#[test]
fn the_minimum_is_up_without_work_and_stays() {
    let rig = Rig::still();
    let subscription = rig.subscribe("work");
    let config = PoolConfig { min_workers: 2, ..config() };
    let pool = rig.pool("kept-pool", from_fn(|_| Outcome::Ack), &[&subscription], config);
    rig.until("two lanes", || (workers(&pool) == 2).then_some(()));
    rig.pass(Duration::from_secs(30));
    assert_eq!(workers(&pool), 2);
    rig.until("both threads to have their names", || (threads("kept-pool") == 2).then_some(()));
    rig.close(pool);
}

#[test]
fn lanes_without_adaptive_scaling_neither_come_nor_go() {
    let rig = Rig::still();
    let subscription = rig.subscribe("work");
    let config = PoolConfig { adaptive_scaling: false, ..config() };
    let pool = rig.pool("fixed-pool", from_fn(|_| Outcome::Ack), &[&subscription], config);
    rig.until("three lanes", || (workers(&pool) == 3).then_some(()));
    rig.pass(Duration::from_secs(30));
    assert_eq!(workers(&pool), 3);
    rig.close(pool);
}

#[test]
fn five_hundred_idle_pools_have_no_thread_and_nobody_looks_at_them() {
    let rig = Rig::live();
    let mut pools = vec![];
    let mut subscriptions = vec![];
    for number in 0..500 {
        let subscription = rig.subscribe(&format!("idle.{number}"));
        let handler = from_fn(|_| Outcome::Ack);
        let short = PoolConfig { idle_timeout: Duration::from_millis(10), ..config() };
        pools.push(rig.pool(&format!("idle{number}"), handler, &[&subscription], short));
        subscriptions.push(subscription);
    }
    rig.send("idle.7", &["hello"]);
    rig.until_done(&subscriptions[7], 1);
    rig.until("no thread", || (threads("idle") == 0).then_some(()));
    // With no pool on its list the monitor sleeps without a timeout.
    rig.until("the monitor to rest", || (rig.monitor.stats().pools == 0).then_some(()));
    for pool in pools {
        rig.close(pool);
    }
}

#[test]
fn a_single_message_now_and_then_keeps_its_lane() {
    let rig = Rig::still();
    let subscription = rig.subscribe("work");
    let pool = rig.pool("rare-pool", from_fn(|_| Outcome::Ack), &[&subscription], config());
    for count in 1..=5 {
        rig.send("work", &["x"]);
        rig.until_done(&subscription, count);
        rig.until("the lane to sleep", || (pool.stats().busy == 0).then_some(()));
        rig.pass(Duration::from_secs(7));
        assert_eq!(workers(&pool), 1, "after message {count}");
    }
    assert_eq!(rig.events().len(), 1, "{:?}", rig.events());
    rig.close(pool);
}

#[test]
fn messages_that_come_one_by_one_do_not_call_the_monitor_before_each() {
    let rig = Rig::still();
    let subscription = rig.subscribe("work");
    let pool = rig.pool("steady-pool", from_fn(|_| Outcome::Ack), &[&subscription], config());
    rig.send("work", &["x"]);
    rig.until_done(&subscription, 1);
    rig.pass(Duration::from_millis(60));
    let one_more = |count: u64| {
        rig.send("work", &["x"]);
        let done = || (subscription.ledger().done == count && pool.stats().busy == 0).then_some(());
        eventually("the next message", LONG, done);
        rig.look();
        rig.monitor.stats().looks
    };
    // The monitor is called, or looks already; either way it sees a lane that has done its work.
    let looks = one_more(2);
    assert_eq!(one_more(3), looks, "no time has passed, and nobody called");
    rig.pass(Duration::from_secs(7));
    assert_eq!(pool.stats().busy, 0);
    rig.close(pool);
}

#[test]
fn being_asked_for_its_health_does_not_keep_a_lane() {
    let rig = Rig::still();
    let subscription = rig.subscribe("work");
    let pool = rig.pool("asked-pool", from_fn(|_| Outcome::Ack), &[&subscription], config());
    rig.send("work", &["x"]);
    rig.until_done(&subscription, 1);
    for _ in 0..9 {
        rig.pass(Duration::from_secs(1));
        let health = pool.control(Op::Health, Vec::new(), Duration::from_secs(1));
        rig.wait("an answer", health).expect("well");
        assert_eq!(workers(&pool), 1);
    }
    rig.pass(Duration::from_millis(1_100));
    rig.until("no lane", || (workers(&pool) == 0).then_some(()));
    rig.close(pool);
}
