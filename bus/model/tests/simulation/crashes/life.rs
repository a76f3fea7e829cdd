//! One life of a host: a broker, its journal, and lanes.

use std::{sync::Arc, time::Duration};

use patchbay_bus::{
    Broker, BrokerConfig, Clock, DeadLetterConfig, DurabilityRule, Level, ManualClock, Publisher,
    Split, Subscription, SubscriptionSpec,
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
    /// Lanes whose lease was taken, and which have not noticed.
    pub(super) ghosts: Vec<Lane>,
    pub(super) subscriptions: Vec<Arc<Subscription>>,
    pub(super) publisher: Publisher,
    pub(super) broker: Broker,
    pub(super) journal: Arc<Journal>,
    pub(super) storage: SimStorage,
    /// Of each subscription: who serves it, and who did last.
    pub(super) serving: Vec<Vec<u64>>,
    pub(super) last_generation: Vec<u64>,
}

/// What a life begins with.
pub(super) struct Birth<'a> {
    pub(super) clock: &'a Arc<ManualClock>,
    pub(super) segment_bytes: u64,
    pub(super) specs: &'a [SubscriptionSpec],
    pub(super) letters: &'a DeadLetterConfig,
    pub(super) seed: u64,
}

fn broker_config(letters: &DeadLetterConfig) -> BrokerConfig {
    let rule = |pattern: &str, level| {
        let pattern = TopicPattern::parse(pattern).expect("a pattern");
        DurabilityRule { pattern, level }
    };
    BrokerConfig {
        publish_timeout: Duration::ZERO,
        forward_patience: Duration::ZERO,
        durability: vec![rule("d.>", Level::Disk), rule("p.>", Level::Process)],
        dead_letters: letters.clone(),
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
    /// `missing`: a subscription that nobody comes for yet, if the journal knows it.
    pub(super) fn begin(
        storage: SimStorage,
        birth: &Birth<'_>,
        missing: Option<usize>,
    ) -> Result<Life, Disagreement> {
        let Birth { clock, segment_bytes, specs, letters, seed } = *birth;
        let now = Moment { unix_ns: clock.unix_ns(), mono_ns: clock.now_ns() };
        let config = journal_config(segment_bytes);
        let (journal, found) = Journal::open(Arc::new(storage.clone()), config, now)
            .map_err(|error| format!("the journal does not open: {error:?}"))?;
        let journal_and = Some((Arc::clone(&journal), found));
        let broker = Broker::open(broker_config(letters), clock.clone(), journal_and, seed)
            .map_err(|error| format!("the broker does not open: {error:?}"))?;
        if !journal.damage().is_empty() {
            return Err(format!("damage after a crash: {:?}", journal.damage()));
        }
        let publisher = broker.publisher("p");
        let mut life = Life {
            lanes: Vec::new(),
            ghosts: Vec::new(),
            subscriptions: Vec::new(),
            publisher,
            broker,
            journal,
            storage,
            serving: vec![Vec::new(); specs.len()],
            last_generation: vec![1; specs.len()],
        };
        for (at, spec) in specs.iter().enumerate() {
            let orphan = life.broker.orphans().into_iter().find(|one| one.owner() == &*spec.owner);
            match orphan.filter(|_| missing == Some(at)) {
                Some(orphan) => life.subscriptions.push(orphan),
                None => {
                    let made = life.broker.subscribe(spec.clone());
                    life.subscriptions.push(made.map_err(|error| error.to_string())?);
                    life.serve(at)?;
                }
            }
        }
        Ok(life)
    }

    /// Somebody comes for a subscription that had no owner.
    pub(super) fn adopt(&mut self, at: usize, spec: &SubscriptionSpec) -> Result<(), Disagreement> {
        if !self.is_orphan(at) {
            return Ok(());
        }
        let id = self.subscriptions[at].id();
        let made = self.broker.subscribe(spec.clone()).map_err(|error| error.to_string())?;
        if made.id() != id {
            return Err(format!("subscription {id} was not taken over, {} was made", made.id()));
        }
        self.subscriptions[at] = made;
        self.serve(at)
    }

    pub(super) fn is_orphan(&self, at: usize) -> bool {
        let id = self.subscriptions[at].id();
        self.broker.orphans().iter().any(|orphan| orphan.id() == id)
    }

    fn serve(&mut self, at: usize) -> Result<(), Disagreement> {
        self.subscriptions[at].set_split(Split::all(1));
        self.serving[at] = vec![1];
        self.enter(at, 1)
    }

    pub(super) fn enter(&mut self, at: usize, generation: u64) -> Result<(), Disagreement> {
        let bell = Arc::new(Bell::default());
        let seat = self.subscriptions[at].seat(generation, bell.clone());
        let seat = seat.map_err(|error| format!("no seat: {error}"))?;
        let lane = Lane { at, seat, bell, next: usize::MAX, suspended: Vec::new(), parked: false };
        self.lanes.push(lane);
        Ok(())
    }
}
