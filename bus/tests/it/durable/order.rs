//! Order where a part of the queue is in the journal only (P-16), and how little a key that is held
//! keeps from the others (P-20).

use patchbay_bus::{Order, Outgoing, QueueLimits};

use super::*;

fn of_two(order: Order) -> impl FnOnce(&mut SubscriptionSpec) {
    move |spec| {
        spec.order = order;
        spec.limits = QueueLimits { count: 2, bytes: 1 << 20 };
    }
}

impl Life {
    fn publish_in_memory(&mut self, payload: &str) {
        let payload = payload.as_bytes();
        self.publisher.publish(Outgoing { topic: "m", payload, ..Outgoing::default() }).unwrap();
    }
}

#[test]
fn what_came_in_before_the_order_was_known_does_not_pass_what_the_journal_has() {
    let mut life = Life::first();
    life.subscribe("*", of_two(Order::Total));
    ["1", "2", "3"].iter().for_each(|payload| life.publish(payload));
    let mut life = life.die();
    life.publish_in_memory("4");
    life.publish("5");
    life.publish_in_memory("6");
    let subscription = life.subscribe("*", of_two(Order::Total));
    assert_eq!(drain(&mut seat(&subscription, 1), |_| None), ["1", "2", "3", "4", "5", "6"]);
    assert_eq!(ledger_of(&subscription), (6, 0, 0, 6));
}

#[test]
fn a_letter_that_is_sent_back_stands_behind_what_only_the_journal_has() {
    for dies in [false, true] {
        let mut life = Life::first();
        let mut subscription = life.subscribe("t", of_two(Order::Total));
        life.publish("1");
        let failed = |_: &Delivery| Some(Verdict::Failed("no".into()));
        assert_eq!(drain(&mut seat(&subscription, 1), failed), ["1"]);
        ["2", "3", "4", "5", "6"].iter().for_each(|payload| life.publish(payload));
        life.broker.redrive(1).unwrap();
        life.publish("7");
        if dies {
            life.flush();
            life = life.die();
            subscription = life.subscribe("t", of_two(Order::Total));
        }
        let seen = drain(&mut seat(&subscription, 1), |_| None);
        assert_eq!(seen, ["2", "3", "4", "5", "6", "1", "7"], "{dies}");
        let ledger = subscription.ledger();
        assert_eq!((ledger.accepted, ledger.done, ledger.dead), (8, 7, 1), "{ledger:?}");
    }
}

#[test]
fn a_key_that_is_held_leaves_memory_to_the_others() {
    let mut life = Life::first();
    let subscription = life.subscribe("t", |spec| {
        spec.order = Order::PerKey;
        spec.limits = QueueLimits { count: 4, bytes: 1 << 20 };
        spec.retry.delay_max = Duration::from_secs(3_600);
    });
    let slow: Vec<String> = (0..60).map(|n| format!("slow {n}")).collect();
    slow.iter().for_each(|payload| life.publish_key(payload, "slow"));
    life.publish_key("quick", "quick");
    let mut seat = seat(&subscription, 1);
    let hour = 3_600 * 1_000 * MS;
    let mut later = |delivery: &Delivery| {
        let waits = text(delivery) == "slow 0" && delivery.attempt() == 1;
        waits.then_some(Verdict::Retry(hour))
    };
    assert_eq!(drain(&mut seat, &mut later), ["slow 0", "quick"]);
    // Nothing of it is forgotten, and nothing fills the memory.
    assert_eq!(ledger_of(&subscription), (61, 60, 0, 1));
    assert!(subscription.in_memory() <= 4, "{}", subscription.in_memory());
    life.publish_key("slow 60", "slow");
    life.advance(3_600 * 1_000);
    let mut all = slow;
    all.push("slow 60".into());
    assert_eq!(drain(&mut seat, &mut later), all);
    assert_eq!(ledger_of(&subscription), (62, 0, 0, 62));
}

#[test]
fn a_held_key_with_more_waiting_than_may_be_known_holds_back_the_rest_and_loses_nothing() {
    let mut life = Life::first();
    let subscription = life.subscribe("t", |spec| {
        spec.order = Order::PerKey;
        spec.limits = QueueLimits { count: 2, bytes: 1 << 20 };
    });
    let slow: Vec<String> = (0..200).map(|n| format!("slow {n}")).collect();
    slow.iter().for_each(|payload| life.publish_key(payload, "slow"));
    life.publish_key("quick", "quick");
    let mut seat = seat(&subscription, 1);
    let mut later = |delivery: &Delivery| {
        let waits = text(delivery) == "slow 0" && delivery.attempt() == 1;
        waits.then_some(Verdict::Retry(1_000 * MS))
    };
    assert_eq!(drain(&mut seat, &mut later), ["slow 0"]);
    assert!(subscription.in_memory() <= 2, "{}", subscription.in_memory());
    life.advance(1_000);
    let seen = drain(&mut seat, &mut later);
    let (quick, rest): (Vec<String>, Vec<String>) =
        seen.into_iter().partition(|payload| payload == "quick");
    assert_eq!((quick.len(), rest), (1, slow));
}

#[test]
fn retries_that_wait_for_the_budget_leave_memory_to_the_others() {
    let mut life = Life::first();
    let subscription = life.subscribe("t", |spec| {
        spec.limits = QueueLimits { count: 16, bytes: 1 << 20 };
        spec.retry.max_failures = 1_000;
        spec.budget.per_second = 1;
        spec.budget.percent = 0;
        spec.breaker = None;
    });
    let bad: Vec<String> = (0..40).map(|n| format!("bad {n}")).collect();
    bad.iter().for_each(|payload| life.publish(payload));
    let mut seat = seat(&subscription, 1);
    let fault =
        || patchbay_bus::Fault { class: patchbay_bus::FaultClass::Transient, text: "no".into() };
    let mut fails =
        |delivery: &Delivery| text(delivery).starts_with("bad").then(|| Verdict::Fault(fault()));
    assert_eq!(drain(&mut seat, &mut fails).len(), 40, "each once");
    // All are due, and the budget lets few of them go.
    life.advance(200);
    (0..40).for_each(|n| life.publish(&format!("good {n}")));
    let seen = drain(&mut seat, &mut fails);
    let good = seen.iter().filter(|payload| payload.starts_with("good")).count();
    assert_eq!(good, 40, "{seen:?}");
    assert!(subscription.in_memory() <= 16, "{}", subscription.in_memory());
    assert!(subscription.ledger().balanced());
}
