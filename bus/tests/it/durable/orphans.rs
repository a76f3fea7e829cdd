//! Subscriptions whose plugin is not there.

use patchbay_bus::{DropReason, Outgoing};

use super::*;

#[test]
fn unloading_drops_what_is_in_memory_and_keeps_what_is_durable() {
    let mut life = Life::first();
    let subscription = life.subscribe(">", |_| {});
    life.publish("durable");
    life.publisher.publish(Outgoing { topic: "m", ..Outgoing::default() }).unwrap();
    assert_eq!(life.broker.detach(&subscription), 1);
    let ledger = subscription.ledger();
    assert_eq!((ledger.queued, ledger.dropped.count(DropReason::Unload)), (1, 1), "{ledger:?}");
    assert!(ledger.balanced());
    assert_eq!(life.broker.orphans().len(), 1);
    // Nothing new comes in, now and after a restart.
    let outgoing = Outgoing { topic: "t", ..Outgoing::default() };
    assert_eq!(life.publisher.publish(outgoing).unwrap().routed, 0);
    let mut life = life.die();
    assert_eq!(life.broker.orphans().len(), 1);
    assert_eq!(life.publisher.publish(outgoing).unwrap().routed, 0);
    // The plugin is back.
    let subscription = life.subscribe(">", |_| {});
    assert!(life.broker.orphans().is_empty());
    assert_eq!(life.publisher.publish(outgoing).unwrap().routed, 1);
    assert_eq!(drain(&mut seat(&subscription, 1), |_| None), ["durable", ""]);
    let mut life = life.die();
    assert_eq!(life.publisher.publish(outgoing).unwrap().routed, 1);
}

#[test]
fn a_plugin_that_comes_back_in_the_same_life_goes_on() {
    let mut life = Life::first();
    let subscription = life.subscribe("t", |_| {});
    life.publish("a");
    life.publish("b");
    drop(seat(&subscription, 1));
    life.broker.detach(&subscription);
    let again = life.subscribe("t", per_key);
    assert_eq!(again.id(), subscription.id());
    life.publish("c");
    assert_eq!(drain(&mut seat(&again, 1), |_| None).len(), 3);
    assert_eq!(ledger_of(&again), (3, 0, 0, 3));
}

#[test]
fn without_durable_topics_detaching_is_removing() {
    let mut life = Life::with(BrokerConfig::default());
    let subscription = life.subscribe("m", |_| {});
    life.publisher.publish(Outgoing { topic: "m", ..Outgoing::default() }).unwrap();
    assert_eq!(life.broker.detach(&subscription), 1);
    assert!(life.broker.orphans().is_empty());
}

#[test]
fn a_purge_by_name_is_for_good() {
    let mut life = Life::first();
    life.subscribe("t", |_| {});
    life.publish("a");
    let life = life.die();
    assert_eq!(life.broker.purge_orphans("somebody", None), 0);
    assert_eq!(life.broker.purge_orphans("plugin", Some("t")), 1);
    life.flush();
    let life = life.die();
    assert!(life.broker.orphans().is_empty());
    assert_eq!(life.subscribe("t", |_| {}).ledger().accepted, 0);
}

#[test]
fn two_subscriptions_alike_are_told_apart_after_a_restart() {
    let mut life = Life::first();
    let ids = [life.subscribe("t", |_| {}).id(), life.subscribe("t", |_| {}).id()];
    life.publish("a");
    let life = life.die();
    let both = [life.subscribe("t", |_| {}), life.subscribe("t", |_| {})];
    assert_eq!([both[0].id(), both[1].id()], ids);
    both.iter().for_each(|each| assert_eq!(ledger_of(each), (1, 1, 0, 0)));
}
