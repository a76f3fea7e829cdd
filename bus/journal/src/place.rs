//! Where records stand.

/// Where a record stands in the files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// Number of the segment.
    pub segment: u64,
    /// Offset in its file.
    pub offset: u64,
}

/// A record that was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Its number, gapless over the journal: what [`Journal::wait`](crate::Journal::wait) asks for.
    pub number: u64,
    /// Number of the message that it publishes, gapless too; 0 when it publishes none.
    pub seq: u64,
    /// Where it will stand.
    pub place: Place,
}

/// An instant by both clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// Nanoseconds since the Unix epoch.
    pub unix_ns: u64,
    /// Nanoseconds on a clock that never goes back.
    pub mono_ns: u64,
}

// === impl Place ===

impl Place {
    /// As one word: the segment above, the offset in the low 32 bits.
    #[must_use]
    pub const fn pack(self) -> u64 {
        self.segment << 32 | self.offset & 0xFFFF_FFFF
    }

    /// From such a word.
    #[must_use]
    pub const fn unpack(word: u64) -> Place {
        Place { segment: word >> 32, offset: word & 0xFFFF_FFFF }
    }
}
