//! Runs one of those whom Patchbay is compared with at one work and prints one line of JSON.
//!
//! What needs a server finds it by the variables that `bench/peers.sh up` prints.
#![forbid(unsafe_code)]

mod actors;
mod channels;
mod crew;
#[cfg(feature = "servers")]
mod nats;
mod raw;
#[cfg(feature = "servers")]
mod streams;
#[cfg(feature = "zenoh")]
mod zenoh_local;
#[cfg(feature = "servers")]
mod zeromq;

use std::process::ExitCode;

use patchbay_measure::{
    allocations::Counting,
    entry::{self, Asked, Outcome},
    meter::Window,
};

use crate::crew::Crew;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A name, what it is, and who starts it.
struct Contender(&'static str, &'static str, fn(&Crew, &str) -> Outcome<()>);

const ALL: &[Contender] = &[
    Contender(
        "tokio-mpsc",
        "tokio::sync::mpsc, bounded 1,024, one message a send",
        channels::tokio_mpsc,
    ),
    Contender(
        "tokio-mpsc-tasks",
        "the same between two tasks of one runtime, for requests",
        channels::tokio_tasks,
    ),
    Contender("tokio-vec32", "tokio::sync::mpsc, a Vec of 32 messages a send", channels::tokio_vec),
    Contender("tokio-broadcast", "tokio::sync::broadcast, 1,024", channels::tokio_broadcast),
    Contender("flume", "flume, bounded 1,024, async", channels::flume),
    Contender("kanal", "kanal, bounded 1,024, async", channels::kanal),
    Contender(
        "kanal+drain",
        "the same, the consumer drains what has piled up",
        channels::kanal_drain,
    ),
    Contender("crossbeam", "crossbeam-channel, bounded 1,024, threads", channels::crossbeam),
    Contender("ractor", "ractor, cast", actors::ractor),
    Contender("ractor-keyed", "ractor's factory, routed by key, 2 workers", actors::ractor_keyed),
    Contender("kameo", "kameo, tell, bounded 1,024", actors::kameo),
    Contender("raw-append", "append to a preallocated file and fdatasync, no queue", raw::append),
    #[cfg(feature = "zenoh")]
    Contender(
        "zenoh",
        "zenoh, publisher and subscriber in one session, FIFO handler of 1,024",
        zenoh_local::fifo,
    ),
    #[cfg(feature = "servers")]
    Contender("nats", "NATS core", nats::core),
    #[cfg(feature = "servers")]
    Contender("jetstream-memory", "JetStream, memory", nats::jetstream),
    #[cfg(feature = "servers")]
    Contender("jetstream-file", "JetStream, file, no fsync before the answer", nats::jetstream),
    #[cfg(feature = "servers")]
    Contender("jetstream-always", "JetStream, file, sync_interval: always", nats::jetstream),
    #[cfg(feature = "servers")]
    Contender(
        "redis",
        "Redis Streams, append only file without fsync, pipelines of 64",
        streams::redis,
    ),
    #[cfg(feature = "servers")]
    Contender("redis-256", "the same, pipelines of 256", streams::redis),
    #[cfg(feature = "servers")]
    Contender("redis-everysec", "Redis Streams, appendfsync everysec", streams::redis),
    #[cfg(feature = "servers")]
    Contender("redis-always", "Redis Streams, appendfsync always, pipelines of 64", streams::redis),
    #[cfg(feature = "servers")]
    Contender("redis-always-256", "the same, pipelines of 256", streams::redis),
    #[cfg(feature = "servers")]
    Contender("zmq-inproc", "libzmq, PUSH and PULL in one process", zeromq::push_pull),
    #[cfg(feature = "servers")]
    Contender("zmq-tcp", "libzmq, PUSH and PULL over loopback", zeromq::push_pull),
    #[cfg(feature = "servers")]
    Contender("zmq-proxy", "libzmq, XPUB and XSUB proxy over loopback", zeromq::proxy),
];

fn main() -> ExitCode {
    entry::main(ALL.iter().map(|Contender(name, what, _)| (*name, *what)), run)
}

fn run(asked: &Asked<'_>) -> Outcome<Window> {
    let Some(Contender(name, _, start)) =
        ALL.iter().find(|Contender(name, ..)| *name == asked.contender)
    else {
        return asked.refused();
    };
    let crew = Crew::new(*asked.work)?;
    start(&crew, name)?;
    crew.measure(asked.length)
}
