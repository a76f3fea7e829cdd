//! Deaths, losses of power, full and failing disks: the real broker over the real journal over a
//! simulated disk, judged by the checker that knows nothing of either.
//!
//! Publishers and handlers write down what they see; at the end everything is acknowledged until
//! nothing is left, and the checker says whether anything was lost, doubled, repeated without a
//! cause, counted wrongly or handed out in the wrong order.

mod calls;
mod host;
mod letters;
mod life;
mod script;

use patchbay_testkit::checker::check;

use self::script::Script;
use crate::{dice::Dice, operation::Operation, seeds::Found, world::Disagreement};

/// The operations of a run.
pub(crate) fn list(seed: u64) -> Vec<Operation> {
    script::list(&mut Dice::new(seed ^ 0xDEAD))
}

/// Runs them, and has the checker look at what was written down.
pub(crate) fn judge(
    seed: u64,
    list: &[Operation],
    trace: Option<Found>,
) -> Result<(), Disagreement> {
    let mut script = Script::new(seed);
    let played = list.iter().enumerate().try_for_each(|(number, operation)| {
        let told = |why| format!("at operation {number}, {operation:?}: {why}");
        script.play(*operation).map_err(told)
    });
    let played = played.and_then(|()| script.drain());
    if let Some(trace) = trace {
        let lines = script.host.records.0.iter().map(|record| format!("{record:?}"));
        trace.lock().unwrap_or_else(std::sync::PoisonError::into_inner).extend(lines);
    }
    played?;
    let verdict = check(&script.host.records, &script.host.expectations());
    if verdict.is_clean() { Ok(()) } else { Err(verdict.to_string()) }
}
