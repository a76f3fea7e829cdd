//! What the host is told before it starts.
//!
//! Plain values with defaults: files, environment and precedence are the app's matter. Every limit
//! of the host has its name here.

mod dead_letters;
mod durability;
mod journal;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use patchbay_wire::TopicPattern;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use self::{
    dead_letters::{DeadLetterSettings, OnFull},
    durability::{Durability, DurabilityError},
    journal::{JournalSettings, OnCorruption},
};
use crate::error::StartError;

/// Everything that the host can be told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Folders.
    pub paths: Paths,
    /// Limits of the host itself.
    #[serde(default)]
    pub limits: Limits,
    /// How safe the messages of which topics are.
    #[serde(default)]
    pub durability: Durability,
    /// Topics on which a message that no subscription matches is refused; elsewhere it is accepted
    /// by nobody (P-2).
    #[serde(default)]
    pub reject_unmatched: Vec<TopicPattern>,
    /// Where durable messages are kept.
    #[serde(default)]
    pub journal: JournalSettings,
    /// How many dead letters are kept.
    #[serde(default)]
    pub dead_letters: DeadLetterSettings,
    /// Settings of single plugins, by name.
    #[serde(default)]
    pub plugins: BTreeMap<String, PluginSettings>,
}

/// The folders that the host works in. They are made when they do not exist.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Paths {
    /// Links to libraries: what is to run.
    pub enabled: PathBuf,
    /// Libraries; a link out of here is refused.
    pub libraries: PathBuf,
    /// Settings that plugins were given while the host ran, one file a plugin.
    pub settings: PathBuf,
    /// Private copies of libraries.
    pub store: PathBuf,
    /// The journal: durable messages, and what became of them.
    pub journal: PathBuf,
}

/// Bounds and periods of the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// How long a library's size and time of change must stand still before it is read.
    #[serde(with = "duration")]
    pub settle: Duration,
    /// Period of the poll that backs the watch of the folder.
    #[serde(with = "duration")]
    pub poll: Duration,
    /// Longest `dlopen` and create.
    #[serde(with = "duration")]
    pub load_timeout: Duration,
    /// Longest init.
    #[serde(with = "duration")]
    pub init_timeout: Duration,
    /// Longest start, pause, resume, reset and metrics call.
    #[serde(with = "duration")]
    pub call_timeout: Duration,
    /// Longest wait for what an outgoing generation holds (P-25).
    #[serde(with = "duration")]
    pub drain_timeout: Duration,
    /// Longest shutdown call of one plugin (P-35).
    #[serde(with = "duration")]
    pub plugin_shutdown_timeout: Duration,
    /// Period at which quarantined libraries are looked at again.
    #[serde(with = "duration")]
    pub quarantine_recheck: Duration,
    /// Longest time until what was dropped stands in the audit log.
    #[serde(with = "duration")]
    pub audit_interval: Duration,
    /// How long loads and lanes must stand still before free memory goes back to the system.
    #[serde(with = "duration")]
    pub memory_settle: Duration,
    /// When a plugin that waits for room, and cannot be told of it, is to try again: the journal has
    /// none, or too many wait.
    #[serde(with = "duration")]
    pub publish_recheck: Duration,
    /// Largest payload, bytes.
    pub payload_bytes: usize,
    /// Largest state that a version may hand to the next one, and any other reply of a plugin to
    /// the host, bytes; a larger one is refused.
    pub state_bytes: usize,
    /// Longest wait of a publish that may wait for room.
    #[serde(with = "duration")]
    pub publish_timeout: Duration,
    /// How long a forward waits for a target without room before it becomes a retry, and a publisher
    /// at level `process` for memory of a queue that blocks, before it goes on beyond it; zero = not
    /// at all.
    #[serde(with = "duration")]
    pub forward_patience: Duration,
    /// Plugins at once, enabled or failed.
    pub plugins: usize,
    /// Log lines kept per plugin.
    pub log_lines: usize,
    /// Bytes of one log line; the rest is cut.
    pub log_line_bytes: usize,
    /// Finished spans kept per plugin.
    pub spans: usize,
    /// Spans that a plugin may have open.
    pub open_spans: usize,
    /// Rows of metrics per plugin; further sets of attributes go to one row of their own.
    pub metric_rows: usize,
    /// Timers that a plugin may have running.
    pub timers: usize,
    /// Subscriptions that a plugin may ask for beyond its manifest.
    pub dynamic_subscriptions: usize,
    /// Changes of state kept per plugin.
    pub history: usize,
}

/// Settings of one plugin. What is absent is taken from the manifest.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PluginSettings {
    /// Whether its link counts; absent = yes.
    pub enabled: Option<bool>,
    /// Values that override the manifest's configuration, key by key.
    pub config: Map<String, Value>,
    /// Values that override the manifest's worker pool, key by key.
    pub worker_pool: Map<String, Value>,
    /// Values that override the manifest's subscriptions, by topic pattern, key by key.
    pub subscriptions: BTreeMap<String, Map<String, Value>>,
}

// === impl Paths ===

impl Paths {
    /// The folders below a home folder.
    #[must_use]
    pub fn of_home(home: &Path) -> Paths {
        Paths {
            enabled: home.join("plugins/enabled"),
            libraries: home.join("plugins/libraries"),
            settings: home.join("plugins/settings"),
            store: home.join("data/store"),
            journal: home.join("data/journal"),
        }
    }
}

// === impl Settings ===

impl Settings {
    /// The defaults for a home folder.
    #[must_use]
    pub fn of_home(home: &Path) -> Settings {
        Settings {
            paths: Paths::of_home(home),
            limits: Limits::default(),
            durability: Durability::default(),
            reject_unmatched: Vec::new(),
            journal: JournalSettings::default(),
            dead_letters: DeadLetterSettings::default(),
            plugins: BTreeMap::new(),
        }
    }

    /// Whether the host can start with them; [`Host::start`](crate::Host::start) asks as well.
    ///
    /// # Errors
    /// [`StartError::Setting`], naming the setting.
    pub fn check(&self) -> Result<(), StartError> {
        self.journal.check().and_then(|()| self.dead_letters.check()).map_err(
            |(setting, problem)| StartError::Setting { setting: setting.to_owned(), problem },
        )?;
        let limits = &self.limits;
        let counts = [
            ("limits.payload_bytes", limits.payload_bytes),
            ("limits.state_bytes", limits.state_bytes),
            ("limits.plugins", limits.plugins),
            ("limits.log_lines", limits.log_lines),
            ("limits.log_line_bytes", limits.log_line_bytes),
        ];
        let durations = [
            ("limits.poll", limits.poll),
            ("limits.load_timeout", limits.load_timeout),
            ("limits.init_timeout", limits.init_timeout),
            ("limits.call_timeout", limits.call_timeout),
            ("limits.quarantine_recheck", limits.quarantine_recheck),
            ("limits.audit_interval", limits.audit_interval),
            ("limits.memory_settle", limits.memory_settle),
            ("limits.publish_recheck", limits.publish_recheck),
        ];
        let zero = counts.iter().find(|(_, count)| *count == 0).map(|(setting, _)| setting);
        let none = durations.iter().find(|(_, it)| it.is_zero()).map(|(setting, _)| setting);
        match zero.or(none) {
            None => Ok(()),
            Some(setting) => Err(StartError::Setting {
                setting: (*setting).to_owned(),
                problem: "is 0; it must be at least 1".to_owned(),
            }),
        }
    }
}

// === impl Limits ===

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            settle: Duration::from_millis(100),
            poll: Duration::from_secs(5),
            load_timeout: Duration::from_secs(10),
            init_timeout: Duration::from_secs(30),
            call_timeout: Duration::from_secs(10),
            drain_timeout: Duration::from_secs(30),
            plugin_shutdown_timeout: Duration::from_secs(5),
            quarantine_recheck: Duration::from_secs(10),
            audit_interval: Duration::from_secs(1),
            memory_settle: Duration::from_secs(2),
            publish_recheck: Duration::from_millis(100),
            payload_bytes: 8 << 20,
            state_bytes: 16 << 20,
            publish_timeout: Duration::from_secs(5),
            forward_patience: Duration::from_millis(10),
            plugins: 1_000,
            log_lines: 1_000,
            log_line_bytes: 8 << 10,
            spans: 128,
            open_spans: 4_096,
            metric_rows: 1_000,
            timers: 100_000,
            dynamic_subscriptions: 64,
            history: 100,
        }
    }
}

/// Durations as people write them: `30s`, `5m`. Plain numbers are refused.
mod duration {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&humantime::format_duration(*value))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(from)?;
        humantime::parse_duration(&text).map_err(|error| {
            D::Error::custom(format!("`{text}` is not a duration such as `30s`: {error}"))
        })
    }
}
