//! Instructions of one message, counted by Callgrind: a virtual processor, so that no counter of a real
//! one is needed.
//!
//! What a program needs to start and to end is taken off: two runs with a fixed number of messages each
//! differ in their messages alone. All threads count, publishers and consumers, also what they spin or
//! look around while they wait. Callgrind runs one thread at a time, so nobody contends with anybody.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use patchbay_measure::entry::Outcome;

/// Messages of the shorter and of the longer run.
const MESSAGES: [u64; 2] = [20_000, 100_000];
/// Longest run, seconds.
const MOST: &str = "120";

/// Whether it is there.
pub(crate) fn is_installed() -> bool {
    let version = Command::new("valgrind").arg("--version").stdout(Stdio::null()).status();
    version.is_ok_and(|status| status.success())
}

/// Instructions that a contender runs for one message of a work, or why that is not known.
pub(crate) fn each(program: &Path, contender: &str, work: &str) -> Outcome<Result<f64, String>> {
    let mut counted = [0; 2];
    for (count, messages) in counted.iter_mut().zip(MESSAGES) {
        match run(program, contender, work, messages)? {
            Ok(instructions) => *count = instructions,
            Err(reason) => return Ok(Err(reason)),
        }
    }
    let [few, many] = counted;
    Ok(Ok(many.saturating_sub(few) as f64 / (MESSAGES[1] - MESSAGES[0]) as f64))
}

fn run(program: &Path, contender: &str, work: &str, messages: u64) -> Outcome<Result<u64, String>> {
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", MOST, "valgrind", "--tool=callgrind", "--fair-sched=yes"]);
    command.arg("--callgrind-out-file=/dev/null").arg(program);
    command.args([contender, work, "0", "--messages", &messages.to_string()]);
    let output = command.stdin(Stdio::null()).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    Ok(match total(&said) {
        Some(count) if output.status.success() => Ok(count),
        _ => {
            // What begins like that is of Callgrind's own.
            let own = said.lines().rev().find(|line| !line.starts_with("=="));
            Err(format!("{} ({})", own.unwrap_or("it said nothing"), output.status))
        }
    })
}

/// What Callgrind says at its end, as in `==7== Collected : 1234`.
fn total(said: &str) -> Option<u64> {
    let line = said.lines().rev().find(|line| line.contains("Collected :"))?;
    line.split_once("Collected :")?.1.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_what_callgrind_says_it_collected() {
        let said = "==7== \n==7== Events    : Ir\n==7== Collected : 1234567\n==7== \n";
        assert_eq!(total(said), Some(1_234_567));
        assert_eq!(total("==7== Events    : Ir\n"), None);
    }
}
