//! Wakers as a host makes them.

use std::{
    mem,
    sync::Arc,
    task::{Wake, Waker},
};

use patchbay_abi::WakerOps;

/// A counted host object whose first field is the table that the library uses.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct HostWaker {
    head: patchbay_abi::Waker,
    waker: Waker,
}

static OPS: WakerOps = WakerOps { clone, wake, wake_by_ref, drop };

// === impl HostWaker ===

impl HostWaker {
    pub(crate) fn new(wake: Arc<impl Wake + Send + Sync + 'static>) -> Arc<Self> {
        Arc::new(HostWaker {
            head: patchbay_abi::Waker { ops: &raw const OPS },
            waker: wake.into(),
        })
    }

    pub(crate) fn as_raw(self: &Arc<Self>) -> *const patchbay_abi::Waker {
        Arc::as_ptr(self).cast()
    }

    /// One more reference to the waker that the library passed back.
    ///
    /// # Safety
    /// `waker` is one of ours, alive during the call; or null.
    pub(crate) unsafe fn keep(waker: *const patchbay_abi::Waker) -> Option<Arc<Self>> {
        if waker.is_null() {
            return None;
        }
        // SAFETY: by the caller's promise.
        unsafe { Some(Arc::from_raw(clone(waker).cast())) }
    }

    pub(crate) fn wake(&self) {
        self.waker.wake_by_ref();
    }
}

unsafe extern "C" fn clone(waker: *const patchbay_abi::Waker) -> *const patchbay_abi::Waker {
    // SAFETY: a pointer from `as_raw`, or from here, to a waker that is alive.
    unsafe { Arc::increment_strong_count(waker.cast::<HostWaker>()) };
    waker
}

unsafe extern "C" fn wake(waker: *const patchbay_abi::Waker) {
    // SAFETY: a reference that is given back.
    let waker = unsafe { Arc::from_raw(waker.cast::<HostWaker>()) };
    waker.waker.wake_by_ref();
}

unsafe extern "C" fn wake_by_ref(waker: *const patchbay_abi::Waker) {
    // SAFETY: alive during the call.
    unsafe { &*waker.cast::<HostWaker>() }.waker.wake_by_ref();
}

unsafe extern "C" fn drop(waker: *const patchbay_abi::Waker) {
    // SAFETY: a reference that is given back.
    mem::drop(unsafe { Arc::from_raw(waker.cast::<HostWaker>()) });
}
