//! A bus that goes on where another life of it ended (promises P-1, P-14, P-15, P-17).

use std::{collections::HashSet, sync::Arc};

use patchbay_journal::{
    Journal, OwnedFailure, Recovered, RecoveredLetter, RecoveredSub, Stored, Target, Tried,
    planted::fault,
};
use patchbay_slab::Slab;
use patchbay_wire::TopicPattern;

use crate::{
    broker::Inner,
    dead_letters::{DeadLetter, Failure, HISTORY_MAX, UnreadableLetter},
    death::Death,
    dedup::{First, Scope},
    delivery::Bookmark,
    durability::Level,
    publisher::{Published, recording::Appended},
    queue::{
        desk::History,
        estate::{self, Estate},
        refill::{Reading, message},
        service::Time,
    },
    redelivery::DeadCause,
    settlement::FaultClass,
    spec::SubscriptionSpec,
    subscription::Subscription,
    sync::lock,
};

/// Deaths of a process that one message may be charged with; with the last it is dead.
const DEATHS_MAX: usize = 3;
/// The key under which the journal keeps which subscriptions are detached.
pub(crate) const DETACHED: &str = "bus/detached";

/// A subscription as it was left is not one.
#[derive(Debug, thiserror::Error)]
#[error("subscription {sub} of `{owner}` in the journal has the pattern `{pattern}`")]
pub struct RecoverError {
    /// Its number.
    pub sub: u32,
    /// Whose it is.
    pub owner: String,
    /// What was found.
    pub pattern: String,
    /// What is wrong with it.
    #[source]
    pub source: patchbay_wire::TopicError,
}

/// What a recovery needs at every step.
struct Recovery<'a> {
    inner: &'a Arc<Inner>,
    journal: &'a Arc<Journal>,
    time: Time,
    slab: Slab,
    death: &'a Death,
    /// There is a single culprit: it is to blame.
    is_clear: bool,
}

/// Puts everything back that was found.
pub(crate) fn recover(
    inner: &Arc<Inner>,
    journal: &Arc<Journal>,
    found: Recovered,
    death: &Death,
) -> Result<(), RecoverError> {
    let begun = found.subs.iter().flat_map(|sub| &sub.tried).filter(|tried| tried.begun).count();
    if begun > 0 {
        // A death of this life is none of theirs, even if it leaves no other record.
        journal.begin_life();
    }
    let now_ns = inner.clock.now_ns();
    let mut recovery = Recovery {
        inner,
        journal,
        time: Time { now_ns, unix_ns: now_ns.wrapping_add(inner.unix_offset) },
        slab: Slab::new(),
        death,
        is_clear: death.is_clear(begun),
    };
    let detached = detached(journal);
    let cut_off = inner.cut_offs.recover(journal);
    *lock(&inner.edit) = u64::from(found.next_sub.saturating_sub(1));
    let numbers: Vec<u64> = found.dead.iter().map(|letter| letter.number).collect();
    let messages = journal.read_letters(&numbers);
    let (mut letters, mut unreadable) = (Vec::new(), Vec::new());
    for (letter, stored) in found.dead.iter().zip(messages) {
        let owner = found.subs.iter().find(|sub| sub.sub == letter.target.sub);
        let owner: Arc<str> = owner.map(|sub| &*sub.owner).unwrap_or_default().into();
        match stored {
            Ok(stored) => letters.push(recovery.letter(letter, &stored, owner)),
            Err(error) => {
                let (number, why) = (letter.number, error.to_string());
                unreadable.push(UnreadableLetter { number, owner, why });
            }
        }
    }
    inner.dead_letters.restore(letters, unreadable, found.next_letter);
    for mut sub in found.subs {
        let number = sub.sub;
        // Damage took its name: what it held is kept, and nothing is routed to it.
        let is_nameless = sub.pattern.is_empty();
        if is_nameless {
            sub.pattern = format!("$PB.lost.{number}").into();
        }
        let subscription = recovery.subscription(sub)?;
        if !is_nameless && !detached.contains(&number) {
            inner.routes.add(Arc::clone(&subscription));
        }
        if cut_off.contains(&number) {
            let mut state = subscription.queue.inbox.lock();
            state.cut_off.since_unix_ns = Some(recovery.time.unix_ns);
        }
        lock(&inner.orphans).push(subscription);
    }
    let mut dedup = lock(&inner.dedup);
    for key in found.dedup {
        let published = Published {
            id: key.mid,
            seq: Some(key.seq),
            level: Level::Disk,
            routed: 0,
            duplicate: false,
        };
        let told = Appended { published, record: 0, is_crowded: false };
        let scope = Scope::new(&key.principal, &key.topic, &key.key);
        dedup.insert(scope, First { payload: key.payload_hash, told }, key.observed_ns);
    }
    Ok(())
}

/// The subscriptions that nothing is routed to.
pub(crate) fn detached(journal: &Journal) -> HashSet<u32> {
    let value = journal.get(DETACHED).unwrap_or_default();
    value.as_chunks().0.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect()
}

impl Recovery<'_> {
    fn subscription(&mut self, found: RecoveredSub) -> Result<Arc<Subscription>, RecoverError> {
        let pattern = TopicPattern::parse(&found.pattern).map_err(|source| RecoverError {
            sub: found.sub,
            owner: found.owner.to_string(),
            pattern: found.pattern.to_string(),
            source,
        })?;
        let spec = Arc::new(SubscriptionSpec::new(&found.owner, pattern));
        let subscription = self.inner.make(u64::from(found.sub), spec);
        let fresh: u64 = found.fresh.iter().map(|span| span.count).sum();
        let first = found.fresh.first().map_or(found.next_id, |span| span.first);
        let mut estate = Estate {
            next_id: found.next_id,
            accepted: found.counters.accepted,
            counts: estate::counts(&found.counters),
            intake: estate::fresh(first, fresh),
            ..Estate::default()
        };
        for tried in found.tried {
            self.tried(&subscription, tried, &mut estate);
        }
        let reading = Reading {
            journal: self.journal,
            spec: subscription.spec(),
            sub: found.sub,
            time: self.time,
        };
        let due = subscription.queue.inherit(estate, &reading);
        subscription.queue.inbox.lock().keep_order();
        subscription.arm(due);
        Ok(subscription)
    }

    fn tried(&mut self, subscription: &Subscription, mut tried: Tried, estate: &mut Estate) {
        estate.known.insert(tried.id);
        if fault("reset-attempts") {
            tried.attempts = 0;
        }
        let mut bookmark = Bookmark::found(0, tried.id, tried.attempts);
        let target = Target { sub: subscription.id() as u32, id: tried.id };
        let is_accused = tried.begun && self.death.accuses(target);
        let is_culprit = self.is_clear && is_accused;
        if is_culprit {
            self.charge(&mut tried, subscription.owner());
        }
        let deaths = deaths(&tried.history);
        let history = history(&tried.history, tried.failures, tried.redrives);
        if deaths >= DEATHS_MAX || tried.held.is_some() {
            let (cause, reason, at_unix_ns) = match &tried.held {
                Some(held) => (cause(held.cause), held.reason.clone(), held.at_unix_ns),
                None => {
                    let reason = format!("{deaths} times the process died of it");
                    (DeadCause::Poison, reason, self.time.unix_ns)
                }
            };
            if let Some(letter) =
                self.pending(subscription, &tried, &history, (cause, reason, at_unix_ns))
            {
                estate.pending.push((true, letter));
                return;
            }
        }
        // Who is no suspect of this death must not become one by the next.
        let is_cleared = tried.begun && !is_accused && !tried.suspect;
        if is_culprit || is_cleared {
            subscription.queue.note_standing(&tried, &history, self.time.now_ns);
        }
        if !history.last.is_empty() || history.failures > 0 || history.redrives > 0 {
            bookmark.set_troubled();
            estate.histories.insert(tried.id, history);
        }
        // Whoever was charged before is still suspected.
        let was_charged = tried.history.last().is_some_and(|last| last.class == CRASH);
        if is_accused || tried.suspect || was_charged {
            estate.suspects.push(bookmark);
            return;
        }
        let left = tried.due_unix_ns.saturating_sub(self.time.unix_ns).min(tried.delay_ns);
        // What had begun has waited.
        let due_ns =
            if left == 0 || tried.begun { 0 } else { self.time.now_ns.saturating_add(left) };
        estate.bookmarks.push((due_ns, bookmark));
    }

    fn charge(&self, tried: &mut Tried, owner: &str) {
        tried.failures = tried.failures.saturating_add(1);
        if tried.history.len() >= HISTORY_MAX {
            // A death is not forgotten for the sake of a lesser failure.
            let at = tried.history.iter().position(|failure| failure.class != CRASH).unwrap_or(0);
            tried.history.remove(at);
        }
        let (generation, version) = self.death.whose();
        tried.history.push(OwnedFailure {
            plugin: owner.to_owned(),
            generation,
            version,
            attempt: tried.attempts,
            class: CRASH,
            reason: self.death.reason().to_owned(),
            at_unix_ns: self.time.unix_ns,
        });
    }

    /// A delivery that is dead and has no place among the dead letters yet.
    fn pending(
        &mut self,
        subscription: &Subscription,
        tried: &Tried,
        history: &History,
        (cause, reason, at_unix_ns): (DeadCause, String, u64),
    ) -> Option<DeadLetter> {
        let target = Target { sub: subscription.id() as u32, id: tried.id };
        let stored = self.journal.read_delivery(target).ok()?;
        let (generation, version) = match (&tried.held, history.last.last()) {
            (Some(held), _) => (held.generation, held.version.as_str().into()),
            (None, Some(last)) => (last.generation, Arc::clone(&last.version)),
            (None, None) => (0, Arc::default()),
        };
        let publish = stored.publish();
        let message = message(&publish, &mut self.slab);
        message.set_mark(stored.place().pack());
        Some(DeadLetter {
            number: 0,
            subscription: subscription.id(),
            owner: subscription.owner().into(),
            generation,
            version,
            accepted_unix_ns: message.time_ns(),
            message,
            delivery: tried.id,
            attempts: tried.attempts,
            failures: tried.failures,
            cause,
            reason,
            history: history.last.clone(),
            redrives: tried.redrives,
            at_unix_ns,
            is_durable: true,
        })
    }

    fn letter(&mut self, found: &RecoveredLetter, stored: &Stored, owner: Arc<str>) -> DeadLetter {
        let message = message(&stored.publish(), &mut self.slab);
        message.set_mark(stored.place().pack());
        DeadLetter {
            number: found.number,
            subscription: u64::from(found.target.sub),
            owner,
            generation: found.letter.generation,
            version: found.letter.version.as_str().into(),
            accepted_unix_ns: message.time_ns(),
            message,
            delivery: found.target.id,
            attempts: found.attempts,
            failures: found.failures,
            cause: cause(found.letter.cause),
            reason: found.letter.reason.clone(),
            history: history(&found.history, 0, 0).last,
            redrives: found.redrives,
            at_unix_ns: found.letter.at_unix_ns,
            is_durable: true,
        }
    }
}

const CRASH: u8 = FaultClass::Crash.number();

fn deaths(history: &[OwnedFailure]) -> usize {
    history.iter().filter(|failure| failure.class == CRASH).count()
}

fn cause(number: u8) -> DeadCause {
    DeadCause::of_number(number).unwrap_or(DeadCause::Failed)
}

fn history(found: &[OwnedFailure], failures: u32, redrives: u32) -> History {
    let last = found.iter().map(|failure| Failure {
        plugin: failure.plugin.as_str().into(),
        generation: failure.generation,
        version: failure.version.as_str().into(),
        attempt: failure.attempt,
        class: FaultClass::of_number(failure.class),
        reason: failure.reason.clone(),
        at_unix_ns: failure.at_unix_ns,
    });
    History { failures, redrives, last: last.collect() }
}
