//! Messages read back: one by its place, or the backlog of a subscription in order.

use std::{cmp::Ordering, io, sync::atomic::Ordering::Acquire};

use crate::{
    books::Whereabouts,
    commit::lock,
    error::ReadError,
    frame::{self, Frame, HEAD},
    journal::{Journal, Shared},
    place::Place,
    record::{Kind, Publish, Record, Target},
    segment::{Segment, Used},
    stored::Stored,
    walk::Walk,
};

/// What is read at once when a record's length is not known.
const FIRST_READ: usize = 4 << 10;

// === impl Journal ===

impl Journal {
    /// The message of the record there.
    ///
    /// # Errors
    /// When nothing that is still needed stands there: it may have been copied forward, see
    /// [`read_delivery`](Journal::read_delivery).
    pub fn read(&self, place: Place) -> Result<Stored, ReadError> {
        self.shared.read(place)
    }

    /// The message of an unsettled delivery, wherever it stands by now.
    ///
    /// # Errors
    /// When it is settled, not written yet, or damaged.
    pub fn read_delivery(&self, target: Target) -> Result<Stored, ReadError> {
        let found = lock(&self.shared.head).locate(target);
        self.shared.read_on(found, &mut None)
    }

    /// The messages of several unsettled deliveries of a subscription, in the order of `ids`, which
    /// should rise: neighbours are found in one walk.
    #[must_use]
    pub fn read_deliveries(&self, sub: u32, ids: &[u64]) -> Vec<Result<Stored, ReadError>> {
        let mut walk = None;
        let read = |&id: &u64| {
            let found = lock(&self.shared.head).locate(Target { sub, id });
            self.shared.read_on(found, &mut walk)
        };
        ids.iter().map(read).collect()
    }

    /// The message of a dead letter.
    ///
    /// # Errors
    /// When there is no such letter, or it is damaged.
    pub fn read_letter(&self, number: u64) -> Result<Stored, ReadError> {
        let found = lock(&self.shared.head).letter_at(number).map(|(located, _)| located);
        self.shared.read_on(found, &mut None)
    }

    /// The messages of several dead letters, in the order of `numbers`: neighbours are found in one
    /// walk.
    #[must_use]
    pub fn read_letters(&self, numbers: &[u64]) -> Vec<Result<Stored, ReadError>> {
        let mut found: Vec<_> = {
            let head = lock(&self.shared.head);
            numbers.iter().map(|&number| head.letter_at(number)).enumerate().collect()
        };
        found.sort_by_key(|(_, letter)| letter.as_ref().map(|(_, target)| *target));
        let mut walk = None;
        let mut read: Vec<_> = found
            .into_iter()
            .map(|(at, letter)| {
                let located = letter.map(|(located, _)| located);
                (at, self.shared.read_on(located, &mut walk))
            })
            .collect();
        read.sort_by_key(|(at, _)| *at);
        read.into_iter().map(|(_, read)| read).collect()
    }
}

/// Where to find a message.
pub(crate) enum Located {
    /// In the record there.
    At(Place),
    /// In the record that publishes that delivery, there or after it.
    From(Place, Target),
}

impl crate::head::Head {
    pub(crate) fn locate(&self, target: Target) -> Option<Located> {
        let book = self.books.subs.get(&target.sub)?;
        if !book.live.contains(target.id) {
            return None;
        }
        match book.elsewhere.get(&target.id) {
            Some(Whereabouts::At(place)) => Some(Located::At(*place)),
            Some(Whereabouts::As(id)) => self.published_at(Target { id: *id, ..target }),
            None => self.published_at(target),
        }
    }

    /// Where the message of a dead letter is, and the delivery that it stands with.
    fn letter_at(&self, number: u64) -> Option<(Located, Target)> {
        let letter = self.books.letters.get(&number)?;
        let located = match letter.message {
            Some(place) => Some(Located::At(place)),
            None => self.published_at(letter.target),
        };
        located.map(|located| (located, letter.target))
    }

    fn published_at(&self, target: Target) -> Option<Located> {
        let place = self.books.subs.get(&target.sub)?.look_from(target.id)?;
        Some(Located::From(place, target))
    }
}

// === impl Shared ===

impl Shared {
    fn segment(&self, place: Place) -> Result<Segment, ReadError> {
        let Place { segment, offset } = place;
        let found = lock(&self.head).segment(segment).cloned();
        found.ok_or(ReadError::Gone { segment, offset })
    }

    pub(crate) fn read(&self, place: Place) -> Result<Stored, ReadError> {
        let Place { segment, offset } = place;
        let damaged = || ReadError::Damaged { segment, offset };
        let found = self.segment(place)?;
        let bytes =
            record_bytes(&found, offset).map_err(|source| ReadError::Io { segment, source })?;
        let frame = Frame::read(&bytes, found.salt).ok_or_else(damaged)?;
        Stored::of(&frame, place).ok_or_else(damaged)
    }

    /// Reads one message; `walk` stays where it was found, for the next one.
    fn read_on(
        &self,
        found: Option<Located>,
        walk: &mut Option<Walk>,
    ) -> Result<Stored, ReadError> {
        let (place, target) = match found.ok_or(ReadError::Gone { segment: 0, offset: 0 })? {
            Located::At(place) => return self.read(place),
            Located::From(place, target) => (place, target),
        };
        let near = walk.take().filter(|walk| {
            let at = walk.place();
            at.segment == place.segment && at.offset >= place.offset
        });
        let is_on = near.is_some();
        let mut on = near.map_or_else(|| self.walk(place), Ok)?;
        let found = on.publisher_of(target)?;
        *walk = Some(on);
        match found {
            Some(stored) => Ok(stored),
            // Passed already, when they do not come in their order: looked for from the start.
            None if is_on => self.find(place, target),
            None => Err(ReadError::Gone { segment: place.segment, offset: place.offset }),
        }
    }

    /// Looks for the record that publishes a delivery.
    fn find(&self, from: Place, target: Target) -> Result<Stored, ReadError> {
        let Place { segment, offset } = from;
        let found = self.walk(from)?.publisher_of(target)?;
        found.ok_or(ReadError::Gone { segment, offset })
    }

    /// The records from there to the end of the segment as it is now.
    pub(crate) fn walk(&self, from: Place) -> Result<Walk, ReadError> {
        let Place { segment, offset } = from;
        let head = lock(&self.head);
        let at = head.used.partition_point(|used| used.segment.number < segment);
        let used = head.used.get(at).filter(|used| used.segment.number == segment);
        let used = used.ok_or(ReadError::Gone { segment, offset })?;
        Ok(Walk::new(used.segment.clone(), offset, self.written_of(used)))
    }

    /// Where the written records of a segment end.
    pub(crate) fn written_of(&self, used: &Used) -> u64 {
        let written = Place::unpack(self.written_end.load(Acquire));
        match used.segment.number.cmp(&written.segment) {
            Ordering::Less => used.end,
            Ordering::Equal => written.offset,
            Ordering::Greater => HEAD as u64,
        }
    }
}

impl Walk {
    /// Goes on to the record that publishes that delivery; `None` when it is not there.
    fn publisher_of(&mut self, target: Target) -> Result<Option<Stored>, ReadError> {
        loop {
            let Some((place, frame)) = self.next()? else { return Ok(None) };
            match published(&frame, target.sub) {
                Some((id, publish)) if id == target.id => {
                    return Ok(Some(Stored::new(&frame, &publish, place)));
                }
                // Ids rise: it is not behind this one.
                Some((id, _)) if id > target.id => {
                    self.back(place);
                    return Ok(None);
                }
                _ => {}
            }
        }
    }
}

/// Which delivery to that subscription the record publishes, if it does, and its message.
pub(crate) fn published<'a>(frame: &Frame<'a>, sub: u32) -> Option<(u64, Publish<'a>)> {
    if !matches!(frame.kind, Kind::Publish | Kind::Forward) {
        return None;
    }
    match Record::decode(frame.kind, frame.body) {
        Ok(Record::Publish(publish) | Record::Forward { publish, .. }) => {
            let target = publish.targets.iter().find(|target| target.sub == sub)?;
            Some((target.id, publish))
        }
        _ => None,
    }
}

/// The bytes of the record there, as its length says; not checked.
pub(crate) fn record_bytes(segment: &Segment, offset: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; FIRST_READ];
    let length = segment.file.read_at(offset, &mut bytes)?;
    bytes.truncate(length);
    let whole = frame::length_said(&bytes).map_or(0, |said| said as u64);
    if whole > bytes.len() as u64 && offset.saturating_add(whole) <= segment.size {
        let have = bytes.len();
        bytes.resize(whole as usize, 0);
        let more = segment.file.read_at(offset + have as u64, &mut bytes[have..])?;
        bytes.truncate(have + more);
    }
    Ok(bytes)
}

/// Kind and body of the record there, if it is whole.
pub(crate) fn raw(segment: &Segment, offset: u64) -> Option<(Kind, Vec<u8>)> {
    let bytes = record_bytes(segment, offset).ok()?;
    let frame = Frame::read(&bytes, segment.salt)?;
    Some((frame.kind, frame.body.to_vec()))
}
