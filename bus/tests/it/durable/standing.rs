//! What is known of a delivery that was tried, over restarts: counts, order, delays.

use std::time::Duration;

use patchbay_bus::{
    Begin, DropReason, Fault, FaultClass, Order, Outgoing, Park, QueueLimits, Taken, Verdict,
};

use super::*;

fn fault(_: &Delivery) -> Option<Verdict> {
    Some(Verdict::Fault(Fault { class: FaultClass::Transient, text: "no".into() }))
}

#[test]
fn attempts_and_failures_go_on_where_they_were() {
    let mut life = Life::first();
    life.subscribe("t", |_| {});
    life.publish("a");
    life = life.die();
    for failures in 0..6 {
        let subscription = life.subscribe("t", |_| {});
        let mut seat = seat(&subscription, 1);
        life.advance(60_000);
        let seen = attempts(&mut seat, fault);
        assert_eq!(seen, [("a".to_owned(), failures + 1)], "after {failures} failures");
        if failures == 5 {
            let letter = life.broker.dead_letters().after(0, 9).remove(0);
            assert_eq!((letter.attempts, letter.failures, letter.history.len()), (6, 6, 5));
            return;
        }
        drop(seat);
        life.flush();
        life = life.die();
    }
}

#[test]
fn an_attempt_that_a_death_cut_off_counts_and_what_had_not_begun_does_not() {
    let mut life = Life::first();
    let subscription = life.subscribe("t", |_| {});
    for payload in ["a", "b", "c"] {
        life.publish(payload);
    }
    let mut old = seat(&subscription, 1);
    assert_eq!(old.take(3, Park::No), Taken::Batch(3));
    assert_eq!(old.begin(0), Begin::Go);
    // What was not begun is taken back, and that is known.
    subscription.set_split(Split::all(2));
    life.flush();
    let life = life.die();
    let subscription = life.subscribe("t", |_| {});
    let mut seen = attempts(&mut seat(&subscription, 1), |_| None);
    seen.sort();
    assert_eq!(seen, [("a".into(), 2), ("b".into(), 1), ("c".into(), 1)]);
    assert_eq!(ledger_of(&subscription), (3, 0, 0, 3));
}

#[test]
fn a_delay_is_kept_and_no_step_of_the_wall_makes_it_longer() {
    // (step of the wall while the host is down, when it must be there at the latest)
    for (step_ms, rest_ms) in
        [(0i64, 30_000u64), (10_000, 20_000), (600_000, 0), (-600_000, 60_000)]
    {
        let mut life = Life::first();
        let subscription = life.subscribe("t", |_| {});
        life.publish("a");
        drain(&mut seat(&subscription, 1), |_| Some(Verdict::Retry(60_000 * MS)));
        life.advance(30_000);
        life.flush();
        life.clock.step_wall(step_ms * MS as i64);
        let life = life.die();
        let subscription = life.subscribe("t", |_| {});
        let mut seat = seat(&subscription, 1);
        if rest_ms > 0 {
            life.advance(rest_ms - 5);
            assert!(drain(&mut seat, |_| None).is_empty(), "early after a step of {step_ms} ms");
            life.advance(10);
        }
        assert_eq!(attempts(&mut seat, |_| None), [("a".into(), 2)], "{step_ms}");
    }
}

#[test]
fn a_start_in_the_future_is_kept_too_and_an_expiry_that_passed_meanwhile_counts() {
    let mut life = Life::first();
    let subscription = life.subscribe("t", |_| {});
    let now = life.clock.unix_ns();
    let later = Outgoing {
        topic: "t",
        payload: b"later",
        not_before_ns: now + 5_000 * MS,
        ..Outgoing::default()
    };
    life.publisher.publish(later).unwrap();
    let short = Outgoing {
        topic: "t",
        payload: b"short",
        expires_ns: now + 1_000 * MS,
        ..Outgoing::default()
    };
    life.publisher.publish(short).unwrap();
    assert!(subscription.ledger().balanced());
    let life = life.die();
    let subscription = life.subscribe("t", |_| {});
    let mut seat = seat(&subscription, 1);
    life.advance(2_000);
    assert!(drain(&mut seat, |_| None).is_empty());
    let ledger = subscription.ledger();
    assert_eq!((ledger.delayed, ledger.dropped.count(DropReason::Expired)), (1, 1), "{ledger:?}");
    life.advance(3_005);
    assert_eq!(drain(&mut seat, |_| None), ["later"]);
    life.flush();
    let life = life.die();
    let ledger = life.subscribe("t", |_| {}).ledger();
    assert_eq!((ledger.accepted, ledger.unsettled()), (2, 0));
}

#[test]
fn a_delayed_message_holds_its_key_back_over_a_restart() {
    let mut life = Life::first();
    let subscription = life.subscribe("t", per_key);
    for (payload, key) in [("a0", "a"), ("b0", "b"), ("a1", "a"), ("b1", "b")] {
        life.publish_key(payload, key);
    }
    let mut old = seat(&subscription, 1);
    let first =
        drain(&mut old, |delivery| (text(delivery) == "a0").then_some(Verdict::Retry(1000 * MS)));
    assert_eq!(first.iter().filter(|payload| payload.starts_with('a')).count(), 1);
    drop(old);
    life.flush();
    let mut life = life.die();
    life.publish_key("a2", "a");
    let subscription = life.subscribe("t", per_key);
    life.publish_key("a3", "a");
    let mut seat = seat(&subscription, 1);
    assert!(drain(&mut seat, |_| None).is_empty());
    life.advance(1_100);
    assert_eq!(drain(&mut seat, |_| None), ["a0", "a1", "a2", "a3"]);
    assert_eq!(ledger_of(&subscription), (6, 0, 0, 6));
}

#[test]
fn the_order_of_every_key_survives_a_death_in_the_middle() {
    let mut life = Life::first();
    life.subscribe("t", |spec| spec.order = Order::PerKey);
    let small = |spec: &mut SubscriptionSpec| {
        spec.order = Order::PerKey;
        spec.limits = QueueLimits { count: 8, bytes: 1 << 20 };
    };
    let (keys, per_key) = (["a", "b", "c", "d"], 30);
    for n in 0..per_key {
        for key in keys {
            life.publish_key(&format!("{key}{n:02}"), key);
        }
    }
    life = life.die();
    let mut done: Vec<String> = Vec::new();
    for round in 0.. {
        let subscription = life.subscribe("t", small);
        let mut seats = [seat(&subscription, 1), seat(&subscription, 1)];
        let mut state = 77 + round;
        for _ in 0..6 {
            for seat in &mut seats {
                let Taken::Batch(n) = seat.take(3, Park::No) else { continue };
                for i in 0..n {
                    if seat.begin(i) != Begin::Go {
                        continue;
                    }
                    if random(&mut state).is_multiple_of(4) {
                        seat.record(i, Verdict::Retry(0));
                    } else {
                        done.push(text(&seat.deliveries()[i]).to_owned());
                    }
                }
                seat.settle();
            }
            life.advance(20);
        }
        drop(seats);
        life.flush();
        let ledger = subscription.ledger();
        assert!(ledger.balanced());
        if ledger.unsettled() == 0 {
            break;
        }
        assert!(round < 200, "{ledger:?}");
        life = life.die();
    }
    for key in keys {
        let of_key: Vec<_> = done.iter().filter(|payload| payload.starts_with(key)).collect();
        let expected: Vec<_> = (0..per_key).map(|n| format!("{key}{n:02}")).collect();
        assert_eq!(of_key, expected.iter().collect::<Vec<_>>());
    }
}

#[test]
fn age_is_the_time_that_hosts_have_run() {
    let mut life = Life::first();
    let old = |spec: &mut SubscriptionSpec| spec.retry.max_age = Duration::from_secs(100);
    life.subscribe("t", old);
    life.publish("a");
    life.advance(60_000);
    life.publish("clock");
    // The host is down for a day: nobody has seen that time pass.
    life.clock.step_wall(86_400_000_000_000);
    let life = life.die();
    let subscription = life.subscribe("t", old);
    let mut seat = seat(&subscription, 1);
    drain(&mut seat, |_| Some(Verdict::Retry(0)));
    assert_eq!(subscription.ledger().dead, 0);
    life.advance(50_000);
    drain(&mut seat, |_| Some(Verdict::Retry(0)));
    let letters = life.broker.dead_letters().after(0, 9);
    assert_eq!(letters.len(), 1, "the older one");
    assert_eq!(letters[0].cause, patchbay_bus::DeadCause::Age);
}

#[test]
fn nothing_in_memory_passes_what_waits_in_the_journal_of_an_ordered_queue() {
    let mut life = Life::first();
    life.subscribe(">", |spec| spec.order = Order::Total);
    life.publish("durable");
    let mut life = life.die();
    let subscription = life.subscribe(">", |spec| spec.order = Order::Total);
    let memory = Outgoing { topic: "m", payload: b"memory", ..Outgoing::default() };
    let refused = life.publisher.publish(memory);
    assert!(matches!(refused, Err(patchbay_bus::PublishError::Full { .. })), "{refused:?}");
    let mut seat = seat(&subscription, 1);
    assert_eq!(seat.take(9, Park::No), Taken::Batch(1));
    life.publisher.publish(memory).unwrap();
    seat.begin(0);
    assert_eq!(text(&seat.deliveries()[0]), "durable");
    assert_eq!(drain(&mut seat, |_| None), ["memory"]);
}
