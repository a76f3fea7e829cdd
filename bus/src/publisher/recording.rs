//! All matching subscriptions take a durable message, or none does, over any crash (promise P-2).
//!
//! One record names all of them. It is appended while their inboxes are locked, so the order of the
//! records is the order of every queue; nothing is handed out before the record has its level.

use std::sync::{Arc, MutexGuard};

use patchbay_journal::{
    self as journal, AppendError, Journal, Level, Record, Target, planted::fault,
};
use patchbay_slab::Message;
use smallvec::SmallVec;

use super::{FEW_HEADERS, PublishError, Published, admit::FEW};
use crate::{
    broker::Inner,
    dead_letters::DeadLetter,
    queue::{beyond::Reception, durable, inbox::InboxState, intake::Recorded},
    redelivery::DeadCause,
    routing::Route,
    subscription::Subscription,
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
    /// The only subscription that took it has no room in memory for another one.
    pub(crate) is_crowded: bool,
}

impl Recording<'_> {
    /// Appends the record, or refuses with nothing changed. `Ok(None)`: the routes have changed.
    pub(crate) fn append(
        &self,
        route: &Route,
        message: &Message,
    ) -> Result<Option<Appended>, PublishError> {
        let subscriptions = &*route.subscriptions;
        let keys: SmallVec<[u64; FEW]> =
            subscriptions.iter().map(|subscription| subscription.spec().key_of(message)).collect();
        let mut states: SmallVec<[MutexGuard<'_, InboxState>; FEW]> =
            subscriptions.iter().map(|subscription| subscription.queue.inbox.lock()).collect();
        let size = message.size();
        let dead_letters = &self.broker.dead_letters;
        let mut targets: SmallVec<[Target; FEW]> = SmallVec::new();
        let mut receptions: SmallVec<[Option<Reception>; FEW]> = SmallVec::new();
        for (state, subscription) in states.iter().zip(subscriptions) {
            if state.is_moved() {
                return Ok(None);
            }
            if state.is_closed() {
                receptions.push(None);
                continue;
            }
            let reception = subscription.queue.inbox.receive(state, size, dead_letters);
            let reception = reception.map_err(|why| why.error(size, subscription))?;
            receptions.push(Some(reception));
            if reception.is_named() {
                let sub = subscription.id() as u32;
                targets.push(Target { sub, id: state.upcoming() });
            }
        }
        if route.needs_taker && receptions.iter().all(Option::is_none) {
            return Err(PublishError::NoMatch);
        }
        let published = Published::in_memory(message.id(), 0);
        let mut buried = 0;
        let mut appended = Appended { published, record: 0, is_crowded: false };
        if !targets.is_empty() || self.dedup.is_some() || self.from.is_some() {
            for ((state, subscription), reception) in
                states.iter_mut().zip(subscriptions).zip(&receptions)
            {
                let is_named = reception.is_some_and(Reception::is_named);
                if is_named && !state.intake.registered {
                    subscription.register(self.journal, state).map_err(refusal)?;
                }
            }
            let letters = self.letters(route, &states, &receptions, message);
            let written = match letters.is_empty() {
                true => self.write(message, &targets, &[]).map(|at| (at, 0)),
                false => self.write_with_letters(message, &targets, letters),
            };
            let (at, kept) = written.map_err(refusal)?;
            buried = kept;
            message.set_mark(at.place.pack());
            appended.record = at.number;
            appended.published = Published {
                id: message.id(),
                seq: Some(at.seq),
                level: self.level,
                routed: targets.len() as u32,
                duplicate: false,
            };
        }
        let mut copies = message.clone().fan_out(targets.len());
        let mut changed = Vec::new();
        let mut has_buried = false;
        for (index, (state, subscription)) in states.iter_mut().zip(subscriptions).enumerate() {
            let Some(reception) = receptions[index] else { continue };
            match reception {
                Reception::Take | Reception::Bury => {}
                Reception::Pass => {
                    state.cut_off.passed += 1;
                    continue;
                }
                Reception::CutOff => {
                    state.cut_off.passed += 1;
                    let unix_ns = self.now_ns.wrapping_add(self.broker.unix_offset);
                    state.cut_off.since_unix_ns = Some(unix_ns);
                    changed.push(index);
                    continue;
                }
                Reception::Resume => {
                    state.cut_off.since_unix_ns = None;
                    changed.push(index);
                }
            }
            let Some(copy) = copies.next() else { break };
            if reception == Reception::Bury && buried > 0 {
                // The rest of them found the dead letters full: those wait with the others.
                buried -= 1;
                has_buried = true;
                state.bury();
                continue;
            }
            let (level, now_ns, due_ns) = (self.level, self.now_ns, self.due_ns);
            let entry =
                Recorded { record: appended.record, level, key: keys[index], now_ns, due_ns };
            let inbox = &subscription.queue.inbox;
            inbox.push_durable(state, copy, entry);
            // Among several the slow would hold up the fast.
            appended.is_crowded = subscriptions.len() == 1 && inbox.is_crowded(state);
        }
        drop(states);
        if has_buried || !changed.is_empty() {
            changed.iter().for_each(|index| self.broker.cut_off_changed(&subscriptions[*index]));
            if has_buried {
                self.broker.note_buried();
            }
            if self.from.is_none() {
                // Else a desk is locked; it is told when that is free.
                self.broker.tell_news();
            }
        }
        Ok(Some(appended))
    }

    /// The dead letters that deliveries become which their subscriptions have no room for.
    fn letters(
        &self,
        route: &Route,
        states: &[MutexGuard<'_, InboxState>],
        receptions: &[Option<Reception>],
        message: &Message,
    ) -> Vec<DeadLetter> {
        let all = route.subscriptions.iter().zip(states).zip(receptions);
        let buried = all.filter(|(_, reception)| **reception == Some(Reception::Bury));
        let letter = |subscription: &Subscription, state: &InboxState| {
            let spec = subscription.spec();
            DeadLetter {
                number: 0,
                subscription: subscription.id(),
                owner: Arc::clone(&spec.owner),
                generation: 0,
                version: Arc::default(),
                message: message.clone(),
                delivery: state.upcoming(),
                attempts: 0,
                failures: 0,
                cause: DeadCause::Overflow,
                reason: format!("{} messages waited already", spec.backlog.count),
                history: Vec::new(),
                redrives: 0,
                accepted_unix_ns: message.time_ns(),
                at_unix_ns: self.now_ns.wrapping_add(self.broker.unix_offset),
                is_durable: true,
            }
        };
        buried.map(|((subscription, state), _)| letter(subscription, state)).collect()
    }

    /// Writes the record with the letters in it, as many as the dead letters have room for: so many.
    fn write_with_letters(
        &self,
        message: &Message,
        targets: &[Target],
        letters: Vec<DeadLetter>,
    ) -> Result<(journal::Position, usize), AppendError> {
        self.broker.dead_letters.offer_all(letters, |letters| {
            let dead: Vec<journal::Dead<'_>> = letters
                .iter()
                .map(|letter| durable::dead(letter.subscription as u32, letter, &[]))
                .collect();
            self.write(message, targets, &dead)
        })
    }

    fn write(
        &self,
        message: &Message,
        targets: &[Target],
        letters: &[journal::Dead<'_>],
    ) -> Result<journal::Position, AppendError> {
        let headers: SmallVec<[journal::Header<'_>; FEW_HEADERS]> =
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
            letters: letters.into(),
        };
        match self.from {
            None if fault("split-fan-out") => {
                let part = |target: &Target| {
                    let targets = std::slice::from_ref(target).into();
                    let letters = [][..].into();
                    let part = journal::Publish { targets, letters, ..publish };
                    self.journal.append(&Record::Publish(part))
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
