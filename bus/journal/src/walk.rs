//! The records of a segment, one after the other, read in pieces.

use crate::{
    error::ReadError,
    frame::{self, FRAME, Frame},
    place::Place,
    segment::Segment,
};

/// What is read at once.
const PIECE: usize = 256 << 10;

/// A walk along the records of one segment. Bytes that are no record are passed over: they were
/// reported when the journal was opened.
#[derive(Debug)]
pub(crate) struct Walk {
    segment: Segment,
    /// Where the next record stands in the file, and where in `bytes`.
    offset: u64,
    start: usize,
    bytes: Vec<u8>,
    /// Where the records end.
    end: u64,
}

// === impl Walk ===

impl Walk {
    pub(crate) fn new(segment: Segment, offset: u64, end: u64) -> Walk {
        Walk { segment, offset, start: 0, bytes: Vec::new(), end }
    }

    pub(crate) fn place(&self) -> Place {
        Place { segment: self.segment.number, offset: self.offset }
    }

    /// The next record and where it stands; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<(Place, Frame<'_>)>, ReadError> {
        while self.offset < self.end {
            let whole = self.whole()?;
            let Some(length) = whole else {
                self.step(1);
                continue;
            };
            let place = self.place();
            let at = self.start;
            self.step(length);
            // Read twice, because a frame must not be borrowed across the loop; once per damage.
            return Ok(Frame::read(&self.bytes[at..at + length], self.segment.salt)
                .map(|frame| (place, frame)));
        }
        Ok(None)
    }

    /// Goes back to where the record stands that was returned last.
    pub(crate) fn back(&mut self, place: Place) {
        let by = self.offset - place.offset;
        self.offset -= by;
        self.start -= by as usize;
    }

    /// The segment has grown up to there.
    pub(crate) fn reach(&mut self, end: u64) {
        self.end = self.end.max(end);
    }

    fn step(&mut self, by: usize) {
        self.offset += by as u64;
        self.start += by;
    }

    /// The length of the record at `offset` if it is whole, with its bytes in memory.
    fn whole(&mut self) -> Result<Option<usize>, ReadError> {
        self.have(FRAME)?;
        let Some(said) = frame::length_said(&self.bytes[self.start..]) else { return Ok(None) };
        if said < FRAME || self.offset + said as u64 > self.end {
            return Ok(None);
        }
        self.have(said)?;
        let bytes = &self.bytes[self.start..];
        Ok(Frame::read(bytes, self.segment.salt).map(|frame| frame.len()))
    }

    /// Brings that many bytes into memory, if there are so many.
    fn have(&mut self, count: usize) -> Result<(), ReadError> {
        let have = self.bytes.len() - self.start;
        let there = (self.end - self.offset) as usize;
        if have >= count.min(there) {
            return Ok(());
        }
        self.bytes.drain(..self.start);
        self.start = 0;
        let most = count.max(PIECE).min(there);
        self.bytes.resize(most, 0);
        let from = self.offset + have as u64;
        let read = self.segment.file.read_at(from, &mut self.bytes[have..]);
        let segment = self.segment.number;
        let read = read.map_err(|source| ReadError::Io { segment, source })?;
        self.bytes.truncate(have + read);
        Ok(())
    }
}
