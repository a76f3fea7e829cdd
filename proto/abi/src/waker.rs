//! The host's wakers. They are made by the host only, counted, and safe to keep or use late.

/// One word: a host object whose first field is `ops`.
#[repr(C)]
#[derive(Debug)]
pub struct Waker {
    /// The functions of this waker.
    pub ops: *const WakerOps,
}

/// What can be done with a waker, on any thread, also after the call it belonged to ended.
#[repr(C)]
#[derive(Debug)]
pub struct WakerOps {
    /// One more reference to the same waker.
    pub clone: unsafe extern "C" fn(waker: *const Waker) -> *const Waker,
    /// Wakes and gives the reference back.
    pub wake: unsafe extern "C" fn(waker: *const Waker),
    /// Wakes.
    pub wake_by_ref: unsafe extern "C" fn(waker: *const Waker),
    /// Gives the reference back.
    pub drop: unsafe extern "C" fn(waker: *const Waker),
}

// SAFETY: host objects behind the pointer are counted with atomics and may be used on any thread.
unsafe impl Send for Waker {}
// SAFETY: as above.
unsafe impl Sync for Waker {}
