//! The states of a segment, as types: draft, checked, reviewed.
//!
//! [`DraftTranscription::check`] and [`CheckedTranscription::review`] are the only ways from one to
//! the next, so a segment that was not checked cannot be looked up, and one that was not looked up
//! cannot be forwarded.

use serde::{Deserialize, Serialize};

use crate::{
    names,
    rules::{Refusal, Rules},
};

/// What `transcript.draft` carries; `samples/messages/draft.json` shows one.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct DraftTranscription {
    pub(crate) transcript: String,
    pub(crate) segment: String,
    #[serde(default)]
    pub(crate) sequence: u64,
    pub(crate) speaker: Option<String>,
    pub(crate) start_ms: Option<u64>,
    pub(crate) end_ms: Option<u64>,
    pub(crate) text: String,
    pub(crate) confidence: Option<f64>,
    pub(crate) language: Option<String>,
}

/// A draft that keeps the rules, and the names whose meaning is wanted.
#[derive(Debug)]
pub(crate) struct CheckedTranscription {
    draft: DraftTranscription,
    names: Vec<String>,
}

/// What `transcript.reviewed` carries; `samples/messages/reviewed.json` shows one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct ReviewedTranscription {
    pub(crate) transcript: String,
    pub(crate) segment: String,
    pub(crate) sequence: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) speaker: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) start_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) end_ms: Option<u64>,
    pub(crate) text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) confidence: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) language: Option<String>,
    /// The names of speaker and text that the glossary knows, in the order they were met.
    pub(crate) names: Vec<KnownName>,
}

/// A name and what it stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct KnownName {
    pub(crate) name: String,
    pub(crate) meaning: String,
}

// === impl DraftTranscription ===

impl DraftTranscription {
    /// Checks the draft against the rules and finds the names in it.
    ///
    /// # Errors
    /// The first rule that is broken. No second attempt would help.
    pub(crate) fn check(self, rules: &Rules) -> Result<CheckedTranscription, Refusal> {
        rules.check(&self)?;
        let names = names::find(self.speaker.as_deref(), &self.text, rules.names_max);
        Ok(CheckedTranscription { draft: self, names })
    }
}

// === impl CheckedTranscription ===

impl CheckedTranscription {
    /// The names to look up.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// The reviewed segment, with what the glossary knows of its names.
    pub(crate) fn review(self, names: Vec<KnownName>) -> ReviewedTranscription {
        let draft = self.draft;
        ReviewedTranscription {
            transcript: draft.transcript,
            segment: draft.segment,
            sequence: draft.sequence,
            speaker: draft.speaker,
            start_ms: draft.start_ms,
            end_ms: draft.end_ms,
            text: draft.text,
            confidence: draft.confidence,
            language: draft.language,
            names,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draft_becomes_a_reviewed_segment_as_the_samples_show() {
        let draft: DraftTranscription =
            serde_json::from_str(include_str!("../../samples/messages/draft.json")).unwrap();
        let checked = draft.check(&Rules::default()).unwrap();
        assert_eq!(checked.names(), ["CDR", "TRANQ", "Houston", "Tranquility Base"]);
        let reviewed = checked.review(vec![
            KnownName {
                name: "CDR".to_owned(),
                meaning: "Neil A. Armstrong, commander".to_owned(),
            },
            KnownName {
                name: "Tranquility Base".to_owned(),
                meaning: "the landing site, and the lunar module once it stands there".to_owned(),
            },
        ]);
        let sample: serde_json::Value =
            serde_json::from_str(include_str!("../../samples/messages/reviewed.json")).unwrap();
        assert_eq!(serde_json::to_value(reviewed).unwrap(), sample);
    }
}
