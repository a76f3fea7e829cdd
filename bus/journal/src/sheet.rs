//! A segment in memory while all of a journal is read.

use std::io;

use crate::{segment::Segment, zeroes};

/// What is read at once.
const PIECE: usize = 1 << 20;

/// The bytes of one segment after the other. Zeroes at the end of a segment are looked at where
/// they are read, and neither kept nor searched: reading takes as long as what was written.
#[derive(Debug, Default)]
pub(crate) struct Sheet {
    piece: Vec<u8>,
    bytes: Vec<u8>,
    /// Behind it all of `bytes` is zero.
    touched: usize,
}

/// What [`Sheet::fill`] found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filled<'a> {
    /// All that the file has.
    pub(crate) bytes: &'a [u8],
    /// From there on all of it is zero.
    pub(crate) data: usize,
}

// === impl Sheet ===

impl Sheet {
    /// Reads a segment.
    pub(crate) fn fill(&mut self, segment: &Segment) -> io::Result<Filled<'_>> {
        let size = segment.size as usize;
        if self.bytes.len() < size {
            // Made anew, so that pages which nobody writes to are never there.
            (self.bytes, self.touched) = (vec![0; size], 0);
        }
        self.piece.resize(PIECE.min(size), 0);
        let (mut at, mut data, before) = (0, 0, self.touched);
        while at < size {
            let most = self.piece.len().min(size - at);
            let read = segment.file.read_at(at as u64, &mut self.piece[..most])?;
            let piece = &self.piece[..read];
            let tail = zeroes::tail(piece);
            if tail > 0 {
                data = at + tail;
                self.bytes[at..data].copy_from_slice(&piece[..tail]);
                self.touched = self.touched.max(data);
            }
            let (start, end) = (at + tail, (at + read).min(before));
            if start < end {
                self.bytes[start..end].fill(0);
            }
            at += read;
            if read < most {
                break;
            }
        }
        if at < before {
            self.bytes[at..before].fill(0);
        }
        self.touched = data;
        Ok(Filled { bytes: &self.bytes[..at], data })
    }
}
