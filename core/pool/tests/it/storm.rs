//! Everything at once: no wake-up is lost, nothing is done twice, nothing is left.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use patchbay_bus::{Order, Outgoing, Subscription, SubscriptionSpec, Verdict};
use patchbay_pool::{
    Begin, Feed, HandOff, Handler, LaneId, Next, NextOp, OpOutcome, Outcome, PoolConfig, Token,
};

use crate::rig::{Rig, Watch, text};

const MESSAGES: u64 = 2_000;

/// Suspends two calls of three, and ends them a few rounds later. `hand_off` makes it a slot loop
/// or an own loop.
struct Juggler {
    hand_off: HandOff,
    handled: Arc<Mutex<HashMap<String, u32>>>,
    rounds: AtomicU64,
}

impl Juggler {
    fn outcome(&self, payload: &str, attempt: u32) -> Outcome {
        let number: u64 = payload.rsplit('.').next().and_then(|it| it.parse().ok()).unwrap_or(0);
        if number.is_multiple_of(11) && attempt == 1 {
            return Verdict::Retry(1).into();
        }
        *self.handled.lock().expect("handled").entry(payload.to_owned()).or_default() += 1;
        Outcome::Ack
    }
}

impl Handler for Juggler {
    fn hand_off(&self) -> HandOff {
        self.hand_off
    }

    fn run(&self, _: LaneId, feed: &mut Feed) {
        let whole = self.hand_off == HandOff::Whole;
        let watch = whole.then(|| Watch::over(feed));
        let mut open: Vec<(Token, String, u32, u64)> = vec![];
        loop {
            while let NextOp::Call(call) = feed.next_op() {
                feed.op_done(call.id, OpOutcome::Done(None));
            }
            let round = self.rounds.fetch_add(1, Ordering::Relaxed);
            open.retain(|(token, payload, attempt, since)| {
                assert!(!feed.cancelled(*token));
                let over = round > since + 2;
                if over {
                    feed.complete(*token, self.outcome(payload, *attempt));
                }
                !over
            });
            let next = feed.next(16);
            if let Next::Batch(batch) = next {
                for token in batch.tokens() {
                    let (payload, attempt) = match feed.begin(token) {
                        Begin::Go(handed) => (text(&handed), handed.attempt()),
                        Begin::Skip => continue,
                        Begin::Stop => break,
                    };
                    if !whole && payload.ends_with('7') {
                        feed.complete(token, self.outcome(&payload, attempt));
                    } else {
                        feed.suspend(token);
                        open.push((token, payload, attempt, round));
                    }
                }
            } else if open.is_empty() {
                match (next, &watch) {
                    (Next::Closed, _) => return,
                    (_, None) => feed.wait(),
                    (_, Some(watch)) => watch.wait(),
                }
            }
        }
    }
}

fn storm(hand_off: HandOff, name: &str) {
    let rig = Rig::live();
    let orders = [Order::None, Order::PerKey, Order::Total];
    let subscribe = |(number, order): (usize, &Order)| {
        let pattern = format!("storm.{number}").parse().expect("a pattern");
        let mut spec = SubscriptionSpec::new("echo", pattern);
        spec.order = *order;
        rig.subscribe_as(spec)
    };
    let subscriptions: Vec<Arc<Subscription>> = orders.iter().enumerate().map(subscribe).collect();
    let handled = Arc::new(Mutex::new(HashMap::new()));
    let juggler = Juggler { hand_off, handled: Arc::clone(&handled), rounds: AtomicU64::new(0) };
    let config = PoolConfig {
        max_workers: 3,
        concurrency: 3,
        tick: Duration::from_millis(2),
        grow_after: Duration::from_millis(2),
        relieve_after: Duration::from_millis(2),
        idle_timeout: Duration::from_millis(5),
        ..PoolConfig::default()
    };
    let by_reference: Vec<&Arc<Subscription>> = subscriptions.iter().collect();
    let pool = rig.pool(name, juggler, &by_reference, config);
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let publishers: Vec<_> = (0..3)
            .map(|number| {
                let mut publisher = rig.broker.publisher("test");
                scope.spawn(move || {
                    let topic = format!("storm.{number}");
                    for count in 0..MESSAGES {
                        let (key, payload) =
                            (format!("k{}", count % 7), format!("{topic}.{count}"));
                        let payload = payload.as_bytes();
                        let outgoing =
                            Outgoing { topic: &topic, key: &key, payload, ..Outgoing::default() };
                        while publisher.publish(outgoing).is_err() {
                            thread::yield_now();
                        }
                        if count % 64 == 0 {
                            // Long enough for lanes to fall asleep, and sometimes to go.
                            thread::sleep(Duration::from_micros(count % 9 * 1_000));
                        }
                    }
                })
            })
            .collect();
        let (pool, over) = (&pool, &over);
        scope.spawn(move || {
            while !over.load(Ordering::Relaxed) {
                pool.pause();
                thread::yield_now();
                pool.resume();
                thread::sleep(Duration::from_millis(3));
            }
        });
        for publisher in publishers {
            publisher.join().expect("publish");
        }
        over.store(true, Ordering::Relaxed);
    });
    for subscription in &subscriptions {
        rig.until_done(subscription, MESSAGES);
    }
    rig.close(pool);
    let handled = handled.lock().expect("handled");
    assert_eq!(handled.len() as u64, 3 * MESSAGES);
    let twice: Vec<_> = handled.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
    for subscription in &subscriptions {
        let ledger = subscription.ledger();
        assert_eq!((ledger.stale, ledger.repeated, ledger.dead), (0, 0, 0), "{ledger:?}");
    }
}

#[test]
fn a_slot_loop_survives_a_storm() {
    storm(HandOff::Each, "slot-storm");
}

#[test]
fn an_own_loop_survives_a_storm() {
    storm(HandOff::Whole, "loop-storm");
}
