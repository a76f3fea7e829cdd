//! The plan of a transition as text, before anything starts.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    request::{StateRule, TransitionSpec},
    strategy::{OnTimeout, Strategy},
};

/// One step of the plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutlineStep {
    /// What is done.
    pub does: String,
    /// How long it takes at least; `None` where the world decides.
    pub takes: Option<Duration>,
    /// How long it may take at most.
    pub limit: Option<Duration>,
    /// What can go wrong, and what happens then.
    pub otherwise: String,
}

/// The plan of a transition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outline {
    /// What it is, in a line.
    pub title: String,
    /// The steps in order.
    pub steps: Vec<OutlineStep>,
    /// What an operator should know before.
    pub notes: Vec<String>,
}

// === impl Outline ===

impl Outline {
    /// The plan for a specification. The same specification gives the same plan.
    #[must_use]
    pub fn of(spec: &TransitionSpec) -> Outline {
        let one = spec.from.library == spec.to.library;
        let [from, to] = [&spec.from, &spec.to].map(|end| match one {
            true => format!("{} (configuration {})", end.version, end.config.short()),
            false => format!("{} ({})", end.version, end.library.short()),
        });
        let title = format!("{} transition of {}: {from} -> {to}", spec.strategy, spec.plugin);
        let mut steps = prepare(spec);
        steps.extend(trial(spec));
        steps.extend(cutover(spec));
        Outline { title, steps, notes: notes(spec) }
    }
}

fn step(does: impl Into<String>, otherwise: &str) -> OutlineStep {
    OutlineStep { does: does.into(), takes: None, limit: None, otherwise: otherwise.to_owned() }
}

const NOTHING: &str = "aborted: the candidate is unloaded, the old version was not touched";

fn prepare(spec: &TransitionSpec) -> Vec<OutlineStep> {
    let mut steps = vec![
        step("record the beginning", "aborted: nothing was loaded"),
        step("load, init, check and start the candidate beside the old version", NOTHING),
    ];
    if let Some(required) = spec.terms.require_dlq_pass {
        steps.push(OutlineStep {
            limit: Some(spec.terms.deadline),
            ..step(
                format!("replay the dead letters into it: {required} % must pass"),
                "rolled back: the letters stay where they are",
            )
        });
    }
    steps
}

fn trial(spec: &TransitionSpec) -> Vec<OutlineStep> {
    let terms = &spec.terms;
    let worse = "rolled back when it is worse than the old version, or undecided at the deadline; \
                 what it failed at is repeated by the old version";
    let measured = |does: String, otherwise: &str| OutlineStep {
        takes: Some(terms.min_time),
        limit: Some(terms.deadline),
        ..step(does, otherwise)
    };
    match &spec.strategy {
        Strategy::Immediate | Strategy::Graceful => Vec::new(),
        Strategy::Gradual(gradual) => gradual
            .trial()
            .iter()
            .map(|share| {
                let hold =
                    if gradual.hold == Some(*share) { ", and hold until resumed" } else { "" };
                let samples = terms.min_samples;
                let does = format!("hand {share} % to it, at least {samples} samples{hold}");
                measured(does, worse)
            })
            .collect(),
        Strategy::BlueGreen(plan) => {
            let mut steps = Vec::new();
            if plan.probes > 0 {
                let does = format!("run {} probes through it: all must pass", plan.probes);
                let limit = Some(terms.deadline);
                steps.push(OutlineStep { limit, ..step(does, "rolled back; nothing was routed") });
            }
            if plan.mirror {
                let does = format!(
                    "run copies of at least {} messages through it: {} % of the outputs must be \
                     equal; they are captured and not routed",
                    terms.min_samples,
                    terms.rule.match_threshold * 100.0
                );
                steps.push(measured(does, "rolled back; nothing was routed"));
            }
            steps
        }
    }
}

fn cutover(spec: &TransitionSpec) -> Vec<OutlineStep> {
    let terms = &spec.terms;
    let back = spec.state != StateRule::ForwardOnly;
    let mut steps = vec![
        step("record the cutover", "aborted: the old version goes on serving"),
        step("cut over: no call of the old version begins any more", "back to the old version"),
    ];
    if spec.strategy == Strategy::Immediate {
        let does = "take away what the old version runs; it goes to the candidate";
        steps.push(step(does, "a call that cannot be stopped is written off, its answer refused"));
    } else {
        let otherwise = match terms.on_timeout {
            OnTimeout::Abort => "rolled back: the old version serves again",
            OnTimeout::Force => "what it still runs is taken away and goes to the candidate",
        };
        let limit = Some(terms.drain_deadline);
        let does = "let the old version finish what it holds";
        steps.push(OutlineStep { limit, ..step(does, otherwise) });
    }
    if spec.state == StateRule::HandOver {
        let does = "hand the state over, then let messages flow (they wait meanwhile)";
        steps.push(step(does, "rolled back: the old version still has its state"));
    }
    if !terms.bake.is_zero() {
        let otherwise = if back {
            "a crash or a worse error rate rolls back; so does a second death of the host"
        } else {
            "there is no way back; the supervisor restarts the candidate"
        };
        let does = "bake, with the old version ready";
        steps.push(OutlineStep { takes: Some(terms.bake), ..step(does, otherwise) });
    }
    steps.push(step("record the end and unload the old version", "it stays mapped and is listed"));
    steps
}

fn notes(spec: &TransitionSpec) -> Vec<String> {
    let mut notes = Vec::new();
    if spec.from.library == spec.to.library {
        notes.push("only the configuration changes".to_owned());
    }
    notes.push(match spec.state {
        StateRule::ForwardOnly => {
            "the manifest says `state: forward_only`: rollback is refused after the cutover, and \
             what the old version has not finished at the drain deadline is taken away"
                .to_owned()
        }
        StateRule::HandOver => {
            "the state is handed over by export_state and import_state".to_owned()
        }
        StateRule::Clean => "the candidate starts without the old version's own state".to_owned(),
    });
    if spec.state != StateRule::ForwardOnly {
        notes.push(
            "rollback is possible at every step; what the candidate has acknowledged by then stays \
             acknowledged"
                .to_owned(),
        );
    }
    notes
}

impl fmt::Display for Outline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.title)?;
        for (index, step) in self.steps.iter().enumerate() {
            write!(f, "{}. {}", index + 1, step.does)?;
            let time = |time: Duration| format!("{time:?}");
            match (step.takes, step.limit) {
                (Some(takes), Some(limit)) => {
                    write!(f, " [{} at least, {} at most]", time(takes), time(limit))?;
                }
                (Some(takes), None) => write!(f, " [{}]", time(takes))?,
                (None, Some(limit)) => write!(f, " [{} at most]", time(limit))?,
                (None, None) => {}
            }
            writeln!(f, "\n   otherwise: {}", step.otherwise)?;
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "note: {note}"))
    }
}
