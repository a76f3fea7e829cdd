//! Which generation gets what.

use crate::delivery::Delivery;

/// Which generations may take, and how deliveries are divided between two of them. Decided at every
/// hand-off, so a change takes effect at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    salt: u64,
    /// Hashes below it go to the first part. Of 2^32 and not of `u32`, so that all is really all.
    cut: u64,
    parts: Vec<u64>,
    /// The generation that is on trial; 0 = none.
    trial: u64,
}

/// At most two generations take at the same time.
pub(crate) const PARTS: usize = 2;
const ALL: u64 = 1 << 32;

// === impl Split ===

impl Split {
    /// Nobody takes anything: paused.
    #[must_use]
    pub const fn none() -> Split {
        Split { salt: 0, cut: ALL, parts: Vec::new(), trial: 0 }
    }

    /// One generation takes everything.
    #[must_use]
    pub fn all(generation: u64) -> Split {
        Split { salt: 0, cut: ALL, parts: vec![generation], trial: 0 }
    }

    /// Two generations: `second` takes `share` of the keys (of the deliveries where there is no
    /// key), `first` the others. `share` is clamped to 0..=1; 0 and 1 are exact.
    #[must_use]
    pub fn two(salt: u64, first: u64, second: u64, share: f64) -> Split {
        let share = if share.is_nan() { 0.0 } else { share.clamp(0.0, 1.0) };
        let cut = ((1.0 - share) * ALL as f64).round() as u64;
        Split { salt, cut, parts: vec![first, second], trial: 0 }
    }

    /// The same, with one generation on trial: an attempt of it that does not end well is charged to
    /// nobody and repeated by the first part, so that no message dies of a version that is being
    /// tried. It may be a generation that has no part any more: what it still runs counts as well.
    #[must_use]
    pub fn trying(mut self, generation: u64) -> Split {
        self.trial = generation;
        self
    }

    /// The generations, the one with the smaller hashes first.
    #[must_use]
    pub fn generations(&self) -> &[u64] {
        &self.parts
    }

    #[inline]
    pub(crate) fn part_of(&self, generation: u64) -> Option<usize> {
        self.parts.iter().position(|part| *part == generation)
    }

    /// Whether attempts of that generation are on trial.
    #[inline]
    pub(crate) fn is_on_trial(&self, generation: u64) -> bool {
        self.trial != 0 && self.trial == generation
    }

    /// The part that a delivery belongs to.
    #[inline]
    pub(crate) fn route(&self, delivery: &Delivery) -> usize {
        if self.parts.len() < PARTS || delivery.tried() {
            return 0;
        }
        let by = match delivery.key_hash() {
            0 => delivery.id().wrapping_add(1),
            key => key,
        };
        usize::from(spread(by ^ self.salt) >> 32 >= self.cut)
    }
}

/// A bijection that moves every bit of the input into the upper half.
#[inline]
pub(crate) fn spread(word: u64) -> u64 {
    let word = word.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (word ^ (word >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9)
}

#[cfg(test)]
mod tests {
    use patchbay_slab::{Parts, Slab};

    use super::*;

    #[test]
    fn shares_are_exact_at_the_ends_and_within_three_sigma_between() {
        let message = Slab::new().message(&Parts { topic: "t", ..Parts::default() }, b"");
        for (share, keyed) in [(0.0, false), (0.01, false), (0.25, true), (0.5, false), (1.0, true)]
        {
            let split = Split::two(42, 1, 2, share);
            let n = 100_000u64;
            let second = (0..n)
                .map(|id| Delivery::new(message.clone(), id, if keyed { id * 7 + 1 } else { 0 }, 0))
                .filter(|delivery| split.route(delivery) == 1)
                .count() as f64;
            let sigma = (n as f64 * share * (1.0 - share)).sqrt();
            assert!((second - n as f64 * share).abs() <= 3.0 * sigma, "{share}: {second} of {n}");
        }
        let split = Split::two(7, 1, 2, f64::NAN);
        assert!((0..1000).all(|id| split.route(&Delivery::new(message.clone(), id, 0, 0)) == 0));
    }
}
