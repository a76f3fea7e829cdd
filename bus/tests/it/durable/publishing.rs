//! Acceptance: levels, atomic fan-out, forwards, repeats.

use patchbay_bus::{Begin, Level, Outgoing, Park, PublishError, Published, Taken, Verdict};

use super::*;

fn to<'a>(topic: &'a str, payload: &'a [u8]) -> Outgoing<'a> {
    Outgoing { topic, payload, ..Outgoing::default() }
}

#[test]
fn the_reply_names_the_level_and_a_number_without_gaps() {
    let mut life = Life::first();
    let _t = life.subscribe("t", |_| {});
    let _p = life.subscribe("p", |_| {});
    let first = life.publisher.publish(to("t", b"a")).unwrap();
    let second = life.publisher.publish(to("p", b"b")).unwrap();
    let third = life.publisher.publish(to("m", b"c")).unwrap();
    assert_eq!(
        (first.level, second.level, third.level),
        (Level::Disk, Level::Process, Level::Memory)
    );
    assert_eq!(second.seq.unwrap(), first.seq.unwrap() + 1);
    assert_eq!((first.routed, third.seq, third.routed), (1, None, 0));
    let raised = Outgoing { level: Some(Level::Disk), ..to("p", b"d") };
    assert_eq!(life.publisher.publish(raised).unwrap().level, Level::Disk);
}

#[test]
fn what_was_accepted_survives_a_death_and_what_was_done_stays_done() {
    let mut life = Life::first();
    let subscription = life.subscribe("t", |_| {});
    for payload in ["a", "b", "c"] {
        life.publish(payload);
    }
    let mut seat = seat(&subscription, 1);
    assert_eq!(seat.take(1, Park::No), Taken::Batch(1));
    assert_eq!(seat.begin(0), Begin::Go);
    seat.settle();
    life.flush();
    let life = life.die();
    let found = &life.broker.subscriptions()[0];
    assert_eq!(ledger_of(found), (3, 2, 0, 1), "it is there before anybody comes for it");
    let subscription = life.subscribe("t", |_| {});
    assert_eq!(life.broker.subscriptions().len(), 1);
    assert_eq!(drain(&mut crate::support::seat(&subscription, 1), |_| None), ["b", "c"]);
    assert_eq!(ledger_of(&subscription), (3, 0, 0, 3));
}

#[test]
fn power_takes_what_was_only_written_and_nothing_that_was_flushed() {
    let mut life = Life::first();
    let subscription = life.subscribe(">", |_| {});
    life.publisher.publish(to("t", b"flushed")).unwrap();
    life.publisher.publish(to("p", b"written")).unwrap();
    assert_eq!(ledger_of(&subscription).0, 2);
    let life = life.lose_power();
    let subscription = life.subscribe(">", |_| {});
    assert_eq!(drain(&mut seat(&subscription, 1), |_| None), ["flushed"]);
}

#[test]
fn nothing_is_handed_out_or_counted_before_it_has_its_level() {
    let mut life = Life::first();
    let subscription = life.subscribe("t", |_| {});
    let bell = Bell::new();
    let mut seat = subscription.seat(1, bell.clone()).unwrap();
    let pending = life.publisher.submit(to("t", b"a")).unwrap();
    assert!(matches!(seat.take(9, Park::Yes), Taken::Empty { .. }));
    assert_eq!(ledger_of(&subscription).0, 0);
    assert!(pending.poll_result().is_none());
    assert_eq!(pending.wait().unwrap().level, Level::Disk);
    assert!(bell.rung() > 0, "the lane that went to sleep is told");
    assert_eq!(ledger_of(&subscription), (1, 1, 0, 0));
    assert_eq!(drain(&mut seat, |_| None), ["a"]);
}

#[test]
fn a_publish_that_nobody_waits_for_is_released_by_the_journal() {
    let mut life = Life::first();
    let subscription = life.subscribe("t", |_| {});
    let bell = Bell::new();
    let mut seat = subscription.seat(1, bell.clone()).unwrap();
    seat.take(9, Park::Yes);
    drop(life.publisher.submit(to("t", b"a")).unwrap());
    life.flush();
    assert!(bell.rung() > 0);
    assert_eq!(drain(&mut seat, |_| None), ["a"]);
}

/// Runs `act` on a disk that fails after `n` operations, for every n, and shows what is left to
/// `check` with whether `act` said that it went well.
fn at_every_write(
    mut act: impl FnMut(&mut Life) -> bool,
    mut check: impl FnMut(Life, bool),
) -> u64 {
    for n in 0.. {
        let mut life = Life::first();
        life.subscribe("t", |_| {});
        life.subscribe("u.a", |_| {});
        life.subscribe("u.>", |_| {});
        life.publish("cause");
        life.disk.fail_after(n);
        let before = life.disk.operations();
        let went_well = act(&mut life);
        let is_last = life.disk.operations() - before <= n;
        for disk in [life.disk.copy(false), life.disk.copy(true)] {
            let clock = Arc::clone(&life.clock);
            check(Life::open(disk, clock, rules(), journal_config(), &Death::Silent), went_well);
        }
        if is_last {
            return n;
        }
    }
    0
}

#[test]
fn a_fan_out_is_whole_or_nothing_at_every_write() {
    let publish = |life: &mut Life| life.publisher.publish(to("u.a", b"x")).is_ok();
    let crashes = at_every_write(publish, |life, went_well| {
        let count = |pattern| ledger_of(&life.subscribe(pattern, |_| {})).0;
        let both = (count("u.a"), count("u.>"));
        assert!(both == (1, 1) || both == (0, 0) && !went_well, "{both:?}, told {went_well}");
    });
    assert!(crashes >= 2, "a write and a flush: {crashes}");
}

#[test]
fn a_forward_is_settled_and_published_or_neither_at_every_write() {
    let forward = |life: &mut Life| {
        let subscription = life.broker.subscriptions().remove(0);
        let mut seat = seat(&subscription, 1);
        drain(&mut seat, |delivery| {
            let message = delivery.message().clone();
            Some(Verdict::Forward { topic: "u.a".into(), message })
        });
        life.flush();
        true
    };
    let mut seen = [0; 2];
    at_every_write(forward, |life, _| {
        let cause = life.subscribe("t", |_| {}).ledger();
        let target = life.subscribe("u.a", |_| {}).ledger();
        assert_eq!(cause.forwarded, target.accepted, "{cause:?} {target:?}");
        assert_eq!(cause.forwarded + cause.queued, 1);
        seen[cause.forwarded as usize] += 1;
    });
    assert!(seen[0] > 0 && seen[1] > 0, "{seen:?}");
}

#[test]
fn a_forward_to_a_topic_in_memory_is_settled_for_good() {
    let mut life = Life::first();
    let subscription = life.subscribe("t", |_| {});
    let target = life.subscribe("m", |_| {});
    life.publish("a");
    drain(&mut seat(&subscription, 1), |delivery| {
        Some(Verdict::Forward { topic: "m".into(), message: delivery.message().clone() })
    });
    assert_eq!((subscription.ledger().forwarded, target.ledger().queued), (1, 1));
    life.flush();
    let life = life.die();
    let ledger = life.subscribe("t", |_| {}).ledger();
    assert_eq!((ledger.accepted, ledger.forwarded, ledger.unsettled()), (1, 1, 0));
}

#[test]
fn a_publish_inside_a_handler_does_not_wait_and_dies_or_lives_with_its_cause() {
    let mut life = Life::first();
    let subscription = life.subscribe("t", |_| {});
    let target = life.subscribe("u.a", |_| {});
    life.publish("a");
    let before = life.disk.operations();
    let mut seat = seat(&subscription, 1);
    assert_eq!(seat.take(1, Park::No), Taken::Batch(1));
    seat.begin(0);
    let begun = life.disk.operations();
    let cause = seat.deliveries()[0].message().clone();
    let outgoing = Outgoing { cause: Some(&cause), ..to("u.a", b"b") };
    assert_eq!(life.publisher.publish(outgoing).unwrap().routed, 1);
    assert_eq!(life.disk.operations(), begun, "nothing was written for it");
    assert!(begun > before, "the attempt was");
    assert_eq!(target.ledger().accepted, 0);
    seat.settle();
    life.flush();
    assert_eq!(target.ledger().accepted, 1);
}

#[test]
fn a_repeat_is_recognised_after_a_restart() {
    let mut life = Life::first();
    let subscription = life.subscribe("t", |_| {});
    let keyed = |payload| Outgoing { dedup_key: Some("k"), ..to("t", payload) };
    let first = life.publisher.publish(keyed(b"a")).unwrap();
    assert!(life.publisher.publish(keyed(b"a")).unwrap().duplicate);
    let mut life = life.die();
    let again = life.publisher.publish(keyed(b"a")).unwrap();
    assert_eq!(again, Published { duplicate: true, routed: 0, ..first });
    let other = life.publisher.publish(keyed(b"b"));
    assert!(matches!(other, Err(PublishError::DedupMismatch { first: id }) if id == first.id));
    // The window runs on the time that hosts have run: a step of the wall reopens nothing.
    life.clock.step_wall(3_600_000_000_000);
    let mut life = life.die();
    assert!(life.publisher.publish(keyed(b"a")).unwrap().duplicate);
    life.advance(601_000);
    assert!(!life.publisher.publish(keyed(b"a")).unwrap().duplicate);
    drop(subscription);
}

#[test]
fn a_batch_of_many_topics_is_accepted_in_its_order() {
    let mut life = Life::first();
    let subscription = life.subscribe(">", |_| {});
    let raised = Outgoing { level: Some(Level::Disk), ..to("m", b"b") };
    let batch = [to("m", b"a"), raised, to("t", b"c"), to("t", b"d"), to("m", b"e")];
    let (accepted, stopped) = life.publisher.publish_batch(&batch);
    assert!(accepted == 5 && stopped.is_none(), "{accepted} {stopped:?}");
    let found = drain(&mut seat(&subscription, 1), |_| None);
    assert_eq!(found, ["a", "b", "c", "d", "e"]);
}

#[test]
fn made_messages_of_many_levels_are_accepted_in_their_order_with_one_flush_for_a_run() {
    let mut life = Life::first();
    let subscription = life.subscribe(">", |_| {});
    let batch = |life: &mut Life| -> std::collections::VecDeque<_> {
        let topics = ["m", "t", "t", "t", "m"];
        topics
            .iter()
            .map(|topic| life.publisher.draft(&to(topic, b""), 0).unwrap().freeze())
            .collect()
    };
    // The first record of a life brings more with it.
    life.publish("first");
    let mut messages = batch(&mut life);
    let before = life.disk.operations();
    let (accepted, stopped) = life.publisher.publish_messages(&mut messages, None, true);
    assert!(accepted == 5 && stopped.is_none(), "{accepted} {stopped:?}");
    assert_eq!(life.disk.operations() - before, 2, "one write and one flush");
    assert_eq!(ledger_of(&subscription), (6, 6, 0, 0));
    let mut topics = Vec::new();
    let mut seat = seat(&subscription, 1);
    let mut cause = None;
    drain(&mut seat, |delivery| {
        topics.push(delivery.message().topic().to_owned());
        cause.get_or_insert_with(|| delivery.message().clone());
        None
    });
    assert_eq!(topics, ["t", "m", "t", "t", "t", "m"]);

    // What follows from a recorded message waits for nothing.
    let mut messages = batch(&mut life);
    let before = life.disk.operations();
    let (accepted, stopped) = life.publisher.publish_messages(&mut messages, cause.as_ref(), true);
    assert!(accepted == 5 && stopped.is_none(), "{accepted} {stopped:?}");
    assert_eq!(life.disk.operations(), before);
    life.flush();
    assert_eq!(ledger_of(&subscription).0, 11);
}
