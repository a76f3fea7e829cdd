//! What is wrong with a plugin.

use std::fmt;

use crate::Identity;

/// What kind of thing failed: a stable word for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The link cannot be resolved, or leads out of the libraries.
    Link,
    /// The library was refused before any of its code ran.
    Inspect,
    /// The link's name is not the manifest's, or another plugin has it.
    Name,
    /// A required plugin is missing, too old, or failed.
    Requires,
    /// The requirements go round in a ring.
    Cycle,
    /// The configuration does not fit the manifest's schema.
    Config,
    /// Copying, mapping or creating failed.
    Load,
    /// Init failed.
    Init,
    /// Start, or the first health check, failed.
    Start,
    /// Health checks failed.
    Health,
    /// Too many calls never returned.
    Stuck,
    /// A lane of the library ended by itself.
    Died,
    /// It was restarted too often.
    RestartsExhausted,
    /// A transition to it was ended without it.
    Transition,
}

/// Whether trying again may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasting {
    /// The same bytes will fail again.
    Permanent,
    /// The world may heal.
    Passing,
}

/// A failure to report: what the executor or the watcher says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What kind of thing failed.
    pub kind: FailureKind,
    /// What failed, where, and what to try.
    pub reason: String,
    /// Whether trying again may help.
    pub lasting: Lasting,
}

/// A failure that stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What kind of thing failed.
    pub kind: FailureKind,
    /// What failed, where, and what to try.
    pub reason: String,
    /// When, nanoseconds since the Unix epoch.
    pub at_unix_ns: u64,
    /// What must not be opened while the failure stands.
    pub bars: Option<Identity>,
    /// When it is tried again: monotonic, and since the Unix epoch.
    pub retry: Option<Retry>,
    /// Whether hand-offs are stopped because of it.
    pub halts: bool,
}

/// When something is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Monotonic nanoseconds.
    pub mono_ns: u64,
    /// Nanoseconds since the Unix epoch, for people.
    pub unix_ns: u64,
}

// === impl FailureKind ===

impl FailureKind {
    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            FailureKind::Link => "link",
            FailureKind::Inspect => "inspect",
            FailureKind::Name => "name",
            FailureKind::Requires => "requires",
            FailureKind::Cycle => "cycle",
            FailureKind::Config => "config",
            FailureKind::Load => "load",
            FailureKind::Init => "init",
            FailureKind::Start => "start",
            FailureKind::Health => "health",
            FailureKind::Stuck => "stuck",
            FailureKind::Died => "died",
            FailureKind::RestartsExhausted => "restarts_exhausted",
            FailureKind::Transition => "transition",
        }
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
