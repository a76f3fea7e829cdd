//! How much, and with which chance: small figures for every change, more when asked for.
//!
//! `PATCHBAY_CHAOS_ROUNDS` and `PATCHBAY_CHAOS_SEED` are what `scripts/chaos.sh` sets. A test prints
//! what it did and the command that does it again.

use std::io::{self, Write};

use crate::dice::Dice;

/// How one kind of test is run.
pub(crate) struct Plan {
    kind: &'static str,
    pub(crate) rounds: u64,
    pub(crate) seed: u64,
    pub(crate) dice: Dice,
}

// === impl Plan ===

impl Plan {
    /// The rounds are those of every change, unless the environment says otherwise.
    pub(crate) fn new(kind: &'static str, rounds: u64) -> Plan {
        let set = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
        let rounds = set("PATCHBAY_CHAOS_ROUNDS").unwrap_or(rounds);
        let seed = set("PATCHBAY_CHAOS_SEED").unwrap_or_else(patchbay_testkit::checker::now);
        eprintln!("again: ./scripts/chaos.sh --only {kind} --seed {seed} --rounds {rounds}");
        Plan { kind, rounds, seed, dice: Dice::new(seed) }
    }

    /// Says what was reached.
    pub(crate) fn reached(&self, what: &str) {
        println!("chaos {}: seed {}, {} rounds, {what}", self.kind, self.seed, self.rounds);
    }

    /// Says that it cannot be tried here, past the capture of the output of tests.
    pub(crate) fn skipped(&self, why: &str) {
        let _ = writeln!(io::stderr(), "SKIPPED {}: {why}", self.kind);
    }
}
