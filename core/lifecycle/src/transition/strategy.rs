//! How a new version takes over.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use super::verdict::Rule;

/// How a new version takes over (P-26).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Strategy {
    /// The new one takes everything at once; what the old one runs is revoked.
    Immediate,
    /// The new one takes everything that is new; the old one finishes what it holds.
    Graceful,
    /// The new one takes a growing share, and each next step has to be earned.
    Gradual(Gradual),
    /// The new one is tried on probes and on copies of messages, and then takes everything.
    BlueGreen(BlueGreen),
}

/// A growing share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gradual {
    /// Percentages, rising; the last is 100 and is the cutover.
    pub steps: Vec<u8>,
    /// At this step the share stays until an operator resumes or promotes: an A/B comparison.
    pub hold: Option<u8>,
}

/// Trial side by side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlueGreen {
    /// Probes that are declared: inputs with the outcome that is expected.
    pub probes: u32,
    /// Whether copies of real messages are run through the candidate as well.
    pub mirror: bool,
}

/// What all strategies have in common.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Terms {
    /// How long the old version may finish what it holds after the cutover.
    pub drain_deadline: Duration,
    /// What happens when that was not enough.
    pub on_timeout: OnTimeout,
    /// Least samples of the candidate at every step of a trial.
    pub min_samples: u64,
    /// Least time at every step of a trial.
    pub min_time: Duration,
    /// How long the old version stays ready after the cutover.
    pub bake: Duration,
    /// How long the trial may take, pauses left aside. What is not decided by then has failed.
    pub deadline: Duration,
    /// Percentage of the plugin's dead letters that the candidate must handle well first.
    pub require_dlq_pass: Option<f64>,
    /// What passes and what fails.
    pub rule: Rule,
}

/// What happens when the old version is not done at the drain deadline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnTimeout {
    /// Back to the old version.
    #[default]
    Abort,
    /// What it still runs is revoked and goes to the new version.
    Force,
}

// === impl Strategy ===

impl Strategy {
    /// The word.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Strategy::Immediate => "immediate",
            Strategy::Graceful => "graceful",
            Strategy::Gradual(_) => "gradual",
            Strategy::BlueGreen(_) => "blue-green",
        }
    }

    /// Whether the candidate is measured before the cutover.
    #[must_use]
    pub fn tries(&self) -> bool {
        matches!(self, Strategy::Gradual(_) | Strategy::BlueGreen(_))
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

// === impl Gradual ===

impl Default for Gradual {
    fn default() -> Gradual {
        Gradual { steps: vec![1, 5, 25, 50, 100], hold: None }
    }
}

impl Gradual {
    /// The shares of the trial: all steps but the last, which is the cutover.
    #[must_use]
    pub fn trial(&self) -> &[u8] {
        self.steps.split_last().map_or(&[], |(_, trial)| trial)
    }
}

// === impl Terms ===

impl Terms {
    /// What holds where nothing is said.
    #[must_use]
    pub fn of(strategy: &Strategy) -> Terms {
        Terms {
            drain_deadline: Duration::from_secs(30),
            on_timeout: OnTimeout::Abort,
            min_samples: 50,
            min_time: Duration::from_secs(10),
            bake: if strategy.tries() { Duration::from_secs(60) } else { Duration::ZERO },
            deadline: Duration::from_secs(1800),
            require_dlq_pass: None,
            rule: Rule::default(),
        }
    }
}

// === impl OnTimeout ===

impl OnTimeout {
    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            OnTimeout::Abort => "abort",
            OnTimeout::Force => "force",
        }
    }
}
