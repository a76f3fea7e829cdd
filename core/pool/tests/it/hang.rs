//! Calls that take too long, and lanes that do not come back.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use patchbay_bus::{FaultClass, SubscriptionSpec};
use patchbay_pool::{
    Begin, Feed, HandOff, Handler, Intake, LaneId, Next, Outcome, PoolConfig, PoolEventKind,
    WorkerPool, from_fn,
};

use crate::rig::{Barrier, Rig, SlotDesk, Slots, gated, text, threads};

fn config() -> PoolConfig {
    PoolConfig {
        max_workers: 2,
        max_abandoned: 2,
        process_timeout: Duration::from_secs(1),
        ..PoolConfig::default()
    }
}

#[test]
fn a_hung_handler_is_written_off_and_its_message_goes_to_another_lane() {
    let rig = Rig::still();
    let subscription = rig.subscribe("work");
    let barrier = Barrier::new();
    let (gate, calls) = (Arc::clone(&barrier), Arc::new(Mutex::new(Vec::new())));
    let made = Arc::clone(&calls);
    let handler = from_fn(move |handed| {
        made.lock().expect("calls").push((text(handed), handed.attempt()));
        if text(handed) == "hang" && handed.attempt() == 1 {
            gate.pass();
        }
        Outcome::Ack
    });
    let pool = rig.pool("hang-pool", handler, &[&subscription], config());
    rig.send("work", &["hang", "next"]);
    rig.until("the call", || (barrier.waiting() == 1).then_some(()));
    rig.pass(Duration::from_millis(900));
    assert!(!rig.has_event(|event| matches!(event, PoolEventKind::Overdue { .. })));
    rig.passes_until("the message to be done by another", || {
        (subscription.ledger().done == 2).then_some(())
    });
    let abandoned = |event: &PoolEventKind| matches!(event, PoolEventKind::Abandoned { lane, returned: 1 } if lane.index == 0);
    assert!(rig.has_event(abandoned), "{:?}", rig.events());
    let attempts = calls.lock().expect("calls").clone();
    assert_eq!(attempts.iter().filter(|call| call.0 == "hang").count(), 2);
    assert!(attempts.contains(&("hang".to_owned(), 2)), "{attempts:?}");
    let stats = pool.stats();
    assert_eq!((stats.abandoned, stats.stuck, stats.taking), (1, false, true));

    // The late answer is refused: nothing is done twice, and it is counted.
    barrier.open();
    rig.passes_until("the thread to come back", || {
        rig.has_event(|event| matches!(event, PoolEventKind::CameBack { .. })).then_some(())
    });
    let ledger = subscription.ledger();
    assert_eq!((ledger.done, ledger.stale), (2, 1));
    assert_eq!((pool.stats().abandoned, pool.stats().abandoned_total), (0, 1));
    rig.close(pool);
    assert_eq!(threads("hang-pool"), 0);
}

#[test]
fn a_pool_with_too_many_hung_lanes_is_stuck_and_takes_nothing() {
    let rig = Rig::still();
    let subscription = rig.subscribe("work");
    let (barrier, handler) = gated();
    let config = PoolConfig { max_workers: 1, ..config() };
    let pool = rig.pool("stuck-pool", handler, &[&subscription], config);
    rig.send("work", &["x"; 6]);
    rig.passes_until("the pool to be stuck", || pool.stats().stuck.then_some(()));
    assert!(rig.has_event(|event| *event == PoolEventKind::Stuck { abandoned: 3 }));
    rig.pass(Duration::from_secs(5));
    let stats = pool.stats();
    assert_eq!((stats.workers, stats.abandoned, stats.taking), (0, 3, false));
    rig.until("three calls to hang", || (barrier.waiting() == 3).then_some(()));
    assert_eq!(threads("stuck-pool"), 3);
    assert_eq!(subscription.ledger().in_flight, 0);
    let closed = rig.wait_closed(pool.close());
    assert_eq!(closed.abandoned.len(), 3);
    barrier.open();
    rig.until("the threads to end", || {
        closed.abandoned.iter().all(|lane| lane.is_gone()).then_some(())
    });
    drop(closed);
    assert_eq!(threads("stuck-pool"), 0);
}

#[test]
fn what_waits_behind_a_slow_call_is_done_by_another_lane() {
    let rig = Rig::still();
    let subscription = rig.subscribe("work");
    let barrier = Barrier::new();
    let gate = Arc::clone(&barrier);
    let handler = from_fn(move |handed| {
        if text(handed) == "slow" {
            gate.pass();
        }
        Outcome::Ack
    });
    let config = PoolConfig { process_timeout: Duration::from_secs(60), ..config() };
    let pool = rig.pool("slow-pool", handler, &[&subscription], config);
    rig.send("work", &["slow", "a", "b", "c"]);
    rig.until("the call", || (barrier.waiting() == 1).then_some(()));
    assert_eq!(subscription.ledger().in_flight, 4, "all four are in one window");
    rig.passes_until("the others to be done", || (subscription.ledger().done == 3).then_some(()));
    assert!(rig.has_event(|event| matches!(event, PoolEventKind::Relieved { deliveries: 3, .. })));
    assert_eq!(pool.stats().abandoned_total, 0);
    barrier.open();
    rig.until_done(&subscription, 4);
    assert_eq!((subscription.ledger().repeated, subscription.ledger().stale), (0, 0));
    rig.close(pool);
}

#[test]
fn a_suspended_call_that_is_overdue_is_cancelled_on_its_lane_and_charged() {
    let rig = Rig::still();
    let subscription = rig.subscribe("work");
    let desk = Arc::new(SlotDesk::default());
    let handler = Slots {
        decide: |handed: &patchbay_pool::Handed<'_>| (handed.attempt() > 1).then_some(Outcome::Ack),
        desk: Arc::clone(&desk),
    };
    let pool =
        rig.pool("late-pool", handler, &[&subscription], PoolConfig { concurrency: 4, ..config() });
    rig.send("work", &["x"]);
    rig.until("the call", || (desk.open() == 1).then_some(()));
    rig.pass(Duration::from_millis(900));
    assert_eq!(desk.open(), 1);
    rig.passes_until("the second attempt", || (subscription.ledger().done == 1).then_some(()));
    assert_eq!(desk.cancelled.load(std::sync::atomic::Ordering::SeqCst), 1);
    assert!(rig.has_event(|event| matches!(event, PoolEventKind::Overdue { .. })));
    let stats = pool.stats();
    assert_eq!((stats.abandoned_total, stats.timeouts, stats.workers), (0, 1, 1));
    rig.close(pool);
}

#[test]
fn a_call_that_ignores_being_cancelled_is_taken_away_and_its_lane_goes_on() {
    let rig = Rig::still();
    let subscription = rig.subscribe("work");
    let desk = Arc::new(SlotDesk { deaf: true, ..Default::default() });
    let handler = Slots {
        decide: |handed: &patchbay_pool::Handed<'_>| {
            (text(handed) == "fine" || handed.attempt() > 1).then_some(Outcome::Ack)
        },
        desk: Arc::clone(&desk),
    };
    let pool = rig.pool(
        "deaf-pool",
        handler,
        &[&subscription],
        PoolConfig { concurrency: 4, max_workers: 1, ..config() },
    );
    rig.send("work", &["deaf"]);
    rig.until("the call", || (desk.open() == 1).then_some(()));
    rig.passes_until("the second attempt", || (subscription.ledger().done == 1).then_some(()));
    assert!(rig.has_event(|event| matches!(event, PoolEventKind::CallLost { .. })));
    rig.send("work", &["fine"]);
    rig.until_done(&subscription, 2);
    assert_eq!(pool.stats().abandoned_total, 0);
    desk.release("deaf");
    rig.until("the late answer", || (subscription.ledger().stale == 1).then_some(()));
    assert_eq!(subscription.ledger().done, 2);
    rig.close(pool);
}

/// An own loop that hangs in the first call of a hand-out whose deliveries say "hang".
struct HangingLoop {
    barrier: Arc<Barrier>,
}

impl Handler for HangingLoop {
    fn hand_off(&self) -> HandOff {
        HandOff::Whole
    }

    fn run(&self, _: LaneId, feed: &mut Feed) {
        loop {
            match feed.next(16) {
                Next::Batch(batch) => {
                    let mut open = vec![];
                    for token in batch.tokens() {
                        if let Begin::Go(handed) = feed.begin(token) {
                            open.push((token, text(&handed) == "hang"));
                            feed.suspend(token);
                        }
                    }
                    for (token, hang) in open {
                        if hang {
                            self.barrier.pass();
                        }
                        feed.complete(token, Outcome::Ack);
                    }
                }
                Next::Empty => feed.wait(),
                Next::Closed => return,
            }
        }
    }
}

#[test]
fn of_what_a_hung_loop_has_begun_only_the_culprit_is_charged() {
    let rig = Rig::still();
    let mut spec = SubscriptionSpec::new("echo", "work".parse().expect("a pattern"));
    spec.retry.max_failures = 0;
    let subscription = rig.subscribe_as(spec);
    let barrier = Barrier::new();
    let handler = Arc::new(HangingLoop { barrier: Arc::clone(&barrier) });
    let mut spec = rig.spec("culprit", handler, &[&subscription], config());
    spec.intake = Intake::Held;
    let pool = WorkerPool::start(spec, &rig.monitor).expect("start the pool");
    rig.send("work", &["before", "hang", "a", "b", "c"]);
    pool.resume();
    rig.until("the call", || (barrier.waiting() == 1).then_some(()));
    assert_eq!(subscription.ledger().in_flight, 5, "one hand-out, begun as a whole");
    rig.passes_until("the bystanders to be done elsewhere", || {
        (subscription.ledger().done == 4).then_some(())
    });
    let letters = rig.broker.dead_letters().after(0, 10);
    let dead: Vec<&[u8]> = letters.iter().map(|letter| letter.message.payload()).collect();
    assert_eq!(dead, [b"hang"]);
    assert_eq!(letters[0].history[0].class, Some(FaultClass::Timeout));
    barrier.open();
    rig.passes_until("the thread to come back", || (pool.stats().abandoned == 0).then_some(()));
    assert_eq!(subscription.ledger().done, 4);
    rig.close(pool);
}
