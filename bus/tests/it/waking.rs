//! Who is woken when, and who is asked for lanes.

use patchbay_bus::{Outgoing, Park, Split, Taken, Verdict};

use crate::support::*;

#[test]
fn a_sleeping_lane_is_woken_once_and_a_working_one_never() {
    let mut rig = Rig::new();
    let subscription = rig.subscribe(|_| {});
    let bells = [Bell::new(), Bell::new()];
    let mut seats = bells.clone().map(|bell| subscription.seat(1, bell).unwrap());
    for seat in &mut seats {
        assert!(matches!(seat.take(8, Park::Yes), Taken::Empty { .. }));
    }
    for _ in 0..5 {
        rig.publish("a");
    }
    assert_eq!(bells.each_ref().map(|bell| bell.rung()), [1, 0]);
    assert_eq!(seats[0].take(8, Park::Yes), Taken::Batch(5));
    for _ in 0..5 {
        rig.publish("a");
    }
    assert_eq!(bells.each_ref().map(|bell| bell.rung()), [0, 1], "the sleeper takes what is new");
}

#[test]
fn what_a_lane_left_behind_comes_first_and_what_is_new_stays_where_it_is() {
    let mut rig = Rig::new();
    let subscription = rig.subscribe(|_| {});
    let mut lane = seat(&subscription, 1);
    let window = |seat: &mut patchbay_bus::Seat, limit| match seat.take(limit, Park::No) {
        Taken::Batch(n) => {
            (0..n).for_each(|i| assert_eq!(seat.begin(i), patchbay_bus::Begin::Go));
            seat.deliveries().iter().map(text).collect::<String>()
        }
        other => panic!("{other:?}"),
    };
    "abcde".chars().for_each(|it| rig.publish(&it.to_string()));
    assert_eq!(window(&mut lane, 3), "abc");
    "fghi".chars().for_each(|it| rig.publish(&it.to_string()));
    assert_eq!(window(&mut lane, 3), "de");
    assert_eq!((subscription.ledger().queued, subscription.ledger().in_flight), (4, 2));
    assert_eq!(window(&mut lane, 3), "fgh");
    // Another lane finds all that is there.
    "jk".chars().for_each(|it| rig.publish(&it.to_string()));
    let mut other = seat(&subscription, 1);
    assert_eq!(window(&mut other, 8), "ijk");
    lane.settle();
    other.settle();
    let ledger = subscription.ledger();
    assert_eq!((ledger.done, ledger.queued, ledger.in_flight), (11, 0, 0));
}

#[test]
fn a_seat_says_whether_several_publish() {
    let mut rig = Rig::new();
    let subscription = rig.subscribe(|_| {});
    let mut seat = seat(&subscription, 1);
    let mut other = rig.broker.publisher("other");
    for (by_other, is_mixed) in [(true, true), (false, false)] {
        rig.publish("a");
        if by_other {
            other.publish(Outgoing { topic: "t", ..Outgoing::default() }).unwrap();
        } else {
            rig.publish("b");
        }
        assert_eq!(drain(&mut seat, |_| None).len(), 2);
        assert_eq!(seat.is_mixed(), is_mixed);
    }
}

#[test]
fn a_lane_that_leaves_work_behind_wakes_one_more() {
    let mut rig = Rig::new();
    let subscription = rig.subscribe(|_| {});
    let bells = [Bell::new(), Bell::new()];
    let mut seats = bells.clone().map(|bell| subscription.seat(1, bell).unwrap());
    for seat in &mut seats {
        seat.take(8, Park::Yes);
    }
    for _ in 0..40 {
        rig.publish("a");
    }
    assert_eq!(bells.each_ref().map(|bell| bell.rung()), [1, 0]);
    assert_eq!(seats[0].take(8, Park::Yes), Taken::Batch(8));
    assert_eq!(bells[1].rung(), 1);
}

#[test]
fn a_generation_without_a_share_hears_of_the_next_cutover() {
    // It sleeps without a bit: only the cutover itself can wake it.
    let mut rig = Rig::new();
    let subscription = rig.subscribe(|_| {});
    let bell = Bell::new();
    let mut seat = subscription.seat(2, bell.clone()).unwrap();
    rig.publish("a");
    assert!(matches!(seat.take(8, Park::Yes), Taken::Empty { .. }));
    assert_eq!(bell.rung(), 0);
    subscription.set_split(Split::all(2));
    assert!(bell.rung() > 0);
    assert_eq!(drain(&mut seat, |_| None), ["a"]);
}

#[test]
fn a_paused_subscription_accepts_and_hands_out_nothing() {
    let mut rig = Rig::new();
    let subscription = rig.subscribe(|_| {});
    let mut seat = seat(&subscription, 1);
    subscription.set_split(Split::none());
    rig.publish("a");
    assert!(matches!(seat.take(8, Park::Yes), Taken::Empty { .. }));
    assert_eq!(subscription.ledger().queued, 1);
    subscription.set_split(Split::all(1));
    assert_eq!(drain(&mut seat, |_| None), ["a"]);
}

#[test]
fn somebody_is_asked_for_a_lane_when_work_waits_and_no_seat_is_there() {
    let mut rig = Rig::new();
    let subscription = rig.subscribe(|_| {});
    let demand = Bell::new();
    subscription.on_demand(1, demand.clone());
    assert_eq!(demand.rung(), 0);
    rig.publish("a");
    rig.publish("b");
    assert_eq!(demand.rung(), 1, "asked once, not for every message");
    let mut one = seat(&subscription, 1);
    assert_eq!(drain(&mut one, |_| None), ["a", "b"]);
    assert!(matches!(one.take(8, Park::Yes), Taken::Empty { .. }));
    rig.publish("c");
    assert_eq!(demand.rung(), 0, "a sleeping seat is woken instead");
    drop(one);
    assert_eq!(demand.rung(), 1, "the last seat left work behind");
    drain(&mut seat(&subscription, 1), |_| None);
    rig.publish("d");
    assert_eq!(demand.rung(), 1);
    subscription.on_demand(1, demand.clone());
    assert_eq!(demand.rung(), 1, "asked at once where a backlog waits");
}

#[test]
fn a_due_retry_asks_for_a_lane_too() {
    let mut rig = Rig::new();
    let subscription = rig.subscribe(|_| {});
    let demand = Bell::new();
    subscription.on_demand(1, demand.clone());
    rig.publish("a");
    demand.rung();
    drain(&mut seat(&subscription, 1), |_| Some(Verdict::Retry(20 * MS)));
    assert_eq!(demand.rung(), 0);
    rig.advance(30);
    assert_eq!(demand.rung(), 1);
}

#[test]
fn each_generation_is_asked_for_its_own_part_only() {
    let mut rig = Rig::new();
    let subscription = rig.subscribe(|_| {});
    let (one, two) = (Bell::new(), Bell::new());
    subscription.on_demand(1, one.clone());
    subscription.on_demand(2, two.clone());
    subscription.set_split(Split::two(1, 1, 2, 0.0));
    rig.publish("a");
    assert_eq!((one.rung(), two.rung()), (1, 0));
    subscription.set_split(Split::two(1, 1, 2, 1.0));
    assert_eq!((one.rung(), two.rung()), (0, 1));
    subscription.no_demand(2);
    subscription.set_split(Split::all(2));
    assert_eq!(two.rung(), 0);
}

#[test]
fn a_wake_up_that_finds_its_lane_busy_elsewhere_is_passed_on() {
    let mut rig = Rig::new();
    let subscription = rig.subscribe(|_| {});
    let bells = [Bell::new(), Bell::new()];
    let mut seats = bells.clone().map(|bell| subscription.seat(1, bell).unwrap());
    for seat in &mut seats {
        seat.take(8, Park::Yes);
    }
    rig.publish("a");
    assert_eq!(bells.each_ref().map(|bell| bell.rung()), [1, 0]);
    seats[0].step_away();
    assert_eq!(bells.each_ref().map(|bell| bell.rung()), [0, 1]);
    let demand = Bell::new();
    subscription.on_demand(1, demand.clone());
    seats[1].step_away();
    assert_eq!(demand.rung(), 1, "nobody is left who would come");
    assert_eq!(drain(&mut seats[1], |_| None), ["a"]);
}

#[test]
fn no_more_than_sixty_three_seats() {
    let rig = Rig::new();
    let subscription = rig.subscribe(|_| {});
    let mut seats: Vec<_> = (0..63).map(|_| seat(&subscription, 1)).collect();
    let refused = subscription.seat(1, Bell::new()).unwrap_err();
    assert_eq!(refused.to_string(), "cannot seat another lane at `t`: 63 seats are taken");
    seats.pop();
    assert!(subscription.seat(1, Bell::new()).is_ok());
}

#[test]
fn the_backlog_of_a_generation_tells_how_much_and_how_old() {
    let mut rig = Rig::new();
    let subscription = rig.subscribe(|_| {});
    assert_eq!(subscription.backlog(1).oldest_accepted_ns, None);
    rig.publish("a");
    let first = rig.broker.clock().now_ns();
    rig.advance(10);
    rig.publish("b");
    let backlog = subscription.backlog(1);
    assert_eq!((backlog.ready, backlog.oldest_accepted_ns), (2, Some(first)));
    assert_eq!(subscription.backlog(2).ready, 0);
    let mut seat = seat(&subscription, 1);
    seat.take(1, Park::No);
    assert_eq!((subscription.backlog(1).ready, subscription.backlog(1).in_flight), (1, 1));
}
