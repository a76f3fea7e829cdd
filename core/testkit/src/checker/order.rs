//! Order of a key: hand-offs start in the order of acceptance and never overlap.
//!
//! The order of acceptance is known for messages of one publisher that were published once and
//! accepted at once: it is their `n`.

use std::collections::BTreeMap;

use super::{
    casebook::{Casebook, Delivery, HandOff},
    expectation::{Listener, Ordering},
    finding::{Kind, Verdict},
    presence,
    record::Event,
};

/// Messages of one publisher and key at one listener.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Stream {
    listener: u32,
    publisher: u32,
    /// `None` when the order is total.
    key: Option<u32>,
}

pub(super) fn judge(book: &Casebook, verdict: &mut Verdict) {
    let forwards = book.forwards();
    let mut streams: BTreeMap<Stream, Vec<Delivery>> = BTreeMap::new();
    for ((number, message), deliveries) in book.by_message() {
        let Some(listener) = book.listener(number) else { continue };
        let Some(case) = book.messages.get(&message) else { continue };
        // What vanished may come back as what somebody forwarded, later and in its own place.
        let copies = forwards.get(&message).into_iter().flatten();
        let copied = copies.into_iter().any(|(topic, _)| book.wants(listener, *topic));
        let known = case.tries == 1
            && case.accepted == 1
            && book.wants(listener, case.topic)
            // What is published for later takes its place when its time has come, and what was of
            // no use any more may be of use again where the wall clock went back.
            && case.not_before == 0
            && case.expires == 0
            && !(copied && presence::may_vanish(book, listener, (message, case), &forwards));
        // Sent back, it has a new place, and nobody may have seen it in its first one.
        let redriven = book.dead.contains_key(&(number, message))
            && book.happened(&listener.name, 0, u64::MAX, |event| {
                matches!(event, Event::Redrive { .. })
            });
        let key = match listener.order {
            Ordering::None => continue,
            Ordering::PerKey if case.key == 0 => continue,
            Ordering::PerKey => Some(case.key),
            Ordering::Total => None,
        };
        if known
            && !redriven
            && let Some(first) = first_of(book, &deliveries)
        {
            let stream = Stream { listener: number, publisher: message.publisher, key };
            streams.entry(stream).or_default().push(first);
        }
    }
    sent_back(book, (&streams, &forwards), verdict);
    for (stream, mut deliveries) in streams {
        let Some(listener) = book.listener(stream.listener) else { continue };
        deliveries.sort_by_key(|delivery| delivery.message.n);
        passed(book, listener, &deliveries, verdict);
        overlapped(book, listener, &deliveries, verdict);
    }
}

/// The delivery that was begun first: later ones were sent back from the dead letters.
fn first_of(book: &Casebook, deliveries: &[Delivery]) -> Option<Delivery> {
    deliveries.iter().min_by_key(|delivery| book.deliveries[*delivery][0].began).copied()
}

/// A message that was sent back from the dead letters stands behind those of its key that were
/// accepted before that.
fn sent_back(
    book: &Casebook,
    (streams, forwards): (&BTreeMap<Stream, Vec<Delivery>>, &presence::Forwards),
    verdict: &mut Verdict,
) {
    for &(number, message, t) in &book.sent_back {
        let Some(listener) = book.listener(number) else { continue };
        let Some(case) = book.messages.get(&message) else { continue };
        // What somebody forwarded is another delivery, with a place of its own.
        let mut copies = forwards.get(&message).into_iter().flatten();
        if copies.any(|(topic, _)| book.wants(listener, *topic)) {
            continue;
        }
        let key = (listener.order == Ordering::PerKey).then_some(case.key);
        let stream = Stream { listener: number, publisher: message.publisher, key };
        let anew = |(delivery, calls): (&Delivery, &Vec<HandOff>)| {
            let is_it = (delivery.listener, delivery.message) == (number, message);
            (is_it && calls[0].began > t).then_some((calls[0].began, *delivery))
        };
        let Some((began, by)) = book.deliveries.iter().filter_map(anew).min() else { continue };
        for delivery in streams.get(&stream).into_iter().flatten() {
            let (first, other) = (&book.deliveries[delivery][0], &book.messages[&delivery.message]);
            if other.answered < t && first.began > began {
                let (what, by) = (book.describe(*delivery), book.tag(by.message));
                verdict.find(
                    Kind::OrderBroken,
                    format!("{what}: began at {}, after {by} of the same key, which was sent back at {t} and began at {began}", first.began),
                );
            }
        }
    }
}

/// No message is handed off after a later one of its key, unless it was settled before that: then
/// the settlement was lost, and both come again.
fn passed(book: &Casebook, listener: &Listener, deliveries: &[Delivery], verdict: &mut Verdict) {
    // From the last message to the first: the earliest call of any later one, in all lives and in
    // each.
    let mut later: Option<(u64, Delivery)> = None;
    let mut later_in: BTreeMap<usize, (u64, Delivery)> = BTreeMap::new();
    for delivery in deliveries.iter().rev() {
        let calls = &book.deliveries[delivery];
        let late = calls.iter().find_map(|call| {
            let (t, by) = *later_in.get(&life(book, call))?;
            (t < call.began).then_some((call, t, by))
        });
        let late = late.or_else(|| {
            let (t, by) = later.filter(|(t, _)| !settled_before(calls, *t))?;
            let call = calls.iter().find(|call| call.began > t)?;
            Some((call, t, by))
        });
        if let Some((call, t, by)) = late {
            let (what, by) = (book.describe(*delivery), book.tag(by.message));
            verdict.find(
                Kind::OrderBroken,
                format!("{what}: attempt {} began at {}, after {by} of the same key began at {t} ({:?})", call.attempt, call.began, listener.order),
            );
        }
        for call in calls {
            let earliest = later.get_or_insert((call.began, *delivery));
            if call.began < earliest.0 {
                *earliest = (call.began, *delivery);
            }
            let earliest = later_in.entry(life(book, call)).or_insert((call.began, *delivery));
            if call.began < earliest.0 {
                *earliest = (call.began, *delivery);
            }
        }
    }
}

/// In which life of the host a call began.
fn life(book: &Casebook, call: &HandOff) -> usize {
    book.life_ends.partition_point(|end| *end <= call.began)
}

/// Whether a message may have been settled before that, in a life whose last records are lost: by
/// what its handler said, or dead after one failure too many.
fn settled_before(calls: &[HandOff], t: u64) -> bool {
    calls.iter().filter_map(|call| call.ended).any(|(end, _)| end <= t)
}

/// Calls of one key are one after the other. What was taken away (by a crash, a lease that ran out)
/// is over when that happened, whatever the old call says later.
fn overlapped(
    book: &Casebook,
    listener: &Listener,
    deliveries: &[Delivery],
    verdict: &mut Verdict,
) {
    let mut calls: Vec<(&HandOff, Delivery)> = deliveries
        .iter()
        .flat_map(|delivery| book.deliveries[delivery].iter().map(|call| (call, *delivery)))
        .collect();
    calls.sort_by_key(|(call, _)| call.began);
    let taken: Vec<(u64, u64)> = book.takes(&listener.name, |_| true).collect();
    let mut busy: Option<(u64, Delivery)> = None;
    for (call, delivery) in calls {
        if let Some((until, by)) = busy
            && call.began < until
            && !book.happened(&listener.name, 0, call.began, |event| {
                matches!(event, Event::Redrive { .. })
            })
        {
            let (what, by) = (book.describe(delivery), book.tag(by.message));
            verdict.find(
                Kind::OrderBroken,
                format!(
                    "{what}: began at {}, while {by} of the same key ran until {until}",
                    call.began
                ),
            );
        }
        let taken = taken
            .iter()
            .filter(|(_, until)| *until >= call.began)
            .map(|(t, _)| (*t).max(call.began))
            .min();
        let ended = call.ended.map(|(t, _)| t);
        let over = [taken, ended].into_iter().flatten().min().unwrap_or(u64::MAX);
        if busy.is_none_or(|(until, _)| over > until) {
            busy = Some((over, delivery));
        }
    }
}
