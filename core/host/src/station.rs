//! Everything of a plugin *name* that outlives its generations: subscriptions, logs, metrics,
//! spans, history.
//!
//! The subscriptions are the point where versions meet. A generation says what it wishes; a wish
//! that an earlier generation had as well keeps its queue, and the cutover is one change of that
//! queue's split. So nothing that was accepted depends on which version is there.

mod shares;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use patchbay_bus::{Broker, Split, SubscribeError, Subscription};
use patchbay_lifecycle::{Digest, Generation, Identity, PluginName, transition::Report};
use tokio::sync::mpsc;

use crate::{
    dice::Dice,
    incarnation::Incarnation,
    settings::Limits,
    telemetry::{logs::LogRing, metrics::Metrics, spans::Spans},
    transit::{conductor::Told, request::Pending},
    view::{StateChange, WrittenOffView},
    watch::prepared::Prepared,
    wish::Wish,
};

/// Removed subscriptions that are remembered per name.
const PAST_MAX: usize = 256;

/// A plugin name.
#[derive(Debug)]
pub(crate) struct Station {
    name: PluginName,
    pub(crate) logs: LogRing,
    pub(crate) metrics: Metrics,
    pub(crate) spans: Spans,
    history_max: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Libraries that the link leads to, or led to a moment ago.
    prepared: VecDeque<Arc<Prepared>>,
    incarnations: BTreeMap<Generation, Arc<Incarnation>>,
    /// Who gets the messages.
    serving: Option<Serving>,
    queues: Vec<Queue>,
    /// Removed subscriptions: what they hold may still be on a lane.
    past: VecDeque<Queue>,
    history: VecDeque<StateChange>,
    /// Lanes that were written off.
    written_off: VecDeque<WrittenOffView>,
    /// Where a running transition is told something.
    conductor: Option<mpsc::Sender<Told>>,
    measured: bool,
    /// The latest transition.
    transition: Option<Arc<Report>>,
    /// Transitions that were asked for, by what they lead to.
    requests: VecDeque<((Digest, Digest), Pending)>,
}

/// Who gets the messages, and which part of them.
#[derive(Clone, Copy, Debug)]
struct Serving {
    generation: Generation,
    flowing: Flowing,
    trial: Option<Trial>,
}

/// A generation beside the one that serves, or the one that served before: what it fails at costs
/// no message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trial {
    pub(crate) generation: Generation,
    /// Which keys it gets is drawn from this.
    pub(crate) salt: u64,
    /// Its share of the keys, in percent.
    pub(crate) share: u8,
}

/// Whether messages are handed off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flowing {
    Yes,
    Held,
}

/// A subscription of the name.
#[derive(Clone, Debug)]
pub(crate) struct Queue {
    pub(crate) wish: Wish,
    pub(crate) subscription: Arc<Subscription>,
    /// No message is added to it; the generation that still serves it finishes what it has.
    leaving: bool,
}

// === impl Station ===

impl Station {
    pub(crate) fn new(name: PluginName, limits: &Limits, dice: Arc<Dice>) -> Station {
        Station {
            logs: LogRing::new(limits.log_lines),
            metrics: Metrics::new(name.as_str(), limits.metric_rows),
            spans: Spans::new(name.as_str(), limits.open_spans, limits.spans, dice),
            history_max: limits.history.max(1),
            state: Mutex::default(),
            name,
        }
    }

    pub(crate) fn name(&self) -> &PluginName {
        &self.name
    }

    // --- libraries and generations ---

    /// The link leads to this library now.
    pub(crate) fn prepare(&self, prepared: Arc<Prepared>) {
        let mut state = self.lock();
        if state.prepared.back().is_some_and(|latest| Arc::ptr_eq(latest, &prepared)) {
            return;
        }
        state.prepared.push_back(prepared);
        // The one before may be wanted by a plan that is about to begin.
        while state.prepared.len() > 2 {
            state.prepared.pop_front();
        }
    }

    /// The library that an identity means.
    pub(crate) fn prepared(&self, identity: &Identity) -> Option<Arc<Prepared>> {
        let state = self.lock();
        let mut all = state.prepared.iter().rev();
        let fits = |it: &&Arc<Prepared>| {
            (it.facts.library, it.facts.config) == (identity.library, identity.config)
        };
        all.find(fits).cloned()
    }

    /// The library that the link leads to.
    pub(crate) fn latest(&self) -> Option<Arc<Prepared>> {
        self.lock().prepared.back().cloned()
    }

    pub(crate) fn add(&self, incarnation: Arc<Incarnation>) {
        let mut state = self.lock();
        state.incarnations.insert(incarnation.generation(), incarnation);
    }

    pub(crate) fn take(&self, generation: Generation) -> Option<Arc<Incarnation>> {
        self.lock().incarnations.remove(&generation)
    }

    pub(crate) fn incarnation(&self, generation: Generation) -> Option<Arc<Incarnation>> {
        self.lock().incarnations.get(&generation).cloned()
    }

    /// Every generation that is not gone, oldest first.
    pub(crate) fn incarnations(&self) -> Vec<Arc<Incarnation>> {
        self.lock().incarnations.values().cloned().collect()
    }

    // --- subscriptions ---

    /// The cutover: the name's messages go to this generation. Queues that it does not wish are
    /// left to who served them, and get no more messages.
    ///
    /// `tried`: a generation whose failures cost no message from now on.
    ///
    /// # Errors
    /// A subscription is refused; everything is as it was.
    pub(crate) fn attach(
        &self,
        broker: &Broker,
        incarnation: &Incarnation,
        flowing: Flowing,
        tried: Option<Generation>,
    ) -> Result<(), SubscribeError> {
        let mut state = self.lock();
        let wishes = incarnation.wishes();
        let (mut queues, mut new) = (Vec::new(), Vec::new());
        for wish in wishes {
            let shared =
                state.queues.iter().find(|it| !it.leaving && it.wish.shares_queue_with(&wish));
            let subscription = match shared {
                Some(queue) => Arc::clone(&queue.subscription),
                None => match broker.subscribe(wish.spec(&self.name)) {
                    Ok(subscription) => {
                        new.push(Arc::clone(&subscription));
                        subscription
                    }
                    Err(error) => {
                        for subscription in &new {
                            broker.remove(subscription);
                        }
                        return Err(error);
                    }
                },
            };
            queues.push(Queue { wish, subscription, leaving: false });
        }
        let generation = incarnation.generation();
        let trial = tried.map(|generation| Trial { generation, salt: 0, share: 0 });
        let serving = Serving { generation, flowing, trial };
        for queue in &queues {
            incarnation.serve(&queue.wish, &queue.subscription);
            queue.subscription.set_split(serving.split());
        }
        let is_kept = |it: &Queue| {
            queues.iter().any(|queue| Arc::ptr_eq(&queue.subscription, &it.subscription))
        };
        let left: Vec<Queue> = state.queues.iter().filter(|it| !is_kept(it)).cloned().collect();
        for queue in left {
            broker.unroute(&queue.subscription);
            queues.push(Queue { leaving: true, ..queue });
        }
        state.queues = queues;
        state.serving = Some(serving);
        Ok(())
    }

    /// Who gets the messages.
    pub(crate) fn serving(&self) -> Option<Generation> {
        self.lock().serving.map(|serving| serving.generation)
    }

    /// Opens or stops the flow to the serving generation.
    pub(crate) fn set_flow(&self, generation: Generation, flowing: Flowing) {
        let mut state = self.lock();
        let Some(serving) = state.serving.as_mut().filter(|it| it.generation == generation) else {
            return;
        };
        serving.flowing = flowing;
        let split = serving.split();
        for queue in state.queues.iter().filter(|queue| !queue.leaving) {
            queue.subscription.set_split(split.clone());
        }
    }

    /// Takes the subscriptions away from a generation, if it has them: what is queued stays.
    pub(crate) fn detach(&self, generation: Generation) {
        let mut state = self.lock();
        if state.serving.take_if(|serving| serving.generation == generation).is_some() {
            for queue in &state.queues {
                queue.subscription.set_split(Split::none());
            }
        }
    }

    /// What is still to be finished by the generation that served before the last cutover.
    pub(crate) fn unfinished(&self) -> u64 {
        let state = self.lock();
        let leaving = state.queues.iter().filter(|queue| queue.leaving);
        leaving.map(|queue| queue.subscription.ledger().unsettled()).sum()
    }

    /// Removes the queues that nobody wishes any more. Returns how many deliveries were dropped.
    pub(crate) fn remove_leaving(&self, broker: &Broker) -> u64 {
        let mut state = self.lock();
        let (leaving, kept): (Vec<Queue>, Vec<Queue>) =
            std::mem::take(&mut state.queues).into_iter().partition(|queue| queue.leaving);
        state.queues = kept;
        leaving.into_iter().map(|queue| state.bury(broker, queue)).sum()
    }

    /// Removes every queue of the name. Returns how many deliveries were dropped.
    pub(crate) fn release(&self, broker: &Broker) -> u64 {
        let mut state = self.lock();
        let queues = std::mem::take(&mut state.queues);
        queues.into_iter().map(|queue| state.bury(broker, queue)).sum()
    }

    /// A generation asks for one more subscription while it runs. Before the cutover it is only
    /// wished.
    pub(crate) fn subscribe(
        &self,
        broker: &Broker,
        incarnation: &Incarnation,
        wish: Wish,
    ) -> Result<(), SubscribeError> {
        let mut state = self.lock();
        // The cutover may have seen the wish a moment ago.
        let is_there = state.queues.iter().any(|it| !it.leaving && it.wish.number == wish.number);
        if let Some(serving) = state.serving
            && serving.generation == incarnation.generation()
            && !is_there
        {
            let subscription = broker.subscribe(wish.spec(&self.name))?;
            incarnation.serve(&wish, &subscription);
            subscription.set_split(Serving { trial: None, ..serving }.split());
            state.queues.push(Queue { wish, subscription, leaving: false });
        }
        Ok(())
    }

    /// A generation takes a subscription back that it asked for.
    pub(crate) fn unsubscribe(&self, broker: &Broker, incarnation: &Incarnation, number: u32) {
        let mut state = self.lock();
        if state.serving.is_none_or(|it| it.generation != incarnation.generation()) {
            return;
        }
        let is_it = |queue: &Queue| !queue.leaving && queue.wish.number == number;
        if let Some(at) = state.queues.iter().position(is_it) {
            let queue = state.queues.remove(at);
            incarnation.stop_serving(&queue.subscription);
            state.bury(broker, queue);
        }
    }

    /// The subscriptions of the name, and those it had.
    pub(crate) fn queues(&self) -> (Vec<Queue>, Vec<Queue>) {
        let state = self.lock();
        (state.queues.clone(), state.past.iter().cloned().collect())
    }

    /// How many messages wait in each subscription.
    pub(crate) fn backlogs(&self) -> Vec<(String, u64)> {
        let state = self.lock();
        let live = state.queues.iter().filter(|queue| !queue.leaving);
        let waiting = live.map(|queue| {
            (queue.wish.manifest.topic.to_string(), queue.subscription.ledger().unsettled())
        });
        waiting.collect()
    }

    // --- history ---

    /// Remembers a change of state.
    pub(crate) fn remember(&self, change: StateChange) {
        let mut state = self.lock();
        while state.history.len() >= self.history_max {
            state.history.pop_front();
        }
        state.history.push_back(change);
    }

    /// The latest changes, newest first.
    pub(crate) fn history(&self) -> Vec<StateChange> {
        self.lock().history.iter().rev().cloned().collect()
    }

    /// A lane was written off.
    pub(crate) fn write_off(&self, lane: WrittenOffView) {
        let mut state = self.lock();
        while state.written_off.len() >= self.history_max {
            state.written_off.pop_front();
        }
        state.written_off.push_back(lane);
    }

    /// The thread of a lane that was written off has ended after all.
    pub(crate) fn came_back(&self, generation: Generation, lane: u32, at: String) {
        let mut state = self.lock();
        let is_it = |it: &&mut WrittenOffView| {
            (it.generation, it.lane) == (generation.0, lane) && it.back_at.is_none()
        };
        if let Some(lane) = state.written_off.iter_mut().find(is_it) {
            lane.back_at = Some(at);
        }
    }

    /// The latest lanes that were written off, newest first.
    pub(crate) fn written_off(&self) -> Vec<WrittenOffView> {
        self.lock().written_off.iter().rev().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl State ===

impl State {
    /// Ends a subscription and keeps it for the ledger. What is durable stays under the plugin's
    /// name. Returns how many deliveries were dropped.
    fn bury(&mut self, broker: &Broker, queue: Queue) -> u64 {
        let dropped = broker.detach(&queue.subscription);
        while self.past.len() >= PAST_MAX {
            self.past.pop_front();
        }
        self.past.push_back(queue);
        dropped
    }
}

// === impl Serving ===

impl Serving {
    fn split(&self) -> Split {
        let Serving { generation, flowing, trial } = *self;
        let split = match (flowing, trial) {
            (Flowing::Held, _) => Split::none(),
            (Flowing::Yes, Some(Trial { generation: tried, salt, share })) if share > 0 => {
                Split::two(salt, generation.0, tried.0, f64::from(share) / 100.0)
            }
            (Flowing::Yes, _) => Split::all(generation.0),
        };
        match trial {
            Some(trial) => split.trying(trial.generation.0),
            None => split,
        }
    }
}
