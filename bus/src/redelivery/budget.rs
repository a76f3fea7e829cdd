//! How many retries there may be beside first attempts (promise P-18).
//!
//! A bucket of tokens: every first attempt earns a share of one, time earns some, a retry that the
//! host scheduled after a failure costs one. Over budget, retries wait; none is dropped. A delay
//! that a handler asked for, and a forward that waits for room, cost nothing: they are flow, not a
//! storm.

/// The size of the budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetPolicy {
    /// Retries that hundred first attempts allow.
    pub percent: u32,
    /// Retries allowed per second besides.
    pub per_second: u32,
    /// Most tokens that can be saved up.
    pub burst: u32,
}

/// The tokens of one subscription.
#[derive(Clone, Debug)]
pub struct Budget {
    policy: BudgetPolicy,
    /// In billionths of a token, so that every nanosecond counts.
    tokens: u64,
    at_ns: u64,
}

const TOKEN: u64 = 1_000_000_000;

// === impl Budget ===

impl Budget {
    /// A budget that starts with what one second earns.
    #[must_use]
    pub fn new(policy: BudgetPolicy, now_ns: u64) -> Budget {
        let tokens = u64::from(policy.per_second.min(policy.burst)) * TOKEN;
        Budget { policy, tokens, at_ns: now_ns }
    }

    /// First attempts were handed off.
    #[inline]
    pub fn earn(&mut self, first_attempts: u64) {
        let earned = first_attempts.saturating_mul(u64::from(self.policy.percent) * (TOKEN / 100));
        self.tokens = self.tokens.saturating_add(earned).min(self.most());
    }

    /// Takes a token, if there is one at `now_ns`.
    pub fn spend(&mut self, now_ns: u64) -> bool {
        let past = now_ns.saturating_sub(self.at_ns);
        self.at_ns = self.at_ns.max(now_ns);
        let earned = past.saturating_mul(u64::from(self.policy.per_second));
        self.tokens = self.tokens.saturating_add(earned).min(self.most());
        match self.tokens.checked_sub(TOKEN) {
            Some(rest) => {
                self.tokens = rest;
                true
            }
            None => false,
        }
    }

    /// When time alone will have earned the next token; `None` when it earns none.
    #[must_use]
    pub fn next_ns(&self) -> Option<u64> {
        let missing = TOKEN.saturating_sub(self.tokens);
        let rate = u64::from(self.policy.per_second);
        (rate > 0).then(|| self.at_ns.saturating_add(missing.div_ceil(rate)))
    }

    fn most(&self) -> u64 {
        u64::from(self.policy.burst.max(1)) * TOKEN
    }
}

// === impl BudgetPolicy ===

impl Default for BudgetPolicy {
    fn default() -> Self {
        BudgetPolicy { percent: 20, per_second: 10, burst: 1000 }
    }
}
