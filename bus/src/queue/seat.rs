//! A lane's place at a subscription: takes windows, begins hand-offs, says how they ended.

use std::{fmt, sync::Arc};

use patchbay_journal::planted::fault;
use patchbay_slab::Message;

use super::{
    courier::Courier,
    forward::Forward,
    window::{Hand, of_token, token},
};
use crate::{
    delivery::Delivery,
    publisher::PublishError,
    settlement::{Fault, FaultClass, Outcome, Verdict},
    spec::Order,
    subscription::Subscription,
};

/// A lane's place at a subscription. Used by one thread at a time.
///
/// One round: [`take`](Seat::take) a window; for every position in order [`begin`](Seat::begin) it
/// and, if told to go, call the handler; [`record`](Seat::record) every outcome but
/// acknowledged; take again, which settles the window in the same critical section.
///
/// A call that does not end at once is [`suspend`](Seat::suspend)ed and [`finish`](Seat::finish)ed
/// later by its token, whether its window is still open or not: what is suspended when a window is
/// settled keeps a lease of its own.
///
/// Dropping a seat gives back what it holds, and repeats the hand-off that was begun last unless it
/// was recorded: [`settle`](Seat::settle) before an orderly end.
pub struct Seat {
    subscription: Arc<Subscription>,
    hand: Hand,
    /// Keys with an unsettled delivery in this window: later ones of the same key are passed over.
    blocked: Vec<u64>,
    /// Wall clock at the last take, for expiry.
    unix_now: u64,
    courier: Courier,
}

/// What a lane does when nothing is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Park {
    /// It will ask again by itself.
    No,
    /// It goes to sleep: its [`Wake`](crate::Wake) is called, once, when something may be there.
    Yes,
}

/// What a seat got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// That many deliveries, in [`Seat::deliveries`].
    Batch(usize),
    /// Nothing.
    Empty {
        /// When something is due by itself, on the monotonic clock. The broker's timer wakes
        /// somebody then: for information only.
        next_due_ns: Option<u64>,
    },
    /// The subscription is closed, or the seat was revoked: nothing ever again.
    Closed,
}

/// Whether a hand-off may start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// Call the handler.
    Go,
    /// Not this one, but go on: an earlier one of its key is unsettled, or it has expired.
    Skip,
    /// Not this one and none behind it: they were taken back. Take again.
    Stop,
}

/// How many hand-offs ahead a message is fetched from the core that wrote it.
const AHEAD: usize = 4;

// === impl Seat ===

impl Seat {
    pub(crate) fn new(subscription: Arc<Subscription>, hand: Hand) -> Seat {
        Seat { subscription, hand, blocked: Vec::new(), unix_now: 0, courier: Courier::default() }
    }

    /// Names the seat, unique per subscription.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.hand.serial
    }

    /// The generation it was made for.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.hand.generation
    }

    /// The subscription.
    #[must_use]
    pub fn subscription(&self) -> &Arc<Subscription> {
        &self.subscription
    }

    /// Settles the window and takes the next one, of at most `limit` deliveries (and at most 1,024).
    pub fn take(&mut self, limit: usize, park: Park) -> Taken {
        self.blocked.clear();
        let (taken, now_ns) = self.subscription.turn(&mut self.hand, Some((limit, park)));
        self.unix_now = now_ns.wrapping_add(self.subscription.unix_offset());
        taken
    }

    /// Settles the window without taking another.
    pub fn settle(&mut self) {
        self.blocked.clear();
        self.subscription.turn(&mut self.hand, None);
    }

    /// Says that this seat will not ask for a while, though it is not asleep here. A wake-up that it
    /// got meanwhile is passed on to another seat, or to whoever starts lanes on demand.
    pub fn step_away(&mut self) {
        self.subscription.step_away(&self.hand);
    }

    /// The window.
    #[must_use]
    #[inline]
    pub fn deliveries(&self) -> &[Delivery] {
        &self.hand.current
    }

    /// Whether more than one publisher was seen in the window that was settled last.
    #[must_use]
    #[inline]
    pub fn is_mixed(&self) -> bool {
        self.hand.is_mixed
    }

    /// When a delivery was accepted, nanoseconds since the Unix epoch.
    #[must_use]
    #[inline]
    pub fn accepted_unix_ns(&self, delivery: &Delivery) -> u64 {
        if delivery.is_durable() {
            // Another life may have accepted it, by another clock.
            return delivery.message().time_ns();
        }
        delivery.accepted_ns().wrapping_add(self.subscription.unix_offset())
    }

    /// Names the hand-off at `position` of this window: unique per subscription, for ever.
    #[must_use]
    #[inline]
    pub fn token(&self, position: usize) -> u64 {
        token(self.hand.lease, position)
    }

    /// Asks whether the hand-off at `position` may start, and begins it if so. Positions rise.
    #[inline]
    pub fn begin(&mut self, position: usize) -> Begin {
        let Some(delivery) = self.hand.current.get(position) else { return Begin::Stop };
        if let Some(soon) = self.hand.current.get(position + AHEAD) {
            soon.message().fetch();
        }
        if let Some(next) = self.hand.current.get(position + AHEAD / 2) {
            next.message().fetch_derived();
        }
        let key = delivery.key_hash();
        if !self.blocked.is_empty() && key != 0 && self.blocked.contains(&key) {
            return self.pass(position, Outcome::Skipped);
        }
        let expires = delivery.message().expires_ns();
        if expires != 0 && expires <= self.unix_now && !fault("ignore-expiry") {
            return self.pass(position, Outcome::Expired);
        }
        if !self.hand.shared.gate.claim(position as u32, self.hand.ticket) {
            return Begin::Stop;
        }
        self.hand.began = position as u32 + 1;
        Begin::Go
    }

    #[cold]
    fn pass(&mut self, position: usize, outcome: Outcome) -> Begin {
        self.hand.shared.record(position as u32, outcome);
        self.hand.is_odd = true;
        self.hand.began = position as u32 + 1;
        Begin::Skip
    }

    /// Says how the hand-off at `position` ended, if not with an acknowledgement. A forward is
    /// published here and now; it waits for a full target for
    /// [`forward_patience`](crate::BrokerConfig::forward_patience) at most. Call it with no lock
    /// held.
    pub fn record(&mut self, position: usize, verdict: Verdict) {
        if let Verdict::Forward { topic, message } = verdict {
            return self.forward(position, &topic, &message);
        }
        let outcome = plain(verdict);
        let Some(delivery) = self.hand.current.get(position) else { return };
        // A dead letter is one only once it is settled: the desk may charge a version on trial with it
        // instead, and then it comes again.
        self.block(delivery.key_hash());
        self.hand.is_odd = true;
        self.hand.shared.record(position as u32, outcome);
    }

    /// The same for a forward: publishes first, and what is settled as forwarded is settled after:
    /// never neither. The target's refusal is a retry, and a wait for its room is a short one, so
    /// nothing can deadlock.
    #[inline]
    pub fn forward(&mut self, position: usize, topic: &str, message: &Message) {
        let Some(delivery) = self.hand.current.get(position) else { return };
        let (key, is_durable) = (delivery.key_hash(), delivery.is_durable());
        // While nothing of the window was taken back its lease is good.
        let outcome = if !is_durable && self.hand.shared.gate.is_whole(self.hand.ticket) {
            let cause = delivery.message();
            match self.courier.forward(&self.subscription, topic, message, cause) {
                Ok(()) => {
                    self.hand.forwarded += 1;
                    return self.hand.shared.record_forward(position);
                }
                refused => forwarded(topic, refused),
            }
        } else {
            let durable = is_durable.then_some(delivery.id());
            self.forward_leased(topic, message, self.token(position), durable)
        };
        if !matches!(outcome, Outcome::Forwarded) {
            self.block(key);
        }
        self.hand.is_odd = true;
        self.hand.shared.record(position as u32, outcome);
    }

    /// The call at `position` did not end at once.
    pub fn suspend(&mut self, position: usize) {
        let Some(delivery) = self.hand.current.get(position) else { return };
        let key = delivery.key_hash();
        self.block(key);
        if !self.hand.shared.is_open(position) {
            self.hand.shared.set_open(position, true);
            self.hand.suspended += 1;
        }
    }

    /// The suspended call of that token ended; `None` = acknowledged. Settled at the next
    /// [`take`](Seat::take) or [`settle`](Seat::settle). Call it with no lock held.
    pub fn finish(&mut self, token: u64, verdict: Option<Verdict>) {
        let (lease, position) = of_token(token);
        let in_window = lease == self.hand.lease && position < self.hand.current.len();
        if in_window && !self.hand.shared.is_open(position) {
            return;
        }
        let outcome = match verdict {
            Some(Verdict::Forward { topic, message }) => {
                let durable = self.subscription.queue.durable_id(self.hand.serial, token);
                self.forward_leased(&topic, &message, token, durable)
            }
            Some(other) => plain(other),
            None => Outcome::Done,
        };
        if !in_window {
            self.hand.finished.push((token, outcome));
            return;
        }
        if !matches!(outcome, Outcome::Done) {
            self.hand.is_odd = true;
            self.hand.shared.record(position as u32, outcome);
        }
        self.hand.shared.set_open(position, false);
        self.hand.suspended -= 1;
    }

    fn block(&mut self, key: u64) {
        let ordered = self.subscription.spec().order != Order::None;
        if ordered && key != 0 && !self.blocked.contains(&key) {
            self.blocked.push(key);
        }
    }

    /// Publishes for a call that may have lost its lease, or whose delivery is recorded.
    #[cold]
    fn forward_leased(
        &mut self,
        topic: &str,
        message: &Message,
        token: u64,
        durable: Option<u64>,
    ) -> Outcome {
        let Some(cause) = self.subscription.leased(self.hand.serial, token) else {
            // Revoked meanwhile: whoever repeats it will forward it, and this is refused as stale.
            return Outcome::Done;
        };
        let (seat, cause) = (self.hand.serial, &cause);
        let result = match durable {
            Some(delivery) => self.courier.publisher(&self.subscription).and_then(|publisher| {
                let forward = Forward { seat, token, delivery, topic, message, cause };
                self.subscription.queue.forward(publisher, &forward)
            }),
            None => self.courier.forward(&self.subscription, topic, message, cause),
        };
        forwarded(topic, result)
    }
}

/// What became of a forward.
fn forwarded(topic: &str, result: Result<(), PublishError>) -> Outcome {
    match result {
        Ok(()) => Outcome::Forwarded,
        Err(error) if error.is_retryable() => Outcome::Refused,
        Err(PublishError::Closed | PublishError::JournalFailed { .. }) => Outcome::Refused,
        Err(PublishError::HopLimit { .. }) => Outcome::HopLimit,
        Err(error) => {
            let text = format!("forward to {topic:?} was refused: {error}");
            Outcome::Fault(Fault { class: FaultClass::Invalid, text })
        }
    }
}

fn plain(verdict: Verdict) -> Outcome {
    match verdict {
        Verdict::Retry(delay_ns) => Outcome::Retry(delay_ns),
        Verdict::Failed(reason) => Outcome::Failed(reason),
        Verdict::Fault(fault) => Outcome::Fault(fault),
        // Handled by the caller, who knows the cause.
        Verdict::Forward { .. } => Outcome::Refused,
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.subscription.leave(&mut self.hand);
    }
}

impl fmt::Debug for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seat")
            .field("id", &self.hand.serial)
            .field("generation", &self.hand.generation)
            .field("lease", &self.hand.lease)
            .field("window", &self.hand.current.len())
            .finish_non_exhaustive()
    }
}
