//! A plugin that does what the topic says.

use std::{
    future::{pending, poll_fn},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
    time::Duration,
};

use patchbay_plugin::{
    Health, Message, Metrics, Plugin, PluginContext, PluginError, ProcessingStatus, PublishError,
    Runtime,
};

/// Polled by the host.
pub(crate) const SLOTS: u8 = 0;
/// A runtime on each lane.
pub(crate) const LANE: u8 = 1;
/// One runtime for all lanes.
pub(crate) const SHARED: u8 = 2;

pub(crate) struct Acts<const RUNTIME: u8> {
    pub(crate) context: PluginContext,
    /// Handlers that were dropped where they waited.
    pub(crate) dropped: Arc<AtomicUsize>,
    pub(crate) handled: AtomicUsize,
}

struct Count(Arc<AtomicUsize>);

struct Bomb;

impl Drop for Count {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("a bomb was dropped");
    }
}

/// Pending once, woken at once.
pub(crate) async fn yield_once() {
    let mut yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

impl<const RUNTIME: u8> Plugin for Acts<RUNTIME> {
    const RUNTIME: Runtime = match RUNTIME {
        SLOTS => Runtime::None,
        LANE => Runtime::Lane,
        _ => Runtime::Shared,
    };

    fn new(context: PluginContext) -> Result<Self, PluginError> {
        if context.config.flag("refuse").unwrap_or(false) {
            return Err(PluginError::permanent("refused by its settings"));
        }
        Ok(Acts { context, dropped: Arc::default(), handled: AtomicUsize::new(0) })
    }

    fn name(&self) -> &str {
        &self.context.plugin_name
    }

    async fn init(&self) -> Result<(), PluginError> {
        yield_once().await;
        self.context.log(patchbay_plugin::Level::Info, "init");
        Ok(())
    }

    async fn process_message(
        &self,
        topic: &str,
        message: &Message,
    ) -> Result<ProcessingStatus, PluginError> {
        self.handled.fetch_add(1, Ordering::SeqCst);
        match topic {
            "ack" => {}
            "ack.later" => yield_once().await,
            "retry" => return Ok(ProcessingStatus::RetryLater(Duration::from_millis(1500))),
            "retry.ever" => return Ok(ProcessingStatus::RetryLater(Duration::MAX)),
            "failed" => return Ok(ProcessingStatus::Failed("no use".to_owned())),
            "forward" => {
                return Ok(ProcessingStatus::Forward("elsewhere".to_owned(), message.clone()));
            }
            "error.transient" => return Err(PluginError::transient("not now")),
            "error.permanent" => return Err(PluginError::permanent("never")),
            "error.data" => return Err(PluginError::invalid_data("nonsense")),
            "panic" => panic!("at once, {}", message.attempt()),
            "panic.later" => {
                yield_once().await;
                panic!("after a suspension");
            }
            "panic.payload" => std::panic::panic_any(Bomb),
            "panic.drop" => {
                let bomb = Bomb;
                pending::<()>().await;
                drop(bomb);
            }
            "wait" => {
                let _count = Count(self.dropped.clone());
                pending::<()>().await;
            }
            "sleep" => self.context.sleep(Duration::from_secs(5)).await?,
            "publish" => {
                let built = self.context.message_builder().topic("out").text("made here");
                built.publish().await?;
            }
            "publish.batch" => {
                self.context.transport.publish_batch(numbered(&self.context, 5)?).await?;
            }
            other => return Err(PluginError::invalid_data(format!("no act for {other}"))),
        }
        Ok(ProcessingStatus::Acknowledged)
    }

    async fn shutdown(&self) -> Result<(), PluginError> {
        Err(PluginError::transient("busy"))
    }

    async fn health(&self) -> Health {
        match self.context.config.text("health") {
            Ok(why) => Health::unhealthy(why),
            Err(_) => Health::healthy_with("fine"),
        }
    }

    async fn metrics(&self) -> Metrics {
        Metrics::new().with("handled", self.handled.load(Ordering::SeqCst))
    }

    fn pause(&self) -> impl Future<Output = Result<(), PluginError>> + Send {
        // Not an `async fn`: the panic comes while the future is made.
        panic!("no pause");
        #[expect(unreachable_code, reason = "gives the type")]
        std::future::ready(Ok(()))
    }

    async fn reset(&self) -> Result<(), PluginError> {
        self.handled.store(0, Ordering::SeqCst);
        Ok(())
    }

    async fn export_state(&self) -> Result<Vec<u8>, PluginError> {
        Ok(self.handled.load(Ordering::SeqCst).to_string().into_bytes())
    }

    async fn import_state(&self, state: &[u8]) -> Result<(), PluginError> {
        let state = std::str::from_utf8(state)?.to_owned();
        // The argument outlives a suspension.
        yield_once().await;
        self.handled.store(state.parse()?, Ordering::SeqCst);
        Ok(())
    }
}

/// Messages with the numbers from 0 on, every third one to another topic.
pub(crate) fn numbered(
    context: &PluginContext,
    count: usize,
) -> Result<Vec<Message>, PublishError> {
    let one = |n: usize| {
        let topic = if n % 3 == 2 { "other" } else { "out" };
        context.message_builder().topic(topic).text(n.to_string()).build()
    };
    (0..count).map(one).collect()
}

/// Waits for something that another thread does.
#[track_caller]
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    patchbay_testkit::eventually(what, Duration::from_secs(20), || is_so().then_some(()));
}
