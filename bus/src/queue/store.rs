//! Everything of a subscription that waits at its desk: ready, in order, or for a time.
//!
//! Counts are those of the containers; bytes are counted when a delivery enters or leaves.

use std::{collections::VecDeque, mem};

use super::{
    keyed::{Keyed, VIRTUAL_LANES},
    split::{PARTS, Split},
    wheel::Wheel,
};
use crate::{
    delivery::{Bookmark, Delivery},
    redelivery::Budget,
    spec::Order,
};

#[derive(Debug)]
pub(crate) struct Store {
    /// Unordered deliveries by part.
    ready: [VecDeque<Delivery>; PARTS],
    /// Apart, because most have no order.
    keyed: Option<Box<Keyed>>,
    wheel: Wheel<Delivery>,
    /// Due, and waiting for the retry budget.
    starved: VecDeque<Delivery>,
    /// Those whose key may be that of an older one that only the journal has, in order.
    line: VecDeque<Delivery>,
    bytes: usize,
}

// === impl Store ===

impl Store {
    pub(crate) fn new(order: Order, now_ns: u64) -> Store {
        let keyed = match order {
            Order::None => None,
            Order::PerKey => Some(Box::new(Keyed::new(VIRTUAL_LANES))),
            Order::Total => Some(Box::new(Keyed::new(1))),
        };
        Store {
            ready: Default::default(),
            keyed,
            wheel: Wheel::new(now_ns),
            starved: VecDeque::new(),
            line: VecDeque::new(),
            bytes: 0,
        }
    }

    /// Deliveries that wait for a hand-off.
    pub(crate) fn queued(&self) -> usize {
        let ready = self.ready.iter().map(VecDeque::len).sum::<usize>();
        ready + self.keyed.as_deref().map_or(0, Keyed::len) + self.line.len()
    }

    /// Deliveries that wait for a time.
    pub(crate) fn delayed(&self) -> usize {
        self.wheel.len() + self.starved.len()
    }

    /// All of them, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Shows everything that is here, with when it is due; 0 = now.
    pub(crate) fn each<'a>(&'a self, mut see: impl FnMut(u64, &'a Delivery)) {
        let unordered = self.ready.iter().flatten().chain(&self.starved);
        unordered.chain(&self.line).for_each(|delivery| see(0, delivery));
        if let Some(keyed) = &self.keyed {
            keyed.each(|delivery| see(0, delivery));
        }
        self.wheel.each(see);
    }

    pub(crate) fn keyed(&mut self) -> Option<&mut Keyed> {
        self.keyed.as_deref_mut()
    }

    pub(crate) fn keys(&self) -> Option<&Keyed> {
        self.keyed.as_deref()
    }

    /// Whether all stand in one line, here and in the inbox: no order, no split.
    #[inline]
    pub(crate) fn is_one_line(&self, split: &Split) -> bool {
        self.keyed.is_none() && split.generations().len() == 1
    }

    /// Whether nothing is held back by its key.
    #[inline]
    pub(crate) fn is_plain(&self) -> bool {
        self.keyed.as_deref().is_none_or(|keyed| !keyed.has_held())
    }

    #[inline]
    pub(crate) fn has_ready(&self, part: usize) -> bool {
        match &self.keyed {
            Some(keyed) => keyed.has_ready(part),
            None => !self.ready[part].is_empty(),
        }
    }

    /// How many wait for seats of that part; an upper bound where keys hold some back.
    pub(crate) fn waiting(&self, part: usize) -> usize {
        self.keyed.as_deref().map_or_else(|| self.ready[part].len(), Keyed::len)
    }

    /// New deliveries, from the inbox.
    pub(crate) fn add_all(&mut self, stage: &mut Vec<Delivery>, split: &Split) {
        for delivery in stage.drain(..) {
            self.bytes += delivery.size();
            match &mut self.keyed {
                Some(keyed) => keyed.add(delivery, split),
                None => self.ready[split.route(&delivery)].push_back(delivery),
            }
        }
    }

    /// Whether nothing that waits for seats of that part has to go before what is new.
    #[inline]
    pub(crate) fn is_open_to(&self, part: usize) -> bool {
        self.keyed.is_none() && self.ready[part].is_empty()
    }

    /// New deliveries, from the inbox, for a seat of a part that [`is_open_to`](Store::is_open_to)
    /// them: up to `limit` go straight to its window and are never counted here.
    pub(crate) fn hand_over(
        &mut self,
        stage: &mut Vec<Delivery>,
        (part, limit): (usize, usize),
        window: &mut Vec<Delivery>,
        split: &Split,
    ) {
        if split.generations().len() == 1 {
            let rest = stage.drain(limit.min(stage.len())..);
            self.ready[0].extend(rest.inspect(|delivery| self.bytes += delivery.size()));
            return mem::swap(stage, window);
        }
        for delivery in stage.drain(..) {
            let to = split.route(&delivery);
            if to == part && window.len() < limit {
                window.push(delivery);
            } else {
                self.bytes += delivery.size();
                self.ready[to].push_back(delivery);
            }
        }
    }

    // --- what stands in line ---

    /// A delivery that must not pass older ones of its key which only the journal has.
    pub(crate) fn stand_in_line(&mut self, delivery: Delivery) {
        self.bytes += delivery.size();
        self.line.push_back(delivery);
    }

    /// How much stands in line.
    pub(crate) fn line(&self) -> (usize, usize) {
        (self.line.len(), self.line.iter().map(Delivery::size).sum())
    }

    #[inline]
    pub(crate) fn has_line(&self) -> bool {
        !self.line.is_empty()
    }

    /// Nothing older than `id` is in the journal only.
    pub(crate) fn move_up(&mut self, id: u64, split: &Split) {
        while let Some(delivery) = self.line.pop_front_if(|first| first.id() < id) {
            self.bytes -= delivery.size();
            self.add_all(&mut vec![delivery], split);
        }
    }

    // --- what waits for a key ---

    /// How many wait for their key in the journal only.
    #[inline]
    pub(crate) fn places(&self) -> usize {
        self.keyed.as_deref().map_or(0, Keyed::places)
    }

    /// Keeps of what waits for a key only the place, until there are `most` of those.
    pub(crate) fn shed(&mut self, most: usize, garbage: &mut Vec<Delivery>) {
        let before = garbage.len();
        if let Some(keyed) = &mut self.keyed {
            keyed.shed(most, garbage);
        }
        self.bytes -= garbage[before..].iter().map(Delivery::size).sum::<usize>();
    }

    /// A delivery is here of which only the place was kept.
    pub(crate) fn restore(&mut self, delivery: Delivery, split: &Split) {
        let size = delivery.size();
        if self.keyed.as_deref_mut().is_some_and(|keyed| keyed.restore(delivery, split)) {
            self.bytes += size;
        }
    }

    // --- delays ---

    /// How many wait for the retry budget.
    pub(crate) fn starved(&self) -> usize {
        self.starved.len()
    }

    /// New deliveries that have to wait for a time, with it.
    pub(crate) fn add_later(&mut self, later: &mut Vec<(u64, Delivery)>) {
        for (due_ns, delivery) in later.drain(..) {
            self.delay(delivery.accepted_ns(), due_ns, delivery);
        }
    }

    /// Deliveries that come back, in order of acceptance and in front of what came later. `anew`:
    /// the split changed, so everything is sorted again.
    pub(crate) fn put_back(&mut self, mut back: Vec<Delivery>, anew: bool, split: &Split) {
        self.bytes += back.iter().map(Delivery::size).sum::<usize>();
        if anew {
            self.ready.iter_mut().for_each(|ready| back.extend(ready.drain(..)));
            if let Some(keyed) = &mut self.keyed {
                keyed.drain(&mut back);
            }
        }
        back.sort_by_key(Delivery::id);
        for delivery in back.into_iter().rev() {
            match &mut self.keyed {
                Some(keyed) => keyed.add_front(delivery, split),
                None => self.ready[split.route(&delivery)].push_front(delivery),
            }
        }
    }

    /// A delivery for later. In an ordered store it holds its key, if it has one.
    pub(crate) fn delay(&mut self, now_ns: u64, due_ns: u64, delivery: Delivery) {
        self.bytes += delivery.size();
        self.wheel.insert(now_ns, due_ns, delivery);
    }

    /// A delivery to be repeated at once, as if its time had come.
    pub(crate) fn repeat(&mut self, delivery: Delivery, split: &Split) {
        self.bytes += delivery.size();
        self.make_ready(delivery, split);
    }

    /// A delivery whose time came while it was elsewhere.
    pub(crate) fn mature(&mut self, delivery: Delivery, split: &Split) {
        self.bytes += delivery.size();
        if delivery.budgeted() {
            self.starved.push_back(delivery);
        } else {
            self.make_ready(delivery, split);
        }
    }

    fn make_ready(&mut self, mut delivery: Delivery, split: &Split) {
        delivery.set_budgeted(false);
        match &mut self.keyed {
            // Whoever waited for its time from the start takes its place in the order now.
            Some(keyed) if delivery.key_hash() != 0 && !delivery.holds() => {
                keyed.add(delivery, split);
            }
            Some(keyed) => keyed.add_due(delivery, split),
            None => self.ready[split.route(&delivery)].push_back(delivery),
        }
    }

    /// Moves what is due, as far as the budget allows, to where seats find it.
    pub(crate) fn expire(&mut self, now_ns: u64, budget: &mut Budget, split: &Split) {
        if self.delayed() == 0 {
            return;
        }
        let mut wheel = mem::replace(&mut self.wheel, Wheel::new(now_ns));
        wheel.expire(now_ns, |delivery| {
            if delivery.budgeted() {
                self.starved.push_back(delivery);
            } else {
                self.make_ready(delivery, split);
            }
        });
        self.wheel = wheel;
        while !self.starved.is_empty() && budget.spend(now_ns) {
            if let Some(delivery) = self.starved.pop_front() {
                self.make_ready(delivery, split);
            }
        }
    }

    /// When [`Store::expire`] should be called next.
    #[inline]
    pub(crate) fn next_ns(&self, budget: &Budget) -> Option<u64> {
        let starved = if self.starved.is_empty() { None } else { budget.next_ns() };
        match (self.wheel.next_ns(), starved) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Up to `n` deliveries for a seat of that part.
    pub(crate) fn pick(
        &mut self,
        part: usize,
        n: usize,
        out: &mut Vec<Delivery>,
        mine: &mut Vec<u32>,
    ) {
        let before = out.len();
        match &mut self.keyed {
            Some(keyed) => keyed.pick(part, n, out, mine),
            None => {
                let n = n.min(self.ready[part].len());
                out.extend(self.ready[part].drain(..n));
            }
        }
        self.bytes -= out[before..].iter().map(Delivery::size).sum::<usize>();
    }

    /// Gives up the oldest delivery that is queued and holds nobody's key; none, when the journal has
    /// it.
    pub(crate) fn drop_oldest(&mut self) -> Option<Delivery> {
        let dropped = match &mut self.keyed {
            Some(keyed) => keyed.drop_oldest(),
            None => {
                let front = |part: usize| self.ready[part].front().map_or(u64::MAX, Delivery::id);
                let part = usize::from(front(1) < front(0));
                self.ready[part].pop_front_if(|front| !front.is_durable())
            }
        };
        if let Some(delivery) = &dropped {
            self.bytes -= delivery.size();
        }
        dropped
    }

    /// Empties the store for good; `places` receives what is in the journal only.
    pub(crate) fn drain(&mut self, places: &mut Vec<Bookmark>) -> Vec<Delivery> {
        let mut out = Vec::with_capacity(self.queued() + self.delayed());
        self.ready.iter_mut().for_each(|ready| out.extend(ready.drain(..)));
        if let Some(keyed) = &mut self.keyed {
            keyed.drain_all(&mut out, places);
        }
        self.wheel.drain(|delivery| out.push(delivery));
        out.extend(self.starved.drain(..));
        out.extend(self.line.drain(..));
        self.bytes = 0;
        out
    }

    /// The same, each with the time it waits for; 0 = none.
    pub(crate) fn drain_with(
        &mut self,
        places: &mut Vec<Bookmark>,
        mut out: impl FnMut(u64, Delivery),
    ) {
        self.wheel.drain_with(&mut out);
        self.drain(places).into_iter().for_each(|delivery| out(0, delivery));
    }

    /// Forgets which keys are held. It is empty.
    pub(crate) fn reset(&mut self, order: Order) {
        let now = mem::replace(&mut self.wheel, Wheel::new(0));
        *self = Store { wheel: now, ..Store::new(order, 0) };
    }

    /// When the oldest ready delivery of that part was accepted.
    pub(crate) fn oldest_ns(&self, part: usize) -> Option<u64> {
        match &self.keyed {
            Some(keyed) => keyed.oldest_ns(part),
            None => self.ready[part].front().map(Delivery::accepted_ns),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use crate::{
        Begin, BrokerConfig, Outgoing, Park, Split, SubscriptionSpec, Verdict, broker::Broker,
        clock::ManualClock,
    };

    #[test]
    fn only_a_retry_touches_the_wheel() {
        let clock = Arc::new(ManualClock::new());
        let broker = Broker::seeded(BrokerConfig::default(), clock.clone(), 1);
        let spec = SubscriptionSpec::new("plugin", "t".parse().expect("a pattern"));
        let made_ns = crate::Clock::now_ns(&*clock);
        let subscription = broker.subscribe(spec).expect("subscribed");
        subscription.set_split(Split::all(1));
        let mut seat = subscription.seat(1, Arc::new(std::thread::current())).expect("a seat");
        let mut publisher = broker.publisher("test");
        let mut handle = |verdict: Option<Verdict>| {
            clock.advance(Duration::from_millis(10));
            publisher.publish(Outgoing { topic: "t", ..Outgoing::default() }).expect("published");
            seat.take(64, Park::No);
            assert_eq!(seat.begin(0), Begin::Go);
            verdict.into_iter().for_each(|verdict| seat.record(0, verdict));
            seat.take(64, Park::Yes);
            broker.tick();
        };
        let is_as_made = || subscription.queue.look(|desk, _| desk.store.wheel.is_as_made(made_ns));
        (0..100).for_each(|_| handle(None));
        assert!(is_as_made());
        handle(Some(Verdict::Retry(10_000_000)));
        assert!(!is_as_made());
    }
}
