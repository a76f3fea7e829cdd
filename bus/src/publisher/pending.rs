//! What a publisher is told, and when.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use super::PublishError;
use crate::{durability::Level, wake::Wake};

/// An accepted message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// Its id; that of the first one when it is a duplicate.
    pub id: u128,
    /// Its number in the journal, gapless; `None` when it is not recorded.
    pub seq: Option<u64>,
    /// The level that it has reached.
    pub level: Level,
    /// How many subscriptions took it.
    pub routed: u32,
    /// The same was accepted before under its dedup key: this one was delivered to nobody.
    pub duplicate: bool,
}

/// A message on its way to its level. Dropping it changes nothing for the message.
#[derive(Debug)]
#[must_use = "a message is accepted when this says so"]
pub struct Pending {
    published: Published,
}

/// Wakes a task.
struct TaskWake(Waker);

impl Wake for TaskWake {
    fn wake(&self) {
        self.0.wake_by_ref();
    }
}

// === impl Published ===

impl Published {
    pub(crate) const fn in_memory(id: u128, routed: u32) -> Published {
        Published { id, seq: None, level: Level::Memory, routed, duplicate: false }
    }
}

// === impl Pending ===

impl Pending {
    pub(crate) const fn decided(published: Published) -> Pending {
        Pending { published }
    }

    /// What will be told, if all goes well.
    #[must_use]
    pub fn promised(&self) -> &Published {
        &self.published
    }

    /// Whether and how it was decided.
    #[must_use]
    pub fn poll_result(&self) -> Option<Result<Published, PublishError>> {
        Some(Ok(self.published))
    }

    /// Waits until it is decided, and helps to get there. Not for a thread of a runtime.
    ///
    /// # Errors
    /// When the journal fails before the level is reached.
    pub fn wait(self) -> Result<Published, PublishError> {
        Ok(self.published)
    }

    /// Calls `wake` once when it is decided, at once if it is.
    pub fn when(&self, wake: Arc<dyn Wake>) {
        wake.wake();
    }
}

impl Future for Pending {
    type Output = Result<Published, PublishError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.poll_result() {
            Some(result) => Poll::Ready(result),
            None => {
                self.when(Arc::new(TaskWake(context.waker().clone())));
                Poll::Pending
            }
        }
    }
}
