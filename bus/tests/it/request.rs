//! Request and reply.

use std::{
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use patchbay_bus::{Broker, BrokerConfig, Message, Outgoing, REPLY_TO, Reply, RequestError};
use patchbay_wire::TopicPattern;

use crate::support::*;

fn ask(topic: &str) -> Outgoing<'_> {
    Outgoing { topic, payload: b"?", ..Outgoing::default() }
}

/// The reply, if it is there.
fn poll(reply: &mut Reply) -> Option<Result<Message, RequestError>> {
    match pin!(reply).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => Some(answer),
        Poll::Pending => None,
    }
}

fn request(broker: &Broker, topic: &str) -> Result<Reply, RequestError> {
    let mut publisher = broker.publisher("asker");
    broker.request(&mut publisher, ask(topic), Duration::from_secs(1))
}

#[test]
fn a_reply_finds_the_one_who_asked() {
    let rig = Rig::new();
    let subscription = rig.subscribe(|_| {});
    let mut replies = [request(&rig.broker, "t").unwrap(), request(&rig.broker, "t").unwrap()];
    assert!(replies.iter_mut().all(|reply| poll(reply).is_none()));
    let mut answerer = rig.broker.publisher("answerer");
    let mut n = 0;
    drain(&mut seat(&subscription, 1), |delivery| {
        n += 1;
        let topic = delivery.message().header(REPLY_TO).unwrap();
        let payload = [b'0' + n];
        let answer = Outgoing { topic, payload: &payload, ..Outgoing::default() };
        assert_eq!(answerer.publish(answer).unwrap().routed, 1);
        assert_eq!(answerer.publish(answer).unwrap().routed, 0, "only the first reply counts");
        None
    });
    for (i, reply) in replies.iter_mut().enumerate() {
        assert_eq!(poll(reply).unwrap().unwrap().payload(), [b'1' + i as u8]);
    }
}

#[test]
fn replies_in_a_batch_reach_who_asked_and_who_looks_on() {
    let mut rig = Rig::new();
    let subscription = rig.subscribe(|_| {});
    let mut tap = rig.broker.tap(TopicPattern::parse("$PB.reply.>").unwrap(), 8);
    let mut replies = [request(&rig.broker, "t").unwrap(), request(&rig.broker, "t").unwrap()];
    let mut topics = Vec::new();
    drain(&mut seat(&subscription, 1), |delivery| {
        topics.push(delivery.message().header(REPLY_TO).unwrap().to_owned());
        None
    });
    let to = |at: usize| Outgoing { topic: &topics[at], payload: b"!", ..Outgoing::default() };
    let made = rig.publisher.draft(&to(0), 0).unwrap().freeze();
    assert_eq!(rig.publisher.publish_messages(&mut [made].into(), None, true).0, 1);
    assert_eq!(rig.publisher.publish_batch(&[to(1)]).0, 1);
    for (reply, expected) in replies.iter_mut().zip([&b""[..], b"!"]) {
        assert_eq!(poll(reply).unwrap().unwrap().payload(), expected);
        assert_eq!(tap.try_recv().unwrap().payload(), expected);
    }
}

#[test]
fn nobody_to_answer_is_said_at_once() {
    let rig = Rig::new();
    assert!(matches!(request(&rig.broker, "t"), Err(RequestError::NoResponders { .. })));
}

#[test]
fn a_request_times_out_and_is_forgotten() {
    let rig = Rig::with(BrokerConfig { max_requests: 1, ..Default::default() });
    rig.subscribe(|_| {});
    let mut reply = request(&rig.broker, "t").unwrap();
    assert!(matches!(request(&rig.broker, "t"), Err(RequestError::TooMany(1))));
    rig.advance(999);
    assert!(poll(&mut reply).is_none());
    rig.advance(1);
    let Some(Err(RequestError::Timeout(after))) = poll(&mut reply) else { panic!("no timeout") };
    assert_eq!(after, Duration::from_secs(1));
    let dropped = request(&rig.broker, "t").unwrap();
    drop(dropped);
    assert!(request(&rig.broker, "t").is_ok(), "a dropped request is forgotten");
}
