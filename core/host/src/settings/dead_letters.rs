//! Settings of the dead letters: how many are kept, and what happens to one more (P-21).

use std::time::Duration;

use patchbay_bus::{DeadLetterConfig, WhenFull};
use serde::{Deserialize, Serialize};

use super::duration;

/// Bounds of the dead letters of the whole host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeadLetterSettings {
    /// Most letters kept.
    pub max_count: usize,
    /// Most bytes of their messages.
    pub max_bytes: usize,
    /// How long one is kept after its death.
    #[serde(with = "duration")]
    pub max_age: Duration,
    /// What happens to one more.
    pub when_full: OnFull,
    /// How many dead deliveries a subscription holds back for want of room before nothing more is
    /// handed to it.
    pub max_pending: usize,
}

/// What happens to a message that dies when the dead letters are full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFull {
    /// It stays with its subscription, and counts as `dead_pending`.
    #[default]
    Hold,
    /// The oldest letter goes; counted and audited.
    DropOldest,
}

// === impl DeadLetterSettings ===

impl DeadLetterSettings {
    /// As the bus has it.
    pub(crate) fn config(&self) -> DeadLetterConfig {
        DeadLetterConfig {
            max_count: self.max_count,
            max_bytes: self.max_bytes,
            max_age: self.max_age,
            when_full: match self.when_full {
                OnFull::Hold => WhenFull::Hold,
                OnFull::DropOldest => WhenFull::DropOldest,
            },
            max_pending: self.max_pending,
        }
    }

    /// The first value that is out of its range, and why.
    pub(super) fn check(&self) -> Result<(), (&'static str, String)> {
        let wrong = |setting, problem: &str| Err((setting, problem.to_owned()));
        if self.max_count == 0 {
            return wrong("dead_letters.max_count", "is 0; it must be at least 1");
        }
        if self.max_bytes == 0 {
            return wrong("dead_letters.max_bytes", "is 0; it must be at least 1");
        }
        if self.max_age.is_zero() {
            return wrong("dead_letters.max_age", "is 0; it must be more");
        }
        Ok(())
    }
}

impl Default for DeadLetterSettings {
    fn default() -> DeadLetterSettings {
        let DeadLetterConfig { max_count, max_bytes, max_age, max_pending, .. } =
            DeadLetterConfig::default();
        DeadLetterSettings {
            max_count,
            max_bytes,
            max_age,
            when_full: OnFull::default(),
            max_pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bound_is_told_by_its_name() {
        let usual = DeadLetterSettings::default;
        assert_eq!(usual().check(), Ok(()));
        for (settings, name) in [
            (DeadLetterSettings { max_count: 0, ..usual() }, "max_count"),
            (DeadLetterSettings { max_bytes: 0, ..usual() }, "max_bytes"),
            (DeadLetterSettings { max_age: Duration::ZERO, ..usual() }, "max_age"),
        ] {
            let (setting, problem) = settings.check().expect_err("refused");
            assert!(setting.ends_with(name), "{setting}: {problem}");
        }
    }
}
