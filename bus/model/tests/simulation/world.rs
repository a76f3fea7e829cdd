//! One run: the broker, the model, and what plays the publishers and lanes.

use std::{
    collections::BTreeSet,
    sync::{Arc, PoisonError},
};

use patchbay_bus::{
    Begin, Broker, BrokerConfig, Clock, Death, ManualClock, Message, Order, Park, Publisher,
    RedriveError, Split, Subscription, Taken, Verdict,
};
use patchbay_model::{Begins, Effect, Event, Limits, Moment, Said, Seen, Share, State, step};

use patchbay_journal::SimStorage;

use crate::{
    agreement::same,
    deaths::Record,
    dice::Dice,
    lane::{Bell, Lane},
    operation::{Operation, Verb},
    plan,
    seeds::Found,
};

/// What the broker and the model do not agree on.
pub(crate) type Disagreement = String;

pub(crate) struct World {
    pub(crate) broker: Broker,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) state: State,
    pub(crate) subscriptions: Vec<Arc<Subscription>>,
    pub(crate) lanes: Vec<Lane>,
    pub(crate) publishers: Vec<Publisher>,
    pub(crate) revoked: BTreeSet<(usize, u64)>,
    /// Messages that handlers hold, to publish because of.
    pub(crate) causes: Vec<Message>,
    pub(crate) last: u64,
    /// Where everything is recorded.
    pub(crate) record: Option<Record>,
    pub(crate) config: BrokerConfig,
    /// The order of every subscription that was made.
    pub(crate) orders: Vec<Order>,
    pub(crate) seed: u64,
    /// What happened, in words, if anybody wants to know.
    trace: Option<Found>,
}

/// Where the clock of a run begins.
const STARTED_NS: u64 = 1_000_000_000;

impl World {
    pub(crate) fn new(config: BrokerConfig, seed: u64) -> World {
        let clock = Arc::new(ManualClock::new());
        let unix_offset = clock.unix_ns() - clock.now_ns();
        let state = State::new(Limits::of(&config, unix_offset));
        let (broker, record) = if config.durability.is_empty() {
            (Broker::seeded(config.clone(), clock.clone(), seed), None)
        } else {
            let first = Record::open(SimStorage::new(), &config, &clock, &Death::Silent, seed);
            let (broker, record) = first.expect("a first life");
            (broker, Some(record))
        };
        let publishers = ["one", "two"].map(|name| broker.publisher(name)).into();
        World {
            broker,
            clock,
            state,
            subscriptions: Vec::new(),
            lanes: Vec::new(),
            publishers,
            revoked: BTreeSet::new(),
            causes: Vec::new(),
            last: 0,
            record,
            config,
            orders: Vec::new(),
            seed,
            trace: None,
        }
    }

    pub(crate) fn now(&self) -> Moment {
        Moment { now_ns: self.clock.now_ns(), unix_ns: self.clock.unix_ns() }
    }

    pub(crate) fn is_revoked(&self, lane: &Lane) -> bool {
        self.revoked.contains(&(lane.at, lane.seat.id()))
    }

    /// Tells the model. What it forbids is a disagreement.
    pub(crate) fn tell(&mut self, event: &Event) -> Result<Vec<Effect>, Disagreement> {
        let now = self.now();
        if let Some(trace) = &self.trace {
            let mut trace = trace.lock().unwrap_or_else(PoisonError::into_inner);
            trace.push(format!("{:>9.3} ms  {event:?}", (now.now_ns - STARTED_NS) as f64 / 1e6));
        }
        let effects = step(&mut self.state, event, now);
        for effect in &effects {
            if let Effect::Forbidden(why) = effect {
                return Err(format!("the broker must not: {why} ({event:?})"));
            }
        }
        Ok(effects)
    }

    pub(crate) fn play(&mut self, operation: Operation) -> Result<(), Disagreement> {
        let mut dice = Dice::new(operation.word);
        let dice = &mut dice;
        match operation.verb {
            Verb::Publish => self.publish(dice, 1)?,
            Verb::Batch => {
                let many = 2 + dice.below(6);
                self.publish(dice, many)?;
            }
            Verb::Follow => self.follow(dice)?,
            Verb::Subscribe => self.subscribe(dice)?,
            Verb::Pass => self.pass(plan::pause(dice)),
            Verb::StepWall => {
                let hours = *dice.pick(&[-1i64, 1, 24]);
                self.clock.step_wall(hours * 3_600_000_000_000);
                // A clock that was read at this instant is not read again.
                self.pass(std::time::Duration::from_millis(1));
            }
            Verb::CloseIntake => {
                if dice.one_in(4) {
                    self.broker.close_intake();
                    self.tell(&Event::CloseIntake)?;
                }
            }
            Verb::Kill => self.die(dice)?,
            Verb::LosePower => self.lose_power(dice)?,
            Verb::Stop => self.stop(dice)?,
            Verb::Redrive => self.redrive(dice)?,
            Verb::Purge => self.purge(dice.below(6) as u64)?,
            _ if self.subscriptions.is_empty() => {}
            Verb::Enter => {
                let (at, generation) = (dice.below(self.subscriptions.len()), 1 + dice.below(3));
                if !self.is_orphan(at) {
                    self.enter(at, generation as u64)?;
                }
            }
            Verb::Share => {
                let at = dice.below(self.subscriptions.len());
                if !self.is_orphan(at) {
                    self.share(at, plan::share(dice))?;
                }
            }
            Verb::Unroute => {
                let at = dice.below(self.subscriptions.len());
                self.broker.unroute(&self.subscriptions[at]);
                self.tell(&Event::Unroute(self.subscriptions[at].id()))?;
            }
            Verb::Remove => {
                let at = dice.below(self.subscriptions.len());
                self.broker.remove(&self.subscriptions[at]);
                self.tell(&Event::Remove(self.subscriptions[at].id()))?;
            }
            _ if self.lanes.is_empty() => {}
            verb => {
                let lane = dice.below(self.lanes.len());
                self.play_lane(verb, lane, dice)?;
            }
        }
        self.compare()
    }

    fn play_lane(&mut self, verb: Verb, lane: usize, dice: &mut Dice) -> Result<(), Disagreement> {
        match verb {
            Verb::Take => {
                let park = if dice.one_in(2) { Park::Yes } else { Park::No };
                self.take(lane, *dice.pick(&[1, 2, 5, 1000]), park)
            }
            Verb::Work => {
                for _ in 0..1 + dice.below(3) {
                    let suspends = dice.one_in(9);
                    let said = plan::answer(dice);
                    self.work(lane, said, suspends)?;
                }
                Ok(())
            }
            Verb::Finish => {
                let said = plan::answer(dice);
                let which = dice.below(4);
                self.finish(lane, which, said)
            }
            Verb::Settle => {
                self.lanes[lane].seat.settle();
                self.lanes[lane].next = usize::MAX;
                let (subscription, seat) = self.claim(lane);
                self.tell(&Event::Settle { subscription, seat }).map(drop)
            }
            Verb::Leave => self.leave(lane),
            Verb::Relieve => self.relieve(lane),
            Verb::Revoke => self.revoke(lane, dice),
            _ => self.revoke_call(lane, dice),
        }
    }

    pub(crate) fn pass(&mut self, time: std::time::Duration) {
        self.clock.advance(time);
        self.broker.tick();
    }

    fn claim(&self, lane: usize) -> (u64, u64) {
        let lane = &self.lanes[lane];
        (self.subscriptions[lane.at].id(), lane.seat.id())
    }

    // --- subscriptions ---

    pub(crate) fn subscribe(&mut self, dice: &mut Dice) -> Result<(), Disagreement> {
        if let Some(at) = self.orphan() {
            return self.adopt(at, dice);
        }
        let spec = match self.record {
            None => plan::spec(dice, self.orders.len()),
            Some(_) => plan::durable_spec(dice, self.orders.len()),
        };
        self.orders.push(spec.order);
        let made = self.broker.subscribe(spec.clone());
        same("intake closed", &made.is_err(), &self.state.closed)?;
        let Ok(subscription) = made else { return Ok(()) };
        self.tell(&Event::Subscribe { subscription: subscription.id(), spec: Box::new(spec) })?;
        self.subscriptions.push(subscription);
        let at = self.subscriptions.len() - 1;
        self.share(at, Share::all(1))?;
        self.enter(at, 1)
    }

    pub(crate) fn share(&mut self, at: usize, share: Share) -> Result<(), Disagreement> {
        let split = match share.generations[..] {
            [] => Split::none(),
            [one] => Split::all(one),
            [first, second, ..] => Split::two(self.last, first, second, share.second),
        };
        let split = if share.trial == 0 { split } else { split.trying(share.trial) };
        let subscription = &self.subscriptions[at];
        let mut seen: Vec<u64> =
            subscription.set_split(split).iter().map(|begun| begun.token).collect();
        seen.sort_unstable();
        let event = Event::Share { subscription: subscription.id(), share };
        let effects = self.tell(&event)?;
        for effect in &effects {
            if let Effect::Begun(begun, passed) = effect {
                let listed = seen.iter().copied();
                let listed: Vec<u64> = listed.filter(|token| !passed.contains(token)).collect();
                same("begun before a cutover", &listed, begun)?;
            }
        }
        Ok(())
    }

    pub(crate) fn enter(&mut self, at: usize, generation: u64) -> Result<(), Disagreement> {
        let subscription = &self.subscriptions[at];
        let bell = Arc::new(Bell::default());
        let closed = self.state.subscriptions[&subscription.id()].closed;
        let Ok(seat) = subscription.seat(generation, bell.clone()) else {
            return same("a seat refused", &true, &closed);
        };
        same("a seat refused", &false, &closed)?;
        let event = Event::Enter { subscription: subscription.id(), seat: seat.id(), generation };
        let lane = Lane { at, seat, bell, next: usize::MAX, suspended: Vec::new(), parked: false };
        self.lanes.push(lane);
        self.tell(&event).map(drop)
    }

    // --- lanes ---

    pub(crate) fn take(
        &mut self,
        number: usize,
        limit: usize,
        park: Park,
    ) -> Result<(), Disagreement> {
        let lane = &mut self.lanes[number];
        lane.bell.silence();
        let taken = lane.seat.take(limit, park);
        lane.parked = park == Park::Yes && matches!(taken, Taken::Empty { .. });
        lane.next = 0;
        let seen = |delivery: &patchbay_bus::Delivery| {
            let message = delivery.message();
            let mut tag = [0; 8];
            tag.copy_from_slice(&message.payload()[..8]);
            Seen {
                id: delivery.id(),
                attempt: delivery.attempt(),
                tag: u64::from_le_bytes(tag),
                topic: message.topic().to_owned(),
                hops: message.hops(),
            }
        };
        let got = match taken {
            Taken::Batch(n) => Some(lane.seat.deliveries()[..n].iter().map(seen).collect()),
            Taken::Empty { .. } => Some(Vec::new()),
            Taken::Closed => None,
        };
        let token = lane.seat.token(0);
        let (subscription, seat) = self.claim(number);
        self.tell(&Event::Take { subscription, seat, limit, token, got }).map(drop)
    }

    /// Begins the next hand-off, if there is one, and says how it ended.
    pub(crate) fn work(
        &mut self,
        number: usize,
        said: Option<Said>,
        suspends: bool,
    ) -> Result<(), Disagreement> {
        let (subscription, seat) = self.claim(number);
        let lane = &mut self.lanes[number];
        let position = lane.next;
        if position >= lane.seat.deliveries().len() {
            return Ok(());
        }
        let begins = match lane.seat.begin(position) {
            Begin::Go => Begins::Go,
            Begin::Skip => Begins::Skip,
            Begin::Stop => Begins::Stop,
        };
        lane.next = if begins == Begins::Stop { usize::MAX } else { position + 1 };
        let effects = self.tell(&Event::Begin { subscription, seat, position })?;
        same("begin", &Effect::Begins(begins), &effects[0])?;
        if begins != Begins::Go {
            return Ok(());
        }
        let lane = &mut self.lanes[number];
        let message = lane.seat.deliveries()[position].message().clone();
        if suspends {
            lane.seat.suspend(position);
            lane.suspended.push((lane.seat.token(position), message));
            return self.tell(&Event::Suspend { subscription, seat, position }).map(drop);
        }
        if let Some(said) = said {
            lane.seat.record(position, verdict(&said, &message));
            self.write_down();
            self.tell(&Event::Record { subscription, seat, position, said })?;
        }
        self.causes.insert(0, message);
        self.causes.truncate(4);
        Ok(())
    }

    pub(crate) fn finish(
        &mut self,
        number: usize,
        which: usize,
        said: Option<Said>,
    ) -> Result<(), Disagreement> {
        let (subscription, seat) = self.claim(number);
        let lane = &mut self.lanes[number];
        if lane.suspended.is_empty() {
            return Ok(());
        }
        let (token, message) = lane.suspended.remove(which % lane.suspended.len());
        lane.seat.finish(token, said.as_ref().map(|said| verdict(said, &message)));
        self.tell(&Event::Finish { subscription, seat, token, said }).map(drop)
    }

    pub(crate) fn leave(&mut self, number: usize) -> Result<(), Disagreement> {
        let (subscription, seat) = self.claim(number);
        drop(self.lanes.remove(number));
        self.tell(&Event::Leave { subscription, seat }).map(drop)
    }

    fn relieve(&mut self, number: usize) -> Result<(), Disagreement> {
        let (subscription, seat) = self.claim(number);
        let moved = self.subscriptions[self.lanes[number].at].relieve(seat);
        let effects = self.tell(&Event::Relieve { subscription, seat })?;
        same("relieved", &Some(&Effect::Moved(moved)), &effects.last())
    }

    fn revoke(&mut self, number: usize, dice: &mut Dice) -> Result<(), Disagreement> {
        let (subscription, seat) = self.claim(number);
        let lane = &self.lanes[number];
        let window = (0..lane.seat.deliveries().len()).map(|position| lane.seat.token(position));
        let running: Vec<u64> =
            window.chain(lane.suspended.iter().map(|(token, _)| *token)).collect();
        let mut culprits = Vec::new();
        if !running.is_empty() && dice.one_in(2) {
            culprits.push((*dice.pick(&running), plan::fault(dice)));
        }
        let seen = self.subscriptions[lane.at].revoke(seat, &culprits);
        self.revoked.insert((lane.at, seat));
        let effects = self.tell(&Event::Revoke { subscription, seat, culprits })?;
        let (finished, running, unstarted) = (seen.finished, seen.running, seen.unstarted);
        let seen = Effect::Revoked { finished, running, unstarted };
        same("revoked", &Some(&seen), &effects.last())
    }

    fn revoke_call(&mut self, number: usize, dice: &mut Dice) -> Result<(), Disagreement> {
        let (subscription, _) = self.claim(number);
        let lane = &self.lanes[number];
        if lane.suspended.is_empty() {
            return Ok(());
        }
        let (token, fault) = (dice.pick(&lane.suspended).0, plan::fault(dice));
        let seen = self.subscriptions[lane.at].revoke_call(token, fault.clone());
        let effects = self.tell(&Event::RevokeCall { subscription, token, fault })?;
        same("written off", &Some(&Effect::WrittenOff(seen)), &effects.last())
    }

    // --- dead letters ---

    fn redrive(&mut self, dice: &mut Dice) -> Result<(), Disagreement> {
        let number = match self.state.letters.len() {
            0 => 1,
            n => self.state.letters[dice.below(n)].number + u64::from(dice.one_in(8)),
        };
        let seen = match self.broker.redrive(number) {
            Ok(()) => Some(true),
            Err(RedriveError::Gone { .. }) => Some(false),
            Err(_) => None,
        };
        let effects = self.tell(&Event::Redrive(number))?;
        let must = effects.iter().find_map(|effect| match effect {
            Effect::Redriven(made) => Some(made.map(|id| id.is_some())),
            _ => None,
        });
        same("redriven", &Some(seen), &must)
    }

    pub(crate) fn purge(&mut self, which: u64) -> Result<(), Disagreement> {
        let number = self.state.letters.get(which as usize).map_or(1, |letter| letter.number);
        let seen = self.broker.purge(number).is_some();
        let effects = self.tell(&Event::Purge(number))?;
        same("purged", &Some(&Effect::Purged(seen)), &effects.last())
    }
}

/// Runs those operations in the world of that seed.
pub(crate) fn judge(
    seed: u64,
    list: &[Operation],
    trace: Option<Found>,
) -> Result<(), Disagreement> {
    run(plan::config, seed, list, trace)
}

/// The same where everything is recorded, and the host dies now and then.
pub(crate) fn judge_lives(
    seed: u64,
    list: &[Operation],
    trace: Option<Found>,
) -> Result<(), Disagreement> {
    run(plan::durable_config, seed, list, trace)
}

fn run(
    config: fn(&mut Dice) -> BrokerConfig,
    seed: u64,
    list: &[Operation],
    trace: Option<Found>,
) -> Result<(), Disagreement> {
    let mut dice = Dice::new(seed);
    let mut world = World::new(config(&mut dice), seed);
    world.trace = trace;
    for _ in 0..1 + dice.below(3) {
        world.subscribe(&mut dice)?;
    }
    for (number, operation) in list.iter().enumerate() {
        let told = |why| format!("at operation {number}, {operation:?}: {why}");
        world.play(*operation).map_err(told)?;
    }
    world.drain().map_err(|why| format!("at the end: {why}"))
}

fn verdict(said: &Said, message: &Message) -> Verdict {
    match said {
        Said::Retry(delay_ns) => Verdict::Retry(*delay_ns),
        Said::Failed(reason) => Verdict::Failed(reason.clone()),
        Said::Forward(topic) => Verdict::Forward { topic: topic.clone(), message: message.clone() },
        Said::Fault(fault) => Verdict::Fault(fault.clone()),
    }
}
