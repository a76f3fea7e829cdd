//! The life of one message, from what the host knows of it: the journal's records, and where its
//! deliveries are now.

use std::collections::HashMap;

use patchbay_bus::{Place, Whereabouts};
use patchbay_journal::{Kind, TraceEntry};
use uuid::Uuid;

use crate::{
    context::Context,
    moment, show,
    view::{DeliveryLife, LifeRecord, MessageLife},
};

/// What is said about a message that the journal does not have.
const IN_MEMORY: &str = "it is in memory only: such a message leaves no record of what was settled";
/// What is said about one that it has.
const IN_JOURNAL: &str =
    "records are kept until their file is reused; then only what is unsettled is left";

/// What became of a message; `None` when nothing is known of it. Reads the journal.
pub(crate) fn explain(context: &Context, mid: u128) -> Option<MessageLife> {
    let found = context.broker.whereabouts(mid);
    let journal = context.record.journal();
    let trace = journal.trace(mid).unwrap_or_else(|error| {
        tracing::warn!(%error, "cannot read the journal to explain a message");
        Vec::new()
    });
    let stored = trace.iter().find(|entry| brings_it(entry));
    let stored = stored.and_then(|entry| journal.read(entry.place).ok());
    let recorded = stored.as_ref().map(|stored| stored.publish());
    let (topic, time_ns) = match (&recorded, found.first()) {
        (Some(publish), _) => (publish.topic.to_owned(), publish.time_ns),
        (None, Some(first)) => (first.message.topic().to_owned(), first.message.time_ns()),
        (None, None) => return None,
    };
    Some(MessageLife {
        mid: Uuid::from_u128(mid).to_string(),
        topic: Some(topic),
        published_at: Some(moment::text(time_ns)),
        seq: recorded.as_ref().map(|publish| publish.seq),
        deliveries: found.iter().map(delivery).collect(),
        note: if trace.is_empty() { IN_MEMORY } else { IN_JOURNAL }.to_owned(),
        records: records(context, &trace),
    })
}

/// Whether a record has the message itself.
fn brings_it(entry: &TraceEntry) -> bool {
    matches!(entry.kind, Kind::Publish | Kind::Moved)
        || entry.kind == Kind::Forward && entry.target.is_none()
}

/// The records in the host's words: whose each is, and how long the attempt took that it ends.
fn records(context: &Context, trace: &[TraceEntry]) -> Vec<LifeRecord> {
    let mut owners: HashMap<u64, (String, String)> = HashMap::new();
    for it in context.broker.subscriptions().iter().chain(&context.broker.orphans()) {
        owners.insert(it.id(), (it.owner().to_owned(), it.spec().pattern.to_string()));
    }
    let mut begun: HashMap<(u32, u64), u64> = HashMap::new();
    let mut records = Vec::with_capacity(trace.len());
    for entry in trace {
        let owner = entry.target.and_then(|target| owners.get(&u64::from(target.sub)));
        let key = entry.target.map(|target| (target.sub, target.id));
        let took_us = match (entry.kind, key) {
            (Kind::Begun, Some(key)) => {
                begun.insert(key, entry.at_unix_ns);
                None
            }
            (_, Some(key)) => begun
                .remove(&key)
                .filter(|began| *began > 0 && entry.at_unix_ns >= *began)
                .map(|began| (entry.at_unix_ns - began) / 1_000),
            _ => None,
        };
        records.push(LifeRecord {
            number: entry.number,
            at: (entry.at_unix_ns > 0).then(|| moment::text(entry.at_unix_ns)),
            kind: entry.kind.label().to_owned(),
            plugin: owner.map(|(plugin, _)| plugin.clone()),
            subscription: owner.map(|(_, pattern)| pattern.clone()),
            delivery: entry.target.map(|target| target.id),
            took_us,
            detail: entry.detail.clone(),
        });
    }
    records
}

fn delivery(found: &Whereabouts) -> DeliveryLife {
    let (state, due, generation, dead_letter) = match &found.place {
        Place::Queued => ("queued", None, None, None),
        Place::Delayed { due_unix_ns } => ("delayed", Some(*due_unix_ns), None, None),
        Place::InFlight { generation } => ("in_flight", None, Some(*generation), None),
        Place::DeadPending => ("dead_pending", None, None, None),
        Place::Dead(letter) => ("dead", None, None, Some(letter.number)),
        _ => ("unknown", None, None, None),
    };
    DeliveryLife {
        plugin: found.owner.to_string(),
        subscription: found.subscription.as_ref().map(|it| it.spec().pattern.to_string()),
        delivery: found.delivery,
        state: state.to_owned(),
        due_at: due.map(moment::text),
        generation,
        dead_letter,
        accepted_at: moment::text(found.accepted_unix_ns),
        attempts: found.attempts,
        failures: found.failures,
        redrives: found.redrives,
        history: found.history.iter().map(show::failure).collect(),
    }
}
