//! What is given up is said (P-1): deliveries that were dropped and dead letters that had to go, one
//! line in the audit log for each subscription and reason, with how many since the line before.
//!
//! Drops come at the rate of messages, lines must not: they are told together, at an interval, and
//! once more at the end of the host. So the counts of all lines of a run add up to the ledger.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use patchbay_bus::{Subscription, WatchCutOff};
use tokio::sync::Notify;

use crate::{
    context::Context,
    show,
    view::{DeadLettersView, LedgerView},
};

/// What was told.
#[derive(Debug, Default)]
pub(crate) struct Audit {
    told: Mutex<Told>,
    /// Somebody was cut off, or let in again.
    news: Arc<News>,
}

/// Publishers ring it, so it must not wait: who it was is looked up by whoever hears it.
#[derive(Debug, Default)]
struct News(Notify);

#[derive(Debug, Default)]
struct Told {
    /// Dropped, by plugin and pattern, by reason.
    dropped: HashMap<(String, String), BTreeMap<String, u64>>,
    /// Who was cut off because of its backlog, and how many messages had passed it by.
    cut_off: HashMap<(String, String), (bool, u64)>,
    /// Dead letters given up, by reason.
    letters: BTreeMap<&'static str, u64>,
    /// Whether the dead letters were full.
    is_full: bool,
}

// === impl Audit ===

impl Audit {
    /// Tells what earlier hosts dropped, as far as the journal knows: later lines count from there.
    pub(crate) fn begin(&self, context: &Context) {
        context.broker.watch_cut_off(self.news.clone());
        self.sweep(context, "deliveries were dropped before this start");
    }

    fn sweep(&self, context: &Context, what: &str) {
        let ledger = show::ledger(context);
        let letters = show_letters(context, ledger.iter().map(|row| row.dead_pending));
        self.hear(context, &ledger);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let mut totals: HashMap<(String, String), BTreeMap<String, u64>> = HashMap::new();
        for row in ledger {
            let reasons = totals.entry((row.plugin, row.pattern)).or_default();
            for (reason, count) in row.dropped {
                *reasons.entry(reason).or_default() += count;
            }
        }
        for ((plugin, pattern), reasons) in &totals {
            let before = told.dropped.get(&(plugin.clone(), pattern.clone()));
            for (reason, total) in reasons {
                let told = before.and_then(|before| before.get(reason)).copied().unwrap_or(0);
                // A subscription that was purged and made again counts from the beginning.
                let count = if told > *total { *total } else { total - told };
                if count > 0 {
                    tracing::info!(target: "audit", plugin, pattern, reason, count, total, "{what}");
                }
            }
        }
        told.dropped = totals;
        for (reason, total) in [("drop_oldest", letters.overwritten), ("max_age", letters.outdated)]
        {
            let before = told.letters.insert(reason, total).unwrap_or(0);
            let count = total.saturating_sub(before);
            if count > 0 {
                tracing::info!(target: "audit", reason, count, total, "dead letters given up");
            }
        }
        if std::mem::replace(&mut told.is_full, letters.is_full) != letters.is_full {
            drop(told);
            alarm(context, &letters);
        }
    }

    /// Tells who was cut off because of its backlog, who is not any more, and what passed them by.
    fn hear(&self, context: &Context, ledger: &[LedgerView]) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let changed: Vec<&LedgerView> = ledger.iter().filter(|row| told.cut_off(row)).collect();
        drop(told);
        changed.into_iter().for_each(|row| context.events.cut_off(row));
    }
}

impl WatchCutOff for News {
    fn changed(&self, _subscription: &Subscription, _is_cut_off: bool) {
        self.0.notify_one();
    }
}

impl Told {
    /// Whether it was cut off or let in since the line before.
    fn cut_off(&mut self, row: &LedgerView) -> bool {
        let LedgerView { plugin, pattern, cut_off, passed, .. } = row;
        if !cut_off && *passed == 0 {
            return false;
        }
        let now = (*cut_off, *passed);
        let before = self.cut_off.insert((plugin.clone(), pattern.clone()), now);
        let (was_cut_off, told) = before.unwrap_or_default();
        if *cut_off && !was_cut_off {
            tracing::warn!(target: "audit", plugin, pattern, "cut off: its backlog is full");
        }
        let count = passed.saturating_sub(told);
        if count > 0 {
            tracing::info!(target: "audit", plugin, pattern, count, total = passed, "passed by");
        }
        if was_cut_off && !cut_off {
            tracing::info!(target: "audit", plugin, pattern, "let in again");
        }
        *cut_off != was_cut_off
    }
}

/// The dead letters became full, or have room again.
fn alarm(context: &Context, letters: &DeadLettersView) {
    let DeadLettersView { count, pending, .. } = letters;
    if letters.is_full {
        tracing::warn!(
            count,
            pending,
            "the dead letters are full: what dies stays in its queue, and a queue with too many of \
             these gets nothing more; `patchbay dlq redrive` or `purge` makes room"
        );
    } else {
        tracing::info!(count, "the dead letters have room again");
    }
    context.events.dead_letters(letters);
}

/// The dead letters of the host, and how many could not become one.
pub(crate) fn show_letters(
    context: &Context,
    pending: impl IntoIterator<Item = u64>,
) -> DeadLettersView {
    let letters = context.broker.dead_letters();
    let settings = &context.settings.dead_letters;
    let pending = pending.into_iter().sum();
    DeadLettersView {
        count: letters.len() as u64,
        bytes: letters.bytes() as u64,
        max_count: settings.max_count as u64,
        max_bytes: settings.max_bytes as u64,
        pending,
        is_full: pending > 0,
        overwritten: letters.overwritten(),
        outdated: letters.outdated(),
        unreadable: letters.unreadable().len() as u64,
    }
}

/// Tells what was given up, and the journal of the letters among it.
pub(crate) async fn tell(context: &Arc<Context>) {
    let context = Arc::clone(context);
    let telling = move || {
        context.broker.tidy();
        context.audit.sweep(&context, "deliveries dropped");
    };
    // One that panicked has said so.
    let _told = tokio::task::spawn_blocking(telling).await;
}

/// Tells for as long as the host lives.
pub(crate) async fn watch(context: Arc<Context>) {
    while !context.is_closing() {
        tokio::select! {
            () = tokio::time::sleep(context.settings.limits.audit_interval) => tell(&context).await,
            () = context.audit.news.0.notified() => {
                let context = Arc::clone(&context);
                let hearing = move || context.audit.hear(&context, &show::ledger(&context));
                // One that panicked has said so.
                let _heard = tokio::task::spawn_blocking(hearing).await;
            }
        }
    }
}
