//! Fills a queue that nobody empties yet, and then empties it: what a message costs that waits behind
//! many.

use std::{
    sync::{Arc, atomic::AtomicBool},
    thread,
    time::{Duration, Instant},
};

use patchbay_bus::{
    Begin, Broker, BrokerConfig, Outgoing, Park, QueueLimits, Split, SubscriptionSpec, SystemClock,
    Taken,
};
use patchbay_measure::{
    entry::Outcome,
    meter::{self, Window},
    process,
    source::Source,
    work::Work,
};
use patchbay_wire::TopicPattern;

use super::TOPIC;

const WINDOW: usize = 1024;

pub(super) fn run(work: &Work, waiting: usize, length: Duration) -> Outcome<Window> {
    let stop = Arc::new(AtomicBool::new(false));
    let mut source = Source::new(work, 0, &stop);
    let (mut finished, mut cpu, mut most) = (0, 0, 0);
    let (mut filling, mut took) = (Duration::ZERO, Duration::ZERO);
    while took < length {
        let broker = Broker::new(BrokerConfig::default(), Arc::new(SystemClock));
        let mut spec = SubscriptionSpec::new("bench", TopicPattern::parse(TOPIC)?);
        spec.limits = QueueLimits { count: waiting, bytes: usize::MAX >> 1 };
        let subscription = broker.subscribe(spec)?;
        subscription.set_split(Split::all(1));
        let mut publisher = broker.publisher("bench");
        let empty = process::anonymous_bytes();
        let (start, used) = (Instant::now(), meter::cpu_ns());
        for _ in 0..waiting {
            source.make();
            let payload = source.payload();
            publisher.publish(Outgoing { topic: TOPIC, payload, ..Outgoing::default() })?;
        }
        filling += start.elapsed();
        most = most.max(process::anonymous_bytes().saturating_sub(empty));
        let mut seat = subscription.seat(1, Arc::new(thread::current()))?;
        let mut left = waiting;
        while left > 0 {
            let Taken::Batch(n) = seat.take(WINDOW, Park::No) else {
                return Err(format!("{left} of {waiting} messages are not there").into());
            };
            left -= (0..n).filter(|at| seat.begin(*at) == Begin::Go).count();
        }
        seat.take(1, Park::No);
        took += start.elapsed();
        cpu += meter::cpu_ns() - used;
        finished += waiting;
        drop(seat);
        broker.remove(&subscription);
    }
    let each = |part: Duration| part.as_nanos() as f64 / finished as f64;
    Ok(Window {
        fill_drain_ns: Some([each(filling), each(took - filling)]),
        rate: finished as f64 / took.as_secs_f64(),
        cpu_ns: cpu as f64 / finished as f64,
        threads: process::threads(),
        anonymous: process::anonymous_bytes(),
        bytes_each: Some(most as f64 / waiting as f64),
        ..Window::default()
    })
}
