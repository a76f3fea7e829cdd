//! A call that a test waits for.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::sync::oneshot;

use super::{
    handled::Handled,
    lane::{CallId, Lane},
};

/// A call into a plugin that runs on a lane. Wait for it, or cancel it.
///
/// # Cancel safety
/// Dropped, the call goes on and nobody hears of it.
#[derive(Debug)]
pub struct Call {
    pub(crate) lane: Arc<Lane>,
    pub(crate) id: CallId,
    pub(crate) done: oneshot::Receiver<Handled>,
}

// === impl Call ===

impl Call {
    /// Asks the plugin's side to drop the call, as a host does when a deadline has passed. It ends as
    /// [`Handled::Cancelled`], unless it was over before. A call that has not begun is not affected.
    pub fn cancel(&self) {
        self.lane.cancel(self.id);
    }

    /// Whether the call is over.
    #[must_use]
    pub fn is_over(&self) -> bool {
        !self.lane.has(self.id)
    }

    /// The outcome, if the call is over.
    pub fn try_outcome(&mut self) -> Option<Handled> {
        self.done.try_recv().ok()
    }
}

impl Future for Call {
    type Output = Handled;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Handled> {
        // Without a sender the lane is gone, and the call with it.
        Pin::new(&mut self.done).poll(cx).map(|done| done.unwrap_or(Handled::Cancelled))
    }
}
