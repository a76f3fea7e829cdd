//! Publishing with more than a place in a queue: a level, a dedup key, a time to start from.

use std::time::Instant;

use patchbay_slab::Message;

use super::{
    Outgoing, Pending, PublishError, Published, Publisher, Refused,
    admit::{Admission, Start},
};
use crate::{
    dedup::{First, Known, Scope, digest},
    durability::Level,
    sync::lock,
};

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
        self.submit_checked(&outgoing, hops)
    }

    #[cold]
    pub(super) fn submit_checked(
        &mut self,
        outgoing: &Outgoing<'_>,
        hops: u32,
    ) -> Result<Pending, PublishError> {
        patchbay_wire::Topic::check(outgoing.topic).map_err(PublishError::Topic)?;
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
        self.accept(message, terms, cause)
    }

    fn accept(
        &mut self,
        message: Message,
        terms: Terms<'_>,
        cause: Option<&Message>,
    ) -> Result<Pending, Refused> {
        let expires = message.expires_ns();
        if expires != 0 && terms.not_before_ns >= expires {
            return Err(Refused { error: PublishError::Expired, message });
        }
        if terms.level.is_some_and(|level| level > Level::Memory) {
            let level = terms.level.unwrap_or_default();
            return Err(Refused { error: PublishError::NoJournal { level }, message });
        }
        let wait = cause.is_none() && !terms.no_wait;
        let later_ns = terms.not_before_ns.saturating_sub(self.stamp.unix_ns);
        let start = match later_ns {
            0 => Start::Now,
            later_ns => Start::At(self.stamp.now_ns.saturating_add(later_ns)),
        };
        match terms.dedup_key {
            None => self.admit(message, start, wait, cause.is_some()).map(Pending::decided),
            Some(key) => self.accept_once(message, key, start, wait, cause.is_some()),
        }
    }

    /// The window is locked while the message is admitted, so that of two equal publishes one is the
    /// first. It is never locked while anybody waits.
    fn accept_once(
        &mut self,
        mut message: Message,
        key: &str,
        start: Start,
        wait: bool,
        follows: bool,
    ) -> Result<Pending, Refused> {
        let scope = Scope::new(&self.principal, message.topic(), key);
        let payload = digest(message.payload());
        let deadline = Instant::now() + self.broker.config.publish_timeout;
        loop {
            let broker = std::sync::Arc::clone(&self.broker);
            let mut dedup = lock(&broker.dedup);
            let now_ns = self.stamp.now_ns;
            match dedup.look_up(scope, payload, now_ns) {
                Known::New => {}
                Known::Repeat(first) => {
                    return Ok(Pending::decided(Published { duplicate: true, ..first }));
                }
                Known::Mismatch(first) => {
                    let error = PublishError::DedupMismatch { first: first.id };
                    return Err(Refused { error, message });
                }
            }
            match self.admit(message, start, false, follows) {
                Ok(told) => {
                    dedup.insert(scope, First { payload, told }, now_ns);
                    return Ok(Pending::decided(told));
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

    pub(super) fn admit(
        &mut self,
        message: Message,
        start: Start,
        wait: bool,
        follows: bool,
    ) -> Result<Published, Refused> {
        let route = match self.cache.find(&self.broker, message.topic()) {
            Ok(route) => route,
            Err(error) => return Err(Refused { error: PublishError::Topic(error), message }),
        };
        let now_ns = self.stamp.now_ns;
        Admission { broker: &self.broker, now_ns, wait, follows, start }.deliver(route, message)
    }
}
