//! What an opened journal hands to the bus.

use crate::{
    clean,
    damage::Damage,
    frame::Frame,
    head::Head,
    place::Place,
    read,
    record::{Counters, Failure, Kind, Letter, Record, Span, Standing, Target},
};

/// Everything that was in the journal and is needed again.
#[derive(Clone, Debug, Default)]
pub struct Recovered {
    /// The subscriptions, by number.
    pub subs: Vec<RecoveredSub>,
    /// The dead letters, oldest first.
    pub dead: Vec<RecoveredLetter>,
    /// Keys of publishes inside the window, oldest first.
    pub dedup: Vec<RecoveredKey>,
    /// Control keys and their latest values.
    pub control: Vec<(String, Vec<u8>)>,
    /// Number of the next message.
    pub next_seq: u64,
    /// Number of the next dead letter.
    pub next_letter: u64,
    /// Number of the next subscription.
    pub next_sub: u32,
    /// How long hosts have run with this journal, in nanoseconds.
    pub observed_ns: u64,
    /// What was found on the way.
    pub report: RecoveryReport,
}

/// A subscription as it was left.
#[derive(Clone, Debug)]
pub struct RecoveredSub {
    /// Its number.
    pub sub: u32,
    /// The plugin that owns it; empty when that is lost to damage.
    pub owner: Box<str>,
    /// The topics it wants; empty when that is lost to damage.
    pub pattern: Box<str>,
    /// The id of its next delivery.
    pub next_id: u64,
    /// What became of what it accepted. What is unsettled is `accepted` less
    /// [`settled`](Counters::settled), exactly.
    pub counters: Counters,
    /// Unsettled deliveries that were never handed off: read them with
    /// [`Journal::backlog`](crate::Journal::backlog).
    pub fresh: Vec<Span>,
    /// All other unsettled deliveries, by id.
    pub tried: Vec<Tried>,
    /// How many accepted deliveries are lost to damage. They are counted as dropped, for the
    /// reason [`LOST`](crate::LOST).
    pub lost: u64,
}

/// An unsettled delivery that was handed off before, or redriven.
#[derive(Clone, Debug, Default)]
pub struct Tried {
    /// Its id.
    pub id: u64,
    /// Hand-offs so far.
    pub attempts: u32,
    /// Failures charged so far.
    pub failures: u32,
    /// How often it was a dead letter before.
    pub redrives: u32,
    /// When its next attempt is due, nanoseconds since the Unix epoch; 0 = at once.
    pub due_unix_ns: u64,
    /// How far away that was when it was decided.
    pub delay_ns: u64,
    /// The last failures, oldest first.
    pub history: Vec<OwnedFailure>,
    /// An attempt had begun and not ended when the last life of the host ended.
    pub begun: bool,
    /// One had when an earlier life ended.
    pub suspect: bool,
    /// Why it is held among the dead, if it is.
    pub held: Option<OwnedLetter>,
}

/// A failed attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedFailure {
    /// The plugin.
    pub plugin: String,
    /// Which instance of it.
    pub generation: u64,
    /// Which version that was; empty where nobody knows.
    pub version: String,
    /// Number of the attempt.
    pub attempt: u32,
    /// What kind of failure, a number of the bus.
    pub class: u8,
    /// In words.
    pub reason: String,
    /// When, nanoseconds since the Unix epoch.
    pub at_unix_ns: u64,
}

/// Why a delivery is dead.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnedLetter {
    /// Why, a number of the bus; 255 when the record that said so is damaged.
    pub cause: u8,
    /// Why, in words.
    pub reason: String,
    /// Which instance of the plugin had it last; 0 = none.
    pub generation: u64,
    /// Which version that was; empty where nobody knows.
    pub version: String,
    /// When, nanoseconds since the Unix epoch.
    pub at_unix_ns: u64,
}

/// A dead letter. Its message: [`Journal::read_letter`](crate::Journal::read_letter).
#[derive(Clone, Debug)]
pub struct RecoveredLetter {
    /// Its number.
    pub number: u64,
    /// The delivery that died.
    pub target: Target,
    /// Hand-offs.
    pub attempts: u32,
    /// Failures charged.
    pub failures: u32,
    /// How often it was a dead letter before.
    pub redrives: u32,
    /// The last failures, oldest first.
    pub history: Vec<OwnedFailure>,
    /// Why.
    pub letter: OwnedLetter,
}

/// The key of a publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveredKey {
    /// Who published.
    pub principal: String,
    /// To which topic.
    pub topic: String,
    /// The key.
    pub key: String,
    /// Hash of what was published.
    pub payload_hash: u64,
    /// The message it became.
    pub mid: u128,
    /// Its number.
    pub seq: u64,
    /// When, in time that hosts have run.
    pub observed_ns: u64,
}

/// What was found when the journal was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// Segments with records.
    pub segments: u64,
    /// Records that were read.
    pub records: u64,
    /// Number of the last one.
    pub last_record: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Unsettled deliveries.
    pub live: u64,
    /// The host had closed the journal in good order, or it is new.
    pub orderly: bool,
    /// Bytes of an unfinished write at the end, cut (P-9).
    pub torn_bytes: u64,
    /// Whole records behind the unfinished one, cut as well: never known to be on the device.
    pub torn_records: u64,
    /// All damage.
    pub damage: Vec<Damage>,
}

// === impl Recovered ===

impl Recovered {
    /// Takes from the books what the bus needs.
    pub(crate) fn from(head: &Head, dedup: Vec<RecoveredKey>, report: RecoveryReport) -> Recovered {
        let books = &head.books;
        let mut subs: Vec<RecoveredSub> = books
            .subs
            .iter()
            .map(|(&sub, book)| RecoveredSub {
                sub,
                owner: book.owner.clone(),
                pattern: book.pattern.clone(),
                next_id: book.next_id,
                counters: book.counters,
                fresh: fresh(book),
                tried: tried(head, sub, book),
                lost: book.counters.dropped[usize::from(crate::LOST)],
            })
            .collect();
        subs.sort_unstable_by_key(|sub| sub.sub);
        Recovered {
            subs,
            dead: books.letters.iter().map(|(&number, book)| letter(head, number, book)).collect(),
            dedup,
            control: books
                .control
                .iter()
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect(),
            next_seq: books.next_seq,
            next_letter: books.next_letter,
            next_sub: books.next_sub,
            observed_ns: books.observed_ns,
            report,
        }
    }
}

fn fresh(book: &crate::books::Book) -> Vec<Span> {
    let mut fresh = book.live.clone();
    for (first, count) in book.begun.spans().into_iter().chain(book.suspects.spans()) {
        fresh.remove_span(first, count);
    }
    for &id in book.held.keys() {
        fresh.remove(id);
    }
    fresh.spans().into_iter().map(|(first, count)| Span { first, count }).collect()
}

fn tried(head: &Head, sub: u32, book: &crate::books::Book) -> Vec<Tried> {
    let begun = book.begun.spans().into_iter().chain(book.suspects.spans());
    let mut ids: Vec<u64> = begun.flat_map(|(first, count)| first..first + count).collect();
    ids.extend(book.held.keys());
    ids.sort_unstable();
    ids.dedup();
    let one = |id| {
        let (begun, suspect) = (book.begun.contains(id), book.suspects.contains(id));
        let Some(held) = book.held.get(&id) else {
            return Tried { id, attempts: 1, begun, suspect, ..Tried::default() };
        };
        let reason = held.reason.and_then(|place| {
            let target = Target { sub, id };
            Some(why(head, place, 0, target)?.0)
        });
        Tried {
            id,
            attempts: held.attempts,
            failures: held.failures,
            redrives: held.redrives,
            due_unix_ns: held.due_unix_ns,
            delay_ns: held.delay_ns,
            history: failures(&Standing {
                history: clean::history(&held.history),
                ..Standing::default()
            }),
            begun,
            suspect,
            held: held.reason.map(|_| reason.unwrap_or_else(OwnedLetter::unreadable)),
        }
    };
    ids.into_iter().map(one).collect()
}

fn letter(head: &Head, number: u64, book: &crate::books::LetterBook) -> RecoveredLetter {
    let (letter, standing) = why(head, book.reason, number, book.target)
        .unwrap_or_else(|| (OwnedLetter::unreadable(), Tried::default()));
    RecoveredLetter {
        number,
        target: Target {
            id: if standing.id == 0 { book.target.id } else { standing.id },
            ..book.target
        },
        attempts: standing.attempts,
        failures: standing.failures,
        redrives: standing.redrives,
        history: standing.history,
        letter,
    }
}

/// Reads the record that says why a delivery is dead.
fn why(head: &Head, place: Place, number: u64, target: Target) -> Option<(OwnedLetter, Tried)> {
    let (kind, body) = read::raw(head.segment(place.segment)?, place.offset)?;
    let (id, letter, standing) = match Record::decode(kind, &body).ok()? {
        Record::Dead(dead) => (dead.target.id, dead.letter, dead.standing),
        Record::Publish(publish) | Record::Forward { publish, .. } => {
            let dead = publish.letters.iter().find(|dead| dead.letter.number == number)?;
            (dead.target.id, dead.letter, dead.standing)
        }
        Record::Moved(moved) => moved.targets.iter().find_map(|moved| {
            let letter = moved.letter.filter(|letter| letter.number == number)?;
            (moved.target == target).then_some((moved.target.id, letter, moved.standing))
        })?,
        _ => return None,
    };
    let tried = Tried {
        id,
        attempts: standing.attempts,
        failures: standing.failures,
        redrives: standing.redrives,
        history: failures(&standing),
        ..Tried::default()
    };
    Some((OwnedLetter::of(&letter), tried))
}

fn failures(standing: &Standing<'_>) -> Vec<OwnedFailure> {
    standing.history.iter().map(|failure| OwnedFailure::of(&failure)).collect()
}

// === impl OwnedFailure ===

impl OwnedFailure {
    fn of(failure: &Failure<'_>) -> OwnedFailure {
        OwnedFailure {
            plugin: failure.plugin.to_owned(),
            generation: failure.generation,
            version: failure.version.to_owned(),
            attempt: failure.attempt,
            class: failure.class,
            reason: failure.reason.to_owned(),
            at_unix_ns: failure.at_unix_ns,
        }
    }
}

// === impl OwnedLetter ===

impl OwnedLetter {
    fn of(letter: &Letter<'_>) -> OwnedLetter {
        let Letter { cause, reason, generation, version, at_unix_ns, .. } = *letter;
        let (reason, version) = (reason.to_owned(), version.to_owned());
        OwnedLetter { cause, reason, generation, version, at_unix_ns }
    }

    fn unreadable() -> OwnedLetter {
        OwnedLetter { cause: u8::MAX, ..OwnedLetter::default() }
    }
}

// === impl RecoveredKey ===

impl RecoveredKey {
    /// The keys that a record brings.
    pub(crate) fn of(frame: &Frame<'_>, record: &Record<'_>, into: &mut impl Extend<RecoveredKey>) {
        if !matches!(frame.kind, Kind::Publish | Kind::Forward | Kind::DedupKeys) {
            return;
        }
        let owned = |key: crate::record::DedupKey<'_>| RecoveredKey {
            principal: key.principal.to_owned(),
            topic: key.topic.to_owned(),
            key: key.key.to_owned(),
            payload_hash: key.payload_hash,
            mid: key.mid,
            seq: key.seq,
            observed_ns: key.observed_ns,
        };
        match record {
            Record::Publish(publish) | Record::Forward { publish, .. } => {
                into.extend(clean::key_of(publish).map(owned));
            }
            Record::DedupKeys(keys) => into.extend(keys.keys.iter().map(owned)),
            _ => {}
        }
    }
}
