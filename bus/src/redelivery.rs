//! What follows from an outcome: the table of promise P-14, as a function.
//!
//! Pure: it reads no clock, takes its randomness as an argument, and touches nothing. The desk of a
//! queue calls it for every outcome but the usual one; a simulation can call it for every outcome.
//!
//! | outcome | next | charged |
//! |---|---|---|
//! | acknowledged | done | |
//! | retry later | not before the clamped delay | attempt |
//! | failed | dead letter at once | attempt |
//! | forwarded | forwarded | attempt |
//! | forward, no room at the target | backoff | attempt |
//! | forward beyond the hop limit | dead letter at once | attempt |
//! | error, panic, timeout, unknown status, forward to an invalid topic | backoff, or dead letter | attempt, failure |
//! | error that says that it will not pass | dead letter at once | attempt, failure |
//! | lease taken | at once | attempt |
//! | not started | as it was | |

mod backoff;
mod breaker;
mod budget;

use std::time::Duration;

pub use backoff::{backoff, clamp_delay};
pub use breaker::{Allowance, Breaker, BreakerLook, BreakerPolicy};
pub use budget::{Budget, BudgetPolicy};

use crate::{
    clock::nanoseconds,
    settlement::{FaultClass, Outcome},
};

/// Longest reason kept, in bytes.
pub const REASON_MAX: usize = 4096;

/// How often and when a delivery is tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// More failures than these, and it is dead.
    pub max_failures: u32,
    /// Never more hand-offs than these.
    pub max_attempts: u32,
    /// Older than this, and it is not tried again.
    pub max_age: Duration,
    /// Ceiling of the first backoff.
    pub backoff_min: Duration,
    /// Ceiling of every backoff.
    pub backoff_max: Duration,
    /// Shortest delay that a handler can ask for.
    pub delay_min: Duration,
    /// Longest delay that a handler can ask for.
    pub delay_max: Duration,
    /// What an error of the handler leads to.
    pub on_error: OnError,
}

/// What an error of the handler leads to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// Another attempt, while there are some left.
    #[default]
    Retry,
    /// Dead letter.
    DeadLetter,
}

/// What is known of a delivery when an attempt of it ends.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    /// Hand-offs, this one included.
    pub attempts: u32,
    /// Failures charged before this one.
    pub failures: u32,
    /// When it was accepted, on the clock of `now`.
    pub accepted_ns: u64,
    /// Whether failures are charged now (an open breaker charges none).
    pub charge: bool,
}

/// What to do with it.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Acknowledged: over.
    Done,
    /// Published to its target: over.
    Forwarded,
    /// Its expiry had passed: dropped.
    Expired,
    /// Back as it was, uncounted.
    Untouched,
    /// Once more, not before `due_ns`.
    Again {
        /// The earliest instant.
        due_ns: u64,
        /// One more failure is charged.
        charged: bool,
        /// It waits for the retry budget as well.
        budgeted: bool,
    },
    /// Never again.
    Dead {
        /// Why.
        cause: DeadCause,
        /// In words, printable.
        reason: String,
        /// One more failure is charged.
        charged: bool,
    },
}

/// Why a delivery is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DeadCause {
    /// The handler answered `Failed`.
    Failed,
    /// More failures than `max_failures`.
    Failures,
    /// One failure that will not pass: the handler said so, or its policy is not to retry.
    Permanent,
    /// `max_attempts` hand-offs.
    Attempts,
    /// Older than `max_age`.
    Age,
    /// Forwarded too often.
    HopLimit,
    /// The process died of it, again and again.
    Poison,
    /// Its subscription had too many waiting when it came.
    Overflow,
    /// It told of a dead letter, and died itself: it stays there, and nobody is told of it.
    Terminal,
}

/// What `outcome` leads to. `random` is any word.
#[must_use]
pub fn next(
    policy: &RetryPolicy,
    standing: Standing,
    outcome: Outcome,
    now_ns: u64,
    random: u64,
) -> Next {
    let retry = |delay_ns| again(policy, standing, now_ns, delay_ns);
    match outcome {
        Outcome::Done => Next::Done,
        Outcome::Forwarded => Next::Forwarded,
        Outcome::Expired => Next::Expired,
        Outcome::Skipped => Next::Untouched,
        Outcome::Retry(delay) => retry(clamp_delay(policy, delay)),
        Outcome::Refused => retry(backoff(policy, standing.attempts, random).max(REFUSED_MIN_NS)),
        Outcome::Revoked => retry(0),
        Outcome::Failed(reason) => dead(DeadCause::Failed, &reason, false),
        Outcome::HopLimit => dead(DeadCause::HopLimit, "hop_limit", false),
        Outcome::Fault(fault) => {
            let hopeless = matches!(fault.class, FaultClass::Permanent | FaultClass::InvalidData)
                || policy.on_error == OnError::DeadLetter && fault.class == FaultClass::Transient;
            let failures = standing.failures.saturating_add(u32::from(standing.charge));
            if hopeless {
                return dead(DeadCause::Permanent, &fault.text, true);
            }
            if failures > policy.max_failures {
                return dead(DeadCause::Failures, &fault.text, true);
            }
            let mut delay = backoff(policy, failures.max(1), random);
            if !standing.charge {
                // A probe that fails must not be the next probe again.
                delay = delay.max(PROBE_AGAIN_NS);
            }
            match retry(delay) {
                Next::Again { due_ns, .. } => {
                    Next::Again { due_ns, charged: standing.charge, budgeted: true }
                }
                Next::Dead { cause, .. } => dead(cause, &fault.text, true),
                other => other,
            }
        }
    }
}

/// What an outcome means when the version that is responsible for it is on trial, and whether the
/// other version has the next attempt: a failure is charged to the trial, and not to the message.
#[must_use]
pub fn on_trial(outcome: Outcome) -> (Outcome, bool) {
    match outcome {
        Outcome::Fault(_) | Outcome::Failed(_) | Outcome::HopLimit => (Outcome::Revoked, true),
        Outcome::Retry(_) | Outcome::Refused | Outcome::Revoked => (outcome, true),
        Outcome::Done | Outcome::Forwarded | Outcome::Expired | Outcome::Skipped => {
            (outcome, false)
        }
    }
}

/// A full target is asked again no faster than this.
const REFUSED_MIN_NS: u64 = 1_000_000;
/// See its use; longer than the breaker's distance between probes.
const PROBE_AGAIN_NS: u64 = 1_500_000_000;

fn again(policy: &RetryPolicy, standing: Standing, now_ns: u64, delay_ns: u64) -> Next {
    if standing.attempts >= policy.max_attempts {
        let reason = format!("{} attempts without an end", standing.attempts);
        return dead(DeadCause::Attempts, &reason, false);
    }
    // Accepted in an earlier life, it may lie before the zero of this clock.
    let age = (now_ns.wrapping_sub(standing.accepted_ns) as i64).max(0) as u64;
    if age > nanoseconds(policy.max_age) {
        let reason = format!("older than {} s", policy.max_age.as_secs());
        return dead(DeadCause::Age, &reason, false);
    }
    Next::Again { due_ns: now_ns.saturating_add(delay_ns), charged: false, budgeted: false }
}

fn dead(cause: DeadCause, reason: &str, charged: bool) -> Next {
    Next::Dead { cause, reason: printable(reason), charged }
}

/// A reason as it is kept: control characters escaped, and cut to [`REASON_MAX`] bytes.
#[must_use]
pub fn printable(reason: &str) -> String {
    const CUT: &str = "…";
    let mut text = String::with_capacity(reason.len().min(REASON_MAX));
    let mut fits = 0;
    for character in reason.chars() {
        if character.is_control() || reorders(character) {
            text.extend(character.escape_default());
        } else {
            text.push(character);
        }
        if text.len() <= REASON_MAX - CUT.len() {
            fits = text.len();
        }
        if text.len() > REASON_MAX {
            text.truncate(fits);
            text.push_str(CUT);
            break;
        }
    }
    text
}

/// Whether a character hides or reorders the text around it when it is shown.
fn reorders(character: char) -> bool {
    matches!(
        character,
        '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}'
            | '\u{feff}'
    )
}

// === impl RetryPolicy ===

impl Default for RetryPolicy {
    fn default() -> Self {
        RetryPolicy {
            max_failures: 5,
            max_attempts: 100,
            max_age: Duration::from_secs(24 * 3600),
            backoff_min: Duration::from_millis(100),
            backoff_max: Duration::from_secs(60),
            delay_min: Duration::from_millis(10),
            delay_max: Duration::from_secs(3600),
            on_error: OnError::Retry,
        }
    }
}

// === impl DeadCause ===

impl DeadCause {
    /// The label in metrics and in `Patchbay-Dead-Class`.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            DeadCause::Failed => "failed",
            DeadCause::Failures => "max_failures",
            DeadCause::Permanent => "permanent",
            DeadCause::Attempts => "max_attempts",
            DeadCause::Age => "max_age",
            DeadCause::HopLimit => "hop_limit",
            DeadCause::Poison => "poison",
            DeadCause::Overflow => "overflow",
            DeadCause::Terminal => "terminal",
        }
    }

    const ALL: [DeadCause; 9] = [
        DeadCause::Failed,
        DeadCause::Failures,
        DeadCause::Permanent,
        DeadCause::Attempts,
        DeadCause::Age,
        DeadCause::HopLimit,
        DeadCause::Poison,
        DeadCause::Overflow,
        DeadCause::Terminal,
    ];

    /// Its number in the journal: these never change.
    pub(crate) const fn number(self) -> u8 {
        self as u8
    }

    pub(crate) fn of_number(number: u8) -> Option<DeadCause> {
        DeadCause::ALL.into_iter().find(|cause| cause.number() == number)
    }
}

#[cfg(test)]
mod tests;
