//! A link is pointed at another library while messages flow.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
};

use patchbay_host::Room;
use patchbay_testkit::eventually;
use serde_json::json;

use crate::rig::{LONG, Plan, Plugin, assert_balanced, message};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_version_is_replaced_under_load_and_nothing_is_lost() {
    let plan = Plan::new();
    plan.enable(&Plugin::new("echo", "1.0.0"));
    let rig = plan.start().await;
    let first = rig.view("echo").generation;
    let (stop, accepted) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let publishers: Vec<_> = (0..2)
        .map(|_| {
            let (host, stop, accepted) = (rig.host.clone(), stop.clone(), accepted.clone());
            tokio::spawn(async move {
                while !stop.load(SeqCst) {
                    let published = host.publish(message("in.echo", "ack"), Room::Within(LONG));
                    published.await.expect("it is accepted");
                    accepted.fetch_add(1, SeqCst);
                }
            })
        })
        .collect();
    for version in ["2.0.0", "1.0.0", "2.0.0"] {
        let before = accepted.load(SeqCst);
        rig.enable(&Plugin::new("echo", version));
        rig.until("echo", |view| view.version.as_deref() == Some(version)).await;
        let enough = || (accepted.load(SeqCst) > before + 100).then_some(());
        eventually("messages flow", LONG, enough);
    }
    stop.store(true, SeqCst);
    for publisher in publishers {
        publisher.await.expect("it ends");
    }
    let accepted = accepted.load(SeqCst);
    let ledger = rig.ledger_until("echo", |it| it.done == accepted).await;
    assert_eq!((ledger.accepted, ledger.dead, ledger.dropped.len()), (accepted, 0, 0));
    assert_eq!(ledger.stale_settlements, 0);
    assert!(rig.view("echo").generation > first);
    let one_left = || (rig.host.generations().len() == 1).then_some(());
    eventually("the old generations are unmapped", LONG, one_left);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_cutover_the_new_code_runs() {
    let plan = Plan::new();
    plan.enable(&Plugin::new("echo", "1.0.0"));
    let rig = plan.start().await;
    let mut out = rig.host.tap("out.*", 100).expect("a valid pattern");
    for version in ["1.0.0", "2.0.0", "3.0.0"] {
        rig.enable(&Plugin::new("echo", version));
        rig.until("echo", |view| view.version.as_deref() == Some(version)).await;
        rig.publish("in.echo", "echo").await;
        let (message, _) = out.next().await.expect("the host runs");
        assert_eq!(message.topic, format!("out.{}", version.replace('.', "_")));
        assert_eq!(message.hops, 1, "it was published by a handler");
        assert!(message.headers.iter().any(|(name, _)| name == "traceparent"));
    }
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_bytes_are_nothing_to_do() {
    let plan = Plan::new();
    let plugin = Plugin::new("echo", "1.0.0");
    plan.enable(&plugin);
    let rig = plan.start().await;
    let before = rig.view("echo");
    let copy = rig.home.install(&plugin.build(), "libcopy.so");
    rig.home.link("echo", &copy);
    let report = rig.host.rescan(LONG).await.expect("it is read");
    assert_eq!(report.plugins[0].generation, before.generation);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_a_paused_plugin_wait_for_the_next_version() {
    let plan = Plan::new();
    plan.enable(&Plugin::new("echo", "1.0.0"));
    let rig = plan.start().await;
    rig.host.pause("echo", "test").await.expect("it pauses");
    for _ in 0..100 {
        rig.publish("in.echo", "ack").await;
    }
    rig.enable(&Plugin::new("echo", "2.0.0"));
    let view = rig.until("echo", |view| view.version.as_deref() == Some("2.0.0")).await;
    assert_eq!(view.state, "paused", "paused stays paused across versions");
    assert_eq!(rig.ledger("echo").queued, 100);
    rig.host.resume("echo", "test").await.expect("it resumes");
    rig.ledger_until("echo", |it| it.done == 100).await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_fails_leaves_the_old_one_serving() {
    let plan = Plan::new();
    let missing = plan.file("missing");
    let plan = plan.config("echo", json!({"needs_for_init": missing}));
    std::fs::write(&missing, "").expect("a file");
    plan.enable(&Plugin::new("echo", "1.0.0"));
    let rig = plan.start().await;
    let before = rig.view("echo");
    std::fs::remove_file(&missing).expect("it was there");
    rig.enable(&Plugin::new("echo", "2.0.0"));
    let view = rig.until("echo", |view| view.failure.is_some()).await;
    assert_eq!((view.state.as_str(), view.generation), ("running", before.generation));
    let failure = view.failure.expect("a failure");
    assert_eq!(failure.kind, "init");
    assert!(failure.reason.contains("what init needs is not there"), "{failure:?}");
    rig.publish("in.echo", "ack").await;
    rig.ledger_until("echo", |it| it.done == 1).await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_that_the_new_version_has_no_more_is_finished_by_the_old_one() {
    let plan = Plan::new();
    let gate = plan.file("gate");
    let plan = plan.config("echo", json!({"gate": gate}));
    let old = Plugin::new("echo", "1.0.0").with("subscriptions", json!(["old.topic", "in.echo"]));
    plan.enable(&old);
    let rig = plan.start().await;
    for _ in 0..5 {
        rig.publish("old.topic", "hang").await;
    }
    rig.enable(&Plugin::new("echo", "2.0.0"));
    let attached = || {
        let generations = rig.host.generations();
        generations.iter().any(|it| it.serving && it.version == "2.0.0").then_some(())
    };
    eventually("the new version serves", LONG, attached);
    assert_eq!(rig.publish("old.topic", "ack").await.routed, 0, "nobody wishes it any more");
    std::fs::write(&gate, "").expect("a file");
    rig.until("echo", |_| rig.host.generations().len() == 1).await;
    let all = rig.host.ledger();
    let ledger = all.iter().find(|it| it.pattern == "old.topic").expect("it is remembered");
    assert_balanced(ledger);
    assert_eq!((ledger.accepted, ledger.done, ledger.dropped.len()), (5, 5, 0));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn any_mix_of_operations_under_load_loses_nothing() {
    let plan = Plan::new();
    let keyed = json!([{"topic": "in.echo", "order": "per_key", "queue": {"count": 100_000}}]);
    let plugin = |version| Plugin::new("echo", version).with("subscriptions", keyed.clone());
    plan.enable(&plugin("1.0.0"));
    let rig = plan.start().await;
    let (stop, accepted) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let (host, until, count) = (rig.host.clone(), stop.clone(), accepted.clone());
    let publisher = tokio::spawn(async move {
        while !until.load(SeqCst) {
            let number = count.load(SeqCst);
            let payload = if number.is_multiple_of(97) { "retry" } else { "ack" };
            let mut message = message("in.echo", payload);
            message.key = Some((number % 5).to_string());
            host.publish(message, Room::Within(LONG)).await.expect("it is accepted");
            count.fetch_add(1, SeqCst);
        }
    });
    for round in 0..12_u64 {
        let before = accepted.load(SeqCst);
        match round % 4 {
            0 => rig.enable(&plugin("2.0.0")),
            1 => drop(rig.host.restart("echo", "test").await.expect("it restarts")),
            2 => rig.enable(&plugin("1.0.0")),
            _ => {
                rig.host.pause("echo", "test").await.expect("it pauses");
                rig.host.resume("echo", "test").await.expect("it resumes");
            }
        }
        let more = || (accepted.load(SeqCst) > before + 20).then_some(());
        eventually("messages flow", LONG, more);
    }
    stop.store(true, SeqCst);
    publisher.await.expect("it ends");
    let accepted = accepted.load(SeqCst);
    let ledger = rig.ledger_until("echo", |it| it.done == accepted).await;
    assert_eq!((ledger.accepted, ledger.dead, ledger.dropped.len()), (accepted, 0, 0));
    rig.until("echo", |view| view.state == "running").await;
    let one_left = || (rig.host.generations().len() == 1).then_some(());
    eventually("the old generations are unmapped", LONG, one_left);
    rig.end().await;
}
