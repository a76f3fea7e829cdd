//! Calls that end long after their window was settled.

use patchbay_bus::{Begin, Park, QueueLimits, Taken, Verdict};

use super::*;

#[test]
fn a_suspect_that_ends_late_gives_the_floor_to_the_others() {
    let mut life = Life::first();
    let subscription = life.subscribe("t", |_| {});
    life.publish("a");
    let mut died = seat(&subscription, 1);
    assert_eq!(died.take(1, Park::No), Taken::Batch(1));
    life = life.die();
    drop(died);
    let subscription = life.subscribe("t", |_| {});
    life.publish("b");
    let mut seat = seat(&subscription, 1);
    assert_eq!(seat.take(9, Park::No), Taken::Batch(1));
    assert_eq!((seat.begin(0), text(&seat.deliveries()[0])), (Begin::Go, "a"));
    seat.suspend(0);
    let token = seat.token(0);
    assert!(matches!(seat.take(9, Park::No), Taken::Empty { .. }), "nothing beside a suspect");
    seat.finish(token, None);
    assert_eq!(attempts(&mut seat, |_| None), [("b".to_owned(), 1)]);
    assert_eq!(ledger_of(&subscription), (2, 0, 0, 2));
}

#[test]
fn a_late_forward_says_nothing_of_the_next_window() {
    let mut life = Life::first();
    let subscription = life.subscribe("t", |_| {});
    life.publish("a");
    let mut seat = seat(&subscription, 1);
    assert_eq!(seat.take(1, Park::No), Taken::Batch(1));
    assert_eq!(seat.begin(0), Begin::Go);
    seat.suspend(0);
    let (token, message) = (seat.token(0), seat.deliveries()[0].message().clone());
    seat.settle();
    seat.finish(token, Some(Verdict::Forward { topic: "u.x".into(), message }));
    life.publish("b");
    assert_eq!(seat.take(1, Park::No), Taken::Batch(1));
    assert_eq!((seat.begin(0), text(&seat.deliveries()[0])), (Begin::Go, "b"));
    seat.record(0, Verdict::Retry(20_000_000));
    seat.settle();
    let ledger = subscription.ledger();
    assert_eq!((ledger.forwarded, ledger.delayed), (1, 1), "{ledger:?}");
    life.advance(50);
    assert_eq!(attempts(&mut seat, |_| None), [("b".to_owned(), 2)]);
}

#[test]
fn a_spilled_start_is_not_early_when_the_wall_is_set_back() {
    let mut life = Life::first();
    let subscription =
        life.subscribe("t", |spec| spec.limits = QueueLimits { count: 1, bytes: 999 });
    life.clock.step_wall(-3_600_000_000_000);
    life.advance(1);
    life.publish("now");
    let not_before_ns = life.clock.unix_ns() + 9_000_000_000;
    let later = Outgoing { topic: "t", payload: b"later", not_before_ns, ..Outgoing::default() };
    life.publisher.publish(later).unwrap();
    let mut seat = seat(&subscription, 1);
    assert_eq!(attempts(&mut seat, |_| None), [("now".to_owned(), 1)]);
    life.advance(8_900);
    assert_eq!(attempts(&mut seat, |_| None), []);
    life.advance(200);
    assert_eq!(attempts(&mut seat, |_| None), [("later".to_owned(), 1)]);
}
