//! Transitions of real libraries under load: every strategy, and everything that can go wrong.

use std::{
    fmt,
    future::ready,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use patchbay_host::{
    Expectation, HostError, HostHandle, Probe, Room, TransitionRequest, view::LedgerView,
};
use patchbay_lifecycle::transition::{Asked, OutcomeKind, Report};
use patchbay_testkit::{eventually, eventually_async};
use serde_json::json;

use crate::rig::{LONG, Plan, Plugin, Rig, message};

/// Publishes to `in.echo` until it is dropped or told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    accepted: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<()>,
}

impl Load {
    fn start(host: &HostHandle, payload: &'static str) -> Load {
        let (stop, accepted) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (host, until, count) = (host.clone(), stop.clone(), accepted.clone());
        let task = tokio::spawn(async move {
            while !until.load(SeqCst) {
                let number = count.load(SeqCst);
                let mut message = message("in.echo", payload);
                message.key = Some((number % 5_000).to_string());
                host.publish(message, Room::Within(LONG)).await.expect("it is accepted");
                count.fetch_add(1, SeqCst);
                if number.is_multiple_of(8) {
                    // Pace, not a wait: without it, the load would be all that two processors do.
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        });
        Load { stop, accepted, task }
    }

    async fn end(self) -> u64 {
        self.stop.store(true, SeqCst);
        self.task.await.expect("it ends");
        self.accepted.load(SeqCst)
    }
}

fn plugin(version: &'static str) -> Plugin {
    Plugin::new("echo", version).with("mirror_safe", json!(true))
}

/// A host on which version 1.0.0 serves; the libraries of the others are there.
async fn rig(others: &[Plugin]) -> Rig {
    let plan = Plan::new();
    plan.enable(&plugin("1.0.0"));
    for other in others {
        plan.home.install(&other.build(), &other.file_name());
    }
    plan.start().await
}

/// Short times, and a bake that nobody waits for.
fn to(version: &str, strategy: &str) -> TransitionRequest {
    TransitionRequest {
        to: version.to_owned(),
        strategy: Some(strategy.to_owned()),
        steps: Some(vec![5, 50, 100]),
        min_samples: Some(20),
        min_time_ms: Some(20),
        bake_ms: Some(100),
        ..TransitionRequest::default()
    }
}

/// Waits until the report is as wanted.
async fn report(rig: &Rig, mut accept: impl FnMut(&Report) -> bool) -> Arc<Report> {
    let latest = || rig.host.transition("echo").expect("known").expect("one was started");
    let what = fmt::from_fn(|f| write!(f, "a report unlike {:#?}", latest()));
    let look = || {
        let report = latest();
        ready(accept(&report).then_some(report))
    };
    eventually_async(what, LONG, look).await
}

async fn over(rig: &Rig) -> Arc<Report> {
    report(rig, |report| report.ended_unix_ns.is_some()).await
}

async fn phase(rig: &Rig, phase: &str) -> Arc<Report> {
    report(rig, |report| report.phase == phase).await
}

/// Nothing was lost, nothing died, and one generation is left, of that version.
async fn whole(rig: Rig, accepted: u64, version: &str) {
    let ledger = rig.ledger_until("echo", |it| it.done == accepted).await;
    assert_eq!((ledger.accepted, ledger.dead, ledger.dropped.len()), (accepted, 0, 0));
    rig.until("echo", |view| view.version.as_deref() == Some(version)).await;
    let one_left = || (rig.host.generations().len() == 1).then_some(());
    eventually("the others are unmapped", LONG, one_left);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_strategy_moves_to_the_new_version_under_load_and_loses_nothing() {
    for strategy in ["immediate", "graceful", "gradual", "blue-green"] {
        let rig = rig(&[plugin("2.0.0")]).await;
        let load = Load::start(&rig.host, "ack");
        let begun = rig.host.transition_start("echo", to("2.0.0", strategy), "test").await;
        assert_eq!(begun.expect("it starts").spec.strategy.as_str(), strategy);
        let report = over(&rig).await;
        let outcome = report.outcome.as_ref().expect("it is over");
        assert_eq!(outcome.kind, OutcomeKind::Completed, "{strategy}: {report:#?}");
        let accepted = load.end().await;
        whole(rig, accepted, "2.0.0").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_candidate_that_does_badly_is_rolled_back_and_no_message_dies_of_it() {
    for (strategy, bad) in [
        ("gradual", "error"),
        ("gradual", "failed"),
        ("gradual", "retry"),
        ("gradual", "slow"),
        ("blue-green", "error"),
        ("blue-green", "silent"),
    ] {
        let rig = rig(&[plugin("2.0.0").bad(bad)]).await;
        let load = Load::start(&rig.host, "echo");
        let request = TransitionRequest { min_samples: Some(200), ..to("2.0.0", strategy) };
        rig.host.transition_start("echo", request, "test").await.expect("it starts");
        let report = over(&rig).await;
        let outcome = report.outcome.as_ref().expect("it is over");
        assert_eq!(outcome.kind, OutcomeKind::RolledBack, "{strategy}, {bad}: {report:#?}");
        assert_eq!(outcome.cause, "verdict", "{outcome}");
        if bad == "silent" {
            let difference = &report.comparison.differences[0];
            assert!(difference.expected.contains("out.1_0_0"), "{difference:?}");
        }
        // The failure itself goes with the link, which is pointed back.
        let told = || async {
            let detail = rig.host.plugin_detail("echo").await.expect("known");
            detail.supervision.setbacks.iter().any(|it| it.kind == "transition").then_some(())
        };
        eventually_async("the setback is told", LONG, told).await;
        let accepted = load.end().await;
        whole(rig, accepted, "1.0.0").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_a_candidate_says_about_copies_reaches_nobody() {
    // What it publishes, what it forwards, and what it replies.
    for payload in ["echo", "forward"] {
        let rig = rig(&[plugin("2.0.0")]).await;
        let mut out = rig.host.tap("out.*", 100_000).expect("a valid pattern");
        let load = Load::start(&rig.host, payload);
        let request = TransitionRequest {
            min_samples: Some(1_000_000),
            match_threshold: Some(0.0),
            ..to("2.0.0", "blue-green")
        };
        rig.host.transition_start("echo", request, "test").await.expect("it starts");
        let report = report(&rig, |report| report.comparison.compared >= 50).await;
        assert_eq!(report.phase, "mirroring");
        assert!(report.candidate.sample.attempts > 0, "it works on copies");
        for _ in 0..10 {
            let reply = rig.host.request(message("in.echo", "reply"), LONG).await;
            assert_eq!(reply.expect("a reply").payload, b"1.0.0", "what serves replies");
        }
        rig.host.transition_ask("echo", Asked::Abort, "test").await.expect("it is aborted");
        over(&rig).await;
        let sent = load.end().await;
        let settled = |it: &LedgerView| it.done + it.forwarded == sent + 10;
        let ledger = rig.ledger_until("echo", settled).await;
        assert_eq!((ledger.accepted, ledger.dead, ledger.dropped.len()), (sent + 10, 0, 0));
        for _ in 0..sent {
            let next = tokio::time::timeout(LONG, out.next()).await.expect("in time");
            let (message, _) = next.expect("the host runs");
            assert_eq!(message.topic, "out.1_0_0", "what the serving version sent");
        }
        rig.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn probes_decide_before_any_message_does() {
    // What it says to the second one is as expected, or not.
    for (second, wanted) in [("fail", true), ("error", false)] {
        for is_declared in [false, true] {
            let mut next = plugin("2.0.0");
            let mut request = TransitionRequest {
                mirror: Some(false),
                bake_ms: Some(0),
                ..to("2.0.0", "blue-green")
            };
            if is_declared {
                let probes = json!([
                    {"topic": "in.echo", "payload": "ack"},
                    {"topic": "in.echo", "payload": second, "expect": "failed"},
                ]);
                // Its manifest says how as well.
                request.strategy = None;
                let own = json!({"strategy": "blue-green", "probes": probes});
                next = next.with("transition", own);
            } else {
                request.probes = [("ack", "acknowledged"), (second, "failed")]
                    .map(|(payload, status)| Probe {
                        topic: "in.echo".to_owned(),
                        headers: Vec::new(),
                        payload: json!(payload),
                        expect: Expectation { status: status.to_owned(), forward: None },
                    })
                    .into();
            }
            let rig = rig(&[next]).await;
            rig.host.transition_start("echo", request, "test").await.expect("it starts");
            let report = over(&rig).await;
            let completed = report.outcome.as_ref().expect("over").kind == OutcomeKind::Completed;
            assert_eq!(completed, wanted, "declared: {is_declared}; {report:#?}");
            let ledger = rig.ledger_until("echo", |_| true).await;
            assert_eq!((ledger.accepted, ledger.dead), (0, 0), "probes are no messages");
            rig.end().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn dead_letters_of_the_old_version_are_tried_before_anything_else() {
    for (bad, wanted) in [("", OutcomeKind::Completed), ("failed", OutcomeKind::RolledBack)] {
        let plan = Plan::new();
        plan.enable(&plugin("1.0.0").bad("failed"));
        let next = plugin("2.0.0").bad(bad);
        plan.home.install(&next.build(), &next.file_name());
        let rig = plan.start().await;
        for _ in 0..10 {
            rig.publish("in.echo", "ack").await;
        }
        rig.ledger_until("echo", |it| it.dead == 10).await;
        let request = TransitionRequest {
            require_dlq_pass: Some(99.0),
            bake_ms: Some(0),
            ..to("2.0.0", "immediate")
        };
        rig.host.transition_start("echo", request, "test").await.expect("it starts");
        let report = over(&rig).await;
        assert_eq!(report.outcome.as_ref().expect("over").kind, wanted, "{report:#?}");
        assert_eq!(rig.ledger("echo").dead, 10, "they stay where they are");
        rig.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn operators_hold_promote_abort_and_roll_back() {
    let rig = rig(&[plugin("2.0.0")]).await;
    let load = Load::start(&rig.host, "ack");
    let held = TransitionRequest { hold: Some(5), ..to("2.0.0", "gradual") };
    let start = || rig.host.transition_start("echo", held.clone(), "test");
    // Held at 5 %: nothing goes on by itself, and a second one is refused.
    let first = start().await.expect("it starts");
    phase(&rig, "shifting").await;
    let second = rig.host.transition_start("echo", to("2.0.0", "immediate"), "test").await;
    let Err(HostError::Refused { code, reason, .. }) = second else { panic!("{second:?}") };
    assert_eq!(code, "transition_running");
    assert!(reason.contains(&first.spec.id), "{reason}");
    let paused = rig.host.pause("echo", "test").await;
    assert!(matches!(paused, Err(HostError::Refused { .. })), "{paused:?}");
    rig.host.transition_ask("echo", Asked::Abort, "test").await.expect("it is aborted");
    let report = over(&rig).await;
    assert_eq!(report.outcome.as_ref().expect("over").kind, OutcomeKind::Aborted);
    let back = rig.host.transition_ask("echo", Asked::Rollback, "test").await;
    assert!(matches!(back, Err(HostError::Refused { .. })), "{back:?}");
    rig.until("echo", |view| view.version.as_deref() == Some("1.0.0")).await;
    // Once more, to the same version: promoted into a long bake, and taken back out of it.
    let one_left = || (rig.host.generations().len() == 1).then_some(());
    eventually("the first candidate is gone", LONG, one_left);
    let long = TransitionRequest { bake_ms: Some(600_000), ..held.clone() };
    rig.host.transition_start("echo", long, "test").await.expect("it starts again");
    phase(&rig, "shifting").await;
    for _ in ["5 %", "50 %"] {
        rig.host.transition_ask("echo", Asked::Promote, "test").await.expect("it is promoted");
    }
    phase(&rig, "baking").await;
    rig.until("echo", |view| view.version.as_deref() == Some("2.0.0")).await;
    let asked = std::time::Instant::now();
    rig.host.transition_ask("echo", Asked::Rollback, "test").await.expect("it is rolled back");
    rig.until("echo", |view| view.version.as_deref() == Some("1.0.0")).await;
    println!("rollback: the old version served {:?} after the command", asked.elapsed());
    let report = over(&rig).await;
    assert_eq!(report.outcome.as_ref().expect("over").kind, OutcomeKind::RolledBack);
    let accepted = load.end().await;
    whole(rig, accepted, "1.0.0").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_makes_no_sense_is_refused_before_anything_starts() {
    let more = Plugin::new("echo", "4.0.0");
    let rig = rig(&[plugin("2.0.0"), more]).await;
    rig.home.install(&plugin("1.0.0").bad("slow").build(), "libother.so");
    let before = rig.view("echo");
    let base = || to("2.0.0", "gradual");
    for (code, request) in [
        ("unknown_version", to("9.9.9", "gradual")),
        ("unknown_version", to("development/none.so", "gradual")),
        ("unknown_version", to("../../../secret.so", "gradual")),
        ("already_serving", to("1.0.0", "gradual")),
        ("same_version_other_bytes", to("development/libother.so", "gradual")),
        ("share", TransitionRequest { steps: Some(vec![0, 100]), ..base() }),
        ("share", TransitionRequest { steps: Some(vec![101]), ..base() }),
        ("steps", TransitionRequest { steps: Some(vec![50, 5]), ..base() }),
        ("deadline", TransitionRequest { deadline_ms: Some(0), ..base() }),
        ("number", TransitionRequest { strategy: Some("sideways".to_owned()), ..base() }),
        ("not_mirror_safe", TransitionRequest { mirror: Some(true), ..to("4.0.0", "blue-green") }),
    ] {
        let refused = rig.host.transition_start("echo", request.clone(), "test").await;
        match refused {
            Err(HostError::Refused { code: found, reason, .. }) => {
                assert_eq!(found, code, "{request:?}: {reason}");
            }
            other => panic!("{request:?}: {other:?}"),
        }
    }
    assert_eq!(rig.view("echo").generation, before.generation);
    assert!(rig.host.transition("echo").expect("known").is_none(), "none was begun");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_state_that_is_too_large_or_of_another_schema_goes_nowhere() {
    let named = |schema: &str| json!({"strategy": "graceful", "state_schema": schema});
    let state = |version, schema: &str| {
        plugin(version).with("state", json!("export")).with("transition", named(schema))
    };
    let mut plan = Plan::new();
    plan.settings.limits.state_bytes = 64 << 10;
    plan.enable(&state("1.0.0", "echo/1").bad("huge"));
    for next in [state("2.0.0", "echo/1"), state("3.0.0", "echo/2")] {
        plan.home.install(&next.build(), &next.file_name());
    }
    let rig = plan.start().await;
    let refused = rig.host.transition_start("echo", to("3.0.0", "graceful"), "test").await;
    let Err(HostError::Refused { code, reason, .. }) = refused else { panic!("{refused:?}") };
    assert_eq!(code, "state_schema", "{reason}");
    rig.host.transition_start("echo", to("2.0.0", "graceful"), "test").await.expect("it starts");
    let report = over(&rig).await;
    let outcome = report.outcome.as_ref().expect("over");
    assert_eq!(outcome.kind, OutcomeKind::RolledBack, "{outcome}");
    assert!(outcome.reason.contains("65545 bytes, over the limit of 65536"), "{outcome}");
    whole(rig, 0, "1.0.0").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn state_goes_to_the_new_version_and_comes_back_with_a_rollback() {
    let plan = Plan::new();
    let named = json!({"strategy": "graceful", "state_schema": "echo/1"});
    let state =
        |version| plugin(version).with("state", json!("export")).with("transition", named.clone());
    plan.enable(&state("1.0.0"));
    plan.home.install(&state("2.0.0").build(), &state("2.0.0").file_name());
    let rig = plan.start().await;
    for _ in 0..10 {
        rig.publish("in.echo", "ack").await;
    }
    rig.ledger_until("echo", |it| it.done == 10).await;
    let request = TransitionRequest { bake_ms: Some(600_000), ..to("2.0.0", "graceful") };
    rig.host.transition_start("echo", request, "test").await.expect("it starts");
    phase(&rig, "baking").await;
    for _ in 0..5 {
        rig.publish("in.echo", "ack").await;
    }
    rig.ledger_until("echo", |it| it.done == 15).await;
    let seen = |detail: patchbay_host::view::PluginDetail| detail.own_metrics.expect("it answers");
    let detail = rig.host.plugin_detail("echo").await.expect("known");
    assert_eq!(seen(detail), json!({"seen": 15}), "it went on from what the old one had seen");
    rig.host.transition_ask("echo", Asked::Rollback, "test").await.expect("it is rolled back");
    over(&rig).await;
    let detail = rig.host.plugin_detail("echo").await.expect("known");
    assert_eq!(seen(detail), json!({"seen": 10}), "the snapshot taken at the cutover");
    whole(rig, 15, "1.0.0").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_step_is_an_event_in_the_order_of_the_report() {
    let rig = rig(&[plugin("2.0.0")]).await;
    let mut events = rig.host.events();
    let load = Load::start(&rig.host, "ack");
    rig.host.transition_start("echo", to("2.0.0", "gradual"), "test").await.expect("it starts");
    let report = over(&rig).await;
    let mut seen = Vec::new();
    while seen.len() < report.entries.len() {
        let next = tokio::time::timeout(LONG, events.next()).await.expect("in time");
        let event = next.expect("the host runs");
        assert_eq!(event.missed, 0);
        if event.topic == "$PB.transition.echo" {
            let said = event.data;
            assert_eq!((&said["id"], &said["to"]), (&json!(report.spec.id), &json!("2.0.0")));
            let text = |key: &str| said[key].as_str().expect("a text").to_owned();
            seen.push((text("phase"), text("text")));
        }
    }
    let told = report.entries.iter().map(|it| (it.phase.clone(), it.text.clone()));
    assert_eq!(seen, told.collect::<Vec<_>>());
    for phase in ["loading", "starting", "shifting", "cutting_over", "draining", "baking", "over"] {
        assert!(seen.iter().any(|(it, _)| it == phase), "{phase} in {seen:#?}");
    }
    let accepted = load.end().await;
    whole(rig, accepted, "2.0.0").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_has_ended_and_its_key_are_known_in_the_next_life_of_the_host() {
    let rig = rig(&[plugin("2.0.0"), plugin("3.0.0")]).await;
    let keyed = |version: &str, key: &str| TransitionRequest {
        idempotency_key: Some(key.to_owned()),
        bake_ms: Some(0),
        ..to(version, "immediate")
    };
    let mut ids = Vec::new();
    for (version, key) in [("2.0.0", "first"), ("3.0.0", "second")] {
        let begun = rig.host.transition_start("echo", keyed(version, key), "test").await;
        ids.push(begun.expect("it starts").spec.id.clone());
        over(&rig).await;
        rig.until("echo", |view| view.version.as_deref() == Some(version)).await;
    }
    let newest_first: Vec<_> = ids.iter().rev().cloned().collect();
    let known = async |rig: &Rig| {
        for name in [None, Some("echo")] {
            let all = rig.host.transition_history(name).expect("known");
            let found: Vec<_> = all.iter().map(|it| it.spec.id.clone()).collect();
            assert_eq!(found, newest_first);
            let completed = |it: &Arc<Report>| {
                it.outcome.as_ref().is_some_and(|it| it.kind == OutcomeKind::Completed)
            };
            assert!(all.iter().all(completed), "{all:#?}");
        }
        // Although another one ran since.
        let again = rig.host.transition_start("echo", keyed("2.0.0", "first"), "test").await;
        assert_eq!(again.expect("the same one").spec.id, ids[0]);
        match rig.host.transition_start("echo", keyed("1.0.0", "first"), "test").await {
            Err(HostError::Refused { code: "key_taken", reason, .. }) => {
                assert!(reason.contains(&ids[0]), "{reason}");
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(rig.view("echo").version.as_deref(), Some("3.0.0"), "nothing was begun");
    };
    known(&rig).await;
    let Rig { home, host } = rig;
    assert!(host.shutdown(LONG).await.clean);
    let settings = Plan::in_home(&home);
    let rig = Plan { home, settings }.start().await;
    known(&rig).await;
    rig.end().await;
}
