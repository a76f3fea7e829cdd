//! Settings of the plugin; `manifest.yaml` holds the defaults and what they mean.

use serde::Deserialize;

/// All settings.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    pub(crate) language: String,
    pub(crate) document: Document,
}

/// How large a message may be.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Document {
    pub(crate) cues_max: usize,
}
