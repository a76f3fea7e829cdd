//! A table of cases, and what each is judged as.

use patchbay_lifecycle::transition::{
    Comparison, Figures, Judgement, Latencies, Metric, Rule, Sample,
    verdict::Verdict::{self, Fail, Inconclusive, Pass},
};

use super::samples::{NEW, OLD, sample};

const MIN: u64 = 50;

fn judge(candidate: &Sample, baseline: &Sample) -> Judgement {
    Rule::default().judge(&candidate.into(), &baseline.into(), MIN, None)
}

fn slow(attempts: u64, every: u64, ns: u64) -> Sample {
    let mut latencies = Latencies::default();
    (0..attempts).for_each(|i| latencies.record(if i % every == 0 { ns } else { 1_000_000 }));
    Sample { latencies: Some(latencies), ..sample(NEW, attempts, 0) }
}

#[test]
fn the_table_of_verdicts() {
    let base = sample(OLD, 1_000, 10);
    let base = &base;
    let with = |change: &dyn Fn(&mut Sample)| {
        let mut it = sample(NEW, 1_000, 10);
        change(&mut it);
        it
    };
    let nothing = sample(OLD, 0, 0);
    let cases: &[(&str, Verdict, Sample, &Sample)] = &[
        ("equal versions", Pass, sample(NEW, 1_000, 10), base),
        ("a better one", Pass, sample(NEW, 1_000, 0), base),
        ("no samples", Inconclusive, sample(NEW, 0, 0), base),
        ("one sample", Inconclusive, sample(NEW, 1, 0), base),
        ("one sample, and that a failure", Inconclusive, sample(NEW, 1, 1), base),
        ("one below the least number", Inconclusive, sample(NEW, MIN - 1, 0), base),
        ("the least number", Pass, sample(NEW, MIN, 0), base),
        ("all errors", Fail, sample(NEW, 1_000, 1_000), base),
        ("too few, and all errors", Inconclusive, sample(NEW, MIN - 1, MIN - 1), base),
        ("far above the margin", Fail, sample(NEW, 1_000, 80), base),
        ("above the margin, within doubt", Inconclusive, sample(NEW, 100, 4), base),
        ("no baseline", Inconclusive, sample(NEW, 1_000, 0), &nothing),
        ("a baseline as bad", Pass, sample(NEW, 1_000, 500), &sample(OLD, 1_000, 500)),
        ("a crash", Fail, with(&|it| it.crashes = 1), base),
        ("a crash without samples", Fail, with(&|it| (it.attempts, it.crashes) = (0, 1)), base),
        ("unhealthy", Fail, with(&|it| it.healthy = Some(false)), base),
        ("health not known", Inconclusive, with(&|it| it.healthy = None), base),
        ("latency missing", Inconclusive, with(&|it| it.latencies = None), base),
        (
            "latency of nothing",
            Inconclusive,
            with(&|it| it.latencies = Some(Latencies::default())),
            base,
        ),
        ("retries within the margin", Pass, with(&|it| it.retries = 40), base),
        ("retries far above it", Fail, with(&|it| it.retries = 200), base),
        ("a slow call in a thousand", Pass, slow(1_000, 999, 900_000_000), base),
        ("one in ten is slow", Fail, slow(1_000, 10, 900_000_000), base),
        ("half again as slow and 5 ms", Pass, slow(1_000, 1, 6_200_000), base),
        ("twice as slow and 5 ms", Fail, slow(1_000, 1, 7_500_000), base),
        ("more errors than attempts", Inconclusive, with(&|it| it.errors = 2_000), base),
    ];
    for (name, expected, candidate, baseline) in cases {
        let found = judge(candidate, baseline);
        assert_eq!(found.verdict, *expected, "{name}: {found:#?}");
        assert!(!found.reason.is_empty());
    }
}

#[test]
fn what_is_not_a_number_never_passes_and_never_fails() {
    let good = Figures::from(&sample(NEW, 1_000, 10));
    for wrong in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, 2.0] {
        let broken = Figures { error_rate: Some(wrong), ..good };
        for (candidate, baseline) in [(broken, good), (good, broken), (broken, broken)] {
            let found = Rule::default().judge(&candidate, &baseline, MIN, None);
            assert_eq!(found.verdict, Inconclusive, "{wrong}: {found:#?}");
        }
        let broken = Figures { retry_rate: Some(wrong), ..good };
        assert_eq!(Rule::default().judge(&broken, &good, MIN, None).verdict, Inconclusive);
    }
    let mut p99 = good.p99.expect("it has attempts");
    p99.value_ns = f64::NAN;
    let broken = Figures { p99: Some(p99), ..good };
    assert_eq!(Rule::default().judge(&broken, &good, MIN, None).verdict, Inconclusive);
    assert_eq!(Rule::default().judge(&good, &broken, MIN, None).verdict, Inconclusive);
}

#[test]
fn outputs_that_differ_fail_and_outputs_that_were_not_compared_are_inconclusive() {
    let (candidate, baseline) = (sample(NEW, 500, 0), sample(OLD, 500, 0));
    let judged = |compared, matched| {
        let comparison = Comparison { compared, matched, differences: Vec::new() };
        let found = Rule::default().judge(
            &Figures::from(&candidate),
            &Figures::from(&baseline),
            MIN,
            Some(&comparison),
        );
        assert!(found.findings.iter().any(|it| it.metric == Metric::OutputMatch));
        found.verdict
    };
    assert_eq!(judged(0, 0), Inconclusive);
    assert_eq!(judged(500, 500), Pass);
    assert_eq!(judged(500, 497), Pass, "99 % are enough");
    assert_eq!(judged(500, 400), Fail);
    assert_eq!(judged(20, 20), Inconclusive, "too few");
    assert_eq!(judged(20, 0), Inconclusive, "too few");
    assert_eq!(judged(60, 59), Inconclusive, "one of sixty may be bad luck");
}
