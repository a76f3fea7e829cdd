//! One file of the journal.

use std::sync::Arc;

use crate::{frame::HEAD, storage::StoredFile};

/// Ending of the files' names.
const ENDING: &str = ".seg";

/// A segment: what is needed to write and read it.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) number: u64,
    pub(crate) name: String,
    pub(crate) file: Arc<dyn StoredFile>,
    pub(crate) salt: u32,
    pub(crate) size: u64,
}

/// A segment with records, and what is remembered about them.
#[derive(Clone, Debug)]
pub(crate) struct Used {
    pub(crate) segment: Segment,
    /// Where its records end.
    pub(crate) end: u64,
    /// Numbers of its first and last record; 0 = it has none.
    pub(crate) first: u64,
    pub(crate) last: u64,
    /// Deliveries that its records brought in.
    pub(crate) deliveries: u64,
    /// Publishes with a key in it, and when the last of them was, in observed time.
    pub(crate) keys: u64,
    pub(crate) last_key_ns: u64,
}

// === impl Segment ===

impl Segment {
    pub(crate) fn file_name(number: u64) -> String {
        format!("{number:08}{ENDING}")
    }

    /// The number in a file's name.
    pub(crate) fn number_of(name: &str) -> Option<u64> {
        let digits = name.strip_suffix(ENDING)?;
        let number = digits.parse().ok()?;
        (Segment::file_name(number) == name).then_some(number)
    }
}

// === impl Used ===

impl Used {
    pub(crate) fn new(segment: Segment) -> Used {
        Used {
            segment,
            end: HEAD as u64,
            first: 0,
            last: 0,
            deliveries: 0,
            keys: 0,
            last_key_ns: 0,
        }
    }
}
