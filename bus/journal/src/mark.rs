//! The high-water mark: up to which record everything is on the device, kept beside the segments.
//!
//! A record says how far the device was when it was written, so each vouches for those before it.
//! Nothing in the segments vouches for the last ones. The mark does: a record up to it that is
//! missing was lost to damage, and is never taken for an unfinished write (P-9).
//!
//! ```text
//! slot     crc u32 | journal [16] | number u64       two of them, 512 bytes apart, written in turn
//! ```
//!
//! It is written when the flush that it tells of has returned, from time to time, and never flushed
//! itself: an older mark vouches for less, and a missing one for nothing.

use std::{
    io,
    sync::{
        Arc,
        atomic::Ordering::{Acquire, Release},
    },
};

use crate::{
    commit::lock,
    folder::is_full,
    journal::Shared,
    storage::{Storage, StoredFile},
};

/// The name of the file.
pub(crate) const FILE: &str = "synced";
/// How far apart the slots are: no two in what a device writes at once.
const APART: u64 = 512;
const SLOT: usize = 4 + 16 + 8;

/// What a slot says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) journal: u128,
    pub(crate) number: u64,
}

/// Writes the mark.
#[derive(Debug, Default)]
pub(crate) struct Marker {
    file: Option<Arc<dyn StoredFile>>,
    /// Which slot is next.
    second: bool,
}

// === impl Mark ===

impl Mark {
    /// The higher of the two marks in the folder, and whether it stands in the second slot.
    pub(crate) fn read(storage: &dyn Storage) -> io::Result<Option<(Mark, bool)>> {
        let file = match storage.open(FILE, false) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let mut found: Option<(Mark, bool)> = None;
        for second in [false, true] {
            let mut bytes = [0; SLOT];
            let length = file.read_at(u64::from(second) * APART, &mut bytes)?;
            let mark = Mark::decode(&bytes).filter(|_| length == SLOT);
            found = found
                .into_iter()
                .chain(mark.map(|mark| (mark, second)))
                .max_by_key(|it| it.0.number);
        }
        Ok(found)
    }

    fn encode(self) -> [u8; SLOT] {
        let mut bytes = [0; SLOT];
        bytes[4..20].copy_from_slice(&self.journal.to_le_bytes());
        bytes[20..].copy_from_slice(&self.number.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[4..]);
        bytes[..4].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8; SLOT]) -> Option<Mark> {
        let (crc, rest) = bytes.split_first_chunk::<4>()?;
        let (journal, rest) = rest.split_first_chunk::<16>()?;
        let number = rest.first_chunk::<8>()?;
        // A slot that was never written is all zero.
        let mark =
            Mark { journal: u128::from_le_bytes(*journal), number: u64::from_le_bytes(*number) };
        (u32::from_le_bytes(*crc) == crc32c::crc32c(&bytes[4..]) && mark.number > 0).then_some(mark)
    }
}

// === impl Marker ===

impl Marker {
    /// Goes on behind what was found.
    pub(crate) fn after(found: Option<(Mark, bool)>) -> Marker {
        Marker { file: None, second: found.is_some_and(|(_, second)| !second) }
    }

    fn write(&mut self, storage: &dyn Storage, mark: Mark) -> io::Result<()> {
        let file = match &self.file {
            Some(file) => file,
            None => {
                let file = match storage.open(FILE, true) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => storage.create(FILE),
                    file => file,
                };
                self.file.insert(file?)
            }
        };
        file.write_at(u64::from(self.second) * APART, &mark.encode())?;
        self.second = !self.second;
        Ok(())
    }
}

// === impl Shared ===

impl Shared {
    /// Leaves word of how far the device is.
    pub(crate) fn mark(&self) {
        let mut marker = lock(&self.marker);
        let number = self.synced.load(Acquire);
        if number <= self.marked.load(Acquire) || self.failed.get().is_some() {
            return;
        }
        match marker.write(&*self.storage, Mark { journal: self.id, number }) {
            // Without room for it the mark stays where it was.
            Err(error) if !is_full(&error) => self.fail("write", FILE, &error),
            _ => self.marked.store(number, Release),
        }
    }
}
