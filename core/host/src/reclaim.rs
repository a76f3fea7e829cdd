//! Memory that nobody has any more goes back to the system.
//!
//! A host loads hundreds of libraries when it starts, and lanes come and go with the work. What they
//! had for a moment lies between what stays, in one of many arenas, and of an arena the allocator
//! gives back the end only. So it is asked for the rest once things stand still: of 126 kB for each
//! of 500 idle plugins a fifth was free.

use std::{
    mem,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use patchbay_interpose::memory;

use crate::context::Context;

/// Fewer changes than these leave nothing that is worth a look through all arenas.
const WORTH: u64 = 16;

/// How many libraries were loaded or unloaded.
#[derive(Debug, Default)]
pub(crate) struct Reclaim {
    loads: AtomicU64,
}

/// What is remembered from one look to the next.
#[derive(Debug, Default)]
struct Looks {
    seen: u64,
    reclaimed: u64,
}

// === impl Reclaim ===

impl Reclaim {
    /// A library was loaded or unloaded.
    pub(crate) fn note(&self) {
        self.loads.fetch_add(1, Relaxed);
    }
}

// === impl Looks ===

impl Looks {
    /// Whether much has changed, of that many changes in all, and nothing since the last look.
    fn is_time(&mut self, changes: u64) -> bool {
        let stands_still = mem::replace(&mut self.seen, changes) == changes;
        let is_time = stands_still && changes - self.reclaimed >= WORTH;
        if is_time {
            self.reclaimed = changes;
        }
        is_time
    }
}

/// Looks every `limits.memory_settle`. Ends with the host.
pub(crate) async fn watch(context: Arc<Context>) {
    let mut closing = context.closing();
    let mut looks = Looks::default();
    loop {
        tokio::select! {
            () = tokio::time::sleep(context.settings.limits.memory_settle) => {}
            _ = closing.wait_for(|closing| *closing) => return,
        }
        let changes = context.reclaim.loads.load(Relaxed) + context.monitor.stats().ended;
        if looks.is_time(changes) {
            let given = tokio::task::spawn_blocking(memory::give_back).await;
            tracing::debug!(given = given.unwrap_or_default(), "memory goes back to the system");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_time_once_after_much_has_changed_and_stands_still() {
        let mut looks = Looks::default();
        assert!(!looks.is_time(0), "nothing has changed");
        assert!(!looks.is_time(WORTH), "it has just changed");
        assert!(looks.is_time(WORTH));
        assert!(!looks.is_time(WORTH), "nothing since");
        assert!(!looks.is_time(2 * WORTH - 1));
        assert!(!looks.is_time(2 * WORTH - 1), "too little");
        assert!(!looks.is_time(2 * WORTH));
        assert!(looks.is_time(2 * WORTH));
    }
}
