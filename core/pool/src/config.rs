//! Sizes and times of a pool, checked before anything starts.

use std::time::Duration;

/// Lanes a pool may have: a subscription has 63 seats, and two generations share them for a while.
pub const WORKERS_MAX: u32 = 48;
/// Calls that may be in flight on one lane.
pub const CONCURRENCY_MAX: u32 = 256;
/// Deliveries one window may hold.
pub const BATCH_MAX: u32 = 1024;

/// How a pool is sized and when it loses patience.
///
/// `Default` is what an author gets who writes nothing: no thread while idle, up to four under
/// load, one call at a time on each.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolConfig {
    /// Lanes that stay up when there is nothing to do. 0: none, the first message brings one.
    pub min_workers: u32,
    /// Lanes there are at most, written-off ones not counted.
    pub max_workers: u32,
    /// Messages each queue of the plugin holds. The queue itself enforces it; a pool grows without
    /// waiting for age when `scaling_threshold` of it is used.
    pub queue_size: u64,
    /// Whether lanes come and go with the load; else there are always `max_workers`.
    pub adaptive_scaling: bool,
    /// Share of the lanes' capacity in use, in (0, 1], above which an old backlog adds a lane.
    pub scaling_threshold: f64,
    /// How long an orderly end may take before lanes are abandoned.
    pub shutdown_timeout: Duration,
    /// Calls in flight on one lane at most.
    pub concurrency: u32,
    /// Deliveries in one hand-out at most.
    pub batch: u32,
    /// How long lanes above `min_workers` stay up without need.
    pub idle_timeout: Duration,
    /// How long one call may take; then it is cancelled, counts as a failure, and is tried again.
    pub process_timeout: Duration,
    /// Lanes that may be written off and replaced at one time; one more and the pool is stuck.
    pub max_abandoned: u32,
    /// Age of the oldest waiting message from which it speaks for another lane.
    pub grow_after: Duration,
    /// How long a lane may take to drop a call it was told to drop, before it is written off.
    pub cancel_grace: Duration,
    /// How long a call may run before what its lane has not begun is given to others.
    pub relieve_after: Duration,
    /// How often a working pool is looked at. Deadlines are met this much late, never early.
    pub tick: Duration,
    /// Control calls that may wait or run at one time.
    pub control_max: usize,
    /// Publish tokens that may wait for one lane to fetch them.
    pub ready_max: usize,
}

/// Why a [`PoolConfig`] is refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PoolConfigError {
    /// A count is outside its range.
    #[error("{field} is {found}, and must lie in {least}..={most}")]
    OutOfRange {
        /// Name of the setting.
        field: &'static str,
        /// What it was set to.
        found: u64,
        /// Smallest value it may have.
        least: u64,
        /// Largest value it may have.
        most: u64,
    },
    /// There are to be more lanes at rest than there may be.
    #[error("min_workers is {min}, and must not exceed max_workers, which is {max}")]
    Inverted {
        /// `min_workers`.
        min: u32,
        /// `max_workers`.
        max: u32,
    },
    /// The threshold is no share.
    #[error("scaling_threshold is {found}, and must be above 0 and at most 1")]
    Threshold {
        /// What it was set to.
        found: f64,
    },
    /// A time is zero or absurd.
    #[error("{field} is {found:?}, and must lie in {least:?}..={most:?}")]
    Time {
        /// Name of the setting.
        field: &'static str,
        /// What it was set to.
        found: Duration,
        /// Smallest value it may have.
        least: Duration,
        /// Largest value it may have.
        most: Duration,
    },
}

// === impl PoolConfig ===

impl Default for PoolConfig {
    fn default() -> Self {
        PoolConfig {
            min_workers: 0,
            max_workers: 4,
            queue_size: 1024,
            adaptive_scaling: true,
            scaling_threshold: 0.7,
            shutdown_timeout: Duration::from_secs(5),
            concurrency: 1,
            batch: BATCH_MAX,
            idle_timeout: Duration::from_secs(60),
            process_timeout: Duration::from_secs(30),
            max_abandoned: 4,
            grow_after: Duration::from_millis(100),
            cancel_grace: Duration::from_millis(500),
            relieve_after: Duration::from_millis(100),
            tick: Duration::from_millis(25),
            control_max: 64,
            ready_max: 1024,
        }
    }
}

impl PoolConfig {
    /// Checks every value by itself and against the others.
    ///
    /// # Errors
    /// The first value that cannot be used, with the range it must lie in.
    pub fn check(&self) -> Result<(), PoolConfigError> {
        count("max_workers", self.max_workers.into(), 1, WORKERS_MAX.into())?;
        if self.min_workers > self.max_workers {
            return Err(PoolConfigError::Inverted { min: self.min_workers, max: self.max_workers });
        }
        count("queue_size", self.queue_size, 1, u64::MAX)?;
        count("concurrency", self.concurrency.into(), 1, CONCURRENCY_MAX.into())?;
        count("batch", self.batch.into(), 1, BATCH_MAX.into())?;
        count("max_abandoned", self.max_abandoned.into(), 0, WORKERS_MAX.into())?;
        count("control_max", self.control_max as u64, 1, 65_536)?;
        count("ready_max", self.ready_max as u64, 1, 1 << 20)?;
        // Written so that NaN is refused too.
        if !(self.scaling_threshold > 0.0 && self.scaling_threshold <= 1.0) {
            return Err(PoolConfigError::Threshold { found: self.scaling_threshold });
        }
        time("shutdown_timeout", self.shutdown_timeout)?;
        time("idle_timeout", self.idle_timeout)?;
        time("process_timeout", self.process_timeout)?;
        time("grow_after", self.grow_after)?;
        time("cancel_grace", self.cancel_grace)?;
        time("relieve_after", self.relieve_after)?;
        time("tick", self.tick)
    }

    /// Lanes that stay up when there is nothing to do.
    pub(crate) fn resting(&self) -> u32 {
        if self.adaptive_scaling { self.min_workers } else { self.max_workers }
    }
}

fn count(field: &'static str, found: u64, least: u64, most: u64) -> Result<(), PoolConfigError> {
    if (least..=most).contains(&found) {
        return Ok(());
    }
    Err(PoolConfigError::OutOfRange { field, found, least, most })
}

/// One millisecond to one week: everything below is a busy loop, everything above a typing error.
fn time(field: &'static str, found: Duration) -> Result<(), PoolConfigError> {
    let (least, most) = (Duration::from_millis(1), Duration::from_secs(7 * 24 * 3600));
    if (least..=most).contains(&found) {
        return Ok(());
    }
    Err(PoolConfigError::Time { field, found, least, most })
}

/// A duration as nanoseconds; what does not fit (584 years) is clamped.
pub(crate) fn ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl FnOnce(&mut PoolConfig)) -> String {
        let mut config = PoolConfig::default();
        change(&mut config);
        config.check().expect_err("must be refused").to_string()
    }

    #[test]
    fn the_default_is_valid() {
        assert_eq!(PoolConfig::default().check(), Ok(()));
    }

    #[test]
    fn a_refusal_names_the_value_and_its_range() {
        assert_eq!(
            refused(|config| config.max_workers = 0),
            "max_workers is 0, and must lie in 1..=48"
        );
        assert_eq!(
            refused(|config| config.min_workers = 9),
            "min_workers is 9, and must not exceed max_workers, which is 4"
        );
        assert!(refused(|config| config.scaling_threshold = f64::NAN).contains("NaN"));
        assert!(refused(|config| config.scaling_threshold = 0.0).contains("above 0"));
        assert!(refused(|config| config.tick = Duration::ZERO).starts_with("tick is 0ns"));
        assert!(
            refused(|config| config.process_timeout = Duration::MAX).contains("process_timeout")
        );
        assert!(refused(|config| config.concurrency = 0).starts_with("concurrency is 0"));
        assert!(refused(|config| config.batch = 5000).starts_with("batch is 5000"));
    }
}
