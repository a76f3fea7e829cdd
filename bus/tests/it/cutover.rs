//! The split and its fence.

use patchbay_bus::{Begin, Park, Split, Taken, Verdict};

use crate::support::*;

#[test]
fn after_a_cutover_an_old_seat_starts_nothing_and_the_rest_is_back_in_order() {
    let mut rig = Rig::new();
    let subscription = rig.subscribe(|_| {});
    let (mut old, mut new) = (seat(&subscription, 1), seat(&subscription, 2));
    for i in 0..6 {
        rig.publish(&format!("{i}"));
    }
    assert_eq!(old.take(4, Park::No), Taken::Batch(4));
    assert_eq!(old.begin(0), Begin::Go);
    let begun = subscription.set_split(Split::all(2));
    assert_eq!(begun.iter().map(|begun| begun.delivery).collect::<Vec<_>>(), [0]);
    assert_eq!((begun[0].seat, begun[0].generation, begun[0].token), (old.id(), 1, old.token(0)));
    assert_eq!(old.begin(1), Begin::Stop);
    let seen = drain(&mut new, |delivery| {
        assert_eq!(delivery.attempt(), 1, "what was not begun is not counted");
        None
    });
    assert_eq!(seen, ["1", "2", "3", "4", "5"]);
    assert!(matches!(old.take(4, Park::No), Taken::Empty { .. }));
    let ledger = subscription.ledger();
    assert_eq!((ledger.done, ledger.in_flight, ledger.stale), (6, 0, 0));
}

#[test]
fn a_retry_of_the_old_generation_comes_to_the_new_one() {
    let mut rig = Rig::new();
    let subscription = rig.subscribe(|_| {});
    let (mut old, mut new) = (seat(&subscription, 1), seat(&subscription, 2));
    rig.publish("a");
    old.take(1, Park::No);
    old.begin(0);
    subscription.set_split(Split::all(2));
    old.record(0, Verdict::Retry(0));
    old.settle();
    rig.advance(20);
    let seen = drain(&mut new, |delivery| {
        assert_eq!(delivery.attempt(), 2);
        None
    });
    assert_eq!(seen, ["a"]);
}

#[test]
fn suspended_calls_are_listed_as_begun_also_when_their_window_is_gone() {
    let mut rig = Rig::new();
    let subscription = rig.subscribe(|_| {});
    let mut old = seat(&subscription, 1);
    rig.publish("a");
    rig.publish("b");
    old.take(2, Park::No);
    let tokens = [old.token(0), old.token(1)];
    for i in 0..2 {
        old.begin(i);
        old.suspend(i);
    }
    old.finish(tokens[0], None);
    old.settle();
    let begun = subscription.set_split(Split::all(2));
    assert_eq!(begun.iter().map(|begun| begun.token).collect::<Vec<_>>(), [tokens[1]]);
    old.finish(tokens[1], Some(Verdict::Failed("late but valid".into())));
    old.settle();
    let ledger = subscription.ledger();
    assert_eq!((ledger.done, ledger.dead, ledger.stale), (1, 1, 0));
}

#[test]
fn shares_are_sticky_per_key_and_exact_at_the_ends() {
    for (share, second) in [(0.0, 0), (1.0, 300)] {
        let mut rig = Rig::new();
        let subscription = rig.subscribe(|_| {});
        subscription.set_split(Split::two(9, 1, 2, share));
        let mut seats = [seat(&subscription, 1), seat(&subscription, 2)];
        for i in 0..300 {
            rig.publish(&format!("{i}"));
        }
        let seen = seats.each_mut().map(|seat| drain(seat, |_| None).len());
        assert_eq!(seen, [300 - second, second]);
    }
    let mut rig = Rig::new();
    let subscription = rig.subscribe(|_| {});
    subscription.set_split(Split::two(9, 1, 2, 0.5));
    let mut seats = [seat(&subscription, 1), seat(&subscription, 2)];
    for i in 0..500 {
        rig.publish_key("m", &format!("{}", i % 50));
    }
    let keys = seats.each_mut().map(|seat| {
        let mut keys = Vec::new();
        drain(seat, |delivery| {
            keys.push(delivery.key_hash());
            None
        });
        keys
    });
    assert!(!keys[0].is_empty() && !keys[1].is_empty());
    assert!(keys[0].iter().all(|key| !keys[1].contains(key)));
}
