//! Who competes at what, and what the product is meant to reach there.

/// One work and those who do it, the one that the others are divided by first.
#[derive(Clone, Copy, Debug)]
pub struct Contest {
    /// The work.
    pub work: &'static str,
    /// What it belongs to.
    pub group: Group,
    /// Contenders; ratios are to the first.
    pub contenders: &'static [&'static str],
    /// What is to be reached.
    pub goals: &'static [Goal],
}

/// Which part of a comparison a contest belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Everything happens in one process.
    Process,
    /// Some contenders are servers: no scheduling class of its own for anybody, or a client that
    /// spins would starve its server.
    Servers,
    /// Something is written.
    Durable,
    /// The product alone, as something grows.
    Growth,
}

/// A ratio that one contender is to reach against another.
#[derive(Clone, Copy, Debug)]
pub struct Goal {
    /// Who.
    pub who: &'static str,
    /// Against whom.
    pub against: &'static str,
    /// Which figure.
    pub figure: Figure,
    /// The least.
    pub least: f64,
    /// The aim.
    pub aim: f64,
}

/// What a ratio is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    /// Finished per second: more is better.
    Rate,
    /// Time of a round trip: less is better.
    Time,
    /// Median latency: less is better.
    Median,
    /// 99th percentile: less is better.
    High,
}

const fn goal(against: &'static str, least: f64, aim: f64) -> Goal {
    Goal { who: "patchbay", against, figure: Figure::Rate, least, aim }
}

/// The bus over its journal, without a plugin: what a plugin adds is seen elsewhere.
const fn durable(against: &'static str, least: f64, aim: f64) -> Goal {
    Goal { who: "patchbay-bus", ..goal(against, least, aim) }
}

const FLOW: &[&str] = &[
    "tokio-mpsc",
    "patchbay",
    "patchbay-bus",
    "kanal+drain",
    "kanal",
    "flume",
    "crossbeam",
    "tokio-broadcast",
    "ractor",
    "kameo",
    "zenoh",
];
const BATCHED: &[&str] = &["tokio-mpsc", "patchbay", "patchbay-bus", "tokio-vec32"];
const SHORT: &[&str] = &["tokio-mpsc", "patchbay", "patchbay-bus"];
const PRODUCT: &[&str] = &["patchbay"];
const BUS: &[&str] = &["patchbay-bus"];

macro_rules! contests {
    ($($work:literal $group:ident $contenders:expr, [$($goal:expr),*];)*) => {
        &[$(Contest { work: $work, group: Group::$group, contenders: $contenders, goals: &[$($goal),*] }),*]
    };
}

/// Every contest.
pub const ALL: &[Contest] = contests! {
    "one" Process FLOW, [goal("tokio-mpsc", 2.5, 4.0), goal("ractor", 5.0, 5.0)];
    "one-b32" Process BATCHED, [goal("tokio-mpsc", 2.5, 4.0)];
    "fan8" Process FLOW, [goal("tokio-mpsc", 2.5, 5.0)];
    "fan8-b32" Process BATCHED, [goal("tokio-mpsc", 2.5, 5.0)];
    "in4" Process FLOW, [goal("tokio-mpsc", 2.5, 3.7)];
    "in4-b32" Process BATCHED, [goal("tokio-mpsc", 2.5, 3.7)];
    "keyed" Process &["ractor-keyed", "patchbay", "patchbay-bus"], [goal("ractor-keyed", 10.0, 15.0)];
    "topics" Process SHORT, [];
    "one-16" Process SHORT, [];
    "one-4k" Process SHORT, [];
    "one-64k" Process SHORT, [];
    "latency" Process &["tokio-mpsc", "patchbay", "patchbay-bus", "kanal", "ractor", "crossbeam"], [
        Goal { who: "patchbay", against: "tokio-mpsc", figure: Figure::Median, least: 0.9, aim: 0.75 },
        Goal { who: "patchbay", against: "tokio-mpsc", figure: Figure::High, least: 1.0, aim: 0.7 }
    ];
    "request" Process &["tokio-mpsc", "patchbay"], [
        Goal { who: "patchbay", against: "tokio-mpsc", figure: Figure::Time, least: 3.0, aim: 2.0 }
    ];
    "nats" Servers &["nats", "patchbay", "jetstream-memory", "jetstream-file", "redis", "zmq-inproc", "zmq-tcp", "zmq-proxy"], [
        goal("nats", 12.0, 12.0), goal("jetstream-file", 60.0, 60.0)
    ];
    "process" Durable &["redis", "patchbay-bus", "jetstream-file"], [
        durable("redis", 5.0, 10.0), durable("jetstream-file", 12.0, 25.0)
    ];
    "disk-1" Durable &["raw-append", "patchbay-bus", "redis-always", "jetstream-always"], [durable("raw-append", 0.8, 0.95)];
    "disk-256" Durable &["redis-always", "patchbay-bus", "jetstream-always"], [
        durable("redis-always", 3.0, 5.0), durable("jetstream-always", 40.0, 70.0)
    ];
    "among10" Growth PRODUCT, [];
    "among100" Growth PRODUCT, [];
    "among500" Growth PRODUCT, [];
    "among999" Growth PRODUCT, [];
    "match-1k-cold" Growth BUS, [];
    "match-10k-cold" Growth BUS, [];
    "match-100k-cold" Growth BUS, [];
    "match-1m-cold" Growth BUS, [];
    "match-1k-hot" Growth BUS, [];
    "match-10k-hot" Growth BUS, [];
    "match-100k-hot" Growth BUS, [];
    "match-1m-hot" Growth BUS, [];
    "topics-10" Growth PRODUCT, [];
    "topics-100" Growth PRODUCT, [];
    "topics-1k" Growth PRODUCT, [];
    "depth-1k" Growth BUS, [];
    "depth-10k" Growth BUS, [];
    "depth-100k" Growth BUS, [];
    "depth-1m" Growth BUS, [];
    "one-1k" Growth PRODUCT, [];
};

/// A plot of what a message costs as something grows.
#[derive(Clone, Copy, Debug)]
pub struct Curve {
    /// What it is called.
    pub title: &'static str,
    /// What grows.
    pub axis: &'static str,
    /// Works, with how much there is of it in each.
    pub points: &'static [(&'static str, f64)],
}

macro_rules! curves {
    ($($title:literal, $axis:literal: $(($work:literal, $grown:expr))*;)*) => {
        &[$(Curve { title: $title, axis: $axis, points: &[$(($work, $grown)),*] }),*]
    };
}

/// Every plot of growth.
pub const GROWTH: &[Curve] = curves! {
    "plugins", "plugins loaded, 10 of them busy":
        ("among10", 10.0) ("among100", 100.0) ("among500", 500.0) ("among999", 999.0);
    "matching-a-new-topic", "subscriptions":
        ("match-1k-cold", 1e3) ("match-10k-cold", 1e4) ("match-100k-cold", 1e5) ("match-1m-cold", 1e6);
    "matching-a-known-topic", "subscriptions":
        ("match-1k-hot", 1e3) ("match-10k-hot", 1e4) ("match-100k-hot", 1e5) ("match-1m-hot", 1e6);
    "topics", "topics in turn":
        ("one", 1.0) ("topics-10", 1e1) ("topics-100", 1e2) ("topics-1k", 1e3) ("topics", 1e4);
    "queue-depth", "messages that wait":
        ("depth-1k", 1e3) ("depth-10k", 1e4) ("depth-100k", 1e5) ("depth-1m", 1e6);
    "size", "bytes of a message":
        ("one-16", 16.0) ("one", 256.0) ("one-1k", 1024.0) ("one-4k", 4096.0) ("one-64k", 65536.0);
};

// === impl Contest ===

impl Contest {
    /// The work as contenders know it: the contest of servers is the first work once more.
    #[must_use]
    pub fn work_name(&self) -> &'static str {
        if self.work == "nats" { "one" } else { self.work }
    }

    /// Whether the base of its ratios and others come from the build of peers.
    #[must_use]
    pub fn is_of_product(contender: &str) -> bool {
        contender.starts_with("patchbay")
    }
}

// === impl Figure ===

impl Figure {
    /// Whether a ratio reaches a bound.
    #[must_use]
    pub fn reaches(self, ratio: f64, bound: f64) -> bool {
        if self == Figure::Rate { ratio >= bound } else { ratio <= bound }
    }

    /// For a table.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Figure::Rate => "rate",
            Figure::Time => "time",
            Figure::Median => "p50",
            Figure::High => "p99",
        }
    }
}

#[cfg(test)]
mod tests {
    use patchbay_measure::work::Work;

    use super::*;

    #[test]
    fn every_contest_is_about_a_work_that_exists() {
        for contest in ALL {
            assert!(Work::named(contest.work_name()).is_some(), "{}", contest.work);
        }
        for curve in GROWTH {
            for (work, _) in curve.points {
                assert!(ALL.iter().any(|contest| contest.work == *work), "{work} is not measured");
            }
        }
    }

    #[test]
    fn every_goal_names_two_that_compete() {
        for contest in ALL {
            for goal in contest.goals {
                assert!(contest.contenders.contains(&goal.who), "{}", contest.work);
                assert!(contest.contenders.contains(&goal.against), "{}", contest.work);
            }
        }
    }
}
