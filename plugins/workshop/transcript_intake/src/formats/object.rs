//! One cue as a JSON object.

use serde::Deserialize;

use crate::{error::FormatError, models::Cue};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Object {
    text: String,
    speaker: Option<String>,
    start_ms: Option<u64>,
    end_ms: Option<u64>,
    confidence: Option<f64>,
    language: Option<String>,
}

/// Reads the object.
pub(super) fn read(text: &str) -> Result<Vec<Cue>, FormatError> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let object: Object = serde_json::from_str(text)
        .map_err(|error| FormatError::Object { problem: error.to_string() })?;
    let Object { text, speaker, start_ms, end_ms, confidence, language } = object;
    Ok(vec![Cue { speaker, start_ms, end_ms, text, confidence, language }])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_of_a_cue_are_read() {
        let cues = read(r#"{"text": "Roger.", "speaker": "CC", "confidence": 0.5}"#).unwrap();
        assert_eq!(cues.len(), 1);
        assert_eq!(cues[0].speaker.as_deref(), Some("CC"));
        assert_eq!(cues[0].confidence, Some(0.5));
    }

    #[test]
    fn a_wrong_object_is_refused_with_the_reason() {
        for (text, reason) in [
            ("{}", "missing field `text`"),
            (r#"{"text": 1}"#, "expected a string"),
            (r#"{"text": "a", "spaeker": "b"}"#, "unknown field `spaeker`"),
            ("{", "EOF"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
