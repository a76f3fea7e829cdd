//! Channels: the least that moves a message from one task or thread to another.

use std::thread;

use patchbay_measure::work::Kind;

use crate::{
    Outcome,
    crew::{Crew, Shared, fresh},
};

/// Messages a queue holds.
const CAPACITY: usize = 1024;

fn only_flow(crew: &Crew, name: &str, batched: bool) -> Outcome<()> {
    let work = crew.work;
    let fits = matches!(work.kind, Kind::Flow) && work.keys == 0 && (work.batch > 1) == batched;
    // A channel sends one at a time; beside batches it stands as the base all the same.
    if fits || (matches!(work.kind, Kind::Flow) && work.keys == 0 && !batched) {
        return Ok(());
    }
    Err(format!("`{name}` does not do `{}`", work.name).into())
}

/// A queue for each consumer, a task for each publisher and consumer.
macro_rules! tasks {
    ($crew:expr, $make:expr, |$receiver:ident, $consumer:ident| $consume:block) => {{
        let crew: &Crew = $crew;
        let mut senders = Vec::new();
        for _ in 0..crew.work.consumers {
            #[allow(unused_mut)]
            let (sender, mut $receiver) = $make;
            senders.push(sender);
            let $consumer = crew.consumer();
            crew.runtime.spawn(async move { $consume });
        }
        for n in 0..crew.work.publishers {
            let (senders, mut source) = (senders.clone(), crew.source(n));
            crew.publish(async move {
                let Some((first, others)) = senders.split_first() else { return };
                while let Some(message) = fresh(&mut source) {
                    for other in others {
                        if other.send(Shared::clone(&message)).await.is_err() {
                            return;
                        }
                    }
                    if first.send(message).await.is_err() {
                        return;
                    }
                }
            });
        }
    }};
}

pub(crate) fn tokio_mpsc(crew: &Crew, name: &str) -> Outcome<()> {
    if crew.work.kind == Kind::Request {
        return round_trip(crew);
    }
    only_flow(crew, name, false)?;
    tasks!(crew, tokio::sync::mpsc::channel::<Shared>(CAPACITY), |receiver, consumer| {
        while let Some(message) = receiver.recv().await {
            consumer.finish(&message.payload);
        }
    });
    Ok(())
}

/// Two bare hops between two threads: there and back, one message under way. Two tasks of one
/// runtime would sit on one worker and never wait for each other, which no plugin's lane does.
fn round_trip(crew: &Crew) -> Outcome<()> {
    let (ask, mut asked) = tokio::sync::mpsc::channel::<Shared>(CAPACITY);
    let (answer, mut answered) = tokio::sync::mpsc::channel::<Shared>(CAPACITY);
    let (consumer, mut source) = (crew.consumer(), crew.source(0));
    thread::spawn(move || {
        while let Some(message) = asked.blocking_recv() {
            if answer.blocking_send(message).is_err() {
                return;
            }
        }
    });
    thread::spawn(move || {
        while let Some(message) = fresh(&mut source) {
            if ask.blocking_send(message).is_err() {
                return;
            }
            let Some(message) = answered.blocking_recv() else { return };
            consumer.finish(&message.payload);
        }
    });
    Ok(())
}

pub(crate) fn tokio_vec(crew: &Crew, name: &str) -> Outcome<()> {
    only_flow(crew, name, true)?;
    let batch = crew.work.batch;
    let mut senders = Vec::new();
    for _ in 0..crew.work.consumers {
        let (sender, mut receiver) = tokio::sync::mpsc::channel::<Vec<Shared>>(CAPACITY / batch);
        senders.push(sender);
        let consumer = crew.consumer();
        crew.runtime.spawn(async move {
            while let Some(messages) = receiver.recv().await {
                messages.iter().for_each(|message| consumer.finish(&message.payload));
            }
        });
    }
    for n in 0..crew.work.publishers {
        let (senders, mut source) = (senders.clone(), crew.source(n));
        crew.publish(async move {
            let Some((first, others)) = senders.split_first() else { return };
            loop {
                let mut messages = Vec::with_capacity(batch);
                while messages.len() < batch {
                    let Some(message) = fresh(&mut source) else { return };
                    messages.push(message);
                }
                for other in others {
                    if other.send(messages.clone()).await.is_err() {
                        return;
                    }
                }
                if first.send(messages).await.is_err() {
                    return;
                }
            }
        });
    }
    Ok(())
}

pub(crate) fn tokio_broadcast(crew: &Crew, name: &str) -> Outcome<()> {
    only_flow(crew, name, false)?;
    let (sender, _) = tokio::sync::broadcast::channel::<Shared>(CAPACITY);
    let mut consumers = Vec::new();
    for _ in 0..crew.work.consumers {
        let (mut receiver, consumer) = (sender.subscribe(), crew.consumer());
        consumers.push(consumer.clone());
        crew.runtime.spawn(async move {
            // A broadcast drops what a slow receiver has not taken; publishers are held back so
            // that nothing is lost here, as nothing is lost elsewhere.
            while let Ok(message) = receiver.recv().await {
                consumer.finish(&message.payload);
            }
        });
    }
    for n in 0..crew.work.publishers {
        let (sender, mut source, consumers) = (sender.clone(), crew.source(n), consumers.clone());
        let publishers = crew.work.publishers as u64;
        crew.publish(async move {
            while let Some(message) = fresh(&mut source) {
                if sender.send(message).is_err() {
                    return;
                }
                if source.sent().is_multiple_of(16) {
                    let sent = source.sent() * publishers;
                    while consumers.iter().any(|each| each.finished() + 512 < sent) {
                        tokio::task::yield_now().await;
                    }
                }
            }
        });
    }
    Ok(())
}

pub(crate) fn flume(crew: &Crew, name: &str) -> Outcome<()> {
    only_flow(crew, name, false)?;
    let mut senders = Vec::new();
    for _ in 0..crew.work.consumers {
        let (sender, receiver) = flume::bounded::<Shared>(CAPACITY);
        senders.push(sender);
        let consumer = crew.consumer();
        crew.runtime.spawn(async move {
            while let Ok(message) = receiver.recv_async().await {
                consumer.finish(&message.payload);
            }
        });
    }
    for n in 0..crew.work.publishers {
        let (senders, mut source) = (senders.clone(), crew.source(n));
        crew.publish(async move {
            let Some((first, others)) = senders.split_first() else { return };
            while let Some(message) = fresh(&mut source) {
                for other in others {
                    if other.send_async(Shared::clone(&message)).await.is_err() {
                        return;
                    }
                }
                if first.send_async(message).await.is_err() {
                    return;
                }
            }
        });
    }
    Ok(())
}

pub(crate) fn kanal(crew: &Crew, name: &str) -> Outcome<()> {
    only_flow(crew, name, false)?;
    tasks!(crew, kanal::bounded_async::<Shared>(CAPACITY), |receiver, consumer| {
        while let Ok(message) = receiver.recv().await {
            consumer.finish(&message.payload);
        }
    });
    Ok(())
}

pub(crate) fn kanal_drain(crew: &Crew, name: &str) -> Outcome<()> {
    only_flow(crew, name, false)?;
    tasks!(crew, kanal::bounded_async::<Shared>(CAPACITY), |receiver, consumer| {
        let mut more = Vec::with_capacity(CAPACITY);
        while let Ok(message) = receiver.recv().await {
            consumer.finish(&message.payload);
            if receiver.drain_into(&mut more).is_err() {
                return;
            }
            more.drain(..).for_each(|message: Shared| consumer.finish(&message.payload));
        }
    });
    Ok(())
}

pub(crate) fn crossbeam(crew: &Crew, name: &str) -> Outcome<()> {
    only_flow(crew, name, false)?;
    let mut senders = Vec::new();
    for _ in 0..crew.work.consumers {
        let (sender, receiver) = crossbeam_channel::bounded::<Shared>(CAPACITY);
        senders.push(sender);
        let consumer = crew.consumer();
        thread::spawn(move || {
            receiver.iter().for_each(|message| consumer.finish(&message.payload));
        });
    }
    for n in 0..crew.work.publishers {
        let (senders, mut source) = (senders.clone(), crew.source(n));
        thread::spawn(move || {
            let Some((first, others)) = senders.split_first() else { return };
            while let Some(message) = fresh(&mut source) {
                for other in others {
                    if other.send(Shared::clone(&message)).is_err() {
                        return;
                    }
                }
                if first.send(message).is_err() {
                    return;
                }
            }
        });
    }
    Ok(())
}
