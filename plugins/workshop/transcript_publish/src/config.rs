//! Settings of the plugin; `manifest.yaml` holds the defaults and what they mean.

use std::path::PathBuf;

use serde::Deserialize;

use crate::shelf::Shelf;

/// All settings.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    output: Output,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Output {
    dir: PathBuf,
    open_max: usize,
    segments_max: usize,
}

// === impl Settings ===

impl Settings {
    /// The shelf that the settings describe.
    pub(crate) fn shelf(self) -> Shelf {
        Shelf::new(self.output.dir, self.output.open_max, self.output.segments_max)
    }
}
