//! What subscriptions cost, for whoever works on the routes: their memory, the time to find those of
//! a topic that nobody remembers, and the time of one change beside so many.
//!
//! `cargo run --release -p patchbay-bus --example routes -- [SUBSCRIPTIONS]`

#![allow(clippy::expect_used, reason = "an example that cannot go on stops")]

use std::{fs, hint::black_box, sync::Arc, time::Instant};

use patchbay_bus::{Broker, BrokerConfig, SubscriptionSpec, SystemClock};
use patchbay_wire::TopicPattern;

/// More topics than any publisher remembers.
const TOPICS: usize = 100_000;
const TURNS: usize = 5;
const CHANGES: usize = 10_000;

fn main() {
    let number = std::env::args().nth(1);
    let subscriptions = number.map_or(1_000_000, |number| number.parse().expect("a number"));
    let broker = Broker::new(BrokerConfig::default(), Arc::new(SystemClock));
    let before = anonymous();
    let start = Instant::now();
    for number in 0..subscriptions {
        subscribe(&broker, number);
    }
    let each = start.elapsed().as_nanos() / subscriptions as u128;
    let bytes = (anonymous() - before) / subscriptions as u64;
    println!("{subscriptions} subscriptions: {bytes} B and {each} ns each");

    let topics: Vec<String> = (0..TOPICS).map(|number| topic(number, subscriptions)).collect();
    let mut publisher = broker.publisher("example");
    for turn in 0..TURNS {
        let (start, mut found) = (Instant::now(), 0);
        for topic in &topics {
            found += publisher.subscribers(topic).expect("a topic");
        }
        let each = start.elapsed().as_nanos() / TOPICS as u128;
        println!("turn {turn}: {each} ns a topic, {} found in all", black_box(found));
    }

    let start = Instant::now();
    for number in 0..CHANGES {
        let subscription = subscribe(&broker, subscriptions + number);
        broker.remove(&subscription);
    }
    let each = start.elapsed().as_nanos() / CHANGES as u128;
    println!("one more and one less: {each} ns");
}

fn subscribe(broker: &Broker, number: usize) -> Arc<patchbay_bus::Subscription> {
    let pattern = TopicPattern::parse(&pattern(number)).expect("a pattern");
    broker.subscribe(SubscriptionSpec::new("example", pattern)).expect("a subscription")
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

/// Every other topic may have a literal subscriber, the others are all different.
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

/// Memory of this process that is no file's.
fn anonymous() -> u64 {
    let text = fs::read_to_string("/proc/self/status").expect("status");
    let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("a line");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}
