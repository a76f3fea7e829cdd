//! Reads what has been finished at two moments.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::time::{ClockId, clock_gettime};

use crate::{allocations, histogram::Histogram, process, source, work::Work};

/// Between two looks at a count that is waited for: a look costs instructions too.
const LOOK: Duration = Duration::from_millis(20);

/// What one consumer has finished, on cache lines of its own. One thread writes it.
#[derive(Clone, Debug, Default)]
pub struct Tally(Arc<Line>);

#[derive(Debug, Default)]
#[repr(align(128))]
struct Line(AtomicU64);

/// What happened between the two moments.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Window {
    /// Finished per second.
    pub rate: f64,
    /// Processor time for one, all sides together, that of servers included.
    pub cpu_ns: f64,
    /// Allocations for one, when they are counted.
    pub allocations: Option<f64>,
    /// Threads at the end.
    pub threads: u64,
    /// Anonymous memory at the end, bytes.
    pub anonymous: u64,
    /// Latencies in microseconds at the median, 99 % and 99.9 %, for works that ask for them.
    pub latency_us: Option<[f64; 3]>,
    /// Memory for one of what the work is about: a plugin, a message that waits, a subscription.
    pub bytes_each: Option<f64>,
    /// Nanoseconds for one to be put into a queue that nobody empties, and to be taken out of it.
    pub fill_drain_ns: Option<[f64; 2]>,
    /// How long what the work is about took, milliseconds.
    pub took_ms: Option<f64>,
}

// === impl Tally ===

impl Tally {
    /// Counts that many more.
    #[inline]
    pub fn add(&self, more: u64) {
        let seen = self.0.0.load(Relaxed);
        self.0.0.store(seen.wrapping_add(more), Relaxed);
    }

    /// What has been counted.
    #[must_use]
    #[inline]
    pub fn get(&self) -> u64 {
        self.0.0.load(Relaxed)
    }
}

// === impl Window ===

impl Window {
    /// The same with the latencies that were seen.
    #[must_use]
    pub fn with_latency(mut self, seen: &Histogram) -> Window {
        self.latency_us = Some([0.5, 0.99, 0.999].map(|share| seen.micros_at(share)));
        self
    }
}

/// How long a contender works before it is measured: half of what is measured, at most a second.
/// Caches, batch sizes and queues are what they will be then. Latencies count from the start.
#[must_use]
pub fn warm_up(work: &Work, length: Duration) -> Duration {
    if work.is_latency() { Duration::ZERO } else { (length / 2).min(Duration::from_secs(1)) }
}

/// Lets the work run warm, then measures it for `length`. `server` is the process that does a part
/// of the work, if there is one. Where the number of messages is fixed, it waits until they are finished
/// instead.
pub fn measure(
    warm_up: Duration,
    length: Duration,
    server: Option<u32>,
    finished: impl Fn() -> u64,
) -> Window {
    let cpu_ns = || cpu_ns() + server.map_or(0, process::cpu_ns_of);
    let bound = source::bound();
    thread::sleep(if bound.is_some() { Duration::ZERO } else { warm_up });
    let (allocated, cpu, before, start) =
        (allocations::count(), cpu_ns(), finished(), Instant::now());
    match bound {
        Some(all) => {
            while finished() < all {
                thread::sleep(LOOK)
            }
        }
        None => thread::sleep(length),
    }
    let (after, elapsed) = (finished(), start.elapsed());
    let (cpu, allocated) = (cpu_ns().saturating_sub(cpu), allocations::count() - allocated);
    let count = after.wrapping_sub(before) as f64;
    let each = |total: u64| total as f64 / count.max(1.0);
    Window {
        rate: count / elapsed.as_secs_f64(),
        cpu_ns: each(cpu),
        allocations: allocations::is_on().then(|| each(allocated)),
        threads: process::threads(),
        anonymous: process::anonymous_bytes(),
        ..Window::default()
    }
}

/// Processor time of this process so far.
#[must_use]
pub fn cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
