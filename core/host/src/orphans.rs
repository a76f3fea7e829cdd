//! Subscriptions whose plugin is gone: what is durable of them stays, under the plugin's name, until
//! the plugin comes back or somebody purges it.

use std::{collections::HashSet, sync::Arc};

use patchbay_bus::Subscription;
use patchbay_lifecycle::{Intent, PluginName, Track};

use crate::{
    context::Context,
    snapshot::Snapshot,
    view::{LedgerView, OrphanView},
};

/// Takes the flow of new messages away from subscriptions that nobody will come for, and warns of
/// them, once a start. Ends with the host.
pub(crate) async fn watch(context: Arc<Context>) {
    let mut snapshots = context.snapshot.subscribe();
    let mut closing = context.closing();
    let mut warned = HashSet::new();
    loop {
        let snapshot = Arc::clone(&snapshots.borrow_and_update());
        if snapshot.settled && !context.is_closing() {
            let (context, told) = (Arc::clone(&context), std::mem::take(&mut warned));
            // It writes to the journal.
            let swept = tokio::task::spawn_blocking(move || sweep(&context, &snapshot, told));
            warned = swept.await.unwrap_or_default();
        }
        // What holds the context holds the sender of its snapshots: waiting for the end of these
        // would keep both for ever.
        tokio::select! {
            changed = snapshots.changed() => if changed.is_err() { return },
            _ = closing.wait_for(|closing| *closing) => return,
        }
    }
}

fn sweep(context: &Context, snapshot: &Snapshot, mut warned: HashSet<u64>) -> HashSet<u64> {
    let orphans = context.broker.orphans();
    if orphans.is_empty() {
        return warned;
    }
    let routed: HashSet<u64> = context.broker.subscriptions().iter().map(|it| it.id()).collect();
    for orphan in orphans.iter().filter(|orphan| is_left(orphan, snapshot)) {
        if routed.contains(&orphan.id()) {
            context.broker.detach(orphan);
        }
        let unsettled = orphan.ledger().unsettled();
        if warned.insert(orphan.id()) && unsettled > 0 {
            let (plugin, pattern) = (orphan.owner(), orphan.spec().pattern.to_string());
            tracing::warn!(
                plugin,
                pattern,
                unsettled,
                "messages wait for a subscription that no plugin has: activate the plugin, or \
                 `patchbay plugin purge`"
            );
        }
    }
    warned
}

/// Whether nobody is on the way who would take the subscription over.
fn is_left(orphan: &Subscription, snapshot: &Snapshot) -> bool {
    let name = PluginName::parse(orphan.owner()).ok();
    let track = name.and_then(|name| snapshot.tracks.get(&name));
    track.map(Arc::as_ref).is_none_or(|track: &Track| {
        !track.busy && (matches!(track.intent, Intent::Absent) || track.observed.serving.is_some())
    })
}

/// Every orphan with what waits for it.
pub(crate) fn all(context: &Context) -> Vec<OrphanView> {
    let orphans = context.broker.orphans();
    orphans
        .iter()
        .map(|orphan| {
            let ledger = orphan.ledger();
            OrphanView {
                plugin: orphan.owner().to_owned(),
                pattern: orphan.spec().pattern.to_string(),
                unsettled: ledger.unsettled(),
                accepted: ledger.accepted,
            }
        })
        .collect()
}

/// Rows of the ledger for orphans that no plugin of this run had.
pub(crate) fn rows(
    context: &Context,
    known: &HashSet<u64>,
) -> Vec<(Arc<Subscription>, LedgerView)> {
    let orphans = context.broker.orphans().into_iter();
    let unknown = orphans.filter(|orphan| !known.contains(&orphan.id()));
    unknown
        .map(|orphan| {
            let view = LedgerView {
                plugin: orphan.owner().to_owned(),
                pattern: orphan.spec().pattern.to_string(),
                orphaned: true,
                ..LedgerView::default()
            };
            (orphan, view)
        })
        .collect()
}
