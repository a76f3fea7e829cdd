//! Hand-offs to a version after its cutover (promise P-24).
//!
//! A call is claimed, then its handler looks at the clock: what was claimed in time may be seen a
//! little late. Where the records name the thread of a call this is exact: a thread has at most one
//! such call, whatever the clock says. Elsewhere a slack is granted.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    casebook::{Casebook, Delivery, HandOff},
    finding::{Kind, Verdict},
    record::Event,
};

/// Hand-offs by listener and version, in the order in which they began.
type ByVersion<'a> = BTreeMap<(u32, u32), Vec<(Delivery, &'a HandOff)>>;

pub(super) fn judge(book: &Casebook, verdict: &mut Verdict) {
    if !book.causes.iter().any(|cause| matches!(cause.event, Event::Cutover { .. })) {
        return;
    }
    let mut calls = ByVersion::new();
    for (delivery, hand_offs) in &book.deliveries {
        for call in hand_offs {
            let calls = calls.entry((delivery.listener, call.version)).or_default();
            calls.push((*delivery, call));
        }
    }
    calls.values_mut().for_each(|calls| calls.sort_by_key(|(_, call)| call.began));
    let returns = returns(book);
    for cause in &book.causes {
        let Event::Cutover { subscription, version, begun } = &cause.event else { continue };
        let names = &book.names;
        let (Some(listener), Some(number)) = (names.find(subscription), names.find(version)) else {
            continue;
        };
        let Some(calls) = calls.get(&(listener, number)) else { continue };
        let end = cause.until.max(cause.t);
        // When the version may serve again.
        let again = returns.get(&(subscription.as_str(), version.as_str())).into_iter().flatten();
        let again = again.copied().filter(|t| *t >= cause.t).min().unwrap_or(u64::MAX);
        let first = calls.partition_point(|(_, call)| call.began <= end);
        let mut stragglers = BTreeSet::new();
        for (delivery, call) in calls[first..].iter().take_while(|(_, call)| call.began < again) {
            let claimed_before = match call.lane {
                0 => call.began <= end.saturating_add(book.expectations.slack),
                lane => stragglers.insert(lane),
            };
            if claimed_before || begun.contains(&delivery.number) {
                continue;
            }
            let what = book.describe(*delivery);
            verdict.find(
                Kind::AfterCutover,
                format!(
                    "{what}: attempt {} began at {} at version {version}, generation {}, cut over by {end}",
                    call.attempt, call.began, call.generation
                ),
            );
        }
    }
}

/// When versions may serve again, by subscription and version.
fn returns(book: &Casebook) -> BTreeMap<(&str, &str), Vec<u64>> {
    let mut found: BTreeMap<(&str, &str), Vec<u64>> = BTreeMap::new();
    for cause in &book.causes {
        if let Event::Serving { subscription, version } = &cause.event {
            found.entry((subscription, version)).or_default().push(cause.t);
        }
    }
    found
}
