//! A host over all its lives, and what was written down about it.

use std::{collections::BTreeMap, sync::Arc};

use patchbay_bus::{
    Clock, DeadLetterConfig, Delivery, ManualClock, Message, Order, Outgoing, PublishError,
    Published as Told, SubscriptionSpec,
};
use patchbay_journal::{CrashChoice, SimStorage};
use patchbay_testkit::checker::{
    Answer, Cause, Dead, Event, Expectations, LedgerTerms, Level, Listener, Ordering, Published,
    Records, Tag,
};

use super::{
    calls::Call,
    life::{Birth, Life},
};
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
    /// Of messages that were not handed out yet.
    starts: BTreeMap<u64, Start>,
    /// Retries that handlers of this life asked for, by subscription and delivery.
    later: BTreeMap<(usize, u64), u64>,
    /// Calls that have begun and not ended.
    pub(super) calls: Vec<Call>,
    /// Letters of which it is not known whether they went.
    pub(super) unsure: Vec<(u64, Dead)>,
    /// Letters of this life that went, and that no journal knew.
    pub(super) fleeting: Vec<Dead>,
    letters: DeadLetterConfig,
}

/// When a message may be handed out first.
#[derive(Clone, Copy)]
struct Start {
    not_before_ns: u64,
    /// How far away that was when it was published.
    delay_ns: u64,
    /// On the clock that never goes back.
    earliest_ns: u64,
}

const MS: i64 = 1_000_000;

impl CrashChoice for Dice {
    fn choose(&mut self, below: u64) -> u64 {
        self.word() % below.max(1)
    }
}

impl Host {
    pub(super) fn new(
        specs: Vec<SubscriptionSpec>,
        letters: DeadLetterConfig,
        segment_bytes: u64,
        seed: u64,
    ) -> Host {
        let clock = Arc::new(ManualClock::new());
        let birth = Birth { clock: &clock, segment_bytes, specs: &specs, letters: &letters, seed };
        let life = Life::begin(SimStorage::new(), &birth, None).expect("a first life");
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
            starts: BTreeMap::new(),
            later: BTreeMap::new(),
            calls: Vec::new(),
            unsure: Vec::new(),
            fleeting: Vec::new(),
            letters,
        }
    }

    pub(super) fn tick(&mut self) -> u64 {
        self.t += 1;
        self.t
    }

    pub(super) fn note(&mut self, event: Event) {
        let t = self.tick();
        self.note_since(event, t);
    }

    /// Something that began at `t` and is over.
    pub(super) fn note_since(&mut self, event: Event, t: u64) {
        let until = self.tick();
        self.records.push(Cause { t, until, event }.into());
    }

    /// Every generation of every life is a version of its own.
    pub(super) fn version(&self, generation: u64) -> String {
        format!("{}.{generation}", self.lives)
    }

    pub(super) fn name(at: usize) -> String {
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
        let unix_ns = self.clock.unix_ns();
        let in_a_while = |after: i64| unix_ns.saturating_add_signed(after * MS);
        // A repeat says nothing new.
        let expires_ns =
            if !dedup && dice.one_in(12) { in_a_while(*dice.pick(&[40, 900, 20_000])) } else { 0 };
        let later = !dedup && expires_ns == 0 && dice.one_in(10);
        let not_before_ns = if later { in_a_while(*dice.pick(&[5, 400, 9_000])) } else { 0 };
        let outgoing = Outgoing {
            topic,
            key,
            payload: &payload,
            dedup_key: dedup_key.as_deref(),
            expires_ns,
            not_before_ns,
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
            // Times of the wall are judged here, on its clock; the checker knows that there are some.
            expires: expires_ns.min(1),
            not_before: not_before_ns.min(1),
            sent,
            t,
        };
        if not_before_ns != 0 {
            let delay_ns = not_before_ns - unix_ns;
            let earliest_ns = self.clock.now_ns() + delay_ns;
            self.starts.insert(n, Start { not_before_ns, delay_ns, earliest_ns });
        }
        match told {
            Ok(None) => {}
            Ok(Some(Ok(told))) => accepted(&mut record, told),
            Err(error) | Ok(Some(Err(error))) => record.answer = refused(&error),
        }
        self.records.push(record.into());
    }

    // --- lives ---

    /// The host dies, and the next one finds what the disk kept.
    pub(super) fn die(&mut self, of_power: bool, dice: &mut Dice) -> Result<(), Disagreement> {
        let (event, storage) = if of_power {
            (Event::PowerLoss, self.life.storage.crash(dice))
        } else {
            (Event::HostDeath, self.life.storage.kill())
        };
        self.note(event);
        self.rise(storage, dice)
    }

    /// The host ends in good order.
    pub(super) fn stop(&mut self, dice: &mut Dice) -> Result<(), Disagreement> {
        for lane in 0..self.life.lanes.len() {
            self.settle(lane);
        }
        self.life.lanes.clear();
        self.life.ghosts.clear();
        let moment = patchbay_journal::Moment {
            unix_ns: self.clock.unix_ns(),
            mono_ns: self.clock.now_ns(),
        };
        let closed = self.life.journal.close(moment);
        let event = if closed.is_ok() { Event::HostStop } else { Event::HostDeath };
        self.note(event);
        let storage = self.life.storage.kill();
        self.rise(storage, dice)
    }

    fn rise(&mut self, storage: SimStorage, dice: &mut Dice) -> Result<(), Disagreement> {
        storage.limit(u64::MAX);
        self.lives += 1;
        self.calls.clear();
        self.later.clear();
        self.fleeting.clear();
        let (now_ns, unix_ns) = (self.clock.now_ns(), self.clock.unix_ns());
        for start in self.starts.values_mut() {
            // No longer away than when it was published, whatever the wall clock did (P-17).
            let left = start.not_before_ns.saturating_sub(unix_ns).min(start.delay_ns);
            start.earliest_ns = now_ns + left;
        }
        let birth = Birth {
            clock: &self.clock,
            segment_bytes: self.segment_bytes,
            specs: &self.specs,
            letters: &self.letters,
            seed: self.seed.wrapping_add(u64::from(self.lives) << 32),
        };
        // Now and then somebody is missing for a while.
        let missing = dice.one_in(4).then(|| dice.below(self.specs.len()));
        self.life = Life::begin(storage, &birth, missing)?;
        Ok(())
    }

    // --- delays ---

    /// A handler asked for its call to be repeated no sooner than that.
    pub(super) fn asked_for_later(&mut self, at: usize, id: u64, delay_ns: u64) {
        let retry = &self.specs[at].retry;
        let bounds = (retry.delay_min.as_nanos() as u64, retry.delay_max.as_nanos() as u64);
        let due_ns = self.clock.now_ns() + delay_ns.clamp(bounds.0, bounds.1);
        self.later.insert((at, id), due_ns);
    }

    /// Nothing is early on the clock that never goes back (P-17).
    pub(super) fn check_start(
        &mut self,
        at: usize,
        message: &Message,
        id: u64,
        attempt: u32,
    ) -> Result<(), Disagreement> {
        let now_ns = self.clock.now_ns();
        let n = tag_of(message.payload()).n;
        if let Some(due_ns) = self.later.remove(&(at, id)).filter(|due_ns| *due_ns > now_ns) {
            return Err(format!(
                "message {n} came back at {now_ns}, not before {due_ns} was asked"
            ));
        }
        let start = self.starts.get(&n).filter(|_| attempt == 1 && message.hops() == 0);
        match start {
            Some(start) if start.earliest_ns > now_ns => {
                Err(format!("message {n} began at {now_ns}, not before {}", start.earliest_ns))
            }
            _ => Ok(()),
        }
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
        let levels = [("m.>", Level::Memory), ("p.>", Level::Process), ("d.>", Level::Disk)];
        let levels = levels.map(|(pattern, level)| (pattern.to_owned(), level)).into();
        let sync_interval = u64::MAX / 2;
        Expectations { sync_interval, slack: 0, levels, ..Expectations::new(listeners) }
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

pub(super) fn tag(delivery: &Delivery) -> Tag {
    tag_of(delivery.message().payload())
}

pub(super) fn tag_of(payload: &[u8]) -> Tag {
    let mut n = [0; 8];
    n.copy_from_slice(&payload[..8]);
    Tag::new("p", u64::from_le_bytes(n))
}
