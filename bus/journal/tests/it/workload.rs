//! Random work for a journal, and what it should hold after each record.

use std::sync::Arc;

use patchbay_journal::{
    AppendError, Attempt, Begun, CommitError, CrashChoice, Dead, Dedup, End, Ended, Failure,
    Journal, Letter, Level, Record, Redriven, Retry, Settled, SimStorage, Span, Standing,
    Subscribe, Target,
};

use crate::{
    common::publish,
    model::{Delivery, Model, Sub, payload},
};

/// Numbers that follow from a seed.
#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

/// A journal at work.
pub(crate) struct Work {
    pub(crate) journal: Arc<Journal>,
    pub(crate) storage: SimStorage,
    pub(crate) model: Model,
    /// What it should hold after the record of that number.
    pub(crate) after: Vec<(u64, Model)>,
    next_mid: u64,
    next_letter: u64,
    started: bool,
    /// Up to which record the device was reported to have them.
    reported: u64,
    /// The last step reported nothing.
    silent: bool,
}

/// Why a step did not happen.
#[derive(Debug)]
pub(crate) enum Stopped {
    Append(AppendError),
    Commit(CommitError),
}

// === impl Rng ===

impl Rng {
    pub(crate) fn new(seed: u64) -> Rng {
        Rng(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn below(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % below
    }
}

impl CrashChoice for Rng {
    fn choose(&mut self, below: u64) -> u64 {
        self.below(below)
    }
}

// === impl Work ===

impl Work {
    pub(crate) fn new(journal: Arc<Journal>, storage: SimStorage, model: Model) -> Work {
        let next_letter = model.letters.keys().last().map_or(1, |last| last + 1);
        let mids = model.subs.values().flat_map(|sub| sub.live.values().map(|live| live.mid));
        let next_mid = mids.max().unwrap_or(0) + 1000;
        Work {
            journal,
            storage,
            model,
            after: Vec::new(),
            next_mid,
            next_letter,
            started: false,
            reported: 0,
            silent: false,
        }
    }

    /// Appends a record and remembers what follows from it.
    fn append(
        &mut self,
        record: &Record<'_>,
        change: impl FnOnce(&mut Model),
    ) -> Result<u64, Stopped> {
        let position = self.journal.append(record).map_err(Stopped::Append)?;
        if !self.started {
            self.model.restart();
            self.started = true;
        }
        change(&mut self.model);
        self.after.push((position.number, self.model.clone()));
        Ok(position.number)
    }

    pub(crate) fn wait(&mut self, number: u64, level: Level) -> Result<(), Stopped> {
        self.journal.wait(number, level).map_err(Stopped::Commit)?;
        if level == Level::Disk {
            self.reported = self.reported.max(number);
        }
        self.storage.mark(number << 1 | u64::from(level == Level::Disk));
        Ok(())
    }

    pub(crate) fn subscribe(&mut self, sub: u32) -> Result<u64, Stopped> {
        let record = Record::Subscribe(Subscribe { sub, owner: "billing", pattern: "orders.>" });
        self.append(&record, |model| {
            model.next_seq = model.next_seq.max(1);
            model.subs.insert(sub, Sub { next_id: 1, ..Sub::default() });
        })
    }

    pub(crate) fn reported(&self) -> u64 {
        self.reported
    }

    pub(crate) fn silent(&self) -> bool {
        self.silent
    }

    /// One random step.
    pub(crate) fn step(&mut self, rng: &mut Rng) -> Result<(), Stopped> {
        self.silent = true;
        let done = self.any_step(rng);
        done.map(|reports| self.silent = !reports)
    }

    /// Whether it appended something.
    fn any_step(&mut self, rng: &mut Rng) -> Result<bool, Stopped> {
        let number = match rng.below(20) {
            0..=7 => self.publish(rng, None)?,
            8..=11 => match self.pick(rng) {
                Some(target) => self.settle(rng, target)?,
                None => return Ok(false),
            },
            12..=13 => match self.pick(rng) {
                Some(target) => self.begin(target)?,
                None => return Ok(false),
            },
            14 => match self.pick(rng) {
                Some(target) => self.retry(rng, target)?,
                None => return Ok(false),
            },
            15 => match self.pick(rng) {
                Some(target) => self.die(rng, target)?,
                None => return Ok(false),
            },
            16 => match self.pick(rng) {
                Some(target) => self.publish(rng, Some(target))?,
                None => return Ok(false),
            },
            17 => match self.letter(rng) {
                Some((number, sub, mid)) => self.end_letter(rng, number, sub, mid)?,
                None => return Ok(false),
            },
            18 => self.control(rng)?,
            _ => {
                self.journal.tend();
                return Ok(false);
            }
        };
        match rng.below(4) {
            0 => self.wait(number, Level::Disk)?,
            1 => self.wait(number, Level::Process)?,
            _ => {}
        }
        Ok(true)
    }

    fn pick(&self, rng: &mut Rng) -> Option<Target> {
        let all: Vec<Target> = self
            .model
            .subs
            .iter()
            .flat_map(|(&sub, book)| book.live.keys().map(move |&id| Target { sub, id }))
            .collect();
        // Old ones more often than young ones.
        let below = 1 + rng.below(all.len().max(1) as u64);
        all.get(rng.below(below) as usize).copied()
    }

    fn letter(&self, rng: &mut Rng) -> Option<(u64, u32, u64)> {
        let at = rng.below(self.model.letters.len().max(1) as u64) as usize;
        self.model.letters.iter().nth(at).map(|(&number, letter)| (number, letter.0, letter.1))
    }

    fn publish(&mut self, rng: &mut Rng, from: Option<Target>) -> Result<u64, Stopped> {
        let mid = self.next_mid;
        self.next_mid += 1;
        let mut targets = Vec::new();
        for (&sub, book) in &self.model.subs {
            if targets.is_empty() || rng.below(2) == 0 {
                targets.push(Target { sub, id: book.next_id + u64::from(rng.below(5) == 0) });
            }
        }
        let bytes = payload(mid);
        let key = format!("key-{mid}");
        let mut message = publish(mid, &targets, &bytes);
        let full = format!("nobody has room for {mid}");
        let mut letters = Vec::new();
        for &target in targets.iter().filter(|_| rng.below(6) == 0) {
            let number = self.next_letter + letters.len() as u64;
            let letter = Letter { number, cause: 7, reason: &full, ..Letter::default() };
            letters.push(Dead { target, letter, standing: Standing::default() });
        }
        message.letters = letters[..].into();
        if rng.below(4) == 0 {
            message.dedup = Some(Dedup { principal: "me", key: &key, payload_hash: mid });
        }
        let has_key = message.dedup.is_some();
        let record = match from {
            None => Record::Publish(message),
            Some(from) => Record::Forward { from, at_unix_ns: 1, publish: message },
        };
        let appended = self.append(&record, |model| {
            if let Some(from) = from {
                let sub = model.subs.get_mut(&from.sub).expect("a subscription");
                sub.live.remove(&from.id);
                sub.forwarded += 1;
            }
            model.next_seq += 1;
            if has_key {
                model.keys.insert(key.clone(), mid);
            }
            for target in &targets {
                let sub = model.subs.get_mut(&target.sub).expect("a subscription");
                sub.accepted += 1;
                sub.next_id = target.id + 1;
                sub.live.insert(target.id, Delivery { mid, ..Delivery::default() });
            }
            for Dead { target, letter, .. } in &letters {
                let sub = model.subs.get_mut(&target.sub).expect("a subscription");
                sub.live.remove(&target.id);
                sub.dead += 1;
                let letter_of = (target.sub, mid, 0, full.clone());
                model.letters.insert(letter.number, letter_of);
            }
        });
        self.next_letter += letters.len() as u64;
        appended
    }

    fn settle(&mut self, rng: &mut Rng, target: Target) -> Result<u64, Stopped> {
        let live = &self.model.subs[&target.sub].live;
        let run = (target.id..).take_while(|id| live.contains_key(id)).count() as u64;
        let span = Span { first: target.id, count: 1 + rng.below(run) };
        let how = if rng.below(5) == 0 { Ended::Dropped(2) } else { Ended::Done };
        let ends = [End { span, how }];
        let record =
            Record::Settled(Settled { sub: target.sub, at_unix_ns: 1, ends: (&ends).into() });
        self.append(&record, |model| {
            let sub = model.subs.get_mut(&target.sub).expect("a subscription");
            for id in span.first..span.first + span.count {
                sub.live.remove(&id);
            }
            match how {
                Ended::Done => sub.done += span.count,
                Ended::Dropped(_) => sub.dropped += span.count,
            }
        })
    }

    fn begin(&mut self, target: Target) -> Result<u64, Stopped> {
        let attempt = self.model.subs[&target.sub].live[&target.id].attempts + 1;
        let attempts = [Attempt { span: Span { first: target.id, count: 1 }, attempt }];
        let record = Record::Begun(Begun {
            sub: target.sub,
            generation: 1,
            seat: 0,
            version: 1,
            at_unix_ns: 1,
            attempts: (&attempts).into(),
        });
        self.append(&record, |model| {
            let sub = model.subs.get_mut(&target.sub).expect("a subscription");
            let delivery = sub.live.get_mut(&target.id).expect("a delivery");
            delivery.attempts = attempt;
            delivery.begun = true;
        })
    }

    fn retry(&mut self, rng: &mut Rng, target: Target) -> Result<u64, Stopped> {
        let delivery = self.model.subs[&target.sub].live[&target.id].clone();
        let failure = failure("it is late");
        let history = [failure, failure];
        let history = &history[..rng.below(3) as usize];
        let standing = Standing {
            attempts: delivery.attempts.max(1),
            failures: delivery.failures + history.len() as u32,
            redrives: delivery.redrives,
            due_unix_ns: 5_000_000 + rng.below(1000),
            delay_ns: 1000,
            history: history.into(),
        };
        self.append(&Record::Retry(Retry { target, at_unix_ns: 1, standing }), |model| {
            let sub = model.subs.get_mut(&target.sub).expect("a subscription");
            let delivery = sub.live.get_mut(&target.id).expect("a delivery");
            *delivery = Delivery {
                mid: delivery.mid,
                attempts: standing.attempts,
                failures: standing.failures,
                redrives: standing.redrives,
                due_unix_ns: standing.due_unix_ns,
                history: history.len(),
                ..Delivery::default()
            };
        })
    }

    fn die(&mut self, rng: &mut Rng, target: Target) -> Result<u64, Stopped> {
        let held = rng.below(3) == 0;
        let number = if held { 0 } else { self.next_letter };
        let delivery = self.model.subs[&target.sub].live[&target.id].clone();
        let reason = format!("reason {number} of {}", target.id);
        let letter = Letter {
            number,
            cause: 3,
            reason: &reason,
            generation: 1,
            version: "1.0.0",
            at_unix_ns: 9,
        };
        let standing = Standing {
            attempts: delivery.attempts + 1,
            failures: delivery.failures,
            redrives: delivery.redrives,
            ..Standing::default()
        };
        let appended = self.append(&Record::Dead(Dead { target, letter, standing }), |model| {
            let sub = model.subs.get_mut(&target.sub).expect("a subscription");
            if held {
                let delivery = sub.live.get_mut(&target.id).expect("a delivery");
                *delivery = Delivery {
                    mid: delivery.mid,
                    attempts: standing.attempts,
                    failures: standing.failures,
                    redrives: standing.redrives,
                    held: true,
                    ..Delivery::default()
                };
            } else {
                sub.live.remove(&target.id);
                sub.dead += 1;
                let letter = (target.sub, delivery.mid, standing.attempts, reason.clone());
                model.letters.insert(number, letter);
            }
        });
        self.next_letter += u64::from(!held);
        appended
    }

    fn end_letter(
        &mut self,
        rng: &mut Rng,
        letter: u64,
        sub: u32,
        mid: u64,
    ) -> Result<u64, Stopped> {
        if rng.below(2) == 0 {
            return self.append(&Record::Purged { letter, at_unix_ns: 1 }, |model| {
                model.letters.remove(&letter);
            });
        }
        let target = Target { sub, id: self.model.subs[&sub].next_id };
        let redriven = Redriven { letter, target, redrives: 1, at_unix_ns: 1 };
        self.append(&Record::Redriven(redriven), |model| {
            model.letters.remove(&letter);
            let sub = model.subs.get_mut(&sub).expect("a subscription");
            sub.accepted += 1;
            sub.next_id = target.id + 1;
            sub.live.insert(target.id, Delivery { mid, redrives: 1, ..Delivery::default() });
        })
    }

    fn control(&mut self, rng: &mut Rng) -> Result<u64, Stopped> {
        let key = format!("transition/{}", rng.below(3));
        let value = vec![7; rng.below(40) as usize];
        self.append(&Record::Control { key: &key, value: &value }, |model| {
            if value.is_empty() {
                model.control.remove(&key);
            } else {
                model.control.insert(key.clone(), value.clone());
            }
        })
    }

    /// What it should hold when the record of that number is the last one.
    pub(crate) fn model_at(&self, number: u64) -> Option<&Model> {
        let at = self.after.partition_point(|(after, _)| *after <= number);
        at.checked_sub(1).map(|at| &self.after[at].1)
    }
}

fn failure(reason: &str) -> Failure<'_> {
    Failure {
        plugin: "billing",
        generation: 1,
        version: "1.0.0",
        attempt: 1,
        class: 2,
        reason,
        at_unix_ns: 3,
    }
}
