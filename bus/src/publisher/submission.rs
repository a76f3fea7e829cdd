//! Publishing with more than a place in a queue: a level, a dedup key, a time to start from.

use std::{sync::Arc, time::Instant};

use patchbay_journal::{self as journal, Journal, Target};
use patchbay_slab::Message;

use super::{
    Outgoing, Pending, PublishError, Published, Publisher, Refused,
    admit::{Admission, Patience, Start},
    many::Awaited,
    pending::{Commit, Release},
    recording::{Appended, Recording, refusal},
};
use crate::{
    broker::Inner,
    dedup::{First, Known, Scope, digest},
    durability::Level,
    queue::room::Waited,
    routing::Route,
    sync::lock,
};

/// After a wait for a slow lane, so many times as long none is waited for.
const IMPATIENCE: u32 = 50;

/// What is asked for a message beside its acceptance.
#[derive(Clone, Copy, Debug, Default)]
pub struct Terms<'a> {
    /// At least this level, if it is above that of the topic.
    pub level: Option<Level>,
    /// A repeat under the same key is recognised and delivered to nobody.
    pub dedup_key: Option<&'a str>,
    /// Not to be handed out before, nanoseconds since the Unix epoch; 0 = at once.
    pub not_before_ns: u64,
    /// Do not wait for room, whatever a subscription says.
    pub no_wait: bool,
}

impl Publisher {
    /// Publishes one message without waiting for its level: for callers that must not wait, or that
    /// keep many on their way. It may still wait for room where a subscription says so.
    ///
    /// # Errors
    /// As for [`publish`](Publisher::publish); nothing was delivered to anybody.
    pub fn submit(&mut self, outgoing: Outgoing<'_>) -> Result<Pending, PublishError> {
        let hops = self.check(&outgoing)?;
        self.submit_checked(&outgoing, hops).map(Pending::armed)
    }

    /// The same, and waits, unless its cause is recorded: then both survive, or the cause is handed
    /// out again and publishes once more.
    #[cold]
    pub(super) fn publish_on_terms(
        &mut self,
        outgoing: &Outgoing<'_>,
        hops: u32,
    ) -> Result<Published, PublishError> {
        let pending = self.submit_checked(outgoing, hops)?;
        if outgoing.cause.is_some_and(|cause| cause.mark() != 0) {
            return Ok(*pending.armed().promised());
        }
        pending.wait()
    }

    /// Publishes from the front of a batch what is recorded or comes with terms, and waits once for
    /// all of it. Returns how many were accepted, and what stopped the next one.
    #[cold]
    pub(super) fn publish_run(&mut self, batch: &[Outgoing<'_>]) -> (usize, Option<PublishError>) {
        let mut awaited = Awaited::default();
        let mut stopped = None;
        let mut submitted = 0;
        for outgoing in batch {
            let submission = self.check(outgoing).and_then(|hops| {
                let has_level = self.level_of(outgoing.topic)? != Level::Memory;
                let is_mine = outgoing.has_terms() || has_level;
                if is_mine { self.submit_checked(outgoing, hops).map(Some) } else { Ok(None) }
            });
            match submission {
                Ok(Some(pending)) => {
                    submitted += 1;
                    awaited.add(pending, outgoing.cause);
                }
                Ok(None) => break,
                Err(error) => {
                    stopped = Some(error);
                    break;
                }
            }
        }
        match awaited.wait() {
            Ok(()) => (submitted, stopped),
            Err(error) => (0, Some(error)),
        }
    }

    pub(super) fn submit_checked(
        &mut self,
        outgoing: &Outgoing<'_>,
        hops: u32,
    ) -> Result<Pending, PublishError> {
        // A topic that is none is refused before a message is made of it.
        self.cache.find(&self.broker, outgoing.topic).map_err(PublishError::Topic)?;
        let parts = self.parts(outgoing, hops);
        let message = self.slab.message(&parts, outgoing.payload);
        let terms = Terms {
            level: outgoing.level,
            dedup_key: outgoing.dedup_key,
            not_before_ns: outgoing.not_before_ns,
            no_wait: outgoing.no_wait,
        };
        self.accept(message, terms, outgoing.cause).map_err(|refused| refused.error)
    }

    /// Publishes a message that exists, as [`publish_message`](Publisher::publish_message), on terms
    /// and without waiting for its level.
    ///
    /// # Errors
    /// As for [`publish`](Publisher::publish); the message comes back.
    pub fn submit_message(
        &mut self,
        message: Message,
        cause: Option<&Message>,
        terms: Terms<'_>,
    ) -> Result<Pending, Refused> {
        let message = self.follow(message, cause)?;
        self.accept(message, terms, cause).map(Pending::armed)
    }

    /// A message whose topic may have a level above memory.
    #[cold]
    pub(super) fn publish_recorded(
        &mut self,
        message: Message,
        cause: Option<&Message>,
        no_wait: bool,
    ) -> Result<Published, Refused> {
        let kept = message.clone();
        let pending = self.accept(message, Terms { no_wait, ..Terms::default() }, cause)?;
        if cause.is_some_and(|cause| cause.mark() != 0) {
            return Ok(*pending.armed().promised());
        }
        pending.wait().map_err(|error| Refused { error, message: kept })
    }

    pub(super) fn accept(
        &mut self,
        message: Message,
        terms: Terms<'_>,
        cause: Option<&Message>,
    ) -> Result<Pending, Refused> {
        let expires = message.expires_ns();
        if expires != 0 && terms.not_before_ns >= expires {
            return Err(Refused { error: PublishError::Expired, message });
        }
        let asked = terms.level.unwrap_or_default();
        let broker = Arc::clone(&self.broker);
        let level = match self.cache.find(&broker, message.topic()) {
            Ok(route) => route.level.max(asked),
            Err(error) => return Err(Refused { error: PublishError::Topic(error), message }),
        };
        // Of a message that was accepted before.
        let follows = cause.is_some();
        match (&broker.journal, level) {
            (Some(journal), Level::Process | Level::Disk) => {
                self.record(&broker, journal, message, level, terms, follows)
            }
            (None, level) if asked > Level::Memory => {
                Err(Refused { error: PublishError::NoJournal { level }, message })
            }
            _ => {
                let patience = Patience::of(cause.is_none() && !terms.no_wait);
                let start = match self.start_ns(terms.not_before_ns) {
                    0 => Start::Now,
                    due_ns => Start::At(due_ns),
                };
                match terms.dedup_key {
                    None => self.admit(message, start, patience, follows).map(Pending::decided),
                    Some(key) => self.admit_once(&broker, message, key, start, patience),
                }
            }
        }
    }

    /// When a message may be handed out, on the monotonic clock; 0 = at once.
    fn start_ns(&self, not_before_ns: u64) -> u64 {
        match not_before_ns.saturating_sub(self.stamp.unix_ns) {
            0 => 0,
            left => self.stamp.now_ns.saturating_add(left),
        }
    }

    /// The window is locked while the message is admitted, so that of two equal publishes one is the
    /// first. It is never locked while anybody waits.
    fn admit_once(
        &mut self,
        broker: &Inner,
        mut message: Message,
        key: &str,
        start: Start,
        patience: Patience,
    ) -> Result<Pending, Refused> {
        let scope = Scope::new(&self.principal, message.topic(), key);
        let payload = digest(message.payload());
        let deadline = Instant::now() + broker.config.publish_timeout;
        loop {
            let mut dedup = lock(&broker.dedup);
            let now_ns = broker.observed(self.stamp.now_ns);
            match dedup.look_up(scope, payload, now_ns) {
                Known::New => {}
                known => return self.known(broker, known, message),
            }
            let wait = patience == Patience::Asked;
            match self.admit(message, start, Patience::None, !wait) {
                Ok(published) => {
                    let told = Appended { published, record: 0, is_crowded: false };
                    dedup.insert(scope, First { payload, told }, now_ns);
                    return Ok(Pending::decided(published));
                }
                Err(refused) => {
                    drop(dedup);
                    let PublishError::Full { subscription } = &refused.error else {
                        return Err(refused);
                    };
                    let size = refused.message.size();
                    let waits = wait && subscription.blocks();
                    if !waits || !subscription.queue.inbox.wait_for_room(size, deadline) {
                        return Err(refused);
                    }
                    message = refused.message;
                }
            }
        }
    }

    /// What a repeat is told: the same as the first, as soon as that is decided.
    fn known(
        &self,
        broker: &Inner,
        known: Known<Appended>,
        message: Message,
    ) -> Result<Pending, Refused> {
        match known {
            Known::Mismatch(first) => {
                let error = PublishError::DedupMismatch { first: first.published.id };
                Err(Refused { error, message })
            }
            Known::Repeat(Appended { published, record, .. }) => {
                let published = Published { duplicate: true, ..published };
                Ok(match &broker.journal {
                    Some(journal) if record != 0 => {
                        Pending::new(published, Commit::new(journal, record, Arc::default()))
                    }
                    _ => Pending::decided(published),
                })
            }
            // Not asked for.
            Known::New => Err(Refused { error: PublishError::Closed, message }),
        }
    }

    fn record(
        &mut self,
        broker: &Inner,
        journal: &Arc<Journal>,
        mut message: Message,
        level: Level,
        terms: Terms<'_>,
        follows: bool,
    ) -> Result<Pending, Refused> {
        if !follows && broker.is_closed() {
            return Err(Refused { error: PublishError::Closed, message });
        }
        let mut room = journal.wanting(message.size() as u64);
        self.is_crowded = false;
        loop {
            // Outside of all locks: this may wait until a segment is made.
            if let Err(error) = room.wait() {
                return Err(Refused { error: refusal(error), message });
            }
            match self.record_now(broker, journal, message, level, terms) {
                // Others took the room that was there.
                Err(Refused { error: PublishError::StorageFull, message: back }) => message = back,
                Ok(pending) if self.is_crowded && !follows && !terms.no_wait => {
                    self.hold_back(&pending);
                    return Ok(pending);
                }
                done => return done,
            }
        }
    }

    fn record_now(
        &mut self,
        broker: &Inner,
        journal: &Arc<Journal>,
        message: Message,
        level: Level,
        terms: Terms<'_>,
    ) -> Result<Pending, Refused> {
        let due_ns = self.start_ns(terms.not_before_ns);
        let mut recording = Recording {
            broker,
            journal,
            level,
            now_ns: self.stamp.now_ns,
            not_before_ns: if due_ns == 0 { 0 } else { terms.not_before_ns },
            due_ns,
            dedup: None,
            from: None,
        };
        let Some(key) = terms.dedup_key else {
            return self.append(&recording, message);
        };
        let principal = Arc::clone(&self.principal);
        let scope = Scope::new(&principal, message.topic(), key);
        let payload_hash = digest(message.payload());
        let mut dedup = lock(&broker.dedup);
        let now_ns = broker.observed(self.stamp.now_ns);
        match dedup.look_up(scope, payload_hash, now_ns) {
            Known::New => {}
            known => return self.known(broker, known, message),
        }
        recording.dedup = Some(journal::Dedup { principal: &principal, key, payload_hash });
        let pending = self.append(&recording, message)?;
        let published = *pending.promised();
        let told = Appended { published, record: pending.record(), is_crowded: false };
        dedup.insert(scope, First { payload: payload_hash, told }, now_ns);
        Ok(pending)
    }

    fn append(&mut self, recording: &Recording<'_>, message: Message) -> Result<Pending, Refused> {
        loop {
            let route = match self.cache.find(recording.broker, message.topic()) {
                Ok(route) => route,
                Err(error) => return Err(Refused { error: PublishError::Topic(error), message }),
            };
            match recording.append(route, &message) {
                Err(error) => return Err(Refused { error, message }),
                Ok(None) => recording.settle_routes(),
                Ok(Some(told)) => {
                    self.is_crowded = told.is_crowded && recording.level == Level::Process;
                    return Ok(appended(
                        recording.journal,
                        route,
                        &message,
                        told,
                        &mut self.release,
                    ));
                }
            }
        }
    }

    /// What finds no room in memory has to be read back from the journal, which costs a lane more
    /// than handing it out does. So where a subscription says that publishers wait, its lanes are
    /// given a moment: as long again at most as there was none before, and hardly ever where they are
    /// slow.
    #[cold]
    fn hold_back(&mut self, pending: &Pending) {
        let patience = self.forward_patience();
        let now = Instant::now();
        let is_resting = self.impatient_until.is_some_and(|until| now < until);
        if patience.is_zero() || is_resting || !pending.make_found() {
            return;
        }
        let waited = self
            .release
            .subscriptions
            .first()
            .filter(|only| only.blocks())
            .map(|only| only.queue.inbox.wait_for_memory(now + patience));
        self.impatient_until = match waited {
            None | Some(Waited::ForRoom) => None,
            Some(Waited::BesideWork) => Some(Instant::now() + patience),
            Some(Waited::InVain) => Some(Instant::now() + patience * IMPATIENCE),
        };
    }

    /// Settles a delivery as forwarded and publishes its message, in one record (P-4).
    pub(crate) fn record_forward(
        &mut self,
        message: &Message,
        level: Level,
        from: Target,
    ) -> Result<Option<Pending>, PublishError> {
        let broker = Arc::clone(&self.broker);
        let Some(journal) = &broker.journal else { return Ok(None) };
        let recording = Recording {
            broker: &broker,
            journal,
            level,
            now_ns: self.stamp.now_ns,
            not_before_ns: 0,
            due_ns: 0,
            dedup: None,
            from: Some(from),
        };
        let route = self.cache.find(&broker, message.topic()).map_err(PublishError::Topic)?;
        let appended_at = recording.append(route, message)?;
        Ok(appended_at.map(|told| appended(journal, route, message, told, &mut self.release)))
    }

    /// Waits until whoever changes the routes is through.
    pub(crate) fn settle_routes(&self) {
        drop(lock(&self.broker.edit));
    }

    /// Tells whoever watches what a forward brought about.
    pub(crate) fn tell_news(&self) {
        self.broker.tell_news();
    }

    /// A forward to a topic that is not recorded.
    pub(crate) fn admit_forwarded(&mut self, message: Message) -> Result<Published, PublishError> {
        self.admit(message, Start::Now, Patience::None, true).map_err(|refused| refused.error)
    }

    /// The level of a topic.
    pub(crate) fn level_of(&mut self, topic: &str) -> Result<Level, PublishError> {
        let route = self.cache.find(&self.broker, topic).map_err(PublishError::Topic)?;
        let recorded = self.broker.journal.is_some();
        Ok(if recorded { route.level } else { Level::Memory })
    }

    pub(super) fn admit(
        &mut self,
        message: Message,
        start: Start,
        patience: Patience,
        follows: bool,
    ) -> Result<Published, Refused> {
        let route = match self.cache.find(&self.broker, message.topic()) {
            Ok(route) => route,
            Err(error) => return Err(Refused { error: PublishError::Topic(error), message }),
        };
        let now_ns = self.stamp.now_ns;
        let admission = Admission { broker: &self.broker, now_ns, patience, follows, start };
        admission.deliver(route, message, &mut self.ready)
    }
}

fn appended(
    journal: &Arc<Journal>,
    route: &Route,
    message: &Message,
    told: Appended,
    release: &mut Arc<Release>,
) -> Pending {
    let Appended { published, record, .. } = told;
    route.taps.iter().for_each(|tap| tap.offer(message));
    if record == 0 {
        return Pending::decided(published);
    }
    if !Arc::ptr_eq(&release.subscriptions, &route.subscriptions) {
        *release = Arc::new(Release::new(Arc::clone(&route.subscriptions)));
    }
    Pending::new(published, Commit::new(journal, record, Arc::clone(release)))
}
