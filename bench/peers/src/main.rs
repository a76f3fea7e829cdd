//! Runs one of those whom Patchbay is compared with at one work and prints one line of JSON.
//!
//! `patchbay-peers NAME WORK MILLISECONDS [--allocations]`, or `patchbay-peers --list`. What needs a
//! server finds it by the variables that `bench/peers.sh up` prints.
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

use std::{error::Error, process::ExitCode, time::Duration};

use patchbay_measure::{
    allocations::{self, Counting},
    distance,
    record::Record,
    work::Work,
};

use crate::crew::Crew;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What anything here may fail with.
type Outcome<T> = Result<T, Box<dyn Error>>;

/// A name, what it is, and who starts it.
struct Contender(&'static str, &'static str, fn(&Crew, &str) -> Outcome<()>);

const ALL: &[Contender] = &[
    Contender(
        "tokio-mpsc",
        "tokio::sync::mpsc, bounded 1,024, one message a send",
        channels::tokio_mpsc,
    ),
    Contender("tokio-vec32", "the same, a Vec of 32 messages a send", channels::tokio_vec),
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
        "zenoh, two sessions' worth in one process, FIFO handler",
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
    Contender("redis", "Redis Streams, append only file without fsync", streams::redis),
    #[cfg(feature = "servers")]
    Contender("redis-always", "Redis Streams, appendfsync always", streams::redis),
    #[cfg(feature = "servers")]
    Contender("zmq-inproc", "libzmq, PUSH and PULL in one process", zeromq::push_pull),
    #[cfg(feature = "servers")]
    Contender("zmq-tcp", "libzmq, PUSH and PULL over loopback", zeromq::push_pull),
    #[cfg(feature = "servers")]
    Contender("zmq-proxy", "libzmq, XPUB and XSUB proxy over loopback", zeromq::proxy),
];

fn main() -> ExitCode {
    match run(&std::env::args().skip(1).collect::<Vec<_>>()) {
        Ok(line) => {
            println!("{line}");
            // Threads of peers that never end by themselves end here.
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Outcome<String> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (name, work, length) = match &arguments[..] {
        ["--list"] => {
            let lines = ALL.iter().map(|Contender(name, what, _)| format!("{name}\t{what}"));
            return Ok(lines.collect::<Vec<_>>().join("\n"));
        }
        [name, work, length] => (name, work, length),
        [name, work, length, "--allocations"] => {
            allocations::start();
            (name, work, length)
        }
        _ => return Err("usage: patchbay-peers NAME WORK MILLISECONDS [--allocations]".into()),
    };
    let work = Work::named(work).ok_or_else(|| format!("there is no work `{work}`"))?;
    let Contender(name, _, start) = ALL
        .iter()
        .find(|Contender(known, ..)| known == name)
        .ok_or_else(|| format!("there is no contender `{name}` in this build"))?;
    let distance = distance::round_trip_ns();
    let crew = Crew::new(*work)?;
    start(&crew, name)?;
    let window = crew.measure(Duration::from_millis(length.parse()?))?;
    let record = Record::new(name, work, distance, window);
    let ages = crew.ages();
    Ok(if work.is_latency() { record.with_latency(&ages) } else { record }.to_string())
}
