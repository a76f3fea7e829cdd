//! How the bus tells somebody that it is worth looking again.

use std::{fmt, sync::Arc, thread::Thread};

/// Called with no lock of the bus held, on the thread of whoever caused it: it must neither wait nor
/// panic.
pub trait Wake: Send + Sync {
    /// Something may have changed.
    fn wake(&self);
}

impl Wake for Thread {
    fn wake(&self) {
        self.unpark();
    }
}

/// Wake-ups collected under a lock, for after it.
#[derive(Default)]
pub(crate) struct Wakes(Vec<Arc<dyn Wake>>);

impl Wakes {
    pub(crate) fn push(&mut self, wake: Arc<dyn Wake>) {
        self.0.push(wake);
    }

    pub(crate) fn append(&mut self, wakes: &mut Vec<Arc<dyn Wake>>) {
        self.0.append(wakes);
    }

    /// Fires all of them. No lock may be held.
    #[inline]
    pub(crate) fn fire(&mut self) {
        if !self.0.is_empty() {
            for wake in self.0.drain(..) {
                wake.wake();
            }
        }
    }
}

impl fmt::Debug for Wakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Wakes").field(&self.0.len()).finish()
    }
}
