//! When nearly everything fails, stop trying everything (promise P-18).
//!
//! Closed, it counts attempts and failures of the last seconds. Open, it allows one probe at a time
//! and no more than one per interval; nothing that fails meanwhile is charged. A probe that succeeds
//! closes it. It watches one subscription: a plugin whose other subscriptions work keeps them.

use std::time::Duration;

use crate::clock::nanoseconds;

/// When the breaker opens, and how it probes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// Fewer attempts than these within the window say nothing.
    pub min_attempts: u32,
    /// Opens at this share of failures, in percent.
    pub failure_percent: u32,
    /// How far back it looks.
    pub window: Duration,
    /// Distance between probes.
    pub probe_interval: Duration,
}

/// How much may be handed off now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowance {
    /// Anything.
    All,
    /// One delivery: the probe.
    Probe,
    /// Nothing before that instant, `None` while a probe is out.
    Nothing(Option<u64>),
}

/// A look at a breaker, for people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BreakerLook {
    /// Whether everything flows.
    pub closed: bool,
    /// Whether a probe is out whose answer decides.
    pub probing: bool,
    /// How often it has opened.
    pub opened: u64,
    /// When it opened last, on the monotonic clock.
    pub opened_at_ns: Option<u64>,
    /// Attempts that it had seen then, within its window …
    pub attempts: u64,
    /// … and those of them that had failed.
    pub failures: u64,
    /// When the next probe may be handed off; absent while it is closed.
    pub next_probe_ns: Option<u64>,
    /// How far back it looks.
    pub window: Duration,
}

/// The breaker of one subscription.
#[derive(Clone, Debug)]
pub struct Breaker {
    policy: BreakerPolicy,
    state: State,
    /// What was so when it opened last.
    last: BreakerLook,
    buckets: [Bucket; BUCKETS],
    /// Number of the bucket that is being filled.
    slice: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    Open { probe_at_ns: u64 },
    Probing { since_ns: u64 },
}

#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    attempts: u32,
    failures: u32,
}

const BUCKETS: usize = 10;

// === impl Breaker ===

impl Breaker {
    /// A closed breaker.
    #[must_use]
    pub fn new(policy: BreakerPolicy) -> Breaker {
        let last = BreakerLook { window: policy.window, ..BreakerLook::default() };
        Breaker { policy, state: State::Closed, last, buckets: Default::default(), slice: 0 }
    }

    /// How it stands, and why.
    #[must_use]
    pub fn look(&self) -> BreakerLook {
        let next_probe_ns = match self.state {
            State::Closed => None,
            State::Open { probe_at_ns } => Some(probe_at_ns),
            State::Probing { since_ns } => Some(since_ns.saturating_add(self.interval())),
        };
        BreakerLook {
            closed: self.is_closed(),
            probing: matches!(self.state, State::Probing { .. }),
            next_probe_ns,
            ..self.last
        }
    }

    /// Whether failures are charged and hand-offs flow.
    #[must_use]
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// How much may be handed off. A probe that gave no answer for an interval is given up.
    #[must_use]
    pub fn allowance(&self, now_ns: u64) -> Allowance {
        match self.state {
            State::Closed => Allowance::All,
            State::Open { probe_at_ns } if now_ns >= probe_at_ns => Allowance::Probe,
            State::Open { probe_at_ns } => Allowance::Nothing(Some(probe_at_ns)),
            State::Probing { since_ns } => {
                let until = since_ns.saturating_add(self.interval());
                if now_ns >= until { Allowance::Probe } else { Allowance::Nothing(Some(until)) }
            }
        }
    }

    /// The probe was handed off.
    pub fn probing(&mut self, now_ns: u64) {
        if !self.is_closed() {
            self.state = State::Probing { since_ns: now_ns };
        }
    }

    /// The probe was not started after all: the next may follow at once.
    pub fn not_probed(&mut self, now_ns: u64) {
        if matches!(self.state, State::Probing { .. }) {
            self.state = State::Open { probe_at_ns: now_ns };
        }
    }

    /// Attempts ended, so many of them failed.
    #[inline]
    pub fn record(&mut self, now_ns: u64, attempts: u32, failures: u32) {
        match self.state {
            State::Closed => self.count(now_ns, attempts, failures),
            State::Probing { .. } if failures < attempts => {
                self.state = State::Closed;
                self.buckets = Default::default();
            }
            State::Probing { .. } | State::Open { .. } if failures > 0 => {
                self.state = State::Open { probe_at_ns: now_ns.saturating_add(self.interval()) };
            }
            // What was under way when it opened and went well is no probe.
            State::Probing { .. } | State::Open { .. } => {}
        }
    }

    fn count(&mut self, now_ns: u64, attempts: u32, failures: u32) {
        let slice = now_ns / (nanoseconds(self.policy.window) / BUCKETS as u64).max(1);
        let passed = slice.saturating_sub(self.slice);
        for gone in 1..=passed.min(BUCKETS as u64) {
            self.buckets[((self.slice + gone) % BUCKETS as u64) as usize] = Bucket::default();
        }
        self.slice = self.slice.max(slice);
        let bucket = &mut self.buckets[(self.slice % BUCKETS as u64) as usize];
        bucket.attempts = bucket.attempts.saturating_add(attempts);
        bucket.failures = bucket.failures.saturating_add(failures);
        if failures == 0 {
            return;
        }
        let all = self.buckets.iter().map(|bucket| u64::from(bucket.attempts)).sum::<u64>();
        let failed = self.buckets.iter().map(|bucket| u64::from(bucket.failures)).sum::<u64>();
        let enough = all >= u64::from(self.policy.min_attempts);
        if enough && failed * 100 >= all * u64::from(self.policy.failure_percent) {
            self.state = State::Open { probe_at_ns: now_ns.saturating_add(self.interval()) };
            let opened = self.last.opened + 1;
            self.last = BreakerLook {
                opened,
                opened_at_ns: Some(now_ns),
                attempts: all,
                failures: failed,
                ..self.last
            };
        }
    }

    fn interval(&self) -> u64 {
        nanoseconds(self.policy.probe_interval)
    }
}

// === impl BreakerPolicy ===

impl Default for BreakerPolicy {
    fn default() -> Self {
        BreakerPolicy {
            min_attempts: 50,
            failure_percent: 50,
            window: Duration::from_secs(10),
            probe_interval: Duration::from_secs(1),
        }
    }
}
