//! The frame around a record, and the head of a segment: bytes that tell whether they are whole.
//!
//! ```text
//! record   crc u32 | length u32 | number u64 | previous u32 | unsynced u32 | kind u8 | body
//! head     crc u32 | magic [8] | version u32 | journal [16] | segment u64 | salt u32 | size u64
//! ```
//!
//! All numbers are little-endian. `length` counts the whole record. `crc` is CRC32C over all that
//! follows it, started from the *salt* of the segment, a random word that every use of a file draws
//! anew: what an earlier use left behind does not pass. `number` is gapless over the journal.
//! `previous` is the `crc` of the record before. `unsynced` says how many records before this one
//! were not known to be on the device when it was written (all ones = unknown): with it, a hole
//! that a power cut left is told from damage.

use crate::record::Kind;

/// Version of the format that this code reads and writes.
pub(crate) const VERSION: u32 = 2;
/// First bytes of a segment.
const MAGIC: [u8; 8] = *b"pbjourn1";
/// Length of a segment's head. The first record follows it.
pub(crate) const HEAD: usize = 64;
const HEAD_USED: usize = 4 + 8 + 4 + 16 + 8 + 4 + 8;
/// Length of a record without its body.
pub(crate) const FRAME: usize = 25;

/// What a segment says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) version: u32,
    pub(crate) journal: u128,
    pub(crate) segment: u64,
    pub(crate) salt: u32,
    pub(crate) size: u64,
}

/// A record whose checksum is right.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) crc: u32,
    pub(crate) number: u64,
    pub(crate) previous: u32,
    pub(crate) unsynced: u32,
    pub(crate) kind: Kind,
    pub(crate) body: &'a [u8],
}

/// Where a record's chain stands: what the next one has to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) number: u64,
    pub(crate) previous: u32,
}

// === impl Head ===

impl Head {
    pub(crate) fn encode(&self) -> [u8; HEAD] {
        let mut bytes = [0; HEAD];
        bytes[4..12].copy_from_slice(&MAGIC);
        bytes[12..16].copy_from_slice(&self.version.to_le_bytes());
        bytes[16..32].copy_from_slice(&self.journal.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.segment.to_le_bytes());
        bytes[40..44].copy_from_slice(&self.salt.to_le_bytes());
        bytes[44..HEAD_USED].copy_from_slice(&self.size.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[4..]);
        bytes[..4].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// `None` when it is not the head of a segment, or not whole.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Head> {
        let bytes = bytes.get(..HEAD)?;
        if u32_at(bytes, 0) != crc32c::crc32c(&bytes[4..]) || bytes[4..12] != MAGIC {
            return None;
        }
        Some(Head {
            version: u32_at(bytes, 12),
            journal: u128::from(u64_at(bytes, 16)) | u128::from(u64_at(bytes, 24)) << 64,
            segment: u64_at(bytes, 32),
            salt: u32_at(bytes, 40),
            size: u64_at(bytes, 44),
        })
    }
}

// === impl Frame ===

impl<'a> Frame<'a> {
    /// The record at the front of `bytes`, if its checksum is right.
    #[inline]
    pub(crate) fn read(bytes: &'a [u8], salt: u32) -> Option<Frame<'a>> {
        let length = length_at(bytes)?;
        let whole = &bytes[..length];
        let crc = u32_at(whole, 0);
        if crc32c::crc32c_append(salt, &whole[4..]) != crc {
            return None;
        }
        Some(Frame {
            crc,
            number: u64_at(whole, 8),
            previous: u32_at(whole, 16),
            unsynced: u32_at(whole, 20),
            kind: Kind::of_tag(whole[24])?,
            body: &whole[FRAME..],
        })
    }

    /// Length of the whole record.
    pub(crate) fn len(&self) -> usize {
        FRAME + self.body.len()
    }

    /// Up to which number all records were on the device when this one was written.
    pub(crate) fn synced(&self) -> Option<u64> {
        (self.unsynced != u32::MAX).then(|| (self.number - 1).checked_sub(self.unsynced.into()))?
    }
}

/// The length that a record at the front of `bytes` gives, if there is room for it.
#[inline]
pub(crate) fn length_at(bytes: &[u8]) -> Option<usize> {
    if bytes.len() < FRAME {
        return None;
    }
    let length = u32_at(bytes, 4) as usize;
    (FRAME..=bytes.len()).contains(&length).then_some(length)
}

/// The length that a record at the front of `bytes` gives, right or wrong.
pub(crate) fn length_said(bytes: &[u8]) -> Option<usize> {
    (bytes.len() >= FRAME).then(|| u32_at(bytes, 4) as usize)
}

/// The number that a record at the front of `bytes` gives, right or wrong.
pub(crate) fn number_at(bytes: &[u8]) -> u64 {
    u64_at(bytes, 8)
}

/// Leaves room for the frame of a record whose body follows.
#[inline]
pub(crate) fn open(out: &mut Vec<u8>) -> usize {
    let at = out.len();
    out.extend_from_slice(&[0; FRAME]);
    at
}

/// Fills the frame of the record that starts at `at` and ends with `out`. Returns its checksum.
#[inline]
pub(crate) fn close(
    out: &mut [u8],
    at: usize,
    link: Link,
    unsynced: u32,
    kind: Kind,
    salt: u32,
) -> u32 {
    let record = &mut out[at..];
    let length = record.len() as u32;
    record[4..8].copy_from_slice(&length.to_le_bytes());
    record[8..16].copy_from_slice(&link.number.to_le_bytes());
    record[16..20].copy_from_slice(&link.previous.to_le_bytes());
    record[20..24].copy_from_slice(&unsynced.to_le_bytes());
    record[24] = kind as u8;
    let crc = crc32c::crc32c_append(salt, &record[4..]);
    record[..4].copy_from_slice(&crc.to_le_bytes());
    crc
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}
