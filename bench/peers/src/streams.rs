//! Redis Streams: appended by pipelines, read by a consumer group, acknowledged.

use std::{sync::atomic::Ordering::Relaxed, thread};

use patchbay_measure::{entry::Outcome, work::Kind};
use redis::{
    Client, Connection, RedisError,
    streams::{StreamReadOptions, StreamReadReply},
};

use crate::crew::{Consumer, Crew};

/// Commands of one pipeline, where the work does not say how many may be unanswered.
const PIPELINE: usize = 64;
/// Messages under way at most.
const CREDIT: u64 = 4096;
const GROUP: &str = "bench";
const FIELD: &str = "m";

/// With or without an fsync before the answer, by the contender's name.
pub(crate) fn redis(crew: &Crew, name: &str) -> Outcome<()> {
    let work = crew.work;
    let (server, most, is_always) = match name {
        "redis-always" => ("REDIS_ALWAYS", PIPELINE, true),
        "redis-256" => ("REDIS", 256, false),
        "redis-always-256" => ("REDIS_ALWAYS", 256, true),
        "redis-everysec" => ("REDIS_EVERYSEC", PIPELINE, false),
        _ => ("REDIS", PIPELINE, false),
    };
    let fits = match work.kind {
        Kind::Flow => work.publishers == 1 && work.consumers == 1 && work.keys == 0,
        Kind::Process => !is_always,
        Kind::Disk => is_always,
        _ => false,
    };
    crew.only(name, fits && !work.is_latency())?;
    let address = crew.address(server)?;
    let client = Client::open(address)?;
    let stream = format!("bench-{}", std::process::id());
    let mut connection = client.get_connection()?;
    redis::cmd("XGROUP").arg(&["CREATE", &stream, GROUP, "0", "MKSTREAM"]).exec(&mut connection)?;
    let (consumer, failed, stop) = (crew.consumer(), crew.failure(), crew.stop.clone());
    let reading = {
        let (consumer, failed, stop) = (consumer.clone(), failed.clone(), stop.clone());
        let (mut connection, stream) = (client.get_connection()?, stream.clone());
        move || {
            while !stop.load(Relaxed) {
                if let Err(error) = read(&mut connection, &stream, &consumer) {
                    return failed(format!("reading from Redis: {error}"));
                }
            }
        }
    };
    thread::spawn(reading);
    let pipeline = if work.in_flight == 0 { most } else { work.in_flight.min(most) };
    let mut source = crew.source(0);
    thread::spawn(move || {
        loop {
            let mut pipe = redis::pipe();
            for _ in 0..pipeline {
                if source.make().is_none() {
                    return;
                }
                pipe.cmd("XADD").arg(&stream).arg("*").arg(FIELD).arg(source.payload()).ignore();
            }
            if let Err(error) = pipe.exec(&mut connection) {
                return failed(format!("writing to Redis: {error}"));
            }
            while !stop.load(Relaxed) && consumer.finished() + CREDIT < source.sent() {
                thread::yield_now();
            }
        }
    });
    Ok(())
}

fn read(connection: &mut Connection, stream: &str, consumer: &Consumer) -> Result<(), RedisError> {
    let options = StreamReadOptions::default().group(GROUP, "one").count(256).block(100);
    let reply: Option<StreamReadReply> = redis::cmd("XREADGROUP")
        .arg(&options)
        .arg("STREAMS")
        .arg(stream)
        .arg(">")
        .query(connection)?;
    for key in reply.into_iter().flat_map(|reply| reply.keys) {
        let mut done = redis::pipe();
        let ids: Vec<&str> = key.ids.iter().map(|entry| entry.id.as_str()).collect();
        done.cmd("XACK").arg(stream).arg(GROUP).arg(&ids).ignore();
        done.cmd("XDEL").arg(stream).arg(&ids).ignore();
        done.exec(connection)?;
        for entry in &key.ids {
            let payload: Vec<u8> = entry.get(FIELD).unwrap_or_default();
            consumer.finish(&payload);
        }
    }
    Ok(())
}
