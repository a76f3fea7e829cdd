//! Declared probes: what a candidate is asked before it gets any message, and what it must answer.
//!
//! A manifest declares them under `transition.probes`, a request may bring its own.

use patchbay_manifest::{Manifest, ProbeAnswer, ProbeManifest};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::outputs::Answer;

/// One probe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// Topic of the message; one that the plugin subscribes to.
    pub topic: String,
    /// Headers.
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    /// Payload: a text is sent as it is, anything else as JSON.
    #[serde(default)]
    pub payload: Value,
    /// What is expected.
    #[serde(default)]
    pub expect: Expectation,
}

/// What a probe expects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Expectation {
    /// `acknowledged`, `retry`, `failed`, `forward` or `error`.
    pub status: String,
    /// Topic of the forward, if that matters.
    pub forward: Option<String>,
}

/// The probes that a manifest declares.
pub(crate) fn of(manifest: &Manifest) -> Vec<Probe> {
    let declared = manifest.transition.as_ref().map_or(&[][..], |it| &it.probes);
    declared.iter().map(Probe::from).collect()
}

// === impl Probe ===

impl From<&ProbeManifest> for Probe {
    fn from(declared: &ProbeManifest) -> Probe {
        let status = match declared.expect {
            ProbeAnswer::Acknowledged => "acknowledged",
            ProbeAnswer::RetryLater => "retry",
            ProbeAnswer::Failed => "failed",
            ProbeAnswer::Forward => "forward",
        };
        let forward = declared.to.as_ref().map(ToString::to_string);
        Probe {
            topic: declared.topic.to_string(),
            headers: Vec::new(),
            payload: declared.payload.clone(),
            expect: Expectation { status: status.to_owned(), forward },
        }
    }
}

impl Probe {
    pub(super) fn headers(&self) -> Vec<(&str, &str)> {
        self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }

    pub(super) fn payload(&self) -> Vec<u8> {
        match &self.payload {
            Value::Null => Vec::new(),
            Value::String(text) => text.clone().into_bytes(),
            other => other.to_string().into_bytes(),
        }
    }
}

// === impl Expectation ===

impl Default for Expectation {
    fn default() -> Expectation {
        Expectation { status: "acknowledged".to_owned(), forward: None }
    }
}

impl Expectation {
    pub(super) fn is(&self, answer: &Answer) -> bool {
        self.status == answer.status && (self.forward.is_none() || self.forward == answer.forward)
    }

    pub(super) fn shown(&self) -> String {
        match &self.forward {
            Some(topic) => format!("{} to {topic}", self.status),
            None => self.status.clone(),
        }
    }
}
