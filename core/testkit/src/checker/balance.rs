//! The ledger (promise P-1): its sum, its direction, and what the records say of its terms.

use std::collections::BTreeMap;

use super::{
    casebook::{Casebook, Fate},
    expectation::Listener,
    finding::{Kind, Verdict},
    presence,
    record::{Event, LedgerTerms},
};

pub(super) fn judge(book: &Casebook, verdict: &mut Verdict) {
    for terms in &book.ledgers {
        if terms.accepted != terms.sum() {
            verdict.find(
                Kind::LedgerWrong,
                format!("accepted {} is not the sum {}: {terms:?}", terms.accepted, terms.sum()),
            );
        }
    }
    let mut lives: BTreeMap<(&str, u32), Vec<&LedgerTerms>> = BTreeMap::new();
    for terms in &book.ledgers {
        lives.entry((&terms.subscription, terms.life)).or_default().push(terms);
    }
    for looks in lives.values_mut() {
        looks.sort_by_key(|terms| terms.t);
        for pair in looks.windows(2) {
            check_direction(pair[0], pair[1], verdict);
        }
    }
    for (number, listener) in book.listeners() {
        let ours = book.ledgers.iter().filter(|terms| terms.subscription == listener.name);
        if let Some(last) = ours.max_by_key(|terms| (terms.life, terms.t)) {
            check_last(book, (number, listener), last, verdict);
        }
    }
}

/// What was counted once is never counted back within one life.
fn check_direction(one: &LedgerTerms, next: &LedgerTerms, verdict: &mut Verdict) {
    for (what, before, after) in [
        ("accepted", one.accepted, next.accepted),
        ("done", one.done, next.done),
        ("forwarded", one.forwarded, next.forwarded),
        ("dead", one.dead, next.dead),
        ("dropped", one.dropped, next.dropped),
    ] {
        if after < before {
            let (name, from, to) = (&one.subscription, one.t, next.t);
            verdict.find(
                Kind::LedgerWrong,
                format!("{name}: {what} fell from {before} at {from} to {after} at {to}"),
            );
        }
    }
}

/// The terms at the end, beside what publishers and handlers saw.
fn check_last(
    book: &Casebook,
    (number, listener): (u32, &Listener),
    last: &LedgerTerms,
    verdict: &mut Verdict,
) {
    let mut wrong = |text: String| {
        verdict.find(Kind::LedgerWrong, format!("{}: {text}: {last:?}", listener.name));
    };
    let happened = |kinds: fn(&Event) -> bool| book.happened(&listener.name, 0, u64::MAX, kinds);
    if book.expectations.drained && last.unsettled() > 0 {
        wrong(format!("{} deliveries are not settled at the end", last.unsettled()));
    }
    let redriven = happened(|event| matches!(event, Event::Redrive { .. }));
    let (least, most) = presence::accepted_bounds(book, listener);
    if listener.whole {
        if last.accepted < least {
            wrong(format!("at least {least} deliveries were accepted"));
        }
        if last.accepted > most && !redriven {
            wrong(format!("at most {most} deliveries were accepted"));
        }
    }
    let ended_with = |fits: fn(Fate) -> bool| {
        let ours = book.deliveries.iter().filter(|(delivery, _)| delivery.listener == number);
        let fitting = ours.filter(|(_, calls)| {
            calls.iter().filter_map(|call| call.ended).any(|(_, fate)| fits(fate))
        });
        fitting.count() as u64
    };
    let done = ended_with(presence::is_done);
    let forwarded = ended_with(|fate| matches!(fate, Fate::Forwarded(_)));
    if last.done > done {
        wrong(format!("handlers acknowledged {done} deliveries"));
    }
    if last.forwarded > forwarded {
        wrong(format!("handlers forwarded {forwarded} deliveries"));
    }
    let undisturbed = !happened(Event::repeats) && book.expectations.drained;
    if undisturbed && last.done < done {
        wrong(format!("handlers acknowledged {done} deliveries, and nothing took one back"));
    }
    let moved = redriven || happened(|event| matches!(event, Event::Purge { .. }));
    let listed: u64 = book
        .dead
        .iter()
        .filter(|((listener, _), _)| *listener == number)
        .map(|(_, count)| *count)
        .sum();
    if !moved && listed > last.dead {
        wrong(format!("{listed} dead letters are listed"));
    }
    let whole_life = !happened(Event::ends_life);
    if book.expectations.dead_listed && !moved && whole_life && listed < last.dead {
        wrong(format!("only {listed} dead letters are listed"));
    }
}
