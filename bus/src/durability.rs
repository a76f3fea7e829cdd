//! How safe an accepted message is, and who says so (promise P-3).

use std::{fmt, str::FromStr};

use patchbay_wire::TopicPattern;

/// What an accepted message survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Nothing: it lies in a bounded queue.
    #[default]
    Memory,
    /// The death of this process.
    Process,
    /// The death of the machine.
    Disk,
}

/// A text that names no level.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no level of durability: use memory, process or disk")]
pub struct LevelError(String);

/// The level of the topics that a pattern matches. The first rule that matches a topic counts; a
/// topic that no rule names is [`Level::Memory`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DurabilityRule {
    /// Which topics.
    pub pattern: TopicPattern,
    /// Their level.
    pub level: Level,
}

// === impl Level ===

impl Level {
    /// The word for it in configuration, replies and metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Level::Memory => "memory",
            Level::Process => "process",
            Level::Disk => "disk",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

impl FromStr for Level {
    type Err = LevelError;

    fn from_str(text: &str) -> Result<Level, LevelError> {
        match text {
            "memory" => Ok(Level::Memory),
            "process" => Ok(Level::Process),
            "disk" => Ok(Level::Disk),
            other => Err(LevelError(other.to_owned())),
        }
    }
}
