//! The last two states of a segment, as types: reviewed, published.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

/// What `transcript.reviewed` carries; `samples/messages/reviewed.json` shows one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ReviewedTranscription {
    pub(crate) transcript: String,
    pub(crate) segment: String,
    #[serde(default)]
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
    #[serde(default)]
    pub(crate) names: Vec<KnownName>,
}

/// A name of the segment and what it stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KnownName {
    pub(crate) name: String,
    pub(crate) meaning: String,
}

/// One line of the output: a reviewed segment, and when it was published.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct PublishedTranscription {
    #[serde(flatten)]
    pub(crate) reviewed: ReviewedTranscription,
    /// RFC 3339, UTC.
    pub(crate) published_at: String,
}

// === impl ReviewedTranscription ===

impl ReviewedTranscription {
    /// The published segment. This is the last state: nothing leads on from it.
    pub(crate) fn publish(self, at: SystemTime) -> PublishedTranscription {
        let published_at = humantime::format_rfc3339_millis(at).to_string();
        PublishedTranscription { reviewed: self, published_at }
    }

    /// Sorts the segments of a transcript; the name decides between those of one time.
    pub(crate) fn place(&self) -> (u64, &str) {
        (self.sequence, &self.segment)
    }

    /// Who speaks: in full where the glossary knows the name, as written elsewhere.
    pub(crate) fn speaker_in_full(&self) -> Option<&str> {
        let speaker = self.speaker.as_deref()?;
        let is_said_of = |name: &KnownName| {
            speaker.split(|c: char| !c.is_alphanumeric()).any(|word| word == name.name)
                || speaker == name.name
        };
        let known = self.names.iter().find(|name| is_said_of(name));
        Some(known.map_or(speaker, |name| &name.meaning))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> ReviewedTranscription {
        serde_json::from_str(include_str!("../../samples/messages/reviewed.json")).unwrap()
    }

    #[test]
    fn a_reviewed_segment_is_published_with_the_time_and_read_back() {
        let published = sample().publish(SystemTime::UNIX_EPOCH);
        assert_eq!(published.published_at, "1970-01-01T00:00:00.000Z");
        let line = serde_json::to_string(&published).unwrap();
        assert!(!line.contains('\n'));
        assert_eq!(serde_json::from_str::<PublishedTranscription>(&line).unwrap(), published);
    }

    #[test]
    fn the_speaker_is_named_in_full_where_the_glossary_knows() {
        assert_eq!(sample().speaker_in_full(), Some("Neil A. Armstrong, commander"));
        let unknown = ReviewedTranscription { names: Vec::new(), ..sample() };
        assert_eq!(unknown.speaker_in_full(), Some("CDR (TRANQ)"));
        let nobody = ReviewedTranscription { speaker: None, ..sample() };
        assert_eq!(nobody.speaker_in_full(), None);
    }
}
