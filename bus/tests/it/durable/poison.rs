//! A message that kills the process stops, and takes nobody with it (promise P-15).

use std::collections::{BTreeMap, BTreeSet};

use patchbay_bus::{Accused, Begin, DeadCause, Death, Fault, FaultClass, Park, Taken};
use patchbay_journal::Target;

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

/// A death in a call of one of these, by their ids at the first subscription.
fn death_in(ids: &[u64], others: usize) -> Death {
    let calls = ids.iter().map(|id| Target { sub: 1, id: *id }).collect();
    let whose = (1, "1.2.0".to_owned());
    Death::Accused(Accused { calls, others, how: "by SIGSEGV".into(), whose, is_on_trial: false })
}

/// A subscription with these messages.
fn with_messages(life: &mut Life, payloads: &[&str]) -> Arc<Subscription> {
    let subscription = life.subscribe("t", |_| {});
    payloads.iter().for_each(|payload| life.publish(payload));
    subscription
}

/// Hands out everything at once to one lane, and begins the first of it.
fn hand_out(subscription: &Arc<Subscription>, count: usize) -> Seat {
    let mut seat = seat(subscription, 1);
    assert_eq!(seat.take(99, Park::No), Taken::Batch(count));
    seat.begin(0);
    seat
}

#[test]
fn a_named_culprit_is_poison_after_three_deaths_and_nobody_else_is_run_alone() {
    let mut life = Life::first();
    let subscription = with_messages(&mut life, &["a", "b", "c", "d"]);
    let _lane = hand_out(&subscription, 4);
    // The second: what stood beside it is handed out beside others again.
    life = life.die_of(&death_in(&[1], 0));
    for _ in 0..2 {
        let subscription = life.subscribe("t", |_| {});
        let mut seat = seat(&subscription, 1);
        assert_eq!(seat.take(9, Park::No), Taken::Batch(1), "what was charged is run alone");
        assert_eq!(text(&seat.deliveries()[0]), "b");
        life = life.die_of(&death_in(&[1], 0));
    }
    let letter = life.broker.dead_letters().after(0, 9).remove(0);
    assert_eq!((letter.cause, letter.attempts, letter.failures), (DeadCause::Poison, 3, 3));
    assert!(letter.history.iter().all(|failure| failure.reason == "by SIGSEGV"));
    let whose = letter.history.iter().map(|failure| (failure.generation, &*failure.version));
    assert!(whose.eq([(1, "1.2.0"); 3]), "{letter:?}");
    assert_eq!((letter.generation, &*letter.version), (1, "1.2.0"));
    let seat = hand_out(&life.subscribe("t", |_| {}), 3);
    let attempts: Vec<_> = seat.deliveries().iter().map(|it| (text(it), it.attempt())).collect();
    assert_eq!(attempts, [("a", 2), ("c", 2), ("d", 2)], "handed out once before, and uncharged");
}

#[test]
fn a_death_in_a_version_on_trial_is_not_charged_to_its_message_which_is_run_alone() {
    let mut life = Life::first();
    let subscription = with_messages(&mut life, &["a", "b"]);
    let _lane = hand_out(&subscription, 2);
    let Death::Accused(accused) = death_in(&[0], 0) else { unreachable!("it names a call") };
    let on_trial = Death::Accused(Accused { is_on_trial: true, ..accused });
    for attempt in 2..6 {
        life = life.die_of(&on_trial);
        let subscription = life.subscribe("t", |_| {});
        let mut seat = seat(&subscription, 1);
        assert_eq!(seat.take(9, Park::No), Taken::Batch(1), "alone, however often it was");
        let delivery = &seat.deliveries()[0];
        assert_eq!((text(delivery), delivery.attempt()), ("a", attempt));
        let found = life.broker.whereabouts(delivery.message().id());
        assert_eq!((found[0].attempts, found[0].failures), (attempt, 0));
        seat.begin(0);
    }
    assert!(life.broker.dead_letters().is_empty());
}

#[test]
fn who_was_cleared_is_no_suspect_of_the_next_death_either() {
    let mut life = Life::first();
    let subscription = with_messages(&mut life, &["a", "b"]);
    let _lane = hand_out(&subscription, 2);
    let mut life = life.die_of(&death_in(&[], 1));
    // Nobody comes for them, and nothing is known of the next death.
    life.flush();
    life = life.die();
    hand_out(&life.subscribe("t", |_| {}), 2);
}

#[test]
fn of_several_that_ran_each_is_a_suspect_and_none_is_charged() {
    for (accused, others) in [(&[0, 2][..], 0), (&[0], 1)] {
        let mut life = Life::first();
        let subscription = with_messages(&mut life, &["a", "b", "c"]);
        let _lane = hand_out(&subscription, 3);
        let life = life.die_of(&death_in(accused, others));
        let subscription = life.subscribe("t", |_| {});
        let mut seat = seat(&subscription, 1);
        for _ in accused {
            assert_eq!(seat.take(9, Park::No), Taken::Batch(1));
            assert!(life.broker.dead_letters().after(0, 9).is_empty());
            seat.begin(0);
        }
        assert_eq!(seat.take(9, Park::No), Taken::Batch(3 - accused.len()));
    }
}

#[test]
fn a_death_in_a_call_that_no_journal_knows_makes_nobody_a_suspect() {
    let mut life = Life::first();
    let subscription = with_messages(&mut life, &["a", "b"]);
    let _lane = hand_out(&subscription, 2);
    // What is named was settled, or was never recorded.
    let life = life.die_of(&death_in(&[77], 0));
    let seat = hand_out(&life.subscribe("t", |_| {}), 2);
    assert!(seat.deliveries().iter().all(|it| it.attempt() == 2));
}
