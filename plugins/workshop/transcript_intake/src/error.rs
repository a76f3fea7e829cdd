//! Why a raw message cannot be read.

/// A message that cannot be read. Each names the place and what would do instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FormatError {
    #[error("byte {at} is not UTF-8; publish text in UTF-8")]
    NotText { at: usize },
    #[error("line {line}: a cue without a timing line such as `00:01.000 --> 00:02.500`")]
    NoTiming { line: usize },
    #[error("line {line}: `{found}` is no time; write `[hours:]minutes:seconds.milliseconds`")]
    Timestamp { line: usize, found: String },
    #[error("line {line}: `{found}` is no value for {setting}; write {expected}")]
    Setting { line: usize, setting: &'static str, found: String, expected: &'static str },
    #[error("line {line}: `<` opens a tag that does not end; write `&lt;` for the character")]
    OpenTag { line: usize },
    #[error("{problem}; write an object such as {{\"speaker\": \"CC\", \"text\": \"Roger.\"}}")]
    Object { problem: String },
    #[error("{found} cues in one message, more than the {limit} of `document.cues_max`")]
    TooMany { found: usize, limit: usize },
}
