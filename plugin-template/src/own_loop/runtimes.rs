//! The tokio runtimes of an instance.

use std::{
    collections::BTreeMap,
    future::Future,
    io,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::{
    runtime::{Builder, Handle, Runtime as Tokio},
    task::LocalSet,
};

use crate::runtime::Runtime;

/// How long a lane other than lane 0 waits for blocking work of its runtime when it retires.
const LANE_STOP_LIMIT: Duration = Duration::from_secs(1);

/// Either one runtime for each lane or one for all, by the plugin's choice.
///
/// Lane 0's runtime is *parked* when the lane retires: kept, not driven, so that sockets and timers
/// that `init` made survive a pool without lanes. It may be driven by another thread the next time.
#[derive(Debug)]
pub(crate) struct Runtimes {
    mode: Runtime,
    shared: Mutex<Option<Tokio>>,
    parked: Mutex<BTreeMap<u32, Tokio>>,
}

// === impl Runtimes ===

impl Runtimes {
    pub(crate) fn new(mode: Runtime) -> Self {
        Runtimes { mode, shared: Mutex::default(), parked: Mutex::default() }
    }

    /// Whether the lanes share one runtime. Handlers then run as local tasks of their lane: plain
    /// tasks would all run on the shared thread.
    pub(crate) fn is_shared(&self) -> bool {
        self.mode == Runtime::Shared
    }

    /// Drives `body` on this thread until it is done.
    pub(crate) fn drive(&self, lane: u32, body: impl Future<Output = ()>) -> io::Result<()> {
        if self.is_shared() {
            self.shared()?.block_on(LocalSet::new().run_until(body));
            return Ok(());
        }
        let parked = lock(&self.parked).remove(&lane);
        let runtime = match parked {
            Some(runtime) => runtime,
            None => Builder::new_current_thread().enable_all().build()?,
        };
        runtime.block_on(body);
        if lane == 0 {
            lock(&self.parked).insert(lane, runtime);
        } else {
            runtime.shutdown_timeout(LANE_STOP_LIMIT);
        }
        Ok(())
    }

    /// Ends every runtime: their tasks are dropped, their threads joined.
    pub(crate) fn stop(&self, limit: Duration) {
        let until = Instant::now() + limit.min(LONGEST_STOP);
        let shared = lock(&self.shared).take();
        let parked = std::mem::take(&mut *lock(&self.parked));
        for runtime in shared.into_iter().chain(parked.into_values()) {
            runtime.shutdown_timeout(until.saturating_duration_since(Instant::now()));
        }
    }

    fn shared(&self) -> io::Result<Handle> {
        let mut shared = lock(&self.shared);
        if let Some(runtime) = &*shared {
            return Ok(runtime.handle().clone());
        }
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("patchbay-reactor")
            .enable_all()
            .build()?;
        Ok(shared.insert(runtime).handle().clone())
    }
}

/// A limit that can be added to an instant.
const LONGEST_STOP: Duration = Duration::from_secs(3600);

impl Drop for Runtimes {
    /// A runtime's own destructor would wait for blocking work without limit.
    fn drop(&mut self) {
        self.stop(Duration::ZERO);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
