//! The lease of a batch: what a seat holds, and what its desk remembers of it.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering::*},
};

use patchbay_fence::Gate;
use patchbay_slab::Reaper;

use crate::{delivery::Delivery, settlement::Outcome, sync::lock};

/// Most deliveries of a window.
pub(crate) const BATCH_MAX: usize = 1 << BATCH_BITS;
const BATCH_BITS: u32 = 10;

/// What the lane writes and the desk may read at any time.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) gate: Gate,
    /// Outcomes other than acknowledged, by position.
    odd: Mutex<Vec<(u32, Outcome)>>,
    /// Positions whose call is suspended, one bit each.
    open: Bits,
    /// Positions whose message went on to another topic, which is the usual odd outcome.
    forwarded: Bits,
}

/// One bit for each position. Written by the lane, or by whoever opens a window for it.
type Bits = [AtomicU64; BATCH_MAX / 64];

/// A lane's own half of a seat.
#[derive(Debug)]
pub(crate) struct Hand {
    pub(crate) slot: usize,
    pub(crate) serial: u64,
    pub(crate) generation: u64,
    pub(crate) shared: Arc<Shared>,
    pub(crate) lease: u64,
    pub(crate) ticket: u32,
    /// The window. The desk holds the other reference while the lease lives.
    pub(crate) current: Arc<Vec<Delivery>>,
    /// The one before, to be freed outside every lock.
    pub(crate) previous: Arc<Vec<Delivery>>,
    /// Positions passed: begun or skipped.
    pub(crate) began: u32,
    /// Something but plain acknowledgements and forwards happened in this window.
    pub(crate) is_odd: bool,
    /// How many of this window went on to another topic, without a record in the journal.
    pub(crate) forwarded: u32,
    /// Some deliveries of this window are in the journal, which has to hear of it before the first
    /// begins, and of those that do not begin after all.
    pub(crate) is_durable: bool,
    /// How many calls of this window are suspended.
    pub(crate) suspended: u32,
    /// Ends of calls whose window is settled already.
    pub(crate) finished: Vec<(u64, Outcome)>,
    pub(crate) stage: Vec<Delivery>,
    /// The last window came from more than one publisher, as far as its ends show.
    pub(crate) is_mixed: bool,
}

/// What the desk remembers of a window: enough to take it back.
#[derive(Debug, Default)]
pub(crate) struct Window {
    pub(crate) lease: u64,
    /// `None` when there is no window.
    pub(crate) items: Option<Arc<Vec<Delivery>>>,
    /// Positions from here on were taken back.
    pub(crate) cut: usize,
    /// What runs holds its key, wherever the key belongs now.
    pub(crate) fenced: bool,
    /// Virtual lanes owned by it.
    pub(crate) lanes: Vec<u32>,
    /// Positions that are settled already; rare.
    pub(crate) gone: Marks,
    /// Some of it is in the journal.
    pub(crate) is_durable: bool,
    /// Those of them whose call was written off while it was suspended.
    pub(crate) written_off: Vec<u32>,
}

/// A set of positions.
#[derive(Debug, Default)]
pub(crate) struct Marks(Vec<u64>);

/// Names a hand-off: unique per subscription, for ever.
#[inline]
pub(crate) fn token(lease: u64, position: usize) -> u64 {
    lease << BATCH_BITS | position as u64
}

/// The lease and the position of a token.
#[inline]
pub(crate) fn of_token(token: u64) -> (u64, usize) {
    (token >> BATCH_BITS, token as usize & (BATCH_MAX - 1))
}

// === impl Shared ===

impl Shared {
    pub(crate) fn new() -> Shared {
        Shared {
            gate: Gate::new(),
            odd: Mutex::default(),
            open: std::array::from_fn(|_| AtomicU64::new(0)),
            forwarded: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }

    pub(crate) fn record(&self, position: u32, outcome: Outcome) {
        lock(&self.odd).push((position, outcome));
    }

    /// Lane: the message at `position` was published to another topic. A barrier of the lane's next
    /// claim stands between this and whoever takes the window away.
    #[inline]
    pub(crate) fn record_forward(&self, position: usize) {
        let word = &self.forwarded[position / 64];
        word.store(word.load(Relaxed) | 1 << (position % 64), Release);
    }

    /// Takes what was recorded, by position; the first record of a position counts.
    pub(crate) fn take_odd(&self) -> Vec<(u32, Outcome)> {
        let mut odd = std::mem::take(&mut *lock(&self.odd));
        for (index, word) in self.forwarded.iter().enumerate() {
            let mut bits = word.load(Acquire);
            while bits != 0 {
                let position = index as u32 * 64 + bits.trailing_zeros();
                odd.push((position, Outcome::Forwarded));
                bits &= bits - 1;
            }
        }
        odd.sort_by_key(|(position, _)| *position);
        odd.dedup_by_key(|(position, _)| *position);
        odd
    }

    /// Lane: the call at `position` is suspended, or not any more.
    pub(crate) fn set_open(&self, position: usize, open: bool) {
        let word = &self.open[position / 64];
        let bit = 1 << (position % 64);
        // One writer, so a load and a store are enough.
        let bits = word.load(Relaxed);
        word.store(if open { bits | bit } else { bits & !bit }, Release);
    }

    pub(crate) fn is_open(&self, position: usize) -> bool {
        self.open[position / 64].load(Acquire) & 1 << (position % 64) != 0
    }

    /// Lane, holding the desk: a new window has no suspended calls.
    pub(crate) fn clear_open(&self) {
        self.open.iter().for_each(|word| word.store(0, Relaxed));
    }

    /// Lane, holding the desk: the window is settled.
    fn clear_forwarded(&self) {
        self.forwarded.iter().for_each(|word| word.store(0, Relaxed));
    }
}

// === impl Hand ===

impl Hand {
    pub(crate) fn new(slot: usize, serial: u64, generation: u64, shared: Arc<Shared>) -> Hand {
        Hand {
            slot,
            serial,
            generation,
            shared,
            lease: 0,
            ticket: 0,
            current: Arc::default(),
            previous: Arc::default(),
            began: 0,
            is_odd: false,
            forwarded: 0,
            is_durable: false,
            suspended: 0,
            finished: Vec::new(),
            stage: Vec::new(),
            is_mixed: false,
        }
    }

    /// The window is settled: nothing is known of the next one.
    #[inline]
    pub(crate) fn begin_anew(&mut self) {
        if std::mem::take(&mut self.forwarded) > 0 {
            self.shared.clear_forwarded();
        }
        (self.began, self.is_odd, self.suspended, self.is_durable) = (0, false, 0, false);
    }

    /// Frees the previous window: envelopes go home in chains. No lock may be held.
    #[inline]
    pub(crate) fn free_previous(&mut self) {
        match Arc::get_mut(&mut self.previous) {
            Some(window) => {
                if let [first, .., last] = &window[..] {
                    self.is_mixed = !first.message().is_from_home_of(last.message());
                }
                let mut reaper = Reaper::new();
                for delivery in window.drain(..) {
                    reaper.put(delivery.into_message());
                }
            }
            // Cannot be while the desk gives its reference back at settlement; costs a vector.
            None => self.previous = Arc::default(),
        }
    }
}

// === impl Window ===

impl Window {
    /// Shows what of it is neither settled nor taken back.
    pub(crate) fn each<'a>(&'a self, see: impl FnMut(&'a Delivery)) {
        let items = self.items.iter().flat_map(|items| items.iter().enumerate().take(self.cut));
        let left = items.filter(|(position, _)| !self.gone.contains(*position));
        left.map(|(_, delivery)| delivery).for_each(see);
    }
}

// === impl Marks ===

impl Marks {
    pub(crate) fn insert(&mut self, position: usize) {
        if self.0.len() <= position / 64 {
            self.0.resize(position / 64 + 1, 0);
        }
        self.0[position / 64] |= 1 << (position % 64);
    }

    pub(crate) fn contains(&self, position: usize) -> bool {
        self.0.get(position / 64).is_some_and(|word| word & 1 << (position % 64) != 0)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

/// Outcomes by position, walked in step with a window.
pub(crate) struct OddWalk(std::iter::Peekable<std::vec::IntoIter<(u32, Outcome)>>);

// === impl OddWalk ===

impl OddWalk {
    pub(crate) fn new(odd: Vec<(u32, Outcome)>) -> OddWalk {
        OddWalk(odd.into_iter().peekable())
    }

    /// The outcome at `position`. Positions rise from call to call.
    pub(crate) fn at(&mut self, position: usize) -> Option<Outcome> {
        while self.0.next_if(|(at, _)| (*at as usize) < position).is_some() {}
        self.0.next_if(|(at, _)| *at as usize == position).map(|(_, outcome)| outcome)
    }
}
