//! The works that contenders do. A contender that cannot do one says so.

/// What is published to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work {
    /// What it is called on the command line.
    pub name: &'static str,
    /// What it is, for a reader.
    pub title: &'static str,
    /// Publishers at once.
    pub publishers: usize,
    /// Consumers that get every message.
    pub consumers: usize,
    /// Bytes of the payload.
    pub size: usize,
    /// Messages per publish; 1 = one at a time.
    pub batch: usize,
    /// Different topics.
    pub topics: usize,
    /// Different ordering keys; 0 = none.
    pub keys: u64,
    /// Messages a second; 0 = as many as go.
    pub rate: u64,
    /// Publishes that may be unanswered; 0 = not bounded by answers.
    pub in_flight: usize,
    /// What is done with a message.
    pub kind: Kind,
}

/// What is done with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It is consumed.
    Flow,
    /// It is consumed after passing that many consumers one after the other.
    Chain(usize),
    /// It is answered, and the next request waits for the answer.
    Request,
    /// It is consumed beside that many consumers who get nothing.
    Among(usize),
    /// It is consumed beside that many subscriptions that it does not match.
    Beside(usize),
    /// That many wait in memory before the first is consumed.
    Depth(usize),
    /// That many wait in a journal before the first is consumed.
    Backlog(usize),
    /// That many waited in a journal when the process that kept it began anew.
    Recovery(usize),
    /// It survives the death of the process before its publish is answered.
    Process,
    /// It survives a power failure before its publish is answered.
    Disk,
    /// It is consumed while the consumer's version is replaced, or is not.
    Replaced,
    /// That many consumers get nothing.
    Idle(usize),
    /// The subscribers of a topic are looked up among that many subscriptions.
    Match {
        /// Subscriptions.
        subscriptions: usize,
        /// The topic was seen before.
        hot: bool,
    },
}

const ONE: Work = Work {
    name: "one",
    title: "1 to 1, one at a time",
    publishers: 1,
    consumers: 1,
    size: 256,
    batch: 1,
    topics: 1,
    keys: 0,
    rate: 0,
    in_flight: 0,
    kind: Kind::Flow,
};
const fn grown(name: &'static str, title: &'static str, kind: Kind) -> Work {
    Work { name, title, kind, ..ONE }
}
const fn sized(name: &'static str, title: &'static str, size: usize) -> Work {
    Work { name, title, size, ..ONE }
}
const fn spread(name: &'static str, title: &'static str, topics: usize) -> Work {
    Work { name, title, topics, ..ONE }
}
const fn matching(
    name: &'static str,
    title: &'static str,
    subscriptions: usize,
    hot: bool,
) -> Work {
    Work { name, title, kind: Kind::Match { subscriptions, hot }, ..ONE }
}

const fn durable(name: &'static str, title: &'static str, in_flight: usize, kind: Kind) -> Work {
    Work { name, title, in_flight, kind, ..ONE }
}
/// Ten consumers in turn, beside others.
const fn among(name: &'static str, title: &'static str, idle: usize) -> Work {
    Work { name, title, kind: Kind::Among(idle), topics: 10, ..ONE }
}

/// Every work there is.
pub const ALL: &[Work] = &[
    ONE,
    Work { name: "one-b32", title: "1 to 1, batches of 32", batch: 32, ..ONE },
    sized("one-16", "1 to 1, 16 B", 16),
    sized("one-1k", "1 to 1, 1 KiB", 1 << 10),
    sized("one-4k", "1 to 1, 4 KiB", 4 << 10),
    sized("one-64k", "1 to 1, 64 KiB", 64 << 10),
    Work { name: "fan8", title: "1 to 8, one at a time", consumers: 8, ..ONE },
    Work { name: "fan8-b32", title: "1 to 8, batches of 32", consumers: 8, batch: 32, ..ONE },
    Work { name: "in4", title: "4 to 1, one at a time", publishers: 4, ..ONE },
    Work { name: "in4-b32", title: "4 to 1, batches of 32", publishers: 4, batch: 32, ..ONE },
    Work { name: "servers", title: "1 to 1 beside servers, batches of 32", batch: 32, ..ONE },
    grown("split", "1 to 1, while two versions share the messages", Kind::Flow),
    spread("topics-10", "1 to 1, 10 topics", 10),
    spread("topics-100", "1 to 1, 100 topics", 100),
    spread("topics-1k", "1 to 1, 1,000 topics", 1_000),
    spread("topics", "1 to 1, 10,000 topics", 10_000),
    Work { name: "keyed", title: "1,000 keys in order, 2 workers", keys: 1_000, ..ONE },
    Work { name: "latency", title: "one way at 5,000 a second", rate: 5_000, ..ONE },
    Work {
        name: "replaced",
        title: "100,000 a second, while the version is replaced",
        rate: 100_000,
        kind: Kind::Replaced,
        ..ONE
    },
    Work {
        name: "rollback",
        title: "100,000 a second, from rollback to the old version at work",
        rate: 100_000,
        kind: Kind::Replaced,
        ..ONE
    },
    grown("chain3", "through 3 plugins", Kind::Chain(3)),
    grown("request", "request and reply, 1 in flight", Kind::Request),
    grown("among1", "1 busy plugin", Kind::Among(0)),
    among("among10", "10 busy plugins", 0),
    among("among100", "10 busy of 100", 90),
    among("among500", "10 busy of 500", 490),
    among("among1000", "10 busy of 1,000", 990),
    grown("idle500", "500 plugins that have nothing to do", Kind::Idle(500)),
    grown("beside-1k", "1 to 1, beside 1 k other subscriptions", Kind::Beside(1_000)),
    grown("beside-100k", "1 to 1, beside 100 k other subscriptions", Kind::Beside(100_000)),
    grown("beside-1m", "1 to 1, beside 1 M other subscriptions", Kind::Beside(1_000_000)),
    grown("depth-1k", "1,000 wait, then drained", Kind::Depth(1_000)),
    grown("depth-10k", "10,000 wait, then drained", Kind::Depth(10_000)),
    grown("depth-100k", "100,000 wait, then drained", Kind::Depth(100_000)),
    grown("depth-1m", "1,000,000 wait, then drained", Kind::Depth(1_000_000)),
    grown("backlog-10k", "10,000 wait in the journal, then drained", Kind::Backlog(10_000)),
    grown("backlog-100k", "100,000 wait in the journal, then drained", Kind::Backlog(100_000)),
    grown("backlog-1m", "1,000,000 wait in the journal, then drained", Kind::Backlog(1_000_000)),
    grown("backlog-10m", "10,000,000 wait in the journal, then drained", Kind::Backlog(10_000_000)),
    grown("recovery-1m", "1,000,000 unsettled found at a start", Kind::Recovery(1_000_000)),
    durable("process-1", "level process, publish to settled, 1 in flight", 1, Kind::Process),
    durable("process-64", "level process, publish to settled, 64 in flight", 64, Kind::Process),
    durable("process-256", "level process, publish to settled, 256 in flight", 256, Kind::Process),
    durable("disk-1", "level disk, 1 in flight", 1, Kind::Disk),
    durable("disk-64", "level disk, 64 in flight", 64, Kind::Disk),
    durable("disk-256", "level disk, 256 in flight", 256, Kind::Disk),
    matching("match-1k-cold", "match a new topic, 1 k subscriptions", 1_000, false),
    matching("match-1k-hot", "match a known topic, 1 k subscriptions", 1_000, true),
    matching("match-10k-cold", "match a new topic, 10 k subscriptions", 10_000, false),
    matching("match-10k-hot", "match a known topic, 10 k subscriptions", 10_000, true),
    matching("match-100k-cold", "match a new topic, 100 k subscriptions", 100_000, false),
    matching("match-100k-hot", "match a known topic, 100 k subscriptions", 100_000, true),
    matching("match-1m-cold", "match a new topic, 1 M subscriptions", 1_000_000, false),
    matching("match-1m-hot", "match a known topic, 1 M subscriptions", 1_000_000, true),
];

// === impl Work ===

impl Work {
    /// The work of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Work> {
        ALL.iter().find(|work| work.name == name)
    }

    /// Whether what counts is how long a message takes.
    #[must_use]
    pub fn is_latency(&self) -> bool {
        self.rate > 0
    }

    /// How many publishes one finished message stands for.
    #[must_use]
    pub fn publishes_each(&self) -> f64 {
        match self.kind {
            Kind::Chain(plugins) => plugins as f64,
            _ => 1.0 / self.consumers as f64,
        }
    }
}
