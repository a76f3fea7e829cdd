//! What the tests have in common.

use patchbay_journal::{
    AppendError, End, Ended, Journal, Level, List, Moment, Position, Publish, Record, Settled,
    Span, Subscribe, Target,
};

/// The instant at which tests open a journal.
pub(crate) const NOW: Moment =
    Moment { unix_ns: 1_700_000_000_000_000_000, mono_ns: 1_000_000_000 };

/// How much, and from which seed on: small figures for every change, others where `scripts/chaos.sh`
/// says so.
pub(crate) fn asked(first: u64, rounds: u64) -> (u64, u64) {
    let set = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    (set("PATCHBAY_FIRST_SEED").unwrap_or(first), set("PATCHBAY_SEEDS").unwrap_or(rounds).max(1))
}

/// Appends when there is room, as whoever may wait does.
pub(crate) fn append(journal: &Journal, record: &Record<'_>) -> Position {
    let mut room = journal.wanting(1000);
    loop {
        match journal.append(record) {
            Err(AppendError::StorageFull { .. }) => room.wait().expect("room"),
            done => return done.expect("append"),
        }
    }
}

/// A message that says which one it is.
pub(crate) fn publish<'a>(mid: u64, targets: &'a [Target], payload: &'a [u8]) -> Publish<'a> {
    Publish {
        seq: 0,
        mid: 7 << 76 | 2 << 62 | u128::from(mid),
        time_ns: NOW.unix_ns + mid,
        expires_ns: 0,
        not_before_ns: 0,
        observed_ns: mid,
        hops: 0,
        level: Level::Disk,
        topic: "orders.new",
        key: "",
        headers: List::default(),
        payload,
        dedup: None,
        targets: targets.into(),
        letters: List::default(),
    }
}

pub(crate) fn subscribe(sub: u32) -> Record<'static> {
    Record::Subscribe(Subscribe { sub, owner: "billing", pattern: "orders.>" })
}

pub(crate) fn done<'a>(sub: u32, ends: &'a [End]) -> Record<'a> {
    Record::Settled(Settled { sub, at_unix_ns: 1, ends: ends.into() })
}

pub(crate) fn end(first: u64, count: u64) -> End {
    End { span: Span { first, count }, how: Ended::Done }
}
