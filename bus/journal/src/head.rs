//! Where the journal grows: the buffer, the chain of records, the room that is prepared.
//!
//! All of it stands behind one lock, the innermost of the process, held for the encoding of one
//! record.

use std::{collections::VecDeque, sync::Arc};

use crate::{
    books::Books,
    clean::key_of,
    error::AppendError,
    frame::{self, FRAME, HEAD, Link},
    owed::Owed,
    place::{Place, Position},
    record::{Publish, Record},
    segment::{Segment, Used},
    storage::StoredFile,
};

/// What is appended and not yet written.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    pub(crate) bytes: Vec<u8>,
    pub(crate) chunks: Vec<Chunk>,
    /// Number of the last record in it.
    pub(crate) last: u64,
    /// Where that record ends.
    pub(crate) end: Place,
}

/// Bytes of the buffer that belong to one file: up to the next chunk.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) file: Arc<dyn StoredFile>,
    pub(crate) name: String,
    pub(crate) offset: u64,
    pub(crate) start: usize,
    /// Size of the file.
    pub(crate) size: u64,
}

/// The growing end.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) books: Books,
    pub(crate) link: Link,
    pub(crate) buffer: Buffer,
    /// Segments with records, oldest first; the last one grows.
    pub(crate) used: VecDeque<Used>,
    /// Segments made ahead, next first.
    pub(crate) ready: VecDeque<Segment>,
    /// Room that no publish may use.
    pub(crate) reserve: u64,
    /// What has happened and found no room.
    pub(crate) owed: Owed,
    pub(crate) closed: bool,
    /// Whether this life has left its first record.
    pub(crate) started: bool,
    /// Set while no segment can be made: the reason is a full disk.
    pub(crate) full: bool,
    /// Bytes of the largest publish that was refused for want of room, until there is some; 0 = none.
    pub(crate) starved: u64,
    /// An append had to wait for room since a segment was last made.
    pub(crate) hungry: bool,
    /// The keeper sleeps until it is rung.
    pub(crate) idle: bool,
}

// === impl Buffer ===

impl Buffer {
    /// What follows the last record is no record, whatever the file was before: so that the start
    /// of one that was not finished shows.
    pub(crate) fn end_with_zeroes(&mut self) {
        let room = self.chunks.last().map_or(0, |chunk| {
            let length = (self.bytes.len() - chunk.start) as u64;
            chunk.size.saturating_sub(chunk.offset + length)
        });
        let length = self.bytes.len() + room.min(FRAME as u64) as usize;
        self.bytes.resize(length, 0);
    }

    pub(crate) fn clear(&mut self, keep: usize) {
        self.bytes.clear();
        self.bytes.shrink_to(keep);
        self.chunks.clear();
    }
}

// === impl Head ===

impl Head {
    /// Prepared room, whole segments and the rest of the current one.
    pub(crate) fn room(&self) -> u64 {
        let rest = self.used.back().map_or(0, |used| used.segment.size.saturating_sub(used.end));
        rest + self.ready.iter().map(|segment| segment.size - HEAD as u64).sum::<u64>()
    }

    /// The segment of that number, if it has records that are needed.
    pub(crate) fn segment(&self, number: u64) -> Option<&Segment> {
        let at = self.used.partition_point(|used| used.segment.number < number);
        Some(&self.used.get(at)?.segment).filter(|segment| segment.number == number)
    }

    /// Appends a record. `synced` is the number up to which records are on the device.
    #[inline]
    pub(crate) fn append(
        &mut self,
        record: &Record<'_>,
        synced: u64,
    ) -> Result<Position, AppendError> {
        let seq = match record {
            Record::Publish(_) | Record::Forward { .. } => self.books.next_seq,
            _ => 0,
        };
        if matches!(record, Record::Control { .. } | Record::Subscribe(_)) {
            self.check_checkpoint(record)?;
        }
        let reserve = record.kind().reserve(self.reserve);
        let at = frame::open(&mut self.buffer.bytes);
        record.encode(seq, &mut self.buffer.bytes);
        let length = (self.buffer.bytes.len() - at) as u64;
        let fits = self
            .used
            .back()
            .is_some_and(|used| used.end + length <= used.segment.size)
            // The usual case is answered without counting.
            && (reserve == 0 || self.ready_room() >= reserve || self.room() >= length + reserve);
        if !fits {
            self.buffer.bytes.truncate(at);
            self.turn_over(length, reserve, synced)?;
            let at = frame::open(&mut self.buffer.bytes);
            record.encode(seq, &mut self.buffer.bytes);
            return Ok(self.finish(record, seq, at, synced));
        }
        Ok(self.finish(record, seq, at, synced))
    }

    /// What a checkpoint repeats must leave room for records behind it.
    #[cold]
    fn check_checkpoint(&self, record: &Record<'_>) -> Result<(), AppendError> {
        let mut body = Vec::new();
        record.encode(0, &mut body);
        let bytes = self.checkpoint_bytes() + (FRAME + body.len()) as u64;
        let size = self.used.back().map(|used| &used.segment).or(self.ready.front());
        let most = size.map_or(u64::MAX, |segment| segment.size / 2);
        if bytes > most { Err(AppendError::TooLarge { bytes, most }) } else { Ok(()) }
    }

    fn ready_room(&self) -> u64 {
        self.ready.front().map_or(0, |segment| segment.size - HEAD as u64)
    }

    /// Makes room for a record of that length in the current segment or the next one.
    #[cold]
    fn turn_over(&mut self, length: u64, reserve: u64, synced: u64) -> Result<(), AppendError> {
        let free = self.room();
        let refused = AppendError::StorageFull { free, reserve };
        let current = self.used.back();
        if current.is_some_and(|used| used.end + length <= used.segment.size) {
            return if free >= length + reserve { Ok(()) } else { Err(refused) };
        }
        let Some(next) = self.ready.front() else { return Err(refused) };
        let checkpoint = self.checkpoint_bytes();
        let most = (next.size - HEAD as u64).saturating_sub(checkpoint);
        if length > most {
            return Err(AppendError::TooLarge { bytes: length, most });
        }
        let left = self.ready.iter().map(|segment| segment.size - HEAD as u64).sum::<u64>();
        if left < length + checkpoint + reserve {
            return Err(refused);
        }
        let Some(next) = self.ready.pop_front() else { return Err(refused) };
        // So the segment that is full ends as one that is not.
        self.buffer.end_with_zeroes();
        self.used.push_back(Used::new(next));
        let at = frame::open(&mut self.buffer.bytes);
        let buffer = &mut self.buffer.bytes;
        self.books.with_checkpoint(|checkpoint| {
            Record::Checkpoint(Box::new(checkpoint)).encode(0, buffer);
        });
        self.close_frame(at, crate::record::Kind::Checkpoint, synced);
        Ok(())
    }

    /// Length of a checkpoint of the books as they are.
    pub(crate) fn checkpoint_bytes(&self) -> u64 {
        let mut bytes = Vec::new();
        self.books.with_checkpoint(|checkpoint| {
            Record::Checkpoint(Box::new(checkpoint)).encode(0, &mut bytes);
        });
        (FRAME + bytes.len()) as u64
    }

    #[inline]
    fn finish(&mut self, record: &Record<'_>, seq: u64, at: usize, synced: u64) -> Position {
        let (number, place) = self.close_frame(at, record.kind(), synced);
        self.books.apply(record, place);
        match record {
            Record::Publish(publish) | Record::Forward { publish, .. } => self.note(publish),
            Record::Moved(moved) => self.note_deliveries(moved.targets.len()),
            _ => {}
        }
        Position { number, seq, place }
    }

    #[inline]
    fn close_frame(&mut self, at: usize, kind: crate::record::Kind, synced: u64) -> (u64, Place) {
        let Link { number, .. } = self.link;
        let behind = u32::try_from((number - 1).saturating_sub(synced)).unwrap_or(u32::MAX);
        let length = (self.buffer.bytes.len() - at) as u64;
        let Some(used) = self.used.back_mut() else {
            return (number, Place { segment: 0, offset: 0 });
        };
        let salt = used.segment.salt;
        let crc = frame::close(&mut self.buffer.bytes, at, self.link, behind, kind, salt);
        let place = Place { segment: used.segment.number, offset: used.end };
        let same = self
            .buffer
            .chunks
            .last()
            .is_some_and(|chunk| Arc::ptr_eq(&chunk.file, &used.segment.file));
        if !same {
            self.buffer.chunks.push(Chunk {
                file: used.segment.file.clone(),
                name: used.segment.name.clone(),
                offset: used.end,
                start: at,
                size: used.segment.size,
            });
        }
        used.end += length;
        if used.first == 0 {
            used.first = number;
        }
        used.last = number;
        self.buffer.last = number;
        self.buffer.end = Place { segment: place.segment, offset: used.end };
        self.link = Link { number: number + 1, previous: crc };
        (number, place)
    }

    #[inline]
    fn note(&mut self, publish: &Publish<'_>) {
        self.note_deliveries(publish.targets.len());
        if let Some(key) = key_of(publish)
            && let Some(used) = self.used.back_mut()
        {
            used.keys.note(&key);
        }
    }

    #[inline]
    fn note_deliveries(&mut self, count: usize) {
        if let Some(used) = self.used.back_mut() {
            used.deliveries += count as u64;
        }
    }
}
