//! What a window's forwards come to, and what happens where their target is full.

use std::{sync::mpsc, thread, time::Duration};

use patchbay_bus::{Begin, BrokerConfig, KeySource, Park, Taken, Verdict};

use crate::support::*;

fn forward(seat: &mut patchbay_bus::Seat, position: usize, topic: &str) {
    assert_eq!(seat.begin(position), Begin::Go);
    let message = seat.deliveries()[position].message().clone();
    seat.record(position, Verdict::Forward { topic: topic.into(), message });
}

/// A subscription to `next` that has room for one message, which is taken. Its keys are asked for
/// twice in every try to publish there, and each time `asked` hears of it.
fn full(rig: &Rig, asked: mpsc::Sender<()>) -> std::sync::Arc<patchbay_bus::Subscription> {
    let target = subscribe(&rig.broker, "next", |spec| {
        spec.limits.count = 1;
        spec.key = KeySource::Computed(std::sync::Arc::new(move |_| {
            // Nobody listens at the end of a test.
            let _ = asked.send(());
            0
        }));
    });
    target.set_split(patchbay_bus::Split::all(1));
    let first = patchbay_bus::Outgoing { topic: "next", payload: b"0", ..Default::default() };
    rig.broker.publisher("test").publish(first).unwrap();
    target
}

#[test]
fn forwards_and_acknowledgements_of_one_window_are_settled_together() {
    let mut rig = Rig::new();
    let subscription = rig.subscribe(|_| {});
    let target = subscribe(&rig.broker, "next", |_| {});
    for i in 0..5 {
        rig.publish(&format!("{i}"));
    }
    let mut lane = seat(&subscription, 1);
    assert_eq!(lane.take(5, Park::No), Taken::Batch(5));
    for position in 0..5 {
        match position {
            1 | 3 | 4 => forward(&mut lane, position, "next"),
            _ => assert_eq!(lane.begin(position), Begin::Go),
        }
    }
    assert_eq!(subscription.ledger().in_flight, 5);
    rig.publish("5");
    // The next window knows nothing of the forwards of the last one.
    assert_eq!(drain(&mut lane, |_| None), ["5"]);
    let ledger = subscription.ledger();
    assert_eq!((ledger.done, ledger.forwarded, ledger.in_flight), (3, 3, 0));
    assert!(ledger.balanced());
    assert_eq!(target.ledger().accepted, 3);
}

#[test]
fn what_was_forwarded_before_a_revocation_stays_forwarded() {
    let mut rig = Rig::new();
    let subscription = rig.subscribe(|_| {});
    let target = subscribe(&rig.broker, "next", |_| {});
    for i in 0..5 {
        rig.publish(&format!("{i}"));
    }
    let mut lost = seat(&subscription, 1);
    assert_eq!(lost.take(5, Park::No), Taken::Batch(5));
    forward(&mut lost, 0, "next");
    assert_eq!(lost.begin(1), Begin::Go);
    forward(&mut lost, 2, "next");
    let revoked = subscription.revoke(lost.id(), &[]);
    assert_eq!((revoked.finished, revoked.running, revoked.unstarted), (3, 0, 2));
    let ledger = subscription.ledger();
    assert_eq!((ledger.done, ledger.forwarded, ledger.repeated), (1, 2, 0));
    // Whatever it forwards now has no lease: it goes nowhere.
    let message = lost.deliveries()[1].message().clone();
    lost.record(1, Verdict::Forward { topic: "next".into(), message });
    assert_eq!(target.ledger().accepted, 2);
    assert_eq!(drain(&mut seat(&subscription, 1), |_| None), ["3", "4"]);
    assert_eq!(lost.take(1, Park::No), Taken::Closed);
    let ledger = subscription.ledger();
    assert_eq!((ledger.done, ledger.forwarded), (3, 2));
    assert!(ledger.balanced());
}

#[test]
fn a_forward_waits_for_a_full_target_that_is_emptied() {
    let mut rig = Rig::with(BrokerConfig { forward_patience: DEADLINE, ..Default::default() });
    let subscription = rig.subscribe(|_| {});
    let (asked, asks) = mpsc::channel();
    let target = full(&rig, asked);
    asks.try_iter().for_each(drop);
    rig.publish("a");
    let mut lane = seat(&subscription, 1);
    let forwarding = thread::spawn(move || {
        assert_eq!(lane.take(1, Park::No), Taken::Batch(1));
        forward(&mut lane, 0, "next");
        lane.settle();
    });
    // The third time belongs to a second try: the first has found the target full.
    (0..3).for_each(|_| asks.recv_timeout(DEADLINE).unwrap());
    let mut reader = seat(&target, 1);
    assert_eq!(drain(&mut reader, |_| None)[0], "0");
    forwarding.join().unwrap();
    let ledger = subscription.ledger();
    assert_eq!((ledger.forwarded, ledger.retried, ledger.delayed), (1, 0, 0));
    drain(&mut reader, |_| None);
    assert_eq!(target.ledger().done, 2);
}

#[test]
fn a_target_that_stands_still_is_waited_for_once() {
    let patience = Duration::from_millis(300);
    let mut rig = Rig::with(BrokerConfig { forward_patience: patience, ..Default::default() });
    let subscription = rig.subscribe(|_| {});
    let (asked, asks) = mpsc::channel();
    let target = full(&rig, asked);
    asks.try_iter().for_each(drop);
    rig.publish("a");
    rig.publish("b");
    let mut lane = seat(&subscription, 1);
    assert_eq!(lane.take(2, Park::No), Taken::Batch(2));
    forward(&mut lane, 0, "next");
    assert!(asks.try_iter().count() > 2, "a second try");
    forward(&mut lane, 1, "next");
    assert_eq!(asks.try_iter().count(), 2, "one try");
    lane.settle();
    let ledger = subscription.ledger();
    assert_eq!((ledger.forwarded, ledger.retried, ledger.delayed), (0, 2, 2));
    assert_eq!(target.ledger().accepted, 1);
}
