//! Deaths of a host that had written everything down, and the lives after them.

use std::sync::Arc;

use patchbay_bus::{Accused, Broker, BrokerConfig, Clock, Death, ManualClock};
use patchbay_journal::{Journal, JournalConfig, Moment, SimStorage, Target};
use patchbay_model::{Event, Share};

use crate::{
    agreement::same,
    dice::Dice,
    plan,
    world::{Disagreement, World},
};

/// The journal of a life, and its disk.
pub(crate) struct Record {
    journal: Arc<Journal>,
    storage: SimStorage,
}

const SEGMENT_BYTES: u64 = 64 << 10;

// === impl Record ===

impl Record {
    pub(crate) fn open(
        storage: SimStorage,
        config: &BrokerConfig,
        clock: &Arc<ManualClock>,
        death: &Death,
        seed: u64,
    ) -> Result<(Broker, Record), Disagreement> {
        let journal_config = JournalConfig {
            segment_bytes: SEGMENT_BYTES,
            reserve_bytes: SEGMENT_BYTES / 8,
            low_water_bytes: 0,
            patience: std::time::Duration::ZERO,
            threads: false,
            dedup_window: config.dedup.window,
            dedup_keys_max: config.dedup.max_keys,
            ..JournalConfig::default()
        };
        let now = Moment { unix_ns: clock.unix_ns(), mono_ns: clock.now_ns() };
        let (journal, found) = Journal::open(Arc::new(storage.clone()), journal_config, now)
            .map_err(|error| format!("the journal does not open: {error:?}"))?;
        let both = (Arc::clone(&journal), found);
        let broker = Broker::open_after(config.clone(), clock.clone(), both, death, seed)
            .map_err(|error| format!("the broker does not open: {error:?}"))?;
        Ok((broker, Record { journal, storage }))
    }
}

impl World {
    /// Everything that was said is on the disk.
    pub(crate) fn write_down(&self) {
        if let Some(record) = &self.record {
            record.journal.tend();
        }
    }

    pub(crate) fn die(&mut self, dice: &mut Dice) -> Result<(), Disagreement> {
        self.write_down();
        let Some(record) = &self.record else { return Ok(()) };
        let storage = record.storage.kill();
        self.rise(storage, dice)
    }

    pub(crate) fn lose_power(&mut self, dice: &mut Dice) -> Result<(), Disagreement> {
        self.write_down();
        let Some(record) = &self.record else { return Ok(()) };
        let storage = record.storage.crash(dice);
        self.rise(storage, dice)
    }

    /// Lanes give back what they hold, and the journal ends in good order.
    pub(crate) fn stop(&mut self, dice: &mut Dice) -> Result<(), Disagreement> {
        while !self.lanes.is_empty() {
            self.leave(0)?;
        }
        let Some(record) = &self.record else { return Ok(()) };
        let now = Moment { unix_ns: self.clock.unix_ns(), mono_ns: self.clock.now_ns() };
        record.journal.close(now).map_err(|error| format!("it does not close: {error}"))?;
        self.die(dice)
    }

    /// What the next life gets to know: nothing, who did it, or who may have.
    fn last_words(&self, dice: &mut Dice) -> Death {
        let held = |lane: &crate::lane::Lane| {
            let sub = self.subscriptions[lane.at].id() as u32;
            let ids = lane.seat.deliveries().iter().map(|delivery| delivery.id());
            ids.map(|id| Target { sub, id }).collect::<Vec<_>>()
        };
        let held: Vec<Target> = self.lanes.iter().flat_map(held).collect();
        let how = "it was seen".to_owned();
        match dice.below(3) {
            0 => Death::Silent,
            1 if !held.is_empty() => {
                let calls = [*dice.pick(&held)].into();
                Death::Accused(Accused { calls, how, ..Accused::default() })
            }
            _ => {
                let calls = held.into_iter().filter(|_| dice.one_in(2)).collect();
                Death::Accused(Accused { calls, others: dice.below(2), how, ..Accused::default() })
            }
        }
    }

    fn rise(&mut self, storage: SimStorage, dice: &mut Dice) -> Result<(), Disagreement> {
        let death = self.last_words(dice);
        self.lanes.clear();
        self.revoked.clear();
        self.causes.clear();
        self.seed = self.seed.wrapping_add(1 << 40);
        let (broker, record) = Record::open(storage, &self.config, &self.clock, &death, self.seed)?;
        self.publishers = ["one", "two"].map(|name| broker.publisher(name)).into();
        (self.broker, self.record) = (broker, Some(record));
        self.tell(&Event::Death(death))?;
        let mut ids: Vec<u64> = self.broker.orphans().iter().map(|one| one.id()).collect();
        ids.sort_unstable();
        let must: Vec<u64> = self.state.subscriptions.keys().copied().collect();
        same("subscriptions found", &ids, &must)?;
        self.subscriptions = self.broker.orphans();
        self.compare()?;
        // Most of their owners come at once.
        while let Some(at) = self.orphan() {
            if dice.one_in(5) {
                break;
            }
            self.adopt(at, dice)?;
            self.compare()?;
        }
        Ok(())
    }

    /// A subscription that nobody has come for.
    pub(crate) fn orphan(&self) -> Option<usize> {
        (0..self.subscriptions.len()).find(|at| self.is_orphan(*at))
    }

    pub(crate) fn is_orphan(&self, at: usize) -> bool {
        let model = &self.state.subscriptions[&self.subscriptions[at].id()];
        model.orphan && !model.closed
    }

    /// Its owner comes, maybe with other terms.
    pub(crate) fn adopt(&mut self, at: usize, dice: &mut Dice) -> Result<(), Disagreement> {
        let mut spec = plan::durable_spec(dice, 0);
        let old = self.subscriptions[at].spec();
        (spec.owner, spec.pattern) = (Arc::clone(&old.owner), old.pattern.clone());
        // What is under way has the order that it was accepted under.
        let number: usize = spec.owner[1..].parse().expect("a number");
        spec.order = self.orders[number];
        let made = self.broker.subscribe(spec.clone());
        same("intake closed", &made.is_err(), &self.state.closed)?;
        let Ok(subscription) = made else { return Ok(()) };
        let event = Event::Subscribe { subscription: subscription.id(), spec: Box::new(spec) };
        self.tell(&event)?;
        self.subscriptions[at] = subscription;
        self.share(at, Share::all(1))?;
        self.enter(at, 1)
    }
}
