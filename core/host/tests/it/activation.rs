//! A link appears, a link goes.

use patchbay_host::view::StateChange;
use patchbay_testkit::eventually;

use crate::rig::{LONG, Plan, Plugin, assert_balanced};

#[tokio::test(flavor = "multi_thread")]
async fn a_new_link_starts_a_plugin_and_its_messages_are_handled() {
    let rig = Plan::new().start().await;
    assert!(rig.host.plugins().is_empty());
    rig.enable(&Plugin::new("echo", "1.0.0"));
    let view = rig.state("echo", "running").await;
    assert_eq!(view.version.as_deref(), Some("1.0.0"));
    assert_eq!(view.cause.who, "watcher");
    for payload in ["ack", "fail", "forward", "retry", "error"] {
        assert_eq!(rig.publish("in.echo", payload).await.routed, 1);
    }
    let settled = |it: &patchbay_host::view::LedgerView| it.done + it.forwarded + it.dead == 5;
    let ledger = rig.ledger_until("echo", settled).await;
    assert_eq!((ledger.done, ledger.forwarded, ledger.dead), (2, 1, 2));
    assert_eq!(ledger.retried, 1);
    let dead = rig.host.dead_letters();
    let mut reasons: Vec<&str> = dead.iter().map(|letter| letter.reason.as_str()).collect();
    reasons.sort_unstable();
    assert_eq!(reasons, ["told to err", "told to fail"]);
    assert!(dead.iter().all(|letter| letter.plugin == "echo" && letter.attempts == 1));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn plugins_that_were_there_before_the_host_start_with_it() {
    let plan = Plan::new();
    plan.enable(&Plugin::new("one", "1.0.0"));
    plan.enable(&Plugin::new("two", "1.0.0"));
    let rig = plan.start().await;
    assert_eq!(rig.view("one").state, "running");
    assert_eq!(rig.view("two").state, "running");
    let status = rig.host.status();
    assert!(status.ready, "{status:#?}");
    assert_eq!((status.phase.as_str(), status.health.as_str()), ("running", "healthy"));
    assert_eq!(status.plugins["running"], 2);
    assert_eq!(status.unload, "proven");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_link_ends_the_plugin_and_its_library_is_unmapped() {
    let plan = Plan::new();
    plan.enable(&Plugin::new("echo", "1.0.0"));
    let rig = plan.start().await;
    rig.publish("in.echo", "ack").await;
    rig.ledger_until("echo", |it| it.done == 1).await;
    rig.home.unlink("echo");
    rig.state("echo", "stopped").await;
    let gone = || rig.host.generations().is_empty().then_some(());
    eventually("the library is unmapped", LONG, gone);
    // Nobody listens any more, and what was counted stays.
    assert_eq!(rig.publish("in.echo", "ack").await.routed, 0);
    let ledger = rig.ledger("echo");
    assert_eq!((ledger.accepted, ledger.done), (1, 1));

    rig.enable(&Plugin::new("echo", "1.0.0"));
    rig.state("echo", "running").await;
    rig.publish("in.echo", "ack").await;
    let ledger = rig.ledger_until("echo", |it| it.done == 2).await;
    assert_eq!(ledger.accepted, 2, "the ledger of a name goes on");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_deactivated_plugin_is_counted_as_dropped() {
    let plan = Plan::new();
    plan.enable(&Plugin::new("echo", "1.0.0"));
    let rig = plan.start().await;
    rig.host.pause("echo", "test").await.expect("it pauses");
    for _ in 0..10 {
        rig.publish("in.echo", "ack").await;
    }
    rig.home.unlink("echo");
    rig.state("echo", "stopped").await;
    let ledger = rig.ledger("echo");
    assert_balanced(&ledger);
    assert_eq!(ledger.dropped["unload"], 10);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rescan_returns_when_the_link_is_applied() {
    let rig = Plan::new().start().await;
    rig.enable(&Plugin::new("echo", "1.0.0"));
    let report = rig.host.rescan(LONG).await.expect("it is read");
    assert_eq!(report.plugins.len(), 1);
    assert_eq!(report.plugins[0].state, "running");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_of_state_is_an_event_with_who_why_and_when() {
    let rig = Plan::new().start().await;
    let mut events = rig.host.events();
    rig.enable(&Plugin::new("echo", "1.0.0"));
    let mut seen = Vec::new();
    while seen.last().map(String::as_str) != Some("running") {
        let event = tokio::time::timeout(LONG, events.next()).await.expect("in time");
        let event = event.expect("the host runs");
        if event.topic == "$PB.plugin.echo.state" {
            assert_eq!(event.data["who"], "watcher");
            assert!(event.data["why"].as_str().is_some_and(|why| why.contains("1.0.0")));
            assert!(event.data["at"].is_string());
            let to = event.data["to"].as_str().expect("a state").to_owned();
            // Whoever hears of a change finds it everywhere else.
            let detail = rig.host.plugin_detail("echo").await.expect("it is known");
            let same =
                |it: &&StateChange| it.to == to && Some(&*it.cause.at) == event.data["at"].as_str();
            let entries: Vec<_> = detail.history.iter().filter(same).collect();
            assert_eq!(entries.len(), 1, "{to} is in the history once: {:#?}", detail.history);
            assert!(entries[0].generation.is_some(), "{:#?}", entries[0]);
            seen.push(to);
        }
    }
    assert_eq!(seen, ["loaded", "initialized", "starting", "running"]);
    let detail = rig.host.plugin_detail("echo").await.expect("it is known");
    let history: Vec<_> = detail.history.iter().map(|it| (&*it.from, &*it.to)).collect();
    let expected = [
        ("starting", "running"),
        ("initialized", "starting"),
        ("loaded", "initialized"),
        ("discovered", "loaded"),
    ];
    assert_eq!(history, expected, "newest first, each once");
    assert!(detail.plugin.generation.is_some());
    assert!(detail.history.iter().all(|it| it.generation == detail.plugin.generation));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_plugin_and_of_its_generation_is_one_entry_of_the_history() {
    let plan = Plan::new();
    plan.enable(&Plugin::new("echo", "1.0.0"));
    let rig = plan.start().await;
    rig.host.pause("echo", "test").await.expect("it pauses");
    // A paused plugin is replaced: the new generation and the plugin change at the same moment.
    let view = rig.host.restart("echo", "test").await.expect("it restarts");
    assert_eq!(view.state, "paused");
    rig.host.resume("echo", "test").await.expect("it resumes");
    rig.home.unlink("echo");
    rig.state("echo", "stopped").await;
    let detail = rig.host.plugin_detail("echo").await.expect("it is known");
    let first = detail.history.iter().filter_map(|it| it.generation).min().expect("generations");
    let of = |generation: u64| -> Vec<String> {
        let own = detail.history.iter().rev().filter(|it| it.generation == Some(generation));
        own.map(|it| it.to.clone()).collect()
    };
    assert_eq!(
        of(first),
        [
            "loaded",
            "initialized",
            "starting",
            "running",
            "paused",
            "draining",
            "stopped",
            "retired"
        ]
    );
    assert!(detail.history.iter().all(|it| it.generation.is_some()), "{:#?}", detail.history);
    rig.end().await;
}
