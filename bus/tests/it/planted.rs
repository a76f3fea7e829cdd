//! Faults that are planted in the bus: each is found by a test of it.
//!
//! The tests are run again, in a process of their own that has the fault; they must fail.

use std::{env, process::Command};

const FAULT: &str = "PATCHBAY_PLANTED_FAULT";
/// A fault, and the test that finds it.
const FAULTS: &[(&str, &str)] = &[
    ("split-fan-out", "durable::publishing::a_fan_out_is_whole_or_nothing_at_every_write"),
    (
        "settle-before-forward",
        "durable::publishing::a_forward_is_settled_and_published_or_neither_at_every_write",
    ),
    (
        "hand-off-before-commit",
        "durable::publishing::nothing_is_handed_out_or_counted_before_it_has_its_level",
    ),
    ("skip-dedup", "durable::publishing::a_repeat_is_recognised_after_a_restart"),
    (
        "forget-begun",
        "durable::standing::an_attempt_that_a_death_cut_off_counts_and_what_had_not_begun_does_not",
    ),
    ("reset-attempts", "durable::standing::attempts_and_failures_go_on_where_they_were"),
    ("honour-late-ack", "recall::a_revoked_seat_keeps_what_it_finished_and_repeats_only_what_runs"),
    ("ignore-expiry", "outcomes::an_expired_message_is_dropped_and_counted_not_handed_off"),
];

#[test]
fn every_planted_fault_is_found() {
    if env::var_os(FAULT).is_some() {
        // One of those that are run again.
        return;
    }
    for (fault, test) in FAULTS {
        let mut command = Command::new(env::current_exe().unwrap());
        let run = command.args(["--exact", test]).env(FAULT, fault).output().unwrap();
        let said = String::from_utf8_lossy(&run.stdout);
        assert!(said.contains("running 1 test"), "{test} is not there");
        assert!(!run.status.success(), "{fault} was not found by {test}");
        let mut lines = said.lines().skip_while(|line| !line.contains("panicked at"));
        let found = lines.nth(1).unwrap_or_default();
        println!("{fault}: found by {test}: {}", found.trim());
    }
}
