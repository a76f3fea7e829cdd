//! All matching subscriptions take a message, or none does.
//!
//! With one subscription that is its lock. With several, their inboxes are locked in the order of
//! their ids, all are asked, and only then is anything appended. Waiting and dropping the oldest
//! happen with no inbox locked; then it starts over.

use std::{
    collections::VecDeque,
    sync::{Arc, MutexGuard, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use patchbay_slab::Message;
use patchbay_wire::Topic;
use smallvec::SmallVec;

use super::{PublishError, Published, Refused};
use crate::{
    broker::Inner,
    queue::inbox::{InboxState, Nudge},
    request::REPLY_PREFIX,
    routing::Route,
    spec::Overflow,
    subscription::Subscription,
    sync::lock,
};

/// What a subscription says to a message.
enum Answer {
    Yes,
    /// Taken, and dropped at once.
    Dropped,
    /// It was removed.
    Gone,
    No(Obstacle),
}

/// What has to happen before a message can be admitted.
enum Obstacle {
    /// The oldest must go, which needs the desk.
    MakeRoom,
    /// There is no room.
    Full,
    /// There will never be room.
    TooLarge(usize),
    /// The route is out of date.
    Moved,
    /// All were removed, and the topic needs somebody.
    Nobody,
}

/// How often a publisher makes room for one message before others, who take it each time, have won.
const MAKE_ROOM_MAX: u32 = 64;

/// Subscriptions of a topic up to which a publish allocates nothing for them.
pub(super) const FEW: usize = 16;

/// From when on a message may be handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// At once.
    Now,
    /// From that instant of the monotonic clock.
    At(u64),
}

/// How long a message waits for room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Not at all.
    None,
    /// As long as the subscription says.
    Asked,
    /// That long, whatever the subscription says.
    Brief(Duration),
}

/// How a message comes in.
#[derive(Clone, Copy)]
pub(super) struct Admission<'a> {
    pub(super) broker: &'a Inner,
    pub(super) now_ns: u64,
    pub(super) patience: Patience,
    /// It follows from a message that was accepted before: also after the intake was closed.
    pub(super) follows: bool,
    pub(super) start: Start,
}

// === impl Patience ===

impl Patience {
    /// Whether it waits where a subscription says so.
    pub(super) const fn of(waits: bool) -> Patience {
        if waits { Patience::Asked } else { Patience::None }
    }

    /// Longest wait for room at a subscription.
    fn at(self, subscription: &Subscription, asked: Duration) -> Duration {
        match self {
            Patience::Asked if subscription.blocks() => asked,
            Patience::Brief(brief) => brief,
            Patience::Asked | Patience::None => Duration::ZERO,
        }
    }
}

// === impl Admission ===

impl Admission<'_> {
    /// Admits one message.
    #[inline]
    pub(super) fn deliver(
        self,
        route: &Route,
        message: Message,
        scratch: &mut VecDeque<Message>,
    ) -> Result<Published, Refused> {
        if self.is_closed() {
            return Err(Refused { error: PublishError::Closed, message });
        }
        let id = message.id();
        if let ([subscription], [], Start::Now) = (&*route.subscriptions, &*route.taps, self.start)
        {
            // The usual case, without a queue of messages around it.
            let key = subscription.spec().key_of(&message);
            let inbox = &subscription.queue.inbox;
            let mut state = inbox.lock();
            if inbox.has_room(&state, message.size()) && !state.is_closed() {
                let nudge = state.push(message, key, self.now_ns);
                drop(state);
                follow(subscription, nudge);
                return Ok(Published::in_memory(id, 1));
            }
        }
        let several = 2..=FEW;
        if several.contains(&route.subscriptions.len())
            && route.taps.is_empty()
            && self.start == Start::Now
        {
            return match self.append_to_each(&route.subscriptions, message) {
                Ok(routed) => Ok(Published::in_memory(id, routed)),
                Err(message) => self.deliver_slowly(route, message, scratch),
            };
        }
        self.deliver_slowly(route, message, scratch)
    }

    /// Appends a message to several inboxes that all have room, if no key has to be asked for. Else
    /// it comes back, and nothing has happened.
    #[inline]
    fn append_to_each(
        self,
        subscriptions: &[Arc<Subscription>],
        message: Message,
    ) -> Result<u32, Message> {
        let size = message.size();
        let mut states: SmallVec<[MutexGuard<'_, InboxState>; FEW]> = SmallVec::new();
        for subscription in subscriptions {
            let inbox = &subscription.queue.inbox;
            let state = inbox.lock();
            let takes_it = inbox.has_room(&state, size) & !state.is_closed();
            if !(takes_it & subscription.spec().key_is_at_hand()) {
                return Err(message);
            }
            states.push(state);
        }
        let mut nudges: SmallVec<[(usize, Nudge); FEW]> = SmallVec::new();
        let copies = message.fan_out(subscriptions.len());
        for (index, ((subscription, mut state), copy)) in
            subscriptions.iter().zip(states).zip(copies).enumerate()
        {
            let key = subscription.spec().key_of(&copy);
            let nudge = state.push(copy, key, self.now_ns);
            if nudge.wake.is_some() | nudge.raise {
                nudges.push((index, nudge));
            }
        }
        for (index, nudge) in nudges {
            follow(&subscriptions[index], nudge);
        }
        Ok(subscriptions.len() as u32)
    }

    #[inline]
    fn is_closed(self) -> bool {
        !self.follows && self.broker.closed.load(Relaxed)
    }

    /// `messages` is empty, and is again afterwards; it is kept so that none has to be made.
    fn deliver_slowly(
        self,
        route: &Route,
        message: Message,
        messages: &mut VecDeque<Message>,
    ) -> Result<Published, Refused> {
        let id = message.id();
        if route.subscriptions.is_empty() {
            if route.needs_taker {
                return Err(Refused { error: PublishError::NoMatch, message });
            }
            return Ok(Published::in_memory(id, self.pass(route, message)));
        }
        messages.push_back(message);
        match (self.admit(route, messages), messages.pop_front()) {
            (Err(error), Some(message)) => Err(Refused { error, message }),
            (result, _) => Ok(Published::in_memory(id, result.unwrap_or_default())),
        }
    }

    /// A message that no subscription matches: to who looks on, and to who waits for a reply. Returns
    /// how many took it.
    fn pass(self, route: &Route, message: Message) -> u32 {
        route.taps.iter().for_each(|tap| tap.offer(&message));
        let is_reply = message.topic().starts_with(REPLY_PREFIX);
        if is_reply { self.broker.requests.answer(message) } else { 0 }
    }

    /// Admits messages of one topic from the front until one is refused, which stays in front.
    /// Returns how many subscriptions took the last one.
    pub(super) fn admit(
        self,
        route: &Route,
        messages: &mut VecDeque<Message>,
    ) -> Result<u32, PublishError> {
        if self.is_closed() {
            return Err(PublishError::Closed);
        }
        if route.subscriptions.is_empty() {
            if route.needs_taker {
                return Err(PublishError::NoMatch);
            }
            return Ok(messages.drain(..).fold(0, |_, message| self.pass(route, message)));
        }
        let mut deadline = None;
        let mut made_room = 0;
        let mut routed = 0;
        while !messages.is_empty() {
            if self.append_run(route, messages) {
                routed = 1;
                continue;
            }
            let stopped = self.append(route, messages, made_room >= MAKE_ROOM_MAX, &mut routed);
            let (Some((index, obstacle)), Some(message)) = (stopped, messages.front()) else {
                break;
            };
            let subscription = &route.subscriptions[index];
            let size = message.size();
            match obstacle {
                Obstacle::TooLarge(limit) => return Err(PublishError::TooLarge { size, limit }),
                Obstacle::Nobody => return Err(PublishError::NoMatch),
                Obstacle::Moved => {
                    // Whoever changes the routes is through when the lock is free.
                    drop(lock(&self.broker.edit));
                    let topic = Topic::parse(message.topic()).map_err(PublishError::Topic)?;
                    return self.admit(&self.broker.route(&topic), messages);
                }
                Obstacle::MakeRoom => {
                    made_room += 1;
                    if !subscription.queue.drop_oldest(size) {
                        made_room = MAKE_ROOM_MAX;
                    }
                }
                Obstacle::Full => {
                    let wait = self.patience.at(subscription, self.broker.config.publish_timeout);
                    let deadline = *deadline.get_or_insert_with(|| Instant::now() + wait);
                    let waits = !wait.is_zero();
                    if !waits || !subscription.queue.inbox.wait_for_room(size, deadline) {
                        let subscription = Arc::clone(subscription);
                        return Err(PublishError::Full { subscription });
                    }
                }
            }
        }
        Ok(routed)
    }

    /// Appends from the front what the only subscription has room for, if no key has to be asked for
    /// and nobody looks on: the usual case, with nothing around it. Returns whether it took any.
    #[inline]
    fn append_run(self, route: &Route, messages: &mut VecDeque<Message>) -> bool {
        let ([subscription], [], Start::Now) = (&*route.subscriptions, &*route.taps, self.start)
        else {
            return false;
        };
        let spec = subscription.spec();
        if !spec.key_is_at_hand() {
            return false;
        }
        let inbox = &subscription.queue.inbox;
        let mut first = Nudge::default();
        let before = messages.len();
        let mut state = inbox.lock();
        while let Some(message) = messages.pop_front() {
            if !inbox.has_room(&state, message.size()) || state.is_closed() {
                messages.push_front(message);
                break;
            }
            let key = spec.key_of(&message);
            let nudge = state.push(message, key, self.now_ns);
            // Only the first one into an empty inbox has anything to say.
            if nudge.wake.is_some() || nudge.raise {
                first = nudge;
            }
        }
        drop(state);
        follow(subscription, first);
        messages.len() < before
    }

    /// Appends what all subscriptions take. Returns who refused the message in front, and why.
    fn append(
        self,
        route: &Route,
        messages: &mut VecDeque<Message>,
        drop_newest: bool,
        routed: &mut u32,
    ) -> Option<(usize, Obstacle)> {
        let subscriptions = &*route.subscriptions;
        // Keys may need a look into the message, or a function of the host: not under a lock. One
        // row per message.
        let row = |message| subscriptions.iter().map(move |each| each.spec().key_of(message));
        let keys: SmallVec<[u64; FEW]> = messages.iter().flat_map(row).collect();
        fetch(route);
        let mut states: SmallVec<[MutexGuard<'_, InboxState>; FEW]> =
            subscriptions.iter().map(|subscription| subscription.queue.inbox.lock()).collect();
        let mut nudges: SmallVec<[(usize, Nudge); FEW]> = SmallVec::new();
        let mut shown: Vec<Message> = Vec::new();
        let mut answers: SmallVec<[Answer; FEW]> = SmallVec::new();
        let mut stopped = None;
        for position in 0.. {
            let Some(message) = messages.front() else { break };
            answers.clear();
            for (index, subscription) in subscriptions.iter().enumerate() {
                match ask(subscription, &states[index], message.size(), drop_newest) {
                    // Nothing is given up for a message that somebody else refuses.
                    Answer::No(Obstacle::MakeRoom) => {
                        stopped = stopped.or(Some((index, Obstacle::MakeRoom)));
                    }
                    Answer::No(obstacle) => {
                        stopped = Some((index, obstacle));
                        break;
                    }
                    answer => answers.push(answer),
                }
            }
            let is_gone = |answer: &Answer| matches!(answer, Answer::Gone);
            if stopped.is_none() && route.needs_taker && answers.iter().all(is_gone) {
                stopped = Some((0, Obstacle::Nobody));
            }
            if stopped.is_some() {
                break;
            }
            let Some(message) = messages.pop_front() else { break };
            if !route.taps.is_empty() {
                shown.push(message.clone());
            }
            let mut copies = message.fan_out(answers.len());
            *routed = 0;
            for (index, answer) in answers.iter().enumerate() {
                let Some(copy) = copies.next() else { break };
                match answer {
                    Answer::Yes => {
                        let key = keys[position * subscriptions.len() + index];
                        let nudge = match self.start {
                            Start::Now => states[index].push(copy, key, self.now_ns),
                            Start::At(due_ns) => {
                                states[index].push_later(copy, key, self.now_ns, due_ns)
                            }
                        };
                        if nudge.wake.is_some() || nudge.raise {
                            nudges.push((index, nudge));
                        }
                        *routed += 1;
                    }
                    Answer::Dropped => {
                        states[index].drop_newest();
                        *routed += 1;
                    }
                    Answer::Gone | Answer::No(_) => {}
                }
            }
        }
        drop(states);
        for (index, nudge) in nudges {
            follow(&subscriptions[index], nudge);
        }
        for message in &shown {
            route.taps.iter().for_each(|tap| tap.offer(message));
        }
        stopped
    }
}

/// Brings near what a publish to several writes first. With one it gains nothing, and where publishers
/// contend for it, the one that has the lock would lose its line.
#[inline]
pub(super) fn fetch(route: &Route) {
    if let several @ [_, _, ..] = &*route.subscriptions {
        several.iter().take(FEW).for_each(|subscription| subscription.queue.inbox.fetch());
    }
}

/// What a subscription says to a message of that size.
fn ask(subscription: &Subscription, state: &InboxState, size: usize, drop_newest: bool) -> Answer {
    let inbox = &subscription.queue.inbox;
    if state.is_moved() {
        return Answer::No(Obstacle::Moved);
    }
    if state.is_closed() {
        return Answer::Gone;
    }
    if inbox.has_room(state, size) {
        return Answer::Yes;
    }
    let limit = inbox.limits().bytes;
    if size > limit {
        return Answer::No(Obstacle::TooLarge(limit));
    }
    match subscription.spec().overflow {
        Overflow::DropNewest => Answer::Dropped,
        // The oldest is in the journal, and stays there.
        Overflow::DropOldest if drop_newest || inbox.is_held_up(state) => Answer::Dropped,
        Overflow::DropOldest => Answer::No(Obstacle::MakeRoom),
        Overflow::Reject | Overflow::Block | Overflow::DeadLetter | Overflow::Detach => {
            Answer::No(Obstacle::Full)
        }
    }
}

/// Wakes whoever the inbox named. No lock is held.
#[inline]
fn follow(subscription: &Subscription, nudge: Nudge) {
    if let Some(wake) = nudge.wake {
        wake.wake();
    }
    if nudge.raise {
        subscription.raise();
    }
}
