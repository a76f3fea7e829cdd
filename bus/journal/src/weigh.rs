//! Whether copying the oldest segment forward is worth it, and fits.

use crate::{config::JournalConfig, head::Head, segment::Used};

/// Under pressure a segment is copied forward when one in this many of its bytes is gained: less is
/// not worth that others wait for it.
const GAIN: u64 = 8;

/// What copying a segment would have taken when there was no room for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Weighed {
    pub(crate) segment: u64,
    /// What was needed of it: as long as that is the same, so is the rest.
    pub(crate) burden: u64,
    pub(crate) keys: u64,
    pub(crate) cost: u64,
}

// === impl Head ===

impl Head {
    /// Whether keys of the oldest segment are still remembered.
    pub(crate) fn needs_keys(&self, oldest: &Used, config: &JournalConfig) -> bool {
        let newer: u64 = self.used.iter().skip(1).map(|used| used.keys.count).sum();
        newer < config.dedup_keys_max as u64 && oldest.keys.any_within(self.window(config))
    }

    /// What the keys of the oldest segment take when they are copied forward.
    pub(crate) fn keys_bytes(&self, oldest: &Used, config: &JournalConfig) -> u64 {
        if self.needs_keys(oldest, config) {
            oldest.keys.bytes_within(self.window(config))
        } else {
            0
        }
    }

    /// Whether so much can be appended and enough is left for what others append meanwhile.
    pub(crate) fn has_room_to_copy(&self, cost: u64, pressure: bool) -> bool {
        let left = if pressure { self.reserve / 8 } else { self.reserve / 2 };
        self.room() >= cost.saturating_add(left)
    }
}

/// Most bytes that may be written again to get a segment back.
pub(crate) fn worth(oldest: &Used) -> u64 {
    oldest.end - oldest.end / GAIN
}
