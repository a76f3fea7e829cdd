//! What can be asked for a message beside a place in the queues, on a bus without a journal.

use std::time::Duration;

use patchbay_bus::{
    BrokerConfig, DedupPolicy, DropReason, Level, Outgoing, PublishError, Published, RequestError,
    Verdict,
};
use patchbay_wire::TopicPattern;

use crate::support::*;

fn keyed<'a>(payload: &'a [u8], dedup_key: &'a str) -> Outgoing<'a> {
    Outgoing { topic: "t", payload, dedup_key: Some(dedup_key), ..Outgoing::default() }
}

#[test]
fn a_message_with_a_start_is_delayed_until_then_and_not_longer() {
    let mut rig = Rig::new();
    let subscription = rig.subscribe(|_| {});
    let mut seat = seat(&subscription, 1);
    let not_before_ns = patchbay_bus::Clock::unix_ns(&*rig.clock) + 300 * MS;
    let outgoing = Outgoing { topic: "t", payload: b"later", not_before_ns, ..Outgoing::default() };
    rig.publisher.publish(outgoing).unwrap();
    rig.publish("now");
    let ledger = subscription.ledger();
    assert_eq!((ledger.queued, ledger.delayed), (1, 1));
    assert_eq!(drain(&mut seat, |_| None), ["now"]);
    rig.advance(299);
    assert!(drain(&mut seat, |_| None).is_empty());
    rig.advance(3);
    assert_eq!(drain(&mut seat, |_| None), ["later"]);
    assert!(subscription.ledger().balanced());
}

#[test]
fn a_start_wakes_a_sleeping_lane_by_itself() {
    let mut rig = Rig::new();
    let subscription = rig.subscribe(|_| {});
    let bell = Bell::new();
    let mut seat = subscription.seat(1, bell.clone()).unwrap();
    seat.take(9, patchbay_bus::Park::Yes);
    let not_before_ns = patchbay_bus::Clock::unix_ns(&*rig.clock) + 50 * MS;
    rig.publisher.publish(Outgoing { topic: "t", not_before_ns, ..Outgoing::default() }).unwrap();
    assert_eq!(bell.rung(), 0);
    rig.advance(60);
    assert_eq!(bell.rung(), 1);
}

#[test]
fn in_an_ordered_queue_it_takes_its_place_when_its_time_has_come() {
    let mut rig = Rig::new();
    let subscription = rig.subscribe(per_key);
    let not_before_ns = patchbay_bus::Clock::unix_ns(&*rig.clock) + 50 * MS;
    let later =
        Outgoing { topic: "t", key: "k", payload: b"later", not_before_ns, ..Outgoing::default() };
    rig.publisher.publish(later).unwrap();
    rig.publish_key("first", "k");
    let mut seat = seat(&subscription, 1);
    assert_eq!(drain(&mut seat, |_| Some(Verdict::Retry(100 * MS))), ["first"]);
    rig.advance(60);
    assert!(drain(&mut seat, |_| None).is_empty(), "its key waits for what was accepted before");
    rig.advance(60);
    assert_eq!(drain(&mut seat, |_| None), ["first", "later"]);
}

#[test]
fn what_expires_before_it_starts_is_refused_and_what_expires_waiting_is_dropped() {
    let mut rig = Rig::new();
    let subscription = rig.subscribe(|_| {});
    let now = patchbay_bus::Clock::unix_ns(&*rig.clock);
    let outgoing = Outgoing {
        topic: "t",
        not_before_ns: now + 20 * MS,
        expires_ns: now + 10 * MS,
        ..Outgoing::default()
    };
    assert!(matches!(rig.publisher.publish(outgoing), Err(PublishError::Expired)));
    let outgoing = Outgoing { expires_ns: now + 30 * MS, ..outgoing };
    rig.publisher.publish(outgoing).unwrap();
    rig.advance(50);
    assert!(drain(&mut seat(&subscription, 1), |_| None).is_empty());
    let ledger = subscription.ledger();
    assert_eq!((ledger.accepted, ledger.dropped.count(DropReason::Expired)), (1, 1));
}

#[test]
fn a_repeat_under_its_key_is_told_what_the_first_was_told_and_goes_nowhere() {
    let mut rig = Rig::new();
    let subscription = rig.subscribe(|_| {});
    let first = rig.publisher.publish(keyed(b"a", "k")).unwrap();
    let again = rig.publisher.publish(keyed(b"a", "k")).unwrap();
    assert_eq!(again, Published { duplicate: true, ..first });
    let other = rig.publisher.publish(keyed(b"b", "k"));
    assert!(matches!(other, Err(PublishError::DedupMismatch { first: id }) if id == first.id));
    // Neither another topic nor another principal shares the key.
    assert!(!rig.publisher.publish(Outgoing { topic: "u", ..keyed(b"b", "k") }).unwrap().duplicate);
    let mut somebody = rig.broker.publisher("somebody");
    assert!(!somebody.publish(keyed(b"b", "k")).unwrap().duplicate);
    assert_eq!(subscription.ledger().accepted, 2);
}

#[test]
fn what_was_refused_is_no_first() {
    let mut rig = Rig::new();
    let subscription = rig.subscribe(|spec| spec.limits.count = 1);
    rig.publish("full");
    assert!(matches!(rig.publisher.publish(keyed(b"a", "k")), Err(PublishError::Full { .. })));
    drain(&mut seat(&subscription, 1), |_| None);
    assert!(!rig.publisher.publish(keyed(b"a", "k")).unwrap().duplicate);
}

#[test]
fn the_window_closes_by_time_and_by_count() {
    let dedup = DedupPolicy { window: Duration::from_secs(1), max_keys: 2 };
    let mut rig = Rig::with(BrokerConfig { dedup, ..BrokerConfig::default() });
    let mut publish = |key: &str| rig.publisher.publish(keyed(b"a", key)).unwrap().duplicate;
    assert!(!publish("1") && !publish("2") && publish("1"));
    assert!(!publish("3") && !publish("1"), "a third key pushed the first out");
    rig.clock.advance(Duration::from_millis(1001));
    assert!(!publish("3"));
    assert_eq!(rig.broker.dedup().bound, patchbay_bus::DedupBound::Window);
}

#[test]
fn a_level_above_memory_needs_a_journal() {
    let mut rig = Rig::new();
    let outgoing = Outgoing { topic: "t", level: Some(Level::Disk), ..Outgoing::default() };
    let refused = rig.publisher.publish(outgoing);
    assert!(matches!(refused, Err(PublishError::NoJournal { level: Level::Disk })));
    let plain = Outgoing { level: Some(Level::Memory), ..outgoing };
    assert_eq!(rig.publisher.publish(plain).unwrap().level, Level::Memory);
}

#[test]
fn the_same_seed_makes_the_same_bus() {
    let run = |seed| {
        let clock = std::sync::Arc::new(patchbay_bus::ManualClock::new());
        let broker = patchbay_bus::Broker::seeded(BrokerConfig::default(), clock, seed);
        broker.publisher("a").publish(keyed(b"a", "k")).unwrap().id
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}

#[test]
fn a_topic_that_needs_somebody_refuses_what_nobody_subscribes_to() {
    let reject_unmatched = vec![TopicPattern::parse("next.>").unwrap()];
    let mut rig = Rig::with(BrokerConfig { reject_unmatched, ..BrokerConfig::default() });
    let to = |topic| Outgoing { topic, payload: b"x", ..Outgoing::default() };
    assert_eq!(rig.publisher.publish(to("elsewhere")).unwrap().routed, 0);
    // Who only looks on is nobody.
    let _tap = rig.broker.tap(TopicPattern::parse(">").unwrap(), 9);
    let again = Outgoing { dedup_key: Some("k"), ..to("next.a") };
    for refused in [to("next.a"), again] {
        assert!(matches!(rig.publisher.publish(refused), Err(PublishError::NoMatch)));
    }
    let (accepted, error) = rig.publisher.publish_batch(&[to("next.a"), to("next.a")]);
    assert_eq!(accepted, 0);
    assert!(matches!(error, Some(PublishError::NoMatch)), "{error:?}");
    let asked = rig.broker.request(&mut rig.publisher, to("next.a"), Duration::from_secs(1));
    assert!(matches!(asked, Err(RequestError::NoResponders { .. })));
    // A forward there is a failure of whoever forwards; the message is kept.
    let subscription = rig.subscribe(|_| {});
    rig.publish("forwarded");
    let forward = |delivery: &patchbay_bus::Delivery| {
        Some(Verdict::Forward { topic: "next.a".into(), message: delivery.message().clone() })
    };
    drain(&mut seat(&subscription, 1), forward);
    let ledger = subscription.ledger();
    assert_eq!((ledger.forwarded, ledger.delayed), (0, 1), "{ledger:?}");
    // With somebody there it is a topic like others, until they are gone.
    let somebody = subscribe(&rig.broker, "next.*", |_| {});
    assert_eq!(rig.publisher.publish(again).unwrap().routed, 1);
    rig.broker.remove(&somebody);
    assert!(matches!(rig.publisher.publish(to("next.a")), Err(PublishError::NoMatch)));
    // What was accepted stays accepted.
    assert!(rig.publisher.publish(again).unwrap().duplicate);
}
