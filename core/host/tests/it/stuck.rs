//! Transitions in which a version does not come back: a candidate on trial, and the old version
//! while it drains, or while it is kept ready. A "hang" lasts until the gate is there.

use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
};

use patchbay_host::TransitionRequest;
use patchbay_lifecycle::transition::{Asked, OutcomeKind, Report};
use patchbay_testkit::{eventually, eventually_async};
use serde_json::json;

use crate::rig::{LONG, Plan, Plugin, Rig};

/// A host on which 1.0.0 serves and 2.0.0 is there, and the gate of both.
async fn rig(pool: serde_json::Value, bad: &'static str) -> (Rig, PathBuf) {
    let plan = Plan::new();
    let gate = plan.file("gate");
    let plan = plan.config("echo", json!({"gate": gate}));
    plan.enable(&Plugin::new("echo", "1.0.0").with("worker_pool", pool.clone()));
    let next = Plugin::new("echo", "2.0.0").with("worker_pool", pool).bad(bad);
    plan.home.install(&next.build(), &next.file_name());
    (plan.start().await, gate)
}

fn report(rig: &Rig, what: &str, accept: impl Fn(&Report) -> bool) -> Arc<Report> {
    eventually(what, LONG, || rig.host.transition("echo").ok()?.filter(|it| accept(it)))
}

fn over(rig: &Rig) -> Arc<Report> {
    report(rig, "the end of the transition", |it| it.ended_unix_ns.is_some())
}

/// Everything was done, by whom ever, and nothing died of it.
async fn whole(rig: Rig, accepted: u64) {
    let ledger = rig.ledger_until("echo", |it| it.done == accepted).await;
    assert_eq!((ledger.accepted, ledger.dead, ledger.dropped.len()), (accepted, 0, 0));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_candidate_that_hangs_on_trial_is_taken_back_and_costs_no_message() {
    let pool = json!({
        "min_workers": 2, "max_workers": 2, "max_abandoned": 2, "process_timeout": "50ms",
    });
    let (rig, gate) = rig(pool, "hang").await;
    let request = TransitionRequest {
        to: "2.0.0".to_owned(),
        strategy: Some("gradual".to_owned()),
        steps: Some(vec![50, 100]),
        min_samples: Some(20),
        min_time_ms: Some(20),
        ..TransitionRequest::default()
    };
    rig.host.transition_start("echo", request, "test").await.expect("it begins");
    let accepted = AtomicU64::new(0);
    // A step is judged by messages, so they come until the end.
    let publish_on = || async {
        rig.publish("in.echo", "ack").await;
        accepted.fetch_add(1, SeqCst);
        rig.host.transition("echo").ok()??.ended_unix_ns
    };
    eventually_async("the end of the transition", LONG, publish_on).await;
    let accepted = accepted.into_inner();
    let outcome = over(&rig).outcome.clone().expect("over");
    assert_eq!(outcome.kind, OutcomeKind::RolledBack, "{outcome}");
    rig.until("echo", |view| view.version.as_deref() == Some("1.0.0")).await;
    rig.ledger_until("echo", |it| it.done == accepted).await;
    // What hangs may end now.
    fs::write(gate, "").expect("a file");
    whole(rig, accepted).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_old_version_that_never_drains_is_back_or_loses_its_calls_as_it_was_said() {
    for (on_timeout, kind) in
        [("abort", OutcomeKind::RolledBack), ("force", OutcomeKind::Completed)]
    {
        let (rig, gate) = rig(json!({"min_workers": 2, "max_workers": 2}), "").await;
        rig.publish("in.echo", "hang").await;
        rig.ledger_until("echo", |it| it.in_flight == 1).await;
        let request = TransitionRequest {
            to: "2.0.0".to_owned(),
            strategy: Some("graceful".to_owned()),
            drain_deadline_ms: Some(100),
            on_timeout: Some(on_timeout.to_owned()),
            bake_ms: Some(0),
            ..TransitionRequest::default()
        };
        rig.host.transition_start("echo", request, "test").await.expect("it begins");
        // The old version may be unloaded only when what it runs has ended.
        if on_timeout == "force" {
            report(&rig, "the new version", |it| it.phase == "finalising" || it.phase == "over");
            fs::write(&gate, "").expect("a file");
        }
        let outcome = over(&rig).outcome.clone().expect("over");
        assert_eq!(outcome.kind, kind, "{outcome}");
        let serves = if kind == OutcomeKind::Completed { "2.0.0" } else { "1.0.0" };
        rig.until("echo", |view| view.version.as_deref() == Some(serves)).await;
        rig.publish("in.echo", "ack").await;
        fs::write(&gate, "").expect("a file");
        whole(rig, 2).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_old_version_that_is_still_inside_a_call_can_be_rolled_back_to() {
    let (rig, gate) = rig(json!({"min_workers": 2, "max_workers": 2}), "").await;
    rig.publish("in.echo", "hang").await;
    rig.ledger_until("echo", |it| it.in_flight == 1).await;
    let request = TransitionRequest {
        to: "2.0.0".to_owned(),
        strategy: Some("immediate".to_owned()),
        bake_ms: Some(3_600_000),
        ..TransitionRequest::default()
    };
    rig.host.transition_start("echo", request, "test").await.expect("it begins");
    report(&rig, "the bake", |it| it.phase == "baking");
    rig.host.transition_ask("echo", Asked::Rollback, "test").await.expect("it is rolled back");
    rig.until("echo", |view| view.version.as_deref() == Some("1.0.0")).await;
    rig.publish("in.echo", "ack").await;
    rig.ledger_until("echo", |it| it.done == 1).await;
    fs::write(gate, "").expect("a file");
    assert_eq!(over(&rig).outcome.clone().expect("over").kind, OutcomeKind::RolledBack);
    whole(rig, 2).await;
}
