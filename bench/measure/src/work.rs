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
    /// That many wait before the first is consumed.
    Depth(usize),
    /// It survives the death of the process before its publish is answered.
    Process,
    /// It survives a power failure before its publish is answered.
    Disk,
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
    spread("topics-10", "1 to 1, 10 topics", 10),
    spread("topics-100", "1 to 1, 100 topics", 100),
    spread("topics-1k", "1 to 1, 1,000 topics", 1_000),
    spread("topics", "1 to 1, 10,000 topics", 10_000),
    Work { name: "keyed", title: "1,000 keys in order, 2 workers", keys: 1_000, ..ONE },
    Work { name: "latency", title: "one way at 5,000 a second", rate: 5_000, ..ONE },
    Work { name: "chain3", title: "through 3 plugins", kind: Kind::Chain(3), ..ONE },
    Work { name: "request", title: "request and reply, 1 in flight", kind: Kind::Request, ..ONE },
    Work { name: "among10", title: "10 busy plugins", kind: Kind::Among(0), topics: 10, ..ONE },
    Work { name: "among100", title: "10 busy of 100", kind: Kind::Among(90), topics: 10, ..ONE },
    Work { name: "among500", title: "10 busy of 500", kind: Kind::Among(490), topics: 10, ..ONE },
    Work { name: "among999", title: "10 busy of 999", kind: Kind::Among(989), topics: 10, ..ONE },
    grown("depth-1k", "1,000 wait, then drained", Kind::Depth(1_000)),
    grown("depth-10k", "10,000 wait, then drained", Kind::Depth(10_000)),
    grown("depth-100k", "100,000 wait, then drained", Kind::Depth(100_000)),
    grown("depth-1m", "1,000,000 wait, then drained", Kind::Depth(1_000_000)),
    Work {
        name: "process",
        title: "level process, publish to settled",
        in_flight: 256,
        kind: Kind::Process,
        ..ONE
    },
    Work {
        name: "disk-1",
        title: "level disk, 1 in flight",
        in_flight: 1,
        kind: Kind::Disk,
        ..ONE
    },
    Work {
        name: "disk-256",
        title: "level disk, 256 in flight",
        in_flight: 256,
        kind: Kind::Disk,
        ..ONE
    },
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
}
