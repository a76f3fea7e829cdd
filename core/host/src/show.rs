//! From what the host knows to what it shows.

mod mapped;
mod supervision;

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use patchbay_bus::{DeadLetter, DropReason, Ledger};
use patchbay_lifecycle::{Intent, PluginName, Track};
use patchbay_manifest::Order;
use serde_json::Value;

pub(crate) use self::mapped::generations;
use crate::{
    audit,
    context::{Context, Phase},
    journal, moment, orphans,
    publishing::seen,
    snapshot::Snapshot,
    station::{Queue, Station},
    view::{
        Cause, DeadLetterView, FailureRecord, FailureView, HealthView, HostStatus, LedgerView,
        PluginDetail, PluginView, QueueView, SubscriptionView, TopicView, WorkersView,
    },
    watch::prepared::chain,
};

/// A plugin in one line.
pub(crate) fn plugin(context: &Context, track: &Track) -> PluginView {
    let station = context.station(&track.name);
    let serving = track.observed.serving.map(|serving| serving.generation);
    let incarnation = serving.and_then(|generation| station.incarnation(generation));
    let latest = station.latest();
    let prepared = incarnation.as_ref().map(|it| &it.prepared).or(latest.as_ref());
    let facts = track.serving_facts.as_ref().or(track.intent.facts());
    let stats = incarnation.as_ref().map(|it| it.stats()).unwrap_or_default();
    let (min, max) = incarnation.as_ref().map_or((0, 0), |it| it.workers());
    PluginView {
        name: track.name.to_string(),
        state: track.state.to_string(),
        cause: Cause {
            who: track.cause.who.clone(),
            why: track.cause.why.clone(),
            at: moment::text(track.since_unix_ns),
        },
        version: facts.map(|facts| facts.version.to_string()),
        digest: facts.map(|facts| facts.library.to_string()),
        generation: serving.map(|generation| generation.0),
        description: prepared.and_then(|it| it.manifest.description.clone()),
        priority: facts.map(|facts| facts.priority),
        library: prepared.map(|it| it.candidate.real_path().display().to_string()),
        enabled: !matches!(track.intent, Intent::Absent),
        failure: track.trouble().map(|failure| FailureView {
            kind: failure.kind.to_string(),
            reason: failure.reason.clone(),
            at: moment::text(failure.at_unix_ns),
            retry_at: failure.retry.map(|retry| moment::text(retry.unix_ns)),
        }),
        health: health(track),
        restarts: track.restarts.count(),
        workers: WorkersView {
            count: stats.workers,
            busy: stats.busy,
            abandoned: stats.abandoned,
            min,
            max,
        },
        queue: queue(&station),
    }
}

/// Everything about a plugin; `own_metrics` is what the plugin itself answered.
pub(crate) fn detail(context: &Context, track: &Track, own_metrics: Option<Value>) -> PluginDetail {
    let station = context.station(&track.name);
    let incarnation = track.observed.serving.and_then(|it| station.incarnation(it.generation));
    let prepared = incarnation.map(|it| Arc::clone(&it.prepared)).or_else(|| station.latest());
    let (live, past) = station.queues();
    let subscription = |queue: &Queue| SubscriptionView {
        index: queue.wish.number,
        pattern: queue.wish.manifest.topic.to_string(),
        order: match queue.wish.manifest.order {
            Order::None => "none",
            Order::PerKey => "per_key",
            Order::Total => "total",
        }
        .to_owned(),
        declared: queue.wish.declared,
        breaker: supervision::breaker(&queue.subscription),
        ledger: ledger_of(&station, queue, &past),
    };
    PluginDetail {
        plugin: plugin(context, track),
        manifest: prepared.as_ref().map(|it| it.manifest.to_value()),
        config: prepared.map_or(Value::Null, |it| Value::Object(it.config.clone())),
        subscriptions: live.iter().map(subscription).collect(),
        supervision: supervision::of(context, &station, track),
        generations: mapped::of_plugin(context, &station, track),
        metrics: station.metrics.view(),
        spans: station.spans.view(),
        own_metrics,
        history: station.history(),
    }
}

pub(crate) fn health(track: &Track) -> HealthView {
    HealthView {
        status: track.health.verdict.as_str().to_owned(),
        detail: track.health.detail.clone(),
        failures: track.health.failures,
        checked_at: track.health.checked_ns.map(moment::text),
    }
}

// --- messages ---

/// The ledger of every subscription there is, and of those there were. A subscription that was
/// removed and made again is one row.
pub(crate) fn ledger(context: &Context) -> Vec<LedgerView> {
    let mut views = Vec::new();
    let mut known = HashSet::new();
    for station in context.stations() {
        let (live, past) = station.queues();
        known.extend(live.iter().chain(&past).map(|queue| queue.subscription.id()));
        views.extend(live.iter().map(|queue| ledger_of(&station, queue, &past)));
        let mut alone: Vec<&Queue> = Vec::new();
        for queue in &past {
            let known = |other: &Queue| same_row(queue, other);
            if !live.iter().any(known) && !alone.iter().any(|other| known(other)) {
                alone.push(queue);
            }
        }
        views.extend(alone.into_iter().map(|queue| ledger_of(&station, queue, &past)));
    }
    for (orphan, mut view) in orphans::rows(context, &known) {
        sum_up(&mut view, &terms(&orphan.ledger()));
        views.push(view);
    }
    let left = context.broker.orphans();
    for view in &mut views {
        view.orphaned = left.iter().any(|orphan| {
            orphan.owner() == view.plugin && orphan.spec().pattern.as_str() == view.pattern
        });
    }
    views
}

fn same_row(one: &Queue, other: &Queue) -> bool {
    one.wish.manifest.topic == other.wish.manifest.topic
}

/// A subscription's ledger, with those of its predecessors.
fn ledger_of(station: &Station, queue: &Queue, past: &[Queue]) -> LedgerView {
    let mut view = LedgerView {
        plugin: station.name().to_string(),
        index: queue.wish.number,
        pattern: queue.wish.manifest.topic.to_string(),
        ..LedgerView::default()
    };
    sum_up(&mut view, &terms(&queue.subscription.ledger()));
    let cut_off = queue.subscription.cut_off();
    (view.cut_off, view.passed) = (cut_off.since_unix_ns.is_some(), cut_off.passed);
    let is_itself = |it: &Queue| Arc::ptr_eq(&it.subscription, &queue.subscription);
    for before in past.iter().filter(|it| !is_itself(it) && same_row(queue, it)) {
        sum_up(&mut view, &terms(&before.subscription.ledger()));
    }
    view
}

/// What a ledger says, without whose it is.
fn terms(ledger: &Ledger) -> LedgerView {
    let counts = DropReason::ALL.map(|reason| (reason, ledger.dropped.count(reason)));
    let dropped = counts.into_iter().filter(|(_, count)| *count > 0);
    LedgerView {
        accepted: ledger.accepted,
        queued: ledger.queued,
        delayed: ledger.delayed,
        in_flight: ledger.in_flight,
        done: ledger.done,
        forwarded: ledger.forwarded,
        dead: ledger.dead,
        dead_pending: ledger.dead_pending,
        retried: ledger.retried,
        stale_settlements: ledger.stale,
        dropped: dropped.map(|(reason, count)| (reason.label().to_owned(), count)).collect(),
        ..LedgerView::default()
    }
}

fn queue(station: &Station) -> QueueView {
    let (live, _) = station.queues();
    let mut view = QueueView::default();
    for ledger in live.iter().map(|queue| queue.subscription.ledger()) {
        view.queued += ledger.queued;
        view.delayed += ledger.delayed;
        view.in_flight += ledger.in_flight;
    }
    view
}

/// Patterns and their subscribers.
pub(crate) fn topics(context: &Context) -> Vec<TopicView> {
    let mut topics: BTreeMap<String, TopicView> = BTreeMap::new();
    for station in context.stations() {
        for queue in station.queues().0 {
            let pattern = queue.wish.manifest.topic.to_string();
            let ledger = queue.subscription.ledger();
            let view = topics.entry(pattern.clone()).or_insert_with(|| TopicView {
                pattern,
                subscribers: Vec::new(),
                accepted: 0,
                unsettled: 0,
            });
            view.subscribers.push(station.name().to_string());
            view.accepted += ledger.accepted;
            view.unsettled += ledger.unsettled();
        }
    }
    topics.into_values().collect()
}

/// One dead letter.
pub(crate) fn dead_letter(context: &Context, letter: &DeadLetter) -> DeadLetterView {
    let subscription_of = |owner: &str, id: u64| {
        let name = PluginName::parse(owner).ok()?;
        let (live, past) = context.known_station(&name)?.queues();
        let mut all = live.into_iter().chain(past);
        all.find(|queue| queue.subscription.id() == id).map(|queue| queue.wish.number)
    };
    DeadLetterView {
        number: letter.number,
        message: seen(&letter.message),
        plugin: letter.owner.to_string(),
        subscription: subscription_of(&letter.owner, letter.subscription).unwrap_or(0),
        version: letter.version.to_string(),
        generation: letter.generation,
        reason: letter.reason.clone(),
        class: letter.cause.label().to_owned(),
        attempts: letter.attempts,
        failures: letter.failures,
        redrives: letter.redrives,
        at: moment::text(letter.at_unix_ns),
        history: letter.history.iter().map(failure).collect(),
    }
}

pub(crate) fn failure(failure: &patchbay_bus::Failure) -> FailureRecord {
    FailureRecord {
        plugin: failure.plugin.to_string(),
        attempt: failure.attempt,
        version: failure.version.to_string(),
        generation: failure.generation,
        reason: failure.reason.clone(),
        at: moment::text(failure.at_unix_ns),
    }
}

// --- the host ---

/// The host in one page.
pub(crate) fn status(context: &Context, snapshot: &Snapshot, ready: bool) -> HostStatus {
    let phase = context.phase();
    let quarantined = u32::try_from(context.loader.quarantined().len()).unwrap_or(u32::MAX);
    let mut plugins: BTreeMap<String, u32> = BTreeMap::new();
    let mut failing = false;
    for track in snapshot.tracks.values() {
        *plugins.entry(track.state.to_string()).or_default() += 1;
        failing |= track.trouble().is_some();
    }
    let mut sum = LedgerView::default();
    for view in ledger(context) {
        sum_up(&mut sum, &view);
    }
    let dead_letters = audit::show_letters(context, [sum.dead_pending]);
    let lost = matches!(phase, Phase::Lost(_));
    let well = context.record.health().0.is_well() && !dead_letters.is_full;
    let word = match phase {
        Phase::Running if !ready => "starting",
        Phase::Running => "running",
        Phase::Closing { .. } => "draining",
        Phase::Stopped => "stopped",
        Phase::Lost(_) => "failed",
    };
    HostStatus {
        host_id: context.host_id.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_at: moment::text(context.started_unix_ns),
        phase: word.to_owned(),
        ready: ready && word == "running",
        health: if failing || lost || quarantined > 0 || !well { "degraded" } else { "healthy" }
            .to_owned(),
        plugins,
        quarantined,
        unload: match patchbay_loader::effective() {
            Ok(()) => "proven".to_owned(),
            Err(error) => chain(&error),
        },
        durability: journal::durability(&context.broker.config().durability).to_owned(),
        journal: context.record.health().0.label().to_owned(),
        dead_letters,
        ledger: sum,
    }
}

fn sum_up(sum: &mut LedgerView, view: &LedgerView) {
    sum.accepted += view.accepted;
    sum.queued += view.queued;
    sum.delayed += view.delayed;
    sum.in_flight += view.in_flight;
    sum.done += view.done;
    sum.forwarded += view.forwarded;
    sum.dead += view.dead;
    sum.dead_pending += view.dead_pending;
    sum.retried += view.retried;
    sum.stale_settlements += view.stale_settlements;
    sum.cut_off |= view.cut_off;
    sum.passed += view.passed;
    for (reason, count) in &view.dropped {
        *sum.dropped.entry(reason.clone()).or_default() += count;
    }
}
