//! Channels: the least that moves a message from one task or thread to another.

use std::thread;

use patchbay_measure::{entry::Outcome, source::Source, work::Kind};

use crate::crew::{Consumer, Crew, Shared, fresh};

/// Messages a queue holds.
const CAPACITY: usize = 1024;

/// Messages go to all consumers, and keep no order by key. Whoever sends one at a time stands as the
/// base beside batches all the same.
fn only_flow(crew: &Crew, name: &str) -> Outcome<()> {
    crew.only(name, crew.work.kind == Kind::Flow && crew.work.keys == 0)
}

/// The sending end of a queue. False when nobody reads it any more.
trait Sink<T>: Clone + Send + 'static {
    fn put(&self, item: T) -> impl Future<Output = bool> + Send;
}

impl<T: Send + 'static> Sink<T> for tokio::sync::mpsc::Sender<T> {
    async fn put(&self, item: T) -> bool {
        self.send(item).await.is_ok()
    }
}

impl<T: Send + 'static> Sink<T> for flume::Sender<T> {
    async fn put(&self, item: T) -> bool {
        self.send_async(item).await.is_ok()
    }
}

impl<T: Send + 'static> Sink<T> for kanal::AsyncSender<T> {
    async fn put(&self, item: T) -> bool {
        self.send(item).await.is_ok()
    }
}

/// Blocks: for publishers with a thread of their own.
impl<T: Send + 'static> Sink<T> for crossbeam_channel::Sender<T> {
    async fn put(&self, item: T) -> bool {
        self.send(item).is_ok()
    }
}

/// A queue for each consumer of `crew`, made and read as it is said.
fn queues<T, S: Sink<T>, R>(
    crew: &Crew,
    make: impl Fn() -> (S, R),
    mut read: impl FnMut(R, Consumer),
) -> Vec<S> {
    let queues = (0..crew.work.consumers).map(|_| {
        let (sender, receiver) = make();
        read(receiver, crew.consumer());
        sender
    });
    queues.collect()
}

/// Puts what `make` makes into all of `sinks`.
async fn feed<T: Clone + Send, S: Sink<T>>(
    sinks: Vec<S>,
    mut source: Source,
    make: impl Fn(&mut Source) -> Option<T>,
) {
    let Some((first, others)) = sinks.split_first() else { return };
    while let Some(item) = make(&mut source) {
        for other in others {
            if !other.put(item.clone()).await {
                return;
            }
        }
        if !first.put(item).await {
            return;
        }
    }
}

/// A task for each publisher.
fn publish<S: Sink<Shared> + Sync>(crew: &Crew, sinks: &[S]) {
    for n in 0..crew.work.publishers {
        crew.publish(feed(sinks.to_vec(), crew.source(n), fresh));
    }
}

pub(crate) fn tokio_mpsc(crew: &Crew, name: &str) -> Outcome<()> {
    if crew.work.kind == Kind::Request {
        round_trip(crew);
        return Ok(());
    }
    only_flow(crew, name)?;
    let make = || tokio::sync::mpsc::channel::<Shared>(CAPACITY);
    let sinks = queues(crew, make, |mut receiver, consumer| {
        crew.runtime.spawn(async move {
            while let Some(message) = receiver.recv().await {
                consumer.finish(&message.payload);
            }
        });
    });
    publish(crew, &sinks);
    Ok(())
}

/// Two bare hops between two threads: there and back, one message under way. Two tasks of one runtime
/// ([`tokio_tasks`]) sit on one worker and never wait for each other, which no plugin's lane does.
fn round_trip(crew: &Crew) {
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
}

/// The same two hops between two tasks of one runtime.
pub(crate) fn tokio_tasks(crew: &Crew, name: &str) -> Outcome<()> {
    crew.only(name, crew.work.kind == Kind::Request)?;
    let (ask, mut asked) = tokio::sync::mpsc::channel::<Shared>(CAPACITY);
    let (answer, mut answered) = tokio::sync::mpsc::channel::<Shared>(CAPACITY);
    let (consumer, mut source) = (crew.consumer(), crew.source(0));
    crew.runtime.spawn(async move {
        while let Some(message) = asked.recv().await {
            if answer.send(message).await.is_err() {
                return;
            }
        }
    });
    crew.runtime.spawn(async move {
        while let Some(message) = fresh(&mut source) {
            if ask.send(message).await.is_err() {
                return;
            }
            let Some(message) = answered.recv().await else { return };
            consumer.finish(&message.payload);
        }
    });
    Ok(())
}

pub(crate) fn tokio_vec(crew: &Crew, name: &str) -> Outcome<()> {
    let batch = crew.work.batch;
    crew.only(name, crew.work.kind == Kind::Flow && crew.work.keys == 0 && batch > 1)?;
    let make = || tokio::sync::mpsc::channel::<Vec<Shared>>(CAPACITY / batch);
    let sinks = queues(crew, make, |mut receiver, consumer| {
        crew.runtime.spawn(async move {
            while let Some(messages) = receiver.recv().await {
                messages.iter().for_each(|message| consumer.finish(&message.payload));
            }
        });
    });
    for n in 0..crew.work.publishers {
        let make = move |source: &mut Source| -> Option<Vec<Shared>> {
            let mut messages = Vec::with_capacity(batch);
            while messages.len() < batch {
                messages.push(fresh(source)?);
            }
            Some(messages)
        };
        crew.publish(feed(sinks.clone(), crew.source(n), make));
    }
    Ok(())
}

pub(crate) fn tokio_broadcast(crew: &Crew, name: &str) -> Outcome<()> {
    only_flow(crew, name)?;
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

/// A contender of bare flows: a channel, and how a task asks it for the next message.
macro_rules! one_by_one {
    ($name:ident, $make:expr, $receiver:ident => $next:expr) => {
        pub(crate) fn $name(crew: &Crew, name: &str) -> Outcome<()> {
            only_flow(crew, name)?;
            let sinks = queues(crew, $make, |$receiver, consumer| {
                crew.runtime.spawn(async move {
                    while let Ok(message) = $next.await {
                        consumer.finish(&message.payload);
                    }
                });
            });
            publish(crew, &sinks);
            Ok(())
        }
    };
}

one_by_one!(flume, || flume::bounded::<Shared>(CAPACITY), receiver => receiver.recv_async());
one_by_one!(kanal, || kanal::bounded_async::<Shared>(CAPACITY), receiver => receiver.recv());

pub(crate) fn kanal_drain(crew: &Crew, name: &str) -> Outcome<()> {
    only_flow(crew, name)?;
    let sinks = queues(
        crew,
        || kanal::bounded_async::<Shared>(CAPACITY),
        |receiver, consumer| {
            crew.runtime.spawn(async move {
                let mut more = Vec::with_capacity(CAPACITY);
                while let Ok(message) = receiver.recv().await {
                    consumer.finish(&message.payload);
                    if receiver.drain_into(&mut more).is_err() {
                        return;
                    }
                    more.drain(..).for_each(|message: Shared| consumer.finish(&message.payload));
                }
            });
        },
    );
    publish(crew, &sinks);
    Ok(())
}

pub(crate) fn crossbeam(crew: &Crew, name: &str) -> Outcome<()> {
    only_flow(crew, name)?;
    let make = || crossbeam_channel::bounded::<Shared>(CAPACITY);
    let sinks = queues(crew, make, |receiver, consumer| {
        thread::spawn(move || {
            receiver.iter().for_each(|message| consumer.finish(&message.payload));
        });
    });
    for n in 0..crew.work.publishers {
        crew.publish_on_thread(feed(sinks.clone(), crew.source(n), fresh));
    }
    Ok(())
}
