//! Chance that can be had again.

/// SplitMix64.
pub(in crate::churn) struct Dice(pub(in crate::churn) u64);

impl Dice {
    pub(in crate::churn) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let word = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (word ^ (word >> 31)) % bound
    }

    pub(in crate::churn) fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len() as u64) as usize]
    }

    /// In so many of a hundred cases.
    pub(in crate::churn) fn percent(&mut self, of_hundred: u64) -> bool {
        self.below(100) < of_hundred
    }

    /// One of them, each as often as its weight says.
    pub(in crate::churn) fn weighted<T: Copy>(&mut self, all: &[(T, u64)]) -> T {
        let mut at = self.below(all.iter().map(|(_, weight)| weight).sum());
        for (it, weight) in all {
            if at < *weight {
                return *it;
            }
            at -= weight;
        }
        all[0].0
    }
}

/// The seed of a run.
pub(in crate::churn) fn seed() -> u64 {
    let set = std::env::var("PATCHBAY_CHAOS_SEED").ok().and_then(|text| text.parse().ok());
    set.unwrap_or(4)
}
