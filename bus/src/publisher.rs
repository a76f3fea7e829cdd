//! Publishing: topic → route → one envelope → every subscription's queue.
//!
//! A publisher belongs to one thread at a time: it has its own envelopes and its own memory of
//! routes, so a publish touches nothing that others write but the queues themselves.

mod admit;
mod cache;
mod error;
mod many;
mod pending;
pub(crate) mod recording;
mod submission;

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use patchbay_slab::{Draft, Message, Parts, Slab};
use smallvec::SmallVec;

pub(crate) use self::admit::Patience;
use self::{
    admit::{Admission, Start, fetch},
    cache::RouteCache,
    pending::Release,
};
pub use self::{
    error::{PublishError, Refused},
    pending::{Pending, Published},
    submission::Terms,
};
use crate::{
    broker::{Broker, Inner},
    delivery::SIZE_MAX,
    durability::Level,
    ids::Ids,
};

/// Header that names who forwarded a message, oldest first, with commas between.
pub const FORWARDED_BY: &str = "Patchbay-Forwarded-By";

/// Headers of a message up to which a forward or a request allocates nothing for them.
pub(crate) const FEW_HEADERS: usize = 16;
/// Bytes of names of forwarders for which the room is kept.
const CHAIN_KEPT: usize = 1024;

/// Publishes on behalf of one principal. One per thread; cheap to keep, not to make.
#[derive(Debug)]
pub struct Publisher {
    broker: Arc<Inner>,
    principal: Arc<str>,
    slab: Slab,
    cache: RouteCache,
    ids: Ids,
    stamp: Stamp,
    /// Empty between two publishes: kept for its room.
    ready: VecDeque<Message>,
    /// Likewise, for a text: who forwarded a message, or where a reply goes.
    pub(crate) text: String,
    /// Who is told of the records of the last topic.
    release: Arc<Release>,
    /// Whether who took the last of them has no more room in memory.
    is_crowded: bool,
    /// Until then no room in memory is waited for where the journal has some.
    impatient_until: Option<Instant>,
}

/// One message to publish.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outgoing<'a> {
    /// Concrete topic.
    pub topic: &'a str,
    /// Ordering key; empty = none.
    pub key: &'a str,
    /// Names and values.
    pub headers: &'a [(&'a str, &'a str)],
    /// Any bytes.
    pub payload: &'a [u8],
    /// The id; `None` = a new one.
    pub id: Option<u128>,
    /// When it is no longer of use, nanoseconds since the Unix epoch; 0 = never.
    pub expires_ns: u64,
    /// The message whose handler publishes this one. It never waits for room then.
    pub cause: Option<&'a Message>,
    /// Do not wait for room, whatever a subscription says.
    pub no_wait: bool,
    /// At least this level, if it is above that of the topic.
    pub level: Option<Level>,
    /// A repeat of the same principal under the same topic and key is recognised, and delivered to
    /// nobody.
    pub dedup_key: Option<&'a str>,
    /// Not to be handed out before, nanoseconds since the Unix epoch; 0 = at once. In an ordered
    /// subscription it takes its place when its time has come.
    pub not_before_ns: u64,
}

/// Time as of the last tick of the coarse clock.
#[derive(Debug, Default)]
struct Stamp {
    coarse: u64,
    now_ns: u64,
    unix_ns: u64,
}

// === impl Publisher ===

impl Publisher {
    pub(crate) fn new(broker: Arc<Inner>, principal: &str) -> Publisher {
        let ids = Ids::new(broker.chance.words());
        Publisher {
            broker,
            principal: principal.into(),
            slab: Slab::new(),
            cache: RouteCache::new(),
            ids,
            stamp: Stamp::default(),
            ready: VecDeque::new(),
            text: String::new(),
            release: Arc::default(),
            is_crowded: false,
            impatient_until: None,
        }
    }

    /// On whose behalf it publishes.
    #[must_use]
    pub fn principal(&self) -> &str {
        &self.principal
    }

    /// Publishes one message and waits until it has its level. All matching subscriptions take it, or
    /// none does; those that drop by policy when full count as taking it.
    ///
    /// # Errors
    /// [`PublishError`]; nothing was delivered to anybody.
    #[inline]
    pub fn publish(&mut self, outgoing: Outgoing<'_>) -> Result<Published, PublishError> {
        let hops = self.check(&outgoing)?;
        if outgoing.has_terms() {
            return self.publish_on_terms(&outgoing, hops);
        }
        let parts = self.parts(&outgoing, hops);
        let route = self.cache.find(&self.broker, outgoing.topic).map_err(PublishError::Topic)?;
        if route.level != Level::Memory {
            return self.publish_on_terms(&outgoing, hops);
        }
        // They are on their way while the message is made.
        fetch(route);
        let message = self.slab.message(&parts, outgoing.payload);
        let admission = Admission {
            broker: &self.broker,
            now_ns: self.stamp.now_ns,
            patience: Patience::of(outgoing.cause.is_none() && !outgoing.no_wait),
            follows: outgoing.cause.is_some(),
            start: Start::Now,
        };
        admission.deliver(route, message, &mut self.ready).map_err(|refused| refused.error)
    }

    /// Publishes a message that exists, such as one drafted before. It keeps its id and topic; it is
    /// at least one hop after `cause`, and with a cause it never waits.
    ///
    /// # Errors
    /// As for [`publish`](Publisher::publish); the message comes back.
    pub fn publish_message(
        &mut self,
        message: Message,
        cause: Option<&Message>,
        no_wait: bool,
    ) -> Result<Published, Refused> {
        let message = self.follow(message, cause)?;
        match self.level_of(message.topic()) {
            Ok(Level::Memory) => {}
            Ok(_) => return self.publish_recorded(message, cause, no_wait),
            Err(error) => return Err(Refused { error, message }),
        }
        let patience = Patience::of(cause.is_none() && !no_wait);
        self.admit(message, Start::Now, patience, cause.is_some())
    }

    /// A message as it may be published: within the bounds, and a hop after its cause.
    fn follow(
        &mut self,
        mut message: Message,
        cause: Option<&Message>,
    ) -> Result<Message, Refused> {
        let hops = cause.map_or(0, |cause| cause.hops().saturating_add(1)).max(message.hops());
        self.tick();
        let checked = self.check_size(message.size()).and_then(|()| self.check_hops(hops));
        if let Err(error) = checked {
            return Err(Refused { error, message });
        }
        if !message.raise_hops(hops) {
            let headers: Vec<_> = message.headers().collect();
            let parts = Parts {
                topic: message.topic(),
                key: message.key(),
                headers: &headers,
                payload_len: 0,
                id: message.id(),
                time_ns: self.stamp.unix_ns,
                expires_ns: message.expires_ns(),
                hops,
            };
            message = self.slab.derive(&message, &parts);
        }
        Ok(message)
    }

    /// Publishes many messages, taking each queue's lock once for a run of the same topic. Returns
    /// how many were accepted, in order, and what stopped the next one, if anything did.
    pub fn publish_batch(&mut self, batch: &[Outgoing<'_>]) -> (usize, Option<PublishError>) {
        let mut accepted = 0;
        while let Some(first) = batch.get(accepted) {
            let level = match self.level_of(first.topic) {
                Ok(level) => level,
                Err(error) => return (accepted, Some(error)),
            };
            if first.has_terms() | (level != Level::Memory) {
                let (more, stopped) = self.publish_run(&batch[accepted..]);
                accepted += more;
                match stopped {
                    Some(error) => return (accepted, Some(error)),
                    None => continue,
                }
            }
            let same = |outgoing: &&Outgoing<'_>| {
                outgoing.topic == first.topic
                    && outgoing.cause.is_some() == first.cause.is_some()
                    && !outgoing.has_terms()
            };
            let run = batch[accepted..].iter().take_while(same).count();
            let mut stopped = None;
            for outgoing in &batch[accepted..accepted + run] {
                match self.check(outgoing) {
                    Ok(hops) => {
                        let parts = self.parts(outgoing, hops);
                        let message = self.slab.message(&parts, outgoing.payload);
                        self.ready.push_back(message);
                    }
                    Err(error) => {
                        stopped = Some(error);
                        break;
                    }
                }
            }
            let route = match self.cache.find(&self.broker, first.topic) {
                Ok(route) => route,
                Err(error) => {
                    self.ready.clear();
                    return (accepted, Some(PublishError::Topic(error)));
                }
            };
            let admission = Admission {
                broker: &self.broker,
                now_ns: self.stamp.now_ns,
                patience: Patience::of(first.cause.is_none() && !first.no_wait),
                follows: first.cause.is_some(),
                start: Start::Now,
            };
            let made = self.ready.len();
            let result = admission.admit(route, &mut self.ready);
            accepted += made - self.ready.len();
            self.ready.clear();
            if let Some(error) = result.err().or(stopped) {
                return (accepted, Some(error));
            }
        }
        (accepted, None)
    }

    /// Publishes the payload of `message` under another topic, one hop after `cause`. Its key and
    /// headers go with it, and [`FORWARDED_BY`] names the principal behind those before it; its
    /// payload is shared. Never waits for room.
    ///
    /// # Errors
    /// As for [`publish`](Publisher::publish).
    pub fn forward(
        &mut self,
        topic: &str,
        message: &Message,
        cause: &Message,
    ) -> Result<Published, PublishError> {
        let message = self.forwarding(topic, message, cause)?;
        self.forward_made(message, cause, Patience::None).map_err(|refused| refused.error)
    }

    /// Publishes what [`forwarding`](Publisher::forwarding) made.
    pub(crate) fn forward_made(
        &mut self,
        message: Message,
        cause: &Message,
        patience: Patience,
    ) -> Result<Published, Refused> {
        let route = match self.cache.find(&self.broker, message.topic()) {
            Ok(route) => route,
            Err(error) => return Err(Refused { error: PublishError::Topic(error), message }),
        };
        if route.level != Level::Memory {
            return self.publish_recorded(message, Some(cause), true);
        }
        let admission = Admission {
            broker: &self.broker,
            now_ns: self.stamp.now_ns,
            patience,
            follows: true,
            start: Start::Now,
        };
        admission.deliver(route, message, &mut self.ready)
    }

    /// How long a forward waits for a target that has no room.
    pub(crate) fn forward_patience(&self) -> Duration {
        self.broker.config.forward_patience
    }

    /// The message that a forward publishes.
    pub(crate) fn forwarding(
        &mut self,
        topic: &str,
        message: &Message,
        cause: &Message,
    ) -> Result<Message, PublishError> {
        let hops = cause.hops().saturating_add(1);
        self.check_hops(hops)?;
        self.tick();
        let mut chain = std::mem::take(&mut self.text);
        chain.clear();
        let mut headers: SmallVec<[_; FEW_HEADERS]> = SmallVec::new();
        for (name, value) in message.headers() {
            if !name.eq_ignore_ascii_case(FORWARDED_BY) {
                headers.push((name, value));
            } else if chain.is_empty() {
                chain.extend([value, ","]);
            }
        }
        chain.push_str(&self.principal);
        headers.push((FORWARDED_BY, &chain));
        let parts = Parts {
            topic,
            key: message.key(),
            headers: &headers,
            payload_len: 0,
            id: self.ids.next(self.stamp.unix_ns),
            time_ns: self.stamp.unix_ns,
            expires_ns: message.expires_ns(),
            hops,
        };
        let message = self.slab.derive(message, &parts);
        drop(headers);
        chain.shrink_to(CHAIN_KEPT);
        self.text = chain;
        self.check_size(message.size())?;
        Ok(message)
    }

    /// A message with room for a payload of `payload_len` bytes (the payload of `outgoing` is not
    /// read), for somebody who writes it in place and publishes it later.
    ///
    /// # Errors
    /// As for [`publish`](Publisher::publish), but for what only shows when it is published.
    pub fn draft(
        &mut self,
        outgoing: &Outgoing<'_>,
        payload_len: usize,
    ) -> Result<Draft, PublishError> {
        let hops = self.check(outgoing)?;
        let size = size_of_texts(outgoing).saturating_add(payload_len);
        self.check_size(size)?;
        patchbay_wire::Topic::check(outgoing.topic).map_err(PublishError::Topic)?;
        let parts = Parts { payload_len, ..self.parts(outgoing, hops) };
        Ok(self.slab.draft(&parts))
    }

    /// A message with the payload of `base` and everything else from `outgoing`.
    ///
    /// # Errors
    /// As for [`draft`](Publisher::draft).
    pub fn derive(
        &mut self,
        base: &Message,
        outgoing: &Outgoing<'_>,
    ) -> Result<Message, PublishError> {
        let hops = self.check(outgoing)?;
        self.check_size(size_of_texts(outgoing).saturating_add(base.payload().len()))?;
        patchbay_wire::Topic::check(outgoing.topic).map_err(PublishError::Topic)?;
        let parts = self.parts(outgoing, hops);
        Ok(self.slab.derive(base, &parts))
    }

    /// Reads the time and refuses what can be refused without a route.
    #[inline]
    fn check(&mut self, outgoing: &Outgoing<'_>) -> Result<u32, PublishError> {
        self.check_size(size_of_texts(outgoing) + outgoing.payload.len())?;
        for (name, value) in outgoing.headers {
            let clean = |text: &str| !text.bytes().any(|byte| byte < b' ' || byte == 0x7f);
            if name.is_empty() || !clean(name) || !clean(value) {
                return Err(PublishError::Header { name: (*name).to_owned() });
            }
        }
        let hops = outgoing.cause.map_or(0, |cause| cause.hops().saturating_add(1));
        self.check_hops(hops)?;
        self.tick();
        Ok(hops)
    }

    #[inline]
    fn check_size(&self, size: usize) -> Result<(), PublishError> {
        let limit = self.broker.config.max_message_bytes.min(SIZE_MAX);
        if size > limit { Err(PublishError::TooLarge { size, limit }) } else { Ok(()) }
    }

    #[inline]
    fn check_hops(&self, hops: u32) -> Result<(), PublishError> {
        let limit = self.broker.config.max_hops;
        if hops > limit { Err(PublishError::HopLimit { hops, limit }) } else { Ok(()) }
    }

    /// Reads the clocks, once per tick of the coarse one.
    #[inline]
    fn tick(&mut self) {
        let coarse = self.broker.clock.coarse_ns();
        if coarse != self.stamp.coarse {
            let (now_ns, unix_ns) = (self.broker.clock.now_ns(), self.broker.clock.unix_ns());
            self.stamp = Stamp { coarse, now_ns, unix_ns };
        }
    }

    #[inline]
    fn parts<'a>(&mut self, outgoing: &Outgoing<'a>, hops: u32) -> Parts<'a> {
        Parts {
            topic: outgoing.topic,
            key: outgoing.key,
            headers: outgoing.headers,
            payload_len: 0,
            id: outgoing.id.unwrap_or_else(|| self.ids.next(self.stamp.unix_ns)),
            time_ns: self.stamp.unix_ns,
            expires_ns: outgoing.expires_ns,
            hops,
        }
    }

    /// How many envelopes it has made so far: a measure of what it keeps in memory.
    #[must_use]
    pub fn envelopes(&self) -> usize {
        self.slab.made()
    }

    /// How many subscriptions a topic leads to now.
    ///
    /// # Errors
    /// [`PublishError::Topic`] when it is none.
    pub fn subscribers(&mut self, topic: &str) -> Result<usize, PublishError> {
        let route = self.cache.find(&self.broker, topic).map_err(PublishError::Topic)?;
        Ok(route.subscriptions.len())
    }

    /// The broker it publishes to.
    #[must_use]
    pub fn broker(&self) -> Broker {
        Broker::from_inner(Arc::clone(&self.broker))
    }
}

// === impl Outgoing ===

impl Outgoing<'_> {
    /// Whether more is asked than a place in the queues.
    #[inline]
    fn has_terms(&self) -> bool {
        self.level.is_some() | self.dedup_key.is_some() | (self.not_before_ns != 0)
    }
}

fn size_of_texts(outgoing: &Outgoing<'_>) -> usize {
    let headers = outgoing.headers.iter().map(|(name, value)| name.len() + value.len());
    outgoing.topic.len() + outgoing.key.len() + headers.sum::<usize>()
}
