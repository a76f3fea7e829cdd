//! A bus of its own for a candidate that works on copies.
//!
//! The candidate's lanes pull from subscriptions of this second bus, which nobody else knows: what
//! is accepted, settled or dead there is part of no ledger. Copies come from taps of the real bus,
//! from its dead letters, and from declared probes. Together with the
//! [observer](super::observer), which captures what the candidate says, nothing can get out.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use patchbay_bus::{
    Broker, BrokerConfig, DeadLetterConfig, Message, Outgoing, Overflow, Publisher, SubscribeError,
    Subscription, Tap, WhenFull,
};
use tokio::task::JoinHandle;

use crate::{context::Context, incarnation::Incarnation, station::Station};

/// Copies that may wait between a tap and the candidate; further ones are missed.
const COPIES_WAITING: usize = 1_024;
/// Ids of messages that were copied, so that a message that two patterns match is copied once.
const REMEMBERED: usize = 4_096;
/// On whose behalf copies are published.
const PRINCIPAL: &str = "$PB.mirror";

/// See the module.
#[derive(Debug)]
pub(crate) struct Mirror {
    publisher: Arc<Mutex<Copier>>,
    queues: Vec<Arc<Subscription>>,
    broker: Broker,
    pumps: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Copier {
    publisher: Publisher,
    seen: HashSet<u128>,
    order: VecDeque<u128>,
}

// === impl Mirror ===

impl Mirror {
    /// Lets a candidate, whose observer captures it already, serve copies.
    pub(crate) fn open(
        context: &Context,
        station: &Station,
        candidate: &Incarnation,
    ) -> Result<Mirror, SubscribeError> {
        let config = BrokerConfig {
            dead_letters: DeadLetterConfig {
                max_count: 16,
                when_full: WhenFull::DropOldest,
                ..DeadLetterConfig::default()
            },
            max_message_bytes: context.settings.limits.payload_bytes,
            ..BrokerConfig::default()
        };
        let broker = Broker::new(config, Arc::clone(&context.clock));
        let mut queues = Vec::new();
        for wish in candidate.wishes() {
            let mut spec = wish.spec(station.name());
            spec.overflow = Overflow::DropNewest;
            let queue = broker.subscribe(spec)?;
            queue.set_split(patchbay_bus::Split::all(candidate.generation().0));
            candidate.serve(&wish, &queue);
            queues.push(queue);
        }
        candidate.open();
        let publisher = broker.publisher(PRINCIPAL);
        let (seen, order) = (HashSet::new(), VecDeque::new());
        let publisher = Arc::new(Mutex::new(Copier { publisher, seen, order }));
        Ok(Mirror { publisher, queues, broker, pumps: Mutex::default() })
    }

    /// Copies what is published to the candidate's patterns from now on, or stops to.
    pub(crate) fn copy(&self, from: &Broker, on: bool) {
        let mut pumps = self.pumps.lock().unwrap_or_else(PoisonError::into_inner);
        pumps.drain(..).for_each(|pump| pump.abort());
        if !on {
            return;
        }
        for queue in &self.queues {
            let tap = from.tap(queue.spec().pattern.clone(), COPIES_WAITING);
            pumps.push(tokio::spawn(pump(tap, Arc::clone(&self.publisher))));
        }
    }

    /// Copies one message now.
    pub(crate) fn give(&self, message: &Message) {
        lock(&self.publisher).give(message);
    }

    /// Publishes a message that only the candidate gets. False when it listens to no such topic.
    pub(crate) fn ask(
        &self,
        id: u128,
        topic: &str,
        headers: &[(&str, &str)],
        payload: &[u8],
    ) -> bool {
        let outgoing = Outgoing {
            id: Some(id),
            topic,
            headers,
            payload,
            no_wait: true,
            ..Outgoing::default()
        };
        lock(&self.publisher).publisher.publish(outgoing).is_ok_and(|it| it.routed > 0)
    }

    /// Takes the copies away from the candidate.
    pub(crate) fn close(&self, candidate: &Incarnation) {
        let mut pumps = self.pumps.lock().unwrap_or_else(PoisonError::into_inner);
        pumps.drain(..).for_each(|pump| pump.abort());
        for queue in &self.queues {
            candidate.stop_serving(queue);
            self.broker.remove(queue);
        }
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        let pumps = self.pumps.get_mut().unwrap_or_else(PoisonError::into_inner);
        pumps.drain(..).for_each(|pump| pump.abort());
    }
}

async fn pump(mut tap: Tap, copier: Arc<Mutex<Copier>>) {
    while let Some(message) = tap.recv().await {
        lock(&copier).give(&message);
    }
}

fn lock(copier: &Mutex<Copier>) -> std::sync::MutexGuard<'_, Copier> {
    copier.lock().unwrap_or_else(PoisonError::into_inner)
}

// === impl Copier ===

impl Copier {
    fn give(&mut self, message: &Message) {
        if !self.seen.insert(message.id()) {
            return;
        }
        self.order.push_back(message.id());
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.seen.remove(&oldest);
        }
        // A copy that finds no room is one sample less.
        let _ = self.publisher.publish_message(message.clone(), None, true);
    }
}
