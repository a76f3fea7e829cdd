//! A lane's place at a subscription, and the window it holds.

use std::collections::BTreeSet;

use patchbay_bus::Outcome;

use crate::delivery::Delivery;

/// A lane's place.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seat {
    pub(crate) generation: u64,
    pub(crate) items: Vec<Item>,
    /// Name of the hand-off at position 0.
    pub(crate) token: u64,
    /// Positions from here on were not begun.
    pub(crate) claimed: usize,
    /// Positions from here on were not looked at.
    pub(crate) passed: usize,
    /// Positions from here on were taken back.
    pub(crate) cut: usize,
    /// Whether anything was taken back: then nothing more begins.
    pub(crate) is_cut: bool,
    /// Keys with an unsettled delivery in this window.
    pub(crate) blocked: BTreeSet<u64>,
    /// Wall clock of the last take.
    pub(crate) unix_ns: u64,
    /// Ends of calls whose window is settled.
    pub(crate) finished: Vec<(u64, Outcome)>,
    /// It was ended from outside, with so many calls running.
    pub(crate) revoked: Option<u64>,
}

/// One hand-off of a window.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) delivery: Delivery,
    /// What its lane said first, if not that it is acknowledged.
    pub(crate) said: Option<Outcome>,
    /// The call is suspended.
    pub(crate) open: bool,
    /// It is settled already.
    pub(crate) gone: bool,
    /// And that because it was written off.
    pub(crate) written_off: bool,
}

// === impl Seat ===

impl Seat {
    pub(crate) fn new(generation: u64) -> Seat {
        Seat { generation, ..Seat::default() }
    }

    /// The position of a hand-off of this window.
    pub(crate) fn position(&self, token: u64) -> Option<usize> {
        let position = token.checked_sub(self.token)? as usize;
        (position < self.items.len()).then_some(position)
    }

    pub(crate) fn token_at(&self, position: usize) -> u64 {
        self.token + position as u64
    }

    /// What it holds and is not settled.
    pub(crate) fn held(&self) -> impl Iterator<Item = (usize, &Item)> {
        let items = self.items.iter().enumerate().take(self.cut);
        items.filter(|(_, item)| !item.gone)
    }
}

impl Item {
    pub(crate) fn new(delivery: Delivery) -> Item {
        Item { delivery, said: None, open: false, gone: false, written_off: false }
    }

    /// What the lane says first counts.
    pub(crate) fn say(&mut self, outcome: Outcome) {
        if self.said.is_none() {
            self.said = Some(outcome);
        }
    }
}
