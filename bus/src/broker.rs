//! The bus of one process: who listens, who publishes, and what they share.

use std::{
    fmt,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering::*},
    },
};

use patchbay_journal::{Journal, Level, Recovered};
use patchbay_wire::{Topic, TopicPattern};

use crate::{
    chance::Chance,
    clock::Clock,
    config::BrokerConfig,
    cut_off::CutOffs,
    dead_letters::DeadLetters,
    death::Death,
    dedup::{Dedup, DedupState},
    durability::DurabilityRule,
    ledger::Ledger,
    publisher::{Publisher, recording::Appended},
    queue::service::{Origin, Queue},
    recovery::{self, RecoverError},
    request::Requests,
    routing::{Route, Routes},
    solo::Solo,
    spec::SubscriptionSpec,
    subscription::{Context, Subscription},
    sync::lock,
    tap::{Sink, Tap},
    timer::{Timer, TimerToken},
    wake::Wake,
};

/// The bus. Cheap to clone; all clones are the same bus.
#[derive(Clone)]
pub struct Broker(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) config: BrokerConfig,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) routes: Routes,
    /// Rises with every change of the routes, after it is made.
    pub(crate) version: AtomicU64,
    pub(crate) closed: AtomicBool,
    pub(crate) requests: Requests,
    pub(crate) chance: Chance,
    pub(crate) dedup: Mutex<Dedup<Appended>>,
    pub(crate) journal: Option<Arc<Journal>>,
    /// Subscriptions that nobody has come for since the bus was opened, or whose owner is gone.
    pub(crate) orphans: Mutex<Vec<Arc<Subscription>>>,
    /// Every subscription that was made.
    pub(crate) living: Mutex<Vec<Weak<Subscription>>>,
    pub(crate) solo: Arc<Solo>,
    /// Guards changes of the routes; the value is the last id.
    pub(crate) edit: Mutex<u64>,
    pub(crate) dead_letters: Arc<DeadLetters>,
    pub(crate) cut_offs: CutOffs,
    timer: Arc<Timer>,
    pub(crate) unix_offset: u64,
}

/// A subscription was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubscribeError {
    /// A limit would let nothing through, or more than can be counted.
    #[error(
        "cannot subscribe to `{pattern}`: the limit of {what} is {value}, which is out of range"
    )]
    Limit {
        /// The pattern.
        pattern: String,
        /// Which limit.
        what: &'static str,
        /// Its value.
        value: usize,
    },
    /// The broker is closed.
    #[error("cannot subscribe to `{pattern}`: the bus is closed")]
    Closed {
        /// The pattern.
        pattern: String,
    },
}

// === impl Broker ===

impl Broker {
    /// A bus without subscriptions. Nothing that waits for a time happens before
    /// [`start_timer`](Broker::start_timer) or [`tick`](Broker::tick).
    #[must_use]
    pub fn new(config: BrokerConfig, clock: Arc<dyn Clock>) -> Broker {
        Broker::seeded(config, clock, uuid::Uuid::new_v4().as_u64_pair().1)
    }

    /// The same with a seed of all its randomness: the same calls have the same effects then.
    #[must_use]
    pub fn seeded(config: BrokerConfig, clock: Arc<dyn Clock>, seed: u64) -> Broker {
        Broker(Inner::new(config, clock, None, seed))
    }

    /// A bus that goes on where the journal's last host ended. Subscriptions that were found are
    /// there at once, with all that they held, and are [orphans](Broker::orphans) until somebody
    /// [subscribes](Broker::subscribe) with the same owner and pattern.
    ///
    /// # Errors
    /// When the journal says what no bus can have written.
    pub fn open(
        config: BrokerConfig,
        clock: Arc<dyn Clock>,
        journal: Option<(Arc<Journal>, Recovered)>,
        seed: u64,
    ) -> Result<Broker, RecoverError> {
        match journal {
            Some(journal) => Broker::open_after(config, clock, journal, &Death::Silent, seed),
            None => Ok(Broker::seeded(config, clock, seed)),
        }
    }

    /// As [`open`](Broker::open), where something is known of how the journal's last host died.
    ///
    /// # Errors
    /// When the journal says what no bus can have written.
    pub fn open_after(
        config: BrokerConfig,
        clock: Arc<dyn Clock>,
        (journal, found): (Arc<Journal>, Recovered),
        death: &Death,
        seed: u64,
    ) -> Result<Broker, RecoverError> {
        let inner = Inner::new(config, clock, Some(Arc::clone(&journal)), seed);
        recovery::recover(&inner, &journal, found, death)?;
        let broker = Broker(inner);
        // Those that were held for want of room, or died with the process.
        broker.move_up();
        Ok(broker)
    }

    /// The journal, if there is one.
    #[must_use]
    pub fn journal(&self) -> Option<&Arc<Journal>> {
        self.0.journal.as_ref()
    }

    pub(crate) fn from_inner(inner: Arc<Inner>) -> Broker {
        Broker(inner)
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.0
    }

    pub(crate) fn downgrade(&self) -> Weak<Inner> {
        Arc::downgrade(&self.0)
    }

    pub(crate) fn requests(&self) -> &Requests {
        &self.0.requests
    }

    /// Its limits.
    #[must_use]
    pub fn config(&self) -> &BrokerConfig {
        &self.0.config
    }

    /// Its clock.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.0.clock
    }

    // --- listening ---

    /// A new subscription. Messages are accepted from now on, and handed out once a
    /// [split](Subscription::set_split) says to whom.
    ///
    /// # Errors
    /// When a limit is out of range, or the broker is closed.
    pub fn subscribe(&self, spec: SubscriptionSpec) -> Result<Arc<Subscription>, SubscribeError> {
        let pattern = spec.pattern.to_string();
        for (what, value) in [("count", spec.limits.count), ("bytes", spec.limits.bytes)] {
            if value == 0 || value > isize::MAX as usize {
                return Err(SubscribeError::Limit { pattern, what, value });
            }
        }
        if self.0.closed.load(Acquire) {
            return Err(SubscribeError::Closed { pattern });
        }
        let mut last = lock(&self.0.edit);
        let spec = Arc::new(spec);
        if let Some(subscription) = self.adopt(&spec) {
            return Ok(subscription);
        }
        *last += 1;
        let id = *last;
        let subscription = self.0.make(id, Arc::clone(&spec));
        if let Some(journal) = &self.0.journal
            && self.0.config.durability.iter().any(|rule| rule.level > Level::Memory)
        {
            // What it accepts before the record can be written it registers itself for.
            let mut state = subscription.queue.inbox.lock();
            let _later = subscription.register(journal, &mut state);
        }
        self.0.routes.add(Arc::clone(&subscription));
        self.rerouted();
        Ok(subscription)
    }

    /// Gives a subscription no more messages. What waits is still handed out.
    pub fn unroute(&self, subscription: &Subscription) {
        let edit = lock(&self.0.edit);
        self.0.routes.remove(subscription);
        self.rerouted();
        drop(edit);
    }

    /// Ends a subscription. What waits is dropped, and so is what seats give back later; returns how
    /// many were dropped now. Its ledger stays exact and readable.
    pub fn remove(&self, subscription: &Subscription) -> u64 {
        self.unroute(subscription);
        lock(&self.0.orphans).retain(|orphan| orphan.id() != subscription.id());
        self.let_in(subscription);
        let dropped = subscription.queue.close();
        // Others may rest because of what it held.
        subscription.solo_moves_on();
        dropped
    }

    /// A look at everything that is published to topics of a pattern, with room for `capacity`
    /// messages that were not looked at yet.
    #[must_use]
    pub fn tap(&self, pattern: TopicPattern, capacity: usize) -> Tap {
        Tap::new(self.clone(), capacity, |broker, sink| {
            let _edit = lock(&broker.0.edit);
            broker.0.routes.add_tap(pattern, sink);
            broker.rerouted();
        })
    }

    pub(crate) fn untap(&self, sink: &Arc<Sink>) {
        let _edit = lock(&self.0.edit);
        self.0.routes.remove_tap(sink);
        self.rerouted();
    }

    /// The routes have changed; the caller holds the lock of edits.
    pub(crate) fn rerouted(&self) {
        self.0.version.fetch_add(1, Release);
    }

    /// Every subscription.
    #[must_use]
    pub fn subscriptions(&self) -> Vec<Arc<Subscription>> {
        self.0.routes.subscriptions()
    }

    // --- publishing ---

    /// A publisher on behalf of somebody.
    #[must_use]
    pub fn publisher(&self, principal: &str) -> Publisher {
        Publisher::new(Arc::clone(&self.0), principal)
    }

    /// The window in which repeated publishes are recognised.
    #[must_use]
    pub fn dedup(&self) -> DedupState {
        lock(&self.0.dedup).state()
    }

    pub(crate) fn words(&self) -> u128 {
        self.0.chance.words()
    }

    /// Accepts nothing new any more. What was accepted is still handed out, and what its handlers
    /// forward or publish because of it is still accepted, so that a chain can run to its end.
    pub fn close_intake(&self) {
        self.0.closed.store(true, Release);
    }

    // --- looking ---

    /// The ledger of every subscription, each exact by itself.
    #[must_use]
    pub fn ledger(&self) -> Vec<(Arc<Subscription>, Ledger)> {
        let subscriptions = self.subscriptions();
        subscriptions
            .into_iter()
            .map(|each| {
                let ledger = each.ledger();
                (each, ledger)
            })
            .collect()
    }

    // --- time ---

    /// Starts the one thread that waits for everything that is due, until
    /// [`stop_timer`](Broker::stop_timer) or the end of the broker.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start_timer(&self) -> std::io::Result<()> {
        self.tidy_later();
        self.0.timer.start()
    }

    /// Ends the timer for good and waits for its thread.
    pub fn stop_timer(&self) {
        self.0.timer.stop();
    }

    /// Does what is due, as the timer's thread would. Returns when something is due next.
    pub fn tick(&self) -> Option<u64> {
        self.tidy();
        self.0.timer.run_due()
    }

    /// Calls `wake` at that instant of the monotonic clock; `None` when too many timers run.
    #[must_use]
    pub fn wake_at(&self, due_ns: u64, wake: Arc<dyn Wake>) -> Option<TimerToken> {
        self.0.timer.wake_at(due_ns, wake)
    }

    /// Forgets a timer; false when it has fired.
    pub fn cancel(&self, token: TimerToken) -> bool {
        self.0.timer.cancel(token)
    }
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

// === impl Inner ===

impl Inner {
    fn new(
        config: BrokerConfig,
        clock: Arc<dyn Clock>,
        journal: Option<Arc<Journal>>,
        seed: u64,
    ) -> Arc<Inner> {
        let timer = Arc::new(Timer::new(Arc::clone(&clock), config.max_timers));
        let dedup = Mutex::new(Dedup::new(config.dedup));
        Arc::new(Inner {
            dead_letters: Arc::new(DeadLetters::new(config.dead_letters.clone())),
            unix_offset: clock.unix_ns().wrapping_sub(clock.now_ns()),
            config,
            clock,
            routes: Routes::default(),
            version: AtomicU64::new(1),
            closed: AtomicBool::new(false),
            requests: Requests::default(),
            chance: Chance::new(seed),
            dedup,
            journal,
            orphans: Mutex::default(),
            living: Mutex::default(),
            solo: Arc::default(),
            edit: Mutex::new(0),
            cut_offs: CutOffs::default(),
            timer,
        })
    }

    /// A subscription that nothing is routed to yet.
    pub(crate) fn make(
        self: &Arc<Inner>,
        id: u64,
        spec: Arc<SubscriptionSpec>,
    ) -> Arc<Subscription> {
        let queue = Queue::new(Origin {
            id,
            spec: Arc::clone(&spec),
            dead_letters: Arc::clone(&self.dead_letters),
            unix_offset: self.unix_offset,
            now_ns: self.clock.now_ns(),
            random: self.chance.word(),
            max_waiters: self.config.max_waiters,
            journal: self.journal.clone(),
        });
        let context = Context {
            clock: Arc::clone(&self.clock),
            timer: Arc::clone(&self.timer),
            unix_offset: self.unix_offset,
            broker: Arc::downgrade(self),
            solo: Arc::clone(&self.solo),
        };
        let subscription = Subscription::create(id, spec, queue, context);
        let mut living = lock(&self.living);
        if living.len() == living.capacity() {
            // What is over keeps its memory until it is forgotten here: before the list grows.
            living.retain(|each| each.strong_count() > 0);
            let half_free = living.len();
            living.reserve(half_free + 1);
        }
        living.push(Arc::downgrade(&subscription));
        drop(living);
        subscription
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Relaxed)
    }

    /// Where messages of a topic go, and how safe they are.
    pub(crate) fn route(&self, topic: &Topic) -> Route {
        let mut route = self.routes.route(topic);
        if self.journal.is_some() {
            route.level = DurabilityRule::level_of(&self.config.durability, topic);
        }
        route.needs_taker = self.config.reject_unmatched.iter().any(|it| it.matches(topic));
        route
    }

    /// How long hosts have run, this one included.
    pub(crate) fn observed(&self, now_ns: u64) -> u64 {
        self.journal.as_ref().map_or(now_ns, |journal| journal.observed(now_ns))
    }

    /// How much is out with lanes, over all subscriptions.
    pub(crate) fn in_flight(&self) -> u64 {
        self.all().iter().map(|each| each.queue.in_flight()).sum()
    }

    /// Every subscription that somebody still has: routed, without a route, or over.
    pub(crate) fn all(&self) -> Vec<Arc<Subscription>> {
        let mut living = lock(&self.living);
        living.retain(|each| each.strong_count() > 0);
        living.iter().filter_map(Weak::upgrade).collect()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.timer.stop();
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let subscriptions = self.routes.len();
        f.debug_struct("Broker")
            .field("subscriptions", &subscriptions)
            .field("closed", &self.closed.load(Relaxed))
            .finish_non_exhaustive()
    }
}
