//! What is to be done, as a value: it can be printed, compared, refused and replayed.

use std::fmt;

use crate::{Generation, Identity};

/// One effect. The executor performs it and reports how it ended; it decides nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Copy the library, map the copy, create an instance.
    Open {
        /// Number of the new generation.
        generation: Generation,
        /// What it is made from.
        identity: Identity,
    },
    /// Let the instance acquire what it needs.
    Init(Generation),
    /// Ask the instance for its health.
    Check(Generation),
    /// Tell the instance that messages are about to flow.
    Start(Generation),
    /// Give the name's subscriptions to the generation: the cutover. No hand-off to `replaces`
    /// starts after it.
    Attach {
        /// Who serves from now on.
        generation: Generation,
        /// Who served before.
        replaces: Option<Generation>,
        /// Whether messages flow at once.
        flow: Flow,
    },
    /// Stop hand-offs and tell the instance; what is queued stays.
    Pause(Generation),
    /// Tell the instance and start hand-offs again.
    Resume(Generation),
    /// Take the name's subscriptions away: hand-offs stop, what is queued stays.
    Detach(Generation),
    /// Wait for what the generation holds; what is not settled in time is revoked.
    Drain(Generation),
    /// Let the instance release everything, and join its threads.
    Stop(Generation),
    /// Drop what is queued, counted as `unload`.
    Release,
    /// Destroy the instance and unmap its library, with proof.
    Retire(Generation),
}

/// Whether a cutover opens the flow of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Messages are handed off.
    Open,
    /// They wait: the plugin is paused.
    Held,
}

/// Steps in order. A step that fails ends the plan; see [`Step::may_fail`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The steps.
    pub steps: Vec<Step>,
}

// === impl Step ===

impl Step {
    /// Whether a failure of this step ends the plan. The others clean up: they report what went
    /// wrong, and the plan goes on.
    #[must_use]
    pub fn may_fail(self) -> bool {
        match self {
            Step::Open { .. }
            | Step::Init(_)
            | Step::Check(_)
            | Step::Start(_)
            | Step::Attach { .. }
            | Step::Pause(_)
            | Step::Resume(_) => true,
            Step::Detach(_) | Step::Drain(_) | Step::Stop(_) | Step::Release | Step::Retire(_) => {
                false
            }
        }
    }

    /// The generation that the step is about.
    #[must_use]
    pub fn generation(self) -> Option<Generation> {
        match self {
            Step::Open { generation, .. } | Step::Attach { generation, .. } => Some(generation),
            Step::Init(generation)
            | Step::Check(generation)
            | Step::Start(generation)
            | Step::Pause(generation)
            | Step::Resume(generation)
            | Step::Detach(generation)
            | Step::Drain(generation)
            | Step::Stop(generation)
            | Step::Retire(generation) => Some(generation),
            Step::Release => None,
        }
    }

    /// The verb, as in `cannot {verb} …`.
    #[must_use]
    pub fn verb(self) -> &'static str {
        match self {
            Step::Open { .. } => "load",
            Step::Init(_) => "initialise",
            Step::Check(_) => "check the health of",
            Step::Start(_) => "start",
            Step::Attach { .. } => "attach",
            Step::Pause(_) => "pause",
            Step::Resume(_) => "resume",
            Step::Detach(_) => "detach",
            Step::Drain(_) => "drain",
            Step::Stop(_) => "stop",
            Step::Release => "release the queue of",
            Step::Retire(_) => "retire",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Open { generation, identity } => {
                write!(f, "open {} as generation {generation}", identity.library.short())
            }
            Step::Init(generation) => write!(f, "init generation {generation}"),
            Step::Check(generation) => write!(f, "check generation {generation}"),
            Step::Start(generation) => write!(f, "start generation {generation}"),
            Step::Attach { generation, replaces, flow } => {
                write!(f, "attach generation {generation}")?;
                if let Some(old) = replaces {
                    write!(f, " in place of {old}")?;
                }
                if *flow == Flow::Held {
                    write!(f, ", held")?;
                }
                Ok(())
            }
            Step::Pause(generation) => write!(f, "pause generation {generation}"),
            Step::Resume(generation) => write!(f, "resume generation {generation}"),
            Step::Detach(generation) => write!(f, "detach generation {generation}"),
            Step::Drain(generation) => write!(f, "drain generation {generation}"),
            Step::Stop(generation) => write!(f, "stop generation {generation}"),
            Step::Release => write!(f, "release the queue"),
            Step::Retire(generation) => write!(f, "retire generation {generation}"),
        }
    }
}

// === impl Plan ===

impl Plan {
    /// Whether it puts one generation in the place of another.
    #[must_use]
    pub fn replaces(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::Attach { replaces: Some(_), .. }))
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.steps.iter().enumerate() {
            writeln!(f, "{}. {step}", index + 1)?;
        }
        Ok(())
    }
}
