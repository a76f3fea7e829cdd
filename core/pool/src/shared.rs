//! What the lanes of a pool, its owner and the monitor have in common.

use std::{
    fmt,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering, fence},
    },
    time::Duration,
};

use patchbay_bus::{Clock, Subscription, Wake};
use tokio::sync::oneshot;

use crate::{
    config::{PoolConfig, ns},
    control::{ControlTable, Op, OpCall, OpOutcome, OpResult},
    crew::Crew,
    events::{PoolEvent, PoolEventKind, PoolEvents},
    handler::Handler,
    lock,
    monitor::MonitorShared,
};

/// Reasons to take nothing.
pub(crate) const PAUSED: u8 = 1;
pub(crate) const DRAINING: u8 = 2;
pub(crate) const STUCK: u8 = 4;
pub(crate) const CLOSING: u8 = 8;

/// A subscription that a pool serves.
#[derive(Clone, Debug)]
pub struct Served {
    /// The subscription.
    pub subscription: Arc<Subscription>,
    /// Its number within the plugin; handed out with every delivery.
    pub number: u32,
    /// Calls of it that may be in flight on one lane, at most the pool's own bound.
    pub concurrency: u32,
}

pub(crate) struct PoolShared {
    pub(crate) name: Arc<str>,
    pub(crate) generation: u64,
    pub(crate) config: PoolConfig,
    pub(crate) handler: Arc<dyn Handler>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) crew: Mutex<Crew>,
    pub(crate) halts: AtomicU8,
    events: Arc<dyn PoolEvents>,
    monitor: Arc<MonitorShared>,
    served: Mutex<Vec<Option<Served>>>,
    /// Rises with every change of `served`.
    version: AtomicU64,
    control: Mutex<ControlTable>,
    ops_waiting: AtomicUsize,
    /// The monitor looks at every tick: lanes need not tell it that they work.
    pub(crate) watched: AtomicBool,
    /// The monitor has been told, and has not looked since.
    pub(crate) nudged: AtomicBool,
    /// A queue has asked for a lane.
    pub(crate) wanted: AtomicBool,
}

/// Asks for a lane, on behalf of a queue where nobody looks.
struct Demand(Weak<PoolShared>);

/// What makes a pool.
pub(crate) struct Parts {
    pub(crate) name: Arc<str>,
    pub(crate) generation: u64,
    pub(crate) config: PoolConfig,
    pub(crate) handler: Arc<dyn Handler>,
    pub(crate) events: Arc<dyn PoolEvents>,
    pub(crate) monitor: Arc<MonitorShared>,
    pub(crate) halts: u8,
}

// === impl PoolShared ===

impl PoolShared {
    pub(crate) fn new(parts: Parts) -> PoolShared {
        let clock = Arc::clone(&parts.monitor.clock);
        PoolShared {
            name: parts.name,
            generation: parts.generation,
            handler: parts.handler,
            crew: Mutex::new(Crew::new(clock.now_ns())),
            clock,
            halts: AtomicU8::new(parts.halts),
            events: parts.events,
            monitor: parts.monitor,
            served: Mutex::default(),
            version: AtomicU64::new(1),
            control: Mutex::new(ControlTable::new(parts.config.control_max)),
            ops_waiting: AtomicUsize::new(0),
            watched: AtomicBool::new(false),
            nudged: AtomicBool::new(false),
            wanted: AtomicBool::new(false),
            config: parts.config,
        }
    }

    /// Whether lanes may take messages.
    #[inline]
    pub(crate) fn is_taking(&self) -> bool {
        self.halts.load(Ordering::SeqCst) == 0
    }

    pub(crate) fn halt(&self, reason: u8) {
        self.halts.fetch_or(reason, Ordering::SeqCst);
    }

    /// Whether it was halted for any of these reasons.
    pub(crate) fn unhalt(&self, reasons: u8) -> bool {
        self.halts.fetch_and(!reasons, Ordering::SeqCst) & reasons != 0
    }

    /// The calling lane has work: from now on the monitor is to look at every tick.
    #[inline]
    pub(crate) fn be_watched(self: &Arc<Self>) {
        // With the fence in `Crew::rest`: either the monitor sees the window that was marked
        // before, or this sees that it has stopped looking.
        fence(Ordering::SeqCst);
        if !self.watched.load(Ordering::Relaxed) {
            self.nudge();
        }
    }

    /// The loop of a lane has ended.
    pub(crate) fn lane_ended(self: &Arc<Self>) {
        self.monitor.lane_ended();
        self.nudge();
    }

    /// Has the monitor look soon.
    pub(crate) fn nudge(self: &Arc<Self>) {
        if !self.nudged.swap(true, Ordering::SeqCst) {
            self.monitor.call(Arc::clone(self));
        }
    }

    pub(crate) fn tell(&self, kind: PoolEventKind) {
        let pool = Arc::clone(&self.name);
        self.events.notify(PoolEvent { pool, generation: self.generation, kind });
    }

    // --- subscriptions

    #[inline]
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// The subscriptions by place, and the version of the list.
    pub(crate) fn served(&self) -> (u64, Vec<Option<Served>>) {
        let served = lock(&self.served);
        (self.version(), served.clone())
    }

    pub(crate) fn subscriptions(&self) -> Vec<Arc<Subscription>> {
        lock(&self.served).iter().flatten().map(|one| Arc::clone(&one.subscription)).collect()
    }

    pub(crate) fn serve(self: &Arc<Self>, served: Served) {
        let subscription = Arc::clone(&served.subscription);
        {
            let mut list = lock(&self.served);
            match list.iter_mut().find(|place| place.is_none()) {
                Some(free) => *free = Some(served),
                None => list.push(Some(served)),
            }
            self.version.fetch_add(1, Ordering::AcqRel);
        }
        let demand = Arc::new(Demand(Arc::downgrade(self)));
        subscription.on_demand(self.generation, demand);
        self.ring_all();
        self.nudge();
    }

    /// False if it was not served.
    pub(crate) fn stop_serving(&self, subscription: &Arc<Subscription>) -> bool {
        let found = {
            let mut list = lock(&self.served);
            let ours = |place: &&mut Option<Served>| {
                place.as_ref().is_some_and(|one| Arc::ptr_eq(&one.subscription, subscription))
            };
            let found = list.iter_mut().find(ours).and_then(Option::take);
            self.version.fetch_add(1, Ordering::AcqRel);
            found
        };
        if found.is_some() {
            subscription.no_demand(self.generation);
        }
        self.ring_all();
        found.is_some()
    }

    /// No queue asks this pool for anything any more.
    pub(crate) fn leave_queues(&self) {
        for subscription in self.subscriptions() {
            subscription.no_demand(self.generation);
        }
    }

    pub(crate) fn ring_all(&self) {
        for lane in lock(&self.crew).up() {
            lane.bell.ring();
        }
    }

    // --- control calls

    pub(crate) fn ask(
        self: &Arc<Self>,
        op: Op,
        arg: Vec<u8>,
        limit: Duration,
    ) -> oneshot::Receiver<OpResult> {
        let due_ns = self.clock.now_ns().saturating_add(ns(limit));
        let answer = {
            let mut control = lock(&self.control);
            let answer = control.ask(op, arg, limit, due_ns);
            self.count_ops(&control);
            answer
        };
        self.ring_front();
        self.nudge();
        answer
    }

    pub(crate) fn ring_front(&self) {
        if let Some(lane) = lock(&self.crew).front() {
            lane.news();
        }
    }

    #[inline]
    pub(crate) fn ops_waiting(&self) -> bool {
        self.ops_waiting.load(Ordering::SeqCst) > 0
    }

    pub(crate) fn take_op(&self) -> Option<OpCall> {
        if !self.ops_waiting() {
            return None;
        }
        let mut control = lock(&self.control);
        let call = control.take();
        self.count_ops(&control);
        call
    }

    pub(crate) fn answer_op(&self, id: u64, outcome: OpOutcome) {
        lock(&self.control).answer(id, outcome);
    }

    pub(crate) fn op_cancelled(&self, id: u64) -> bool {
        lock(&self.control).is_cancelled(id)
    }

    /// Changes the table of control calls, and keeps its count.
    pub(crate) fn with_control<T>(&self, change: impl FnOnce(&mut ControlTable) -> T) -> T {
        let mut control = lock(&self.control);
        let result = change(&mut control);
        self.count_ops(&control);
        result
    }

    fn count_ops(&self, control: &ControlTable) {
        self.ops_waiting.store(control.waiting(), Ordering::SeqCst);
    }
}

impl fmt::Debug for PoolShared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolShared")
            .field("name", &self.name)
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}

// === impl Demand ===

impl Wake for Demand {
    fn wake(&self) {
        if let Some(pool) = self.0.upgrade() {
            pool.wanted.store(true, Ordering::SeqCst);
            pool.nudge();
        }
    }
}
