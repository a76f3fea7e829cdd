//! One file of the journal.

use std::sync::Arc;

use crate::{frame::HEAD, record::DedupKey, storage::StoredFile};

/// What a key takes in a copy beside its texts, at most.
const KEY: usize = 64;
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
    /// Keys of publishes in it.
    pub(crate) keys: Keys,
}

/// Keys of publishes in a segment, and when the first and the last of them were, in observed time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Keys {
    pub(crate) count: u64,
    /// What they take when they are copied.
    bytes: u64,
    first_ns: u64,
    last_ns: u64,
}

/// How far back keys are remembered, in observed time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) now_ns: u64,
    pub(crate) length_ns: u64,
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
        Used { segment, end: HEAD as u64, first: 0, last: 0, deliveries: 0, keys: Keys::default() }
    }
}

// === impl Window ===

impl Window {
    /// Whether what was published then is still remembered.
    pub(crate) fn has(self, at_ns: u64) -> bool {
        at_ns.saturating_add(self.length_ns) > self.now_ns
    }
}

// === impl Keys ===

impl Keys {
    pub(crate) fn note(&mut self, key: &DedupKey<'_>) {
        let at = key.observed_ns;
        self.first_ns = if self.count == 0 { at } else { self.first_ns.min(at) };
        self.last_ns = self.last_ns.max(at);
        self.count += 1;
        self.bytes += Keys::size_of(key);
    }

    /// The bytes of a key where it is copied to, or a little more.
    pub(crate) fn size_of(key: &DedupKey<'_>) -> u64 {
        (key.principal.len() + key.topic.len() + key.key.len() + KEY) as u64
    }

    /// Whether one of them is still in the window.
    pub(crate) fn any_within(&self, window: Window) -> bool {
        self.count > 0 && window.has(self.last_ns)
    }

    /// About the bytes of those that are, as if they were spread evenly.
    pub(crate) fn bytes_within(&self, window: Window) -> u64 {
        if !self.any_within(window) {
            return 0;
        }
        let from_ns = window.now_ns.saturating_sub(window.length_ns);
        let all = u128::from(self.last_ns - self.first_ns) + 1;
        let young = u128::from(self.last_ns - self.first_ns.max(from_ns)) + 1;
        (u128::from(self.bytes) * young / all) as u64
    }
}
