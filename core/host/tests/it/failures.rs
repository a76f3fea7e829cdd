//! Plugins that fail, and that hurt nobody.

use patchbay_host::{HostError, TransitionRequest, view::FailureView};
use patchbay_testkit::eventually;
use serde_json::json;

use crate::rig::{LONG, Plan, Plugin};

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_plugin_is_reported_with_its_reason_and_hurts_nobody() {
    let plan = Plan::new();
    let missing = plan.file("missing");
    let plan = plan
        .config("bad-create", json!({"create": "fail"}))
        .config("bad-init", json!({"needs_for_init": missing}))
        .config("bad-start", json!({"needs_for_start": missing}));
    for name in ["bad-create", "bad-init", "bad-start", "good"] {
        plan.enable(&Plugin::new(name, "1.0.0").with("restart", json!("never")));
    }
    let rig = plan.start().await;
    assert_eq!(rig.view("good").state, "running");
    rig.publish("in.good", "ack").await;
    rig.ledger_until("good", |it| it.done == 1).await;
    for (name, kind, reason) in [
        ("bad-create", "load", "told to fail"),
        ("bad-init", "init", "what init needs is not there"),
        ("bad-start", "start", "what start needs is not there"),
    ] {
        let view = rig.view(name);
        assert_eq!(view.state, "failed", "{view:#?}");
        let failure = view.failure.expect("a failure");
        assert_eq!(failure.kind, kind);
        assert!(failure.reason.contains(reason), "{failure:?}");
        let lines = rig.host.logs(name, 0).expect("it is known");
        assert!(lines.iter().any(|line| line.level == "error" && line.text.contains(reason)));
    }
    assert_eq!(rig.host.status().health, "degraded");
    assert!(rig.host.generations().iter().all(|it| it.plugin == "good"), "nothing is left mapped");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_init_is_tried_again_until_it_succeeds() {
    let plan = Plan::new();
    let needed = plan.file("needed");
    let plan = plan.config("late", json!({"needs_for_init": needed}));
    plan.enable(&Plugin::new("late", "1.0.0"));
    let rig = plan.start().await;
    rig.until("late", |view| view.restarts > 0 || view.failure.is_some()).await;
    std::fs::write(&needed, "").expect("a file");
    let view = rig.state("late", "running").await;
    assert!(view.failure.is_none(), "{view:#?}");
    assert!(view.restarts > 0);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_restarts_end_in_failed_and_an_operator_starts_it_again() {
    let plan = Plan::new();
    let needed = plan.file("needed");
    let plan = plan.config("bad", json!({"needs_for_init": needed}));
    plan.enable(&Plugin::new("bad", "1.0.0"));
    let rig = plan.start().await;
    let given_up = |view: &patchbay_host::view::PluginView| {
        let exhausted = |failure: &FailureView| failure.kind == "restarts_exhausted";
        view.state == "failed" && view.failure.as_ref().is_some_and(exhausted)
    };
    let view = rig.until("bad", given_up).await;
    assert_eq!(view.restarts, 5);
    let failure = view.failure.expect("a failure");
    assert!(failure.reason.contains("what init needs is not there"), "{failure:?}");
    assert!(failure.retry_at.is_none());

    let error = rig.host.restart("bad", "test").await.expect_err("it still fails");
    assert!(error.to_string().contains("what init needs is not there"), "{error}");
    std::fs::write(&needed, "").expect("a file");
    let view = rig.host.restart("bad", "test").await.expect("it starts");
    assert_eq!((view.state.as_str(), view.restarts), ("running", 0));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unhealthy_plugin_is_replaced_by_a_new_instance() {
    let plan = Plan::new();
    let needed = plan.file("needed");
    std::fs::write(&needed, "").expect("a file");
    let plan = plan.config("ill", json!({"needs_for_health": needed}));
    let health = json!({"interval": "100ms", "timeout": "30s", "failures": 2});
    plan.enable(&Plugin::new("ill", "1.0.0").with("health", health));
    let rig = plan.start().await;
    let before = rig.view("ill").generation;
    let checked = |view: &patchbay_host::view::PluginView| view.health.status == "healthy";
    // A check changes no state, so it is looked for by asking.
    rig.until("ill", checked).await;
    std::fs::remove_file(&needed).expect("it was there");
    let ill = |view: &patchbay_host::view::PluginView| {
        view.failure.as_ref().is_some_and(|it| it.kind == "health")
    };
    let view = rig.until("ill", ill).await;
    assert_eq!(view.generation, before, "it serves until a healthy one is there");
    std::fs::write(&needed, "").expect("a file");
    let view = rig.until("ill", |it| it.generation > before && it.failure.is_none()).await;
    assert_eq!(view.state, "running");
    rig.publish("in.ill", "ack").await;
    rig.ledger_until("ill", |it| it.done == 1).await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_plugin_that_was_given_up_is_done_by_the_next_version() {
    let plan = Plan::new();
    let needed = plan.file("needed");
    std::fs::write(&needed, "").expect("a file");
    let plan = plan.config("ill", json!({"needs_for_health": needed}));
    let health = json!({"interval": "100ms", "timeout": "30s", "failures": 1});
    let version = |version| {
        Plugin::new("ill", version).with("health", health.clone()).with("restart", json!("never"))
    };
    plan.enable(&version("1.0.0"));
    let rig = plan.start().await;
    std::fs::remove_file(&needed).expect("it was there");
    rig.state("ill", "failed").await;
    for _ in 0..10 {
        rig.publish("in.ill", "ack").await;
    }
    assert_eq!(rig.ledger("ill").queued, 10, "hand-offs stop, messages stay");
    std::fs::write(&needed, "").expect("a file");
    // There is nothing to compare a candidate with, and nothing to go back to.
    let to = TransitionRequest { to: "2.0.0".to_owned(), ..TransitionRequest::default() };
    match rig.host.transition_start("ill", to, "test").await {
        Err(HostError::Refused { code: "nothing_serves", remedy, .. }) => {
            assert!(remedy.contains("let its link lead to another version"), "{remedy}");
        }
        other => panic!("{other:?}"),
    }
    rig.enable(&version("2.0.0"));
    let view = rig.state("ill", "running").await;
    assert_eq!((view.version.as_deref(), view.failure), (Some("2.0.0"), None));
    rig.ledger_until("ill", |it| it.done == 10).await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_never_return_are_written_off_and_then_the_plugin_is_restarted() {
    let plan = Plan::new();
    let gate = plan.file("gate");
    let plan = plan.config("stuck", json!({"gate": gate}));
    let pool = json!({
        "min_workers": 1, "max_workers": 1, "max_abandoned": 1, "process_timeout": "100ms",
    });
    // Whoever hangs dies of it, so that one message is left for the next instance: it stays well.
    let retry = json!([{"topic": "in.stuck", "retry": {"on_error": "dead_letter"}}]);
    let plugin = Plugin::new("stuck", "1.0.0").with("worker_pool", pool);
    plan.enable(&plugin.with("subscriptions", retry));
    let rig = plan.start().await;
    let before = rig.view("stuck").generation;
    for _ in 0..3 {
        rig.publish("in.stuck", "hang").await;
    }
    let stuck = |view: &patchbay_host::view::PluginView| {
        view.failure.as_ref().is_some_and(|it| it.kind == "stuck") || view.generation > before
    };
    rig.until("stuck", stuck).await;
    rig.until("stuck", |it| it.generation > before && it.failure.is_none()).await;
    // The library of the old one cannot be unmapped: a thread is still in it.
    let quarantined = || {
        let all = rig.host.generations();
        all.iter().find_map(|it| it.quarantine.clone().filter(|_| Some(it.generation) == before))
    };
    let reason = eventually("the old library is in quarantine", LONG, quarantined);
    assert!(reason.contains("lanes still run"), "{reason}");
    assert_eq!(rig.host.status().quarantined, 1);
    // The call returns after all, and all is well again.
    std::fs::write(&gate, "").expect("a file");
    let one_left = || (rig.host.generations().len() == 1).then_some(());
    eventually("it is unmapped after all", LONG, one_left);
    rig.ledger_until("stuck", |it| it.done + it.dead == 3).await;
    rig.end().await;
}
