//! How a pool ends, or stands still.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::sync::oneshot;

use crate::{
    config::ns,
    crew::Crew,
    events::PoolEventKind,
    lane::{LaneId, LaneShared, Phase},
    round::{Round, relieve, revoke},
    thread::Member,
};

/// How a drain went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrainReport {
    /// Whether everything begun is settled.
    pub drained: bool,
    /// Calls that still run or are suspended.
    pub in_flight: u32,
    /// How long it took.
    pub took: Duration,
}

/// How a pool ended.
#[derive(Debug)]
pub struct Closed {
    /// Lanes whose threads did not end. They may still run the plugin's code: its library must
    /// stay mapped, and the handler alive, until they have ended.
    pub abandoned: Vec<AbandonedLane>,
    /// Deliveries that were taken away from calls which did not end in time; they will be tried
    /// again, uncharged.
    pub returned: usize,
}

/// A lane that was left behind.
pub struct AbandonedLane {
    member: Member,
}

/// Somebody waits for all calls to be over.
#[derive(Debug)]
pub(crate) struct Drain {
    pub(crate) since_ns: u64,
    pub(crate) until_ns: u64,
    pub(crate) reply: oneshot::Sender<DrainReport>,
}

/// Somebody waits for the end of the pool.
#[derive(Debug)]
pub(crate) struct Closing {
    pub(crate) until_ns: u64,
    /// Since when the lanes are forced; until then they may finish.
    pub(crate) forced_ns: Option<u64>,
    pub(crate) returned: usize,
    /// `None`: nobody waits any more.
    pub(crate) reply: Option<oneshot::Sender<Closed>>,
}

// === impl Closing ===

impl Closing {
    /// When the next thing is done that the lanes do not ask for.
    pub(crate) fn due_ns(&self, grace_ns: u64) -> u64 {
        self.forced_ns.map_or(self.until_ns, |since| since.saturating_add(grace_ns))
    }
}

// === impl Round ===

impl Round<'_> {
    pub(crate) fn answer_drains(&mut self, crew: &mut Crew) {
        if crew.drains.is_empty() {
            return;
        }
        let in_flight: u32 = crew.running().map(|member| member.lane.running()).sum();
        let quiet = crew.running().all(|member| member.lane.is_quiet());
        for drain in crew.drains.extract_if(.., |drain| quiet || self.now_ns >= drain.until_ns) {
            let took = Duration::from_nanos(self.now_ns.saturating_sub(drain.since_ns));
            // Nobody to tell is no harm: the pool stands still all the same.
            let _ = drain.reply.send(DrainReport { drained: quiet, in_flight, took });
        }
    }

    /// Goes on with the pool's end. Whether it is over.
    ///
    /// The order: every lane but 0 finishes what it has and ends; then lane 0; what has not ended
    /// when the time is over is forced: its deliveries go back and its calls are cancelled; what
    /// has not ended after the grace is left behind.
    pub(crate) fn close(&mut self, crew: &mut Crew) -> bool {
        let Some(mut closing) = crew.closing.take() else { return false };
        self.let_go(crew, 1);
        if !crew.has_others() || closing.forced_ns.is_some() {
            self.let_go(crew, 0);
        }
        let grace = ns(self.pool.config.cancel_grace);
        let is_due = self.now_ns >= closing.due_ns(grace);
        match closing.forced_ns {
            None if is_due => {
                self.let_go(crew, 0);
                closing.forced_ns = Some(self.now_ns);
                closing.returned += crew.running().map(|member| force(&member.lane)).sum::<usize>();
            }
            Some(_) if is_due => {
                for member in std::mem::take(&mut crew.leaving) {
                    let lane = &member.lane;
                    lane.set_phase(Phase::WrittenOff);
                    self.events.push(PoolEventKind::Abandoned { lane: lane.id, returned: 0 });
                    crew.abandoned_total += 1;
                    crew.abandoned.push(member);
                }
            }
            _ => {}
        }
        crew.reap();
        if crew.count() > 0 || !crew.leaving.is_empty() {
            crew.closing = Some(closing);
            return false;
        }
        self.pool.leave_queues();
        let abandoned = std::mem::take(&mut crew.abandoned);
        let abandoned = abandoned.into_iter().map(|member| AbandonedLane { member }).collect();
        if let Some(reply) = closing.reply {
            let _ = reply.send(Closed { abandoned, returned: closing.returned });
        }
        self.pool.watched.store(true, Ordering::SeqCst);
        true
    }
}

/// Takes everything away from a lane, uncharged, and tells it to drop its calls: how many
/// deliveries go back.
fn force(lane: &Arc<LaneShared>) -> usize {
    let returned = revoke(lane, &[], Duration::ZERO);
    let mut seen = crate::watch::Seen::default();
    lane.see(&mut seen);
    for token in seen.open.into_iter().chain(seen.current) {
        lane.cancel(token);
    }
    returned + relieve(lane)
}

// === impl AbandonedLane ===

impl AbandonedLane {
    /// Which lane it was.
    pub fn id(&self) -> LaneId {
        self.member.lane.id
    }

    /// Whether its thread has ended meanwhile, with all that runs at a thread's end.
    pub fn is_gone(&self) -> bool {
        self.member.is_gone()
    }
}

impl fmt::Debug for AbandonedLane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AbandonedLane").field(&self.id()).finish()
    }
}
