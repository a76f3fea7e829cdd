//! A library's instance as the handler of its pool.

use std::sync::Arc;

use patchbay_interpose::crash::record::CrashRecord;
use patchbay_loader::{Instance, LaneLimits};
use patchbay_pool::{Feed, HandOff, Handler, LaneId};

use crate::{
    lane::{FeedSource, Watched},
    services::Lanes,
};

/// Runs lanes in a library.
#[derive(Debug)]
pub(crate) struct LibraryHandler {
    pub(crate) instance: Arc<Instance>,
    pub(crate) limits: LaneLimits,
    pub(crate) lanes: Arc<Lanes>,
    pub(crate) watched: Watched,
    pub(crate) crash: Option<Arc<CrashRecord>>,
}

// === impl LibraryHandler ===

impl Handler for LibraryHandler {
    fn run(&self, lane: LaneId, feed: &mut Feed) {
        let plugin = &self.instance.facts().name;
        let _up = self.lanes.enter(lane.index, feed.handle());
        let generation = self.instance.generation();
        let record = self.crash.as_ref().map(|crash| crash.lane(generation, lane.index));
        let source = if self.instance.facts().own_loop {
            FeedSource::of_own_loop(feed, &self.watched, record)
        } else {
            Ok(FeedSource::of_host_loop(feed, &self.watched, record))
        };
        match source {
            Ok(mut source) => {
                let end = self.instance.run_lane(lane.index, &mut source, self.limits);
                tracing::debug!(plugin, lane = lane.index, ?end, "lane ended");
            }
            // The pool sees that the loop ended while the lane was open, and tries again later.
            Err(error) => tracing::error!(plugin, lane = lane.index, %error, "lane has no bell"),
        }
    }

    fn hand_off(&self) -> HandOff {
        // A library's own loop takes a whole hand-out and works through it unseen.
        if self.instance.facts().own_loop { HandOff::Whole } else { HandOff::Each }
    }
}
