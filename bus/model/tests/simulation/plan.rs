//! What a run is made of: limits, subscriptions, messages, answers of handlers.

use std::time::Duration;

use patchbay_bus::{
    BreakerPolicy, BrokerConfig, BudgetPolicy, DeadLetterConfig, DurabilityRule, Fault, FaultClass,
    Level, OnError, Order, Overflow, QueueLimits, SubscriptionSpec, WhenFull,
};
use patchbay_model::{Said, Share, matching::is_topic};
use patchbay_wire::TopicPattern;

use crate::dice::Dice;

const TOPICS: &[&str] = &["a", "a.b", "a.c", "b.x.y", "c", "$s.a", "no..topic", "a.*"];
const PATTERNS: &[&str] = &["a", "a.b", "a.*", "a.>", "*.b", ">", "b.*.y", "*", "c", "$s.>"];
const MS: u64 = 1_000_000;

pub(crate) fn config(dice: &mut Dice) -> BrokerConfig {
    let mut config = BrokerConfig {
        max_message_bytes: 2_000,
        publish_timeout: Duration::ZERO,
        forward_patience: Duration::ZERO,
        max_hops: 1 + dice.below(6) as u32,
        dead_letters: DeadLetterConfig {
            max_count: *dice.pick(&[1, 2, 4, 100]),
            max_bytes: *dice.pick(&[300, 100_000]),
            when_full: *dice.pick(&[WhenFull::Hold, WhenFull::Hold, WhenFull::DropOldest]),
            max_pending: dice.below(4),
            ..DeadLetterConfig::default()
        },
        ..BrokerConfig::default()
    };
    config.dedup.window = Duration::from_millis(*dice.pick(&[50, 5_000]));
    config.dedup.max_keys = *dice.pick(&[0, 2, 100]);
    config
}

/// Everything is recorded, at one level or the other.
pub(crate) fn durable_config(dice: &mut Dice) -> BrokerConfig {
    let mut config = config(dice);
    let levels = *dice.pick(&[[Level::Disk, Level::Process], [Level::Process, Level::Disk]]);
    let rule = |(pattern, level)| DurabilityRule {
        pattern: TopicPattern::parse(pattern).expect("a pattern"),
        level,
    };
    config.durability =
        ["a.>", ">", "$s.>"].into_iter().zip(levels.into_iter().cycle()).map(rule).collect();
    // What was given up for want of room comes back when the journal was not told in time, and how
    // long hosts have run is known as of the last record only.
    config.dead_letters.when_full = WhenFull::Hold;
    config.dedup.window = Duration::from_secs(86_400);
    config
}

/// One that the journal knows: what waits is bounded by its backlog.
pub(crate) fn durable_spec(dice: &mut Dice, number: usize) -> SubscriptionSpec {
    let mut spec = spec(dice, number);
    spec.overflow = Overflow::Reject;
    spec.limits.bytes = 1 << 20;
    spec.backlog.count = *dice.pick(&[4, 10, 1_000]);
    spec.retry.max_age = Duration::from_secs(86_400);
    spec.breaker = None;
    spec
}

pub(crate) fn spec(dice: &mut Dice, number: usize) -> SubscriptionSpec {
    let pattern = TopicPattern::parse(PATTERNS[dice.below(PATTERNS.len())]).expect("a pattern");
    let mut spec = SubscriptionSpec::new(&format!("p{number}"), pattern);
    spec.order =
        *dice.pick(&[Order::None, Order::None, Order::PerKey, Order::PerKey, Order::Total]);
    spec.limits = QueueLimits {
        count: *dice.pick(&[1, 3, 8, 1000]),
        bytes: *dice.pick(&[400, 1 << 20, 1 << 20]),
    };
    spec.overflow =
        *dice.pick(&[Overflow::Reject, Overflow::Reject, Overflow::Block, Overflow::DropNewest]);
    if spec.order == Order::None && dice.one_in(4) {
        // Which one is the oldest is not said, so it must not matter to the order of a key.
        spec.overflow = Overflow::DropOldest;
        spec.limits.bytes = 1 << 30;
    }
    spec.retry.max_failures = *dice.pick(&[0, 1, 2, 5]);
    spec.retry.max_attempts = *dice.pick(&[1, 3, 100]);
    spec.retry.max_age = Duration::from_secs(*dice.pick(&[3, 86_400]));
    spec.retry.backoff_max = Duration::from_millis(*dice.pick(&[100, 2_000]));
    spec.retry.delay_max = Duration::from_millis(*dice.pick(&[20, 3_000]));
    spec.retry.on_error = *dice.pick(&[OnError::Retry, OnError::Retry, OnError::DeadLetter]);
    spec.budget = BudgetPolicy {
        percent: *dice.pick(&[0, 20, 100]),
        per_second: *dice.pick(&[1, 10]),
        burst: *dice.pick(&[1, 1000]),
    };
    let policy = BreakerPolicy {
        min_attempts: *dice.pick(&[2, 5]),
        failure_percent: *dice.pick(&[40, 80]),
        window: Duration::from_secs(10),
        probe_interval: Duration::from_secs(1),
    };
    spec.breaker = dice.one_in(4).then_some(policy);
    spec
}

/// Shares between three generations.
pub(crate) fn share(dice: &mut Dice) -> Share {
    let first = 1 + dice.below(3) as u64;
    let second = 1 + first % 3;
    let mut share = match dice.below(6) {
        0 => Share::default(),
        1 | 2 => Share::all(first),
        _ => Share {
            generations: vec![first, second],
            second: *dice.pick(&[0.0, 0.3, 0.5, 1.0]),
            trial: 0,
        },
    };
    if dice.one_in(3) {
        share.trial = second;
    }
    share
}

/// A message, but for what the run knows.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) topic: &'static str,
    pub(crate) key: &'static str,
    pub(crate) payload: usize,
    pub(crate) expires_in: Option<i64>,
    pub(crate) not_before_in: Option<i64>,
    pub(crate) dedup: Option<&'static str>,
}

pub(crate) fn draft(dice: &mut Dice) -> Draft {
    let topic = if dice.one_in(30) { *dice.pick(TOPICS) } else { TOPICS[dice.below(6)] };
    let payload = *dice.pick(&[8, 8, 20, 200]);
    let ms = MS as i64;
    Draft {
        topic,
        key: ["", "k", "k", "l", "m"][dice.below(5)],
        // Which of two reasons is named for a refusal is not said.
        payload: if dice.one_in(40) && is_topic(topic) { 2_500 } else { payload },
        expires_in: dice.one_in(8).then(|| *dice.pick(&[-ms, 5 * ms, 500 * ms, 9_000 * ms])),
        not_before_in: dice.one_in(8).then(|| *dice.pick(&[-ms, ms, 7 * ms, 2_500 * ms])),
        dedup: dice.one_in(5).then(|| *dice.pick(&["x", "y"])),
    }
}

/// What a handler answers; `None` = acknowledged.
pub(crate) fn answer(dice: &mut Dice) -> Option<Said> {
    match dice.below(20) {
        0..=8 => None,
        9..=11 => Some(Said::Retry(*dice.pick(&[0, 15 * MS, 800 * MS, u64::MAX]))),
        12 | 13 => Some(Said::Failed("no".into())),
        14 | 15 => Some(Said::Forward((*dice.pick(TOPICS)).to_owned())),
        _ => Some(Said::Fault(fault(dice))),
    }
}

pub(crate) fn fault(dice: &mut Dice) -> Fault {
    let class = *dice.pick(&[
        FaultClass::Transient,
        FaultClass::Transient,
        FaultClass::Panic,
        FaultClass::Timeout,
        FaultClass::Permanent,
        FaultClass::InvalidData,
        FaultClass::Invalid,
    ]);
    Fault { class, text: "boom".into() }
}

/// How long nothing happens.
pub(crate) fn pause(dice: &mut Dice) -> Duration {
    let ms = *dice.pick(&[0, 1, 1, 2, 5, 11, 40, 150, 1_000, 2_600, 20_000]);
    Duration::from_millis(ms) + Duration::from_nanos(dice.below(3) as u64 * 333_333)
}
