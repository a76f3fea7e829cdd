//! How others reach a lane.

use std::sync::Arc;

use crate::lane::{LaneId, LaneShared};

/// Reaches a lane from any thread; may outlive it, and does nothing then.
#[derive(Clone, Debug)]
pub struct LaneHandle(Arc<LaneShared>);

impl LaneHandle {
    pub(crate) fn new(lane: Arc<LaneShared>) -> LaneHandle {
        LaneHandle(lane)
    }

    /// The lane that is reached.
    pub fn lane(&self) -> LaneId {
        self.0.id
    }

    /// Hands a publish token to the lane as ready. False if the lane has ended, or has as many
    /// waiting as it may (`ready_max`).
    pub fn ready(&self, token: u64) -> bool {
        self.0.push_ready(token)
    }
}
