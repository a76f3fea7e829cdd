//! Hand-offs to a version after its cutover (promise P-24).

use super::{
    casebook::Casebook,
    finding::{Kind, Verdict},
    record::Event,
};

pub(super) fn judge(book: &Casebook, verdict: &mut Verdict) {
    for cause in &book.causes {
        let Event::Cutover { subscription, version, begun } = &cause.event else { continue };
        let from = cause.until.max(cause.t).saturating_add(book.expectations.slack);
        // When the version may serve again.
        let again = book.causes.iter().filter(|other| other.t >= cause.t).find(|other| {
            matches!(&other.event, Event::Serving { subscription: to, version: again }
                if to == subscription && again == version)
        });
        let again = again.map_or(u64::MAX, |again| again.t);
        for (delivery, calls) in &book.deliveries {
            if book.names.text(delivery.listener) != subscription
                || begun.contains(&delivery.number)
            {
                continue;
            }
            let late = calls.iter().find(|call| {
                call.began > from && call.began < again && book.names.text(call.version) == version
            });
            if let Some(call) = late {
                let what = book.describe(*delivery);
                verdict.find(
                    Kind::AfterCutover,
                    format!(
                        "{what}: attempt {} began at {} at version {version}, generation {}, cut over by {}",
                        call.attempt, call.began, call.generation, cause.until.max(cause.t)
                    ),
                );
            }
        }
    }
}
