//! A version on trial: what it does not do well is done by the other one, and charged to nobody.

use patchbay_bus::{Begin, Fault, FaultClass, Order, Park, RetryPolicy, Split, Taken, Verdict};

use crate::support::*;

const STABLE: u64 = 1;
const CANDIDATE: u64 = 2;

fn fault(class: FaultClass) -> Verdict {
    Verdict::Fault(Fault { class, text: "told to".to_owned() })
}

#[test]
fn whatever_a_candidate_answers_no_message_dies_of_it() {
    let answers: [fn() -> Verdict; 5] = [
        || fault(FaultClass::Permanent),
        || fault(FaultClass::Panic),
        || fault(FaultClass::Timeout),
        || Verdict::Failed("told to".to_owned()),
        || Verdict::Retry(0),
    ];
    for order in [Order::None, Order::PerKey, Order::Total] {
        let mut rig = Rig::new();
        let subscription = rig.subscribe(|spec| {
            spec.order = order;
            spec.retry = RetryPolicy { max_failures: 0, max_attempts: 1, ..RetryPolicy::default() };
        });
        let (mut stable, mut candidate) =
            (seat(&subscription, STABLE), seat(&subscription, CANDIDATE));
        subscription.set_split(Split::two(7, STABLE, CANDIDATE, 1.0).trying(CANDIDATE));
        for (number, answer) in answers.iter().enumerate() {
            rig.publish_key(&format!("{number}"), "k");
            let mut answers = Some(answer());
            drain(&mut candidate, |delivery| {
                assert_eq!(delivery.attempt(), 1, "the candidate has it once");
                answers.take()
            });
            rig.advance(20);
            let seen = drain(&mut stable, |delivery| {
                assert_eq!(delivery.attempt(), 2, "the hand-off is counted");
                None
            });
            assert_eq!(seen, [format!("{number}")], "{order:?}");
        }
        let ledger = subscription.ledger();
        assert_eq!((ledger.done, ledger.dead, ledger.unsettled()), (5, 0, 0), "{order:?}");
    }
}

#[test]
fn what_a_candidate_gives_up_is_not_passed_by_what_follows_it() {
    let mut rig = Rig::new();
    let subscription = rig.subscribe(per_key);
    let (mut stable, mut candidate) = (seat(&subscription, STABLE), seat(&subscription, CANDIDATE));
    subscription.set_split(Split::two(7, STABLE, CANDIDATE, 1.0).trying(CANDIDATE));
    rig.publish_key("first", "k");
    rig.publish_key("second", "k");
    assert_eq!(candidate.take(2, Park::No), Taken::Batch(2));
    assert_eq!(candidate.begin(0), Begin::Go);
    candidate.record(0, Verdict::Failed("told to".to_owned()));
    assert_eq!(candidate.begin(1), Begin::Skip, "the first one comes again");
    candidate.settle();
    subscription.set_split(Split::all(STABLE));
    assert_eq!(drain(&mut stable, |_| None), ["first", "second"]);
}

#[test]
fn the_other_version_is_charged_as_ever_and_a_candidate_that_lost_its_part_is_not() {
    let mut rig = Rig::new();
    let subscription = rig.subscribe(|_| {});
    let (mut stable, mut candidate) = (seat(&subscription, STABLE), seat(&subscription, CANDIDATE));
    subscription.set_split(Split::two(7, STABLE, CANDIDATE, 1.0).trying(CANDIDATE));
    rig.publish("a");
    assert_eq!(candidate.take(1, Park::No), Taken::Batch(1));
    candidate.begin(0);
    subscription.set_split(Split::all(STABLE).trying(CANDIDATE));
    candidate.record(0, Verdict::Failed("too late to hurt".to_owned()));
    candidate.settle();
    assert_eq!(subscription.ledger().dead, 0);
    drain(&mut stable, |_| Some(Verdict::Failed("the stable one may".to_owned())));
    let ledger = subscription.ledger();
    assert_eq!((ledger.dead, ledger.unsettled()), (1, 0));
}

#[test]
fn a_key_waits_for_its_repetition_by_the_other_version() {
    let mut rig = Rig::new();
    let subscription = rig.subscribe(|spec| spec.order = Order::PerKey);
    let (mut stable, mut candidate) = (seat(&subscription, STABLE), seat(&subscription, CANDIDATE));
    subscription.set_split(Split::two(7, STABLE, CANDIDATE, 1.0).trying(CANDIDATE));
    rig.publish_key("first", "k");
    rig.publish_key("second", "k");
    let mut fails = true;
    let seen =
        drain(&mut candidate, |_| std::mem::take(&mut fails).then(|| fault(FaultClass::Transient)));
    assert_eq!(seen, ["first"], "the second waits for the first");
    assert_eq!(drain(&mut stable, |_| None), ["first"]);
    assert_eq!(drain(&mut candidate, |_| None), ["second"], "the key is the candidate's as before");
}
