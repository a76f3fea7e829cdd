//! The four statuses, failures, and what follows.

use std::time::Duration;

use patchbay_bus::{
    Begin, DeadCause, DropReason, FORWARDED_BY, Fault, FaultClass, Message, OnError, Outgoing,
    Overflow, Park, Split, Taken, Verdict,
};

use crate::support::*;

fn fault(class: FaultClass) -> Verdict {
    Verdict::Fault(Fault { class, text: "boom\n".into() })
}

fn forward(topic: &str, message: &Message) -> Option<Verdict> {
    Some(Verdict::Forward { topic: topic.into(), message: message.clone() })
}

#[test]
fn an_acknowledged_message_is_done_and_seen_once() {
    let mut rig = Rig::new();
    let subscription = rig.subscribe(|_| {});
    rig.publish("a");
    rig.publish("b");
    let mut seat = seat(&subscription, 1);
    let seen = drain(&mut seat, |delivery| {
        assert_eq!(delivery.attempt(), 1);
        None
    });
    assert_eq!(seen, ["a", "b"]);
    let ledger = subscription.ledger();
    assert_eq!((ledger.accepted, ledger.done), (2, 2));
}

#[test]
fn retry_later_is_never_early_and_every_delay_is_clamped() {
    for (asked, at_least, at_most) in
        [(0, 10, 13), (u64::MAX, 3_600_000, 3_600_003), (500 * MS, 500, 503)]
    {
        let mut rig = Rig::new();
        let subscription = rig.subscribe(|_| {});
        rig.publish("a");
        let mut seat = seat(&subscription, 1);
        drain(&mut seat, |_| Some(Verdict::Retry(asked)));
        rig.advance(at_least - 1);
        assert!(drain(&mut seat, |_| None).is_empty(), "{asked}: early");
        rig.advance(at_most - at_least + 1);
        let again = drain(&mut seat, |delivery| {
            assert_eq!(delivery.attempt(), 2);
            None
        });
        assert_eq!(again, ["a"], "{asked}: late");
        let ledger = subscription.ledger();
        assert_eq!((ledger.done, ledger.retried), (1, 1));
    }
}

#[test]
fn failed_is_a_dead_letter_at_once_with_its_reason() {
    let mut rig = Rig::new();
    let subscription = rig.subscribe(|_| {});
    rig.publish("a");
    drain(&mut seat(&subscription, 1), |_| Some(Verdict::Failed("no\tway".into())));
    let letters = rig.broker.dead_letters().after(0, 10);
    let [letter] = &*letters else { panic!("{letters:?}") };
    assert_eq!((letter.reason.as_str(), letter.cause), ("no\\tway", DeadCause::Failed));
    assert_eq!((letter.attempts, letter.failures), (1, 0));
    assert_eq!(letter.message.payload(), b"a");
    assert_eq!(subscription.ledger().dead, 1);
}

#[test]
fn a_handler_that_always_fails_gets_six_attempts_and_the_last_five_are_remembered() {
    let mut rig = Rig::new();
    let subscription = rig.subscribe(|_| {});
    rig.publish("a");
    let mut seat = seat(&subscription, 1);
    let mut attempts = Vec::new();
    for _ in 0..20 {
        drain(&mut seat, |delivery| {
            attempts.push(delivery.attempt());
            Some(fault(FaultClass::Panic))
        });
        rig.advance(4_000);
    }
    assert_eq!(attempts, [1, 2, 3, 4, 5, 6]);
    let letter = rig.broker.dead_letters().after(0, 1).remove(0);
    assert_eq!((letter.cause, letter.failures, letter.attempts), (DeadCause::Failures, 6, 6));
    let history: Vec<_> = letter.history.iter().map(|failure| failure.attempt).collect();
    assert_eq!(history, [2, 3, 4, 5, 6]);
    let last = letter.history.last().unwrap();
    assert_eq!((last.generation, last.class), (1, Some(FaultClass::Panic)));
    assert_eq!(last.reason, "boom\\n");
    assert_eq!(subscription.ledger().retried, 5);
}

#[test]
fn retry_later_is_never_charged_and_ends_at_max_attempts() {
    let mut rig = Rig::new();
    let subscription = rig.subscribe(|spec| spec.retry.max_attempts = 7);
    rig.publish("a");
    let mut seat = seat(&subscription, 1);
    let mut handed = 0;
    for _ in 0..20 {
        handed += drain(&mut seat, |_| Some(Verdict::Retry(0))).len();
        rig.advance(20);
    }
    assert_eq!(handed, 7);
    let letter = rig.broker.dead_letters().after(0, 1).remove(0);
    assert_eq!((letter.cause, letter.failures), (DeadCause::Attempts, 0));
}

#[test]
fn on_error_dead_letter_gives_no_second_attempt() {
    let mut rig = Rig::new();
    let subscription = rig.subscribe(|spec| spec.retry.on_error = OnError::DeadLetter);
    rig.publish("a");
    drain(&mut seat(&subscription, 1), |_| Some(fault(FaultClass::Transient)));
    assert_eq!(subscription.ledger().dead, 1);
}

#[test]
fn forward_publishes_and_settles_with_one_more_hop_and_the_same_payload() {
    let mut rig = Rig::new();
    let first = rig.subscribe(|_| {});
    let second = subscribe(&rig.broker, "next.*", |_| {});
    second.set_split(Split::all(1));
    let mut tap = rig.broker.tap(patchbay_wire::TopicPattern::parse("last").unwrap(), 1);
    let headers = [("content-type", "text/plain")];
    let outgoing = Outgoing {
        topic: "t",
        key: "k",
        headers: &headers,
        payload: &[7; 500],
        ..Outgoing::default()
    };
    rig.publisher.publish(outgoing).unwrap();
    let mut bytes = std::ptr::null();
    drain(&mut seat(&first, 1), |delivery| {
        bytes = delivery.message().payload().as_ptr();
        forward("next.one", delivery.message())
    });
    assert_eq!(first.ledger().forwarded, 1);
    drain(&mut seat(&second, 1), |delivery| {
        let message = delivery.message();
        assert_eq!(message.payload().as_ptr(), bytes, "shared, not copied");
        assert_eq!((message.hops(), message.topic(), message.key()), (1, "next.one", "k"));
        assert_eq!(message.header("Content-Type"), Some("text/plain"));
        assert_eq!(message.header(FORWARDED_BY), Some("plugin"));
        forward("last", message)
    });
    assert_eq!(second.ledger().forwarded, 1);
    assert_eq!(tap.try_recv().unwrap().header(FORWARDED_BY), Some("plugin,plugin"));
}

#[test]
fn forward_to_itself_ends_at_the_hop_limit_in_the_dead_letters() {
    let mut rig = Rig::new();
    let subscription = rig.subscribe(|_| {});
    rig.publish("a");
    let seen = drain(&mut seat(&subscription, 1), |delivery| forward("t", delivery.message()));
    assert_eq!(seen.len(), 17);
    let ledger = subscription.ledger();
    assert_eq!((ledger.forwarded, ledger.dead), (16, 1));
    let letter = rig.broker.dead_letters().after(0, 1).remove(0);
    assert_eq!((letter.cause, letter.reason.as_str()), (DeadCause::HopLimit, "hop_limit"));
    assert_eq!(letter.message.hops(), 16);
}

#[test]
fn forward_to_an_invalid_topic_is_a_failure() {
    let mut rig = Rig::new();
    let subscription = rig.subscribe(|spec| spec.retry.max_failures = 0);
    rig.publish("a");
    drain(&mut seat(&subscription, 1), |delivery| forward("no..topic", delivery.message()));
    let letter = rig.broker.dead_letters().after(0, 1).remove(0);
    assert_eq!(letter.history[0].class, Some(FaultClass::Invalid));
    assert!(letter.reason.contains("no..topic"), "{}", letter.reason);
}

#[test]
fn forward_to_a_full_queue_waits_uncharged_and_gets_there() {
    let mut rig = Rig::new();
    let first = rig.subscribe(|_| {});
    let second = subscribe(&rig.broker, "full", |spec| spec.limits.count = 1);
    second.set_split(Split::all(1));
    rig.publisher.publish(Outgoing { topic: "full", ..Outgoing::default() }).unwrap();
    rig.publish("a");
    let mut seat_one = seat(&first, 1);
    for _ in 0..12 {
        drain(&mut seat_one, |delivery| forward("full", delivery.message()));
        rig.advance(60_001);
    }
    assert_eq!(first.ledger().unsettled(), 1, "twelve refusals are no failure");
    assert_eq!(rig.broker.dead_letters().len(), 0);
    drain(&mut seat(&second, 1), |_| None);
    rig.advance(60_001);
    drain(&mut seat_one, |delivery| forward("full", delivery.message()));
    assert_eq!(first.ledger().forwarded, 1);
}

#[test]
fn an_expired_message_is_dropped_and_counted_not_handed_off() {
    let mut rig = Rig::new();
    let subscription = rig.subscribe(|_| {});
    let clock = rig.broker.clock().clone();
    let expires_ns = clock.unix_ns() + 50 * MS;
    rig.publisher.publish(Outgoing { topic: "t", expires_ns, ..Outgoing::default() }).unwrap();
    rig.publish("b");
    rig.advance(50);
    assert_eq!(drain(&mut seat(&subscription, 1), |_| None), ["b"]);
    let ledger = subscription.ledger();
    assert_eq!((ledger.dropped.count(DropReason::Expired), ledger.done), (1, 1));
    assert!(ledger.balanced());
}

#[test]
fn a_breaker_opens_on_failures_probes_once_a_second_and_charges_nothing_meanwhile() {
    let mut rig = Rig::new();
    let subscription = rig.subscribe(|_| {});
    for i in 0..100 {
        rig.publish(&format!("{i}"));
    }
    let mut seat = seat(&subscription, 1);
    let mut handed = 0;
    while let patchbay_bus::Taken::Batch(n) = seat.take(10, patchbay_bus::Park::No) {
        for i in 0..n {
            assert_eq!(seat.begin(i), patchbay_bus::Begin::Go);
            seat.record(i, fault(FaultClass::Transient));
            handed += 1;
        }
    }
    assert_eq!(handed, 50);
    assert!(subscription.is_tripped());
    for _ in 0..40 {
        rig.advance(1_000);
        let probes = drain(&mut seat, |_| Some(fault(FaultClass::Transient)));
        assert!(probes.len() <= 1, "{probes:?}");
    }
    assert_eq!(rig.broker.dead_letters().len(), 0, "nothing is charged while it is open");
    rig.advance(2_000);
    for _ in 0..100 {
        drain(&mut seat, |_| None);
        rig.advance(1_000);
    }
    let ledger = subscription.ledger();
    assert_eq!((ledger.done, ledger.unsettled()), (100, 0));
}

#[test]
fn lanes_that_rest_at_an_open_breaker_are_woken_when_it_closes() {
    let mut rig = Rig::new();
    let subscription = rig.subscribe(|spec| spec.retry.backoff_max = Duration::ZERO);
    for i in 0..60 {
        rig.publish(&format!("{i}"));
    }
    let mut one = seat(&subscription, 1);
    for _ in 0..5 {
        let Taken::Batch(n) = one.take(10, Park::No) else { panic!("nothing") };
        for i in 0..n {
            one.begin(i);
            one.record(i, fault(FaultClass::Transient));
        }
    }
    let bell = Bell::new();
    let mut two = subscription.seat(1, bell.clone()).unwrap();
    one.settle();
    assert!(subscription.is_tripped());
    assert!(matches!(two.take(10, Park::Yes), Taken::Empty { .. }));
    rig.advance(1_100);
    assert!(bell.rung() > 0, "for the probe");
    assert_eq!(one.take(10, Park::Yes), Taken::Batch(1));
    assert!(matches!(two.take(10, Park::Yes), Taken::Empty { .. }));
    one.begin(0);
    assert!(matches!(one.take(10, Park::Yes), Taken::Batch(_)));
    assert!(bell.rung() > 0, "for the rest");
    assert!(matches!(two.take(10, Park::Yes), Taken::Batch(_)));
}

#[test]
fn a_forward_of_a_revoked_call_is_not_published() {
    for suspended in [false, true] {
        let mut rig = Rig::new();
        let subscription = rig.subscribe(|_| {});
        let target = subscribe(&rig.broker, "next", |_| {});
        rig.publish("a");
        let mut seat = seat(&subscription, 1);
        seat.take(1, Park::No);
        assert_eq!(seat.begin(0), Begin::Go);
        let message = seat.deliveries()[0].message().clone();
        let token = seat.token(0);
        if suspended {
            seat.suspend(0);
            seat.settle();
        }
        subscription.revoke(seat.id(), &[]);
        if suspended {
            seat.finish(token, forward("next", &message));
        } else {
            seat.record(0, forward("next", &message).unwrap());
        }
        assert_eq!(seat.take(1, Park::No), Taken::Closed);
        assert_eq!((target.ledger().accepted, subscription.ledger().stale), (0, 1));
    }
}

#[test]
fn a_closed_intake_lets_chains_run_to_their_end() {
    let mut rig = Rig::new();
    let subscription = rig.subscribe(|_| {});
    let target = subscribe(&rig.broker, "next", |_| {});
    rig.publish("a");
    rig.broker.close_intake();
    let late = rig.publisher.publish(Outgoing { topic: "t", ..Outgoing::default() });
    assert!(matches!(late, Err(patchbay_bus::PublishError::Closed)));
    let mut inner = rig.broker.publisher("plugin");
    drain(&mut seat(&subscription, 1), |delivery| {
        let cause = Some(delivery.message());
        inner.publish(Outgoing { topic: "next", cause, ..Outgoing::default() }).unwrap();
        forward("next", delivery.message())
    });
    assert_eq!(target.ledger().accepted, 2);
}

#[test]
fn retries_after_failures_are_limited_and_none_is_lost() {
    let mut rig = Rig::new();
    let subscription = rig.subscribe(|spec| spec.breaker = None);
    for i in 0..200 {
        rig.publish(&format!("{i}"));
    }
    let mut seat = seat(&subscription, 1);
    drain(&mut seat, |_| Some(fault(FaultClass::Transient)));
    // 200 first attempts allow 40 retries, ten are there from the start, time earns ten a second.
    rig.clock.advance(Duration::from_millis(1_000));
    rig.broker.tick();
    let retried = drain(&mut seat, |_| None).len();
    assert!((50..=60).contains(&retried), "{retried}");
    assert_eq!(subscription.ledger().delayed as usize, 200 - retried);
    for _ in 0..200 {
        rig.advance(100);
        drain(&mut seat, |_| None);
    }
    assert_eq!(subscription.ledger().done, 200);
}

#[test]
fn a_handler_that_publishes_into_its_own_full_queue_is_told_and_nothing_deadlocks() {
    for overflow in [Overflow::Reject, Overflow::Block] {
        let mut rig = Rig::new();
        let subscription = rig.subscribe(|spec| {
            spec.limits.count = 2;
            spec.overflow = overflow;
        });
        rig.publish("a");
        let mut inner = rig.broker.publisher("plugin");
        let mut refused = 0;
        drain(&mut seat(&subscription, 1), |delivery| {
            if text(delivery) == "a" {
                for _ in 0..5 {
                    let cause = Some(delivery.message());
                    let more = Outgoing { topic: "t", payload: b"b", cause, ..Outgoing::default() };
                    match inner.publish(more) {
                        Ok(_) => {}
                        Err(patchbay_bus::PublishError::Full { .. }) => refused += 1,
                        Err(other) => panic!("{other}"),
                    }
                }
            }
            None
        });
        assert_eq!(refused, 3);
        assert_eq!(subscription.ledger().done, 3);
    }
}

#[test]
fn a_chain_of_publishes_from_handlers_ends_at_the_hop_limit() {
    let mut rig = Rig::new();
    let subscription = rig.subscribe(|_| {});
    rig.publish("a");
    let mut inner = rig.broker.publisher("plugin");
    let mut refusal = None;
    drain(&mut seat(&subscription, 1), |delivery| {
        let cause = Some(delivery.message());
        let again = Outgoing { topic: "t", payload: b"a", cause, ..Outgoing::default() };
        refusal = inner.publish(again).err();
        None
    });
    assert!(matches!(refusal, Some(patchbay_bus::PublishError::HopLimit { hops: 17, .. })));
    assert_eq!(subscription.ledger().done, 17);
}
