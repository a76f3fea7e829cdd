//! What the checker says.

use std::{collections::BTreeMap, fmt};

/// Kinds of broken promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// An accepted message did not reach its end at a subscription.
    Lost,
    /// Something was handled that was never published, or certainly rejected.
    Phantom,
    /// One publish became more than one delivery at a subscription.
    Doubled,
    /// A hand-off was repeated and nothing that happened explains it.
    DuplicateWithoutCause,
    /// A hand-off overlapped or passed one of its key that was not settled.
    OrderBroken,
    /// The number of a hand-off did not rise.
    CounterReset,
    /// The terms of a ledger do not add up, or contradict the records.
    LedgerWrong,
    /// A hand-off to a version started after its cutover.
    AfterCutover,
    /// A hand-off started before the message allowed it.
    TooEarly,
    /// What survived a loss of power has holes.
    Hole,
    /// The host's own names contradict each other: one id for two messages, or the reverse.
    Identity,
}

/// One broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which kind.
    pub kind: Kind,
    /// In words: what, where, and what was seen instead.
    pub text: String,
}

/// How much was looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Messages with at least one answer that accepted them.
    pub accepted: u64,
    /// Messages that were certainly rejected.
    pub rejected: u64,
    /// Messages of which nobody knows.
    pub unknown: u64,
    /// Unknown messages that turned up.
    pub unknown_handled: u64,
    /// Deliveries that a handler saw.
    pub deliveries: u64,
    /// Hand-offs.
    pub hand_offs: u64,
    /// Hand-offs that were repeated for a reason.
    pub duplicates: u64,
    /// Deliveries that are missing and were allowed to be.
    pub excused: u64,
    /// Ledgers looked at.
    pub ledgers: u64,
}

/// The judgement.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// The broken promises; of each kind the first ones.
    pub findings: Vec<Finding>,
    /// How many there are of each kind.
    pub counts: BTreeMap<Kind, u64>,
    /// How much was looked at.
    pub summary: Summary,
    keep: usize,
}

// === impl Kind ===

impl Kind {
    /// In short.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Kind::Lost => "lost",
            Kind::Phantom => "phantom",
            Kind::Doubled => "doubled",
            Kind::DuplicateWithoutCause => "duplicate without cause",
            Kind::OrderBroken => "order broken",
            Kind::CounterReset => "counter reset",
            Kind::LedgerWrong => "ledger wrong",
            Kind::AfterCutover => "after cutover",
            Kind::TooEarly => "too early",
            Kind::Hole => "hole",
            Kind::Identity => "identity",
        }
    }
}

// === impl Verdict ===

impl Verdict {
    pub(super) fn new(keep: usize) -> Verdict {
        Verdict { keep, ..Verdict::default() }
    }

    pub(super) fn find(&mut self, kind: Kind, text: String) {
        let count = self.counts.entry(kind).or_default();
        *count += 1;
        if *count <= self.keep as u64 {
            self.findings.push(Finding { kind, text });
        }
    }

    /// Whether every promise was kept.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.counts.is_empty()
    }

    /// How many findings of a kind there are.
    #[must_use]
    pub fn count(&self, kind: Kind) -> u64 {
        self.counts.get(&kind).copied().unwrap_or_default()
    }

    /// Ends the test when a promise was broken.
    ///
    /// # Panics
    /// With all that was found.
    #[track_caller]
    pub fn assert_clean(&self) {
        assert!(self.is_clean(), "{self}");
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Summary { accepted, rejected, unknown, unknown_handled, .. } = self.summary;
        let Summary { deliveries, hand_offs, duplicates, excused, ledgers, .. } = self.summary;
        writeln!(
            f,
            "{accepted} messages accepted, {rejected} rejected, {unknown} unknown \
             ({unknown_handled} of them turned up)"
        )?;
        writeln!(
            f,
            "{deliveries} deliveries in {hand_offs} hand-offs, {duplicates} repeated for a reason, \
             {excused} missing for a reason, {ledgers} ledgers"
        )?;
        if self.is_clean() {
            return writeln!(f, "every promise was kept");
        }
        for (kind, count) in &self.counts {
            writeln!(f, "{}: {count}", kind.label())?;
            for finding in self.findings.iter().filter(|finding| finding.kind == *kind) {
                writeln!(f, "  {}", finding.text)?;
            }
        }
        Ok(())
    }
}
