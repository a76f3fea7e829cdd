//! A subscription: its queue, as publishers, lanes, watchdogs and operators see it.

use std::{
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering::*},
    },
};

use patchbay_journal::{AppendError, Journal, Record, Subscribe};

use crate::{
    broker::{Broker, Inner},
    clock::Clock,
    ledger::Ledger,
    queue::{
        inbox::{InboxState, SEATS_MAX},
        recall::{Begun, Progress, Revoked},
        room::Room,
        seat::{Park, Seat, Taken},
        service::{Backlog, Due, Queue, Time},
        split::Split,
        window::Hand,
    },
    redelivery::BreakerLook,
    settlement::Fault,
    solo::{Floor, Solo},
    spec::{Overflow, SubscriptionSpec},
    timer::Timer,
    wake::Wake,
};

/// A subscription. It belongs to a plugin's name, and outlives versions and restarts of the plugin.
///
/// It starts paused: nothing is handed out before [`set_split`](Subscription::set_split).
pub struct Subscription {
    id: u64,
    spec: Arc<SubscriptionSpec>,
    pub(crate) queue: Queue,
    clock: Arc<dyn Clock>,
    unix_offset: u64,
    timer: Arc<Timer>,
    /// When the timer will look at this subscription. Kept by the timer.
    pub(crate) armed: AtomicU64,
    solo: Arc<Solo>,
    broker: Weak<Inner>,
    this: Weak<Subscription>,
}

/// What a subscription takes from its broker.
pub(crate) struct Context {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) timer: Arc<Timer>,
    pub(crate) unix_offset: u64,
    pub(crate) broker: Weak<Inner>,
    pub(crate) solo: Arc<Solo>,
}

/// A seat was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SeatError {
    /// The mask of sleeping seats is full.
    #[error("cannot seat another lane at `{pattern}`: {SEATS_MAX} seats are taken")]
    TooMany {
        /// The subscription's pattern.
        pattern: String,
    },
    /// It was removed.
    #[error("cannot seat a lane at `{pattern}`: the subscription is closed")]
    Closed {
        /// The subscription's pattern.
        pattern: String,
    },
}

// === impl Subscription ===

impl Subscription {
    pub(crate) fn create(
        id: u64,
        spec: Arc<SubscriptionSpec>,
        queue: Queue,
        context: Context,
    ) -> Arc<Subscription> {
        let Context { clock, timer, unix_offset, broker, solo } = context;
        Arc::new_cyclic(|this| Subscription {
            id,
            spec,
            queue,
            clock,
            unix_offset,
            timer,
            armed: AtomicU64::new(u64::MAX),
            broker,
            solo,
            this: Weak::clone(this),
        })
    }

    /// Its number at the broker.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The plugin that owns it, by name.
    #[must_use]
    pub fn owner(&self) -> &str {
        &self.spec.owner
    }

    /// Its number within the owner.
    #[must_use]
    pub fn index(&self) -> u32 {
        self.spec.index
    }

    /// What it was asked to be.
    #[must_use]
    pub fn spec(&self) -> &SubscriptionSpec {
        &self.spec
    }

    pub(crate) fn unix_offset(&self) -> u64 {
        self.unix_offset
    }

    pub(crate) fn this(&self) -> Option<Arc<Subscription>> {
        self.this.upgrade()
    }

    pub(crate) fn broker(&self) -> Option<Broker> {
        self.broker.upgrade().map(Broker::from_inner)
    }

    // --- seats ---

    /// A place for a lane of that generation. `wake` is called when a sleeping seat should look
    /// again, or when something was taken from a working one.
    ///
    /// # Errors
    /// When 63 seats are taken, or the subscription was removed.
    pub fn seat(&self, generation: u64, wake: Arc<dyn Wake>) -> Result<Seat, SeatError> {
        let pattern = || self.spec.pattern.to_string();
        let Some(this) = self.this.upgrade() else {
            return Err(SeatError::Closed { pattern: pattern() });
        };
        match self.queue.enter(generation, wake) {
            Some(hand) => Ok(Seat::new(this, hand)),
            None if self.is_closed() => Err(SeatError::Closed { pattern: pattern() }),
            None => Err(SeatError::TooMany { pattern: pattern() }),
        }
    }

    #[inline]
    pub(crate) fn turn(&self, hand: &mut Hand, ask: Option<(usize, Park)>) -> (Taken, u64) {
        let now_ns = self.clock.now_ns();
        let unix_ns = now_ns.wrapping_add(self.unix_offset);
        let time = Time { now_ns, unix_ns };
        if self.solo.is_wanted() {
            return (self.turn_solo(hand, ask, time), now_ns);
        }
        let (taken, due) = self.queue.turn(hand, ask, time);
        self.arm(due);
        (taken, now_ns)
    }

    /// A turn while there are suspects: settles, and takes only what may be taken.
    #[cold]
    fn turn_solo(&self, hand: &mut Hand, ask: Option<(usize, Park)>, time: Time) -> Taken {
        // A call that was suspended may have ended long after its window.
        let settles = !hand.current.is_empty() || !hand.finished.is_empty();
        let (taken, due) = self.queue.turn(hand, None, time);
        self.arm(due);
        if settles {
            self.solo_moves_on();
        }
        if taken == Taken::Closed || ask.is_none() {
            return taken;
        }
        let Some(broker) = self.broker.upgrade() else { return taken };
        match self.solo.ask(self, || broker.in_flight()) {
            Floor::Open => {}
            Floor::Closed => return Taken::Empty { next_due_ns: None },
            Floor::Yours => {
                let (taken, due) = self.queue.take_suspect(hand, time);
                self.arm(due);
                if !matches!(taken, Taken::Batch(_)) {
                    self.solo.give_back();
                }
                return taken;
            }
        }
        let (taken, due) = self.queue.turn(hand, ask, time);
        self.arm(due);
        taken
    }

    /// Something was settled: whoever rests because of a suspect should look again.
    pub(crate) fn solo_moves_on(&self) {
        if !self.solo.is_wanted() {
            return;
        }
        if self.queue.ended_solo() {
            self.solo.give_back();
        }
        let Some(broker) = self.broker.upgrade() else { return };
        if self.solo.is_active() {
            broker.all().iter().for_each(|each| each.queue.poke());
        }
    }

    pub(crate) fn weak(&self) -> Weak<Subscription> {
        self.this.clone()
    }

    /// How many deliveries may have ended a process.
    pub(crate) fn suspects(&self) -> usize {
        self.queue.suspects()
    }

    /// Whether a lane comes, or is sent when it is asked for.
    pub(crate) fn is_attended(&self) -> bool {
        self.queue.is_attended()
    }

    pub(crate) fn step_away(&self, hand: &Hand) {
        self.arm(self.queue.step_away(hand));
    }

    pub(crate) fn leave(&self, hand: &mut Hand) {
        self.arm(self.queue.leave(hand, self.clock.now_ns()));
        // Freed outside the desk's lock.
        hand.free_previous();
        self.solo_moves_on();
    }

    pub(crate) fn leased(&self, seat: u64, token: u64) -> Option<patchbay_slab::Message> {
        self.queue.leased(seat, token)
    }

    // --- versions and watchdogs ---

    /// Cutover: who gets what from now on. When this returns, no seat starts a hand-off that was
    /// decided before; what is still running or unsettled is returned.
    pub fn set_split(&self, split: Split) -> Vec<Begun> {
        let (begun, due) = self.queue.cut_over(split, self.clock.now_ns());
        self.arm(due);
        self.solo_moves_on();
        begun
    }

    /// What is begun and not settled: by whom. Of a window that no cutover has cut, all of it.
    #[must_use]
    pub fn begun(&self) -> Vec<Begun> {
        self.queue.begun()
    }

    /// Who gets what.
    #[must_use]
    pub fn split(&self) -> Split {
        self.queue.split()
    }

    /// Ends a seat whose lane does not come back in time. What had ended is settled as recorded, what
    /// is running is repeated elsewhere, the rest goes back as it was. A running hand-off among
    /// `culprits` (by [`Seat::token`]) is charged with that fault; the others are bystanders. Whatever
    /// the seat says later is refused and counted.
    pub fn revoke(&self, seat: u64, culprits: &[(u64, Fault)]) -> Revoked {
        let (revoked, due) = self.queue.revoke(seat, culprits, self.clock.now_ns());
        self.arm(due);
        self.solo_moves_on();
        revoked
    }

    /// Writes one suspended call off and charges it; its seat lives on. False when that call is not
    /// suspended (any more).
    pub fn revoke_call(&self, token: u64, fault: Fault) -> bool {
        let (revoked, due) = self.queue.revoke_call(token, fault, self.clock.now_ns());
        self.arm(due);
        self.solo_moves_on();
        revoked
    }

    /// What a seat holds and has not begun goes to others, and what it has finished is settled; it
    /// keeps its call. Returns how many went to others.
    pub fn relieve(&self, seat: u64) -> usize {
        let (moved, due) = self.queue.relieve(seat, self.clock.now_ns());
        self.arm(due);
        self.solo_moves_on();
        moved
    }

    /// Where every seat with a window stands. A seat that stands still holds others back.
    #[must_use]
    pub fn progress(&self) -> Vec<Progress> {
        self.queue.progress()
    }

    // --- lanes on demand ---

    /// Calls `wake` when something waits for that generation and no seat of it works or sleeps here;
    /// at once, if that is so now. Called again only after a seat of the generation came.
    pub fn on_demand(&self, generation: u64, wake: Arc<dyn Wake>) {
        self.arm(self.queue.demand(generation, wake));
    }

    /// Takes [`on_demand`](Subscription::on_demand) back.
    pub fn no_demand(&self, generation: u64) {
        self.queue.no_demand(generation);
    }

    /// What waits for a generation.
    #[must_use]
    pub fn backlog(&self, generation: u64) -> Backlog {
        self.queue.backlog(generation)
    }

    // --- publishers ---

    /// Registers `wake` to be called once when there may be room for a message of `size` bytes.
    pub fn when_room(&self, size: usize, wake: Arc<dyn Wake>) -> Room {
        self.queue.inbox.register(size, wake)
    }

    /// Whether publishers wait here for room.
    pub(crate) fn blocks(&self) -> bool {
        self.spec.overflow == Overflow::Block
    }

    /// Tells the journal that it exists. Its inbox is locked by the caller.
    pub(crate) fn register(
        &self,
        journal: &Journal,
        state: &mut InboxState,
    ) -> Result<(), AppendError> {
        let pattern = self.spec.pattern.as_str();
        let subscribe = Subscribe { sub: self.id as u32, owner: &self.spec.owner, pattern };
        journal.append(&Record::Subscribe(subscribe))?;
        state.intake.registered = true;
        Ok(())
    }

    /// A record of its has reached its level: lanes may look.
    pub(crate) fn announce(&self) {
        let nudge = self.queue.inbox.announce();
        if let Some(wake) = nudge.wake {
            wake.wake();
        }
        if nudge.raise {
            self.raise();
        }
    }

    pub(crate) fn raise(&self) {
        self.arm(self.queue.raise());
    }

    // --- looking ---

    /// What became of everything; exact.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        self.queue.ledger()
    }

    /// How many deliveries wait, for a hand-off or for a time.
    #[must_use]
    pub fn depth(&self) -> u64 {
        let ledger = self.ledger();
        ledger.queued + ledger.delayed
    }

    /// How many deliveries wait in memory with their message; the others are in the journal.
    #[must_use]
    pub fn in_memory(&self) -> usize {
        self.queue.in_memory()
    }

    /// Whether hand-offs pause because nearly all of them fail.
    #[must_use]
    pub fn is_tripped(&self) -> bool {
        self.queue.is_tripped()
    }

    /// How its breaker stands, and why; `None` when it has none.
    #[must_use]
    pub fn breaker(&self) -> Option<BreakerLook> {
        self.queue.breaker()
    }

    /// A time on the monotonic clock as nanoseconds since the Unix epoch, for people.
    #[must_use]
    pub fn unix_ns(&self, mono_ns: u64) -> u64 {
        mono_ns.wrapping_add(self.unix_offset)
    }

    /// Whether it was removed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.queue.inbox.lock().is_closed()
    }

    // --- time ---

    /// The timer's call. Returns when to look again.
    pub(crate) fn tick(&self, now_ns: u64) -> Due {
        self.queue.tick(now_ns)
    }

    #[inline]
    pub(crate) fn arm(&self, due: Due) {
        if due < self.armed.load(Acquire) {
            self.timer.arm(&self.this, &self.armed, due);
        }
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("id", &self.id)
            .field("owner", &self.spec.owner)
            .field("pattern", &self.spec.pattern.as_str())
            .finish_non_exhaustive()
    }
}
