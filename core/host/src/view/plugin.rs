//! Views of plugins and of their generations.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A plugin name in one line: what it is, how it fares, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PluginView {
    /// Name of the plugin; equal to the name of its link.
    pub name: String,
    /// State of the plugin: `discovered`, `loaded`, `initialized`, `starting`, `running`, `paused`,
    /// `draining`, `stopped` or `failed`.
    pub state: String,
    /// Who or what brought it into this state, why, and when.
    pub cause: Cause,
    /// Version of the serving generation, or of the candidate when nothing serves.
    pub version: Option<String>,
    /// SHA-256 of the library's bytes, lower-case hexadecimal.
    pub digest: Option<String>,
    /// Number of the serving generation.
    pub generation: Option<u64>,
    /// What the manifest says the plugin does.
    pub description: Option<String>,
    /// Start priority; lower starts earlier.
    pub priority: Option<u8>,
    /// The library file that the link resolves to.
    pub library: Option<String>,
    /// Whether the link exists in `plugins/enabled`.
    pub enabled: bool,
    /// Present while something is wrong, also when an older generation still serves.
    pub failure: Option<FailureView>,
    /// Outcome of the last health check.
    pub health: HealthView,
    /// Restarts by the supervisor since the plugin was last changed by hand.
    pub restarts: u32,
    /// Threads of the serving generation.
    pub workers: WorkersView,
    /// Sums over the plugin's subscriptions.
    pub queue: QueueView,
}

/// Everything about a plugin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PluginDetail {
    /// The one-line view.
    #[serde(flatten)]
    pub plugin: PluginView,
    /// The manifest as the host understood it, defaults filled in.
    pub manifest: Option<Value>,
    /// The configuration in use: manifest defaults below the settings.
    pub config: Value,
    /// Subscriptions of the name, those of the manifest first.
    pub subscriptions: Vec<SubscriptionView>,
    /// What the supervisor allows, and what it had to do.
    pub supervision: super::SupervisionView,
    /// Generations that are not gone, newest first.
    pub generations: Vec<GenerationView>,
    /// Metrics that the plugin recorded through its context.
    pub metrics: Vec<super::MetricView>,
    /// The latest spans of the plugin, newest first.
    pub spans: Vec<super::SpanView>,
    /// What the plugin itself answered when asked for its metrics, when it is running.
    pub own_metrics: Option<Value>,
    /// The latest changes of state, newest first.
    pub history: Vec<StateChange>,
}

/// One incarnation of a plugin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GenerationView {
    /// Name of the plugin.
    pub plugin: String,
    /// Number; only grows.
    pub generation: u64,
    /// State of this incarnation; `serving` is true for at most one per plugin.
    pub state: String,
    /// Whether it answers for the plugin.
    pub serving: bool,
    /// Percentage of the keys whose messages are handed to it: a candidate on trial has a share too.
    pub share: u8,
    /// Calls that it has begun and not finished.
    pub in_flight: u64,
    /// Version in the manifest.
    pub version: String,
    /// SHA-256 of the library's bytes, lower-case hexadecimal.
    pub digest: String,
    /// When it was loaded.
    pub loaded_at: String,
    /// Why it is still mapped, when it is retired but not gone.
    pub quarantine: Option<String>,
    /// Why it is mapped though it does not serve.
    pub mapped_because: Option<String>,
}

/// Who, why and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// `operator`, `watcher`, `supervisor`, `health`, `host` or the name of an API principal.
    pub who: String,
    /// A sentence.
    pub why: String,
    /// When.
    pub at: String,
}

/// One change of state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateChange {
    /// Name of the plugin.
    pub plugin: String,
    /// Generation that changed, when the change belongs to one.
    pub generation: Option<u64>,
    /// State before.
    pub from: String,
    /// State after.
    pub to: String,
    /// Who, why and when.
    #[serde(flatten)]
    pub cause: Cause,
}

/// What is wrong with a plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureView {
    /// Stable word: `link`, `inspect`, `name`, `requires`, `cycle`, `config`, `load`, `init`,
    /// `start`, `health`, `stuck`, `died`, `restarts_exhausted`.
    pub kind: String,
    /// What failed, where, and what to try.
    pub reason: String,
    /// When it failed.
    pub at: String,
    /// When the supervisor tries again by itself; absent = only after a change or by an operator.
    pub retry_at: Option<String>,
}

/// The last verdict on a plugin's health.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthView {
    /// `healthy`, `unhealthy` or `unknown`.
    pub status: String,
    /// What the plugin or the host said.
    pub detail: Option<String>,
    /// Failed checks in a row.
    pub failures: u32,
    /// When it was last checked.
    pub checked_at: Option<String>,
}

/// Threads of a worker pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkersView {
    /// Threads there are.
    pub count: u32,
    /// Threads that run a call.
    pub busy: u32,
    /// Threads that were written off and have not returned.
    pub abandoned: u32,
    /// Least number.
    pub min: u32,
    /// Greatest number.
    pub max: u32,
}

/// Messages that wait or run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueView {
    /// Ready to be handed off.
    pub queued: u64,
    /// Waiting for a retry.
    pub delayed: u64,
    /// Handed off and not settled.
    pub in_flight: u64,
}

/// A subscription of a plugin name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscriptionView {
    /// Number within the plugin, counted from 0.
    pub index: u32,
    /// Topic pattern.
    pub pattern: String,
    /// `none`, `per_key` or `total`.
    pub order: String,
    /// Whether the manifest declares it; else the plugin asked for it while running.
    pub declared: bool,
    /// Whether hand-offs pause because nearly all of them fail; absent when it has no breaker.
    pub breaker: Option<super::BreakerView>,
    /// Where its messages are.
    pub ledger: super::LedgerView,
}

/// What reading `plugins/enabled` led to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RescanReport {
    /// Every plugin that was touched, as it is now.
    pub plugins: Vec<PluginView>,
}
