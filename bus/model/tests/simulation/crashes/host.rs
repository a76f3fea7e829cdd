//! A host over all its lives, and what was written down about it.

use std::sync::Arc;

use patchbay_bus::{
    Begin, Delivery, Fault, FaultClass, ManualClock, Order, Outgoing, Park, PublishError,
    Published as Told, SubscriptionSpec, Taken, Verdict,
};
use patchbay_journal::{CrashChoice, SimStorage};
use patchbay_testkit::checker::{
    Answer, Began, Cause, Dead, Ended, Event, Expectations, LedgerTerms, Level, Listener, Ordering,
    Published, Record, Records, Status, Tag,
};

use super::life::Life;
use crate::{dice::Dice, world::Disagreement};

pub(super) struct Host {
    pub(super) life: Life,
    pub(super) clock: Arc<ManualClock>,
    pub(super) records: Records,
    pub(super) specs: Vec<SubscriptionSpec>,
    segment_bytes: u64,
    seed: u64,
    lives: u32,
    /// Rises with every record.
    t: u64,
    last: u64,
    /// Messages that were published under a key against repeats.
    keyed: Vec<(u64, &'static str)>,
}

/// What a handler does with a call.
pub(super) enum Act {
    Acknowledge,
    Retry(u64),
    Fail,
    Err,
    Forward,
    /// It does not come back.
    Hang,
}

impl CrashChoice for Dice {
    fn choose(&mut self, below: u64) -> u64 {
        self.word() % below.max(1)
    }
}

impl Host {
    pub(super) fn new(specs: Vec<SubscriptionSpec>, segment_bytes: u64, seed: u64) -> Host {
        let clock = Arc::new(ManualClock::new());
        let life = Life::begin(SimStorage::new(), &clock, segment_bytes, &specs, seed)
            .expect("a first life");
        Host {
            life,
            clock,
            records: Records::default(),
            specs,
            segment_bytes,
            seed,
            lives: 0,
            t: 0,
            last: 0,
            keyed: Vec::new(),
        }
    }

    fn tick(&mut self) -> u64 {
        self.t += 1;
        self.t
    }

    pub(super) fn note(&mut self, event: Event) {
        let t = self.tick();
        self.records.push(Cause { t, until: 0, event }.into());
    }

    fn name(at: usize) -> String {
        format!("s{at}")
    }

    // --- publishing ---

    pub(super) fn publish(&mut self, dice: &mut Dice) {
        let topic = *dice.pick(&["m.x", "p.x", "p.x", "p.y", "d.x", "d.x", "d.y"]);
        let again = topic.starts_with("d.") && !self.keyed.is_empty() && dice.one_in(4);
        let (n, topic, dedup) = if again {
            let (n, topic) = *dice.pick(&self.keyed);
            (n, topic, true)
        } else {
            self.last += 1;
            let dedup = topic.starts_with("d.") && dice.one_in(3);
            if dedup {
                self.keyed.push((self.last, topic));
            }
            (self.last, topic, dedup)
        };
        // The key follows from the number, so that a repeat is the same message.
        let key = ["", "k", "l"][(n % 3) as usize];
        let mut payload = vec![0; 8 + 40 * (n % 4) as usize];
        payload[..8].copy_from_slice(&n.to_le_bytes());
        let dedup_key = dedup.then(|| n.to_string());
        let outgoing = Outgoing {
            topic,
            key,
            payload: &payload,
            dedup_key: dedup_key.as_deref(),
            no_wait: true,
            ..Outgoing::default()
        };
        let sent = self.tick();
        let told = if dice.one_in(5) {
            // Nobody waits for the answer.
            self.life.publisher.submit(outgoing).map(|pending| pending.poll_result())
        } else {
            self.life.publisher.publish(outgoing).map(|told| Some(Ok(told)))
        };
        let t = self.tick();
        let level = match topic.as_bytes()[0] {
            b'm' => Level::Memory,
            b'p' => Level::Process,
            _ => Level::Disk,
        };
        let mut record = Published {
            tag: Tag::new("p", n),
            topic: topic.to_owned(),
            key: key.to_owned(),
            level,
            answer: Answer::Unknown,
            mid: None,
            seq: None,
            routed: None,
            dedup,
            expires: 0,
            not_before: 0,
            sent,
            t,
        };
        match told {
            Ok(None) => {}
            Ok(Some(Ok(told))) => accepted(&mut record, told),
            Err(error) | Ok(Some(Err(error))) => record.answer = refused(&error),
        }
        self.records.push(record.into());
    }

    // --- lanes ---

    pub(super) fn take(&mut self, lane: usize, limit: usize) {
        let lane = &mut self.life.lanes[lane];
        if lane.parked {
            return;
        }
        lane.next = match lane.seat.take(limit, Park::No) {
            Taken::Batch(_) => 0,
            _ => usize::MAX,
        };
    }

    /// Begins the next call of a lane, and ends it as told.
    pub(super) fn work(&mut self, number: usize, act: Act) {
        let lane = &mut self.life.lanes[number];
        let (at, position) = (lane.at, lane.next);
        if lane.parked || position >= lane.seat.deliveries().len() {
            return;
        }
        let begun = lane.seat.begin(position);
        lane.next = if begun == Begin::Stop { usize::MAX } else { position + 1 };
        if begun != Begin::Go {
            return;
        }
        let t = self.tick();
        let lane = &mut self.life.lanes[number];
        let delivery = &lane.seat.deliveries()[position];
        let message = delivery.message().clone();
        let tag = tag(delivery);
        let (id, attempt) = (delivery.id(), delivery.attempt());
        self.records.push(
            Began {
                tag: tag.clone(),
                subscription: Host::name(at),
                delivery: id,
                attempt,
                key: message.key().to_owned(),
                mid: Some(format!("{:032x}", message.id())),
                generation: u64::from(self.lives),
                version: String::new(),
                t,
            }
            .into(),
        );
        let (verdict, status) = match act {
            Act::Acknowledge => (None, Status::Acknowledged),
            Act::Retry(ns) => (Some(Verdict::Retry(ns)), Status::RetryLater),
            Act::Fail => (Some(Verdict::Failed("no".into())), Status::Failed),
            Act::Forward if message.hops() == 0 => {
                let topic = "d.f".to_owned();
                (Some(Verdict::Forward { topic: topic.clone(), message }), Status::Forwarded(topic))
            }
            Act::Forward | Act::Err => {
                let fault = Fault { class: FaultClass::Transient, text: "no".into() };
                (Some(Verdict::Fault(fault)), Status::Error)
            }
            Act::Hang => {
                // Marked as asleep: nothing happens here until somebody takes its lease.
                lane.parked = true;
                return;
            }
        };
        let t = self.tick();
        let subscription = Host::name(at);
        let ended = Ended { tag, subscription, delivery: id, attempt, status, t };
        self.records.push(ended.into());
        if let Some(verdict) = verdict {
            self.life.lanes[number].seat.record(position, verdict);
        }
    }

    pub(super) fn settle(&mut self, lane: usize) {
        let lane = &mut self.life.lanes[lane];
        if !lane.parked {
            lane.seat.settle();
            lane.next = usize::MAX;
        }
    }

    /// Takes a lane's lease; another lane takes its place.
    pub(super) fn revoke(&mut self, lane: usize) -> Result<(), Disagreement> {
        let at = self.life.lanes[lane].at;
        self.note(Event::LeaseExpiry { subscription: Host::name(at) });
        let seat = self.life.lanes[lane].seat.id();
        self.life.subscriptions[at].revoke(seat, &[]);
        drop(self.life.lanes.remove(lane));
        self.life.enter(at)
    }

    pub(super) fn relieve(&mut self, lane: usize) {
        let lane = &self.life.lanes[lane];
        self.life.subscriptions[lane.at].relieve(lane.seat.id());
    }

    // --- lives ---

    /// The host dies, and the next one finds what the disk kept.
    pub(super) fn die(&mut self, power: Option<&mut Dice>) -> Result<(), Disagreement> {
        let (event, storage) = match power {
            None => (Event::HostDeath, self.life.storage.kill()),
            Some(dice) => (Event::PowerLoss, self.life.storage.crash(dice)),
        };
        self.note(event);
        self.rise(storage)
    }

    /// The host ends in good order.
    pub(super) fn stop(&mut self) -> Result<(), Disagreement> {
        for lane in 0..self.life.lanes.len() {
            self.settle(lane);
        }
        self.life.lanes.clear();
        let moment = patchbay_journal::Moment {
            unix_ns: patchbay_bus::Clock::unix_ns(&*self.clock),
            mono_ns: patchbay_bus::Clock::now_ns(&*self.clock),
        };
        let closed = self.life.journal.close(moment);
        let event = if closed.is_ok() { Event::HostStop } else { Event::HostDeath };
        self.note(event);
        let storage = self.life.storage.kill();
        self.rise(storage)
    }

    fn rise(&mut self, storage: SimStorage) -> Result<(), Disagreement> {
        storage.limit(u64::MAX);
        self.lives += 1;
        let seed = self.seed.wrapping_add(u64::from(self.lives) << 32);
        let (clock, specs) = (Arc::clone(&self.clock), self.specs.clone());
        self.life = Life::begin(storage, &clock, self.segment_bytes, &specs, seed)?;
        Ok(())
    }

    // --- looking ---

    pub(super) fn look(&mut self) -> Result<(), Disagreement> {
        for at in 0..self.life.subscriptions.len() {
            let ledger = self.life.subscriptions[at].ledger();
            if !ledger.balanced() {
                return Err(format!("{} does not add up: {ledger:?}", Host::name(at)));
            }
            let terms = LedgerTerms {
                subscription: Host::name(at),
                life: self.lives,
                t: self.tick(),
                accepted: ledger.accepted,
                queued: ledger.queued,
                delayed: ledger.delayed,
                in_flight: ledger.in_flight,
                done: ledger.done,
                forwarded: ledger.forwarded,
                dead: ledger.dead,
                dead_pending: ledger.dead_pending,
                dropped: ledger.dropped.total(),
            };
            self.records.push(terms.into());
        }
        Ok(())
    }

    pub(super) fn list_dead(&mut self) {
        for letter in self.life.broker.dead_letters().after(0, usize::MAX) {
            let at = self.specs.iter().position(|spec| spec.owner == letter.owner);
            let record = Dead {
                tag: tag_of(letter.message.payload()),
                subscription: Host::name(at.unwrap_or_default()),
                cause: letter.cause.label().to_owned(),
            };
            self.records.push(Record::Dead(record));
        }
    }

    pub(super) fn expectations(&self) -> Expectations {
        let listener = |(at, spec): (usize, &SubscriptionSpec)| {
            let order = match spec.order {
                Order::None => Ordering::None,
                Order::PerKey => Ordering::PerKey,
                Order::Total => Ordering::Total,
            };
            Listener::new(&Host::name(at), spec.pattern.as_str()).ordered(order)
        };
        let listeners = self.specs.iter().enumerate().map(listener).collect();
        // Time is counted in records here: any suffix may go with the power, but no hole may stay.
        Expectations { sync_interval: u64::MAX / 2, slack: 0, ..Expectations::new(listeners) }
    }
}

fn accepted(record: &mut Published, told: Told) {
    record.answer = if told.duplicate { Answer::Duplicate } else { Answer::Accepted };
    record.mid = Some(format!("{:032x}", told.id));
    record.seq = told.seq;
    record.routed = Some(told.routed);
    record.level = match told.level {
        patchbay_bus::Level::Memory => Level::Memory,
        patchbay_bus::Level::Process => Level::Process,
        patchbay_bus::Level::Disk => Level::Disk,
    };
}

fn refused(error: &PublishError) -> Answer {
    if error.is_unknown() { Answer::Unknown } else { Answer::Rejected }
}

fn tag(delivery: &Delivery) -> Tag {
    tag_of(delivery.message().payload())
}

fn tag_of(payload: &[u8]) -> Tag {
    let mut n = [0; 8];
    n.copy_from_slice(&payload[..8]);
    Tag::new("p", u64::from_le_bytes(n))
}
