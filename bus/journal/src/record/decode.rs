//! Bytes to records. Every byte of a body means something: what is left over is an error.

use super::{
    Checkpoint, Counters, DROP_REASONS, Dead, DedupKeys, Kind, Letter, Moved, MovedTarget, Publish,
    Record, Standing, SubscriptionState,
    encode::{
        BEGUN, HAS_DEDUP, HAS_EXPIRY, HAS_LETTER, HAS_LETTERS, HAS_NOT_BEFORE, LEVEL_BITS, SUSPECT,
        put_dead, put_key_value, put_moved_target, put_subscription,
    },
    item::Target,
    parts::{Begun, Dedup, KeyValue, Redriven, Retry, Settled, Subscribe},
};
use crate::{
    level::Level,
    wire::{Item, ItemReader, List, Malformed, Reader},
};

impl<'a> Record<'a> {
    /// Reads a body of that kind.
    pub(crate) fn decode(kind: Kind, body: &'a [u8]) -> Result<Record<'a>, Malformed> {
        let mut from = Reader::new(body);
        let record = read(kind, &mut from)?;
        if from.rest().is_empty() { Ok(record) } else { Err(Malformed) }
    }
}

fn read<'a>(kind: Kind, from: &mut Reader<'a>) -> Result<Record<'a>, Malformed> {
    Ok(match kind {
        Kind::Subscribe => Record::Subscribe(subscribe(from)?),
        Kind::Unsubscribe => Record::Unsubscribe { sub: from.small()? },
        Kind::Publish => Record::Publish(publish(from)?),
        Kind::Forward => Record::Forward {
            from: target(from)?,
            at_unix_ns: from.number()?,
            publish: publish(from)?,
        },
        Kind::Begun => Record::Begun(Begun {
            sub: from.small()?,
            generation: from.number()?,
            seat: from.small()?,
            version: from.number()?,
            at_unix_ns: from.number()?,
            attempts: from.list()?,
        }),
        Kind::Settled => Record::Settled(Settled {
            sub: from.small()?,
            at_unix_ns: from.number()?,
            ends: from.list()?,
        }),
        Kind::Retry => Record::Retry(Retry {
            target: target(from)?,
            at_unix_ns: from.number()?,
            standing: standing(from)?,
        }),
        Kind::Dead => Record::Dead(dead(from)?),
        Kind::Redriven => Record::Redriven(Redriven {
            letter: from.number()?,
            target: target(from)?,
            redrives: from.small()?,
            at_unix_ns: from.number()?,
        }),
        Kind::Purged => Record::Purged { letter: from.number()?, at_unix_ns: from.number()? },
        Kind::Control => Record::Control { key: from.text()?, value: from.blob()? },
        Kind::Start => Record::Start {
            life: from.number()?,
            stay: from.number()?,
            at_unix_ns: from.number()?,
            observed_ns: from.number()?,
        },
        Kind::Stop => Record::Stop { at_unix_ns: from.number()?, observed_ns: from.number()? },
        Kind::Moved => {
            let targets = from.list()?;
            Record::Moved(Moved { publish: publish(from)?, targets })
        }
        Kind::DedupKeys => Record::DedupKeys(DedupKeys { keys: from.list()? }),
        Kind::Checkpoint => Record::Checkpoint(Box::new(Checkpoint {
            next_seq: from.number()?,
            next_letter: from.number()?,
            next_sub: from.small()?,
            life: from.number()?,
            stay: from.number()?,
            observed_ns: from.number()?,
            subs: from.list()?,
            control: from.list()?,
        })),
    })
}

fn target(from: &mut Reader<'_>) -> Result<Target, Malformed> {
    Ok(Target { sub: from.small()?, id: from.number()? })
}

fn subscribe<'a>(from: &mut Reader<'a>) -> Result<Subscribe<'a>, Malformed> {
    Ok(Subscribe { sub: from.small()?, owner: from.text()?, pattern: from.text()? })
}

fn publish<'a>(from: &mut Reader<'a>) -> Result<Publish<'a>, Malformed> {
    let flags = from.u8()?;
    let level = match flags & LEVEL_BITS {
        0 => Level::Memory,
        1 => Level::Process,
        2 => Level::Disk,
        _ => return Err(Malformed),
    };
    if flags & !(LEVEL_BITS | HAS_DEDUP | HAS_NOT_BEFORE | HAS_EXPIRY | HAS_LETTERS) != 0 {
        return Err(Malformed);
    }
    let optional = |from: &mut Reader<'a>, bit: u8| {
        if flags & bit != 0 { from.number() } else { Ok(0) }
    };
    Ok(Publish {
        level,
        mid: from.u128()?,
        time_ns: from.u64()?,
        observed_ns: from.u64()?,
        seq: from.number()?,
        targets: from.list()?,
        hops: from.small()?,
        not_before_ns: optional(from, HAS_NOT_BEFORE)?,
        expires_ns: optional(from, HAS_EXPIRY)?,
        letters: if flags & HAS_LETTERS != 0 { from.list()? } else { List::default() },
        dedup: if flags & HAS_DEDUP != 0 {
            let (principal, key) = (from.text()?, from.text()?);
            Some(Dedup { principal, key, payload_hash: from.u64()? })
        } else {
            None
        },
        topic: from.text()?,
        key: from.text()?,
        headers: from.list()?,
        payload: from.bytes(from.rest().len())?,
    })
}

fn standing<'a>(from: &mut Reader<'a>) -> Result<Standing<'a>, Malformed> {
    Ok(Standing {
        attempts: from.small()?,
        failures: from.small()?,
        redrives: from.small()?,
        due_unix_ns: from.number()?,
        delay_ns: from.number()?,
        history: from.list()?,
    })
}

fn dead<'a>(from: &mut Reader<'a>) -> Result<Dead<'a>, Malformed> {
    Ok(Dead { target: target(from)?, letter: letter(from)?, standing: standing(from)? })
}

fn letter<'a>(from: &mut Reader<'a>) -> Result<Letter<'a>, Malformed> {
    Ok(Letter {
        number: from.number()?,
        cause: from.u8()?,
        reason: from.text()?,
        generation: from.number()?,
        version: from.text()?,
        at_unix_ns: from.number()?,
    })
}

impl<'a> Item<'a> for Dead<'a> {
    fn put(&self, out: &mut Vec<u8>) {
        put_dead(out, self);
    }

    fn take(from: &mut ItemReader<'a>) -> Result<Self, Malformed> {
        dead(&mut from.0)
    }
}

impl<'a> Item<'a> for MovedTarget<'a> {
    fn put(&self, out: &mut Vec<u8>) {
        put_moved_target(out, self);
    }

    fn take(from: &mut ItemReader<'a>) -> Result<Self, Malformed> {
        let from = &mut from.0;
        let target = target(from)?;
        let flags = from.u8()?;
        if flags & !(BEGUN | HAS_LETTER | SUSPECT) != 0 {
            return Err(Malformed);
        }
        let standing = standing(from)?;
        let letter = if flags & HAS_LETTER != 0 { Some(letter(from)?) } else { None };
        let (begun, suspect) = (flags & BEGUN != 0, flags & SUSPECT != 0);
        Ok(MovedTarget { target, begun, suspect, standing, letter })
    }
}

impl<'a> Item<'a> for SubscriptionState<'a> {
    fn put(&self, out: &mut Vec<u8>) {
        put_subscription(out, self);
    }

    fn take(from: &mut ItemReader<'a>) -> Result<Self, Malformed> {
        let from = &mut from.0;
        let subscribe = subscribe(from)?;
        let next_id = from.number()?;
        let mut counters = Counters {
            accepted: from.number()?,
            done: from.number()?,
            forwarded: from.number()?,
            dead: from.number()?,
            dropped: [0; DROP_REASONS],
        };
        for count in &mut counters.dropped {
            *count = from.number()?;
        }
        Ok(SubscriptionState { subscribe, next_id, counters })
    }
}

impl<'a> Item<'a> for KeyValue<'a> {
    fn put(&self, out: &mut Vec<u8>) {
        put_key_value(out, self);
    }

    fn take(from: &mut ItemReader<'a>) -> Result<Self, Malformed> {
        Ok(KeyValue { key: from.0.text()?, value: from.0.blob()? })
    }
}
