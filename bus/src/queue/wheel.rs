//! Hierarchical timer wheel: four levels of 64 slots, ticks of 1 ms (4.6 h), one occupancy word per
//! level. Insert and expire are O(1), the next expiry is a look at four words.

/// Entries that wait for a time. Never early, late by at most two ticks plus the caller's delay.
#[derive(Debug)]
pub(crate) struct Wheel<T> {
    now: u64,
    len: usize,
    occupied: [u64; LEVELS],
    /// Made at the first insert: most subscriptions never delay anything.
    slots: Vec<Vec<Entry<T>>>,
}

#[derive(Debug)]
struct Entry<T> {
    due: u64,
    item: T,
}

const LEVELS: usize = 4;
const SLOTS: usize = 64;
const SPAN: u64 = 1 << 24;
const TICK_NS: u64 = 1_000_000;

// === impl Wheel ===

impl<T> Wheel<T> {
    pub(crate) fn new(now_ns: u64) -> Wheel<T> {
        Wheel { now: now_ns / TICK_NS, len: 0, occupied: [0; LEVELS], slots: Vec::new() }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Shows every entry, with when it is due.
    pub(crate) fn each<'a>(&'a self, mut see: impl FnMut(u64, &'a T)) {
        for entry in self.slots.iter().flatten() {
            see(entry.due * TICK_NS, &entry.item);
        }
    }

    /// Puts an item in, to come out at the first [`Wheel::expire`] at or after `due_ns`.
    pub(crate) fn insert(&mut self, now_ns: u64, due_ns: u64, item: T) {
        if self.slots.is_empty() {
            self.slots.resize_with(LEVELS * SLOTS, Vec::new);
        }
        if self.len == 0 {
            // An empty wheel stands still.
            self.now = self.now.max(now_ns / TICK_NS);
        }
        self.len += 1;
        // Rounded up, so that only ticks that are wholly past expire.
        self.place(due_ns.div_ceil(TICK_NS), item);
    }

    fn place(&mut self, due: u64, item: T) {
        let due = due.max(self.now + 1);
        // Beyond the span: parked at its end and placed again from there.
        let distance = (due - self.now).min(SPAN - 1);
        let level = if distance < 64 { 0 } else { (distance.ilog2() / 6) as usize };
        let at = self.now + distance;
        let slot = ((at >> (6 * level)) & 63) as usize;
        self.occupied[level] |= 1 << slot;
        self.slots[level * SLOTS + slot].push(Entry { due, item });
    }

    /// Hands out everything that is due.
    pub(crate) fn expire(&mut self, now_ns: u64, mut out: impl FnMut(T)) {
        let to = now_ns / TICK_NS;
        while self.now < to && self.len > 0 {
            self.now = self.next_stop().min(to);
            for level in 1..LEVELS {
                if self.now & ((1 << (6 * level)) - 1) != 0 {
                    break;
                }
                self.cascade(level, &mut out);
            }
            let slot = (self.now & 63) as usize;
            if self.occupied[0] & (1 << slot) != 0 {
                self.occupied[0] &= !(1 << slot);
                let mut due = std::mem::take(&mut self.slots[slot]);
                self.len -= due.len();
                due.drain(..).for_each(|entry| out(entry.item));
                self.slots[slot] = due; // keeps its capacity
            }
        }
        self.now = self.now.max(to);
    }

    /// The next tick at which something may happen: the next occupied slot of the lowest level that
    /// has any, or the end of that level.
    fn next_stop(&self) -> u64 {
        let level = self.occupied.iter().position(|slots| *slots != 0).unwrap_or(LEVELS - 1);
        let shift = 6 * level;
        let i = (self.now >> shift) & 63;
        let ahead = if i == 63 { 0 } else { self.occupied[level] >> (i + 1) };
        let step = if ahead != 0 { 1 + u64::from(ahead.trailing_zeros()) } else { 64 - i };
        ((self.now >> shift) + step) << shift
    }

    /// Spreads the slot of `level` that begins now over the levels below.
    fn cascade(&mut self, level: usize, out: &mut impl FnMut(T)) {
        let slot = ((self.now >> (6 * level)) & 63) as usize;
        if self.occupied[level] & (1 << slot) == 0 {
            return;
        }
        self.occupied[level] &= !(1 << slot);
        for Entry { due, item } in std::mem::take(&mut self.slots[level * SLOTS + slot]) {
            if due <= self.now {
                self.len -= 1;
                out(item);
            } else {
                self.place(due, item);
            }
        }
    }

    /// Whether nothing was ever put in or looked for since it was made at that time.
    #[cfg(test)]
    pub(super) fn is_as_made(&self, made_ns: u64) -> bool {
        self.slots.is_empty() && self.now == made_ns / TICK_NS
    }

    /// When to look again: not after the next entry is due; `None` when there is none.
    pub(crate) fn next_ns(&self) -> Option<u64> {
        if self.len == 0 {
            return None;
        }
        let next_tick = (0..LEVELS).filter(|level| self.occupied[*level] != 0).map(|level| {
            let current = (self.now >> (6 * level)) & 63;
            let ahead = self.occupied[level].rotate_right(((current + 1) & 63) as u32);
            let slots = 1 + u64::from(ahead.trailing_zeros());
            ((self.now >> (6 * level)) + slots) << (6 * level)
        });
        next_tick.min().map(|tick| tick * TICK_NS)
    }

    /// Empties the wheel.
    pub(crate) fn drain(&mut self, mut out: impl FnMut(T)) {
        self.drain_with(|_, item| out(item));
    }

    /// The same, with when each is due.
    pub(crate) fn drain_with(&mut self, mut out: impl FnMut(u64, T)) {
        for slot in &mut self.slots {
            slot.drain(..).for_each(|entry| out(entry.due * TICK_NS, entry.item));
        }
        self.occupied = [0; LEVELS];
        self.len = 0;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Runs a wheel from alarm to alarm and checks every entry against its due time.
    fn check(delays: &[u64], nudge: u64) -> Result<(), TestCaseError> {
        let start = 1_000_000_000;
        let mut wheel = Wheel::new(start);
        for (i, delay) in delays.iter().enumerate() {
            wheel.insert(start, start + delay, i);
        }
        let (mut now, mut seen) = (start, 0);
        while let Some(next) = wheel.next_ns() {
            prop_assert!(next > now, "an alarm in the past");
            now = next + nudge;
            let mut late = None;
            wheel.expire(now, |i| {
                seen += 1;
                let due = start + delays[i];
                if due > now || now - due > 2 * TICK_NS + nudge {
                    late = Some((due, now));
                }
            });
            prop_assert!(late.is_none(), "due and now: {late:?}");
        }
        prop_assert_eq!(seen, delays.len());
        prop_assert_eq!(wheel.len(), 0);
        Ok(())
    }

    proptest! {
        #[test]
        fn nothing_comes_early_late_or_never(
            delays in prop::collection::vec(prop_oneof![0u64..100_000_000, 0u64..10_000_000_000, 0u64..100_000_000_000_000], 1..300),
            nudge in 0u64..1_000_000,
        ) {
            check(&delays, nudge)?;
        }

        #[test]
        fn inserting_while_it_runs_is_the_same(
            steps in prop::collection::vec((0u64..300_000_000, 0u64..50_000_000), 1..200),
        ) {
            let mut now = 5_000_000_000;
            let mut wheel = Wheel::new(now);
            let (mut put, mut got) = (0, 0);
            for (delay, pause) in steps {
                wheel.insert(now, now + delay, now + delay);
                put += 1;
                now += pause;
                let mut early = false;
                wheel.expire(now, |due: u64| { got += 1; early |= due > now });
                prop_assert!(!early);
            }
            wheel.expire(now + 400_000_000, |_| got += 1);
            prop_assert_eq!(put, got);
        }
    }

    #[test]
    fn a_wheel_that_stood_still_for_days_does_not_walk_through_them() {
        let mut wheel = Wheel::new(0);
        let day = 86_400_000_000_000;
        wheel.insert(100 * day, 100 * day + 5_000_000, ());
        assert!(wheel.next_ns().is_some_and(|next| next <= 100 * day + 6_000_000));
    }
}
