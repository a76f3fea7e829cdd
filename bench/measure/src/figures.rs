//! Medians, and one line a figure.

use std::time::Duration;

/// The middle of a set of samples, with its extremes.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    /// Smallest sample.
    pub min: f64,
    /// Middle sample.
    pub median: f64,
    /// 99th percentile.
    pub p99: f64,
    /// Largest sample.
    pub max: f64,
}

// === impl Spread ===

impl Spread {
    /// Sorts the samples and reads them; zero when there are none.
    #[must_use]
    pub fn of(mut samples: Vec<f64>) -> Spread {
        samples.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let index = (samples.len() as f64 * share) as usize;
            samples.get(index.min(samples.len().saturating_sub(1))).copied().unwrap_or_default()
        };
        Spread { min: at(0.0), median: at(0.5), p99: at(0.99), max: at(1.0) }
    }
}

/// Microseconds of a duration.
#[must_use]
pub fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// Prints one figure: what was measured, the goal it is held against, and what came out.
pub fn print(what: &str, goal: &str, value: &str) {
    println!("{what:<58} {goal:<24} {value}");
}
