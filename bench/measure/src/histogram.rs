//! Latencies, in buckets that are 3 % wide.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Buckets of one power of two.
const STEPS: u64 = 32;
const POWERS: usize = 40;

/// Nanoseconds, counted by size. Any thread adds.
#[derive(Debug)]
pub struct Histogram(Box<[AtomicU64]>);

// === impl Histogram ===

impl Histogram {
    /// An empty one.
    #[must_use]
    pub fn new() -> Histogram {
        Histogram((0..POWERS * STEPS as usize).map(|_| AtomicU64::new(0)).collect())
    }

    /// Counts one latency.
    pub fn add(&self, ns: u64) {
        let index = bucket(ns).min(self.0.len() - 1);
        self.0[index].fetch_add(1, Relaxed);
    }

    /// How many were counted.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.0.iter().map(|count| count.load(Relaxed)).sum()
    }

    /// Whether nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of it as text, for [`read`](Histogram::read).
    #[must_use]
    pub fn write(&self) -> String {
        let counts = self.0.iter().map(|count| count.load(Relaxed)).enumerate();
        let some = counts.filter(|(_, count)| *count > 0);
        some.map(|(index, count)| format!("{index} {count}\n")).collect()
    }

    /// Adds what another one wrote.
    pub fn read(&self, text: &str) {
        for line in text.lines() {
            let Some((index, count)) = line.split_once(' ') else { continue };
            if let (Ok(index), Ok(count)) = (index.parse::<usize>(), count.parse())
                && let Some(bucket) = self.0.get(index)
            {
                bucket.fetch_add(count, Relaxed);
            }
        }
    }

    /// The latency that `share` of all did not exceed, in microseconds.
    #[must_use]
    pub fn micros_at(&self, share: f64) -> f64 {
        let wanted = (self.len() as f64 * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (index, count) in self.0.iter().enumerate() {
            seen += count.load(Relaxed);
            if seen >= wanted {
                return middle(index) as f64 / 1e3;
            }
        }
        0.0
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram::new()
    }
}

fn bucket(ns: u64) -> usize {
    if ns < STEPS {
        return ns as usize;
    }
    let power = u64::from(ns.ilog2() - STEPS.ilog2());
    ((power + 1) * STEPS + ((ns >> power) - STEPS)) as usize
}

fn middle(index: usize) -> u64 {
    let index = index as u64;
    if index < STEPS {
        return index;
    }
    let power = index / STEPS - 1;
    ((STEPS + index % STEPS) << power) + (1 << power) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latency_is_found_again_within_its_bucket() {
        for ns in [0, 1, 31, 32, 33, 1_000, 29_700, 1_234_567, 9_876_543_210] {
            let found = middle(bucket(ns));
            assert!(found.abs_diff(ns) * 30 <= ns + 30, "{ns} was found as {found}");
        }
    }

    #[test]
    fn what_was_written_is_added() {
        let (one, all) = (Histogram::new(), Histogram::new());
        [5, 50_000, 50_000].into_iter().for_each(|ns| one.add(ns));
        all.add(5);
        all.read(&one.write());
        assert_eq!(all.len(), 4);
        assert_eq!(all.micros_at(1.0), one.micros_at(1.0));
    }

    #[test]
    fn quantiles_are_those_of_the_samples() {
        let histogram = Histogram::new();
        assert_eq!(histogram.micros_at(0.5), 0.0);
        (1..=1_000).for_each(|us| histogram.add(us * 1_000));
        assert_eq!(histogram.len(), 1_000);
        let near = |found: f64, wanted: f64| (found - wanted).abs() < wanted * 0.04;
        assert!(near(histogram.micros_at(0.5), 500.0));
        assert!(near(histogram.micros_at(0.99), 990.0));
        assert!(near(histogram.micros_at(1.0), 1_000.0));
    }
}
