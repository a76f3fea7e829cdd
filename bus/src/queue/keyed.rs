//! Order by key: virtual lanes, and the keys that hold back what follows them.
//!
//! Deliveries wait in virtual lanes by the hash of their key. A seat that takes one owns its virtual
//! lane until it settles, so deliveries of a key never overlap. Only exceptional keys have state of
//! their own, in `held`: keys with a delivery in retry, revoked, suspended, or begun before a
//! cutover. In normal running that map is empty.

use std::collections::{HashMap, VecDeque};

use foldhash::fast::FixedState;

use super::split::{PARTS, Split, spread};
use crate::delivery::Delivery;

#[derive(Debug)]
pub(crate) struct Keyed {
    /// Virtual lanes per part, less one.
    mask: u64,
    lanes: Vec<VirtualLane>,
    /// Virtual lanes that have something and no owner, per part.
    ready: [VecDeque<u32>; PARTS],
    /// Deliveries that hold their key themselves and may go to any seat of their part.
    again: [VecDeque<Delivery>; PARTS],
    held: HashMap<u64, Held, FixedState>,
    len: usize,
}

#[derive(Debug, Default)]
struct VirtualLane {
    queue: VecDeque<Delivery>,
    owned: bool,
    listed: bool,
    part: usize,
}

/// A key that waits for `holders` deliveries to be settled.
#[derive(Debug, Default)]
struct Held {
    holders: u32,
    waiting: VecDeque<Delivery>,
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
            held: HashMap::default(),
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
        let held = self.held.values().flat_map(|held| &held.waiting);
        lanes.chain(self.again.iter().flatten()).chain(held).for_each(see);
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
        if delivery.key_hash() != 0
            && let Some(held) = self.held.get_mut(&delivery.key_hash())
        {
            held.waiting.push_front(delivery);
            return;
        }
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
                match self.held.get_mut(&delivery.key_hash()) {
                    Some(held) if delivery.key_hash() != 0 => held.waiting.push_back(delivery),
                    _ => out.push(delivery),
                }
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
        self.held.entry(key).or_default().holders += 1;
    }

    /// One of them is settled. After the last, what waited goes on.
    pub(crate) fn let_go(&mut self, key: u64, split: &Split) {
        let Some(held) = self.held.get_mut(&key) else { return };
        held.holders -= 1;
        if held.holders > 0 {
            return;
        }
        if let Some(held) = self.held.remove(&key) {
            self.len -= held.waiting.len();
            for delivery in held.waiting.into_iter().rev() {
                self.add_front(delivery, split);
            }
        }
    }

    /// Takes everything out; held keys stay held.
    pub(crate) fn drain(&mut self, out: &mut Vec<Delivery>) {
        for lane in &mut self.lanes {
            out.extend(lane.queue.drain(..));
            lane.listed = false;
        }
        self.ready.iter_mut().for_each(VecDeque::clear);
        self.again.iter_mut().for_each(|again| out.extend(again.drain(..)));
        self.held.values_mut().for_each(|held| out.extend(held.waiting.drain(..)));
        self.len = 0;
    }

    /// Gives up the oldest delivery that nobody's order depends on.
    pub(crate) fn drop_oldest(&mut self) -> Option<Delivery> {
        let in_lane = (0..self.lanes.len())
            .filter_map(|i| self.lanes[i].queue.front().map(|front| (front.id(), i)))
            .min();
        let behind = self
            .held
            .iter()
            .filter_map(|(key, held)| held.waiting.front().map(|front| (front.id(), *key)))
            .min();
        let dropped = match (in_lane, behind) {
            (Some((id, _)), Some((other, key))) if other < id => self.drop_waiting(key),
            (Some((_, lane)), _) => {
                self.lanes[lane].queue.pop_front_if(|front| !front.is_durable())
            }
            (None, Some((_, key))) => self.drop_waiting(key),
            (None, None) => None,
        };
        self.len -= usize::from(dropped.is_some());
        dropped
    }

    fn drop_waiting(&mut self, key: u64) -> Option<Delivery> {
        self.held.get_mut(&key)?.waiting.pop_front_if(|front| !front.is_durable())
    }

    /// When the oldest delivery of `part` was accepted.
    pub(crate) fn oldest_ns(&self, part: usize) -> Option<u64> {
        let lanes = self.lanes.iter().filter(|lane| lane.part == part);
        let fronts = lanes.filter_map(|lane| lane.queue.front());
        fronts.chain(self.again[part].front()).map(Delivery::accepted_ns).min()
    }
}
