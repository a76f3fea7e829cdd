//! Everything about a plugin, for reading.

use std::fmt::Write as _;

use patchbay_host::view::{MetricView, PluginDetail, SpanView, SupervisionView};

use super::generation_table;
use crate::output::{Rows, harmless};

/// Changes of state and spans that are shown; the JSON form has all.
const LATEST: usize = 8;

/// What writing to a string cannot fail for.
type Text = String;

pub(super) fn text(detail: &PluginDetail) -> String {
    let mut text = Text::new();
    head(&mut text, detail);
    subscriptions(&mut text, detail);
    let supervision = supervision(detail);
    if !supervision.is_empty() {
        section(&mut text, "supervision", &supervision);
    }
    if !detail.generations.is_empty() {
        section(&mut text, "generations", &generation_table(&detail.generations));
    }
    if !detail.metrics.is_empty() {
        section(&mut text, "metrics that it recorded", &metrics(&detail.metrics));
    }
    if let Some(own) = &detail.own_metrics {
        let own = serde_json::to_string_pretty(own).unwrap_or_default();
        section(&mut text, "metrics that it answered", &own);
    }
    if !detail.spans.is_empty() {
        section(&mut text, "latest spans", &spans(&detail.spans));
    }
    if !detail.config.as_object().is_some_and(serde_json::Map::is_empty) {
        let config = serde_json::to_string_pretty(&detail.config).unwrap_or_default();
        section(&mut text, "configuration", &config);
    }
    let history: Vec<String> = detail
        .history
        .iter()
        .take(LATEST)
        .map(|change| {
            let (at, who, why) = (&change.cause.at, &change.cause.who, harmless(&change.cause.why));
            let of = change.generation.map_or(String::new(), |it| format!("generation {it} "));
            format!("{at} {of}{} -> {} ({who}: {why})", change.from, change.to)
        })
        .collect();
    if !history.is_empty() {
        section(&mut text, "latest changes", &history.join("\n"));
    }
    text
}

fn head(text: &mut Text, detail: &PluginDetail) {
    let (plugin, supervision) = (&detail.plugin, &detail.supervision);
    let mut say = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:<12} {}", harmless(value));
    };
    say("name", &plugin.name);
    let cause = &plugin.cause;
    say("state", &format!("{} since {} ({}: {})", plugin.state, cause.at, cause.who, cause.why));
    if let Some(failure) = &plugin.failure {
        say("failure", &format!("{} ({}): {}", failure.at, failure.kind, failure.reason));
        if let Some(at) = &failure.retry_at {
            say("next try", at);
        }
    }
    if let Some(description) = &plugin.description {
        say("does", description);
    }
    if let Some(version) = &plugin.version {
        say("version", version);
    }
    if let Some(digest) = &plugin.digest {
        say("digest", digest);
    }
    if let Some(library) = &plugin.library {
        say("library", library);
    }
    let health = &plugin.health;
    let detail = health.detail.as_deref().map_or(String::new(), |detail| format!(": {detail}"));
    say("health", &format!("{}{detail}", health.status));
    let workers = &plugin.workers;
    say(
        "workers",
        &format!(
            "{} of {} to {}, {} busy, {} written off",
            workers.count, workers.min, workers.max, workers.busy, workers.abandoned
        ),
    );
    say("restarts", &restarts(plugin.restarts, supervision));
}

/// How often it was restarted, and how often it still may be.
fn restarts(count: u32, rule: &SupervisionView) -> String {
    if rule.policy.as_deref() == Some("never") {
        return "never, as its manifest says".to_owned();
    }
    format!(
        "{count}; {} of {} within {}, the next after at most {}",
        rule.recent_restarts,
        rule.intensity,
        time(rule.period_ms),
        time(rule.next_backoff_max_ms)
    )
}

/// What failed and what was done about it: failures, breakers, lanes that were written off.
fn supervision(detail: &PluginDetail) -> String {
    let mut lines = Vec::new();
    for subscription in &detail.subscriptions {
        let Some(breaker) = &subscription.breaker else { continue };
        let (Some(at), Some(reason)) = (&breaker.opened_at, &breaker.reason) else { continue };
        let next = match &breaker.next_probe_at {
            Some(at) => format!(", the next probe at {at}"),
            None => String::new(),
        };
        let (pattern, state) = (&subscription.pattern, &breaker.state);
        lines.push(format!("{at} breaker of {pattern} opened: {reason}; it is {state}{next}"));
    }
    for it in detail.supervision.setbacks.iter().take(LATEST) {
        let decision = match (it.restart_in_ms, it.decision.as_str()) {
            (Some(wait), _) => format!("restarted after {}", time(wait)),
            (None, "give_up") => "given up".to_owned(),
            (None, _) => "left as it was".to_owned(),
        };
        lines.push(format!("{} {}: {}; {decision}", it.at, it.kind, harmless(&it.reason)));
    }
    for it in detail.supervision.written_off.iter().take(LATEST) {
        let back = match &it.back_at {
            Some(at) => format!("; its thread ended at {at}"),
            None => "; its thread still hangs".to_owned(),
        };
        let (at, lane, generation, returned) = (&it.at, it.lane, it.generation, it.returned);
        lines.push(format!(
            "{at} lane {lane} of generation {generation} written off, {returned} messages went to \
             others{back}"
        ));
    }
    lines.sort_unstable_by(|one, other| other.cmp(one));
    lines.join("\n")
}

fn time(ms: u64) -> String {
    humantime::format_duration(std::time::Duration::from_millis(ms)).to_string()
}

fn subscriptions(text: &mut Text, detail: &PluginDetail) {
    let mut rows = Rows::new([
        "PATTERN",
        "ORDER",
        "ACCEPTED",
        "QUEUED",
        "DELAYED",
        "IN FLIGHT",
        "DONE",
        "FORWARDED",
        "DEAD",
    ]);
    for subscription in &detail.subscriptions {
        let of = &subscription.ledger;
        let counts =
            [of.accepted, of.queued, of.delayed, of.in_flight, of.done, of.forwarded, of.dead];
        let [accepted, queued, delayed, in_flight, done, forwarded, dead] =
            counts.map(|count| count.to_string());
        let order = subscription.order.clone();
        let pattern = subscription.pattern.clone();
        rows.row([pattern, order, accepted, queued, delayed, in_flight, done, forwarded, dead]);
    }
    section(text, "subscriptions", &rows.text("none"));
}

fn metrics(metrics: &[MetricView]) -> String {
    let mut rows = Rows::new(["NAME", "KIND", "ATTRIBUTES", "VALUE", "COUNT", "P50", "P99"]);
    for metric in metrics {
        let attributes: Vec<String> =
            metric.attributes.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let optional = |value: Option<f64>| value.map_or_else(String::new, |v| v.to_string());
        rows.row([
            metric.name.clone(),
            metric.kind.clone(),
            attributes.join(" "),
            metric.value.to_string(),
            metric.count.to_string(),
            optional(metric.p50),
            optional(metric.p99),
        ]);
    }
    rows.text("none")
}

fn spans(spans: &[SpanView]) -> String {
    let mut rows = Rows::new(["STARTED", "NAME", "TOOK", "STATUS", "TRACE"]);
    for span in spans.iter().take(LATEST) {
        let took = std::time::Duration::from_nanos(span.duration_ns);
        rows.row([
            span.started_at.clone(),
            span.name.clone(),
            format!("{took:?}"),
            span.status.clone(),
            span.trace_id.clone(),
        ]);
    }
    rows.text("none")
}

fn section(text: &mut Text, name: &str, body: &str) {
    let _ = writeln!(text, "\n{name}");
    for line in body.lines() {
        let _ = writeln!(text, "  {line}");
    }
}
