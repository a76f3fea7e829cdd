//! The cutover fence (promise P-24).
//!
//! One line per seat: the lane claims a position of its window before each hand-off, the fencer bumps
//! the ticket. Store buffering is the only danger (lane: write claim, read ticket; fencer: write
//! ticket, read claim), so there is a full barrier on both sides: either the lane sees the new ticket
//! and does not start, or the fencer sees the claim and counts it as begun.
//!
//! Guarantee: after [`Gate::cut`], [`barrier`] and then [`Gate::claimed`] returned c, the lane starts
//! no hand-off at a position of c or above. The claim is the hand-off: a thread that is preempted
//! between claim and call has begun.
//!
//! A crate of its own, so that loom can run this very code through every order of its steps
//! (`tests/loom.rs`, with `--cfg loom`) without building a bus.
#![forbid(unsafe_code)]

#[cfg(loom)]
use loom::sync::atomic::{AtomicU32, Ordering::*, fence};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicU32, Ordering::*, fence};

/// Claim and ticket of one seat, on a line of their own.
#[derive(Debug)]
#[repr(align(128))]
pub struct Gate {
    /// Positions of the window that the lane has begun. Written by the lane.
    claim: AtomicU32,
    /// Changes whenever the window is taken back. Written by the holder of the desk.
    ticket: AtomicU32,
}

// === impl Gate ===

impl Gate {
    /// A gate in front of no window yet.
    #[must_use]
    pub fn new() -> Gate {
        Gate { claim: AtomicU32::new(0), ticket: AtomicU32::new(0) }
    }

    /// Lane, holding the desk: a new window begins. Returns the ticket to claim with.
    #[inline]
    pub fn open(&self) -> u32 {
        self.claim.store(0, Relaxed);
        self.ticket.load(Relaxed)
    }

    /// Lane: may the hand-off at `position` start?
    #[inline]
    pub fn claim(&self, position: u32, ticket: u32) -> bool {
        self.claim.store(position + 1, Release);
        fence(SeqCst);
        self.ticket.load(Acquire) == ticket
    }

    /// Lane: whether nothing of the window was taken back since it was opened.
    #[inline]
    #[must_use]
    pub fn is_whole(&self, ticket: u32) -> bool {
        self.ticket.load(Acquire) == ticket
    }

    /// Fencer, holding the desk, first for every gate; then [`barrier`] once.
    #[inline]
    pub fn cut(&self) {
        self.ticket.store(self.ticket.load(Relaxed).wrapping_add(1), Release);
    }

    /// Fencer, after the barrier: how many positions were begun.
    #[inline]
    #[must_use]
    pub fn claimed(&self) -> u32 {
        self.claim.load(Acquire)
    }
}

impl Default for Gate {
    fn default() -> Gate {
        Gate::new()
    }
}

/// The fencer's full barrier, once for all gates that were cut.
#[inline]
pub fn barrier() {
    fence(SeqCst);
}
