//! What plugins log, count and trace: kept in bounds, shown by `plugin info` and `plugin logs`, and
//! passed on to `tracing` and OpenTelemetry.
//!
//! It belongs to the plugin *name*: a new version goes on counting where the old one stopped.

pub(crate) mod logs;
pub(crate) mod measures;
pub(crate) mod metrics;
pub(crate) mod spans;
pub(crate) mod trace;

/// The name under which the host's meter and tracer are known.
pub(crate) const SCOPE: &str = "patchbay";
