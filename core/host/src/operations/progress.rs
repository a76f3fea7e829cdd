//! How far an operation came.

use serde::{Deserialize, Serialize};

use crate::view::LetterProblem;

/// Refusals that are told one by one.
const PROBLEMS_MAX: usize = 100;

/// How far it came, as the next host finds it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Progress {
    pub(super) state: OperationState,
    /// Letters before this one are worked on.
    pub(super) next: usize,
    pub(super) done: u64,
    pub(super) absent: u64,
    pub(super) refused: u64,
    pub(super) problems: Vec<LetterProblem>,
    /// Hosts that went on with it.
    pub(super) resumed: u32,
    pub(super) started_unix_ns: u64,
    pub(super) ended_unix_ns: Option<u64>,
}

/// Where it is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum OperationState {
    Running,
    /// It ends before its next group.
    Cancelling,
    Done,
    Cancelled,
    /// The host ends, or its journal has failed: the next host goes on.
    Interrupted,
}

/// What became of one letter.
pub(super) enum Outcome {
    Done,
    Absent,
    Refused(String),
}

// === impl Progress ===

impl Progress {
    pub(super) fn at(started_unix_ns: u64) -> Progress {
        Progress {
            state: OperationState::Running,
            next: 0,
            done: 0,
            absent: 0,
            refused: 0,
            problems: Vec::new(),
            resumed: 0,
            started_unix_ns,
            ended_unix_ns: None,
        }
    }

    pub(super) fn note(&mut self, number: u64, outcome: Outcome) {
        match outcome {
            Outcome::Done => self.done += 1,
            Outcome::Absent => self.absent += 1,
            Outcome::Refused(reason) => {
                self.refused += 1;
                if self.problems.len() < PROBLEMS_MAX {
                    self.problems.push(LetterProblem { number, reason });
                }
            }
        }
    }
}

// === impl OperationState ===

impl OperationState {
    pub(super) fn label(self) -> &'static str {
        match self {
            OperationState::Running | OperationState::Cancelling => "running",
            OperationState::Done => "done",
            OperationState::Cancelled => "cancelled",
            OperationState::Interrupted => "interrupted",
        }
    }
}
