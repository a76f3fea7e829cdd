//! Taps settle nothing and slow nobody.

use patchbay_bus::Outgoing;
use patchbay_wire::TopicPattern;

use crate::support::*;

fn pattern(text: &str) -> TopicPattern {
    TopicPattern::parse(text).unwrap()
}

#[test]
fn a_tap_sees_what_passes_also_where_nobody_subscribes() {
    let mut rig = Rig::new();
    let subscription = rig.subscribe(|spec| spec.limits.count = 1);
    let mut tap = rig.broker.tap(pattern(">"), 10);
    rig.publish("a");
    assert!(rig.publisher.publish(Outgoing { topic: "t", ..Outgoing::default() }).is_err());
    let elsewhere = rig.publisher.publish(Outgoing { topic: "x.y", ..Outgoing::default() });
    assert_eq!(elsewhere.unwrap().routed, 0);
    assert_eq!(tap.try_recv().unwrap().payload(), b"a");
    assert_eq!(tap.try_recv().unwrap().topic(), "x.y", "what was refused did not pass");
    assert!(tap.try_recv().is_none());
    assert_eq!(subscription.ledger().queued, 1);
    assert_eq!(drain(&mut seat(&subscription, 1), |_| None), ["a"]);
}

#[test]
fn a_tap_slower_than_the_traffic_misses_and_counts() {
    let mut rig = Rig::new();
    let subscription = rig.subscribe(|_| {});
    let mut tap = rig.broker.tap(pattern("t"), 4);
    for _ in 0..100 {
        rig.publish("a");
    }
    assert_eq!(tap.missed(), 96);
    assert_eq!(subscription.ledger().accepted, 100, "the traffic went on");
    assert_eq!(std::iter::from_fn(|| tap.try_recv()).count(), 4);
    drop(tap);
    rig.publish("a");
    assert_eq!(subscription.ledger().accepted, 101);
}
