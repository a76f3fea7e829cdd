//! One live instance of a library.
//!
//! Its code runs on threads of its generation only: on lanes that the host brings
//! ([`Instance::run_lane`]), and on short-lived threads of this crate for everything else.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::{
    digest::Digest,
    lane::{LaneEnd, LaneMark},
    lane_source::LaneSource,
    lanes::Lanes,
    limits::{LaneLimits, RetireLimits},
    outcome::TextLimit,
    own_loop,
    quarantine::{Held, Quarantine, QuarantineReason},
    remains::{InstancePtr, Remains},
    slot_loop::{SlotLoop, TextLimits},
    table::Table,
};

/// One instance of one library. Share it by `Arc`; end it by [`retire`](Instance::retire).
#[derive(Debug)]
pub struct Instance {
    table: Table,
    pointer: InstancePtr,
    facts: InstanceFacts,
    texts: TextLimits,
    lanes: Arc<Lanes>,
    quarantine: Arc<Quarantine>,
    limits: RetireLimits,
    /// Everything that outlives the instance; `None` once it is retired.
    remains: Mutex<Option<Remains>>,
}

/// What is known about an instance.
#[derive(Clone, Debug)]
pub struct InstanceFacts {
    /// Name of the plugin.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What the file is.
    pub digest: Digest,
    /// The generation it was loaded for.
    pub generation: u64,
    /// The private copy that is mapped.
    pub path: PathBuf,
    /// Whether the library runs its own loop on the lanes.
    pub own_loop: bool,
    /// Whether the loops of several lanes share one runtime, so that more than one lane is safe
    /// for sockets in the plugin's state.
    pub shared_loop: bool,
    /// Bytes of memory for one call in flight.
    pub call_bytes: u32,
    /// How long mapping, handshake and create took together.
    pub load_time: Duration,
}

/// How the end of an instance ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Retired {
    /// The library is proven unmapped, and its private copy removed.
    Unmapped,
    /// Something is left, or unknown: the library stays mapped, is never called again, and is
    /// looked at by [`Loader::recheck`](crate::Loader::recheck).
    Quarantined(QuarantineReason),
    /// It was retired before; whoever did it has the answer.
    Before,
}

/// What an instance is made from.
pub(crate) struct Parts {
    pub(crate) table: Table,
    pub(crate) pointer: InstancePtr,
    pub(crate) facts: InstanceFacts,
    pub(crate) reason_bytes_max: usize,
    pub(crate) reply_bytes_max: usize,
    pub(crate) lanes: Arc<Lanes>,
    pub(crate) remains: Remains,
    pub(crate) limits: RetireLimits,
}

// === impl Instance ===

impl Instance {
    pub(crate) fn new(parts: Parts, quarantine: Arc<Quarantine>) -> Instance {
        Instance {
            table: parts.table,
            pointer: parts.pointer,
            facts: parts.facts,
            texts: TextLimits {
                reason: TextLimit::Reason(parts.reason_bytes_max),
                reply: TextLimit::Reply(parts.reply_bytes_max),
            },
            lanes: parts.lanes,
            quarantine,
            limits: parts.limits,
            remains: Mutex::new(Some(parts.remains)),
        }
    }

    /// What is known about it.
    #[must_use]
    pub fn facts(&self) -> &InstanceFacts {
        &self.facts
    }

    /// The generation it was loaded for.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.facts.generation
    }

    /// Runs a lane on the calling thread until its source is closed, and everything that was begun
    /// is settled. Control calls are taken on lane 0.
    ///
    /// The thread belongs to the instance from here on: it must be joined before
    /// [`retire`](Instance::retire), which finds out if it was not.
    ///
    /// # Panics
    /// A panic of the source goes through, after all calls that wait were dropped.
    pub fn run_lane<S: LaneSource>(
        &self,
        lane: u32,
        source: &mut S,
        limits: LaneLimits,
    ) -> LaneEnd {
        let Some(_running) = self.lanes.enter() else { return LaneEnd::Retired };
        let _mark = LaneMark::new(lane, self.facts.generation);
        let InstancePtr(instance) = self.pointer;
        // SAFETY: both: the instance is destroyed and the library closed only after `_running` is
        // dropped, and `_mark` makes this a thread of its generation. The loop is the library's
        // own exactly when the table has one.
        unsafe {
            if self.table.run_lane.is_some() {
                own_loop::run(&self.table, instance, source, self.texts, lane, limits)
            } else {
                SlotLoop::new(&self.table, instance, source, self.texts, lane, limits).run()
            }
        }
    }

    /// Ends the instance and closes its library, with proof. Blocks, for as long as the limits
    /// say, and must be called when all lanes are joined.
    ///
    /// # Cancel safety
    /// Not a future. Called a second time it returns [`Retired::Before`].
    pub fn retire(&self, limits: &RetireLimits) -> Retired {
        let remains = self.remains.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut remains) = remains else { return Retired::Before };
        match remains.release(limits) {
            Ok(()) => {
                remains.forget();
                Retired::Unmapped
            }
            Err(reason) => {
                let view = remains.view(reason.clone());
                self.quarantine.put(view, *limits, Held::Remains(Box::new(remains)));
                Retired::Quarantined(reason)
            }
        }
    }
}

impl Drop for Instance {
    /// Runs no code of the library: what was not retired is kept for the next recheck.
    fn drop(&mut self) {
        let remains = self.remains.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(remains) = remains {
            let view = remains.view(QuarantineReason::NotRetired);
            self.quarantine.put(view, self.limits, Held::Remains(Box::new(remains)));
        }
    }
}
