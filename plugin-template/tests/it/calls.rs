//! Calls that wait: how they are woken, and how they are dropped.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use patchbay_plugin::{
    Message, PluginContext, PluginError, PluginProcessor, ProcessingStatus, Runtime,
    testing::{Handled, Lanes, MockHost, TestMessage},
};

use crate::acts::{Acts, LANE, SLOTS, until};

async fn a_cancelled_call_is_dropped_where_it_waits<const RUNTIME: u8>() {
    let host = MockHost::new();
    let plugin = host.run::<Acts<RUNTIME>>().unwrap();
    let call = plugin.deliver(&TestMessage::new("wait").build());
    until("the handler waits", || plugin.plugin().handled.load(Ordering::SeqCst) == 1);
    assert!(plugin.deliver(&TestMessage::new("ack").build()).await.is_acknowledged());
    assert_eq!(plugin.plugin().dropped.load(Ordering::SeqCst), 0);
    call.cancel();
    assert!(matches!(call.await, Handled::Cancelled));
    assert_eq!(plugin.plugin().dropped.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_cancelled_call_is_dropped_in_its_slot() {
    a_cancelled_call_is_dropped_where_it_waits::<SLOTS>().await;
}

#[tokio::test]
async fn a_cancelled_call_is_dropped_in_an_own_loop() {
    a_cancelled_call_is_dropped_where_it_waits::<LANE>().await;
}

#[tokio::test]
async fn a_handler_without_a_runtime_sleeps_by_the_hosts_clock() {
    let host = MockHost::new();
    host.stop_clock();
    let plugin = host.run::<Acts<SLOTS>>().unwrap();
    let mut call = plugin.deliver(&TestMessage::new("sleep").build());
    // Answered after the handler has begun to sleep, because the lane takes one after the other.
    assert!(plugin.deliver(&TestMessage::new("ack").build()).await.is_acknowledged());
    host.advance(Duration::from_millis(4999));
    assert!(plugin.deliver(&TestMessage::new("ack").build()).await.is_acknowledged());
    assert!(call.try_outcome().is_none(), "not before the time has passed");
    host.advance(Duration::from_millis(1));
    assert!(call.await.is_acknowledged());
}

#[tokio::test]
async fn no_more_calls_run_on_a_lane_than_it_may_have() {
    const CALLS: usize = 6;
    for (limit, running) in [(2, 2), (8, CALLS)] {
        let host = MockHost::new();
        let lanes = Lanes { concurrency: limit, batch: 4, ..Lanes::default() };
        let slots = host.run_on::<Acts<SLOTS>>(lanes).unwrap();
        let own = host.run_on::<Acts<LANE>>(lanes).unwrap();
        let wait = TestMessage::new("wait").build();
        let calls: Vec<_> =
            (0..CALLS).flat_map(|_| [slots.deliver(&wait), own.deliver(&wait)]).collect();
        for handled in [&slots.plugin().handled, &own.plugin().handled] {
            until("calls run", || handled.load(Ordering::SeqCst) >= running);
        }
        // A control call goes round: whatever could have begun has begun.
        assert!(slots.health().await.is_ok() && own.health().await.is_ok());
        assert_eq!(slots.plugin().handled.load(Ordering::SeqCst), running);
        assert_eq!(own.plugin().handled.load(Ordering::SeqCst), running);
        // Cancelling one makes room for another, until all have run.
        for call in calls {
            until("the call has begun", || {
                call.cancel();
                call.is_over()
            });
        }
        assert_eq!(slots.plugin().dropped.load(Ordering::SeqCst), CALLS);
        assert_eq!(own.plugin().dropped.load(Ordering::SeqCst), CALLS);
    }
}

async fn the_next_call_begins_when_the_one_before_has_ended<const RUNTIME: u8>() {
    let host = MockHost::new();
    let lanes = Lanes { in_order: true, batch: 1, ..Lanes::default() };
    let plugin = host.run_on::<Acts<RUNTIME>>(lanes).unwrap();
    let message = TestMessage::new("ack.later").build();
    let calls: Vec<_> = (0..20).map(|_| plugin.deliver(&message)).collect();
    for call in calls {
        assert!(call.await.is_acknowledged());
    }
}

#[tokio::test]
async fn a_lane_asks_again_after_a_call_has_ended_without_being_told() {
    the_next_call_begins_when_the_one_before_has_ended::<SLOTS>().await;
    the_next_call_begins_when_the_one_before_has_ended::<LANE>().await;
}

/// Polls what it holds with a waker of its own, as `FuturesUnordered` and `select` of some crates
/// do, and not again before that one is woken.
struct Wrapped<F> {
    inner: Pin<Box<F>>,
    flag: Arc<WrappedFlag>,
}

struct WrappedFlag {
    outer: std::sync::Mutex<Option<Waker>>,
    woken: AtomicUsize,
}

impl Wake for WrappedFlag {
    fn wake(self: Arc<Self>) {
        self.woken.fetch_add(1, Ordering::SeqCst);
        if let Some(outer) = &*self.outer.lock().unwrap() {
            outer.wake_by_ref();
        }
    }
}

impl<F: Future> Wrapped<F> {
    fn new(future: F) -> Self {
        let woken = AtomicUsize::new(1);
        let flag = Arc::new(WrappedFlag { outer: std::sync::Mutex::new(None), woken });
        Wrapped { inner: Box::pin(future), flag }
    }
}

impl<F: Future> Future for Wrapped<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        *self.flag.outer.lock().unwrap() = Some(cx.waker().clone());
        if self.flag.woken.swap(0, Ordering::SeqCst) == 0 {
            return Poll::Pending;
        }
        let waker = Waker::from(self.flag.clone());
        self.inner.as_mut().poll(&mut Context::from_waker(&waker))
    }
}

struct Combined(PluginContext);

impl PluginProcessor for Combined {
    const RUNTIME: Runtime = Runtime::None;

    fn create(context: PluginContext) -> Result<Self, PluginError> {
        Ok(Combined(context))
    }

    fn context(&self) -> &PluginContext {
        &self.0
    }

    async fn process(
        &self,
        topic: &str,
        _message: &Message,
    ) -> Result<ProcessingStatus, PluginError> {
        if topic == "ack" {
            return Ok(ProcessingStatus::Acknowledged);
        }
        Wrapped::new(self.0.sleep(Duration::from_secs(1))).await?;
        Wrapped::new(self.0.publish("out", "made here")).await?;
        Ok(ProcessingStatus::Acknowledged)
    }
}

#[tokio::test]
async fn a_combinator_with_wakers_of_its_own_is_woken_through_the_call() {
    let host = MockHost::new();
    host.stop_clock();
    host.transport.set_room(0);
    let plugin = host.run::<Combined>().unwrap();
    let mut call = plugin.deliver(&TestMessage::new("any").build());
    let ack = TestMessage::new("ack").build();
    assert!(plugin.deliver(&ack).await.is_acknowledged(), "the handler sleeps now");
    host.advance(Duration::from_secs(1));
    assert!(plugin.deliver(&ack).await.is_acknowledged());
    assert!(call.try_outcome().is_none(), "there is no room");
    host.transport.set_room(1);
    assert!(call.await.is_acknowledged());
    assert_eq!(host.published("out").len(), 1);
}
