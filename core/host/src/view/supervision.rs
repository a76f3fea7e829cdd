//! Views of what the supervisor decided about a plugin, and why.

use serde::{Deserialize, Serialize};

/// How a plugin is supervised: what is allowed, what was needed, and what was written off.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SupervisionView {
    /// `always`, `on_failure` or `never`; absent while nothing is known of the plugin's library.
    pub policy: Option<String>,
    /// Restarts that count against the intensity now.
    pub recent_restarts: u32,
    /// Restarts that are allowed within the period; one more and the plugin is given up.
    pub intensity: u32,
    /// The period, milliseconds.
    pub period_ms: u64,
    /// The longest wait before the next restart, should one be needed now, milliseconds. The wait
    /// itself is drawn at random below it.
    pub next_backoff_max_ms: u64,
    /// After this long without a restart the waits begin from the shortest again, milliseconds.
    pub forget_after_ms: u64,
    /// The latest failures that were dealt with, newest first.
    pub setbacks: Vec<SetbackView>,
    /// The latest lanes that were written off, newest first.
    pub written_off: Vec<WrittenOffView>,
}

/// A failure, and what was decided about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetbackView {
    /// When.
    pub at: String,
    /// What kind of thing failed: see [`FailureView`](super::FailureView).
    pub kind: String,
    /// What failed.
    pub reason: String,
    /// `restart`, `leave_down` or `give_up`.
    pub decision: String,
    /// After how long it was to be restarted, milliseconds.
    pub restart_in_ms: Option<u64>,
}

/// A thread that did not come back from a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrittenOffView {
    /// When it was written off.
    pub at: String,
    /// Generation that it belonged to.
    pub generation: u64,
    /// Number of the lane.
    pub lane: u32,
    /// Messages that were taken from it and went to others.
    pub returned: u64,
    /// When its thread ended after all.
    pub back_at: Option<String>,
}

/// The breaker of a subscription: it opens when nearly everything fails (P-18).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BreakerView {
    /// `closed`: everything flows; `open`: nothing does; `probing`: one message does, and decides.
    pub state: String,
    /// How often it has opened.
    pub opened: u64,
    /// When it opened last.
    pub opened_at: Option<String>,
    /// Why it opened last.
    pub reason: Option<String>,
    /// When the next probe may be handed off; absent while it is closed.
    pub next_probe_at: Option<String>,
}
