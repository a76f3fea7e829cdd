//! One measurement, as a line of JSON.

use std::fmt;

use crate::meter::Window;

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
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Record { contender, work, window, round_trip_ns } = self;
        let Window { rate, cpu_ns, threads, anonymous, .. } = window;
        write!(
            f,
            r#"{{"contender":"{contender}","work":"{work}","rate":{rate:.1},"cpu_ns":{cpu_ns:.1},"threads":{threads},"anonymous":{anonymous},"round_trip_ns":{round_trip_ns:.1}"#,
        )?;
        let [p50, p99, p999] = window.latency_us.map_or([None; 3], |all| all.map(Some));
        let [fill, drain] = window.fill_drain_ns.map_or([None; 2], |both| both.map(Some));
        for (name, value) in [
            ("allocations", window.allocations),
            ("p50_us", p50),
            ("p99_us", p99),
            ("p999_us", p999),
            ("bytes_each", window.bytes_each),
            ("took_ms", window.took_ms),
            ("fill_ns", fill),
            ("drain_ns", drain),
        ] {
            if let Some(value) = value {
                write!(f, r#","{name}":{value:.4}"#)?;
            }
        }
        f.write_str("}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_read_is_not_in_the_line() {
        let window = Window { rate: 2.0, took_ms: Some(0.5), ..Window::default() };
        let record = Record { contender: "a".into(), work: "b", window, round_trip_ns: 1.0 };
        assert_eq!(
            record.to_string(),
            r#"{"contender":"a","work":"b","rate":2.0,"cpu_ns":0.0,"threads":0,"anonymous":0,"round_trip_ns":1.0,"took_ms":0.5000}"#
        );
    }
}
