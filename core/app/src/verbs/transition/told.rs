//! Transitions in words.

use std::{
    fmt::Write as _,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use patchbay_gateway::TransitionStatus;
use patchbay_lifecycle::transition::{Entry, Report, Standing, TransitionSpec, VersionReport};
use patchbay_manifest::PluginName;

use crate::output::{Rows, harmless};

/// One line of progress.
pub(super) fn entry(entry: &Entry) -> String {
    progress(entry.at_unix_ns, &entry.phase, entry.share, &harmless(&entry.text))
}

/// A line about where it stands now.
pub(super) fn now(report: &Report, text: &str) -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
    progress(now, &report.phase, report.share, text)
}

fn progress(at_unix_ns: u64, phase: &str, share: u8, text: &str) -> String {
    let clock = time(at_unix_ns);
    let clock = clock.split('T').nth(1).unwrap_or(&clock).trim_end_matches('Z');
    format!("{clock}  {phase:<13} {share:>3} %  {text}")
}

/// What was measured so far and what it means, while both versions are measured.
pub(super) fn figures(report: &Report) -> Option<String> {
    let measured = ["replaying", "probing", "mirroring", "shifting", "waiting", "baking"];
    if !measured.contains(&report.phase.as_str()) {
        return None;
    }
    let (old, new) = (&report.stable, &report.candidate);
    let mut text = format!(
        "{} : {} samples, errors {} : {}",
        old.sample.attempts,
        new.sample.attempts,
        percent(old.error_rate),
        percent(new.error_rate)
    );
    if let Some(latest) = &report.latest {
        let _ = write!(text, "; {}: {}", latest.verdict.as_str(), harmless(&latest.reason));
    }
    if report.paused {
        text.push_str("; waits for `resume` or `promote`");
    }
    Some(text)
}

/// A transition in one sentence.
pub(super) fn line(report: &Report) -> String {
    let spec = &report.spec;
    let waits = if report.paused { ", and waits" } else { "" };
    let state = match &report.outcome {
        Some(outcome) if report.ended_unix_ns.is_some() => harmless(&outcome.to_string()),
        _ => format!("{}{waits}, {} % with {}", report.phase, report.share, ends(spec)[1]),
    };
    let [from, to] = ends(spec);
    format!("{} {from} -> {to}: {state}", spec.plugin)
}

/// What serves and what is to serve: the versions, or the configurations of one version.
fn ends(spec: &TransitionSpec) -> [String; 2] {
    let one = spec.from.library == spec.to.library;
    [&spec.from, &spec.to].map(|end| match one {
        true => format!("{} (config {})", end.version, end.config.short()),
        false => end.version.clone(),
    })
}

/// Transitions, one a line.
pub(super) fn table(all: &[Report]) -> String {
    let mut rows =
        Rows::new(["PLUGIN", "FROM", "TO", "STRATEGY", "PHASE", "SHARE", "STARTED", "OUTCOME"]);
    for report in all {
        let spec = &report.spec;
        let outcome = report.outcome.as_ref().filter(|_| report.ended_unix_ns.is_some());
        let [from, to] = ends(spec);
        rows.row([
            spec.plugin.clone(),
            from,
            to,
            spec.strategy.to_string(),
            report.phase.clone() + if report.paused { " (waits)" } else { "" },
            format!("{} %", report.share),
            time(report.started_unix_ns),
            outcome.map(|it| harmless(&it.to_string())).unwrap_or_default(),
        ]);
    }
    rows.text("no plugin had a transition yet")
}

/// Where a plugin's latest transition stands.
pub(super) fn status(name: &PluginName, status: &TransitionStatus) -> String {
    if let Some(it) = &status.report {
        let mut text = String::new();
        for one in &it.entries {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{}", entry(one));
        }
        return text + &report(it);
    }
    let Some(record) = &status.record else {
        return format!("{name} had no transition");
    };
    let [from, to] = ends(&record.spec);
    let standing = match &record.standing {
        Standing::Trial => "on trial".to_owned(),
        Standing::CutOver => "cut over".to_owned(),
        Standing::Restoring { outcome } | Standing::Over { outcome } => outcome.to_string(),
    };
    format!("{name} {from} -> {to}, in a former life of the host: {}", harmless(&standing))
}

/// Everything that was measured and decided.
pub(super) fn report(report: &Report) -> String {
    let mut text = line(report);
    // Writing to a string cannot fail.
    let _ = writeln!(text, "\n");
    let mut rows = Rows::new(["VERSION", "SAMPLES", "ERRORS", "RETRIES", "CRASHES", "P50", "P99"]);
    let spec = &report.spec;
    for (of, version) in [&report.stable, &report.candidate].into_iter().zip(ends(spec)) {
        rows.row([
            version,
            of.sample.attempts.to_string(),
            percent(of.error_rate),
            percent(of.retry_rate),
            of.sample.crashes.to_string(),
            latency(of, 0.5),
            latency(of, 0.99),
        ]);
    }
    text.push_str(rows.text("").trim_end());
    text.push('\n');
    if let Some(left) = report.bake_left_ms {
        let left = Duration::from_millis(left);
        let _ = writeln!(text, "\nbakes for another {}", humantime::format_duration(left));
    }
    if let Some(verdict) = report.verdict.as_ref().or(report.latest.as_ref()) {
        let recorded = if report.verdict.is_some() { "verdict" } else { "so far" };
        let _ = writeln!(
            text,
            "\n{recorded}: {}: {}",
            verdict.verdict.as_str(),
            harmless(&verdict.reason)
        );
        for finding in &verdict.findings {
            let word = finding.verdict.as_str();
            let _ = writeln!(text, "  {word:<12}  {}", harmless(&finding.text));
        }
    }
    let comparison = &report.comparison;
    if comparison.compared > 0 {
        let (matched, compared) = (comparison.matched, comparison.compared);
        let _ = writeln!(text, "\n{matched} of {compared} outputs are equal");
    }
    for differs in &comparison.differences {
        let _ = writeln!(text, "\n{}", harmless(&differs.subject));
        for (sign, lines) in [('-', &differs.expected), ('+', &differs.found)] {
            for line in lines.lines() {
                let _ = writeln!(text, "  {sign} {}", harmless(line));
            }
        }
    }
    text
}

fn percent(rate: Option<f64>) -> String {
    rate.map_or_else(|| "-".to_owned(), |rate| format!("{:.2} %", rate * 100.0))
}

/// A percentile with the bounds between which it lies.
fn latency(of: &VersionReport, share: f64) -> String {
    let found = of.percentiles.iter().find(|(at, _)| (at - share).abs() < 1e-9);
    found.map_or_else(
        || "-".to_owned(),
        |(_, it)| {
            let (value, low, high) = (span(it.value_ns), span(it.low_ns), span(it.high_ns));
            format!("{value} ({low} to {high})")
        },
    )
}

/// A short time in the unit in which it has digits before the point.
fn span(ns: f64) -> String {
    match ns {
        ns if ns < 1e3 => format!("{ns:.0} ns"),
        ns if ns < 1e6 => format!("{:.1} us", ns / 1e3),
        ns if ns < 1e9 => format!("{:.1} ms", ns / 1e6),
        ns => format!("{:.2} s", ns / 1e9),
    }
}

fn time(unix_ns: u64) -> String {
    let at = UNIX_EPOCH.checked_add(Duration::from_nanos(unix_ns));
    at.map(|at| humantime::format_rfc3339_millis(at).to_string()).unwrap_or_default()
}
