//! All matching subscriptions take a durable message, or none does, over any crash (promise P-2).
//!
//! One record names all of them. It is appended while their inboxes are locked, so the order of the
//! records is the order of every queue; nothing is handed out before the record has its level.

use std::sync::{Arc, MutexGuard};

use patchbay_journal::{
    self as journal, AppendError, Journal, Level, Record, Target, planted::fault,
};
use patchbay_slab::Message;

use super::{PublishError, Published};
use crate::{
    broker::Inner,
    queue::{inbox::InboxState, intake::Recorded},
    routing::Route,
    sync::lock,
};

/// How a durable message comes in.
pub(crate) struct Recording<'a> {
    pub(crate) broker: &'a Inner,
    pub(crate) journal: &'a Arc<Journal>,
    pub(crate) level: Level,
    pub(crate) now_ns: u64,
    /// Not to be handed out before, by the wall and by the monotonic clock; 0 = at once.
    pub(crate) not_before_ns: u64,
    pub(crate) due_ns: u64,
    pub(crate) dedup: Option<journal::Dedup<'a>>,
    /// The delivery that it settles as forwarded, in the same record.
    pub(crate) from: Option<Target>,
}

/// A message whose record was appended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Appended {
    pub(crate) published: Published,
    /// The number of its record; 0 when there was nothing to record.
    pub(crate) record: u64,
}

impl Recording<'_> {
    /// Appends the record, or refuses with nothing changed. `Ok(None)`: the routes have changed.
    pub(crate) fn append(
        &self,
        route: &Route,
        message: &Message,
    ) -> Result<Option<Appended>, PublishError> {
        let subscriptions = &*route.subscriptions;
        let keys: Vec<u64> =
            subscriptions.iter().map(|subscription| subscription.spec().key_of(message)).collect();
        let mut states: Vec<MutexGuard<'_, InboxState>> =
            subscriptions.iter().map(|subscription| subscription.queue.inbox.lock()).collect();
        let size = message.size();
        let mut targets = Vec::with_capacity(states.len());
        for (state, subscription) in states.iter().zip(subscriptions) {
            if state.is_moved() {
                return Ok(None);
            }
            if state.is_closed() {
                continue;
            }
            let inbox = &subscription.queue.inbox;
            let limit = inbox.backlog().bytes;
            if size > limit {
                return Err(PublishError::TooLarge { size, limit });
            }
            if !inbox.has_backlog_room(state, size) {
                return Err(PublishError::BacklogFull { subscription: Arc::clone(subscription) });
            }
            let sub = subscription.id() as u32;
            targets.push(Target { sub, id: state.upcoming() });
        }
        if targets.is_empty() && self.dedup.is_none() && self.from.is_none() {
            return Ok(Some(Appended {
                published: Published::in_memory(message.id(), 0),
                record: 0,
            }));
        }
        for (state, subscription) in states.iter_mut().zip(subscriptions) {
            if !state.is_closed() && !state.intake.registered {
                subscription.register(self.journal, state).map_err(refusal)?;
            }
        }
        let at = self.write(message, &targets).map_err(refusal)?;
        message.set_mark(at.place.pack());
        let mut copies = message.clone().fan_out(targets.len());
        for ((state, subscription), key) in states.iter_mut().zip(subscriptions).zip(keys) {
            if state.is_closed() {
                continue;
            }
            let Some(copy) = copies.next() else { break };
            let (level, now_ns, due_ns) = (self.level, self.now_ns, self.due_ns);
            let entry = Recorded { record: at.number, level, key, now_ns, due_ns };
            subscription.queue.inbox.push_durable(state, copy, entry);
        }
        drop(states);
        let published = Published {
            id: message.id(),
            seq: Some(at.seq),
            level: self.level,
            routed: targets.len() as u32,
            duplicate: false,
        };
        Ok(Some(Appended { published, record: at.number }))
    }

    fn write(
        &self,
        message: &Message,
        targets: &[Target],
    ) -> Result<journal::Position, AppendError> {
        let headers: Vec<journal::Header<'_>> =
            message.headers().map(|(name, value)| journal::Header { name, value }).collect();
        let publish = journal::Publish {
            seq: 0,
            mid: message.id(),
            time_ns: message.time_ns(),
            expires_ns: message.expires_ns(),
            not_before_ns: self.not_before_ns,
            observed_ns: self.journal.observed(self.now_ns),
            hops: message.hops(),
            level: self.level,
            topic: message.topic(),
            key: message.key(),
            headers: headers[..].into(),
            payload: message.payload(),
            dedup: self.dedup,
            targets: targets.into(),
        };
        match self.from {
            None if fault("split-fan-out") => {
                let part = |target: &Target| {
                    let targets = std::slice::from_ref(target).into();
                    self.journal.append(&Record::Publish(journal::Publish { targets, ..publish }))
                };
                let (last, others) = targets.split_last().unwrap_or((&NOBODY, &[]));
                for target in others {
                    let _split = self.journal.write_through(part(target)?.number);
                }
                part(last)
            }
            None => self.journal.append(&Record::Publish(publish)),
            Some(from) if fault("settle-before-forward") => {
                let at_unix_ns = self.now_ns.wrapping_add(self.broker.unix_offset);
                let span = journal::Span { first: from.id, count: 1 };
                let ends = &[journal::End { span, how: journal::Ended::Done }][..];
                let settled = journal::Settled { sub: from.sub, at_unix_ns, ends: ends.into() };
                let at = self.journal.append(&Record::Settled(settled))?;
                let _settled = self.journal.write_through(at.number);
                self.journal.append(&Record::Publish(publish))
            }
            Some(from) => {
                let at_unix_ns = self.now_ns.wrapping_add(self.broker.unix_offset);
                self.journal.append(&Record::Forward { from, at_unix_ns, publish })
            }
        }
    }

    /// Waits until whoever changes the routes is through.
    pub(crate) fn settle_routes(&self) {
        drop(lock(&self.broker.edit));
    }
}

/// Whom a record names that was split and has nobody.
const NOBODY: Target = Target { sub: 0, id: 0 };

/// What a refused record means for its message.
pub(crate) fn refusal(error: AppendError) -> PublishError {
    match error {
        AppendError::StorageFull { .. } => PublishError::StorageFull,
        AppendError::TooLarge { bytes, most } => {
            PublishError::TooLarge { size: bytes as usize, limit: most as usize }
        }
        AppendError::Closed => PublishError::Closed,
        _ => PublishError::JournalFailed { written: false },
    }
}
