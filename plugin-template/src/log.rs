//! Log lines.

use patchbay_abi::host::log;

/// How much a log line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Something failed.
    Error,
    /// Something looks wrong.
    Warn,
    /// Something happened.
    Info,
    /// For somebody who looks for a fault.
    Debug,
    /// Everything.
    Trace,
}

// === impl Level ===

impl Level {
    pub(crate) fn code(self) -> u32 {
        match self {
            Level::Error => log::ERROR,
            Level::Warn => log::WARN,
            Level::Info => log::INFO,
            Level::Debug => log::DEBUG,
            Level::Trace => log::TRACE,
        }
    }
}

/// Writes a log line of that [`Level`], with the place it comes from:
/// `log!(context, Level::Info, "took {count} orders")`.
#[macro_export]
macro_rules! log {
    ($context:expr, $level:expr, $($text:tt)+) => {
        $context.telemetry.log($level, module_path!(), file!(), line!(), &format!($($text)+))
    };
}

/// Something failed: `error!(context, "cannot store {id}")`.
#[macro_export]
macro_rules! error {
    ($context:expr, $($text:tt)+) => { $crate::log!($context, $crate::Level::Error, $($text)+) };
}

/// Something looks wrong: `warn!(context, "…")`.
#[macro_export]
macro_rules! warn {
    ($context:expr, $($text:tt)+) => { $crate::log!($context, $crate::Level::Warn, $($text)+) };
}

/// Something happened: `info!(context, "…")`.
#[macro_export]
macro_rules! info {
    ($context:expr, $($text:tt)+) => { $crate::log!($context, $crate::Level::Info, $($text)+) };
}

/// For somebody who looks for a fault: `debug!(context, "…")`.
#[macro_export]
macro_rules! debug {
    ($context:expr, $($text:tt)+) => { $crate::log!($context, $crate::Level::Debug, $($text)+) };
}

/// Everything: `trace!(context, "…")`.
#[macro_export]
macro_rules! trace {
    ($context:expr, $($text:tt)+) => { $crate::log!($context, $crate::Level::Trace, $($text)+) };
}
