//! Which format a message is in, and the cues it holds.
//!
//! One entry, [`read`]: the formats themselves are in [`blocks`] (WebVTT and SubRip, which differ
//! in little but their header), [`plain`] (one line, one cue) and [`object`] (JSON).
//!
//! **Absent on purpose.** No judgement: whether a confidence is plausible or a cue ends before it
//! begins is for the reviewer. Here a message is refused only when it cannot be read.

mod blocks;
mod markup;
mod object;
mod plain;
mod speaker;
mod timestamp;

use crate::{error::FormatError, models::Cue};

/// How the payload of a raw message is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// WebVTT: a whole file, or cues cut out of one.
    WebVtt,
    /// SubRip (`.srt`): a whole file, or cues cut out of one.
    SubRip,
    /// Each line that is not blank is one cue, `SPEAKER: text` or text alone.
    Plain,
    /// One JSON object with the field `text` and optionally the others of a cue.
    Object,
}

/// Reads the cues of a message; none when there is nothing but white space.
///
/// # Errors
/// [`FormatError`] names the line that cannot be read, or the limit that is exceeded.
pub(crate) fn read(
    content_type: Option<&str>,
    payload: &[u8],
    cues_max: usize,
) -> Result<Vec<Cue>, FormatError> {
    let text = std::str::from_utf8(payload)
        .map_err(|error| FormatError::NotText { at: error.valid_up_to() })?;
    // A byte order mark is no part of the text.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let cues = match Format::of(content_type, text) {
        Format::WebVtt | Format::SubRip => blocks::read(text)?,
        Format::Plain => plain::read(text)?,
        Format::Object => object::read(text)?,
    };
    if cues.len() > cues_max {
        return Err(FormatError::TooMany { found: cues.len(), limit: cues_max });
    }
    Ok(cues)
}

// === impl Format ===

impl Format {
    /// The format a content type names; when it names none, what the text looks like.
    fn of(content_type: Option<&str>, text: &str) -> Format {
        let essence = content_type.unwrap_or_default().split(';').next().unwrap_or_default();
        match essence.trim().to_ascii_lowercase().as_str() {
            "text/vtt" => Format::WebVtt,
            "application/x-subrip" | "text/srt" => Format::SubRip,
            "application/json" => Format::Object,
            "text/plain" => Format::Plain,
            _ => Format::sniff(text),
        }
    }

    fn sniff(text: &str) -> Format {
        let start = text.trim_start();
        if start.starts_with("WEBVTT") {
            Format::WebVtt
        } else if text.contains("-->") {
            Format::SubRip
        } else if start.starts_with('{') {
            Format::Object
        } else {
            Format::Plain
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(content_type: Option<&str>, payload: &str) -> Vec<String> {
        read(content_type, payload.as_bytes(), 100)
            .unwrap()
            .into_iter()
            .map(|cue| cue.text)
            .collect()
    }

    #[test]
    fn the_content_type_decides_and_its_parameters_do_not() {
        assert_eq!(Format::of(Some("text/vtt"), "a"), Format::WebVtt);
        assert_eq!(Format::of(Some("TEXT/VTT; charset=utf-8"), "a"), Format::WebVtt);
        assert_eq!(Format::of(Some("text/plain"), "{"), Format::Plain);
        assert_eq!(Format::of(Some("application/x-subrip"), "a"), Format::SubRip);
    }

    #[test]
    fn without_a_content_type_the_text_decides() {
        assert_eq!(Format::of(None, "WEBVTT\n"), Format::WebVtt);
        assert_eq!(Format::of(None, "1\n00:01,000 --> 00:02,000\nhello"), Format::SubRip);
        assert_eq!(Format::of(Some("application/octet-stream"), "{\"text\":1}"), Format::Object);
        assert_eq!(Format::of(None, "LINCOLN: Four score"), Format::Plain);
    }

    #[test]
    fn a_byte_order_mark_hides_nothing() {
        let file = "\u{feff}WEBVTT\n\n00:01.000 --> 00:02.000\nhello\n";
        assert_eq!(texts(None, file), ["hello"]);
    }

    #[test]
    fn white_space_alone_holds_no_cue() {
        assert!(texts(None, " \n\t\r\n").is_empty());
        assert!(texts(None, "").is_empty());
    }

    #[test]
    fn bytes_that_are_no_text_are_refused_with_their_place() {
        let error = read(None, b"hello \xff", 10).unwrap_err();
        assert_eq!(error, FormatError::NotText { at: 6 });
    }

    #[test]
    fn more_cues_than_allowed_are_refused() {
        let error = read(None, b"one\ntwo\nthree\n", 2).unwrap_err();
        assert_eq!(error, FormatError::TooMany { found: 3, limit: 2 });
    }
}
