//! What a transition has to say about itself, at any time and at its end.

use serde::{Deserialize, Serialize};

use super::{
    latency::Percentile,
    record::Outcome,
    request::TransitionSpec,
    sample::{Comparison, Sample},
    verdict::Judgement,
};
use crate::Generation;

/// Most lines of progress kept; the first and the latest stay.
pub const ENTRIES_MAX: usize = 256;

/// One line of progress.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When, nanoseconds since the Unix epoch.
    pub at_unix_ns: u64,
    /// Where the transition stood: the word of its phase.
    pub phase: String,
    /// Percentage of the messages that the candidate got.
    pub share: u8,
    /// What happened, in a sentence without a period.
    pub text: String,
}

/// One version in the report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VersionReport {
    /// What was counted.
    pub sample: Sample,
    /// Errors of all attempts; `None` without attempts.
    pub error_rate: Option<f64>,
    /// Retries of all attempts.
    pub retry_rate: Option<f64>,
    /// Latency at 50 %, 90 %, 99 % and 99.9 %, with confidence.
    pub percentiles: Vec<(f64, Percentile)>,
}

/// Everything about a transition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// What was asked for.
    pub spec: TransitionSpec,
    /// Numbers of the old version's generation and of the candidate's.
    pub generations: [Generation; 2],
    /// The word of the phase.
    pub phase: String,
    /// Percentage of the messages that the candidate gets.
    pub share: u8,
    /// Whether it waits for an operator.
    pub paused: bool,
    /// How long the bake still takes, milliseconds; `None` outside of it.
    pub bake_left_ms: Option<u64>,
    /// When it began, nanoseconds since the Unix epoch.
    pub started_unix_ns: u64,
    /// When it ended.
    pub ended_unix_ns: Option<u64>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// The verdict, once recorded; it does not change after that.
    pub verdict: Option<Judgement>,
    /// What the figures say now.
    pub latest: Option<Judgement>,
    /// The old version.
    pub stable: VersionReport,
    /// The candidate.
    pub candidate: VersionReport,
    /// Outputs compared.
    pub comparison: Comparison,
    /// Its course.
    pub entries: Vec<Entry>,
}

// === impl VersionReport ===

impl VersionReport {
    /// What a sample says.
    #[must_use]
    pub fn of(sample: &Sample) -> VersionReport {
        let rate =
            |count: u64| (sample.attempts > 0).then(|| count as f64 / sample.attempts as f64);
        let latencies = sample.latencies.as_ref();
        let percentiles = [0.5, 0.9, 0.99, 0.999];
        VersionReport {
            error_rate: rate(sample.errors),
            retry_rate: rate(sample.retries),
            percentiles: percentiles
                .into_iter()
                .filter_map(|share| Some((share, latencies?.percentile(share)?)))
                .collect(),
            sample: sample.clone(),
        }
    }
}
