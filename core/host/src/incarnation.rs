//! One generation while it lives: the library's instance, its pool, and what it wishes to hear.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::Duration,
};

use patchbay_bus::Subscription;
use patchbay_lifecycle::{Check, Generation};
use patchbay_loader::Instance;
use patchbay_pool::{Closed, DrainReport, Op, OpError, OpReply, PoolStats, Served, WorkerPool};

use crate::{transit::observer::Observer, watch::prepared::Prepared, wish::Wish};

/// One generation.
#[derive(Debug)]
pub(crate) struct Incarnation {
    generation: Generation,
    pub(crate) prepared: Arc<Prepared>,
    pub(crate) loaded_unix_ns: u64,
    instance: Arc<Instance>,
    /// `None` once it is closed.
    pool: RwLock<Option<WorkerPool>>,
    wishes: Arc<Wishes>,
    pub(crate) observer: Arc<Observer>,
    max_workers: u32,
    min_workers: u32,
}

/// What a generation wishes to hear: its manifest's subscriptions, and those it asked for. Shared
/// with its services, which exist before it does.
#[derive(Debug)]
pub(crate) struct Wishes {
    state: Mutex<WishState>,
    dynamic_max: usize,
}

#[derive(Debug)]
struct WishState {
    all: Vec<Wish>,
    next: u32,
}

/// What an incarnation is made from.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) generation: Generation,
    pub(crate) prepared: Arc<Prepared>,
    pub(crate) loaded_unix_ns: u64,
    pub(crate) instance: Arc<Instance>,
    pub(crate) pool: WorkerPool,
    pub(crate) wishes: Arc<Wishes>,
    pub(crate) observer: Arc<Observer>,
    pub(crate) min_workers: u32,
    pub(crate) max_workers: u32,
}

// === impl Incarnation ===

impl Incarnation {
    pub(crate) fn new(parts: Parts) -> Incarnation {
        Incarnation {
            generation: parts.generation,
            prepared: parts.prepared,
            loaded_unix_ns: parts.loaded_unix_ns,
            instance: parts.instance,
            pool: RwLock::new(Some(parts.pool)),
            wishes: parts.wishes,
            observer: parts.observer,
            min_workers: parts.min_workers,
            max_workers: parts.max_workers,
        }
    }

    pub(crate) fn generation(&self) -> Generation {
        self.generation
    }

    pub(crate) fn instance(&self) -> &Arc<Instance> {
        &self.instance
    }

    pub(crate) fn wishes(&self) -> Vec<Wish> {
        self.wishes.lock().all.clone()
    }

    /// Least and greatest number of threads.
    pub(crate) fn workers(&self) -> (u32, u32) {
        (self.min_workers, self.max_workers)
    }

    /// Whether any thread is there to be asked something.
    pub(crate) fn has_threads(&self) -> bool {
        self.stats().workers > 0
    }

    pub(crate) fn stats(&self) -> PoolStats {
        self.with_pool(WorkerPool::stats).unwrap_or_default()
    }

    /// Lets the pool take messages: the control calls that come first are over.
    pub(crate) fn open(&self) {
        self.with_pool(WorkerPool::resume);
    }

    pub(crate) fn serve(&self, wish: &Wish, subscription: &Arc<Subscription>) {
        let (number, concurrency) = (wish.number, wish.concurrency());
        let served = Served { subscription: Arc::clone(subscription), number, concurrency };
        self.with_pool(|pool| {
            // One that served it before may have had its seats taken: it sits down anew.
            pool.remove_subscription(subscription);
            pool.add_subscription(served);
        });
    }

    pub(crate) fn stop_serving(&self, subscription: &Arc<Subscription>) {
        self.with_pool(|pool| pool.remove_subscription(subscription));
    }

    /// Asks the plugin for something.
    ///
    /// # Errors
    /// What the plugin or the pool said.
    pub(crate) async fn ask(&self, op: Op, limit: Duration) -> Result<OpReply, OpError> {
        self.ask_with(op, Vec::new(), limit).await
    }

    /// As [`ask`](Incarnation::ask), with an argument.
    pub(crate) async fn ask_with(
        &self,
        op: Op,
        arg: Vec<u8>,
        limit: Duration,
    ) -> Result<OpReply, OpError> {
        match self.with_pool(|pool| pool.control(op, arg, limit)) {
            Some(answer) => answer.await,
            None => Err(OpError::Closed { op }),
        }
    }

    /// Asks the plugin for its health.
    pub(crate) async fn check(&self, limit: Duration) -> Check {
        match self.ask(Op::Health, limit).await {
            Ok(reply) => Check::Passed(reply.text()),
            Err(OpError::Failed { text, .. }) => Check::Failed(text),
            Err(error @ OpError::Busy { .. }) => Check::Busy(error.to_string()),
            Err(error) => Check::Failed(error.to_string()),
        }
    }

    /// Waits for what it holds; `None` when the pool is closed already.
    pub(crate) async fn drain(&self, limit: Duration) -> Option<DrainReport> {
        let drained = self.with_pool(|pool| pool.drain(limit))?;
        Some(drained.await)
    }

    /// Ends the pool and joins its threads; `None` when that was done already.
    pub(crate) async fn close(&self) -> Option<Closed> {
        let pool = self.pool.write().unwrap_or_else(PoisonError::into_inner).take()?;
        let closed = pool.close();
        Some(closed.await)
    }

    fn with_pool<T>(&self, ask: impl FnOnce(&WorkerPool) -> T) -> Option<T> {
        self.pool.read().unwrap_or_else(PoisonError::into_inner).as_ref().map(ask)
    }
}

// === impl Wishes ===

impl Wishes {
    /// What a manifest says, and room for `dynamic_max` more.
    pub(crate) fn new(declared: Vec<Wish>, dynamic_max: usize) -> Wishes {
        let next = u32::try_from(declared.len()).unwrap_or(u32::MAX);
        Wishes { state: Mutex::new(WishState { all: declared, next }), dynamic_max }
    }

    /// Adds what `make` makes of a new number; `None` when there are too many.
    pub(crate) fn add(&self, make: impl FnOnce(u32) -> Wish) -> Option<Wish> {
        let mut state = self.lock();
        if state.all.iter().filter(|wish| !wish.declared).count() >= self.dynamic_max {
            return None;
        }
        let wish = make(state.next);
        state.next = state.next.checked_add(1)?;
        state.all.push(wish.clone());
        Some(wish)
    }

    /// Takes a wish back that was added. False when there is none of that number.
    pub(crate) fn remove(&self, number: u32) -> bool {
        let mut state = self.lock();
        let before = state.all.len();
        state.all.retain(|wish| wish.declared || wish.number != number);
        state.all.len() < before
    }

    fn lock(&self) -> MutexGuard<'_, WishState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
