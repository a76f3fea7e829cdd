//! What stands in the lists of records.

use crate::wire::{Item, ItemReader, Malformed, put_blob, put_number};

/// One delivery: a message for one subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Target {
    /// The subscription.
    pub sub: u32,
    /// The delivery's id within it.
    pub id: u64,
}

/// Name and value of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// Name.
    pub name: &'a str,
    /// Value.
    pub value: &'a str,
}

/// Delivery ids that follow one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first.
    pub first: u64,
    /// How many.
    pub count: u64,
}

/// Deliveries whose next attempt has the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The deliveries.
    pub span: Span,
    /// Number of the attempt, 1 for the first.
    pub attempt: u32,
}

/// Deliveries that ended the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// The deliveries.
    pub span: Span,
    /// How.
    pub how: Ended,
}

/// How a delivery ended, but for forwards and dead letters, which have records of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Acknowledged.
    Done,
    /// Dropped; the reason is a number of the bus, below
    /// [`DROP_REASONS`](super::DROP_REASONS).
    Dropped(u8),
}

/// One failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure<'a> {
    /// The plugin.
    pub plugin: &'a str,
    /// Which instance of it.
    pub generation: u64,
    /// Which version that was; empty where nobody knows.
    pub version: &'a str,
    /// Number of the attempt.
    pub attempt: u32,
    /// What kind of failure, a number of the bus.
    pub class: u8,
    /// In words.
    pub reason: &'a str,
    /// When, nanoseconds since the Unix epoch.
    pub at_unix_ns: u64,
}

/// The key of a publish, remembered so that it is not published twice (P-6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DedupKey<'a> {
    /// Who published.
    pub principal: &'a str,
    /// To which topic.
    pub topic: &'a str,
    /// The key.
    pub key: &'a str,
    /// Hash of what was published.
    pub payload_hash: u64,
    /// The message it became.
    pub mid: u128,
    /// Its number.
    pub seq: u64,
    /// When, in time that hosts have run.
    pub observed_ns: u64,
}

// === impl Item ===

impl<'a> Item<'a> for Target {
    #[inline]
    fn put(&self, out: &mut Vec<u8>) {
        put_number(out, u64::from(self.sub));
        put_number(out, self.id);
    }

    #[inline]
    fn take(from: &mut ItemReader<'a>) -> Result<Self, Malformed> {
        Ok(Target { sub: from.0.small()?, id: from.0.number()? })
    }
}

impl<'a> Item<'a> for Header<'a> {
    fn put(&self, out: &mut Vec<u8>) {
        put_blob(out, self.name.as_bytes());
        put_blob(out, self.value.as_bytes());
    }

    fn take(from: &mut ItemReader<'a>) -> Result<Self, Malformed> {
        Ok(Header { name: from.0.text()?, value: from.0.text()? })
    }
}

impl<'a> Item<'a> for Span {
    #[inline]
    fn put(&self, out: &mut Vec<u8>) {
        put_number(out, self.first);
        put_number(out, self.count);
    }

    #[inline]
    fn take(from: &mut ItemReader<'a>) -> Result<Self, Malformed> {
        let span = Span { first: from.0.number()?, count: from.0.number()? };
        span.first.checked_add(span.count).ok_or(Malformed)?;
        Ok(span)
    }
}

impl<'a> Item<'a> for Attempt {
    fn put(&self, out: &mut Vec<u8>) {
        self.span.put(out);
        put_number(out, u64::from(self.attempt));
    }

    fn take(from: &mut ItemReader<'a>) -> Result<Self, Malformed> {
        Ok(Attempt { span: Span::take(from)?, attempt: from.0.small()? })
    }
}

impl<'a> Item<'a> for End {
    fn put(&self, out: &mut Vec<u8>) {
        self.span.put(out);
        out.push(match self.how {
            Ended::Done => 0,
            Ended::Dropped(reason) => 1 + reason,
        });
    }

    fn take(from: &mut ItemReader<'a>) -> Result<Self, Malformed> {
        let span = Span::take(from)?;
        let how = match from.0.u8()? {
            0 => Ended::Done,
            reason if usize::from(reason) <= super::DROP_REASONS => Ended::Dropped(reason - 1),
            _ => return Err(Malformed),
        };
        Ok(End { span, how })
    }
}

impl<'a> Item<'a> for Failure<'a> {
    fn put(&self, out: &mut Vec<u8>) {
        put_blob(out, self.plugin.as_bytes());
        put_number(out, self.generation);
        put_blob(out, self.version.as_bytes());
        put_number(out, u64::from(self.attempt));
        out.push(self.class);
        put_blob(out, self.reason.as_bytes());
        put_number(out, self.at_unix_ns);
    }

    fn take(from: &mut ItemReader<'a>) -> Result<Self, Malformed> {
        let from = &mut from.0;
        Ok(Failure {
            plugin: from.text()?,
            generation: from.number()?,
            version: from.text()?,
            attempt: from.small()?,
            class: from.u8()?,
            reason: from.text()?,
            at_unix_ns: from.number()?,
        })
    }
}

impl<'a> Item<'a> for DedupKey<'a> {
    fn put(&self, out: &mut Vec<u8>) {
        put_blob(out, self.principal.as_bytes());
        put_blob(out, self.topic.as_bytes());
        put_blob(out, self.key.as_bytes());
        out.extend_from_slice(&self.payload_hash.to_le_bytes());
        out.extend_from_slice(&self.mid.to_le_bytes());
        put_number(out, self.seq);
        put_number(out, self.observed_ns);
    }

    fn take(from: &mut ItemReader<'a>) -> Result<Self, Malformed> {
        let from = &mut from.0;
        Ok(DedupKey {
            principal: from.text()?,
            topic: from.text()?,
            key: from.text()?,
            payload_hash: from.u64()?,
            mid: from.u128()?,
            seq: from.number()?,
            observed_ns: from.number()?,
        })
    }
}
