//! What happens to a host.

use std::time::Duration;

use patchbay_bus::{DeadLetterConfig, Order, SubscriptionSpec};
use patchbay_wire::TopicPattern;

use super::{calls::Act, host::Host};
use crate::{
    dice::Dice,
    operation::{Operation, Verb},
    world::Disagreement,
};

pub(super) struct Script {
    pub(super) host: Host,
}

/// How often each happens.
const WEIGHTS: &[(Verb, usize)] = &[
    (Verb::Publish, 200),
    (Verb::Take, 120),
    (Verb::Work, 250),
    (Verb::Settle, 25),
    (Verb::Finish, 30),
    (Verb::Relieve, 8),
    (Verb::Revoke, 8),
    (Verb::RevokeCall, 6),
    (Verb::Leave, 6),
    (Verb::Share, 8),
    (Verb::Subscribe, 8),
    (Verb::Redrive, 8),
    (Verb::Purge, 6),
    (Verb::Pass, 50),
    (Verb::Tend, 40),
    (Verb::Kill, 14),
    (Verb::LosePower, 8),
    (Verb::Stop, 4),
    (Verb::FillDisk, 3),
    (Verb::FailDisk, 3),
    (Verb::StepWall, 3),
];

const MS: u64 = 1_000_000;
/// More than any run needs.
const ROUNDS: usize = 600;

pub(super) fn list(dice: &mut Dice) -> Vec<Operation> {
    crate::operation::weighted(dice, WEIGHTS)
}

impl Script {
    pub(super) fn new(seed: u64) -> Script {
        let mut dice = Dice::new(seed);
        let specs = (0..1 + dice.below(3)).map(|number| spec(&mut dice, number)).collect();
        let segment_bytes = *dice.pick(&[16 << 10, 64 << 10]);
        let letters = DeadLetterConfig {
            max_count: *dice.pick(&[2, 10_000]),
            max_pending: *dice.pick(&[0, 2, 1_000]),
            ..DeadLetterConfig::default()
        };
        Script { host: Host::new(specs, letters, segment_bytes, seed) }
    }

    pub(super) fn play(&mut self, operation: Operation) -> Result<(), Disagreement> {
        let mut dice = Dice::new(operation.word);
        let dice = &mut dice;
        let lanes = self.host.life.lanes.len();
        let lane = dice.below(lanes);
        let at = dice.below(self.host.specs.len());
        match operation.verb {
            Verb::Publish => self.host.publish(dice),
            Verb::Pass => self.pass(*dice.pick(&[1, 6, 50, 250, 1_500])),
            Verb::Tend => self.host.life.journal.tend(),
            Verb::Kill => self.host.die(false, dice)?,
            Verb::LosePower => self.host.die(true, dice)?,
            Verb::Stop => self.host.stop(dice)?,
            Verb::Redrive => self.host.redrive(dice)?,
            Verb::Purge => self.host.purge(dice.below(100)),
            Verb::Finish => self.host.finish(dice.below(3), act(dice)),
            Verb::RevokeCall => self.host.revoke_call(dice.below(3)),
            Verb::Leave => self.host.answer_late(dice.below(3)),
            Verb::Subscribe => {
                let spec = self.host.specs[at].clone();
                self.host.life.adopt(at, &spec)?;
            }
            Verb::Share => {
                if !self.host.life.is_orphan(at) {
                    self.host.cut_over(at, dice)?;
                }
            }
            Verb::FillDisk => {
                let storage = &self.host.life.storage;
                let used = storage.used_bytes();
                storage.limit(if dice.one_in(2) { used } else { u64::MAX });
            }
            Verb::FailDisk => {
                let storage = &self.host.life.storage;
                storage.fail_at(storage.changes() + 1 + dice.below(12) as u64);
            }
            Verb::StepWall => {
                let hours = *dice.pick(&[-1i64, 1, 48]);
                self.host.clock.step_wall(hours * 3_600_000_000_000);
                self.pass(1);
            }
            _ if lanes == 0 => {}
            Verb::Take => self.host.take(lane, *dice.pick(&[1, 3, 100])),
            Verb::Work => {
                for _ in 0..1 + dice.below(3) {
                    let act = act(dice);
                    self.host.work(lane, act)?;
                }
            }
            Verb::Settle => self.host.settle(lane),
            Verb::Relieve => self.host.relieve(lane),
            _ => self.host.revoke(lane, dice.one_in(2))?,
        }
        self.host.look()
    }

    fn pass(&mut self, ms: u64) {
        self.host.clock.advance(Duration::from_millis(ms));
        self.host.life.broker.tick();
    }

    /// Everything is acknowledged until nothing is left.
    pub(super) fn drain(&mut self) -> Result<(), Disagreement> {
        let dice = &mut Dice::new(1);
        if self.host.life.storage.has_failed() {
            self.host.die(false, dice)?;
        }
        let storage = &self.host.life.storage;
        storage.fail_at(0);
        storage.limit(u64::MAX);
        for at in 0..self.host.specs.len() {
            let spec = self.host.specs[at].clone();
            self.host.life.adopt(at, &spec)?;
            while self.host.life.serving[at].is_empty() {
                self.host.cut_over(at, dice)?;
            }
        }
        while !self.host.life.ghosts.is_empty() {
            self.host.answer_late(0);
        }
        for lane in (0..self.host.life.lanes.len()).rev() {
            if self.host.life.lanes[lane].parked {
                self.host.revoke(lane, false)?;
            }
        }
        for _ in 0..ROUNDS {
            for lane in 0..self.host.life.lanes.len() {
                self.host.take(lane, 100);
                while self.host.life.lanes[lane].next
                    < self.host.life.lanes[lane].seat.deliveries().len()
                {
                    self.host.work(lane, Act::Acknowledge)?;
                }
                self.host.settle(lane);
            }
            self.host.finish(0, Act::Acknowledge);
            if self.host.is_choked() {
                self.host.purge(0);
            }
            self.host.life.journal.tend();
            let subscriptions = &self.host.life.subscriptions;
            if subscriptions.iter().all(|one| one.ledger().unsettled() == 0) {
                self.host.list_dead();
                return self.host.look();
            }
            self.pass(1_100);
        }
        let subscriptions = self.host.life.subscriptions.iter();
        let ledgers: Vec<_> = subscriptions.map(|one| one.ledger()).collect();
        Err(format!("not everything is settled at the end: {ledgers:?}"))
    }
}

fn spec(dice: &mut Dice, number: usize) -> SubscriptionSpec {
    let pattern = ["d.>", ">", "p.*", "*.x", "d.f"][dice.below(5)];
    let pattern = TopicPattern::parse(pattern).expect("a pattern");
    let mut spec = SubscriptionSpec::new(&format!("o{number}"), pattern);
    spec.order = *dice.pick(&[Order::None, Order::PerKey, Order::PerKey, Order::Total]);
    spec.limits.count = *dice.pick(&[2, 5, 1000]);
    spec.backlog.count = *dice.pick(&[12, 1_000_000]);
    spec.retry.max_failures = *dice.pick(&[1, 5]);
    spec.retry.backoff_max = Duration::from_millis(500);
    spec.retry.delay_max = Duration::from_millis(700);
    spec.breaker = None;
    spec
}

fn act(dice: &mut Dice) -> Act {
    match dice.below(20) {
        0..=10 => Act::Acknowledge,
        11..=13 => Act::Retry(*dice.pick(&[0, 20 * MS, 600 * MS])),
        14 => Act::Fail,
        15 | 16 => Act::Err,
        17 => Act::Forward(["d.f", "d.f", "p.f", "m.f"][dice.below(4)]),
        18 => Act::Suspend,
        _ => Act::Hang,
    }
}
