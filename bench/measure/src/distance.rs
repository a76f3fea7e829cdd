//! How far the processors are from each other, just now: the round trip of one cache line. On a
//! virtual machine it changes from minute to minute, and every figure with it.

use std::{
    hint,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::*},
    },
    thread,
    time::Instant,
};

const ROUND_TRIPS: u64 = 10_000;
/// Round trips between two looks at the clock; the best such stretch counts.
const STRETCH: u64 = 1_000;
/// From here on the processors count as far from each other.
const FAR_NS: f64 = 150.0;

/// A word with its cache lines to itself.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Line(AtomicU64);

/// Nanoseconds from one processor to the other and back; the best of ten stretches.
#[must_use]
pub fn round_trip_ns() -> f64 {
    let line = Arc::new(Line::default());
    let other = Arc::clone(&line);
    let echo = thread::spawn(move || {
        for n in 0..ROUND_TRIPS {
            while other.0.load(Acquire) != 2 * n + 1 {
                hint::spin_loop();
            }
            other.0.store(2 * n + 2, Release);
        }
    });
    let (mut best, mut start) = (f64::MAX, Instant::now());
    for n in 0..ROUND_TRIPS {
        line.0.store(2 * n + 1, Release);
        while line.0.load(Acquire) != 2 * n + 2 {
            hint::spin_loop();
        }
        if (n + 1).is_multiple_of(STRETCH) {
            best = best.min(start.elapsed().as_nanos() as f64 / STRETCH as f64);
            start = Instant::now();
        }
    }
    // Its only way to end badly is a panic, and there is nothing in it that could.
    drop(echo.join());
    best
}

/// `near` or `far`.
#[must_use]
pub fn name(round_trip_ns: f64) -> &'static str {
    if round_trip_ns < FAR_NS { "near" } else { "far" }
}
