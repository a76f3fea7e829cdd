//! What can go wrong with the output.

use std::path::PathBuf;

/// A segment that was not published.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OutputError {
    #[error("cannot {doing} `{}`", path.display())]
    File {
        doing: &'static str,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("line {line} of `{}` is no published segment; move the file away", path.display())]
    Foreign { path: PathBuf, line: usize },
    #[error("`{transcript}` is too long to name a file; {limit} bytes at most")]
    Name { transcript: String, limit: usize },
    #[error("`{transcript}` has {limit} segments, the most that `output.segments_max` allows")]
    Full { transcript: String, limit: usize },
}

// === impl OutputError ===

impl OutputError {
    /// Whether the message is at fault, so that no other attempt can succeed.
    pub(crate) fn is_of_the_message(&self) -> bool {
        matches!(self, OutputError::Name { .. } | OutputError::Full { .. })
    }
}
