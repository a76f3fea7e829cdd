//! Faults that are planted in the journal: each is found by a test of it.
//!
//! The tests are run again, in a process of their own that has the fault; they must fail.

use std::{env, process::Command};

const FAULT: &str = "PATCHBAY_PLANTED_FAULT";
const CRASHES: &str =
    "crash_states::every_state_that_a_crash_can_leave_is_a_prefix_with_everything_promised_in_it";
const FAILURES: &str =
    "failures::after_the_first_error_nothing_is_written_flushed_or_reported_any_more";
const FREED: &str = "cleaning::a_segment_is_freed_only_when_all_that_frees_it_is_on_the_device";
/// A fault, and the test that finds it.
const FAULTS: &[(&str, &str)] = &[
    ("ack-before-write", CRASHES),
    ("skip-dir-sync", CRASHES),
    ("retry-failed-fsync", FAILURES),
    ("free-before-settlement-sync", FREED),
];

#[test]
fn every_planted_fault_is_found() {
    if env::var_os(FAULT).is_some() {
        // One of those that are run again.
        return;
    }
    for (fault, test) in FAULTS {
        let mut command = Command::new(env::current_exe().expect("this test"));
        let run = command.args(["--exact", test]).env(FAULT, fault).output();
        let run = run.expect("a run of a test");
        let said = String::from_utf8_lossy(&run.stdout);
        assert!(said.contains("running 1 test"), "{test} is not there");
        assert!(!run.status.success(), "{fault} was not found by {test}");
        let mut lines = said.lines().skip_while(|line| !line.contains("panicked at"));
        let found = lines.nth(1).unwrap_or_default();
        println!("{fault}: found by {test}: {}", found.trim());
    }
}
