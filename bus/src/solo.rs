//! A process died with several attempts in flight: each is a suspect, and none is charged. They are
//! handed out one at a time over the whole bus, and nothing beside, until each was settled once
//! (promise P-15). Then the next death names its culprit.
//!
//! It begins when a lane comes for a suspect, so that the suspects of a plugin that never comes back
//! hold nobody up, and ends with the last one of those whose lanes come.

use std::sync::{
    Arc, Mutex, Weak,
    atomic::{AtomicBool, Ordering::*},
};

use crate::{subscription::Subscription, sync::lock};

/// Who may be handed out.
#[derive(Debug, Default)]
pub(crate) struct Solo {
    /// There are suspects somewhere. Read at every turn.
    is_wanted: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Subscriptions that may have suspects.
    members: Vec<Weak<Subscription>>,
    /// A lane has come for one.
    is_active: bool,
    /// Whose suspect is out.
    out: Option<Weak<Subscription>>,
}

/// What a lane may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Floor {
    /// Whatever it likes: no solo.
    Open,
    /// Nothing now; it is woken.
    Closed,
    /// Take one suspect.
    Yours,
}

// === impl Solo ===

impl Solo {
    #[inline]
    pub(crate) fn is_wanted(&self) -> bool {
        self.is_wanted.load(Relaxed)
    }

    /// A subscription has suspects.
    pub(crate) fn join(&self, member: &Arc<Subscription>) {
        lock(&self.state).members.push(Arc::downgrade(member));
        self.is_wanted.store(true, Release);
    }

    /// Asks for the floor. `in_flight` tells how much is out over the whole bus.
    pub(crate) fn ask(&self, me: &Subscription, in_flight: impl FnOnce() -> u64) -> Floor {
        let mut state = lock(&self.state);
        state.members.retain(|member| member.upgrade().is_some_and(|it| it.suspects() > 0));
        // One that was removed tells nobody what became of its suspect.
        let is_over = |holder: &Weak<Subscription>| {
            holder.upgrade().is_none_or(|it| it.queue.is_over() && it.queue.in_flight() == 0)
        };
        if state.out.as_ref().is_some_and(is_over) {
            state.out = None;
        }
        if state.members.is_empty() && state.out.is_none() {
            // Those who rest were told when the last one was settled.
            state.is_active = false;
            self.is_wanted.store(false, Release);
            return Floor::Open;
        }
        if state.out.is_some() {
            return Floor::Closed;
        }
        if me.suspects() == 0 {
            let comes = |member: &Weak<Subscription>| {
                member.upgrade().is_some_and(|member| member.is_attended())
            };
            state.is_active &= state.members.iter().any(comes);
            return if state.is_active { Floor::Closed } else { Floor::Open };
        }
        state.is_active = true;
        if in_flight() > 0 {
            return Floor::Closed;
        }
        state.out = Some(me.weak());
        Floor::Yours
    }

    /// Whether anybody rests because of a suspect.
    pub(crate) fn is_active(&self) -> bool {
        lock(&self.state).is_active
    }

    /// The suspect was settled, or there was none.
    pub(crate) fn give_back(&self) {
        lock(&self.state).out = None;
    }
}
