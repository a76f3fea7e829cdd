//! Finds the subscribers of a topic among many: what the first publish to a topic pays, and every
//! one after it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use patchbay_bus::{Broker, BrokerConfig, SubscriptionSpec, SystemClock};
use patchbay_measure::{
    entry::Outcome,
    meter::{self, Window},
    process,
};
use patchbay_wire::TopicPattern;

/// Topics that are asked for again and again.
const HOT: usize = 48;
/// Topics that are asked for once each, over and over in a cycle too long to be remembered.
const COLD: usize = 100_000;

pub(super) fn run(subscriptions: usize, hot: bool, length: Duration) -> Outcome<Window> {
    let before = process::anonymous_bytes();
    let broker = Broker::new(BrokerConfig::default(), Arc::new(SystemClock));
    for number in 0..subscriptions {
        let pattern = TopicPattern::parse(&pattern(number))?;
        broker.subscribe(SubscriptionSpec::new("bench", pattern))?;
    }
    let taken = process::anonymous_bytes().saturating_sub(before);
    let topics: Vec<String> =
        (0..if hot { HOT } else { COLD }).map(|number| topic(number, subscriptions)).collect();
    let mut publisher = broker.publisher("bench");
    // Once around first: what is remembered, if anything is, has its room and its pages then.
    for topic in &topics {
        publisher.subscribers(topic)?;
    }
    let (mut looked_up, mut found) = (0_u64, 0);
    let cpu = meter::cpu_ns();
    let start = Instant::now();
    while start.elapsed() < length {
        for topic in &topics {
            found += publisher.subscribers(topic)?;
            looked_up += 1;
        }
    }
    let elapsed = start.elapsed();
    if found == 0 {
        return Err("no topic had a subscriber".into());
    }
    Ok(Window {
        rate: looked_up as f64 / elapsed.as_secs_f64(),
        cpu_ns: (meter::cpu_ns() - cpu) as f64 / looked_up as f64,
        threads: process::threads(),
        anonymous: process::anonymous_bytes(),
        bytes_each: Some(taken as f64 / subscriptions as f64),
        ..Window::default()
    })
}

/// Of twenty patterns, sixteen are literal, and four have a wildcard, each in another place.
fn pattern(number: usize) -> String {
    let [a, b, c] = tokens(number);
    match number % 20 {
        16 => format!("{a}.{b}.{c}.*"),
        17 => format!("{a}.{b}.*.d{}", number % 100),
        18 => format!("{a}.*.{c}.d{}", number % 100),
        19 => format!("{a}.{b}.{c}.>"),
        _ => format!("{a}.{b}.{c}.d{}", number % 100),
    }
}

/// A topic: every other one may have a literal subscriber, the others are all different.
fn topic(number: usize, subscriptions: usize) -> String {
    let of = number.wrapping_mul(2_654_435_761) % subscriptions;
    let [a, b, c] = tokens(of);
    let last = if number.is_multiple_of(2) { of % 100 } else { 100 + number };
    format!("{a}.{b}.{c}.d{last}")
}

fn tokens(number: usize) -> [String; 3] {
    [
        format!("a{}", number % 20),
        format!("b{}", number / 20 % 100),
        format!("c{}", number / 2_000 % 1_000),
    ]
}
