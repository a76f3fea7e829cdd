//! How long calls took, in buckets that can be added, subtracted and asked for percentiles.
//!
//! Sixteen buckets per doubling: a value is known to about 6 %. Recording is an index and an
//! addition, so a host may keep the same buckets as atomics and hand over their values.

use serde::{Deserialize, Serialize};

/// Buckets of one histogram.
pub const BUCKETS: usize = 16 + 60 * 16;
const MANTISSA: u32 = 4;

/// Lengths of calls, in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latencies {
    /// Counts by bucket; what is missing at the end is zero.
    counts: Vec<u64>,
}

/// A percentile, and between which values it lies with about 99.8 % confidence.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Percentile {
    /// The estimate, nanoseconds.
    pub value_ns: f64,
    /// Lower bound.
    pub low_ns: f64,
    /// Upper bound.
    pub high_ns: f64,
}

// === impl Latencies ===

impl Latencies {
    /// The bucket of a value.
    #[must_use]
    pub const fn bucket_of(ns: u64) -> usize {
        if ns < 16 {
            return ns as usize;
        }
        let exponent = 63 - ns.leading_zeros();
        let mantissa = (ns >> (exponent - MANTISSA)) & 15;
        16 + ((exponent - MANTISSA) as usize) * 16 + mantissa as usize
    }

    /// The middle of a bucket.
    #[must_use]
    pub fn value_of(bucket: usize) -> f64 {
        if bucket < 16 {
            return bucket as f64;
        }
        let (exponent, mantissa) = ((bucket - 16) / 16, (bucket - 16) % 16);
        let width = 2_f64.powi(i32::try_from(exponent).unwrap_or(i32::MAX));
        (16.0 + mantissa as f64 + 0.5) * width
    }

    /// A histogram from counts by bucket.
    #[must_use]
    pub fn from_counts(mut counts: Vec<u64>) -> Latencies {
        counts.truncate(BUCKETS);
        while counts.last() == Some(&0) {
            counts.pop();
        }
        Latencies { counts }
    }

    /// Adds one value.
    pub fn record(&mut self, ns: u64) {
        let bucket = Latencies::bucket_of(ns);
        if self.counts.len() <= bucket {
            self.counts.resize(bucket + 1, 0);
        }
        self.counts[bucket] += 1;
    }

    /// How many values there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// What came on top of an earlier state of the same histogram.
    #[must_use]
    pub fn since(&self, earlier: &Latencies) -> Latencies {
        let before = |bucket: usize| earlier.counts.get(bucket).copied().unwrap_or(0);
        let counts = self.counts.iter().enumerate();
        Latencies::from_counts(counts.map(|(i, n)| n.saturating_sub(before(i))).collect())
    }

    /// A percentile with its confidence interval, by the ranks between which it lies. `None` when
    /// there is no value, or the share is not one.
    #[must_use]
    pub fn percentile(&self, share: f64) -> Option<Percentile> {
        let count = self.count();
        if count == 0 || !(0.0..=1.0).contains(&share) {
            return None;
        }
        let n = count as f64;
        let spread = super::verdict::Z * (n * share * (1.0 - share)).sqrt();
        Some(Percentile {
            value_ns: self.at_rank((n * share).ceil()),
            low_ns: self.at_rank((n * share - spread).floor()),
            high_ns: self.at_rank((n * share + spread).ceil() + 1.0),
        })
    }

    /// The value of that rank, counted from 1; ranks outside are those at the ends.
    fn at_rank(&self, rank: f64) -> f64 {
        let rank = (rank.max(1.0) as u64).min(self.count());
        let mut passed = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            passed += count;
            if passed >= rank {
                return Latencies::value_of(bucket);
            }
        }
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_has_a_bucket_and_comes_back_within_four_percent() {
        for ns in [0, 1, 15, 16, 17, 1_000, 1_000_000, 12_345_678_901, u64::MAX / 2, u64::MAX] {
            let bucket = Latencies::bucket_of(ns);
            assert!(bucket < BUCKETS, "{ns}: {bucket}");
            let back = Latencies::value_of(bucket);
            assert!((back - ns as f64).abs() <= ns as f64 * 0.04, "{ns} became {back}");
        }
    }

    #[test]
    fn a_percentile_lies_between_its_bounds_and_they_close_in() {
        let width = |count: u64| {
            let mut latencies = Latencies::default();
            (0..count).for_each(|i| latencies.record(1_000 + i * 1_000_000 / count));
            let found = latencies.percentile(0.9).expect("there are values");
            assert!(found.low_ns <= found.value_ns && found.value_ns <= found.high_ns);
            assert!((found.value_ns - 900_000.0).abs() < 40_000.0, "{count}: {found:?}");
            found.high_ns - found.low_ns
        };
        assert!(width(10_000) < width(100) / 3.0);
        assert_eq!(Latencies::default().percentile(0.5), None);
        let mut one = Latencies::default();
        one.record(5);
        assert_eq!(one.percentile(f64::NAN), None);
        assert_eq!(one.percentile(0.99).map(|it| it.value_ns), Some(5.0));
    }

    #[test]
    fn the_difference_of_two_states_is_what_came_between_them() {
        let mut latencies = Latencies::default();
        latencies.record(10);
        let before = latencies.clone();
        latencies.record(1_000_000);
        let between = latencies.since(&before);
        assert_eq!(between.count(), 1);
        assert!(between.percentile(0.5).is_some_and(|it| it.value_ns > 900_000.0));
        assert_eq!(latencies.since(&latencies), Latencies::default());
    }
}
