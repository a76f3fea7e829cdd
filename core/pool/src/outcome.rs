//! How a call ended, as a handler says it.

use patchbay_bus::Verdict;

/// How a call ended.
#[derive(Debug)]
pub enum Outcome {
    /// Done.
    Ack,
    /// Anything else that the bus has a word for.
    Verdict(Verdict),
    /// The call was dropped because the feed said that it is cancelled.
    Cancelled,
}

impl From<Verdict> for Outcome {
    fn from(verdict: Verdict) -> Outcome {
        Outcome::Verdict(verdict)
    }
}
