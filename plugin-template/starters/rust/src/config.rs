//! The settings, as `manifest.json` has them.

use serde::Deserialize;

/// The plugin's settings. Their defaults stand in the manifest, in one place.
#[derive(Debug, Deserialize)]
pub struct Config {
    /// A text with more words is refused.
    pub words_max: usize,
}
