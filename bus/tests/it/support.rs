//! What the tests have in common.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::*},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use patchbay_bus::{
    Begin, Broker, BrokerConfig, Delivery, ManualClock, Order, Outgoing, Overflow, Park, Publisher,
    QueueLimits, Seat, SeatError, Split, Subscription, SubscriptionSpec, SystemClock, Taken,
    Verdict, Wake,
};
use patchbay_testkit::eventually;
use patchbay_wire::TopicPattern;

pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
pub(crate) const MS: u64 = 1_000_000;

/// A broker whose time stands still until told otherwise.
pub(crate) struct Rig {
    pub(crate) broker: Broker,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) publisher: Publisher,
}

/// Counts its wake-ups.
#[derive(Default)]
pub(crate) struct Bell(AtomicU64);

impl Bell {
    pub(crate) fn new() -> Arc<Bell> {
        Arc::default()
    }

    /// How often it was rung since it was last asked.
    pub(crate) fn rung(&self) -> u64 {
        self.0.swap(0, SeqCst)
    }
}

impl Wake for Bell {
    fn wake(&self) {
        self.0.fetch_add(1, SeqCst);
    }
}

impl Rig {
    pub(crate) fn new() -> Rig {
        Rig::with(BrokerConfig::default())
    }

    pub(crate) fn with(config: BrokerConfig) -> Rig {
        let clock = Arc::new(ManualClock::new());
        let broker = Broker::new(config, clock.clone());
        let publisher = broker.publisher("test");
        Rig { broker, clock, publisher }
    }

    /// A subscription to `t` that generation 1 serves.
    pub(crate) fn subscribe(
        &self,
        change: impl FnOnce(&mut SubscriptionSpec),
    ) -> Arc<Subscription> {
        let subscription = subscribe(&self.broker, "t", change);
        subscription.set_split(Split::all(1));
        subscription
    }

    pub(crate) fn publish(&mut self, payload: &str) {
        self.publish_key(payload, "");
    }

    pub(crate) fn publish_key(&mut self, payload: &str, key: &str) {
        let payload = payload.as_bytes();
        let outgoing = Outgoing { topic: "t", key, payload, ..Outgoing::default() };
        self.publisher.publish(outgoing).unwrap();
    }

    pub(crate) fn advance(&self, milliseconds: u64) {
        self.clock.advance(Duration::from_millis(milliseconds));
        self.broker.tick();
    }
}

pub(crate) fn subscribe(
    broker: &Broker,
    pattern: &str,
    change: impl FnOnce(&mut SubscriptionSpec),
) -> Arc<Subscription> {
    let mut spec = SubscriptionSpec::new("plugin", TopicPattern::parse(pattern).unwrap());
    spec.limits = QueueLimits { count: 1024, bytes: 1 << 20 };
    change(&mut spec);
    broker.subscribe(spec).unwrap()
}

/// A broker on the machine's clock, with its timer's thread.
pub(crate) fn live() -> Broker {
    let config = BrokerConfig { publish_timeout: DEADLINE, ..BrokerConfig::default() };
    let broker = Broker::new(config, Arc::new(SystemClock));
    broker.start_timer().unwrap();
    broker
}

pub(crate) fn per_key(spec: &mut SubscriptionSpec) {
    spec.order = Order::PerKey;
}

pub(crate) fn blocking(spec: &mut SubscriptionSpec) {
    spec.overflow = Overflow::Block;
}

pub(crate) fn seat(subscription: &Subscription, generation: u64) -> Seat {
    subscription.seat(generation, Bell::new()).unwrap()
}

pub(crate) fn text(delivery: &Delivery) -> &str {
    std::str::from_utf8(delivery.message().payload()).unwrap()
}

/// Takes everything there is and says of each what `handle` returns; returns the payloads.
pub(crate) fn drain(
    seat: &mut Seat,
    mut handle: impl FnMut(&Delivery) -> Option<Verdict>,
) -> Vec<String> {
    let mut seen = Vec::new();
    while let Taken::Batch(n) = seat.take(1024, Park::No) {
        for i in 0..n {
            match seat.begin(i) {
                Begin::Go => {}
                Begin::Skip => continue,
                Begin::Stop => break,
            }
            let delivery = &seat.deliveries()[i];
            seen.push(text(delivery).to_owned());
            if let Some(verdict) = handle(delivery) {
                seat.record(i, verdict);
            }
        }
    }
    seen
}

/// A lane of its own thread, until the subscription closes.
pub(crate) fn lane(
    subscription: &Arc<Subscription>,
    generation: u64,
    mut handle: impl FnMut(&Delivery, u64) -> Option<Verdict> + Send + 'static,
) -> JoinHandle<()> {
    let subscription = Arc::clone(subscription);
    thread::spawn(move || {
        let mut seat = match subscription.seat(generation, Arc::new(thread::current())) {
            Ok(seat) => seat,
            // Everything was over before this thread got its first turn.
            Err(SeatError::Closed { .. }) => return,
            Err(error) => panic!("{error}"),
        };
        loop {
            match seat.take(256, Park::Yes) {
                Taken::Closed => return,
                Taken::Empty { .. } => thread::park(),
                Taken::Batch(n) => run(&mut seat, n, &mut handle),
            }
        }
    })
}

fn run(seat: &mut Seat, n: usize, handle: &mut impl FnMut(&Delivery, u64) -> Option<Verdict>) {
    for i in 0..n {
        match seat.begin(i) {
            Begin::Go => {}
            Begin::Skip => continue,
            Begin::Stop => return,
        }
        if let Some(verdict) = handle(&seat.deliveries()[i], seat.id()) {
            seat.record(i, verdict);
        }
    }
}

/// Waits until a subscription has settled everything, and checks its sum.
pub(crate) fn settled(subscription: &Subscription) {
    let what = fmt::from_fn(|f| write!(f, "everything settled: {:?}", subscription.ledger()));
    eventually(what, DEADLINE, || (subscription.ledger().unsettled() == 0).then_some(()));
    assert!(subscription.ledger().balanced());
}

/// Looks at ledgers all the time; every one of them must add up. Returns how many did.
pub(crate) fn auditor(
    subscriptions: Vec<Arc<Subscription>>,
    stop: Arc<AtomicBool>,
) -> JoinHandle<u64> {
    thread::spawn(move || {
        let mut samples = 0;
        while !stop.load(Relaxed) {
            for subscription in &subscriptions {
                let ledger = subscription.ledger();
                assert!(ledger.balanced(), "{ledger:?}");
                samples += 1;
            }
            // Pace, not a wait: an auditor that never rests would be what holds the others up.
            thread::sleep(Duration::from_micros(100));
        }
        samples
    })
}

/// xorshift: enough to be irregular.
pub(crate) fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}
