//! What is asked of a transition under a key is done once, and answered alike (P-43).

use std::time::{SystemTime, UNIX_EPOCH};

use patchbay_host::{HostError, TransitionRequest};
use patchbay_lifecycle::transition::Asked;
use patchbay_testkit::eventually;
use serde_json::json;

use crate::rig::{LONG, Plan, Plugin, Rig};

/// A host on which 1.0.0 serves and 2.0.0 is tried, at 5 % until somebody promotes it.
async fn on_trial() -> Rig {
    let plan = Plan::new();
    plan.enable(&Plugin::new("echo", "1.0.0"));
    let next = Plugin::new("echo", "2.0.0");
    plan.home.install(&next.build(), &next.file_name());
    let rig = plan.start().await;
    let request = TransitionRequest {
        to: "2.0.0".to_owned(),
        strategy: Some("gradual".to_owned()),
        steps: Some(vec![5, 50, 100]),
        min_time_ms: Some(3_600_000),
        deadline_ms: Some(36_000_000),
        bake_ms: Some(3_600_000),
        idempotency_key: Some("start".to_owned()),
        ..TransitionRequest::default()
    };
    rig.host.transition_start("echo", request, "test").await.expect("it begins");
    stands(&rig, "shifting", 5);
    rig
}

fn stands(rig: &Rig, phase: &str, share: u8) {
    let report = || rig.host.transition("echo").expect("known").expect("there is one");
    let is_there = || Some(report()).filter(|it| it.phase == phase && it.share == share);
    eventually(format_args!("{phase} at {share} %"), LONG, is_there);
}

fn code(error: HostError) -> &'static str {
    match error {
        HostError::Refused { code, .. } => code,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_asked_again_under_its_key_is_done_once_and_answered_alike_over_restarts() {
    let rig = on_trial().await;
    let ask = async |rig: &Rig, asked, key: &str| {
        rig.host.transition_ask_once("echo", asked, "test", key).await
    };
    // At the same time, and once more afterwards.
    let asking: Vec<_> = (0..4)
        .map(|_| {
            let host = rig.host.clone();
            tokio::spawn(async move {
                host.transition_ask_once("echo", Asked::Promote, "test", "p").await
            })
        })
        .collect();
    let promoted = ask(&rig, Asked::Promote, "p").await.expect("it is promoted");
    for asking in asking {
        assert_eq!(asking.await.expect("no panic").expect("it is promoted"), promoted);
    }
    stands(&rig, "shifting", 50);
    // A key means one thing, whoever used it first; what was refused leaves it free.
    for (asked, key) in [(Asked::Abort, "p"), (Asked::Promote, "start")] {
        assert_eq!(code(ask(&rig, asked, key).await.expect_err("taken")), "key_taken");
    }
    let other = TransitionRequest {
        to: "2.0.0".to_owned(),
        idempotency_key: Some("p".to_owned()),
        ..TransitionRequest::default()
    };
    let started = rig.host.transition_start("echo", other, "test").await;
    assert_eq!(code(started.expect_err("taken")), "key_taken");
    assert_eq!(code(ask(&rig, Asked::Resume, "r").await.expect_err("no pause")), "wrong_phase");
    assert!(ask(&rig, Asked::Pause, "pause").await.expect("it waits").paused);
    assert!(!ask(&rig, Asked::Resume, "r").await.expect("it goes on").paused);
    ask(&rig, Asked::Promote, "another").await.expect("it is promoted");
    stands(&rig, "baking", 100);
    let back = ask(&rig, Asked::Rollback, "back").await.expect("it is rolled back");
    rig.until("echo", |view| view.version.as_deref() == Some("1.0.0")).await;
    let over =
        || rig.host.transition("echo").ok().flatten().filter(|it| it.ended_unix_ns.is_some());
    eventually("the end", LONG, over);
    assert_eq!(ask(&rig, Asked::Rollback, "back").await.expect("the same"), back);
    assert_eq!(code(ask(&rig, Asked::Rollback, "new").await.expect_err("over")), "no_transition");

    let Rig { home, host } = rig;
    assert!(host.shutdown(LONG).await.clean);
    // A host that died right after it had noted what it was about to do.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos();
    let at = u64::try_from(now).expect("a while to go");
    let line = json!({
        "key": "half", "verb": "promote", "transition": "t", "at_unix_ns": at, "answer": "open",
    });
    let file = home.path().join("data/transitions/asked.echo.jsonl");
    let kept = std::fs::read_to_string(&file).expect("what was kept");
    std::fs::write(&file, format!("{kept}{line}\n")).expect("it is written");
    let settings = Plan::in_home(&home);
    let rig = Plan { home, settings }.start().await;
    assert_eq!(ask(&rig, Asked::Promote, "p").await.expect("the same"), promoted);
    assert_eq!(ask(&rig, Asked::Rollback, "back").await.expect("the same"), back);
    assert_eq!(code(ask(&rig, Asked::Abort, "back").await.expect_err("taken")), "key_taken");
    let half = ask(&rig, Asked::Promote, "half").await.expect_err("nobody knows");
    assert_eq!(code(half), "outcome_unknown");
    rig.end().await;
}
