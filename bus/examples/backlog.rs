//! What a durable backlog takes in memory, for whoever works on it: messages that nobody takes, at
//! level `process`, and the resident memory beside their number.
//!
//! `cargo run --release -p patchbay-bus --example backlog -- FOLDER [MILLIONS]`

#![allow(clippy::expect_used, reason = "an example that cannot go on stops")]

use std::{fs, path::PathBuf, sync::Arc};

use patchbay_bus::{
    Broker, BrokerConfig, Clock, DurabilityRule, Level, Outgoing, QueueLimits, SubscriptionSpec,
    SystemClock,
};
use patchbay_journal::{DiskStorage, Journal, JournalConfig, Moment};
use patchbay_wire::TopicPattern;

const MILLION: u64 = 1_000_000;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let millions: u64 = arguments.next().map_or(1, |number| number.parse().expect("a number"));
    let folder = folder.join("backlog");
    let clock = Arc::new(SystemClock);
    let config = JournalConfig { max_bytes: u64::MAX >> 1, ..JournalConfig::default() };
    let now = Moment { unix_ns: clock.unix_ns(), mono_ns: clock.now_ns() };
    let opened = Journal::open(Arc::new(DiskStorage::at(&folder)), config, now).expect("a journal");
    let pattern = TopicPattern::parse("t").expect("a pattern");
    let rule = DurabilityRule { pattern: pattern.clone(), level: Level::Process };
    let config = BrokerConfig { durability: vec![rule], ..BrokerConfig::default() };
    let broker = Broker::open(config, clock, Some(opened), 1).expect("a broker");
    let mut spec = SubscriptionSpec::new("plugin", pattern);
    spec.backlog = QueueLimits { count: usize::MAX >> 1, bytes: usize::MAX >> 1 };
    let subscription = broker.subscribe(spec).expect("a subscription");
    let mut publisher = broker.publisher("example");
    let mut before = 0;
    for million in 0..=millions {
        let resident = resident();
        let waiting = subscription.ledger().queued;
        if million > 1 {
            let more = resident.saturating_sub(before);
            let each = more as f64 / ((million - 1) * MILLION) as f64;
            println!(
                "{waiting} wait: {resident} B resident, {each:.2} B each after the first million"
            );
        } else {
            println!("{waiting} wait: {resident} B resident");
            before = resident;
        }
        for _ in 0..if million < millions { MILLION } else { 0 } {
            let outgoing = Outgoing { topic: "t", payload: &[7; 32], ..Outgoing::default() };
            publisher.publish(outgoing).expect("accepted");
        }
    }
    drop((publisher, subscription, broker));
    fs::remove_dir_all(folder).expect("removed");
}

/// Resident memory of this process.
fn resident() -> u64 {
    let text = fs::read_to_string("/proc/self/status").expect("status");
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
    let kibibytes = line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number");
    kibibytes * 1024
}
