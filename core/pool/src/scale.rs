//! How many lanes there should be: a pure function of what was seen.
//!
//! Growing is additive and needs two witnesses: messages that are *old* (a long queue that is
//! worked off quickly needs no second lane; measured, a second lane for tiny handlers is slower)
//! and lanes that are *used*. Shrinking needs time. Lanes are numbered without gaps, so "how many"
//! says it all: the highest number goes first, lane 0 comes first and goes last.

use std::time::Duration;

use crate::config::{PoolConfig, ns};

/// Share of the threshold that the remaining lanes must stay below before one is given up; the gap
/// keeps a pool from adding what it has just removed.
pub(crate) const SURPLUS_SHARE: f64 = 0.6;

/// What the monitor saw of a pool. Times are of the pool's monotonic clock, in nanoseconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// Lanes that are up.
    pub lanes: u32,
    /// Messages that wait and could be handed out now.
    pub backlog: u64,
    /// When the oldest of them was accepted.
    pub oldest_ns: Option<u64>,
    /// Share of the lanes' capacity in use, smoothed, 0 to 1.
    pub load: f64,
    /// Since when nothing has been in flight and nothing has waited.
    pub idle_since_ns: Option<u64>,
    /// Since when one lane less would have been enough.
    pub surplus_since_ns: Option<u64>,
    /// When the number of lanes was last changed.
    pub changed_ns: u64,
    /// Whether messages are taken at all (not paused, draining or stuck).
    pub taking: bool,
    /// Whether a control call or a queue asks for a lane while there is none.
    pub wanted: bool,
}

/// What to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing.
    Keep,
    /// Bring lanes up until there are this many.
    Grow(u32),
    /// Let the highest lanes go until this many are left.
    Shrink(u32),
}

/// Decides how many lanes there should be at `now_ns`.
///
/// The result of `Grow` and `Shrink` always lies within the configured bounds; one more lane at a
/// time for load, any number to reach `min_workers`.
pub fn scale(observed: &Observed, config: &PoolConfig, now_ns: u64) -> Decision {
    let lanes = observed.lanes;
    let floor = floor(observed, config);
    if lanes < floor {
        return Decision::Grow(floor);
    }
    let ceiling = config.max_workers;
    if lanes > ceiling {
        return Decision::Shrink(ceiling);
    }
    if lanes < ceiling && overloaded(observed, config, now_ns) {
        return Decision::Grow(lanes + 1);
    }
    let past = |since: Option<u64>| since.is_some_and(|at| past(at, config.idle_timeout, now_ns));
    if lanes > floor && past(observed.idle_since_ns) {
        return Decision::Shrink(floor);
    }
    if lanes > floor.max(1) && past(observed.surplus_since_ns) && rested(observed, config, now_ns) {
        return Decision::Shrink(lanes - 1);
    }
    Decision::Keep
}

/// Whether the lanes could do with one less, judged at this instant only.
pub(crate) fn surplus(observed: &Observed, config: &PoolConfig) -> bool {
    if observed.lanes < 2 {
        return observed.lanes == 1 && observed.load == 0.0 && observed.backlog == 0;
    }
    let spread = observed.load * f64::from(observed.lanes) / f64::from(observed.lanes - 1);
    spread < config.scaling_threshold * SURPLUS_SHARE
}

/// Lanes there must be. A pool that takes nothing keeps what it has and brings up nothing but
/// lane 0, for a control call.
fn floor(observed: &Observed, config: &PoolConfig) -> u32 {
    let resting = config.resting();
    let kept = if observed.taking { resting } else { resting.min(observed.lanes) };
    kept.max(u32::from(observed.wanted))
}

fn overloaded(observed: &Observed, config: &PoolConfig, now_ns: u64) -> bool {
    if !observed.taking || observed.backlog == 0 || !rested(observed, config, now_ns) {
        return false;
    }
    let used = observed.load >= config.scaling_threshold;
    let old = observed.oldest_ns.is_some_and(|at| past(at, config.grow_after, now_ns));
    let full = observed.backlog as f64 >= config.scaling_threshold * config.queue_size as f64;
    used && (old || full)
}

/// One change has had time to show.
fn rested(observed: &Observed, config: &PoolConfig, now_ns: u64) -> bool {
    past(observed.changed_ns, config.grow_after, now_ns)
}

fn past(since_ns: u64, time: Duration, now_ns: u64) -> bool {
    now_ns.saturating_sub(since_ns) >= ns(time)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn busy(lanes: u32) -> Observed {
        Observed {
            lanes,
            backlog: 10,
            oldest_ns: Some(9 * SECOND),
            load: 1.0,
            idle_since_ns: None,
            surplus_since_ns: None,
            changed_ns: 0,
            taking: true,
            wanted: false,
        }
    }

    fn idle(lanes: u32) -> Observed {
        Observed {
            backlog: 0,
            oldest_ns: None,
            load: 0.0,
            idle_since_ns: Some(SECOND),
            surplus_since_ns: Some(SECOND),
            ..busy(lanes)
        }
    }

    #[test]
    fn a_second_lane_comes_by_the_age_of_the_backlog_and_not_by_its_length() {
        let config = PoolConfig::default();
        assert_eq!(scale(&busy(1), &config, 10 * SECOND), Decision::Grow(2));
        let young = Observed { backlog: 700, oldest_ns: Some(10 * SECOND), ..busy(1) };
        assert_eq!(scale(&young, &config, 10 * SECOND), Decision::Keep);
        let nearly_full = Observed { backlog: 800, ..young };
        assert_eq!(scale(&nearly_full, &config, 10 * SECOND), Decision::Grow(2));
    }

    #[test]
    fn lanes_that_are_not_used_are_not_joined_by_another() {
        let waiting_for_a_key = Observed { load: 0.2, ..busy(1) };
        assert_eq!(scale(&waiting_for_a_key, &PoolConfig::default(), 10 * SECOND), Decision::Keep);
    }

    #[test]
    fn an_idle_pool_goes_to_its_minimum_after_the_timeout_and_not_before() {
        let config = PoolConfig::default();
        assert_eq!(scale(&idle(3), &config, 60 * SECOND), Decision::Keep);
        assert_eq!(scale(&idle(3), &config, 61 * SECOND), Decision::Shrink(0));
        let kept = PoolConfig { min_workers: 2, ..config };
        assert_eq!(scale(&idle(3), &kept, 61 * SECOND), Decision::Shrink(2));
        assert_eq!(scale(&idle(2), &kept, 61 * SECOND), Decision::Keep);
    }

    #[test]
    fn what_is_wanted_brings_lane_zero_even_while_paused() {
        let paused = Observed { taking: false, wanted: true, ..idle(0) };
        assert_eq!(scale(&paused, &PoolConfig::default(), 0), Decision::Grow(1));
        let config = PoolConfig { min_workers: 3, ..PoolConfig::default() };
        assert_eq!(scale(&paused, &config, 0), Decision::Grow(1));
        assert_eq!(scale(&Observed { taking: true, ..paused }, &config, 0), Decision::Grow(3));
    }

    #[test]
    fn without_adaptive_scaling_all_lanes_are_always_there() {
        let config = PoolConfig { adaptive_scaling: false, ..PoolConfig::default() };
        assert_eq!(scale(&idle(0), &config, 0), Decision::Grow(4));
        assert_eq!(scale(&idle(4), &config, 100 * SECOND), Decision::Keep);
    }

    prop_compose! {
        fn any_config()(min in 0u32..6, more in 0u32..6, adaptive: bool, percent in 1u32..=100,
            idle in 1u64..100_000, grow in 1u64..1_000) -> PoolConfig {
            PoolConfig {
                min_workers: min,
                max_workers: (min + more).max(1),
                adaptive_scaling: adaptive,
                scaling_threshold: f64::from(percent) / 100.0,
                idle_timeout: Duration::from_millis(idle),
                grow_after: Duration::from_millis(grow),
                ..PoolConfig::default()
            }
        }
    }

    prop_compose! {
        fn any_observed()(lanes in 0u32..14, backlog in 0u64..2_000, load in 0.0f64..=1.0,
            oldest in proptest::option::of(0u64..100 * SECOND),
            idle in proptest::option::of(0u64..100 * SECOND),
            surplus in proptest::option::of(0u64..100 * SECOND),
            changed in 0u64..100 * SECOND, taking: bool, wanted: bool) -> Observed {
            Observed { lanes, backlog, oldest_ns: oldest, load, idle_since_ns: idle,
                surplus_since_ns: surplus, changed_ns: changed, taking, wanted }
        }
    }

    proptest! {
        #[test]
        fn the_number_of_lanes_never_leaves_its_bounds(
            observed in any_observed(), config in any_config(), now in 0u64..200 * SECOND
        ) {
            let to = match scale(&observed, &config, now) {
                Decision::Keep => {
                    prop_assert!(!observed.wanted || observed.lanes > 0);
                    prop_assert!(!observed.taking || observed.lanes >= config.resting());
                    return Ok(());
                }
                Decision::Grow(to) => {
                    prop_assert!(to > observed.lanes);
                    prop_assert!(to == observed.lanes + 1 || to <= config.resting());
                    to
                }
                Decision::Shrink(to) => {
                    prop_assert!(to < observed.lanes);
                    prop_assert!(to >= u32::from(observed.wanted));
                    prop_assert!(!observed.taking || to >= config.resting());
                    to
                }
            };
            prop_assert!(to <= config.max_workers.max(observed.lanes));
        }

        #[test]
        fn a_pool_that_takes_nothing_grows_only_to_lane_zero(
            observed in any_observed(), config in any_config(), now in 0u64..200 * SECOND
        ) {
            let observed = Observed { taking: false, ..observed };
            if let Decision::Grow(to) = scale(&observed, &config, now) {
                prop_assert!(observed.wanted && to == 1);
            }
        }

        #[test]
        fn a_lane_given_up_for_surplus_is_not_asked_back_by_the_same_load(
            observed in any_observed(), config in any_config(), now in 0u64..200 * SECOND
        ) {
            let config = PoolConfig { min_workers: 0, adaptive_scaling: true, ..config };
            let (less, lanes) = (observed.lanes + 1, observed.lanes + 2);
            // The highest load that still counts as a surplus, or less.
            let after_load = observed.load * config.scaling_threshold * SURPLUS_SHARE * 0.999;
            let load = after_load * f64::from(less) / f64::from(lanes);
            let before = Observed { lanes, load, ..observed.clone() };
            prop_assert!(surplus(&before, &config));
            let after = Observed { lanes: less, load: after_load, changed_ns: 0, ..observed };
            prop_assert!(!matches!(scale(&after, &config, now), Decision::Grow(_)));
        }
    }
}
