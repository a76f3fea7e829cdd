//! Lost, phantom, doubled; holes after a loss of power.

use std::collections::BTreeMap;

use super::{
    casebook::{Case, Casebook, Delivery, Fate, Message},
    expectation::Listener,
    finding::{Kind, Verdict},
    record::{Event, Level},
};

type Found = BTreeMap<(u32, Message), Vec<Delivery>>;
pub(super) type Forwards = BTreeMap<Message, BTreeMap<u32, (u64, u64)>>;

pub(super) fn judge(book: &Casebook, verdict: &mut Verdict) {
    let (found, forwards) = (book.by_message(), book.forwards());
    for (at, deliveries) in &found {
        check_origin(book, *at, deliveries, &forwards, verdict);
    }
    for (number, listener) in book.listeners() {
        if listener.whole {
            missing(book, (number, listener), &found, &forwards, verdict);
        }
        if !book.causes.iter().all(|cause| cause.event != Event::PowerLoss) {
            holes(book, number, listener, &found, verdict);
        }
    }
    let unknown = |message: &Message| {
        book.messages.get(message).is_some_and(|case| case.accepted == 0 && case.unknown > 0)
    };
    let mut turned_up: Vec<Message> =
        found.keys().map(|(_, message)| *message).filter(unknown).collect();
    turned_up.sort_unstable();
    turned_up.dedup();
    verdict.summary.unknown_handled = turned_up.len() as u64;
}

/// At least and at most how many deliveries of a message a listener gets.
fn bounds(
    book: &Casebook,
    listener: &Listener,
    message: Message,
    case: &Case,
    forwards: &Forwards,
) -> (u64, u64) {
    let (mut least, mut most) = (0, 0);
    if book.wants(listener, case.topic) {
        (least, most) = (case.accepted, case.accepted + case.unknown);
        if case.dedup {
            (least, most) = (least.min(1), most.min(1));
        }
    }
    for (topic, (at_least, at_most)) in forwards.get(&message).into_iter().flatten() {
        if book.wants(listener, *topic) {
            least += at_least;
            most += at_most;
        }
    }
    (least, most)
}

/// What was handled must have been published, and no more often.
fn check_origin(
    book: &Casebook,
    (number, message): (u32, Message),
    deliveries: &[Delivery],
    forwards: &Forwards,
    verdict: &mut Verdict,
) {
    let what = || book.describe(deliveries[0]);
    let Some(listener) = book.listener(number) else {
        return verdict.find(Kind::Phantom, format!("{}: nobody expected it there", what()));
    };
    let Some(case) = book.messages.get(&message) else {
        return verdict.find(Kind::Phantom, format!("{} was handled, never published", what()));
    };
    if case.accepted == 0 && case.unknown == 0 {
        return verdict.find(Kind::Phantom, format!("{} was handled, and rejected", what()));
    }
    let (_, most) = bounds(book, listener, message, case, forwards);
    let topic = book.names.text(case.topic);
    if most == 0 {
        let pattern = &listener.pattern;
        return verdict
            .find(Kind::Phantom, format!("{}: topic {topic} is not in {pattern}", what()));
    }
    let redriven =
        book.happened(&listener.name, 0, u64::MAX, |event| matches!(event, Event::Redrive { .. }));
    if deliveries.len() as u64 > most && !redriven {
        let numbers: Vec<u64> = deliveries.iter().map(|one| one.number).collect();
        let what = what();
        verdict.find(
            Kind::Doubled,
            format!("{what}: deliveries {numbers:?}, at most {most} were published"),
        );
    }
}

/// What was accepted must have come to its end.
fn missing(
    book: &Casebook,
    (number, listener): (u32, &Listener),
    found: &Found,
    forwards: &Forwards,
    verdict: &mut Verdict,
) {
    let mut open: Vec<String> = Vec::new();
    for (message, case) in &book.messages {
        let (least, _) = bounds(book, listener, *message, case, forwards);
        let deliveries = found.get(&(number, *message)).map_or(&[][..], Vec::as_slice);
        let ends = deliveries.iter().filter(|one| is_over(book, **one)).count() as u64;
        let dead = book.dead.get(&(number, *message)).copied().unwrap_or_default();
        // What a handler saw must come to its end, even when nobody knows of its publish.
        let wanted = least.max(deliveries.len() as u64);
        if ends + dead >= wanted {
            continue;
        }
        if is_excused(book, listener, (*message, case), forwards) {
            verdict.summary.excused += wanted - ends - dead;
            continue;
        }
        let seen = match deliveries.first() {
            Some(delivery) => {
                let calls = &book.deliveries[delivery];
                format!("{} hand-offs, the last: {:?}", calls.len(), calls.last())
            }
            None => "never handed off".to_owned(),
        };
        let tag = book.tag(*message);
        open.push(format!(
            "message {tag} at {}: accepted at {} ({:?}), {seen}",
            listener.name, case.answered, case.level
        ));
    }
    let allowed = allowance(book, listener);
    if open.len() as u64 <= allowed {
        verdict.summary.excused += open.len() as u64;
        return;
    }
    open.sort_unstable();
    for text in open {
        verdict.find(Kind::Lost, text);
    }
}

/// Whether the last call of a delivery settled it.
fn is_over(book: &Casebook, delivery: Delivery) -> bool {
    let last = book.deliveries.get(&delivery).and_then(|calls| calls.last());
    last.and_then(|call| call.ended).is_some_and(|(_, fate)| fate.settles())
}

fn is_excused(
    book: &Casebook,
    listener: &Listener,
    (message, case): (Message, &Case),
    forwards: &Forwards,
) -> bool {
    let end = book.causes.iter().map(|cause| cause.until.max(cause.t)).max().unwrap_or_default();
    let purged =
        book.happened(&listener.name, 0, u64::MAX, |event| matches!(event, Event::Purge { .. }));
    purged
        || case.expires != 0
        || case.not_before > end.max(case.answered) && !book.expectations.drained
        || may_vanish(book, listener, (message, case), forwards)
}

/// Whether something happened that may take a message of that level away, or a copy of it that was
/// forwarded to the listener.
pub(super) fn may_vanish(
    book: &Casebook,
    listener: &Listener,
    (message, case): (Message, &Case),
    forwards: &Forwards,
) -> bool {
    let after = |event: &Event| {
        let concerns = |cause: &&super::Cause| cause.event == *event;
        book.causes.iter().filter(concerns).any(|cause| cause.until.max(cause.t) >= case.sent)
    };
    let mut copies = forwards.get(&message).into_iter().flatten();
    // One that goes to a recorded topic is settled by the same record.
    let fades = copies.any(|(topic, _)| {
        book.wants(listener, *topic) && book.level_of(*topic) == Some(Level::Memory)
    });
    let level = if listener.memory || fades { Level::Memory } else { case.level };
    match level {
        Level::Memory => {
            after(&Event::HostDeath) || after(&Event::PowerLoss) || after(&Event::HostStop)
        }
        Level::Process => book.causes.iter().any(|cause| {
            // What nobody was told of is promised to nobody.
            let near = case.accepted == 0
                || case.answered.saturating_add(book.expectations.sync_interval) >= cause.t;
            cause.event == Event::PowerLoss && cause.until.max(cause.t) >= case.sent && near
        }),
        Level::Disk => false,
    }
}

/// How many deliveries the last ledger says are not with a handler yet, or were given up.
fn allowance(book: &Casebook, listener: &Listener) -> u64 {
    let ours = book.ledgers.iter().filter(|terms| terms.subscription == listener.name);
    let Some(last) = ours.max_by_key(|terms| terms.t) else {
        return if book.expectations.drained { 0 } else { u64::MAX };
    };
    let waiting = if book.expectations.drained { 0 } else { last.unsettled() };
    let dropped = if listener.may_drop { last.dropped } else { 0 };
    let dead = if book.expectations.dead_listed { 0 } else { last.dead };
    waiting + dropped + dead
}

/// After a loss of power, what survived of level `process` is a beginning of what was accepted.
fn holes(book: &Casebook, number: u32, listener: &Listener, found: &Found, verdict: &mut Verdict) {
    for loss in book.causes.iter().filter(|cause| cause.event == Event::PowerLoss) {
        // Of the life that it ended: numbers of an earlier suffix may have been used again.
        let born = book.life_ends.iter().filter(|end| **end < loss.t).max().copied();
        let before = |case: &Case| {
            let since = born.is_none_or(|born| case.sent > born);
            case.accepted > 0 && case.answered <= loss.t && since
        };
        let (mut first_gone, mut last_kept) = (None::<(u64, Message)>, None::<(u64, Message)>);
        for (message, case) in &book.messages {
            let Some(seq) = case.seq else { continue };
            if !before(case) || case.level == Level::Memory || !book.wants(listener, case.topic) {
                continue;
            }
            match found.get(&(number, *message)) {
                None if book.dead.contains_key(&(number, *message)) => {}
                None => {
                    if first_gone.is_none_or(|(first, _)| seq < first) && case.expires == 0 {
                        first_gone = Some((seq, *message));
                    }
                }
                Some(deliveries) => {
                    let survived = deliveries
                        .iter()
                        .flat_map(|one| &book.deliveries[one])
                        .all(|call| call.began >= loss.until.max(loss.t));
                    if survived && last_kept.is_none_or(|(last, _)| seq > last) {
                        last_kept = Some((seq, *message));
                    }
                }
            }
        }
        if let (Some((gone, lost)), Some((kept, survivor))) = (first_gone, last_kept)
            && gone < kept
        {
            let (lost, survivor) = (book.tag(lost), book.tag(survivor));
            verdict.find(
                Kind::Hole,
                format!("{}: {lost} (seq {gone}) is gone, {survivor} (seq {kept}) survived the loss of power at {}", listener.name, loss.t),
            );
        }
    }
}

/// How many deliveries of all messages a listener took: at least and at most.
pub(super) fn accepted_bounds(book: &Casebook, listener: &Listener) -> (u64, u64) {
    let forwards = book.forwards();
    let (mut least, mut most) = (0, 0);
    for (message, case) in &book.messages {
        let (at_least, at_most) = bounds(book, listener, *message, case, &forwards);
        if !may_vanish(book, listener, (*message, case), &forwards) {
            least += at_least;
        }
        most += at_most;
    }
    (least, most)
}

/// Whether a hand-off ended as acknowledged.
pub(super) fn is_done(fate: Fate) -> bool {
    fate == Fate::Acknowledged
}
