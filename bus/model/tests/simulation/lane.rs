//! A lane, as the simulation plays it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::SeqCst},
};

use patchbay_bus::{Message, Seat, Wake};

/// A seat and where its lane stands.
pub(crate) struct Lane {
    /// Position among the subscriptions of the run.
    pub(crate) at: usize,
    pub(crate) seat: Seat,
    pub(crate) bell: Arc<Bell>,
    /// Next position of the window.
    pub(crate) next: usize,
    /// Suspended calls, by token, with what they were given.
    pub(crate) suspended: Vec<(u64, Message)>,
    /// It sleeps until its bell rings.
    pub(crate) parked: bool,
}

#[derive(Default)]
pub(crate) struct Bell(AtomicBool);

impl Bell {
    pub(crate) fn rang(&self) -> bool {
        self.0.load(SeqCst)
    }

    pub(crate) fn silence(&self) {
        self.0.store(false, SeqCst);
    }
}

impl Wake for Bell {
    fn wake(&self) {
        self.0.store(true, SeqCst);
    }
}

impl Lane {
    /// Whether it will come by itself.
    pub(crate) fn is_awake(&self) -> bool {
        !self.parked || self.bell.rang()
    }
}
