//! One call as a future of ours.

use std::{
    future::Future,
    mem::ManuallyDrop,
    pin::Pin,
    ptr,
    task::{Context, Poll},
};

use patchbay_abi::Outcome;

use crate::{
    glue::{
        outcome::{Answer, panicked},
        panic::contain,
    },
    scope::Scope,
};

/// A call's future within its [`Scope`], whose panics are contained: when it is polled and when it
/// is dropped.
#[derive(Debug)]
pub(crate) struct Contained<F> {
    scope: Scope,
    /// `None` when making it panicked. Pinned with the whole.
    future: ManuallyDrop<Option<F>>,
    /// Why there is no future.
    panic: Option<String>,
}

// === impl Contained ===

impl<F> Contained<F> {
    pub(crate) fn new(scope: Scope, make: impl FnOnce() -> F) -> Self {
        match contain(|| scope.enter(ptr::null(), make)) {
            Ok(future) => Contained { scope, future: ManuallyDrop::new(Some(future)), panic: None },
            Err(text) => Contained { scope, future: ManuallyDrop::new(None), panic: Some(text) },
        }
    }
}

impl<F: Future<Output: Answer>> Future for Contained<F> {
    type Output = Outcome;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        // SAFETY: the future is pinned with the whole: it is not moved, and dropped in place.
        let this = unsafe { self.get_unchecked_mut() };
        let mut outcome = Outcome::EMPTY;
        let Some(future) = &mut *this.future else {
            panicked(&mut outcome, this.panic.take().unwrap_or_default());
            return Poll::Ready(outcome);
        };
        // SAFETY: as above.
        let future = unsafe { Pin::new_unchecked(future) };
        match contain(|| this.scope.enter(ptr::null(), || future.poll(cx))) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(answer)) => answer.write(&mut outcome),
            Err(text) => panicked(&mut outcome, text),
        }
        Poll::Ready(outcome)
    }
}

impl<F> Drop for Contained<F> {
    fn drop(&mut self) {
        // What panics has been reported by the hook.
        let _reported = contain(|| {
            self.scope.enter(ptr::null(), || {
                // SAFETY: dropped once, in place.
                unsafe { ManuallyDrop::drop(&mut self.future) }
            });
        });
    }
}
