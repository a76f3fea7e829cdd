//! The call that is being polled on this thread.
//!
//! What a handler does through its context belongs to the message it handles: a publish names it
//! as its cause, a span stands below its trace. The link is a thread-local pointer that is set while
//! a call's future runs, and at no other time. It has no destructor, so that no thread is left with
//! something of this library to run.
//!
//! Absent on purpose: tasks that a handler spawns. They outlive the call; they say themselves what
//! they belong to ([`MessageBuilder::cause`](crate::MessageBuilder::cause)).

use std::{
    cell::{Cell, RefCell},
    ptr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::Waker,
};

use crate::{glue::waker::is_host_waker, host::HostRef, telemetry::SpanCore};

thread_local! {
    static CURRENT: Cell<*const Scope> = const { Cell::new(ptr::null()) };
}

/// What is known about one call. Lives as long as the call's future, at a fixed address while it
/// is polled.
#[derive(Debug)]
pub(crate) struct Scope {
    pub(crate) host: HostRef,
    /// The message that is handled; null in a control call.
    pub(crate) message: *const patchbay_abi::Message,
    /// The host's waker during a poll from outside; null when a loop of our own polls.
    waker: Cell<*const patchbay_abi::Waker>,
    /// The innermost span that was entered.
    span: RefCell<Option<Arc<SpanCore>>>,
    /// Wakers of combinators inside the call: the host wakes the call, the call wakes these.
    inner: RefCell<Vec<Waker>>,
    /// 0 until somebody asks.
    id: Cell<u64>,
}

// SAFETY: a scope moves with its call between threads, and is used by one at a time; the pointers
// are to host objects, which may be used on any thread.
unsafe impl Send for Scope {}

/// Restores what was current before.
struct Entered<'a> {
    current: &'a Cell<*const Scope>,
    before: *const Scope,
}

// === impl Scope ===

impl Scope {
    pub(crate) fn new(host: HostRef, message: *const patchbay_abi::Message) -> Self {
        Scope {
            host,
            message,
            waker: Cell::new(ptr::null()),
            span: RefCell::new(None),
            inner: RefCell::new(Vec::new()),
            id: Cell::new(0),
        }
    }

    /// Runs `poll` as part of this call. `waker` is the host's, or null in a loop of our own.
    #[inline]
    pub(crate) fn enter<R>(
        &self,
        waker: *const patchbay_abi::Waker,
        poll: impl FnOnce() -> R,
    ) -> R {
        self.waker.set(waker);
        if !self.inner.borrow().is_empty() {
            self.wake_inner();
        }
        // Looked up once: the address of a thread-local costs a call in a library.
        CURRENT.with(|current| {
            let _entered = Entered { current, before: current.replace(self) };
            poll()
        })
    }

    #[cold]
    fn wake_inner(&self) {
        for waker in self.inner.take() {
            waker.wake();
        }
    }

    /// Whether there is nothing to drop: no span was entered, no combinator waited.
    #[inline]
    pub(crate) fn is_plain(&mut self) -> bool {
        self.span.get_mut().is_none() && self.inner.get_mut().capacity() == 0
    }

    /// Hands the call that is being polled for `host` to `f`.
    pub(crate) fn current<R>(host: HostRef, f: impl FnOnce(Option<&Scope>) -> R) -> R {
        // SAFETY: set by `enter` for as long as the scope is borrowed there.
        let scope = unsafe { CURRENT.get().as_ref() };
        f(scope.filter(|scope| scope.host.is(host)))
    }

    /// The host that is being talked to on this thread, whoever asks.
    pub(crate) fn current_host() -> Option<HostRef> {
        // SAFETY: as above.
        unsafe { CURRENT.get().as_ref() }.map(|scope| scope.host)
    }

    /// The host's waker of this call, to be woken when `task` should be polled again. None in a
    /// loop of our own.
    pub(crate) fn host_waker(&self, task: &Waker) -> Option<*const patchbay_abi::Waker> {
        let waker = self.waker.get();
        if waker.is_null() {
            return None;
        }
        if !is_host_waker(task) {
            let mut inner = self.inner.borrow_mut();
            if !inner.iter().any(|known| known.will_wake(task)) {
                inner.push(task.clone());
            }
        }
        Some(waker)
    }

    /// A number that no other call of this library has.
    pub(crate) fn id(&self) -> u64 {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        if self.id.get() == 0 {
            self.id.set(NEXT.fetch_add(1, Ordering::Relaxed));
        }
        self.id.get()
    }

    pub(crate) fn span(&self) -> Option<Arc<SpanCore>> {
        self.span.borrow().clone()
    }

    pub(crate) fn replace_span(&self, span: Option<Arc<SpanCore>>) -> Option<Arc<SpanCore>> {
        self.span.replace(span)
    }
}

// === impl Entered ===

impl Drop for Entered<'_> {
    #[inline]
    fn drop(&mut self) {
        self.current.set(self.before);
    }
}
