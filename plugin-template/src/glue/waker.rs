//! The host's wakers as Rust's.
//!
//! A [`RawWaker`]'s data is the host's pointer itself: nothing is allocated. Wakers go this way
//! only; none of ours ever reaches the host.

use std::{
    mem::ManuallyDrop,
    task::{Context, RawWaker, RawWakerVTable, Waker},
};

use patchbay_abi::WakerOps;

static OPS: RawWakerVTable = RawWakerVTable::new(clone, wake, wake_by_ref, drop);

/// Whether it came from the host, and not from a combinator inside the call.
pub(crate) fn is_host_waker(waker: &Waker) -> bool {
    *waker.vtable() == OPS
}

/// Lends the host's waker as a task context.
///
/// # Safety
/// `waker` is a waker of the host, alive until this returns.
pub(crate) unsafe fn with_context<R>(
    waker: *const patchbay_abi::Waker,
    f: impl FnOnce(&mut Context<'_>) -> R,
) -> R {
    // SAFETY: the table's functions do what a waker's must, on a waker of the host. The reference
    // is the host's: it is lent, and so never dropped here.
    let waker = ManuallyDrop::new(unsafe { Waker::from_raw(RawWaker::new(waker.cast(), &OPS)) });
    f(&mut Context::from_waker(&waker))
}

fn ops<'a>(waker: *const ()) -> &'a WakerOps {
    // SAFETY: every pointer in a waker with this table is the host's, whose first field is `ops`.
    unsafe { &*(*waker.cast::<patchbay_abi::Waker>()).ops }
}

unsafe fn clone(waker: *const ()) -> RawWaker {
    // SAFETY: a waker of the host that we hold or borrow.
    let more = unsafe { (ops(waker).clone)(waker.cast()) };
    RawWaker::new(more.cast(), &OPS)
}

unsafe fn wake(waker: *const ()) {
    // SAFETY: as above; gives the reference back.
    unsafe { (ops(waker).wake)(waker.cast()) }
}

unsafe fn wake_by_ref(waker: *const ()) {
    // SAFETY: as above.
    unsafe { (ops(waker).wake_by_ref)(waker.cast()) }
}

unsafe fn drop(waker: *const ()) {
    // SAFETY: as above; gives the reference back.
    unsafe { (ops(waker).drop)(waker.cast()) }
}
