//! What is known of a lane outside its thread.
//!
//! The lane writes, the monitor reads, and nothing here is locked on the way of a message: the
//! marks are plain stores to a line of the lane's own.

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
    task,
};

use patchbay_bus::{Subscription, Wake};

use crate::{bell::Bell, lock, token::Token, watch::Seen};

/// Names a lane of a pool.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LaneId {
    /// Its number, counted from 0 without gaps. Control calls go to 0.
    pub index: u32,
    /// Which thread of that number: rises when a lane is replaced or comes up again.
    pub life: u32,
}

/// How a handler's loop ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoopEnd {
    /// It returned.
    Returned,
    /// It panicked; the text of the panic.
    Panicked(String),
}

/// Where a lane is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    /// It takes work.
    Up = 0,
    /// It is to finish what it has, and end.
    Leaving = 1,
    /// It hangs; nobody listens to it any more.
    WrittenOff = 2,
}

/// The half of a lane that others may look at.
#[derive(Debug)]
pub(crate) struct LaneShared {
    pub(crate) id: LaneId,
    pub(crate) bell: Bell,
    pub(crate) marks: Marks,
    pub(crate) counters: Counters,
    pub(crate) open: Box<[OpenSlot]>,
    phase: AtomicU8,
    /// Somebody woke a call of this lane; kept until the lane has looked.
    alarmed: AtomicBool,
    /// Something was cancelled; kept until the lane has looked.
    cancel_news: AtomicBool,
    cancelled: Mutex<Vec<Token>>,
    any_cancelled: AtomicBool,
    ready: Mutex<VecDeque<u64>>,
    ready_max: usize,
    /// Seats by place of the lane's tokens.
    seats: Mutex<Vec<Option<LaneSeat>>>,
    end: Mutex<Option<LoopEnd>>,
    /// Kernel's number of the thread, 0 before it runs.
    pub(crate) thread: AtomicU64,
}

/// A seat of the lane, named so that others can act on it.
#[derive(Clone, Debug)]
pub(crate) struct LaneSeat {
    pub(crate) subscription: Arc<Subscription>,
    pub(crate) id: u64,
}

/// What the lane is at. Written by the lane only.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Marks {
    contacts: AtomicU64,
    current: AtomicU64,
    current_lease: AtomicU64,
    /// Windows that are not settled.
    holding: AtomicBool,
}

/// A call that is suspended. Written by the lane only.
#[derive(Debug, Default)]
pub(crate) struct OpenSlot {
    token: AtomicU64,
    lease: AtomicU64,
}

/// What the lane has done. Written by the lane only, now and then.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Counters {
    pub(crate) calls: AtomicU64,
    pub(crate) suspended: AtomicU64,
    pub(crate) retried: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) forwarded: AtomicU64,
    pub(crate) faults: AtomicU64,
    pub(crate) timeouts: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) windows: AtomicU64,
}

// === impl LaneShared ===

impl LaneShared {
    /// `open_max`: calls that can be suspended at one time.
    pub(crate) fn new(id: LaneId, open_max: usize, ready_max: usize) -> Self {
        LaneShared {
            id,
            bell: Bell::default(),
            marks: Marks::default(),
            counters: Counters::default(),
            open: (0..open_max).map(|_| OpenSlot::default()).collect(),
            phase: AtomicU8::new(Phase::Up as u8),
            alarmed: AtomicBool::new(false),
            cancel_news: AtomicBool::new(false),
            cancelled: Mutex::default(),
            any_cancelled: AtomicBool::new(false),
            ready: Mutex::default(),
            ready_max,
            seats: Mutex::default(),
            end: Mutex::default(),
            thread: AtomicU64::new(0),
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Up,
            1 => Phase::Leaving,
            _ => Phase::WrittenOff,
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.phase.load(Ordering::Acquire) == Phase::Up as u8
    }

    /// Moves the lane on in its life, never back, and tells it.
    pub(crate) fn set_phase(&self, phase: Phase) {
        self.phase.fetch_max(phase as u8, Ordering::AcqRel);
        self.bell.ring();
    }

    /// Tells the lane to drop a call.
    pub(crate) fn cancel(&self, token: Token) {
        {
            let mut cancelled = lock(&self.cancelled);
            if !cancelled.contains(&token) {
                cancelled.push(token);
                self.any_cancelled.store(true, Ordering::Release);
            }
        }
        self.news();
    }

    /// Has the lane look at its cancelled calls.
    pub(crate) fn news(&self) {
        self.cancel_news.store(true, Ordering::Release);
        self.bell.ring();
    }

    /// Whether any call was told to stop and is not over.
    #[inline]
    pub(crate) fn has_cancelled(&self) -> bool {
        self.any_cancelled.load(Ordering::Acquire)
    }

    pub(crate) fn is_cancelled(&self, token: Token) -> bool {
        self.has_cancelled() && lock(&self.cancelled).contains(&token)
    }

    /// A call is over, and so is its cancelling. Whether it had been told to stop.
    pub(crate) fn forget_cancelled(&self, token: Token) -> bool {
        let mut cancelled = lock(&self.cancelled);
        let found = cancelled.iter().position(|other| *other == token);
        if let Some(index) = found {
            cancelled.swap_remove(index);
            self.any_cancelled.store(!cancelled.is_empty(), Ordering::Release);
        }
        found.is_some()
    }

    pub(crate) fn take_news(&self) -> bool {
        self.cancel_news.swap(false, Ordering::AcqRel)
    }

    pub(crate) fn take_alarm(&self) -> bool {
        self.alarmed.swap(false, Ordering::AcqRel)
    }

    /// A publish token has become ready. False if the lane has too many of them, or is over.
    pub(crate) fn push_ready(&self, token: u64) -> bool {
        {
            let mut ready = lock(&self.ready);
            if ready.len() >= self.ready_max || self.end().is_some() {
                return false;
            }
            ready.push_back(token);
        }
        self.bell.ring();
        true
    }

    pub(crate) fn has_ready(&self) -> bool {
        !lock(&self.ready).is_empty()
    }

    pub(crate) fn take_ready(&self, max: usize, out: &mut Vec<u64>) {
        let mut ready = lock(&self.ready);
        let count = ready.len().min(max);
        out.extend(ready.drain(..count));
    }

    pub(crate) fn set_seat(&self, place: usize, seat: Option<LaneSeat>) {
        let mut seats = lock(&self.seats);
        if seats.len() <= place {
            seats.resize(place + 1, None);
        }
        seats[place] = seat;
    }

    pub(crate) fn seat(&self, place: usize) -> Option<LaneSeat> {
        lock(&self.seats).get(place).cloned().flatten()
    }

    pub(crate) fn seats(&self) -> Vec<(usize, LaneSeat)> {
        let seats = lock(&self.seats);
        seats.iter().enumerate().filter_map(|(place, seat)| Some((place, seat.clone()?))).collect()
    }

    pub(crate) fn set_end(&self, end: LoopEnd) {
        *lock(&self.end) = Some(end);
    }

    /// How the loop ended, once it has.
    pub(crate) fn end(&self) -> Option<LoopEnd> {
        lock(&self.end).clone()
    }

    /// Nothing runs, nothing is held, and the lane sleeps.
    pub(crate) fn is_idle(&self) -> bool {
        self.is_quiet() && self.bell.announced()
    }

    /// No call runs or waits, and everything is settled.
    pub(crate) fn is_quiet(&self) -> bool {
        self.running() == 0 && !self.marks.holding.load(Ordering::SeqCst)
    }

    /// Whether the lane is inside a call.
    pub(crate) fn is_inside(&self) -> bool {
        self.marks.current.load(Ordering::Acquire) != 0
    }

    /// Calls that run or are suspended.
    pub(crate) fn running(&self) -> u32 {
        let inside = u32::from(self.marks.current.load(Ordering::SeqCst) != 0);
        let open = self.open.iter().filter(|slot| slot.token.load(Ordering::SeqCst) != 0).count();
        inside + u32::try_from(open).unwrap_or(u32::MAX)
    }

    /// Reads the marks for the watchdog.
    pub(crate) fn see(&self, seen: &mut Seen) {
        seen.contacts = self.marks.contacts.load(Ordering::Acquire);
        let current = self.marks.current.load(Ordering::Acquire);
        seen.current = (current != 0).then_some(Token::from_raw(current));
        seen.open.clear();
        let open = self.open.iter().map(|slot| slot.token.load(Ordering::Acquire));
        seen.open.extend(open.filter(|raw| *raw != 0).map(Token::from_raw));
    }

    /// What the bus calls the call with that token, if it still runs.
    pub(crate) fn lease_of(&self, token: Token) -> Option<u64> {
        let raw = token.to_raw();
        let read = |name: &AtomicU64, lease: &AtomicU64| {
            // The lane writes the lease first and the name last: a name that is there before and
            // after belongs to the lease between.
            let before = name.load(Ordering::Acquire) == raw;
            let found = lease.load(Ordering::Acquire);
            (before && name.load(Ordering::Acquire) == raw).then_some(found)
        };
        read(&self.marks.current, &self.marks.current_lease)
            .or_else(|| self.open.iter().find_map(|slot| read(&slot.token, &slot.lease)))
    }
}

/// A message waits for one of the lane's seats.
impl Wake for LaneShared {
    fn wake(&self) {
        self.bell.ring();
    }
}

/// A suspended call of the lane can go on.
impl task::Wake for LaneShared {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.alarmed.store(true, Ordering::SeqCst);
        self.bell.ring();
    }
}

// === impl Marks ===

impl Marks {
    /// The lane talks to its feed.
    #[inline]
    pub(crate) fn contact(&self) {
        let contacts = self.contacts.load(Ordering::Relaxed);
        self.contacts.store(contacts.wrapping_add(1), Ordering::Release);
    }

    /// A call is about to be claimed. To be called before the claim: the claim's barrier then
    /// makes whoever takes the window away see it.
    #[inline]
    pub(crate) fn enter(&self, token: Token, lease: u64) {
        self.current_lease.store(lease, Ordering::Release);
        self.current.store(token.to_raw(), Ordering::Release);
    }

    /// The call is over, or suspended, or was not granted.
    #[inline]
    pub(crate) fn exit(&self) {
        self.current.store(0, Ordering::Release);
    }

    pub(crate) fn hold(&self) {
        self.holding.store(true, Ordering::SeqCst);
    }

    pub(crate) fn hold_nothing(&self) {
        self.holding.store(false, Ordering::SeqCst);
    }
}

// === impl OpenSlot ===

impl OpenSlot {
    pub(crate) fn fill(&self, token: Token, lease: u64) {
        self.lease.store(lease, Ordering::Release);
        self.token.store(token.to_raw(), Ordering::Release);
    }

    pub(crate) fn clear(&self) {
        self.token.store(0, Ordering::Release);
    }
}

// === impl Counters ===

/// Adds to a counter that only the calling thread writes.
#[inline]
pub(crate) fn add(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
}

// === impl LaneId ===

impl fmt::Debug for LaneId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for LaneId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.index, self.life)
    }
}
