//! A message read back: decoded once, and kept as the bytes it was found in.

use std::ops::Range;

use crate::{
    frame::Frame,
    place::Place,
    record::{Dedup, Moved, Publish, Record},
    wire::List,
};

/// A message read back from the journal.
#[derive(Clone, Debug)]
pub struct Stored {
    body: Box<[u8]>,
    /// What is not borrowed from the body; lists and texts are empty here.
    numbers: Publish<'static>,
    topic: Part,
    key: Part,
    payload: Part,
    headers: Packed,
    targets: Packed,
    dedup: Option<StoredDedup>,
    number: u64,
    place: Place,
}

/// Where something stands in the body.
type Part = Range<usize>;

/// Where a list stands in the body, and how many items it has.
#[derive(Clone, Debug, Default)]
struct Packed {
    count: usize,
    part: Part,
}

#[derive(Clone, Debug)]
struct StoredDedup {
    principal: Part,
    key: Part,
    payload_hash: u64,
}

// === impl Stored ===

impl Stored {
    /// The message of a record, if it has one.
    pub(crate) fn of(frame: &Frame<'_>, place: Place) -> Option<Stored> {
        match Record::decode(frame.kind, frame.body).ok()? {
            Record::Publish(publish)
            | Record::Forward { publish, .. }
            | Record::Moved(Moved { publish, .. }) => Some(Stored::new(frame, &publish, place)),
            _ => None,
        }
    }

    /// The message that was decoded from that record.
    pub(crate) fn new(frame: &Frame<'_>, publish: &Publish<'_>, place: Place) -> Stored {
        let part = |bytes: &[u8]| part_of(frame.body, bytes);
        let dedup = publish.dedup.map(|dedup| StoredDedup {
            principal: part(dedup.principal.as_bytes()),
            key: part(dedup.key.as_bytes()),
            payload_hash: dedup.payload_hash,
        });
        let packed = |list: Option<(usize, &[u8])>| {
            list.map_or_else(Packed::default, |(count, bytes)| Packed { count, part: part(bytes) })
        };
        Stored {
            topic: part(publish.topic.as_bytes()),
            key: part(publish.key.as_bytes()),
            payload: part(publish.payload),
            headers: packed(publish.headers.packed()),
            targets: packed(publish.targets.packed()),
            dedup,
            numbers: Publish {
                topic: "",
                key: "",
                payload: &[],
                headers: List::default(),
                dedup: None,
                targets: List::default(),
                letters: List::default(),
                seq: publish.seq,
                mid: publish.mid,
                time_ns: publish.time_ns,
                expires_ns: publish.expires_ns,
                not_before_ns: publish.not_before_ns,
                observed_ns: publish.observed_ns,
                hops: publish.hops,
                level: publish.level,
            },
            body: frame.body.into(),
            number: frame.number,
            place,
        }
    }

    /// The message. A message that was copied forward names no targets.
    #[must_use]
    pub fn publish(&self) -> Publish<'_> {
        let dedup = self.dedup.as_ref().map(|dedup| Dedup {
            principal: self.text(&dedup.principal),
            key: self.text(&dedup.key),
            payload_hash: dedup.payload_hash,
        });
        Publish {
            topic: self.text(&self.topic),
            key: self.text(&self.key),
            payload: self.bytes(&self.payload),
            headers: List::of_packed(self.headers.count, self.bytes(&self.headers.part)),
            targets: List::of_packed(self.targets.count, self.bytes(&self.targets.part)),
            dedup,
            ..self.numbers
        }
    }

    /// Number of the record that holds it.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Where it stands.
    #[must_use]
    pub fn place(&self) -> Place {
        self.place
    }

    /// Bytes of it in memory, about.
    #[must_use]
    pub fn size(&self) -> usize {
        self.body.len()
    }

    fn bytes(&self, part: &Part) -> &[u8] {
        self.body.get(part.clone()).unwrap_or_default()
    }

    /// It was text when the record was decoded, and nothing changes it.
    fn text(&self, part: &Part) -> &str {
        std::str::from_utf8(self.bytes(part)).unwrap_or_default()
    }
}

/// Where in `whole` a part of it stands.
fn part_of(whole: &[u8], part: &[u8]) -> Part {
    let start = (part.as_ptr().addr()).wrapping_sub(whole.as_ptr().addr());
    // What is empty may stand anywhere.
    if part.is_empty() { 0..0 } else { start..start + part.len() }
}
