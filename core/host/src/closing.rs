//! The end of the host (P-35), as a numbered list.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use patchbay_lifecycle::Track;

use crate::{
    actors::registry::{RegistryMsg, tell},
    audit,
    context::Context,
    handle::Shared,
    show,
    station::Station,
    view::{ShutdownReport, UnfinishedPlugin},
};

/// Share of the whole time that plugins get to finish what they hold; the rest is for their
/// shutdown.
const DRAIN_SHARE: f64 = 0.5;
/// How long the actors may take to end, all together, and then the host's threads: with both, a host
/// whose deadline was hit has ended one second later (P-35).
const ACTOR_END: Duration = Duration::from_millis(500);
/// How long the disk may take for the last records.
const JOURNAL_END: Duration = Duration::from_millis(900);

/// Ends the host, once; whoever asks later waits for the same end.
pub(crate) async fn close(shared: &Arc<Shared>, limit: Duration) -> ShutdownReport {
    let began = Instant::now();
    let drain = began + limit.mul_f64(DRAIN_SHARE);
    let mut end = shared.end.subscribe();
    if shared.context.begin_closing(drain, began + limit) {
        let shared = Arc::clone(shared);
        // In a task of its own: a caller that goes away does not leave a host half ended.
        tokio::spawn(async move {
            let report = run(&shared, began, limit).await;
            shared.end.send_replace(Some(report));
        });
    }
    let report = end.wait_for(Option::is_some).await.ok().and_then(|report| report.clone());
    report.unwrap_or_default()
}

async fn run(shared: &Shared, began: Instant, limit: Duration) -> ShutdownReport {
    let context = &shared.context;
    // 1. Nothing from outside is accepted: the phase says so, and every caller is refused by it.
    // 2. Hand-offs stop, what runs is settled, plugins shut down in reverse order.
    tell(&shared.tree.registry, RegistryMsg::Close);
    let mut snapshots = context.snapshot.subscribe();
    let closed = snapshots.wait_for(|snapshot| snapshot.closed);
    let in_time = tokio::time::timeout(limit, closed).await.is_ok();
    // 3. Nothing is accepted from anybody.
    context.broker.close_intake();
    // 4. Actors, leaves before roots.
    let mut unfinished: Vec<UnfinishedPlugin> = context
        .all_unfinished()
        .into_iter()
        .map(|(plugin, reason)| UnfinishedPlugin { plugin: plugin.to_string(), reason })
        .collect();
    let tracks: Vec<_> = context.snapshot.borrow().tracks.values().map(Arc::clone).collect();
    let left = tracks.iter().filter(|track| !track.observed.is_empty());
    unfinished.extend(left.map(|track| still_there(track)));
    end_actors(shared).await;
    // 5. Threads of the host. One that waits for a plugin is left to the end of the process.
    let ledger = show::ledger(context);
    if tokio::time::timeout(ACTOR_END, audit::tell(context)).await.is_err() {
        tracing::warn!("what was dropped last is not in the audit log");
    }
    if in_time {
        let context = Arc::clone(context);
        let stopped = tokio::task::spawn_blocking(move || {
            context.monitor.stop();
            context.broker.stop_timer();
        });
        if tokio::time::timeout(ACTOR_END, stopped).await.is_err() {
            tracing::warn!("the threads of the host did not end in time");
        }
    }
    context.promises.close();
    // 6. The journal, last of all: it says that everything is on the disk.
    let kept = close_journal(context).await;
    if let Some(crash) = &context.crash {
        crash.end();
    }
    // 7. The folder of libraries is the next host's, unless one of them is still mapped here.
    let quarantined = is_anything_mapped(context);
    if !quarantined && let Err(error) = context.store.release() {
        tracing::warn!(%error, "the folder of libraries stays locked until the host is dropped");
    }
    context.stopped();
    ShutdownReport {
        clean: in_time && unfinished.is_empty(),
        took_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        revoked: ledger.iter().map(|view| view.in_flight).sum(),
        left: ledger.iter().map(|view| view.queued + view.delayed + view.dead_pending).sum(),
        kept,
        unfinished,
        quarantined,
    }
}

/// Forces everything to the disk. Returns how many unsettled deliveries the journal has.
pub(crate) async fn close_journal(context: &Arc<Context>) -> u64 {
    let kept = context.record.journal().health().live;
    let context = Arc::clone(context);
    let closed = tokio::task::spawn_blocking(move || context.record.close(&*context.clock));
    if tokio::time::timeout(JOURNAL_END, closed).await.is_err() {
        tracing::error!("the journal was not closed in time; the next start reads it all the same");
    }
    kept
}

/// Whether a library is still mapped, in quarantine or because its turn did not come.
fn is_anything_mapped(context: &Context) -> bool {
    let lives = |station: &Arc<Station>| !station.incarnations().is_empty();
    !context.loader.quarantined().is_empty() || context.stations().iter().any(lives)
}

fn still_there(track: &Track) -> UnfinishedPlugin {
    let states: Vec<String> = track
        .observed
        .instances()
        .map(|it| format!("generation {} is {}", it.generation, it.state))
        .collect();
    UnfinishedPlugin { plugin: track.name.to_string(), reason: states.join(", ") }
}

async fn end_actors(shared: &Shared) {
    let tree = &shared.tree;
    let until = Instant::now() + ACTOR_END;
    let left = || Some(until.saturating_duration_since(Instant::now()));
    let ended = [
        tree.watcher.stop_and_wait(None, left()).await.is_ok(),
        tree.health.stop_and_wait(None, left()).await.is_ok(),
        // What was reported is still taken into account.
        tree.registry.drain_and_wait(left()).await.is_ok(),
        shared.root.stop_and_wait(None, left()).await.is_ok(),
    ];
    if ended.contains(&false) {
        tracing::warn!("an actor of the host did not end in time");
    }
}
