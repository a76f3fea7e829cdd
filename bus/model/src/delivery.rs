//! A message, and one delivery of it.

use patchbay_bus::FORWARDED_BY;

use crate::event::Moment;

/// What counts of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Its id.
    pub mid: u128,
    /// What its payload says, to be recognised by.
    pub tag: u64,
    /// Its topic.
    pub topic: String,
    /// Its ordering key; empty = none.
    pub key: String,
    /// Bytes of its payload.
    pub payload: usize,
    /// Messages that led to it.
    pub hops: u32,
    /// When it is of no use any more, on the wall; 0 = never.
    pub expires_ns: u64,
    /// Who forwarded it, oldest first.
    pub forwarded_by: Vec<String>,
}

/// One message for one subscription.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Its number.
    pub id: u64,
    /// The message.
    pub facts: Facts,
    /// Hash of its ordering key here; 0 = none.
    pub key: u64,
    /// When it was accepted.
    pub accepted_ns: u64,
    /// Hand-offs so far.
    pub attempts: u32,
    /// Failures charged.
    pub failures: u32,
    /// Attempts that failed, the last five.
    pub history: Vec<Failed>,
    /// How often it was sent back.
    pub redrives: u32,
    /// A version on trial has failed it.
    pub tried: bool,
    /// It was published with a time to start from: it has no place in the order before its first
    /// hand-off.
    pub late: bool,
    /// What it waits for.
    pub wait: Wait,
    /// The same as the journal has it, until it is handed out.
    pub(crate) deadline: Option<Deadline>,
    /// Its attempt was under way when the host died.
    pub(crate) begun: bool,
    /// Its attempt was under way when a host died, and it has not been handed out since.
    pub(crate) accused: bool,
    /// It may have ended a process: it is handed out alone.
    pub(crate) suspect: bool,
    /// Deaths charged since it was accepted, or sent back.
    pub(crate) deaths: u32,
    /// The journal knew more of it than its message when this life began.
    pub(crate) known: bool,
}

/// An attempt that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed {
    /// Its number.
    pub attempt: u32,
    /// The host died of it.
    pub(crate) death: bool,
}

/// A delay that outlives the host: when it is over on the wall, and how long it was. Each lies
/// between two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    pub(crate) unix_ns: (u64, u64),
    pub(crate) delay_ns: (u64, u64),
}

/// What a delivery waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// A lane.
    Lane,
    /// A time that lies between these two, both included.
    Time {
        /// Not before.
        earliest_ns: u64,
        /// Not long after.
        latest_ns: u64,
        /// And then the retry budget.
        budgeted: bool,
    },
}

/// How much later than its time a delivery may count as delayed: the wheel's ticks.
const TICKS_NS: u64 = 3_000_000;

// === impl Facts ===

impl Facts {
    /// Bytes that count against limits.
    #[must_use]
    pub fn size(&self) -> usize {
        let by = if self.forwarded_by.is_empty() {
            0
        } else {
            FORWARDED_BY.len() + self.forwarded_by.join(",").len()
        };
        self.topic.len() + self.key.len() + by + self.payload
    }

    /// The message that a forward makes of it.
    #[must_use]
    pub fn forwarded(&self, topic: &str, by: &str) -> Facts {
        let mut forwarded_by = self.forwarded_by.clone();
        forwarded_by.push(by.to_owned());
        let topic = topic.to_owned();
        Facts { mid: 0, topic, hops: self.hops + 1, forwarded_by, ..self.clone() }
    }
}

// === impl Deadline ===

impl Deadline {
    /// One that is decided now, on both clocks.
    pub(crate) fn between(earliest: (u64, u64), latest: (u64, u64)) -> Deadline {
        Deadline { unix_ns: (earliest.0, latest.0), delay_ns: (earliest.1, latest.1) }
    }

    /// What is left of it in another life: a clock that went forward can only make it shorter, and
    /// one that went back holds nothing for longer than it was to wait.
    pub(crate) fn wait(self, now: Moment) -> Wait {
        let left = |unix_ns: u64, delay_ns: u64| unix_ns.saturating_sub(now.unix_ns).min(delay_ns);
        let earliest = left(self.unix_ns.0, self.delay_ns.0);
        let latest = left(self.unix_ns.1, self.delay_ns.1);
        if latest == 0 {
            return Wait::Lane;
        }
        Wait::Time {
            earliest_ns: now.now_ns.saturating_add(earliest),
            latest_ns: now.now_ns.saturating_add(latest),
            budgeted: false,
        }
    }
}

// === impl Wait ===

impl Wait {
    /// Whether it may be over.
    pub(crate) const fn may_be_over(&self, now_ns: u64) -> bool {
        match self {
            Wait::Lane => true,
            Wait::Time { earliest_ns, .. } => *earliest_ns <= now_ns,
        }
    }

    /// Whether it is over for certain.
    pub(crate) const fn is_over(&self, now_ns: u64) -> bool {
        match self {
            Wait::Lane => true,
            Wait::Time { latest_ns, budgeted, .. } => {
                !*budgeted && latest_ns.saturating_add(TICKS_NS) <= now_ns
            }
        }
    }
}
