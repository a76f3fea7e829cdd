//! Records to bytes.

use super::{
    Checkpoint, Counters, Dead, Letter, Moved, MovedTarget, Publish, Record, Standing,
    SubscriptionState,
    parts::{KeyValue, Subscribe},
};
use crate::{
    level::Level,
    wire::{Item, put_blob, put_list, put_number},
};

impl Record<'_> {
    /// Appends the body of the record: all but its frame. `seq` is the number that a message gets
    /// which is published by it.
    pub(crate) fn encode(&self, seq: u64, out: &mut Vec<u8>) {
        match self {
            Record::Subscribe(subscribe) => put_subscribe(out, subscribe),
            Record::Unsubscribe { sub } => put_number(out, u64::from(*sub)),
            Record::Publish(publish) => put_publish(out, publish, seq),
            Record::Forward { from, at_unix_ns, publish } => {
                from.put(out);
                put_number(out, *at_unix_ns);
                put_publish(out, publish, seq);
            }
            Record::Begun(begun) => {
                put_number(out, u64::from(begun.sub));
                put_number(out, begun.generation);
                put_number(out, u64::from(begun.seat));
                put_number(out, begun.version);
                put_number(out, begun.at_unix_ns);
                put_list(out, begun.attempts);
            }
            Record::Settled(settled) => {
                put_number(out, u64::from(settled.sub));
                put_number(out, settled.at_unix_ns);
                put_list(out, settled.ends);
            }
            Record::Retry(retry) => {
                retry.target.put(out);
                put_number(out, retry.at_unix_ns);
                put_standing(out, &retry.standing);
            }
            Record::Dead(dead) => put_dead(out, dead),
            Record::Redriven(redriven) => {
                put_number(out, redriven.letter);
                redriven.target.put(out);
                put_number(out, u64::from(redriven.redrives));
                put_number(out, redriven.at_unix_ns);
            }
            Record::Purged { letter, at_unix_ns } => {
                put_number(out, *letter);
                put_number(out, *at_unix_ns);
            }
            Record::Control { key, value } => {
                put_blob(out, key.as_bytes());
                put_blob(out, value);
            }
            Record::Start { life, stay, at_unix_ns, observed_ns } => {
                put_number(out, *life);
                put_number(out, *stay);
                put_number(out, *at_unix_ns);
                put_number(out, *observed_ns);
            }
            Record::Stop { at_unix_ns, observed_ns } => {
                put_number(out, *at_unix_ns);
                put_number(out, *observed_ns);
            }
            Record::Moved(Moved { publish, targets }) => {
                put_list(out, *targets);
                put_publish(out, publish, publish.seq);
            }
            Record::DedupKeys(keys) => put_list(out, keys.keys),
            Record::Checkpoint(checkpoint) => put_checkpoint(out, checkpoint),
        }
    }
}

fn put_subscribe(out: &mut Vec<u8>, subscribe: &Subscribe<'_>) {
    put_number(out, u64::from(subscribe.sub));
    put_blob(out, subscribe.owner.as_bytes());
    put_blob(out, subscribe.pattern.as_bytes());
}

/// Bits of a publish that say what follows.
pub(super) const LEVEL_BITS: u8 = 0b11;
pub(super) const HAS_DEDUP: u8 = 1 << 2;
pub(super) const HAS_NOT_BEFORE: u8 = 1 << 3;
pub(super) const HAS_EXPIRY: u8 = 1 << 4;
pub(super) const HAS_LETTERS: u8 = 1 << 5;

#[inline]
fn put_publish(out: &mut Vec<u8>, publish: &Publish<'_>, seq: u64) {
    let mut flags = match publish.level {
        Level::Memory => 0,
        Level::Process => 1,
        Level::Disk => 2,
    };
    for (bit, set) in [
        (HAS_DEDUP, publish.dedup.is_some()),
        (HAS_NOT_BEFORE, publish.not_before_ns != 0),
        (HAS_EXPIRY, publish.expires_ns != 0),
        (HAS_LETTERS, !publish.letters.is_empty()),
    ] {
        flags |= if set { bit } else { 0 };
    }
    let mut fixed = [0; 33];
    fixed[0] = flags;
    fixed[1..17].copy_from_slice(&publish.mid.to_le_bytes());
    fixed[17..25].copy_from_slice(&publish.time_ns.to_le_bytes());
    fixed[25..].copy_from_slice(&publish.observed_ns.to_le_bytes());
    out.extend_from_slice(&fixed);
    put_number(out, seq);
    put_list(out, publish.targets);
    put_number(out, u64::from(publish.hops));
    if publish.not_before_ns != 0 {
        put_number(out, publish.not_before_ns);
    }
    if publish.expires_ns != 0 {
        put_number(out, publish.expires_ns);
    }
    if !publish.letters.is_empty() {
        put_list(out, publish.letters);
    }
    if let Some(dedup) = &publish.dedup {
        put_blob(out, dedup.principal.as_bytes());
        put_blob(out, dedup.key.as_bytes());
        out.extend_from_slice(&dedup.payload_hash.to_le_bytes());
    }
    put_blob(out, publish.topic.as_bytes());
    put_blob(out, publish.key.as_bytes());
    put_list(out, publish.headers);
    out.extend_from_slice(publish.payload);
}

fn put_standing(out: &mut Vec<u8>, standing: &Standing<'_>) {
    put_number(out, u64::from(standing.attempts));
    put_number(out, u64::from(standing.failures));
    put_number(out, u64::from(standing.redrives));
    put_number(out, standing.due_unix_ns);
    put_number(out, standing.delay_ns);
    put_list(out, standing.history);
}

pub(super) fn put_dead(out: &mut Vec<u8>, dead: &Dead<'_>) {
    dead.target.put(out);
    put_letter(out, &dead.letter);
    put_standing(out, &dead.standing);
}

fn put_letter(out: &mut Vec<u8>, letter: &Letter<'_>) {
    put_number(out, letter.number);
    out.push(letter.cause);
    put_blob(out, letter.reason.as_bytes());
    put_number(out, letter.generation);
    put_blob(out, letter.version.as_bytes());
    put_number(out, letter.at_unix_ns);
}

pub(super) const BEGUN: u8 = 1;
pub(super) const HAS_LETTER: u8 = 2;
pub(super) const SUSPECT: u8 = 4;

pub(super) fn put_moved_target(out: &mut Vec<u8>, moved: &MovedTarget<'_>) {
    moved.target.put(out);
    let mut flags = 0;
    for (bit, set) in
        [(BEGUN, moved.begun), (SUSPECT, moved.suspect), (HAS_LETTER, moved.letter.is_some())]
    {
        flags |= if set { bit } else { 0 };
    }
    out.push(flags);
    put_standing(out, &moved.standing);
    if let Some(letter) = &moved.letter {
        put_letter(out, letter);
    }
}

fn put_checkpoint(out: &mut Vec<u8>, checkpoint: &Checkpoint<'_>) {
    put_number(out, checkpoint.next_seq);
    put_number(out, checkpoint.next_letter);
    put_number(out, u64::from(checkpoint.next_sub));
    put_number(out, checkpoint.life);
    put_number(out, checkpoint.stay);
    put_number(out, checkpoint.observed_ns);
    put_list(out, checkpoint.subs);
    put_list(out, checkpoint.control);
}

pub(super) fn put_subscription(out: &mut Vec<u8>, state: &SubscriptionState<'_>) {
    put_subscribe(out, &state.subscribe);
    put_number(out, state.next_id);
    let Counters { accepted, done, forwarded, dead, dropped } = state.counters;
    for count in [accepted, done, forwarded, dead].into_iter().chain(dropped) {
        put_number(out, count);
    }
}

pub(super) fn put_key_value(out: &mut Vec<u8>, pair: &KeyValue<'_>) {
    put_blob(out, pair.key.as_bytes());
    put_blob(out, pair.value);
}
