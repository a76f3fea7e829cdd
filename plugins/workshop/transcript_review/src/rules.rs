//! What a draft must be like to be published. Pure: no clock, no network.

use crate::models::DraftTranscription;

/// The rules, from the plugin's configuration.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rules {
    /// Drafts that state a lower confidence are refused; those that state none pass.
    pub(crate) confidence_min: f64,
    /// Primary languages that are published, such as `en`; empty = all.
    pub(crate) languages: Vec<String>,
    /// Longest text of a segment, in characters.
    pub(crate) text_chars_max: usize,
    /// Names looked up per segment; further ones are not.
    pub(crate) names_max: usize,
}

/// Why a draft cannot be published, as the dead letter will say.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("{segment}: nothing is said")]
    Empty { segment: String },
    #[error("{segment}: {found} characters, more than the {limit} of `text.chars_max`")]
    TooLong { segment: String, found: usize, limit: usize },
    #[error("{segment}: ends at {}, not after its start at {}", clock(*end_ms), clock(*start_ms))]
    EndsBeforeStart { segment: String, start_ms: u64, end_ms: u64 },
    #[error("{segment}: a confidence of {found} is impossible, it lies between 0 and 1")]
    ImpossibleConfidence { segment: String, found: f64 },
    #[error("{segment}: confidence {found} is below {limit}; listen again and correct the text")]
    Unsure { segment: String, found: f64, limit: f64 },
    #[error("{segment}: language `{found}` is not among those published ({published})")]
    Language { segment: String, found: String, published: String },
}

// === impl Rules ===

impl Default for Rules {
    fn default() -> Rules {
        Rules {
            confidence_min: 0.5,
            languages: vec!["en".to_owned()],
            text_chars_max: 8 * 1024,
            names_max: 8,
        }
    }
}

impl Rules {
    /// The first rule that the draft breaks, if any.
    pub(crate) fn check(&self, draft: &DraftTranscription) -> Result<(), Refusal> {
        self.check_text(draft)?;
        check_times(draft)?;
        self.check_confidence(draft)?;
        self.check_language(draft)
    }

    fn check_text(&self, draft: &DraftTranscription) -> Result<(), Refusal> {
        if draft.text.trim().is_empty() {
            return Err(Refusal::Empty { segment: draft.segment.clone() });
        }
        let (found, limit) = (draft.text.chars().count(), self.text_chars_max);
        if found > limit {
            return Err(Refusal::TooLong { segment: draft.segment.clone(), found, limit });
        }
        Ok(())
    }

    fn check_confidence(&self, draft: &DraftTranscription) -> Result<(), Refusal> {
        let Some(found) = draft.confidence else { return Ok(()) };
        let segment = draft.segment.clone();
        if !(0.0..=1.0).contains(&found) {
            Err(Refusal::ImpossibleConfidence { segment, found })
        } else if found < self.confidence_min {
            Err(Refusal::Unsure { segment, found, limit: self.confidence_min })
        } else {
            Ok(())
        }
    }

    /// Compares the primary language only: `en` admits `en-US`. A draft that states none passes.
    fn check_language(&self, draft: &DraftTranscription) -> Result<(), Refusal> {
        let Some(found) = &draft.language else { return Ok(()) };
        let primary = found.split(['-', '_']).next().unwrap_or_default();
        let admitted = self.languages.iter().any(|one| one.eq_ignore_ascii_case(primary));
        if self.languages.is_empty() || admitted {
            return Ok(());
        }
        Err(Refusal::Language {
            segment: draft.segment.clone(),
            found: found.clone(),
            published: self.languages.join(", "),
        })
    }
}

/// `102:45:40.000`
fn clock(ms: u64) -> String {
    let (hours, minutes, seconds) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
    format!("{hours:02}:{minutes:02}:{seconds:02}.{:03}", ms % 1_000)
}

fn check_times(draft: &DraftTranscription) -> Result<(), Refusal> {
    match (draft.start_ms, draft.end_ms) {
        (Some(start_ms), Some(end_ms)) if end_ms <= start_ms => {
            Err(Refusal::EndsBeforeStart { segment: draft.segment.clone(), start_ms, end_ms })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft() -> DraftTranscription {
        DraftTranscription {
            transcript: "t".to_owned(),
            segment: "t#1".to_owned(),
            sequence: 1,
            speaker: None,
            start_ms: None,
            end_ms: None,
            text: "Go.".to_owned(),
            confidence: None,
            language: None,
        }
    }

    fn refusal(draft: DraftTranscription) -> Refusal {
        Rules::default().check(&draft).unwrap_err()
    }

    #[test]
    fn a_draft_that_states_nothing_but_its_text_passes() {
        assert_eq!(Rules::default().check(&draft()), Ok(()));
    }

    #[test]
    fn a_text_must_say_something_and_not_too_much() {
        let silent = DraftTranscription { text: " \n".to_owned(), ..draft() };
        assert_eq!(refusal(silent), Refusal::Empty { segment: "t#1".to_owned() });
        let long = DraftTranscription { text: "é".repeat(8 * 1024 + 1), ..draft() };
        assert!(matches!(refusal(long), Refusal::TooLong { found: 8193, limit: 8192, .. }));
        let longest = DraftTranscription { text: "é".repeat(8 * 1024), ..draft() };
        assert_eq!(Rules::default().check(&longest), Ok(()));
    }

    #[test]
    fn a_segment_ends_after_it_begins() {
        for end_ms in [0, 9, 10] {
            let wrong = DraftTranscription { start_ms: Some(10), end_ms: Some(end_ms), ..draft() };
            assert!(matches!(refusal(wrong), Refusal::EndsBeforeStart { .. }));
        }
        let wrong = DraftTranscription { start_ms: Some(369_835_000), end_ms: Some(7), ..draft() };
        let said = "t#1: ends at 00:00:00.007, not after its start at 102:43:55.000";
        assert_eq!(refusal(wrong).to_string(), said);
        let right = DraftTranscription { start_ms: Some(10), end_ms: Some(11), ..draft() };
        assert_eq!(Rules::default().check(&right), Ok(()));
    }

    #[test]
    fn a_confidence_is_possible_and_high_enough() {
        for (confidence, passes) in
            [(0.5, true), (1.0, true), (0.49, false), (-0.1, false), (1.7, false)]
        {
            let stated = DraftTranscription { confidence: Some(confidence), ..draft() };
            assert_eq!(Rules::default().check(&stated).is_ok(), passes, "{confidence}");
        }
        let impossible = DraftTranscription { confidence: Some(1.7), ..draft() };
        assert!(matches!(refusal(impossible), Refusal::ImpossibleConfidence { .. }));
    }

    #[test]
    fn the_primary_language_decides() {
        for (language, passes) in [("en", true), ("EN-us", true), ("de", false), ("eng", false)] {
            let stated = DraftTranscription { language: Some(language.to_owned()), ..draft() };
            assert_eq!(Rules::default().check(&stated).is_ok(), passes, "{language}");
        }
        let any = Rules { languages: Vec::new(), ..Rules::default() };
        let german = DraftTranscription { language: Some("de".to_owned()), ..draft() };
        assert_eq!(any.check(&german), Ok(()));
    }

    #[test]
    fn a_refusal_names_the_segment_and_what_was_wanted() {
        let german = DraftTranscription { language: Some("de".to_owned()), ..draft() };
        assert_eq!(
            refusal(german).to_string(),
            "t#1: language `de` is not among those published (en)"
        );
    }
}
