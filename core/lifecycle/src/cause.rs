//! Who, why and when: what every change of state carries.

use crate::{Generation, PluginName, State};

/// An instant, as far as decisions need it. The planner's callers read the clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Monotonic nanoseconds: for everything that is compared.
    pub mono_ns: u64,
    /// Nanoseconds since the Unix epoch: for people.
    pub unix_ns: u64,
}

/// Who and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// `watcher`, `supervisor`, `health`, `host`, or the name of a caller.
    pub who: String,
    /// A sentence without a period.
    pub why: String,
}

/// One change of state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Name of the plugin.
    pub plugin: PluginName,
    /// The generation that changed; `None` when it is the plugin as a whole.
    pub generation: Option<Generation>,
    /// State before; `None` for what is new.
    pub from: Option<State>,
    /// State after.
    pub to: State,
    /// Who and why.
    pub cause: Cause,
    /// When, nanoseconds since the Unix epoch.
    pub at_unix_ns: u64,
}

// === impl Cause ===

impl Cause {
    /// A cause from its two parts.
    #[must_use]
    pub fn new(who: &str, why: impl Into<String>) -> Cause {
        Cause { who: who.to_owned(), why: why.into() }
    }
}
