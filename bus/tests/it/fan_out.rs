//! A message for several subscriptions: one pass over their inboxes where all of them have room, and
//! the long way round where one asks for more than a place. Nobody can tell the two apart.

use std::sync::Arc;

use patchbay_bus::{
    KeySource, Outgoing, Overflow, Park, PublishError, Published, Split, Subscription, Taken,
};

use crate::support::*;

/// Around the number up to which nothing is allocated for the subscriptions of a publish.
const WIDTHS: [usize; 5] = [2, 3, 8, 16, 17];

/// So many subscriptions to one topic, the one at `odd` with a change.
fn several(
    rig: &Rig,
    width: usize,
    odd: usize,
    change: impl Fn(&mut patchbay_bus::SubscriptionSpec),
) -> Vec<Arc<Subscription>> {
    let one = |index| {
        rig.subscribe(|spec| {
            if index == odd {
                change(spec)
            }
        })
    };
    (0..width).map(one).collect()
}

fn say(rig: &mut Rig, payload: &str) -> Result<Published, PublishError> {
    let payload = payload.as_bytes();
    rig.publisher.publish(Outgoing { topic: "t", payload, ..Outgoing::default() })
}

fn accepted(all: &[Arc<Subscription>]) -> Vec<u64> {
    all.iter().map(|subscription| subscription.ledger().accepted).collect()
}

#[test]
fn each_of_several_has_the_same_in_the_same_order_and_is_woken_once() {
    for width in WIDTHS {
        let mut rig = Rig::new();
        let all = several(&rig, width, usize::MAX, |_| {});
        let bells: Vec<_> = (0..width).map(|_| Bell::new()).collect();
        let mut seats: Vec<_> = all
            .iter()
            .zip(&bells)
            .map(|(subscription, bell)| subscription.seat(1, bell.clone()).unwrap())
            .collect();
        for seat in &mut seats {
            assert!(matches!(seat.take(8, Park::Yes), Taken::Empty { .. }));
        }
        let ids = ["a", "b", "c"].map(|payload| {
            let published = say(&mut rig, payload).unwrap();
            assert_eq!(published.routed as usize, width);
            published.id
        });
        for (seat, bell) in seats.iter_mut().zip(&bells) {
            assert_eq!(bell.rung(), 1);
            assert_eq!(seat.take(8, Park::No), Taken::Batch(3));
            let got = seat.deliveries().iter().map(|delivery| delivery.message().id());
            assert!(got.eq(ids));
            assert_eq!(drain(seat, |_| None), ["a", "b", "c"]);
        }
        drop(seats);
        // Every reference came back: what was made for the first message is enough for many.
        let made = rig.publisher.envelopes();
        for _ in 0..4 * made {
            say(&mut rig, "d").unwrap();
            for subscription in &all {
                drain(&mut seat(subscription, 1), |_| None);
            }
        }
        assert_eq!(rig.publisher.envelopes(), made);
    }
}

#[test]
fn what_one_of_several_has_no_room_for_nobody_has() {
    let width = 8;
    for full in 0..width {
        let mut rig = Rig::new();
        let all = several(&rig, width, full, |spec| {
            spec.limits.count = 1;
            spec.overflow = Overflow::Reject;
        });
        say(&mut rig, "a").unwrap();
        match say(&mut rig, "b") {
            Err(PublishError::Full { subscription }) => {
                assert!(Arc::ptr_eq(&subscription, &all[full]))
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(accepted(&all), vec![1; width]);
        drain(&mut seat(&all[full], 1), |_| None);
        say(&mut rig, "c").unwrap();
        assert_eq!(accepted(&all), vec![2; width]);
    }
}

#[test]
fn one_of_several_that_drops_what_is_new_took_it_all_the_same() {
    let mut rig = Rig::new();
    let all = several(&rig, 3, 1, |spec| {
        spec.limits.count = 1;
        spec.overflow = Overflow::DropNewest;
    });
    for payload in ["a", "b"] {
        assert_eq!(say(&mut rig, payload).unwrap().routed, 3);
    }
    assert_eq!(accepted(&all), [2, 2, 2]);
    let seen = all.iter().map(|subscription| drain(&mut seat(subscription, 1), |_| None).len());
    assert!(seen.eq([2, 1, 2]));
}

#[test]
fn one_of_several_that_looks_for_its_key_finds_it_and_the_others_have_theirs() {
    let mut rig = Rig::new();
    let all = several(&rig, 3, 2, |spec| {
        per_key(spec);
        spec.key = KeySource::Header("who".into());
    });
    let headers = &[("who", "you")][..];
    let outgoing = Outgoing { topic: "t", headers, ..Outgoing::default() };
    assert_eq!(rig.publisher.publish(outgoing).unwrap().routed, 3);
    let keys = all.iter().map(|subscription| {
        let mut seat = seat(subscription, 1);
        assert_eq!(seat.take(8, Park::No), Taken::Batch(1));
        seat.deliveries()[0].key_hash()
    });
    assert!(keys.eq([0, 0, patchbay_slab::key_hash("you")]));
}

#[test]
fn one_of_several_that_is_gone_is_passed_over() {
    let mut rig = Rig::new();
    let all = several(&rig, 3, usize::MAX, |_| {});
    say(&mut rig, "a").unwrap();
    rig.broker.remove(&all[1]);
    assert_eq!(say(&mut rig, "b").unwrap().routed, 2);
    let left = [&all[0], &all[2]].map(|subscription| subscription.ledger().accepted);
    assert_eq!(left, [2, 2]);
    all[0].set_split(Split::none());
    assert_eq!(say(&mut rig, "c").unwrap().routed, 2, "nobody takes it now, and it is kept");
}
