//! A journal that cannot write any more (promise P-7).

use patchbay_bus::{Outgoing, Park, PublishError, Taken};

use super::*;

#[test]
fn after_a_failed_flush_nothing_is_accepted_handed_out_or_counted() {
    let mut life = Life::first();
    let subscription = life.subscribe("t", |_| {});
    let memory = life.subscribe("m", |_| {});
    life.publish("before");
    let mut seat = seat(&subscription, 1);
    life.disk.fail_after(1);
    let outgoing = Outgoing { topic: "t", payload: b"lost?", ..Outgoing::default() };
    let unknown = life.publisher.publish(outgoing).unwrap_err();
    assert!(unknown.is_unknown(), "{unknown}: it was written, and perhaps flushed");
    let rejected = life.publisher.publish(outgoing).unwrap_err();
    assert!(matches!(rejected, PublishError::JournalFailed { written: false }));
    assert_eq!(ledger_of(&subscription), (1, 1, 0, 0));
    assert!(matches!(seat.take(9, Park::Yes), Taken::Empty { .. }), "nothing begins unrecorded");
    assert_eq!(ledger_of(&subscription), (1, 1, 0, 0));
    // What needs no journal goes on.
    life.publisher.publish(Outgoing { topic: "m", ..Outgoing::default() }).unwrap();
    assert_eq!(drain(&mut crate::support::seat(&memory, 1), |_| None).len(), 1);
    // A restart finds what is really there.
    let life = life.lose_power();
    let subscription = life.subscribe("t", |_| {});
    assert_eq!(drain(&mut crate::support::seat(&subscription, 1), |_| None), ["before"]);
}

#[test]
fn a_submission_that_fails_says_so_to_whoever_polls() {
    let mut life = Life::first();
    life.subscribe("t", |_| {});
    life.publish("before");
    life.disk.fail_after(0);
    let pending = life.publisher.submit(Outgoing { topic: "t", ..Outgoing::default() }).unwrap();
    let bell = Bell::new();
    pending.when(bell.clone());
    life.flush();
    assert_eq!(bell.rung(), 1);
    assert!(matches!(
        pending.poll_result(),
        Some(Err(PublishError::JournalFailed { written: true }))
    ));
}
