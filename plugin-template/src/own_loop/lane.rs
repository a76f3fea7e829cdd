//! What runs on one lane.

use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    mem::ManuallyDrop,
    panic::resume_unwind,
    sync::{Arc, Mutex, PoisonError},
    task::Poll,
};

use tokio::task::{JoinError, JoinSet};

use super::{
    bell::Bell,
    contained::Contained,
    source::{CallId, LaneSource, Next},
};
use crate::{
    glue::instance::{Instance, control, process},
    message::Message,
    plugin::Plugin,
    scope::Scope,
};

/// A lane while it runs.
struct Lane<P: 'static> {
    instance: &'static Instance<P>,
    source: LaneSource,
    bell: Bell,
    batch: u32,
    /// Deliveries that were pulled and not begun. Of one thread, so never contended.
    pulled: Mutex<VecDeque<Handed>>,
    /// Held by the one worker that asks the source; the others wait here, so that a ring wakes one.
    asking: tokio::sync::Mutex<()>,
    shared: bool,
}

/// A delivery of the host's, without a reference of ours.
struct Handed {
    token: u64,
    message: ManuallyDrop<Message>,
}

/// Runs a lane on this thread until its source is closed.
///
/// # Panics
/// When the runtime cannot be made, or the loop itself fails.
pub(crate) fn run<P: Plugin>(
    instance: &'static Instance<P>,
    number: u32,
    source: LaneSource,
    concurrency: u32,
    batch: u32,
) {
    let runtimes = &instance.runtimes;
    let lane = Arc::new(Lane {
        instance,
        source,
        bell: Bell::new(source),
        batch: batch.max(1),
        pulled: Mutex::default(),
        asking: tokio::sync::Mutex::default(),
        shared: runtimes.is_shared(),
    });
    if let Err(error) = runtimes.drive(number, lane.work(number == 0, concurrency.max(1))) {
        panic!("cannot make the runtime of a lane: {error}");
    }
}

// === impl Lane ===

impl<P: Plugin> Lane<P> {
    /// The lane's life. All its tasks have ended when it returns: none may touch the source then, and
    /// the bell is the host's to close.
    async fn work(self: Arc<Self>, takes_control: bool, concurrency: u32) {
        let _served = self.instance.link.tokens.serve();
        let mut listener = JoinSet::new();
        let own = self.clone();
        self.add(&mut listener, async move {
            let error = own.bell.listen(&own.instance.link.tokens).await;
            panic!("cannot hear the lane's bell: {error}");
        });
        let mut tasks = JoinSet::new();
        if takes_control {
            self.add(&mut tasks, self.clone().control());
        }
        for _ in 0..concurrency {
            self.add(&mut tasks, self.clone().serve());
        }
        poll_fn(|cx| {
            if let Poll::Ready(Some(ended)) = listener.poll_join_next(cx) {
                unwrap(ended);
            }
            while let Poll::Ready(ended) = tasks.poll_join_next(cx) {
                match ended {
                    Some(ended) => unwrap(ended),
                    None => return Poll::Ready(()),
                }
            }
            Poll::Pending
        })
        .await;
        // Awaited: on a runtime that is parked next, a task that is only aborted would stay.
        listener.shutdown().await;
    }

    fn add(&self, tasks: &mut JoinSet<()>, task: impl Future<Output = ()> + Send + 'static) {
        if self.shared {
            tasks.spawn_local(task);
        } else {
            tasks.spawn(task);
        }
    }

    /// Takes control calls. Each is a task: a slow health check must not hold back a shutdown.
    async fn control(self: Arc<Self>) {
        let mut calls = JoinSet::new();
        loop {
            let next = self.bell.until(|| match self.source.next_op() {
                Next::Some(op) => Some(Some(op)),
                Next::NoneNow => None,
                Next::Closed => Some(None),
            });
            let Some(op) = next.await else { break };
            let own = self.clone();
            self.add(&mut calls, async move {
                let id = CallId::Control(op.id);
                // SAFETY: the host keeps the argument until the call is reported as over.
                let arg = unsafe { op.arg.as_bytes() };
                let scope = Scope::new(own.instance.link.host, std::ptr::null());
                let call = Contained::new(scope, || control(own.instance, op.which, arg));
                let outcome = own.bell.drive(id, call).await;
                own.bell.complete(id, outcome);
            });
            while let Some(ended) = calls.try_join_next() {
                unwrap(ended);
            }
        }
        while let Some(ended) = calls.join_next().await {
            unwrap(ended);
        }
    }

    /// Handles deliveries, one at a time. As many of these run as calls may be in flight.
    async fn serve(self: Arc<Self>) {
        let mut since_yield = 0;
        while let Some(delivery) = self.delivery().await {
            let id = CallId::Delivery(delivery.token);
            let scope = Scope::new(self.instance.link.host, delivery.message.as_raw());
            let call = Contained::new(scope, || process(self.instance, &delivery.message));
            let outcome = self.bell.drive(id, call).await;
            self.bell.complete(id, outcome);
            since_yield += 1;
            if since_yield >= self.batch {
                // Handlers that never wait must not keep sockets and timers waiting.
                since_yield = 0;
                tokio::task::yield_now().await;
            }
        }
    }

    /// The next delivery; `None` when there will be none.
    async fn delivery(&self) -> Option<Handed> {
        if let Some(delivery) = self.pop() {
            return Some(delivery);
        }
        let _asking = self.asking.lock().await;
        if let Some(delivery) = self.pop() {
            return Some(delivery);
        }
        let pull = || {
            let mut pulled = self.pulled.lock().unwrap_or_else(PoisonError::into_inner);
            let next = self.source.next(self.batch, |delivery| {
                // SAFETY: the host keeps the message until the delivery is reported as over, and a
                // `Handed` is used up before.
                let message = unsafe { Message::borrowed(delivery) };
                pulled.push_back(Handed { token: delivery.token, message });
            });
            match next {
                Next::Some(()) => Some(pulled.pop_front()),
                Next::NoneNow => None,
                Next::Closed => Some(None),
            }
        };
        self.bell.until_or_ended(pull).await
    }

    fn pop(&self) -> Option<Handed> {
        self.pulled.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

/// Lets a panic of the loop itself go on: the lane is then dead, and says so.
fn unwrap(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        resume_unwind(error.into_panic());
    }
}
