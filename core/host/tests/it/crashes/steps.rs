//! Every step at which a host can die: one that lasts for as long as a call of a version blocks.
//! What passes in an instant is met at random in `churn`.

use patchbay_host::{Expectation, Probe, TransitionRequest};
use patchbay_lifecycle::transition::{OutcomeKind, Standing};
use patchbay_testkit::Home;
use serde_json::json;

use super::{Task, die, record, restarted, serves, to_two};
use crate::rig::{Plugin, Rig};

/// One death.
struct Step {
    strategy: &'static str,
    /// What blocks, in which version.
    blocks: (&'static str, &'static str),
    /// What the candidate does badly.
    bad: &'static str,
    held: &'static [&'static str],
    asks: &'static [(&'static str, &'static str)],
    phase: &'static str,
    standing: &'static str,
}

const STEP: Step = Step {
    strategy: "graceful",
    blocks: ("", ""),
    bad: "",
    held: &["ack"],
    asks: &[],
    phase: "",
    standing: "trial",
};

// === impl Step ===

impl Step {
    /// A host that has died at this step, and was started again.
    async fn after(&self, change: impl FnOnce(&mut TransitionRequest)) -> Rig {
        let home = Home::new();
        let (blocking, call) = self.blocks;
        for version in ["2.0.0", "1.0.0"] {
            let named = json!({"strategy": "graceful", "state_schema": "echo/1"});
            let plugin = Plugin::new("echo", version)
                .with("mirror_safe", json!(true))
                .with("state", json!("export"))
                .with("transition", named)
                .bad(if version == "2.0.0" { self.bad } else { "" })
                .blocks(if version == blocking { call } else { "" });
            let place = home.install(&plugin.build(), &plugin.file_name());
            home.link("echo", &place);
        }
        let mut request = TransitionRequest { mirror: Some(false), ..to_two(self.strategy) };
        if self.strategy == "gradual" || self.strategy == "blue-green" {
            request.mirror = None;
        }
        change(&mut request);
        die(Task {
            home: home.path().into(),
            held: self.held.iter().map(|it| (*it).to_owned()).collect(),
            request: Some(request),
            asks: self
                .asks
                .iter()
                .map(|(in_phase, asked)| ((*in_phase).into(), (*asked).into()))
                .collect(),
            phase: self.phase.to_owned(),
            standing: Some(self.standing.to_owned()),
        });
        // Nothing blocks in the next life.
        for file in ["door", "gate"] {
            std::fs::write(home.path().join(file), "").expect("a file");
        }
        restarted(home).await
    }
}

/// The old version serves, and the record says why.
async fn is_old(rig: Rig, what: &str, kind: OutcomeKind, cause: &str) {
    serves(&rig, "1.0.0").await;
    let Standing::Over { outcome } = record(&rig).standing else { panic!("{:?}", record(&rig)) };
    assert_eq!((outcome.kind, &*outcome.cause), (kind, cause), "{what}: {outcome}");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_death_while_the_candidate_is_made_ready_leaves_the_old_version_serving() {
    for strategy in ["immediate", "graceful", "gradual", "blue-green"] {
        for (call, phase) in [
            ("create", "loading"),
            ("init", "initialising"),
            ("health", "checking"),
            ("start", "starting"),
        ] {
            let step = Step { strategy, blocks: ("2.0.0", call), phase, ..STEP };
            let rig = step.after(|_| {}).await;
            is_old(rig, phase, OutcomeKind::Aborted, "crash").await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_death_while_the_candidate_is_tried_leaves_the_old_version_serving() {
    // A dead letter that is never answered.
    let step = Step { bad: "hang", held: &["fail"], phase: "replaying", ..STEP };
    let rig = step.after(|request| request.require_dlq_pass = Some(1.0)).await;
    is_old(rig, "replaying", OutcomeKind::Aborted, "crash").await;
    // A probe that hangs.
    let probe = Probe {
        topic: "in.echo".to_owned(),
        headers: Vec::new(),
        payload: json!("hang"),
        expect: Expectation::default(),
    };
    let step = Step { strategy: "blue-green", phase: "probing", ..STEP };
    let rig = step.after(|request| request.probes = vec![probe]).await;
    is_old(rig, "probing", OutcomeKind::Aborted, "crash").await;
    // Ready for the cutover, and told to wait.
    for strategy in ["immediate", "graceful"] {
        let asks = &[("initialising", "pause"), ("initialising", "open")];
        let step = Step { strategy, blocks: ("2.0.0", "init"), asks, phase: "waiting", ..STEP };
        let rig = step.after(|_| {}).await;
        is_old(rig, "waiting", OutcomeKind::Aborted, "crash").await;
    }
    // On its way out.
    for (strategy, tried) in [("gradual", "shifting"), ("blue-green", "mirroring")] {
        let asks: &[(&str, &str)] =
            if tried == "shifting" { &[("shifting", "abort")] } else { &[("mirroring", "abort")] };
        let step =
            Step { strategy, blocks: ("2.0.0", "shutdown"), asks, phase: "aborting", ..STEP };
        let rig = step.after(|_| {}).await;
        is_old(rig, "aborting", OutcomeKind::Aborted, "crash").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_death_between_cutover_and_end_leaves_the_new_version_serving() {
    for (blocks, phase) in [
        (("1.0.0", "export"), "handing_over"),
        (("2.0.0", "import"), "handing_over"),
        (("", ""), "baking"),
    ] {
        let step = Step { blocks, phase, standing: "cut_over", ..STEP };
        let rig = step.after(|_| {}).await;
        serves(&rig, "2.0.0").await;
        let record = record(&rig);
        assert_eq!((&record.standing, record.deaths), (&Standing::CutOver, 1), "{phase}");
        rig.end().await;
    }
    for strategy in ["immediate", "graceful"] {
        let blocks = ("1.0.0", "shutdown");
        let step = Step { strategy, blocks, phase: "finalising", standing: "over", ..STEP };
        let rig = step.after(|request| request.bake_ms = Some(0)).await;
        serves(&rig, "2.0.0").await;
        let Standing::Over { outcome } = record(&rig).standing else {
            panic!("{:?}", record(&rig))
        };
        assert_eq!(outcome.kind, OutcomeKind::Completed);
        rig.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_death_on_the_way_back_leaves_the_old_version_serving() {
    for (strategy, asks) in [
        // The candidate holds a call when it is sent back.
        ("graceful", &[("baking", "hang"), ("baking", "rollback")]),
        ("immediate", &[("baking", "hang"), ("baking", "rollback")]),
    ] {
        let (phase, standing) = ("rolling_back", "restoring");
        let step = Step { strategy, asks, phase, standing, ..STEP };
        let rig = step.after(|_| {}).await;
        is_old(rig, "rolling back", OutcomeKind::RolledBack, "operator").await;
    }
    // In the middle of the drain, and while the candidate is unloaded.
    let asks = &[("draining", "rollback")];
    let held = &["hang", "ack"];
    let blocks = ("2.0.0", "shutdown");
    let (phase, standing) = ("rolling_back", "restoring");
    let step = Step { held, blocks, asks, phase, standing, ..STEP };
    let rig = step.after(|_| {}).await;
    is_old(rig, "rolling back in mid-drain", OutcomeKind::RolledBack, "operator").await;
}
