use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::settlement::Fault;

const SECOND: u64 = 1_000_000_000;

fn standing(attempts: u32, failures: u32) -> Standing {
    Standing { attempts, failures, accepted_ns: SECOND, charge: true }
}

fn decide(attempts: u32, failures: u32, outcome: Outcome) -> Next {
    next(&RetryPolicy::default(), standing(attempts, failures), outcome, 2 * SECOND, u64::MAX)
}

fn fault(class: FaultClass) -> Outcome {
    Outcome::Fault(Fault { class, text: "why".into() })
}

fn due(next: &Next) -> Option<(u64, bool)> {
    match next {
        Next::Again { due_ns, charged, .. } => Some((due_ns - 2 * SECOND, *charged)),
        _ => None,
    }
}

#[test]
fn every_delay_a_handler_can_ask_for_is_clamped_and_none_panics() {
    for (asked, given) in [
        (0, 10_000_000),
        (1, 10_000_000),
        (20_000_000, 20_000_000),
        (3_600 * SECOND + 1, 3_600 * SECOND),
        (u64::MAX, 3_600 * SECOND),
    ] {
        let next = decide(1, 0, Outcome::Retry(asked));
        assert_eq!(due(&next), Some((given, false)), "asked for {asked}");
    }
    let upside_down = RetryPolicy {
        delay_min: Duration::MAX,
        delay_max: Duration::ZERO,
        ..RetryPolicy::default()
    };
    assert_eq!(clamp_delay(&upside_down, 5), 0);
}

#[test]
fn the_sixth_failure_is_the_last() {
    for failures in 0..5 {
        let next = decide(failures + 1, failures, fault(FaultClass::Transient));
        assert!(matches!(next, Next::Again { charged: true, budgeted: true, .. }), "{next:?}");
    }
    let next = decide(6, 5, fault(FaultClass::Panic));
    let Next::Dead { cause: DeadCause::Failures, reason, charged: true } = next else {
        panic!("{next:?}")
    };
    assert_eq!(reason, "why");
}

#[test]
fn no_delivery_is_handed_off_more_than_max_attempts_times() {
    assert!(matches!(decide(99, 0, Outcome::Retry(0)), Next::Again { .. }));
    for outcome in [Outcome::Retry(0), Outcome::Refused, Outcome::Revoked] {
        let next = decide(100, 0, outcome);
        assert!(matches!(next, Next::Dead { cause: DeadCause::Attempts, .. }), "{next:?}");
    }
}

#[test]
fn what_is_too_old_is_not_tried_again() {
    let policy = RetryPolicy { max_age: Duration::from_secs(60), ..RetryPolicy::default() };
    let at = |now| next(&policy, standing(1, 0), Outcome::Retry(0), now, 0);
    assert!(matches!(at(61 * SECOND), Next::Again { .. }));
    assert!(matches!(at(61 * SECOND + 1), Next::Dead { cause: DeadCause::Age, .. }));
}

#[test]
fn an_error_that_will_not_pass_is_dead_at_once_and_one_that_may_follows_the_policy() {
    for class in [FaultClass::Permanent, FaultClass::InvalidData] {
        let next = decide(1, 0, fault(class));
        assert!(matches!(next, Next::Dead { cause: DeadCause::Permanent, charged: true, .. }));
    }
    let strict = RetryPolicy { on_error: OnError::DeadLetter, ..RetryPolicy::default() };
    let judge = |class| next(&strict, standing(1, 0), fault(class), 2 * SECOND, 0);
    let judged = judge(FaultClass::Transient);
    assert!(matches!(judged, Next::Dead { cause: DeadCause::Permanent, .. }));
    // A panic or a timeout is no answer of the handler.
    assert!(matches!(judge(FaultClass::Panic), Next::Again { .. }));
    assert!(matches!(judge(FaultClass::Timeout), Next::Again { .. }));
}

#[test]
fn an_open_breaker_charges_nothing() {
    let open = Standing { charge: false, ..standing(50, 5) };
    let next = next(&RetryPolicy::default(), open, fault(FaultClass::Transient), 2 * SECOND, 0);
    let Next::Again { charged: false, due_ns, .. } = next else { panic!("{next:?}") };
    assert!(due_ns > 3 * SECOND, "a failed probe must not be the next probe");
}

#[test]
fn a_revoked_attempt_is_repeated_at_once_and_a_full_target_is_asked_later() {
    assert_eq!(due(&decide(1, 0, Outcome::Revoked)), Some((0, false)));
    assert_eq!(due(&decide(1, 0, Outcome::Refused)), Some((100_000_000, false)));
}

#[test]
fn reasons_are_cut_and_show_no_control_characters() {
    assert_eq!(printable("a\nb\u{1b}[2J\0"), "a\\nb\\u{1b}[2J\\u{0}");
    assert_eq!(printable("\u{202e}evil"), "\\u{202e}evil");
    assert_eq!(printable("größer"), "größer");
    for text in ["x".repeat(10_000), "ü".repeat(5_000), "\n".repeat(4_096), "\x1b".repeat(690)] {
        let kept = printable(&text);
        assert!(kept.len() <= REASON_MAX && kept.ends_with('…'), "{} bytes", kept.len());
    }
    assert_eq!(printable(&"x".repeat(4_000)).len(), 4_000);
}

#[test]
fn the_breaker_opens_on_half_failures_probes_once_a_second_and_closes_on_success() {
    let mut breaker = Breaker::new(BreakerPolicy::default());
    let mut now = 100 * SECOND;
    for _ in 0..24 {
        breaker.record(now, 2, 1);
        assert!(breaker.is_closed(), "49 attempts say nothing");
    }
    assert_eq!(breaker.look().opened, 0);
    breaker.record(now, 2, 1);
    assert!(!breaker.is_closed());
    let look = breaker.look();
    assert_eq!((look.opened, look.opened_at_ns), (1, Some(now)));
    assert_eq!((look.attempts, look.failures), (50, 25), "{look:?}");
    assert_eq!((look.probing, look.next_probe_ns), (false, Some(now + SECOND)));
    assert_eq!(breaker.allowance(now), Allowance::Nothing(Some(now + SECOND)));
    for _ in 0..3 {
        now += SECOND;
        assert_eq!(breaker.allowance(now), Allowance::Probe);
        breaker.probing(now);
        assert_eq!(breaker.allowance(now), Allowance::Nothing(Some(now + SECOND)));
        breaker.record(now, 1, 1);
    }
    now += SECOND;
    breaker.probing(now);
    breaker.record(now, 1, 0);
    assert_eq!(breaker.allowance(now), Allowance::All);
    breaker.record(now, 1, 1);
    assert!(breaker.is_closed(), "the past is forgiven");
}

#[test]
fn the_breaker_forgets_what_lies_outside_its_window() {
    let mut breaker = Breaker::new(BreakerPolicy::default());
    breaker.record(100 * SECOND, 49, 49);
    breaker.record(111 * SECOND, 1, 1);
    assert!(breaker.is_closed());
    breaker.record(111 * SECOND, 49, 49);
    assert!(!breaker.is_closed());
}

#[test]
fn the_budget_lets_a_fifth_of_first_attempts_and_ten_a_second_through() {
    let mut now = SECOND;
    let mut budget = Budget::new(BudgetPolicy::default(), now);
    let mut spent = 0;
    for _ in 0..100 {
        budget.earn(10);
        now += 10_000_000;
        while budget.spend(now) {
            spent += 1;
        }
    }
    // 1,000 first attempts over one second, and the ten that it starts with.
    assert!((218..=220).contains(&spent), "{spent}");
    let next = budget.next_ns().unwrap();
    assert!(!budget.spend(next - 1));
    assert!(budget.spend(next));
}

proptest! {
    #[test]
    fn backoff_is_full_jitter_below_its_ceiling(n in 0u32..200, random: u64) {
        let policy = RetryPolicy::default();
        let ceiling = 100_000_000u64.saturating_mul(1u64 << n.saturating_sub(1).min(20));
        prop_assert!(backoff(&policy, n, random) <= ceiling.min(60 * SECOND));
        prop_assert_eq!(backoff(&policy, n, 0), 0);
        prop_assert_eq!(backoff(&policy, n, u64::MAX), ceiling.min(60 * SECOND));
    }

    #[test]
    fn reasons_of_any_text_stay_short_and_printable(text in "\\PC*|[\\x00-\\x1f\u{80}-\u{9f}a-z]{0,900}") {
        let kept = printable(&text);
        prop_assert!(kept.len() <= REASON_MAX);
        prop_assert!(!kept.chars().any(char::is_control));
    }

    #[test]
    fn the_budget_never_gives_more_than_its_rates(steps in prop::collection::vec((0u64..50, 0u64..200_000_000), 1..200)) {
        let policy = BudgetPolicy { percent: 20, per_second: 10, burst: 1000 };
        let mut now = SECOND;
        let mut budget = Budget::new(policy, now);
        let (mut first, mut spent) = (0, 0u64);
        for (attempts, pause) in steps {
            budget.earn(attempts);
            first += attempts;
            now += pause;
            while budget.spend(now) { spent += 1; }
            let most = first as f64 * 0.2 + (now - SECOND) as f64 / 1e9 * 10.0 + 10.0;
            prop_assert!(spent as f64 <= most + 1e-6, "{spent} of {most}");
        }
    }
}
