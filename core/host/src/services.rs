//! What the host does for one instance: the loader's [`Services`], over bus and telemetry.
//!
//! Calls come from any thread of the library, in the middle of a handler, so none of them waits:
//! what has no room is refused with a promise to tell. Every thread has a publisher of its own.

mod lanes;
mod publishes;
mod timers;
mod voice;

use std::{
    num::NonZeroU64,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::Waker,
};

use patchbay_bus::{Outgoing, Wake};
use patchbay_lifecycle::Generation;
use patchbay_loader::{
    LogLevel, LogLine, MessageParts, MetricKind, Publish, PublishMany, Refused, Services,
    SpanBegin, SpanBegun, SpanStatus,
};
use patchbay_slab::{Draft, Message};
use patchbay_wire::TopicPattern;
use serde_json::Value;
use smallvec::SmallVec;

pub(crate) use self::lanes::Lanes;
use self::{timers::Timers, voice::Voice};
use crate::{
    context::{Context, LineFrom},
    incarnation::Wishes,
    station::Station,
    telemetry::spans,
    transit::observer::Observer,
    watch::prepared::Prepared,
    wish::Wish,
};

/// What the host sets in headers, and what a library may set all the same: it is how it answers.
const OWN_HEADERS_ALLOWED: [&str; 2] =
    [patchbay_abi::message::header::REPLY_TO, patchbay_abi::message::header::CORRELATION_ID];

/// Headers of a message; a few need no memory of their own.
type Headers<'a> = SmallVec<[(&'a str, &'a str); 16]>;

/// The services of one generation.
#[derive(Debug)]
pub(crate) struct PluginServices {
    /// Names this value among all of the process, for what threads remember.
    id: u64,
    context: Arc<Context>,
    station: Arc<Station>,
    generation: Generation,
    prepared: Arc<Prepared>,
    wishes: Arc<Wishes>,
    lanes: Arc<Lanes>,
    timers: Arc<Timers>,
    observer: Arc<Observer>,
}

/// What services are made from.
#[derive(Debug)]
pub(crate) struct ServiceParts {
    pub(crate) context: Arc<Context>,
    pub(crate) station: Arc<Station>,
    pub(crate) generation: Generation,
    pub(crate) prepared: Arc<Prepared>,
    pub(crate) wishes: Arc<Wishes>,
    pub(crate) lanes: Arc<Lanes>,
    pub(crate) observer: Arc<Observer>,
}

/// Wakes a call when there may be room.
struct WakeCall(Waker);

/// Reports a token when there may be room.
struct WakeToken {
    lanes: Weak<Lanes>,
    token: u64,
}

// === impl PluginServices ===

impl PluginServices {
    pub(crate) fn new(parts: ServiceParts) -> PluginServices {
        static IDS: AtomicU64 = AtomicU64::new(1);
        let timers = Arc::new(Timers::new(
            parts.context.broker.clone(),
            parts.context.settings.limits.timers,
        ));
        PluginServices {
            id: IDS.fetch_add(1, Relaxed),
            context: parts.context,
            station: parts.station,
            generation: parts.generation,
            prepared: parts.prepared,
            wishes: parts.wishes,
            lanes: parts.lanes,
            timers,
            observer: parts.observer,
        }
    }

    fn with_voice<T>(&self, speak: impl FnOnce(&mut Voice) -> T) -> T {
        let make = || Voice::new(self.context.broker.publisher(self.station.name().as_str()));
        voice::with(self.id, make, speak)
    }
}

const TRACEPARENT: &str = patchbay_abi::message::header::TRACEPARENT;

impl Services for PluginServices {
    fn publish(&self, request: Publish<'_>) -> Result<u32, Refused> {
        self.publish_one(&request)
    }

    fn publish_many(&self, request: PublishMany<'_>) -> (usize, Option<Refused>) {
        self.publish_all(&request)
    }

    fn forget(&self, token: u64) {
        self.lanes.forget(token);
        self.timers.forget(token);
    }

    fn message_new(&self, parts: &MessageParts<'_>) -> Option<Draft> {
        let headers = own_headers_only(parts.headers);
        let outgoing = outgoing(parts, &headers);
        self.with_voice(|voice| voice.publisher.draft(&outgoing, parts.payload_len).ok())
    }

    fn message_derive(&self, base: &Message, parts: &MessageParts<'_>) -> Option<Message> {
        let headers = own_headers_only(parts.headers);
        let outgoing = outgoing(parts, &headers);
        self.with_voice(|voice| voice.publisher.derive(base, &outgoing).ok())
    }

    fn subscribe(&self, pattern: &str) -> Result<u32, Refused> {
        let pattern = TopicPattern::parse(pattern).map_err(|_| Refused::Invalid)?;
        if !self.prepared.manifest.permissions.may_subscribe(&pattern) {
            return Err(Refused::Denied);
        }
        let queue_count = self.prepared.manifest.worker_pool.queue_size;
        let wish = self.wishes.add(|number| Wish::dynamic(number, queue_count, pattern));
        let wish = wish.ok_or(Refused::Full { token: None })?;
        let number = wish.number;
        // Before it serves, it only wishes; the cutover makes it true.
        if let Some(incarnation) = self.station.incarnation(self.generation)
            && self.station.subscribe(&self.context.broker, &incarnation, wish).is_err()
        {
            self.wishes.remove(number);
            return Err(Refused::Closed);
        }
        Ok(number)
    }

    fn unsubscribe(&self, subscription: u32) -> bool {
        let known = self.wishes.remove(subscription);
        if known && let Some(incarnation) = self.station.incarnation(self.generation) {
            self.station.unsubscribe(&self.context.broker, &incarnation, subscription);
        }
        known
    }

    fn config_get(&self, path: &str) -> Option<String> {
        let mut keys = path.split('.').filter(|key| !key.is_empty());
        let Some(first) = keys.next() else {
            return Some(Value::Object(self.prepared.config.clone()).to_string());
        };
        let found = keys.try_fold(self.prepared.config.get(first)?, |value, key| match value {
            Value::Array(items) => items.get(key.parse::<usize>().ok()?),
            other => other.get(key),
        });
        found.map(ToString::to_string)
    }

    fn log(&self, line: &LogLine<'_>) {
        let level = match line.level {
            LogLevel::Error => "error",
            LogLevel::Warn => "warn",
            LogLevel::Info => "info",
            LogLevel::Debug => "debug",
            LogLevel::Trace => "trace",
        };
        let from = LineFrom { level, generation: Some(self.generation.0), target: line.target };
        self.context.log(&self.station, from, line.text);
    }

    fn metric(&self, kind: MetricKind, name: &str) -> u32 {
        self.station.metrics.intern(kind, name)
    }

    fn metric_record(&self, metric: u32, value: f64, attributes: &[(&str, &str)]) {
        self.station.metrics.record(metric, value, attributes);
    }

    fn span_begin(&self, span: &SpanBegin<'_>) -> SpanBegun {
        self.station.spans.begin(&spans::Begin {
            name: span.name,
            traceparent: span.message.and_then(|message| message.header(TRACEPARENT)),
            parent: span.parent,
            attributes: span.attributes,
            generation: self.generation.0,
            unix_ns: self.context.clock.unix_ns(),
            mono_ns: self.context.clock.now_ns(),
        })
    }

    fn span_end(&self, span: u64, status: SpanStatus, text: &str) {
        self.station.spans.end(span, status, text, self.context.clock.now_ns());
    }

    fn timer(&self, delay_ns: u64, waker: Waker) -> Option<NonZeroU64> {
        let due_ns = self.context.clock.now_ns().saturating_add(delay_ns);
        self.timers.start(self.lanes.number(), due_ns, waker)
    }

    fn timer_fired(&self, token: u64) -> bool {
        self.timers.has_fired(token)
    }
}

// === impl WakeCall ===

impl Wake for WakeCall {
    fn wake(&self) {
        self.0.wake_by_ref();
    }
}

// === impl WakeToken ===

impl Wake for WakeToken {
    fn wake(&self) {
        if let Some(lanes) = self.lanes.upgrade() {
            lanes.ready(self.token);
        }
    }
}

fn outgoing<'a>(parts: &MessageParts<'a>, headers: &'a [(&'a str, &'a str)]) -> Outgoing<'a> {
    Outgoing {
        topic: parts.topic,
        key: parts.key,
        headers,
        id: Some(parts.id).filter(|id| *id != 0),
        expires_ns: parts.expires_ns,
        ..Outgoing::default()
    }
}

/// Leaves out what only the host may say. A library that copies the headers of a message it got
/// means no harm by it.
fn own_headers_only<'a>(headers: &[(&'a str, &'a str)]) -> Headers<'a> {
    let is_own = |name: &str| {
        let prefix = patchbay_abi::message::header::OWN_PREFIX;
        name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
            && !OWN_HEADERS_ALLOWED.iter().any(|allowed| name.eq_ignore_ascii_case(allowed))
    };
    headers.iter().copied().filter(|(name, _)| !is_own(name)).collect()
}
