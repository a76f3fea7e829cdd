//! What is right in one test.

use super::record::Level;

/// What must stay in order at a listener.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ordering {
    /// Nothing.
    #[default]
    None,
    /// Messages of one key, of each publisher.
    PerKey,
    /// All messages of each publisher.
    Total,
}

/// A subscription that existed while messages were published.
#[derive(Clone, Debug)]
pub struct Listener {
    /// Its name in the records.
    pub name: String,
    /// Which topics it wants: `*` is one token, a last `>` is one or more.
    pub pattern: String,
    /// What must stay in order.
    pub order: Ordering,
    /// Whether it may drop what it has no room for: then a missing delivery must be in `dropped`.
    pub may_drop: bool,
    /// Whether it was there from the first publish to the last, so that each matching message is
    /// its own. Otherwise nothing is missed for it, and only what it got is judged.
    pub whole: bool,
    /// Whether it lives in memory only: then nothing is missed that was accepted before a death of
    /// the host, whatever the level of the topic.
    pub memory: bool,
}

/// What is right in one test.
#[derive(Clone, Debug)]
pub struct Expectations {
    /// Every subscription that records name, and those that must have got something.
    pub listeners: Vec<Listener>,
    /// Whether the test waited until everything was settled. Then every accepted delivery must have
    /// ended, and the last ledger must have nothing left.
    pub drained: bool,
    /// Whether the records hold every dead letter that was left at the end. Otherwise the ledger is
    /// believed on how many there are.
    pub dead_listed: bool,
    /// How much of level `process` a loss of power may take: what was answered within that time
    /// before it. In units of `t`.
    pub sync_interval: u64,
    /// How much later than a claim the handler may look at its clock: a thread that was preempted
    /// right before its first line. In units of `t`; where lanes are known it is not needed.
    pub slack: u64,
    /// The level of topics that handlers forward to, the first pattern that matches. A topic that
    /// none matches has the level of the message that is forwarded.
    pub levels: Vec<(String, Level)>,
    /// Findings of one kind that are kept; all are counted.
    pub keep: usize,
}

// === impl Listener ===

impl Listener {
    /// An unordered listener that was there all the time and drops nothing.
    #[must_use]
    pub fn new(name: &str, pattern: &str) -> Listener {
        Listener {
            name: name.to_owned(),
            pattern: pattern.to_owned(),
            order: Ordering::None,
            may_drop: false,
            whole: true,
            memory: false,
        }
    }

    /// The same, with that order.
    #[must_use]
    pub fn ordered(self, order: Ordering) -> Listener {
        Listener { order, ..self }
    }
}

// === impl Expectations ===

impl Expectations {
    /// These listeners, everything settled and every dead letter listed; records in nanoseconds.
    #[must_use]
    pub fn new(listeners: Vec<Listener>) -> Expectations {
        Expectations {
            listeners,
            drained: true,
            dead_listed: true,
            sync_interval: 200_000_000,
            slack: 2_000_000_000,
            levels: Vec::new(),
            keep: 20,
        }
    }
}
