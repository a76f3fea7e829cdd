//! The real message bus, in the test's process.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use patchbay_abi::host::publish as code;
use patchbay_bus::{
    Broker, BrokerConfig, Message as Raw, Outgoing, Publisher, QueueLimits, RetryPolicy, Room,
    Subscription, SubscriptionSpec, SystemClock, Tap, Wake,
};
use patchbay_wire::TopicPattern;
use tokio::sync::oneshot;

use super::{
    pump::Pump,
    run::Running,
    transport::{Inlet, MessageTransport, Refused, Then},
};
use crate::{
    message::{Message, MessageId},
    plugin::Plugin,
    transport::{PublishError, Published, SubscribeError},
};

/// The bus that a host runs, with its queues, retries and dead letters. A clone is the same bus.
#[derive(Clone, Debug)]
pub struct LocalTransport {
    bus: Arc<Bus>,
}

/// Limits of a [`LocalTransport`].
#[derive(Clone, Debug)]
pub struct LocalTransportConfig {
    /// Messages that may wait at each subscription.
    pub queue: usize,
    /// Messages that an [`OutputStream`] keeps until they are looked at.
    pub output: usize,
    /// How often and when messages are tried again.
    pub retry: RetryPolicy,
}

/// The messages that pass on the topics of a pattern.
#[derive(Debug)]
pub struct OutputStream {
    tap: Tap,
    missed: u64,
}

/// An [`OutputStream`] was not looked at in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missed {
    /// Messages that were lost since the last look.
    pub messages: u64,
}

#[derive(Debug)]
struct Bus {
    config: LocalTransportConfig,
    broker: Broker,
    publisher: Mutex<Publisher>,
    /// A subscription's number is its place here.
    pumps: Mutex<Vec<Option<Pump>>>,
}

/// Calls a function once.
struct Once(Mutex<Option<Then>>);

// === impl LocalTransport ===

impl LocalTransport {
    /// A bus without subscriptions.
    #[must_use]
    pub fn new(config: LocalTransportConfig) -> Self {
        let broker = Broker::new(BrokerConfig::default(), Arc::new(SystemClock));
        if let Err(error) = broker.start_timer() {
            panic!("cannot start the timer of the bus: {error}");
        }
        let publisher = Mutex::new(broker.publisher("test"));
        let pumps = Mutex::default();
        LocalTransport { bus: Arc::new(Bus { config, broker, publisher, pumps }) }
    }

    /// From now on messages on topics of the pattern go to the plugin, as one more of its
    /// subscriptions.
    ///
    /// # Errors
    /// [`SubscribeError::Invalid`] when it is no pattern.
    pub fn connect<P: Plugin>(
        &self,
        plugin: &Running<P>,
        pattern: &str,
    ) -> Result<Arc<Subscription>, SubscribeError> {
        let (_, subscription) = self.bus.pump(plugin.name(), pattern, plugin.inlet())?;
        Ok(subscription)
    }

    /// Looks at the messages that pass on the topics of a pattern, from now on.
    pub fn subscribe(
        &self,
        pattern: &str,
    ) -> std::future::Ready<Result<OutputStream, SubscribeError>> {
        let pattern = parse(pattern);
        let tap = pattern.map(|pattern| self.bus.broker.tap(pattern, self.bus.config.output));
        std::future::ready(tap.map(|tap| OutputStream { tap, missed: 0 }))
    }

    /// Publishes a message to a topic, and waits for room.
    ///
    /// # Errors
    /// [`PublishError`].
    ///
    /// # Cancel safety
    /// Dropped before it is ready, nothing was published.
    pub async fn publish(&self, topic: &str, message: &Message) -> Result<Published, PublishError> {
        loop {
            let full = match self.bus.offer(topic, message) {
                Ok(published) => return Ok(published),
                Err(error) => error,
            };
            let (sender, room) = oneshot::channel();
            match full {
                Refused::Full(when_room) => when_room(Box::new(move || {
                    let _nobody_waits = sender.send(());
                })),
                Refused::Code(code::CLOSED) => return Err(PublishError::Closed),
                Refused::Code(code::INVALID) => {
                    return Err(PublishError::Invalid { topic: topic.to_owned() });
                }
                Refused::Code(other) => return Err(PublishError::Unknown(other)),
            }
            let _told_or_gone = room.await;
        }
    }

    /// The bus itself: its ledgers and dead letters.
    #[must_use]
    pub fn broker(&self) -> &Broker {
        &self.bus.broker
    }
}

impl Default for LocalTransportConfig {
    fn default() -> Self {
        LocalTransportConfig { queue: 1024, output: 1024, retry: RetryPolicy::default() }
    }
}

impl MessageTransport for LocalTransport {
    fn accept(&self, message: &Raw, cause: Option<&Raw>) -> Result<u32, Refused> {
        self.bus.accept(message, cause)
    }

    fn add_subscription(&self, owner: &str, pattern: &str, inlet: Inlet) -> Result<i64, i32> {
        match self.bus.pump(owner, pattern, inlet) {
            Ok((number, _)) => Ok(number),
            Err(SubscribeError::Invalid(_)) => Err(code::INVALID),
            Err(_) => Err(code::CLOSED),
        }
    }

    fn remove_subscription(&self, subscription: i64) -> bool {
        let at = usize::try_from(subscription).unwrap_or(usize::MAX);
        let pump = lock(&self.bus.pumps).get_mut(at).and_then(Option::take);
        pump.is_some_and(|pump| {
            self.bus.broker.remove(pump.subscription());
            true
        })
    }
}

// === impl Bus ===

impl Bus {
    fn pump(
        &self,
        owner: &str,
        pattern: &str,
        inlet: Inlet,
    ) -> Result<(i64, Arc<Subscription>), SubscribeError> {
        let mut pumps = lock(&self.pumps);
        let number = pumps.len();
        let mut spec = SubscriptionSpec::new(owner, parse(pattern)?);
        spec.index = number as u32;
        spec.limits = QueueLimits { count: self.config.queue, ..spec.limits };
        spec.retry = self.config.retry.clone();
        // A test that provokes failures wants all of them.
        spec.breaker = None;
        let subscription = self.broker.subscribe(spec).map_err(|_| SubscribeError::Closed)?;
        pumps.push(Some(Pump::start(subscription.clone(), inlet)));
        Ok((number as i64, subscription))
    }

    /// Publishes a message of whatever origin to a topic.
    fn offer(&self, topic: &str, message: &Message) -> Result<Published, Refused> {
        let headers: Vec<(&str, &str)> = message.headers().collect();
        let outgoing = Outgoing {
            topic,
            key: message.key().unwrap_or_default(),
            headers: &headers,
            payload: message.payload(),
            no_wait: true,
            ..Outgoing::default()
        };
        let size = topic.len() + message.key_bytes().len() + message.payload().len();
        let published = lock(&self.publisher).publish(outgoing);
        let published = published.map_err(|error| refusal(error, size))?;
        Ok(Published { id: MessageId(published.id), routed: published.routed })
    }

    fn accept(&self, message: &Raw, cause: Option<&Raw>) -> Result<u32, Refused> {
        let size = message.size();
        let published = lock(&self.publisher).publish_message(message.clone(), cause, true);
        Ok(published.map_err(|refused| refusal(refused.error, size))?.routed)
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        self.broker.close_intake();
        lock(&self.pumps).clear();
        self.broker.stop_timer();
    }
}

/// `size`: bytes of the message that was refused.
fn refusal(error: patchbay_bus::PublishError, size: usize) -> Refused {
    match error {
        patchbay_bus::PublishError::Full { subscription } => Refused::Full(Box::new(move |then| {
            let once = Arc::new(Once(Mutex::new(Some(then))));
            if subscription.when_room(size, once.clone()) != Room::Registered {
                once.wake();
            }
        })),
        patchbay_bus::PublishError::TooLarge { .. } => Refused::Code(code::TOO_LARGE),
        patchbay_bus::PublishError::Closed => Refused::Code(code::CLOSED),
        patchbay_bus::PublishError::HopLimit { .. } => Refused::Code(code::HOP_LIMIT),
        _ => Refused::Code(code::INVALID),
    }
}

fn parse(pattern: &str) -> Result<TopicPattern, SubscribeError> {
    TopicPattern::parse(pattern).map_err(|_| SubscribeError::Invalid(pattern.to_owned()))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

// === impl OutputStream ===

impl OutputStream {
    /// The next message and its topic.
    ///
    /// # Errors
    /// [`Missed`], once, when messages were lost because nobody looked.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<Result<(String, Message), Missed>> {
        let message = self.tap.recv().await?;
        let missed = self.tap.missed();
        if missed > self.missed {
            let messages = missed - self.missed;
            self.missed = missed;
            return Some(Err(Missed { messages }));
        }
        // SAFETY: the reference goes from one value to the other.
        let message = unsafe { Message::from_raw(message.into_raw()) }?;
        Some(Ok((message.topic().to_owned(), message)))
    }
}

// === impl Missed ===

impl fmt::Display for Missed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} messages were missed", self.messages)
    }
}

impl std::error::Error for Missed {}

// === impl Once ===

impl Wake for Once {
    fn wake(&self) {
        let then = lock(&self.0).take();
        if let Some(then) = then {
            then();
        }
    }
}
