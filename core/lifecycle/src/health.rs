//! From single health checks to a verdict.

use std::time::Duration;

/// How a plugin's health is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HealthRule {
    /// Time between checks.
    pub interval: Duration,
    /// Longest answer.
    pub timeout: Duration,
    /// Failed checks in a row that make it unhealthy; at least 1.
    pub failures: u32,
}

/// The answer to one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// The plugin said that it is well.
    Passed(Option<String>),
    /// It said that it is not, or did not answer.
    Failed(String),
    /// It could not be asked: the thread that answers was inside of a message's call. That has a
    /// limit of its own, so this says nothing about the plugin's health.
    Busy(String),
}

/// What the checks so far amount to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verdict {
    /// Not checked yet.
    #[default]
    Unknown,
    /// The last check passed, or too few failed in a row.
    Healthy,
    /// Too many failed in a row.
    Unhealthy,
}

/// The checks of one generation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HealthRecord {
    /// What they amount to.
    pub verdict: Verdict,
    /// Failed checks in a row.
    pub failures: u32,
    /// Text of the last check.
    pub detail: Option<String>,
    /// When it was made, nanoseconds since the Unix epoch.
    pub checked_ns: Option<u64>,
}

// === impl Verdict ===

impl Verdict {
    /// The word in views and events.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Unknown => "unknown",
            Verdict::Healthy => "healthy",
            Verdict::Unhealthy => "unhealthy",
        }
    }
}

// === impl HealthRecord ===

impl HealthRecord {
    /// Takes one check into account. Returns whether the verdict became unhealthy by it.
    pub fn record(&mut self, check: Check, threshold: u32, unix_ns: u64) -> bool {
        let before = self.verdict;
        if !matches!(check, Check::Busy(_)) {
            self.checked_ns = Some(unix_ns);
        }
        match check {
            Check::Busy(why) => self.detail = Some(why),
            Check::Passed(detail) => {
                self.detail = detail;
                self.failures = 0;
                self.verdict = Verdict::Healthy;
            }
            Check::Failed(why) => {
                self.detail = Some(why);
                self.failures = self.failures.saturating_add(1);
                if self.failures >= threshold.max(1) {
                    self.verdict = Verdict::Unhealthy;
                }
            }
        }
        self.verdict == Verdict::Unhealthy && before != Verdict::Unhealthy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_is_unhealthy_after_as_many_failures_in_a_row_as_the_rule_says() {
        let mut record = HealthRecord::default();
        let failed = || Check::Failed("no".into());
        assert!(!record.record(failed(), 3, 1));
        assert!(!record.record(failed(), 3, 2));
        assert!(!record.record(Check::Passed(None), 3, 3));
        assert!(!record.record(failed(), 3, 4));
        assert!(!record.record(failed(), 3, 5));
        assert_eq!(record.verdict, Verdict::Healthy);
        assert!(record.record(failed(), 3, 6), "the third in a row tips it");
        assert!(!record.record(failed(), 3, 7), "and is told once");
        assert_eq!(record.verdict, Verdict::Unhealthy);
    }

    #[test]
    fn a_plugin_that_could_not_be_asked_is_neither_well_nor_ill() {
        let mut record = HealthRecord::default();
        let busy = || Check::Busy("inside of a call".into());
        for at in 0..10 {
            assert!(!record.record(busy(), 1, at));
        }
        assert_eq!((record.verdict, record.failures), (Verdict::Unknown, 0));
        assert_eq!((record.checked_ns, record.detail.is_some()), (None, true));
        assert!(record.record(Check::Failed("no".into()), 1, 11), "a real one still counts");
    }
}
