//! Who competes at what, and what the product is meant to reach there.

use std::time::Duration;

use patchbay_measure::work::{Kind, Work};

/// One work and those who do it, the one that the others are divided by first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Contest {
    /// The work.
    pub(crate) work: &'static str,
    /// What it belongs to.
    pub(crate) group: Group,
    /// Contenders; ratios are to the first.
    pub(crate) contenders: &'static [&'static str],
    /// What is to be reached.
    pub(crate) goals: &'static [Goal],
}

/// Which part of a comparison a contest belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    /// Everything happens in one process.
    Process,
    /// Some contenders are servers.
    Servers,
    /// Something is written.
    Durable,
    /// A version is replaced.
    Transitions,
    /// The product alone, as something grows.
    Growth,
}

/// A figure that one contender is to reach.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Goal {
    /// Who.
    pub(crate) who: &'static str,
    /// Beside what.
    pub(crate) beside: Beside,
    /// Which figure.
    pub(crate) figure: Figure,
    /// The least.
    pub(crate) least: f64,
    /// The aim.
    pub(crate) aim: f64,
}

/// What a figure is held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beside {
    /// It is divided by that contender's.
    Times(&'static str),
    /// That contender's is taken off.
    More(&'static str),
    /// It stands by itself.
    Nothing,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Figure {
    /// Finished per second: the only one of which more is better.
    Rate,
    /// Nanoseconds for one.
    Time,
    /// Median latency, microseconds.
    Median,
    /// 99th percentile, microseconds.
    High,
    /// 99.9th percentile, microseconds.
    Highest,
    /// Nanoseconds of processor time for one.
    Cpu,
    /// Bytes of memory for one.
    Bytes,
    /// Milliseconds that the whole took.
    Took,
    /// Allocations of one publish.
    Allocations,
}

const fn goal(against: &'static str, least: f64, aim: f64) -> Goal {
    Goal { who: "patchbay", beside: Beside::Times(against), figure: Figure::Rate, least, aim }
}
const fn of(who: &'static str, goal: Goal) -> Goal {
    Goal { who, ..goal }
}
const fn figure(figure: Figure, goal: Goal) -> Goal {
    Goal { figure, ..goal }
}
/// Never more than that.
const fn bound(who: &'static str, figure: Figure, least: f64, aim: f64) -> Goal {
    Goal { who, beside: Beside::Nothing, figure, least, aim }
}
/// Never more than that beyond what another one has.
const fn more(who: &'static str, than: &'static str, figure: Figure, least: f64, aim: f64) -> Goal {
    Goal { who, beside: Beside::More(than), figure, least, aim }
}

/// No more than one allocation for a publish, however many get it.
const LEAN: Goal = bound("patchbay", Figure::Allocations, 1.0, 1.0);

/// Works whose instructions are counted, where that is asked.
pub(crate) const COUNTED: [&str; 2] = ["one", "one-b32"];
/// Contenders of which a server does a part, where others need none.
pub(crate) const SERVED: [&str; 1] = ["nats"];

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
const SIZES: &[&str] = &["tokio-mpsc", "patchbay", "patchbay-bus", "kanal", "crossbeam", "zenoh"];
const KEPT: &[&str] = &["redis", "patchbay", "patchbay-bus", "redis-everysec", "jetstream-file"];
const MANY: &[&str] =
    &["redis", "patchbay", "patchbay-bus", "redis-256", "redis-everysec", "jetstream-file"];
const FORCED: &[&str] = &["redis-always", "patchbay", "patchbay-bus", "jetstream-always"];
const PRODUCT: &[&str] = &["patchbay"];
const BUS: &[&str] = &["patchbay-bus"];

macro_rules! contests {
    ($($work:literal $group:ident $contenders:expr, [$($goal:expr),*];)*) => {
        &[$(Contest { work: $work, group: Group::$group, contenders: $contenders, goals: &[$($goal),*] }),*]
    };
}

/// Every contest.
pub(crate) const ALL: &[Contest] = contests! {
    "one" Process FLOW, [goal("tokio-mpsc", 2.5, 4.0), goal("ractor", 5.0, 5.0), LEAN];
    "one-b32" Process BATCHED, [
        goal("tokio-mpsc", 2.5, 4.0), bound("patchbay", Figure::Cpu, 200.0, 100.0)
    ];
    "fan8" Process FLOW, [goal("tokio-mpsc", 2.5, 5.0), LEAN];
    "fan8-b32" Process BATCHED, [goal("tokio-mpsc", 2.5, 5.0)];
    "in4" Process FLOW, [goal("tokio-mpsc", 2.5, 3.7)];
    "in4-b32" Process BATCHED, [goal("tokio-mpsc", 2.5, 3.7)];
    "keyed" Process &["ractor-keyed", "patchbay", "patchbay-bus"], [goal("ractor-keyed", 10.0, 15.0)];
    "latency" Process &[
        "tokio-mpsc", "patchbay", "patchbay-bus", "kanal", "flume", "crossbeam", "ractor", "kameo", "zenoh", "nats"
    ], [
        figure(Figure::Median, goal("tokio-mpsc", 0.9, 0.75)),
        figure(Figure::High, goal("tokio-mpsc", 1.0, 0.7))
    ];
    "chain3" Process &["patchbay-hop", "patchbay"], [goal("patchbay-hop", 0.25, 0.33), LEAN];
    "request" Process &["tokio-mpsc", "patchbay", "tokio-mpsc-tasks"], [figure(Figure::Time, goal("tokio-mpsc", 3.0, 2.0))];
    "topics" Process &["tokio-mpsc", "patchbay", "patchbay-bus", "nats"], [];
    "one-16" Process SIZES, [];
    "one-4k" Process SIZES, [];
    "one-64k" Process SIZES, [];
    "servers" Servers &[
        "nats", "patchbay", "jetstream-memory", "jetstream-file", "redis", "redis-everysec", "redis-always",
        "zmq-inproc", "zmq-tcp", "zmq-proxy"
    ], [goal("nats", 12.0, 12.0), goal("jetstream-file", 60.0, 60.0)];
    "process-1" Durable KEPT, [];
    "process-64" Durable KEPT, [];
    "process-256" Durable MANY, [goal("redis", 5.0, 10.0), goal("jetstream-file", 12.0, 25.0)];
    "disk-1" Durable &["raw-append", "patchbay", "patchbay-bus", "redis-always", "jetstream-always"], [
        goal("raw-append", 0.8, 0.95)
    ];
    "disk-64" Durable FORCED, [];
    "disk-256" Durable &["redis-always", "patchbay", "patchbay-bus", "redis-always-256", "jetstream-always"], [
        goal("redis-always", 3.0, 5.0), goal("jetstream-always", 40.0, 70.0)
    ];
    "recovery-1m" Durable BUS, [bound("patchbay-bus", Figure::Took, 2000.0, 2000.0)];
    "split" Transitions &["patchbay", "patchbay-after", "patchbay-split", "patchbay-bus", "patchbay-bus-split"], [
        of("patchbay-split", goal("patchbay", 0.7, 0.9)),
        more("patchbay-split", "patchbay", Figure::Time, 20.0, 20.0),
        of("patchbay-after", goal("patchbay", 0.95, 1.0))
    ];
    "replaced" Transitions &["patchbay", "patchbay-graceful", "patchbay-gradual"], [
        more("patchbay-graceful", "patchbay", Figure::Highest, 5000.0, 5000.0),
        more("patchbay-gradual", "patchbay", Figure::Highest, 5000.0, 5000.0)
    ];
    "rollback" Transitions &["patchbay", "patchbay-typed"], [
        bound("patchbay", Figure::Took, 50.0, 50.0),
        bound("patchbay-typed", Figure::Took, 50.0, 50.0)
    ];
    "idle500" Growth PRODUCT, [bound("patchbay", Figure::Bytes, 100e3, 40e3)];
    "among1" Growth PRODUCT, [];
    "among10" Growth PRODUCT, [];
    "among100" Growth PRODUCT, [];
    "among500" Growth PRODUCT, [];
    "among1000" Growth PRODUCT, [];
    "match-1k-cold" Growth BUS, [];
    "match-10k-cold" Growth BUS, [];
    "match-100k-cold" Growth BUS, [];
    "match-1m-cold" Growth BUS, [bound("patchbay-bus", Figure::Time, 800.0, 400.0)];
    "match-1k-hot" Growth BUS, [];
    "match-10k-hot" Growth BUS, [];
    "match-100k-hot" Growth BUS, [];
    "match-1m-hot" Growth BUS, [bound("patchbay-bus", Figure::Time, 40.0, 20.0)];
    "beside-1k" Growth BUS, [];
    "beside-100k" Growth BUS, [];
    "beside-1m" Growth BUS, [];
    "topics-10" Growth PRODUCT, [];
    "topics-100" Growth PRODUCT, [];
    "topics-1k" Growth PRODUCT, [];
    "depth-1k" Growth BUS, [];
    "depth-10k" Growth BUS, [];
    "depth-100k" Growth BUS, [];
    "depth-1m" Growth BUS, [];
    "backlog-10k" Growth BUS, [];
    "backlog-100k" Growth BUS, [];
    "backlog-1m" Growth BUS, [];
    "backlog-10m" Growth BUS, [];
    "one-1k" Growth PRODUCT, [];
};

/// A plot of what a message costs as something grows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Curve {
    /// What it is called.
    pub(crate) title: &'static str,
    /// What grows.
    pub(crate) axis: &'static str,
    /// Works, with how much there is of it in each.
    pub(crate) points: &'static [(&'static str, f64)],
}

macro_rules! curves {
    ($($title:literal, $axis:literal: $(($work:literal, $grown:expr))*;)*) => {
        &[$(Curve { title: $title, axis: $axis, points: &[$(($work, $grown)),*] }),*]
    };
}

/// Every plot of growth.
pub(crate) const GROWTH: &[Curve] = curves! {
    "plugins", "plugins loaded, at most 10 of them busy":
        ("among1", 1.0) ("among10", 10.0) ("among100", 100.0) ("among500", 500.0) ("among1000", 1000.0);
    "matching-a-new-topic", "subscriptions":
        ("match-1k-cold", 1e3) ("match-10k-cold", 1e4) ("match-100k-cold", 1e5) ("match-1m-cold", 1e6);
    "matching-a-known-topic", "subscriptions":
        ("match-1k-hot", 1e3) ("match-10k-hot", 1e4) ("match-100k-hot", 1e5) ("match-1m-hot", 1e6);
    "other-subscriptions", "subscriptions that a message does not match":
        ("beside-1k", 1e3) ("beside-100k", 1e5) ("beside-1m", 1e6);
    "topics", "topics in turn":
        ("one", 1.0) ("topics-10", 1e1) ("topics-100", 1e2) ("topics-1k", 1e3) ("topics", 1e4);
    "queue-depth", "messages that wait":
        ("depth-1k", 1e3) ("depth-10k", 1e4) ("depth-100k", 1e5) ("depth-1m", 1e6);
    "journal-backlog", "messages that wait in the journal":
        ("backlog-10k", 1e4) ("backlog-100k", 1e5) ("backlog-1m", 1e6) ("backlog-10m", 1e7);
    "size", "bytes of a message":
        ("one-16", 16.0) ("one", 256.0) ("one-1k", 1024.0) ("one-4k", 4096.0) ("one-64k", 65536.0);
};

// === impl Contest ===

impl Contest {
    /// Whether the product's program runs a contender, and not that of its peers.
    pub(crate) fn is_of_product(contender: &str) -> bool {
        contender.starts_with("patchbay")
    }

    /// The work itself.
    pub(crate) fn task(&self) -> Option<&'static Work> {
        Work::named(self.work)
    }

    /// The figure that its table is about.
    pub(crate) fn main_figure(&self) -> Figure {
        match self.task().map(|work| (work.kind, work.is_latency())) {
            _ if self.work == "rollback" => Figure::Took,
            Some((Kind::Replaced, _)) => Figure::Highest,
            Some((_, true)) => Figure::Median,
            Some((Kind::Request | Kind::Match { .. }, _)) => Figure::Time,
            Some((Kind::Idle(_), _)) => Figure::Bytes,
            Some((Kind::Recovery(_), _)) => Figure::Took,
            _ => Figure::Rate,
        }
    }

    /// How many rounds are enough, of those that are asked for.
    pub(crate) fn rounds(&self, asked: usize) -> usize {
        let most = match self.task().map(|work| work.kind) {
            // These take long.
            Some(Kind::Backlog(count)) if count > 1_000_000 => 1,
            Some(Kind::Among(idle)) if idle > 500 => 1,
            // Nothing in it depends on how fast the machine is.
            Some(Kind::Idle(_)) => 3,
            _ if self.group == Group::Growth && self.goals.is_empty() => 3,
            _ => asked,
        };
        asked.min(most)
    }

    /// How long one measurement lasts, of what is asked for. Percentiles need many messages: most where
    /// a goal is set, because one stall of the machine would decide otherwise.
    pub(crate) fn length(&self, asked: Duration, who: &str) -> Duration {
        match self.task().is_some_and(Work::is_latency) {
            true if self.work == "latency" && self.is_named(who) => asked * 12,
            true => asked * 5,
            false => asked,
        }
    }

    /// Those who compete; only those whom a goal names, if that is enough.
    pub(crate) fn competing(&self, for_goals: bool) -> Vec<&'static str> {
        let all = self.contenders.iter().copied();
        all.filter(|who| !for_goals || self.is_named(who) || *who == self.contenders[0]).collect()
    }

    /// Whether a goal is about that contender, or about another one beside it.
    fn is_named(&self, who: &str) -> bool {
        self.goals.iter().any(|goal| {
            let other = match goal.beside {
                Beside::Times(other) | Beside::More(other) => other,
                Beside::Nothing => "",
            };
            goal.who == who || other == who
        })
    }
}

// === impl Figure ===

impl Figure {
    /// Whether more of it is better.
    pub(crate) fn is_more_better(self) -> bool {
        self == Figure::Rate
    }

    /// Whether a value reaches a bound.
    pub(crate) fn reaches(self, value: f64, bound: f64) -> bool {
        if self.is_more_better() { value >= bound } else { value <= bound }
    }

    /// For a table.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Figure::Rate => "rate",
            Figure::Time => "time",
            Figure::Median => "p50",
            Figure::High => "p99",
            Figure::Highest => "p99.9",
            Figure::Cpu => "processor time",
            Figure::Bytes => "memory each",
            Figure::Took => "took",
            Figure::Allocations => "allocations of a publish",
        }
    }

    /// A value with its unit.
    pub(crate) fn shown(self, value: f64) -> String {
        match self {
            Figure::Rate if value >= 1e6 => format!("{:.2} M/s", value / 1e6),
            Figure::Rate => format!("{:.1} k/s", value / 1e3),
            Figure::Time if value.abs() >= 1e4 => format!("{:.1} us", value / 1e3),
            Figure::Time | Figure::Cpu => format!("{value:.0} ns"),
            Figure::Median | Figure::High | Figure::Highest if value.abs() >= 1e3 => {
                format!("{:.1} ms", value / 1e3)
            }
            Figure::Median | Figure::High | Figure::Highest => format!("{value:.1} us"),
            Figure::Bytes => format!("{:.1} kB", value / 1e3),
            Figure::Took => format!("{value:.1} ms"),
            Figure::Allocations => format!("{value:.3}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_contest_is_about_a_work_that_exists() {
        for contest in ALL {
            assert!(contest.task().is_some(), "{}", contest.work);
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
            let all = contest.competing(false);
            for goal in contest.goals {
                assert!(all.contains(&goal.who), "{}", contest.work);
                if let Beside::Times(other) | Beside::More(other) = goal.beside {
                    assert!(all.contains(&other), "{}", contest.work);
                }
            }
        }
    }

    #[test]
    fn for_goals_only_those_compete_whom_one_names() {
        let contest = ALL.iter().find(|contest| contest.work == "one").expect("it exists");
        assert_eq!(contest.competing(true), ["tokio-mpsc", "patchbay", "ractor"]);
    }
}
