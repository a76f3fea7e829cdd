//! libzmq: sockets with queues, which keep nothing.

use std::{thread, time::Duration};

use patchbay_measure::{entry::Outcome, work::Kind};
use zmq::{Context, PULL, PUSH, SNDMORE, SUB, Socket, XPUB, XSUB};

use crate::crew::{Consumer, Crew};

/// Messages a socket holds for each peer.
const HIGH_WATER: i32 = 1024;
/// Messages under way at most where a socket drops what it has no room for.
const CREDIT: u64 = 512;
/// The same as [`HIGH_WATER`] there: a pipe hears what was read only once half of it was, so that one
/// of twice the credit would still drop.
const DROPPING_HIGH_WATER: i32 = 8192;
const TOPIC: &str = "bench.topic";

/// In the process or over loopback, by the contender's name.
pub(crate) fn push_pull(crew: &Crew, name: &str) -> Outcome<()> {
    let work = crew.work;
    crew.only(name, work.kind == Kind::Flow && work.keys == 0 && work.consumers == 1)?;
    let context = Context::new();
    let pull = bounded(&context, PULL, HIGH_WATER)?;
    pull.bind(if name == "zmq-tcp" { "tcp://127.0.0.1:*" } else { "inproc://bench" })?;
    let address = match pull.get_last_endpoint()? {
        Ok(address) => address,
        Err(_) => return Err("libzmq named an address that is not text".into()),
    };
    read(pull, crew.consumer(), false);
    for n in 0..work.publishers {
        let (push, mut source) = (bounded(&context, PUSH, HIGH_WATER)?, crew.source(n));
        push.connect(&address)?;
        thread::spawn(move || {
            while source.make().is_some() {
                if push.send(source.payload(), 0).is_err() {
                    return;
                }
            }
        });
    }
    Ok(())
}

/// Publishers and subscribers, with a proxy between them.
pub(crate) fn proxy(crew: &Crew, name: &str) -> Outcome<()> {
    let work = crew.work;
    crew.only(name, work.kind == Kind::Flow && work.keys == 0)?;
    let context = Context::new();
    let socket = |kind| bounded(&context, kind, DROPPING_HIGH_WATER);
    let (front, back) = (socket(XSUB)?, socket(XPUB)?);
    front.bind("tcp://127.0.0.1:*")?;
    back.bind("tcp://127.0.0.1:*")?;
    let (Ok(inlet), Ok(outlet)) = (front.get_last_endpoint()?, back.get_last_endpoint()?) else {
        return Err("libzmq named an address that is not text".into());
    };
    thread::spawn(move || zmq::proxy(&front, &back));
    let mut consumers = Vec::new();
    for _ in 0..work.consumers {
        let (sub, consumer) = (socket(SUB)?, crew.consumer());
        sub.connect(&outlet)?;
        sub.set_subscribe(TOPIC.as_bytes())?;
        consumers.push(consumer.clone());
        read(sub, consumer, true);
    }
    for n in 0..work.publishers {
        let (publisher, mut source) = (socket(zmq::PUB)?, crew.source(n));
        publisher.connect(&inlet)?;
        let (consumers, publishers) = (consumers.clone(), work.publishers as u64);
        thread::spawn(move || {
            // A subscription reaches the publishers some time later; what is sent before is lost.
            let mut before = 0;
            while consumers.iter().any(|each| each.finished() == 0) {
                if publisher.send(TOPIC, SNDMORE).and_then(|()| publisher.send("", 0)).is_err() {
                    return;
                }
                before += 1;
                thread::sleep(Duration::from_millis(2));
            }
            while source.make().is_some() {
                let sent = publisher
                    .send(TOPIC, SNDMORE)
                    .and_then(|()| publisher.send(source.payload(), 0));
                if sent.is_err() {
                    return;
                }
                if source.sent().is_multiple_of(32) {
                    let sent = source.sent() * publishers;
                    while consumers.iter().any(|each| each.finished() + CREDIT + before < sent) {
                        thread::yield_now();
                    }
                }
            }
        });
    }
    Ok(())
}

fn bounded(
    context: &Context,
    kind: zmq::SocketType,
    high_water: i32,
) -> Result<Socket, zmq::Error> {
    let socket = context.socket(kind)?;
    socket.set_sndhwm(high_water)?;
    socket.set_rcvhwm(high_water)?;
    socket.set_linger(0)?;
    Ok(socket)
}

fn read(socket: Socket, consumer: Consumer, has_topic: bool) {
    thread::spawn(move || {
        let mut frame = zmq::Message::new();
        loop {
            if has_topic && socket.recv(&mut frame, 0).is_err() {
                return;
            }
            if socket.recv(&mut frame, 0).is_err() {
                return;
            }
            consumer.finish(&frame);
        }
    });
}
