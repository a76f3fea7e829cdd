//! Calls that were taken away before their handlers wrote them down.

use patchbay_testkit::checker::{Began, Cause, Event, Kind, Status};

use super::{Run, began, ended};

/// Attempt 1 was claimed by thread 7 before it was taken away at 410 to 420 at the latest, and written
/// down late; attempt 2 ran at `again`.
fn taken(late: u64, again: u64, more: impl FnOnce(&mut Run)) -> Run {
    let mut run = Run::of(5);
    run.unhandled(4);
    let by = |attempt, lane, t| Began { lane, ..began(4, attempt, t) };
    run.add(by(1, 7, late));
    run.add(ended(4, 1, Status::Acknowledged, late + 1));
    run.add(by(2, 8, again));
    run.add(ended(4, 2, Status::Acknowledged, again + 1));
    let event = Event::ForcedTransition { subscription: "orders".into() };
    run.add(Cause { t: 410, until: 420, event });
    more(&mut run);
    run
}

#[test]
fn a_call_that_was_taken_away_before_it_was_written_down_began_before_that() {
    for (late, again) in [(430, 440), (430, 425), (430, 415), (430, 430)] {
        taken(late, again, |_| {}).is_clean();
    }
    // Nothing had been taken away when it was handed out again.
    taken(430, 405, |_| {}).finds(&[Kind::CounterReset]);
    // The thread had begun another call since: this one was claimed later.
    let began_another = |run: &mut Run| {
        run.unhandled(1);
        run.add(Began { lane: 7, ..began(1, 1, 425) });
        run.add(ended(1, 1, Status::Acknowledged, 426));
    };
    let verdict = taken(430, 440, began_another).verdict();
    assert_eq!(verdict.count(Kind::DuplicateWithoutCause), 1, "{verdict}");
    // Whoever asked for it again was not robbed.
    let mut run = taken(430, 440, |_| {});
    run.add(Began { lane: 7, ..began(4, 1, 441) });
    assert!(run.verdict().count(Kind::CounterReset) > 0);
}
