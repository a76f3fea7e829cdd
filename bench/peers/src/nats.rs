//! NATS: its core, which forgets, and JetStream, which keeps.

use std::{future::IntoFuture, sync::Arc, time::Duration};

use async_nats::{
    Subject,
    jetstream::{
        self, consumer,
        stream::{Config, RetentionPolicy, StorageType},
    },
};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use patchbay_measure::{entry::Outcome, work::Kind};

use crate::crew::{Crew, pace};

/// Messages fetched at once.
const FETCH: usize = 256;

pub(crate) fn core(crew: &Crew, name: &str) -> Outcome<()> {
    let work = crew.work;
    crew.only(name, work.kind == Kind::Flow && work.keys == 0)?;
    let address = crew.address("NATS")?;
    let subject = format!("bench.{}", std::process::id());
    let all = if work.topics > 1 { format!("{subject}.*") } else { subject.clone() };
    let subjects: Arc<[Subject]> = match work.topics {
        1 => [subject.into()].into(),
        many => (0..many).map(|number| format!("{subject}.{number}").into()).collect(),
    };
    let mut consumers = Vec::new();
    for _ in 0..work.consumers {
        let consumer = crew.consumer();
        consumers.push(consumer.clone());
        let mut messages = crew.runtime.block_on(async {
            let client = async_nats::connect(&address).await?;
            let messages = client.subscribe(all.clone()).await?;
            client.flush().await?;
            Ok::<_, Box<dyn std::error::Error>>(messages)
        })?;
        crew.runtime.spawn(async move {
            while let Some(message) = messages.next().await {
                consumer.finish(&message.payload);
            }
        });
    }
    for n in 0..work.publishers {
        let (mut source, consumers, subjects) =
            (crew.source(n), consumers.clone(), Arc::clone(&subjects));
        let client = crew.runtime.block_on(async_nats::connect(&address))?;
        crew.publish(async move {
            while let Some(next) = source.make() {
                let payload = Bytes::copy_from_slice(source.payload());
                if client.publish(subjects[next.topic].clone(), payload).await.is_err() {
                    return;
                }
                if work.is_latency() {
                    if client.flush().await.is_err() {
                        return;
                    }
                } else {
                    pace(source.sent(), work.publishers, &consumers).await;
                }
            }
        });
    }
    Ok(())
}

/// Memory, file, or file with an fsync before every answer, by the contender's name.
pub(crate) fn jetstream(crew: &Crew, name: &str) -> Outcome<()> {
    let work = crew.work;
    let always = name == "jetstream-always";
    let fits = match work.kind {
        Kind::Flow => work.consumers == 1 && work.publishers == 1 && work.keys == 0 && !always,
        Kind::Process => !always,
        Kind::Disk => always,
        _ => false,
    };
    crew.only(name, fits && !work.is_latency())?;
    let address = crew.address(if always { "NATS_ALWAYS" } else { "NATS" })?;
    let subject = format!("stream.{}", std::process::id());
    let storage = if name == "jetstream-memory" { StorageType::Memory } else { StorageType::File };
    let stream_name = format!("bench-{}", std::process::id());
    let (context, pulled) = crew.runtime.block_on(async {
        let context = jetstream::new(async_nats::connect(&address).await?);
        let stream = context
            .create_stream(Config {
                name: stream_name,
                subjects: vec![subject.clone()],
                storage,
                retention: RetentionPolicy::WorkQueue,
                ..Config::default()
            })
            .await?;
        let config = consumer::pull::Config {
            durable_name: Some("bench".to_owned()),
            max_ack_pending: 100_000,
            ..Default::default()
        };
        let consumer: consumer::Consumer<consumer::pull::Config> =
            stream.create_consumer(config).await?;
        Ok::<_, Box<dyn std::error::Error>>((context, consumer))
    })?;
    let (consumer, failed) = (crew.consumer(), crew.failure());
    let told = failed.clone();
    crew.runtime.spawn(async move {
        let reading = async {
            let mut messages = pulled.stream().max_messages_per_batch(FETCH).messages().await?;
            while let Some(message) = messages.next().await {
                let message = message?;
                message.ack().await?;
                consumer.finish(&message.payload);
            }
            Ok::<_, async_nats::Error>(())
        };
        if let Err(error) = reading.await {
            told(format!("reading from JetStream: {error}"));
        }
    });
    let in_flight = if work.in_flight == 0 { FETCH } else { work.in_flight };
    let mut source = crew.source(0);
    crew.publish(async move {
        let answers = futures_util::stream::unfold((), |()| {
            let payload = source.make().map(|_| Bytes::copy_from_slice(source.payload()));
            let (context, subject) = (context.clone(), subject.clone());
            async move {
                let payload = payload?;
                let publish = async move {
                    let answer =
                        context.publish(subject, payload).await.map_err(|e| e.to_string())?;
                    tokio::time::timeout(Duration::from_secs(10), answer.into_future())
                        .await
                        .map_err(|error| error.to_string())?
                        .map_err(|error| error.to_string())
                };
                Some((publish, ()))
            }
        });
        let published = answers.buffer_unordered(in_flight).try_for_each(|_| async { Ok(()) });
        if let Err(error) = published.await {
            failed(format!("publishing to JetStream: {error}"));
        }
    });
    Ok(())
}
