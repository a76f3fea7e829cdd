//! Judging the journal of a data folder without a host. Nothing is written.

use crate::{
    error::OpenError, manifest::Manifest, open::At, recovered::RecoveryReport, segment::Segment,
    storage::Storage,
};

/// What a journal is worth.
#[derive(Clone, Debug)]
pub struct Verified {
    /// The journal's id.
    pub id: u128,
    /// Numbers of the first and last segment; the last is below the first when there is none.
    pub segments: (u64, u64),
    /// What opening it would report.
    pub report: RecoveryReport,
    /// Subscriptions: number, owner, pattern, unsettled deliveries.
    pub subscriptions: Vec<(u32, String, String, u64)>,
    /// Dead letters.
    pub letters: u64,
    /// Control keys.
    pub control: Vec<String>,
}

/// Whether a folder holds anything of a journal: its manifest, or a segment.
///
/// # Errors
/// When it cannot be looked into.
pub fn is_there(storage: &dyn Storage) -> Result<bool, OpenError> {
    let names = At::new(storage).try_to("list", "the folder", storage.list())?;
    let is_part = |name: &String| *name == Manifest::FILE || Segment::number_of(name).is_some();
    Ok(names.iter().any(is_part))
}

/// Reads a whole journal and says what opening it would find. While a host writes to it, the end
/// may look unfinished.
///
/// # Errors
/// When it is not there, of another version, or cannot be read.
pub fn verify(storage: &dyn Storage) -> Result<Verified, OpenError> {
    let at = At::new(storage);
    let mark = at.mark()?;
    let (manifest, broken) = at.manifest(false, mark)?;
    let read = at.scan(&manifest, mark, broken, 0)?;
    let mut report = read.report;
    report.live = read.books.subs.values().map(|book| book.live.len()).sum();
    let mut subscriptions: Vec<_> = read
        .books
        .subs
        .iter()
        .map(|(&sub, book)| {
            (sub, book.owner.to_string(), book.pattern.to_string(), book.live.len())
        })
        .collect();
    subscriptions.sort_unstable();
    Ok(Verified {
        id: manifest.id,
        segments: (manifest.first, manifest.last),
        report,
        subscriptions,
        letters: read.books.letters.len() as u64,
        control: read.books.control.into_keys().collect(),
    })
}
