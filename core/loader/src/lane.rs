//! One lane: a thread of a generation, for as long as it runs the library.

use std::cell::Cell;

use patchbay_interpose as interpose;

/// How the run of a lane ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LaneEnd {
    /// The source was closed, and everything that was begun is settled.
    Closed,
    /// The library's own loop panicked. What it held was reported as
    /// [`Outcome::Invalid`](crate::Outcome).
    LoopPanicked,
    /// The library's own loop returned although the source was not closed. What it held was
    /// reported likewise.
    LoopLeft,
    /// The instance is retired already; nothing was called.
    Retired,
}

/// Marks the calling thread as a lane until dropped.
#[derive(Debug)]
pub(crate) struct LaneMark {
    lane: Option<u32>,
    generation: u64,
}

thread_local! {
    // A `Cell` without a destructor: nothing is registered on a lane.
    static LANE: Cell<Option<u32>> = const { Cell::new(None) };
}

/// Number of the lane that runs on this thread.
pub(crate) fn current_lane() -> Option<u32> {
    LANE.get()
}

// === impl LaneMark ===

impl LaneMark {
    /// Threads that the library starts from here are its generation's, and this thread itself has
    /// to be gone before the library is.
    pub(crate) fn new(lane: u32, generation: u64) -> LaneMark {
        interpose::enlist(generation);
        LaneMark { lane: LANE.replace(Some(lane)), generation: interpose::enter(generation) }
    }
}

impl Drop for LaneMark {
    fn drop(&mut self) {
        interpose::enter(self.generation);
        LANE.set(self.lane);
    }
}
