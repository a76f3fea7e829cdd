//! The bus without a host: the product's own lanes, which hand a message to nobody.

use std::sync::Arc;

use patchbay_bus::{
    Broker, BrokerConfig, Order, Overflow, QueueLimits, Split, Subscription, SubscriptionSpec,
    SystemClock,
};
use patchbay_measure::{
    entry::{Asked, Outcome},
    histogram::Histogram,
    meter::{self, Window},
    process,
};
use patchbay_wire::TopicPattern;

use super::{TOPIC, lanes::Lanes, publishing::Publishers};

/// The two generations of a split, and the share of the second.
const GENERATIONS: [u64; 2] = [1, 2];
const SHARE: f64 = 0.3;
const SALT: u64 = 42;

/// One work, beside `others` subscriptions that none of its messages matches.
pub(super) fn run(asked: &Asked<'_>, others: usize) -> Outcome<Window> {
    let Asked { contender, work, length } = *asked;
    let split = contender == "patchbay-bus-split";
    let broker = Broker::new(BrokerConfig::default(), Arc::new(SystemClock));
    // As a host does.
    broker.start_timer()?;
    let before = process::anonymous_bytes();
    for number in 0..others {
        let pattern = TopicPattern::parse(&format!("other.{}.t{number}", number % 1_000))?;
        broker.subscribe(SubscriptionSpec::new("others", pattern))?;
    }
    let taken = process::anonymous_bytes().saturating_sub(before);
    let ages = work.is_latency().then(|| Arc::new(Histogram::new()));
    let (mut subscriptions, mut lanes) = (Vec::new(), Lanes::new(ages.clone())?);
    for number in 0..work.consumers {
        let mut spec =
            SubscriptionSpec::new(&format!("bench-{number}"), TopicPattern::parse("bench.>")?);
        spec.limits = QueueLimits { count: 1024, bytes: 128 << 20 };
        spec.overflow = Overflow::Block;
        spec.order = if work.keys > 0 { Order::PerKey } else { Order::None };
        let subscription = broker.subscribe(spec)?;
        let [first, second] = GENERATIONS;
        let workers = if work.keys > 0 { 2 } else { 1 };
        if split {
            subscription.set_split(Split::two(SALT, first, second, SHARE));
            lanes.serve(&subscription, second, workers)?;
        } else {
            subscription.set_split(Split::all(first));
        }
        lanes.serve(&subscription, first, workers)?;
        subscriptions.push(subscription);
    }
    let topics: Vec<String> = match work.topics {
        1 => vec![TOPIC.to_owned()],
        many => (0..many).map(|number| format!("bench.topic.{number}")).collect(),
    };
    let publishers = Publishers::start(work, &topics, || broker.publisher("bench"));
    let finished = || subscriptions.iter().map(done).sum();
    let mut window = meter::measure(meter::warm_up(work, length), length, None, finished);
    window.bytes_each = (others > 0).then(|| taken as f64 / others as f64);
    publishers.stop();
    for subscription in &subscriptions {
        broker.remove(subscription);
    }
    lanes.end()?;
    Ok(match ages {
        Some(ages) => window.with_latency(&ages),
        None => window,
    })
}

/// What a subscription has settled.
pub(super) fn done(subscription: &Arc<Subscription>) -> u64 {
    subscription.ledger().done
}
