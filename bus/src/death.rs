//! What is known of the death of the process whose journal is opened (promise P-15).
//!
//! **Absent on purpose.** How it is known: whoever opens the bus has looked.

use std::collections::HashSet;

use patchbay_journal::Target;

/// Which calls may have ended the process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Death {
    /// Nothing is known: everything that was handed out and not settled may have.
    #[default]
    Silent,
    /// Only these may have. Who was handed out and is not among them is no suspect.
    Accused(Accused),
}

/// The calls that may have ended a process. A single one has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accused {
    /// Those of deliveries that the journal has.
    pub calls: HashSet<Target>,
    /// How many there are beside them, of which the journal knows nothing.
    pub others: usize,
    /// How the process died, for the history of a delivery that is charged with it.
    pub how: String,
    /// The generation that had the call of a single culprit, and its version; 0 and empty where that
    /// is not known.
    pub whose: (u64, String),
    /// A single culprit was with a version on trial, which does not come back by itself: the death is
    /// charged to that version and not to the delivery, which is tried alone (P-26).
    pub is_on_trial: bool,
}

/// The reason in a history where nothing is known but that nothing else was handed out.
const ALONE: &str = "the process died while it was handed out alone";

// === impl Death ===

impl Death {
    /// Whether a delivery that was handed out may have ended the process.
    pub(crate) fn accuses(&self, target: Target) -> bool {
        match self {
            Death::Silent => true,
            Death::Accused(accused) => accused.calls.contains(&target),
        }
    }

    /// Whether there is a single culprit that is to be charged, where `begun` deliveries were handed out.
    pub(crate) fn is_clear(&self, begun: usize) -> bool {
        match self {
            Death::Silent => begun == 1,
            Death::Accused(accused) => {
                !accused.is_on_trial && accused.calls.len() + accused.others == 1
            }
        }
    }

    /// The generation that died, and its version.
    pub(crate) fn whose(&self) -> (u64, String) {
        match self {
            Death::Silent => (0, String::new()),
            Death::Accused(accused) => accused.whose.clone(),
        }
    }

    pub(crate) fn reason(&self) -> &str {
        match self {
            Death::Silent => ALONE,
            Death::Accused(accused) => &accused.how,
        }
    }
}
