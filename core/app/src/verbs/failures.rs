//! The failures of a delivery, as every page shows them.

use std::fmt::Write as _;

use patchbay_host::view::FailureRecord;

use crate::output::harmless;

/// Adds a line for each.
pub(super) fn tell(text: &mut String, failures: &[FailureRecord]) {
    for failure in failures {
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "  attempt {}  {}  version {} (generation {}): {}",
            failure.attempt,
            failure.at,
            failure.version,
            failure.generation,
            harmless(&failure.reason),
        );
    }
}
