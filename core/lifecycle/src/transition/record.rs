//! What survives a crash, and what it means at the next start (P-29).

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use super::{event::Served, request::TransitionSpec, verdict::Judgement};
use crate::{Digest, Generation, Now};

/// Version of the record's format.
pub const FORMAT: u32 = 1;
/// Deaths of the host within one bake after which the old version serves.
pub const DEATHS_MAX: u32 = 2;

/// The durable state of a transition: one per plugin, the latest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Version of this format.
    pub format: u32,
    /// What was asked for.
    pub spec: TransitionSpec,
    /// Where it stands.
    pub standing: Standing,
    /// Number of the old version's generation when this was written.
    pub old: Generation,
    /// Number of the candidate's generation when this was written.
    pub candidate: Generation,
    /// Rises with every change of who serves.
    pub epoch: u64,
    /// Deaths of the host since the cutover.
    pub deaths: u32,
    /// How long the bake still took when this was written.
    pub bake_left: Duration,
    /// When this was written, nanoseconds since the Unix epoch.
    pub at_unix_ns: u64,
    /// The verdict, once there is one.
    pub verdict: Option<Judgement>,
    /// Where the link led when this was announced, if not to what served: a former life gave that
    /// up, and until the link is changed it is not to be served by itself either.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aside: Option<Digest>,
}

/// What is certain about a transition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Standing {
    /// The old version serves; the candidate is prepared or tried.
    Trial,
    /// The candidate serves; the old version may be wanted back.
    CutOver,
    /// The old version serves again; the candidate is on its way out.
    Restoring {
        /// Why.
        outcome: Outcome,
    },
    /// It has ended.
    Over {
        /// How.
        outcome: Outcome,
    },
}

/// How a transition ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// One of three.
    pub kind: OutcomeKind,
    /// A stable word for the reason: `done`, `verdict`, `operator`, `candidate_failed`,
    /// `drain_deadline`, `record`, `crash`, `shutdown`, `boot_guard`, `state`, `serving_failed`.
    pub cause: String,
    /// The reason in a sentence.
    pub reason: String,
}

/// One of three.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeKind {
    /// The new version serves.
    Completed,
    /// The new version never served alone; the old one serves.
    Aborted,
    /// The old version serves again, or still, because the new one was found wanting.
    RolledBack,
}

/// How the host's former life ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostEnd {
    /// As it should.
    Orderly,
    /// It died.
    Died {
        /// Whether the crash record names the candidate as the culprit.
        names_candidate: bool,
    },
}

/// What a record means at the start of a host.
#[derive(Clone, Debug, PartialEq)]
pub struct Recovery {
    /// Who is to serve. Never both, never neither.
    pub serve: Served,
    /// To be made durable before that version is loaded; equal to what was read when nothing is to
    /// be written.
    pub record: Record,
}

/// Decides who serves after a start, from nothing but the durable record. Applying it to its own
/// record after an orderly end changes nothing any more but the time.
#[must_use]
pub fn recover(record: &Record, end: HostEnd, now: Now) -> Recovery {
    let died = matches!(end, HostEnd::Died { .. });
    let over = |record: Record, outcome: Outcome| Record {
        standing: Standing::Over { outcome },
        at_unix_ns: now.unix_ns,
        ..record
    };
    let record = record.clone();
    match record.standing.clone() {
        Standing::Over { outcome } => Recovery { serve: outcome.kind.serves(), record },
        Standing::Trial => {
            let outcome = if died {
                Outcome::new(OutcomeKind::Aborted, "crash", "the host died before the cutover")
            } else {
                Outcome::new(OutcomeKind::Aborted, "shutdown", "the host ended before the cutover")
            };
            Recovery { serve: Served::Old, record: over(record, outcome) }
        }
        Standing::Restoring { outcome } => {
            Recovery { serve: Served::Old, record: over(record, outcome) }
        }
        Standing::CutOver => {
            let deaths = record.deaths + u32::from(died);
            let named = matches!(end, HostEnd::Died { names_candidate: true });
            let may_go_back = record.spec.state != super::request::StateRule::ForwardOnly;
            if may_go_back && (named || deaths >= DEATHS_MAX) {
                let reason = if named {
                    "the host died in a call of the new version".to_owned()
                } else {
                    format!("the host died {deaths} times while the new version was baking")
                };
                let outcome = Outcome::new(OutcomeKind::RolledBack, "boot_guard", &reason);
                let epoch = record.epoch + 1;
                let record = over(Record { deaths, epoch, ..record }, outcome);
                return Recovery { serve: Served::Old, record };
            }
            // A clock that jumped ahead can only end the bake; one that jumped back can never
            // stretch it.
            let passed = Duration::from_nanos(now.unix_ns.saturating_sub(record.at_unix_ns));
            let bake_left = record.bake_left.saturating_sub(passed);
            let at_unix_ns = now.unix_ns;
            let record = Record { deaths, bake_left, at_unix_ns, ..record };
            Recovery { serve: Served::New, record }
        }
    }
}

// === impl Record ===

impl Record {
    /// The record of a transition that is about to begin: nothing is loaded for it yet.
    #[must_use]
    pub fn announced(
        spec: TransitionSpec,
        old: Generation,
        aside: Option<Digest>,
        at_unix_ns: u64,
    ) -> Record {
        Record {
            aside,
            format: FORMAT,
            standing: Standing::Trial,
            old,
            // It has no number yet.
            candidate: Generation::default(),
            epoch: 0,
            deaths: 0,
            bake_left: spec.terms.bake,
            at_unix_ns,
            verdict: None,
            spec,
        }
    }
}

// === impl Outcome ===

impl Outcome {
    /// An outcome from its parts.
    #[must_use]
    pub fn new(kind: OutcomeKind, cause: &str, reason: &str) -> Outcome {
        Outcome { kind, cause: cause.to_owned(), reason: reason.to_owned() }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.kind.as_str(), self.cause, self.reason)
    }
}

// === impl OutcomeKind ===

impl OutcomeKind {
    /// Who serves after it.
    #[must_use]
    pub fn serves(self) -> Served {
        match self {
            OutcomeKind::Completed => Served::New,
            OutcomeKind::Aborted | OutcomeKind::RolledBack => Served::Old,
        }
    }

    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            OutcomeKind::Completed => "completed",
            OutcomeKind::Aborted => "aborted",
            OutcomeKind::RolledBack => "rolled_back",
        }
    }
}
