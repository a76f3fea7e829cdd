//! What the host measured about one generation.

use serde::{Deserialize, Serialize};

use super::latency::Latencies;
use crate::Generation;

/// Most differing outputs kept.
pub const DIFFERENCES_MAX: usize = 16;

/// Counts of one generation since the transition began to measure. They only grow.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Which generation.
    pub generation: Generation,
    /// Attempts that have ended, however they did.
    pub attempts: u64,
    /// Those that ended badly: an error, a panic, a timeout, `Failed`, an unknown answer.
    pub errors: u64,
    /// Those that asked for a later attempt.
    pub retries: u64,
    /// Ends of the instance, or of threads of it, that nobody asked for.
    pub crashes: u64,
    /// Whether the latest health check passed; `None` when it was not asked.
    pub healthy: Option<bool>,
    /// How long the attempts took; `None` when that cannot be measured now.
    pub latencies: Option<Latencies>,
}

/// How the candidate's outputs compare with those of the serving version, for the same messages.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Messages that both have answered.
    pub compared: u64,
    /// Those with the same answer, the same publishes and the same reply.
    pub matched: u64,
    /// Some that differ: at most [`DIFFERENCES_MAX`].
    pub differences: Vec<Difference>,
}

/// One output that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The message, or the probe.
    pub subject: String,
    /// What was expected: the output of the serving version, or of the declaration.
    pub expected: String,
    /// What the candidate did.
    pub found: String,
}

// === impl Sample ===

impl Sample {
    /// What came on top of an earlier sample of the same generation.
    #[must_use]
    pub fn since(&self, earlier: &Sample) -> Sample {
        let before = earlier.latencies.clone().unwrap_or_default();
        Sample {
            generation: self.generation,
            attempts: self.attempts.saturating_sub(earlier.attempts),
            errors: self.errors.saturating_sub(earlier.errors),
            retries: self.retries.saturating_sub(earlier.retries),
            crashes: self.crashes.saturating_sub(earlier.crashes),
            healthy: self.healthy,
            latencies: self.latencies.as_ref().map(|it| it.since(&before)),
        }
    }
}
