//! Order by key and in total.

use patchbay_bus::{Begin, KeySource, Order, Outgoing, Park, Split, Taken, Verdict};

use crate::support::*;

#[test]
fn a_retried_key_holds_back_only_itself_and_keeps_its_order() {
    let mut rig = Rig::new();
    let subscription = rig.subscribe(per_key);
    for i in 0..4 {
        rig.publish_key(&format!("x{i}"), "x");
        rig.publish_key(&format!("y{i}"), "y");
    }
    let mut seat = seat(&subscription, 1);
    let retry_x0 = |delivery: &patchbay_bus::Delivery| {
        (text(delivery) == "x0" && delivery.attempt() == 1).then_some(Verdict::Retry(50 * MS))
    };
    let mut seen = drain(&mut seat, retry_x0);
    seen.retain(|payload| payload != "x0");
    assert_eq!(seen, ["y0", "y1", "y2", "y3"]);
    let ledger = subscription.ledger();
    assert_eq!((ledger.delayed, ledger.queued), (1, 3));
    rig.publish_key("x4", "x");
    rig.advance(60);
    assert_eq!(drain(&mut seat, |_| None), ["x0", "x1", "x2", "x3", "x4"]);
}

#[test]
fn a_small_window_looks_behind_what_waits_for_its_key() {
    // Two keys that share a virtual lane.
    let lane = |key: &str| patchbay_bus::key_hash(key) & 255;
    let other = (0..).map(|i| format!("o{i}")).find(|key| lane(key) == lane("x")).unwrap();
    let mut rig = Rig::new();
    let subscription = rig.subscribe(per_key);
    rig.publish_key("x0", "x");
    let bell = Bell::new();
    let mut seat = subscription.seat(1, bell.clone()).unwrap();
    drain(&mut seat, |_| Some(Verdict::Retry(50 * MS)));
    rig.publish_key("x1", "x");
    rig.publish_key("y0", &other);
    assert_eq!(seat.take(1, Park::Yes), Taken::Batch(1), "one is held back, the other is not");
    assert_eq!(text(&seat.deliveries()[0]), "y0");
}

#[test]
fn a_dead_letter_releases_its_key() {
    let mut rig = Rig::new();
    let subscription = rig.subscribe(per_key);
    rig.publish_key("x0", "x");
    rig.publish_key("x1", "x");
    let mut seat = seat(&subscription, 1);
    let seen =
        drain(&mut seat, |delivery| (text(delivery) == "x0").then(|| Verdict::Failed("no".into())));
    assert_eq!(seen, ["x0", "x1"]);
}

#[test]
fn two_seats_never_hold_the_same_key() {
    let mut rig = Rig::new();
    let subscription = rig.subscribe(per_key);
    let mut seats = [seat(&subscription, 1), seat(&subscription, 1)];
    for i in 0..100 {
        rig.publish_key(&format!("{i}"), &format!("{}", i % 3));
    }
    let mut held = Vec::new();
    for seat in &mut seats {
        if let Taken::Batch(_) = seat.take(40, Park::No) {
            held.push(seat.deliveries().iter().map(|d| d.key_hash()).collect::<Vec<_>>());
        }
    }
    assert_eq!(held.len(), 2);
    assert!(held[0].iter().all(|key| !held[1].contains(key)));
}

#[test]
fn a_suspended_call_holds_its_key_also_after_its_window_was_settled() {
    let mut rig = Rig::new();
    let subscription = rig.subscribe(per_key);
    rig.publish_key("x0", "x");
    rig.publish_key("x1", "x");
    rig.publish_key("y0", "y");
    let mut seats = [seat(&subscription, 1), seat(&subscription, 1)];
    let Taken::Batch(n) = seats[0].take(10, Park::No) else { panic!("nothing") };
    let mut token = 0;
    let mut begun = Vec::new();
    for i in 0..n {
        if seats[0].begin(i) == Begin::Go {
            begun.push(text(&seats[0].deliveries()[i]).to_owned());
            if begun.last().unwrap() == "x0" {
                token = seats[0].token(i);
                seats[0].suspend(i);
            }
        }
    }
    begun.sort();
    assert_eq!(begun, ["x0", "y0"], "x1 is passed over");
    seats[0].settle();
    let ledger = subscription.ledger();
    assert_eq!((ledger.done, ledger.in_flight, ledger.queued), (1, 1, 1));
    assert!(drain(&mut seats[1], |_| None).is_empty());
    seats[0].finish(token, None);
    seats[0].settle();
    assert_eq!(drain(&mut seats[1], |_| None), ["x1"]);
    assert_eq!(subscription.ledger().done, 3);
}

#[test]
fn total_order_is_one_at_a_time_over_all_seats() {
    let mut rig = Rig::new();
    let subscription = rig.subscribe(|spec| spec.order = Order::Total);
    for i in 0..6 {
        rig.publish_key(&format!("{i}"), ["a", "b"][i % 2]);
    }
    let bell = Bell::new();
    let mut seats = [seat(&subscription, 1), subscription.seat(1, bell.clone()).unwrap()];
    assert_eq!(seats[0].take(2, Park::No), Taken::Batch(2));
    assert!(matches!(seats[1].take(2, Park::Yes), Taken::Empty { .. }));
    seats[0].begin(0);
    seats[0].record(0, Verdict::Retry(20 * MS));
    assert_eq!(seats[0].begin(1), Begin::Skip);
    seats[0].settle();
    assert!(matches!(seats[0].take(2, Park::No), Taken::Empty { .. }), "all wait for the first");
    rig.advance(30);
    assert!(bell.rung() > 0);
    assert_eq!(drain(&mut seats[1], |_| None), ["0", "1", "2", "3", "4", "5"]);
}

#[test]
fn messages_without_a_key_are_spread_and_wait_for_nobody() {
    let mut rig = Rig::new();
    let subscription = rig.subscribe(per_key);
    for i in 0..200 {
        rig.publish(&format!("{i}"));
    }
    let mut seats = [seat(&subscription, 1), seat(&subscription, 1)];
    let sizes: Vec<_> = seats.iter_mut().map(|seat| seat.take(100, Park::No)).collect();
    assert_eq!(sizes, [Taken::Batch(100), Taken::Batch(50)], "one virtual lane has them all");
    seats[0].begin(0);
    seats[0].record(0, Verdict::Retry(1_000 * MS));
    assert_eq!(seats[0].begin(1), Begin::Go);
}

#[test]
fn the_key_may_come_from_a_header_or_a_function() {
    for source in [
        KeySource::Header("customer".into()),
        KeySource::Computed(std::sync::Arc::new(|message| {
            patchbay_bus::key_hash(message.header("customer").unwrap_or_default())
        })),
    ] {
        let mut rig = Rig::new();
        let subscription = rig.subscribe(|spec| {
            per_key(spec);
            spec.key = source;
        });
        let headers = [("Customer", "7")];
        let outgoing = Outgoing { topic: "t", headers: &headers, ..Outgoing::default() };
        rig.publisher.publish(outgoing).unwrap();
        rig.publish_key("own", "k");
        let keys = [patchbay_bus::key_hash("7"), patchbay_bus::key_hash("k")];
        let mut found = Vec::new();
        drain(&mut seat(&subscription, 1), |delivery| {
            found.push(delivery.key_hash());
            None
        });
        found.sort();
        assert!(keys.iter().all(|key| found.contains(key)));
    }
}

#[test]
fn a_key_that_runs_at_a_cutover_waits_for_its_old_call() {
    let mut rig = Rig::new();
    let subscription = rig.subscribe(per_key);
    let (mut old, mut new) = (seat(&subscription, 1), seat(&subscription, 2));
    for i in 0..3 {
        rig.publish_key(&format!("x{i}"), "x");
    }
    rig.publish_key("y0", "y");
    assert_eq!(old.take(10, Park::No), Taken::Batch(4));
    let x0 = (0..4).position(|i| text(&old.deliveries()[i]) == "x0").unwrap();
    for i in 0..=x0 {
        assert_eq!(old.begin(i), Begin::Go);
    }
    let begun = subscription.set_split(Split::all(2));
    assert_eq!(begun.len(), x0 + 1);
    assert_eq!(old.begin(x0 + 1), Begin::Stop);
    let seen = drain(&mut new, |_| None);
    assert!(!seen.iter().any(|payload| payload.starts_with('x')), "{seen:?}");
    rig.publish_key("x3", "x");
    assert!(drain(&mut new, |_| None).is_empty());
    old.settle();
    assert_eq!(drain(&mut new, |_| None), ["x1", "x2", "x3"]);
    assert_eq!(subscription.ledger().done, 5);
}
