//! What a transcript is made of, on its way in.

use serde::Serialize;

/// One thing said, as a file states it. What the file does not say is absent.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Cue {
    pub(crate) speaker: Option<String>,
    pub(crate) start_ms: Option<u64>,
    pub(crate) end_ms: Option<u64>,
    pub(crate) text: String,
    /// How sure the recogniser was, as stated: nobody has checked yet that it lies in 0..=1.
    pub(crate) confidence: Option<f64>,
    /// BCP 47 tag, such as `en` or `pt-BR`.
    pub(crate) language: Option<String>,
}

/// A segment that nobody has looked at yet: what `transcript.draft` carries.
///
/// `samples/messages/draft.json` shows one; its readers are tested against the same file.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct DraftTranscription {
    /// Which transcript the segment belongs to.
    pub(crate) transcript: String,
    /// Names the segment for ever: parsing the same message again gives the same name.
    pub(crate) segment: String,
    /// Sorts the segments of a transcript.
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
}

/// Where a segment comes from, and with that its name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin<'a> {
    /// Name of the transcript.
    pub(crate) transcript: &'a str,
    /// Id of the raw message.
    pub(crate) message: u128,
    /// When the raw message was published, nanoseconds since the Unix epoch.
    pub(crate) published_ns: u64,
}

// === impl Cue ===

impl Cue {
    /// Makes the only segment of a message. Lines that are published one by one have no number, so
    /// their order is that of publishing and their name that of the message.
    pub(crate) fn into_only_draft(self, origin: Origin<'_>, language: &str) -> DraftTranscription {
        let segment = format!("{}#{:032x}", origin.transcript, origin.message);
        self.into_draft(origin.transcript, segment, origin.published_ns, language)
    }

    /// Makes the segment at `index` of a document. Its name is the place in the document, so that
    /// publishing a document once more names the same segments.
    pub(crate) fn into_draft_at(
        self,
        index: usize,
        origin: Origin<'_>,
        language: &str,
    ) -> DraftTranscription {
        let segment = format!("{}#{:05}", origin.transcript, index + 1);
        self.into_draft(origin.transcript, segment, index as u64 + 1, language)
    }

    fn into_draft(
        self,
        transcript: &str,
        segment: String,
        sequence: u64,
        language: &str,
    ) -> DraftTranscription {
        let assumed = (!language.is_empty()).then(|| language.to_owned());
        DraftTranscription {
            transcript: transcript.to_owned(),
            segment,
            sequence,
            speaker: self.speaker,
            start_ms: self.start_ms,
            end_ms: self.end_ms,
            text: self.text,
            confidence: self.confidence,
            language: self.language.or(assumed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN: Origin<'_> =
        Origin { transcript: "apollo-11-landing", message: 0x2a, published_ns: 7 };

    fn cue() -> Cue {
        Cue {
            speaker: Some("CDR (TRANQ)".to_owned()),
            start_ms: Some(369_959_000),
            end_ms: Some(369_964_000),
            text: "Houston, Tranquility Base here.".to_owned(),
            confidence: Some(0.97),
            language: None,
        }
    }

    #[test]
    fn a_draft_is_written_as_the_sample_shows_it() {
        let draft = cue().into_draft_at(86, ORIGIN, "en");
        let sample: serde_json::Value =
            serde_json::from_str(include_str!("../../samples/messages/draft.json")).unwrap();
        assert_eq!(serde_json::to_value(draft).unwrap(), sample);
    }

    #[test]
    fn the_same_place_of_the_same_document_has_the_same_name() {
        let first = cue().into_draft_at(3, ORIGIN, "en");
        let again = cue().into_draft_at(3, Origin { message: 99, ..ORIGIN }, "en");
        assert_eq!(first.segment, again.segment);
    }

    #[test]
    fn lines_published_one_by_one_are_told_apart_and_sorted_by_time() {
        let first = cue().into_only_draft(ORIGIN, "en");
        let next = cue().into_only_draft(Origin { message: 43, published_ns: 8, ..ORIGIN }, "en");
        assert_ne!(first.segment, next.segment);
        assert!(first.sequence < next.sequence);
    }

    #[test]
    fn what_the_file_says_wins_over_what_is_assumed() {
        let spoken = Cue { language: Some("de".to_owned()), ..cue() };
        assert_eq!(spoken.into_draft_at(0, ORIGIN, "en").language.as_deref(), Some("de"));
        assert_eq!(cue().into_draft_at(0, ORIGIN, "").language, None);
    }
}
