//! Ordered subscriptions on many lanes.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use patchbay_bus::{Order, Outgoing, SubscriptionSpec, Verdict};
use patchbay_pool::{Handed, Outcome, PoolConfig, from_fn};

use crate::rig::{Rig, SlotDesk, Slots, text};

/// What ran when: calls of one key must neither overlap nor change places.
#[derive(Default)]
struct Journal {
    running: HashMap<String, String>,
    done: HashMap<String, Vec<u32>>,
    wrong: Vec<String>,
}

impl Journal {
    fn enter(&mut self, key: &str, payload: &str) {
        if let Some(other) = self.running.insert(key.to_owned(), payload.to_owned()) {
            self.wrong.push(format!("{payload} began while {other} ran"));
        }
    }

    fn leave(&mut self, key: &str, number: Option<u32>) {
        self.running.remove(key);
        if let Some(number) = number {
            self.done.entry(key.to_owned()).or_default().push(number);
        }
    }

    fn check(&self, count: usize) {
        assert_eq!(self.wrong, [] as [&str; 0]);
        assert_eq!(self.done.values().map(Vec::len).sum::<usize>(), count);
        for (key, numbers) in &self.done {
            assert!(numbers.is_sorted(), "{key}: {numbers:?}");
        }
    }
}

fn ordered(rig: &Rig, order: Order) -> Arc<patchbay_bus::Subscription> {
    let mut spec = SubscriptionSpec::new("echo", "work".parse().expect("a pattern"));
    spec.order = order;
    rig.subscribe_as(spec)
}

fn send(rig: &Rig, keys: u32, count: u32) {
    let mut publisher = rig.broker.publisher("test");
    for number in 0..count {
        let (key, payload) = (format!("k{}", number % keys), number.to_string());
        let outgoing = Outgoing {
            topic: "work",
            key: &key,
            payload: payload.as_bytes(),
            ..Outgoing::default()
        };
        while publisher.publish(outgoing).is_err() {
            std::thread::yield_now();
        }
    }
}

fn four_lanes() -> PoolConfig {
    PoolConfig { min_workers: 4, ..PoolConfig::default() }
}

#[test]
fn one_key_is_one_call_after_the_other_and_total_order_is_one_key() {
    for (order, keys) in [(Order::PerKey, 13), (Order::Total, 13)] {
        let rig = Rig::live();
        let subscription = ordered(&rig, order);
        let journal = Arc::new(Mutex::new(Journal::default()));
        let log = Arc::clone(&journal);
        let handler = from_fn(move |handed: &Handed<'_>| {
            let payload = text(handed);
            let key = match order {
                Order::Total => "all".to_owned(),
                _ => handed.message().key().to_owned(),
            };
            log.lock().expect("the journal").enter(&key, &payload);
            let number: u32 = payload.parse().expect("a number");
            let again = number % 10 == 3 && handed.attempt() == 1;
            std::thread::yield_now();
            log.lock().expect("the journal").leave(&key, (!again).then_some(number));
            if again { Verdict::Retry(1).into() } else { Outcome::Ack }
        });
        let pool = rig.pool("order", handler, &[&subscription], four_lanes());
        let count = if order == Order::Total { 300 } else { 3_000 };
        send(&rig, keys, count);
        rig.until_done(&subscription, count.into());
        journal.lock().expect("the journal").check(count as usize);
        rig.close(pool);
    }
}

#[test]
fn a_suspended_call_holds_its_key_and_only_its_key() {
    let rig = Rig::live();
    let subscription = ordered(&rig, Order::PerKey);
    let desk = Arc::new(SlotDesk::default());
    let handler = Slots {
        decide: |handed: &Handed<'_>| (text(handed) != "0").then_some(Outcome::Ack),
        desk: Arc::clone(&desk),
    };
    let config = PoolConfig { concurrency: 4, max_workers: 1, ..PoolConfig::default() };
    let pool = rig.pool("held-key", handler, &[&subscription], config);
    send(&rig, 10, 100);
    rig.until_done(&subscription, 90);
    assert_eq!(desk.open(), 1);
    desk.release("0");
    rig.until_done(&subscription, 100);
    rig.close(pool);
}
