//! All randomness of a bus, from one seed: the same seed and the same calls give the same bus.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The source. Whoever needs more than a word takes a start from it and goes on with [`mix`].
#[derive(Debug)]
pub(crate) struct Chance(AtomicU64);

/// SplitMix64's step: any start is a good one.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

// === impl Chance ===

impl Chance {
    pub(crate) fn new(seed: u64) -> Chance {
        Chance(AtomicU64::new(seed))
    }

    pub(crate) fn word(&self) -> u64 {
        scramble(self.0.fetch_add(STEP, Relaxed).wrapping_add(STEP))
    }

    pub(crate) fn words(&self) -> u128 {
        u128::from(self.word()) << 64 | u128::from(self.word())
    }
}

/// The next word of whoever keeps its own state.
pub(crate) fn mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(STEP);
    scramble(*state)
}

fn scramble(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}
