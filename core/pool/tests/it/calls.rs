//! Calls in flight on one lane.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, atomic::Ordering},
};

use patchbay_bus::{Order, Outgoing, Subscription, SubscriptionSpec};
use patchbay_pool::{
    Begin, Feed, HandOff, Handed, Handler, LaneId, Next, Outcome, PoolConfig, WorkerPool, from_fn,
};

use crate::rig::{Barrier, Rig, SlotDesk, Slots, Watch, text};

fn one_lane(concurrency: u32) -> PoolConfig {
    PoolConfig { max_workers: 1, concurrency, ..PoolConfig::default() }
}

#[test]
fn suspended_calls_are_bounded_and_hold_nothing_else_back() {
    let rig = Rig::live();
    let subscription = rig.subscribe("work");
    let desk = Arc::new(SlotDesk::default());
    let handler = Slots {
        decide: |handed: &Handed<'_>| (text(handed) == "quick").then_some(Outcome::Ack),
        desk: Arc::clone(&desk),
    };
    let pool = rig.pool("bound", handler, &[&subscription], one_lane(3));
    rig.send("work", &["slow1", "quick", "slow2", "quick", "quick"]);
    let settled = || {
        let ledger = subscription.ledger();
        (ledger.done == 3 && ledger.in_flight == 2).then_some(())
    };
    rig.until("the quick ones to be settled beside the slow ones", settled);
    assert_eq!(desk.open(), 2);
    rig.send("work", &["slow3", "slow4", "slow5", "quick"]);
    rig.until("three to be suspended", || (desk.open() == 3).then_some(()));
    // The lane is full: what does not fit waits in the queue, not on the lane.
    rig.until("the rest to wait", || (subscription.ledger().queued == 3).then_some(()));
    for name in ["slow2", "slow1", "slow3", "slow4", "slow5"] {
        desk.release(name);
    }
    rig.until_done(&subscription, 9);
    assert_eq!(desk.open_max.load(Ordering::SeqCst), 3);
    let stats = pool.stats();
    assert_eq!((stats.suspended, stats.refused), (5, 0));
    rig.close(pool);
}

#[test]
fn a_subscription_may_have_fewer_calls_than_its_lane() {
    let rig = Rig::live();
    let (narrow, wide) = (rig.subscribe("narrow"), rig.subscribe("wide"));
    let desk = Arc::new(SlotDesk::default());
    let handler = Slots { decide: |_: &Handed<'_>| None, desk: Arc::clone(&desk) };
    let mut spec = rig.spec("narrow", Arc::new(handler), &[&narrow, &wide], one_lane(4));
    spec.subscriptions[0].concurrency = 1;
    let pool = WorkerPool::start(spec, &rig.monitor).expect("start the pool");
    rig.send("narrow", &["n1", "n2", "n3"]);
    rig.send("wide", &["w1", "w2", "w3", "w4"]);
    rig.until("four calls", || (desk.open() == 4).then_some(()));
    let flying = || (narrow.ledger().in_flight, wide.ledger().in_flight);
    rig.until("one of one and three of the other", || (flying() == (1, 3)).then_some(()));
    for name in ["n1", "n2", "n3", "w1", "w2", "w3", "w4"] {
        desk.release(name);
    }
    rig.until_done(&narrow, 3);
    rig.until_done(&wide, 4);
    rig.close(pool);
}

#[test]
fn every_subscription_gets_its_turn() {
    let rig = Rig::live();
    let (first, second) = (rig.subscribe("first"), rig.subscribe("second"));
    let order = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&order);
    let handler = from_fn(move |handed| {
        noted.lock().expect("order").push(handed.subscription());
        Outcome::Ack
    });
    // Both queues are full before the first lane comes.
    let mut spec = rig.spec("turns", Arc::new(handler), &[&first, &second], one_lane(1));
    spec.intake = patchbay_pool::Intake::Held;
    let pool = WorkerPool::start(spec, &rig.monitor).expect("start the pool");
    rig.send("first", &["x"; 1000]);
    rig.send("second", &["x"; 10]);
    pool.resume();
    rig.until_done(&first, 1000);
    rig.until_done(&second, 10);
    let order = order.lock().expect("order");
    let last_of_second = order.iter().rposition(|number| *number == 1).expect("its turn");
    assert!(last_of_second < 500, "the small queue waited for {last_of_second} of the large one");
    rig.close(pool);
}

#[test]
fn a_lane_that_went_to_work_is_not_woken_in_vain() {
    let rig = Rig::live();
    let (first, second) = (rig.subscribe("first"), rig.subscribe("second"));
    let barrier = Barrier::new();
    let gate = Arc::clone(&barrier);
    let handler = from_fn(move |handed| {
        if text(handed) == "block" {
            gate.pass();
        }
        Outcome::Ack
    });
    let config = PoolConfig { min_workers: 2, max_workers: 2, ..PoolConfig::default() };
    let pool = rig.pool("vain", handler, &[&first, &second], config);
    for (blocked, other, passed) in [(&second, &first, 1), (&first, &second, 2)] {
        rig.until("both lanes to sleep", || {
            let stats = pool.stats();
            (stats.workers == 2 && stats.busy == 0).then_some(())
        });
        let others = other.ledger().done;
        let topic = |it: &Arc<Subscription>| it.spec().pattern.to_string();
        rig.send(&topic(blocked), &["block"]);
        rig.until("the call", || (barrier.waiting() == 1).then_some(()));
        // Both lanes slept at both queues; the one that works now must not get this wake-up.
        rig.send(&topic(other), &["x"]);
        rig.until_done(other, others + 1);
        assert_eq!(blocked.ledger().in_flight, 1);
        barrier.let_one_pass();
        rig.until("the call to end", || {
            (barrier.passed.load(Ordering::SeqCst) == passed).then_some(())
        });
    }
    rig.close(pool);
}

/// A library's own loop: watches the bell, begins hand-outs as a whole, works through each in
/// order, several at a time, and ends calls in any order between them.
struct OwnLoop {
    desk: Arc<SlotDesk>,
    hand_outs: usize,
}

impl Handler for OwnLoop {
    fn hand_off(&self) -> HandOff {
        HandOff::Whole
    }

    fn run(&self, _: LaneId, feed: &mut Feed) {
        let bell = Watch::over(feed);
        let mut open: HashMap<u64, String> = HashMap::new();
        let mut closed = false;
        loop {
            let mut asked_in_vain = 0;
            while !closed && asked_in_vain < self.hand_outs {
                match feed.next(16) {
                    Next::Batch(batch) => {
                        for token in batch.tokens() {
                            match feed.begin(token) {
                                Begin::Go(handed) => {
                                    open.insert(token.to_raw(), text(&handed));
                                    feed.suspend(token);
                                    self.desk.open.fetch_add(1, Ordering::SeqCst);
                                }
                                Begin::Skip => {}
                                Begin::Stop => break,
                            }
                        }
                    }
                    Next::Empty => asked_in_vain += 1,
                    Next::Closed => closed = true,
                }
            }
            let before = open.len();
            open.retain(|token, payload| {
                let token = patchbay_pool::Token::from_raw(*token);
                let released = self.desk.released.lock().expect("the desk").contains(payload);
                if released || !payload.starts_with("slow") {
                    feed.complete(token, Outcome::Ack);
                    self.desk.open.fetch_sub(1, Ordering::SeqCst);
                    return false;
                }
                assert!(!feed.cancelled(token), "nothing is cancelled in this test");
                true
            });
            if closed && open.is_empty() {
                return;
            }
            if open.len() == before && !closed {
                bell.wait();
            }
        }
    }
}

#[test]
fn an_own_loop_hears_of_everything_through_its_bell() {
    let rig = Rig::live();
    let subscription = rig.subscribe("work");
    let desk = Arc::new(SlotDesk::default());
    let handler = OwnLoop { desk: Arc::clone(&desk), hand_outs: 4 };
    let pool = rig.pool("own-loop", handler, &[&subscription], one_lane(4));
    let mut publisher = rig.broker.publisher("test");
    for count in 1..=200 {
        rig.publish(&mut publisher, "work", "quick");
        if count % 7 == 0 {
            rig.until_done(&subscription, count);
        }
    }
    rig.until_done(&subscription, 200);
    let stats = pool.stats();
    // Each message wakes at most twice: when it comes, and when its call ends after a question in
    // vain. A loop that is rung without a cause is rung without end.
    assert!(stats.wakes <= 2 * 200 + 10, "{stats:?}");
    assert_eq!(stats.suspended, 200);
    rig.close(pool);
    assert_eq!(desk.open(), 0);
}

/// An own loop whose calls end after it has asked in vain, and that asks again only when rung: the
/// author's kit has a task that asks and others that answer.
struct Deferring;

impl Handler for Deferring {
    fn hand_off(&self) -> HandOff {
        HandOff::Whole
    }

    fn run(&self, _: LaneId, feed: &mut Feed) {
        let bell = Watch::over(feed);
        let mut open = vec![];
        loop {
            let closed = loop {
                match feed.next(16) {
                    Next::Batch(batch) => {
                        for token in batch.tokens() {
                            match feed.begin(token) {
                                Begin::Go(_) => {
                                    feed.suspend(token);
                                    open.push(token);
                                }
                                Begin::Skip => {}
                                Begin::Stop => break,
                            }
                        }
                    }
                    Next::Empty => break false,
                    Next::Closed => break true,
                }
            };
            for token in open.drain(..) {
                feed.complete(token, Outcome::Ack);
            }
            if closed {
                return;
            }
            bell.wait();
        }
    }
}

#[test]
fn a_call_that_ends_after_a_question_in_vain_makes_the_loop_ask_again() {
    for (order, concurrency) in [(Order::PerKey, 4), (Order::Total, 4), (Order::None, 1)] {
        let rig = Rig::still();
        let mut spec = SubscriptionSpec::new("echo", "work".parse().expect("a pattern"));
        spec.order = order;
        let subscription = rig.subscribe_as(spec);
        let pool = rig.pool("defer", Deferring, &[&subscription], one_lane(concurrency));
        let mut publisher = rig.broker.publisher("test");
        for _ in 0..40 {
            let outgoing = Outgoing { topic: "work", key: "same", ..Outgoing::default() };
            publisher.publish(outgoing).expect("publish");
        }
        rig.until_done(&subscription, 40);
        rig.close(pool);
    }
}
