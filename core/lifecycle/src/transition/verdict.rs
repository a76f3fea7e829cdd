//! From what was measured to pass, fail or inconclusive (P-27). Pure arithmetic.
//!
//! A metric *passes* when its estimate is within the limit, *fails* when it is above the limit with
//! about 99.9 % confidence, and is inconclusive in between: then more samples decide. What is
//! missing or not a number is inconclusive and never passes. So equal versions are not told apart
//! by bad luck, and a worse one does not slip through on a few samples.

use serde::{Deserialize, Serialize};

use super::{
    latency::Percentile,
    sample::{Comparison, Sample},
};

/// Standard deviations of the one-sided confidence used everywhere here: about 99.9 %.
pub const Z: f64 = 3.09;

/// What passes and what fails.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// An error rate up to this passes, whatever the baseline's.
    pub error_cap: f64,
    /// How much above the baseline's error rate passes.
    pub error_margin: f64,
    /// How much above the baseline's retry rate passes.
    pub retry_margin: f64,
    /// p99 up to this many times the baseline's passes, …
    pub latency_factor: f64,
    /// … and this many nanoseconds more.
    pub latency_margin_ns: f64,
    /// Least share of outputs that are equal, where outputs are compared.
    pub match_threshold: f64,
}

/// What is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Attempts measured.
    Samples,
    /// Attempts that ended badly.
    ErrorRate,
    /// Attempts that asked for another one.
    RetryRate,
    /// 99 % of the attempts took no longer.
    P99,
    /// Ends that nobody asked for.
    Crashes,
    /// Health checks.
    Health,
    /// Outputs equal to those of the serving version.
    OutputMatch,
}

/// One of three.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Good.
    Pass,
    /// Bad.
    Fail,
    /// Not known, or not known well enough.
    Inconclusive,
}

/// Figures of one version over one period. What is not known is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Attempts.
    pub samples: u64,
    /// Errors of all attempts.
    pub error_rate: Option<f64>,
    /// Retries of all attempts.
    pub retry_rate: Option<f64>,
    /// Latency at 99 %, with its bounds.
    pub p99: Option<Percentile>,
    /// Crashes.
    pub crashes: u64,
    /// The latest health check.
    pub healthy: Option<bool>,
}

/// What one metric says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Which.
    pub metric: Metric,
    /// What it says.
    pub verdict: Verdict,
    /// The candidate's value.
    pub candidate: Option<f64>,
    /// The serving version's value over the same period.
    pub baseline: Option<f64>,
    /// What would have passed.
    pub limit: Option<f64>,
    /// The same in words.
    pub text: String,
}

/// What all metrics together say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// Fail when one fails; else inconclusive when one is; else pass.
    pub verdict: Verdict,
    /// Why, in a sentence.
    pub reason: String,
    /// Each metric.
    pub findings: Vec<Finding>,
}

// === impl Rule ===

impl Default for Rule {
    fn default() -> Rule {
        Rule {
            error_cap: 0.005,
            error_margin: 0.01,
            retry_margin: 0.05,
            latency_factor: 1.5,
            latency_margin_ns: 5_000_000.0,
            match_threshold: 0.99,
        }
    }
}

impl Rule {
    /// Judges the candidate against the baseline of the same period. Fewer than `min_samples`
    /// attempts are inconclusive. `comparison` is given where outputs are compared.
    #[must_use]
    pub fn judge(
        &self,
        candidate: &Figures,
        baseline: &Figures,
        min_samples: u64,
        comparison: Option<&Comparison>,
    ) -> Judgement {
        let mut findings = vec![
            crashes(candidate),
            health(candidate),
            samples(candidate, min_samples),
            self.error_rate(candidate, baseline),
            self.retry_rate(candidate, baseline),
            self.p99(candidate, baseline),
        ];
        if candidate.samples < min_samples {
            // Too few to say anything about what is only counted.
            let counted = [Metric::ErrorRate, Metric::RetryRate, Metric::P99];
            for finding in findings.iter_mut().filter(|it| counted.contains(&it.metric)) {
                finding.verdict = Verdict::Inconclusive;
            }
        }
        findings.extend(comparison.map(|it| self.output_match(it, min_samples)));
        Judgement::of(findings)
    }

    fn error_rate(&self, candidate: &Figures, baseline: &Figures) -> Finding {
        let limit = baseline.error_rate.map(|rate| (rate + self.error_margin).max(self.error_cap));
        let ends = (candidate.error_rate, baseline.error_rate);
        rate(Metric::ErrorRate, "error rate", ends, limit, (candidate, baseline))
    }

    fn retry_rate(&self, candidate: &Figures, baseline: &Figures) -> Finding {
        let limit = baseline.retry_rate.map(|rate| rate + self.retry_margin);
        let ends = (candidate.retry_rate, baseline.retry_rate);
        rate(Metric::RetryRate, "retry rate", ends, limit, (candidate, baseline))
    }

    fn p99(&self, candidate: &Figures, baseline: &Figures) -> Finding {
        let metric = Metric::P99;
        let is_known = |it: &Percentile| {
            [it.value_ns, it.low_ns, it.high_ns].iter().all(|ns| ns.is_finite() && *ns >= 0.0)
        };
        let (own, base) = (candidate.p99.filter(is_known), baseline.p99.filter(is_known));
        let (Some(own), Some(base)) = (own, base) else {
            let text = format!("p99 is not known of {}", missing(own.is_none(), base.is_none()));
            let value = |it: Option<Percentile>| it.map(|it| it.value_ns);
            return Finding::unknown(metric, value(own), value(base), text);
        };
        let allowed = |ns: f64| ns * self.latency_factor + self.latency_margin_ns;
        let (value, limit, base_ns) = (own.value_ns, allowed(base.value_ns), base.value_ns);
        let verdict = if value <= limit {
            Verdict::Pass
        } else if own.low_ns > allowed(base.high_ns) {
            Verdict::Fail
        } else {
            Verdict::Inconclusive
        };
        let ms = |ns: f64| ns / 1_000_000.0;
        let text = format!(
            "p99 {:.2} ms, {:.2} ms allowed (baseline {:.2} ms)",
            ms(value),
            ms(limit),
            ms(base_ns)
        );
        let (candidate, baseline, limit) = (Some(value), Some(base_ns), Some(limit));
        Finding { metric, verdict, candidate, baseline, limit, text }
    }

    fn output_match(&self, comparison: &Comparison, min_samples: u64) -> Finding {
        let metric = Metric::OutputMatch;
        let Comparison { compared, matched, .. } = comparison;
        if *compared == 0 {
            let text = "no output was compared yet".to_owned();
            return Finding::unknown(metric, None, None, text);
        }
        let differs = 1.0 - *matched as f64 / *compared as f64;
        let allowed = 1.0 - self.match_threshold;
        let verdict = if *compared < min_samples {
            Verdict::Inconclusive
        } else if lower_bound(differs, *compared) > allowed {
            Verdict::Fail
        } else if differs > allowed {
            Verdict::Inconclusive
        } else {
            Verdict::Pass
        };
        let text = format!(
            "{matched} of {compared} outputs are equal, {:.1} % required",
            self.match_threshold * 100.0
        );
        let (candidate, limit) = (Some(1.0 - differs), Some(self.match_threshold));
        Finding { metric, verdict, candidate, baseline: None, limit, text }
    }
}

fn crashes(candidate: &Figures) -> Finding {
    let Figures { crashes, .. } = candidate;
    let verdict = if *crashes == 0 { Verdict::Pass } else { Verdict::Fail };
    let text = format!("{crashes} crashes");
    let candidate = Some(*crashes as f64);
    Finding { metric: Metric::Crashes, verdict, candidate, baseline: None, limit: Some(0.0), text }
}

fn health(candidate: &Figures) -> Finding {
    let metric = Metric::Health;
    let (verdict, text) = match candidate.healthy {
        Some(true) => (Verdict::Pass, "healthy"),
        Some(false) => (Verdict::Fail, "the health check failed"),
        None => (Verdict::Inconclusive, "the health is not known"),
    };
    Finding {
        verdict,
        text: text.to_owned(),
        ..Finding::unknown(metric, None, None, String::new())
    }
}

fn samples(candidate: &Figures, min_samples: u64) -> Finding {
    let Figures { samples, .. } = candidate;
    let enough = *samples >= min_samples.max(1);
    Finding {
        metric: Metric::Samples,
        verdict: if enough { Verdict::Pass } else { Verdict::Inconclusive },
        candidate: Some(*samples as f64),
        baseline: None,
        limit: Some(min_samples as f64),
        text: format!("{samples} samples, {min_samples} required"),
    }
}

/// Judges a rate against a limit that is itself a rate plus a margin. Both ends are estimates, so
/// the doubt of both is taken into account.
fn rate(
    metric: Metric,
    name: &str,
    (own, base): (Option<f64>, Option<f64>),
    limit: Option<f64>,
    (candidate, baseline): (&Figures, &Figures),
) -> Finding {
    let is_rate = |it: &f64| (0.0..=1.0).contains(it);
    let (own, base) = (own.filter(is_rate), base.filter(is_rate));
    let (Some(value), Some(base), Some(limit)) = (own, base, limit) else {
        let text = format!("{name} is not known of {}", missing(own.is_none(), base.is_none()));
        return Finding::unknown(metric, own, base, text);
    };
    let doubt = upper_bound(base, baseline.samples) - base;
    let verdict = if lower_bound(value, candidate.samples) > limit + doubt {
        Verdict::Fail
    } else if value > limit {
        Verdict::Inconclusive
    } else {
        Verdict::Pass
    };
    let percent = |it: f64| it * 100.0;
    let text = format!(
        "{name} {:.2} %, {:.2} % allowed (baseline {:.2} %)",
        percent(value),
        percent(limit),
        percent(base)
    );
    let (candidate, baseline, limit) = (Some(value), Some(base), Some(limit));
    Finding { metric, verdict, candidate, baseline, limit, text }
}

fn missing(candidate: bool, baseline: bool) -> &'static str {
    match (candidate, baseline) {
        (true, true) => "either version",
        (true, false) => "the candidate",
        _ => "the serving version",
    }
}

/// Wilson's bounds of a rate: what the true rate hardly lies below, or above.
fn bounds(rate: f64, samples: u64) -> (f64, f64) {
    if samples == 0 {
        return (0.0, 1.0);
    }
    let (n, z2) = (samples as f64, Z * Z);
    let middle = rate + z2 / (2.0 * n);
    let spread = Z * (rate * (1.0 - rate) / n + z2 / (4.0 * n * n)).sqrt();
    let whole = 1.0 + z2 / n;
    (((middle - spread) / whole).max(0.0), ((middle + spread) / whole).min(1.0))
}

fn lower_bound(rate: f64, samples: u64) -> f64 {
    bounds(rate, samples).0
}

fn upper_bound(rate: f64, samples: u64) -> f64 {
    bounds(rate, samples).1
}

// === impl Figures ===

impl From<&Sample> for Figures {
    fn from(sample: &Sample) -> Figures {
        let rate =
            |count: u64| (sample.attempts > 0).then(|| count as f64 / sample.attempts as f64);
        Figures {
            samples: sample.attempts,
            error_rate: rate(sample.errors),
            retry_rate: rate(sample.retries),
            p99: sample.latencies.as_ref().and_then(|it| it.percentile(0.99)),
            crashes: sample.crashes,
            healthy: sample.healthy,
        }
    }
}

// === impl Verdict ===

impl Verdict {
    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Pass => "pass",
            Verdict::Fail => "fail",
            Verdict::Inconclusive => "inconclusive",
        }
    }
}

// === impl Finding ===

impl Finding {
    fn unknown(
        metric: Metric,
        candidate: Option<f64>,
        baseline: Option<f64>,
        text: String,
    ) -> Finding {
        let verdict = Verdict::Inconclusive;
        Finding { metric, verdict, candidate, baseline, limit: None, text }
    }
}

// === impl Judgement ===

impl Judgement {
    /// What findings amount to.
    #[must_use]
    pub fn of(findings: Vec<Finding>) -> Judgement {
        let first = |verdict: Verdict| findings.iter().find(|it| it.verdict == verdict);
        let (verdict, reason) = match (first(Verdict::Fail), first(Verdict::Inconclusive)) {
            (Some(bad), _) => (Verdict::Fail, bad.text.clone()),
            (None, Some(open)) => (Verdict::Inconclusive, open.text.clone()),
            (None, None) => (Verdict::Pass, "everything is within its limits".to_owned()),
        };
        Judgement { verdict, reason, findings }
    }

    /// A failure that needs no figures.
    #[must_use]
    pub fn failed(reason: impl Into<String>) -> Judgement {
        Judgement { verdict: Verdict::Fail, reason: reason.into(), findings: Vec::new() }
    }
}
