//! Views of the host as a whole, of topics and of messages.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Where the deliveries of one subscription are. At every instant
/// `accepted = queued + delayed + in_flight + done + forwarded + dead + dead_pending +
/// dropped`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerView {
    /// Plugin that owns the subscription.
    pub plugin: String,
    /// Number of the subscription within the plugin.
    pub index: u32,
    /// Topic pattern.
    pub pattern: String,
    /// Deliveries ever accepted.
    pub accepted: u64,
    /// Ready to be handed off.
    pub queued: u64,
    /// Waiting for a retry.
    pub delayed: u64,
    /// Handed off and not settled.
    pub in_flight: u64,
    /// Acknowledged.
    pub done: u64,
    /// Forwarded to another topic.
    pub forwarded: u64,
    /// Dead letters.
    pub dead: u64,
    /// Dropped, by reason.
    pub dropped: DroppedView,
    /// Attempts that ended in another one: `RetryLater` and failures that came back. Not part of the
    /// sum.
    pub retried: u64,
    /// Dead, and kept in the queue because the dead letters are full.
    pub dead_pending: u64,
    /// Settlements that came after their lease was revoked, and had no effect.
    pub stale_settlements: u64,
    /// Whether its plugin is gone: what is durable waits under its name.
    pub orphaned: bool,
    /// Whether it is passed over until half of its backlog is worked off (`overflow: detach`).
    pub cut_off: bool,
    /// Durable messages that have passed it by for that reason. Not part of the sum.
    pub passed: u64,
}

/// Dropped deliveries by reason, such as `unload`, `drop_oldest`, `expired`.
pub type DroppedView = BTreeMap<String, u64>;

/// One topic or pattern and who listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicView {
    /// Topic pattern of the subscriptions.
    pub pattern: String,
    /// Names of the plugins that subscribe to it.
    pub subscribers: Vec<String>,
    /// Deliveries accepted through it, all subscribers together.
    pub accepted: u64,
    /// Deliveries that are not settled yet.
    pub unsettled: u64,
}

/// The host in one page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HostStatus {
    /// Identifies this run of the host.
    pub host_id: String,
    /// Version of the program.
    pub version: String,
    /// When it started.
    pub started_at: String,
    /// `starting`, `running`, `draining` or `stopped`.
    pub phase: String,
    /// Whether every enabled plugin has started or failed.
    pub ready: bool,
    /// `healthy`, or `degraded` when a plugin failed, a library is quarantined, the journal is not
    /// well or the dead letters are full.
    pub health: String,
    /// How many plugins are in each state.
    pub plugins: BTreeMap<String, u32>,
    /// Libraries that could not be unmapped.
    pub quarantined: u32,
    /// Whether libraries can be proven unmapped here; the reason when they cannot.
    pub unload: String,
    /// `memory` when no topic is durable, `disk` when every durable topic waits for the disk,
    /// `reduced` when some topic is durable at level `process` only.
    pub durability: String,
    /// State of the journal: `ready`, `full`, `failed` or `degraded`.
    pub journal: String,
    /// The dead letters, and whether they are full.
    pub dead_letters: DeadLettersView,
    /// Sum over all subscriptions.
    pub ledger: LedgerView,
}

/// The dead letters of the host as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLettersView {
    /// How many there are.
    pub count: u64,
    /// Bytes of their messages.
    pub bytes: u64,
    /// How many there may be.
    pub max_count: u64,
    /// How many bytes there may be.
    pub max_bytes: u64,
    /// Dead deliveries that stay in their queues because there is no room.
    pub pending: u64,
    /// Whether something stays in its queue for want of room.
    pub is_full: bool,
    /// Letters that went to make room for later ones, since the host started.
    pub overwritten: u64,
    /// Letters that went because of their age, since the host started.
    pub outdated: u64,
    /// Letters of earlier hosts whose message cannot be read.
    pub unreadable: u64,
}

/// Answer to a publish (P-3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// Id of the message.
    pub mid: String,
    /// Number in the journal; absent at level `memory`.
    pub seq: Option<u64>,
    /// Level reached.
    pub level: String,
    /// Subscriptions that accepted it.
    pub routed: u32,
    /// Whether it was a repetition of an earlier publish.
    pub duplicate: bool,
}

/// A message as a tap, a reply or a dead letter shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenMessage {
    /// Id, 128 bit.
    pub id: u128,
    /// Topic it was published to.
    pub topic: String,
    /// When, nanoseconds since the Unix epoch.
    pub time_ns: u64,
    /// When it is no longer of use; 0 = never.
    pub expires_ns: u64,
    /// Ordering key; empty = none.
    pub key: Vec<u8>,
    /// Headers in order.
    pub headers: Vec<(String, String)>,
    /// Bytes.
    pub payload: Vec<u8>,
    /// How many messages led to this one.
    pub hops: u32,
}

/// A message that is not tried any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetterView {
    /// Number among the dead letters, only growing.
    pub number: u64,
    /// The message as it was accepted.
    pub message: SeenMessage,
    /// Plugin that owned the subscription.
    pub plugin: String,
    /// Number of the subscription within the plugin.
    pub subscription: u32,
    /// Version that had its last attempt; empty when it had none.
    pub version: String,
    /// Generation that had it, as the host of that time counted; 0 when it had none.
    pub generation: u64,
    /// Why it died.
    pub reason: String,
    /// Stable word for the reason: `failed`, `max_failures`, `max_attempts`, `max_age` or
    /// `hop_limit`.
    pub class: String,
    /// Hand-offs.
    pub attempts: u32,
    /// Charged failures.
    pub failures: u32,
    /// How often it was sent back before.
    pub redrives: u32,
    /// When it died, RFC 3339.
    pub at: String,
    /// The latest failures, oldest first.
    pub history: Vec<FailureRecord>,
}

/// A dead letter whose message cannot be read any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnreadableView {
    /// Its number.
    pub number: u64,
    /// Plugin that owned the subscription; empty where that is lost as well.
    pub plugin: String,
    /// What is wrong with it.
    pub why: String,
}

/// One failed attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureRecord {
    /// Plugin that ran it.
    pub plugin: String,
    /// Number of the attempt, counted from 1.
    pub attempt: u32,
    /// Version that ran it; empty where nobody knows, as when a host died without a trace.
    pub version: String,
    /// Generation that ran it, as the host of that time counted; 0 where nobody knows.
    pub generation: u64,
    /// Why it failed.
    pub reason: String,
    /// When, RFC 3339.
    pub at: String,
}

/// How a shutdown went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShutdownReport {
    /// Whether everything ended before the deadline.
    pub clean: bool,
    /// How long it took, milliseconds.
    pub took_ms: u64,
    /// Deliveries that were in flight when their pool was closed by force.
    pub revoked: u64,
    /// Deliveries that were still queued or delayed.
    pub left: u64,
    /// Those of all that were unsettled that the journal has: the next host hands them out again.
    pub kept: u64,
    /// Plugins that did not end in time, with the reason.
    pub unfinished: Vec<UnfinishedPlugin>,
    /// Whether a library is still mapped: the process must end by `_exit`.
    pub quarantined: bool,
}

/// A plugin that did not end in time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnfinishedPlugin {
    /// Name.
    pub plugin: String,
    /// What was waited for.
    pub reason: String,
}
