//! What the host counts of itself: the ledger of every subscription (P-1), the journal, the dead
//! letters. One list, for whoever collects: OpenTelemetry's observers and `GET /metrics`.

use std::{collections::BTreeMap, sync::Arc};

use opentelemetry::KeyValue;

use crate::{
    audit,
    context::Context,
    journal::Health,
    show,
    view::{LedgerView, MeasureKind, MeasureView},
};

/// A name, what kind it is of, and what it says.
type Known = (&'static str, MeasureKind, &'static str);

const COUNTER: MeasureKind = MeasureKind::Counter;
const GAUGE: MeasureKind = MeasureKind::Gauge;

/// One measure of a ledger, and where it stands in a row.
type Term = (Known, fn(&LedgerView) -> u64);

const TERMS: [Term; 13] = [
    (("patchbay.subscription.accepted", COUNTER, "Deliveries accepted"), |row| row.accepted),
    (("patchbay.subscription.queued", GAUGE, "Deliveries ready to be handed off"), |row| {
        row.queued
    }),
    (("patchbay.subscription.delayed", GAUGE, "Deliveries waiting for a time"), |row| row.delayed),
    (("patchbay.subscription.in_flight", GAUGE, "Deliveries handed off and not settled"), |row| {
        row.in_flight
    }),
    (("patchbay.subscription.done", COUNTER, "Deliveries acknowledged"), |row| row.done),
    (("patchbay.subscription.forwarded", COUNTER, "Deliveries forwarded"), |row| row.forwarded),
    (("patchbay.subscription.dead", COUNTER, "Deliveries that became dead letters"), |row| {
        row.dead
    }),
    (
        ("patchbay.subscription.dead_pending", GAUGE, "Dead, held back by full dead letters"),
        |row| row.dead_pending,
    ),
    (("patchbay.subscription.retried", COUNTER, "Attempts that ended in another one"), |row| {
        row.retried
    }),
    (
        ("patchbay.subscription.stale_settlements", COUNTER, "Settlements refused as too late"),
        |row| row.stale_settlements,
    ),
    (("patchbay.subscription.orphaned", GAUGE, "1 when the plugin of it is gone"), |row| {
        u64::from(row.orphaned)
    }),
    (("patchbay.subscription.cut_off", GAUGE, "1 while its backlog has it passed over"), |row| {
        u64::from(row.cut_off)
    }),
    (("patchbay.subscription.passed", COUNTER, "Messages that passed it by meanwhile"), |row| {
        row.passed
    }),
];
const DROPPED: Known = ("patchbay.subscription.dropped", COUNTER, "Deliveries dropped, by reason");

const JOURNAL_STATE: Known = ("patchbay.journal.state", GAUGE, "1 for the state that it is in");
const JOURNAL_BYTES: Known = ("patchbay.journal.size", GAUGE, "Bytes with records");
const JOURNAL_ROOM: Known = ("patchbay.journal.free", GAUGE, "Bytes prepared for records to come");
const JOURNAL_RESERVE: Known =
    ("patchbay.journal.reserve", GAUGE, "Bytes of them that publishes may not use");
const JOURNAL_SEGMENTS: Known = ("patchbay.journal.segments", GAUGE, "Files with records");
const JOURNAL_UNSETTLED: Known = ("patchbay.journal.unsettled", GAUGE, "Deliveries to be settled");
const JOURNAL_WRITTEN: Known =
    ("patchbay.journal.written", COUNTER, "Number of the last record written");
const JOURNAL_SYNCED: Known =
    ("patchbay.journal.synced", COUNTER, "Number of the last record on disk");
const JOURNAL_DAMAGE: Known =
    ("patchbay.journal.damage", GAUGE, "Places found damaged at the start, by kind");
const JOURNAL_LOST: Known =
    ("patchbay.journal.lost_records", GAUGE, "Records lost to damage, where their end is known");
const JOURNAL_TORN: Known =
    ("patchbay.journal.torn", GAUGE, "Bytes of an unfinished write cut off at the start");
const DEDUP_KEYS: Known = ("patchbay.dedup.keys", GAUGE, "Dedup keys remembered");
const DEDUP_BOUND: Known =
    ("patchbay.dedup.bound", GAUGE, "1 for the bound that made the window forget last");
const LETTERS: Known = ("patchbay.dead_letters.count", GAUGE, "Dead letters kept");
const LETTER_BYTES: Known = ("patchbay.dead_letters.size", GAUGE, "Bytes of their messages");
const LETTERS_GIVEN_UP: Known =
    ("patchbay.dead_letters.given_up", COUNTER, "Dead letters that had to go, by reason");
const READY: Known =
    ("patchbay.ready", GAUGE, "1 when nothing that is configured would be refused");

const OTHERS: [Known; 18] = [
    DROPPED,
    JOURNAL_STATE,
    JOURNAL_BYTES,
    JOURNAL_ROOM,
    JOURNAL_RESERVE,
    JOURNAL_SEGMENTS,
    JOURNAL_UNSETTLED,
    JOURNAL_WRITTEN,
    JOURNAL_SYNCED,
    JOURNAL_DAMAGE,
    JOURNAL_LOST,
    JOURNAL_TORN,
    DEDUP_KEYS,
    DEDUP_BOUND,
    LETTERS,
    LETTER_BYTES,
    LETTERS_GIVEN_UP,
    READY,
];

/// Everything that is counted, at this moment; what belongs to one name stands together.
pub(crate) fn all(context: &Context) -> Vec<MeasureView> {
    let rows = show::ledger(context);
    let mut all = Vec::new();
    let of_row = |row: &LedgerView| {
        [("patchbay.plugin.name", &*row.plugin), ("messaging.destination.template", &*row.pattern)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
    };
    for (known, term) in TERMS {
        all.extend(rows.iter().map(|row| measure(known, of_row(row), term(row))));
    }
    for row in &rows {
        all.extend(row.dropped.iter().map(|(reason, count)| {
            let reason = ("reason".to_owned(), reason.clone());
            measure(DROPPED, of_row(row).into_iter().chain([reason]), *count)
        }));
    }
    journal(context, &mut all);
    let letters = audit::show_letters(context, rows.iter().map(|row| row.dead_pending));
    all.push(measure(LETTERS, [], letters.count));
    all.push(measure(LETTER_BYTES, [], letters.bytes));
    for (reason, count) in [("drop_oldest", letters.overwritten), ("max_age", letters.outdated)] {
        all.push(measure(LETTERS_GIVEN_UP, [label("reason", reason)], count));
    }
    let accepts =
        context.broker.config().durability.is_empty() || context.record.health().0.accepts();
    let ready = accepts && context.snapshot.borrow().settled && !context.is_closing();
    all.push(measure(READY, [], u64::from(ready)));
    all
}

fn journal(context: &Context, all: &mut Vec<MeasureView>) {
    let view = context.record.view(&context.broker);
    for state in [Health::Ready, Health::Degraded, Health::Full, Health::Failed] {
        let is_in = view.state == state.label();
        all.push(measure(JOURNAL_STATE, [label("state", state.label())], u64::from(is_in)));
    }
    for (known, value) in [
        (JOURNAL_BYTES, view.bytes),
        (JOURNAL_ROOM, view.room_bytes),
        (JOURNAL_RESERVE, view.reserve_bytes),
        (JOURNAL_SEGMENTS, view.segments),
        (JOURNAL_UNSETTLED, view.unsettled),
        (JOURNAL_WRITTEN, view.written),
        (JOURNAL_SYNCED, view.synced),
        (JOURNAL_TORN, view.recovery.torn_bytes),
        (DEDUP_KEYS, view.dedup.keys),
    ] {
        all.push(measure(known, [], value));
    }
    for bound in ["none", "window", "keys"] {
        let is_it = view.dedup.bound == bound;
        all.push(measure(DEDUP_BOUND, [label("bound", bound)], u64::from(is_it)));
    }
    let (mut kinds, mut lost): (BTreeMap<String, u64>, u64) = (BTreeMap::new(), 0);
    for damage in context.record.damage() {
        if let (Some(first), Some(last)) = (damage.first_record, damage.last_record) {
            lost = lost.saturating_add((last + 1).saturating_sub(first));
        }
        *kinds.entry(damage.kind).or_default() += 1;
    }
    for (kind, count) in kinds {
        all.push(measure(JOURNAL_DAMAGE, [("kind".to_owned(), kind)], count));
    }
    all.push(measure(JOURNAL_LOST, [], lost));
}

fn label(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

fn measure(
    (name, kind, help): Known,
    attributes: impl IntoIterator<Item = (String, String)>,
    value: u64,
) -> MeasureView {
    MeasureView {
        name: name.to_owned(),
        kind,
        help: help.to_owned(),
        attributes: attributes.into_iter().collect(),
        value,
    }
}

/// Shows them to whatever meter provider is installed; without one this does nothing. The observers
/// do not keep the host alive.
pub(crate) fn observe(context: &Arc<Context>) {
    let meter = opentelemetry::global::meter(super::SCOPE);
    for (name, kind, help) in TERMS.map(|(known, _)| known).into_iter().chain(OTHERS) {
        let context = Arc::downgrade(context);
        let look = move |tell: &dyn Fn(u64, &[KeyValue])| {
            let Some(context) = context.upgrade() else { return };
            for measure in all(&context).into_iter().filter(|measure| measure.name == name) {
                let attributes: Vec<KeyValue> = measure
                    .attributes
                    .into_iter()
                    .map(|(name, value)| KeyValue::new(name, value))
                    .collect();
                tell(measure.value, &attributes);
            }
        };
        match kind {
            MeasureKind::Counter => {
                let counter = meter.u64_observable_counter(name).with_description(help);
                let _counter = counter
                    .with_callback(move |it| look(&|value, labels| it.observe(value, labels)))
                    .build();
            }
            MeasureKind::Gauge => {
                let gauge = meter.u64_observable_gauge(name).with_description(help);
                let _gauge = gauge
                    .with_callback(move |it| look(&|value, labels| it.observe(value, labels)))
                    .build();
            }
        }
    }
}
