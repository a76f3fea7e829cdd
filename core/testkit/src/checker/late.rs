//! Calls that were claimed, taken away, and only then written down.
//!
//! A thread claims a call, loses its processor, and the call is taken away; its handler looks at the
//! clock afterwards. Such a call began before it was taken, whatever its record says. As after a
//! cutover, this is exact where records name the thread of a call: after each taking a thread has one
//! such call at most, its first; and one that was taken is handed out again with a higher number.

use std::collections::BTreeMap;

use super::casebook::{Casebook, Delivery, Fate, HandOff};

/// When calls of a listener were taken away: from when to when it may have been.
type Takes = Vec<(u64, u64)>;

/// When the calls of one thread at one listener began, rising.
type Threads = BTreeMap<(u32, u64), Vec<u64>>;

/// Gives such calls the time at which they were taken.
pub(super) fn correct(book: &mut Casebook) {
    let takes = takes(book);
    if takes.is_empty() {
        return;
    }
    let threads = threads(book);
    let mut corrected: Vec<(Delivery, usize, u64)> = Vec::new();
    for (delivery, calls) in book.deliveries.iter().filter(|(_, calls)| calls.len() > 1) {
        let Some(takes) = takes.get(&delivery.listener) else { continue };
        for (index, call) in calls.iter().enumerate().filter(|(_, call)| call.lane != 0) {
            let began = &threads[&(delivery.listener, call.lane)];
            if let Some(t) = taken_before(call, calls, takes, began) {
                corrected.push((*delivery, index, t));
            }
        }
    }
    for (delivery, index, t) in corrected {
        if let Some(calls) = book.deliveries.get_mut(&delivery) {
            calls[index].began = t;
        }
    }
    for calls in book.deliveries.values_mut().filter(|calls| calls.len() > 1) {
        calls.sort_by_key(|call| (call.began, call.attempt));
    }
}

/// When the call was taken away at the latest, if that was before it was written down.
fn taken_before(call: &HandOff, calls: &[HandOff], takes: &Takes, began: &[u64]) -> Option<u64> {
    let again = calls.iter().find(|other| other.attempt == call.attempt + 1)?;
    let asked = call.ended.is_some_and(|(t, fate)| t <= again.began && fate == Fate::Again);
    let is_usual = |(t, until): &&(u64, u64)| *t <= again.began && call.began <= *until;
    if asked || call.began < again.began && takes.iter().any(|take| is_usual(&take)) {
        return None;
    }
    let before = &began[..began.partition_point(|t| *t < call.began)];
    let (_, until) = takes
        .iter()
        .filter(|(t, until)| *t <= again.began && *until < call.began)
        .max_by_key(|(_, until)| *until)?;
    before.last().is_none_or(|last| last <= until).then_some((*until).min(again.began))
}

fn takes(book: &Casebook) -> BTreeMap<u32, Takes> {
    let mut found = BTreeMap::new();
    for (number, listener) in book.listeners() {
        // Nobody writes anything after the death of his process.
        let takes: Takes = book.takes(&listener.name, |event| !event.ends_life()).collect();
        if !takes.is_empty() {
            found.insert(number, takes);
        }
    }
    found
}

fn threads(book: &Casebook) -> Threads {
    let mut found = Threads::new();
    for (delivery, calls) in &book.deliveries {
        for call in calls {
            found.entry((delivery.listener, call.lane)).or_default().push(call.began);
        }
    }
    found.values_mut().for_each(|began| began.sort_unstable());
    found
}
