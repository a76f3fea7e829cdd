//! Every bound of this crate, with its default.

use std::time::Duration;

/// What a library file may look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InspectLimits {
    /// Largest file, in bytes.
    pub file_bytes_max: u64,
    /// Largest manifest inside the note, in bytes.
    pub manifest_bytes_max: usize,
}

/// What a load may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadLimits {
    /// Longest time for `dlopen`, the handshake and `create` together. After it the load is given
    /// up, and the library quarantined until its thread comes back.
    pub deadline: Duration,
    /// Refuses to load when this many `pthread` keys are in use: the process has 1,024, and most
    /// Rust libraries take one for as long as they are loaded.
    pub live_keys_max: usize,
    /// Longest reason that a call may give, in bytes; the rest is cut off.
    pub reason_bytes_max: usize,
    /// Longest reply of a control call, in bytes; a longer one is refused.
    pub reply_bytes_max: usize,
    /// What the failure of `create` may take to clean up.
    pub retire: RetireLimits,
}

/// What the end of an instance may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetireLimits {
    /// How long the library may take to stop its runtimes and threads.
    pub quiesce: Duration,
    /// How long `quiesce` and `destroy` may take together, and then `dlclose`, before the thread
    /// that runs them is given up.
    pub exit: Duration,
    /// How long threads and thread-local destructors may still be seen after that.
    pub grace: Duration,
}

/// How a lane runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneLimits {
    /// Calls in flight on the lane; at least 1, at most [`CONCURRENCY_MAX`].
    pub concurrency: u32,
    /// Deliveries that are asked for at once; at least 1, at most [`BATCH_MAX`].
    pub batch: u32,
}

/// Most calls in flight on one lane.
pub const CONCURRENCY_MAX: u32 = 4096;
/// Most deliveries that a lane asks for at once.
pub const BATCH_MAX: u32 = 4096;
/// Most memory for the calls in flight on one lane, in bytes. A library with huge calls gets fewer
/// of them at once.
pub const SLOT_BYTES_MAX: usize = 1 << 30;
/// Control calls in flight on lane 0, beside the deliveries: a slow health check must not hold
/// back a shutdown.
pub const OPS_MAX: usize = 8;
/// Headers of a message and attributes of a metric or span that a library may pass.
pub const PAIRS_MAX: usize = 64;

// === impl InspectLimits ===

impl Default for InspectLimits {
    fn default() -> InspectLimits {
        InspectLimits { file_bytes_max: 512 << 20, manifest_bytes_max: 256 << 10 }
    }
}

// === impl LoadLimits ===

impl Default for LoadLimits {
    fn default() -> LoadLimits {
        LoadLimits {
            deadline: Duration::from_secs(10),
            live_keys_max: 900,
            reason_bytes_max: 64 << 10,
            reply_bytes_max: 16 << 20,
            retire: RetireLimits::default(),
        }
    }
}

// === impl RetireLimits ===

impl Default for RetireLimits {
    fn default() -> RetireLimits {
        RetireLimits {
            quiesce: Duration::from_secs(2),
            exit: Duration::from_secs(5),
            grace: Duration::from_millis(500),
        }
    }
}

// === impl LaneLimits ===

impl Default for LaneLimits {
    fn default() -> LaneLimits {
        LaneLimits { concurrency: 1, batch: 64 }
    }
}

impl LaneLimits {
    pub(crate) fn slots(self) -> usize {
        self.concurrency.clamp(1, CONCURRENCY_MAX) as usize
    }

    pub(crate) fn batch(self) -> usize {
        self.batch.clamp(1, BATCH_MAX) as usize
    }
}
