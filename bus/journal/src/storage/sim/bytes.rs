//! A file that knows what of it a power cut may leave.

use super::CrashChoice;

/// A device writes so much at once or not at all.
const SECTOR: usize = 512;

/// What a file is, and what it would be after a power cut.
#[derive(Clone, Debug, Default)]
pub(super) struct Bytes {
    pub(super) now: Vec<u8>,
    pub(super) durable: Vec<u8>,
    /// Writes since the last flush: offset and bytes; the file is at least as long afterwards.
    pub(super) unsynced: Vec<(u64, Vec<u8>)>,
}

// === impl Bytes ===

impl Bytes {
    /// What may be left of the file after a power cut.
    pub(super) fn survive(&self, choice: &mut dyn CrashChoice) -> Vec<u8> {
        let mut left = self.durable.clone();
        if self.unsynced.is_empty() {
            return left;
        }
        match choice.choose(4) {
            // Nothing, everything, a beginning with its last write torn, or any pieces.
            0 => {}
            1 => self.unsynced.iter().for_each(|(offset, bytes)| put(&mut left, *offset, bytes)),
            2 => {
                let kept = choice.choose(self.unsynced.len() as u64) as usize;
                for (offset, bytes) in &self.unsynced[..kept] {
                    put(&mut left, *offset, bytes);
                }
                let (offset, bytes) = &self.unsynced[kept];
                let torn = choice.choose(bytes.len() as u64 + 1) as usize;
                put(&mut left, *offset, &bytes[..torn]);
            }
            _ => {
                for (offset, bytes) in &self.unsynced {
                    if bytes.is_empty() && choice.choose(2) == 0 {
                        put(&mut left, *offset, bytes);
                    }
                    let (mut at, mut rest) = (*offset, &bytes[..]);
                    while !rest.is_empty() {
                        let end = SECTOR - at as usize % SECTOR;
                        let (piece, more) = rest.split_at(end.min(rest.len()));
                        if choice.choose(2) == 0 {
                            put(&mut left, at, piece);
                        }
                        (at, rest) = (at + piece.len() as u64, more);
                    }
                }
            }
        }
        left
    }
}

pub(super) fn put(into: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    let offset = offset as usize;
    if into.len() < offset + bytes.len() {
        into.resize(offset + bytes.len(), 0);
    }
    into[offset..offset + bytes.len()].copy_from_slice(bytes);
}
