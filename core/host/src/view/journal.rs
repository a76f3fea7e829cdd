//! Views of the journal: where durable messages are kept, and in which state it is.

use serde::{Deserialize, Serialize};

/// The journal in one page: `GET /api/v1/journal`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalView {
    /// Its folder.
    pub folder: String,
    /// `ready`; `full` while durable publishes find no room; `failed` until a restart; `degraded`
    /// when damage was found at the start.
    pub state: String,
    /// Why it is not ready.
    pub reason: Option<String>,
    /// `memory` when no topic is durable, `disk` when every durable topic waits for the disk,
    /// `reduced` when some topic is durable at level `process` only.
    pub durability: String,
    /// Levels of topics: the first rule that names a topic counts, and without one it is `memory`.
    pub rules: Vec<LevelRule>,
    /// Files with records.
    pub segments: u64,
    /// Bytes of all its files.
    pub bytes: u64,
    /// Bytes that are prepared for records to come.
    pub room_bytes: u64,
    /// Those of them that publishes leave to settlements and dead letters.
    pub reserve_bytes: u64,
    /// Deliveries in it that are not settled.
    pub unsettled: u64,
    /// Number of the last record that was written.
    pub written: u64,
    /// Number of the last record that is on the disk.
    pub synced: u64,
    /// Publishes that are recognised when they are repeated.
    pub dedup: DedupView,
    /// What was found when the host started.
    pub recovery: RecoveryView,
}

/// A subscription whose plugin is gone, and what waits for it: `GET /api/v1/orphans`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrphanView {
    /// Plugin that it belongs to.
    pub plugin: String,
    /// Its pattern.
    pub pattern: String,
    /// Deliveries that wait.
    pub unsettled: u64,
    /// Deliveries ever accepted.
    pub accepted: u64,
}

/// Orphans that were purged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PurgedView {
    /// Plugin that they belonged to.
    pub plugin: String,
    /// Subscriptions that are gone.
    pub subscriptions: u64,
    /// Deliveries that were dropped.
    pub dropped: u64,
}

/// Subscriptions that were let in again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachedView {
    /// Plugin that they belong to.
    pub plugin: String,
    /// How many were cut off because of their backlog, and are not any more.
    pub subscriptions: u64,
}

/// The level of some topics.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LevelRule {
    /// Pattern of the topics.
    pub topics: String,
    /// `memory`, `process` or `disk`.
    pub level: String,
}

/// The window in which repeated publishes are recognised (P-6).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DedupView {
    /// Keys that are remembered.
    pub keys: u64,
    /// Which bound it reached last: `none`, `window` or `keys`.
    pub bound: String,
}

/// What was found when the host started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoveryView {
    /// Whether the host before this one ended in an orderly way, or there was none.
    pub orderly: bool,
    /// How long reading took, milliseconds.
    pub took_ms: u64,
    /// Files that were read.
    pub segments: u64,
    /// Records that were read.
    pub records: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// Subscriptions that were found.
    pub subscriptions: u64,
    /// Deliveries that were not settled: they are handed out again.
    pub unsettled: u64,
    /// Those of them that somebody was working on.
    pub begun: u64,
    /// Dead letters that were found.
    pub dead_letters: u64,
    /// Bytes of an unfinished write at the end, cut off (P-9).
    pub torn_bytes: u64,
    /// Places where the journal is not as it was written: `GET /api/v1/journal/damage` lists them.
    pub damage: u64,
    /// What the crash record tells of the death of the host before; absent when that ended in order,
    /// or nothing is known.
    pub death: Option<DeathView>,
}

/// How the host before this one died (P-15).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeathView {
    /// The signal, such as `SIGSEGV`, or `exit()`; absent when nobody was at fault here: it was killed
    /// from outside.
    pub cause: Option<String>,
    /// The plugin whose code was at fault.
    pub plugin: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// Its generation in that host.
    pub generation: Option<u64>,
    /// The lane it ran on; absent when it was a thread of its own.
    pub lane: Option<u32>,
    /// The durable message that is charged with the death.
    pub message: Option<String>,
    /// How many durable messages may have caused it; absent when all that were handed out may.
    pub suspects: Option<u64>,
}

/// One place where the journal is not as it was written (P-10).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DamageView {
    /// Stable word: `manifest`, `missing`, `head`, `misplaced`, `shortened` or `record`.
    pub kind: String,
    /// The file.
    pub file: String,
    /// Where in it; 0 = the file as a whole.
    pub offset: u64,
    /// Number of the first record that is lost; absent when none is.
    pub first_record: Option<u64>,
    /// Number of the last one; absent when nothing after it can be read.
    pub last_record: Option<u64>,
    /// Number of the first message that is lost, where what follows tells.
    pub first_seq: Option<u64>,
    /// Number of the last one.
    pub last_seq: Option<u64>,
    /// Id of the message that is lost, where the damaged record still shows it.
    pub mid: Option<String>,
    /// The same in a sentence.
    pub detail: String,
}
