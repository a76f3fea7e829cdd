//! A pool, as its owner sees it.

use std::{sync::Arc, time::Duration};

use patchbay_bus::Subscription;
use tokio::sync::oneshot;

use crate::{
    closing::{Closed, Closing, Drain, DrainReport},
    config::{PoolConfig, PoolConfigError, ns},
    control::{Op, OpError, OpReply},
    events::PoolEvents,
    handler::Handler,
    lock,
    monitor::Monitor,
    round::relieve,
    shared::{CLOSING, DRAINING, PAUSED, Parts, PoolShared, STUCK, Served},
    stats::PoolStats,
};

/// What a pool is made of.
pub struct PoolSpec {
    /// Name of the plugin; its lanes are named after it.
    pub name: Arc<str>,
    /// Generation that all its lanes belong to.
    pub generation: u64,
    /// Who is called.
    pub handler: Arc<dyn Handler>,
    /// What is pulled from.
    pub subscriptions: Vec<Served>,
    /// Sizes and times.
    pub config: PoolConfig,
    /// Who is told.
    pub events: Arc<dyn PoolEvents>,
    /// Whether messages flow from the start.
    pub intake: Intake,
}

/// Whether messages flow from the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intake {
    /// They do.
    Open,
    /// Not before [`WorkerPool::resume`]: control calls come first.
    Held,
}

/// Lanes that serve one generation of one plugin.
///
/// Dropping it without [`WorkerPool::close`] tells the lanes to end and waits for nothing; the
/// monitor joins them.
#[derive(Debug)]
pub struct WorkerPool {
    shared: Arc<PoolShared>,
}

// === impl PoolSpec ===

impl std::fmt::Debug for PoolSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PoolSpec")
            .field("name", &self.name)
            .field("generation", &self.generation)
            .field("config", &self.config)
            .field("intake", &self.intake)
            .finish_non_exhaustive()
    }
}

// === impl WorkerPool ===

impl WorkerPool {
    /// Makes a pool that `monitor` looks after. Its lanes come up when they are needed.
    ///
    /// # Errors
    /// When the configuration cannot be used.
    pub fn start(spec: PoolSpec, monitor: &Monitor) -> Result<WorkerPool, PoolConfigError> {
        spec.config.check()?;
        let shared = Arc::new(PoolShared::new(Parts {
            name: spec.name,
            generation: spec.generation,
            config: spec.config,
            handler: spec.handler,
            events: spec.events,
            monitor: monitor.shared(),
            halts: if spec.intake == Intake::Held { PAUSED } else { 0 },
        }));
        for served in spec.subscriptions {
            shared.serve(served);
        }
        shared.nudge();
        Ok(WorkerPool { shared })
    }

    /// Has lane 0 do something, and brings it up for that if there is none. At the deadline the
    /// call is cancelled on its lane; if the lane does not even answer that within the grace, the
    /// result is [`OpError::Stuck`]. Needs no runtime to be awaited.
    ///
    /// # Errors
    /// See [`OpError`].
    ///
    /// # Cancel safety
    /// The call is queued at once, not at the first poll. Dropping the future before a lane took
    /// the call withdraws it; afterwards only the answer is lost.
    pub fn control(
        &self,
        op: Op,
        arg: Vec<u8>,
        limit: Duration,
    ) -> impl Future<Output = Result<OpReply, OpError>> + Send + use<> {
        let answer = self.shared.ask(op, arg, limit);
        async move { answer.await.unwrap_or(Err(OpError::Closed { op })) }
    }

    /// Takes no message from now on. When this returns, no call begins any more until
    /// [`WorkerPool::resume`]; calls that have begun go on.
    pub fn pause(&self) {
        self.stand_still(PAUSED);
    }

    /// Takes messages again, after a pause or a drain.
    pub fn resume(&self) {
        if self.shared.unhalt(PAUSED | DRAINING) {
            self.shared.ring_all();
            self.shared.nudge();
        }
    }

    /// Serves one more subscription.
    pub fn add_subscription(&self, served: Served) {
        self.shared.serve(served);
    }

    /// Serves a subscription no longer. What lanes hold of it goes back when they next look.
    /// False if it was not served.
    pub fn remove_subscription(&self, subscription: &Arc<Subscription>) -> bool {
        self.shared.stop_serving(subscription)
    }

    /// Takes no message from now on, and waits until all that was begun is settled, but no longer
    /// than `within`. The pool stands still afterwards, until [`WorkerPool::resume`].
    ///
    /// # Cancel safety
    /// The pool stands still whether or not the future is awaited; dropping it loses the report.
    pub fn drain(&self, within: Duration) -> impl Future<Output = DrainReport> + Send + use<> {
        self.stand_still(DRAINING);
        let (reply, report) = oneshot::channel();
        let since_ns = self.shared.clock.now_ns();
        let until_ns = since_ns.saturating_add(ns(within));
        lock(&self.shared.crew).drains.push(Drain { since_ns, until_ns, reply });
        self.shared.nudge();
        let shared = Arc::clone(&self.shared);
        async move {
            report.await.unwrap_or_else(|_| DrainReport {
                drained: false,
                in_flight: lock(&shared.crew).stats().in_flight,
                took: Duration::from_nanos(shared.clock.now_ns().saturating_sub(since_ns)),
            })
        }
    }

    /// Ends the pool: lanes finish what they have begun within `shutdown_timeout`, then what they
    /// hold is taken away and cancelled, and after `cancel_grace` more those that still do not end
    /// are left behind. All others are joined when this is done. Control calls that wait are
    /// answered [`OpError::Closed`]; a plugin's own shutdown is to be called before.
    ///
    /// # Cancel safety
    /// The pool ends whether or not the future is awaited; dropping it loses the report.
    pub fn close(self) -> impl Future<Output = Closed> + Send + use<> {
        let (reply, closed) = oneshot::channel();
        self.end(Some(reply));
        async move { closed.await.unwrap_or(Closed { abandoned: vec![], returned: 0 }) }
    }

    /// A look at the pool.
    pub fn stats(&self) -> PoolStats {
        let halts = self.shared.halts.load(std::sync::atomic::Ordering::SeqCst);
        let stats = lock(&self.shared.crew).stats();
        PoolStats { taking: halts == 0, stuck: halts & STUCK != 0, ..stats }
    }

    /// Name of the plugin.
    pub fn name(&self) -> &Arc<str> {
        &self.shared.name
    }

    /// Generation that its lanes belong to.
    pub fn generation(&self) -> u64 {
        self.shared.generation
    }

    fn stand_still(&self, reason: u8) {
        self.shared.halt(reason);
        let crew = lock(&self.shared.crew);
        for member in crew.running() {
            // A lane that took a window before it could see the halt has it taken away here; one
            // that takes it later sees the halt and gives it back itself.
            relieve(&member.lane);
            member.lane.bell.ring();
        }
    }

    fn end(&self, reply: Option<oneshot::Sender<Closed>>) {
        self.stand_still(CLOSING);
        self.shared.with_control(|control| control.close());
        let now_ns = self.shared.clock.now_ns();
        let until_ns = now_ns.saturating_add(ns(self.shared.config.shutdown_timeout));
        let mut crew = lock(&self.shared.crew);
        if crew.closing.is_none() {
            crew.closing = Some(Closing { until_ns, forced_ns: None, returned: 0, reply });
        }
        drop(crew);
        self.shared.nudge();
    }
}

impl Drop for WorkerPool {
    fn drop(&mut self) {
        let closing = self.shared.halts.load(std::sync::atomic::Ordering::SeqCst) & CLOSING != 0;
        if !closing {
            self.end(None);
        }
    }
}
