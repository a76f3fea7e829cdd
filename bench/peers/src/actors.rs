//! Actors: a message, a mailbox, a handler.

use std::fmt;

use patchbay_measure::{entry::Outcome, work::Kind};
use ractor::{
    Actor, ActorProcessingErr, ActorRef,
    factory::{
        Factory, FactoryArguments, FactoryMessage, Job, Worker, WorkerBuilder, WorkerId,
        queues::DefaultQueue, routing::KeyPersistentRouting,
    },
};

use crate::crew::{Consumer, Crew, Shared, fresh, pace};

const MAILBOX: usize = 1024;

struct Letter(Shared);

impl fmt::Debug for Letter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Letter")
    }
}

fn only(crew: &Crew, name: &str, keyed: bool) -> Outcome<()> {
    crew.only(name, crew.work.kind == Kind::Flow && (crew.work.keys > 0) == keyed)
}

// === ractor ===

struct Reader;

impl Actor for Reader {
    type Msg = Letter;
    type State = Consumer;
    type Arguments = Consumer;

    async fn pre_start(
        &self,
        _: ActorRef<Letter>,
        consumer: Consumer,
    ) -> Result<Consumer, ActorProcessingErr> {
        Ok(consumer)
    }

    async fn handle(
        &self,
        _: ActorRef<Letter>,
        letter: Letter,
        consumer: &mut Consumer,
    ) -> Result<(), ActorProcessingErr> {
        consumer.finish(&letter.0.payload);
        Ok(())
    }
}

pub(crate) fn ractor(crew: &Crew, name: &str) -> Outcome<()> {
    only(crew, name, false)?;
    let (mut readers, mut consumers) = (Vec::new(), Vec::new());
    for _ in 0..crew.work.consumers {
        let consumer = crew.consumer();
        consumers.push(consumer.clone());
        readers.push(crew.runtime.block_on(Actor::spawn(None, Reader, consumer))?.0);
    }
    for n in 0..crew.work.publishers {
        let (readers, consumers) = (readers.clone(), consumers.clone());
        let (mut source, work) = (crew.source(n), crew.work);
        crew.publish(async move {
            while let Some(message) = fresh(&mut source) {
                for reader in &readers {
                    if reader.cast(Letter(Shared::clone(&message))).is_err() {
                        return;
                    }
                }
                if !work.is_latency() {
                    pace(source.sent(), work.publishers, &consumers).await;
                }
            }
        });
    }
    Ok(())
}

struct Clerk(Consumer);

impl Worker for Clerk {
    type Key = u64;
    type Message = Letter;
    type State = ();
    type Arguments = ();

    async fn pre_start(
        &self,
        _: WorkerId,
        _: &ActorRef<FactoryMessage<u64, Letter>>,
        (): (),
    ) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(
        &self,
        _: WorkerId,
        _: &ActorRef<FactoryMessage<u64, Letter>>,
        job: Job<u64, Letter>,
        (): &mut (),
    ) -> Result<u64, ActorProcessingErr> {
        self.0.finish(&job.msg.0.payload);
        Ok(job.key)
    }
}

struct Clerks(Vec<Consumer>);

impl WorkerBuilder<Clerk, ()> for Clerks {
    fn build(&mut self, worker: usize) -> (Clerk, ()) {
        (Clerk(self.0[worker % self.0.len()].clone()), ())
    }
}

pub(crate) fn ractor_keyed(crew: &Crew, name: &str) -> Outcome<()> {
    only(crew, name, true)?;
    let consumers: Vec<Consumer> = (0..2).map(|_| crew.consumer()).collect();
    let factory = Factory::<
        u64,
        Letter,
        (),
        Clerk,
        KeyPersistentRouting<u64, Letter>,
        DefaultQueue<u64, Letter>,
    >::default();
    let builder: Box<dyn WorkerBuilder<Clerk, ()>> = Box::new(Clerks(consumers.clone()));
    let arguments = FactoryArguments::builder()
        .num_initial_workers(2)
        .queue(DefaultQueue::default())
        .router(KeyPersistentRouting::default())
        .worker_builder(builder)
        .build();
    let (factory, _) = crew.runtime.block_on(Actor::spawn(None, factory, arguments))?;
    let mut source = crew.source(0);
    crew.publish(async move {
        while let Some(message) = fresh(&mut source) {
            let key = message.key;
            let job =
                Job { key, msg: Letter(message), options: Default::default(), accepted: None };
            if factory.cast(FactoryMessage::Dispatch(job)).is_err() {
                return;
            }
            if source.sent().is_multiple_of(32) {
                let sent = source.sent();
                while consumers.iter().map(Consumer::finished).sum::<u64>() + 4096 < sent {
                    tokio::task::yield_now().await;
                }
                tokio::task::consume_budget().await;
            }
        }
    });
    Ok(())
}

// === kameo ===

#[derive(kameo::Actor)]
struct Listener(Consumer);

impl kameo::message::Message<Letter> for Listener {
    type Reply = ();

    async fn handle(&mut self, letter: Letter, _: &mut kameo::message::Context<Self, ()>) {
        self.0.finish(&letter.0.payload);
    }
}

pub(crate) fn kameo(crew: &Crew, name: &str) -> Outcome<()> {
    use kameo::actor::Spawn;

    only(crew, name, false)?;
    let _inside = crew.runtime.enter();
    let listeners: Vec<_> = (0..crew.work.consumers)
        .map(|_| {
            Listener::spawn_with_mailbox(
                Listener(crew.consumer()),
                kameo::mailbox::bounded(MAILBOX),
            )
        })
        .collect();
    for n in 0..crew.work.publishers {
        let (listeners, mut source) = (listeners.clone(), crew.source(n));
        crew.publish(async move {
            while let Some(message) = fresh(&mut source) {
                for listener in &listeners {
                    if listener.tell(Letter(Shared::clone(&message))).await.is_err() {
                        return;
                    }
                }
            }
        });
    }
    Ok(())
}
