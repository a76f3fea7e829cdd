//! What an operator does with a running plugin.

use patchbay_host::HostError;
use patchbay_testkit::eventually;
use serde_json::json;

use crate::rig::{LONG, Plan, Plugin};

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_plugin_gets_nothing_and_goes_on_where_it_was() {
    let plan = Plan::new();
    let journal = plan.file("journal");
    let plan = plan.config("echo", json!({"journal": journal}));
    plan.enable(&Plugin::new("echo", "1.0.0"));
    let rig = plan.start().await;
    let view = rig.host.pause("echo", "ada").await.expect("it pauses");
    assert_eq!((view.state.as_str(), view.cause.who.as_str()), ("paused", "ada"));
    for _ in 0..10 {
        rig.publish("in.echo", "ack").await;
    }
    let ledger = rig.ledger("echo");
    assert_eq!((ledger.queued, ledger.done), (10, 0));
    let view = rig.host.resume("echo", "ada").await.expect("it resumes");
    assert_eq!(view.state, "running");
    rig.ledger_until("echo", |it| it.done == 10).await;
    rig.host.reset("echo", "ada").await.expect("it resets");
    let text = std::fs::read_to_string(&journal).expect("it was written");
    let calls: Vec<&str> = text.lines().filter_map(|line| line.split(' ').nth(2)).collect();
    assert_eq!(calls, ["init", "start", "pause", "resume", "reset"]);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_is_a_new_generation_of_the_same_library() {
    let plan = Plan::new();
    plan.enable(&Plugin::new("echo", "1.0.0"));
    let rig = plan.start().await;
    let before = rig.view("echo");
    let after = rig.host.restart("echo", "test").await.expect("it restarts");
    assert!(after.generation > before.generation);
    assert_eq!(after.digest, before.digest);
    rig.publish("in.echo", "ack").await;
    rig.ledger_until("echo", |it| it.done == 1).await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_asked_now() {
    let plan = Plan::new();
    plan.enable(&Plugin::new("echo", "1.0.0"));
    let rig = plan.start().await;
    let health = rig.host.health("echo").await.expect("it answers");
    assert_eq!((health.status.as_str(), health.detail.as_deref()), ("healthy", Some("fine")));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_refused() {
    let rig = Plan::new().start().await;
    for name in ["nobody", "../etc", ""] {
        let error = rig.host.pause(name, "test").await.expect_err("refused");
        assert_eq!(error, HostError::UnknownPlugin { plugin: name.to_owned() });
    }
    rig.enable(&Plugin::new("echo", "1.0.0"));
    rig.state("echo", "running").await;
    rig.home.unlink("echo");
    rig.state("echo", "stopped").await;
    let error = rig.host.resume("echo", "test").await.expect_err("refused");
    assert_eq!(error.code(), "wrong_state");
    rig.host.rescan(LONG).await.expect("it is read");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_waits_may_look_at_the_host_while_it_changes() {
    let plan = Plan::new();
    plan.enable(&Plugin::new("echo", "1.0.0"));
    let rig = plan.start().await;
    let host = rig.host.clone();
    let pausing = tokio::spawn(async move { host.pause("echo", "test").await });
    let look = || (rig.view("echo").state == "paused").then_some(());
    rig.until("echo", |_| {
        eventually("the change to come while it is waited for", LONG, look);
        true
    })
    .await;
    pausing.await.expect("it ends").expect("it pauses");
    rig.end().await;
}
