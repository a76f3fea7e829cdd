//! An ordered subscription to topics of different levels: nothing passes what was accepted before it
//! and waits for its level (promise P-16).

use patchbay_bus::{Fault, FaultClass, Order, Outgoing, Park, Taken};

use super::*;

fn total(spec: &mut SubscriptionSpec) {
    spec.order = Order::Total;
}

impl Life {
    fn submit(&mut self, topic: &str, payload: &str) {
        let payload = payload.as_bytes();
        let _pending =
            self.publisher.submit(Outgoing { topic, payload, ..Outgoing::default() }).unwrap();
    }
}

#[test]
fn what_is_only_in_memory_waits_for_what_is_on_its_way_to_the_disk() {
    let mut life = Life::first();
    let subscription = life.subscribe("*", total);
    let mut seat = seat(&subscription, 1);
    life.submit("m", "1");
    life.submit("t", "2");
    life.submit("m", "3");
    life.submit("t", "4");
    life.submit("m", "5");
    assert_eq!(subscription.ledger().accepted, 3, "what is in memory is accepted at once");
    assert_eq!(drain(&mut seat, |_| None), ["1"]);
    life.flush();
    assert_eq!(drain(&mut seat, |_| None), ["2", "3", "4", "5"]);
    assert_eq!(ledger_of(&subscription), (5, 0, 0, 5));
    life.submit("m", "6");
    assert_eq!(drain(&mut seat, |_| None), ["6"], "nothing is left that it would wait for");
}

#[test]
fn what_only_the_journal_has_waits_for_what_is_on_its_way_to_the_disk() {
    let mut life = Life::first();
    let subscription = life.subscribe("*", |spec| {
        total(spec);
        spec.limits.count = 2;
    });
    life.submit("t", "1");
    life.submit("p", "2");
    life.submit("p", "3");
    // Written, and not flushed.
    let journal = life.broker.journal().unwrap();
    journal.write_through(journal.reached(Level::Memory)).unwrap();
    let mut seat = seat(&subscription, 1);
    assert!(matches!(seat.take(9, Park::No), Taken::Empty { .. }));
    life.flush();
    assert_eq!(drain(&mut seat, |_| None), ["1", "2", "3"]);
}

#[test]
fn a_letter_that_is_sent_back_stands_behind_what_was_accepted_before() {
    let mut life = Life::first();
    let subscription = life.subscribe("*", total);
    let mut seat = seat(&subscription, 1);
    life.submit("m", "1");
    let fault = Fault { class: FaultClass::Permanent, text: "no".into() };
    assert_eq!(drain(&mut seat, |_| Some(Verdict::Fault(fault.clone()))), ["1"]);
    life.submit("t", "2");
    life.broker.redrive(1).unwrap();
    assert!(drain(&mut seat, |_| None).is_empty());
    life.flush();
    assert_eq!(drain(&mut seat, |_| None), ["2", "1"]);
}

#[test]
fn what_stands_in_line_and_no_journal_has_goes_with_its_plugin() {
    let mut life = Life::first();
    let subscription = life.subscribe("*", total);
    life.submit("t", "1");
    life.submit("m", "2");
    assert_eq!(life.broker.detach(&subscription), 1);
    life.flush();
    let ledger = subscription.ledger();
    assert_eq!((ledger.accepted, ledger.queued, ledger.balanced()), (2, 1, true), "{ledger:?}");
    let life = life.die();
    let subscription = life.subscribe("*", total);
    assert_eq!(drain(&mut seat(&subscription, 1), |_| None), ["1"]);
}
