//! One segment as it is read: where its records are, and what is none.

use crate::{
    damage::Wrong,
    frame::{self, FRAME, Frame},
    record::{Kind, Record},
    segment::Segment,
    zeroes,
};

/// What a device writes at once.
const SECTOR: usize = 512;

/// A segment that is being read.
pub(crate) struct Page<'a> {
    pub(crate) segment: &'a Segment,
    pub(crate) bytes: &'a [u8],
    /// From there on all is zero.
    pub(crate) data: usize,
}

/// Bytes that are no record, and what may be lost with them.
pub(crate) struct Hole {
    pub(crate) file: String,
    pub(crate) offset: u64,
    pub(crate) what: Wrong,
    pub(crate) mid: Option<u128>,
}

// === impl Page ===

impl<'a> Page<'a> {
    /// The next whole record from `at` on with at least that number, and where it starts.
    pub(crate) fn next(&self, at: usize, number: u64) -> Option<(usize, Frame<'a>)> {
        let salt = self.segment.salt;
        let next = self.frame(at, salt).filter(|frame| frame.number >= number);
        if let Some(frame) = next {
            return Some((at, frame));
        }
        // A record that is missing took at least its frame.
        let most = number + (self.bytes.len() / FRAME) as u64 + (1 << 32);
        let end = self.bytes.len().saturating_sub(FRAME).min(self.data);
        let mut start = at + 1;
        while start < end {
            let bytes = &self.bytes[start..];
            if bytes[4..8] == [0; 4] {
                // No record begins before its length has a byte that is not zero.
                start = zeroes::skip(self.bytes, start + 8) - 7;
                continue;
            }
            let plausible = frame::length_at(bytes).is_some()
                && (number..most).contains(&frame::number_at(bytes));
            if plausible && let Some(frame) = self.frame(start, salt) {
                return Some((start, frame));
            }
            start += 1;
        }
        None
    }

    fn frame(&self, at: usize, salt: u32) -> Option<Frame<'a>> {
        let frame = Frame::read(self.bytes.get(at..)?, salt)?;
        Record::decode(frame.kind, frame.body).is_ok().then_some(frame)
    }

    pub(crate) fn hole(&self, at: usize) -> Hole {
        let (file, offset) = (self.segment.name.clone(), at as u64);
        Hole { file, offset, what: Wrong::Record, mid: self.mid(at) }
    }

    /// The message id of the record at `at`, if what is left of it shows one.
    fn mid(&self, at: usize) -> Option<u128> {
        let body = self.bytes.get(at + FRAME..at + FRAME + 17)?;
        let is_publish = self.bytes[at + FRAME - 1] == Kind::Publish as u8;
        let mid = u128::from_le_bytes(body[1..].try_into().ok()?);
        // Ids are UUIDs of version 7: what does not look like one is not shown.
        let looks = mid >> 76 & 0xF == 7 && mid >> 62 & 0b11 == 0b10;
        (is_publish && looks).then_some(mid)
    }

    /// Highest number of a record that was on the device, as the records from `at` on tell.
    pub(crate) fn vouched(&self, at: usize, number: u64) -> u64 {
        let (mut at, mut vouched) = (at, 0);
        while let Some((start, frame)) = self.next(at, number) {
            vouched = vouched.max(frame.synced().unwrap_or(0));
            at = start + frame.len();
        }
        vouched
    }

    /// Whether a record that is not whole was written all the same. Files are made of zeroes and
    /// devices write whole sectors: where an unfinished write ends, or a sector was not written, are
    /// zeroes, or what an earlier use of the file left. Here nothing is behind it, its last byte is
    /// there, and something of it in every sector.
    pub(crate) fn is_written(&self, at: usize, length: usize) -> bool {
        let end = at + length;
        let mut start = at;
        while start < end.min(self.data) {
            let next = (start / SECTOR + 1) * SECTOR;
            if self.bytes[start..next.min(end)].iter().all(|&byte| byte == 0) {
                return false;
            }
            start = next;
        }
        // All is zero from `data` on, and not before.
        length > FRAME && self.data == end
    }

    /// Whether the zeroes follow that end every write, with something of an earlier use of the file
    /// behind them. Where nothing is lost that was written, a record that is not whole was written
    /// whole then.
    pub(crate) fn is_ended(&self, at: usize, length: usize) -> bool {
        let zeroes = at + length..at + length + FRAME;
        let are_zero = |bytes: &[u8]| bytes.iter().all(|&byte| byte == 0);
        length > FRAME && self.data > zeroes.end && self.bytes.get(zeroes).is_some_and(are_zero)
    }

    /// How long a record that was begun at `at` and not finished is. Zeroes follow what was
    /// finished.
    pub(crate) fn torn(&self, at: usize) -> Option<u64> {
        let bytes = self.bytes.get(at..).unwrap_or_default();
        let start = &bytes[..bytes.len().min(FRAME)];
        if start.iter().all(|&byte| byte == 0) {
            return None;
        }
        Some(frame::length_at(bytes).unwrap_or(start.len()) as u64)
    }
}
