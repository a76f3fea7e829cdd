//! One subscription on one lane: its seat, and the window that is open there.

use std::{collections::HashMap, sync::Arc};

use foldhash::fast::FixedState;
use patchbay_bus::{Order, Park, Seat, Subscription, Taken, Verdict};
use patchbay_slab::Message;

use super::{WHOLE_BATCH, books::Books, pace::Pace};
use crate::{
    shared::Served,
    token::{Batch, Token},
};

/// No slot: the call at that index is not suspended.
const NONE: u16 = u16::MAX;

/// Calls whose window is closed, by token.
pub(super) type Detached = HashMap<Token, DetachedCall, FixedState>;

#[derive(Debug)]
pub(super) struct DetachedCall {
    pub(super) slot: u16,
    pub(super) lease: u64,
    /// The handler still reads it.
    _message: Message,
}

#[derive(Debug)]
pub(super) struct Place {
    pub(super) seat: Seat,
    /// Of the subscription, within the plugin.
    pub(super) number: u32,
    /// Calls that may run at one time on this lane.
    pub(super) concurrency: u32,
    /// Calls that do.
    pub(super) running: u32,
    pub(super) pace: Pace,
    /// Whether its last window had calls that were suspended.
    pub(super) suspends: bool,
    pub(super) total_order: bool,
    /// Of the subscription, on the bus.
    pub(super) queue: u32,
    subscription: Arc<Subscription>,
    index: u16,
    window: u32,
    len: u16,
    /// First delivery of the window that was neither begun nor skipped.
    cursor: u16,
    parked: bool,
    slots: Vec<u16>,
    suspended: u16,
    /// Calls have ended that the bus learns of at the next settlement.
    told: bool,
}

/// What [`Place::take`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Window(u32),
    Nothing,
    Closed,
}

// === impl Place ===

impl Place {
    /// `window`: the last number that was used at this place.
    pub(super) fn new(
        seat: Seat,
        served: &Served,
        concurrency: u32,
        (index, window): (u16, u32),
    ) -> Place {
        Place {
            seat,
            number: served.number,
            concurrency,
            running: 0,
            pace: Pace::new(),
            suspends: false,
            total_order: served.subscription.spec().order == Order::Total,
            queue: served.subscription.id() as u32,
            subscription: Arc::clone(&served.subscription),
            index,
            window,
            len: 0,
            cursor: 0,
            parked: false,
            slots: vec![],
            suspended: 0,
            told: false,
        }
    }

    pub(super) fn is_of(&self, subscription: &Arc<Subscription>) -> bool {
        Arc::ptr_eq(&self.subscription, subscription)
    }

    pub(super) fn last_window(&self) -> u32 {
        self.window
    }

    /// Settles the window and opens the next one.
    pub(super) fn take(&mut self, limit: u32, park: Park, detached: &mut Detached) -> Found {
        self.shut(detached);
        self.parked = false;
        match self.seat.take(limit as usize, park) {
            Taken::Batch(count) => {
                self.window = self.window.wrapping_add(1).max(1);
                self.len = count as u16;
                self.cursor = 0;
                Found::Window(count as u32)
            }
            Taken::Empty { .. } => {
                self.parked = park == Park::Yes;
                Found::Nothing
            }
            Taken::Closed => Found::Closed,
        }
    }

    /// Settles the window without opening another; what was not begun goes back.
    pub(super) fn settle(&mut self, detached: &mut Detached) {
        if self.len > 0 || self.told {
            self.shut(detached);
            self.seat.settle();
        }
    }

    /// Whoever was to wake this seat is to wake another.
    pub(super) fn step_away(&mut self) {
        if std::mem::take(&mut self.parked) {
            self.seat.step_away();
        }
    }

    /// How many deliveries the next window of a place may hold, when each is begun by itself; `None`:
    /// no call may begin there now.
    pub(super) fn each_limit(&self, max: u32) -> Option<u32> {
        let free = self.concurrency.saturating_sub(self.running);
        let pace = self.pace.limit().min(max);
        // Where calls are suspended, what cannot begin at once would only be given back.
        let most = if self.suspends { pace.min(free) } else { pace };
        (free > 0).then_some(most.max(1))
    }

    /// The same, when all of them are begun at once.
    pub(super) fn whole_limit(&self, at: usize, books: &Books, max: u32) -> Option<u32> {
        if books.is_exhausted() || books.hand_outs_of(at) >= self.concurrency {
            return None;
        }
        if self.total_order {
            // A second delivery may not begin before the first has ended.
            return Some(1);
        }
        Some(self.pace.limit().min(max).min(WHOLE_BATCH).min(books.spare()))
    }

    /// The next deliveries of the open window.
    pub(super) fn rest(&self, max: u32) -> Option<Batch> {
        let left = u32::from(self.len - self.cursor).min(max);
        let first = Token::new(self.index, self.window.max(1), self.cursor);
        (left > 0).then_some(Batch { first, len: left as u16 })
    }

    /// Whether that token names the next delivery of the open window.
    pub(super) fn is_next(&self, token: Token) -> bool {
        token.window() == self.window
            && token.index() == usize::from(self.cursor)
            && self.cursor < self.len
    }

    pub(super) fn passed(&mut self) {
        self.cursor += 1;
    }

    /// Nothing more of this window may be begun.
    pub(super) fn stop(&mut self) {
        self.cursor = self.len;
    }

    pub(super) fn suspend(&mut self, token: Token, slot: u16) {
        if self.slots.len() < usize::from(self.len) {
            self.slots.resize(usize::from(self.len), NONE);
        }
        self.slots[token.index()] = slot;
        self.suspended += 1;
        self.suspends = true;
        self.seat.suspend(token.index());
    }

    /// Takes a suspended call of the open window out of the books: its slot and lease.
    pub(super) fn finish(&mut self, token: Token) -> Option<(u16, u64)> {
        if token.window() != self.window || self.suspended == 0 {
            return None;
        }
        let slot = self.slots.get_mut(token.index()).filter(|slot| **slot != NONE)?;
        let slot = std::mem::replace(slot, NONE);
        self.suspended -= 1;
        Some((slot, self.seat.token(token.index())))
    }

    /// Tells the bus of a suspended call that is over.
    pub(super) fn finish_at(&mut self, lease: u64, verdict: Option<Verdict>) {
        self.seat.finish(lease, verdict);
        self.told = true;
    }

    /// Slots of the suspended calls of the open window.
    pub(super) fn slots(&self) -> impl Iterator<Item = u16> + '_ {
        self.slots.iter().copied().filter(|slot| *slot != NONE)
    }

    /// Moves what is still suspended out of the window, which is about to be settled.
    fn shut(&mut self, detached: &mut Detached) {
        if self.suspended > 0 {
            for index in 0..self.slots.len() {
                let slot = std::mem::replace(&mut self.slots[index], NONE);
                if slot != NONE {
                    let token = Token::new(self.index, self.window, index as u16);
                    let message = self.seat.deliveries()[index].message().clone();
                    let lease = self.seat.token(index);
                    detached.insert(token, DetachedCall { slot, lease, _message: message });
                }
            }
            self.suspended = 0;
        } else if self.len > 0 {
            self.suspends = false;
        }
        self.len = 0;
        self.cursor = 0;
        self.told = false;
    }
}
