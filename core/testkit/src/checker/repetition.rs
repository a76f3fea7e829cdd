//! Duplicates without a cause, falling counters, calls before their time, names used twice.

use std::collections::BTreeMap;

use super::{
    casebook::{Casebook, Delivery, Fate, HandOff},
    finding::{Kind, Verdict},
    record::Event,
};

pub(super) fn judge(book: &Casebook, verdict: &mut Verdict) {
    for (delivery, calls) in &book.deliveries {
        for pair in calls.windows(2) {
            check_pair(book, *delivery, (&pair[0], &pair[1]), verdict);
        }
        check_first(book, *delivery, &calls[0], verdict);
    }
    check_numbers(book, verdict);
    check_mids(book, verdict);
}

fn check_pair(
    book: &Casebook,
    delivery: Delivery,
    (one, next): (&HandOff, &HandOff),
    verdict: &mut Verdict,
) {
    let listener = book.names.text(delivery.listener);
    let happened =
        |kinds: fn(&Event) -> bool| book.happened(listener, one.began, next.began, kinds);
    // A forward may have found no room, and is tried again.
    let asked = one.ended.is_some_and(|(t, fate)| {
        t <= next.began && matches!(fate, Fate::Again | Fate::Forwarded(_))
    });
    if !asked {
        if happened(Event::repeats) {
            verdict.summary.duplicates += 1;
        } else {
            let what = book.describe(delivery);
            verdict.find(
                Kind::DuplicateWithoutCause,
                format!(
                    "{what}: attempt {} ({}..{:?}), then attempt {} at {}, and nothing happened between",
                    one.attempt, one.began, one.ended, next.attempt, next.began
                ),
            );
        }
    }
    let forgiven = happened(|event| matches!(event, Event::PowerLoss | Event::Redrive { .. }));
    if next.attempt <= one.attempt && !forgiven {
        let what = book.describe(delivery);
        verdict.find(
            Kind::CounterReset,
            format!(
                "{what}: attempt {} at {}, then attempt {} at {}",
                one.attempt, one.began, next.attempt, next.began
            ),
        );
    }
}

fn check_first(book: &Casebook, delivery: Delivery, call: &HandOff, verdict: &mut Verdict) {
    let Some(case) = book.messages.get(&delivery.message) else { return };
    let direct = book.listener(delivery.listener).is_some_and(|to| book.wants(to, case.topic));
    if call.key != 0 && call.key != case.key {
        let (what, key) = (book.describe(delivery), book.names.text(call.key));
        let told = book.names.text(case.key);
        verdict.find(Kind::Identity, format!("{what}: key `{key}`, published with `{told}`"));
    }
    if direct && call.began < case.not_before {
        let what = book.describe(delivery);
        verdict.find(
            Kind::TooEarly,
            format!("{what}: began at {}, not before {} was asked", call.began, case.not_before),
        );
    }
}

/// Within one life of the host, a listener's number names one message.
fn check_numbers(book: &Casebook, verdict: &mut Verdict) {
    let mut seen: BTreeMap<(u32, u64), Vec<(Delivery, u64)>> = BTreeMap::new();
    for (delivery, calls) in &book.deliveries {
        let users = seen.entry((delivery.listener, delivery.number)).or_default();
        users.push((*delivery, calls[0].began));
    }
    for users in seen.values_mut().filter(|users| users.len() > 1) {
        users.sort_by_key(|(_, first)| *first);
        for pair in users.windows(2) {
            let ((one, from), (other, to)) = (pair[0], pair[1]);
            let listener = book.names.text(one.listener);
            if !book.happened(listener, from, to, Event::ends_life) {
                let (what, tag) = (book.describe(one), book.tag(other.message));
                verdict.find(Kind::Identity, format!("{what}: the number is also {tag}'s"));
            }
        }
    }
}

/// The host's id names one message, and a handler sees the id that the publisher was told.
fn check_mids(book: &Casebook, verdict: &mut Verdict) {
    let mut owners = BTreeMap::new();
    for (message, case) in &book.messages {
        let Some(mid) = case.mid else { continue };
        let other = *owners.entry(mid).or_insert(*message);
        if other != *message {
            let (mid, one, other) = (book.names.text(mid), book.tag(*message), book.tag(other));
            verdict.find(Kind::Identity, format!("id {mid} names {one} and {other}"));
        }
    }
    for (delivery, calls) in &book.deliveries {
        for mid in calls.iter().filter_map(|call| call.mid) {
            if owners.get(&mid).is_some_and(|owner| *owner != delivery.message) {
                let (what, mid) = (book.describe(*delivery), book.names.text(mid));
                verdict.find(Kind::Identity, format!("{what}: came under another's id {mid}"));
                break;
            }
        }
    }
}
