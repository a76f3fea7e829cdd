//! What a handler publishes at once.

use std::{future::ready, time::Duration};

use patchbay_host::{
    Level, MessageTap, Room, TransitionRequest,
    view::{LedgerView, SeenMessage},
};
use patchbay_lifecycle::transition::Asked;
use patchbay_testkit::eventually_async;
use serde_json::json;

use crate::rig::{LONG, Plan, Plugin, Rig, message};

/// One that publishes what it is told; see its fixture.
fn many(version: &'static str) -> Plugin {
    Plugin::new("many", version).source("batcher.c")
}

/// One that takes what is published to a topic, as many as there is room for.
fn sink(topic: &str, room: u32) -> Plugin {
    Plugin::new("sink", "1.0.0")
        .with("subscriptions", json!([{"topic": topic, "queue": {"count": room}}]))
}

async fn next(tap: &mut MessageTap) -> SeenMessage {
    let next = tokio::time::timeout(LONG, tap.next()).await.expect("in time");
    next.expect("the host runs").0
}

/// Topic and place of the messages that passed, as many as were expected.
async fn seen(tap: &mut MessageTap, topics: &[&str]) {
    for (place, topic) in topics.iter().enumerate() {
        let message = next(tap).await;
        let found = String::from_utf8(message.payload).expect("a number");
        assert_eq!((message.topic.as_str(), found), (*topic, place.to_string()));
    }
}

/// Why the only dead letter died.
async fn died_of(rig: &Rig) -> String {
    rig.ledger_until("many", |it| it.dead == 1).await;
    rig.host.dead_letters()[0].reason.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_to_two_topics_arrive_in_order_a_hop_after_their_cause_and_in_its_trace() {
    let plan = Plan::new();
    plan.enable(&many("1.0.0"));
    plan.enable(&sink("out.a", 100));
    let rig = plan.start().await;
    let mut tap = rig.host.tap("out.>", 100).expect("a pattern");
    let topics = ["out.a", "out.a", "out.b", "out.b", "out.a"].repeat(4);
    let mut cause = message("in.many", &topics.join(" "));
    let trace = ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    cause.headers.push((trace.0.to_owned(), trace.1.to_owned()));
    rig.host.publish(cause, Room::Now).await.expect("accepted");
    for (place, topic) in topics.iter().enumerate() {
        let message = next(&mut tap).await;
        assert_eq!((message.topic.as_str(), message.hops), (*topic, 1));
        assert_eq!(message.payload, place.to_string().as_bytes());
        let is_traced = |(name, value): &(String, String)| (&**name, &**value) == trace;
        assert!(message.headers.iter().any(is_traced), "{message:?}");
    }
    rig.ledger_until("sink", |it| it.done == 12).await;
    let ledger = rig.ledger_until("many", |it| it.done == 1).await;
    assert_eq!((ledger.accepted, ledger.dead), (1, 0));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_target_stops_a_batch_at_its_message_and_one_that_waits_goes_on() {
    let plan = Plan::new();
    plan.enable(&many("1.0.0"));
    plan.enable(&sink("out.tight", 2));
    let rig = plan.start().await;
    rig.host.pause("sink", "test").await.expect("it pauses");
    let mut tap = rig.host.tap("out.>", 100).expect("a pattern");
    rig.publish("in.many", "out.a out.tight out.tight out.tight out.b").await;
    assert_eq!(died_of(&rig).await, "1 after 3", "full");
    seen(&mut tap, &["out.a", "out.tight", "out.tight"]).await;

    rig.publish("in.many", "wait out.a out.tight out.tight out.tight out.b").await;
    assert_eq!(next(&mut tap).await.topic, "out.a", "what was not tried above is not there");
    let ledger = rig.ledger("many");
    assert_eq!((ledger.in_flight, ledger.done), (1, 0), "it waits");
    rig.host.resume("sink", "test").await.expect("it resumes");
    rig.ledger_until("many", |it| it.done == 1).await;
    for (topic, place) in
        [("out.tight", "1"), ("out.tight", "2"), ("out.tight", "3"), ("out.b", "4")]
    {
        let message = next(&mut tap).await;
        assert_eq!((message.topic.as_str(), &message.payload[..]), (topic, place.as_bytes()));
    }
    rig.ledger_until("sink", |it| it.done == 5).await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_room_in_the_journal_tries_again_until_there_is_some() {
    let mut plan = Plan::new();
    plan.settings.durability.push("out.>", Level::Process).expect("a rule");
    plan.settings.limits.publish_recheck = Duration::from_millis(5);
    plan.enable(&many("1.0.0"));
    let subscription = json!([{"topic": "out.>", "queue": {"count": 2, "backlog": {"count": 3}}}]);
    plan.enable(&Plugin::new("sink", "1.0.0").with("subscriptions", subscription));
    let rig = plan.start().await;
    rig.host.pause("sink", "test").await.expect("it pauses");
    rig.publish("in.many", "out.a out.a out.a out.a out.a").await;
    assert_eq!(died_of(&rig).await, "1 after 3", "full");
    rig.publish("in.many", "wait out.a out.a").await;
    rig.ledger_until("many", |it| it.in_flight == 1).await;
    rig.host.resume("sink", "test").await.expect("it resumes");
    let ledger = rig.ledger_until("many", |it| it.done == 1).await;
    assert_eq!(ledger.retried, 0, "its call went on, and was not given up after its time");
    let ledger = rig.ledger_until("sink", |it| it.done == 5).await;
    assert_eq!((ledger.accepted, ledger.dead), (5, 0));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_plugin_may_not_publish_stops_its_batch() {
    let plan = Plan::new();
    plan.enable(&many("1.0.0").with("permissions", json!({"publish": ["out.>"]})));
    let rig = plan.start().await;
    let mut tap = rig.host.tap("out.>", 100).expect("a pattern");
    rig.publish("in.many", "out.a out.a elsewhere.b out.a").await;
    assert_eq!(died_of(&rig).await, "-4 after 2", "denied");
    seen(&mut tap, &["out.a", "out.a"]).await;
    rig.publish("in.many", "out.last").await;
    assert_eq!(next(&mut tap).await.topic, "out.last", "nothing behind it was published");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn durable_messages_of_a_batch_are_all_there_whether_their_cause_is_durable_or_not() {
    for rule in ["out.>", ">"] {
        let mut plan = Plan::new();
        plan.settings.durability.push(rule, Level::Disk).expect("a rule");
        plan.enable(&many("1.0.0"));
        plan.enable(&sink("out.>", 100));
        let rig = plan.start().await;
        rig.publish("in.many", &["out.a", "out.b", "out.b"].repeat(5).join(" ")).await;
        let ledger = rig.ledger_until("sink", |it| it.done == 15).await;
        assert_eq!(ledger.accepted, 15);
        rig.ledger_until("many", |it| it.done == 1).await;
        rig.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_a_candidate_publishes_at_once_is_compared_and_reaches_nobody() {
    let mirrored = |version| many(version).with("mirror_safe", json!(true));
    let plan = Plan::new();
    plan.enable(&mirrored("1.0.0"));
    plan.enable(&sink("out.>", 100_000));
    let next = mirrored("2.0.0");
    plan.home.install(&next.build(), &next.file_name());
    let rig = plan.start().await;
    let request = TransitionRequest {
        to: "2.0.0".to_owned(),
        strategy: Some("blue-green".to_owned()),
        min_samples: Some(1_000_000),
        match_threshold: Some(0.0),
        ..TransitionRequest::default()
    };
    rig.host.transition_start("many", request, "test").await.expect("it starts");
    let mut sent = 0;
    let compared =
        || rig.host.transition("many").expect("known").expect("begun").comparison.clone();
    while compared().compared < 20 {
        rig.publish("in.many", "out.a out.b out.b").await;
        sent += 1;
        let settled = |it: &LedgerView| it.done == sent;
        rig.ledger_until("many", settled).await;
    }
    assert_eq!(compared().matched, compared().compared, "{:#?}", compared().differences);
    rig.host.transition_ask("many", Asked::Abort, "test").await.expect("it is aborted");
    let over = || {
        let report = rig.host.transition("many").expect("known").expect("begun");
        ready(report.ended_unix_ns.map(|_| ()))
    };
    eventually_async("the end of the transition", LONG, over).await;
    let ledger = rig.ledger_until("sink", |it| it.done >= 3 * sent).await;
    assert_eq!(ledger.accepted, 3 * sent, "what the serving version sent");
    rig.end().await;
}
