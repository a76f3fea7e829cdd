//! One life of a host: a broker, its journal, and lanes.

use std::{sync::Arc, time::Duration};

use patchbay_bus::{
    Broker, BrokerConfig, Clock, DurabilityRule, Level, ManualClock, Publisher, Split,
    Subscription, SubscriptionSpec,
};
use patchbay_journal::{Journal, JournalConfig, Moment, SimStorage};
use patchbay_wire::TopicPattern;

use crate::{
    lane::{Bell, Lane},
    world::Disagreement,
};

pub(super) struct Life {
    // In the order in which they end: lanes give back what they hold to a broker that lives.
    pub(super) lanes: Vec<Lane>,
    pub(super) subscriptions: Vec<Arc<Subscription>>,
    pub(super) publisher: Publisher,
    pub(super) broker: Broker,
    pub(super) journal: Arc<Journal>,
    pub(super) storage: SimStorage,
}

pub(super) fn broker_config() -> BrokerConfig {
    let rule = |pattern: &str, level| {
        let pattern = TopicPattern::parse(pattern).expect("a pattern");
        DurabilityRule { pattern, level }
    };
    BrokerConfig {
        publish_timeout: Duration::ZERO,
        durability: vec![rule("d.>", Level::Disk), rule("p.>", Level::Process)],
        ..BrokerConfig::default()
    }
}

pub(super) fn journal_config(segment_bytes: u64) -> JournalConfig {
    JournalConfig {
        segment_bytes,
        reserve_bytes: segment_bytes / 8,
        low_water_bytes: 0,
        patience: Duration::ZERO,
        threads: false,
        ..JournalConfig::default()
    }
}

impl Life {
    pub(super) fn begin(
        storage: SimStorage,
        clock: &Arc<ManualClock>,
        segment_bytes: u64,
        specs: &[SubscriptionSpec],
        seed: u64,
    ) -> Result<Life, Disagreement> {
        let now = Moment { unix_ns: clock.unix_ns(), mono_ns: clock.now_ns() };
        let config = journal_config(segment_bytes);
        let (journal, found) = Journal::open(Arc::new(storage.clone()), config, now)
            .map_err(|error| format!("the journal does not open: {error:?}"))?;
        let journal_and = Some((Arc::clone(&journal), found));
        let broker = Broker::open(broker_config(), clock.clone(), journal_and, seed)
            .map_err(|error| format!("the broker does not open: {error:?}"))?;
        if !journal.damage().is_empty() {
            return Err(format!("damage after a crash: {:?}", journal.damage()));
        }
        let mut subscriptions = Vec::new();
        for spec in specs {
            let made = broker.subscribe(spec.clone());
            let made = made.map_err(|error| format!("no subscription: {error}"))?;
            made.set_split(Split::all(1));
            subscriptions.push(made);
        }
        let publisher = broker.publisher("p");
        let mut life =
            Life { lanes: Vec::new(), subscriptions, publisher, broker, journal, storage };
        for at in 0..specs.len() {
            life.enter(at)?;
        }
        Ok(life)
    }

    pub(super) fn enter(&mut self, at: usize) -> Result<(), Disagreement> {
        let bell = Arc::new(Bell::default());
        let seat = self.subscriptions[at].seat(1, bell.clone());
        let seat = seat.map_err(|error| format!("no seat: {error}"))?;
        let lane = Lane { at, seat, bell, next: usize::MAX, suspended: Vec::new(), parked: false };
        self.lanes.push(lane);
        Ok(())
    }
}
