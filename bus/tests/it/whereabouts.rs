//! Where a message is, as people see it who ask.

use patchbay_bus::{Outgoing, Park, Place, Verdict};

use crate::support::*;

/// Everything that is said of a message's deliveries.
fn places(rig: &Rig, mid: u128) -> Vec<String> {
    let said = |place: &Place| match place {
        Place::Queued => "queued".to_owned(),
        Place::Delayed { .. } => "delayed".to_owned(),
        Place::InFlight { generation } => format!("in flight at {generation}"),
        Place::DeadPending => "dead pending".to_owned(),
        Place::Dead(letter) => format!("dead letter {}", letter.number),
        other => panic!("{other:?}"),
    };
    rig.broker.whereabouts(mid).iter().map(|it| said(&it.place)).collect()
}

#[test]
fn a_message_is_found_wherever_it_waits_or_runs() {
    for ordered in [false, true] {
        let mut rig = Rig::new();
        let subscription = rig.subscribe(|spec| {
            if ordered {
                per_key(spec);
            }
        });
        let mut publish = |payload: &'static [u8]| {
            let outgoing = Outgoing { topic: "t", key: "k", payload, ..Outgoing::default() };
            rig.publisher.publish(outgoing).unwrap().id
        };
        let (first, second) = (publish(b"first"), publish(b"second"));
        assert_eq!(places(&rig, first), ["queued"]);
        let mut seat = seat(&subscription, 1);
        seat.take(1, Park::No);
        assert_eq!(places(&rig, first), ["in flight at 1"]);
        assert_eq!(places(&rig, second), ["queued"]);
        drain(&mut seat, |_| None);
        assert_eq!((places(&rig, first), places(&rig, second)), (vec![], vec![]));
    }
}

#[test]
fn what_was_tried_shows_its_attempts_and_what_died_its_letter() {
    let mut rig = Rig::new();
    let subscription = rig.subscribe(|_| {});
    let outgoing = Outgoing { topic: "t", payload: b"it", ..Outgoing::default() };
    let mid = rig.publisher.publish(outgoing).unwrap().id;
    let mut seat = seat(&subscription, 1);
    drain(&mut seat, |_| Some(Verdict::Retry(100 * MS)));
    let found = rig.broker.whereabouts(mid);
    assert_eq!((found.len(), found[0].attempts, found[0].failures), (1, 1, 0));
    assert!(
        matches!(found[0].place, Place::Delayed { due_unix_ns } if due_unix_ns > found[0].accepted_unix_ns)
    );
    rig.advance(200);
    drain(&mut seat, |_| Some(Verdict::Failed("no".into())));
    let found = rig.broker.whereabouts(mid);
    assert_eq!((found.len(), found[0].attempts), (1, 2));
    assert!(matches!(&found[0].place, Place::Dead(letter) if letter.reason == "no"));
    assert!(found[0].subscription.is_some());
    assert!(rig.broker.whereabouts(mid + 1).is_empty());
}
