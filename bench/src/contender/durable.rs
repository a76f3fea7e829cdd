//! Levels that outlive the process: the bus over a journal on the disk, one publisher, one lane.

use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use patchbay_bus::{
    Broker, BrokerConfig, Clock, DurabilityRule, Level, Outgoing, Overflow, Pending, Publisher,
    Split, SubscriptionSpec, SystemClock,
};
use patchbay_journal::{DiskStorage, Journal, JournalConfig, Moment};
use patchbay_measure::{
    meter::{self, Tally, Window},
    source::Source,
    work::Work,
};
use patchbay_wire::TopicPattern;

use super::{TOPIC, bare::Lane, warm_up};
use crate::home::Outcome;

pub(super) fn run(work: &Work, level: Level, length: Duration) -> Outcome<Window> {
    // Where the others have their data.
    let place =
        std::env::var_os("PATCHBAY_BENCH_DATA").map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = tempfile::tempdir_in(place)?;
    let clock = Arc::new(SystemClock);
    let now = Moment { unix_ns: clock.unix_ns(), mono_ns: clock.now_ns() };
    let storage = Arc::new(DiskStorage::at(&folder.path().join("journal")));
    let (journal, found) = Journal::open(storage, JournalConfig::default(), now)?;
    let mut config = BrokerConfig::default();
    config.durability.push(DurabilityRule { pattern: TopicPattern::parse(TOPIC)?, level });
    let broker = Broker::open(config, clock, Some((Arc::clone(&journal), found)), 1)?;
    let mut spec = SubscriptionSpec::new("bench", TopicPattern::parse("bench.>")?);
    spec.overflow = Overflow::Block;
    let subscription = broker.subscribe(spec)?;
    subscription.set_split(Split::all(1));
    let tally = Tally::default();
    let lane = Lane {
        subscription: Arc::clone(&subscription),
        generation: 1,
        tally: tally.clone(),
        ages: None,
    };
    let lane = thread::spawn(move || lane.run());
    let stop = Arc::new(AtomicBool::new(false));
    let source = Source::new(work, 0, &stop);
    let (publisher, in_flight) = (broker.publisher("bench"), work.in_flight);
    let publishing = thread::spawn(move || publish(publisher, source, in_flight));
    let window = meter::measure(warm_up(length), length, || tally.get());
    stop.store(true, SeqCst);
    let published = publishing.join().map_err(|_| "the publisher panicked")?;
    broker.remove(&subscription);
    lane.join().map_err(|_| "a lane panicked")?;
    journal.close(Moment { unix_ns: SystemClock.unix_ns(), mono_ns: SystemClock.now_ns() })?;
    published.map(|()| window).map_err(Into::into)
}

/// Keeps that many publishes unanswered; each is waited for in its turn.
fn publish(mut publisher: Publisher, mut source: Source, in_flight: usize) -> Result<(), String> {
    let mut open: VecDeque<Pending> = VecDeque::with_capacity(in_flight);
    while source.make().is_some() {
        if open.len() >= in_flight
            && let Some(oldest) = open.pop_front()
        {
            oldest.wait().map_err(|error| error.to_string())?;
        }
        let outgoing = Outgoing { topic: TOPIC, payload: source.payload(), ..Outgoing::default() };
        open.push_back(publisher.submit(outgoing).map_err(|error| error.to_string())?);
    }
    open.into_iter().try_for_each(|pending| match pending.wait() {
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
    })
}
