//! Time, as a value that tests own.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering::*},
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};

/// Where the bus reads time. Everything that waits or expires runs on [`Clock::now_ns`].
pub trait Clock: Send + Sync + fmt::Debug {
    /// Nanoseconds on a clock that never goes back. Its zero means nothing.
    fn now_ns(&self) -> u64;

    /// Nanoseconds since the Unix epoch, for display and for what came from outside.
    fn unix_ns(&self) -> u64;

    /// [`Clock::now_ns`] as of the last tick: cheaper, and behind it by at most some milliseconds.
    fn coarse_ns(&self) -> u64 {
        self.now_ns()
    }
}

/// The clocks of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

/// A clock that moves only when told to.
#[derive(Debug)]
pub struct ManualClock {
    now: AtomicU64,
    unix_offset: AtomicU64,
}

// === impl SystemClock ===

impl Clock for SystemClock {
    fn now_ns(&self) -> u64 {
        read(ClockId::Monotonic)
    }

    fn unix_ns(&self) -> u64 {
        read(ClockId::Realtime)
    }

    fn coarse_ns(&self) -> u64 {
        #[cfg(target_os = "linux")]
        return read(ClockId::MonotonicCoarse);
        #[cfg(not(target_os = "linux"))]
        return read(ClockId::Monotonic);
    }
}

fn read(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    (time.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(time.tv_nsec as u64)
}

// === impl ManualClock ===

impl ManualClock {
    /// A clock at one second, in November 2023 by the wall.
    #[must_use]
    pub fn new() -> ManualClock {
        ManualClock {
            now: AtomicU64::new(1_000_000_000),
            unix_offset: AtomicU64::new(1_700_000_000_000_000_000),
        }
    }

    /// Moves it forward.
    pub fn advance(&self, by: Duration) {
        self.now.fetch_add(nanoseconds(by), SeqCst);
    }

    /// Sets the wall clock forward or back, as an administrator or a time server would; the
    /// monotonic clock does not notice.
    pub fn step_wall(&self, by_ns: i64) {
        self.unix_offset.fetch_add(by_ns as u64, SeqCst);
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        ManualClock::new()
    }
}

impl Clock for ManualClock {
    fn now_ns(&self) -> u64 {
        self.now.load(SeqCst)
    }

    fn unix_ns(&self) -> u64 {
        self.unix_offset.load(SeqCst).wrapping_add(self.now_ns())
    }
}

/// A duration in nanoseconds; what does not fit is as good as for ever.
pub(crate) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
