//! How pools end, and what a handler's early end does.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use patchbay_pool::{
    Begin, Feed, Handed, Handler, LaneId, LoopEnd, Next, Outcome, PoolConfig, PoolEventKind,
    from_fn,
};

use crate::rig::{Rig, SlotDesk, Slots, gated, threads};

#[test]
fn closing_finishes_what_was_begun_and_joins_every_thread() {
    let rig = Rig::still();
    let subscription = rig.subscribe("work");
    let (barrier, handler) = gated();
    let config = PoolConfig { min_workers: 3, ..PoolConfig::default() };
    let pool = rig.pool("join-pool", handler, &[&subscription], config);
    rig.until("three lanes", || (threads("join-pool") == 3).then_some(()));
    rig.send("work", &["x"; 30]);
    rig.until("a call", || (barrier.waiting() > 0).then_some(()));
    let closing = pool.close();
    rig.pass(Duration::from_secs(1));
    // What was not begun went back; what was begun may be on its way to its first instruction.
    let running = rig.until("what was begun, and no more, to be in flight", || {
        let waiting = barrier.waiting() as u64;
        (subscription.ledger().in_flight == waiting).then_some(waiting)
    });
    barrier.open();
    let closed = rig.wait_closed(closing);
    assert!(closed.abandoned.is_empty());
    assert_eq!(closed.returned, 0);
    assert_eq!(threads("join-pool"), 0);
    let ledger = subscription.ledger();
    assert_eq!((ledger.done, ledger.queued), (running, 30 - running));
}

#[test]
fn closing_takes_everything_from_a_lane_that_does_not_end() {
    let rig = Rig::still();
    let subscription = rig.subscribe("work");
    let (barrier, handler) = gated();
    let config = PoolConfig { max_workers: 1, ..PoolConfig::default() };
    let pool = rig.pool("left-pool", handler, &[&subscription], config);
    rig.send("work", &["x"; 3]);
    rig.until("the call", || (barrier.waiting() == 1).then_some(()));
    let closing = pool.close();
    rig.pass(Duration::from_secs(6));
    let closed = rig.wait_closed(closing);
    assert_eq!((closed.abandoned.len(), closed.returned), (1, 1));
    assert!(!closed.abandoned[0].is_gone());
    let ledger = subscription.ledger();
    assert_eq!((ledger.queued, ledger.in_flight, ledger.dead), (3, 0, 0), "all of it waits");
    barrier.open();
    rig.until("the thread to end", || closed.abandoned[0].is_gone().then_some(()));
    assert_eq!(subscription.ledger().done, 0, "a late answer counts for nothing");
}

#[test]
fn closing_cancels_calls_that_are_suspended_for_too_long() {
    let rig = Rig::still();
    let subscription = rig.subscribe("work");
    let desk = Arc::new(SlotDesk::default());
    let handler = Slots { decide: |_: &Handed<'_>| None, desk: Arc::clone(&desk) };
    let config = PoolConfig { concurrency: 4, ..PoolConfig::default() };
    let pool = rig.pool("cut-pool", handler, &[&subscription], config);
    rig.send("work", &["a", "b"]);
    rig.until("two calls", || (desk.open() == 2).then_some(()));
    let closing = pool.close();
    rig.pass(Duration::from_secs(4));
    assert_eq!(desk.open(), 2, "they have their time");
    rig.pass(Duration::from_secs(1));
    let closed = rig.wait_closed(closing);
    assert_eq!((closed.abandoned.len(), closed.returned), (0, 2));
    assert_eq!((desk.open(), desk.cancelled.load(Ordering::SeqCst)), (0, 2));
    let ledger = subscription.ledger();
    assert_eq!((ledger.queued, ledger.dead), (2, 0));
    assert_eq!(threads("cut-pool"), 0);
}

#[test]
fn a_pool_that_is_dropped_ends_by_itself() {
    let rig = Rig::live();
    let subscription = rig.subscribe("work");
    let config = PoolConfig { min_workers: 2, ..PoolConfig::default() };
    let pool = rig.pool("drop-pool", from_fn(|_| Outcome::Ack), &[&subscription], config);
    rig.until("two lanes", || (threads("drop-pool") == 2).then_some(()));
    drop(pool);
    rig.until("no lane", || (threads("drop-pool") == 0).then_some(()));
    rig.send("work", &["x"]);
    assert_eq!(subscription.ledger().queued, 1);
}

/// Begins one call and then returns, or panics, without having said how it ended.
struct Dying {
    lives: AtomicU32,
}

impl Handler for Dying {
    fn run(&self, _: LaneId, feed: &mut Feed) {
        let life = self.lives.fetch_add(1, Ordering::SeqCst);
        loop {
            match feed.next(8) {
                Next::Batch(batch) => {
                    for token in batch.tokens() {
                        match feed.begin(token) {
                            Begin::Go(_) if life == 0 => return,
                            Begin::Go(_) if life == 1 => panic!("a bug in the host"),
                            Begin::Go(_) => feed.complete(token, Outcome::Ack),
                            Begin::Skip | Begin::Stop => {}
                        }
                    }
                }
                Next::Empty => feed.wait(),
                Next::Closed => return,
            }
        }
    }
}

#[test]
fn a_loop_that_dies_is_reported_and_its_deliveries_go_back() {
    let rig = Rig::still();
    let subscription = rig.subscribe("work");
    let handler = Dying { lives: AtomicU32::new(0) };
    let config = PoolConfig { max_workers: 1, ..PoolConfig::default() };
    let pool = rig.pool("dying-pool", handler, &[&subscription], config);
    rig.send("work", &["a", "b", "c"]);
    rig.passes_until("all to be done", || (subscription.ledger().done == 3).then_some(()));
    let deaths: Vec<(LoopEnd, Duration)> = rig
        .events()
        .into_iter()
        .filter_map(|event| match event {
            PoolEventKind::LoopDied { end, again_in, .. } => Some((end, again_in)),
            _ => None,
        })
        .collect();
    let panicked = LoopEnd::Panicked("a bug in the host".into());
    assert_eq!(
        deaths,
        [(LoopEnd::Returned, Duration::from_millis(100)), (panicked, Duration::from_millis(200))]
    );
    assert_eq!(subscription.ledger().dead, 0);
    rig.close(pool);
}
