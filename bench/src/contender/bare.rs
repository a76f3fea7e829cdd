//! The bus without a host: lanes made here, which do what the pool's do and hand a message to
//! nobody.

use std::{
    hint,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use patchbay_bus::{
    Begin, Broker, BrokerConfig, Order, Overflow, Park, QueueLimits, Seat, Split, Subscription,
    SubscriptionSpec, SystemClock, Taken,
};
use patchbay_measure::{
    entry::{Asked, Outcome},
    histogram::Histogram,
    meter::{self, Tally, Window},
    source::age_ns,
};
use patchbay_wire::TopicPattern;

use super::{TOPIC, publishing::Publishers};

/// The two generations of a split, and the share of the second.
const GENERATIONS: [u64; 2] = [1, 2];
const SHARE: f64 = 0.3;
const SALT: u64 = 42;
/// As in the pool: a window is over in this time, a pause follows a small one, and who is woken after
/// a short sleep looks a few times more before the next.
const TARGET_NS: f64 = 100_000.0;
const LULL_SPINS: u32 = 64;
const LULL_BELOW: usize = 32;
const SHORT_SLEEP: Duration = Duration::from_micros(20);
const LOOKS: u32 = 4;

pub(super) fn run(asked: &Asked<'_>) -> Outcome<Window> {
    let Asked { contender, work, length } = *asked;
    let split = contender == "patchbay-bus-split";
    let broker = Broker::new(BrokerConfig::default(), Arc::new(SystemClock));
    let ages = Arc::new(Histogram::new());
    let (mut subscriptions, mut lanes, mut tallies) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..work.consumers {
        let mut spec =
            SubscriptionSpec::new(&format!("bench-{number}"), TopicPattern::parse("bench.>")?);
        spec.limits = QueueLimits { count: 1024, bytes: 128 << 20 };
        spec.overflow = Overflow::Block;
        spec.order = if work.keys > 0 { Order::PerKey } else { Order::None };
        let subscription = broker.subscribe(spec)?;
        let generations: &[u64] = match (split, work.keys) {
            (true, _) => &GENERATIONS,
            (false, 0) => &GENERATIONS[..1],
            (false, _) => &[1, 1],
        };
        let [first, second] = GENERATIONS;
        subscription.set_split(if split {
            Split::two(SALT, first, second, SHARE)
        } else {
            Split::all(first)
        });
        for generation in generations {
            let lane = Lane {
                subscription: Arc::clone(&subscription),
                generation: *generation,
                tally: Tally::default(),
                ages: work.is_latency().then(|| Arc::clone(&ages)),
            };
            tallies.push(lane.tally.clone());
            lanes.push(thread::spawn(move || lane.run()));
        }
        subscriptions.push(subscription);
    }
    let topics: Vec<String> = match work.topics {
        1 => vec![TOPIC.to_owned()],
        many => (0..many).map(|number| format!("bench.topic.{number}")).collect(),
    };
    let publishers = Publishers::start(work, &topics, || broker.publisher("bench"));
    let finished = || tallies.iter().map(Tally::get).sum();
    let window = meter::measure(meter::warm_up(work, length), length, None, finished);
    publishers.stop();
    for subscription in &subscriptions {
        broker.remove(subscription);
    }
    for lane in lanes {
        lane.join().map_err(|_| "a lane panicked")?;
    }
    Ok(if work.is_latency() { window.with_latency(&ages) } else { window })
}

/// A lane that counts what it was handed, and how old it was if that is asked.
pub(super) struct Lane {
    pub(super) subscription: Arc<Subscription>,
    pub(super) generation: u64,
    pub(super) tally: Tally,
    pub(super) ages: Option<Arc<Histogram>>,
}

// === impl Lane ===

impl Lane {
    pub(super) fn run(self) {
        let mut seat = match self.subscription.seat(self.generation, Arc::new(thread::current())) {
            Ok(seat) => seat,
            Err(error) => return eprintln!("no seat: {error}"),
        };
        let (mut limit, mut per_message, mut last) = (16, 1000.0, Instant::now());
        let mut looks = 0;
        loop {
            match take(&mut seat, limit, looks) {
                Taken::Closed => return,
                Taken::Empty { .. } => {
                    let asleep = Instant::now();
                    thread::park();
                    last = Instant::now();
                    looks = if last - asleep < SHORT_SLEEP { LOOKS } else { 0 };
                }
                Taken::Batch(n) => {
                    self.handle(&mut seat, n);
                    self.tally.add(n as u64);
                    let now = Instant::now();
                    let took = (now - last).as_nanos() as f64 / n as f64;
                    per_message = 0.8 * per_message + 0.2 * took;
                    limit = ((TARGET_NS / per_message) as usize).clamp(1, 1024);
                    last = now;
                    if n < LULL_BELOW {
                        (0..LULL_SPINS).for_each(|_| hint::spin_loop());
                    }
                }
            }
        }
    }

    fn handle(&self, seat: &mut Seat, n: usize) {
        for i in 0..n {
            match seat.begin(i) {
                Begin::Go => {
                    let payload = seat.deliveries()[i].message().payload();
                    hint::black_box(payload.last());
                    if let (Some(ages), Some(age)) = (&self.ages, age_ns(payload)) {
                        ages.add(age);
                    }
                }
                Begin::Skip => {}
                Begin::Stop => return,
            }
        }
    }
}

/// The next window. Says that the lane sleeps when nothing was there in so many looks, and one more.
fn take(seat: &mut Seat, limit: usize, looks: u32) -> Taken {
    for _ in 0..looks {
        match seat.take(limit, Park::No) {
            Taken::Empty { .. } => thread::yield_now(),
            taken => return taken,
        }
    }
    seat.take(limit, Park::Yes)
}
