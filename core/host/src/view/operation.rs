//! Views of what takes a while: operations that go on after they were asked for.

use serde::{Deserialize, Serialize};

/// Something that goes on by itself after it was asked for: `GET /api/v1/operations/{id}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationView {
    /// Identifies it.
    pub id: String,
    /// `redrive` or `purge`.
    pub kind: String,
    /// `running`, `done`, `cancelled`, or `interrupted` when the host ended first: the next one goes
    /// on.
    pub state: String,
    /// Who asked for it.
    pub who: String,
    /// Dead letters that were selected.
    pub selected: u64,
    /// Those that it was done to.
    pub done: u64,
    /// Those that were not there any more: somebody else was faster, or it was done before.
    pub absent: u64,
    /// Those that a rule forbade it for; they are where they were.
    pub refused: u64,
    /// Why, for the first of those that were refused.
    pub problems: Vec<LetterProblem>,
    /// At most so many a second.
    pub rate: u32,
    /// Whether the next host goes on with it if this one ends first: not when the disk was too full to
    /// keep it.
    pub kept: bool,
    /// Later hosts that went on with it.
    pub resumed: u32,
    /// When it began, RFC 3339.
    pub started_at: String,
    /// When it ended, RFC 3339.
    pub ended_at: Option<String>,
}

/// Why nothing was done to one dead letter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LetterProblem {
    /// The dead letter.
    pub number: u64,
    /// Why.
    pub reason: String,
}

/// What an operation would do: the answer to a dry run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationPlan {
    /// `redrive` or `purge`.
    pub kind: String,
    /// Dead letters that are selected.
    pub selected: u64,
    /// Those that a rule forbids it for.
    pub refused: u64,
    /// Numbers that were named and do not exist.
    pub absent: Vec<u64>,
    /// What would happen to each, oldest first.
    pub letters: Vec<PlannedLetter>,
}

/// What would happen to one dead letter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedLetter {
    /// The dead letter.
    pub number: u64,
    /// Id of its message.
    pub mid: String,
    /// Topic of its message.
    pub topic: String,
    /// Plugin that owned the subscription.
    pub plugin: String,
    /// Pattern of the subscription that it would go to; absent when that is gone.
    pub subscription: Option<String>,
    /// Stable word for the reason of its death.
    pub class: String,
    /// What would happen: `redrive`, `purge` or `refuse`.
    pub would: String,
}
