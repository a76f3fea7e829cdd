//! The thread of a lane.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{Arc, atomic::Ordering},
    thread::{Builder, JoinHandle},
};

use crate::{
    feed::{Feed, WHOLE_BATCH},
    lane::{LaneId, LaneShared, LoopEnd},
    panic_text,
    shared::PoolShared,
    watch::{HandOff, LaneWatch},
};

/// A lane as those see it who look after it.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) lane: Arc<LaneShared>,
    pub(crate) watch: LaneWatch,
    thread: JoinHandle<()>,
}

// === impl Member ===

impl Member {
    /// Starts a lane.
    pub(crate) fn start(pool: &Arc<PoolShared>, id: LaneId) -> io::Result<Member> {
        let config = &pool.config;
        let open_max = match pool.handler.hand_off() {
            HandOff::Each => config.concurrency,
            HandOff::Whole => config.concurrency * WHOLE_BATCH,
        };
        let lane = Arc::new(LaneShared::new(id, open_max as usize, config.ready_max));
        let (theirs, pool) = (Arc::clone(&lane), Arc::clone(pool));
        let name = format!("{}/{}", pool.name, id.index);
        let thread = Builder::new().name(name).spawn(move || run(&pool, &theirs))?;
        Ok(Member { lane, watch: LaneWatch::default(), thread })
    }

    /// Whether the handler's loop has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.lane.end().is_some()
    }

    /// Whether the thread is gone, with all that its libraries run at a thread's end: to join it
    /// takes no time.
    pub(crate) fn is_gone(&self) -> bool {
        // `is_finished` alone is true before the destructors of thread-locals have run, and those
        // may be a plugin's.
        let number = self.lane.thread.load(Ordering::Acquire);
        self.thread.is_finished()
            && (number == 0 || !Path::new(&format!("/proc/self/task/{number}")).exists())
    }

    /// Joins a thread that is gone.
    pub(crate) fn join(self) -> Arc<LaneShared> {
        if let Err(payload) = self.thread.join() {
            // The loop's own panics were caught; this one came from what runs after it.
            tracing::error!(lane = %self.lane.id, panic = panic_text(payload), "a lane panicked");
        }
        self.lane
    }
}

fn run(pool: &Arc<PoolShared>, lane: &Arc<LaneShared>) {
    lane.thread.store(thread_number(), Ordering::Release);
    lane.bell.belongs_here();
    let mut feed = Feed::new(Arc::clone(pool), Arc::clone(lane));
    let ended = catch_unwind(AssertUnwindSafe(|| pool.handler.run(lane.id, &mut feed)));
    let end = match ended {
        Ok(()) => LoopEnd::Returned,
        Err(payload) => LoopEnd::Panicked(panic_text(payload)),
    };
    drop(feed);
    lane.set_end(end);
    pool.lane_ended();
}

/// The kernel's number of the calling thread; 0 where there is none.
fn thread_number() -> u64 {
    #[cfg(target_os = "linux")]
    return u64::from(rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs());
    #[cfg(not(target_os = "linux"))]
    return 0;
}
