//! What waits for its first hand-off, read back in order.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, atomic::Ordering::Acquire},
};

use crate::{
    commit::lock,
    error::ReadError,
    journal::{Journal, Shared},
    read::{Located, published},
    record::Target,
    stored::Stored,
    walk::Walk,
};

/// The unsettled deliveries of a subscription that were never handed off, in the order of their
/// ids; see [`Journal::backlog`].
pub struct Backlog {
    shared: Arc<Shared>,
    sub: u32,
    next: u64,
    walk: Option<Walk>,
}

// === impl Journal ===

impl Journal {
    /// What waits for its first hand-off in a subscription, from that id on.
    #[must_use]
    pub fn backlog(&self, sub: u32, from_id: u64) -> Backlog {
        Backlog { shared: self.shared.clone(), sub, next: from_id, walk: None }
    }
}

// === impl Backlog ===

impl Backlog {
    /// The id that is looked for next.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.next
    }

    /// The next deliveries with their ids: at most so many, and no more after so many bytes. Only
    /// of records up to the number `upto`: what the publisher has not been told of is not there
    /// yet. Fewer, or none, when there are no more now.
    ///
    /// A delivery whose record has been damaged since the opening is passed over.
    ///
    /// # Errors
    /// What the file system says.
    pub fn next(
        &mut self,
        max_count: usize,
        max_bytes: usize,
        upto: u64,
    ) -> Result<Vec<(u64, Stored)>, ReadError> {
        // Beyond what is written, there is nothing to read.
        let upto = upto.min(self.shared.written.load(Acquire));
        let mut wanted = self.wanted(max_count);
        let mut found = Vec::with_capacity(wanted.len());
        let mut bytes = 0;
        while bytes < max_bytes
            && let Some((id, located)) = wanted.pop_front()
        {
            let stored = match located {
                Located::At(place) => match self.shared.read(place) {
                    Ok(stored) => Some(stored),
                    Err(error @ ReadError::Io { .. }) => return Err(error),
                    // Moved on since it was looked up, or damaged: looked up once more.
                    Err(_) => self.again(id)?,
                },
                Located::From(..) => self.follow(id, &located, upto)?,
            };
            match stored {
                Some(stored) if stored.number() > upto => break,
                Some(stored) => {
                    bytes += stored.size();
                    found.push((id, stored));
                }
                None if self.reached_end(id, upto) => break,
                None => {}
            }
            self.next = id + 1;
        }
        Ok(found)
    }

    fn wanted(&self, most: usize) -> VecDeque<(u64, Located)> {
        let head = lock(&self.shared.head);
        let mut wanted = VecDeque::new();
        let Some(book) = head.books.subs.get(&self.sub) else { return wanted };
        let mut from = self.next;
        while wanted.len() < most
            && let Some(id) = book.live.next(from)
        {
            if book.is_fresh(id)
                && let Some(located) = head.locate(Target { sub: self.sub, id })
            {
                wanted.push_back((id, located));
            }
            from = id + 1;
        }
        wanted
    }

    fn again(&self, id: u64) -> Result<Option<Stored>, ReadError> {
        let located = lock(&self.shared.head).locate(Target { sub: self.sub, id });
        let Some(Located::At(place)) = located else { return Ok(None) };
        match self.shared.read(place) {
            Ok(stored) => Ok(Some(stored)),
            Err(error @ ReadError::Io { .. }) => Err(error),
            Err(_) => Ok(None),
        }
    }

    /// Walks on to the record that publishes that delivery.
    fn follow(
        &mut self,
        id: u64,
        located: &Located,
        upto: u64,
    ) -> Result<Option<Stored>, ReadError> {
        let Located::From(from, target) = *located else { return Ok(None) };
        let (sub, wanted) = (target.sub, target.id);
        let near = self.walk.take().filter(|walk| {
            let at = walk.place();
            wanted == id && at.segment == from.segment && at.offset >= from.offset
        });
        let mut walk = match near {
            Some(walk) => walk,
            None => match self.shared.walk(from) {
                Ok(walk) => walk,
                Err(error @ ReadError::Io { .. }) => return Err(error),
                // The segment was freed meanwhile: what was in it was copied.
                Err(_) => return self.again(id),
            },
        };
        if let Some(end) = self.shared.end_of(from.segment) {
            walk.reach(end);
        }
        while let Some((place, frame)) = walk.next()? {
            let number = frame.number;
            let passed = match published(&frame, sub) {
                Some((found, publish)) if found == wanted && number <= upto => {
                    let stored = Stored::new(&frame, &publish, place);
                    self.walk = Some(walk);
                    return Ok(Some(stored));
                }
                Some((found, _)) => found > wanted,
                None => false,
            };
            if passed || number > upto {
                walk.back(place);
                self.walk = Some(walk);
                return if passed { self.again(id) } else { Ok(None) };
            }
        }
        self.again(id)
    }

    /// Whether that delivery was not found because its record is not accepted yet.
    fn reached_end(&self, id: u64, upto: u64) -> bool {
        let head = lock(&self.shared.head);
        let Some(book) = head.books.subs.get(&self.sub) else { return true };
        let last = head.used.back().map_or(0, |used| used.last);
        // Something is not accepted, and this delivery still is where it was looked for.
        upto < last && book.live.contains(id) && !book.elsewhere.contains_key(&id)
    }
}

impl Shared {
    /// Where the records of that segment end now.
    fn end_of(&self, segment: u64) -> Option<u64> {
        let head = lock(&self.head);
        let at = head.used.partition_point(|used| used.segment.number < segment);
        head.used
            .get(at)
            .filter(|used| used.segment.number == segment)
            .map(|used| self.written_of(used))
    }
}

impl fmt::Debug for Backlog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backlog").field("sub", &self.sub).field("next", &self.next).finish()
    }
}
