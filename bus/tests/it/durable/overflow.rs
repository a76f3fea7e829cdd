//! A backlog that is full, and a subscription that does not want the publisher to suffer for it
//! (promise P-20).

use std::sync::Mutex;

use patchbay_bus::{
    CutOff, DeadCause, Outgoing, Overflow, PublishError, QueueLimits, WatchCutOff, WhenFull,
};

use super::*;

fn of(overflow: Overflow) -> impl Fn(&mut SubscriptionSpec) {
    move |spec| {
        spec.backlog = QueueLimits { count: 4, bytes: 1 << 20 };
        spec.overflow = overflow;
    }
}

#[derive(Default)]
struct Told(Mutex<Vec<(u64, bool)>>);

impl WatchCutOff for Told {
    fn changed(&self, subscription: &Subscription, is_cut_off: bool) {
        self.0.lock().unwrap().push((subscription.id(), is_cut_off));
    }
}

impl Told {
    fn of(life: &Life) -> Arc<Told> {
        let told = Arc::new(Told::default());
        life.broker.watch_cut_off(told.clone());
        told
    }

    fn take(&self) -> Vec<bool> {
        self.0.lock().unwrap().drain(..).map(|(_, is_cut_off)| is_cut_off).collect()
    }
}

fn passed(subscription: &Subscription) -> (bool, u64) {
    let CutOff { since_unix_ns, passed, .. } = subscription.cut_off();
    (since_unix_ns.is_some(), passed)
}

fn publish(life: &mut Life, payload: &str) -> Result<u32, PublishError> {
    let outgoing = Outgoing { topic: "t", payload: payload.as_bytes(), ..Outgoing::default() };
    life.publisher.publish(outgoing).map(|published| published.routed)
}

#[test]
fn what_a_full_backlog_does_not_take_is_a_dead_letter_of_that_subscription_alone() {
    let mut life = Life::first();
    let slow = life.subscribe("t", of(Overflow::DeadLetter));
    let other = life.subscribe("*", |_| {});
    for n in 0..7 {
        assert_eq!(publish(&mut life, &n.to_string()).unwrap(), 2);
    }
    let check = |life: &Life, slow: &Subscription, other: &Subscription| {
        let ledger = slow.ledger();
        assert!(ledger.balanced(), "{ledger:?}");
        assert_eq!((ledger.accepted, ledger.queued, ledger.dead), (7, 4, 3));
        assert_eq!(ledger_of(other), (7, 7, 0, 0));
        let letters = life.broker.dead_letters().after(0, 9);
        let found: Vec<_> = letters.iter().map(|it| (it.cause, it.message.payload())).collect();
        let expected = [b"4", b"5", b"6"].map(|payload| (DeadCause::Overflow, &payload[..]));
        assert_eq!(found, expected);
        assert!(letters.iter().all(|it| it.subscription == slow.id() && it.attempts == 0));
    };
    check(&life, &slow, &other);
    let life = life.lose_power();
    let slow = life.subscribe("t", of(Overflow::DeadLetter));
    let other = life.subscribe("*", |_| {});
    check(&life, &slow, &other);
    assert_eq!(drain(&mut seat(&slow, 1), |_| None), ["0", "1", "2", "3"]);
    assert_eq!(drain(&mut seat(&other, 1), |_| None).len(), 7);
    let first = life.broker.dead_letters().after(0, 1).remove(0).number;
    life.broker.redrive(first).unwrap();
    assert_eq!(drain(&mut seat(&slow, 1), |_| None), ["4"], "sent back, it is like any other");
    let life = life.lose_power();
    let slow = life.subscribe("t", of(Overflow::DeadLetter));
    let ledger = slow.ledger();
    assert!(ledger.balanced(), "{ledger:?}");
    assert_eq!(life.broker.dead_letters().len(), 2);
}

#[test]
fn a_message_and_the_letters_it_becomes_are_one_record() {
    let mut life = Life::first();
    let first = life.subscribe("t", of(Overflow::DeadLetter));
    let second = life.subscribe("*", of(Overflow::DeadLetter));
    for n in 0..4 {
        publish(&mut life, &n.to_string()).unwrap();
    }
    let appended = |life: &Life| life.broker.journal().unwrap().health().appended;
    let before = appended(&life);
    assert_eq!(publish(&mut life, "4").unwrap(), 2);
    assert_eq!(appended(&life), before + 1, "neither can half-happen");
    let check = |life: &Life| {
        for subscription in [&first, &second] {
            let letters = life.broker.dead_letters().after(0, 9);
            let mine = letters.iter().filter(|it| it.subscription == subscription.id());
            let found: Vec<_> = mine.map(|it| (it.delivery, it.message.payload())).collect();
            assert_eq!(found, [(4, &b"4"[..])]);
            let trace = life.broker.journal().unwrap().trace(letters[0].message.id()).unwrap();
            let died = trace.iter().filter(|entry| entry.kind == patchbay_journal::Kind::Dead);
            assert_eq!(died.count(), 2, "{trace:?}");
        }
    };
    check(&life);
    let numbers: Vec<u64> =
        life.broker.dead_letters().after(0, 9).iter().map(|it| it.number).collect();
    let mut life = life.lose_power();
    check(&life);
    // Numbers go on behind those that the record gave away.
    let _first = life.subscribe("t", of(Overflow::DeadLetter));
    publish(&mut life, "5").unwrap();
    let last = life.broker.dead_letters().after(*numbers.last().unwrap(), 9);
    assert_eq!(last.len(), 1, "the other one takes it: nobody has said yet what it does");
}

#[test]
fn where_the_dead_have_no_room_either_the_publisher_is_told() {
    for (when_full, expected) in [(WhenFull::Hold, false), (WhenFull::DropOldest, true)] {
        let mut config = rules();
        config.dead_letters.max_count = 1;
        config.dead_letters.when_full = when_full;
        let mut life = Life::with(config);
        let slow = life.subscribe("t", of(Overflow::DeadLetter));
        for n in 0..5 {
            publish(&mut life, &n.to_string()).unwrap();
        }
        let sixth = publish(&mut life, "5");
        assert_eq!(sixth.is_ok(), expected, "{sixth:?}");
        let refused = matches!(sixth, Err(PublishError::BacklogFull { .. }));
        assert_eq!(refused, !expected);
        let ledger = slow.ledger();
        assert!(ledger.balanced(), "{ledger:?}");
        assert_eq!(ledger.accepted, 5 + u64::from(expected));
    }
}

#[test]
fn a_cut_off_subscription_is_passed_by_until_half_is_worked_off() {
    let mut life = Life::first();
    let slow = life.subscribe("t", of(Overflow::Detach));
    let other = life.subscribe("*", |_| {});
    let told = Told::of(&life);
    let routed: Vec<u32> = (0..6).map(|n| publish(&mut life, &n.to_string()).unwrap()).collect();
    assert_eq!(routed, [2, 2, 2, 2, 1, 1]);
    assert_eq!((passed(&slow), told.take()), ((true, 2), vec![true]));
    assert_eq!(ledger_of(&slow), (4, 4, 0, 0), "what passed it by is none of its own");
    let mut one = seat(&slow, 1);
    for left in [3, 2] {
        assert_eq!(one.take(1, patchbay_bus::Park::No), patchbay_bus::Taken::Batch(1));
        one.begin(0);
        one.settle();
        assert_eq!(slow.ledger().queued, left);
        let routed = publish(&mut life, "x").unwrap();
        assert_eq!(routed, if left > 2 { 1 } else { 2 }, "{left} left");
    }
    assert_eq!((passed(&slow), told.take()), ((false, 3), vec![false]));
    assert_eq!(drain(&mut one, |_| None), ["2", "3", "x"]);
    assert_eq!(drain(&mut seat(&other, 1), |_| None).len(), 8);
}

#[test]
fn a_restart_does_not_let_a_cut_off_subscription_in() {
    let mut life = Life::first();
    life.subscribe("t", of(Overflow::Detach));
    for n in 0..5 {
        publish(&mut life, &n.to_string()).unwrap();
    }
    life.flush();
    let mut life = life.lose_power();
    // Also while nobody has come for it.
    assert_eq!(publish(&mut life, "orphan").unwrap(), 0);
    let slow = life.subscribe("t", of(Overflow::Detach));
    let told = Told::of(&life);
    assert_eq!((passed(&slow), publish(&mut life, "5").unwrap()), ((true, 1), 0));
    assert!(life.broker.let_in(&slow), "an operator may");
    assert_eq!((passed(&slow), told.take()), ((false, 2), vec![false]));
    assert_eq!(publish(&mut life, "6").unwrap(), 0, "and it is as full as before");
    assert_eq!(told.take(), [true]);
    drain(&mut seat(&slow, 1), |_| None);
    assert_eq!(publish(&mut life, "7").unwrap(), 1);
    life.flush();
    let mut life = life.lose_power();
    let slow = life.subscribe("t", of(Overflow::Detach));
    assert_eq!((passed(&slow), publish(&mut life, "8").unwrap()), ((false, 0), 1));
}

#[test]
fn a_subscription_that_comes_back_with_another_policy_is_let_in() {
    let mut life = Life::first();
    life.subscribe("t", of(Overflow::Detach));
    for n in 0..5 {
        publish(&mut life, &n.to_string()).unwrap();
    }
    life.flush();
    let mut life = life.die();
    let slow = life.subscribe("t", of(Overflow::Reject));
    assert_eq!(passed(&slow), (false, 0));
    assert!(matches!(publish(&mut life, "5"), Err(PublishError::BacklogFull { .. })));
}
