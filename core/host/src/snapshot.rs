//! What the registry knows, as a value that everybody may read without asking it.

use std::{collections::BTreeMap, sync::Arc};

use patchbay_lifecycle::{Fleet, PluginName, Track};

/// One moment of the registry.
#[derive(Clone, Debug, Default)]
pub(crate) struct Snapshot {
    /// Every plugin name.
    pub(crate) tracks: BTreeMap<PluginName, Arc<Track>>,
    /// Readings of the folder of links so far.
    pub(crate) scans: u64,
    /// Whether every enabled plugin has started or failed.
    pub(crate) settled: bool,
    /// Whether the host is ending and no generation is left.
    pub(crate) closed: bool,
}

// === impl Snapshot ===

impl Snapshot {
    /// The next moment. What did not change is shared with the one before.
    pub(crate) fn next(before: &Snapshot, fleet: &Fleet, scans: u64) -> Snapshot {
        let track = |now: &Track| match before.tracks.get(&now.name) {
            Some(same) if **same == *now => Arc::clone(same),
            _ => Arc::new(now.clone()),
        };
        Snapshot {
            tracks: fleet.tracks().map(|now| (now.name.clone(), track(now))).collect(),
            scans,
            settled: fleet.is_ready(),
            closed: fleet.is_closed(),
        }
    }
}
