//! Backlogs live in the journal: bounded in memory, in order, exact.

use patchbay_bus::{Outgoing, Park, PublishError, QueueLimits, Taken, Verdict};

use super::*;

fn small(spec: &mut SubscriptionSpec) {
    spec.limits = QueueLimits { count: 32, bytes: 1 << 20 };
}

#[test]
fn a_backlog_beyond_memory_comes_back_whole_and_in_order() {
    let mut life = Life::first();
    let subscription = life.subscribe("t", small);
    let all: Vec<String> = (0..500).map(|n| format!("{n:03}")).collect();
    for payload in &all[..300] {
        life.publish(payload);
    }
    assert_eq!(ledger_of(&subscription), (300, 300, 0, 0));
    let mut seat = seat(&subscription, 1);
    let mut seen = Vec::new();
    let mut later = all[300..].iter();
    while let Taken::Batch(n) = seat.take(20, Park::No) {
        for i in 0..n {
            seat.begin(i);
            seen.push(text(&seat.deliveries()[i]).to_owned());
        }
        // It is published to while it is worked off.
        later.by_ref().take(7).for_each(|payload| life.publish(payload));
    }
    assert_eq!(seen, all);
    assert_eq!(ledger_of(&subscription), (500, 0, 0, 500));
}

#[test]
fn a_queue_that_spills_again_and_again_hands_everything_out_once() {
    let mut life = Life::first();
    let subscription = life.subscribe("t", small);
    let mut seat = seat(&subscription, 1);
    let (mut published, mut seen) = (0, Vec::new());
    for round in 0..12 {
        for _ in 0..[5, 60, 31, 90][round % 4] {
            life.publish(&format!("{published:04}"));
            published += 1;
        }
        if round % 3 == 1 {
            // Some stay in memory when the next ones spill.
            if let Taken::Batch(n) = seat.take(9, Park::No) {
                for i in 0..n {
                    seat.begin(i);
                    seen.push(text(&seat.deliveries()[i]).to_owned());
                }
                seat.settle();
            }
        } else {
            seen.extend(drain(&mut seat, |_| None));
        }
    }
    seen.extend(drain(&mut seat, |_| None));
    assert_eq!(seen, (0..published).map(|n| format!("{n:04}")).collect::<Vec<_>>());
    assert_eq!(ledger_of(&subscription).3, published);
}

#[test]
fn a_backlog_is_worked_off_in_order_over_deaths() {
    let mut life = Life::first();
    let all: Vec<String> = (0..400).map(|n| format!("{n:03}")).collect();
    life.subscribe("t", small);
    all.iter().for_each(|payload| life.publish(payload));
    life = life.die();
    let mut seen = Vec::new();
    loop {
        let subscription = life.subscribe("t", small);
        let mut seat = seat(&subscription, 1);
        for _ in 0..3 {
            let Taken::Batch(n) = seat.take(25, Park::No) else { break };
            (0..n).for_each(|i| {
                seat.begin(i);
                seen.push(text(&seat.deliveries()[i]).to_owned());
            });
        }
        seat.settle();
        drop(seat);
        life.flush();
        let ledger = subscription.ledger();
        assert!(ledger.balanced());
        assert_eq!(ledger.done as usize, seen.len());
        if ledger.unsettled() == 0 {
            break;
        }
        life = life.die();
    }
    assert_eq!(seen, all);
}

#[test]
fn a_sleeping_lane_is_woken_for_what_is_only_in_the_journal() {
    let mut life = Life::first();
    let subscription = life.subscribe("t", |spec| spec.limits.count = 1);
    let bell = Bell::new();
    let mut seat = subscription.seat(1, bell.clone()).unwrap();
    for payload in ["a", "b", "c"] {
        life.publish(payload);
    }
    let mut seen = Vec::new();
    while let Taken::Batch(n) = seat.take(9, Park::Yes) {
        (0..n).for_each(|i| {
            seat.begin(i);
            seen.push(text(&seat.deliveries()[i]).to_owned());
        });
    }
    assert_eq!(seen, ["a", "b", "c"]);
    bell.rung();
    life.publish("d");
    assert_eq!(bell.rung(), 1);
    assert_eq!(drain(&mut seat, |_| None), ["d"]);
}

#[test]
fn a_full_backlog_refuses_the_whole_publish_by_name_and_records_nothing() {
    let mut life = Life::first();
    let fast = [life.subscribe("u.a", small), life.subscribe("u.*", small)];
    let slow = life.subscribe("u.>", |spec| {
        small(spec);
        spec.owner = "slow".into();
        spec.backlog.count = 100;
    });
    let mut seats = [seat(&fast[0], 1), seat(&fast[1], 1)];
    let mut accepted = 0;
    let refused = loop {
        let before = life.disk.operations();
        match life.publisher.publish(Outgoing {
            topic: "u.a",
            payload: b"x",
            ..Outgoing::default()
        }) {
            Ok(published) => assert_eq!(published.routed, 3),
            Err(error) => {
                assert_eq!(life.disk.operations(), before, "no record is written");
                break error;
            }
        }
        accepted += 1;
        // The fast ones are not held up.
        seats.iter_mut().for_each(|seat| assert_eq!(drain(seat, |_| None).len(), 1));
    };
    let PublishError::BacklogFull { subscription } = &refused else { panic!("{refused}") };
    assert_eq!((subscription.owner(), accepted), ("slow", 100));
    assert_eq!(refused.to_string(), "the backlog of `slow` for `u.>` is full");
    assert_eq!(ledger_of(&slow), (100, 100, 0, 0));
    assert_eq!(ledger_of(&fast[0]), (100, 0, 0, 100));
    drain(&mut seat(&slow, 1), |_| None);
    assert!(life.publisher.publish(Outgoing { topic: "u.a", ..Outgoing::default() }).is_ok());
}

#[test]
fn memory_does_not_grow_with_a_backlog() {
    let mut life = Life::first();
    let subscription = life.subscribe("t", small);
    let payload = "x".repeat(100);
    for _ in 0..32 {
        life.publish(&payload);
    }
    let made = life.publisher.envelopes();
    for _ in 0..2_000 {
        life.publish(&payload);
    }
    assert_eq!(life.publisher.envelopes(), made, "what is in the journal holds no envelope");
    let mut seat = seat(&subscription, 1);
    let mut most = 0;
    while let Taken::Batch(n) = seat.take(10, Park::No) {
        (0..n).for_each(|i| {
            seat.begin(i);
        });
        most = most.max(n + subscription.in_memory());
    }
    assert!(most <= 32 + 10, "{most} were in memory at once");
    assert_eq!(ledger_of(&subscription), (2_032, 0, 0, 2_032));
}

#[test]
fn a_hundred_thousand_equal_delays_come_due_after_a_restart() {
    const N: usize = 100_000;
    let mut life = Life::first();
    life.subscribe("t", small);
    let now = life.clock.unix_ns();
    let batch: Vec<Outgoing<'_>> = (0..N)
        .map(|_| Outgoing { topic: "t", not_before_ns: now + 60_000 * MS, ..Outgoing::default() })
        .collect();
    let (accepted, error) = life.publisher.publish_batch(&batch);
    assert!(error.is_none(), "{error:?}");
    assert_eq!(accepted, N);
    let life = life.die();
    let subscription = life.subscribe("t", small);
    let mut seat = seat(&subscription, 1);
    assert!(drain(&mut seat, |_| None).is_empty(), "they are read, and not due");
    assert!(subscription.in_memory() <= 32, "only their places are kept");
    life.advance(59_000);
    assert!(drain(&mut seat, |_| None).is_empty());
    life.advance(1_005);
    assert_eq!(drain(&mut seat, |_| None).len(), N);
    assert_eq!(ledger_of(&subscription), (N as u64, 0, 0, N as u64));
}

#[test]
fn more_delays_than_memory_holds_keep_their_counts() {
    let mut life = Life::first();
    let subscription = life.subscribe("t", small);
    for n in 0..200 {
        life.publish(&format!("{n:03}"));
    }
    let mut old = seat(&subscription, 1);
    assert_eq!(drain(&mut old, |_| Some(Verdict::Retry(1_000 * MS))).len(), 200);
    assert_eq!(subscription.ledger().delayed, 200);
    assert!(subscription.in_memory() <= 32 + 1);
    life.advance(1_005);
    let mut seen = attempts(&mut old, |_| Some(Verdict::Retry(1_000 * MS)));
    seen.sort();
    let expected: Vec<_> = (0..200).map(|n| (format!("{n:03}"), 2)).collect();
    assert_eq!(seen, expected);
    drop(old);
    life.flush();
    let life = life.die();
    let subscription = life.subscribe("t", small);
    life.advance(1_005);
    let seen = attempts(&mut seat(&subscription, 1), |_| None);
    assert_eq!((seen.len(), seen.iter().all(|(_, attempt)| *attempt == 3)), (200, true));
    assert_eq!(ledger_of(&subscription), (200, 0, 0, 200));
}

#[test]
fn memory_full_of_a_key_fetches_the_one_that_all_of_them_wait_for() {
    let tiny = |spec: &mut SubscriptionSpec| {
        per_key(spec);
        spec.limits.count = 2;
    };
    let mut life = Life::first();
    let subscription = life.subscribe("t", tiny);
    for payload in ["k0", "k1", "k2", "k3"] {
        life.publish_key(payload, "k");
    }
    let mut old = seat(&subscription, 1);
    assert_eq!(old.take(1, Park::No), Taken::Batch(1));
    old.begin(0);
    old.record(0, Verdict::Retry(1000 * MS));
    old.settle();
    life.flush();
    drop(old);
    let life = life.die();
    let subscription = life.subscribe("t", tiny);
    let mut seat = seat(&subscription, 1);
    assert!(drain(&mut seat, |_| None).is_empty());
    life.advance(1_100);
    assert_eq!(drain(&mut seat, |_| None), ["k0", "k1", "k2", "k3"]);
}
