//! Bounds, overflow, and all or none.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use patchbay_bus::{
    Broker, BrokerConfig, DropReason, Outgoing, Overflow, Park, PublishError, Publisher,
    QueueLimits, Room, Split, Subscription, SubscriptionSpec, SystemClock, Verdict,
};
use patchbay_wire::TopicPattern;

use crate::support::*;

fn small(count: usize, overflow: Overflow) -> impl FnOnce(&mut SubscriptionSpec) {
    move |spec| {
        spec.limits.count = count;
        spec.overflow = overflow;
    }
}

fn message(payload: &[u8]) -> Outgoing<'_> {
    Outgoing { topic: "t", payload, ..Outgoing::default() }
}

#[test]
fn a_message_is_taken_by_all_or_by_none() {
    let mut rig = Rig::new();
    let roomy = rig.subscribe(|_| {});
    let tight = subscribe(&rig.broker, "*", small(2, Overflow::Reject));
    for _ in 0..2 {
        assert_eq!(rig.publisher.publish(message(b"x")).unwrap().routed, 2);
    }
    let Err(PublishError::Full { subscription }) = rig.publisher.publish(message(b"x")) else {
        panic!("it is full")
    };
    assert_eq!(subscription.id(), tight.id());
    assert_eq!((roomy.ledger().accepted, tight.ledger().accepted), (2, 2));
    let (accepted, error) = rig.publisher.publish_batch(&[message(b"x"); 3]);
    assert!(accepted == 0 && matches!(error, Some(PublishError::Full { .. })));
}

#[test]
fn nothing_is_given_up_for_a_message_that_another_subscription_refuses() {
    let mut rig = Rig::new();
    let yielding = rig.subscribe(small(1, Overflow::DropOldest));
    let tight = subscribe(&rig.broker, "*", small(1, Overflow::Reject));
    rig.publish("a");
    let refused = rig.publisher.publish(message(b"b"));
    let Err(PublishError::Full { subscription }) = refused else { panic!("{refused:?}") };
    assert_eq!(subscription.id(), tight.id());
    assert_eq!(yielding.ledger().dropped.total(), 0);
    yielding.set_split(Split::all(1));
    assert_eq!(drain(&mut seat(&yielding, 1), |_| None), ["a"]);
}

#[test]
fn a_batch_is_accepted_up_to_the_first_that_has_no_room() {
    let mut rig = Rig::new();
    let subscription = rig.subscribe(small(5, Overflow::Reject));
    let (accepted, error) = rig.publisher.publish_batch(&[message(b"x"); 8]);
    assert_eq!(accepted, 5);
    assert!(error.unwrap().is_retryable());
    assert_eq!(subscription.depth(), 5);
}

#[test]
fn bytes_are_a_bound_of_their_own() {
    let mut rig = Rig::new();
    let subscription = rig.subscribe(|spec| spec.limits = QueueLimits { count: 100, bytes: 1000 });
    let body = [0; 300];
    for _ in 0..3 {
        rig.publisher.publish(message(&body)).unwrap();
    }
    assert!(matches!(rig.publisher.publish(message(&body)), Err(PublishError::Full { .. })));
    rig.publisher.publish(message(&body[..90])).unwrap();
    // 3 x 301 + 91, the topic counts.
    assert!(matches!(rig.publisher.publish(message(&body[..90])), Err(PublishError::Full { .. })));
    let never = rig.publisher.publish(message(&[0; 1000]));
    assert!(matches!(never, Err(PublishError::TooLarge { size: 1001, limit: 1000 })), "{never:?}");
    drain(&mut seat(&subscription, 1), |_| None);
    rig.publisher.publish(message(&body)).unwrap();
}

#[test]
fn what_waits_for_a_retry_counts_against_the_bound_once() {
    let mut rig = Rig::new();
    let subscription = rig.subscribe(small(2, Overflow::Reject));
    let mut seat = seat(&subscription, 1);
    rig.publish("a");
    rig.publish("b");
    drain(&mut seat, |_| Some(Verdict::Retry(20 * MS)));
    assert!(matches!(rig.publisher.publish(message(b"c")), Err(PublishError::Full { .. })));
    rig.advance(30);
    drain(&mut seat, |_| Some(Verdict::Retry(20 * MS)));
    rig.advance(30);
    assert_eq!(drain(&mut seat, |_| None).len(), 2);
    rig.publish("c");
    rig.publish("d");
    assert!(
        matches!(rig.publisher.publish(message(b"e")), Err(PublishError::Full { .. })),
        "room was given back more than once"
    );
}

#[test]
fn what_a_lane_holds_does_not_count_against_the_bound() {
    for order in [|_: &mut SubscriptionSpec| {}, per_key] {
        let mut rig = Rig::new();
        let subscription = rig.subscribe(|spec| {
            small(10, Overflow::Reject)(spec);
            order(spec);
        });
        for i in 0..10 {
            rig.publish_key("a", &format!("{i}"));
        }
        let mut seat = seat(&subscription, 1);
        let patchbay_bus::Taken::Batch(n) = seat.take(4, Park::No) else { panic!("nothing") };
        assert!((1..=4).contains(&n));
        for _ in 0..n {
            rig.publish("b");
        }
        assert!(rig.publisher.publish(message(b"c")).is_err());
    }
}

#[test]
fn drop_newest_keeps_the_old_and_counts_the_new() {
    let mut rig = Rig::new();
    let subscription = rig.subscribe(small(2, Overflow::DropNewest));
    for payload in ["a", "b", "c", "d"] {
        rig.publish(payload);
    }
    let ledger = subscription.ledger();
    assert_eq!((ledger.accepted, ledger.dropped.count(DropReason::Newest)), (4, 2));
    assert!(ledger.balanced());
    assert_eq!(drain(&mut seat(&subscription, 1), |_| None), ["a", "b"]);
}

#[test]
fn drop_oldest_keeps_the_new_and_counts_the_old_in_every_order() {
    for order in [|_: &mut SubscriptionSpec| {}, per_key] {
        let mut rig = Rig::new();
        let subscription = rig.subscribe(|spec| {
            small(3, Overflow::DropOldest)(spec);
            order(spec);
        });
        for (payload, key) in [("a", "k"), ("b", "l"), ("c", "k"), ("d", "m"), ("e", "l")] {
            rig.publish_key(payload, key);
        }
        let ledger = subscription.ledger();
        assert_eq!((ledger.accepted, ledger.dropped.count(DropReason::Oldest)), (5, 2));
        assert!(ledger.balanced());
        let mut seen = drain(&mut seat(&subscription, 1), |_| None);
        seen.sort();
        assert_eq!(seen, ["c", "d", "e"]);
    }
}

#[test]
fn drop_oldest_makes_as_much_room_as_a_large_message_needs() {
    let mut rig = Rig::new();
    let subscription = rig.subscribe(|spec| {
        spec.limits = QueueLimits { count: 100, bytes: 1000 };
        spec.overflow = Overflow::DropOldest;
    });
    for _ in 0..9 {
        rig.publisher.publish(message(&[1; 99])).unwrap();
    }
    rig.publisher.publish(message(&[2; 599])).unwrap();
    let ledger = subscription.ledger();
    assert_eq!(ledger.dropped.count(DropReason::Oldest), 5);
    assert!(ledger.balanced());
}

#[test]
fn drop_oldest_gives_up_no_delivery_that_was_promised_a_retry() {
    let mut rig = Rig::new();
    let subscription = rig.subscribe(small(2, Overflow::DropOldest));
    let mut seat = seat(&subscription, 1);
    rig.publish("a");
    rig.publish("b");
    drain(&mut seat, |_| Some(Verdict::Retry(20 * MS)));
    rig.publish("c");
    let ledger = subscription.ledger();
    assert_eq!((ledger.delayed, ledger.dropped.count(DropReason::Newest)), (2, 1));
    assert!(ledger.balanced());
}

/// One subscription with room for one message, which is taken.
fn blocked(publish_timeout: Duration) -> (Broker, Arc<Subscription>, Publisher) {
    let config = BrokerConfig { publish_timeout, ..Default::default() };
    let broker = Broker::new(config, Arc::new(SystemClock));
    let subscription = subscribe(&broker, "t", small(1, Overflow::Block));
    subscription.set_split(Split::all(1));
    let mut publisher = broker.publisher("p");
    publisher.publish(message(b"a")).unwrap();
    (broker, subscription, publisher)
}

#[test]
fn a_blocked_publisher_gives_up_at_its_timeout_and_one_that_may_not_wait_at_once() {
    let timeout = Duration::from_millis(80);
    let (_broker, subscription, mut publisher) = blocked(timeout);
    let start = Instant::now();
    assert!(matches!(publisher.publish(message(b"b")), Err(PublishError::Full { .. })));
    assert!(start.elapsed() >= timeout, "gave up after {:?}", start.elapsed());
    let no_wait = Outgoing { no_wait: true, ..message(b"b") };
    assert!(matches!(publisher.publish(no_wait), Err(PublishError::Full { .. })));
    assert_eq!(subscription.ledger().accepted, 1);
}

#[test]
fn a_blocked_publisher_goes_on_when_there_is_room() {
    let (_broker, subscription, mut publisher) = blocked(DEADLINE);
    let waiting = thread::spawn(move || publisher.publish(message(b"b")).map(|p| p.routed));
    drain(&mut seat(&subscription, 1), |_| None);
    assert_eq!(waiting.join().unwrap().unwrap(), 1);
    assert_eq!(subscription.ledger().accepted, 2);
}

#[test]
fn many_blocked_publishers_all_get_through() {
    // Waiters are counted: as a flag, one that found room silenced the lanes for the others.
    let broker = live();
    let subscription = subscribe(&broker, "t", small(2, Overflow::Block));
    subscription.set_split(Split::all(1));
    let lanes = [lane(&subscription, 1, |_, _| None)];
    let publishers: Vec<_> = (0..4)
        .map(|_| {
            let mut publisher = broker.publisher("p");
            thread::spawn(move || {
                for _ in 0..2_000 {
                    publisher.publish(message(b"x")).unwrap();
                }
            })
        })
        .collect();
    publishers.into_iter().for_each(|publisher| publisher.join().unwrap());
    settled(&subscription);
    assert_eq!(subscription.ledger().done, 8_000);
    broker.remove(&subscription);
    lanes.into_iter().for_each(|lane| lane.join().unwrap());
}

#[test]
fn a_token_that_waits_for_room_is_told_once() {
    let mut rig = Rig::with(BrokerConfig { max_waiters: 1, ..Default::default() });
    let subscription = rig.subscribe(small(1, Overflow::Reject));
    let bell = Bell::new();
    assert_eq!(subscription.when_room(1, bell.clone()), Room::Now);
    rig.publish("a");
    assert_eq!(subscription.when_room(1, bell.clone()), Room::Registered);
    assert_eq!(subscription.when_room(1, bell.clone()), Room::Refused);
    let mut seat = seat(&subscription, 1);
    assert_eq!(bell.rung(), 0);
    drain(&mut seat, |_| None);
    assert_eq!(bell.rung(), 1);
    rig.publish("b");
    drain(&mut seat, |_| None);
    assert_eq!(bell.rung(), 0);
}

#[test]
fn what_is_refused_names_the_place() {
    let mut rig = Rig::with(BrokerConfig { max_message_bytes: 100, ..Default::default() });
    rig.subscribe(|_| {});
    let large = rig.publisher.publish(message(&[0; 100])).unwrap_err();
    assert_eq!(large.to_string(), "the message has 101 bytes, 100 are allowed");
    let topic = Outgoing { topic: "a..b", ..Outgoing::default() };
    let topic = rig.publisher.publish(topic).unwrap_err();
    assert!(std::error::Error::source(&topic).unwrap().to_string().contains("token 2"));
    let headers = [("ok", "line\nbreak")];
    let header = rig.publisher.publish(Outgoing { headers: &headers, ..message(b"") });
    assert!(matches!(header, Err(PublishError::Header { .. })));
    rig.broker.close_intake();
    assert!(matches!(rig.publisher.publish(message(b"")), Err(PublishError::Closed)));
    let pattern = TopicPattern::parse("t").unwrap();
    assert!(rig.broker.subscribe(SubscriptionSpec::new("late", pattern)).is_err());
}

#[test]
fn a_drafted_message_is_published_as_it_is_and_comes_back_when_refused() {
    let mut rig = Rig::new();
    let subscription = rig.subscribe(small(1, Overflow::Reject));
    let mut draft =
        rig.publisher.draft(&Outgoing { topic: "t", ..Outgoing::default() }, 3).unwrap();
    draft.payload_mut().copy_from_slice(b"abc");
    let message = draft.freeze();
    let id = message.id();
    assert_eq!(rig.publisher.publish_message(message, None, false).unwrap().id, id);
    let cause = rig.publisher.draft(&Outgoing { topic: "c", ..Outgoing::default() }, 0).unwrap();
    let cause = cause.freeze();
    let draft = rig.publisher.draft(&Outgoing { topic: "t", ..Outgoing::default() }, 0).unwrap();
    let refused = rig.publisher.publish_message(draft.freeze(), Some(&cause), false).unwrap_err();
    assert!(matches!(refused.error, PublishError::Full { .. }));
    assert_eq!(refused.message.hops(), 1, "one hop after its cause");
    assert_eq!(drain(&mut seat(&subscription, 1), |_| None), ["abc"]);
    let shared = refused.message.clone();
    rig.publisher.publish_message(refused.message, Some(&shared), false).unwrap();
    drain(&mut seat(&subscription, 1), |delivery| {
        assert_eq!(delivery.message().hops(), 2);
        None
    });
    assert_eq!(shared.hops(), 1, "a message that somebody else holds is not written");
}

#[test]
fn a_queue_behaves_like_its_model() {
    use std::collections::VecDeque;
    let mut state = 0x2545_F491_4F6C_DD1D;
    for round in 0..60 {
        let overflow = [Overflow::Reject, Overflow::DropOldest, Overflow::DropNewest][round % 3];
        let mut rig = Rig::new();
        let subscription = rig.subscribe(small(8, overflow));
        let mut seat = seat(&subscription, 1);
        let mut model: VecDeque<String> = VecDeque::new();
        for step in 0..200 {
            if !random(&mut state).is_multiple_of(5) {
                let payload = format!("{step}");
                let result = rig.publisher.publish(message(payload.as_bytes()));
                match (model.len() < 8, overflow) {
                    (true, _) => model.push_back(payload),
                    (false, Overflow::DropOldest) => {
                        model.pop_front();
                        model.push_back(payload);
                    }
                    (false, Overflow::DropNewest) => {}
                    (false, _) => assert!(result.is_err()),
                }
            } else {
                let limit = 1 + random(&mut state) as usize % 5;
                if let patchbay_bus::Taken::Batch(n) = seat.take(limit, Park::No) {
                    for i in 0..n {
                        assert_eq!(seat.begin(i), patchbay_bus::Begin::Go);
                        assert_eq!(Some(text(&seat.deliveries()[i])), model.pop_front().as_deref());
                    }
                    assert!(n <= limit);
                    seat.settle();
                } else {
                    assert!(model.is_empty());
                }
            }
            let ledger = subscription.ledger();
            assert!(ledger.balanced() && ledger.queued == model.len() as u64, "{ledger:?}");
        }
    }
}
