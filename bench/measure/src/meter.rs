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

use crate::{allocations, process};

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
    /// Processor time for one, both sides together, this process only.
    pub cpu_ns: f64,
    /// Allocations for one, when they are counted.
    pub allocations: Option<f64>,
    /// Threads at the end.
    pub threads: u64,
    /// Anonymous memory at the end, bytes.
    pub anonymous: u64,
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

/// Lets the work run warm, then measures it for `length`.
pub fn measure(warm_up: Duration, length: Duration, finished: impl Fn() -> u64) -> Window {
    thread::sleep(warm_up);
    let (allocated, cpu, before, start) =
        (allocations::count(), cpu_ns(), finished(), Instant::now());
    thread::sleep(length);
    let (after, elapsed) = (finished(), start.elapsed());
    let (cpu, allocated) = (cpu_ns() - cpu, allocations::count() - allocated);
    let count = after.wrapping_sub(before) as f64;
    let each = |total: u64| total as f64 / count.max(1.0);
    Window {
        rate: count / elapsed.as_secs_f64(),
        cpu_ns: each(cpu),
        allocations: allocations::is_on().then(|| each(allocated)),
        threads: process::threads(),
        anonymous: process::anonymous_bytes(),
    }
}

/// Processor time of this process so far.
#[must_use]
pub fn cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
