//! Looking at messages as they pass. A tap settles nothing and slows nobody: what it does not take
//! in time it misses, and the misses are counted.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use patchbay_slab::Message;
use tokio::sync::mpsc;

use crate::broker::Broker;

/// A look at the messages of a pattern. Ends when dropped.
pub struct Tap {
    receiver: mpsc::Receiver<Message>,
    sink: Arc<Sink>,
    broker: Broker,
}

/// The publishers' end of a tap.
#[derive(Debug)]
pub(crate) struct Sink {
    sender: mpsc::Sender<Message>,
    missed: AtomicU64,
}

// === impl Tap ===

impl Tap {
    pub(crate) fn new(
        broker: Broker,
        capacity: usize,
        attach: impl FnOnce(&Broker, Arc<Sink>),
    ) -> Tap {
        let (sender, receiver) = mpsc::channel(capacity.max(1));
        let sink = Arc::new(Sink { sender, missed: AtomicU64::new(0) });
        attach(&broker, Arc::clone(&sink));
        Tap { receiver, sink, broker }
    }

    /// The next message. `None` never happens while the tap lives.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn recv(&mut self) -> Option<Message> {
        self.receiver.recv().await
    }

    /// The next message, if one is there.
    pub fn try_recv(&mut self) -> Option<Message> {
        self.receiver.try_recv().ok()
    }

    /// How many messages were missed so far because they were not taken in time.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.sink.missed.load(Relaxed)
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.broker.untap(&self.sink);
    }
}

impl fmt::Debug for Tap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tap").field("missed", &self.missed()).finish_non_exhaustive()
    }
}

// === impl Sink ===

impl Sink {
    /// Shows a message. Never waits.
    pub(crate) fn offer(&self, message: &Message) {
        if self.sender.try_send(message.clone()).is_err() {
            self.missed.fetch_add(1, Relaxed);
        }
    }
}
