//! What a publish, a delivery and a request allocate. Counted, and alone in its process: others'
//! allocations would be counted with them.

use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use patchbay_bus::{
    Begin, Broker, BrokerConfig, ManualClock, Outgoing, Park, Publisher, REPLY_TO, Seat, Split,
    SubscriptionSpec, Taken,
};
use patchbay_measure::allocations::{self, Counting};
use patchbay_wire::TopicPattern;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How often each is done. Costs 20 ms in a debug build.
const TIMES: u64 = 1_000;

/// What of them is allocated, after as many to get warm.
fn counted(mut act: impl FnMut()) -> u64 {
    (0..TIMES).for_each(|_| act());
    let before = allocations::count();
    (0..TIMES).for_each(|_| act());
    allocations::count() - before
}

/// Handles what is there; `handle` gets the topic for a reply, if one is wanted.
fn drain(seat: &mut Seat, mut handle: impl FnMut(Option<&str>)) {
    while let Taken::Batch(count) = seat.take(64, Park::No) {
        for index in 0..count {
            if seat.begin(index) == Begin::Go {
                handle(seat.deliveries()[index].message().header(REPLY_TO));
            }
        }
    }
}

fn ask(broker: &Broker, asker: &mut Publisher, answer: impl FnOnce()) {
    let outgoing = Outgoing { topic: "t", payload: b"?", ..Outgoing::default() };
    let reply = broker.request(asker, outgoing, Duration::from_secs(1)).expect("asked");
    answer();
    let answer = pin!(reply).poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(answer, Poll::Ready(Ok(message)) if message.payload() == b"!"));
}

#[test]
fn a_delivery_allocates_nothing_and_a_publish_of_a_request_or_a_reply_once_at_most() {
    let broker = Broker::seeded(BrokerConfig::default(), Arc::new(ManualClock::new()), 1);
    let spec = SubscriptionSpec::new("plugin", TopicPattern::parse("t").expect("a pattern"));
    let subscription = broker.subscribe(spec).expect("subscribed");
    subscription.set_split(Split::all(1));
    let mut seat = subscription.seat(1, Arc::new(std::thread::current())).expect("a seat");
    let (mut asker, mut answerer) = (broker.publisher("asker"), broker.publisher("answerer"));
    allocations::start();
    let flow = counted(|| {
        let outgoing = Outgoing { topic: "t", payload: &[7; 256], ..Outgoing::default() };
        asker.publish(outgoing).expect("published");
        drain(&mut seat, |_| {});
    });
    // Queues and the room of envelopes still grow now and then.
    assert!(flow < TIMES / 10, "{flow} for {TIMES} messages");
    let requests = counted(|| {
        ask(&broker, &mut asker, || {
            drain(&mut seat, |topic| {
                let topic = topic.expect("a topic for the reply");
                let outgoing = Outgoing { topic, payload: b"!", ..Outgoing::default() };
                assert_eq!(answerer.publish(outgoing).expect("published").routed, 1);
            });
        });
    });
    assert!(requests <= 2 * TIMES + TIMES / 10, "{requests} for {TIMES} requests and replies");
}
