//! Settings of the journal: where durable messages are kept.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::duration;

/// The smallest segment, bytes.
const SEGMENT_MIN: u64 = 64 << 10;
/// The largest segment, bytes.
const SEGMENT_MAX: u64 = 1 << 30;
/// The smallest buffer, bytes.
const BUFFER_MIN: u64 = 64 << 10;
/// The longest interval of syncs.
const SYNC_MAX: Duration = Duration::from_secs(60);

/// Bounds and periods of the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JournalSettings {
    /// Size of one segment file; a message that is larger cannot be durable. Holds for segments made
    /// from now on.
    pub segment_bytes: u64,
    /// Prepared room that publishes leave to settlements, dead letters and the end of the host (P-8).
    pub reserve_bytes: u64,
    /// No segment is made when less than this would be left free on the volume (P-8).
    pub low_water_bytes: u64,
    /// All segments together.
    pub max_bytes: u64,
    /// What may stand in memory before it is written.
    pub buffer_bytes: u64,
    /// How much of what has happened may wait in memory for room on a full disk; beyond it a
    /// subscription hands nothing out until a restart (P-8).
    pub owed_bytes: u64,
    /// How often what is written is forced to the disk: the most that level `process` loses when the
    /// machine dies (P-3).
    #[serde(with = "duration")]
    pub sync_interval: Duration,
    /// How long a record that nobody waits for may stand in memory.
    #[serde(with = "duration")]
    pub flush_interval: Duration,
    /// How long a publish waits while room is being made.
    #[serde(with = "duration")]
    pub patience: Duration,
    /// What happens when damage is found at the start (P-10).
    pub on_corruption: OnCorruption,
    /// How long dedup keys are remembered (P-6).
    #[serde(with = "duration")]
    pub dedup_window: Duration,
    /// How many dedup keys are remembered at most (P-6).
    pub dedup_keys: usize,
}

/// What happens when damage is found at the start (P-10).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnCorruption {
    /// The damaged file is copied aside, what can be read is used, what is lost is listed.
    #[default]
    Quarantine,
    /// The host does not start.
    Refuse,
}

// === impl JournalSettings ===

impl JournalSettings {
    /// The first value that is out of its range, and why.
    pub(super) fn check(&self) -> Result<(), (&'static str, String)> {
        let between = |value: u64, least: u64, most: u64| {
            let problem = format!("is {value} bytes; it must be between {least} and {most}");
            if (least..=most).contains(&value) { Ok(()) } else { Err(problem) }
        };
        let within = |value: Duration, most: Duration| {
            let most_text = humantime::format_duration(most);
            let problem = format!(
                "is {}; it must be more than 0 and at most {most_text}",
                humantime::format_duration(value)
            );
            if value.is_zero() || value > most { Err(problem) } else { Ok(()) }
        };
        let day = Duration::from_secs(24 * 3600);
        let checks = [
            ("journal.segment_bytes", between(self.segment_bytes, SEGMENT_MIN, SEGMENT_MAX)),
            ("journal.max_bytes", between(self.max_bytes, 4 * self.segment_bytes, u64::MAX)),
            ("journal.reserve_bytes", between(self.reserve_bytes, 0, self.max_bytes / 2)),
            ("journal.buffer_bytes", between(self.buffer_bytes, BUFFER_MIN, SEGMENT_MAX)),
            ("journal.owed_bytes", between(self.owed_bytes, BUFFER_MIN, SEGMENT_MAX)),
            ("journal.sync_interval", within(self.sync_interval, SYNC_MAX)),
            ("journal.flush_interval", within(self.flush_interval, SYNC_MAX)),
            ("journal.patience", within(self.patience, SYNC_MAX)),
            ("journal.dedup_window", within(self.dedup_window, day)),
        ];
        for (setting, outcome) in checks {
            outcome.map_err(|problem| (setting, problem))?;
        }
        Ok(())
    }
}

impl Default for JournalSettings {
    fn default() -> JournalSettings {
        JournalSettings {
            segment_bytes: 32 << 20,
            reserve_bytes: 16 << 20,
            low_water_bytes: 64 << 20,
            max_bytes: 64 << 30,
            buffer_bytes: 1 << 20,
            owed_bytes: 16 << 20,
            sync_interval: Duration::from_millis(200),
            flush_interval: Duration::from_millis(5),
            patience: Duration::from_secs(2),
            on_corruption: OnCorruption::default(),
            dedup_window: Duration::from_secs(600),
            dedup_keys: 1_000_000,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bound_is_told_by_its_name() {
        let usual = JournalSettings::default;
        assert_eq!(usual().check(), Ok(()));
        for (settings, name) in [
            (JournalSettings { segment_bytes: 1, ..usual() }, "segment_bytes"),
            (JournalSettings { max_bytes: 1, ..usual() }, "max_bytes"),
            (JournalSettings { reserve_bytes: u64::MAX, ..usual() }, "reserve_bytes"),
            (JournalSettings { buffer_bytes: 0, ..usual() }, "buffer_bytes"),
            (JournalSettings { sync_interval: Duration::ZERO, ..usual() }, "sync_interval"),
            (JournalSettings { flush_interval: SYNC_MAX * 2, ..usual() }, "flush_interval"),
            (JournalSettings { patience: Duration::ZERO, ..usual() }, "patience"),
            (JournalSettings { dedup_window: Duration::ZERO, ..usual() }, "dedup_window"),
        ] {
            let (setting, problem) = settings.check().expect_err("refused");
            assert!(setting.ends_with(name), "{setting}: {problem}");
        }
    }
}
