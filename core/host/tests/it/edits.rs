//! Links that are changed by hand while a transition runs: seen at once, applied after its end, and
//! nobody waits for that (P-30).

use std::{fs, sync::Arc};

use patchbay_host::TransitionRequest;
use patchbay_lifecycle::transition::{Asked, OutcomeKind, Report};
use patchbay_testkit::eventually;
use serde_json::json;

use crate::rig::{LONG, Plan, Plugin, Rig};

fn plugin(version: &'static str) -> Plugin {
    Plugin::new("echo", version).with("transition", json!({"strategy": "graceful", "bake": "1ms"}))
}

/// A host on which 2.0.0 has taken over from 1.0.0 and bakes until somebody decides; 3.0.0 is there.
async fn baking() -> Rig {
    let plan = Plan::new();
    plan.enable(&plugin("1.0.0"));
    for version in ["2.0.0", "3.0.0"] {
        let next = plugin(version);
        plan.home.install(&next.build(), &next.file_name());
    }
    let rig = plan.start().await;
    let request = TransitionRequest {
        to: "2.0.0".to_owned(),
        bake_ms: Some(3_600_000),
        ..TransitionRequest::default()
    };
    rig.host.transition_start("echo", request, "test").await.expect("it begins");
    report(&rig, "the bake", |report| report.phase == "baking");
    rig
}

fn report(rig: &Rig, what: &str, accept: impl Fn(&Report) -> bool) -> Arc<Report> {
    eventually(what, LONG, || rig.host.transition("echo").ok()?.filter(|it| accept(it)))
}

/// The link leads there now, and the host has read that.
async fn link(rig: &Rig, version: &str) {
    let file = format!("plugins/libraries/development/libecho-{version}.so");
    rig.home.link("echo", &rig.home.path().join(file));
    rig.host.rescan(LONG).await.expect("nobody waits for the end of the bake");
}

/// The first transition goes on as if nothing had happened; it is asked to end.
async fn untouched(rig: &Rig, asked: Asked) -> String {
    let report = rig.host.transition("echo").expect("known").expect("there is one");
    assert_eq!((&*report.phase, &*report.spec.to.version), ("baking", "2.0.0"));
    let versions = rig.host.generations();
    let mut versions: Vec<&str> = versions.iter().map(|it| it.version.as_str()).collect();
    versions.sort_unstable();
    assert_eq!(versions, ["1.0.0", "2.0.0"], "nothing else is loaded");
    rig.host.transition_ask("echo", asked, "test").await.expect("it is done");
    report.spec.id.clone()
}

/// How the transition with that id ended.
fn ended(rig: &Rig, id: &str) -> OutcomeKind {
    let over = || {
        let all = rig.host.transition_history(Some("echo")).ok()?;
        let it = all.into_iter().find(|it| it.spec.id == id && it.ended_unix_ns.is_some())?;
        it.outcome.as_ref().map(|outcome| outcome.kind)
    };
    eventually("the end of the first transition", LONG, over)
}

async fn serves(rig: &Rig, version: &str) {
    rig.until("echo", |view| view.version.as_deref() == Some(version)).await;
    let one_left = || (rig.host.generations().len() == 1).then_some(());
    eventually("the others are unmapped", LONG, one_left);
    rig.host.rescan(LONG).await.expect("it is read");
    let view = rig.view("echo");
    assert_eq!((view.version.as_deref(), view.failure), (Some(version), None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_link_that_leads_elsewhere_is_followed_after_the_end_whatever_that_is() {
    for (asked, kind, from) in [
        (Asked::Promote, OutcomeKind::Completed, "2.0.0"),
        (Asked::Rollback, OutcomeKind::RolledBack, "1.0.0"),
    ] {
        let rig = baking().await;
        link(&rig, "3.0.0").await;
        let first = untouched(&rig, asked).await;
        serves(&rig, "3.0.0").await;
        assert_eq!(ended(&rig, &first), kind);
        let second = report(&rig, "the second", |it| it.spec.id != first);
        assert_eq!((&*second.spec.from.version, &*second.spec.who), (from, "watcher"));
        rig.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_link_back_to_what_served_is_a_way_back_after_the_end() {
    for (asked, transitions) in [(Asked::Promote, 2), (Asked::Rollback, 1)] {
        let rig = baking().await;
        link(&rig, "1.0.0").await;
        let first = untouched(&rig, asked).await;
        ended(&rig, &first);
        serves(&rig, "1.0.0").await;
        let all = rig.host.transition_history(Some("echo")).expect("known");
        assert_eq!(all.len(), transitions, "{all:#?}");
        rig.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_link_that_cannot_be_used_changes_nothing_and_is_told_after_the_end() {
    let rig = baking().await;
    let file = rig.home.path().join("plugins/libraries/development/libtext.so");
    fs::write(&file, "no library").expect("a file");
    link(&rig, "none").await;
    rig.home.link("echo", &file);
    rig.host.rescan(LONG).await.expect("nobody waits for the end of the bake");
    let first = untouched(&rig, Asked::Promote).await;
    assert_eq!(ended(&rig, &first), OutcomeKind::Completed);
    let view = rig.until("echo", |view| view.failure.is_some() && view.state == "running").await;
    assert_eq!(view.version.as_deref(), Some("2.0.0"));
    assert_eq!(view.failure.expect("a failure").kind, "inspect");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_plugin_whose_link_is_removed_ends_after_the_end() {
    let rig = baking().await;
    rig.home.unlink("echo");
    rig.host.rescan(LONG).await.expect("nobody waits for the end of the bake");
    let first = untouched(&rig, Asked::Promote).await;
    assert_eq!(ended(&rig, &first), OutcomeKind::Completed);
    rig.until("echo", |view| view.state == "stopped").await;
    let none_left = || rig.host.generations().is_empty().then_some(());
    eventually("everything is unmapped", LONG, none_left);
    rig.end().await;
}
