//! What the supervisor decided about a plugin, and why.

use patchbay_bus::Subscription;
use patchbay_lifecycle::{Decision, RestartLimits, RestartPolicy, Setback, Track};

use crate::{
    context::Context,
    moment,
    station::Station,
    view::{BreakerView, SetbackView, SupervisionView},
};

pub(super) fn of(context: &Context, station: &Station, track: &Track) -> SupervisionView {
    let limits = RestartLimits::default();
    let now_ns = context.now().mono_ns;
    let facts = track.serving_facts.as_ref().or(track.intent.facts());
    SupervisionView {
        policy: facts.map(|facts| word(facts.restart).to_owned()),
        recent_restarts: track.restarts.recent(&limits, now_ns),
        intensity: limits.intensity,
        period_ms: milliseconds(limits.period),
        next_backoff_max_ms: milliseconds(track.restarts.next_wait_max(&limits, now_ns)),
        forget_after_ms: milliseconds(limits.forget_after),
        setbacks: track.setbacks.newest_first().map(setback).collect(),
        written_off: station.written_off(),
    }
}

fn setback(setback: &Setback) -> SetbackView {
    SetbackView {
        at: moment::text(setback.at_unix_ns),
        kind: setback.kind.to_string(),
        reason: setback.reason.clone(),
        decision: setback.decision.as_str().to_owned(),
        restart_in_ms: match setback.decision {
            Decision::RestartAfter(wait) => Some(milliseconds(wait)),
            Decision::LeaveDown | Decision::GiveUp => None,
        },
    }
}

fn word(policy: RestartPolicy) -> &'static str {
    match policy {
        RestartPolicy::Always => "always",
        RestartPolicy::OnFailure => "on_failure",
        RestartPolicy::Never => "never",
    }
}

fn milliseconds(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The breaker of a subscription, if it has one.
pub(super) fn breaker(subscription: &Subscription) -> Option<BreakerView> {
    let look = subscription.breaker()?;
    let at = |mono_ns: u64| moment::text(subscription.unix_ns(mono_ns));
    let state = match (look.closed, look.probing) {
        (true, _) => "closed",
        (false, true) => "probing",
        (false, false) => "open",
    };
    Some(BreakerView {
        state: state.to_owned(),
        opened: look.opened,
        opened_at: look.opened_at_ns.map(at),
        reason: look.opened_at_ns.map(|_| {
            format!(
                "{} of {} attempts failed within {}",
                look.failures,
                look.attempts,
                humantime::format_duration(look.window)
            )
        }),
        next_probe_at: look.next_probe_ns.map(at),
    })
}
