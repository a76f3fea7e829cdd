//! The end of a run: every handler acknowledges, time passes, and everything must be settled.

use std::{sync::Arc, time::Duration};

use patchbay_bus::{Park, Subscription};
use patchbay_model::Share;

use crate::{
    dice::Dice,
    world::{Disagreement, World},
};

/// More than any run needs.
const ROUNDS: usize = 400;

impl World {
    pub(crate) fn drain(&mut self) -> Result<(), Disagreement> {
        let dice = &mut Dice::new(self.seed);
        if self.state.closed && self.orphan().is_some() {
            // Nobody can come for it before the next life.
            self.die(dice)?;
        }
        while let Some(at) = self.orphan() {
            self.adopt(at, dice)?;
            self.compare()?;
        }
        for at in 0..self.subscriptions.len() {
            self.share(at, Share::all(1))?;
            self.compare()?;
        }
        for lane in (0..self.lanes.len()).rev() {
            while !self.lanes[lane].suspended.is_empty() {
                self.finish(lane, 0, None)?;
            }
            if self.lanes[lane].seat.generation() != 1 || self.is_revoked(&self.lanes[lane]) {
                self.take(lane, 1, Park::No)?;
                self.leave(lane)?;
            }
            self.compare()?;
        }
        for at in 0..self.subscriptions.len() {
            self.enter(at, 1)?;
        }
        for _ in 0..ROUNDS {
            for lane in 0..self.lanes.len() {
                while self.lanes[lane].next < self.lanes[lane].seat.deliveries().len() {
                    self.work(lane, None, false)?;
                }
                self.take(lane, 1000, Park::Yes)?;
                self.compare()?;
            }
            if !self.state.letters.is_empty() {
                self.purge(0)?;
                self.compare()?;
            }
            let unsettled = |one: &Arc<Subscription>| one.ledger().unsettled() > 0;
            if !self.subscriptions.iter().any(unsettled) {
                return Ok(());
            }
            self.pass(Duration::from_millis(1_100));
            self.compare()?;
        }
        let ledgers: Vec<_> = self.subscriptions.iter().map(|one| one.ledger()).collect();
        Err(format!("not everything is settled at the end: {ledgers:?}"))
    }
}
