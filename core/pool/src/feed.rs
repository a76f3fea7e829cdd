//! A lane's end of the pool: what a handler pulls from and answers into.
//!
//! All of it happens on the lane's thread, and nothing of it waits but [`Feed::wait`]. A window (a
//! leased batch of one subscription) is opened by [`Feed::next`] and settled by a later one, in the
//! same visit to the queue; between the two there is no lock and no allocation per delivery. A call
//! that is suspended leaves its window: the window is settled without it.
//!
//! **Absent on purpose.** No clock per delivery: how long a call takes is the monitor's to find
//! out. No knowledge of libraries: a token goes out, an outcome comes back.

mod books;
mod end;
mod handed;
mod lull;
mod op;
mod pace;
mod place;
mod seating;

use std::{io, os::fd::BorrowedFd, sync::Arc, task::Waker};

use patchbay_bus::{Begin as Claim, Park};

use self::{
    books::Books,
    lull::Lull,
    place::{Found, Place},
};
pub use self::{handed::Handed, op::NextOp};
use crate::{
    lane::{LaneId, LaneShared, Phase, add},
    ready::LaneHandle,
    shared::PoolShared,
    token::{Batch, Token},
    watch::HandOff,
};

/// Deliveries of a hand-out that is begun as a whole.
pub(crate) const WHOLE_BATCH: u32 = 64;

/// A lane's end of the pool.
#[derive(Debug)]
pub struct Feed {
    pool: Arc<PoolShared>,
    lane: Arc<LaneShared>,
    hand_off: HandOff,
    places: Vec<Option<Place>>,
    books: Books,
    /// The call that has neither ended nor been suspended.
    current: Option<Token>,
    /// Where the next look starts.
    turn: usize,
    /// Version of the pool's list of subscriptions that `places` was made from.
    version: u64,
    /// Last window number of each place, so that no token is used twice.
    windows: Vec<u32>,
    /// Place, size and time of the last hand-out that is not measured yet.
    handed: Option<(usize, u32, u64)>,
    lull: Lull,
    /// Something is not settled.
    holding: bool,
    /// The handler was told that there is nothing more.
    leaving: bool,
}

/// What [`Feed::next`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Deliveries, to be begun in order. Those not begun by the next call of `next` are handed out
    /// again, here or elsewhere.
    Batch(Batch),
    /// Nothing now. The bell rings once there may be something.
    Empty,
    /// Nothing ever again.
    Closed,
}

/// What [`Feed::begin`] decided.
#[derive(Debug)]
pub enum Begin<'a> {
    /// The call begins now.
    Go(Handed<'a>),
    /// Not this one: it has to wait for another, or has expired. The next may be fine.
    Skip,
    /// None of this hand-out: ask again.
    Stop,
}

// === impl Feed ===

impl Feed {
    pub(crate) fn new(pool: Arc<PoolShared>, lane: Arc<LaneShared>) -> Feed {
        let hand_off = pool.handler.hand_off();
        let books = Books::new(Arc::clone(&lane), hand_off);
        Feed {
            pool,
            lane,
            hand_off,
            places: vec![],
            books,
            current: None,
            turn: 0,
            version: 0,
            windows: vec![],
            handed: None,
            lull: Lull::default(),
            holding: false,
            leaving: false,
        }
    }

    /// The lane this is the feed of.
    pub fn lane(&self) -> LaneId {
        self.lane.id
    }

    /// The generation the lane belongs to.
    pub fn generation(&self) -> u64 {
        self.pool.generation
    }

    /// Calls that may be in flight on the lane.
    pub fn concurrency(&self) -> u32 {
        self.pool.config.concurrency
    }

    /// Up to `max` deliveries. Settles the windows that are over.
    pub fn next(&mut self, max: usize) -> Next {
        self.lane.marks.contact();
        self.leave_current();
        if !self.lane.is_up() {
            return self.closed();
        }
        if self.version != self.pool.version() {
            self.refresh();
        }
        self.measure();
        self.lull.pause(&*self.pool.clock);
        let max = u32::try_from(max).unwrap_or(u32::MAX).min(self.pool.config.batch);
        if self.pool.is_taking()
            && max > 0
            && !self.is_full()
            && let Some(batch) =
                self.rest(max).or_else(|| self.take(max, Park::No)).or_else(|| self.linger(max))
        {
            return Next::Batch(batch);
        }
        self.nothing(max)
    }

    /// Claims a delivery, for a call that begins when this returns [`Begin::Go`]. Each is then to
    /// be [completed](Feed::complete), exactly once.
    #[inline]
    pub fn begin(&mut self, token: Token) -> Begin<'_> {
        self.leave_current();
        let place = self.places.get_mut(token.place()).and_then(Option::as_mut);
        let Some(place) = place.filter(|place| place.is_next(token)) else { return Begin::Stop };
        let busy = self.hand_off == HandOff::Each
            && (place.running >= place.concurrency
                || self.books.running >= self.pool.config.concurrency);
        if busy || self.books.is_exhausted() {
            return Begin::Stop;
        }
        let index = token.index();
        self.lane.marks.enter(token, place.seat.token(index));
        match place.seat.begin(index) {
            Claim::Go => {
                place.passed();
                place.running += 1;
                self.books.running += 1;
                self.books.begun += 1;
                self.current = Some(token);
                Begin::Go(Handed::new(place, index))
            }
            Claim::Skip => {
                place.passed();
                self.lane.marks.exit();
                Begin::Skip
            }
            Claim::Stop => {
                place.stop();
                self.lane.marks.exit();
                Begin::Stop
            }
        }
    }

    /// The call did not end at once; others may begin before it does.
    pub fn suspend(&mut self, token: Token) {
        if self.current == Some(token) {
            self.leave_current();
        }
    }

    /// Whether the call must be dropped now, and completed as [`Outcome::Cancelled`](crate::Outcome::Cancelled).
    pub fn cancelled(&mut self, token: Token) -> bool {
        self.lane.marks.contact();
        if !self.lane.is_cancelled(token) {
            self.lane.bell.announce();
            return self.lane.is_cancelled(token);
        }
        true
    }

    /// Appends up to `max` publish tokens that have become ready, each once.
    pub fn ready(&mut self, max: usize, tokens: &mut Vec<u64>) {
        self.lane.marks.contact();
        if !self.lane.has_ready() {
            self.lane.bell.announce();
        }
        self.lane.take_ready(max, tokens);
    }

    /// An eventfd that is written when any answer above may have changed, for a loop that does not
    /// use [`Feed::wait`]. Edge-triggered, never to be read; it stays open as long as the feed.
    ///
    /// # Errors
    /// When the system has no descriptor left.
    pub fn bell(&self) -> io::Result<BorrowedFd<'_>> {
        self.lane.bell.descriptor()
    }

    /// Wakes the lane out of [`Feed::wait`], from any thread. May outlive the lane.
    pub fn alarm(&self) -> Waker {
        Waker::from(Arc::clone(&self.lane))
    }

    /// A handle for those who make publish tokens ready.
    pub fn handle(&self) -> LaneHandle {
        LaneHandle::new(Arc::clone(&self.lane))
    }

    /// Waits until something may have changed since [`Feed::next`] said `Empty`, or the alarm was
    /// raised. May return early.
    pub fn wait(&mut self) {
        self.lane.marks.contact();
        self.leave_current();
        // A lane that knows that it is leaving has only its suspended calls to wait for.
        let news = match self.lane.is_up() {
            true => {
                let ops = self.lane.id.index == 0 && self.pool.ops_waiting();
                ops || self.version != self.pool.version()
            }
            false => !self.leaving,
        };
        if self.lane.take_alarm() | self.lane.take_news() | self.lane.has_ready() | news {
            return;
        }
        if self.holding {
            self.settle_all();
        }
        let since_ns = self.pool.clock.now_ns();
        self.lane.bell.wait();
        let now_ns = self.pool.clock.now_ns();
        self.lull.slept(now_ns.saturating_sub(since_ns), now_ns);
        self.lane.take_alarm();
    }

    /// Whether the lane may begin no further call.
    fn is_full(&self) -> bool {
        match self.hand_off {
            HandOff::Each => self.books.running >= self.pool.config.concurrency,
            HandOff::Whole => self.books.hand_outs() >= self.pool.config.concurrency,
        }
    }

    fn closed(&mut self) -> Next {
        self.leaving = true;
        self.lane.bell.announce();
        if self.lane.phase() == Phase::Leaving {
            self.settle_all();
            self.step_away();
        }
        Next::Closed
    }

    /// The handler went on without saying how its call ended: the call is suspended.
    #[inline]
    fn leave_current(&mut self) {
        if let Some(token) = self.current.take() {
            if let Some(place) = self.places.get_mut(token.place()).and_then(Option::as_mut) {
                self.books.suspend(place, token, &*self.pool.clock);
            }
            self.lane.marks.exit();
        }
    }

    /// More of a window that is open already.
    fn rest(&mut self, max: u32) -> Option<Batch> {
        if self.hand_off == HandOff::Whole {
            return None;
        }
        let places = self.places.len();
        for step in 0..places {
            let at = (self.turn + step) % places;
            let Some(place) = &self.places[at] else { continue };
            if place.running < place.concurrency
                && let Some(batch) = place.rest(max)
            {
                self.note(at, batch);
                return Some(batch);
            }
        }
        None
    }

    /// A new window of the next subscription that has one.
    fn take(&mut self, max: u32, park: Park) -> Option<Batch> {
        let places = self.places.len();
        for step in 0..places {
            let at = (self.turn + step) % places;
            let Some(place) = &mut self.places[at] else { continue };
            let limit = match self.hand_off {
                HandOff::Each => place.each_limit(max),
                HandOff::Whole => place.whole_limit(at, &self.books, max),
            };
            let Some(limit) = limit else { continue };
            match place.take(limit, park, &mut self.books.detached) {
                Found::Window(count) => {
                    self.holding = true;
                    self.lane.marks.hold();
                    if !self.pool.is_taking() {
                        // Paused between the look and the take: whoever paused may have looked
                        // before the window was there.
                        self.settle_all();
                        return None;
                    }
                    self.lull.took(count, limit, place.seat.is_mixed());
                    add(&self.lane.counters.windows, 1);
                    let batch = place.rest(count.min(max))?;
                    self.turn = at + 1;
                    self.note(at, batch);
                    self.step_away();
                    self.pool.be_watched();
                    return Some(batch);
                }
                Found::Nothing => {}
                Found::Closed => self.drop_place(at),
            }
        }
        None
    }

    /// Looks a few times more where it does not pay to sleep, if nothing else waits for the lane.
    fn linger(&mut self, max: u32) -> Option<Batch> {
        for _ in 0..self.lull.looks() {
            if self.books.running > 0 || !self.is_free() {
                return None;
            }
            self.lull.linger(&*self.pool.clock);
            if let Some(batch) = self.take(max, Park::No) {
                return Some(batch);
            }
        }
        None
    }

    /// Whether there is nothing but messages to look for.
    fn is_free(&self) -> bool {
        let ops = self.lane.id.index == 0 && self.pool.ops_waiting();
        !ops && self.lane.is_up() && self.pool.is_taking() && self.version == self.pool.version()
    }

    /// Says that the lane sleeps, and looks once more.
    fn nothing(&mut self, max: u32) -> Next {
        self.handed = None;
        self.lane.bell.announce();
        if !self.lane.is_up() {
            return self.closed();
        }
        if !self.pool.is_taking() || max == 0 || self.is_full() {
            // Nothing more fits, or may be taken. What waits is for others.
            self.settle_all();
            self.step_away();
            return Next::Empty;
        }
        match self.take(max, Park::Yes) {
            Some(batch) => Next::Batch(batch),
            None => {
                self.settle_all();
                Next::Empty
            }
        }
    }

    /// Settles every window, giving back what was not begun.
    fn settle_all(&mut self) {
        for place in self.places.iter_mut().flatten() {
            place.settle(&mut self.books.detached);
        }
        self.lane.marks.hold_nothing();
        self.books.flush();
        if std::mem::take(&mut self.holding) && !self.pool.is_taking() {
            // Somebody may be waiting for this lane to be quiet.
            self.pool.nudge();
        }
    }

    fn step_away(&mut self) {
        for place in self.places.iter_mut().flatten() {
            place.step_away();
        }
    }

    fn note(&mut self, at: usize, batch: Batch) {
        if self.hand_off == HandOff::Each {
            self.handed = Some((at, batch.len() as u32, self.pool.clock.now_ns()));
        }
    }

    /// The last hand-out is over: how long did it take?
    fn measure(&mut self) {
        self.books.flush();
        if let Some((at, count, since_ns)) = self.handed.take()
            && let Some(Some(place)) = self.places.get_mut(at)
        {
            place.pace.note(count, self.pool.clock.now_ns().saturating_sub(since_ns));
        }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.books.flush();
        for at in 0..self.places.len() {
            self.drop_place(at);
        }
        self.lane.marks.exit();
        self.lane.marks.hold_nothing();
    }
}
