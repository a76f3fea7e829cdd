//! What the tests build on: a broker, a monitor, and handlers that do as they are told.

use std::{
    collections::HashSet,
    os::fd::OwnedFd,
    pin::pin,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use patchbay_bus::{
    Broker, BrokerConfig, Clock, ManualClock, Outgoing, Publisher, Split, Subscription,
    SubscriptionSpec, SystemClock,
};
use patchbay_pool::{
    Begin, Closed, Feed, Handed, Handler, Intake, LaneId, Monitor, Next, NextOp, OpOutcome,
    Outcome, PoolConfig, PoolEvent, PoolEventKind, PoolSpec, Served, Token, WorkerPool, from_fn,
};
use patchbay_testkit::eventually;
use rustix::{buffer::spare_capacity, event::epoll};

/// How long a test waits for what should come at once: only a broken one takes this long.
pub(crate) const LONG: Duration = Duration::from_secs(60);
pub(crate) const GENERATION: u64 = 1;

/// A broker, a monitor, and what the pools said.
pub(crate) struct Rig {
    pub(crate) broker: Broker,
    pub(crate) monitor: Monitor,
    /// The clock of a rig whose time stands still.
    pub(crate) clock: Arc<ManualClock>,
    events: Arc<Mutex<Vec<PoolEvent>>>,
    live: bool,
}

impl Rig {
    /// Time moves, and the monitor and the broker's timer have their threads.
    pub(crate) fn live() -> Rig {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let monitor = Monitor::start(Arc::clone(&clock)).expect("start the monitor");
        let rig = Rig::over(clock, monitor, Arc::default(), true);
        rig.broker.start_timer().expect("start the timer");
        rig
    }

    /// Time moves when the test says so, and nobody looks unless the test does.
    pub(crate) fn still() -> Rig {
        let clock = Arc::new(ManualClock::new());
        let monitor = Monitor::manual(Arc::clone(&clock) as Arc<dyn Clock>);
        Rig::over(Arc::clone(&clock) as Arc<dyn Clock>, monitor, clock, false)
    }

    pub(crate) fn over(
        clock: Arc<dyn Clock>,
        monitor: Monitor,
        manual: Arc<ManualClock>,
        live: bool,
    ) -> Rig {
        let broker = Broker::new(BrokerConfig::default(), clock);
        Rig { broker, monitor, clock: manual, events: Arc::default(), live }
    }

    pub(crate) fn subscribe(&self, pattern: &str) -> Arc<Subscription> {
        self.subscribe_as(SubscriptionSpec::new("echo", pattern.parse().expect("a pattern")))
    }

    pub(crate) fn subscribe_as(&self, spec: SubscriptionSpec) -> Arc<Subscription> {
        let subscription = self.broker.subscribe(spec).expect("subscribe");
        subscription.set_split(Split::all(GENERATION));
        subscription
    }

    pub(crate) fn spec(
        &self,
        name: &str,
        handler: Arc<dyn Handler>,
        subscriptions: &[&Arc<Subscription>],
        config: PoolConfig,
    ) -> PoolSpec {
        let served = |(number, subscription): (usize, &&Arc<Subscription>)| Served {
            subscription: Arc::clone(subscription),
            number: number as u32,
            concurrency: config.concurrency,
        };
        let events = Arc::clone(&self.events);
        PoolSpec {
            name: name.into(),
            generation: GENERATION,
            handler,
            subscriptions: subscriptions.iter().enumerate().map(served).collect(),
            config,
            events: Arc::new(move |event| events.lock().expect("events").push(event)),
            intake: Intake::Open,
        }
    }

    pub(crate) fn pool(
        &self,
        name: &str,
        handler: impl Handler,
        subscriptions: &[&Arc<Subscription>],
        config: PoolConfig,
    ) -> WorkerPool {
        let spec = self.spec(name, Arc::new(handler), subscriptions, config);
        WorkerPool::start(spec, &self.monitor).expect("start the pool")
    }

    pub(crate) fn publish(&self, publisher: &mut Publisher, topic: &str, payload: &str) {
        let outgoing = Outgoing { topic, payload: payload.as_bytes(), ..Outgoing::default() };
        publisher.publish(outgoing).expect("publish");
    }

    /// Publishes every payload under that topic.
    pub(crate) fn send(&self, topic: &str, payloads: &[&str]) {
        let mut publisher = self.broker.publisher("test");
        for payload in payloads {
            self.publish(&mut publisher, topic, payload);
        }
    }

    /// Lets everybody look whose time has come.
    pub(crate) fn look(&self) {
        if !self.live {
            self.broker.tick();
            self.monitor.step();
        }
    }

    /// Moves time on, in steps in which everybody looks.
    pub(crate) fn pass(&self, time: Duration) {
        let step = Duration::from_millis(20);
        let mut left = time;
        while !left.is_zero() {
            self.clock.advance(left.min(step));
            left = left.saturating_sub(step);
            self.look();
        }
    }

    /// Waits for a value, looking all the time; time stands still if the rig's does.
    #[track_caller]
    pub(crate) fn until<T>(&self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        eventually(what, LONG, || {
            self.look();
            look()
        })
    }

    /// Waits until time has brought a value. It goes slowly: the lanes are real threads, and one
    /// that does not get a processor is not to be taken for one that hangs.
    #[track_caller]
    pub(crate) fn passes_until<T>(&self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        eventually(what, LONG, || {
            self.pass(Duration::from_millis(5));
            look()
        })
    }

    /// Waits for the end of a pool. Time crawls: threads that are about to end are looked at again
    /// and again.
    #[track_caller]
    pub(crate) fn wait_closed(&self, closing: impl Future<Output = Closed>) -> Closed {
        let mut closing = pin!(closing);
        let mut context = Context::from_waker(Waker::noop());
        self.until("the pool to close", || {
            self.clock.advance(Duration::from_millis(1));
            match closing.as_mut().poll(&mut context) {
                Poll::Ready(closed) => Some(closed),
                Poll::Pending => None,
            }
        })
    }

    /// Waits for a future.
    #[track_caller]
    pub(crate) fn wait<T>(&self, what: &str, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        let mut context = Context::from_waker(Waker::noop());
        self.until(what, || match future.as_mut().poll(&mut context) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        })
    }

    /// Waits for the subscription to have done that many.
    #[track_caller]
    pub(crate) fn until_done(&self, subscription: &Subscription, count: u64) {
        self.until("messages to be done", || (subscription.ledger().done == count).then_some(()));
    }

    pub(crate) fn events(&self) -> Vec<PoolEventKind> {
        self.events.lock().expect("events").iter().map(|event| event.kind.clone()).collect()
    }

    pub(crate) fn has_event(&self, matches: impl Fn(&PoolEventKind) -> bool) -> bool {
        self.events().iter().any(matches)
    }

    /// Ends a pool, and sees that nothing of it is left.
    #[track_caller]
    pub(crate) fn close(&self, pool: WorkerPool) {
        let closed = self.wait_closed(pool.close());
        assert!(closed.abandoned.is_empty(), "{closed:?}");
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.monitor.stop();
        self.broker.stop_timer();
        if !std::thread::panicking() {
            for (subscription, ledger) in self.broker.ledger() {
                assert!(ledger.balanced(), "{subscription:?}: {ledger:?}");
            }
        }
    }
}

/// Threads of this process whose names begin like this.
pub(crate) fn threads(prefix: &str) -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").expect("the tasks of this process");
    let names = tasks.flatten().map(|task| std::fs::read_to_string(task.path().join("comm")));
    names.filter(|name| name.as_ref().is_ok_and(|name| name.starts_with(prefix))).count()
}

/// Closed until opened, and counts who waits.
#[derive(Default)]
pub(crate) struct Barrier {
    /// How many may pass.
    open: Mutex<usize>,
    changed: Condvar,
    pub(crate) waiting: AtomicUsize,
    pub(crate) passed: AtomicUsize,
}

impl Barrier {
    pub(crate) fn new() -> Arc<Barrier> {
        Arc::default()
    }

    /// Blocks the calling thread until the barrier is open.
    pub(crate) fn pass(&self) {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let open = self.open.lock().expect("the barrier");
        let mut open = self.changed.wait_while(open, |open| *open == 0).expect("the barrier");
        *open -= 1;
        drop(open);
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        self.passed.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn open(&self) {
        *self.open.lock().expect("the barrier") = usize::MAX;
        self.changed.notify_all();
    }

    pub(crate) fn let_one_pass(&self) {
        *self.open.lock().expect("the barrier") += 1;
        self.changed.notify_all();
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }
}

/// A handler whose every call waits at the barrier, and that barrier.
pub(crate) fn gated() -> (Arc<Barrier>, impl Handler) {
    let barrier = Barrier::new();
    let gate = Arc::clone(&barrier);
    let handler = from_fn(move |_| {
        gate.pass();
        Outcome::Ack
    });
    (barrier, handler)
}

/// A slot loop, as the loader's: a call either ends at once or is suspended until its payload is
/// released, or it is cancelled.
pub(crate) struct Slots<F> {
    pub(crate) decide: F,
    pub(crate) desk: Arc<SlotDesk>,
}

#[derive(Default)]
pub(crate) struct SlotDesk {
    pub(crate) released: Mutex<HashSet<String>>,
    pub(crate) alarms: Mutex<Vec<Waker>>,
    pub(crate) open: AtomicUsize,
    pub(crate) open_max: AtomicUsize,
    pub(crate) cancelled: AtomicUsize,
    /// Ignores being cancelled.
    pub(crate) deaf: bool,
}

impl SlotDesk {
    pub(crate) fn release(&self, payload: &str) {
        self.released.lock().expect("the desk").insert(payload.to_owned());
        for alarm in self.alarms.lock().expect("the desk").iter() {
            alarm.wake_by_ref();
        }
    }

    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }
}

impl<F: Fn(&Handed<'_>) -> Option<Outcome> + Send + Sync + 'static> Handler for Slots<F> {
    fn run(&self, _: LaneId, feed: &mut Feed) {
        let desk = &self.desk;
        desk.alarms.lock().expect("the desk").push(feed.alarm());
        let mut open: Vec<(Token, String)> = vec![];
        loop {
            while let NextOp::Call(call) = feed.next_op() {
                feed.op_done(call.id, OpOutcome::Done(None));
            }
            open.retain(|(token, payload)| {
                let outcome = if desk.released.lock().expect("the desk").contains(payload) {
                    Outcome::Ack
                } else if feed.cancelled(*token) && !desk.deaf {
                    desk.cancelled.fetch_add(1, Ordering::SeqCst);
                    Outcome::Cancelled
                } else {
                    return true;
                };
                desk.open.fetch_sub(1, Ordering::SeqCst);
                feed.complete(*token, outcome);
                false
            });
            match feed.next(64) {
                Next::Batch(batch) => {
                    for token in batch.tokens() {
                        let (decided, payload) = match feed.begin(token) {
                            Begin::Go(handed) => ((self.decide)(&handed), text(&handed)),
                            Begin::Skip => continue,
                            Begin::Stop => break,
                        };
                        match decided {
                            Some(outcome) => feed.complete(token, outcome),
                            None => {
                                feed.suspend(token);
                                let now = desk.open.fetch_add(1, Ordering::SeqCst) + 1;
                                desk.open_max.fetch_max(now, Ordering::SeqCst);
                                open.push((token, payload));
                            }
                        }
                    }
                }
                Next::Closed if open.is_empty() => return,
                Next::Empty | Next::Closed => feed.wait(),
            }
        }
    }
}

/// The payload of a delivery, as text.
pub(crate) fn text(handed: &Handed<'_>) -> String {
    String::from_utf8_lossy(handed.message().payload()).into_owned()
}

/// Watches the bell as the author's kit does: for edges, without ever reading it.
pub(crate) struct Watch(OwnedFd);

impl Watch {
    pub(crate) fn over(feed: &Feed) -> Watch {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).expect("an epoll");
        let bell = feed.bell().expect("a bell");
        let edges = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&epoll, bell, epoll::EventData::new_u64(0), edges).expect("watch the bell");
        Watch(epoll)
    }

    /// Waits for a ring.
    pub(crate) fn wait(&self) {
        let mut events = Vec::with_capacity(1);
        epoll::wait(&self.0, spare_capacity(&mut events), None).expect("wait for the bell");
    }
}
