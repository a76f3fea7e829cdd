//! What a publisher sends: the same bytes, keys and pauses for every contender.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};

use crate::work::Work;

/// Where in a payload the time of sending stands.
const STAMP_AT: usize = 8;

/// Messages of each publisher at most; 0 = no bound.
static BOUND: AtomicU64 = AtomicU64::new(0);

/// From now on no publisher sends more than that.
pub fn bind(messages: u64) {
    BOUND.store(messages, Relaxed);
}

/// How many messages each publisher sends, if that is fixed.
#[must_use]
pub fn bound() -> Option<u64> {
    Some(BOUND.load(Relaxed)).filter(|bound| *bound > 0)
}

/// The messages of one publisher.
#[derive(Debug)]
pub struct Source {
    payload: Box<[u8]>,
    sent: u64,
    most: u64,
    random: u64,
    keys: u64,
    topics: u64,
    /// Nanoseconds between two messages; 0 = none.
    step_ns: u64,
    due_ns: u64,
    stop: Arc<AtomicBool>,
}

/// What distinguishes a message from the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Next {
    /// Number of its ordering key, from 1; 0 = none.
    pub key: u64,
    /// Number of its topic.
    pub topic: usize,
}

/// The monotonic clock, in nanoseconds; the same in every library and process of the machine.
#[must_use]
pub fn now_ns() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// How long ago a message was sent, if it says so.
#[must_use]
pub fn age_ns(payload: &[u8]) -> Option<u64> {
    let stamp = payload.get(STAMP_AT..STAMP_AT + 8)?.try_into().ok().map(u64::from_le_bytes)?;
    (stamp > 0).then(|| now_ns().saturating_sub(stamp).max(1))
}

// === impl Source ===

impl Source {
    /// The messages of publisher number `publisher`, until `stop`.
    #[must_use]
    pub fn new(work: &Work, publisher: usize, stop: &Arc<AtomicBool>) -> Source {
        // Whoever does not keep to this only sleeps less exactly.
        let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
        Source {
            payload: vec![0x5a; work.size].into(),
            sent: 0,
            most: bound().unwrap_or(u64::MAX),
            random: publisher as u64 * 7919,
            keys: work.keys,
            topics: work.topics as u64,
            step_ns: 1_000_000_000u64.checked_div(work.rate).unwrap_or(0),
            due_ns: 0,
            stop: Arc::clone(stop),
        }
    }

    /// Makes the next message; `None` when it is over. At a fixed rate it waits until the message
    /// is due; one that is late is charged from when it was due.
    #[inline]
    pub fn make(&mut self) -> Option<Next> {
        if self.sent == self.most || self.stop.load(Relaxed) {
            return None;
        }
        if self.step_ns > 0 {
            self.pace();
        }
        self.payload[..8].copy_from_slice(&self.sent.to_le_bytes());
        self.sent += 1;
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let key = if self.keys == 0 { 0 } else { (self.random >> 33) % self.keys + 1 };
        let topic = if self.topics < 2 { 0 } else { (self.random >> 33) % self.topics };
        Some(Next { key, topic: topic as usize })
    }

    fn pace(&mut self) {
        let now = now_ns();
        if self.due_ns == 0 {
            self.due_ns = now;
        }
        self.due_ns += self.step_ns;
        let mut stamp = self.due_ns;
        if now < self.due_ns {
            thread::sleep(Duration::from_nanos(self.due_ns - now));
            stamp = now_ns();
        }
        self.payload[STAMP_AT..STAMP_AT + 8].copy_from_slice(&stamp.to_le_bytes());
    }

    /// The payload of the message that was made last.
    #[must_use]
    #[inline]
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Messages made so far.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent
    }
}
