//! What a journal is told when it is opened.

use std::time::Duration;

/// Settings of a journal. The sizes of segments hold for those made from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalConfig {
    /// Size of one segment file; also the bound of one record, less what a segment's head takes.
    pub segment_bytes: u64,
    /// Prepared room that publishes may not use: it keeps settlements, dead letters and control
    /// records possible on a full disk. At most half a segment of it is used.
    pub reserve_bytes: u64,
    /// Whether a segment is filled with zeroes when it is made, and not only reserved. Then a flush
    /// has nothing to write but what was appended, as level `disk` wants; where hardly anything is
    /// flushed, it is written twice for nothing.
    pub fill: bool,
    /// No segment is added when less free space than this would be left on the volume.
    pub low_water_bytes: u64,
    /// All segments together, those made ahead and those kept for reuse included.
    pub max_bytes: u64,
    /// How often what is only written is flushed to the device.
    pub sync_interval: Duration,
    /// How long a record that nobody waits for may stay in the buffer.
    pub flush_interval: Duration,
    /// How much may stand in the buffer before an append waits for a write.
    pub buffer_bytes: usize,
    /// How much of what has happened may wait in memory for room on a full disk. More is not
    /// remembered, and whoever tells it hands nothing out until a restart.
    pub owed_bytes: usize,
    /// What happens when damage is found on opening.
    pub on_corruption: OnCorruption,
    /// How long the keys of publishes are remembered. On a disk that is full they are copied forward
    /// and keep no segment, as long as they take no more than half of it.
    pub dedup_window: Duration,
    /// How many of them at most.
    pub dedup_keys_max: usize,
    /// How long a publish waits for room that is being made before it is refused. On a full disk it
    /// does not wait.
    pub patience: Duration,
    /// Whether the journal has threads of its own. Without them, [`tend`](crate::Journal::tend) does
    /// their work; tests and simulations use that.
    pub threads: bool,
}

/// What happens when damage is found on opening (promise P-10).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnCorruption {
    /// The damaged segment is copied aside, what is readable is used, what is lost is listed.
    #[default]
    Quarantine,
    /// The journal is not opened.
    Refuse,
}

// === impl JournalConfig ===

impl Default for JournalConfig {
    fn default() -> JournalConfig {
        JournalConfig {
            segment_bytes: 32 << 20,
            reserve_bytes: 16 << 20,
            fill: true,
            low_water_bytes: 64 << 20,
            max_bytes: 64 << 30,
            sync_interval: Duration::from_millis(200),
            flush_interval: Duration::from_millis(5),
            buffer_bytes: 1 << 20,
            owed_bytes: 16 << 20,
            on_corruption: OnCorruption::default(),
            dedup_window: Duration::from_secs(600),
            dedup_keys_max: 1_000_000,
            patience: Duration::from_secs(2),
            threads: true,
        }
    }
}

impl JournalConfig {
    /// The smallest segment: the head, a checkpoint, and some records.
    pub const SEGMENT_MIN: u64 = 4096;

    /// Prepared room that publishes leave alone.
    pub(crate) fn reserve(&self) -> u64 {
        self.reserve_bytes.min(self.segment_bytes / 2)
    }
}
