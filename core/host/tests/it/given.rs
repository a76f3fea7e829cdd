//! Settings that a plugin is given while the host runs: through the same strategies as a version,
//! refused as a whole, and taken back like one.

use std::path::PathBuf;

use patchbay_host::{HostError, PluginSettings, TransitionRequest};
use patchbay_lifecycle::transition::{Asked, OutcomeKind};
use patchbay_testkit::{eventually, eventually_async};
use serde_json::{Value, json};

use crate::rig::{LONG, Plan, Plugin, Rig};

fn plugin(version: &'static str) -> Plugin {
    let schema = json!({"type": "object", "properties": {"says": {"type": "string"}}});
    Plugin::new("echo", version)
        .with("mirror_safe", json!(true))
        .with("config_schema", schema)
        .with("transition", json!({"strategy": "graceful", "bake": "1ms"}))
}

/// A host whose settings let 1.0.0 say `one`.
async fn rig() -> Rig {
    let plan = Plan::new().config("echo", json!({"says": "one"}));
    plan.enable(&plugin("1.0.0"));
    let next = plugin("2.0.0");
    plan.home.install(&next.build(), &next.file_name());
    plan.start().await
}

fn file(rig: &Rig) -> PathBuf {
    rig.home.path().join("plugins/settings/echo.json")
}

fn settings(config: Value) -> Option<PluginSettings> {
    Some(serde_json::from_value(json!({"config": config})).expect("settings"))
}

fn to_say(text: &str, strategy: &str) -> TransitionRequest {
    TransitionRequest {
        settings: settings(json!({"says": text})),
        strategy: Some(strategy.to_owned()),
        steps: Some(vec![50, 100]),
        min_samples: Some(20),
        min_time_ms: Some(20),
        // The outputs are to differ.
        match_threshold: Some(0.0),
        bake_ms: Some(0),
        ..TransitionRequest::default()
    }
}

/// What the plugin says now, and whether it is what the host shows.
async fn says(rig: &Rig, wanted: &str) {
    let detail = rig.host.plugin_detail("echo").await.expect("known");
    assert_eq!(detail.config["says"], *wanted);
    let mut out = rig.host.tap("out.*", 10).expect("a valid pattern");
    rig.publish("in.echo", "echo").await;
    let next = tokio::time::timeout(LONG, out.next()).await.expect("in time");
    let (message, _) = next.expect("the host runs");
    assert_eq!(message.payload, wanted.as_bytes());
}

fn over(rig: &Rig, kind: OutcomeKind) {
    let ended = || {
        let report = rig.host.transition("echo").expect("known")?;
        report.ended_unix_ns.is_some().then_some(report)
    };
    let report = eventually("the end of the transition", LONG, ended);
    assert_eq!(report.outcome.as_ref().expect("over").kind, kind, "{report:#?}");
    assert_eq!(report.spec.from.library, report.spec.to.library);
    let at_rest = || (rig.host.generations().len() == 1).then_some(());
    eventually("the other one is gone", LONG, at_rest);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn other_settings_take_over_through_every_strategy_lose_nothing_and_outlive_the_host() {
    let rig = rig().await;
    says(&rig, "one").await;
    let link = std::fs::read_link(rig.home.enabled().join("echo")).expect("a link");
    let mut accepted = 1;
    for (text, strategy) in
        [("two", "immediate"), ("three", "graceful"), ("four", "gradual"), ("five", "blue-green")]
    {
        let version = rig.view("echo").version;
        let begun = rig.host.transition_start("echo", to_say(text, strategy), "test").await;
        assert_eq!(begun.expect("it begins").spec.strategy.as_str(), strategy);
        let ended = || rig.host.transition("echo").ok()??.ended_unix_ns;
        while ended().is_none() {
            rig.publish("in.echo", "ack").await;
            accepted += 1;
        }
        over(&rig, OutcomeKind::Completed);
        assert_eq!(rig.view("echo").version, version, "it is the same library");
        says(&rig, text).await;
        accepted += 1;
    }
    let ledger = rig.ledger_until("echo", |it| it.done == accepted).await;
    assert_eq!((ledger.accepted, ledger.dead, ledger.dropped.len()), (accepted, 0, 0));
    assert_eq!(std::fs::read_link(rig.home.enabled().join("echo")).expect("a link"), link);
    let again = rig.host.transition_start("echo", to_say("five", "graceful"), "test").await;
    let Err(HostError::Refused { code, .. }) = again else { panic!("{again:?}") };
    assert_eq!(code, "already_serving");

    let Rig { home, host } = rig;
    assert!(host.shutdown(LONG).await.clean);
    let plan = Plan { settings: Plan::in_home(&home), home };
    let rig = plan.config("echo", json!({"says": "one"})).start().await;
    says(&rig, "five").await;
    // Nothing on top is what the host was started with; a new version may come with it.
    let bare = TransitionRequest {
        to: "2.0.0".to_owned(),
        settings: Some(PluginSettings::default()),
        bake_ms: Some(0),
        ..TransitionRequest::default()
    };
    rig.host.transition_start("echo", bare, "test").await.expect("it begins");
    rig.until("echo", |view| view.version.as_deref() == Some("2.0.0")).await;
    says(&rig, "one").await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn settings_that_do_not_fit_are_refused_as_a_whole_and_change_nothing() {
    let rig = rig().await;
    let before = rig.view("echo").generation;
    let other = PluginSettings { enabled: Some(false), ..PluginSettings::default() };
    let pool = json!({"worker_pool": {"min_wrokers": 2}});
    for (given, reason) in [
        (settings(json!({"says": 7})), "schema"),
        (Some(other), "its link says"),
        (Some(serde_json::from_value(pool).expect("settings")), "min_wrokers"),
    ] {
        let request = TransitionRequest { settings: given, ..to_say("", "graceful") };
        let refused = rig.host.transition_start("echo", request, "test").await;
        let Err(HostError::Refused { code, reason: said, .. }) = refused else {
            panic!("{refused:?}")
        };
        assert_eq!(code, "contract");
        assert!(said.contains(reason), "{said}");
    }
    assert!(!file(&rig).exists() && rig.view("echo").generation == before);
    assert!(rig.host.transition("echo").expect("known").is_none(), "none was begun");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_rollback_takes_the_settings_back() {
    let rig = rig().await;
    rig.host.transition_start("echo", to_say("two", "graceful"), "test").await.expect("it begins");
    over(&rig, OutcomeKind::Completed);
    let before = std::fs::read_to_string(file(&rig)).expect("what was given");
    let long = TransitionRequest { bake_ms: Some(600_000), ..to_say("three", "graceful") };
    rig.host.transition_start("echo", long, "test").await.expect("it begins");
    let baking = || rig.host.transition("echo").ok()?.filter(|it| it.phase == "baking");
    eventually("the bake", LONG, baking);
    says(&rig, "three").await;
    rig.host.transition_ask("echo", Asked::Rollback, "test").await.expect("it is rolled back");
    over(&rig, OutcomeKind::RolledBack);
    says(&rig, "two").await;
    let is_back = || std::fs::read_to_string(file(&rig)).ok().filter(|text| *text == before);
    eventually("the settings are those from before", LONG, is_back);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_file_that_is_changed_by_hand_is_taken_over_and_a_broken_one_is_not() {
    let rig = rig().await;
    let config = async |wanted: &str| {
        rig.until("echo", |view| view.failure.is_none() && view.generation.is_some()).await;
        let look = || async {
            let detail = rig.host.plugin_detail("echo").await.expect("known");
            (detail.config["says"] == *wanted).then_some(())
        };
        eventually_async(wanted, LONG, look).await;
    };
    std::fs::write(file(&rig), json!({"config": {"says": "two"}}).to_string()).expect("written");
    config("two").await;
    std::fs::write(file(&rig), "{").expect("written");
    let failed = rig.until("echo", |view| view.failure.is_some()).await;
    let failure = failed.failure.expect("a failure");
    assert_eq!(failure.kind, "config");
    assert!(failure.reason.contains("echo.json"), "{}", failure.reason);
    says(&rig, "two").await;
    std::fs::remove_file(file(&rig)).expect("it was there");
    config("one").await;
    says(&rig, "one").await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_record_that_cannot_be_read_serves_nothing_on_a_guess() {
    let rig = rig().await;
    rig.host.transition_start("echo", to_say("two", "graceful"), "test").await.expect("it begins");
    over(&rig, OutcomeKind::Completed);
    let Rig { home, host } = rig;
    assert!(host.shutdown(LONG).await.clean);
    let record = home.path().join("data/transitions/transition.echo.json");
    let kept = std::fs::read(&record).expect("a record");
    let mut newer: Value = serde_json::from_slice(&kept).expect("JSON");
    newer["format"] = json!(99);
    for (damaged, problem) in
        [(kept[..kept.len() / 2].to_vec(), "EOF"), (newer.to_string().into_bytes(), "format is 99")]
    {
        std::fs::write(&record, damaged).expect("written");
        let settings = Plan::in_home(&home);
        let host = patchbay_host::Host::start(settings).await.expect("the host itself starts");
        host.ready(LONG).await.expect("it is ready");
        let view = host.plugin("echo").expect("known");
        let failure = view.failure.expect("it does not run");
        assert_eq!((view.generation, &*failure.kind), (None, "transition"));
        for said in ["transition.echo.json", problem, "or remove it"] {
            assert!(failure.reason.contains(said), "{}", failure.reason);
        }
        // What it says to do helps, without a restart.
        std::fs::write(&record, &kept).expect("written");
        let serves = || host.plugin("echo").ok().filter(|view| view.generation.is_some());
        eventually("it serves", LONG, serves);
        assert!(host.shutdown(LONG).await.clean);
    }
}
