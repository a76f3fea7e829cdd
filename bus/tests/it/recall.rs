//! Taking back what slow seats hold.

use patchbay_bus::{Begin, Fault, FaultClass, Park, Seat, Split, Taken, Verdict};

use crate::support::*;

fn timeout() -> Fault {
    Fault { class: FaultClass::Timeout, text: "too slow".into() }
}

/// A seat that finished two, runs the third, and has not begun the rest of five.
fn stuck(rig: &mut Rig, subscription: &patchbay_bus::Subscription) -> Seat {
    for i in 0..5 {
        rig.publish(&format!("{i}"));
    }
    let mut stuck = seat(subscription, 1);
    assert_eq!(stuck.take(5, Park::No), Taken::Batch(5));
    stuck.begin(0);
    stuck.begin(1);
    stuck.record(1, Verdict::Failed("no".into()));
    stuck.begin(2);
    stuck
}

#[test]
fn a_revoked_seat_keeps_what_it_finished_and_repeats_only_what_runs() {
    let mut rig = Rig::new();
    let subscription = rig.subscribe(|_| {});
    let mut old = stuck(&mut rig, &subscription);
    let token = old.token(2);
    let revoked = subscription.revoke(old.id(), &[(token, timeout())]);
    assert_eq!((revoked.finished, revoked.running, revoked.unstarted), (2, 1, 2));
    let mut other = seat(&subscription, 1);
    assert_eq!(drain(&mut other, |_| None), ["3", "4"]);
    rig.advance(200);
    let again = drain(&mut other, |delivery| {
        assert_eq!(delivery.attempt(), 2);
        None
    });
    assert_eq!(again, ["2"]);
    // The call comes back: what it says is refused and counted.
    old.record(2, Verdict::Failed("too late".into()));
    assert_eq!(old.begin(3), Begin::Stop);
    assert_eq!(old.take(5, Park::No), Taken::Closed);
    let ledger = subscription.ledger();
    assert_eq!((ledger.done, ledger.dead, ledger.stale, ledger.in_flight), (4, 1, 1, 0));
    assert!(ledger.balanced());
}

#[test]
fn a_revocation_without_a_culprit_charges_nobody() {
    let mut rig = Rig::new();
    let subscription = rig.subscribe(|spec| spec.retry.max_failures = 0);
    let old = stuck(&mut rig, &subscription);
    subscription.revoke(old.id(), &[]);
    assert_eq!(drain(&mut seat(&subscription, 1), |_| None).len(), 3);
    assert_eq!((subscription.ledger().dead, subscription.ledger().repeated), (1, 1));
}

#[test]
fn a_passed_over_delivery_survives_the_revocation_of_its_seat() {
    // In the prototype a position that was skipped counted as finished once a later one was claimed.
    let mut rig = Rig::new();
    let subscription = rig.subscribe(per_key);
    let mut old = seat(&subscription, 1);
    // One virtual lane, so that the window has this order whatever the keys hash to.
    rig.publish_key("x0", "x");
    rig.publish_key("x1", "x");
    assert_eq!(old.take(9, Park::No), Taken::Batch(2));
    old.begin(0);
    old.record(0, Verdict::Retry(20 * MS));
    assert_eq!(old.begin(1), Begin::Skip);
    let revoked = subscription.revoke(old.id(), &[]);
    assert_eq!((revoked.finished, revoked.running), (1, 0));
    rig.advance(30);
    assert_eq!(drain(&mut seat(&subscription, 1), |_| None), ["x0", "x1"]);
    assert_eq!(subscription.ledger().done, 2);
}

#[test]
fn a_relieved_seat_keeps_its_call_and_others_get_the_rest() {
    let mut rig = Rig::new();
    let subscription = rig.subscribe(per_key);
    let bell = Bell::new();
    let mut other = subscription.seat(1, bell.clone()).unwrap();
    let mut slow = seat(&subscription, 1);
    for i in 0..6 {
        rig.publish_key(&format!("{}{i}", ["x", "y"][i % 2]), ["x", "y"][i % 2]);
    }
    assert_eq!(slow.take(6, Park::No), Taken::Batch(6));
    slow.begin(0);
    let slow_key = text(&slow.deliveries()[0])[..1].to_owned();
    assert!(matches!(other.take(1, Park::Yes), Taken::Empty { .. }));
    assert_eq!(subscription.relieve(slow.id()), 5);
    assert_eq!(bell.rung(), 1);
    let seen = drain(&mut other, |_| None);
    assert_eq!(seen.len(), 3);
    assert!(seen.iter().all(|payload| !payload.starts_with(&slow_key)), "{seen:?}");
    assert_eq!(slow.begin(1), Begin::Stop);
    slow.settle();
    assert_eq!(drain(&mut other, |_| None).len(), 2);
    let ledger = subscription.ledger();
    assert_eq!((ledger.done, ledger.stale, ledger.repeated), (6, 0, 0));
}

#[test]
fn relief_settles_what_is_finished_and_lets_its_keys_go() {
    let mut rig = Rig::new();
    let subscription = rig.subscribe(per_key);
    let mut slow = seat(&subscription, 1);
    for round in 0..2 {
        for key in ["x", "y", "z"] {
            rig.publish_key(&format!("{key}{round}"), key);
        }
    }
    assert_eq!(slow.take(6, Park::No), Taken::Batch(6));
    let first: Vec<_> = (0..6).map(|i| text(&slow.deliveries()[i]).to_owned()).collect();
    // Two keys, because a virtual lane is taken whole.
    slow.begin(0);
    slow.record(0, Verdict::Failed("no".into()));
    assert_eq!(slow.begin(1), Begin::Skip, "its key goes on once that is settled");
    slow.begin(2);
    slow.suspend(2);
    let token = slow.token(2);
    assert_eq!(slow.begin(3), Begin::Skip);
    assert_eq!(slow.begin(4), Begin::Go);
    subscription.relieve(slow.id());
    let ledger = subscription.ledger();
    assert_eq!((ledger.dead, ledger.in_flight, ledger.queued), (1, 2, 3), "{first:?}");
    slow.finish(token, None);
    subscription.relieve(slow.id());
    assert_eq!(subscription.ledger().done, 1);
    slow.settle();
    assert_eq!((subscription.ledger().done, subscription.ledger().stale), (2, 0));
    assert_eq!(drain(&mut seat(&subscription, 1), |_| None).len(), 3);
    assert!(subscription.ledger().balanced());
}

#[test]
fn a_suspended_call_is_written_off_alone() {
    for settled_first in [false, true] {
        let mut rig = Rig::new();
        let subscription = rig.subscribe(|_| {});
        let mut seat = seat(&subscription, 1);
        rig.publish("a");
        rig.publish("b");
        seat.take(2, Park::No);
        let tokens = [seat.token(0), seat.token(1)];
        for i in 0..2 {
            seat.begin(i);
            seat.suspend(i);
        }
        if settled_first {
            seat.settle();
        }
        assert!(subscription.revoke_call(tokens[0], timeout()));
        assert!(!subscription.revoke_call(tokens[0], timeout()), "only once");
        seat.finish(tokens[0], Some(Verdict::Failed("too late".into())));
        seat.finish(tokens[1], None);
        seat.settle();
        let ledger = subscription.ledger();
        assert_eq!((ledger.done, ledger.delayed, ledger.stale), (1, 1, 1), "{settled_first}");
        rig.advance(200);
        assert_eq!(drain(&mut seat, |_| None), ["a"]);
        assert!(subscription.ledger().balanced());
    }
}

#[test]
fn revoking_a_seat_with_suspended_calls_repeats_all_and_charges_the_culprit() {
    let mut rig = Rig::new();
    let subscription = rig.subscribe(|spec| spec.retry.max_failures = 0);
    let mut old = seat(&subscription, 1);
    for payload in ["a", "b", "c", "d"] {
        rig.publish(payload);
    }
    old.take(2, Park::No);
    let culprit = old.token(0);
    for i in 0..2 {
        old.begin(i);
        old.suspend(i);
    }
    old.take(2, Park::No);
    for i in 0..2 {
        old.begin(i);
        old.suspend(i);
    }
    let finished = old.token(0);
    old.finish(finished, None);
    let revoked = subscription.revoke(old.id(), &[(culprit, timeout())]);
    assert_eq!((revoked.finished, revoked.running), (1, 3));
    let mut seen = drain(&mut seat(&subscription, 1), |_| None);
    seen.sort();
    assert_eq!(seen, ["b", "d"]);
    let letter = rig.broker.dead_letters().after(0, 1).remove(0);
    assert_eq!(letter.message.payload(), b"a");
    assert_eq!(letter.history[0].class, Some(FaultClass::Timeout));
    assert!(subscription.ledger().balanced());
}

#[test]
fn a_dropped_seat_loses_nothing() {
    let mut rig = Rig::new();
    let subscription = rig.subscribe(|_| {});
    let old = stuck(&mut rig, &subscription);
    drop(old);
    let mut seen = drain(&mut seat(&subscription, 1), |_| None);
    seen.sort();
    assert_eq!(seen, ["2", "3", "4"]);
    let ledger = subscription.ledger();
    assert_eq!((ledger.done, ledger.dead, ledger.in_flight), (4, 1, 0));
}

#[test]
fn progress_shows_who_stands_still() {
    let mut rig = Rig::new();
    let subscription = rig.subscribe(|_| {});
    let old = stuck(&mut rig, &subscription);
    let progress = subscription.progress();
    assert_eq!(progress.len(), 1);
    assert_eq!((progress[0].seat, progress[0].begun), (old.id(), 3));
    subscription.set_split(Split::none());
    drop(old);
    assert!(subscription.progress().is_empty());
}
