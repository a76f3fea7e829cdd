//! What is lost, exactly (promise P-10).

use std::fmt;

/// One place where the journal is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// What is wrong.
    pub what: Wrong,
    /// The file.
    pub file: String,
    /// Where in it; 0 when it is the file as a whole.
    pub offset: u64,
    /// The records that are lost; `None` when none is.
    pub lost: Option<Lost>,
}

/// Kinds of damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Wrong {
    /// The manifest is not there, or not whole.
    Manifest,
    /// A segment that the manifest names is not there.
    Missing,
    /// The head of a segment is not whole, or of another journal.
    Head,
    /// The head says that the file is another segment.
    Misplaced,
    /// The file is shorter than its head says.
    Shortened,
    /// Bytes that are no record, among records.
    Record,
}

/// Records that are lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Number of the first.
    pub first: u64,
    /// Number of the last; where nothing after it can be read, of the last one that was marked as on
    /// the device, and `None` when none was.
    pub last: Option<u64>,
    /// Numbers of the first and last message among them, where what follows tells.
    pub seqs: Option<(u64, u64)>,
    /// The id of the lost message, where the damaged record still shows it.
    pub mid: Option<u128>,
}

// === impl Damage ===

impl Wrong {
    /// The label in reports and metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Wrong::Manifest => "manifest",
            Wrong::Missing => "missing",
            Wrong::Head => "head",
            Wrong::Misplaced => "misplaced",
            Wrong::Shortened => "shortened",
            Wrong::Record => "record",
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = &self.file;
        match self.what {
            Wrong::Manifest => write!(f, "{file} is missing or damaged")?,
            Wrong::Missing => write!(f, "{file} is missing")?,
            Wrong::Head => write!(f, "the head of {file} is damaged")?,
            Wrong::Misplaced => write!(f, "{file} is not the segment of its name")?,
            Wrong::Shortened => write!(f, "{file} ends at {}", self.offset)?,
            Wrong::Record => write!(f, "{file} is damaged at {}", self.offset)?,
        }
        let Some(lost) = &self.lost else { return Ok(()) };
        match lost.last {
            Some(last) if last == lost.first => write!(f, ", record {last} is lost")?,
            Some(last) => write!(f, ", records {} to {last} are lost", lost.first)?,
            None => write!(f, ", records from {} on are lost", lost.first)?,
        }
        match lost.seqs {
            Some((first, last)) if first <= last => write!(f, " (messages {first} to {last})"),
            _ => Ok(()),
        }
    }
}
