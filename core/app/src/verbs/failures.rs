//! The failures of a delivery, as every page shows them.

use std::fmt::Write as _;

use patchbay_host::view::FailureRecord;

use crate::output::harmless;

/// Adds a line for each.
pub(super) fn tell(text: &mut String, failures: &[FailureRecord]) {
    for failure in failures {
        let who = match (&*failure.version, failure.generation) {
            ("", 0) => "version not known".to_owned(),
            (version, generation) => format!("version {version} (generation {generation})"),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "  attempt {}  {}  {} {who}: {}",
            failure.attempt,
            failure.at,
            failure.plugin,
            harmless(&failure.reason),
        );
    }
}
