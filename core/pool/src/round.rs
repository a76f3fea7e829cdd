//! One look of the monitor at one pool, and what it does about what it sees.

use std::{
    sync::{
        Arc,
        atomic::{Ordering, fence},
    },
    time::Duration,
};

use patchbay_bus::{Fault, FaultClass};

use crate::{
    config::{PoolConfig, ns},
    crew::Crew,
    events::PoolEventKind,
    lane::{LaneShared, LoopEnd, Phase},
    lock,
    scale::{Decision, Observed, scale, surplus},
    shared::{CLOSING, PoolShared, STUCK},
    thread::Member,
    watch::{Action, HandOff, Seen},
};

/// Weight of the newest look in the smoothed load.
const NEWEST_LOAD: f64 = 0.3;
/// Shortest time between two looks that nobody asked for.
const TICK_LEAST: Duration = Duration::from_millis(2);

pub(crate) struct Round<'a> {
    pub(crate) pool: &'a Arc<PoolShared>,
    pub(crate) now_ns: u64,
    /// Told once the locks are free: a sink may ask the pool something.
    pub(crate) events: Vec<PoolEventKind>,
    backlog: Backlog,
}

/// What waits in the queues of a pool.
#[derive(Clone, Copy, Debug, Default)]
struct Backlog {
    ready: u64,
    oldest_ns: Option<u64>,
}

// === impl Round ===

impl<'a> Round<'a> {
    pub(crate) fn new(pool: &'a Arc<PoolShared>, now_ns: u64) -> Round<'a> {
        Round { pool, now_ns, events: vec![], backlog: Backlog::default() }
    }

    /// Looks and acts. Returns when to look again; `None`: when the pool calls.
    pub(crate) fn run(mut self) -> Option<u64> {
        let due = {
            let mut crew = lock(&self.pool.crew);
            self.expire_ops(&crew);
            self.attend_ends(&mut crew);
            self.watch(&mut crew);
            if crew.closing.is_none() {
                self.resize(&mut crew);
            }
            for lane in crew.reap() {
                self.events.push(PoolEventKind::CameBack { lane });
            }
            self.answer_drains(&mut crew);
            let over = self.close(&mut crew);
            if over { None } else { self.rest(&mut crew) }
        };
        for event in std::mem::take(&mut self.events) {
            self.pool.tell(event);
        }
        due
    }

    fn config(&self) -> &'a PoolConfig {
        &self.pool.config
    }

    fn after(&self, time: Duration) -> u64 {
        self.now_ns.saturating_add(ns(time))
    }

    fn expire_ops(&mut self, crew: &Crew) {
        let grace = ns(self.config().cancel_grace);
        let busy = crew.front().is_some_and(|lane| {
            let mut seen = Seen::default();
            lane.see(&mut seen);
            seen.current.is_some()
        });
        let expired = self.pool.with_control(|control| control.expire(self.now_ns, grace, busy));
        if expired.cancelled > 0
            && let Some(lane) = crew.front()
        {
            lane.news();
        }
        if expired.stuck > 0 {
            self.events.push(PoolEventKind::ControlStuck { calls: expired.stuck });
        }
    }

    /// Loops that have ended although nobody told them to.
    fn attend_ends(&mut self, crew: &mut Crew) {
        let dead: Vec<(Arc<LaneShared>, LoopEnd)> =
            crew.up().filter_map(|lane| Some((Arc::clone(lane), lane.end()?))).collect();
        for (lane, end) in dead {
            let again_in = crew.note_death(self.now_ns);
            self.events.push(PoolEventKind::LoopDied { lane: lane.id, end, again_in });
        }
        crew.take_out(Member::has_ended);
        let front_gone = crew.front().is_none();
        if front_gone && crew.running().all(|member| member.lane.id.index != 0) {
            self.lose_ops();
        }
        if front_gone && crew.count() > 0 {
            self.let_go(crew, 0);
        }
    }

    /// Lane 0 is gone without having answered.
    fn lose_ops(&mut self) {
        let stuck = self.pool.with_control(|control| control.lane_lost());
        if stuck > 0 {
            self.events.push(PoolEventKind::ControlStuck { calls: stuck });
        }
    }

    fn watch(&mut self, crew: &mut Crew) {
        let hand_off = self.pool.handler.hand_off();
        let (mut seen, mut actions) = (Seen::default(), vec![]);
        let others = crew.count() > 1 || self.config().max_workers > 1;
        let mut lost = vec![];
        let leaving = crew.leaving.iter_mut().filter(|member| !member.has_ended());
        for member in crew.lanes.iter_mut().flatten().chain(leaving) {
            member.lane.see(&mut seen);
            member.watch.look(&seen, hand_off, self.config(), self.now_ns, &mut actions);
            for action in actions.drain(..) {
                if self.act(&member.lane, action, others) {
                    lost.push(member.lane.id);
                }
            }
        }
        if lost.is_empty() {
            return;
        }
        crew.take_out(|member| lost.contains(&member.lane.id));
        let gone: Vec<Member> =
            crew.leaving.extract_if(.., |member| lost.contains(&member.lane.id)).collect();
        crew.abandoned_total += gone.len() as u64;
        crew.abandoned.extend(gone);
        if lost.iter().any(|lane| lane.index == 0) {
            self.lose_ops();
        }
        let abandoned = crew.abandoned.len() as u32;
        let stuck = self.pool.halts.load(Ordering::SeqCst) & STUCK != 0;
        if abandoned > self.config().max_abandoned && !stuck {
            self.pool.halt(STUCK);
            self.events.push(PoolEventKind::Stuck { abandoned });
        }
    }

    /// Whether the lane was written off.
    fn act(&mut self, lane: &Arc<LaneShared>, action: Action, others: bool) -> bool {
        let limit = self.config().process_timeout;
        match action {
            Action::Cancel(token) => {
                lane.cancel(token);
                self.events.push(PoolEventKind::Overdue { lane: lane.id });
            }
            Action::RevokeCall(token) => {
                if let (Some(lease), Some(seat)) = (lane.lease_of(token), lane.seat(token.place()))
                    && seat.subscription.revoke_call(lease, overdue(limit))
                {
                    self.events.push(PoolEventKind::CallLost { lane: lane.id });
                }
            }
            Action::Relieve if others => {
                let deliveries = relieve(lane);
                if deliveries > 0 {
                    self.events.push(PoolEventKind::Relieved { lane: lane.id, deliveries });
                }
            }
            Action::Relieve => {}
            Action::WriteOff { charged } => {
                let leases: Vec<(usize, u64)> = charged
                    .iter()
                    .filter_map(|token| Some((token.place(), lane.lease_of(*token)?)))
                    .collect();
                lane.set_phase(Phase::WrittenOff);
                let returned = revoke(lane, &leases, limit);
                self.events.push(PoolEventKind::Abandoned { lane: lane.id, returned });
                return true;
            }
        }
        false
    }

    /// Brings lanes up and lets them go.
    fn resize(&mut self, crew: &mut Crew) {
        let backlog = self.count_backlog();
        self.backlog = backlog;
        self.feel(crew, backlog);
        let taking = self.pool.is_taking();
        let asked = self.pool.wanted.swap(false, Ordering::SeqCst) || backlog.ready > 0;
        let observed = Observed {
            lanes: crew.count(),
            backlog: backlog.ready,
            oldest_ns: backlog.oldest_ns,
            load: crew.pulse.load,
            idle_since_ns: crew.pulse.idle_since_ns,
            surplus_since_ns: crew.pulse.surplus_since_ns,
            changed_ns: crew.pulse.changed_ns,
            taking,
            wanted: self.pool.ops_waiting() || taking && asked,
        };
        let lanes = observed.lanes;
        crew.pulse.surplus_since_ns = surplus(&observed, self.config())
            .then(|| crew.pulse.surplus_since_ns.unwrap_or(self.now_ns));
        match scale(&observed, self.config(), self.now_ns) {
            Decision::Keep => return,
            Decision::Grow(to) => self.bring_up(crew, to),
            Decision::Shrink(0) if crew.has_others() => self.let_go(crew, 1),
            Decision::Shrink(to) => self.let_go(crew, to),
        }
        if crew.count() != lanes {
            crew.pulse.changed_ns = self.now_ns;
            crew.pulse.surplus_since_ns = None;
            self.events.push(PoolEventKind::Scaled { from: lanes, to: crew.count() });
        }
    }

    /// Takes the pool's pulse: how much of it is in use, and since when nothing is.
    fn feel(&mut self, crew: &mut Crew, backlog: Backlog) {
        let lanes = crew.count();
        let used: f64 = crew.up().map(|lane| self.use_of(lane)).sum();
        let windows = crew.stats().windows;
        let idle = backlog.ready == 0 && crew.running().all(|member| member.lane.is_quiet());
        let pulse = &mut crew.pulse;
        pulse.worked = std::mem::replace(&mut pulse.windows, windows) != windows;
        if pulse.worked {
            // It may be idle again: from now on.
            pulse.idle_since_ns = None;
        }
        let share = if lanes == 0 { 0.0 } else { used / f64::from(lanes) };
        pulse.load += NEWEST_LOAD * (share - pulse.load);
        pulse.idle_since_ns = idle.then(|| pulse.idle_since_ns.unwrap_or(self.now_ns));
    }

    /// Share of a lane that is in use.
    fn use_of(&self, lane: &LaneShared) -> f64 {
        if lane.is_quiet() {
            return 0.0;
        }
        let whole = self.pool.handler.hand_off() == HandOff::Whole;
        if lane.is_inside() || whole && !lane.bell.announced() {
            return 1.0;
        }
        (f64::from(lane.running()) / f64::from(self.config().concurrency)).min(1.0)
    }

    fn count_backlog(&self) -> Backlog {
        let mut sum = Backlog::default();
        if self.pool.is_taking() {
            for subscription in self.pool.subscriptions() {
                let one = subscription.backlog(self.pool.generation);
                sum.ready += one.ready;
                sum.oldest_ns = [sum.oldest_ns, one.oldest_accepted_ns].into_iter().flatten().min();
            }
        }
        sum
    }

    fn bring_up(&mut self, crew: &mut Crew, to: u32) {
        if self.now_ns < crew.again_ns() || self.pool.halts.load(Ordering::SeqCst) & STUCK != 0 {
            return;
        }
        while crew.count() < to {
            let index = crew.vacancy();
            if crew.is_leaving(index) {
                return;
            }
            let id = crew.next_id(index);
            match Member::start(self.pool, id) {
                Ok(member) => crew.put(member),
                Err(error) => {
                    let error = error.to_string();
                    self.events.push(PoolEventKind::NoThread { lane: index, error });
                    return;
                }
            }
        }
    }

    /// Tells the lanes from that index on to finish what they have and end.
    pub(crate) fn let_go(&mut self, crew: &mut Crew, from: u32) {
        for lane in crew.up().filter(|lane| lane.id.index >= from) {
            lane.set_phase(Phase::Leaving);
            relieve(lane);
        }
        crew.take_out(|member| member.lane.id.index >= from);
    }

    /// When to look again.
    fn rest(&mut self, crew: &mut Crew) -> Option<u64> {
        self.pool.watched.store(false, Ordering::SeqCst);
        // With the fence in `PoolShared::be_watched`.
        fence(Ordering::SeqCst);
        let config = self.config();
        // One tick more after the last work: where messages come one by one, no lane has to call the
        // monitor before each.
        let at_work = crew.pulse.worked || crew.running().any(|member| !member.lane.is_idle());
        let waited_for = !crew.drains.is_empty() || crew.closing.is_some();
        let ticks = at_work || waited_for || self.is_short(crew);
        if ticks {
            self.pool.watched.store(true, Ordering::SeqCst);
        } else {
            crew.pulse.load = 0.0;
        }
        let tick = config.tick.min(config.process_timeout / 4).max(TICK_LEAST);
        let tick_due = ticks.then(|| self.after(tick));
        let grace = ns(config.cancel_grace);
        let op_due = self.pool.with_control(|control| control.next_due_ns(grace));
        let idle_due = (crew.count() > config.resting()).then(|| {
            let since = crew.pulse.idle_since_ns.unwrap_or(self.now_ns);
            // Something else may keep them up though their time has come.
            since.saturating_add(ns(config.idle_timeout)).max(self.after(tick))
        });
        let end_due = crew.next_reap().map(|wait| self.after(wait));
        let wait_due = crew.next_deadline(grace);
        [tick_due, op_due, idle_due, end_due, wait_due].into_iter().flatten().min()
    }

    /// Whether there are fewer lanes than there should be, because one could not be brought up.
    fn is_short(&self, crew: &Crew) -> bool {
        if self.pool.halts.load(Ordering::SeqCst) & (STUCK | CLOSING) != 0 {
            return false;
        }
        let resting = if self.pool.is_taking() { self.config().resting() } else { 0 };
        let waits = self.pool.ops_waiting() || self.backlog.ready > 0;
        crew.count() < resting.max(u32::from(waits))
    }
}

/// Why a call was taken away.
fn overdue(limit: Duration) -> Fault {
    let text = format!("the call was not over after {limit:?}, and its lane did not answer");
    Fault { class: FaultClass::Timeout, text }
}

/// Gives to others what a lane has not begun: how many.
pub(crate) fn relieve(lane: &LaneShared) -> usize {
    lane.seats().iter().map(|(_, seat)| seat.subscription.relieve(seat.id)).sum()
}

/// Takes away all that a lane holds, charging the calls named by place and lease: how many
/// deliveries go to others.
pub(crate) fn revoke(lane: &LaneShared, charged: &[(usize, u64)], limit: Duration) -> usize {
    let mut returned = 0;
    for (at, seat) in lane.seats() {
        let here: Vec<(u64, Fault)> = charged
            .iter()
            .filter(|(place, _)| *place == at)
            .map(|(_, lease)| (*lease, overdue(limit)))
            .collect();
        let revoked = seat.subscription.revoke(seat.id, &here);
        returned += revoked.running + revoked.unstarted;
    }
    returned
}
