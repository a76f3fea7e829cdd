//! From what is to what is wanted.
//!
//! [`plan`] is pure and total: it reads no clock and touches nothing. The order of its steps is the
//! promise of P-25: a candidate is opened, initialised, checked and started before the serving
//! generation is touched, so a step that fails leaves the serving generation as it was.
//!
//! **Absent on purpose.** When to try again after a failure: that is [`restart`](crate::restart)'s
//! matter, and reaches the planner as [`Target`].

use crate::{Flow, Generation, Identity, Instance, Observed, Plan, Queue, State, Step};

/// What is wanted of one plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// This is to serve.
    Serve {
        /// What.
        identity: Identity,
        /// Whether messages are to flow.
        flow: Flow,
    },
    /// What serves may go on; nothing new is tried. Where nothing serves, nothing is done.
    Keep {
        /// Whether messages are to flow.
        flow: Flow,
    },
    /// Nothing is to serve; messages wait.
    Halt,
    /// Nothing is to serve, and messages do not wait.
    Gone,
}

/// The steps from `observed` to `target`. `next` numbers a new generation.
#[must_use]
pub fn plan(target: Target, observed: &Observed, next: Generation) -> Plan {
    let mut steps = Vec::new();
    clear_leaving(observed, &mut steps);
    match target {
        Target::Serve { identity, flow } => serve(identity, flow, observed, next, &mut steps),
        Target::Keep { flow } => {
            dismiss(observed.candidate, &mut steps);
            set_flow(observed.serving, flow, &mut steps);
        }
        Target::Halt => {
            dismiss(observed.candidate, &mut steps);
            dismiss(observed.serving, &mut steps);
        }
        Target::Gone => {
            dismiss(observed.candidate, &mut steps);
            gone(observed, &mut steps);
        }
    }
    Plan { steps }
}

fn serve(
    identity: Identity,
    flow: Flow,
    observed: &Observed,
    next: Generation,
    steps: &mut Vec<Step>,
) {
    if observed.serving.is_some_and(|serving| serving.identity == identity) {
        dismiss(observed.candidate, steps);
        set_flow(observed.serving, flow, steps);
        return;
    }
    let (generation, state) = match observed.candidate {
        Some(candidate) if candidate.identity == identity => {
            (candidate.generation, candidate.state)
        }
        other => {
            dismiss(other, steps);
            steps.push(Step::Open { generation: next, identity });
            (next, State::Loaded)
        }
    };
    if state < State::Initialized {
        steps.push(Step::Init(generation));
    }
    if state < State::Starting {
        steps.extend([Step::Check(generation), Step::Start(generation)]);
    }
    let replaces = observed.serving.map(|serving| serving.generation);
    steps.push(Step::Attach { generation, replaces, flow });
    if flow == Flow::Held {
        steps.push(Step::Pause(generation));
    }
    if let Some(old) = replaces {
        steps.extend([Step::Drain(old), Step::Stop(old), Step::Retire(old)]);
    }
}

/// What leaves goes on leaving, before anything else is opened.
fn clear_leaving(observed: &Observed, steps: &mut Vec<Step>) {
    for instance in &observed.leaving {
        let generation = instance.generation;
        if instance.state == State::Draining {
            steps.extend([Step::Drain(generation), Step::Stop(generation)]);
        }
        steps.push(Step::Retire(generation));
    }
}

/// Ends a generation and leaves the queue as it is.
fn dismiss(instance: Option<Instance>, steps: &mut Vec<Step>) {
    if let Some(Instance { generation, .. }) = instance {
        steps.extend([
            Step::Detach(generation),
            Step::Drain(generation),
            Step::Stop(generation),
            Step::Retire(generation),
        ]);
    }
}

fn set_flow(serving: Option<Instance>, flow: Flow, steps: &mut Vec<Step>) {
    let Some(Instance { generation, state, .. }) = serving else { return };
    match (state, flow) {
        (State::Running, Flow::Held) => steps.push(Step::Pause(generation)),
        (State::Paused, Flow::Open) => steps.push(Step::Resume(generation)),
        _ => {}
    }
}

fn gone(observed: &Observed, steps: &mut Vec<Step>) {
    if let Some(Instance { generation, .. }) = observed.serving {
        steps.extend([Step::Detach(generation), Step::Drain(generation)]);
    }
    // Released between drain and stop: what a handler of this plugin published to the plugin itself
    // while it drained is counted with the rest.
    if observed.queue == Queue::Present {
        steps.push(Step::Release);
    }
    if let Some(Instance { generation, .. }) = observed.serving {
        steps.extend([Step::Stop(generation), Step::Retire(generation)]);
    }
}
