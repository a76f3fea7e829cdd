//! What a lane does between two looks at its queues.
//!
//! A lane that outruns its publisher fights it for the queue at every message, and one that sleeps
//! between two of them is woken for each: then it takes the publisher's processor, does one message,
//! and gives it back. A *lull* lets a batch form instead.
//!
//! It spins where nobody else wants its processor, and gives way otherwise: what it would spin away is
//! what the publisher, or another lane, needs. One pause in [`PROBE`] gives way to find out. Where
//! several publish to one queue it spins: they would only contend for the queue with one another.
//!
//! A lane that was woken right after it had fallen asleep is *brisk*: messages come faster than a
//! sleep pays for itself. Such a lane gives way (it stays runnable, and whoever else wants the
//! processor has it first) and looks again a few times before it sleeps. All others sleep at once, so
//! messages that come now and then find a lane that is woken, and an idle host uses no processor.

use std::{hint, ops::Range, thread};

use patchbay_bus::Clock;

/// Spins after a small window: a few microseconds. (Measured: 13.6 to 31.9 million per second.)
const SPINS: u32 = 64;
/// A window below this is small.
const SMALL: u32 = 32;
/// Spins where messages come so fast that several were there after a short pause: each visit costs
/// both sides a few lines that move from core to core.
const LONG_SPINS: u32 = 256;
/// Windows from here on, and below the other, are followed by the long pause.
const LONG: Range<u32> = 8..160;

/// A sleep below this was not worth it: about what falling asleep and being woken take.
const SHORT_SLEEP_NS: u64 = 20_000;
/// How often a brisk lane looks before it sleeps. With a few spins each, about a short sleep.
const LOOKS: u32 = 4;
/// Somebody had the processor meanwhile if giving way took longer.
const TURN_NS: u64 = 1_000;
/// Who has had it for longer was given way in vain if few messages came meanwhile.
const IN_VAIN_NS: u64 = 500_000;
/// After that nobody is given way, so many times as long the first time, and longer each time in a
/// row: the machine itself may have been away, which says nothing about who had the processor.
const STUBBORN: [u64; 3] = [4, 20, 100];
/// Windows for which it is remembered that several publish.
const MIXED: u32 = 1024;
/// One pause of so many gives way, to see whether somebody wants the processor.
const PROBE: u32 = 16;

/// The pauses of one lane.
#[derive(Debug, Default)]
pub(super) struct Lull {
    /// Spins before the next look.
    spins: u32,
    /// Pauses so far.
    pauses: u32,
    /// Windows until it is forgotten that several publish; 0 = they do not.
    mixed: u32,
    /// Somebody had the processor when this lane last gave way.
    is_wanted: bool,
    is_brisk: bool,
    /// When somebody else has last had the processor, and for how long; 0 = that was short.
    gave_ns: (u64, u64),
    /// Until then the lane gives way to nobody.
    stubborn_until_ns: u64,
    /// How often in a row giving way was in vain.
    in_vain: usize,
}

// === impl Lull ===

impl Lull {
    /// A window of `count` was taken where `limit` were asked for; the one before it was mixed, of
    /// several publishers, or not. A full one says that more is there.
    #[inline]
    pub(super) fn took(&mut self, count: u32, limit: u32, mixed: bool) {
        self.mixed = if mixed { MIXED } else { self.mixed.saturating_sub(1) };
        self.spins = if count < limit { spins_after(count) } else { 0 };
        if self.gave_ns.1 > 0 {
            self.judge(count >= SMALL.min(limit));
        }
    }

    /// Lets a batch form after a small window.
    #[inline]
    pub(super) fn pause(&mut self, clock: &dyn Clock) {
        let spins = std::mem::take(&mut self.spins);
        if spins == 0 {
            return;
        }
        self.pauses = self.pauses.wrapping_add(1);
        let gives = self.is_wanted || self.pauses.is_multiple_of(PROBE);
        if !(gives && self.mixed == 0 && self.gives_way(clock)) {
            spin(spins);
        }
    }

    /// How often it is worth looking again before the lane sleeps.
    pub(super) fn looks(&self) -> u32 {
        if self.is_brisk { LOOKS } else { 0 }
    }

    /// Between two such looks: gives way, or spins if nobody wants the processor.
    pub(super) fn linger(&mut self, clock: &dyn Clock) {
        if !self.gives_way(clock) {
            spin(SPINS);
        }
    }

    /// Gives way, unless that was in vain too often. Whether somebody had the processor meanwhile.
    fn gives_way(&mut self, clock: &dyn Clock) -> bool {
        let since_ns = clock.now_ns();
        self.is_wanted = since_ns >= self.stubborn_until_ns && {
            thread::yield_now();
            let now_ns = clock.now_ns();
            self.gave_way(now_ns.saturating_sub(since_ns), now_ns)
        };
        self.is_wanted
    }

    /// The lane was woken after it had slept for so long.
    pub(super) fn slept(&mut self, slept_ns: u64, now_ns: u64) {
        self.is_brisk = slept_ns < SHORT_SLEEP_NS && now_ns >= self.stubborn_until_ns;
    }

    /// Whether somebody had the processor in the `took_ns` up to now.
    fn gave_way(&mut self, took_ns: u64, now_ns: u64) -> bool {
        if took_ns > IN_VAIN_NS {
            self.gave_ns = (now_ns, took_ns);
        }
        took_ns > TURN_NS
    }

    /// After giving way for long, many messages were there, or not.
    #[cold]
    fn judge(&mut self, many: bool) {
        let (at_ns, took_ns) = std::mem::take(&mut self.gave_ns);
        if many {
            self.in_vain = 0;
            return;
        }
        let times = STUBBORN[self.in_vain.min(STUBBORN.len() - 1)];
        self.in_vain += 1;
        (self.is_brisk, self.is_wanted) = (false, false);
        self.stubborn_until_ns = at_ns.saturating_add(took_ns.saturating_mul(times));
    }
}

fn spin(spins: u32) {
    for _ in 0..spins {
        hint::spin_loop();
    }
}

fn spins_after(count: u32) -> u32 {
    if LONG.contains(&count) {
        LONG_SPINS
    } else if count < SMALL {
        SPINS
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND_NS: u64 = 1_000_000_000;

    #[test]
    fn a_lane_looks_again_only_after_a_short_sleep() {
        let mut lull = Lull::default();
        assert_eq!(lull.looks(), 0);
        lull.slept(SHORT_SLEEP_NS - 1, SECOND_NS);
        assert_eq!(lull.looks(), LOOKS);
        lull.slept(SHORT_SLEEP_NS, SECOND_NS);
        assert_eq!(lull.looks(), 0);
    }

    /// Gave way for long, and found little.
    fn in_vain(lull: &mut Lull, at_ns: u64) {
        lull.gave_way(IN_VAIN_NS + 1, at_ns);
        lull.took(SMALL - 1, 1024, false);
    }

    #[test]
    fn whoever_keeps_the_processor_and_brings_little_is_not_given_way_for_a_while() {
        let mut lull = Lull::default();
        lull.slept(1, SECOND_NS);
        assert!(!lull.gave_way(TURN_NS, SECOND_NS), "nobody wanted it");
        assert!(lull.gave_way(IN_VAIN_NS, SECOND_NS), "somebody had it, and not for long");
        lull.took(1, 1024, false);
        assert_eq!(lull.looks(), LOOKS);
        lull.gave_way(IN_VAIN_NS + 1, SECOND_NS);
        lull.took(SMALL, 1024, false);
        assert_eq!(lull.looks(), LOOKS, "it was worth it");
        lull.gave_way(IN_VAIN_NS + 1, SECOND_NS);
        lull.took(1, 1, false);
        assert_eq!(lull.looks(), LOOKS, "it was all that was asked for");
        in_vain(&mut lull, SECOND_NS);
        assert_eq!(lull.looks(), 0);
        let over_ns = SECOND_NS + (IN_VAIN_NS + 1) * STUBBORN[0];
        lull.slept(1, over_ns - 1);
        assert_eq!(lull.looks(), 0);
        lull.slept(1, over_ns);
        assert_eq!(lull.looks(), LOOKS);
    }

    #[test]
    fn each_time_in_a_row_it_takes_longer_until_it_was_worth_it_once() {
        let mut lull = Lull::default();
        let lasts = |lull: &mut Lull| {
            in_vain(lull, SECOND_NS);
            (lull.stubborn_until_ns - SECOND_NS) / (IN_VAIN_NS + 1)
        };
        let times: Vec<u64> = (0..STUBBORN.len() + 1).map(|_| lasts(&mut lull)).collect();
        assert_eq!(times, [4, 20, 100, 100]);
        lull.gave_way(IN_VAIN_NS + 1, SECOND_NS);
        lull.took(SMALL, 1024, false);
        assert_eq!(lasts(&mut lull), STUBBORN[0]);
    }

    #[test]
    fn a_pause_gives_way_while_that_is_wanted_and_not_in_vain() {
        let clock = patchbay_bus::ManualClock::new();
        let mut lull = Lull { is_wanted: true, ..Lull::default() };
        lull.took(1, 1024, false);
        lull.pause(&clock);
        // On a clock that stands still nobody had the processor.
        assert!(!lull.is_wanted);
        let mut lull = Lull { is_wanted: true, ..Lull::default() };
        lull.took(1, 1024, true);
        for _ in 1..MIXED {
            lull.pause(&clock);
            assert!(lull.is_wanted, "several publish: it was not tried");
            lull.took(1, 1024, false);
        }
        lull.pause(&clock);
        assert!(lull.is_wanted);
        lull.took(1, 1024, false);
        lull.pause(&clock);
        assert!(!lull.is_wanted, "that is long ago");
        let mut lull = Lull { stubborn_until_ns: u64::MAX, is_wanted: true, ..Lull::default() };
        assert!(!lull.gives_way(&clock) && !lull.is_wanted);
    }

    #[test]
    fn a_pause_follows_small_windows_that_are_not_full() {
        let pause_after = |count, limit| {
            let mut lull = Lull::default();
            lull.took(count, limit, false);
            lull.spins
        };
        assert_eq!(pause_after(1, 16), SPINS);
        assert_eq!(pause_after(40, 1024), LONG_SPINS);
        assert_eq!(pause_after(16, 16), 0);
        assert_eq!(pause_after(800, 1024), 0);
    }
}
