//! What a plugin listens to, and how messages are handed to it.

use std::{fmt, time::Duration};

use patchbay_wire::TopicPattern;
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    fields::{At, Fields},
    node::Node,
    problem::{Problem, ProblemKind, Report, shown},
    quantity::{serialize_bytes, serialize_duration, serialize_optional_duration},
    worker_pool::CALL_TIMEOUT,
};

/// Most subscriptions a manifest may have.
pub const SUBSCRIPTIONS_MAX: usize = 256;
const QUEUE_BYTES: std::ops::RangeInclusive<u64> = 1024..=64 << 30;
const BACKLOG_BYTES: std::ops::RangeInclusive<u64> = 1024..=1 << 50;
const BACKLOG_COUNT: std::ops::RangeInclusive<u32> = 1..=1_000_000_000;
pub(crate) const QUEUE_COUNT: std::ops::RangeInclusive<u32> = 1..=16 << 20;
const BACKOFF: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(1)..=Duration::from_secs(3_600);
const AGE: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(365 * 86_400);

/// One subscription.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SubscriptionManifest {
    /// Topic, with `*` for one token and `>` for everything below.
    #[schemars(with = "String", length(min = 1, max = 255))]
    pub topic: TopicPattern,
    /// Where the ordering key of a message comes from when the publisher gave none: `header:NAME`,
    /// or `json:/POINTER` into a JSON payload.
    #[schemars(with = "Option<String>", regex(pattern = "^(header:[!-~]+|json:/.+)$"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeySource>,
    /// Which messages wait for each other.
    #[serde(default)]
    pub order: Order,
    /// Calls in flight per lane; 1 with `order: total`.
    #[schemars(range(min = 1, max = 1024))]
    #[serde(default = "default_concurrency")]
    pub concurrency: u32,
    /// Bounds of the queue in front of the plugin.
    #[serde(default)]
    pub queue: QueueManifest,
    /// What happens after a failure.
    #[serde(default)]
    pub retry: RetryManifest,
    /// Longest call; absent = `process_timeout` of the worker pool.
    #[serde(
        default,
        serialize_with = "serialize_optional_duration",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "Option<String>")]
    pub timeout: Option<Duration>,
}

/// Where an ordering key comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum KeySource {
    /// The value of a header.
    Header(String),
    /// A place in the payload: a JSON pointer, which begins with `/`.
    Json(String),
}

/// Which messages of a subscription wait for each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// None.
    #[default]
    None,
    /// Those with the same key.
    PerKey,
    /// All: one call at a time.
    Total,
}

/// Bounds of one subscription's queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct QueueManifest {
    /// Most messages; absent = `queue_size` of the worker pool.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 16777216))]
    pub count: Option<u32>,
    /// Most bytes, such as `64MiB`.
    #[serde(serialize_with = "serialize_bytes")]
    #[schemars(with = "crate::schema::Size")]
    pub bytes: u64,
    /// What happens to a message that finds it full.
    pub overflow: Overflow,
    /// Bounds of what may wait in the journal; beyond them a durable publish is refused.
    pub backlog: BacklogManifest,
}

/// Bounds of what waits for one subscription in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BacklogManifest {
    /// Most messages.
    #[schemars(range(min = 1, max = 1000000000))]
    pub count: u32,
    /// Most bytes, such as `64GiB`.
    #[serde(serialize_with = "serialize_bytes")]
    #[schemars(with = "crate::schema::Size")]
    pub bytes: u64,
}

/// What happens to a message that finds a queue full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Overflow {
    /// The publisher is told, and no subscription gets it.
    #[default]
    Reject,
    /// The publisher waits.
    Block,
    /// The oldest message of the queue makes room; counted.
    DropOldest,
    /// The new message is dropped for this subscription; counted.
    DropNewest,
    /// Durable messages beyond the backlog become dead letters here; others: as `reject`.
    DeadLetter,
    /// Durable messages pass by from a full backlog to one half full; others: as `reject`.
    Detach,
}

/// What happens after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RetryManifest {
    /// Failures after which a message becomes a dead letter.
    #[schemars(range(min = 1, max = 1000))]
    pub max_failures: u32,
    /// Hand-offs, for whatever reason, after which a message becomes a dead letter.
    #[schemars(range(min = 1, max = 1000000))]
    pub max_attempts: u32,
    /// Age at which a message becomes a dead letter.
    #[serde(serialize_with = "serialize_duration")]
    #[schemars(with = "String")]
    pub max_age: Duration,
    /// Upper bound of the wait after the first failure; it doubles with each.
    #[serde(serialize_with = "serialize_duration")]
    #[schemars(with = "String")]
    pub backoff_min: Duration,
    /// Upper bound of the wait after any failure.
    #[serde(serialize_with = "serialize_duration")]
    #[schemars(with = "String")]
    pub backoff_max: Duration,
    /// What an error that the plugin returns leads to.
    pub on_error: OnError,
}

/// What an error that the plugin returns leads to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// The message is handed off again, after a wait.
    #[default]
    Retry,
    /// The message becomes a dead letter at once.
    DeadLetter,
}

const fn default_concurrency() -> u32 {
    16
}

// === impl SubscriptionManifest ===

impl SubscriptionManifest {
    /// A subscription with every default.
    #[must_use]
    pub fn new(topic: TopicPattern) -> SubscriptionManifest {
        SubscriptionManifest {
            topic,
            key: None,
            order: Order::default(),
            concurrency: default_concurrency(),
            queue: QueueManifest::default(),
            retry: RetryManifest::default(),
            timeout: None,
        }
    }

    /// Reads a plain topic, or an object.
    pub(crate) fn read(at: At<'_>, report: &mut Report) -> Option<SubscriptionManifest> {
        match at.node {
            Node::Text(_) => read_pattern(&at, report).map(SubscriptionManifest::new),
            Node::Object(_) => Self::read_fields(at.fields(report)?),
            _ => at.wrong_type("a topic or an object with `topic`", report),
        }
    }

    fn read_fields(mut fields: Fields<'_, '_>) -> Option<SubscriptionManifest> {
        fields.require("topic", "orders.new");
        let topic = fields.get("topic", |at, report| read_pattern(&at, report));
        let key = fields.get("key", |at, report| KeySource::read(&at, report));
        let order = fields.get("order", Order::read).unwrap_or_default();
        let concurrency = fields.get("concurrency", |at, report| at.count(1..=1024, report));
        let queue = fields.get("queue", QueueManifest::read).unwrap_or_default();
        let retry = fields.get("retry", RetryManifest::read).unwrap_or_default();
        let timeout = fields.get("timeout", |at, report| at.duration(CALL_TIMEOUT, report));
        let total = order == Order::Total;
        if total && concurrency.is_some_and(|calls| calls > 1) {
            let path = fields.path_of("concurrency");
            fields.report.warn(path, "has no effect: `order: total` makes one call at a time");
        }
        if order != Order::PerKey && key.is_some() {
            let path = fields.path_of("key");
            fields.report.warn(path, "has no effect without `order: per_key`");
        }
        fields.finish();
        let default = if total { 1 } else { default_concurrency() };
        let concurrency = if total { 1 } else { concurrency.unwrap_or(default) };
        Some(SubscriptionManifest { topic: topic?, key, order, concurrency, queue, retry, timeout })
    }
}

/// Reads a topic pattern, and warns of what looks like a habit from elsewhere.
pub(crate) fn read_pattern(at: &At<'_>, report: &mut Report) -> Option<TopicPattern> {
    let text = at.text(report)?;
    match TopicPattern::parse(text) {
        Ok(pattern) => {
            if text.len() > 1
                && let Some(stem) = text.strip_suffix('*')
            {
                let text = format!(
                    "`{text}` matches one level only; write `{stem}>` for everything below"
                );
                report.warn(&at.path, text);
            }
            Some(pattern)
        }
        Err(error) => {
            let text = error.to_string();
            let (problem, remedy) = text.rsplit_once("; ").unwrap_or((&text, "correct it"));
            at.invalid(problem, remedy, report)
        }
    }
}

// === impl KeySource ===

impl KeySource {
    fn read(at: &At<'_>, report: &mut Report) -> Option<KeySource> {
        let text = at.text(report)?;
        match text.split_once(':') {
            Some(("header", name))
                if !name.is_empty()
                    && name.len() <= 128
                    && name.bytes().all(|byte| byte.is_ascii_graphic()) =>
            {
                Some(KeySource::Header(name.to_owned()))
            }
            Some(("json", pointer)) if pointer.starts_with('/') && pointer.len() <= 512 => {
                Some(KeySource::Json(pointer.to_owned()))
            }
            _ => at.invalid(
                format!("{} does not say where the key is", shown(text)),
                "write `header:NAME`, or `json:/POINTER` such as `json:/order/id`",
                report,
            ),
        }
    }
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeySource::Header(name) => write!(f, "header:{name}"),
            KeySource::Json(pointer) => write!(f, "json:{pointer}"),
        }
    }
}

impl Serialize for KeySource {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

// === impl Order, Overflow, OnError ===

impl Order {
    fn read(at: At<'_>, report: &mut Report) -> Option<Order> {
        at.choice(
            &[(&["none"], Order::None), (&["per_key"], Order::PerKey), (&["total"], Order::Total)],
            report,
        )
    }
}

impl Overflow {
    fn read(at: At<'_>, report: &mut Report) -> Option<Overflow> {
        at.choice(
            &[
                (&["reject"], Overflow::Reject),
                (&["block"], Overflow::Block),
                (&["drop_oldest"], Overflow::DropOldest),
                (&["drop_newest"], Overflow::DropNewest),
                (&["dead_letter"], Overflow::DeadLetter),
                (&["detach"], Overflow::Detach),
            ],
            report,
        )
    }
}

impl OnError {
    fn read(at: At<'_>, report: &mut Report) -> Option<OnError> {
        at.choice(&[(&["retry"], OnError::Retry), (&["dead_letter"], OnError::DeadLetter)], report)
    }
}

// === impl QueueManifest ===

impl QueueManifest {
    fn read(at: At<'_>, report: &mut Report) -> Option<QueueManifest> {
        let mut fields = at.fields(report)?;
        let defaults = QueueManifest::default();
        let queue = QueueManifest {
            count: fields.get("count", |at, report| at.count(QUEUE_COUNT, report)),
            bytes: fields
                .get("bytes", |at, report| at.bytes(QUEUE_BYTES, report))
                .unwrap_or(defaults.bytes),
            overflow: fields.get("overflow", Overflow::read).unwrap_or_default(),
            backlog: fields.get("backlog", BacklogManifest::read).unwrap_or_default(),
        };
        fields.finish();
        Some(queue)
    }
}

impl BacklogManifest {
    fn read(at: At<'_>, report: &mut Report) -> Option<BacklogManifest> {
        let mut fields = at.fields(report)?;
        let defaults = BacklogManifest::default();
        let backlog = BacklogManifest {
            count: fields
                .get("count", |at, report| at.count(BACKLOG_COUNT, report))
                .unwrap_or(defaults.count),
            bytes: fields
                .get("bytes", |at, report| at.bytes(BACKLOG_BYTES, report))
                .unwrap_or(defaults.bytes),
        };
        fields.finish();
        Some(backlog)
    }
}

impl Default for BacklogManifest {
    fn default() -> BacklogManifest {
        BacklogManifest { count: 1_000_000, bytes: 4 << 30 }
    }
}

impl Default for QueueManifest {
    fn default() -> QueueManifest {
        QueueManifest {
            count: None,
            bytes: 64 << 20,
            overflow: Overflow::default(),
            backlog: BacklogManifest::default(),
        }
    }
}

// === impl RetryManifest ===

impl RetryManifest {
    fn read(at: At<'_>, report: &mut Report) -> Option<RetryManifest> {
        let mut fields = at.fields(report)?;
        let defaults = RetryManifest::default();
        let mut duration = |key, range, default| {
            fields.get(key, |at, report| at.duration(range, report)).unwrap_or(default)
        };
        let max_age = duration("max_age", AGE, defaults.max_age);
        let min = duration("backoff_min", BACKOFF, defaults.backoff_min);
        let max = duration("backoff_max", BACKOFF, defaults.backoff_max.max(min));
        let retry = RetryManifest {
            max_failures: fields
                .get("max_failures", |at, report| at.count(1..=1000, report))
                .unwrap_or(defaults.max_failures),
            max_attempts: fields
                .get("max_attempts", |at, report| at.count(1..=1_000_000, report))
                .unwrap_or(defaults.max_attempts),
            max_age,
            backoff_min: min,
            backoff_max: max,
            on_error: fields.get("on_error", OnError::read).unwrap_or_default(),
        };
        if min > max {
            let path = fields.path_of("backoff_min");
            fields.report.problem(Problem::new(
                ProblemKind::Conflict,
                path,
                "is greater than `backoff_max`",
                "swap them, or raise `backoff_max`",
            ));
        }
        fields.finish();
        Some(retry)
    }
}

impl Default for RetryManifest {
    fn default() -> RetryManifest {
        RetryManifest {
            max_failures: 5,
            max_attempts: 100,
            max_age: Duration::from_secs(24 * 3_600),
            backoff_min: Duration::from_millis(100),
            backoff_max: Duration::from_secs(60),
            on_error: OnError::default(),
        }
    }
}
