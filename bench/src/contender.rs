//! The product as a contender: with plugins in a real host, and the bus alone.

mod bare;
mod depth;
mod durable;
mod hosted;
mod matching;
mod publishing;

use std::time::Duration;

use patchbay_bus::Level;
use patchbay_measure::{
    distance,
    record::Record,
    work::{Kind, Work},
};

use crate::home::Outcome;

/// Who there is: a name and what it is.
pub const ALL: &[(&str, &str)] = &[
    ("patchbay", "Patchbay: host, loader, pool, bus, a native plugin through the contract"),
    ("patchbay-bus", "Patchbay's bus alone: publisher, queue, lane, settlement"),
    ("patchbay-split", "Patchbay's bus alone, while two versions share the messages 70 to 30"),
];

/// Topic of everything that has only one.
const TOPIC: &str = "bench.topic";

/// Runs one contender at one work.
///
/// # Errors
/// It cannot do that work, or failed at it.
pub fn run(contender: &str, work: &Work, length: Duration) -> Outcome<Record> {
    let distance = distance::round_trip_ns();
    let record = |window| Record::new(contender, work, distance, window);
    match (contender, work.kind) {
        ("patchbay-bus", Kind::Match { subscriptions, hot }) => {
            Ok(record(matching::run(subscriptions, hot, length)?))
        }
        ("patchbay-bus", Kind::Depth(waiting)) => Ok(record(depth::run(work, waiting, length)?)),
        ("patchbay-bus", Kind::Process) => Ok(record(durable::run(work, Level::Process, length)?)),
        ("patchbay-bus", Kind::Disk) => Ok(record(durable::run(work, Level::Disk, length)?)),
        ("patchbay", _) => hosted::run(work, length, record),
        ("patchbay-bus" | "patchbay-split", Kind::Flow) => {
            bare::run(work, contender == "patchbay-split", length, record)
        }
        _ => Err(format!("`{contender}` does not do `{}`", work.name).into()),
    }
}

/// Half of what is measured, at most a second: caches, batch sizes and queues are what they will be.
fn warm_up(length: Duration) -> Duration {
    (length / 2).min(Duration::from_secs(1))
}
