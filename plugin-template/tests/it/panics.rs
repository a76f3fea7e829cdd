//! Panics stop at the boundary.

use std::{
    future::Future,
    pin::Pin,
    sync::atomic::Ordering,
    task::{Context, Poll},
};

use crate::acts::{Acts, LANE, SLOTS, until};
use patchbay_abi::source::op;
use patchbay_plugin::{
    Message, Plugin, PluginContext, PluginError, ProcessingStatus, Runtime,
    testing::{Handled, MockHost, TestMessage},
};

async fn each_is_contained<P: Plugin>() {
    let host = MockHost::new();
    let plugin = host.run::<P>().unwrap();
    for (topic, text) in [
        ("panic", "at once, 3"),
        ("panic.later", "after a suspension"),
        ("panic.payload", "panicked with something that is no text"),
    ] {
        let message = TestMessage::new(topic).attempt(3).build();
        let Handled::Panicked(reported) = plugin.deliver(&message).await else {
            panic!("{topic} did not panic")
        };
        assert_eq!(reported, text);
        let after = plugin.deliver(&TestMessage::new("ack").build()).await;
        assert!(after.is_acknowledged(), "the plugin goes on after {topic}");
    }
    let Handled::Panicked(reported) = plugin.control(op::PAUSE, &[]).await else {
        panic!("making the future did not panic")
    };
    assert_eq!(reported, "no pause");
}

#[tokio::test]
async fn a_panic_in_a_slot_is_an_outcome_and_the_next_call_is_fine() {
    each_is_contained::<Acts<SLOTS>>().await;
}

#[tokio::test]
async fn a_panic_in_an_own_loop_is_an_outcome_and_the_next_call_is_fine() {
    each_is_contained::<Acts<LANE>>().await;
}

async fn dropping_is_contained<const RUNTIME: u8>() {
    let host = MockHost::new();
    let plugin = host.run::<Acts<RUNTIME>>().unwrap();
    let call = plugin.deliver(&TestMessage::new("panic.drop").build());
    until("the handler waits", || plugin.plugin().handled.load(Ordering::SeqCst) == 1);
    call.cancel();
    assert!(matches!(call.await, Handled::Cancelled));
    assert!(plugin.deliver(&TestMessage::new("ack").build()).await.is_acknowledged());
}

#[tokio::test]
async fn a_future_that_panics_when_it_is_cancelled_is_contained() {
    dropping_is_contained::<SLOTS>().await;
    dropping_is_contained::<LANE>().await;
}

/// A future of which the end is worse than the life.
struct LateBomb;

impl Future for LateBomb {
    type Output = Result<ProcessingStatus, PluginError>;

    fn poll(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(Ok(ProcessingStatus::Acknowledged))
    }
}

impl Drop for LateBomb {
    fn drop(&mut self) {
        panic!("too late");
    }
}

struct Late<const RUNTIME: u8>(PluginContext);

impl<const RUNTIME: u8> Plugin for Late<RUNTIME> {
    const RUNTIME: Runtime = <Acts<RUNTIME> as Plugin>::RUNTIME;

    fn new(context: PluginContext) -> Result<Self, PluginError> {
        Ok(Late(context))
    }

    fn name(&self) -> &str {
        &self.0.plugin_name
    }

    fn process_message(
        &self,
        _topic: &str,
        _message: &Message,
    ) -> impl Future<Output = Result<ProcessingStatus, PluginError>> + Send {
        LateBomb
    }
}

#[tokio::test]
async fn a_future_that_panics_when_it_is_dropped_after_its_answer_has_answered() {
    let host = MockHost::new();
    let message = TestMessage::new("any").build();
    let plugin = host.run::<Late<SLOTS>>().unwrap();
    assert!(plugin.deliver(&message).await.is_acknowledged());
    let plugin = host.run::<Late<LANE>>().unwrap();
    assert!(plugin.deliver(&message).await.is_acknowledged());
}
