//! How long calls take, as counts that many threads add to.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use patchbay_lifecycle::transition::{Latencies, latency::BUCKETS};

/// Counts by bucket; adding is one relaxed addition.
#[derive(Debug)]
pub(crate) struct Histogram {
    buckets: Box<[AtomicU64]>,
}

// === impl Histogram ===

impl Histogram {
    pub(crate) fn new() -> Histogram {
        Histogram { buckets: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect() }
    }

    #[inline]
    pub(crate) fn add(&self, took_ns: u64) {
        self.buckets[Latencies::bucket_of(took_ns)].fetch_add(1, Relaxed);
    }

    pub(crate) fn read(&self) -> Latencies {
        Latencies::from_counts(self.buckets.iter().map(|it| it.load(Relaxed)).collect())
    }
}
