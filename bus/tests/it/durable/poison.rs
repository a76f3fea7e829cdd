//! A message that kills the process stops, and takes nobody with it (promise P-15).

use std::collections::{BTreeMap, BTreeSet};

use patchbay_bus::{Begin, DeadCause, Fault, FaultClass, Park, Taken};

use super::*;

/// Works with eight lanes in turn until one touches poison, or everything is settled. Returns whether
/// the process died.
fn work(
    life: &mut Life,
    poison: &BTreeSet<String>,
    done: &mut BTreeMap<String, u32>,
    last: &mut BTreeMap<String, u32>,
) -> bool {
    let subscription = life.subscribe("t", |_| {});
    let mut seats: Vec<Seat> = (0..8).map(|_| seat(&subscription, 1)).collect();
    for _ in 0..100_000 {
        let mut idle = true;
        for seat in &mut seats {
            let Taken::Batch(n) = seat.take(16, Park::No) else { continue };
            idle = false;
            for i in 0..n {
                assert_eq!(seat.begin(i), Begin::Go);
                let delivery = &seat.deliveries()[i];
                let payload = text(delivery).to_owned();
                let before = last.insert(payload.clone(), delivery.attempt()).unwrap_or(0);
                assert!(delivery.attempt() > before, "attempts of {payload} fell");
                if poison.contains(&payload) {
                    return true;
                }
                *done.entry(payload).or_default() += 1;
            }
        }
        if idle && subscription.ledger().unsettled() == 0 {
            drop(seats);
            life.flush();
            return false;
        }
    }
    panic!("nothing moves: {:?}", subscription.ledger());
}

fn run(n: usize, poison: &[usize]) {
    let mut life = Life::first();
    life.subscribe("t", |_| {});
    life.flush();
    life = life.die();
    let payloads: Vec<String> = (0..n).map(|i| format!("{i:05}")).collect();
    for chunk in payloads.chunks(500) {
        let batch: Vec<_> = chunk
            .iter()
            .map(|payload| patchbay_bus::Outgoing {
                topic: "t",
                payload: payload.as_bytes(),
                ..Default::default()
            })
            .collect();
        let (_, error) = life.publisher.publish_batch(&batch);
        assert!(error.is_none(), "{error:?}");
    }
    let poison: BTreeSet<String> = poison.iter().map(|i| payloads[*i].clone()).collect();
    let (mut done, mut last) = (BTreeMap::new(), BTreeMap::new());
    let mut deaths = 0;
    while work(&mut life, &poison, &mut done, &mut last) {
        deaths += 1;
        assert!(deaths <= 4 * poison.len(), "{deaths} deaths");
        life = life.die();
    }
    let letters = life.broker.dead_letters().after(0, 99);
    let dead: BTreeSet<String> = letters
        .iter()
        .map(|letter| String::from_utf8(letter.message.payload().to_vec()).unwrap())
        .collect();
    assert_eq!(dead, poison, "nobody else");
    assert!(letters.iter().all(|letter| letter.cause == DeadCause::Poison));
    assert!(letters.iter().all(|letter| letter.failures == 3));
    assert_eq!(done.len(), n - poison.len());
    let subscription = &life.broker.subscriptions()[0];
    let ledger = subscription.ledger();
    assert!(ledger.balanced());
    assert_eq!((ledger.done as usize, ledger.dead as usize), (n - poison.len(), poison.len()));
}

#[test]
fn one_poison_among_ten_thousand_stops_within_four_deaths() {
    run(10_000, &[5_000]);
}

#[test]
fn two_poisons_in_one_window_stop_and_take_nobody_with_them() {
    run(200, &[17, 20]);
}

#[test]
fn a_death_with_one_attempt_out_names_it_at_once() {
    let mut life = Life::first();
    life.subscribe("t", |_| {});
    life.publish("a");
    life = life.die();
    for deaths in 1..=3 {
        let subscription = life.subscribe("t", |_| {});
        let mut seat = seat(&subscription, 1);
        assert_eq!(seat.take(9, Park::No), Taken::Batch(1), "death {deaths}");
        seat.begin(0);
        assert_eq!(seat.deliveries()[0].attempt(), deaths);
        life = life.die();
    }
    let letter = life.broker.dead_letters().after(0, 9).remove(0);
    assert_eq!((letter.cause, letter.attempts, letter.failures), (DeadCause::Poison, 3, 3));
}

#[test]
fn while_a_suspect_is_out_nothing_else_is() {
    let mut life = Life::first();
    let both = [life.subscribe("t", |_| {}), life.subscribe("u.a", |_| {})];
    life.publish("a");
    life.publish("b");
    let mut old = seat(&both[0], 1);
    assert_eq!(old.take(9, Park::No), Taken::Batch(2));
    old.begin(0);
    let mut life = life.die();
    let suspected = life.subscribe("t", |_| {});
    let other = life.subscribe("u.a", |_| {});
    life.publisher
        .publish(patchbay_bus::Outgoing { topic: "u.a", payload: b"x", ..Default::default() })
        .unwrap();
    let bells = [Bell::new(), Bell::new()];
    let mut lanes =
        [suspected.seat(1, bells[0].clone()).unwrap(), suspected.seat(1, Bell::new()).unwrap()];
    let mut elsewhere = other.seat(1, bells[1].clone()).unwrap();
    for expected in ["a", "b"] {
        assert_eq!(lanes[0].take(9, Park::Yes), Taken::Batch(1));
        lanes[0].begin(0);
        assert_eq!(text(&lanes[0].deliveries()[0]), expected);
        assert!(matches!(lanes[1].take(9, Park::Yes), Taken::Empty { .. }));
        assert!(matches!(elsewhere.take(9, Park::Yes), Taken::Empty { .. }));
        bells[1].rung();
        lanes[0].settle();
        assert!(bells[1].rung() > 0, "whoever rests is told");
    }
    assert_eq!(drain(&mut elsewhere, |_| None), ["x"]);
    assert_eq!(ledger_of(&suspected), (2, 0, 0, 2));
}

#[test]
fn suspects_of_a_plugin_that_does_not_come_back_hold_nobody_up() {
    let mut life = Life::first();
    let both = [life.subscribe("t", |_| {}), life.subscribe("u.a", |_| {})];
    life.publish("a");
    life.publish("b");
    let mut old = seat(&both[0], 1);
    old.take(9, Park::No);
    let mut life = life.die();
    let other = life.subscribe("u.a", |_| {});
    life.publisher
        .publish(patchbay_bus::Outgoing { topic: "u.a", payload: b"x", ..Default::default() })
        .unwrap();
    assert_eq!(drain(&mut seat(&other, 1), |_| None), ["x"]);
}

#[test]
fn nobody_is_charged_with_a_death_that_may_have_been_another_one() {
    let mut life = Life::first();
    let subscription = life.subscribe("t", |_| {});
    life.publish("a");
    life.publish("b");
    let mut old = seat(&subscription, 1);
    assert_eq!(old.take(9, Park::No), Taken::Batch(2));
    old.begin(0);
    let life = life.die();
    let subscription = life.subscribe("t", |spec| spec.retry.max_failures = 1);
    let fault = Fault { class: FaultClass::Transient, text: "no".into() };
    let seen = drain(&mut seat(&subscription, 1), |_| Some(Verdict::Fault(fault.clone())));
    assert_eq!(seen, ["a", "b"]);
    let ledger = subscription.ledger();
    assert_eq!((ledger.dead, ledger.delayed), (0, 2), "one failure each");
}
