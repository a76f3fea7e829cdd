//! Publishing and listening from outside: what callers of the [`HostHandle`](crate::HostHandle)
//! offer, in the bus's words.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use patchbay_abi::message::header;
use patchbay_bus::{self as bus, Broker, Level, Outgoing, Pending, Publisher, RequestError, Tap};
use patchbay_slab::Message;
use patchbay_wire::{Topic, TopicPattern};
use serde_json::Value;

use crate::{
    context::Context,
    error::PublishError,
    moment,
    telemetry::trace::TraceContext,
    view::{EventView, Published, SeenMessage},
};

/// On whose behalf callers from outside publish.
const PRINCIPAL: &str = "api";
/// Publishers kept for the next caller; more are made when more publish at once.
const IDLE_MAX: usize = 16;
/// Messages that an event tap keeps for its reader.
const EVENTS_KEPT: usize = 1_024;
/// Most messages that a tap may keep for its reader.
pub(crate) const TAP_MAX: usize = 65_536;

/// A message as a caller outside the host offers it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewMessage {
    /// Concrete topic.
    pub topic: String,
    /// Ordering key.
    pub key: Option<String>,
    /// Headers in order. `Patchbay-*` names other than `Patchbay-Reply-To` and
    /// `Patchbay-Correlation-Id` are refused. A `traceparent` is added when there is none.
    pub headers: Vec<(String, String)>,
    /// Bytes.
    pub payload: Vec<u8>,
    /// Id; the host makes one (UUID version 7) when absent.
    pub id: Option<u128>,
    /// When it is no longer of use, nanoseconds since the Unix epoch.
    pub expires_ns: Option<u64>,
    /// Not to be handed out before, nanoseconds since the Unix epoch.
    pub not_before_ns: Option<u64>,
    /// A repeat to the same topic under the same key is delivered to nobody (P-6).
    pub dedup_key: Option<String>,
    /// At least this level, if it is above that of the topic (P-3).
    pub level: Option<Level>,
}

/// How long a publish may wait for room in a full queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// Not at all: [`PublishError::Full`] at once.
    Now,
    /// Up to this long, at most [`Limits::publish_timeout`](crate::settings::Limits).
    Within(Duration),
}

/// Messages that pass, as they pass. Settles nothing and slows nobody: what the reader does not take
/// in time is missed, and counted.
#[derive(Debug)]
pub struct MessageTap {
    tap: Tap,
    missed: u64,
}

/// Events of `$PB.>` as they happen; missed ones are counted as with [`MessageTap`].
#[derive(Debug)]
pub struct EventTap(Option<MessageTap>);

/// Publishers for callers from outside.
#[derive(Debug)]
pub(crate) struct Counter {
    broker: Broker,
    idle: Mutex<Vec<Publisher>>,
}

/// Wakes a waiting publish.
struct Notice(tokio::sync::Notify);

// === impl MessageTap ===

impl MessageTap {
    pub(crate) fn new(broker: &Broker, pattern: TopicPattern, capacity: usize) -> MessageTap {
        MessageTap { tap: broker.tap(pattern, capacity.clamp(1, TAP_MAX)), missed: 0 }
    }

    /// The next message and how many were missed before it; `None` when the host has ended.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<(SeenMessage, u64)> {
        let message = self.tap.recv().await?;
        let missed = self.tap.missed();
        let since = missed - self.missed;
        self.missed = missed;
        Some((seen(&message), since))
    }
}

// === impl EventTap ===

impl EventTap {
    pub(crate) fn new(broker: &Broker) -> EventTap {
        let pattern = TopicPattern::parse("$PB.>");
        // A constant that a test parses.
        let tap = pattern.map(|pattern| MessageTap::new(broker, pattern, EVENTS_KEPT));
        EventTap(tap.ok())
    }

    /// The next event; `None` when the host has ended.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<EventView> {
        let (message, missed) = self.0.as_mut()?.next().await?;
        let data = serde_json::from_slice(&message.payload).unwrap_or(Value::Null);
        let at = moment::text(message.time_ns);
        Some(EventView { at, topic: message.topic, data, missed })
    }
}

// === impl Counter ===

impl Counter {
    pub(crate) fn new(broker: Broker) -> Counter {
        Counter { broker, idle: Mutex::default() }
    }

    /// Publishes one message, and waits until it has its level.
    pub(crate) async fn publish(
        &self,
        context: &Context,
        message: &NewMessage,
        room: Room,
    ) -> Result<Published, PublishError> {
        let pending = self.submit(context, message, room).await?;
        settled(context, pending).await
    }

    /// Publishes messages in order, each on its own, and waits until each has its level: those on
    /// their way to the disk share the way.
    pub(crate) async fn publish_many(
        &self,
        context: &Context,
        messages: &[NewMessage],
        room: Room,
    ) -> Vec<Result<Published, PublishError>> {
        let mut submitted = Vec::with_capacity(messages.len());
        for message in messages {
            submitted.push(self.submit(context, message, room).await);
        }
        let mut outcomes = Vec::with_capacity(messages.len());
        for pending in submitted {
            outcomes.push(match pending {
                Ok(pending) => settled(context, pending).await,
                Err(error) => Err(error),
            });
        }
        outcomes
    }

    /// Gives one message to the bus, as soon as there is room.
    async fn submit(
        &self,
        context: &Context,
        message: &NewMessage,
        room: Room,
    ) -> Result<Pending, PublishError> {
        let limit = match room {
            Room::Now => Duration::ZERO,
            Room::Within(limit) => limit.min(context.settings.limits.publish_timeout),
        };
        let until = tokio::time::Instant::now() + limit;
        let headers = self.headers(context, message)?;
        loop {
            let full = match self.try_submit(context, message, &headers)? {
                Ok(pending) => return Ok(pending),
                Err(subscription) => subscription,
            };
            let refused = PublishError::Full { subscription: name_of(&full) };
            let notice = std::sync::Arc::new(Notice(tokio::sync::Notify::new()));
            match full.when_room(size(message), notice.clone()) {
                bus::Room::Now if limit.is_zero() => return Err(refused),
                bus::Room::Now => tokio::task::yield_now().await,
                bus::Room::Refused => return Err(refused),
                bus::Room::Registered => {
                    if tokio::time::timeout_at(until, notice.0.notified()).await.is_err() {
                        return Err(refused);
                    }
                }
            }
            if tokio::time::Instant::now() >= until {
                return Err(refused);
            }
        }
    }

    /// Publishes a request; the reply comes by the future.
    pub(crate) fn request(
        &self,
        context: &Context,
        message: &NewMessage,
        limit: Duration,
    ) -> Result<bus::Reply, PublishError> {
        let headers = self.headers(context, message)?;
        let headers: Vec<(&str, &str)> = borrowed(&headers);
        let mut publisher = self.take();
        let outgoing = outgoing(message, &headers);
        let asked = match self.may_be_durable(message) {
            true => {
                tokio::task::block_in_place(|| self.broker.request(&mut publisher, outgoing, limit))
            }
            false => self.broker.request(&mut publisher, outgoing, limit),
        };
        self.give_back(publisher);
        asked.map_err(|error| request_refused(context, &message.topic, error))
    }

    fn try_submit(
        &self,
        context: &Context,
        message: &NewMessage,
        headers: &[(String, String)],
    ) -> Result<Result<Pending, std::sync::Arc<bus::Subscription>>, PublishError> {
        let headers = borrowed(headers);
        let mut publisher = self.take();
        let outgoing = outgoing(message, &headers);
        // The journal may have to make room first, and a request waits for its level.
        let submitted = match self.may_be_durable(message) {
            true => tokio::task::block_in_place(|| publisher.submit(outgoing)),
            false => publisher.submit(outgoing),
        };
        self.give_back(publisher);
        match submitted {
            Ok(pending) => Ok(Ok(pending)),
            Err(bus::PublishError::Full { subscription }) => Ok(Err(subscription)),
            Err(error) => Err(refused(context, &error)),
        }
    }

    /// Checks what a caller may not say, and adds what every message carries.
    fn headers(
        &self,
        context: &Context,
        message: &NewMessage,
    ) -> Result<Vec<(String, String)>, PublishError> {
        if context.is_closing() {
            return Err(PublishError::Closed);
        }
        let topic = Topic::parse(&message.topic)
            .map_err(|error| PublishError::Invalid { problem: error.to_string() })?;
        if topic.is_reserved() && !message.topic.starts_with(bus::REPLY_PREFIX) {
            return Err(PublishError::Reserved { topic: message.topic.clone() });
        }
        for (name, _) in &message.headers {
            let own = name.to_ascii_lowercase().starts_with(&header::OWN_PREFIX.to_lowercase());
            let allowed = [header::REPLY_TO, header::CORRELATION_ID];
            if own && !allowed.iter().any(|allowed| name.eq_ignore_ascii_case(allowed)) {
                let problem =
                    format!("header `{}` is the host's; leave it out", name.escape_debug());
                return Err(PublishError::Invalid { problem });
            }
        }
        let mut headers = message.headers.clone();
        let traced = |(name, _): &(String, String)| name.eq_ignore_ascii_case(header::TRACEPARENT);
        if !headers.iter().any(traced) {
            let context = TraceContext::root(&context.dice).to_string();
            headers.push((header::TRACEPARENT.to_owned(), context));
        }
        Ok(headers)
    }

    fn may_be_durable(&self, message: &NewMessage) -> bool {
        message.level.is_some() || !self.broker.config().durability.is_empty()
    }

    fn take(&self) -> Publisher {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.unwrap_or_else(|| self.broker.publisher(PRINCIPAL))
    }

    fn give_back(&self, publisher: Publisher) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_MAX {
            idle.push(publisher);
        }
    }
}

// === impl Notice ===

impl bus::Wake for Notice {
    fn wake(&self) {
        self.0.notify_one();
    }
}

/// A message as views show it.
pub(crate) fn seen(message: &Message) -> SeenMessage {
    SeenMessage {
        id: message.id(),
        topic: message.topic().to_owned(),
        time_ns: message.time_ns(),
        expires_ns: message.expires_ns(),
        key: message.key().as_bytes().to_vec(),
        headers: message.headers().map(|(name, value)| (name.into(), value.into())).collect(),
        payload: message.payload().to_vec(),
        hops: message.hops(),
    }
}

/// What became of a request that was published.
pub(crate) fn request_refused(context: &Context, topic: &str, error: RequestError) -> PublishError {
    match error {
        RequestError::NoResponders { .. } => PublishError::NoResponders { topic: topic.to_owned() },
        RequestError::Timeout(limit) => PublishError::NoReply { limit },
        RequestError::Publish(error) => refused(context, &error),
        RequestError::TooMany(most) => {
            PublishError::Full { subscription: format!("the host: {most} requests wait already") }
        }
        _ => PublishError::Closed,
    }
}

/// Waits until a message has its level. No thread waits with it.
async fn settled(context: &Context, pending: Pending) -> Result<Published, PublishError> {
    match pending.await {
        Ok(published) => Ok(told(&published)),
        Err(error) => Err(refused(context, &error)),
    }
}

fn name_of(subscription: &bus::Subscription) -> String {
    format!("{} for `{}`", subscription.owner(), subscription.spec().pattern)
}

fn refused(context: &Context, error: &bus::PublishError) -> PublishError {
    match error {
        bus::PublishError::Full { subscription } => {
            PublishError::Full { subscription: name_of(subscription) }
        }
        bus::PublishError::BacklogFull { subscription } => {
            PublishError::BacklogFull { subscription: name_of(subscription) }
        }
        bus::PublishError::TooLarge { size, limit } => {
            PublishError::TooLarge { size: *size, limit: *limit }
        }
        bus::PublishError::HopLimit { .. } => {
            PublishError::HopLimit { limit: context.broker.config().max_hops }
        }
        bus::PublishError::NoMatch => PublishError::NoMatch,
        bus::PublishError::Expired => PublishError::Expired,
        bus::PublishError::DedupMismatch { first } => {
            PublishError::DedupMismatch { first: uuid::Uuid::from_u128(*first).to_string() }
        }
        bus::PublishError::StorageFull => PublishError::StorageFull,
        bus::PublishError::JournalFailed { written } => {
            PublishError::JournalFailed { written: *written }
        }
        bus::PublishError::NoJournal { level } => {
            PublishError::NoJournal { level: level.to_string() }
        }
        bus::PublishError::Closed => PublishError::Closed,
        other => PublishError::Invalid { problem: crate::watch::prepared::chain(other) },
    }
}

fn outgoing<'a>(message: &'a NewMessage, headers: &'a [(&'a str, &'a str)]) -> Outgoing<'a> {
    Outgoing {
        topic: &message.topic,
        key: message.key.as_deref().unwrap_or_default(),
        headers,
        payload: &message.payload,
        id: message.id,
        expires_ns: message.expires_ns.unwrap_or(0),
        cause: None,
        // A thread of the runtime never waits for room; the caller's task does.
        no_wait: true,
        level: message.level,
        dedup_key: message.dedup_key.as_deref(),
        not_before_ns: message.not_before_ns.unwrap_or(0),
    }
}

fn borrowed(headers: &[(String, String)]) -> Vec<(&str, &str)> {
    headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

fn size(message: &NewMessage) -> usize {
    let headers = message.headers.iter().map(|(name, value)| name.len() + value.len());
    let key = message.key.as_ref().map_or(0, String::len);
    message.topic.len() + key + headers.sum::<usize>() + message.payload.len()
}

fn told(published: &bus::Published) -> Published {
    Published {
        mid: uuid::Uuid::from_u128(published.id).to_string(),
        seq: published.seq,
        level: published.level.to_string(),
        routed: published.routed,
        duplicate: published.duplicate,
    }
}
