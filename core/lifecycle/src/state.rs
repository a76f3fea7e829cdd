//! The states of a plugin and of its generations.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a generation, or a plugin as a whole, stands.
///
/// A plugin's state is that of the generation that matters most: the serving one, else the
/// candidate, else the one that leaves; see [`Track::derive_state`](crate::Track::derive_state).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The library was inspected; none of its code has run.
    Discovered,
    /// Mapped and created.
    Loaded,
    /// Its init succeeded.
    Initialized,
    /// Its start succeeded; it gets no messages yet.
    Starting,
    /// It gets messages.
    Running,
    /// It serves, but gets no messages until it is resumed.
    Paused,
    /// It gets no new messages and finishes what it holds.
    Draining,
    /// It holds nothing any more.
    Stopped,
    /// It is not tried any more, or not yet again.
    Failed,
    /// Its library could not be proven unmapped.
    Quarantined,
    /// Gone for good.
    Retired,
}

// === impl State ===

impl State {
    /// Every state.
    pub const ALL: [State; 11] = [
        State::Discovered,
        State::Loaded,
        State::Initialized,
        State::Starting,
        State::Running,
        State::Paused,
        State::Draining,
        State::Stopped,
        State::Failed,
        State::Quarantined,
        State::Retired,
    ];

    /// The word in views and events.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            State::Discovered => "discovered",
            State::Loaded => "loaded",
            State::Initialized => "initialized",
            State::Starting => "starting",
            State::Running => "running",
            State::Paused => "paused",
            State::Draining => "draining",
            State::Stopped => "stopped",
            State::Failed => "failed",
            State::Quarantined => "quarantined",
            State::Retired => "retired",
        }
    }

    /// Whether the generation answers for the plugin: it runs, or would if it were not paused.
    #[must_use]
    pub fn serves(self) -> bool {
        matches!(self, State::Running | State::Paused)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
