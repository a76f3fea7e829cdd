//! Where deliveries end, what happens when that is full, and the way back.

use patchbay_bus::{
    BrokerConfig, DeadCause, DeadLetterConfig, DropReason, Fault, FaultClass, Outgoing, Park,
    RedriveError, Split, Taken, Verdict, WhenFull,
};

use crate::support::*;

fn config(when_full: WhenFull, max_count: usize, max_pending: usize) -> BrokerConfig {
    let dead_letters =
        DeadLetterConfig { max_count, when_full, max_pending, ..DeadLetterConfig::default() };
    BrokerConfig { dead_letters, ..BrokerConfig::default() }
}

fn fail(_: &patchbay_bus::Delivery) -> Option<Verdict> {
    Some(Verdict::Failed("no".into()))
}

#[test]
fn full_dead_letters_hold_back_then_pause_and_go_on_when_there_is_room() {
    let mut rig = Rig::with(config(WhenFull::Hold, 2, 1));
    let subscription = rig.subscribe(|_| {});
    for i in 0..6 {
        rig.publish(&format!("{i}"));
    }
    let bell = Bell::new();
    let mut seat = subscription.seat(1, bell.clone()).unwrap();
    for _ in 0..6 {
        if let Taken::Batch(_) = seat.take(1, Park::No) {
            seat.begin(0);
            seat.record(0, Verdict::Failed("no".into()));
        }
    }
    let ledger = subscription.ledger();
    assert_eq!((ledger.dead, ledger.dead_pending, ledger.queued), (2, 2, 2), "{ledger:?}");
    assert!(ledger.balanced());
    bell.rung();
    assert!(rig.broker.purge(1).is_some());
    assert!(bell.rung() > 0, "whoever rests at a choked queue is told");
    let ledger = subscription.ledger();
    assert_eq!((ledger.dead, ledger.dead_pending), (3, 1));
    assert!(matches!(seat.take(1, Park::No), Taken::Batch(1)));
}

#[test]
fn what_dies_after_its_subscription_was_removed_keeps_its_history() {
    let mut rig = Rig::new();
    let subscription = rig.subscribe(|_| {});
    rig.publish("a");
    let mut seat = seat(&subscription, 1);
    drain(&mut seat, fail);
    rig.broker.redrive(1).unwrap();
    assert_eq!(seat.take(1, Park::No), Taken::Batch(1));
    seat.begin(0);
    rig.broker.remove(&subscription);
    seat.record(0, Verdict::Failed("no".into()));
    seat.settle();
    let letter = rig.broker.dead_letters().after(0, 1).remove(0);
    assert_eq!((letter.redrives, letter.history.len()), (1, 2));
}

#[test]
fn dead_letters_may_give_up_the_oldest() {
    let mut rig = Rig::with(config(WhenFull::DropOldest, 2, 1));
    let subscription = rig.subscribe(|_| {});
    for i in 0..5 {
        rig.publish(&format!("{i}"));
    }
    drain(&mut seat(&subscription, 1), fail);
    let letters = rig.broker.dead_letters();
    assert_eq!((letters.len(), letters.overwritten()), (2, 3));
    assert_eq!(letters.after(0, 9)[0].message.payload(), b"3");
    assert_eq!(subscription.ledger().dead, 5);
}

#[test]
fn bytes_bound_the_dead_letters_too() {
    let mut config = config(WhenFull::DropOldest, 100, 1);
    config.dead_letters.max_bytes = 50;
    let mut rig = Rig::with(config);
    let subscription = rig.subscribe(|_| {});
    for _ in 0..10 {
        rig.publish("123456789");
    }
    drain(&mut seat(&subscription, 1), fail);
    assert_eq!((rig.broker.dead_letters().len(), rig.broker.dead_letters().bytes()), (5, 50));
}

#[test]
fn a_redrive_goes_to_its_own_subscription_only_and_once() {
    let mut rig = Rig::new();
    let subscription = rig.subscribe(|_| {});
    let other = subscribe(&rig.broker, ">", |_| {});
    rig.publish("a");
    let news = Bell::new();
    rig.broker.dead_letters().watch(news.clone());
    let mut seat = seat(&subscription, 1);
    drain(&mut seat, fail);
    assert_eq!(news.rung(), 1);
    rig.broker.redrive(1).unwrap();
    assert!(matches!(rig.broker.redrive(1), Err(RedriveError::Unknown(1))));
    assert_eq!(other.ledger().accepted, 1);
    let seen = drain(&mut seat, |delivery| {
        assert_eq!(delivery.attempt(), 1, "counts start anew");
        fail(delivery)
    });
    assert_eq!(seen, ["a"]);
    let letter = rig.broker.dead_letters().get(2).unwrap();
    assert_eq!((letter.redrives, letter.history.len()), (1, 2));
    let ledger = subscription.ledger();
    assert_eq!((ledger.accepted, ledger.dead), (2, 2));

    rig.broker.remove(&subscription);
    assert!(matches!(rig.broker.redrive(2), Err(RedriveError::Gone { number: 2, .. })));
    assert!(rig.broker.dead_letters().get(2).is_some(), "it stays where it is");
}

#[test]
fn a_removed_subscription_counts_what_it_drops_now_and_later() {
    let mut rig = Rig::new();
    let subscription = rig.subscribe(|_| {});
    for i in 0..10 {
        rig.publish(&format!("{i}"));
    }
    let mut seat = seat(&subscription, 1);
    assert_eq!(seat.take(3, Park::No), Taken::Batch(3));
    seat.begin(0);
    seat.begin(1);
    seat.record(1, Verdict::Retry(0));
    assert_eq!(rig.broker.remove(&subscription), 7);
    assert_eq!(subscription.ledger().in_flight, 3);
    assert_eq!(seat.take(3, Park::No), Taken::Closed);
    let ledger = subscription.ledger();
    assert_eq!((ledger.done, ledger.dropped.count(DropReason::Unload)), (1, 9));
    assert!(ledger.balanced() && ledger.unsettled() == 0);
    rig.publish("late");
    assert_eq!(subscription.ledger().accepted, 10);
    assert!(subscription.seat(1, Bell::new()).is_err());
}

#[test]
fn what_dies_while_it_tells_of_a_dead_letter_stays_there() {
    let mut rig = Rig::new();
    let keeper = subscribe(&rig.broker, "$PB.dead.*", |spec| spec.retry.max_failures = 0);
    keeper.set_split(Split::all(1));
    let outgoing = Outgoing { topic: "$PB.dead.echo", payload: b"a", ..Outgoing::default() };
    let fault = Fault { class: FaultClass::Transient, text: "no".into() };
    rig.publisher.publish(outgoing).unwrap();
    drain(&mut seat(&keeper, 1), fail);
    rig.publisher.publish(outgoing).unwrap();
    drain(&mut seat(&keeper, 1), |_| Some(Verdict::Fault(fault.clone())));
    let letters = rig.broker.dead_letters().after(0, 9);
    assert_eq!(letters.len(), 2);
    for letter in letters {
        assert_eq!((letter.cause, &*letter.reason), (DeadCause::Terminal, "no"), "{letter:?}");
    }
    assert!(keeper.ledger().balanced());
}
