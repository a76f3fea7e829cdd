//! One measurement, as a line of JSON.

use std::fmt;

use crate::{histogram::Histogram, meter::Window, work::Work};

/// One measurement of one contender at one work.
#[derive(Clone, Debug)]
pub struct Record {
    /// Who.
    pub contender: String,
    /// At what.
    pub work: &'static str,
    /// What was read.
    pub window: Window,
    /// Round trip of a cache line just before, nanoseconds.
    pub round_trip_ns: f64,
    /// Latencies in microseconds at the median, 99 % and 99.9 %, for works that ask for them.
    pub latency_us: Option<[f64; 3]>,
}

// === impl Record ===

impl Record {
    /// A measurement of `contender` at `work`.
    #[must_use]
    pub fn new(contender: &str, work: &Work, round_trip_ns: f64, window: Window) -> Record {
        let contender = contender.to_owned();
        Record { contender, work: work.name, window, round_trip_ns, latency_us: None }
    }

    /// The same with the latencies that were seen.
    #[must_use]
    pub fn with_latency(mut self, seen: &Histogram) -> Record {
        self.latency_us = Some([0.5, 0.99, 0.999].map(|share| seen.micros_at(share)));
        self
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let window = &self.window;
        write!(
            f,
            r#"{{"contender":"{}","work":"{}","rate":{:.1},"cpu_ns":{:.1},"threads":{},"anonymous":{},"round_trip_ns":{:.1}"#,
            self.contender,
            self.work,
            window.rate,
            window.cpu_ns,
            window.threads,
            window.anonymous,
            self.round_trip_ns
        )?;
        if let Some(allocations) = window.allocations {
            write!(f, r#","allocations":{allocations:.4}"#)?;
        }
        if let Some([p50, p99, p999]) = self.latency_us {
            write!(f, r#","p50_us":{p50:.2},"p99_us":{p99:.2},"p999_us":{p999:.2}"#)?;
        }
        f.write_str("}")
    }
}
