//! Random numbers for jitter and for trace ids. Not for secrets.

use std::{
    hash::{BuildHasher, RandomState},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

/// SplitMix64 over a counter that starts at a random place: every thread draws from the same one
/// without waiting.
#[derive(Debug)]
pub(crate) struct Dice(AtomicU64);

impl Dice {
    pub(crate) fn new() -> Dice {
        // `RandomState` is seeded by the system.
        Dice(AtomicU64::new(RandomState::new().hash_one("dice")))
    }

    /// Any number.
    pub(crate) fn roll(&self) -> u64 {
        let mut mixed = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Relaxed);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Any number but 0.
    pub(crate) fn roll_nonzero(&self) -> u64 {
        loop {
            match self.roll() {
                0 => {}
                rolled => return rolled,
            }
        }
    }
}
