//! Messages that exist, published together.

use std::collections::VecDeque;

use patchbay_bus::{BrokerConfig, Message, Outgoing, Park, PublishError, Publisher, Split, Taken};

use crate::support::*;

fn made(publisher: &mut Publisher, topic: &str, payload: &str) -> Message {
    let outgoing = Outgoing { topic, ..Outgoing::default() };
    let mut draft = publisher.draft(&outgoing, payload.len()).unwrap();
    draft.payload_mut().copy_from_slice(payload.as_bytes());
    draft.freeze()
}

fn all(publisher: &mut Publisher, of: &[(&str, &str)]) -> VecDeque<Message> {
    of.iter().map(|(topic, payload)| made(publisher, topic, payload)).collect()
}

fn payloads(messages: &VecDeque<Message>) -> Vec<&str> {
    messages.iter().map(|message| std::str::from_utf8(message.payload()).unwrap()).collect()
}

#[test]
fn messages_of_two_topics_arrive_in_their_order_and_a_run_wakes_once() {
    let mut rig = Rig::new();
    let first = rig.subscribe(|_| {});
    let second = subscribe(&rig.broker, "other", |_| {});
    second.set_split(Split::all(1));
    let bells = [Bell::new(), Bell::new()];
    let mut seats = [(&first, &bells[0]), (&second, &bells[1])]
        .map(|(subscription, bell)| subscription.seat(1, bell.clone()).unwrap());
    for seat in &mut seats {
        assert!(matches!(seat.take(8, Park::Yes), Taken::Empty { .. }));
    }
    let cause = made(&mut rig.publisher, "cause", "");
    let batch = [("t", "a"), ("t", "b"), ("other", "c"), ("other", "d"), ("t", "e")];
    let mut messages = all(&mut rig.publisher, &batch);
    let (accepted, stopped) = rig.publisher.publish_messages(&mut messages, Some(&cause), true);
    assert!(accepted == 5 && stopped.is_none() && messages.is_empty(), "{accepted} {stopped:?}");
    assert_eq!(bells.each_ref().map(|bell| bell.rung()), [1, 1]);
    let mut hops = Vec::new();
    let mut seen = |delivery: &patchbay_bus::Delivery| {
        hops.push(delivery.message().hops());
        None
    };
    assert_eq!(drain(&mut seats[0], &mut seen), ["a", "b", "e"]);
    assert_eq!(drain(&mut seats[1], &mut seen), ["c", "d"]);
    assert_eq!(hops, [1; 5], "one hop after their cause");
}

#[test]
fn what_has_no_room_is_left_with_those_behind_it_and_goes_on_from_there() {
    let mut rig = Rig::new();
    let roomy = rig.subscribe(|_| {});
    let tight = subscribe(&rig.broker, "tight", |spec| spec.limits.count = 2);
    tight.set_split(Split::all(1));
    let batch = [("t", "a"), ("tight", "b"), ("tight", "c"), ("tight", "d"), ("t", "e")];
    let mut messages = all(&mut rig.publisher, &batch);
    let (accepted, stopped) = rig.publisher.publish_messages(&mut messages, None, true);
    assert_eq!((accepted, payloads(&messages)), (3, vec!["d", "e"]));
    assert!(matches!(stopped, Some(PublishError::Full { .. })), "{stopped:?}");
    assert_eq!(drain(&mut seat(&tight, 1), |_| None), ["b", "c"]);
    let (accepted, stopped) = rig.publisher.publish_messages(&mut messages, None, true);
    assert!(accepted == 2 && stopped.is_none(), "{accepted} {stopped:?}");
    assert_eq!(drain(&mut seat(&tight, 1), |_| None), ["d"]);
    assert_eq!(drain(&mut seat(&roomy, 1), |_| None), ["a", "e"]);
}

#[test]
fn a_message_past_a_bound_stops_the_batch_and_those_before_it_are_there() {
    let mut rig =
        Rig::with(BrokerConfig { max_message_bytes: 9, max_hops: 1, ..Default::default() });
    let subscription = rig.subscribe(|_| {});
    let mut large = Rig::new();
    let mut messages = all(&mut rig.publisher, &[("t", "a"), ("t", "b")]);
    messages.insert(1, made(&mut large.publisher, "t", "ten bytes!"));
    let (accepted, stopped) = rig.publisher.publish_messages(&mut messages, None, true);
    assert_eq!((accepted, payloads(&messages)), (1, vec!["ten bytes!", "b"]));
    assert!(matches!(stopped, Some(PublishError::TooLarge { .. })), "{stopped:?}");
    assert_eq!(drain(&mut seat(&subscription, 1), |_| None), ["a"]);

    let mut cause = made(&mut rig.publisher, "t", "");
    assert!(cause.raise_hops(1));
    messages.pop_front();
    let (accepted, stopped) = rig.publisher.publish_messages(&mut messages, Some(&cause), true);
    assert_eq!((accepted, messages.len()), (0, 1));
    assert!(matches!(stopped, Some(PublishError::HopLimit { hops: 2, .. })), "{stopped:?}");
}
