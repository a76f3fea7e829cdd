//! The lanes of a pool, as the monitor keeps them.
//!
//! Only the monitor changes who is in it; others look, under its lock.

use std::{sync::Arc, time::Duration};

use crate::{
    closing::{Closing, Drain},
    lane::{LaneId, LaneShared},
    stats::PoolStats,
    thread::Member,
};

/// How long after a handler's loop died there is another one, at first; doubled every time.
const REVIVE_FIRST: Duration = Duration::from_millis(100);
/// At most this long.
const REVIVE_MOST: Duration = Duration::from_secs(10);
/// How soon a thread whose loop has ended is looked at again, at first; doubled every time.
const REAP_FIRST: Duration = Duration::from_millis(1);
/// At most this long.
const REAP_MOST: Duration = Duration::from_secs(1);
/// After this long without another death the next one counts as the first.
const DEATHS_FORGOTTEN: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(crate) struct Crew {
    /// Lanes that are up, by index.
    pub(crate) lanes: Vec<Option<Member>>,
    /// Lanes that were told to end, or have ended, and whose threads are not joined.
    pub(crate) leaving: Vec<Member>,
    /// Lanes that were written off.
    pub(crate) abandoned: Vec<Member>,
    pub(crate) abandoned_total: u64,
    /// How many threads each index has had.
    lives: Vec<u32>,
    pub(crate) pulse: Pulse,
    deaths: Deaths,
    pub(crate) drains: Vec<Drain>,
    pub(crate) closing: Option<Closing>,
    /// Looks in a row at threads whose loops have ended and that were not gone.
    misses: u32,
    /// What lanes have done that are gone.
    pub(crate) gone: PoolStats,
}

/// What the monitor remembers of a pool's load between looks.
#[derive(Debug, Default)]
pub(crate) struct Pulse {
    /// Share of the capacity in use, smoothed.
    pub(crate) load: f64,
    pub(crate) idle_since_ns: Option<u64>,
    pub(crate) surplus_since_ns: Option<u64>,
    pub(crate) changed_ns: u64,
    /// Windows opened by all lanes at the last look.
    pub(crate) windows: u64,
    /// Windows were opened between the last two looks.
    pub(crate) worked: bool,
}

#[derive(Debug, Default)]
struct Deaths {
    in_a_row: u32,
    last_ns: u64,
    again_ns: u64,
}

// === impl Crew ===

impl Crew {
    pub(crate) fn new(now_ns: u64) -> Crew {
        Crew {
            lanes: vec![],
            leaving: vec![],
            abandoned: vec![],
            abandoned_total: 0,
            lives: vec![],
            pulse: Pulse { changed_ns: now_ns, ..Pulse::default() },
            deaths: Deaths::default(),
            drains: vec![],
            closing: None,
            misses: 0,
            gone: PoolStats::default(),
        }
    }

    /// Lanes that are up.
    pub(crate) fn up(&self) -> impl Iterator<Item = &Arc<LaneShared>> {
        self.lanes.iter().flatten().map(|member| &member.lane)
    }

    /// Lanes whose loops run and are listened to.
    pub(crate) fn running(&self) -> impl Iterator<Item = &Member> {
        let leaving = self.leaving.iter().filter(|member| !member.has_ended());
        self.lanes.iter().flatten().chain(leaving)
    }

    pub(crate) fn count(&self) -> u32 {
        self.up().count() as u32
    }

    /// Lane 0, if it is up.
    pub(crate) fn front(&self) -> Option<&Arc<LaneShared>> {
        self.up().next().filter(|lane| lane.id.index == 0)
    }

    /// The lowest index without a lane.
    pub(crate) fn vacancy(&self) -> u32 {
        let gap = self.lanes.iter().position(Option::is_none);
        gap.unwrap_or(self.lanes.len()) as u32
    }

    /// Whether a thread of that index still finishes what it had.
    pub(crate) fn is_leaving(&self, index: u32) -> bool {
        self.leaving.iter().any(|member| member.lane.id.index == index && !member.has_ended())
    }

    /// Whether any lane but lane 0 still runs.
    pub(crate) fn has_others(&self) -> bool {
        self.running().any(|member| member.lane.id.index > 0)
    }

    /// The next name for a thread of that index.
    pub(crate) fn next_id(&mut self, index: u32) -> LaneId {
        let at = index as usize;
        if self.lives.len() <= at {
            self.lives.resize(at + 1, 0);
        }
        self.lives[at] += 1;
        LaneId { index, life: self.lives[at] }
    }

    pub(crate) fn put(&mut self, member: Member) {
        let at = member.lane.id.index as usize;
        if self.lanes.len() <= at {
            self.lanes.resize_with(at + 1, || None);
        }
        self.lanes[at] = Some(member);
    }

    /// Takes lanes out of service that are to end, or have.
    pub(crate) fn take_out(&mut self, mut which: impl FnMut(&Member) -> bool) {
        for place in &mut self.lanes {
            if place.as_ref().is_some_and(&mut which)
                && let Some(member) = place.take()
            {
                self.leaving.push(member);
            }
        }
        while self.lanes.last().is_some_and(Option::is_none) {
            self.lanes.pop();
        }
    }

    /// A loop died: how long until there may be another.
    pub(crate) fn note_death(&mut self, now_ns: u64) -> Duration {
        let deaths = &mut self.deaths;
        let long_ago = now_ns.saturating_sub(deaths.last_ns) > crate::config::ns(DEATHS_FORGOTTEN);
        deaths.in_a_row = if long_ago { 1 } else { deaths.in_a_row.saturating_add(1) };
        deaths.last_ns = now_ns;
        let doubled = REVIVE_FIRST.saturating_mul(1 << (deaths.in_a_row - 1).min(16));
        let wait = doubled.min(REVIVE_MOST);
        deaths.again_ns = now_ns.saturating_add(crate::config::ns(wait));
        wait
    }

    /// When a lane may be brought up after a death.
    pub(crate) fn again_ns(&self) -> u64 {
        self.deaths.again_ns
    }

    /// Joins the threads that are gone; those of them that had been abandoned.
    pub(crate) fn reap(&mut self) -> Vec<LaneId> {
        for member in self.leaving.extract_if(.., |member| member.is_gone()) {
            self.gone.add(&member.join());
        }
        let mut back = vec![];
        for member in self.abandoned.extract_if(.., |member| member.is_gone()) {
            let lane = member.join();
            self.gone.add(&lane);
            back.push(lane.id);
        }
        let ending = self.leaving.iter().chain(&self.abandoned).any(Member::has_ended);
        self.misses = if ending { self.misses.saturating_add(1) } else { 0 };
        back
    }

    /// When threads whose loops have ended may be gone: nobody says so.
    pub(crate) fn next_reap(&self) -> Option<Duration> {
        let doubled = REAP_FIRST.saturating_mul(1 << self.misses.min(16));
        (self.misses > 0).then(|| doubled.min(REAP_MOST))
    }

    /// When somebody who waits for the pool to stand still, or to end, has waited long enough.
    pub(crate) fn next_deadline(&self, grace_ns: u64) -> Option<u64> {
        let drains = self.drains.iter().map(|drain| drain.until_ns);
        drains.chain(self.closing.as_ref().map(|closing| closing.due_ns(grace_ns))).min()
    }

    pub(crate) fn stats(&self) -> PoolStats {
        let mut stats = self.gone;
        let all = self.lanes.iter().flatten().chain(&self.leaving).chain(&self.abandoned);
        for member in all {
            stats.add(&member.lane);
        }
        stats.workers = self.count();
        stats.busy = self.up().filter(|lane| !lane.is_idle()).count() as u32;
        stats.leaving = self.leaving.len() as u32;
        stats.abandoned = self.abandoned.len() as u32;
        stats.abandoned_total = self.abandoned_total;
        stats.in_flight = self.running().map(|member| member.lane.running()).sum();
        stats.load = self.pulse.load;
        stats
    }
}
