//! How much a publish waits for (promise P-3).

use std::{fmt, str::FromStr};

/// What success means. The order is the order of strength.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// In a bounded queue of this process. Nothing is written.
    #[default]
    Memory,
    /// Written: survives the death of the process.
    Process,
    /// Written and flushed to the device: survives a power cut.
    Disk,
}

/// A word that names no level.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no level: write memory, process or disk")]
pub struct UnknownLevel(String);

// === impl Level ===

impl Level {
    /// All of them, weakest first.
    pub const ALL: [Level; 3] = [Level::Memory, Level::Process, Level::Disk];

    /// The word in configuration, replies and metrics.
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
    type Err = UnknownLevel;

    fn from_str(word: &str) -> Result<Level, UnknownLevel> {
        let found = Level::ALL.into_iter().find(|level| level.label() == word);
        found.ok_or_else(|| UnknownLevel(word.to_owned()))
    }
}
