//! A station while a transition runs: shares of the messages, what a generation still holds, and
//! who is to be told.

use std::sync::Arc;

use patchbay_lifecycle::{Digest, Generation, Identity, transition::Report};
use tokio::sync::mpsc;

use super::{Queue, Station, Trial};
use crate::{
    incarnation::Incarnation,
    transit::{conductor::Told, request::Pending},
};

/// Transitions that may be asked for before the first begins.
const REQUESTS_MAX: usize = 8;

// === impl Station ===

impl Station {
    /// Gives a generation beside the serving one its share of the messages. What only one of the
    /// two wishes is not shared.
    pub(crate) fn try_out(&self, incarnation: &Incarnation, trial: Trial) {
        let mut state = self.lock();
        let Some(serving) = &mut state.serving else { return };
        let begins = serving.trial.is_none_or(|it| it.generation != trial.generation);
        serving.trial = Some(trial);
        let serving = *serving;
        let wishes = incarnation.wishes();
        for queue in state.queues.iter().filter(|queue| !queue.leaving) {
            let Some(wish) = wishes.iter().find(|wish| queue.wish.shares_queue_with(wish)) else {
                continue;
            };
            if begins {
                incarnation.serve(wish, &queue.subscription);
            }
            queue.subscription.set_split(serving.split());
        }
    }

    /// Takes away what a generation has begun and not settled: it goes to who serves now, and what
    /// the generation says about it is refused. Returns how many calls that were.
    pub(crate) fn revoke(&self, generation: Generation) -> u64 {
        let queues = self.lock().queues.clone();
        let mut calls = 0;
        for queue in queues {
            let mut seats: Vec<u64> = queue
                .subscription
                .begun()
                .into_iter()
                .filter(|begun| begun.generation == generation.0)
                .map(|begun| begun.seat)
                .collect();
            seats.sort_unstable();
            seats.dedup();
            for seat in seats {
                calls += queue.subscription.revoke(seat, &[]).running as u64;
            }
        }
        calls
    }

    /// How many calls of a generation are begun and not settled.
    pub(crate) fn held_by(&self, generation: Generation) -> u64 {
        let queues = self.lock().queues.clone();
        let held = |queue: &Queue| {
            let begun = queue.subscription.begun();
            begun.iter().filter(|it| it.generation == generation.0).count() as u64
        };
        queues.iter().map(held).sum()
    }

    /// The percentage of the keys whose messages a generation is handed.
    pub(crate) fn share_of(&self, generation: Generation) -> u8 {
        let Some(serving) = self.lock().serving else { return 0 };
        let tried = serving.trial.map_or((None, 0), |it| (Some(it.generation), it.share));
        match tried {
            _ if serving.flowing == super::Flowing::Held => 0,
            (Some(tried), share) if tried == generation => share,
            (_, share) if serving.generation == generation => 100 - share.min(100),
            _ => 0,
        }
    }

    /// A transition runs from now on, or has ended.
    pub(crate) fn conducted(&self, by: Option<mpsc::Sender<Told>>) {
        let mut state = self.lock();
        (state.conductor, state.measured) = (by, false);
    }

    /// Tells the running transition something. False when there is none, or it does not listen.
    pub(crate) fn tell_transition(&self, told: Told) -> bool {
        let conductor = self.lock().conductor.clone();
        conductor.is_some_and(|conductor| conductor.try_send(told).is_ok())
    }

    /// Whether a transition runs that measures its candidate, and may take its time.
    pub(crate) fn is_measured(&self) -> bool {
        let state = self.lock();
        state.conductor.is_some() && state.measured
    }

    /// The running transition begins to measure its candidate.
    pub(crate) fn measures(&self) {
        self.lock().measured = true;
    }

    pub(crate) fn is_in_transition(&self) -> bool {
        self.lock().conductor.is_some()
    }

    pub(crate) fn show_transition(&self, report: Report) {
        self.lock().transition = Some(Arc::new(report));
    }

    /// The transition that runs, or ran last.
    pub(crate) fn transition(&self) -> Option<Arc<Report>> {
        self.lock().transition.clone()
    }

    /// A transition to this library with this configuration is asked for; it begins when they are
    /// seen to be what is wanted.
    pub(crate) fn ask_for(&self, asked: (Digest, Digest), pending: Pending) {
        let mut state = self.lock();
        state.requests.retain(|(other, _)| *other != asked);
        while state.requests.len() >= REQUESTS_MAX {
            state.requests.pop_front();
        }
        state.requests.push_back((asked, pending));
    }

    /// What was asked for about these, once.
    pub(crate) fn request(&self, identity: &Identity) -> Option<Pending> {
        let mut state = self.lock();
        let asked = (identity.library, identity.config);
        let at = state.requests.iter().position(|(other, _)| *other == asked)?;
        state.requests.remove(at).map(|(_, pending)| pending)
    }
}
