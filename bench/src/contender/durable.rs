//! Levels that outlive the process: the bus over a journal on the disk, one publisher, one lane.

use std::{
    collections::VecDeque,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread::{self, JoinHandle},
};

use patchbay_bus::{
    Broker, BrokerConfig, Clock, DurabilityRule, Level, Outgoing, Overflow, Pending, Publisher,
    QueueLimits, Split, Subscription, SubscriptionSpec, SystemClock,
};
use patchbay_journal::{DiskStorage, Journal, JournalConfig, Moment};
use patchbay_measure::{
    entry::{Asked, Outcome},
    meter::{self, Window},
    source::Source,
    work::{Kind, Work},
};
use patchbay_wire::TopicPattern;

use super::{TOPIC, bare::done, lanes::Lanes};
use crate::home;

pub(super) fn run(asked: &Asked<'_>) -> Outcome<Window> {
    let Asked { work, length, .. } = *asked;
    let folder = tempfile::tempdir_in(home::place())?;
    let level = if work.kind == Kind::Disk { Level::Disk } else { Level::Process };
    let Kept { broker, journal, subscription } = open(folder.path(), level)?;
    broker.start_timer()?;
    let mut lanes = Lanes::new(None)?;
    lanes.serve(&subscription, 1, 1)?;
    let voice = Voice::start(broker.publisher("bench"), work, TOPIC);
    let window = meter::measure(meter::warm_up(work, length), length, None, || done(&subscription));
    voice.stop()?;
    broker.remove(&subscription);
    lanes.end()?;
    journal.close(moment())?;
    Ok(window)
}

/// A bus over its journal, with one subscription to everything.
pub(super) struct Kept {
    pub(super) broker: Broker,
    pub(super) journal: Arc<Journal>,
    pub(super) subscription: Arc<Subscription>,
}

/// Opens the journal in `folder` and goes on where it ended.
pub(super) fn open(folder: &Path, level: Level) -> Outcome<Kept> {
    let storage = Arc::new(DiskStorage::at(&folder.join("journal")));
    // As a host does with the levels of its topics.
    let config = JournalConfig { fill: level == Level::Disk, ..JournalConfig::default() };
    let (journal, found) = Journal::open(storage, config, moment())?;
    let mut config = BrokerConfig::default();
    config.durability.push(DurabilityRule { pattern: TopicPattern::parse(TOPIC)?, level });
    let found = Some((Arc::clone(&journal), found));
    let broker = Broker::open(config, Arc::new(SystemClock), found, 1)?;
    let mut spec = SubscriptionSpec::new("bench", TopicPattern::parse("bench.>")?);
    spec.overflow = Overflow::Block;
    spec.backlog = QueueLimits { count: usize::MAX >> 1, bytes: usize::MAX >> 1 };
    let subscription = broker.subscribe(spec)?;
    subscription.set_split(Split::all(1));
    Ok(Kept { broker, journal, subscription })
}

pub(super) fn moment() -> Moment {
    Moment { unix_ns: SystemClock.unix_ns(), mono_ns: SystemClock.now_ns() }
}

/// A thread that publishes what is kept.
pub(super) struct Voice {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<(), String>>,
}

// === impl Voice ===

impl Voice {
    pub(super) fn start(publisher: Publisher, work: &Work, topic: &str) -> Voice {
        let stop = Arc::new(AtomicBool::new(false));
        let (source, topic) = (Source::new(work, 0, &stop), topic.to_owned());
        let in_flight = work.in_flight;
        let thread = thread::spawn(move || publish(publisher, source, &topic, in_flight));
        Voice { stop, thread }
    }

    /// Ends it.
    ///
    /// # Errors
    /// A publish was refused or did not reach its level.
    pub(super) fn stop(self) -> Outcome<()> {
        self.stop.store(true, SeqCst);
        self.thread.join().map_err(|_| "the publisher panicked")?.map_err(Into::into)
    }
}

/// Keeps that many publishes unanswered; each is waited for in its turn.
fn publish(
    mut publisher: Publisher,
    mut source: Source,
    topic: &str,
    in_flight: usize,
) -> Result<(), String> {
    let mut open: VecDeque<Pending> = VecDeque::with_capacity(in_flight);
    let answered = |pending: Pending| pending.wait().map(|_| ()).map_err(|error| error.to_string());
    while source.make().is_some() {
        if open.len() >= in_flight
            && let Some(oldest) = open.pop_front()
        {
            answered(oldest)?;
        }
        let outgoing = Outgoing { topic, payload: source.payload(), ..Outgoing::default() };
        open.push_back(publisher.submit(outgoing).map_err(|error| error.to_string())?);
    }
    open.into_iter().try_for_each(answered)
}
