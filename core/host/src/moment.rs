//! Instants as people read them.

use std::time::{Duration, UNIX_EPOCH};

/// RFC 3339 in UTC, to the microsecond.
pub(crate) fn text(unix_ns: u64) -> String {
    let at = UNIX_EPOCH + Duration::from_nanos(unix_ns);
    humantime::format_rfc3339_micros(at).to_string()
}
