//! Order by key: virtual lanes, and the keys that hold back what follows them.
//!
//! Deliveries wait in virtual lanes by the hash of their key. A seat that takes one owns its virtual
//! lane until it settles, so deliveries of a key never overlap. Only exceptional keys have state of
//! their own, in [`held`](super::held).

use std::collections::VecDeque;

use super::{
    held::{HeldKeys, Released},
    split::{PARTS, Split, spread},
};
use crate::delivery::{Bookmark, Delivery};

#[derive(Debug)]
pub(crate) struct Keyed {
    /// Virtual lanes per part, less one.
    mask: u64,
    lanes: Vec<VirtualLane>,
    /// Virtual lanes that have something and no owner, per part.
    ready: [VecDeque<u32>; PARTS],
    /// Deliveries that hold their key themselves and may go to any seat of their part.
    again: [VecDeque<Delivery>; PARTS],
    held: HeldKeys,
    /// What is in memory.
    len: usize,
}

#[derive(Debug, Default)]
struct VirtualLane {
    queue: VecDeque<Delivery>,
    owned: bool,
    listed: bool,
    part: usize,
}

/// Virtual lanes of a subscription that is ordered by key.
pub(crate) const VIRTUAL_LANES: u32 = 256;

// === impl Keyed ===

impl Keyed {
    /// `lanes` virtual lanes per part, a power of two.
    pub(crate) fn new(lanes: u32) -> Keyed {
        debug_assert!(lanes.is_power_of_two());
        let lane = |i| VirtualLane { part: (i / lanes) as usize, ..VirtualLane::default() };
        Keyed {
            mask: u64::from(lanes) - 1,
            lanes: (0..lanes * PARTS as u32).map(lane).collect(),
            ready: Default::default(),
            again: Default::default(),
            held: HeldKeys::default(),
            len: 0,
        }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Shows everything that is here.
    pub(crate) fn each<'a>(&'a self, see: impl FnMut(&'a Delivery)) {
        let lanes = self.lanes.iter().flat_map(|lane| &lane.queue);
        lanes.chain(self.again.iter().flatten()).chain(self.held.each()).for_each(see);
    }

    /// Whether a seat of `part` would find something.
    #[inline]
    pub(crate) fn has_ready(&self, part: usize) -> bool {
        !self.ready[part].is_empty() || !self.again[part].is_empty()
    }

    #[inline]
    pub(crate) fn has_held(&self) -> bool {
        !self.held.is_empty()
    }

    fn lane_of(&self, delivery: &Delivery, part: usize) -> u32 {
        // Deliveries without a key are in no order: spread them.
        let by = match delivery.key_hash() {
            0 => spread(delivery.id()) >> 32,
            key => key,
        };
        ((by & self.mask) + part as u64 * (self.mask + 1)) as u32
    }

    fn list(&mut self, index: u32) {
        let lane = &mut self.lanes[index as usize];
        if !lane.owned && !lane.listed && !lane.queue.is_empty() {
            lane.listed = true;
            self.ready[lane.part].push_back(index);
        }
    }

    /// A new delivery, behind all others.
    #[inline]
    pub(crate) fn add(&mut self, delivery: Delivery, split: &Split) {
        let index = self.lane_of(&delivery, split.route(&delivery));
        self.len += 1;
        self.lanes[index as usize].queue.push_back(delivery);
        self.list(index);
    }

    /// A delivery that comes back, in front of what follows it.
    pub(crate) fn add_front(&mut self, delivery: Delivery, split: &Split) {
        self.len += 1;
        let part = split.route(&delivery);
        if delivery.holds() {
            self.again[part].push_front(delivery);
            return;
        }
        let Some(delivery) = self.held.wait_again(delivery) else { return };
        let index = self.lane_of(&delivery, part);
        self.lanes[index as usize].queue.push_front(delivery);
        self.list(index);
    }

    /// A delivery whose time has come; it holds its key if it has one.
    pub(crate) fn add_due(&mut self, delivery: Delivery, split: &Split) {
        self.len += 1;
        self.again[split.route(&delivery)].push_back(delivery);
    }

    /// Up to `n` deliveries: due ones first, then whole virtual lanes, which are `mine` from now on.
    pub(crate) fn pick(
        &mut self,
        part: usize,
        n: usize,
        out: &mut Vec<Delivery>,
        mine: &mut Vec<u32>,
    ) {
        let before = out.len();
        let due = n.min(self.again[part].len());
        out.extend(self.again[part].drain(..due));
        while out.len() - before < n {
            let Some(index) = self.ready[part].pop_front() else { break };
            let lane = &mut self.lanes[index as usize];
            lane.listed = false;
            lane.owned = true;
            mine.push(index);
            if self.held.is_empty() {
                let taken = lane.queue.len().min(n - (out.len() - before));
                out.extend(lane.queue.drain(..taken));
                continue;
            }
            // Those that wait for their key do not count: what is behind them may go now.
            while out.len() - before < n {
                let Some(delivery) = lane.queue.pop_front() else { break };
                out.extend(self.held.wait(delivery));
            }
        }
        self.len -= out.len() - before;
    }

    /// Virtual lanes that nobody owns any more.
    pub(crate) fn give_back(&mut self, mine: &mut Vec<u32>) {
        for index in mine.drain(..) {
            self.lanes[index as usize].owned = false;
            self.list(index);
        }
    }

    /// One more unsettled delivery that its key waits for.
    pub(crate) fn hold(&mut self, key: u64) {
        self.held.hold(key);
    }

    /// One of them is settled. After the last, what waited goes on.
    pub(crate) fn let_go(&mut self, key: u64, split: &Split) {
        let released = self.held.let_go(key);
        self.go_on(released, split);
    }

    fn go_on(&mut self, released: Released, split: &Split) {
        match released {
            Released::Nothing => {}
            Released::Next(delivery) => self.again[split.route(&delivery)].push_back(delivery),
            Released::All(all) => {
                self.len -= all.len();
                all.into_iter().rev().for_each(|delivery| self.add_front(delivery, split));
            }
        }
    }

    /// Takes out what may have to be sorted anew; held keys stay held.
    pub(crate) fn drain(&mut self, out: &mut Vec<Delivery>) {
        let before = out.len();
        for lane in &mut self.lanes {
            out.extend(lane.queue.drain(..));
            lane.listed = false;
        }
        self.ready.iter_mut().for_each(VecDeque::clear);
        self.again.iter_mut().for_each(|again| out.extend(again.drain(..)));
        self.held.drain(out);
        self.len -= out.len() - before;
    }

    /// Takes everything out, for good; `places` receives what is in the journal only.
    pub(crate) fn drain_all(&mut self, out: &mut Vec<Delivery>, places: &mut Vec<Bookmark>) {
        self.drain(out);
        self.held.drain_all(out, places);
        self.len = 0;
    }

    /// How many wait for their key in the journal only.
    #[inline]
    pub(crate) fn places(&self) -> usize {
        self.held.places()
    }

    /// Whether something that waits for its key need not be in memory.
    pub(crate) fn can_shed(&self, most: usize) -> bool {
        self.held.can_shed(most)
    }

    /// Keeps of what waits for its key only the place, until there are `most` of those.
    pub(crate) fn shed(&mut self, most: usize, garbage: &mut Vec<Delivery>) {
        let before = garbage.len();
        self.held.shed(most, garbage);
        self.len -= garbage.len() - before;
    }

    /// Whether a key is free whose next delivery has to be read.
    #[inline]
    pub(crate) fn is_wanting(&self) -> bool {
        self.held.is_wanting()
    }

    /// The places that are to be read first, `most` of them.
    pub(crate) fn wanted(&mut self, most: usize) -> Vec<Bookmark> {
        self.held.wanted(most)
    }

    /// A delivery is here of which only the place was kept.
    pub(crate) fn restore(&mut self, delivery: Delivery, split: &Split) -> bool {
        let Some(released) = self.held.restore(delivery) else { return false };
        self.len += 1;
        self.go_on(released, split);
        true
    }

    /// Gives up the oldest delivery that nobody's order depends on.
    pub(crate) fn drop_oldest(&mut self) -> Option<Delivery> {
        let in_lane = (0..self.lanes.len())
            .filter_map(|i| self.lanes[i].queue.front().map(|front| (front.id(), i)))
            .min();
        let dropped = match (in_lane, self.held.oldest()) {
            (Some((id, lane)), other) if other.is_none_or(|other| id < other) => {
                self.lanes[lane].queue.pop_front_if(|front| !front.is_durable())
            }
            _ => self.held.drop_oldest(),
        };
        self.len -= usize::from(dropped.is_some());
        dropped
    }

    /// When the oldest delivery of `part` was accepted.
    pub(crate) fn oldest_ns(&self, part: usize) -> Option<u64> {
        let lanes = self.lanes.iter().filter(|lane| lane.part == part);
        let fronts = lanes.filter_map(|lane| lane.queue.front());
        fronts.chain(self.again[part].front()).map(Delivery::accepted_ns).min()
    }
}
