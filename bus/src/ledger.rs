//! What became of everything that a subscription accepted (promise P-1).

/// Why a delivery was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DropReason {
    /// The queue was full, and its policy gives up the oldest.
    Oldest,
    /// The queue was full, and its policy gives up the newest.
    Newest,
    /// Its expiry had passed when its turn came.
    Expired,
    /// The subscription was removed.
    Unload,
    /// What the journal had of it is damaged.
    Lost,
}

/// Deliveries dropped, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped([u64; DropReason::ALL.len()]);

/// One exact look at a subscription: every term was read in the same instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Deliveries taken over since the subscription exists.
    pub accepted: u64,
    /// Waiting for their hand-off.
    pub queued: u64,
    /// Waiting for a time.
    pub delayed: u64,
    /// With a lane and not settled.
    pub in_flight: u64,
    /// Acknowledged.
    pub done: u64,
    /// Forwarded to another topic.
    pub forwarded: u64,
    /// In the dead letters.
    pub dead: u64,
    /// Dead, and kept here because the dead letters are full.
    pub dead_pending: u64,
    /// Given up by policy.
    pub dropped: Dropped,
    /// Settlements refused because their lease was gone. Not part of the sum.
    pub stale: u64,
    /// Attempts that led to another one: delays asked for, charged failures, forwards that found no
    /// room. Not part of the sum.
    pub retried: u64,
    /// Hand-offs repeated because a lease was revoked. Not part of the sum.
    pub repeated: u64,
}

// === impl DropReason ===

impl DropReason {
    /// All of them.
    pub const ALL: [DropReason; 5] = [
        DropReason::Oldest,
        DropReason::Newest,
        DropReason::Expired,
        DropReason::Unload,
        DropReason::Lost,
    ];

    /// Its number in the journal: these never change.
    pub(crate) const fn number(self) -> u8 {
        match self {
            DropReason::Lost => patchbay_journal::LOST,
            other => other as u8,
        }
    }

    /// The label in metrics and in the ledger.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            DropReason::Oldest => "drop_oldest",
            DropReason::Newest => "drop_newest",
            DropReason::Expired => "expired",
            DropReason::Unload => "unload",
            DropReason::Lost => "lost",
        }
    }
}

// === impl Dropped ===

impl Dropped {
    /// How many for that reason.
    #[must_use]
    pub const fn count(&self, reason: DropReason) -> u64 {
        self.0[reason as usize]
    }

    /// How many in all.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    pub(crate) fn add(&mut self, reason: DropReason, count: u64) {
        self.0[reason as usize] += count;
    }

    pub(crate) fn merge(&mut self, other: &Dropped) {
        for (mine, other) in self.0.iter_mut().zip(other.0) {
            *mine += other;
        }
    }
}

// === impl Ledger ===

impl Ledger {
    /// What was accepted and has no final outcome yet.
    #[must_use]
    pub const fn unsettled(&self) -> u64 {
        self.queued + self.delayed + self.in_flight + self.dead_pending
    }

    /// Whether the sum holds. It always does; tests ask at random instants.
    #[must_use]
    pub fn balanced(&self) -> bool {
        let settled = self.done + self.forwarded + self.dead + self.dropped.total();
        self.accepted == self.unsettled() + settled
    }
}
