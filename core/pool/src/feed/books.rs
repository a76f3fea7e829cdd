//! Which calls of a lane are not over, and what became of those that are.

use std::{sync::Arc, time::Duration};

use patchbay_bus::{Clock, Fault, FaultClass, Verdict};

use super::place::{Detached, Place};
use crate::{
    lane::{LaneShared, add},
    outcome::Outcome,
    token::Token,
    watch::HandOff,
};

#[derive(Debug)]
pub(super) struct Books {
    lane: Arc<LaneShared>,
    hand_off: HandOff,
    /// Calls begun and not over.
    pub(super) running: u32,
    /// Calls begun since the counters were last brought up to date.
    pub(super) begun: u64,
    /// Suspended calls that outlived their window.
    pub(super) detached: Detached,
    /// Marks for suspended calls that are not in use.
    free: Vec<u16>,
    /// Hand-outs begun as a whole that are not over.
    groups: Vec<Group>,
}

/// A hand-out begun as a whole.
#[derive(Debug)]
struct Group {
    key: u64,
    left: u32,
    len: u32,
    since_ns: u64,
}

// === impl Books ===

impl Books {
    pub(super) fn new(lane: Arc<LaneShared>, hand_off: HandOff) -> Books {
        let free: Vec<u16> = (0..lane.open.len() as u16).rev().collect();
        Books {
            hand_off,
            running: 0,
            begun: 0,
            detached: Detached::with_capacity_and_hasher(free.len(), Default::default()),
            groups: vec![],
            free,
            lane,
        }
    }

    /// Whether no further call can be suspended.
    pub(super) fn is_exhausted(&self) -> bool {
        self.free.is_empty()
    }

    /// Suspended calls there may be beside those there are.
    pub(super) fn spare(&self) -> u32 {
        self.free.len() as u32
    }

    /// Hand-outs begun as a whole that are not over.
    pub(super) fn hand_outs(&self) -> u32 {
        self.groups.len() as u32
    }

    /// Those of one place.
    pub(super) fn hand_outs_of(&self, at: usize) -> u32 {
        self.groups.iter().filter(|group| place_of(group.key) == at).count() as u32
    }

    /// The call lives on beside others.
    pub(super) fn suspend(&mut self, place: &mut Place, token: Token, clock: &dyn Clock) {
        let Some(slot) = self.free.pop() else { return };
        self.lane.open[usize::from(slot)].fill(token, place.seat.token(token.index()));
        place.suspend(token, slot);
        add(&self.lane.counters.suspended, 1);
        if self.hand_off == HandOff::Whole {
            match self.groups.iter_mut().find(|group| group.key == token.group()) {
                Some(group) => {
                    group.left += 1;
                    group.len += 1;
                }
                None => {
                    let since_ns = clock.now_ns();
                    self.groups.push(Group { key: token.group(), left: 1, len: 1, since_ns });
                }
            }
        }
    }

    /// A suspended call is over: its mark, to be [released](Books::release) once the bus knows, and
    /// its lease.
    pub(super) fn finish(
        &mut self,
        place: &mut Place,
        token: Token,
        clock: &dyn Clock,
    ) -> Option<(u16, u64)> {
        let (slot, lease) = match place.finish(token) {
            Some(found) => found,
            None => {
                let call = self.detached.remove(&token)?;
                (call.slot, call.lease)
            }
        };
        let found = self.groups.iter().position(|group| group.key == token.group());
        if let Some(index) = found {
            self.groups[index].left -= 1;
            if self.groups[index].left == 0 {
                let group = self.groups.swap_remove(index);
                place.pace.note(group.len, clock.now_ns().saturating_sub(group.since_ns));
            }
        }
        Some((slot, lease))
    }

    /// What the bus is to be told; `None`: that all is well.
    #[inline]
    pub(super) fn verdict(
        &mut self,
        token: Token,
        outcome: Outcome,
        limit: Duration,
    ) -> Option<Verdict> {
        self.running -= 1;
        let asked = self.lane.has_cancelled() && self.lane.forget_cancelled(token);
        let counters = &self.lane.counters;
        let verdict = match outcome {
            Outcome::Ack => return None,
            Outcome::Verdict(verdict) => verdict,
            Outcome::Cancelled if asked => {
                add(&counters.timeouts, 1);
                let text = format!("the call was not over after {limit:?} and was cancelled");
                Verdict::Fault(Fault { class: FaultClass::Timeout, text })
            }
            Outcome::Cancelled => {
                let text = "the call was dropped although nobody had cancelled it".to_owned();
                Verdict::Fault(Fault { class: FaultClass::Invalid, text })
            }
        };
        let counter = match &verdict {
            Verdict::Retry(_) => &counters.retried,
            Verdict::Failed(_) => &counters.failed,
            Verdict::Forward { .. } => &counters.forwarded,
            Verdict::Fault(_) => &counters.faults,
        };
        add(counter, 1);
        Some(verdict)
    }

    /// Somebody spoke of a call that the lane does not have.
    pub(super) fn refuse(&self) {
        add(&self.lane.counters.refused, 1);
    }

    /// Brings the counters up to date.
    pub(super) fn flush(&mut self) {
        if self.begun > 0 {
            add(&self.lane.counters.calls, std::mem::take(&mut self.begun));
        }
    }

    /// A place is given up, with all calls there.
    pub(super) fn forget(&mut self, at: usize, place: &Place) {
        self.running -= place.running;
        let slots: Vec<u16> = place.slots().collect();
        for slot in slots {
            self.release(slot);
        }
        let gone: Vec<Token> =
            self.detached.keys().copied().filter(|token| token.place() == at).collect();
        for token in gone {
            if let Some(call) = self.detached.remove(&token) {
                self.release(call.slot);
            }
        }
        self.groups.retain(|group| place_of(group.key) != at);
    }

    pub(super) fn release(&mut self, slot: u16) {
        self.lane.open[usize::from(slot)].clear();
        self.free.push(slot);
    }
}

fn place_of(group: u64) -> usize {
    (group >> 32) as usize
}
