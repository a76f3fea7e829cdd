//! Durable levels: what survives a death, in what order, how often, and what is counted.
//!
//! A death is simulated: what the journal has written to a [`Disk`] of values is all that the next
//! life finds.

mod backlog;
mod disk;
mod failure;
mod full;
mod letters;
mod mixed;
mod order;
mod orphans;
mod overflow;
mod poison;
mod publishing;
mod standing;
mod stress;
mod suspended;

use std::{sync::Arc, time::Duration};

use patchbay_bus::{
    Broker, BrokerConfig, Clock, Death, Delivery, DurabilityRule, Level, ManualClock, Outgoing,
    Publisher, Seat, Split, Subscription, SubscriptionSpec, Verdict,
};
use patchbay_journal::{Journal, JournalConfig, Moment};
use patchbay_wire::TopicPattern;

use self::disk::Disk;
use crate::support::*;

/// One life of a bus on a disk.
struct Life {
    disk: Disk,
    clock: Arc<ManualClock>,
    broker: Broker,
    publisher: Publisher,
    config: BrokerConfig,
    journal: JournalConfig,
}

fn rules() -> BrokerConfig {
    let rule = |pattern: &str, level| DurabilityRule {
        pattern: TopicPattern::parse(pattern).unwrap(),
        level,
    };
    let durability =
        vec![rule("t", Level::Disk), rule("u.>", Level::Disk), rule("p", Level::Process)];
    BrokerConfig { durability, ..BrokerConfig::default() }
}

fn journal_config() -> JournalConfig {
    JournalConfig {
        segment_bytes: 256 << 10,
        reserve_bytes: 32 << 10,
        low_water_bytes: 0,
        threads: false,
        ..JournalConfig::default()
    }
}

impl Life {
    fn first() -> Life {
        Life::with(rules())
    }

    fn with(config: BrokerConfig) -> Life {
        let clock = Arc::new(ManualClock::new());
        Life::open(Disk::default(), clock, config, journal_config(), &Death::Silent)
    }

    fn open(
        disk: Disk,
        clock: Arc<ManualClock>,
        config: BrokerConfig,
        journal: JournalConfig,
        death: &Death,
    ) -> Life {
        let now = Moment { unix_ns: clock.unix_ns(), mono_ns: clock.now_ns() };
        let opened = Journal::open(Arc::new(disk.clone()), journal.clone(), now).unwrap();
        let broker = Broker::open_after(config.clone(), clock.clone(), opened, death, 7).unwrap();
        let publisher = broker.publisher("test");
        Life { disk, clock, broker, publisher, config, journal }
    }

    /// What has been written so far is all that another life will find.
    fn snapshot(&self) -> Disk {
        self.disk.copy(false)
    }

    /// The process dies, and the next one starts.
    fn die(self) -> Life {
        self.die_of(&Death::Silent)
    }

    /// The same where something is known of it.
    fn die_of(self, death: &Death) -> Life {
        let disk = self.snapshot();
        self.next(disk, death)
    }

    /// The power goes, and comes back.
    fn lose_power(self) -> Life {
        let disk = self.disk.copy(true);
        self.next(disk, &Death::Silent)
    }

    fn next(self, disk: Disk, death: &Death) -> Life {
        let Life { clock, config, journal, .. } = self;
        Life::open(disk, clock, config, journal, death)
    }

    fn subscribe(
        &self,
        pattern: &str,
        change: impl FnOnce(&mut SubscriptionSpec),
    ) -> Arc<Subscription> {
        let subscription = subscribe(&self.broker, pattern, change);
        subscription.set_split(Split::all(1));
        subscription
    }

    fn publish(&mut self, payload: &str) {
        self.publish_key(payload, "");
    }

    fn publish_key(&mut self, payload: &str, key: &str) {
        let payload = payload.as_bytes();
        let outgoing = Outgoing { topic: "t", key, payload, ..Outgoing::default() };
        assert_eq!(self.publisher.publish(outgoing).unwrap().level, Level::Disk);
    }

    fn advance(&self, milliseconds: u64) {
        self.clock.advance(Duration::from_millis(milliseconds));
        self.broker.tick();
    }

    /// Everything that was said so far is written, as a lazy flush would.
    fn flush(&self) {
        self.broker.journal().unwrap().tend();
    }
}

fn ledger_of(subscription: &Subscription) -> (u64, u64, u64, u64) {
    let ledger = subscription.ledger();
    assert!(ledger.balanced(), "{ledger:?}");
    (ledger.accepted, ledger.queued + ledger.delayed, ledger.in_flight, ledger.done)
}

/// Payloads with the number of the attempt.
fn attempts(
    seat: &mut Seat,
    mut handle: impl FnMut(&Delivery) -> Option<Verdict>,
) -> Vec<(String, u32)> {
    let mut seen = Vec::new();
    drain(seat, |delivery| {
        seen.push((text(delivery).to_owned(), delivery.attempt()));
        handle(delivery)
    });
    seen
}
