//! Declared probes: what a candidate is asked before it gets any message, and what it must answer.
//!
//! A manifest declares them under `x-probes`, a request may bring its own.

use patchbay_manifest::Manifest;
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

/// Key of the manifest.
const KEY: &str = "x-probes";

/// The probes that a manifest declares. One that cannot be read expects what nobody answers, so
/// that it fails and is seen.
pub(crate) fn of(manifest: &Manifest) -> Vec<Probe> {
    let declared = manifest.extensions.get(KEY).and_then(Value::as_array);
    let read = |value: &Value| {
        serde_json::from_value(value.clone()).unwrap_or_else(|error| Probe {
            topic: format!("{KEY}: {error}"),
            headers: Vec::new(),
            payload: Value::Null,
            expect: Expectation { status: "a probe that can be read".to_owned(), forward: None },
        })
    };
    declared.into_iter().flatten().map(read).collect()
}

// === impl Probe ===

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
