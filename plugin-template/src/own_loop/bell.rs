//! The lane's end of the host's eventfd.

use std::{
    future::{Future, poll_fn},
    io,
    os::fd::{AsRawFd, RawFd},
    pin::pin,
    task::Poll,
};

use patchbay_abi::{Outcome, outcome::code};
use tokio::{
    io::{Interest, unix::AsyncFd},
    sync::Notify,
};

use super::{
    contained::Contained,
    source::{CallId, LaneSource},
    tokens::Tokens,
};
use crate::glue::outcome::Answer;

/// Everything that waits for the host waits for the next ring, having registered for it before it
/// asked: no ring is lost.
#[derive(Debug)]
pub(crate) struct Bell {
    source: LaneSource,
    rung: Notify,
    /// A call of this lane has ended: the source may have more, of which no ring tells.
    ended: Notify,
}

/// The host's descriptor, which it closes itself.
struct Borrowed(RawFd);

// === impl Bell ===

impl Bell {
    pub(crate) fn new(source: LaneSource) -> Self {
        Bell { source, rung: Notify::new(), ended: Notify::new() }
    }

    /// Passes rings on, until that fails. The descriptor is watched edge-triggered and never read:
    /// each write is an edge.
    pub(crate) async fn listen(&self, tokens: &Tokens) -> io::Error {
        let bell = Borrowed(self.source.bell());
        // SAFETY: the host keeps the descriptor open until `run_lane` returns, and the lane has
        // dropped this future before.
        let bell = match unsafe { AsyncFd::register_with_interest(bell, Interest::READABLE) } {
            Ok(bell) => bell,
            Err(error) => return error.into(),
        };
        loop {
            match bell.readable().await {
                Ok(mut ready) => ready.clear_ready(),
                Err(error) => return error,
            }
            self.source.ready(|ready| tokens.ready(ready));
            self.rung.notify_waiters();
        }
    }

    /// Asks again after each ring, until there is an answer.
    pub(crate) async fn until<T>(&self, mut ask: impl FnMut() -> Option<T>) -> T {
        loop {
            let mut ring = pin!(self.rung.notified());
            ring.as_mut().enable();
            if let Some(answer) = ask() {
                return answer;
            }
            ring.await;
        }
    }

    /// As [`until`](Bell::until), and asks again also after each call that ended on this lane.
    pub(crate) async fn until_or_ended<T>(&self, mut ask: impl FnMut() -> Option<T>) -> T {
        loop {
            let (mut ring, mut ended) = (pin!(self.rung.notified()), pin!(self.ended.notified()));
            ring.as_mut().enable();
            ended.as_mut().enable();
            if let Some(answer) = ask() {
                return answer;
            }
            poll_fn(|cx| {
                let rung = ring.as_mut().poll(cx).is_ready();
                if rung || ended.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(());
                }
                Poll::Pending
            })
            .await;
        }
    }

    /// Reports that a call is over.
    pub(crate) fn complete(&self, id: CallId, outcome: Outcome) {
        self.source.complete(id, outcome);
        self.ended.notify_waiters();
    }

    /// Drives a call to its outcome, or drops it when the host asks for that.
    pub(crate) async fn drive<F: Future<Output: Answer>>(
        &self,
        id: CallId,
        call: Contained<F>,
    ) -> Outcome {
        let mut call = pin!(call);
        let mut cancelled = pin!(None);
        poll_fn(|cx| {
            if let Poll::Ready(outcome) = call.as_mut().poll(cx) {
                return Poll::Ready(outcome);
            }
            if cancelled.is_none() {
                let asked = || self.source.is_cancelled(id).then_some(());
                cancelled.set(Some(self.until(asked)));
            }
            match cancelled.as_mut().as_pin_mut().map(|cancelled| cancelled.poll(cx)) {
                Some(Poll::Ready(())) => {
                    Poll::Ready(Outcome { code: code::CANCELLED, ..Outcome::EMPTY })
                }
                _ => Poll::Pending,
            }
        })
        .await
    }
}

// === impl Borrowed ===

impl AsRawFd for Borrowed {
    fn as_raw_fd(&self) -> RawFd {
        self.0
    }
}
