//! What the host tells a transition, and what it is told to do.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    record::Record,
    sample::{Comparison, Difference, Sample},
};
use crate::{Generation, Refusal};

/// Number of an action of one transition. Only the end of the latest is listened to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Ticket(pub u64);

/// What the host is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Do this and report its end with [`Event::Ended`] and the same ticket.
    Perform {
        /// Which action.
        ticket: Ticket,
        /// What.
        action: Action,
    },
    /// Whatever runs under this ticket is of no interest any more: it may be cancelled.
    Forget {
        /// Which action.
        ticket: Ticket,
    },
    /// Tell the world: one line of the transition's progress.
    Tell(super::report::Entry),
}

/// One thing to do. Every action ends, within a limit of its own, well or badly. `SetShare(0)`,
/// `Mirror(false)`, `Revoke` and `Dismiss` only take away, and always end well.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Make this durable under the plugin's name, in place of what stood there.
    Record(Box<Record>),
    /// Copy the library, map the copy, create an instance.
    Load(Generation),
    /// Let the instance acquire what it needs.
    Init(Generation),
    /// Ask the instance for its health.
    Check(Generation),
    /// Tell the instance that messages are about to flow.
    Start(Generation),
    /// Run copies of the plugin's dead letters through the candidate; outputs are captured.
    Replay,
    /// Run the declared probes through the candidate; outputs are captured.
    Probe,
    /// Begin or end running copies of messages through the candidate; outputs are captured.
    Mirror(bool),
    /// Hand this percentage of the keys to the candidate, on trial: what it fails at is repeated by
    /// the serving version and charged to nobody. 0 is none, and ends the trial.
    SetShare(u8),
    /// The fence: no hand-off to `from` starts after this has ended.
    Cutover {
        /// Who served.
        from: Generation,
        /// Who serves from now on.
        to: Generation,
        /// Whether messages flow at once; else they wait for [`Action::Open`].
        open: bool,
    },
    /// Wait until the generation holds nothing; badly when it still does after this time.
    Drain(Generation, Duration),
    /// Give back what the generation holds: its leases are over, its late answers are refused.
    Revoke(Generation),
    /// Let `from` export its state and `to` import it. The snapshot is kept for a rollback.
    HandOver {
        /// Whose state.
        from: Generation,
        /// Who gets it.
        to: Generation,
    },
    /// Let messages flow to this generation after a cutover that held them.
    Open(Generation),
    /// Load, init, check and start a generation that is to be ready and not to serve.
    Warm(Generation),
    /// Drain with a short limit, stop and unload a generation that does not serve. Never fails.
    Dismiss(Generation),
}

/// What an action brought back.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Yield {
    /// It is done.
    #[default]
    Done,
    /// Of so many inputs so many ended well.
    Tried {
        /// Inputs.
        tried: u64,
        /// Those that ended as they should.
        passed: u64,
        /// Some that did not.
        differences: Vec<Difference>,
    },
    /// So many calls were taken away.
    Revoked {
        /// Calls.
        calls: u64,
    },
}

/// What the host tells.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// An action has ended.
    Ended {
        /// Which.
        ticket: Ticket,
        /// How.
        result: Result<Yield, Refusal>,
    },
    /// New counts of both generations, and of the comparison when there is a mirror.
    Measured {
        /// The old version.
        stable: Sample,
        /// The candidate.
        candidate: Sample,
        /// What was compared.
        comparison: Comparison,
    },
    /// The counts cannot be had.
    NotMeasured {
        /// Why.
        reason: String,
    },
    /// A generation failed by itself: crashed, stuck, unhealthy.
    Faulted {
        /// Which.
        generation: Generation,
        /// How.
        refusal: Refusal,
    },
    /// The time of [`Transition::wake_at`](super::Transition::wake_at) has come.
    Tick,
}

/// What an operator asks of a running transition.
#[derive(Clone, Debug, PartialEq)]
pub enum Asked {
    /// Stay as it is: no step forward, whatever is measured. Failures still count.
    Pause,
    /// Go on.
    Resume,
    /// Go on without waiting for more samples or time: the next step, or past the bake.
    Promote,
    /// Give up, before the cutover.
    Abort,
    /// Back to the old version, at any time before the end.
    Rollback,
}

/// Why an operator's wish was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AskRefused {
    /// It has ended.
    #[error("the transition has ended: {outcome}")]
    Over {
        /// How.
        outcome: String,
    },
    /// Not at this point.
    #[error("cannot {verb} while it is {phase}")]
    WrongPhase {
        /// What was asked.
        verb: &'static str,
        /// Where the transition stands.
        phase: &'static str,
        /// What to try.
        remedy: &'static str,
    },
    /// The new version has changed the state in a way that the old one cannot read.
    #[error(
        "the cutover is done and the manifest says `state: forward_only`: the old version cannot \
         read the state any more"
    )]
    ForwardOnly,
    /// The old version is not there any more.
    #[error("the old version cannot serve any more: {reason}")]
    OldIsGone {
        /// Why.
        reason: String,
    },
}

/// Who serves, as far as the transition knows: the answer to "which version, once".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Served {
    /// The version from which the transition goes.
    Old,
    /// The version to which it goes.
    New,
}

// === impl AskRefused ===

impl AskRefused {
    /// What to try.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            AskRefused::Over { .. } => "start another one",
            AskRefused::WrongPhase { remedy, .. } => remedy,
            AskRefused::ForwardOnly => "start a transition to a version that can read it",
            AskRefused::OldIsGone { .. } => "start a transition to it instead",
        }
    }
}

// === impl Asked ===

impl Asked {
    /// The verb.
    #[must_use]
    pub fn verb(&self) -> &'static str {
        match self {
            Asked::Pause => "pause",
            Asked::Resume => "resume",
            Asked::Promote => "promote",
            Asked::Abort => "abort",
            Asked::Rollback => "rollback",
        }
    }
}
