//! How many deliveries one window should hold.

use crate::config::BATCH_MAX;

/// A window should be over in this time: it bounds how long a result stays unsettled, how long a
/// message waits behind a slow one, and how much a cutover has to take back. (20 us was measured
/// to be no better.)
const TARGET_NS: f64 = 100_000.0;
/// What a call is thought to take before one was seen: the first window holds 16.
const FIRST_GUESS_NS: f64 = TARGET_NS / 16.0;
/// Weight of the newest window.
const NEWEST: f64 = 0.2;

/// Nanoseconds per delivery, smoothed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    each_ns: f64,
}

// === impl Pace ===

impl Pace {
    pub(super) fn new() -> Pace {
        Pace { each_ns: FIRST_GUESS_NS }
    }

    /// `count` deliveries took `elapsed_ns` together.
    pub(super) fn note(&mut self, count: u32, elapsed_ns: u64) {
        if count > 0 {
            let each_ns = elapsed_ns as f64 / f64::from(count);
            self.each_ns += NEWEST * (each_ns - self.each_ns);
        }
    }

    /// How many the next window should hold.
    pub(super) fn limit(&self) -> u32 {
        let fitting = TARGET_NS / self.each_ns.max(1.0);
        (fitting as u32).clamp(1, BATCH_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_calls_come_one_by_one_and_fast_ones_by_the_thousand() {
        let mut pace = Pace::new();
        assert_eq!(pace.limit(), 16);
        for _ in 0..40 {
            pace.note(16, 16 * 50);
        }
        assert_eq!(pace.limit(), BATCH_MAX);
        pace.note(1, 10_000_000);
        assert_eq!(pace.limit(), 1);
        pace.note(0, u64::MAX);
        assert_eq!(pace.limit(), 1);
    }
}
