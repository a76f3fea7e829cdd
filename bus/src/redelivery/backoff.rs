//! How long until the next attempt.

use super::RetryPolicy;
use crate::clock::nanoseconds;

/// The host's backoff after the `n`-th failure: anything up to `backoff_min * 2^(n-1)`, at most
/// `backoff_max` (full jitter). Uniform in `random`.
#[must_use]
pub fn backoff(policy: &RetryPolicy, n: u32, random: u64) -> u64 {
    let first = nanoseconds(policy.backoff_min);
    let ceiling = match 1u64.checked_shl(n.saturating_sub(1)) {
        Some(factor) => first.saturating_mul(factor),
        None => u64::MAX,
    };
    let ceiling = ceiling.min(nanoseconds(policy.backoff_max));
    ((u128::from(random) * (u128::from(ceiling) + 1)) >> 64) as u64
}

/// A delay that a handler asked for, within what is allowed.
#[must_use]
pub fn clamp_delay(policy: &RetryPolicy, delay_ns: u64) -> u64 {
    // Not `clamp`, which panics when a policy has its bounds the wrong way round.
    delay_ns.max(nanoseconds(policy.delay_min)).min(nanoseconds(policy.delay_max))
}
