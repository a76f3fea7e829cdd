//! The product as a contender: with plugins in a real host, and the bus alone.

mod backlog;
mod bare;
mod depth;
mod durable;
mod hosted;
mod idle;
mod lanes;
mod matching;
mod publishing;
mod replaced;
mod typed;

use patchbay_measure::{
    entry::{Asked, Outcome},
    meter::Window,
    work::Kind,
};

/// Who there is: a name and what it is.
pub const ALL: &[(&str, &str)] = &[
    ("patchbay", "Patchbay: host, loader, pool, bus, a native plugin through the contract"),
    ("patchbay-hop", "the same, through the first plugin of a chain alone"),
    ("patchbay-split", "the same, while two versions of the plugin share the messages 70 to 30"),
    ("patchbay-after", "the same, after the plugin's version was replaced"),
    ("patchbay-graceful", "the same, while the version is replaced again and again, gracefully"),
    ("patchbay-gradual", "the same, gradually"),
    (
        "patchbay-typed",
        "the same, where `patchbay transition rollback` is what brings the old version back",
    ),
    ("patchbay-bus", "Patchbay without a plugin: bus and pool, a handler that does nothing"),
    ("patchbay-bus-split", "the same, while two versions share the messages 70 to 30"),
];

/// Topic of everything that has only one.
const TOPIC: &str = "bench.topic";

/// Runs one contender at one work.
///
/// # Errors
/// It cannot do that work, or failed at it.
pub fn run(asked: &Asked<'_>) -> Outcome<Window> {
    match (asked.contender, asked.work.kind) {
        ("patchbay-bus", Kind::Match { subscriptions, hot }) => {
            matching::run(subscriptions, hot, asked.length)
        }
        ("patchbay-bus", Kind::Depth(waiting)) => depth::run(asked.work, waiting, asked.length),
        ("patchbay-bus", Kind::Backlog(waiting)) => backlog::drained(asked.work, waiting),
        ("patchbay-bus", Kind::Recovery(waiting)) => backlog::recovered(asked.work, waiting),
        ("patchbay-bus", Kind::Process | Kind::Disk) => durable::run(asked),
        ("patchbay-bus" | "patchbay-bus-split", Kind::Flow) => bare::run(asked, 0),
        ("patchbay-bus", Kind::Beside(others)) => bare::run(asked, others),
        ("patchbay-bus" | "patchbay-bus-split", _) => asked.refused(),
        _ => hosted::run(asked),
    }
}
