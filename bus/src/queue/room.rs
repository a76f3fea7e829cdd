//! Room in a queue, and waiting for it.

use std::{
    sync::{Arc, MutexGuard, PoisonError},
    time::Instant,
};

use super::inbox::{Inbox, InboxState, Load};
use crate::wake::{Wake, Wakes};

/// What came of a wait for room in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waited {
    /// There is room.
    ForRoom,
    /// There is none, and lanes took as much as memory holds.
    BesideWork,
    /// There is none, and they did not.
    InVain,
}

/// Whether somebody who waits for room has to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// There is room now; nothing was registered.
    Now,
    /// Will be told, once.
    Registered,
    /// Too many wait already: ask again later.
    Refused,
}

// === impl Inbox ===

impl Inbox {
    /// Whether a message of `size` bytes has room.
    #[inline]
    pub(crate) fn has_room(&self, state: &InboxState, size: usize) -> bool {
        let load = state.load();
        (load.count < self.limits.count)
            & (load.bytes + size <= self.limits.bytes)
            & !self.is_held_up(state)
    }

    /// Whether older messages wait in the journal, which nothing may pass.
    #[inline]
    pub(crate) fn is_held_up(&self, state: &InboxState) -> bool {
        self.is_ordered & state.intake.is_spilling()
    }

    /// Waits until a message of `size` bytes may have room. False when `deadline` passed without.
    pub(crate) fn wait_for_room(&self, size: usize, deadline: Instant) -> bool {
        let mut state = self.lock();
        while !self.has_room(&state, size) && !state.closed {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state.blocked += 1;
            let woken = self.room.wait_timeout(state, left);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
            state.blocked -= 1;
        }
        true
    }

    /// Whether one more would be in the journal only.
    #[inline]
    pub(crate) fn is_crowded(&self, state: &InboxState) -> bool {
        state.intake.is_spilling() || !self.has_room(state, 1)
    }

    /// Waits until nothing is in the journal only and memory has room.
    pub(crate) fn wait_for_memory(&self, deadline: Instant) -> Waited {
        let mut state = self.lock();
        let before = state.passed_on();
        while self.is_crowded(&state) && !state.closed {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let is_much = state.passed_on().saturating_sub(before) >= self.limits.count as u64;
                return if is_much { Waited::BesideWork } else { Waited::InVain };
            }
            (state.blocked, state.holding_back) = (state.blocked + 1, state.holding_back + 1);
            let woken = self.room.wait_timeout(state, left);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
            (state.blocked, state.holding_back) = (state.blocked - 1, state.holding_back - 1);
        }
        Waited::ForRoom
    }

    /// Registers a token that waits for room for a message of `size` bytes.
    pub(crate) fn register(&self, size: usize, wake: Arc<dyn Wake>) -> Room {
        let mut state = self.lock();
        if state.closed || self.has_room(&state, size) {
            return Room::Now;
        }
        if state.waiters.len() >= self.max_waiters {
            return Room::Refused;
        }
        state.waiters.push(wake);
        Room::Registered
    }

    /// Half free, or the buffer ran dry while the rest is held back: then any room is worth a wake.
    pub(super) fn announce_room(&self, mut state: MutexGuard<'_, InboxState>, freed: &mut Wakes) {
        if state.blocked == 0 && state.waiters.is_empty() {
            return;
        }
        let Load { count, bytes, .. } = state.load();
        let half = count <= self.limits.count / 2 && bytes <= self.limits.bytes / 2;
        let any = count < self.limits.count && bytes < self.limits.bytes;
        if half || any && state.buffer.is_empty() {
            freed.append(&mut state.waiters);
            // Who could go on beyond memory waits until nothing is there.
            let others = state.blocked > state.holding_back;
            let blocked = state.blocked > 0 && (others || !state.intake.is_spilling());
            drop(state);
            if blocked {
                self.room.notify_all();
            }
        }
    }
}

// === impl InboxState ===

impl InboxState {
    /// How many have left this queue and its desk's, more or less.
    fn passed_on(&self) -> u64 {
        let (load, spilled) = (self.load(), self.intake.spilled());
        let waiting = load.count + load.bookmarks + spilled.count;
        self.next_id.saturating_sub(waiting as u64)
    }
}

#[cfg(test)]
mod tests {
    use std::{thread, time::Duration};

    use patchbay_journal::Level;
    use patchbay_slab::{Message, Parts, Slab};
    use patchbay_wire::TopicPattern;

    use super::*;
    use crate::{
        queue::intake::{Reached, Recorded},
        spec::{QueueLimits, SubscriptionSpec},
    };

    /// Far beyond what is usual.
    const PATIENCE: Duration = Duration::from_secs(60);

    fn inbox(count: usize) -> Inbox {
        let mut spec = SubscriptionSpec::new("plugin", TopicPattern::parse("t").unwrap());
        spec.limits = QueueLimits { count, bytes: 1 << 20 };
        Inbox::new(&spec, 4, None)
    }

    fn message() -> Message {
        Slab::new().message(&Parts { topic: "t", ..Parts::default() }, b"payload")
    }

    fn push(inbox: &Inbox, records: std::ops::RangeInclusive<u64>) {
        for record in records {
            let entry = Recorded { record, level: Level::Process, key: 0, now_ns: 0, due_ns: 0 };
            inbox.push_durable(&mut inbox.lock(), message(), entry);
        }
    }

    /// Takes all that lies in memory away, as a lane does, and leaves `waiting` at the desk.
    fn take(inbox: &Inbox, waiting: usize) {
        let (mut stage, mut later) = (Vec::new(), Vec::new());
        let reached = Reached { process: u64::MAX, disk: 0 };
        inbox.lock().intake.release(reached, &mut stage, &mut later);
        inbox.report(Load { count: waiting, ..Load::default() }, &mut Wakes::default());
    }

    #[test]
    fn who_holds_back_learns_whether_lanes_are_at_work() {
        let inbox = inbox(4);
        push(&inbox, 1..=3);
        assert_eq!(inbox.wait_for_memory(Instant::now()), Waited::ForRoom, "one more has room");
        push(&inbox, 4..=4);
        assert!(inbox.is_crowded(&inbox.lock()));
        assert_eq!(inbox.wait_for_memory(Instant::now()), Waited::InVain, "nobody takes any");
        push(&inbox, 5..=20);
        take(&inbox, 0);
        assert!(inbox.is_crowded(&inbox.lock()), "memory is free, and 16 are in the journal only");
        assert_eq!(inbox.wait_for_memory(Instant::now()), Waited::InVain);
        thread::scope(|scope| {
            let waiting = scope.spawn(|| inbox.wait_for_memory(Instant::now() + PATIENCE));
            while inbox.lock().holding_back == 0 {
                thread::yield_now();
            }
            let read = Load { count: 16, ..Load::default() };
            inbox.lock().intake.read_back(20, read);
            inbox.report(Load { count: 2, ..Load::default() }, &mut Wakes::default());
            assert_eq!(waiting.join().unwrap(), Waited::ForRoom, "half of the memory is free");
        });
        let state = inbox.lock();
        assert_eq!((state.holding_back, state.blocked), (0, 0));
    }

    #[test]
    fn what_lanes_took_is_what_waits_no_more() {
        let inbox = inbox(4);
        push(&inbox, 1..=20);
        assert_eq!(inbox.lock().passed_on(), 0);
        take(&inbox, 1);
        assert_eq!(inbox.lock().passed_on(), 3, "four were taken, and one of them still waits");
        inbox.lock().intake.read_back(6, Load { count: 2, ..Load::default() });
        assert_eq!(inbox.lock().passed_on(), 5);
        inbox.close(&mut Wakes::default());
        assert_eq!(inbox.wait_for_memory(Instant::now()), Waited::ForRoom, "nobody waits for it");
    }
}
