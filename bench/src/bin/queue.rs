//! Publishes through queues to lanes: what a message costs between a publisher and a handler that
//! does nothing.
//!
//! `queue [--rounds N]`, default 5. On two virtual processors the distance between them decides, and
//! it changes while a machine runs: read the round trip of a cache line beside every figure.

use std::{
    error::Error,
    hint,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::*},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use patchbay_bench::figures::{Spread, print};
use patchbay_bus::{
    Begin, Broker, BrokerConfig, Order, Outgoing, Overflow, Park, Publisher, QueueLimits, Seat,
    Split, Subscription, SubscriptionSpec, SystemClock, Taken,
};
use patchbay_wire::TopicPattern;

const TOPIC: &str = "bench.topic";
const PAYLOAD: [u8; 256] = [7; 256];
const WARM_UP: Duration = Duration::from_millis(150);
const ROUND: Duration = Duration::from_millis(350);
const ROUND_TRIPS: u64 = 500_000;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Who publishes what to whom.
#[derive(Clone, Copy)]
struct Load {
    name: &'static str,
    publishers: usize,
    subscriptions: usize,
    lanes: usize,
    /// Messages per publish; 1 = one by one.
    batch: usize,
    keyed: bool,
}

const ONE: Load =
    Load { name: "1 -> 1", publishers: 1, subscriptions: 1, lanes: 1, batch: 1, keyed: false };
const LOADS: [Load; 7] = [
    ONE,
    Load { name: "1 -> 1, batches of 32", batch: 32, ..ONE },
    Load { name: "4 -> 1", publishers: 4, ..ONE },
    Load { name: "4 -> 1, batches of 32", publishers: 4, batch: 32, ..ONE },
    Load { name: "1 -> 8", subscriptions: 8, ..ONE },
    Load { name: "1 -> 8, batches of 32", subscriptions: 8, batch: 32, ..ONE },
    Load { name: "1 -> 1, 1,000 keys, two lanes", lanes: 2, keyed: true, ..ONE },
];

fn main() -> Outcome<()> {
    let rounds = rounds_wanted()?;
    println!("{:<58} {:<24} measured", "figure", "cache line round trip");
    for load in LOADS {
        let (mut rates, mut trips) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            trips.push(round_trip());
            rates.push(rate(load)?);
        }
        let (rates, trips) = (Spread::of(rates), Spread::of(trips));
        let trips = format!("{:.0} ns [{:.0}-{:.0}]", trips.median, trips.min, trips.max);
        let rates =
            format!("{:.1} M deliveries/s [{:.1}-{:.1}]", rates.median, rates.min, rates.max);
        print(load.name, &trips, &rates);
    }
    Ok(())
}

fn rounds_wanted() -> Outcome<usize> {
    let mut arguments = std::env::args().skip(1);
    match (arguments.next().as_deref(), arguments.next()) {
        (None, _) => Ok(5),
        (Some("--rounds"), Some(rounds)) => Ok(rounds.parse()?),
        _ => Err("usage: queue [--rounds N]".into()),
    }
}

/// Deliveries handed off per second, in millions.
fn rate(load: Load) -> Outcome<f64> {
    let broker = Broker::new(BrokerConfig::default(), Arc::new(SystemClock));
    let (handled, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let (mut subscriptions, mut lanes) = (Vec::new(), Vec::new());
    for _ in 0..load.subscriptions {
        let mut spec = SubscriptionSpec::new("bench", TopicPattern::parse(TOPIC)?);
        spec.limits = QueueLimits { count: 1024, bytes: 16 << 20 };
        spec.overflow = Overflow::Block;
        spec.order = if load.keyed { Order::PerKey } else { Order::None };
        let subscription = broker.subscribe(spec)?;
        subscription.set_split(Split::all(1));
        for _ in 0..load.lanes {
            lanes.push(lane(&subscription, Arc::clone(&handled)));
        }
        subscriptions.push(subscription);
    }
    let publishers: Vec<_> = (0..load.publishers)
        .map(|_| publish(broker.publisher("bench"), load, Arc::clone(&stop)))
        .collect();
    thread::sleep(WARM_UP);
    let (start, before) = (Instant::now(), handled.load(Relaxed));
    thread::sleep(ROUND);
    let rate = (handled.load(Relaxed) - before) as f64 / start.elapsed().as_secs_f64() / 1e6;
    stop.store(true, SeqCst);
    for publisher in publishers {
        publisher.join().map_err(|_| "a publisher panicked")?;
    }
    for subscription in &subscriptions {
        broker.remove(subscription);
    }
    for lane in lanes {
        lane.join().map_err(|_| "a lane panicked")?;
    }
    Ok(rate)
}

fn publish(mut publisher: Publisher, load: Load, stop: Arc<AtomicBool>) -> JoinHandle<()> {
    thread::spawn(move || {
        let keys: Vec<String> = (0..1000).map(|i| format!("key-{i}")).collect();
        let mut n = 0;
        let mut next = || {
            n += 1;
            let key = if load.keyed { keys[n % keys.len()].as_str() } else { "" };
            Outgoing { topic: TOPIC, key, payload: &PAYLOAD, ..Outgoing::default() }
        };
        while !stop.load(Relaxed) {
            let refused = if load.batch == 1 {
                publisher.publish(next()).err()
            } else {
                let batch: Vec<_> = (0..load.batch).map(|_| next()).collect();
                publisher.publish_batch(&batch).1
            };
            if let Some(error) = refused {
                return eprintln!("a publish was refused: {error}");
            }
        }
    })
}

/// A lane as the pool makes them: batches sized to 100 us, and a pause after small ones, so that a
/// batch can form instead of both sides waiting for the same line.
fn lane(subscription: &Arc<Subscription>, handled: Arc<AtomicU64>) -> JoinHandle<()> {
    let subscription = Arc::clone(subscription);
    thread::spawn(move || {
        let mut seat = match subscription.seat(1, Arc::new(thread::current())) {
            Ok(seat) => seat,
            Err(error) => return eprintln!("no seat: {error}"),
        };
        let (mut limit, mut per_message, mut last) = (16, 1000.0, Instant::now());
        loop {
            match seat.take(limit, Park::Yes) {
                Taken::Closed => return,
                Taken::Empty { .. } => {
                    thread::park();
                    last = Instant::now();
                }
                Taken::Batch(n) => {
                    handle(&mut seat, n);
                    handled.fetch_add(n as u64, Relaxed);
                    let now = Instant::now();
                    let took = (now - last).as_nanos() as f64 / n as f64;
                    per_message = 0.8 * per_message + 0.2 * took;
                    limit = ((100_000.0 / per_message) as usize).clamp(1, 1024);
                    last = now;
                    if n < 32 {
                        (0..64).for_each(|_| hint::spin_loop());
                    }
                }
            }
        }
    })
}

fn handle(seat: &mut Seat, n: usize) {
    for i in 0..n {
        match seat.begin(i) {
            Begin::Go => {
                hint::black_box(seat.deliveries()[i].message().payload()[0]);
            }
            Begin::Skip => {}
            Begin::Stop => return,
        }
    }
}

/// Nanoseconds from one processor to the other and back.
fn round_trip() -> f64 {
    let word = Arc::new(AtomicU64::new(0));
    let other = Arc::clone(&word);
    let echo = thread::spawn(move || {
        for n in 0..ROUND_TRIPS {
            while other.load(Acquire) != 2 * n + 1 {
                hint::spin_loop();
            }
            other.store(2 * n + 2, Release);
        }
    });
    let start = Instant::now();
    for n in 0..ROUND_TRIPS {
        word.store(2 * n + 1, Release);
        while word.load(Acquire) != 2 * n + 2 {
            hint::spin_loop();
        }
    }
    let took = start.elapsed().as_nanos() as f64 / ROUND_TRIPS as f64;
    // Its only way to end badly is a panic, and there is nothing in it that could.
    drop(echo.join());
    took
}
