//! What lanes and those who watch over them do.

use patchbay_bus::{Begin, Fault, FaultClass, Message, Park, Split, Taken, Verdict};
use patchbay_testkit::checker::{Began, Ended, Event, Status, Tag};

use super::host::{Host, tag};
use crate::{dice::Dice, lane::Lane, world::Disagreement};

/// What a handler does with a call.
#[derive(Clone, Copy)]
pub(super) enum Act {
    Acknowledge,
    Retry(u64),
    Fail,
    Err,
    Forward(&'static str),
    /// It does not come back.
    Hang,
    /// It ends later; its lane goes on.
    Suspend,
}

/// A call that has begun and not ended.
pub(super) struct Call {
    at: usize,
    seat: u64,
    token: u64,
    tag: Tag,
    id: u64,
    attempt: u32,
    message: Message,
    /// Its lane stands still because of it.
    hangs: bool,
}

impl Act {
    /// What the lane says, and what the checker is told.
    fn said(self, message: &Message) -> (Option<Verdict>, Status) {
        match self {
            Act::Retry(ns) => (Some(Verdict::Retry(ns)), Status::RetryLater),
            Act::Fail => (Some(Verdict::Failed("no".into())), Status::Failed),
            Act::Forward(topic) if message.hops() == 0 => {
                let verdict = Verdict::Forward { topic: topic.into(), message: message.clone() };
                (Some(verdict), Status::Forwarded(topic.into()))
            }
            Act::Forward(_) | Act::Err => (Some(Verdict::Fault(fault())), Status::Error),
            Act::Acknowledge | Act::Hang | Act::Suspend => (None, Status::Acknowledged),
        }
    }
}

fn fault() -> Fault {
    Fault { class: FaultClass::Transient, text: "no".into() }
}

impl Host {
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
    pub(super) fn work(&mut self, number: usize, act: Act) -> Result<(), Disagreement> {
        let lane = &mut self.life.lanes[number];
        let (at, position) = (lane.at, lane.next);
        if lane.parked || position >= lane.seat.deliveries().len() {
            return Ok(());
        }
        let begun = lane.seat.begin(position);
        lane.next = if begun == Begin::Stop { usize::MAX } else { position + 1 };
        if begun != Begin::Go {
            return Ok(());
        }
        let t = self.tick();
        let lane = &self.life.lanes[number];
        let delivery = &lane.seat.deliveries()[position];
        let call = Call {
            at,
            seat: lane.seat.id(),
            token: lane.seat.token(position),
            tag: tag(delivery),
            id: delivery.id(),
            attempt: delivery.attempt(),
            message: delivery.message().clone(),
            hangs: matches!(act, Act::Hang),
        };
        let generation = lane.seat.generation();
        self.records.push(
            Began {
                tag: call.tag.clone(),
                subscription: Host::name(at),
                delivery: call.id,
                attempt: call.attempt,
                key: call.message.key().to_owned(),
                mid: Some(format!("{:032x}", call.message.id())),
                generation,
                version: self.version(generation),
                lane: 0,
                t,
            }
            .into(),
        );
        self.check_start(at, &call.message, call.id, call.attempt)?;
        let lane = &mut self.life.lanes[number];
        match act {
            Act::Hang => {
                // Marked as asleep: nothing happens here until somebody takes its lease.
                lane.parked = true;
                self.calls.push(call);
            }
            Act::Suspend => {
                lane.seat.suspend(position);
                self.calls.push(call);
            }
            _ => {
                let verdict = self.end(&call, act);
                if let Act::Retry(ns) = act {
                    self.asked_for_later(at, call.id, ns);
                }
                if let Some(verdict) = verdict {
                    self.life.lanes[number].seat.record(position, verdict);
                }
            }
        }
        Ok(())
    }

    /// Writes down that a call ends.
    fn end(&mut self, call: &Call, act: Act) -> Option<Verdict> {
        let (verdict, status) = act.said(&call.message);
        let subscription = Host::name(call.at);
        let (tag, delivery, attempt) = (call.tag.clone(), call.id, call.attempt);
        let ended = Ended { tag, subscription, delivery, attempt, status, t: self.tick() };
        self.records.push(ended.into());
        verdict
    }

    /// A suspended call ends, and be it after its lease.
    pub(super) fn finish(&mut self, which: usize, act: Act) {
        let mine = |call: &Call, lane: &Lane| {
            !call.hangs && lane.at == call.at && lane.seat.id() == call.seat && !lane.parked
        };
        let lanes = &self.life.lanes;
        let mut fitting = self.calls.iter().enumerate().filter_map(|(position, call)| {
            Some((position, lanes.iter().position(|lane| mine(call, lane))?))
        });
        let Some((position, lane)) = fitting.nth(which) else { return };
        let call = self.calls.remove(position);
        let verdict = self.end(&call, act);
        self.life.lanes[lane].seat.finish(call.token, verdict);
    }

    /// A call that hung in a lane whose lease was taken says that it has done its work.
    pub(super) fn answer_late(&mut self, which: usize) {
        if self.life.ghosts.is_empty() {
            return;
        }
        let which = which % self.life.ghosts.len();
        let mut lane = self.life.ghosts.remove(which);
        let (at, seat) = (lane.at, lane.seat.id());
        let mine = |call: &Call| call.at == at && call.seat == seat;
        while let Some(position) = self.calls.iter().position(mine) {
            let call = self.calls.remove(position);
            self.end(&call, Act::Acknowledge);
            if !call.hangs {
                lane.seat.finish(call.token, None);
            }
        }
        lane.seat.settle();
    }

    pub(super) fn settle(&mut self, lane: usize) {
        let lane = &mut self.life.lanes[lane];
        if !lane.parked {
            lane.seat.settle();
            lane.next = usize::MAX;
        }
    }

    /// Takes a lane's lease; another lane takes its place. It may answer later.
    pub(super) fn revoke(&mut self, lane: usize, answers: bool) -> Result<(), Disagreement> {
        let (at, generation) = {
            let lane = &self.life.lanes[lane];
            (lane.at, lane.seat.generation())
        };
        self.note(Event::LeaseExpiry { subscription: Host::name(at) });
        let seat = self.life.lanes[lane].seat.id();
        self.life.subscriptions[at].revoke(seat, &[]);
        let lane = self.life.lanes.remove(lane);
        if answers {
            self.life.ghosts.push(lane);
        } else {
            self.calls.retain(|call| call.at != at || call.seat != seat);
        }
        self.life.enter(at, generation)
    }

    /// Takes the lease of one suspended call; it is charged.
    pub(super) fn revoke_call(&mut self, which: usize) {
        let Some(call) = self.calls.iter().filter(|call| !call.hangs).nth(which) else { return };
        let (at, token) = (call.at, call.token);
        self.note(Event::LeaseExpiry { subscription: Host::name(at) });
        self.life.subscriptions[at].revoke_call(token, fault());
    }

    pub(super) fn relieve(&mut self, lane: usize) {
        let lane = &self.life.lanes[lane];
        self.life.subscriptions[lane.at].relieve(lane.seat.id());
    }

    /// Other generations serve from now on: none, one, or two beside each other.
    pub(super) fn cut_over(&mut self, at: usize, dice: &mut Dice) -> Result<(), Disagreement> {
        let next = self.life.last_generation[at] + 1;
        let (split, serving) = match dice.below(5) {
            0 => (Split::none(), vec![]),
            1 => (Split::two(next, next, next + 1, 0.5), vec![next, next + 1]),
            _ => (Split::all(next), vec![next]),
        };
        let t = self.tick();
        let begun = self.life.subscriptions[at].set_split(split);
        let begun: Vec<u64> = begun.iter().map(|begun| begun.delivery).collect();
        for old in std::mem::replace(&mut self.life.serving[at], serving.clone()) {
            let (subscription, version) = (Host::name(at), self.version(old));
            self.note_since(Event::Cutover { subscription, version, begun: begun.clone() }, t);
        }
        for generation in serving {
            self.life.last_generation[at] = generation;
            self.life.enter(at, generation)?;
        }
        Ok(())
    }
}
