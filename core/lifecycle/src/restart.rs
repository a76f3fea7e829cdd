//! Whether and when to try again.
//!
//! Intensity is counted per plugin (P-31): more than [`RestartLimits::intensity`] restarts within
//! [`RestartLimits::period`] and the plugin is given up. Backoff grows with the restarts since the
//! last long healthy time, so that a plugin that fails every half minute slows down as well.
//!
//! **Absent on purpose.** No clock and no random numbers: both come as arguments.

use std::{collections::VecDeque, time::Duration};

use crate::{FailureKind, Refusal};

/// Setbacks that are remembered per plugin.
pub const SETBACKS_MAX: usize = 16;

/// Bounds of the restart policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestartLimits {
    /// Restarts allowed within the period.
    pub intensity: u32,
    /// The period.
    pub period: Duration,
    /// Upper bound of the first delay; doubled with every restart.
    pub backoff_min: Duration,
    /// Upper bound of every delay.
    pub backoff_max: Duration,
    /// Healthy time after which the backoff starts from the beginning.
    pub forget_after: Duration,
}

/// What a plugin's manifest says about restarts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RestartPolicy {
    /// After every end that nobody asked for.
    Always,
    /// After a failure. A plugin has no end of its own other than a failure, so this equals
    /// `Always`; both words are understood because people know both.
    #[default]
    OnFailure,
    /// Never.
    Never,
}

/// What to do about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Try again after this long.
    RestartAfter(Duration),
    /// The policy forbids it.
    LeaveDown,
    /// Too many restarts in too short a time.
    GiveUp,
}

/// A failure that was dealt with: what it was, and what was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setback {
    /// When, nanoseconds since the Unix epoch.
    pub at_unix_ns: u64,
    /// What kind of thing failed.
    pub kind: FailureKind,
    /// What failed.
    pub reason: String,
    /// What was decided.
    pub decision: Decision,
}

/// The latest setbacks of one plugin, oldest first. They outlast restarts: a plugin that runs again
/// still tells why it had to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Setbacks(VecDeque<Setback>);

/// The restarts of one plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RestartWindow {
    /// Instants of the restarts within the period, monotonic nanoseconds, oldest first.
    recent: VecDeque<u64>,
    /// Restarts since the last long healthy time.
    in_a_row: u32,
    /// The latest restart.
    latest_ns: Option<u64>,
}

// === impl RestartLimits ===

impl Default for RestartLimits {
    fn default() -> RestartLimits {
        RestartLimits {
            intensity: 5,
            period: Duration::from_secs(60),
            backoff_min: Duration::from_millis(100),
            backoff_max: Duration::from_secs(30),
            forget_after: Duration::from_secs(600),
        }
    }
}

// === impl RestartPolicy ===

impl RestartPolicy {
    /// Decides about one failure at `now_ns`, and counts it. `dice` is any random number.
    pub fn decide(
        self,
        window: &mut RestartWindow,
        limits: &RestartLimits,
        now_ns: u64,
        dice: u64,
    ) -> Decision {
        if self == RestartPolicy::Never {
            return Decision::LeaveDown;
        }
        if !window.admit(limits, now_ns) {
            return Decision::GiveUp;
        }
        Decision::RestartAfter(backoff(limits, window.in_a_row - 1, dice))
    }
}

// === impl Decision ===

impl Decision {
    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Decision::RestartAfter(_) => "restart",
            Decision::LeaveDown => "leave_down",
            Decision::GiveUp => "give_up",
        }
    }
}

// === impl Setbacks ===

impl Setbacks {
    /// Remembers one; the oldest is forgotten when there are too many.
    pub(crate) fn note(&mut self, refusal: &Refusal, decision: Decision, at_unix_ns: u64) {
        if self.0.len() >= SETBACKS_MAX {
            self.0.pop_front();
        }
        let (kind, reason) = (refusal.kind, refusal.reason.clone());
        self.0.push_back(Setback { at_unix_ns, kind, reason, decision });
    }

    /// All of them, newest first.
    pub fn newest_first(&self) -> impl Iterator<Item = &Setback> {
        self.0.iter().rev()
    }
}

// === impl RestartWindow ===

impl RestartWindow {
    /// Restarts since the last long healthy time.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.in_a_row
    }

    /// Restarts within the period that ends now: so many count against the intensity.
    #[must_use]
    pub fn recent(&self, limits: &RestartLimits, now_ns: u64) -> u32 {
        let period_ns = nanoseconds(limits.period);
        let counts = |at: &&u64| now_ns.saturating_sub(**at) < period_ns;
        u32::try_from(self.recent.iter().filter(counts).count()).unwrap_or(u32::MAX)
    }

    /// The longest wait before the next restart, should one be needed now.
    #[must_use]
    pub fn next_wait_max(&self, limits: &RestartLimits, now_ns: u64) -> Duration {
        let forgotten = self
            .latest_ns
            .is_none_or(|latest| now_ns.saturating_sub(latest) >= nanoseconds(limits.forget_after));
        backoff_bound(limits, if forgotten { 0 } else { self.in_a_row })
    }

    /// Counts one more restart, if the intensity allows it.
    fn admit(&mut self, limits: &RestartLimits, now_ns: u64) -> bool {
        let forget_ns = nanoseconds(limits.forget_after);
        if self.latest_ns.is_some_and(|latest| now_ns.saturating_sub(latest) >= forget_ns) {
            *self = RestartWindow::default();
        }
        let period_ns = nanoseconds(limits.period);
        self.recent.retain(|at| now_ns.saturating_sub(*at) < period_ns);
        if self.recent.len() >= limits.intensity as usize {
            return false;
        }
        self.recent.push_back(now_ns);
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.latest_ns = Some(now_ns);
        true
    }
}

/// Full jitter: anything from nothing to `min(backoff_max, backoff_min * 2^restarts)`.
#[must_use]
pub fn backoff(limits: &RestartLimits, restarts: u32, dice: u64) -> Duration {
    let bound_ns = nanoseconds(backoff_bound(limits, restarts));
    // Multiply-shift keeps the whole range of the dice without a division.
    let picked = (u128::from(bound_ns) * u128::from(dice)) >> 64;
    Duration::from_nanos(u64::try_from(picked).unwrap_or(bound_ns))
}

fn backoff_bound(limits: &RestartLimits, restarts: u32) -> Duration {
    let doubled = 2_u32.checked_pow(restarts).and_then(|by| limits.backoff_min.checked_mul(by));
    doubled.unwrap_or(limits.backoff_max).min(limits.backoff_max)
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn the_sixth_restart_within_a_minute_is_refused() {
        let (limits, mut window) = (RestartLimits::default(), RestartWindow::default());
        for i in 0..5 {
            let decision =
                RestartPolicy::OnFailure.decide(&mut window, &limits, i * SECOND, u64::MAX);
            assert!(matches!(decision, Decision::RestartAfter(_)), "{i}: {decision:?}");
        }
        let decision = RestartPolicy::OnFailure.decide(&mut window, &limits, 59 * SECOND, 0);
        assert_eq!(decision, Decision::GiveUp);
        let decision = RestartPolicy::OnFailure.decide(&mut window, &limits, 60 * SECOND, 0);
        assert!(matches!(decision, Decision::RestartAfter(_)), "the first one has aged out");
    }

    #[test]
    fn backoff_doubles_to_its_bound_and_starts_over_after_a_long_healthy_time() {
        let limits = RestartLimits { intensity: 1_000, ..RestartLimits::default() };
        let mut window = RestartWindow::default();
        let mut delays = Vec::new();
        for i in 0..12 {
            match RestartPolicy::Always.decide(&mut window, &limits, i * 60 * SECOND, u64::MAX) {
                Decision::RestartAfter(delay) => delays.push(delay.as_millis() + 1),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(&delays[..4], &[100, 200, 400, 800]);
        assert_eq!(&delays[9..], &[30_000, 30_000, 30_000]);
        let later = (11 * 60 + 600) * SECOND;
        let decision = RestartPolicy::Always.decide(&mut window, &limits, later, u64::MAX);
        assert!(
            matches!(decision, Decision::RestartAfter(delay) if delay <= limits.backoff_min),
            "{decision:?}"
        );
    }

    #[test]
    fn what_counts_against_the_intensity_and_the_next_wait_can_be_seen() {
        let (limits, mut window) = (RestartLimits::default(), RestartWindow::default());
        assert_eq!(window.next_wait_max(&limits, 0), Duration::from_millis(100));
        for i in 0..3 {
            RestartPolicy::OnFailure.decide(&mut window, &limits, i * SECOND, 0);
        }
        assert_eq!(window.recent(&limits, 3 * SECOND), 3);
        assert_eq!(window.next_wait_max(&limits, 3 * SECOND), Duration::from_millis(800));
        assert_eq!(window.recent(&limits, 61 * SECOND), 1, "two have aged out");
        assert_eq!(window.next_wait_max(&limits, 602 * SECOND), Duration::from_millis(100));
    }

    #[test]
    fn so_many_setbacks_are_remembered_and_no_more() {
        let mut setbacks = Setbacks::default();
        for at in 0..SETBACKS_MAX as u64 + 3 {
            let reason = format!("failure {at}");
            let lasting = crate::Lasting::Passing;
            let refusal = Refusal { kind: FailureKind::Died, reason, lasting };
            setbacks.note(&refusal, Decision::RestartAfter(Duration::from_millis(at)), at);
        }
        let seen: Vec<&Setback> = setbacks.newest_first().collect();
        assert_eq!((seen.len(), seen[0].at_unix_ns), (SETBACKS_MAX, SETBACKS_MAX as u64 + 2));
        assert_eq!(seen[0].decision.as_str(), "restart");
    }

    #[test]
    fn never_means_never() {
        let mut window = RestartWindow::default();
        let decision =
            RestartPolicy::Never.decide(&mut window, &RestartLimits::default(), 0, u64::MAX);
        assert_eq!(decision, Decision::LeaveDown);
        assert_eq!(window.count(), 0);
    }
}
