//! The product's own lanes, and a handler that does nothing: a pool without a plugin.

use std::{hint, sync::Arc};

use patchbay_bus::{Subscription, SystemClock};
use patchbay_measure::{entry::Outcome, histogram::Histogram, source::age_ns};
use patchbay_pool::{
    Begin, Feed, Handler, Intake, LaneId, Monitor, Next, NextOp, OpOutcome, PoolConfig, PoolSpec,
    Served, WorkerPool,
};

/// Deliveries asked for at once, as a library asks.
const WINDOW: usize = 1024;

/// Pools over subscriptions, and who looks after them.
#[derive(Debug)]
pub(super) struct Lanes {
    monitor: Monitor,
    pools: Vec<WorkerPool>,
    ages: Option<Arc<Histogram>>,
}

/// Looks at what it is handed, and says that it was done.
struct Nothing {
    ages: Option<Arc<Histogram>>,
}

// === impl Lanes ===

impl Lanes {
    /// No pool yet. `ages` notes how old messages are, if that is asked.
    pub(super) fn new(ages: Option<Arc<Histogram>>) -> Outcome<Lanes> {
        let monitor = Monitor::start(Arc::new(SystemClock))?;
        Ok(Lanes { monitor, pools: vec![], ages })
    }

    /// That many lanes for one generation of a subscription, as a plugin has them.
    pub(super) fn serve(
        &mut self,
        subscription: &Arc<Subscription>,
        generation: u64,
        lanes: u32,
    ) -> Outcome<()> {
        let spec = PoolSpec {
            name: "bench".into(),
            generation,
            handler: Arc::new(Nothing { ages: self.ages.clone() }),
            subscriptions: vec![Served {
                subscription: Arc::clone(subscription),
                number: 0,
                concurrency: 1,
            }],
            config: PoolConfig { min_workers: lanes, max_workers: lanes, ..PoolConfig::default() },
            events: Arc::new(|_| ()),
            intake: Intake::Open,
        };
        self.pools.push(WorkerPool::start(spec, &self.monitor)?);
        Ok(())
    }

    /// Ends them, and waits for their threads.
    pub(super) fn end(self) -> Outcome<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        for pool in self.pools {
            let left = runtime.block_on(pool.close()).abandoned;
            if !left.is_empty() {
                return Err(format!("{} lanes did not end", left.len()).into());
            }
        }
        self.monitor.stop();
        Ok(())
    }
}

// === impl Nothing ===

impl Handler for Nothing {
    fn run(&self, _: LaneId, feed: &mut Feed) {
        loop {
            while let NextOp::Call(call) = feed.next_op() {
                feed.op_done(call.id, OpOutcome::Done(None));
            }
            match feed.next(WINDOW) {
                Next::Batch(batch) => {
                    for token in batch.tokens() {
                        match feed.begin(token) {
                            Begin::Go(handed) => self.look(handed.message().payload()),
                            Begin::Skip => continue,
                            Begin::Stop => break,
                        }
                        feed.acknowledge(token);
                    }
                }
                Next::Empty => feed.wait(),
                Next::Closed => return,
            }
        }
    }
}

impl Nothing {
    #[inline]
    fn look(&self, payload: &[u8]) {
        hint::black_box(payload.last());
        if let (Some(ages), Some(age)) = (&self.ages, age_ns(payload)) {
            ages.add(age);
        }
    }
}
